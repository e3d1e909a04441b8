//! What a transaction that stamps does at its end: stamps that wait for it, what COMMIT waits for,
//! and who is notified.
//!
//! Two transactions that stamp users of related tables in different orders would deadlock, where
//! without the watch they would not. So those users are stamped here, sorted by id. And a guard's
//! stamp is raised here once more if a login may have come after it: from here on logins wait.

use super::pending::{self, GuardStamp, PendingGuard, UserStamp};
use super::raise::{Reason, Source, raise_guard, restamp_guard, stamp_key};
use crate::cache::guard_cache;
use crate::catalog::epochs::EpochReader;
use crate::catalog::guard::OpenGuard;
use crate::catalog::privileges::as_tables_owner;
use crate::core::user_id::{UserId, is_digest};
use crate::core::verdict::Account;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::names::to_server;
use crate::pg::relation::{Lock, Relation};
use crate::pg::report::OrRaise;
use crate::pg::transaction::{
    self, Callbacks, GuardLock, allow_writes, keep_guard_lock, with_pinned_search_path,
};
use std::rc::Rc;

/// Registers the callbacks. Called once, when the library is loaded.
pub fn register_callbacks() {
    // PostgreSQL cannot prepare a transaction that sends a NOTIFY, and COMMIT PREPARED waits for
    // what its own session says.
    let callbacks =
        Callbacks { before_commit, before_prepare: stamp_pending, after_end: pending::clear };
    transaction::register_callbacks(callbacks);
}

/// What COMMIT waits for is decided here, so that no setting which is made before can undo it.
fn before_commit() {
    stamp_pending();
    if !pending::has_stamped() {
        return;
    }
    let policy = guard_cache::policy();
    if policy.remote_apply {
        transaction::wait_for_remote_apply();
    }
    if policy.notify && !transaction::notify(c"session_guard") {
        let message = "no notification was sent: PostgreSQL's queue is half full";
        let hint = Hint::advice(
            "A session that listens has a transaction open for long. End that session.",
        );
        GuardError::new(ErrorKind::QueueFull, message, hint).warn();
    }
}

/// Stamps what waits for it.
fn stamp_pending() {
    let pending = pending::take();
    if pending.is_empty() {
        return;
    }
    let stamp_all = || {
        for (guard, pending) in pending {
            stamp_guard_and_users(&guard, pending);
        }
    };
    allow_writes(|| with_pinned_search_path(|| as_tables_owner(stamp_all)));
}

fn stamp_guard_and_users(guard: &str, PendingGuard { guard_stamps, users }: PendingGuard) {
    let guard_stamp = guard_stamps.into_iter().rfind(|stamp| stamp.made_in.counts());
    if let Some(GuardStamp { epoch, reason: [reason, more], .. }) = guard_stamp {
        let (relations, reason): (_, [&[u8]; 2]) = (guard_cache::relations(), [&reason, &more]);
        // The row comes before the lock, as where a guard is stamped at once.
        let epoch = epoch.unwrap_or_else(|| raise_guard(&relations, guard, reason));
        keep_guard_lock(guard, GuardLock::StampGuard);
        restamp_guard(&relations, guard, epoch, reason);
    }
    let mut users = users
        .into_iter()
        .filter(|(_, stamp)| stamp.asked_in.iter().any(|asked_in| asked_in.counts()))
        .peekable();
    if users.peek().is_none() {
        return;
    }
    let open = match open_guard(guard) {
        Ok(open) => open,
        Err(error) => return error.warn(),
    };
    // Logins wait until this transaction has committed: one that is given out meanwhile would not
    // see the epoch.
    keep_guard_lock(guard, GuardLock::StampUsers);
    let (relations, name) = (guard_cache::relations(), Rc::from(guard));
    for (key, UserStamp { related, .. }) in users {
        if open.as_ref().is_none_or(|open| is_there(open, &key)) {
            let related = to_server(&related);
            let reason = Reason::Related(related.to_bytes());
            stamp_key(&relations, &name, &key, reason, Source::Related, None);
        }
    }
}

/// `None` where somebody changes the users table, who may be waiting for this transaction. Then
/// nobody looks whether there is such an account.
fn open_guard(guard: &str) -> Result<Option<OpenGuard>, GuardError> {
    let row = guard_cache::attached_rows().into_iter().find(|row| row.name == guard);
    let row = row.ok_or_else(guard_cache::no_guard)?;
    if row.table.find().is_some_and(|relid| !Relation::lock_without_waiting(relid, Lock::Read)) {
        return Ok(None);
    }
    guard_cache::open_row(&row).map(Some)
}

/// An id that no account has needs no epoch.
fn is_there(open: &OpenGuard, key: &[u8]) -> bool {
    let id = UserId::Text(key.into()).in_column(open.guard.columns.id.id_type);
    id.is_some_and(|id| {
        is_digest(key) || EpochReader::new(open).or_raise().account(&id) != Account::Unknown
    })
}
