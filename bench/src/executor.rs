//! Calls within one statement: what the function itself costs.

use crate::measure::{in_turn, seconds};
use crate::result::{Cost, Goal, Line};
use crate::server::{Error, Extent, connect};
use postgres::Client;

/// `calls` of a function in one statement, in nanoseconds a call.
fn nanoseconds(client: &mut Client, call: &str, calls: u32) -> Result<f64, Error> {
    let statement = format!("SELECT count(*) FROM generate_series(1, {calls}) AS n WHERE {call}");
    Ok(seconds(|| client.simple_query(&statement).map(|_| ()))? * 1e9 / f64::from(calls))
}

/// Warm and cold calls, against no function at all and against the rivals.
///
/// # Errors
/// If the server refuses.
pub fn calls(extent: &Extent, login: &str, costs: &mut Vec<Cost>) -> Result<Vec<Line>, Error> {
    const NS: &str = "ns a call";
    let mut client = connect()?;
    client.batch_execute("SET max_parallel_workers_per_gather = 0")?;
    client.batch_execute(
        "CREATE TABLE uuid_user (id uuid PRIMARY KEY, active boolean);
         INSERT INTO uuid_user SELECT lpad(n::text, 32, '0')::uuid, true FROM generate_series(1, 1000) AS n;
         SELECT session_guard.attach('uuid_user', is_default => false);",
    )?;
    let few = "1 + n % 1000";
    let uuids = "lpad((1 + n % 1000)::text, 32, '0')::uuid";
    // Ids of ten thousand users fit into the processor's caches; those of all do not, for anybody.
    let many = "1 + (n::bigint * 7919) % 10000".to_owned();
    let all = format!("1 + (n::bigint * 7919) % {}", extent.users);
    let call = |function: &str, id: &str| format!("{function}({id}, '{login}'::timestamptz)");
    let contenders = [
        (1_000_000, "on", call("session_valid", few)),
        (1_000_000, "on", call("noop", few)),
        (50_000, "on", call("rival_sql", few)),
        (50_000, "on", call("rival_plpgsql", few)),
        (50_000, "off", call("session_valid", &many)),
        (50_000, "on", call("rival_sql", &many)),
        (50_000, "on", call("rival_plpgsql", &many)),
        (500_000, "on", call("session_valid", &format!("({few})::text"))),
        (500_000, "on", format!("noop(length(({few})::text), '{login}'::timestamptz)")),
        (500_000, "on", format!("session_valid('uuid_user', {uuids}, '{login}'::timestamptz)")),
        (500_000, "on", format!("noop(length({uuids}::text), '{login}'::timestamptz)")),
        (50_000, "off", call("session_valid", &all)),
        (50_000, "on", call("rival_sql", &all)),
        (50_000, "on", call("rival_plpgsql", &all)),
    ];
    let found = in_turn(extent.rounds, contenders.len(), |contender| {
        let (calls, cache, call) = &contenders[contender];
        // One entry, and the guard's own epoch: every call is a miss.
        let entries = if *cache == "on" { 65_536 } else { 1 };
        client.batch_execute(&format!("SET session_guard.cache_entries = {entries}"))?;
        nanoseconds(&mut client, call, *calls)
    })?;
    let within = |what: &str, contender: usize| {
        Cost::check("a call within a statement", what, found[contender].times(1e-3))
    };
    costs.extend([
        within("C function that does nothing", 1),
        within("check, account kept by the backend", 0),
        within("check, account read from the tables", 4),
        within("the same rules as an SQL function", 5),
        within("the same rules in PL/pgSQL", 6),
    ]);
    let faster =
        |a: usize, b: usize| if found[a].median < found[b].median { found[a] } else { found[b] };
    Ok(vec![
        Line::new("warm call / no-op in C", found[0], found[1], NS, Goal::AtMost(1.5)),
        Line::new(
            "warm call / faster of SQL and PL/pgSQL",
            found[0],
            faster(2, 3),
            NS,
            Goal::AtMost(0.05),
        ),
        Line::new("warm call / SQL function", found[0], found[2], NS, Goal::None),
        Line::new("warm call / PL/pgSQL function", found[0], found[3], NS, Goal::None),
        Line::new(
            "cold call / faster of SQL and PL/pgSQL",
            found[4],
            faster(5, 6),
            NS,
            Goal::AtMost(0.5),
        ),
        Line::new(
            format!("cold call, any of {} users / faster of both", extent.users),
            found[11],
            faster(12, 13),
            NS,
            Goal::None,
        ),
        Line::new("warm call, id as text / no-op", found[7], found[8], NS, Goal::None),
        Line::new("warm call, id a uuid, named guard / no-op", found[9], found[10], NS, Goal::None),
    ])
}

/// Warm calls for a status of each form, against those for a boolean that is to be true.
///
/// # Errors
/// If the server refuses.
pub fn forms(extent: &Extent, login: &str) -> Result<Vec<Line>, Error> {
    // What the form is, the column's type, and a value of an account that is active.
    const FORMS: [(&str, &str, &str); 6] = [
        ("true", "boolean", "true"),
        ("false", "boolean", "false"),
        ("null", "timestamptz", "NULL"),
        ("past", "timestamptz", "now() - interval '1 day'"),
        ("future", "timestamptz", "now() + interval '1 day'"),
        ("{trial,active}", "text", "'active'"),
    ];
    let mut client = connect()?;
    client.batch_execute("SET max_parallel_workers_per_gather = 0")?;
    for (place, (form, column_type, value)) in FORMS.iter().enumerate() {
        client.batch_execute(&format!(
            "CREATE TABLE by_form_{place} (id int PRIMARY KEY, status {column_type});
             INSERT INTO by_form_{place} SELECT n, {value} FROM generate_series(1, 1000) AS n;
             SELECT session_guard.attach('by_form_{place}', active_column => 'status', active_when => '{form}', is_default => false);"
        ))?;
    }
    let found = in_turn(extent.rounds, FORMS.len(), |place| {
        let id = "1 + n % 1000";
        let call = format!("session_valid('by_form_{place}', {id}, '{login}'::timestamptz)");
        nanoseconds(&mut client, &call, 1_000_000)
    })?;
    let of_form = |place: usize| {
        let what = format!("warm call, active_when '{}' / 'true'", FORMS[place].0);
        Line::new(what, found[place], found[0], "ns a call", Goal::AtMost(1.1))
    };
    Ok((1..FORMS.len()).map(of_form).collect())
}

/// A scan under a policy of row-level security.
///
/// # Errors
/// If the server refuses.
pub fn row_level_security(extent: &Extent, login: &str) -> Result<Vec<Line>, Error> {
    let mut client = connect()?;
    let setup = include_str!("../sql/rls.sql").replace(":rows", &extent.users.to_string());
    client.batch_execute("DROP ROLE IF EXISTS bench_reader")?;
    client.batch_execute(&setup.replace(":login", &format!("'{login}'")))?;
    client.batch_execute("VACUUM ANALYZE guarded_doc, noop_doc")?;
    client.batch_execute("SET max_parallel_workers_per_gather = 0; SET ROLE bench_reader")?;
    let tables = ["guarded_doc", "noop_doc"];
    let found = in_turn(extent.rounds, tables.len(), |table| {
        let scan = format!("SELECT count(*) FROM {}", tables[table]);
        Ok::<f64, Error>(seconds(|| client.simple_query(&scan).map(|_| ()))? * 1000.0)
    })?;
    client.batch_execute("RESET ROLE")?;
    let what = format!("row-level security, {} rows / the same with the no-op", extent.users);
    Ok(vec![Line::new(what, found[0], found[1], "ms", Goal::AtMost(1.5))])
}

/// Does it matter how many users there are?
///
/// # Errors
/// If the server refuses.
pub fn scale(extent: &Extent, login: &str) -> Result<Vec<Line>, Error> {
    let mut client = connect()?;
    client.batch_execute("SET max_parallel_workers_per_gather = 0")?;
    let mut sizes = vec![10_000, extent.users];
    if extent.ten_million {
        sizes.push(10_000_000);
    }
    for size in &sizes {
        client.batch_execute(&format!(
            "CREATE TABLE users_{size} (id int PRIMARY KEY, active boolean);
             INSERT INTO users_{size} SELECT n, true FROM generate_series(1, {size}) AS n;
             SELECT session_guard.attach('users_{size}', is_default => false);"
        ))?;
        client.batch_execute(&format!("VACUUM ANALYZE users_{size}"))?;
    }
    let found = in_turn(extent.rounds, sizes.len() * 2, |contender| {
        let (size, is_warm) = (sizes[contender / 2], contender % 2 == 0);
        let entries = if is_warm { 65_536 } else { 1 };
        client.batch_execute(&format!("SET session_guard.cache_entries = {entries}"))?;
        let id = if is_warm {
            "1 + n % 1000".into()
        } else {
            format!("1 + (n::bigint * 7919) % {size}")
        };
        let call = format!("session_valid('users_{size}', {id}, '{login}'::timestamptz)");
        nanoseconds(&mut client, &call, if is_warm { 500_000 } else { 50_000 })
    })?;
    let mut lines = Vec::new();
    for (place, size) in sizes.iter().enumerate().skip(1) {
        for (offset, kind) in ["warm", "cold"].iter().enumerate() {
            let what = format!("{kind} call, {size} users / 10000 users");
            lines.push(Line::new(
                what,
                found[place * 2 + offset],
                found[offset],
                "ns a call",
                Goal::None,
            ));
        }
    }
    Ok(lines)
}
