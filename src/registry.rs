//! The guards by relation, per backend, dropped when PostgreSQL says that one may have changed.

use crate::advice;
use crate::arg::Duration;
use crate::armed::{stamping_triggers, why_not_in_place};
use crate::epoch::Instant;
use crate::error::{GuardError, Mistake, OrRaise};
use crate::guard::{self, Guard, GuardRow};
use crate::index;
use crate::name::{qualified_name, relation_called, to_string};
use crate::news::{self, Generation};
use crate::scan::{OpenTable, Row};
use crate::standby;
use crate::timeline::{self, Timeline};
use crate::version;
use pgrx::pg_sys::{self, Oid};
use pgrx::{Array, FromDatum};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, c_int};
use std::rc::Rc;

/// Where the extension keeps what it knows.
#[derive(Clone, Copy, Debug)]
pub struct Store {
    /// `session_guard.guard`
    pub guard: Oid,
    /// `session_guard.epoch`
    pub epoch: Oid,
    /// Its primary key.
    pub epoch_key: Oid,
    /// `session_guard.guard_epoch`
    pub guard_epoch: Oid,
    /// Its primary key.
    pub guard_epoch_key: Oid,
    /// `session_guard.stamp_signal`, which has no rows: an invalidation of it tells of stamps. There is none in a
    /// catalog of 0.1.0 that has not been updated yet.
    pub stamp_signal: Oid,
    /// The function that the triggers call.
    pub stamper: Oid,
    /// Why edits of these tables by hand are not told of: their own triggers are off. Then nothing is kept of epochs.
    pub unheard: Option<&'static str>,
}

/// The triggers on the extension's own tables, which tell of edits by hand.
const EDIT_TRIGGERS: [(&str, u32); 2] = [
    (
        "session_guard_changed",
        pg_sys::TRIGGER_TYPE_INSERT
            | pg_sys::TRIGGER_TYPE_UPDATE
            | pg_sys::TRIGGER_TYPE_DELETE
            | pg_sys::TRIGGER_TYPE_ROW,
    ),
    ("session_guard_emptied", pg_sys::TRIGGER_TYPE_TRUNCATE),
];

/// What one reading of the catalogs found.
struct Catalog {
    store: Store,
    rows: Vec<GuardRow>,
    /// Why the library is not to judge by it.
    too_new: Option<GuardError>,
    /// Read when they are first asked for, as few servers do.
    timelines: OnceCell<Option<Rc<[Timeline]>>>,
}

#[derive(Default)]
struct Registry {
    catalog: Option<Rc<Catalog>>,
    guards: HashMap<Oid, Rc<Guard>>,
    /// Guards that this backend has warned of, and need not warn of again.
    warned: HashSet<Oid>,
}

thread_local! {
    static REGISTRY: RefCell<Registry> = RefCell::default();
    /// The generation that the registry was filled in.
    static FILLED_IN: Cell<Generation> = const { Cell::new(Generation::NONE) };
}

/// A guarded table, open, with what the catalogs say of it under the lock that it is open with.
pub struct OpenGuard {
    /// The table.
    pub users: OpenTable,
    /// Its guard.
    pub guard: Rc<Guard>,
    /// Where its epochs are.
    pub store: Store,
}

/// Keeps guards as they are until the transaction ends. Whoever changes guards takes this lock before
/// those on users tables, so that two who do cannot wait for one another.
pub fn lock_guards() {
    let guards = OpenTable::try_open(store().guard, pg_sys::ShareRowExclusiveLock);
    guards.expect("a table that is in the catalogs").close_but_keep_lock();
}

/// Opens a guarded table: the one that is named, or the default.
pub fn open(users: Option<Oid>, lock: u32) -> Result<OpenGuard, GuardError> {
    // News that arrives on the way has us look again, but not for ever: what was looked up since
    // the call began is fresh enough for it.
    let mut attempts = 3;
    loop {
        attempts -= 1;
        news::accept();
        let generation = refresh();
        let catalog = catalog()?;
        let row = catalog.find(users)?;
        let Some(table) = OpenTable::try_open(row.relid, lock) else {
            return Err(table_gone(row));
        };
        // Waiting for the lock may have brought news of what the row was read for.
        if news::of_guards() != generation && attempts > 0 {
            continue;
        }
        let guard = match REGISTRY.with_borrow(|registry| registry.guards.get(&row.relid).cloned())
        {
            Some(guard) => guard,
            None => load(&table, row, catalog.store.stamper, generation)?,
        };
        if news::of_guards() == generation || attempts <= 0 {
            return Ok(OpenGuard { users: table, guard, store: catalog.store });
        }
    }
}

/// The rows of `session_guard.guard`, in the order of their OIDs.
pub fn rows() -> Vec<GuardRow> {
    news::accept();
    refresh();
    catalog().map(|catalog| catalog.rows.clone()).unwrap_or_default()
}

/// The extension's own relations.
pub fn store() -> Store {
    refresh();
    catalog().or_raise().store
}

/// The timelines in which no stamp is missing. None of a catalog of 0.1.0 that has not been updated yet.
pub fn acknowledged_timelines() -> Option<Rc<[Timeline]>> {
    refresh();
    let read = || {
        news::watch_guards(relation_of_ours(c"timeline"));
        timeline::read_acknowledged().map(Rc::from)
    };
    catalog().ok()?.timelines.get_or_init(read).clone()
}

/// The same if nothing has to be read for it.
pub fn known_timelines() -> Option<Option<Rc<[Timeline]>>> {
    if FILLED_IN.get() != news::of_guards() {
        return None;
    }
    REGISTRY.with_borrow(|registry| registry.catalog.as_ref()?.timelines.get().cloned())
}

/// Whether the table is guarded, or was before it was detached.
pub fn is_known(relid: Oid) -> bool {
    let name = qualified_name(relid);
    known_tables().into_iter().any(|(known, known_as)| known == relid || known_as == name)
}

/// The tables that are guarded or were before they were detached, by the names that they had then,
/// whatever has become of them.
pub fn known_tables() -> Vec<(Oid, String)> {
    let store = store();
    let mut tables = Vec::new();
    // Both tables begin with the table and its name.
    for relid in [store.guard, store.guard_epoch] {
        let Some(table) = OpenTable::try_open(relid, pg_sys::AccessShareLock) else { continue };
        table.scan(None, &mut [], |row| {
            let known = (relation(&row, 1), text(&row, 2));
            if !tables.contains(&known) {
                tables.push(known);
            }
        });
    }
    tables
}

/// Whether the row's OID still means the table that was attached, not another that has got the OID
/// since, as it may after a restore of a dump.
pub fn is_same_table(table: &OpenTable, row: &GuardRow, stamper: Oid) -> bool {
    qualified_name(table.oid()) == row.table_name || !stamping_triggers(table, stamper).is_empty()
}

/// The guarded table was dropped, or its OID means another table now.
pub fn table_gone(row: &GuardRow) -> GuardError {
    let hint = match relation_called(&row.table_name) {
        Some(successor) => attach_successor(successor, row),
        None => advice::detach_statement(&row.relid.to_u32().to_string()),
    };
    GuardError::new(Mistake::TableGone, format!("guarded table {} is gone", row.table_name), hint)
}

/// `attach` of the table that has the name now, which may have come back without its indexes: from
/// `pg_restore -t`, say.
fn attach_successor(successor: Oid, row: &GuardRow) -> String {
    let create_index = || {
        let table = OpenTable::try_open(successor, pg_sys::AccessShareLock)?;
        guard::check_kind(&table).ok()?;
        let columns =
            Guard::check(&table, &row.id_column, &row.active_column, &row.revoke_on).ok()?;
        Some(index::check_unique(&table, columns.0).err()?.hint + " ")
    };
    create_index().unwrap_or_default() + &advice::attach_again(row, None)
}

/// Refuses a guard whose table, or one of whose columns, was renamed when another has got the name:
/// the app goes by the name, and may write to what is not watched.
pub fn check_names(guard: &Guard) -> Result<(), GuardError> {
    if let Some(replaced) = &guard.replaced {
        return Err(replaced.clone());
    }
    let Some(name) = &guard.renamed_from else { return Ok(()) };
    if relation_called(name).is_none() {
        return Ok(());
    }
    let now = qualified_name(guard.relid);
    let attach = rows()
        .iter()
        .find(|row| row.relid == guard.relid)
        .map_or(String::new(), |row| advice::attach_again(row, row.is_default.then_some(true)));
    Err(GuardError::new(
        Mistake::TableReplaced,
        format!("guarded table {name} has been renamed to {now}, and another has its name"),
        format!("{} {attach}", advice::detach_statement(&now)),
    ))
}

/// Empties the registry if an invalidation came since it was filled, and tells the generation.
fn refresh() -> Generation {
    let generation = news::of_guards();
    if FILLED_IN.get() != generation {
        REGISTRY.with_borrow_mut(|registry| {
            registry.catalog = None;
            registry.guards.clear();
        });
        FILLED_IN.set(generation);
    }
    generation
}

fn catalog() -> Result<Rc<Catalog>, GuardError> {
    if let Some(catalog) = REGISTRY.with_borrow(|registry| registry.catalog.clone()) {
        return Ok(catalog);
    }
    let generation = news::of_guards();
    let store = find_store().ok_or_else(|| version::why_too_new().unwrap_or_else(no_guard))?;
    news::watch_guards([store.guard, store.epoch, store.guard_epoch]);
    news::watch_stamps(store.stamp_signal);
    let catalog = Rc::new(Catalog {
        store,
        too_new: version::why_too_new(),
        rows: read_rows(store.guard),
        timelines: OnceCell::new(),
    });
    news::watch_guards(catalog.rows.iter().map(|row| row.relid));
    if news::of_guards() == generation {
        REGISTRY.with_borrow_mut(|registry| registry.catalog = Some(Rc::clone(&catalog)));
    }
    Ok(catalog)
}

/// Warns, once a backend, that a guard is not armed.
pub fn warn_disarmed(guard: &Guard, why: &str) {
    let is_news = REGISTRY.with_borrow_mut(|registry| registry.warned.insert(guard.relid));
    if is_news {
        let name = qualified_name(guard.relid);
        GuardError::new(
            Mistake::Disarmed,
            format!("the guard of table {name} is not armed: {why}"),
            advice::reconcile_statement(&name),
        )
        .warn();
    }
}

impl Catalog {
    fn find(&self, users: Option<Oid>) -> Result<&GuardRow, GuardError> {
        if let Some(relid) = users {
            return self.rows.iter().find(|row| row.relid == relid).ok_or_else(|| {
                GuardError::new(
                    Mistake::NotGuarded,
                    format!("table {} is not guarded", qualified_name(relid)),
                    advice::attach_statement(relid),
                )
            });
        }
        match self.rows.as_slice() {
            [] => Err(no_guard()),
            [only] => Ok(only),
            [first, ..] => self.rows.iter().find(|row| row.is_default).ok_or_else(|| {
                GuardError::new(
                    Mistake::NoDefaultGuard,
                    "several tables are guarded, and none is the default",
                    advice::attach_again(first, Some(true)),
                )
            }),
        }
    }
}

/// Refuses to judge by a catalog that may mean what the library does not know.
pub fn check_library() -> Result<(), GuardError> {
    news::accept();
    refresh();
    catalog()?.too_new.clone().map_or(Ok(()), Err)
}

/// Refuses to write where, or with what, it cannot be done.
pub fn check_writable(function: &str) {
    standby::check_primary(function);
    check_library().or_raise();
}

/// Refuses what the catalog does not have the tables for: the library is there, but the update has not been run.
pub fn check_catalog() -> Result<(), GuardError> {
    if function_of_ours(c"epoch_changed").is_some() {
        return Ok(());
    }
    Err(GuardError::new(
        Mistake::CatalogOutdated,
        "the extension's catalog is of an earlier version than its library",
        "ALTER EXTENSION pg_session_guard UPDATE;",
    ))
}

/// The extension's own table has been renamed or dropped.
pub fn tokens_gone() -> GuardError {
    GuardError::new(
        Mistake::TableGone,
        "table session_guard.token_epoch is gone",
        "SELECT pg_catalog.pg_describe_object(classid, objid, 0) FROM pg_catalog.pg_depend \
         WHERE refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'pg_session_guard') AND deptype = 'e';",
    )
}

/// There is nothing to ask.
pub fn no_guard() -> GuardError {
    GuardError::new(Mistake::NoGuard, "no table is guarded", advice::attach_something())
}

fn load(
    table: &OpenTable,
    row: &GuardRow,
    stamper: Oid,
    generation: Generation,
) -> Result<Rc<Guard>, GuardError> {
    if !is_same_table(table, row, stamper) {
        return Err(table_gone(row));
    }
    let guard = Rc::new(Guard::load(table, row, stamper)?);
    REGISTRY.with_borrow_mut(|registry| {
        if news::of_guards() == generation {
            registry.guards.insert(row.relid, Rc::clone(&guard));
        }
        if guard.disarmed.is_none() {
            registry.warned.remove(&row.relid);
        }
    });
    Ok(guard)
}

fn find_store() -> Option<Store> {
    Some(Store {
        guard: relation_of_ours(c"guard")?,
        epoch: relation_of_ours(c"epoch")?,
        epoch_key: relation_of_ours(c"epoch_pkey")?,
        guard_epoch: relation_of_ours(c"guard_epoch")?,
        guard_epoch_key: relation_of_ours(c"guard_epoch_pkey")?,
        stamp_signal: relation_of_ours(c"stamp_signal").unwrap_or(pg_sys::InvalidOid),
        stamper: function_of_ours(c"stamp")?,
        unheard: unheard_table(),
    })
}

/// The first of the extension's own tables whose triggers do not tell of every edit, as after `pg_restore
/// --disable-triggers`; or in a catalog of 0.1.0 that has not been updated yet.
fn unheard_table() -> Option<&'static str> {
    const TABLES: [(&str, &CStr, &CStr); 3] = [
        ("session_guard.epoch", c"epoch", c"epoch_changed"),
        ("session_guard.guard_epoch", c"guard_epoch", c"epoch_changed"),
        ("session_guard.guard", c"guard", c"guard_changed"),
    ];
    let is_heard = |table: &CStr, function: &CStr| {
        let table = OpenTable::try_open(relation_of_ours(table)?, pg_sys::AccessShareLock)?;
        let function = function_of_ours(function)?;
        why_not_in_place(&table, &EDIT_TRIGGERS, function).is_none().then_some(())
    };
    let unheard =
        TABLES.into_iter().find(|(_, table, function)| is_heard(table, function).is_none());
    unheard.map(|(name, ..)| name)
}

/// A relation in the schema `session_guard`.
pub fn relation_of_ours(name: &CStr) -> Option<Oid> {
    // SAFETY: looks up the system cache; zero comes back for a name that is no relation's.
    let oid = unsafe { pg_sys::get_relname_relid(name.as_ptr(), our_schema()) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

fn our_schema() -> Oid {
    // SAFETY: looks up the system cache.
    unsafe { pg_sys::get_namespace_oid(c"session_guard".as_ptr(), true) }
}

/// The name of a table, if it is in the schema `session_guard`.
pub fn name_of_ours(table: &pg_sys::RelationData) -> Option<String> {
    // SAFETY: an open relation has its row of pg_class.
    let class = unsafe { &*table.rd_rel };
    (class.relnamespace == our_schema()).then(|| to_string(class.relname.data.as_ptr())).flatten()
}

/// A function without arguments in the schema `session_guard`. Looks below the permission layer: whoever may
/// ask need not have USAGE on the schema.
pub fn function_of_ours(name: &CStr) -> Option<Oid> {
    // SAFETY: an empty list needs no elements.
    let no_arguments = unsafe { pg_sys::buildoidvector(std::ptr::null(), 0) };
    // SAFETY: the keys are those of this cache; zero comes back for a function that is not there.
    let oid = unsafe {
        pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as c_int,
            pg_sys::Anum_pg_proc_oid as pg_sys::AttrNumber,
            pg_sys::Datum::from(name.as_ptr()),
            pg_sys::Datum::from(no_arguments),
            our_schema().into(),
            pg_sys::Datum::from(0),
        )
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The columns of `session_guard.guard`, by their numbers in `sql/tables.sql`.
fn read_rows(guard: Oid) -> Vec<GuardRow> {
    let mut rows = Vec::new();
    let Some(table) = OpenTable::try_open(guard, pg_sys::AccessShareLock) else {
        return rows;
    };
    table.scan(None, &mut [], |row| {
        rows.push(GuardRow {
            relid: relation(&row, 1),
            table_name: text(&row, 2),
            id_column: name(&row, 3),
            active_column: name(&row, 4),
            revoke_on: names(&row, 5),
            is_default: row.get_bool(6) == Some(true),
            unwatched_at: row.get(8).map(|micros| Instant(micros.value() as i64)),
            // SAFETY: the column is an interval.
            max_session_age: row.get_if_there(9).map(|age| unsafe { Duration::of_datum(age) }.0),
        });
    });
    rows.sort_by_key(|row| row.relid.to_u32());
    rows
}

/// A `regclass` of a row of the extension's own.
pub fn relation(row: &Row, attno: i16) -> Oid {
    row.get(attno).map_or(pg_sys::InvalidOid, |oid| Oid::from(oid.value() as u32))
}

/// A `text` of such a row.
pub fn text(row: &Row, attno: i16) -> String {
    // SAFETY: the column is a text, and the copy is made while the row is valid.
    row.get(attno).map_or(String::new(), |datum| {
        // SAFETY: as above.
        String::from_utf8_lossy(unsafe { crate::arg::text_bytes(datum) }).into_owned()
    })
}

/// A `name` of such a row.
pub fn name(row: &Row, attno: i16) -> String {
    row.get(attno).map_or(String::new(), |datum| {
        // SAFETY: the column is a name, which is NUL-terminated.
        let name = unsafe { CStr::from_ptr(datum.cast_mut_ptr()) };
        name.to_string_lossy().into_owned()
    })
}

/// A `name[]` of such a row.
pub fn names(row: &Row, attno: i16) -> Vec<String> {
    let Some(datum) = row.get(attno) else {
        return Vec::new();
    };
    // SAFETY: the column is a name[].
    let names = unsafe { Array::<crate::arg::Name>::from_datum(datum, false) };
    names.map_or(Vec::new(), |names| names.iter().flatten().map(|name| name.0).collect())
}
