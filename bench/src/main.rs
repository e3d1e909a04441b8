//! `make bench`: what the guard costs, in one run, as ratios of medians against what a user would write
//! instead. Prints a table, and writes all that was found to `$RESULT`, from which `bench/plots` draws.

mod bulk;
mod clients;
mod cores;
mod executor;
mod load;
mod measure;
mod result;
mod server;
mod sql_edition;

use result::{Cost, Line};
use server::{Error, Extent};

fn main() -> Result<(), Error> {
    let extent = Extent::of_environment();
    println!("{}", about()?);
    println!("making {} users in three tables", extent.users);
    let login = server::prepare(&extent)?;
    println!("{}", result::heading());
    let mut lines: Vec<Line> = Vec::new();
    let mut costs: Vec<Cost> = Vec::new();
    let mut tell = |of_section: Vec<Line>| {
        of_section.iter().for_each(|line| println!("{}", line.text()));
        lines.extend(of_section);
    };
    tell(executor::calls(&extent, &login, &mut costs)?);
    tell(sql_edition::library_and_edition(&extent, &mut costs)?);
    tell(executor::forms(&extent, &login)?);
    tell(executor::row_level_security(&extent, &login)?);
    tell(load::checks(&extent, &login)?);
    tell(load::both_checks(&extent, &login)?);
    tell(clients::requests(&extent, &login, &mut costs)?);
    tell(load::storm(&extent, &login)?);
    tell(load::logins(&extent, &mut costs)?);
    tell(load::single_disables(&extent, &mut costs)?);
    tell(clients::new_connections(&extent, &login)?);
    tell(bulk::disables(&extent, &mut costs)?);
    tell(bulk::stored_sessions(&extent)?);
    tell(bulk::related_rows(&extent)?);
    tell(executor::scale(&extent, &login)?);
    let memory = clients::memory(&login)?;
    println!("{memory}");
    let missed = lines.iter().filter(|line| !line.is_reached()).count();
    println!("{} goals missed", missed);
    let found = serde_json::json!({
        "about": about()?, "users": extent.users, "costs": costs, "lines": lines, "memory": memory
    });
    let path = std::env::var("RESULT").unwrap_or("target/bench.json".into());
    Ok(std::fs::write(path, serde_json::to_string_pretty(&found)? + "\n")?)
}

/// The machine and the server.
fn about() -> Result<String, Error> {
    let mut client = server::config("postgres").connect(postgres::NoTls)?;
    let version: String = client.query_one("SHOW server_version", &[])?.get(0);
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("a processor", |line| line.trim_start_matches(['\t', ' ', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(format!(
        "PostgreSQL {version}, {cores} cores of {model}; synchronous_commit off, jit off, shared_buffers 3 GB; one client and its backend share a core"
    ))
}
