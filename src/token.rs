//! SQL: whether a token still counts that belongs to a thing and not to a user: a guest's token for an
//! embedded dashboard, or one session's id.

use crate::epoch::Instant;
use crate::error::OrRaise;
use crate::lookup;
use crate::question::{self, TokenQuestion};
use crate::registry;
use crate::session;
use crate::settings;
use crate::verdict::{Account, Verdict};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Judged as a session is, but that nobody can tell whether there is such a thing. Nothing is kept of it in a
/// cache: the subjects may be as many as there are tokens, and one read of an index is all it takes.
fn is_valid((TokenQuestion { scope, subject }, issued): (TokenQuestion, Option<Instant>)) -> bool {
    let Some(scope) = scope else {
        return false;
    };
    registry::check_library().or_raise();
    if session::doubt().is_some() {
        return false;
    }
    let epoch = lookup::token_epoch(scope, subject);
    Verdict::of(Account::Active, epoch, issued, || None, || settings::latest_login(issued))
        .is_valid()
}

#[pg_extern(sql = false)]
fn token_valid(call: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: declared so in sql/questions.sql.
    is_valid(unsafe { question::about_token(call) })
}
