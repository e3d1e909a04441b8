//! What this server and this backend are: clocks, transactions, recovery, who is connected.

use super::compat;
use super::datum::Inet;
use super::names::in_encoding;
use crate::core::epoch::Instant;
use crate::fault_injection::{self, Fault};
use pgrx::pg_sys;
use pgrx::{IntoDatum, direct_function_call};
use std::ffi::{CStr, c_int};

/// What the wall clock shows now, whenever the transaction began.
pub fn clock() -> Instant {
    // SAFETY: reads the clock, and needs nothing else.
    Instant(unsafe { pg_sys::GetCurrentTimestamp() })
}

/// Whether a point in time is ahead of the clock.
///
/// Where it is far ahead, the time of the kernel's last tick says so, for a tenth of the cost.
#[inline]
pub fn is_ahead_of_clock(time: Instant) -> bool {
    // Ticks are milliseconds apart, and more where the machine is held up; never a minute.
    const LONGEST_TICK: i64 = 60_000_000;
    time > last_tick().plus_micros(LONGEST_TICK) || time > clock()
}

/// What the wall clock showed at the kernel's last tick.
#[cfg(target_os = "linux")]
#[inline]
fn last_tick() -> Instant {
    let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills what it is given. Linux knows this clock since 2.6.32.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut tick) };
    match result {
        0 => Instant::of_unix(tick.tv_sec, tick.tv_nsec / 1000),
        _ => Instant::INFINITY,
    }
}

/// Elsewhere there is no such clock.
#[cfg(not(target_os = "linux"))]
#[inline]
fn last_tick() -> Instant {
    Instant::INFINITY
}

/// What the wall clock shows when an epoch is raised.
pub fn stamping_clock() -> Instant {
    if fault_injection::has(Fault::StampFromNow) {
        // SAFETY: we are in a transaction.
        return Instant(unsafe { pg_sys::GetCurrentTransactionStartTimestamp() });
    }
    clock()
}

/// Whether this server replays another's changes, or its own after a crash.
pub fn is_standby() -> bool {
    // SAFETY: reads a variable of this backend, or one in shared memory until recovery is over.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// The cluster's system identifier: clusters that are copies of one another have the same.
pub fn system_identifier() -> u64 {
    // SAFETY: reads what was read at the server's start.
    unsafe { pg_sys::GetSystemIdentifier() }
}

/// The database's OID.
pub fn database() -> pg_sys::Oid {
    // SAFETY: a variable of this backend.
    unsafe { pg_sys::MyDatabaseId }
}

/// The number of the timeline that this server writes. Not on a standby, which writes none.
pub fn timeline() -> u32 {
    // SAFETY: reads shared memory; raises on a standby.
    unsafe { pg_sys::GetWALInsertionTimeLine() }
}

/// Raises where a row cannot be locked: in a read-only transaction (SQLSTATE 25006).
pub fn prevent_if_read_only(function: &CStr) {
    // SAFETY: the text is NUL-terminated.
    unsafe { pg_sys::PreventCommandIfReadOnly(function.as_ptr()) };
}

/// The transaction that writes.
pub fn full_transaction_id() -> u64 {
    // SAFETY: we are in a transaction that writes.
    unsafe { pg_sys::GetTopFullTransactionId() }.value
}

/// The current subtransaction, which a savepoint undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtransaction(pg_sys::TransactionId);

impl Subtransaction {
    /// The current one, which writes.
    pub fn current() -> Subtransaction {
        // SAFETY: we are in a transaction that writes.
        Subtransaction(unsafe { pg_sys::GetCurrentTransactionId() })
    }

    /// Whether the current one can be rolled back alone.
    pub fn is_nested() -> bool {
        // SAFETY: reads a variable.
        unsafe { pg_sys::GetCurrentTransactionNestLevel() > 1 }
    }

    /// Whether what it did is part of what this transaction has done so far: it was not rolled
    /// back.
    pub fn counts(self) -> bool {
        // SAFETY: any transaction id may be asked for.
        unsafe { pg_sys::TransactionIdIsCurrentTransactionId(self.0) }
    }
}

/// Whether this backend applies logical replication.
pub fn is_logical_worker() -> bool {
    // SAFETY: reads variables of this backend.
    unsafe { pg_sys::IsLogicalWorker() }
}

/// Whether the client's statement is COPY.
pub fn is_copy() -> bool {
    // SAFETY: a variable of this backend, null or a portal that is open.
    let portal = unsafe { pg_sys::ActivePortal.as_ref() };
    portal.is_some_and(|portal| portal.commandTag == pg_sys::CommandTag::CMDTAG_COPY)
}

/// Whether `session_replication_role` is `replica` now.
pub fn is_replica_role() -> bool {
    // SAFETY: a variable of this backend.
    let role = unsafe { pg_sys::SessionReplicationRole };
    role == pg_sys::SESSION_REPLICATION_ROLE_REPLICA as c_int
}

/// When this transaction began.
pub fn transaction_start() -> Instant {
    // SAFETY: reads a variable.
    Instant(unsafe { pg_sys::GetCurrentTransactionStartTimestamp() })
}

/// Whether this transaction, or one of its savepoints, is the one of this id.
pub fn is_current_transaction(xid: u32) -> bool {
    // SAFETY: any id may be asked for.
    unsafe { pg_sys::TransactionIdIsCurrentTransactionId(pg_sys::TransactionId::from_inner(xid)) }
}

/// The name of the replication origin whose changes this backend applies, in the database's
/// encoding.
pub fn replication_origin_name() -> Option<Vec<u8>> {
    let origin = compat::replication_origin()?;
    let mut name = std::ptr::null_mut();
    // SAFETY: fills the name, if there is such an origin.
    let is_known = unsafe { pg_sys::replorigin_by_oid(origin, true, &raw mut name) };
    // SAFETY: filled with a NUL-terminated text.
    is_known.then(|| in_encoding(unsafe { CStr::from_ptr(name) }.to_bytes().to_vec()))
}

/// A setting's value as bytes, if it has one that is not empty.
pub fn setting(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: the name is NUL-terminated; NULL comes back for a setting that there is not.
    let value = unsafe { pg_sys::GetConfigOption(name.as_ptr(), true, false) };
    if value.is_null() {
        return None;
    }
    // SAFETY: a setting's value is NUL-terminated.
    let value = unsafe { CStr::from_ptr(value) }.to_bytes().to_vec();
    (!value.is_empty()).then_some(value)
}

/// From where the client is connected; `None` over a socket of the same machine.
pub fn client_address() -> Option<Inet> {
    // SAFETY: a function without arguments.
    unsafe { direct_function_call::<pg_sys::Datum>(pg_sys::inet_client_addr, &[]) }.map(Inet)
}

/// The next value of a sequence.
pub fn next_value(sequence: pg_sys::Oid) -> Option<i64> {
    // SAFETY: a function of one OID.
    unsafe { direct_function_call(pg_sys::nextval_oid, &[sequence.into_datum()]) }
}

/// Whether the library is being loaded by `shared_preload_libraries`.
pub fn is_preloading() -> bool {
    // SAFETY: a variable of the postmaster's, or of a backend's.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// Sleeps.
pub fn sleep_micros(micros: i64) {
    // SAFETY: sleeps.
    unsafe { pg_sys::pg_usleep(micros as _) };
}
