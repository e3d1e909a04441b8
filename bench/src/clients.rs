//! One client and one connection, a request after the other, as an app server asks; and new connections.

use crate::cores;
use crate::measure::{Spread, in_turn, seconds};
use crate::result::{Cost, Goal, Line};
use crate::server::{DATABASE, Error, Extent, config, connect};
use postgres::NoTls;
use redis::Commands;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const REQUESTS: i64 = 2000;

/// A server of our own on a free port, which is stopped at the end.
struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    fn start() -> Result<Redis, Error> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
        let process = command.stdout(Stdio::null()).spawn()?;
        let redis = Redis { process, port };
        let patience = Instant::now() + Duration::from_secs(10);
        while redis.connect().is_err() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(redis)
    }

    fn connect(&self) -> Result<redis::Connection, Error> {
        Ok(redis::Client::open(format!("redis://127.0.0.1:{}/", self.port))?.get_connection()?)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Requests a second over TCP on loopback, against a revocation list in Redis.
///
/// # Errors
/// If a server refuses.
pub fn requests(extent: &Extent, login: &str, costs: &mut Vec<Cost>) -> Result<Vec<Line>, Error> {
    cores::share_one()?;
    let redis = Redis::start()?;
    let mut list = redis.connect()?;
    for user in 1..=1000 {
        let _: () = list.set(format!("epoch:{user}"), login)?;
    }
    let mut over_tcp = config(DATABASE);
    over_tcp.host("127.0.0.1");
    let mut clients = [connect_to(&over_tcp)?, connect()?];
    let mut questions = Vec::new();
    for client in &mut clients {
        let valid = format!("SELECT session_valid($1::bigint, '{login}'::timestamptz)");
        questions.push((
            client.prepare(&valid)?,
            client.prepare("SELECT active FROM ab_user WHERE id = $1::bigint")?,
        ));
    }
    let found = in_turn(extent.rounds, 5, |contender| {
        let taken = seconds(|| -> Result<(), Error> {
            for request in 0..REQUESTS {
                let user = 1 + request % 1000;
                match contender {
                    0 | 1 => drop(clients[contender].query_one(&questions[contender].0, &[&user])?),
                    2 | 3 => drop(
                        clients[contender - 2].query_one(&questions[contender - 2].1, &[&user])?,
                    ),
                    _ => {
                        let _: Option<String> = list.get(format!("epoch:{user}"))?;
                    }
                }
            }
            Ok(())
        })?;
        Ok::<f64, Error>(REQUESTS as f64 / taken)
    })?;
    cores::share_all()?;
    const RATE: &str = "requests/s";
    let (tcp, socket) = (found[0], found[1]);
    let alone = |what: &str, rate: Spread| {
        Cost::check("a request of its own, and its answer", what, rate.micros_each())
    };
    costs.extend([
        alone("check, Unix socket", socket),
        alone("check, TCP", tcp),
        alone("read of a primary key, TCP", found[2]),
        alone("GET from Redis, TCP", found[4]),
    ]);
    Ok(vec![
        Line::new("one client, TCP / GET from Redis, TCP", tcp, found[4], RATE, Goal::AtLeast(1.0)),
        Line::new(
            "one client, TCP / read of a primary key, TCP",
            tcp,
            found[2],
            RATE,
            Goal::AtLeast(1.0),
        ),
        Line::new("one client, socket / GET from Redis, TCP", socket, found[4], RATE, Goal::None),
    ])
}

fn connect_to(config: &postgres::Config) -> Result<postgres::Client, Error> {
    Ok(config.connect(NoTls)?)
}

/// A connection for each request.
///
/// # Errors
/// If the server refuses.
pub fn new_connections(extent: &Extent, login: &str) -> Result<Vec<Line>, Error> {
    let questions = [
        format!("SELECT session_valid(7::bigint, '{login}'::timestamptz)"),
        "SELECT 1".to_owned(),
        "SELECT active FROM ab_user WHERE id = 7".to_owned(),
        "LOAD 'pg_session_guard'".to_owned(),
    ];
    cores::share_one()?;
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); questions.len()];
    for _ in 0..extent.rounds * 20 {
        for (question, values) in questions.iter().zip(&mut values) {
            let ask = || -> Result<(), Error> {
                connect()?.simple_query(question)?;
                Ok(())
            };
            values.push(seconds(ask)? * 1000.0);
        }
    }
    cores::share_all()?;
    let found: Vec<Spread> = values.into_iter().map(Spread::of).collect();
    Ok(vec![
        Line::new(
            "first call on a new connection / SELECT 1 on a new one",
            found[0],
            found[1],
            "ms",
            Goal::AtMost(1.15),
        ),
        Line::new(
            "the same / a read of a primary key on a new one",
            found[0],
            found[2],
            "ms",
            Goal::None,
        ),
        Line::new(
            "the library loaded by a new connection / SELECT 1",
            found[3],
            found[1],
            "ms",
            Goal::None,
        ),
    ])
}

/// What a backend grows by when its cache is full.
///
/// # Errors
/// If the server refuses.
pub fn memory(login: &str) -> Result<String, Error> {
    let mut client = connect()?;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let resident = || -> Result<u64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        Ok(line.and_then(|line| line.split_whitespace().next()).unwrap_or("0").parse::<u64>()?
            * 1024)
    };
    let fill = |entries: u32| {
        format!(
            "SELECT count(*) FROM generate_series(1, {entries}) AS n WHERE session_valid(n, '{login}'::timestamptz)"
        )
    };
    client.simple_query(&fill(10))?;
    let before = resident()?;
    client.simple_query(&fill(65_536))?;
    let after = resident()?;
    let bytes = after.saturating_sub(before);
    Ok(format!(
        "a full cache of 65536 integer ids: {bytes} bytes a backend, {} an entry",
        bytes / 65_536
    ))
}
