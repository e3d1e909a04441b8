//! What a standby's WAL receiver has got, and how far it is replayed.

use crate::core::epoch::Instant;
use pgrx::pg_sys;

/// What the upstream server has sent last.
#[derive(Clone, Copy, Debug)]
pub struct WalReceiverStatus {
    /// When the message was sent, by the upstream server's clock.
    pub sent_at: Instant,
    /// When it was received, by this server's clock.
    pub received_at: Instant,
    /// The end of the upstream server's WAL by then: an LSN.
    pub latest_end_lsn: u64,
    /// Tells one connection from another.
    pub connection: i64,
}

impl WalReceiverStatus {
    /// Of the last message of the connection that there is now, if there was one.
    pub fn last() -> Option<WalReceiverStatus> {
        // SAFETY: in shared memory as long as the server runs.
        let receiver = unsafe { pg_sys::WalRcv };
        // SAFETY: only the address is taken.
        let mutex = unsafe { &raw mut (*receiver).mutex };
        // SAFETY: released below; nothing between raises.
        unsafe { pg_sys::SpinLockAcquire(mutex) };
        // SAFETY: nobody writes while the lock is held.
        let now = unsafe { &*receiver };
        let state = now.walRcvState;
        let status = WalReceiverStatus {
            sent_at: Instant(now.lastMsgSendTime),
            received_at: Instant(now.lastMsgReceiptTime),
            latest_end_lsn: now.latestWalEnd,
            connection: now.startTime ^ (i64::from(now.pid) << 40),
        };
        // SAFETY: acquired above.
        unsafe { pg_sys::SpinLockRelease(mutex) };
        // While it connects, PostgreSQL sets both times to when that began: nothing has come then.
        let is_streaming = state == pg_sys::WalRcvState::WALRCV_STREAMING;
        (is_streaming && status.sent_at != status.received_at).then_some(status)
    }
}

/// Up to where the WAL has been replayed: an LSN.
pub fn replay_lsn() -> u64 {
    // SAFETY: reads from shared memory; the timeline is not asked for.
    unsafe { pg_sys::GetXLogReplayRecPtr(std::ptr::null_mut()) }
}
