//! The guards and policies, per backend, dropped when one of them is invalidated.

use super::generations::{self, Generation, guard_generation};
use crate::catalog::extension::{self, ExtensionRelations};
use crate::catalog::guard::{self, Guard, GuardRow, OpenGuard};
use crate::catalog::location;
use crate::catalog::partitions;
use crate::catalog::policy::Policy;
use crate::catalog::store::{self, StoreRow};
use crate::catalog::timeline::{self, Timeline};
use crate::catalog::{hints, triggers};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::names::{RelationName, extension_relation};
use crate::pg::relation::{FreeLocks, Lock, Relation, RelationKind};
use crate::pg::report::OrRaise;
use crate::pg::roles;
use crate::pg::{invalidation, server};
use pgrx::pg_sys::Oid;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Which guard a call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardRef {
    /// The default one.
    Default,
    /// The one of this table.
    Table(Oid),
}

impl GuardRef {
    /// The table that is named.
    pub fn relid(self) -> Option<Oid> {
        match self {
            GuardRef::Default => None,
            GuardRef::Table(relid) => Some(relid),
        }
    }

    /// As an argument `users` says it, NULL being the default.
    pub fn of(users: Option<Oid>) -> GuardRef {
        users.map_or(GuardRef::Default, GuardRef::Table)
    }
}

/// What one reading of the catalogs found.
struct Catalog {
    relations: ExtensionRelations,
    rows: Vec<GuardRow>,
    policy: Policy,
    /// Set if the catalog is later than the library.
    too_new: Option<GuardError>,
    /// Read when they are first asked for, as few servers do.
    timelines: OnceCell<Rc<[Timeline]>>,
    /// Read when something is first stamped.
    stores: OnceCell<Rc<[StoreRow]>>,
}

#[derive(Default)]
struct GuardCache {
    catalog: Option<Rc<Catalog>>,
    guards: HashMap<Oid, Rc<Guard>>,
    /// The table of the default guard.
    default: Option<Oid>,
    /// Guards that this backend has warned of, and need not warn of again.
    warned: HashSet<Oid>,
}

/// What a partition's guarded table was found to be, and in which generation.
type TableAbove = (Generation, Option<Oid>);

thread_local! {
    static CACHE: RefCell<GuardCache> = RefCell::default();
    /// The guarded tables of partitions, and the generation of each.
    static ABOVE: RefCell<HashMap<(Oid, String), TableAbove>> = RefCell::default();
    /// The generation that the cache was filled in.
    static FILLED_IN: Cell<Generation> = const { Cell::new(Generation::NONE) };
}

/// Keeps guards as they are until the transaction ends. Who changes guards takes this lock before
/// those on users tables, so that two who do cannot wait for one another.
pub fn lock_guards() {
    drop(Relation::open(relations().guard, Lock::KeepWritersAway));
}

/// Opens the table that a guard is on.
pub fn open_row(row: &GuardRow) -> Result<OpenGuard, GuardError> {
    let relid = location::locate(row, &relations()).ok_or_else(|| guard::table_gone(row))?;
    open(GuardRef::Table(relid), Lock::Read)
}

/// An open guard that could be opened, and can be read, without waiting for anybody.
pub struct FreeGuard {
    /// The guard.
    pub open: OpenGuard,
    /// What has to be locked to read it.
    _locks: FreeLocks,
}

/// Opens the table that a guard is on; `None` where somebody is in the way, who might be waiting
/// for this transaction.
pub fn open_row_without_waiting(row: &GuardRow) -> Result<Option<FreeGuard>, GuardError> {
    let Some(locks) = location::lock_without_waiting(row, &relations()) else { return Ok(None) };
    Ok(Some(FreeGuard { open: open_row(row)?, _locks: locks }))
}

/// Opens a guarded table.
pub fn open(users: GuardRef, lock: Lock) -> Result<OpenGuard, GuardError> {
    // Looks again if an invalidation comes meanwhile, three times at the most: what was read since
    // the call began is recent enough.
    let mut attempts = 3;
    loop {
        attempts -= 1;
        invalidation::accept_messages();
        let generation = refresh();
        let catalog = catalog()?;
        let relid = match users {
            GuardRef::Table(relid) => relid,
            GuardRef::Default => default_table(&catalog, generation)?,
        };
        let Some(table) = Relation::open(relid, lock) else {
            return Err(not_guarded(relid, &catalog));
        };
        // Waiting for the lock may have brought messages of what the row was read for.
        if guard_generation() != generation && attempts > 0 {
            continue;
        }
        let known = CACHE.with_borrow(|cache| cache.guards.get(&relid).cloned());
        let guard = match known {
            Some(guard) => guard,
            None => load(&table, &catalog, generation)?,
        };
        if guard_generation() == generation || attempts <= 0 {
            return Ok(OpenGuard { users: table, guard, relations: catalog.relations });
        }
    }
}

/// The table above a partition that serves this guard. Looked up once for many rows.
pub fn guarded_above(partition: Oid, guard: &str) -> Option<Oid> {
    let generation = refresh();
    let known = ABOVE.with_borrow(|above| above.get(&(partition, guard.to_owned())).copied());
    if let Some((_, table)) = known.filter(|(known_in, _)| *known_in == generation) {
        return table;
    }
    generations::track_guards([partition]);
    let stamp = catalog().ok()?.relations.stamp;
    let table = partitions::guarded_above(partition, guard, stamp);
    generations::track_guards(table);
    ABOVE.with_borrow_mut(|above| {
        above.retain(|_, (known_in, _)| *known_in == generation);
        above.insert((partition, guard.to_owned()), (generation, table));
    });
    table
}

/// The same, if it is sure which table the guard is on, and the library knows the catalog.
pub fn open_for_check(users: GuardRef, lock: Lock) -> Result<OpenGuard, GuardError> {
    check_library()?;
    let open = open(users, lock)?;
    check_names(&open)?;
    Ok(open)
}

/// The rows of `session_guard.guard` that are attached.
pub fn attached_rows() -> Vec<GuardRow> {
    all_rows().into_iter().filter(|row| !row.is_detached).collect()
}

/// The rows of `session_guard.guard`, in the order of their names.
pub fn all_rows() -> Vec<GuardRow> {
    invalidation::accept_messages();
    refresh();
    catalog().map(|catalog| catalog.rows.clone()).unwrap_or_default()
}

/// The extension's own relations.
pub fn relations() -> ExtensionRelations {
    refresh();
    catalog().or_raise().relations
}

/// The same where the extension may be gone.
pub fn try_relations() -> Result<ExtensionRelations, GuardError> {
    refresh();
    Ok(catalog()?.relations)
}

/// The policies that hold now.
pub fn policy() -> Policy {
    refresh();
    catalog().map_or(Policy::DEFAULT, |catalog| catalog.policy)
}

/// The session stores of all guards.
pub fn stores() -> Rc<[StoreRow]> {
    refresh();
    let read = || {
        let table = extension_relation(c"store");
        generations::track_guards(table);
        Rc::from(table.map_or(Vec::new(), store::read_rows))
    };
    catalog().map_or_else(|_| Rc::from([]), |catalog| Rc::clone(catalog.stores.get_or_init(read)))
}

/// The timelines in which no stamp is missing.
pub fn acknowledged_timelines() -> Rc<[Timeline]> {
    refresh();
    let read = || {
        generations::track_guards(extension_relation(c"timeline"));
        Rc::from(timeline::read_acknowledged())
    };
    match catalog() {
        Ok(catalog) => Rc::clone(catalog.timelines.get_or_init(read)),
        Err(_) => Rc::from([]),
    }
}

/// The same if nothing has to be read for it.
pub fn known_timelines() -> Option<Rc<[Timeline]>> {
    if FILLED_IN.get() != guard_generation() {
        return None;
    }
    CACHE.with_borrow(|cache| cache.catalog.as_ref()?.timelines.get().cloned())
}

/// Refuses to answer by a catalog that is later than the library.
pub fn check_library() -> Result<(), GuardError> {
    invalidation::accept_messages();
    refresh();
    catalog()?.too_new.clone().map_or(Ok(()), Err)
}

/// Refuses to write where, or with what, it cannot be done.
pub fn check_writable(function: &str) -> Result<(), GuardError> {
    if server::is_standby() {
        let hint = Hint::run(
            "Call it on the primary, which a standby finds by",
            "SELECT sender_host, sender_port FROM pg_catalog.pg_stat_wal_receiver;",
        );
        let message = format!("cannot execute {function} on a standby");
        return Err(GuardError::new(ErrorKind::OnStandby, message, hint)
            .detail("It writes, or locks a row."));
    }
    check_library()
}

/// Refuses a guard whose table, or one of whose columns, was renamed when another table or column
/// has got the name: the app goes by the name, and may write to what is not guarded.
pub fn check_names(open: &OpenGuard) -> Result<(), GuardError> {
    if let Some(replaced) = &open.guard.replaced {
        return Err(replaced.clone());
    }
    let Some(name) = &open.guard.renamed_from else { return Ok(()) };
    if location::name_taken_by(name).is_none() {
        return Ok(());
    }
    Err(table_replaced(name, &open.users.name()))
}

/// Warns, once a backend, that a guard is not armed.
pub fn warn_disarmed(open: &OpenGuard) {
    let relid = open.guard.relid;
    if !CACHE.with_borrow_mut(|cache| cache.warned.insert(relid)) {
        return;
    }
    let name = open.users.name();
    let message = format!(
        "the guard of table {} is not armed: {}",
        name.shown(),
        open.guard.disarmed.join(", ")
    );
    GuardError::new(ErrorKind::Disarmed, message, hints::reconcile(&name)).warn();
}

/// There is nothing to ask.
pub fn no_guard() -> GuardError {
    GuardError::new(ErrorKind::NoGuard, "no table is guarded", hints::attach_some_table())
}

/// NULL where a users table is wanted.
pub fn null_table() -> GuardError {
    let message = "the table must not be null";
    GuardError::new(ErrorKind::NullTable, message, hints::attach_some_table())
}

/// The table has no guard.
pub fn not_guarded_error(table: &RelationName, hint: Hint) -> GuardError {
    let message = format!("table {} is not guarded", table.shown());
    GuardError::new(ErrorKind::NotGuarded, message, hint)
}

/// Empties the cache if an invalidation came since it was filled, and returns the generation.
fn refresh() -> Generation {
    let generation = guard_generation();
    if FILLED_IN.get() != generation {
        CACHE.with_borrow_mut(|cache| {
            cache.catalog = None;
            cache.default = None;
            cache.guards.clear();
        });
        FILLED_IN.set(generation);
    }
    generation
}

fn catalog() -> Result<Rc<Catalog>, GuardError> {
    if let Some(catalog) = CACHE.with_borrow(|cache| cache.catalog.clone()) {
        return Ok(catalog);
    }
    let generation = guard_generation();
    let too_new = extension::why_too_new();
    let relations = ExtensionRelations::find()
        .ok_or_else(|| too_new.clone().unwrap_or_else(extension::gone))?;
    generations::track_guards([
        relations.guard,
        relations.policy,
        relations.epoch,
        relations.guard_epoch,
    ]);
    generations::track_epochs(relations.invalidation);
    let catalog = Rc::new(Catalog {
        relations,
        too_new,
        rows: guard::read_rows(relations.guard),
        policy: Policy::read(relations.policy),
        timelines: OnceCell::new(),
        stores: OnceCell::new(),
    });
    if guard_generation() == generation {
        CACHE.with_borrow_mut(|cache| cache.catalog = Some(Rc::clone(&catalog)));
    }
    Ok(catalog)
}

fn default_table(catalog: &Catalog, generation: Generation) -> Result<Oid, GuardError> {
    if let Some(relid) = CACHE.with_borrow(|cache| cache.default) {
        return Ok(relid);
    }
    let mut attached = catalog.rows.iter().filter(|row| !row.is_detached).peekable();
    let Some(first) = attached.peek().copied() else { return Err(no_guard()) };
    let row = attached.find(|row| row.is_default).ok_or_else(|| no_default(first))?;
    let relid = location::locate(row, &catalog.relations).ok_or_else(|| guard::table_gone(row))?;
    generations::track_guards([relid]);
    if guard_generation() == generation {
        CACHE.with_borrow_mut(|cache| cache.default = Some(relid));
    }
    Ok(relid)
}

/// Another guard than the one that was meant must not answer, though it be the only one that is
/// left: ids of its table are other accounts.
fn no_default(some: &GuardRow) -> GuardError {
    let message = "none of the guarded tables is the default";
    GuardError::new(ErrorKind::NoDefaultGuard, message, hints::make_default(&some.table))
}

/// The row of the guard that is on this table.
fn row_of<'a>(
    table: &Relation,
    rows: &'a [GuardRow],
    relations: &ExtensionRelations,
) -> Option<&'a GuardRow> {
    let mut attached = rows.iter().filter(|row| !row.is_detached);
    match triggers::served_guard(table, relations.stamp) {
        Some(name) => attached
            .find(|row| row.name == name)
            .filter(|row| location::serves(table, row, relations)),
        None => {
            let name = table.name();
            attached.find(|row| {
                row.table == name && location::locate(row, relations) == Some(table.oid())
            })
        }
    }
}

fn load(
    table: &Relation,
    catalog: &Catalog,
    generation: Generation,
) -> Result<Rc<Guard>, GuardError> {
    let stamp = catalog.relations.stamp;
    let row = row_of(table, &catalog.rows, &catalog.relations)
        .ok_or_else(|| not_guarded(table.oid(), catalog))?;
    generations::track_guards([table.oid()]);
    // One that comes later is told by a message of the table above it.
    generations::track_guards(partitions::below(table.oid()));
    let guard = Rc::new(Guard::load(table, row, stamp)?);
    if !guard.has_consent(table, stamp)
        && !roles::has_rights_of(catalog.relations.owner, table.owner())
    {
        return Err(no_consent(table));
    }
    CACHE.with_borrow_mut(|cache| {
        if guard_generation() == generation {
            cache.guards.insert(table.oid(), Rc::clone(&guard));
        }
        if guard.disarmed.is_empty() {
            cache.warned.remove(&table.oid());
        }
    });
    Ok(guard)
}

/// The table's owner has not attached it so.
fn no_consent(table: &Relation) -> GuardError {
    let name = table.name();
    let message = format!("the triggers of table {} do not serve its guard", name.shown());
    let hint = Hint::run(
        "The table's owner attaches it by",
        format!("SELECT session_guard.attach({});", name.literal()),
    );
    GuardError::new(ErrorKind::NotPermitted, message, hint)
        .detail("Only the triggers say which columns the table's owner lets the guard read.")
}

fn not_guarded(relid: Oid, catalog: &Catalog) -> GuardError {
    let Some(name) = RelationName::of(relid) else {
        return guard::no_such_table(relid, hints::list_guards())
            .detail("The table is the first argument, before the user's id.");
    };
    let attached = catalog.rows.iter().find(|row| row.table == name && !row.is_detached);
    let Some(row) = attached else {
        let relation = Relation::open(relid, Lock::Read);
        let is_storage = relation.is_some_and(|table| table.kind() != RelationKind::Other);
        let hint = match crate::pg::partitions::above(relid).pop() {
            Some(root) => hints::name_whole_table(root),
            None if is_storage => hints::attach_table(&name),
            None => hints::ordinary_table(),
        };
        return not_guarded_error(&name, hint);
    };
    let elsewhere = location::locate(row, &catalog.relations).and_then(RelationName::of);
    elsewhere.map_or_else(|| guard::table_gone(row), |now| table_replaced(&name, &now))
}

/// The app goes by the name, and may write to what is not guarded.
fn table_replaced(name: &RelationName, now: &RelationName) -> GuardError {
    let message = format!(
        "guarded table {} has been renamed to {}, and another has its name",
        name.shown(),
        now.shown()
    );
    let other = name.find().and_then(|relid| Relation::open(relid, Lock::Read));
    let hint = match other.is_some_and(|other| guard::check_kind(&other).is_ok()) {
        true => hints::move_guard(now, name),
        // Such as a view, by which the app goes on with the old name.
        false => hints::attach_with("To have the guard go by its table's name, run", now, &[]),
    };
    GuardError::new(ErrorKind::TableReplaced, message, hint)
}

/// Why a table that is named has no guard that can be opened.
pub fn why_not_guarded(relid: Oid) -> GuardError {
    catalog().map_or_else(|error| error, |catalog| not_guarded(relid, &catalog))
}
