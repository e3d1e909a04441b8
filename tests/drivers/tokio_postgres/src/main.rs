//! tokio-postgres: the server names the parameters' types unless the program does, and values must be of those.

use chrono::{DateTime, NaiveDateTime, Utc};
use tokio_postgres::types::{Timestamp, ToSql, Type};
use tokio_postgres::{Client, Error, NoTls, Row};

type Value = (Box<dyn ToSql + Sync>, Type);
type Aware = Timestamp<DateTime<Utc>>;

/// `None` if Rust has no such value.
fn natural(kind: &str, text: Option<String>) -> Option<Value> {
    let Some(text) = text else {
        return Some((Box::new(None::<String>), Type::TEXT));
    };
    Some(match kind {
        "int" => (Box::new(text.parse::<i32>().ok()?), Type::INT4),
        "bigint" => (Box::new(text.parse::<i64>().ok()?), Type::INT8),
        "numeric" => return None,
        "uuid" => (Box::new(uuid::Uuid::parse_str(&text).ok()?), Type::UUID),
        "aware" => (Box::new(text.parse::<DateTime<Utc>>().ok()?), Type::TIMESTAMPTZ),
        "naive" => (Box::new(text.parse::<NaiveDateTime>().ok()?), Type::TIMESTAMP),
        "infinity" if text == "infinity" => (Box::new(Aware::PosInfinity), Type::TIMESTAMPTZ),
        "infinity" => (Box::new(Aware::NegInfinity), Type::TIMESTAMPTZ),
        _ => (Box::new(text), Type::TEXT),
    })
}

async fn ask(db: &Client, is_prepared: bool, call: &str, values: &[Value]) -> Result<Row, Error> {
    let places: Vec<String> = (1..=values.len()).map(|n| format!("${n}")).collect();
    let sql = format!("SELECT {call}({})", places.join(", "));
    if is_prepared {
        let types: Vec<Type> = values.iter().map(|(_, of)| of.clone()).collect();
        let statement = db.prepare_typed(&sql, &types).await?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|(value, _)| &**value).collect();
        return db.query_one(&statement, &values).await;
    }
    let values: Vec<(&(dyn ToSql + Sync), Type)> =
        values.iter().map(|(value, of)| (&**value, of.clone())).collect();
    Ok(db.query_typed(&sql, &values).await?.remove(0))
}

async fn is_valid(db: &Client, user_id: &str, login_at: Option<DateTime<Utc>>) -> Result<bool, Error> {
    let rows = db.query_typed("SELECT session_valid($1, $2)", &[(&user_id, Type::TEXT), (&login_at, Type::TIMESTAMPTZ)]).await?;
    let valid: bool = rows[0].get(0);
    Ok(valid)
}

async fn round_trip(db: &Client, user_id: &str) -> Result<String, Error> {
    db.query_typed("SELECT stamp($1)", &[(&user_id, Type::TEXT)]).await?;
    let rows = db.query_typed("SELECT session_start($1)", &[(&user_id, Type::TEXT)]).await?;
    let login_at: Option<DateTime<Utc>> = rows[0].get(0);
    let before = is_valid(db, user_id, login_at).await?;
    db.query_typed("SELECT stamp($1)", &[(&user_id, Type::TEXT)]).await?;
    Ok(format!("{before} {}", is_valid(db, user_id, login_at).await?))
}

/// `None` if Rust has no such value.
async fn put(db: &Client, is_prepared: bool, call: &str, case: &Row) -> Result<Option<String>, Error> {
    let [guard, id, login]: [Option<String>; 3] = [case.get("guard"), case.get("id"), case.get("login")];
    let (id_as, login_as): (&str, &str) = (case.get("id_as"), case.get("login_as"));
    if call == "round_trip" {
        return round_trip(db, id.as_deref().unwrap_or_default()).await.map(Some);
    }
    let guard = guard.map(|guard| -> Value { (Box::new(guard), Type::TEXT) });
    let mut values = Vec::from_iter(guard);
    let Some(user) = natural(id_as, id) else { return Ok(None) };
    values.push(user);
    let given = match login_as {
        "read" => Some(db.query_typed("SELECT read_time($1)", &[(&login, Type::TEXT)]).await?.remove(0)),
        "started" => Some(ask(db, is_prepared, "session_start", &values).await?),
        _ => None,
    };
    values.push(match given {
        Some(row) => (Box::new(row.get::<_, Option<DateTime<Utc>>>(0)), Type::TIMESTAMPTZ),
        None if login.is_none() => (Box::new(None::<DateTime<Utc>>), Type::TIMESTAMPTZ),
        None => match natural(login_as, login) {
            Some(login) => login,
            None => return Ok(None),
        },
    });
    let row = ask(db, is_prepared, call, &values).await?;
    Ok(Some(match call {
        "session_verdict" => row.get(0),
        _ => row.get::<_, bool>(0).to_string(),
    }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let of = |name: &str| std::env::var(name);
    let config = format!("host={} port={} user={} dbname={}", of("PGHOST")?, of("PGPORT")?, of("PGUSER")?, of("PGDATABASE")?);
    let (db, connection) = tokio_postgres::connect(&config, NoTls).await?;
    tokio::spawn(connection);
    let cases = "SELECT name, ask, guard, id_as, id, login_as, login FROM cases ORDER BY name, guard";
    for case in db.query_typed(cases, &[]).await? {
        let (name, guard): (&str, Option<&str>) = (case.get("name"), case.get("guard"));
        let calls: &[&str] = match case.get("ask") {
            "session" => &["session_verdict", "session_valid"],
            "token" => &["token_valid"],
            _ => &["round_trip"],
        };
        for (way, is_prepared) in [("prepared", true), ("unprepared", false)] {
            for call in calls {
                let answer = match put(&db, is_prepared, call, &case).await {
                    Ok(answer) => answer.unwrap_or("error client".to_owned()),
                    Err(error) => format!("error {}", error.code().map_or("client", |state| state.code())),
                };
                println!("{name}\t{}\t{call}\t{way}\t{answer}", guard.unwrap_or_default());
            }
        }
    }
    Ok(())
}
