//! SQL: whether a token still counts that belongs to a thing and not to a user: a guest's token for
//! an embedded dashboard, or one session's id.

use super::evaluate::{decide, refusal_reason};
use crate::cache::guard_cache::{check_library, policy};
use crate::catalog::epochs::token_epoch;
use crate::core::status::Account;
use crate::core::user_id::indexable;
use crate::pg::call_args::{TokenArgs, parse_token_args};
use crate::pg::report::OrRaise;
use pgrx::prelude::*;

/// Decided as of a session, but a token has no account to be disabled. Nothing is kept of it in a
/// cache: the subjects may be as many as there are tokens, and a check reads one index.
fn is_valid(TokenArgs { scope, subject, issued }: TokenArgs) -> bool {
    let Some(scope) = scope else {
        return false;
    };
    check_library().or_raise();
    let policy = policy();
    if refusal_reason(&policy).is_some() {
        return false;
    }
    let subject = subject.map(indexable);
    let epoch = token_epoch(&indexable(scope), subject.as_deref()).or_raise();
    decide(Account::ACTIVE, epoch, issued, None, &policy).is_valid()
}

#[pg_extern(sql = false)]
fn token_valid(call: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: declared so in sql/functions.sql.
    is_valid(unsafe { parse_token_args(call) })
}
