//! The accounts that are disabled already, or were while nobody watched.
//!
//! They are found by reading the table's rows, not by SQL: to plan a query of a table runs
//! functions that its owner chose (in an index, a statistics object, a constraint), and these would
//! run with the rights of the owner of the extension.

use super::audit::AuditContext;
use super::pending;
use super::progress::Progress;
use super::stored_sessions;
use crate::cache::generations;
use crate::cache::guard_cache;
use crate::catalog::epochs;
use crate::catalog::guard::{AccountTable, AccountTables, OpenGuard};
use crate::catalog::status_column::StatusColumn;
use crate::core::epoch::{Epoch, Instant};
use crate::core::status::{Account, ActiveWhen, Span};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::datum::Value;
use crate::pg::memory::within;
use crate::pg::names::{shown_identifier, to_server};
use crate::pg::relation::Lock;
use crate::pg::server::stamping_clock;
use crate::pg::spi::Statement;
use crate::pg::tuple::Tuple;
use pgrx::pg_sys::Oid;
use pgrx::{PgMemoryContexts, pg_sys};
use std::cell::Cell;
use std::collections::HashMap;

/// How many accounts one statement stamps.
const BATCH: usize = 10_000;

thread_local! {
    static STAMP_DISABLED: Statement = const { Statement::new(
        c"WITH stamped AS (
              INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at)
              SELECT DISTINCT $1, k COLLATE pg_catalog.\"C\", $3, 'backfill', $4
              FROM pg_catalog.unnest($2) AS k
              ORDER BY 2
              ON CONFLICT (user_id, guard, is_related) DO UPDATE
              SET epoch = CASE WHEN e.epoch < $3 THEN $3
                               WHEN e.epoch < '294276-12-31 00:00:00+00'
                               THEN e.epoch + interval '1 millisecond'
                               ELSE 'infinity' END,
                  reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
              WHERE $5 OR e.reason NOT IN ('disabled', 'backfill')
              RETURNING user_id, epoch
          ), recorded AS (
              INSERT INTO session_guard.event (at, guard, user_id, epoch, reason, login_role,
                  acting_role, application_name, client_addr, transaction_id)
              SELECT $4, $1, user_id, epoch, 'backfill', $7, $8, $9,
                  pg_catalog.inet_client_addr(), pg_catalog.pg_current_xact_id()
              FROM stamped WHERE $6
          )
          SELECT FROM stamped",
        &[
            pg_sys::TEXTOID,
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

/// Stamps disabled accounts, and returns how many. `all` of them where they may have been disabled
/// unseen; otherwise those whose last stamp was not for being disabled.
///
/// Where another column said until now who is active, or this one said it otherwise, those are
/// stamped, too, who are active from now on.
pub fn stamp_disabled(open: &OpenGuard, all: bool, before: Option<&StatusColumn>) -> i64 {
    let status = &open.guard.columns.status;
    let now = stamping_clock();
    generations::invalidate_all(open.relations.invalidation);
    pending::note_stamp();
    stored_sessions::note_many(&open.guard.name);
    let tables = AccountTables::all(open, Lock::Read);
    let (has_accounts, has_active) = (Cell::new(false), Cell::new(false));
    let is_active = |of: AccountTable, row: &Tuple| {
        let is_active = of.columns.status.account(row, || now).is_active();
        has_accounts.set(true);
        has_active.set(is_active || has_active.get());
        is_active
    };
    let stamped = stamp_accounts(&tables, now, all, |of, row| !is_active(of, row));
    if before == Some(status) {
        return stamped;
    }
    // Where nobody can log in, the column may say the opposite of what it was taken for.
    if has_accounts.get() && !has_active.get() {
        nobody_is_active(open).warn();
    }
    let Some(before) = before else { return stamped };
    let before: HashMap<Oid, StatusColumn> = tables
        .iter()
        .filter_map(|AccountTable { table, .. }| {
            let before = match table.oid() == open.users.oid() {
                true => before.clone(),
                false => before.in_partition(&open.users, table)?,
            };
            Some((table.oid(), before))
        })
        .collect();
    let had_ended_logins = |of: AccountTable, row: &Tuple| {
        let before = before.get(&of.table.oid());
        before.is_some_and(|before| has_ended_logins(before.account(row, || now)))
    };
    stamped
        + stamp_accounts(&tables, now, true, |of, row| {
            is_active(of, row) && had_ended_logins(of, row)
        })
}

fn nobody_is_active(open: &OpenGuard) -> GuardError {
    let column = open.users.column_name(open.guard.columns.status.attno());
    let message = format!(
        "no account of table {} is active by its column {}",
        open.users.name().shown(),
        shown_identifier(&column)
    );
    let hint = Hint::advice(
        "If that is not so, call attach() again with the right active_when: 'false' for a column \
         that says who is locked out, 'null' for a time of deletion.",
    );
    GuardError::new(ErrorKind::NobodyActive, message, hint).detail(format!(
        "With active_when => '{}', that column says that nobody can log in.",
        open.guard.columns.status.active_when
    ))
}

/// Stamps all accounts of these partitions, active or not, and returns how many: what has become of
/// them before the partitions were attached, nobody knows.
pub fn stamp_partitions(open: &OpenGuard, partitions: &[Oid]) -> i64 {
    if partitions.is_empty() {
        return 0;
    }
    generations::invalidate_all(open.relations.invalidation);
    pending::note_stamp();
    stored_sessions::note_many(&open.guard.name);
    let tables = AccountTables::these(open, partitions, Lock::Read);
    stamp_accounts(&tables, stamping_clock(), true, |_, _| true)
}

/// Stamps those whose logins have ended by the clock alone: without the guard, nobody looks at it.
pub fn stamp_ended_by_the_clock(open: &OpenGuard) {
    let status = &open.guard.columns.status;
    if status.active_when.goes_by_the_clock() {
        let now = stamping_clock();
        generations::invalidate_all(open.relations.invalidation);
        pending::note_stamp();
        stamp_accounts(&AccountTables::all(open, Lock::Read), now, false, |of, row| {
            has_ended_logins(of.columns.status.account(row, || now))
        });
    }
}

/// Stamps the accounts whose rows are meant. They get one epoch: nobody of them can log in before
/// the lock on the table is released.
fn stamp_accounts(
    tables: &AccountTables,
    now: Instant,
    all: bool,
    is_meant: impl Fn(AccountTable, &Tuple) -> bool,
) -> i64 {
    let open = tables.guard();
    let policy = guard_cache::policy();
    let old = epochs::guard_epoch(&open.relations, &open.guard.name);
    let Epoch(epoch) = Epoch::stamp(now, policy.margin(), old);
    let guard = to_server(&open.guard.name);
    let progress = Progress::of(tables);
    let mut batch: Vec<Vec<u8>> = Vec::new();
    let write = |batch: &mut Vec<Vec<u8>>| {
        let mut context = PgMemoryContexts::new("session_guard backfill");
        let arguments = || {
            let audit = AuditContext::current();
            let application = audit.application_name.as_deref();
            let arguments = [
                Value::Text(guard.to_bytes()),
                Value::Texts(batch),
                Value::Time(epoch),
                Value::Time(now),
                Value::Bool(all),
                Value::Bool(policy.audit),
                Value::Text(&audit.login_role),
                Value::Text(&audit.acting_role),
                application.map_or(Value::Null, Value::Text),
            ];
            STAMP_DISABLED.with(|statement| statement.run(&arguments))
        };
        let written = within(&mut context, arguments);
        progress.note_stamped(i64::try_from(written).unwrap_or(i64::MAX));
        batch.clear();
    };
    let is_read_and_meant = |of: AccountTable, row: &Tuple| {
        progress.note_row();
        is_meant(of, row)
    };
    epochs::each_account(tables, is_read_and_meant, |key| {
        batch.push(key);
        if batch.len() == BATCH {
            write(&mut batch);
        }
    });
    if !batch.is_empty() {
        write(&mut batch);
    }
    progress.stamped()
}

/// Whether there are logins that do not count because of what the status column says.
fn has_ended_logins(account: Account) -> bool {
    !matches!(account, Account::Active(Span { since: None, .. }))
}

/// How many disabled accounts have no epoch of their own. Those that have expired need none: the
/// change that puts off the time stamps them.
pub fn count_unstamped(open: &OpenGuard) -> i64 {
    let mut count = 0;
    if open.guard.columns.status.active_when == ActiveWhen::Future {
        return count;
    }
    epochs::each_disabled(open, |key| {
        if epochs::user_epoch(&open.relations, &open.guard.name, &key).is_none() {
            count += 1;
        }
    });
    count
}
