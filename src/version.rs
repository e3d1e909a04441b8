//! Whether the catalog knows more than the library. They are installed apart: a connection goes on with the library that it
//! has loaded, and a standby with the files that it has, when `ALTER EXTENSION ... UPDATE` has run elsewhere.
//!
//! A later catalog may mean by its rows what this library cannot know, so it is not judged by. Catalogs that differ in the last
//! number of their version alone mean the same. An update script that makes a difference ends with
//! `REVOKE ALL ON session_guard.guard FROM PUBLIC;`: it changes nothing, and has each connection look here again.

use crate::error::{GuardError, Mistake};
use crate::registry;
use crate::scan::{self, OpenTable};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::Cell;

/// The version of the library, which is that of the catalog that it comes with.
const LIBRARY: &str = env!("CARGO_PKG_VERSION");

thread_local! {
    static IS_PRELOADED: Cell<bool> = const { Cell::new(false) };
}

/// Notes by whom the library is loaded. Called once, when it is.
pub fn note_loading() {
    // SAFETY: a variable of the postmaster's, or of a backend's.
    IS_PRELOADED.set(unsafe { pg_sys::process_shared_preload_libraries_in_progress });
}

/// What two versions have in common whose catalogs mean the same: all but the last number.
fn series(version: &str) -> Vec<u64> {
    version.split('.').take(2).map(|number| number.parse().unwrap_or(u64::MAX)).collect()
}

/// Why the catalog is not to be judged by.
pub fn why_too_new() -> Option<GuardError> {
    let catalog = of_catalog()?;
    (series(&catalog) > series(LIBRARY)).then(|| {
        let hint = match IS_PRELOADED.get() {
            true => "restart the server",
            false => "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid());",
        };
        GuardError::new(
            Mistake::LibraryOutdated,
            "the extension's library is of an earlier version than its catalog",
            hint,
        )
        .detail(format!(
            "The library that is loaded is of version {LIBRARY}, the catalog of {catalog}. A new connection loads what is installed."
        ))
    })
}

/// As `pg_extension` has it.
fn of_catalog() -> Option<String> {
    const NAME: i16 = pg_sys::Anum_pg_extension_extname as i16;
    const VERSION: i16 = pg_sys::Anum_pg_extension_extversion as i16;
    let extensions = OpenTable::try_open(pg_sys::ExtensionRelationId, pg_sys::AccessShareLock)?;
    let name = Datum::from(c"pg_session_guard".as_ptr());
    let key = scan::key(NAME, pg_sys::F_NAMEEQ, pg_sys::C_COLLATION_OID, name);
    let mut version = None;
    extensions.scan(Some(Oid::from(pg_sys::ExtensionNameIndexId)), &mut [key], |row| {
        version = Some(registry::text(&row, VERSION));
    });
    version
}

#[cfg(test)]
mod tests {
    use super::series;

    #[test]
    fn a_later_series_is_greater_by_number_and_the_last_number_is_none_of_it() {
        assert!(series("0.10.0") > series("0.9.1"));
        assert!(series("1.0.0") > series("0.99.0"));
        assert_eq!(series("0.2.0"), series("0.2.17"));
    }

    #[test]
    fn what_is_no_number_is_later_than_any() {
        assert!(series("0.next") > series("0.99.9"));
    }
}
