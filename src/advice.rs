//! The statements that hints and remedies name: each mends what it stands beside when run as it is.

use crate::guard::GuardRow;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::{self, Oid};
use pgrx::spi::{self, Spi};

/// The best `attach` that some table of this database allows, or a look for what there is.
pub fn attach_something() -> String {
    guess_attach(None).unwrap_or_else(|| {
        "SELECT attrelid::regclass AS users, attname AS active FROM pg_attribute \
         WHERE atttypid = 'boolean'::regtype AND attrelid >= 16384;"
            .to_owned()
    })
}

/// The best `attach` that this table allows; if it allows none, the guards that there are.
pub fn attach_statement(relid: Oid) -> String {
    guess_attach(Some(relid)).unwrap_or_else(|| "SELECT guard FROM session_guard.guard;".to_owned())
}

/// The best `attach` that this table allows; if it allows none, a look at its columns.
pub fn attach_or_look(relid: Oid, name: &str) -> String {
    guess_attach(Some(relid)).unwrap_or_else(|| look_at_columns(name))
}

/// A look at the columns of a table by its qualified name.
pub fn look_at_columns(name: &str) -> String {
    format!(
        "SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = {}::regclass AND attnum > 0;",
        spi::quote_literal(name)
    )
}

/// `attach` as it was called, or with another answer to whether the guard is the default.
pub fn attach_again(row: &GuardRow, is_default: Option<bool>) -> String {
    let columns: Vec<String> = row.revoke_on.iter().map(spi::quote_literal).collect();
    let revoke_on = match columns.as_slice() {
        [] => String::new(),
        columns => format!(", revoke_on => ARRAY[{}]::name[]", columns.join(", ")),
    };
    let is_default =
        is_default.map_or(String::new(), |is_default| format!(", is_default => {is_default}"));
    let max_session_age = row.max_session_age.map_or(String::new(), |age| {
        format!(", max_session_age => '{}.{:06} s'", age / 1_000_000, age % 1_000_000)
    });
    format!(
        "SELECT session_guard.attach({}, {}, {}{revoke_on}{is_default}{max_session_age});",
        spi::quote_literal(&row.table_name),
        spi::quote_literal(&row.id_column),
        spi::quote_literal(&row.active_column),
    )
}

/// `detach` of a table by its qualified name, or by its OID where it has none any more.
pub fn detach_statement(name: &str) -> String {
    format!("SELECT session_guard.detach({});", spi::quote_literal(name))
}

/// `revoke_all_sessions` of a table by its qualified name.
pub fn revoke_all_statement(name: &str) -> String {
    format!("SELECT session_guard.revoke_all_sessions({});", spi::quote_literal(name))
}

/// `prune` of what no session outlives.
pub fn prune_statement() -> String {
    "SELECT session_guard.prune(interval '90 days');".into()
}

/// `reconcile` of a table by its qualified name.
pub fn reconcile_statement(name: &str) -> String {
    format!("SELECT session_guard.reconcile({});", spi::quote_literal(name))
}

/// Looks for a permanent table with an id that is unique and a boolean that sounds like "active".
/// Names that frameworks use come first.
fn guess_attach(relid: Option<Oid>) -> Option<String> {
    const GUESS: &str = "
        SELECT pg_catalog.convert_to(pg_catalog.format('SELECT session_guard.attach(%L, %L, %L);',
                                 pg_catalog.format('%I.%I', n.nspname, c.relname), i.attname, a.attname), 'UTF8')
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_index x ON x.indrelid = c.oid AND x.indisunique AND x.indimmediate
             AND x.indisvalid AND x.indnkeyatts = 1 AND x.indpred IS NULL
        JOIN pg_catalog.pg_attribute i ON i.attrelid = c.oid AND i.attnum = x.indkey[0]
             AND i.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype,
                                'text'::regtype, 'varchar'::regtype)
        LEFT JOIN pg_catalog.pg_collation l ON l.oid = i.attcollation
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             AND a.atttypid = 'bool'::regtype
        WHERE l.collisdeterministic IS NOT FALSE AND c.relkind = 'r' AND c.relpersistence = 'p' AND NOT c.relispartition
          AND c.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'session_guard')
          AND a.attname ~ 'active|enabled'
          AND CASE WHEN $1 IS NULL THEN c.relname ~ 'user|account|member' ELSE c.oid = $1 END
        ORDER BY c.relname = 'ab_user' DESC, c.relname = 'auth_user' DESC, c.relname = 'users' DESC,
                 a.attname ~ 'active' DESC, a.attname ~ 'enabled' DESC, x.indisprimary DESC,
                 n.nspname, c.relname, a.attnum
        LIMIT 1";
    with_pinned_search_path(|| {
        Spi::connect(|client| {
            // SAFETY: an OID's datum is the OID, and its type is named with it.
            let relid = unsafe { DatumWithOid::new(relid, pg_sys::OIDOID) };
            let rows = client.select(GUESS, Some(1), &[relid]).ok()?.first();
            // In bytes: the database's encoding need not be UTF-8.
            let statement: Vec<u8> = rows.get_one().ok()??;
            Some(String::from_utf8_lossy(&statement).into_owned())
        })
    })
}

/// The functions that apps call run with the caller's search path, in which operators of somebody
/// else may lie in wait.
fn with_pinned_search_path<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: matched by AtEOXact_GUC; after an error the abort does that.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    // SAFETY: a setting that everybody may change, for as long as the level lasts.
    unsafe {
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            c"pg_catalog, pg_temp".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        )
    };
    let result = work();
    // SAFETY: the level was entered above.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    result
}
