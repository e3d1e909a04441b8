//! What a transaction that stamps does at its end: stamps that wait for it, what COMMIT waits for,
//! and who is notified.
//!
//! Two transactions that stamp users of related tables in different orders would deadlock, where
//! without the watch they would not. So those users are stamped here, sorted by id. And a guard's
//! stamp is raised here once more if a login may have come after it: from here on logins wait.

use super::pending::{self, GuardStamp, PendingGuard, PendingGuards, PendingUsers, UserStamp};
use super::raise::{Reason, Source, raise_guard, restamp_guard, stamp_key};
use crate::cache::guard_cache::{self, FreeGuard};
use crate::catalog::epochs::EpochReader;
use crate::catalog::extension::ExtensionRelations;
use crate::catalog::guard::OpenGuard;
use crate::catalog::privileges::as_tables_owner;
use crate::catalog::unwatched;
use crate::core::user_id::{UserId, is_digest};
use crate::core::verdict::Account;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::names::to_server;
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
    let relations = match guard_cache::try_relations() {
        Ok(relations) => relations,
        // The transaction may have dropped the extension.
        Err(error) => return error.warn(),
    };
    write(|| stamp_all(&relations, pending));
}

/// Stamps a guard's users who wait for it: from now on the guard may not be there to be asked.
pub fn stamp_users_now(guard: &str) {
    let users = pending::take_users(guard);
    if !users.is_empty() {
        write(|| stamp_users(&guard_cache::relations(), guard, users));
    }
}

fn write(work: impl FnOnce()) {
    allow_writes(|| with_pinned_search_path(|| as_tables_owner(work)));
}

/// First the rows of all guards, then their locks: who stamps two guards by hand has the rows
/// before COMMIT, and the locks from then on.
fn stamp_all(relations: &ExtensionRelations, pending: PendingGuards) {
    let mut guards = Vec::new();
    for (guard, PendingGuard { guard_stamps, users, .. }) in pending {
        let stamp = guard_stamps.into_iter().rfind(|stamp| stamp.made_in.counts());
        let stamp = stamp.map(|GuardStamp { epoch, reason, .. }| {
            let raise = || raise_guard(relations, &guard, reason.each_ref().map(Vec::as_slice));
            (epoch.unwrap_or_else(raise), reason)
        });
        guards.push((guard, stamp, users));
    }
    for (guard, stamp, users) in guards {
        if let Some((epoch, reason)) = stamp {
            keep_guard_lock(&guard, GuardLock::StampGuard);
            restamp_guard(relations, &guard, epoch, reason.each_ref().map(Vec::as_slice));
        }
        stamp_users(relations, &guard, users);
    }
}

fn stamp_users(relations: &ExtensionRelations, guard: &str, users: PendingUsers) {
    let mut users = users
        .into_iter()
        .filter(|(_, stamp)| stamp.asked_in.iter().any(|asked_in| asked_in.counts()))
        .peekable();
    if users.peek().is_none() {
        return;
    }
    let open = match open_guard(guard) {
        Ok(open) => open,
        Err(error) => {
            unwatched::note_once(guard, &error.message);
            return error.warn();
        }
    };
    // Logins wait until this transaction has committed: one that is given out meanwhile would not
    // see the epoch.
    keep_guard_lock(guard, GuardLock::StampUsers);
    let name = Rc::from(guard);
    for (key, UserStamp { related, is_canonical, .. }) in users {
        let related = to_server(&related);
        let reason = Reason::Related(related.to_bytes());
        match &open {
            Some(guard) => {
                if let Some(key) = key_of_account(&guard.open, &key) {
                    stamp_key(relations, &name, &key, reason, Source::Related, None);
                }
            }
            None if is_canonical => {
                stamp_key(relations, &name, &key, reason, Source::Related, None);
            }
            // Whose account it is cannot be told.
            None => {
                let epoch = raise_guard(relations, guard, reason.parts());
                keep_guard_lock(guard, GuardLock::StampGuard);
                return restamp_guard(relations, guard, epoch, reason.parts());
            }
        }
    }
}

/// `None` where somebody changes the users table, who may be waiting for this transaction. Then
/// nobody looks whether there is such an account.
fn open_guard(guard: &str) -> Result<Option<FreeGuard>, GuardError> {
    let row = guard_cache::attached_rows().into_iter().find(|row| row.name == guard);
    let row = row.ok_or_else(guard_cache::no_guard)?;
    guard_cache::open_row_without_waiting(&row)
}

/// The key of the account's epoch. An id that no account has needs no epoch.
fn key_of_account(open: &OpenGuard, key: &[u8]) -> Option<Vec<u8>> {
    if is_digest(key) {
        return Some(key.to_vec());
    }
    let id = UserId::Text(key.into()).in_column(open.guard.columns.id.id_type)?;
    let reader = EpochReader::new(open).or_raise();
    (reader.account(&id) != Account::Unknown).then(|| id.into_key().into_owned())
}
