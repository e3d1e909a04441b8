//! Workers that change accounts, roles and tokens as planned, and record what they stamped.

use crate::event::{Stamp, Subject, Time, Whose};
use crate::form::{ChangeByItself, Form};
use crate::plan::{Action, End, Plan, Planner, Step, works_when_immediate};
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

/// Carries out plans until `deadline`. `name` distinguishes the worker's prepared transactions from others' on
/// the same server.
pub fn work(
    client: &mut Client,
    form: &Form,
    planner: &mut Planner,
    name: &str,
    deadline: Time,
) -> Result<Changes, postgres::Error> {
    let mut changes = Changes::default();
    while Time::now() < deadline {
        let plan = planner.next_plan();
        match transact(client, form, &plan, name) {
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
pub fn is_conflict(error: &postgres::Error) -> bool {
    let expected = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    let is_of_app = |error: &postgres::error::DbError| error.schema() == Some("public");
    error.code().is_some_and(|code| expected.contains(code))
        || error.code() == Some(&SqlState::UNIQUE_VIOLATION)
            && error.as_db_error().is_some_and(is_of_app)
}

/// The stamps of the transaction, or `None` if it was rolled back as planned.
pub fn transact(
    client: &mut Client,
    form: &Form,
    plan: &Plan,
    name: &str,
) -> Result<Option<Vec<Stamp>>, postgres::Error> {
    client.batch_execute(&format!("BEGIN ISOLATION LEVEL {}", plan.isolation))?;
    let mut stamps = Vec::new();
    let is_prepared = matches!(plan.end, End::CommitPrepared(_) | End::RollbackPrepared(_));
    for step in &plan.steps {
        match *step {
            Step::Sleep(pause) => sleep(pause),
            Step::Do(action) => stamps.extend(change(client, form, action, is_prepared)?),
            Step::DoAndUndo(action) => {
                client.batch_execute("SAVEPOINT here")?;
                change(client, form, action, is_prepared)?;
                client.batch_execute("ROLLBACK TO here")?;
            }
            Step::SetConstraints { is_undone } => {
                const SET: &str = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED";
                let at = Time::now();
                client.batch_execute(&match is_undone {
                    true => format!("SAVEPOINT here; {SET}; ROLLBACK TO here"),
                    false => SET.to_owned(),
                })?;
                if !is_undone && works_when_immediate() {
                    for stamp in &mut stamps {
                        stamp.ends_logins_before = stamp.ends_logins_before.min(at);
                    }
                }
            }
        }
    }
    let ended = Time::now();
    let mut sent = ended;
    let is_committed = match plan.end {
        End::Commit => client.batch_execute("COMMIT").map(|()| true)?,
        End::Rollback => client.batch_execute("ROLLBACK").map(|()| false)?,
        End::CommitPrepared(pause) => {
            client.batch_execute(&format!("PREPARE TRANSACTION '{name}'"))?;
            sleep(pause);
            sent = Time::now();
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
        stamp.ends_logins_before = stamp.ends_logins_before.min(ended);
        stamp.ends_session_starts_before = sent;
        stamp.committed = committed;
    }
    Ok(is_committed.then_some(stamps))
}

fn change(
    client: &mut Client,
    form: &Form,
    action: Action,
    is_prepared: bool,
) -> Result<Vec<Stamp>, postgres::Error> {
    let (what, sql, mut stamped) = statement(form, action);
    // Another time may be a later one. Nobody knows when it will be committed: the account may have
    // expired by then.
    if let Action::Restate(id, _) = action
        && is_prepared
        && form.change_by_itself == Some(ChangeByItself::Expires)
    {
        stamped.push(Whose::One(Subject::User(id)));
    }
    let began = Time::now();
    let mut stamps = Vec::new();
    for &whose in &stamped {
        let is_certain = is_certain(client, action, whose)?;
        let ends_logins_before = if stamps_at_end(action) { Time::NEVER } else { began };
        let (ends_session_starts_before, committed) = (began, Time::NEVER);
        let stamp = Stamp {
            whose,
            what,
            began,
            ends_logins_before,
            ends_session_starts_before,
            committed,
            is_certain,
        };
        stamps.push(stamp);
    }
    let written = client.execute(&sql, &[])?;
    // TRUNCATE counts no rows, and needs none.
    let has_stamped = written > 0 || action == Action::TruncateRoles;
    Ok(if has_stamped { stamps } else { Vec::new() })
}

/// What to call it, the SQL, and whose logins end if that writes a row.
fn statement(form: &Form, action: Action) -> (&'static str, String, Vec<Whose>) {
    let user = |id| Whose::One(Subject::User(id));
    let Form { is_active, is_settled, .. } = form;
    match action {
        Action::Disable(id) => {
            let status = form.disabled(id as usize);
            let sql = format!("UPDATE users SET status = {status} WHERE id = {id} AND {is_active}");
            ("disable", sql, vec![user(id)])
        }
        Action::Enable(id) => {
            let status = form.active(id as usize);
            let sql =
                format!("UPDATE users SET status = {status} WHERE id = {id} AND NOT {is_active}");
            ("enable", sql, vec![user(id)])
        }
        Action::Restate(id, which) => {
            let (active, disabled) = (form.active(which), form.disabled(which));
            let sql = format!(
                "UPDATE users SET status = CASE WHEN {is_active} THEN {active} ELSE {disabled} END
                 WHERE id = {id} AND {is_settled}"
            );
            ("restatement", sql, Vec::new())
        }
        Action::Delete(id) => {
            ("delete", format!("DELETE FROM users WHERE id = {id}"), vec![user(id)])
        }
        Action::Insert(id) => {
            let status = form.active(id as usize);
            let sql =
                format!("INSERT INTO users VALUES ({id}, {status}) ON CONFLICT (id) DO NOTHING");
            ("insert", sql, vec![user(id)])
        }
        // What its status does by itself, it does to the id that it was given for.
        Action::ChangeId(from, to) => {
            let sql = format!("UPDATE users SET id = {to} WHERE id = {from} AND {is_settled}");
            ("change of id", sql, vec![user(from), user(to)])
        }
        Action::ChangePassword(id) => {
            let sql =
                format!("UPDATE users SET password = clock_timestamp()::text WHERE id = {id}");
            ("change of password", sql, vec![user(id)])
        }
        Action::Revoke(id) => {
            let sql = format!("SELECT WHERE session_guard.revoke_sessions({id}) IS NOT NULL");
            ("revoke_sessions", sql, vec![user(id)])
        }
        Action::RevokeAll => {
            let sql = "SELECT session_guard.revoke_all_sessions()".into();
            ("revoke_all_sessions", sql, vec![Whose::AllUsers])
        }
        Action::GrantRole(id) => {
            let sql = format!(
                "INSERT INTO user_role VALUES ({id}, 'reader') ON CONFLICT (user_id) DO NOTHING"
            );
            ("grant of a role", sql, vec![user(id)])
        }
        Action::TakeRole(id) => {
            let sql = format!("DELETE FROM user_role WHERE user_id = {id}");
            ("loss of a role", sql, vec![user(id)])
        }
        Action::ChangeRole(id) => {
            let sql =
                format!("UPDATE user_role SET role = clock_timestamp()::text WHERE user_id = {id}");
            ("change of a role", sql, vec![user(id)])
        }
        Action::MoveRole(from, to) => {
            let sql = format!(
                "UPDATE user_role SET user_id = {to}
                 WHERE user_id = {from} AND NOT EXISTS (SELECT FROM user_role WHERE user_id = {to})"
            );
            ("move of a role", sql, vec![user(from), user(to)])
        }
        Action::TruncateRoles => {
            ("truncate of roles", "TRUNCATE user_role".into(), vec![Whose::AllUsers])
        }
        Action::RevokeTokens(id) => {
            let sql = format!("SELECT session_guard.revoke_tokens('dashboard', '{id}')");
            ("revoke_tokens of a subject", sql, vec![Whose::One(Subject::Token(id))])
        }
        Action::RevokeAllTokens => {
            let sql = "SELECT session_guard.revoke_tokens('dashboard')".into();
            ("revoke_tokens of the scope", sql, vec![Whose::AllTokens])
        }
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
        (Action::Insert(_) | Action::Restate(..), _) => Ok(false),
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
