//! Workers that change accounts, roles and tokens as planned, and record what they stamped.

use crate::event::{Stamp, Subject, Time, Whose};
use crate::plan::{Action, End, Plan, Planner, Step};
use postgres::Client;
use postgres::error::SqlState;
use postgres::types::ToSql;
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

/// Carries out plans until `deadline`. `name` distinguishes the worker's prepared transactions from others' on
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

/// What a transaction must expect from others. Two ids can become one in the app's own tables, and nowhere else.
fn is_conflict(error: &postgres::Error) -> bool {
    let expected = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    let is_of_app = |error: &postgres::error::DbError| error.schema() == Some("public");
    error.code().is_some_and(|code| expected.contains(code))
        || error.code() == Some(&SqlState::UNIQUE_VIOLATION)
            && error.as_db_error().is_some_and(is_of_app)
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
    let ended = Time::now();
    for stamp in stamps.iter_mut().filter(|stamp| stamp.ends_logins_before == Time::NEVER) {
        stamp.ends_logins_before = ended;
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
    let (what, sql, stamped) = statement(action);
    let mut ids: Vec<&(dyn ToSql + Sync)> = Vec::new();
    for whose in &stamped {
        if let Whose::One(Subject::User(id) | Subject::Token(id)) = whose {
            ids.push(id);
        }
    }
    let began = Time::now();
    let mut stamps = Vec::new();
    for &whose in &stamped {
        let is_certain = is_certain(client, action, whose)?;
        let ends_logins_before = if stamps_at_end(action) { Time::NEVER } else { began };
        let committed = Time::NEVER;
        stamps.push(Stamp { whose, what, began, ends_logins_before, committed, is_certain });
    }
    let written = client.execute(sql, &ids)?;
    // TRUNCATE counts no rows, and needs none.
    let has_stamped = written > 0 || action == Action::TruncateRoles;
    Ok(if has_stamped { stamps } else { Vec::new() })
}

/// What to call it, the SQL, and whose logins end if that writes a row. Their numbers are the parameters.
fn statement(action: Action) -> (&'static str, &'static str, Vec<Whose>) {
    let user = |id| Whose::One(Subject::User(id));
    match action {
        Action::Disable(id) => {
            ("disable", "UPDATE users SET active = false WHERE id = $1 AND active", vec![user(id)])
        }
        Action::Enable(id) => (
            "enable",
            "UPDATE users SET active = true WHERE id = $1 AND NOT active",
            vec![user(id)],
        ),
        Action::Delete(id) => ("delete", "DELETE FROM users WHERE id = $1", vec![user(id)]),
        Action::Insert(id) => (
            "insert",
            "INSERT INTO users VALUES ($1, true) ON CONFLICT (id) DO NOTHING",
            vec![user(id)],
        ),
        Action::ChangeId(from, to) => {
            ("change of id", "UPDATE users SET id = $2 WHERE id = $1", vec![user(from), user(to)])
        }
        Action::ChangePassword(id) => (
            "change of password",
            "UPDATE users SET password = clock_timestamp()::text WHERE id = $1",
            vec![user(id)],
        ),
        Action::Revoke(id) => (
            "revoke_sessions",
            "SELECT WHERE session_guard.revoke_sessions($1::int) IS NOT NULL",
            vec![user(id)],
        ),
        Action::RevokeAll => (
            "revoke_all_sessions",
            "SELECT session_guard.revoke_all_sessions()",
            vec![Whose::AllUsers],
        ),
        Action::GrantRole(id) => (
            "grant of a role",
            "INSERT INTO user_role VALUES ($1, 'reader') ON CONFLICT (user_id) DO NOTHING",
            vec![user(id)],
        ),
        Action::TakeRole(id) => {
            ("loss of a role", "DELETE FROM user_role WHERE user_id = $1", vec![user(id)])
        }
        Action::ChangeRole(id) => (
            "change of a role",
            "UPDATE user_role SET role = clock_timestamp()::text WHERE user_id = $1",
            vec![user(id)],
        ),
        Action::MoveRole(from, to) => (
            "move of a role",
            "UPDATE user_role SET user_id = $2
             WHERE user_id = $1 AND NOT EXISTS (SELECT FROM user_role WHERE user_id = $2)",
            vec![user(from), user(to)],
        ),
        Action::TruncateRoles => ("truncate of roles", "TRUNCATE user_role", vec![Whose::AllUsers]),
        Action::RevokeTokens(id) => (
            "revoke_tokens of a subject",
            "SELECT session_guard.revoke_tokens('dashboard', $1::int::text)",
            vec![Whose::One(Subject::Token(id))],
        ),
        Action::RevokeAllTokens => (
            "revoke_tokens of the scope",
            "SELECT session_guard.revoke_tokens('dashboard')",
            vec![Whose::AllTokens],
        ),
    }
}

/// Whether it ends all logins until its transaction ends.
fn stamps_at_end(action: Action) -> bool {
    matches!(
        action,
        Action::GrantRole(_)
            | Action::TakeRole(_)
            | Action::ChangeRole(_)
            | Action::MoveRole(..)
            | Action::TruncateRoles
            | Action::RevokeAll
    )
}

/// Whether it must stamp if it writes a row.
fn is_certain(client: &mut Client, action: Action, whose: Whose) -> Result<bool, postgres::Error> {
    match (action, whose) {
        (Action::Insert(_), _) => Ok(false),
        (
            Action::GrantRole(_)
            | Action::TakeRole(_)
            | Action::ChangeRole(_)
            | Action::MoveRole(..),
            Whose::One(Subject::User(id)),
        ) => {
            // An account that is not there needs no stamp. One that only this snapshot still has, or that goes
            // away before the trigger looks, is stamped by what takes it away.
            Ok(client.query_opt("SELECT FROM users WHERE id = $1", &[&id])?.is_some())
        }
        _ => Ok(true),
    }
}
