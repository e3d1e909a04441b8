//! What differs between PostgreSQL majors, and nothing else.

use crate::epoch::Instant;
use pgrx::pg_sys;
use std::ffi::CStr;
use std::sync::atomic::{Ordering, fence};

/// What a standby's upstream server has said last.
#[derive(Clone, Copy)]
pub struct Heard {
    /// When the message came, by this server's clock.
    pub at: Instant,
    /// Up to where the upstream server said that it had come: a place in the write-ahead log.
    pub end: u64,
    /// Tells one connection to it from another.
    pub connection: i64,
}

impl Heard {
    /// The last message of the connection that there is now, if there was one.
    pub fn last() -> Option<Heard> {
        // SAFETY: in shared memory as long as the server runs.
        let receiver = unsafe { pg_sys::WalRcv };
        // SAFETY: only the address is taken.
        let mutex = unsafe { &raw mut (*receiver).mutex };
        // SAFETY: waits for the lock, which nobody holds for longer than it takes to read and write a few fields.
        unsafe { pg_sys::s_lock(mutex, c"compat.rs".as_ptr(), 0, c"last".as_ptr()) };
        // SAFETY: nobody writes while the lock is held.
        let now = unsafe { &*receiver };
        let (state, sent, at) = (now.walRcvState, now.lastMsgSendTime, now.lastMsgReceiptTime);
        let (end, connection) = (now.latestWalEnd, now.startTime ^ (i64::from(now.pid) << 40));
        fence(Ordering::Release);
        // SAFETY: the lock is ours; this is how PostgreSQL gives it back (s_lock.h), after what was read is read.
        unsafe { mutex.write_volatile(0) };
        // While it connects, PostgreSQL sets both times to when that began: nothing has come then.
        let is_heard = state == pg_sys::WalRcvState::WALRCV_STREAMING && sent != at;
        is_heard.then_some(Heard { at: Instant(at), end, connection })
    }
}

/// Up to where the changes have been replayed.
pub fn replayed_to() -> u64 {
    // SAFETY: reads from shared memory; the timeline is not asked for.
    unsafe { pg_sys::GetXLogReplayRecPtr(std::ptr::null_mut()) }
}

/// The number of the timeline that this server writes: on a standby there is none.
pub fn timeline() -> u32 {
    // SAFETY: the caller has seen that recovery is over.
    return unsafe { pg_sys::GetWALInsertionTimeLine() };
}

/// Whether `role` owns the relation, or has the rights of the role that does.
pub fn owns_relation(relid: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    #[cfg(feature = "pg15")]
    // SAFETY: two OIDs; a relation that is gone raises an error.
    return unsafe { pg_sys::pg_class_ownercheck(relid, role) };
    #[cfg(not(feature = "pg15"))]
    // SAFETY: two OIDs; a relation that is gone raises an error.
    return unsafe { pg_sys::object_ownercheck(pg_sys::RelationRelationId, relid, role) };
}

/// Makes a misspelt setting an error: at once from PostgreSQL 15 on, a warning before.
pub fn reserve_setting_prefix(prefix: &CStr) {
    // SAFETY: the string outlives the call, which copies what it keeps.
    unsafe {
        pg_sys::MarkGUCPrefixReserved(prefix.as_ptr())
    };
}

/// An integer in one of the forms that came with PostgreSQL 16: `0x2A`, `0o52`, `0b101010`,
/// `1_000` (release notes 16, section E.1). `None` where it is no integer, or the server older.
///
/// The unit tests run outside of a server, where there is nothing to call, nor to link to.
pub fn read_modern_integer(text: &CStr) -> Option<i64> {
    #[cfg(any(test, feature = "pg15"))]
    {
        let _ = text;
        None
    }
    #[cfg(not(any(test, feature = "pg15")))]
    {
        let mut errors = pg_sys::ErrorSaveContext {
            type_: pg_sys::NodeTag::T_ErrorSaveContext,
            ..Default::default()
        };
        let mut value = pg_sys::Datum::from(0);
        let mut int8in = pg_sys::FmgrInfo::default();
        // SAFETY: fills the lookup of a function of PostgreSQL's own.
        unsafe { pg_sys::fmgr_info(pg_sys::Oid::from(pg_sys::F_INT8IN), &raw mut int8in) };
        // SAFETY: int8in reads the NUL-terminated text, and with an ErrorSaveContext it reports bad
        // input through that instead of raising.
        let is_integer = unsafe {
            pg_sys::InputFunctionCallSafe(
                &raw mut int8in,
                text.as_ptr().cast_mut(),
                pg_sys::InvalidOid,
                -1,
                (&raw mut errors).cast(),
                &raw mut value,
            )
        };
        is_integer.then_some(value.value() as i64)
    }
}

/// Whether a generated column is computed on reading, so that the row does not hold it
/// (PostgreSQL 18, section 5.4).
pub fn is_virtual(column: &pg_sys::FormData_pg_attribute) -> bool {
    column.attgenerated == b'v' as std::ffi::c_char
}

/// The origin that this backend applies changes of, if it applies any.
pub fn replication_origin() -> Option<u16> {
    #[cfg(not(feature = "pg19"))]
    // SAFETY: a variable of this backend.
    let origin = unsafe { pg_sys::replorigin_session_origin };
    #[cfg(feature = "pg19")]
    // SAFETY: a variable of this backend.
    let origin = unsafe { pg_sys::replorigin_xact_state.origin };
    (origin != 0).then_some(origin)
}
