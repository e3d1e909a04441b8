//! Whether stamps may have been lost: after a failover to a standby that had not received them, or a restore to an
//! earlier point in time, the server goes on in another timeline (PostgreSQL manual, section "Timelines").

use crate::compat;
use crate::error::OrRaise;
use crate::owner::{self, as_owner};
use crate::registry::{self, relation_of_ours};
use crate::scan::OpenTable;
use crate::settings;
use crate::standby;
use crate::statement::run_once;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::rc::Rc;

/// A history of changes that a cluster has followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Which cluster: those that are copies of one another have the same.
    pub cluster: i64,
    /// Its number, which rises with each promotion.
    pub number: i32,
}

/// A new cluster begins with this one, also one that pg_upgrade has filled.
const FIRST: i32 = 1;

impl Timeline {
    /// The one that this server writes. Not on a standby, which writes none.
    pub fn now() -> Timeline {
        // SAFETY: reads what was read at the server's start.
        let cluster = unsafe { pg_sys::GetSystemIdentifier() };
        Timeline { cluster: cluster as i64, number: compat::timeline() as i32 }
    }

    /// A catalog that has no such table asks for none.
    fn is_missing_from(self, acknowledged: Option<Rc<[Timeline]>>) -> bool {
        acknowledged.is_some_and(|acknowledged| !self.is_among(&acknowledged))
    }

    fn is_among(self, acknowledged: &[Timeline]) -> bool {
        acknowledged.contains(&self)
            || (self.number == FIRST
                && acknowledged.iter().all(|other| other.cluster != self.cluster))
    }
}

/// The timelines that somebody has said no stamp was lost in, or everybody put out since. None of a catalog of 0.1.0.
pub fn read_acknowledged() -> Option<Vec<Timeline>> {
    let table = OpenTable::try_open(relation_of_ours(c"timeline")?, pg_sys::AccessShareLock)?;
    let mut timelines = Vec::new();
    table.scan(None, &mut [], |row| {
        let integer = |attno| row.get(attno).map_or(0, |integer| integer.value() as i64);
        timelines.push(Timeline { cluster: integer(1), number: integer(2) as i32 });
    });
    Some(timelines)
}

/// Whether stamps may be missing, for all that anybody has said.
pub fn is_unacknowledged() -> bool {
    !standby::is_standby() && Timeline::now().is_missing_from(registry::acknowledged_timelines())
}

/// Whether the guards are to let nobody in for that.
#[inline]
pub fn is_refusing() -> bool {
    settings::refuses_when_timeline_changed() && is_unacknowledged()
}

/// The same as far as it is known without reading, which could raise an error.
#[inline]
pub fn is_known_to_refuse() -> Option<bool> {
    if !settings::refuses_when_timeline_changed() || standby::is_standby() {
        return Some(false);
    }
    registry::known_timelines().map(|acknowledged| Timeline::now().is_missing_from(acknowledged))
}

/// Says that no stamp is missing: because none was lost, or because everybody has been put out since.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn acknowledge_timeline() {
    registry::check_writable("acknowledge_timeline()");
    registry::check_catalog().or_raise();
    owner::check_administration().or_raise();
    let Timeline { cluster, number } = Timeline::now();
    as_owner(|| {
        run_once(
            "INSERT INTO session_guard.timeline (cluster, timeline, acknowledged_by) VALUES ($1, $2, session_user)
             ON CONFLICT DO NOTHING",
            &[DatumWithOid::from(cluster), DatumWithOid::from(number)],
        )
    });
}
