//! SQL: what CREATE EXTENSION does last.

use super::attach::{Request, attach_table};
use crate::catalog::hints;
use crate::error::{ErrorKind, GuardError};
use crate::pg::names::{RelationName, shown_relation};
use crate::pg::spi::query;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// Called once, by CREATE EXTENSION: guards `ab_user` where there is exactly one and it is the
/// creator's, or for a superuser the database owner's; otherwise says how to attach. A NOTICE would
/// not be seen there.
#[pg_extern(sql = false)]
fn attach_ab_user() {
    const CANDIDATES: &str = "
        SELECT c.oid, pg_catalog.pg_has_role(o.oid, c.relowner, 'USAGE')
                      AND (NOT o.rolsuper OR c.relowner IN (e.extowner, d.datdba))
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_extension e ON e.extname = 'pg_session_guard'
        JOIN pg_catalog.pg_roles o ON o.oid = e.extowner
        JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
        WHERE c.relname = 'ab_user' AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
          AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        ORDER BY n.nspname";
    let candidates = query(CANDIDATES, &[], |row| {
        let oid = row.get::<Oid>(1).ok().flatten();
        let is_ours = row.get::<bool>(2).ok().flatten();
        Some((oid?, is_ours?))
    });
    let candidates: Vec<(Oid, bool)> = candidates.into_iter().flatten().collect();
    match candidates.as_slice() {
        [(relid, true)] => match attach_table(*relid, &Request::default()) {
            Ok(stamped) => pgrx::info!(
                "guarding table {}; disabled accounts stamped: {stamped}",
                shown_relation(*relid)
            ),
            Err(error) => error.inform(),
        },
        [(relid, false)] => {
            let message = format!(
                "table {} is not guarded: it belongs to another role",
                shown_relation(*relid)
            );
            GuardError::new(ErrorKind::NotPermitted, message, attach_hint(*relid)).inform();
        }
        [] => {
            let message = "no table is guarded yet";
            GuardError::new(ErrorKind::NoGuard, message, hints::attach_some_table()).inform();
        }
        [(relid, _), ..] => {
            let message = "no table is guarded yet: there are several of the name ab_user";
            GuardError::new(ErrorKind::NoGuard, message, attach_hint(*relid)).inform();
        }
    }
}

fn attach_hint(relid: Oid) -> crate::error::Hint {
    RelationName::of(relid).map_or_else(hints::attach_some_table, |name| hints::attach_table(&name))
}
