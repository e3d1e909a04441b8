//! The server that PGHOST, PGPORT and the like lead to, and what is in it.

use postgres::{Client, Config, NoTls};
use std::process::Command;

/// What can go wrong.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The database of the benchmark.
pub const DATABASE: &str = "bench";

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Users in each of the large tables.
    pub users: u32,
    /// Rounds of what takes less than a second each.
    pub rounds: usize,
    /// Rounds of what takes seconds each.
    pub long_rounds: usize,
    /// Seconds of each run of pgbench.
    pub seconds: u32,
    /// Whether ten million users are to be made, too.
    pub ten_million: bool,
}

impl Extent {
    /// As QUICK=1 or FULL=1 say.
    pub fn of_environment() -> Extent {
        let is_set = |name| std::env::var(name).is_ok_and(|value| value == "1");
        let usual = Extent {
            users: 1_000_000,
            rounds: 15,
            long_rounds: 5,
            seconds: 3,
            ten_million: is_set("FULL"),
        };
        match is_set("QUICK") {
            true => Extent { users: 200_000, rounds: 7, long_rounds: 2, seconds: 1, ..usual },
            false => usual,
        }
    }
}

/// Where the server is.
pub fn config(database: &str) -> Config {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let mut config = Config::new();
    config.host(&variable("PGHOST", "/tmp")).user(&variable("PGUSER", "postgres")).dbname(database);
    config.port(variable("PGPORT", "5432").parse().unwrap_or(5432));
    config
}

/// A connection to the database of the benchmark.
///
/// # Errors
/// If the server refuses.
pub fn connect() -> Result<Client, Error> {
    Ok(config(DATABASE).connect(NoTls)?)
}

/// A program of the server's.
pub fn program(name: &str) -> Command {
    Command::new(std::path::Path::new(&std::env::var("BINDIR").unwrap_or_default()).join(name))
}

/// Makes the database, with users, guard and rivals in it; a login time that counts.
///
/// # Errors
/// If the server refuses.
pub fn prepare(extent: &Extent) -> Result<String, Error> {
    let mut client = config("postgres").connect(NoTls)?;
    client.batch_execute("DROP DATABASE IF EXISTS bench WITH (FORCE)")?;
    client.batch_execute("CREATE DATABASE bench")?;
    let mut client = connect()?;
    let noop = std::env::var("NOOP")?;
    client.batch_execute(&format!(
        "CREATE FUNCTION noop(bigint, timestamptz) RETURNS boolean LANGUAGE c STABLE PARALLEL SAFE AS '{noop}', 'noop'"
    ))?;
    client.batch_execute(
        &include_str!("../sql/users.sql").replace(":users", &extent.users.to_string()),
    )?;
    client.batch_execute(include_str!("../sql/rivals.sql"))?;
    client.batch_execute("CREATE EXTENSION pg_session_guard")?;
    // Some have an epoch, as in life.
    for table in ["ab_user", "rival_user"] {
        client.batch_execute(&format!(
            "UPDATE {table} SET active = false WHERE id % 20 = 0; UPDATE {table} SET active = true WHERE id % 20 = 0;"
        ))?;
    }
    client.batch_execute("VACUUM ANALYZE")?;
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let login: String = client.query_one("SELECT clock_timestamp()::text", &[])?.get(0);
    Ok(login)
}
