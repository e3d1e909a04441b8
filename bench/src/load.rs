//! Transactions a second, as pgbench counts them.

use crate::cores;
use crate::measure::{Spread, in_turn};
use crate::result::{Cost, Goal, Line};
use crate::server::{DATABASE, Error, Extent, connect, program};
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TPS: &str = "transactions/s";

/// The users who are at work: a backend meets them again and again.
const AT_WORK: u32 = 1000;

/// What pgbench reaches with a statement, prepared, by so many clients, for one of so many users each time.
fn tps(statement: &str, clients: usize, users: u32, extent: &Extent) -> Result<f64, Error> {
    tps_with("off", statement, clients, users, extent)
}

/// The same with this `synchronous_commit`.
fn tps_with(
    synchronous_commit: &str,
    statement: &str,
    clients: usize,
    users: u32,
    extent: &Extent,
) -> Result<f64, Error> {
    let mut pgbench = program("pgbench");
    pgbench.env("PGOPTIONS", format!("-c synchronous_commit={synchronous_commit}"));
    let (clients, seconds) = (clients.to_string(), extent.seconds.to_string());
    pgbench.args([
        "-n", "-M", "prepared", "-c", &clients, "-j", "1", "-T", &seconds, "-f", "-", DATABASE,
    ]);
    pgbench.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = pgbench.spawn()?;
    let script = format!("\\set id random(1, {users})\n{statement}\n");
    run.stdin.take().ok_or("no standard input")?.write_all(script.as_bytes())?;
    let output = run.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.and_then(|rest| rest.split_whitespace().next()).and_then(|tps| tps.parse().ok());
    tps.ok_or_else(|| format!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// One client and its backend never work at once.
fn choose_cores(clients: usize) -> Result<(), Error> {
    if clients == 1 { cores::share_one() } else { cores::share_all() }
}

/// Checks, against nothing and against a plain read.
///
/// # Errors
/// If pgbench fails.
pub fn checks(extent: &Extent, login: &str) -> Result<Vec<Line>, Error> {
    let statements = [
        format!("SELECT session_valid(:id::bigint, '{login}'::timestamptz);"),
        format!("SELECT noop(:id::bigint, '{login}'::timestamptz);"),
        "SELECT active FROM ab_user WHERE id = :id;".to_owned(),
        "SELECT 1;".to_owned(),
    ];
    let statements = [statements.as_slice(), &[statements[0].clone()]].concat();
    let mut lines = Vec::new();
    for clients in [1, 8] {
        choose_cores(clients)?;
        let found = in_turn(extent.long_rounds, statements.len(), |contender| {
            let users = if contender == 4 { extent.users } else { AT_WORK };
            tps(&statements[contender], clients, users, extent)
        })?;
        let who = format!("pgbench, {clients} client{}", if clients == 1 { "" } else { "s" });
        lines.push(Line::new(
            format!("{who} / the no-op"),
            found[0],
            found[1],
            TPS,
            Goal::AtLeast(0.95),
        ));
        let read = format!("{who} / a read of a primary key");
        lines.push(Line::new(read, found[0], found[2], TPS, Goal::AtLeast(1.0)));
        lines.push(Line::new(format!("{who} / SELECT 1"), found[0], found[3], TPS, Goal::None));
        let all = format!("{who}, any of {} users / a read", extent.users);
        lines.push(Line::new(all, found[4], found[2], TPS, Goal::None));
    }
    Ok(lines)
}

/// What apps write at each login: as in production, where a commit waits for the disk; and as if it never did, by
/// one client, which shows what the processor pays.
///
/// # Errors
/// If pgbench fails.
pub fn logins(extent: &Extent, costs: &mut Vec<Cost>) -> Result<Vec<Line>, Error> {
    let tables = ["ab_user", "plain_user"];
    let mut lines = Vec::new();
    for (clients, flushing) in [(8, "on"), (1, "off")] {
        choose_cores(clients)?;
        let found = in_turn(extent.long_rounds * 2, tables.len(), |table| {
            let table = tables[table];
            let statement = format!(
                "UPDATE {table} SET last_login = now(), login_count = login_count + 1 WHERE id = :id;"
            );
            tps_with(flushing, &statement, clients, extent.users, extent)
        })?;
        let how = if flushing == "on" { "flushed" } else { "not flushed" };
        if clients == 1 {
            let [guarded, plain] = [found[0], found[1]].map(Spread::micros_each);
            costs.extend(Cost::writes("login: UPDATE of last_login, one row", guarded, plain));
        }
        let what = format!("login update, {clients} client(s), commits {how}, guarded / not");
        lines.push(Line::new(what, found[0], found[1], TPS, Goal::AtLeast(0.98)));
    }
    Ok(lines)
}

/// One account disabled or enabled by a statement, which stamps it; by one client, whose commits do not wait for the
/// disk.
///
/// # Errors
/// If pgbench or the server fails.
pub fn single_disables(extent: &Extent, costs: &mut Vec<Cost>) -> Result<Vec<Line>, Error> {
    let tables = ["ab_user", "plain_user"];
    choose_cores(1)?;
    let found = in_turn(extent.long_rounds * 2, tables.len(), |table| {
        let statement = format!("UPDATE {} SET active = NOT active WHERE id = :id;", tables[table]);
        tps(&statement, 1, extent.users, extent)
    })?;
    choose_cores(8)?;
    // As it was for what follows.
    let mut client = connect()?;
    for table in tables {
        client.batch_execute(&format!("UPDATE {table} SET active = true WHERE NOT active"))?;
        client.batch_execute(&format!("VACUUM {table}"))?;
    }
    client.batch_execute("TRUNCATE session_guard.epoch, session_guard.event")?;
    let [guarded, plain] = [found[0], found[1]].map(Spread::micros_each);
    costs.extend(Cost::writes("disable or enable: UPDATE of active, one row", guarded, plain));
    let what = "one statement disables one account, commits not flushed, guarded / not";
    Ok(vec![Line::new(what, found[0], found[1], TPS, Goal::None)])
}

/// A session's own logout asked about along with its user, in one call, where a hundred thousand have logged out.
///
/// # Errors
/// If pgbench or the server fails.
pub fn both_checks(extent: &Extent, login: &str) -> Result<Vec<Line>, Error> {
    let mut client = connect()?;
    client.batch_execute(
        "INSERT INTO session_guard.token_epoch (scope, subject, epoch, reason)
         SELECT 'session', md5(n::text), now(), 'admin: logout' FROM generate_series(1, 100000) AS n",
    )?;
    client.batch_execute("VACUUM ANALYZE session_guard.token_epoch")?;
    let session = format!("session_valid(:id::bigint, '{login}'::timestamptz)");
    let statements = [
        format!("SELECT {session} AND token_valid('session', md5('s' || :id), NULL::timestamptz);"),
        format!("SELECT {session} AND md5('s' || :id) IS NOT NULL;"),
    ];
    choose_cores(1)?;
    let found = in_turn(extent.long_rounds, statements.len(), |contender| {
        tps(&statements[contender], 1, AT_WORK, extent)
    })?;
    let what = "pgbench, 1 client, session_valid AND token_valid / session_valid alone";
    Ok(vec![Line::new(what, found[0], found[1], TPS, Goal::None)])
}

/// Checks while accounts are disabled elsewhere, a hundred a second.
///
/// # Errors
/// If pgbench fails.
pub fn storm(extent: &Extent, login: &str) -> Result<Vec<Line>, Error> {
    let statement = format!("SELECT session_valid(:id::bigint, '{login}'::timestamptz);");
    let found = in_turn(extent.long_rounds, 2, |contender| {
        if contender == 1 {
            return tps(&statement, 8, AT_WORK, extent);
        }
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let storm = scope.spawn(|| disable_a_hundred_a_second(&is_over));
            let tps = tps(&statement, 8, AT_WORK, extent);
            is_over.store(true, Ordering::Relaxed);
            storm.join().map_err(|_| "the storm has ended early")??;
            tps
        })
    })?;
    let what = "pgbench, 8 clients, under 100 disables a second / under none";
    Ok(vec![Line::new(what, found[0], found[1], TPS, Goal::AtLeast(0.9))])
}

fn disable_a_hundred_a_second(is_over: &AtomicBool) -> Result<(), Error> {
    let mut client = connect()?;
    let flip = client.prepare("UPDATE ab_user SET active = NOT active WHERE id = $1")?;
    let began = Instant::now();
    let mut disables = 0;
    while !is_over.load(Ordering::Relaxed) {
        client.execute(&flip, &[&(60_000 + disables % 1000)])?;
        disables += 1;
        let next = began + Duration::from_millis(10) * disables as u32;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
