//! The accounts that are disabled already, or were while nobody watched.
//!
//! They are found by reading the table's rows, not by SQL: to plan a query of a table runs functions
//! that its owner chose (in an index, a statistics object, a constraint), and these would run with the
//! rights of the owner of the extension.

use crate::epoch::Epoch;
use crate::lookup;
use crate::registry::OpenGuard;
use crate::scan::{Row, text_datum};
use crate::settings;
use crate::statement::Statement;
use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum};
use std::ffi::c_int;

/// How many accounts one statement stamps.
const BATCH: usize = 10_000;

thread_local! {
    static STAMP_DISABLED: Statement = const { Statement::new(
        c"INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at)
          SELECT DISTINCT $1, k COLLATE \"C\", $3, 'backfill', $4 FROM pg_catalog.unnest($2) AS k
          ON CONFLICT (guard, user_id) DO UPDATE
          SET epoch = GREATEST(EXCLUDED.epoch, e.epoch + interval '1 second'),
              reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
          WHERE $5 OR e.reason NOT IN ('disabled', 'backfill')",
        &[
            pg_sys::REGCLASSOID,
            pg_sys::TEXTARRAYOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::BOOLOID,
        ],
    ) };
}

/// Stamps disabled accounts, and tells how many. `all` of them where they may have been disabled
/// unseen; otherwise those whose last stamp was not for being disabled. They get one epoch: nobody
/// of them can log in before the lock on the table is released.
pub fn stamp_disabled(open: &OpenGuard, all: bool) -> i64 {
    let now = settings::stamping_clock();
    let old = lookup::guard_epoch(&open.store, open.guard.relid);
    let Epoch(epoch) = Epoch::stamp(now, settings::stamp_margin(), old);
    let mut stamped = 0;
    let mut batch: Vec<Vec<u8>> = Vec::new();
    let mut write = |batch: &mut Vec<Vec<u8>>| {
        let mut context = PgMemoryContexts::new("session_guard backfill");
        // SAFETY: nothing that is allocated inside outlives the call.
        let written = unsafe {
            context.switch_to(|_| {
                let arguments = &mut [
                    open.guard.relid.into(),
                    text_array(batch),
                    Datum::from(epoch.0),
                    Datum::from(now.0),
                    Datum::from(all),
                ];
                STAMP_DISABLED.with(|statement| statement.run(arguments))
            })
        };
        stamped += i64::try_from(written).unwrap_or(i64::MAX);
        batch.clear();
    };
    each_disabled(open, |key| {
        batch.push(key);
        if batch.len() == BATCH {
            write(&mut batch);
        }
    });
    if !batch.is_empty() {
        write(&mut batch);
    }
    stamped
}

/// How many disabled accounts have no epoch of their own.
pub fn count_unstamped(open: &OpenGuard) -> i64 {
    let mut count = 0;
    each_disabled(open, |key| {
        if lookup::user_epoch(&open.store, open.guard.relid, &key).is_none() {
            count += 1;
        }
    });
    count
}

/// Calls `visit` with the key of each account whose active column is not true.
fn each_disabled(open: &OpenGuard, mut visit: impl FnMut(Vec<u8>)) {
    open.users.scan(None, &mut [], |row: Row| {
        pgrx::check_for_interrupts!();
        let is_active = row.get_bool(open.guard.active) == Some(true);
        if !is_active && let Some(id) = row.id(open.guard.id.attno, open.guard.id.id_type) {
            visit(id.into_key().into_owned());
        }
    });
}

fn text_array(texts: &[Vec<u8>]) -> Datum {
    let mut elements: Vec<Datum> = texts.iter().map(|text| text_datum(text)).collect();
    // SAFETY: the elements are texts, which are varlenas of int alignment.
    let array = unsafe {
        pg_sys::construct_array(
            elements.as_mut_ptr(),
            elements.len() as c_int,
            pg_sys::TEXTOID,
            -1,
            false,
            b'i' as std::ffi::c_char,
        )
    };
    Datum::from(array)
}
