//! Runs SQL, and gives its results as text.

use postgres::error::SqlState;
use postgres::{Client, SimpleQueryMessage};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs statements that must succeed.
///
/// # Panics
/// If they do not.
#[track_caller]
pub fn run(client: &mut Client, sql: &str) {
    if let Err(error) = client.batch_execute(sql) {
        panic!("{sql}: {error:?}");
    }
}

/// The rows that a query gives, each column as its text; NULL is "∅".
///
/// # Panics
/// If the query fails.
#[track_caller]
pub fn answers(client: &mut Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|n| row.get(n).unwrap_or("∅").to_owned()).collect()).collect()
}

/// The one value that a query gives.
///
/// # Panics
/// If the query fails, or gives anything else.
#[track_caller]
pub fn answer(client: &mut Client, sql: &str) -> String {
    match answers(client, sql).as_mut_slice() {
        [row] if row.len() == 1 => row.remove(0),
        rows => panic!("{sql}: not one value but {rows:?}"),
    }
}

/// The SQLSTATE that statements which must fail fail with.
///
/// # Panics
/// If they succeed, or the connection is lost.
#[track_caller]
pub fn refusal(client: &mut Client, sql: &str) -> SqlState {
    match client.batch_execute(sql) {
        Ok(()) => panic!("{sql}: succeeded"),
        Err(error) => error.code().unwrap_or_else(|| panic!("{sql}: {error:?}")).clone(),
    }
}

/// Waits until a query answers true.
///
/// # Panics
/// If that takes too long.
#[track_caller]
pub fn wait_until(client: &mut Client, sql: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while answer(client, &format!("SELECT ({sql}) IS TRUE")) != "t" {
        assert!(Instant::now() < deadline, "not within 30 s: {sql}");
        sleep(Duration::from_millis(5));
    }
}

/// A row of `session_guard.health()` that is not ok.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whose it is: a guard's name, or ∅.
    pub guard: String,
    /// Which check found it.
    pub check: String,
    /// What is wrong.
    pub detail: String,
    /// The statement that repairs it, or ∅.
    pub remedy: String,
}

/// What `session_guard.health()` finds wrong.
#[track_caller]
pub fn problems(client: &mut Client) -> Vec<Problem> {
    let rows = answers(
        client,
        "SELECT guard, check_name, detail, remedy FROM session_guard.health() WHERE NOT ok",
    );
    rows.into_iter()
        .map(|mut row| Problem {
            remedy: row.remove(3),
            detail: row.remove(2),
            check: row.remove(1),
            guard: row.remove(0),
        })
        .collect()
}

/// Runs the remedies that `session_guard.health()` names, as they stand, until it is content; returns
/// the checks that were repaired. One may come to light only once another is repaired.
///
/// # Panics
/// If a remedy fails, or does not help.
#[track_caller]
pub fn repair(client: &mut Client) -> Vec<String> {
    repair_where(client, |_| true)
}

/// The same, for some of the problems.
///
/// # Panics
/// If a remedy fails, or does not help.
#[track_caller]
pub fn repair_where(client: &mut Client, is_to_repair: impl Fn(&Problem) -> bool) -> Vec<String> {
    let mut repaired = Vec::new();
    for _ in 0..100 {
        let Some(problem) = problems(client).into_iter().find(&is_to_repair) else {
            return repaired;
        };
        // That a table is gone for good, and its guard not wanted any more, only the user knows.
        let remedy = match problem.check == "table" && problem.detail.contains("deletes its row") {
            true => format!("DELETE FROM session_guard.guard WHERE name = '{}'", problem.guard),
            false => problem.remedy.clone(),
        };
        // Whether sessions are to end in a store, only its owner knows.
        let remedy = match problem.check == "store" && problem.detail.contains("add_store") {
            true => add_stores_again(client, &problem.guard),
            false => remedy,
        };
        assert_ne!(remedy, "∅", "no statement repairs it: {problem:?}");
        if let Err(error) = client.batch_execute(&remedy) {
            panic!("{problem:?}: {error:?}");
        }
        let is_left = problems(client).contains(&problem);
        assert!(!is_left, "the remedy does not help: {problem:?}");
        repaired.push(problem.check);
    }
    panic!("no end of remedies: {:?}", problems(client));
}

/// The calls of `add_store` by which a guard has its stores.
fn add_stores_again(client: &mut Client, guard: &str) -> String {
    let calls = format!(
        "SELECT pg_catalog.format('SELECT session_guard.add_store(%L, %L, %L, users => %L)',
                    pg_catalog.format('%I.%I', s.schema_name, s.table_name), user_id_column, revoked_at_column,
                    pg_catalog.format('%I.%I', g.schema_name, g.table_name))
         FROM session_guard.store AS s JOIN session_guard.guard AS g ON g.name = s.guard WHERE g.name = '{guard}'"
    );
    answers(client, &calls).concat().join("; ")
}
