//! A worker that maintains the tables while all others work on them: what a DBA's scripts do, and migrations.

use crate::event::{Stamp, Time, Whose};
use postgres::Client;
use postgres::error::SqlState;
use rand::RngExt;
use rand::rngs::StdRng;
use std::thread::sleep;
use std::time::Duration;

/// Statements that replace tables and indexes, or lock them. None changes what any account or role is. Several of one line are
/// one transaction.
const STATEMENTS: [&str; 31] = [
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
    "ALTER TABLE users RENAME TO members; ALTER TABLE members RENAME TO users",
    "ALTER TABLE users SET SCHEMA session_guard; ALTER TABLE session_guard.users SET SCHEMA public",
    "ALTER TABLE users RENAME COLUMN password TO secret; ALTER TABLE users RENAME COLUMN secret TO password",
    "ALTER TABLE user_role RENAME TO role; ALTER TABLE role RENAME TO user_role",
    "ALTER TABLE user_role ALTER COLUMN role TYPE varchar(100); ALTER TABLE user_role ALTER COLUMN role TYPE text",
    "ALTER TABLE session_guard.epoch RENAME TO epochs; ALTER TABLE session_guard.epochs RENAME TO epoch",
    "SELECT session_guard.attach('users', revoke_on => '{}'); ALTER TABLE users ALTER COLUMN password TYPE varchar(100); SELECT session_guard.attach('users', revoke_on => '{password}')",
    "SELECT session_guard.attach('users', revoke_on => '{}'); ALTER TABLE users ALTER COLUMN password TYPE text; SELECT session_guard.attach('users', revoke_on => '{password}')",
    "SELECT session_guard.detach('users'); ALTER TABLE users ALTER COLUMN id TYPE bigint; ALTER TABLE users ALTER COLUMN id TYPE int; SELECT session_guard.attach('users')",
];

/// Indexes that have another name for a while.
const INDEXES: [&str; 4] = [
    "session_guard.epoch_pkey",
    "session_guard.guard_epoch_pkey",
    "session_guard.token_epoch_key",
    "public.users_pkey",
];

/// What a worker did.
#[derive(Debug, Default)]
pub struct Maintained {
    /// How many statements got through.
    pub statements: usize,
    /// Times without a table's triggers, each as the stamp of all users that made an end of it.
    pub gaps: Vec<Stamp>,
}

/// Maintains until `deadline`. Half-way there, the triggers of a table are missing for a while.
pub fn work(
    client: &mut Client,
    rng: &mut StdRng,
    deadline: Time,
) -> Result<Maintained, postgres::Error> {
    client.batch_execute("SET client_min_messages = error")?;
    let began = Time::now();
    let gap_at = began.plus(Duration::from_micros(((deadline.0 - began.0) / 2).max(0) as u64));
    let mut done = Maintained::default();
    while Time::now() < deadline {
        if done.gaps.is_empty() && Time::now() > gap_at {
            let table = if rng.random() { "users" } else { "user_role" };
            done.gaps.push(leave_unwatched(client, rng, table)?);
        } else if rng.random_bool(0.05) {
            let (schema, index) =
                INDEXES[rng.random_range(0..INDEXES.len())].split_once('.').expect("a schema");
            let there = format!("ALTER INDEX {schema}.{index} RENAME TO other_name");
            if !run(client, &there, IMPATIENT)? {
                continue;
            }
            sleep(Duration::from_millis(rng.random_range(1..100)));
            insist(client, &format!("ALTER INDEX {schema}.other_name RENAME TO {index}"))?;
            done.statements += 1;
        } else {
            let statement = STATEMENTS[rng.random_range(0..STATEMENTS.len())];
            let patience = match rng.random_bool(0.2) {
                true => PATIENT,
                false => IMPATIENT,
            };
            done.statements += usize::from(run(client, statement, patience)?);
        }
        sleep(Duration::from_millis(rng.random_range(1..100)));
    }
    Ok(done)
}

/// Behind a transaction that takes its time, most statements would keep all others waiting, too. Now and then one does: else some
/// would never find their moment.
const IMPATIENT: &str = "300 ms";
const PATIENT: &str = "3 s";

/// Whether it got through.
fn run(client: &mut Client, statement: &str, patience: &str) -> Result<bool, postgres::Error> {
    let patience = if statement.contains("CONCURRENTLY") { "10 s" } else { patience };
    client.batch_execute(&format!("SET lock_timeout = '{patience}'"))?;
    match client.batch_execute(statement) {
        Ok(()) => Ok(true),
        Err(error) if is_conflict(&error) => match drop_invalid_indexes(client) {
            Err(error) if !is_conflict(&error) => Err(error),
            _ => Ok(false),
        },
        Err(error) => Err(error),
    }
}

/// Until it has got through: whoever comes after it waits meanwhile.
fn insist(client: &mut Client, statement: &str) -> Result<(), postgres::Error> {
    client.batch_execute(&format!("SET lock_timeout = '{PATIENT}'"))?;
    loop {
        match client.batch_execute(statement) {
            Err(error) if is_conflict(&error) => client.batch_execute("ROLLBACK")?,
            outcome => return outcome,
        }
    }
}

/// Switches the triggers of a table off and on by hand. What changed meanwhile stamped nobody, and may have brought sessions back:
/// that is told, until what `health()` says has ended all of them.
fn leave_unwatched(
    client: &mut Client,
    rng: &mut StdRng,
    table: &str,
) -> Result<Stamp, postgres::Error> {
    const REMEDY: &str = "SELECT remedy FROM session_guard.health() WHERE check_name = 'unwatched_changes' AND NOT ok";
    let triggers = client.query(
        "SELECT tgname::text FROM pg_trigger WHERE tgrelid = $1::text::regclass AND NOT tgisinternal",
        &[&table],
    )?;
    let each = |what: &str| {
        let actions =
            triggers.iter().map(|row| format!("{what} TRIGGER {}", row.get::<_, &str>(0)));
        format!("ALTER TABLE {table} {}", actions.collect::<Vec<_>>().join(", "))
    };
    let began = Time::now();
    insist(client, &each("DISABLE"))?;
    sleep(Duration::from_millis(rng.random_range(100..500)));
    insist(client, &each("ENABLE ALWAYS"))?;
    client.batch_execute("RESET lock_timeout")?;
    let told = client.query(REMEDY, &[])?;
    assert_eq!(told.len(), 1, "the triggers of {table} were off");
    let remedy: String = told[0].get(0);
    insist(client, &format!("BEGIN; {remedy}"))?;
    let ended = Time::now();
    client.batch_execute("COMMIT")?;
    let committed = Time::now();
    client.batch_execute("RESET lock_timeout")?;
    assert_eq!(client.query(REMEDY, &[])?.len(), 0, "{remedy}");
    let (whose, what) = (Whose::AllUsers, "a gap in the triggers");
    Ok(Stamp {
        whose,
        what,
        began,
        ends_logins_before: ended,
        ends_session_starts_before: ended,
        committed,
        is_certain: true,
    })
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
