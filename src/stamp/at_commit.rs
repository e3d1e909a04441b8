//! What a transaction that stamps does at its end: stamps that wait for it, whom it waits for, and
//! who is notified.

use crate::cache::guard_cache;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::transaction::{self, Callbacks};
use std::cell::Cell;

/// What is to be done before the transaction commits, or else forgotten.
#[derive(Clone, Copy)]
struct Pending {
    work: fn(),
    forget: fn(),
}

thread_local! {
    static HAS_STAMPED: Cell<bool> = const { Cell::new(false) };
    static PENDING: Cell<Option<Pending>> = const { Cell::new(None) };
    static SYNCHRONOUS_COMMIT: Cell<Option<i32>> = const { Cell::new(None) };
}

/// Registers the callbacks. Called once, when the library is loaded.
pub fn register_callbacks() {
    transaction::register_callbacks(Callbacks { before_commit, before_prepare, after_end });
}

/// The transaction has raised an epoch.
pub fn note_stamp() {
    HAS_STAMPED.set(true);
}

/// Has `work` done before the transaction commits, or `forget` after it has ended without that.
pub fn run_before_commit(work: fn(), forget: fn()) {
    PENDING.set(Some(Pending { work, forget }));
}

/// What COMMIT waits for is decided here, so that no setting which is made before can undo it.
fn before_commit() {
    before_prepare();
    if !HAS_STAMPED.get() {
        return;
    }
    let policy = guard_cache::policy();
    if policy.remote_apply {
        SYNCHRONOUS_COMMIT.set(Some(transaction::wait_for_remote_apply()));
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
/// its own session says.
fn before_prepare() {
    if let Some(pending) = PENDING.take() {
        (pending.work)();
    }
}

fn after_end() {
    HAS_STAMPED.set(false);
    if let Some(pending) = PENDING.take() {
        (pending.forget)();
    }
    if let Some(level) = SYNCHRONOUS_COMMIT.take() {
        transaction::restore_synchronous_commit(level);
    }
}
