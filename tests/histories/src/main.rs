//! `histories [--seconds N] [--seed N] [--form ACTIVE_WHEN] [--sql-edition]`: checks concurrent histories on a cluster of its own, made by
//! the PostgreSQL that `PG_CONFIG` names. Each takes the next form of `active_when`, or all take the one that is given. Ends with 1 if a promise was broken.

use cluster::Cluster;
use histories::form::{FORMS, Form};
use histories::server::Servers;
use histories::{plan, run, server};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// One history after the other, so that their records stay small.
const LENGTH: Duration = Duration::from_secs(15);
/// How many epochs a backend keeps: as many as it likes, a few, none. The seed chooses.
const CACHE_ENTRIES: [&str; 4] = ["65536", "1", "2", "0"];
const DATABASE: &str = "guard_histories";

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = pico_args::Arguments::from_env();
    let seconds: u64 = arguments.opt_value_from_str("--seconds")?.unwrap_or(60);
    let seed: Option<u64> = arguments.opt_value_from_str("--seed")?;
    let form: Option<String> = arguments.opt_value_from_str("--form")?;
    let is_sql_edition = arguments.contains("--sql-edition");
    let find = |name: String| Form::named(&name).ok_or(format!("there is no form {name}"));
    let form = form.map(find).transpose()?;
    if let [first, ..] = arguments.finish().as_slice() {
        return Err(format!("what is {first:?}?").into());
    }
    let seed = seed.map_or_else(random_seed, Ok)?;
    if is_sql_edition {
        plan::keep_to_sql_edition();
    }
    let cluster = server::start(true);
    check(&cluster, seconds, seed, form).inspect_err(|_| eprintln!("{}", cluster.end_of_log()))
}

fn check(
    cluster: &Cluster,
    seconds: u64,
    mut seed: u64,
    only: Option<&'static Form>,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let servers = Servers::single(cluster);
    let mut left = Duration::from_secs(seconds);
    let (mut histories, mut violations) = (0, 0);
    while !left.is_zero() {
        let length = left.min(LENGTH);
        let form = only.unwrap_or(Form::of_seed(seed));
        let cache_entries = cache_entries(seed);
        let settings = [("session_guard.cache_entries", cache_entries)];
        server::create_database(&servers, DATABASE, form, "", &settings)?;
        let (seconds, active_when) = (length.as_secs(), form.active_when);
        println!(
            "history of {seconds} s, --seed {seed} --form {active_when}, cache_entries {cache_entries}"
        );
        let report = run::run(&servers, DATABASE, form, seed, length, run::Tables::Maintained)?;
        println!("{report}");
        for (name, is_token) in [("session", false), ("token", true)] {
            if report.history.checks_of(is_token).all(|check| !check.is_valid) {
                return Err(format!("no {name} was ever valid: this history shows nothing").into());
            }
        }
        if let Some(damaged) = server::damaged_indexes(&mut servers.connect(DATABASE)?)? {
            println!("{} indexes damaged", damaged.len());
            if !damaged.is_empty() {
                return Err(damaged.join("\n").into());
            }
        }
        histories += 1;
        violations += report.violations.len();
        left -= length;
        seed += 1;
    }
    println!("{histories} histories, {violations} violations");
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each form meets each of them.
fn cache_entries(seed: u64) -> &'static str {
    let seed = seed as usize;
    CACHE_ENTRIES[(seed + seed / FORMS.len()) % CACHE_ENTRIES.len()]
}

fn random_seed() -> Result<u64, Box<dyn std::error::Error>> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())
}
