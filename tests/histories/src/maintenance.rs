//! A worker that maintains the tables while all others work on them: what a DBA's scripts do, and migrations.

use crate::event::Time;
use postgres::Client;
use postgres::error::SqlState;
use rand::RngExt;
use rand::rngs::StdRng;
use std::thread::sleep;
use std::time::Duration;

/// Statements that replace tables and indexes, or lock them. None changes what any account or role is.
const STATEMENTS: [&str; 22] = [
    "REINDEX INDEX CONCURRENTLY session_guard.epoch_pkey",
    "REINDEX INDEX session_guard.epoch_pkey",
    "REINDEX TABLE CONCURRENTLY session_guard.epoch",
    "REINDEX TABLE session_guard.guard_epoch",
    "REINDEX TABLE CONCURRENTLY session_guard.token_epoch",
    "REINDEX SCHEMA CONCURRENTLY session_guard",
    "REINDEX TABLE CONCURRENTLY users",
    "REINDEX TABLE user_role",
    "VACUUM FULL session_guard.epoch",
    "VACUUM FULL session_guard.guard_epoch",
    "VACUUM FULL session_guard.token_epoch",
    "VACUUM FULL users",
    "VACUUM FULL user_role",
    "VACUUM (FREEZE) session_guard.epoch",
    "CLUSTER session_guard.epoch USING epoch_pkey",
    "CLUSTER users USING users_pkey",
    "ALTER TABLE session_guard.epoch SET (fillfactor = 70)",
    "ALTER TABLE users ADD COLUMN filler text DEFAULT clock_timestamp()::text",
    "ALTER TABLE users DROP COLUMN IF EXISTS filler",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS users_by_password ON users (password)",
    "DROP INDEX CONCURRENTLY IF EXISTS users_by_password",
    "ANALYZE",
];

/// Maintains until `deadline`; returns how many statements got through.
pub fn work(
    client: &mut Client,
    rng: &mut StdRng,
    deadline: Time,
) -> Result<usize, postgres::Error> {
    client.batch_execute("SET client_min_messages = error")?;
    let mut done = 0;
    while Time::now() < deadline {
        let statement = STATEMENTS[rng.random_range(0..STATEMENTS.len())];
        // Behind a transaction that takes its time, most would keep all others waiting, too.
        let patience = if statement.contains("CONCURRENTLY") { "10 s" } else { "300 ms" };
        client.batch_execute(&format!("SET lock_timeout = '{patience}'"))?;
        match client.batch_execute(statement) {
            Ok(()) => done += 1,
            Err(error) if is_conflict(&error) => match drop_invalid_indexes(client) {
                Err(error) if !is_conflict(&error) => return Err(error),
                _ => {}
            },
            Err(error) => return Err(error),
        }
        sleep(Duration::from_millis(rng.random_range(1..100)));
    }
    Ok(done)
}

/// What a concurrent rebuild leaves behind when it gives up.
fn drop_invalid_indexes(client: &mut Client) -> Result<(), postgres::Error> {
    let rows = client
        .query("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid", &[])?;
    for row in rows {
        let index: String = row.get(0);
        client.batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {index}"))?;
    }
    Ok(())
}

fn is_conflict(error: &postgres::Error) -> bool {
    let expected = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_DEADLOCK_DETECTED,
        // It is there already, from the last time.
        SqlState::DUPLICATE_COLUMN,
    ];
    error.code().is_some_and(|code| expected.contains(code))
}
