//! What other backends, and this one, have changed since: PostgreSQL's relation cache invalidations carry
//! the news.
//!
//! DDL on a guarded table sends one by itself. A change of the guards' rows, and a stamp, send one for a
//! relation of their own. The messages are transactional: they reach the backend that made the change
//! at its next command, others when the change commits and before COMMIT returns, and standbys with the commit's
//! WAL record (PostgreSQL source, src/backend/utils/cache/inval.c).

use crate::planted::{self, Fault};
use pgrx::pg_sys::{self, Oid};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::c_int;

/// How much has become known by now. What was read under one generation holds while that is the
/// current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    /// That of what was never read.
    pub const NONE: Generation = Generation(u64::MAX);
}

thread_local! {
    /// The relations that tell of guards.
    static GUARD_RELATIONS: RefCell<HashSet<Oid>> = RefCell::default();
    /// The relation that tells of stamps.
    static STAMP_RELATION: Cell<Oid> = const { Cell::new(pg_sys::InvalidOid) };
    static OF_GUARDS: Cell<u64> = const { Cell::new(0) };
    static OF_STAMPS: Cell<u64> = const { Cell::new(0) };
    /// The transaction and subtransaction that has told of stamps last.
    static TOLD_IN: Cell<(u64, pg_sys::SubTransactionId)> = const { Cell::new((0, 0)) };
}

/// Has PostgreSQL report invalidations. Called once, when the library is loaded.
pub fn listen() {
    // SAFETY: the callback is a static function, and the library is never unloaded.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_invalidation), pg_sys::Datum::from(0)) };
    // SAFETY: as above.
    unsafe {
        pg_sys::CacheRegisterSyscacheCallback(
            pg_sys::SysCacheIdentifier::NAMESPACEOID as c_int,
            Some(on_schema_change),
            pg_sys::Datum::from(0),
        );
    }
}

/// A schema that is renamed takes its tables to another name without a word of each.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_schema_change(_arg: pg_sys::Datum, _cache: c_int, _hash: u32) {
    note_guards();
}

/// Runs inside PostgreSQL's message handling, where nothing may be looked up: it only takes note.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_invalidation(_arg: pg_sys::Datum, relid: Oid) {
    let tells_of_guards = relid == pg_sys::InvalidOid
        || GUARD_RELATIONS
            .with(|watched| watched.try_borrow().map_or(true, |watched| watched.contains(&relid)));
    if tells_of_guards {
        note_guards();
    } else if relid == STAMP_RELATION.get() {
        OF_STAMPS.set(OF_STAMPS.get() + 1);
    }
}

/// What is known of stamps may be so only by what is known of guards.
fn note_guards() {
    OF_GUARDS.set(OF_GUARDS.get() + 1);
    OF_STAMPS.set(OF_STAMPS.get() + 1);
}

/// Counts invalidations of these relations as news of guards.
pub fn watch_guards(relids: impl IntoIterator<Item = Oid>) {
    GUARD_RELATIONS.with_borrow_mut(|watched| watched.extend(relids));
}

/// Counts invalidations of this relation as news of stamps.
pub fn watch_stamps(relid: Oid) {
    STAMP_RELATION.set(relid);
}

/// Takes in what others have committed.
pub fn accept() {
    // SAFETY: legal wherever a query may run.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}

/// The same where no frame between here and PostgreSQL has anything to clean up, nor catches what unwinds: what
/// this raises goes straight to PostgreSQL.
#[inline(always)]
pub fn accept_unguarded() {
    unsafe extern "C-unwind" {
        fn AcceptInvalidationMessages();
    }
    if planted::has(Fault::NewsNotAccepted) {
        return;
    }
    // SAFETY: declared as in utils/inval.h; legal wherever a query may run; frames without destructors may be
    // jumped over (RFC 2945 of Rust, "plain old frames").
    unsafe { AcceptInvalidationMessages() };
}

/// Rises when a guard may have changed.
pub fn of_guards() -> Generation {
    Generation(OF_GUARDS.get())
}

/// Rises when a guard or an epoch may have changed.
pub fn of_stamps() -> Generation {
    Generation(OF_STAMPS.get())
}

/// Has every backend that knows epochs forget them, when the current transaction commits. Once in each
/// subtransaction is enough: a bulk statement must not flood the queue. Tells whether this was the first.
pub fn tell_of_stamps(relid: Oid) -> bool {
    // SAFETY: we are in a transaction that is about to write.
    let transaction = unsafe { pg_sys::GetTopFullTransactionId() }.value;
    // SAFETY: as above.
    let subtransaction = unsafe { pg_sys::GetCurrentSubTransactionId() };
    let is_first = TOLD_IN.replace((transaction, subtransaction)) != (transaction, subtransaction);
    if is_first {
        // SAFETY: the relation exists as long as the extension does.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relid) };
    }
    is_first
}
