//! When a transaction that stamps does its work: in a deferred trigger, which PostgreSQL fires at
//! COMMIT and at PREPARE TRANSACTION, before foreign data wrappers and others end what they began.
//!
//! The trigger is that of `session_guard.pending`, a table without rows. Its event is queued when
//! there is first something to do; a savepoint that is rolled back takes the event away with what
//! was to be done. It fires twice: after the first time there are only events that the app's own
//! deferred triggers have caused. SET CONSTRAINTS ALL IMMEDIATE fires it, too: then it is queued
//! again, and deferred, as a savepoint could undo the work, and two transactions could deadlock.

use crate::cache::guard_cache;
use crate::catalog::privileges::as_tables_owner;
use crate::pg::deferred_event::queue_insert;
use crate::pg::names::{extension_function, quote_identifier};
use crate::pg::relation::{Lock, Relation};
use crate::pg::server::Subtransaction;
use crate::pg::spi::run_elsewhere;
use std::cell::Cell;

thread_local! {
    /// Whether something came up since the work was last done.
    static HAS_NEWS: Cell<bool> = const { Cell::new(false) };
    /// Where the event was queued that has not fired.
    static QUEUED_IN: Cell<Option<Subtransaction>> = const { Cell::new(None) };
    /// Whether an event is being queued.
    static IS_QUEUEING: Cell<bool> = const { Cell::new(false) };
    /// Whether it has fired meanwhile, as the constraint is IMMEDIATE.
    static HAS_FIRED: Cell<bool> = const { Cell::new(false) };
    /// Whether the app's own deferred triggers have been called.
    static IS_LAST: Cell<bool> = const { Cell::new(false) };
    /// Whether the work is being done.
    static IS_AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// A flag that is set as long as this lives, which ends with an error, too.
struct While(&'static std::thread::LocalKey<Cell<bool>>);

impl While {
    fn begin(flag: &'static std::thread::LocalKey<Cell<bool>>) -> While {
        flag.set(true);
        While(flag)
    }
}

impl Drop for While {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// There is something to do before this transaction commits.
pub fn queue() {
    if IS_AT_WORK.get() {
        return;
    }
    HAS_NEWS.set(true);
    if !QUEUED_IN.get().is_some_and(Subtransaction::counts) {
        queue_deferred();
        QUEUED_IN.set(Some(Subtransaction::current()));
    }
}

/// The event has fired: whether it is time to do the work.
pub fn is_time(has_work: bool) -> bool {
    if IS_QUEUEING.get() {
        HAS_FIRED.set(true);
        return false;
    }
    let is_last = IS_LAST.take();
    if !has_work || !HAS_NEWS.get() {
        QUEUED_IN.set(None);
        return false;
    }
    let was_immediate = queue_deferred();
    if was_immediate || Subtransaction::is_nested() {
        return false;
    }
    IS_LAST.set(!is_last);
    // The event that was queued just now will find nothing new.
    HAS_NEWS.set(!is_last);
    is_last
}

/// Does the work. What comes up meanwhile is part of it.
pub fn at_work<T>(work: impl FnOnce() -> T) -> T {
    let _at_work = While::begin(&IS_AT_WORK);
    work()
}

/// The transaction has ended.
pub fn clear() {
    HAS_NEWS.set(false);
    QUEUED_IN.set(None);
    IS_LAST.set(false);
}

/// Queues the event, and has it wait for COMMIT where the app has made its constraints IMMEDIATE.
/// Returns whether it has, as it never is at COMMIT.
fn queue_deferred() -> bool {
    // The transaction may have dropped the extension.
    let Ok(relations) = guard_cache::try_relations() else { return false };
    let Some(pending) = Relation::open(relations.pending, Lock::Write) else { return false };
    let was_immediate = queue_once(&pending);
    if let Some(constraint) = was_immediate.then(|| constraint_of(&pending)).flatten() {
        let name = quote_identifier(&constraint);
        let statement = format!("SET CONSTRAINTS session_guard.{name} DEFERRED");
        // Nothing is called by this, and the app's role need not know the schema.
        as_tables_owner(|| run_elsewhere(&statement, &[]));
        queue_once(&pending);
    }
    was_immediate
}

/// The constraint of the trigger, which somebody may have renamed, or made anew.
fn constraint_of(pending: &Relation) -> Option<String> {
    let function = extension_function(c"stamp_pending");
    let trigger = pending.triggers().find(|trigger| Some(trigger.function()) == function)?;
    trigger.deferrable_constraint()
}

/// Queues the event. Returns whether it has fired at once.
fn queue_once(pending: &Relation) -> bool {
    HAS_FIRED.set(false);
    let _queueing = While::begin(&IS_QUEUEING);
    queue_insert(pending);
    HAS_FIRED.get()
}
