//! Workers that log in, and issue tokens.

use crate::event::{Login, Means, Subject, Time};
use crate::form::Form;
use crate::plan::{IDS, TOKENS, isolation_levels};
use postgres::Client;
use postgres::error::SqlState;
use rand::RngExt;
use rand::rngs::StdRng;
use std::sync::RwLock;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

/// The logins so far, which all who ask choose from.
#[derive(Debug, Default)]
pub struct Logins(RwLock<Vec<Login>>);

impl Logins {
    fn add(&self, login: Login) {
        self.0.write().expect("no worker panics").push(login);
    }

    /// A login and its place: often one of the latest of its subject, or else any.
    pub fn choose(&self, rng: &mut StdRng) -> Option<(usize, Login)> {
        let logins = self.0.read().expect("no worker panics");
        if logins.is_empty() {
            return None;
        }
        let any = rng.random_range(0..logins.len());
        let of = logins[any].of;
        let place = match rng.random_bool(0.5) {
            true => any,
            false => {
                let latest = logins.iter().enumerate().rev().filter(|(_, login)| login.of == of);
                latest.take(rng.random_range(1..=8)).last().map_or(any, |(place, _)| place)
            }
        };
        Some((place, logins[place].clone()))
    }

    /// All of them, at the end.
    pub fn into_inner(self) -> Vec<Login> {
        self.0.into_inner().expect("no worker panics")
    }
}

/// Logs users in, and now and then issues a token, until `deadline`.
pub fn work(
    client: &mut Client,
    form: &Form,
    rng: &mut StdRng,
    logins: &Logins,
    deadline: Time,
) -> Result<(), postgres::Error> {
    // Whoever changes an account may hold it for seconds.
    client.batch_execute("SET lock_timeout = '200 ms'")?;
    while Time::now() < deadline {
        let of = match rng.random_bool(0.1) {
            true => Subject::Token(rng.random_range(1..=TOKENS)),
            false => Subject::User(rng.random_range(1..=IDS)),
        };
        let began = Time::now();
        let login = match of {
            Subject::User(user) if rng.random() => {
                by_session_start(client, rng, user)?.map(|at| (Means::SessionStart, at))
            }
            Subject::User(user) if !is_active(client, form, user)? => None,
            _ => Some(by_app_clock(rng)),
        };
        let returned = Time::now();
        if let Some((means, at)) = login {
            logins.add(Login { of, means, at, began, returned });
        }
        sleep(Duration::from_millis(rng.random_range(2..20)));
    }
    Ok(())
}

fn is_active(client: &mut Client, form: &Form, user: i32) -> Result<bool, postgres::Error> {
    let sql = format!("SELECT {} FROM users WHERE id = $1", form.is_active);
    match client.query_opt(&sql, &[&user]) {
        // The table is being maintained.
        Err(error) if is_conflict(&error) => Ok(false),
        row => Ok(row?.is_some_and(|row| row.get(0))),
    }
}

fn by_app_clock(rng: &mut StdRng) -> (Means, Time) {
    match rng.random() {
        true => (Means::AppClockInSeconds, Time::now().cut_to_seconds()),
        false => (Means::AppClock, Time::now()),
    }
}

/// In a transaction of its own, of any kind. One that does not commit is no login.
fn by_session_start(
    client: &mut Client,
    rng: &mut StdRng,
    user: i32,
) -> Result<Option<Time>, postgres::Error> {
    let start = |client: &mut Client| {
        let row = client.query_one("SELECT session_start($1::int)", &[&user])?;
        Ok(row.get::<_, Option<SystemTime>>(0).map(Time::from))
    };
    let outcome = if rng.random_bool(0.6) {
        start(client)
    } else {
        let levels = isolation_levels();
        let isolation = levels[rng.random_range(0..levels.len())];
        client.batch_execute(&format!("BEGIN ISOLATION LEVEL {isolation}"))?;
        let outcome = start(client);
        let end = if outcome.is_ok() && rng.random_bool(0.9) { "COMMIT" } else { "ROLLBACK" };
        client.batch_execute(end)?;
        outcome.map(|at| at.filter(|_| end == "COMMIT"))
    };
    match outcome {
        Err(error) if is_conflict(&error) => Ok(None),
        outcome => outcome,
    }
}

fn is_conflict(error: &postgres::Error) -> bool {
    let expected = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    error.code().is_some_and(|code| expected.contains(code))
}
