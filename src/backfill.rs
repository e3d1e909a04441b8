//! The accounts that are disabled already, or were while nobody watched.
//!
//! They are found by reading the table's rows, not by SQL: to plan a query of a table runs functions
//! that its owner chose (in an index, a statistics object, a constraint), and these would run with the
//! rights of the owner of the extension.

use crate::epoch::Epoch;
use crate::event::{self, Path};
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
        c"WITH stamped AS (
              INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at)
              SELECT DISTINCT $1, k COLLATE \"C\", $3, 'backfill', $4 FROM pg_catalog.unnest($2) AS k
              ON CONFLICT (guard, user_id) DO UPDATE
              SET epoch = CASE WHEN e.epoch < $3 THEN $3
                               WHEN e.epoch < '294276-12-31 00:00:00+00' THEN e.epoch + interval '1 second'
                               ELSE 'infinity' END,
                  reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
              WHERE $5 OR e.reason NOT IN ('disabled', 'backfill')
              RETURNING user_id, epoch
          ), recorded AS (
              INSERT INTO session_guard.event (at, guard, user_id, epoch, reason, login_role, acting_role,
                  application_name, client_addr, transaction_id)
              SELECT $4, $1, user_id, epoch, 'backfill', $7, $8, $9, pg_catalog.inet_client_addr(),
                  pg_catalog.pg_current_xact_id()
              FROM stamped WHERE $6
          )
          SELECT FROM stamped",
        &[
            pg_sys::REGCLASSOID,
            pg_sys::TEXTARRAYOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::BOOLOID,
            pg_sys::BOOLOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
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
                let path = Path::current();
                let text = |text: &str| Some(text_datum(text.as_bytes()));
                let arguments = &[
                    Some(open.guard.relid.into()),
                    Some(text_array(batch)),
                    Some(Datum::from(epoch.0)),
                    Some(Datum::from(now.0)),
                    Some(Datum::from(all)),
                    Some(Datum::from(settings::is_auditing())),
                    text(&path.login_role),
                    text(&path.acting_role),
                    path.application_name.as_deref().and_then(text),
                ];
                STAMP_DISABLED.with(|statement| statement.run(arguments))
            })
        };
        stamped += i64::try_from(written).unwrap_or(i64::MAX);
        batch.clear();
    };
    event::tell_of_all(&open.store);
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
