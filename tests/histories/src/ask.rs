//! Workers that ask `session_valid` and `token_valid` all the time, each in circumstances of its own.

use crate::event::{Check, Subject, Time};
use crate::login::Logins;
use crate::plan;
use postgres::Client;
use postgres::error::SqlState;
use rand::RngExt;
use rand::rngs::StdRng;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

/// The circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Each question a transaction of its own.
    Alone,
    /// Many in a transaction that began long before.
    InTransaction,
    /// Many in one statement that takes long.
    InStatement,
    /// In a parallel worker.
    InParallelWorker,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 4] =
        [Way::Alone, Way::InTransaction, Way::InStatement, Way::InParallelWorker];
}

/// The isolation levels that there are: on a standby, all but the last, SERIALIZABLE (PostgreSQL manual, section "Serializable
/// Isolation Level").
pub fn isolation_levels(on_standby: bool) -> &'static [&'static str] {
    if on_standby { &plan::ISOLATION[..2] } else { plan::isolation_levels() }
}

/// The answers that one worker got.
#[derive(Debug, Default)]
pub struct Answers {
    /// Each answer.
    pub checks: Vec<Check>,
    /// Serialization failures, which a SERIALIZABLE transaction has to expect of any read.
    pub not_serializable: usize,
}

/// Asks until `deadline`.
pub fn work(
    client: &mut Client,
    rng: &mut StdRng,
    way: Way,
    levels: &[&'static str],
    logins: &Logins,
    deadline: Time,
) -> Result<Answers, postgres::Error> {
    let mut answers = Answers::default();
    if way == Way::InParallelWorker {
        // The setting's name changed with PostgreSQL 16.
        client.batch_execute(
            "SELECT set_config(name, 'on', false) FROM pg_settings
             WHERE name IN ('force_parallel_mode', 'debug_parallel_query')",
        )?;
    }
    while Time::now() < deadline {
        if logins.choose(rng).is_none() {
            sleep(Duration::from_millis(1));
            continue;
        }
        match way {
            Way::Alone => answers.checks.extend(ask(client, rng, logins, "a query alone")?),
            Way::InParallelWorker => {
                answers.checks.extend(ask(client, rng, logins, "a parallel worker")?);
            }
            Way::InStatement => ask_in_statement(client, rng, logins, &mut answers.checks)?,
            Way::InTransaction => ask_in_transaction(client, rng, levels, logins, &mut answers)?,
        }
    }
    Ok(answers)
}

fn ask(
    client: &mut Client,
    rng: &mut StdRng,
    logins: &Logins,
    by: &'static str,
) -> Result<Option<Check>, postgres::Error> {
    let Some((place, login)) = logins.choose(rng) else { return Ok(None) };
    let at = SystemTime::from(login.at);
    let began = Time::now();
    let row = match login.of {
        Subject::User(id) => client.query_one("SELECT session_valid($1::int, $2)", &[&id, &at]),
        Subject::Token(id) => {
            client.query_one("SELECT token_valid('dashboard', $1::int::text, $2)", &[&id, &at])
        }
    }?;
    let ended = Time::now();
    Ok(Some(Check { login: place, began, ended, is_valid: row.get(0), by }))
}

fn ask_in_transaction(
    client: &mut Client,
    rng: &mut StdRng,
    levels: &[&'static str],
    logins: &Logins,
    answers: &mut Answers,
) -> Result<(), postgres::Error> {
    let isolation = levels[rng.random_range(0..levels.len())];
    let mut work = || {
        client.batch_execute(&format!("BEGIN ISOLATION LEVEL {isolation}"))?;
        // The first query takes the snapshot.
        client.batch_execute("SELECT count(*) FROM users")?;
        for _ in 0..rng.random_range(10..200) {
            answers.checks.extend(ask(client, rng, logins, isolation)?);
            if rng.random_bool(0.1) {
                sleep(Duration::from_millis(rng.random_range(1..20)));
            }
        }
        client.batch_execute("COMMIT")
    };
    match work() {
        Err(error)
            if isolation == "SERIALIZABLE"
                && error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) =>
        {
            answers.not_serializable += 1;
            client.batch_execute("ROLLBACK")
        }
        outcome => outcome,
    }
}

/// One statement that asks again and again, with the server's clock before and after each answer.
fn ask_in_statement(
    client: &mut Client,
    rng: &mut StdRng,
    logins: &Logins,
    checks: &mut Vec<Check>,
) -> Result<(), postgres::Error> {
    let chosen: Vec<_> = (0..50).filter_map(|_| logins.choose(rng)).collect();
    let (users, tokens): (Vec<_>, Vec<_>) = chosen
        .iter()
        .map(|(_, login)| match login.of {
            Subject::User(id) => (Some(id), None),
            Subject::Token(id) => (None, Some(id)),
        })
        .unzip();
    let times: Vec<SystemTime> = chosen.iter().map(|(_, login)| login.at.into()).collect();
    let rows = client.query(
        "SELECT clock_timestamp(),
                CASE WHEN token IS NULL THEN session_valid(id, at)
                     ELSE token_valid('dashboard', token::text, at) END,
                clock_timestamp(), pg_sleep(0.01)
         FROM unnest($1::int[], $2::int[], $3::timestamptz[]) AS login(id, token, at)",
        &[&users, &tokens, &times],
    )?;
    checks.extend(rows.iter().zip(chosen).map(|(row, (login, _))| Check {
        login,
        began: row.get::<_, SystemTime>(0).into(),
        ended: row.get::<_, SystemTime>(2).into(),
        is_valid: row.get(1),
        by: "a long statement",
    }));
    Ok(())
}
