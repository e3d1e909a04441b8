//! What went unstamped, or may have: `session_guard.unwatched`, and how it is noticed that triggers
//! were changed and changed back: `session_guard.trigger_state`.

use crate::core::epoch::Instant;
use crate::pg::datum::Value;
use crate::pg::heap_insert::UnmodifiedTable;
use crate::pg::names::{extension_function, extension_relation, from_server, to_server};
use crate::pg::relation::{Lock, Relation};
use crate::pg::server::{clock, system_identifier};
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{make_visible, run_once};
use crate::pg::triggers;
use pgrx::pg_sys::Oid;

/// One row a minute is enough where a guard stays broken.
const INTERVAL: i64 = 60_000_000;

/// When it was last noticed that changes of a guard may have gone unstamped.
pub fn last_noticed(guard: &str) -> Option<Instant> {
    let table = Relation::open(extension_relation(c"unwatched")?, Lock::Read)?;
    let guard = to_server(guard);
    let mut last = None;
    table.scan(&Snapshot::latest(&table), |row| {
        if row.text(1) == Some(guard.to_bytes()) {
            last = last.max(row.time(2));
        }
    });
    last
}

/// Notes that changes may have gone unstamped until now.
pub fn note(guard: &str, reason: &str) {
    let table = extension_relation(c"unwatched").and_then(|oid| Relation::open(oid, Lock::Write));
    if let Some(table) = table {
        let row = [Value::Utf8(guard), Value::Time(clock()), Value::Utf8(reason)];
        let apply = extension_function(c"apply_replicated").unwrap_or(pgrx::pg_sys::InvalidOid);
        // As the extension made the table: one trigger, for logical replication.
        let unmodified = UnmodifiedTable {
            trigger_functions: [apply; 2],
            triggers: 1,
            indexes: 0,
            unique_indexes: 0,
        };
        table.insert(unmodified, &row);
        make_visible();
    }
}

/// Has what a clock that was ahead has noticed lie before what this transaction stamps. With the
/// rights of the extension's owner.
pub fn bring_back_to_clock(guard: &str) {
    if last_noticed(guard) > Some(clock()) {
        run_once(
            "UPDATE session_guard.unwatched SET noticed_at = pg_catalog.now()
             WHERE guard = $1 AND noticed_at > pg_catalog.now()",
            &[Value::Utf8(guard)],
        );
    }
}

/// The same where an app writes, which must not fail for it: waits for no lock, runs no statement,
/// and writes a row a minute at most.
pub fn note_once(guard: &str, reason: &str) {
    let now = clock();
    let is_noted = |last: Instant| last <= now && now < last.plus_micros(INTERVAL);
    if !last_noticed(guard).is_some_and(is_noted) {
        note(guard, reason);
    }
}

/// The table by its number, then the triggers. The number holds in this cluster alone, as the
/// transactions do.
fn state(relid: Oid, function: Oid) -> String {
    format!("{} {}", relid.to_u32(), triggers::state_of(relid, function))
}

/// A session store as its owner has added it.
pub struct AddedStore {
    /// The table.
    pub table: Oid,
    /// Its owner.
    pub owner: Oid,
    /// The columns that `add_store` was given.
    pub columns: Vec<i16>,
}

/// The triggers of a guard, or of one of its watches.
pub struct TriggerState {
    guard: String,
    /// Empty for the users table.
    relation: String,
    state: String,
}

impl TriggerState {
    /// Those of the users table now.
    pub fn of_users(guard: &str, users: Oid, stamp: Oid) -> TriggerState {
        TriggerState {
            guard: guard.to_owned(),
            relation: String::new(),
            state: state(users, stamp),
        }
    }

    /// Those of a watched table now, by the names of guard and watch.
    pub fn of_related([guard, watch]: [&str; 2], related: Oid, stamp: Oid) -> TriggerState {
        // A watch's name is whatever a role calls its schema and table: not to be a store's key.
        let (guard, relation) = (guard.to_owned(), format!("watch {watch}"));
        TriggerState { guard, relation, state: state(related, stamp) }
    }

    /// Those of all partitions of the users table now.
    pub fn of_partitions(guard: &str, state: String) -> TriggerState {
        TriggerState { guard: guard.to_owned(), relation: "partitions".to_owned(), state }
    }

    /// That a session store was added, by its name: the numbers of the table, its owner and its
    /// columns.
    pub fn of_store(guard: &str, store: &str, added: &AddedStore) -> TriggerState {
        let numbers = [added.table.to_u32().to_string(), added.owner.to_u32().to_string()];
        let numbers = numbers.into_iter().chain(added.columns.iter().map(i16::to_string));
        TriggerState {
            guard: guard.to_owned(),
            relation: format!("store {store}"),
            state: numbers.collect::<Vec<_>>().join(" "),
        }
    }

    /// Forgets what was recorded of a session store. With the rights of the extension's owner.
    pub fn forget_store(guard: &str, store: &str) {
        run_once(
            "DELETE FROM session_guard.trigger_state WHERE guard = $1 AND relation = $2",
            &[Value::Utf8(guard), Value::Utf8(&format!("store {store}"))],
        );
    }

    /// What was recorded of a session store. `pg_upgrade` keeps the numbers, and nothing else
    /// brings the row into another cluster.
    pub fn added_store(guard: &str, store: &str) -> Option<AddedStore> {
        let nothing = AddedStore { table: Oid::INVALID, owner: Oid::INVALID, columns: Vec::new() };
        let recorded = TriggerState::of_store(guard, store, &nothing).recorded_in(|_| true)?;
        let mut numbers = recorded.split(' ');
        let mut oid = || numbers.next()?.parse().ok().map(Oid::from_u32);
        let (table, owner) = (oid()?, oid()?);
        let columns = numbers.filter_map(|number| number.parse().ok()).collect();
        Some(AddedStore { table, owner, columns })
    }

    /// Whether they are others than when they were recorded.
    pub fn has_changed(&self) -> bool {
        self.recorded().is_some_and(|recorded| recorded != self.state)
    }

    /// Whether any of them is one that `attach` or `watch` has found or made on this very table.
    pub fn is_recorded(&self) -> bool {
        let recorded = self.recorded().unwrap_or_default();
        let (mut now, mut then) = (self.state.split(' '), recorded.split(' '));
        let is_same_table = now.next() == then.next();
        is_same_table && now.any(|one| then.clone().any(|other| other == one))
    }

    /// Whether `attach` or `watch` has made any on this very table, be they there or not.
    pub fn was_recorded_here(&self) -> bool {
        let recorded = self.recorded();
        recorded.is_some_and(|then| then.split(' ').next() == self.state.split(' ').next())
    }

    /// Whether `attach` or `watch` has ever made any.
    pub fn was_recorded(&self) -> bool {
        self.recorded().is_some()
    }

    /// What was recorded. Of another cluster, or a restored database, nothing is.
    pub fn recorded(&self) -> Option<String> {
        self.recorded_in(|cluster| cluster == Some(system_identifier() as i64))
    }

    fn recorded_in(&self, is_cluster: impl Fn(Option<i64>) -> bool) -> Option<String> {
        let table = Relation::open(extension_relation(c"trigger_state")?, Lock::Read)?;
        let mut recorded = None;
        table.scan(&Snapshot::latest(&table), |row| {
            let text = |attno| row.text(attno).map(from_server);
            let is_this = text(1).as_ref() == Some(&self.guard)
                && text(2).as_ref() == Some(&self.relation)
                && is_cluster(row.int8(3));
            if is_this {
                recorded = text(4);
            }
        });
        recorded
    }

    /// Records them. With the rights of the extension's owner.
    pub fn record(&self) {
        run_once(
            "INSERT INTO session_guard.trigger_state AS t (guard, relation, cluster, state)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (guard, relation) DO UPDATE
             SET cluster = EXCLUDED.cluster, state = EXCLUDED.state
             WHERE (t.cluster, t.state) IS DISTINCT FROM (EXCLUDED.cluster, EXCLUDED.state)",
            &[
                Value::Utf8(&self.guard),
                Value::Utf8(&self.relation),
                Value::Int8(system_identifier() as i64),
                Value::Utf8(&self.state),
            ],
        );
    }
}
