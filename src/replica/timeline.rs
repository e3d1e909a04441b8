//! Whether stamps may be missing in the timeline that this server writes, after a failover or a
//! restore.

use crate::cache::guard_cache;
use crate::catalog::policy::Policy;
use crate::catalog::timeline::Timeline;
use crate::pg::server::is_standby;

/// Whether stamps may be missing, for all that anybody has said.
pub fn is_unacknowledged() -> bool {
    !is_standby() && !Timeline::current().is_acknowledged(&guard_cache::acknowledged_timelines())
}

/// Whether the guards are to let nobody in for that.
#[inline]
pub fn is_refusing(policy: &Policy) -> bool {
    policy.refuse_when_timeline_changed && is_unacknowledged()
}

/// The same as far as it is known without reading, which could raise an error.
#[inline]
pub fn is_known_to_refuse(policy: &Policy) -> Option<bool> {
    if !policy.refuse_when_timeline_changed || is_standby() {
        return Some(false);
    }
    let acknowledged = guard_cache::known_timelines()?;
    Some(!Timeline::current().is_acknowledged(&acknowledged))
}
