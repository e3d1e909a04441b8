//! The extension's own relations and functions, and the version of its catalog.
//!
//! Library and catalog are installed apart: a connection goes on with the library that it has
//! loaded, and a standby with the files that it has, when `ALTER EXTENSION ... UPDATE` has run
//! elsewhere. A later catalog may mean by its rows what this library cannot know, so it is not
//! judged by. Catalogs that differ in the last number of their version alone mean the same. An
//! update script that makes a difference ends with `REVOKE ALL ON session_guard.guard FROM
//! PUBLIC;`: it changes nothing, and has each connection look here again.

use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::index_scan::Key;
use crate::pg::names::{extension_function, extension_relation};
use crate::pg::relation::{Lock, Relation};
use crate::pg::snapshot::Snapshot;
use crate::pg::triggers::{Enabled, TriggerKind};
use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;
use std::ffi::CStr;

/// Where the extension keeps what it knows.
#[derive(Clone, Copy, Debug)]
pub struct ExtensionRelations {
    /// `session_guard.guard`
    pub guard: Oid,
    /// `session_guard.policy`
    pub policy: Oid,
    /// `session_guard.epoch`
    pub epoch: Oid,
    /// `session_guard.guard_epoch`
    pub guard_epoch: Oid,
    /// `session_guard.invalidation`, which has no rows: an invalidation of it says that epochs were
    /// raised.
    pub invalidation: Oid,
    /// `session_guard.pending`, which has no rows: its deferred trigger is called before COMMIT.
    pub pending: Oid,
    /// The function that the triggers of users tables call.
    pub stamp: Oid,
    /// The function of the triggers on the tables of epochs.
    pub epoch_changed: Oid,
    /// The function of the trigger for logical replication.
    pub apply_replicated: Oid,
    /// The role that owns the extension: not always the one that owns these tables, as where a
    /// database's owner has created it.
    pub owner: Oid,
    /// Why edits of these tables by hand are not noticed: their own triggers are off. Then nothing
    /// is kept of epochs.
    pub untracked_table: Option<&'static str>,
}

impl ExtensionRelations {
    /// As the catalogs have them; `None` where the extension is not there, or not whole.
    pub fn find() -> Option<ExtensionRelations> {
        Some(ExtensionRelations {
            owner: read_extension()?.owner,
            guard: extension_relation(c"guard")?,
            policy: extension_relation(c"policy")?,
            epoch: extension_relation(c"epoch")?,
            guard_epoch: extension_relation(c"guard_epoch")?,
            invalidation: extension_relation(c"invalidation")?,
            pending: extension_relation(c"pending")?,
            stamp: extension_function(c"stamp")?,
            epoch_changed: extension_function(c"epoch_changed")?,
            apply_replicated: extension_function(c"apply_replicated")?,
            untracked_table: untracked_table(),
        })
    }
}

/// The first of the extension's own tables whose triggers do not notice every edit, as after
/// `pg_restore --disable-triggers`.
fn untracked_table() -> Option<&'static str> {
    const TABLES: [(&str, &CStr, &CStr); 4] = [
        ("epoch", c"epoch", c"epoch_changed"),
        ("guard_epoch", c"guard_epoch", c"epoch_changed"),
        ("guard", c"guard", c"guard_changed"),
        ("policy", c"policy", c"guard_changed"),
    ];
    let is_tracked = |table: &CStr, function: &CStr| {
        let (Some(table), Some(function)) =
            (extension_relation(table), extension_function(function))
        else {
            return false;
        };
        Relation::open(table, Lock::Read).is_some_and(|table| is_edit_tracked(&table, function))
    };
    let untracked = TABLES.into_iter().find(|(_, table, function)| !is_tracked(table, function));
    untracked.map(|(name, ..)| name)
}

fn is_edit_tracked(table: &Relation, function: Oid) -> bool {
    let has = |name: &str, kind: TriggerKind| {
        table.triggers().any(|trigger| {
            trigger.function() == function
                && trigger.enabled() == Enabled::Always
                && trigger.is(kind)
                && !trigger.is_conditional()
                && trigger.name() == name
        })
    };
    has("session_guard_changed", TriggerKind::CHANGE)
        && has("session_guard_emptied", TriggerKind::TRUNCATE)
}

/// The version of the library, which is that of the catalog that it comes with.
const LIBRARY: &str = env!("CARGO_PKG_VERSION");

thread_local! {
    static IS_PRELOADED: Cell<bool> = const { Cell::new(false) };
}

/// Notes whether the server itself loads the library. Called once, when it is loaded.
pub fn note_loading(is_preloading: bool) {
    IS_PRELOADED.set(is_preloading);
}

/// What two versions have in common whose catalogs mean the same: all but the last number.
fn series(version: &str) -> Vec<u64> {
    version.split('.').take(2).map(|number| number.parse().unwrap_or(u64::MAX)).collect()
}

/// Why the catalog is not to be used.
pub fn why_too_new() -> Option<GuardError> {
    let catalog = read_extension()?.version;
    (series(&catalog) > series(LIBRARY)).then(|| {
        let hint = match IS_PRELOADED.get() {
            true => Hint::advice("Restart the server: it loads the library that is installed."),
            false => Hint::run(
                "A new connection loads the library that is installed. To end this one, run",
                "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid());",
            ),
        };
        let message = "the extension's library is of an earlier version than its catalog";
        GuardError::new(ErrorKind::LibraryOutdated, message, hint).detail(format!(
            "The library that is loaded is of version {LIBRARY}, the catalog of {catalog}."
        ))
    })
}

/// What `pg_extension` says of the extension.
struct InstalledExtension {
    version: String,
    owner: Oid,
}

fn read_extension() -> Option<InstalledExtension> {
    let extensions = Relation::open(pg_sys::ExtensionRelationId, Lock::Read)?;
    let key = [Key::name(pg_sys::Anum_pg_extension_extname as i16, c"pg_session_guard")];
    let mut installed = None;
    extensions.scan_keys(&Snapshot::latest(&extensions), &key, |row| {
        let version = row.string(pg_sys::Anum_pg_extension_extversion as i16);
        let owner = row.oid(pg_sys::Anum_pg_extension_extowner as i16);
        installed = owner.map(|owner| InstalledExtension { version, owner });
    });
    installed
}

/// The role that owns the extension.
pub fn owner() -> Option<Oid> {
    read_extension().map(|installed| installed.owner)
}

/// The extension was dropped, perhaps while this waited for a lock, or one of its tables is not
/// where it was.
pub fn gone() -> GuardError {
    if owner().is_some() {
        let message =
            "a table or function of extension pg_session_guard is gone, or has another name";
        let hint = Hint::advice(
            "Give the tables and functions of the schema session_guard their names back.",
        );
        return GuardError::new(ErrorKind::NoGuard, message, hint);
    }
    let hint = Hint::run("To create the extension, run", "CREATE EXTENSION pg_session_guard;");
    GuardError::new(ErrorKind::NoGuard, "extension pg_session_guard is gone", hint)
}

#[cfg(test)]
mod tests {
    use super::series;

    #[test]
    fn a_later_series_is_greater_by_number_and_the_last_number_does_not_count() {
        assert!(series("0.10.0") > series("0.9.1"));
        assert!(series("1.0.0") > series("0.99.0"));
        assert_eq!(series("1.0.0"), series("1.0.17"));
    }

    #[test]
    fn what_is_not_a_number_is_later_than_any() {
        assert!(series("1.next") > series("1.99.9"));
    }
}
