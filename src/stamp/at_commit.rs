//! What a transaction that stamps does at its end: stamps that wait for it, sessions that it ends
//! where apps keep them, what COMMIT waits for, and who is notified.
//!
//! Two transactions that stamp users of related tables in different orders would deadlock, where
//! without the watch they would not. So those users are stamped here, sorted by id. And a guard's
//! stamp is raised here once more if a login may have come after it: from here on logins wait.
//!
//! All of this is done in a deferred trigger. When PostgreSQL calls the callbacks of COMMIT, no
//! code of others may run any more: a foreign data wrapper whose own callback has been called would
//! begin a transaction elsewhere that nobody ends, and the server would go down (postgres_fdw,
//! `pgfdw_xact_callback`).

use super::deferred_event;
use super::pending::{self, GuardStamp, PendingGuard, PendingGuards, UserStamp};
use super::raise::{Source, raise_guard, restamp_guard, stamp_key, wait_for_epochs_far_ahead};
use super::reason::Reason;
use super::stored_sessions;
use crate::cache::guard_cache::{self, FreeGuard};
use crate::catalog::epochs::EpochReader;
use crate::catalog::extension::ExtensionRelations;
use crate::catalog::guard::{GuardRow, OpenGuard};
use crate::catalog::privileges::as_tables_owner;
use crate::catalog::unwatched;
use crate::core::epoch::{Epoch, Instant};
use crate::core::status::Account;
use crate::core::user_id::{UserId, is_digest};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::memory::ensure_available;
use crate::pg::names::to_server;
use crate::pg::report::OrRaise;
use crate::pg::server::stamping_clock;
use crate::pg::transaction::{
    self, Callbacks, GuardLock, at_end, hold_guard_lock, keep_guard_lock,
    with_constraints_immediate,
};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Registers the callbacks. Called once, when the library is loaded.
pub fn register_callbacks() {
    let callbacks = Callbacks { before_commit, before_prepare, after_end };
    transaction::register_callbacks(callbacks);
}

/// The deferred trigger was called.
pub fn on_deferred_event() {
    let has_work = !pending::is_empty() || stored_sessions::is_pending();
    if deferred_event::is_time(has_work) {
        deferred_event::at_work(finish);
    }
}

/// Stamps what waits for it, and ends the sessions that apps keep. What triggers of their tables
/// change may stamp again, and accounts may expire while a store is waited for.
fn finish() {
    const ROUNDS: usize = 10;
    stamp_all_pending(stamping_clock());
    if !stored_sessions::is_pending() {
        return;
    }
    with_constraints_immediate(|| {
        for _ in 0..ROUNDS {
            at_end(stored_sessions::end_pending);
            stamp_all_pending(stamping_clock());
            if !stored_sessions::is_pending() {
                return;
            }
        }
        give_up("its triggers stamp again and again");
    });
}

/// What has come up since, such as an account that has expired: stamps it. Sessions that apps keep
/// are ended no more.
fn finish_late(commits_at: Instant) {
    deferred_event::at_work(|| {
        stamp_all_pending(commits_at);
        if stored_sessions::is_pending() {
            give_up("the transaction was committing already");
        }
    });
}

fn give_up(why: &str) {
    at_end(|| stored_sessions::give_up_pending(why));
}

/// What COMMIT waits for is decided here, so that no setting which is made before can undo it.
fn before_commit() {
    finish_late(stamping_clock());
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

/// PostgreSQL cannot prepare a transaction that sends a NOTIFY, and COMMIT PREPARED waits for what
/// its own session says. When that will be nobody knows: every account that was to expire may have.
fn before_prepare() {
    finish_late(Instant::INFINITY);
}

fn after_end() {
    deferred_event::clear();
    pending::clear();
    stored_sessions::clear();
}

/// Stamps what waits for it.
fn stamp_all_pending(commits_at: Instant) {
    let pending = pending::take();
    if pending.is_empty() {
        return;
    }
    let relations = match guard_cache::try_relations() {
        Ok(relations) => relations,
        // The transaction may have dropped the extension.
        Err(error) => return error.warn(),
    };
    let stamp = || stamp_all(&relations, pending, commits_at);
    at_end(|| as_tables_owner(stamp));
}

/// What is to be stamped of one guard.
struct Work {
    guard: String,
    /// The guard itself: the epoch that it has already, and why.
    stamp: Option<(Option<Epoch>, [Vec<u8>; 2])>,
    /// Users by their keys, and why each.
    users: BTreeMap<Vec<u8>, Why>,
}

/// Why a user is stamped at COMMIT.
enum Why {
    /// A row of this related table changed.
    Related(Rc<str>),
    /// The account expired before a later time was committed.
    Enabled,
}

/// First the rows of all guards, then their locks: who stamps two guards by hand has the rows
/// before COMMIT, and the locks from then on.
fn stamp_all(relations: &ExtensionRelations, pending: PendingGuards, commits_at: Instant) {
    let mut all: Vec<Work> =
        pending.into_iter().map(|(guard, of)| resolve(guard, of, commits_at)).collect();
    for Work { guard, stamp, .. } in &mut all {
        if let Some((epoch, reason)) = stamp {
            epoch.get_or_insert_with(|| raise_guard(relations, guard, parts(reason)));
            // Not under the lock: every login would wait, too.
            wait_for_epochs_far_ahead(relations, guard);
        }
    }
    for Work { guard, stamp, users } in all {
        if let Some((Some(epoch), reason)) = stamp {
            stamp_guard_under_lock(relations, &guard, epoch, parts(&reason));
        }
        stamp_users(relations, &guard, users);
    }
}

fn stamp_guard_under_lock(
    relations: &ExtensionRelations,
    guard: &str,
    epoch: Epoch,
    reason: [&[u8]; 2],
) {
    loop {
        let lock = hold_guard_lock(guard, GuardLock::StampGuard);
        if restamp_guard(relations, guard, epoch, reason) {
            return keep_guard_lock(guard, GuardLock::StampGuard);
        }
        drop(lock);
        wait_for_epochs_far_ahead(relations, guard);
    }
}

fn parts(reason: &[Vec<u8>; 2]) -> [&[u8]; 2] {
    reason.each_ref().map(Vec::as_slice)
}

/// Which rows are to be stamped is settled before any lock is taken. If it cannot be told whose
/// accounts the ids are, everybody's.
fn resolve(guard: String, pending: PendingGuard, commits_at: Instant) -> Work {
    // For the users' keys, once more.
    ensure_available(pending.bytes);
    let PendingGuard { guard_stamps, mut users, extended, .. } = pending;
    let stamp = guard_stamps.into_iter().rfind(|stamp| stamp.made_in.counts());
    let stamp = stamp.map(|GuardStamp { epoch, reason, .. }| (epoch, reason));
    users.retain(|_, stamp| stamp.asked_in.iter().any(|asked_in| asked_in.counts()));
    let mut work = Work { guard, stamp, users: BTreeMap::new() };
    for (key, ends) in extended.users {
        match ends.first() {
            Some(end) if end > commits_at => pending::add_extended(&work.guard, &key, end),
            Some(_) => {
                work.users.insert(key, Why::Enabled);
            }
            None => {}
        }
    }
    match extended.others.first() {
        Some(end) if end > commits_at => pending::add_others_extended(&work.guard, end),
        Some(_) => {
            let reason = Reason::Enabled.parts();
            work.stamp.get_or_insert_with(|| (None, reason.map(<[u8]>::to_vec)));
        }
        None => {}
    }
    // A guard that was forgotten has no epochs.
    let row = guard_cache::all_rows().into_iter().find(|row| row.name == work.guard);
    let Some(row) = row.filter(|_| !users.is_empty()) else { return work };
    let open = match open_if_free(&row) {
        Ok(open) => open,
        Err(error) => {
            unwatched::note_once(&work.guard, &error.message);
            error.warn();
            return work;
        }
    };
    for (key, UserStamp { related, is_canonical, .. }) in users {
        let key = match &open {
            Some(FreeGuard { open, .. }) if !is_digest(&key) => {
                let id = UserId::Text(key.into()).in_column(open.guard.columns.id.id_type);
                id.map(|id| id.into_key().into_owned())
            }
            Some(_) => Some(key),
            None if is_canonical => Some(key),
            None => {
                let related = to_server(&related);
                let reason = Reason::Related(related.to_bytes()).parts();
                work.stamp.get_or_insert_with(|| (None, reason.map(<[u8]>::to_vec)));
                None
            }
        };
        work.users.extend(key.map(|key| (key, Why::Related(related))));
    }
    work
}

/// `None` where somebody changes the users table, who may be waiting for this transaction, and
/// where it is guarded no more. Then nobody looks whether there is such an account.
fn open_if_free(row: &GuardRow) -> Result<Option<FreeGuard>, GuardError> {
    match row.is_detached {
        true => Ok(None),
        false => guard_cache::open_row_without_waiting(row),
    }
}

fn stamp_users(relations: &ExtensionRelations, guard: &str, users: BTreeMap<Vec<u8>, Why>) {
    if users.is_empty() {
        return;
    }
    // Logins wait until this transaction has committed: one that is given out meanwhile would not
    // see the epoch.
    keep_guard_lock(guard, GuardLock::StampUsers);
    let row = guard_cache::all_rows().into_iter().find(|row| row.name == guard);
    let open = row.and_then(|row| open_if_free(&row).ok().flatten());
    let name = Rc::from(guard);
    let stamp = |key: &[u8], reason: Reason| {
        if open.as_ref().is_none_or(|free| is_there(&free.open, key)) {
            stamp_key(relations, &name, key, reason, Source::Related, None);
        }
    };
    for (key, why) in users {
        match why {
            Why::Enabled => stamp(&key, Reason::Enabled),
            Why::Related(related) => {
                let related = to_server(&related);
                stamp(&key, Reason::Related(related.to_bytes()));
            }
        }
    }
}

/// An id that no account has needs no epoch.
fn is_there(open: &OpenGuard, key: &[u8]) -> bool {
    let id = UserId::Text(key.into()).in_column(open.guard.columns.id.id_type);
    id.is_some_and(|id| {
        is_digest(key) || EpochReader::new(open, &id).or_raise().account(&id) != Account::Unknown
    })
}
