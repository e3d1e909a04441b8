//! SQL: says that no stamp is missing in the server's timeline.

use crate::cache::guard_cache::check_writable;
use crate::catalog::privileges::{as_tables_owner, check_administration};
use crate::catalog::timeline::Timeline;
use crate::pg::datum::Value;
use crate::pg::report::OrRaise;
use crate::pg::spi::run_once;
use pgrx::prelude::*;

/// Says that no stamp is missing: because none was lost, or because everybody has been put out
/// since.
#[pg_extern(sql = false)]
fn acknowledge_timeline() {
    check_writable("acknowledge_timeline()").or_raise();
    check_administration().or_raise();
    let Timeline { cluster, number } = Timeline::current();
    as_tables_owner(|| {
        run_once(
            "INSERT INTO session_guard.timeline (cluster, timeline, acknowledged_by)
             VALUES ($1, $2, session_user) ON CONFLICT DO NOTHING",
            &[Value::Int8(cluster), Value::Int4(number)],
        )
    });
}
