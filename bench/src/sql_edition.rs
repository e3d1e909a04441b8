//! The library against the SQL edition, which another database has: what moving from one to the other gains.

use crate::measure::{in_turn, seconds};
use crate::result::{Cost, Goal, Line};
use crate::server::{Error, Extent, config, connect};
use postgres::{Client, NoTls};

const USERS: u32 = 10_000;
const CALLS: u32 = 20_000;
const STAMPS: u32 = 2_000;

/// A check, and a stamp, each in a statement of many.
///
/// # Errors
/// If the server refuses.
pub fn library_and_edition(extent: &Extent, costs: &mut Vec<Cost>) -> Result<Vec<Line>, Error> {
    let mut clients = [connect()?, install()?];
    for client in &mut clients {
        client.batch_execute(&format!(
            "SET max_parallel_workers_per_gather = 0;
             CREATE TABLE both_user (id int PRIMARY KEY, active boolean NOT NULL);
             INSERT INTO both_user SELECT n, true FROM generate_series(1, {USERS}) AS n;
             SELECT session_guard.attach('both_user', is_default => false);
             UPDATE both_user SET active = false WHERE id % 20 = 0;
             UPDATE both_user SET active = true WHERE id % 20 = 0;"
        ))?;
        client.batch_execute("VACUUM ANALYZE both_user")?;
    }
    let check = format!(
        "SELECT count(*) FROM generate_series(1, {CALLS}) AS n
         WHERE session_valid('both_user', 1 + n % 1000, now() + interval '5 s')"
    );
    let stamp = format!("UPDATE both_user SET active = NOT active WHERE id <= {STAMPS}");
    let found = in_turn(extent.long_rounds, 4, |contender| {
        let client = &mut clients[contender % 2];
        let (statement, count) = if contender < 2 { (&check, CALLS) } else { (&stamp, STAMPS) };
        let taken = seconds(|| client.batch_execute(statement))?;
        Ok::<f64, Error>(taken * 1e6 / f64::from(count))
    })?;
    costs.push(Cost::check("a call within a statement", "check of the SQL edition", found[1]));
    let line = |what: &str, library: usize| {
        Line::new(what, found[library], found[library + 1], "us each", Goal::None)
    };
    Ok(vec![line("warm check / SQL edition", 0), line("stamp, with its UPDATE / SQL edition", 2)])
}

/// The database of the SQL edition.
fn install() -> Result<Client, Error> {
    const DATABASE: &str = "bench_sql_edition";
    let mut client = config("postgres").connect(NoTls)?;
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))?;
    client.batch_execute(&format!("CREATE DATABASE {DATABASE}"))?;
    let mut client = config(DATABASE).connect(NoTls)?;
    client.batch_execute(&std::fs::read_to_string(std::env::var("SQL_EDITION")?)?)?;
    Ok(client)
}
