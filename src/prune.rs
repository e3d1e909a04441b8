//! SQL: keeps the tables short.

use crate::advice;
use crate::epoch::Instant;
use crate::error::{GuardError, Mistake, OrRaise};
use crate::lookup::Reader;
use crate::owner::{self, as_owner};
use crate::registry;
use crate::scan::{OpenTable, key};
use crate::settings;
use crate::statement::{relation, run_once, text};
use crate::user_id::{IdType, UserId};
use crate::verdict::Account;
use pgrx::datum::{DatumWithOid, Interval, TimestampWithTimeZone};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use pgrx::spi::Spi;

/// Removes what is older than any session or token can be: the epochs of users who are there no more,
/// those of single tokens, and events. Returns how many.
///
/// An id that is used again after that is a new one, and sessions of its old user would count: `older_than` must be
/// longer than a session lives.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe, strict)]
#[search_path(pg_catalog, pg_temp)]
fn prune(older_than: Interval) -> i64 {
    registry::check_writable("prune()");
    owner::check_administration().or_raise();
    let cutoff = ago(older_than).or_raise();
    let removed = as_owner(|| {
        let before = || [timestamp(cutoff)];
        prune_tombstones(cutoff)
            + run_once(
                "DELETE FROM session_guard.token_epoch WHERE subject IS NOT NULL AND epoch < $1",
                &before(),
            )
            + run_once("DELETE FROM session_guard.event WHERE at < $1", &before())
    });
    i64::try_from(removed).unwrap_or(i64::MAX)
}

fn ago(age: Interval) -> Result<Instant, GuardError> {
    let cutoff = Spi::connect(|client| {
        let query = "SELECT pg_catalog.clock_timestamp() - $1";
        let row = client.select(query, Some(1), &[DatumWithOid::from(age)]).ok()?.first();
        row.get_one::<TimestampWithTimeZone>().ok()?
    });
    match cutoff.map(|cutoff| Instant(cutoff.into())) {
        Some(cutoff) if cutoff <= settings::clock() => Ok(cutoff),
        _ => Err(GuardError::new(
            Mistake::NegativeAge,
            "the age must not be negative",
            advice::prune_statement(),
        )),
    }
}

fn prune_tombstones(cutoff: Instant) -> u64 {
    let guards: Vec<Oid> = registry::rows().into_iter().map(|row| row.relid).collect();
    let of_guards: u64 = guards.into_iter().map(|relid| prune_guard(relid, cutoff)).sum();
    of_guards
        + run_once(
            "DELETE FROM session_guard.epoch WHERE epoch < $1
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = guard)",
            &[timestamp(cutoff)],
        )
}

/// An account that is made again meanwhile has its epoch raised, so that it is not removed.
fn prune_guard(relid: Oid, cutoff: Instant) -> u64 {
    let Ok(open) = registry::open(Some(relid), pg_sys::AccessShareLock) else {
        return 0;
    };
    let mut tombstones = Vec::new();
    let Some(epochs) = OpenTable::try_open(open.store.epoch, pg_sys::AccessShareLock) else {
        return 0;
    };
    let Ok(reader) = Reader::new(&open) else {
        return 0;
    };
    let mut of_guard = [key(1, pg_sys::F_OIDEQ, pg_sys::InvalidOid, relid.into())];
    epochs.scan(Some(open.store.epoch_key), &mut of_guard, |row| {
        pgrx::check_for_interrupts!();
        let is_old = row.get(3).is_some_and(|epoch| (epoch.value() as i64) < cutoff.0);
        let Some(UserId::Text(id)) = row.id(2, IdType::Text).filter(|_| is_old) else { return };
        let user = UserId::Text(id.clone()).in_column(open.guard.id.id_type);
        if user.is_none_or(|user| reader.account(&user) == Account::Unknown) {
            tombstones.push(id.into_owned());
        }
    });
    let remove = |id: &Vec<u8>| {
        run_once(
            "DELETE FROM session_guard.epoch WHERE guard = $1 AND user_id = $2 AND epoch < $3",
            &[relation(relid), text(id), timestamp(cutoff)],
        )
    };
    tombstones.iter().map(remove).sum()
}

fn timestamp(Instant(micros): Instant) -> DatumWithOid<'static> {
    // SAFETY: a timestamptz is its microseconds.
    unsafe { DatumWithOid::new(micros, pg_sys::TIMESTAMPTZOID) }
}
