//! SQL: ends sessions and tokens because somebody asks for it.

use crate::arg::{RegClass, Text};
use crate::epoch::Epoch;
use crate::error::OrRaise;
use crate::lookup::{self, RowLock};
use crate::owner::{self, as_owner};
use crate::question::{self, IntId, Question, TextId, UuidId};
use crate::registry;
use crate::stamp::{Reason, stamp_guard, stamp_scope, stamp_token, stamp_user};
use crate::verdict::Account;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::default;
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Ends all sessions of one user, enabled or not. `None` for an unknown one.
///
/// The row is locked, so that a login and this come one after the other.
fn revoke_user(
    (Question { users, id }, reason): (Question, Option<&[u8]>),
) -> Option<TimestampWithTimeZone> {
    registry::check_writable("revoke_sessions()");
    let open = users.open(pg_sys::RowShareLock);
    owner::check_update(&open.users).or_raise();
    let id = id?.in_column(open.guard.id.id_type)?;
    if lookup::lock_account(&open, &id, RowLock::Change) == Account::Unknown {
        return None;
    }
    let reason = reason_of(reason);
    let epoch = as_owner(|| stamp_user(&open, &id.into_key(), &reason));
    time_of(epoch)
}

/// Puts everybody out, as after a breach, or where nobody can know who must be.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn revoke_all_sessions(
    users: default!(Option<RegClass>, "NULL"),
    reason: default!(Option<Text<'_>>, "'admin'"),
) -> Option<TimestampWithTimeZone> {
    registry::check_writable("revoke_all_sessions()");
    let open = registry::open(users.map(|users| users.0), pg_sys::AccessShareLock).or_raise();
    owner::check_update(&open.users).or_raise();
    let reason = reason_of(reason.map(|reason| reason.0));
    time_of(as_owner(|| stamp_guard(&open.store, open.guard.relid, &reason)))
}

/// Ends one subject's tokens, or without a subject all of the scope. NULL for no scope.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn revoke_tokens(
    scope: Option<Text<'_>>,
    subject: default!(Option<Text<'_>>, "NULL"),
    reason: default!(Option<Text<'_>>, "'admin'"),
) -> Option<TimestampWithTimeZone> {
    registry::check_writable("revoke_tokens()");
    let Text(scope) = scope?;
    let reason = reason_of(reason.map(|reason| reason.0));
    let store = registry::store();
    time_of(as_owner(|| match subject {
        Some(Text(subject)) => stamp_token(&store, scope, subject, &reason),
        None => stamp_scope(&store, scope, &reason),
    }))
}

fn reason_of(reason: Option<&[u8]>) -> Reason {
    Reason::Admin(reason.unwrap_or(b"admin").to_vec())
}

fn time_of(Epoch(epoch): Epoch) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(epoch.0).ok()
}

#[pg_extern(sql = false)]
fn revoke_int(call: pg_sys::FunctionCallInfo) -> Option<TimestampWithTimeZone> {
    // SAFETY: declared so in sql/questions.sql.
    revoke_user(unsafe { question::about_user_and_why::<IntId>(call) })
}

#[pg_extern(sql = false)]
fn revoke_uuid(call: pg_sys::FunctionCallInfo) -> Option<TimestampWithTimeZone> {
    // SAFETY: declared so in sql/questions.sql.
    revoke_user(unsafe { question::about_user_and_why::<UuidId>(call) })
}

#[pg_extern(sql = false)]
fn revoke_text(call: pg_sys::FunctionCallInfo) -> Option<TimestampWithTimeZone> {
    // SAFETY: declared so in sql/questions.sql.
    revoke_user(unsafe { question::about_user_and_why::<TextId>(call) })
}
