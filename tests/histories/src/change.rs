//! Workers that change accounts as planned, and record what they stamped.

use crate::event::{Stamp, Time};
use crate::plan::{Action, End, Plan, Planner, Step};
use postgres::Client;
use postgres::error::SqlState;
use std::thread::sleep;

/// What one worker did.
#[derive(Debug, Default)]
pub struct Changes {
    /// Of the transactions that committed.
    pub stamps: Vec<Stamp>,
    /// How many transactions committed.
    pub committed: usize,
    /// How many were given up, as planned or because another stood in the way.
    pub undone: usize,
}

/// Carries out plans until `deadline`. `name` tells the worker's prepared transactions from others' on
/// the same server.
pub fn work(
    client: &mut Client,
    planner: &mut Planner,
    name: &str,
    deadline: Time,
) -> Result<Changes, postgres::Error> {
    let mut changes = Changes::default();
    while Time::now() < deadline {
        let plan = planner.next_plan();
        match transact(client, &plan, name) {
            Ok(Some(stamps)) => {
                changes.stamps.extend(stamps);
                changes.committed += 1;
            }
            Ok(None) => changes.undone += 1,
            Err(error) if is_conflict(&error) => {
                client.batch_execute("ROLLBACK")?;
                changes.undone += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(changes)
}

/// What a transaction must expect from others.
fn is_conflict(error: &postgres::Error) -> bool {
    let expected = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::UNIQUE_VIOLATION,
    ];
    error.code().is_some_and(|code| expected.contains(code))
}

/// The stamps of the transaction, or `None` if it was rolled back as planned.
fn transact(
    client: &mut Client,
    plan: &Plan,
    name: &str,
) -> Result<Option<Vec<Stamp>>, postgres::Error> {
    client.batch_execute(&format!("BEGIN ISOLATION LEVEL {}", plan.isolation))?;
    let mut stamps = Vec::new();
    for step in &plan.steps {
        match *step {
            Step::Sleep(pause) => sleep(pause),
            Step::Do(action) => stamps.extend(change(client, action)?),
            Step::DoAndUndo(action) => {
                client.batch_execute("SAVEPOINT here")?;
                change(client, action)?;
                client.batch_execute("ROLLBACK TO here")?;
            }
        }
    }
    let is_committed = match plan.end {
        End::Commit => client.batch_execute("COMMIT").map(|()| true)?,
        End::Rollback => client.batch_execute("ROLLBACK").map(|()| false)?,
        End::CommitPrepared(pause) => {
            client.batch_execute(&format!("PREPARE TRANSACTION '{name}'"))?;
            sleep(pause);
            client.batch_execute(&format!("COMMIT PREPARED '{name}'")).map(|()| true)?
        }
        End::RollbackPrepared(pause) => {
            client.batch_execute(&format!("PREPARE TRANSACTION '{name}'"))?;
            sleep(pause);
            client.batch_execute(&format!("ROLLBACK PREPARED '{name}'")).map(|()| false)?
        }
    };
    let committed = Time::now();
    for stamp in &mut stamps {
        stamp.committed = committed;
    }
    Ok(is_committed.then_some(stamps))
}

fn change(client: &mut Client, action: Action) -> Result<Vec<Stamp>, postgres::Error> {
    let began = Time::now();
    let stamp =
        |user, what, is_certain| Stamp { user, what, began, committed: Time::NEVER, is_certain };
    let (written, stamps) = match action {
        Action::Disable(user) => (
            client.execute("UPDATE users SET active = false WHERE id = $1 AND active", &[&user])?,
            vec![stamp(Some(user), "disable", true)],
        ),
        Action::Enable(user) => (
            client
                .execute("UPDATE users SET active = true WHERE id = $1 AND NOT active", &[&user])?,
            vec![stamp(Some(user), "enable", true)],
        ),
        Action::Delete(user) => (
            client.execute("DELETE FROM users WHERE id = $1", &[&user])?,
            vec![stamp(Some(user), "delete", true)],
        ),
        Action::Insert(user) => (
            client.execute(
                "INSERT INTO users VALUES ($1, true) ON CONFLICT (id) DO NOTHING",
                &[&user],
            )?,
            vec![stamp(Some(user), "insert", false)],
        ),
        Action::ChangeId(from, to) => (
            client.execute("UPDATE users SET id = $2 WHERE id = $1", &[&from, &to])?,
            vec![stamp(Some(from), "change of id", true), stamp(Some(to), "change of id", true)],
        ),
        Action::ChangePassword(user) => (
            client.execute(
                "UPDATE users SET password = clock_timestamp()::text WHERE id = $1",
                &[&user],
            )?,
            vec![stamp(Some(user), "change of password", true)],
        ),
        Action::Revoke(user) => (
            client.execute(
                "SELECT WHERE session_guard.revoke_sessions($1::bigint) IS NOT NULL",
                &[&i64::from(user)],
            )?,
            vec![stamp(Some(user), "revoke_sessions", true)],
        ),
        Action::RevokeAll => (
            client.execute("SELECT session_guard.revoke_all_sessions()", &[])?,
            vec![stamp(None, "revoke_all_sessions", true)],
        ),
    };
    Ok(if written > 0 { stamps } else { Vec::new() })
}
