//! The timelines in which no stamp is missing: `session_guard.timeline`.

use crate::pg::names::extension_relation;
use crate::pg::relation::{Lock, Relation};
use crate::pg::server;
use crate::pg::snapshot::Snapshot;

/// A history of changes that a cluster has followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The cluster's system identifier.
    pub cluster: i64,
    /// Its number, which rises with each promotion.
    pub number: i32,
}

/// A new cluster begins with this one, also one that pg_upgrade has filled.
const FIRST: i32 = 1;

impl Timeline {
    /// The one that this server writes. Not on a standby, which writes none.
    pub fn current() -> Timeline {
        let cluster = server::system_identifier() as i64;
        Timeline { cluster, number: server::timeline() as i32 }
    }

    /// Whether somebody has said that no stamp is missing in it, or nothing can be.
    pub fn is_acknowledged(self, acknowledged: &[Timeline]) -> bool {
        acknowledged.contains(&self)
            || (self.number == FIRST
                && acknowledged.iter().all(|other| other.cluster != self.cluster))
    }
}

/// The timelines that were acknowledged.
pub fn read_acknowledged() -> Vec<Timeline> {
    let mut timelines = Vec::new();
    let table = extension_relation(c"timeline").and_then(|oid| Relation::open(oid, Lock::Read));
    if let Some(table) = table {
        table.scan(&Snapshot::latest(&table), |row| {
            timelines.push(Timeline {
                cluster: row.int8(1).unwrap_or_default(),
                number: row.int4(2).unwrap_or_default(),
            });
        });
    }
    timelines
}
