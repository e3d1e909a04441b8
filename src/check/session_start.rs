//! SQL: the login time to store with a new session, and the epoch that one must not predate.

use super::evaluate::{guard_ref, is_refusing_disarmed, latest_given_out, refusal_reason};
use crate::cache::guard_cache::{self, check_writable, open_for_check};
use crate::cache::stamped;
use crate::catalog::epochs::{self, lock_account};
use crate::catalog::guard::{AccountTables, OpenGuard};
use crate::core::epoch::Epoch;
use crate::core::status::{Account, Span};
use crate::core::user_id::UserId;
use crate::pg::call_args::{Int2Id, Int4Id, Int8Id, TextId, UserArgs, UuidId, parse_user_args};
use crate::pg::relation::Lock;
use crate::pg::report::OrRaise;
use crate::pg::server::{clock, prevent_if_read_only};
use crate::pg::transaction::{GuardLock, HeldGuardLock, hold_guard_lock, in_subtransaction};
use crate::pg::tuple::{RowLock, Wait};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// The login time to store, or `None` for an account that must not log in, or where nobody must.
fn start(UserArgs { users, id }: UserArgs) -> Option<TimestampWithTimeZone> {
    check_writable("session_start()").or_raise();
    prevent_if_read_only(c"session_start()");
    let open = open_for_check(guard_ref(users), Lock::Rows).or_raise();
    let policy = guard_cache::policy();
    if is_refusing_disarmed(&open, &policy) || refusal_reason(&policy).is_some() {
        return None;
    }
    let id = id?.in_column(open.guard.columns.id.id_type)?;
    let (account, _lock) = lock_for_login(&open, &id);
    let Account::Active(Span { since, .. }) = account.with_margin(policy.stamp_margin) else {
        return None;
    };
    let epoch = epochs::epoch(&open.relations, &open.guard.name, &id.into_key());
    let epoch = epoch.max(since.map(Epoch));
    stamped::forget_all();
    let login = epoch.map_or(clock(), |Epoch(epoch)| epoch.max(clock()));
    if login > latest_given_out(open.guard.max_session_age, &policy) {
        return None;
    }
    TimestampWithTimeZone::try_from(login.0).ok()
}

/// Locks the account's row, and the guard until the login time is given out: no stamp of the guard
/// comes between the epoch that is read and the clock.
///
/// A transaction that stamps the guard may wait for this row, and one that changes the row may
/// stamp the guard: so neither lock is waited for while the other is held.
fn lock_for_login(open: &OpenGuard, id: &UserId) -> (Account, HeldGuardLock) {
    // Nor is a partition's lock.
    let tables = AccountTables::of_id(open, id, Lock::Rows);
    loop {
        let lock = hold_guard_lock(&open.guard.name, GuardLock::Login);
        if let Some(account) = lock_account(&tables, id, RowLock::Share, Wait::No) {
            return (account, lock);
        }
        drop(lock);
        in_subtransaction(AssertUnwindSafe(|| {
            lock_account(&tables, id, RowLock::Share, Wait::Yes);
            false
        }));
    }
}

fn epoch_of(UserArgs { users, id }: UserArgs) -> Option<TimestampWithTimeZone> {
    let open = open_for_check(guard_ref(users), Lock::Read).or_raise();
    let id = id?.in_column(open.guard.columns.id.id_type)?;
    let Epoch(epoch) = epochs::epoch(&open.relations, &open.guard.name, &id.into_key())?;
    TimestampWithTimeZone::try_from(epoch.0).ok()
}

macro_rules! login_functions {
    ($id:ty: $start:ident, $epoch:ident) => {
        #[pg_extern(sql = false)]
        fn $start(call: pg_sys::FunctionCallInfo) -> Option<TimestampWithTimeZone> {
            // SAFETY: declared so in sql/functions.sql.
            start(unsafe { parse_user_args::<$id>(call) })
        }

        #[pg_extern(sql = false)]
        fn $epoch(call: pg_sys::FunctionCallInfo) -> Option<TimestampWithTimeZone> {
            // SAFETY: declared so in sql/functions.sql.
            epoch_of(unsafe { parse_user_args::<$id>(call) })
        }
    };
}

login_functions!(Int2Id: session_start_int2, epoch_of_int2);
login_functions!(Int4Id: session_start_int4, epoch_of_int4);
login_functions!(Int8Id: session_start_int8, epoch_of_int8);
login_functions!(UuidId: session_start_uuid, epoch_of_uuid);
login_functions!(TextId: session_start_text, epoch_of_text);
