//! When sessions could not be ended in a session store: `session_guard.store_failure`.

use super::store::StoreRow;
use crate::core::epoch::Instant;
use crate::pg::datum::Value;
use crate::pg::names::{extension_relation, to_server};
use crate::pg::relation::{Lock, Relation};
use crate::pg::server::transaction_start;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::run_once;

/// Notes a failure of this transaction, which was to end what was stamped `since`, unless an
/// earlier one is noted: what was stamped since that is to be ended again anyway. With the rights
/// of the extension's owner.
pub fn note(row: &StoreRow, reason: &str, since: Option<Instant>) {
    let began_at = transaction_start();
    let began_at = since.map_or(began_at, |since| since.min(began_at));
    if first(row).is_some_and(|first| first <= began_at) {
        return;
    }
    run_once(
        "INSERT INTO session_guard.store_failure (guard, schema_name, table_name, failed_at, reason)
         VALUES ($1, $2, $3, $4, $5)",
        &[
            Value::Utf8(&row.guard),
            Value::Name(&row.table.schema),
            Value::Name(&row.table.name),
            Value::Time(began_at),
            Value::Utf8(reason),
        ],
    );
}

/// When the first transaction began that could not end sessions, since the last time that all were
/// ended.
pub fn first(row: &StoreRow) -> Option<Instant> {
    let table = Relation::open(extension_relation(c"store_failure")?, Lock::Read)?;
    let guard = to_server(&row.guard);
    let mut first: Option<Instant> = None;
    table.scan(&Snapshot::latest(&table), |failure| {
        if failure.text(1) == Some(guard.to_bytes())
            && failure.name(2) == row.table.schema
            && failure.name(3) == row.table.name
            && let Some(at) = failure.time(4)
        {
            first = Some(first.map_or(at, |first| first.min(at)));
        }
    });
    first
}

/// All sessions are about to be ended. With the rights of the extension's owner.
pub fn forget(row: &StoreRow) {
    run_once(
        "DELETE FROM session_guard.store_failure
         WHERE guard = $1 AND schema_name = $2 AND table_name = $3",
        &[Value::Utf8(&row.guard), Value::Name(&row.table.schema), Value::Name(&row.table.name)],
    );
}
