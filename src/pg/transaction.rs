//! The end of a transaction, and the locks that a guard itself has.

use super::names;
use super::spi::run_elsewhere;
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::{CStr, c_void};

/// What is called at the end of a transaction.
#[derive(Clone, Copy)]
pub struct Callbacks {
    /// Before it commits: it can still write, and fail.
    pub before_commit: fn(),
    /// Before it is prepared for COMMIT PREPARED.
    pub before_prepare: fn(),
    /// After it has ended, in whatever way.
    pub after_end: fn(),
}

thread_local! {
    static CALLBACKS: Cell<Option<Callbacks>> = const { Cell::new(None) };
}

/// Registers the callbacks. Called once, when the library is loaded.
pub fn register_callbacks(callbacks: Callbacks) {
    CALLBACKS.set(Some(callbacks));
    // SAFETY: the callback is a static function, and the library is never unloaded.
    unsafe { pg_sys::RegisterXactCallback(Some(on_transaction_event), std::ptr::null_mut()) };
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_transaction_event(
    event: pg_sys::XactEvent::Type,
    _argument: *mut c_void,
) {
    let Some(callbacks) = CALLBACKS.get() else { return };
    match event {
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT => (callbacks.before_commit)(),
        pg_sys::XactEvent::XACT_EVENT_PRE_PREPARE => (callbacks.before_prepare)(),
        pg_sys::XactEvent::XACT_EVENT_COMMIT
        | pg_sys::XactEvent::XACT_EVENT_ABORT
        | pg_sys::XactEvent::XACT_EVENT_PREPARE => (callbacks.after_end)(),
        _ => {}
    }
}

/// Whether a write fails here if another transaction has written the row since this one began.
pub fn is_repeatable_read() -> bool {
    // SAFETY: a variable of this backend.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as std::ffi::c_int }
}

/// Waits until another transaction has ended.
pub fn wait_for(other: pg_sys::TransactionId) {
    // SAFETY: a transaction id that was just seen, and is not our own.
    unsafe {
        pg_sys::XactLockTableWait(
            other,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            pg_sys::XLTW_Oper::XLTW_None,
        );
    }
}

/// Runs `work` as what the transaction has done already: it may have been declared READ ONLY since.
fn allow_writes<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: a variable of this backend.
    let is_read_only = unsafe { pg_sys::XactReadOnly };
    // SAFETY: as above; after an error the abort sets it.
    unsafe { pg_sys::XactReadOnly = false };
    let result = work();
    // SAFETY: as above.
    unsafe { pg_sys::XactReadOnly = is_read_only };
    result
}

/// Runs `work` with a search path in which nobody but PostgreSQL has anything.
pub fn with_pinned_search_path<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: matched by AtEOXact_GUC; after an error the abort does that.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    set_until_level_ends(c"search_path", c"pg_catalog, pg_temp");
    let result = work();
    // SAFETY: the level was entered above.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    result
}

/// Runs `work` as the last of the transaction: what it has done already may be done, whatever was
/// set since.
pub fn at_end<T>(work: impl FnOnce() -> T) -> T {
    allow_writes(|| with_pinned_search_path(work))
}

/// Checks the constraints that were deferred, and runs `work` while all are IMMEDIATE. Then all are
/// DEFERRED: PostgreSQL does not tell what they were before.
pub fn with_constraints_immediate<T>(work: impl FnOnce() -> T) -> T {
    run_elsewhere("SET CONSTRAINTS ALL IMMEDIATE", &[]);
    let result = work();
    run_elsewhere("SET CONSTRAINTS ALL DEFERRED", &[]);
    result
}

/// Sets what everybody may set, for as long as a level of settings lasts that was begun.
pub(super) fn set_until_level_ends(name: &CStr, value: &CStr) {
    // SAFETY: both texts are NUL-terminated.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        )
    };
}

/// Has this COMMIT wait until the synchronous standbys have replayed it, whatever
/// `synchronous_commit` was. By the setting, whose assign hook is what makes the wait: it ends with
/// the transaction.
pub fn wait_for_remote_apply() {
    // SAFETY: a setting that everybody may change, both texts NUL-terminated.
    unsafe {
        pg_sys::set_config_option(
            c"synchronous_commit".as_ptr(),
            c"remote_apply".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            0,
            false,
        )
    };
}

/// Queues a NOTIFY without a payload, unless PostgreSQL's queue is half full: one that does not fit
/// would fail the COMMIT. Returns whether it did.
pub fn notify(channel: &CStr) -> bool {
    // SAFETY: a function without arguments.
    let usage =
        unsafe { pgrx::direct_function_call::<f64>(pg_sys::pg_notification_queue_usage, &[]) };
    if usage.is_none_or(|usage| usage > 0.5) {
        return false;
    }
    // SAFETY: the text is NUL-terminated, and copied.
    unsafe { pg_sys::Async_Notify(channel.as_ptr(), std::ptr::null()) };
    true
}

/// A subtransaction of the library's own, and what was current when it began.
#[derive(Clone, Copy)]
pub(super) struct InternalSubtransaction {
    context: pg_sys::MemoryContext,
    resource_owner: pg_sys::ResourceOwner,
}

impl InternalSubtransaction {
    /// Begins one, in which the memory context stays the same.
    pub(super) fn begin() -> InternalSubtransaction {
        // SAFETY: a variable of this backend.
        let context = unsafe { pg_sys::CurrentMemoryContext };
        // SAFETY: as above.
        let resource_owner = unsafe { pg_sys::CurrentResourceOwner };
        // SAFETY: we are in a transaction, and not in parallel mode.
        unsafe { pg_sys::BeginInternalSubTransaction(std::ptr::null()) };
        // SAFETY: the context outlives the subtransaction.
        unsafe { pg_sys::MemoryContextSwitchTo(context) };
        InternalSubtransaction { context, resource_owner }
    }

    /// Ends it: keeps what it did, or rolls it back, also after an error.
    pub(super) fn end(self, keeps: bool) {
        match keeps {
            // SAFETY: begun when this was made.
            true => unsafe { pg_sys::ReleaseCurrentSubTransaction() },
            // SAFETY: as above.
            false => unsafe { pg_sys::RollbackAndReleaseCurrentSubTransaction() },
        }
        // SAFETY: what was there before.
        unsafe { pg_sys::MemoryContextSwitchTo(self.context) };
        // SAFETY: as above.
        unsafe { pg_sys::CurrentResourceOwner = self.resource_owner };
    }
}

/// Runs `work` in a subtransaction. If it returns false that is rolled back then, and the row locks
/// that it took are released. Returns what it returned.
pub fn in_subtransaction(work: impl FnOnce() -> bool + std::panic::UnwindSafe) -> bool {
    let subtransaction = InternalSubtransaction::begin();
    // An error goes on to the caller's handler, which knows nothing of the subtransaction.
    let keeps = pgrx::PgTryBuilder::new(work)
        .catch_others(|error| {
            subtransaction.end(false);
            error.rethrow()
        })
        .execute();
    subtransaction.end(keeps);
    keeps
}

/// Who waits for whom at a guard's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardLock {
    /// While a login time is given out.
    Login,
    /// Until a transaction that stamps at its end has committed. Waits for logins, and they for it.
    StampUsers,
    /// Until a transaction that stamps the guard has committed. Waits for all.
    StampGuard,
}

impl GuardLock {
    fn mode(self) -> pg_sys::LOCKMODE {
        let mode = match self {
            GuardLock::Login => pg_sys::ShareLock,
            GuardLock::StampUsers => pg_sys::RowExclusiveLock,
            GuardLock::StampGuard => pg_sys::ExclusiveLock,
        };
        mode as pg_sys::LOCKMODE
    }
}

/// A guard's lock that is held as long as this lives.
pub struct HeldGuardLock {
    tag: pg_sys::LOCKTAG,
    lock: GuardLock,
}

/// Waits for the lock of this guard, and holds it.
pub fn hold_guard_lock(guard: &str, lock: GuardLock) -> HeldGuardLock {
    let tag = object_lock_tag(guard);
    acquire(&tag, lock);
    HeldGuardLock { tag, lock }
}

/// Waits for the lock of this guard, and keeps it until the transaction ends, also through PREPARE
/// TRANSACTION.
pub fn keep_guard_lock(guard: &str, lock: GuardLock) {
    acquire(&object_lock_tag(guard), lock);
}

impl Drop for HeldGuardLock {
    fn drop(&mut self) {
        // While an error unwinds, the transaction's abort releases all locks.
        if !std::thread::panicking() {
            // SAFETY: acquired when this was made.
            unsafe { pg_sys::LockRelease(&raw const self.tag, self.lock.mode(), false) };
        }
    }
}

fn acquire(tag: &pg_sys::LOCKTAG, lock: GuardLock) {
    // SAFETY: a tag of the default lock method.
    unsafe { pg_sys::LockAcquire(tag, lock.mode(), false, false) };
}

/// The lock of an object that nobody else locks: of the class `session_guard.guard_epoch`, by a
/// number made of the guard's name.
fn object_lock_tag(guard: &str) -> pg_sys::LOCKTAG {
    let number = guard
        .bytes()
        .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let class = names::extension_relation(c"guard_epoch").unwrap_or(pg_sys::InvalidOid);
    pg_sys::LOCKTAG {
        locktag_field1: super::server::database().to_u32(),
        locktag_field2: class.to_u32(),
        locktag_field3: number,
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    }
}
