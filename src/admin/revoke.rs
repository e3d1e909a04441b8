//! SQL: ends sessions and tokens because somebody asks for it.

use crate::cache::guard_cache::{self, GuardRef, check_writable, open_for_check};
use crate::catalog::epochs::lock_account;
use crate::catalog::guard::AccountTables;
use crate::catalog::privileges::{as_tables_owner, check_update};
use crate::catalog::unwatched;
use crate::check::evaluate::guard_ref;
use crate::core::epoch::Epoch;
use crate::core::status::Account;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::call_args::{Int2Id, Int4Id, Int8Id, TextId, UserArgs, UuidId, parse_revoke_args};
use crate::pg::datum::{RegClass, Text};
use crate::pg::relation::Lock;
use crate::pg::report::OrRaise;
use crate::pg::tuple::{RowLock, Wait};
use crate::stamp::raise::{Source, stamp_guard, stamp_scope, stamp_token, stamp_user};
use crate::stamp::reason::Reason;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

/// Ends all sessions of one user, active or not. `None`, and a warning, for an unknown one.
///
/// The row is locked, so that a login and this come one after the other.
fn revoke_user(
    (UserArgs { users, id }, reason): (UserArgs, Option<&[u8]>),
) -> Option<TimestampWithTimeZone> {
    check_writable("revoke_sessions()").or_raise();
    let open = open_for_check(guard_ref(users), Lock::Rows).or_raise();
    check_update(&open.users).or_raise();
    let id = id.and_then(|id| id.in_column(open.guard.columns.id.id_type));
    let known = id.filter(|id| {
        let tables = AccountTables::of_id(&open, id, Lock::Rows);
        lock_account(&tables, id, RowLock::NoKeyUpdate, Wait::Yes) != Some(Account::Unknown)
    });
    let Some(id) = known else {
        let message = format!("table {} has no such user", open.users.shown_name());
        let hint = Hint::advice("No session was ended. The first argument is the user's id.");
        GuardError::new(ErrorKind::UnknownUser, message, hint).warn();
        return None;
    };
    let reason = Reason::asked_for(reason);
    time_of(as_tables_owner(|| stamp_user(&open, &id.into_key(), reason, Source::Account)))
}

/// Puts everybody out, as after a breach, or where nobody can know who must be.
#[pg_extern(sql = false)]
fn revoke_all_sessions(
    users: Option<RegClass>,
    reason: Option<Text<'_>>,
) -> Option<TimestampWithTimeZone> {
    check_writable("revoke_all_sessions()").or_raise();
    let users = GuardRef::of(users.map(|users| users.0));
    let open = guard_cache::open(users, Lock::Read).or_raise();
    check_update(&open.users).or_raise();
    let reason = Reason::asked_for(reason.map(|reason| reason.0));
    time_of(as_tables_owner(|| {
        unwatched::bring_back_to_clock(&open.guard.name);
        stamp_guard(&open.relations, &open.guard.name, reason)
    }))
}

/// Ends one subject's tokens, or without a subject all of the scope. NULL for no scope.
#[pg_extern(sql = false)]
fn revoke_tokens(
    scope: Option<Text<'_>>,
    subject: Option<Text<'_>>,
    reason: Option<Text<'_>>,
) -> Option<TimestampWithTimeZone> {
    check_writable("revoke_tokens()").or_raise();
    let Text(scope) = scope?;
    let reason = Reason::asked_for(reason.map(|reason| reason.0));
    let relations = guard_cache::relations();
    time_of(as_tables_owner(|| match subject {
        Some(Text(subject)) => stamp_token(&relations, scope, subject, reason),
        None => stamp_scope(&relations, scope, reason),
    }))
}

fn time_of(Epoch(epoch): Epoch) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(epoch.0).ok()
}

macro_rules! revoke_sessions {
    ($id:ty: $revoke:ident) => {
        #[pg_extern(sql = false)]
        fn $revoke(call: pg_sys::FunctionCallInfo) -> Option<TimestampWithTimeZone> {
            // SAFETY: declared so in sql/functions.sql.
            revoke_user(unsafe { parse_revoke_args::<$id>(call) })
        }
    };
}

revoke_sessions!(Int2Id: revoke_sessions_int2);
revoke_sessions!(Int4Id: revoke_sessions_int4);
revoke_sessions!(Int8Id: revoke_sessions_int8);
revoke_sessions!(UuidId: revoke_sessions_uuid);
revoke_sessions!(TextId: revoke_sessions_text);
