//! SQL: keeps the tables short.

use crate::cache::guard_cache::{self, GuardRef, attached_rows, check_writable};
use crate::catalog::epochs::{self, EpochReader, EpochRow};
use crate::catalog::guard::GuardRow;
use crate::catalog::location;
use crate::catalog::privileges::{as_tables_owner, check_administration};
use crate::core::epoch::Instant;
use crate::core::status::Account;
use crate::core::user_id::{UserId, is_digest};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::datum::{Value, micros_of_interval};
use crate::pg::memory::within;
use crate::pg::names::to_server;
use crate::pg::relation::Lock;
use crate::pg::report::OrRaise;
use crate::pg::server::clock;
use crate::pg::spi::{query_one, run_once};
use pgrx::PgMemoryContexts;
use pgrx::datum::Interval;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

/// How many epochs one statement removes.
const BATCH: usize = 10_000;

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// Removes events, and epochs of users who are there no more and of single tokens, that are older
/// than any session can be; or only counts them. NULL leaves those of one kind.
///
/// An id that is used again after that is a new one, and sessions of its old user would count:
/// epochs younger than a day, or than a session of a guard may last, are refused.
#[pg_extern(sql = false)]
fn prune(
    events_older_than: Option<Interval>,
    epochs_older_than: Option<Interval>,
    dry_run: Option<bool>,
) -> TableIterator<'static, (name!(relation, String), name!(removed, i64))> {
    check_writable("prune()").or_raise();
    check_administration().or_raise();
    let dry_run = dry_run.unwrap_or(false);
    let micros = |interval: Option<Interval>| interval.map(|age| micros_of_interval(&age));
    let events = micros(events_older_than);
    let epochs = micros(epochs_older_than);
    check_ages(events, epochs).or_raise();
    let now = clock();
    let removed = as_tables_owner(|| {
        let mut removed = Vec::new();
        if let Some(age) = events {
            let before = [Value::Time(now.plus_micros(-age))];
            removed.push(("event", remove("event", "at < $1", &before, dry_run)));
            // The last of a guard stays: it may not be settled yet.
            let settled = "noticed_at < $1 AND noticed_at < (SELECT pg_catalog.max(u.noticed_at)
                           FROM session_guard.unwatched AS u WHERE u.guard = unwatched.guard)";
            removed.push(("unwatched", remove("unwatched", settled, &before, dry_run)));
        }
        if let Some(age) = epochs {
            let cutoff = now.plus_micros(-age);
            let tombstones: i64 =
                guard_cache::all_rows().iter().map(|row| prune_guard(row, cutoff, dry_run)).sum();
            removed.push(("epoch", tombstones));
            let condition = "subject IS NOT NULL AND epoch < $1 AND stamped_at < $1";
            let cutoff = [Value::Time(cutoff)];
            let tokens = match dry_run {
                true => count("token_epoch", condition, &cutoff),
                false => delete_free("token_epoch", condition, &cutoff),
            };
            removed.push(("token_epoch", tokens));
        }
        removed
    });
    TableIterator::new(removed.into_iter().map(|(relation, count)| (relation.to_owned(), count)))
}

fn check_ages(events: Option<i64>, epochs: Option<i64>) -> Result<(), GuardError> {
    let refuse = |message: &str, hint: &str| {
        Err(GuardError::new(ErrorKind::InvalidValue, message, Hint::advice(hint)))
    };
    if events.is_some_and(|age| age < 0) {
        return refuse(
            "events_older_than must not be negative",
            "Give an interval such as '90 days'.",
        );
    }
    let longest = attached_rows().iter().filter_map(|row| row.max_session_age).max();
    if epochs.is_some_and(|age| age < DAY) {
        return refuse(
            "epochs younger than a day cannot be removed",
            "Give a longer time than any session or token lives, with its unit: '90 days'.",
        );
    }
    if let (Some(age), Some(longest)) = (epochs, longest)
        && age < longest
    {
        return refuse(
            "epochs younger than the max_session_age of a guard cannot be removed",
            "Give a longer time than any session or token lives, with its unit: '90 days'.",
        );
    }
    Ok(())
}

fn remove(table: &str, condition: &str, arguments: &[Value], dry_run: bool) -> i64 {
    if dry_run {
        return count(table, condition, arguments);
    }
    let delete = format!("DELETE FROM session_guard.{table} WHERE {condition}");
    i64::try_from(run_once(&delete, arguments)).unwrap_or(i64::MAX)
}

fn count(table: &str, condition: &str, arguments: &[Value]) -> i64 {
    let count = format!("SELECT pg_catalog.count(*) FROM session_guard.{table} WHERE {condition}");
    query_one(&count, arguments).unwrap_or_default()
}

/// Deletes but what somebody raises meanwhile: it counts again, and to wait for who has it, with
/// other rows deleted, could be to wait for one another.
fn delete_free(table: &str, condition: &str, arguments: &[Value]) -> i64 {
    let delete = format!(
        "DELETE FROM session_guard.{table} WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM session_guard.{table} WHERE {condition} FOR UPDATE SKIP LOCKED))"
    );
    i64::try_from(run_once(&delete, arguments)).unwrap_or(i64::MAX)
}

/// An account that is made again meanwhile has its epoch raised, so that it is not removed. Of a
/// guard whose table cannot be read, nobody knows who is there no more; nor while a partition is
/// gone, which may come back with its accounts.
fn prune_guard(row: &GuardRow, cutoff: Instant, dry_run: bool) -> i64 {
    let relid = location::locate(row, &guard_cache::relations()).filter(|_| !row.is_detached);
    let open = relid.and_then(|relid| guard_cache::open(GuardRef::Table(relid), Lock::Read).ok());
    let open = open.filter(|open| !open.guard.has_lost_partitions());
    let Some(open) = open else { return 0 };
    let Ok(reader) = EpochReader::of_all(&open) else { return 0 };
    let mut tombstones = Vec::new();
    epochs::each_epoch(
        &open.relations,
        &row.name,
        |EpochRow { key, epoch, stamped_at, .. }| {
            if epoch.0 >= cutoff || stamped_at >= cutoff || is_digest(key) {
                return;
            }
            let user = UserId::Text(key.into()).in_column(open.guard.columns.id.id_type);
            if user.is_none_or(|user| reader.account(&user) == Account::Unknown) {
                tombstones.push(key.to_vec());
            }
        },
    );
    if dry_run {
        return i64::try_from(tombstones.len()).unwrap_or(i64::MAX);
    }
    let guard = to_server(&row.name);
    let delete = |keys: &[Vec<u8>]| {
        let mut context = PgMemoryContexts::new("session_guard prune");
        let arguments = [Value::Text(guard.to_bytes()), Value::Texts(keys), Value::Time(cutoff)];
        let condition = "guard = $1 AND user_id = ANY ($2) AND epoch < $3 AND stamped_at < $3";
        within(&mut context, || delete_free("epoch", condition, &arguments))
    };
    tombstones.chunks(BATCH).map(delete).sum()
}
