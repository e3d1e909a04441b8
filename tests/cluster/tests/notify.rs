//! With the policy `notify` a stamp commits whatever PostgreSQL's queue of notifications is like: any role that may connect can
//! fill it.

use cluster::{Cluster, Installation, answer, output_of, refusal, run, wait_until};
use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, NoTls};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TABLES: &str = "
    CREATE TABLE users (id int PRIMARY KEY, active boolean);
    INSERT INTO users SELECT n, true FROM generate_series(1, 9) AS n;
    CREATE TABLE user_role (user_id int, role text);";

const GUARD: &str = "
    SELECT session_guard.attach('users');
    SELECT session_guard.watch('user_role', 'user_id');
    SELECT session_guard.configure(notify => true);";

/// Ways to end sessions of user $.
const WAYS: [&str; 5] = [
    "UPDATE users SET active = false WHERE id = $",
    "DELETE FROM users WHERE id = $",
    "INSERT INTO user_role VALUES ($, 'admin')",
    "SELECT session_guard.revoke_sessions($)",
    "SELECT session_guard.revoke_all_sessions()",
];

type Warnings = Arc<Mutex<Vec<(String, String)>>>;

/// A connection as the superuser, and the warnings that it gets: code and text.
fn connect(cluster: &Cluster, database: &str) -> (Client, Warnings) {
    let warnings = Warnings::default();
    let heard = Arc::clone(&warnings);
    let mut config = cluster.config();
    config.dbname(database).notice_callback(move |notice| {
        if notice.severity() == "WARNING" {
            let warning = (notice.code().code().to_owned(), notice.message().to_owned());
            heard.lock().expect("warnings").push(warning);
        }
    });
    (config.connect(NoTls).expect("a connection"), warnings)
}

fn usage(client: &mut Client) -> f64 {
    answer(client, "SELECT pg_notification_queue_usage()").parse().expect("a number")
}

/// A role that may only connect listens in a transaction that stays open, and sends what another would have to hear. Returns the
/// connection that the queue is kept for.
fn fill(cluster: &Cluster, until: f64) -> Client {
    let stranger = || cluster.connect_as("stranger", "postgres").expect("a connection");
    let mut listener = stranger();
    run(&mut listener, "LISTEN noise");
    run(&mut listener, "BEGIN; SELECT 1");
    let mut sender = stranger();
    // Each takes a page of the queue.
    let pages = if cluster.installation().major() >= 17 { 4 } else { 4096 };
    let send = format!(
        "SELECT count(pg_notify('noise', n || repeat('x', 7990))) FROM generate_series(1, {pages}) AS n"
    );
    while usage(&mut sender) <= until {
        match sender.simple_query(&send) {
            Ok(_) => {}
            // It is full.
            Err(error) => {
                assert_eq!(error.code(), Some(&SqlState::PROGRAM_LIMIT_EXCEEDED), "{error:?}");
                break;
            }
        }
    }
    listener
}

/// A cluster whose queue can be filled; `None` where that takes 4 GB of a disk, and a minute or two, unless it is asked for.
fn cluster() -> Option<Cluster> {
    let is_small = Installation::of_environment().major() >= 17;
    if !is_small && std::env::var_os("GUARD_FILL_QUEUE").is_none() {
        println!(
            "SKIPPED: before PostgreSQL 17 the queue is of 8 GB; GUARD_FILL_QUEUE has half of it filled"
        );
        return None;
    }
    let settings: &[&str] = if is_small { &["max_notify_queue_pages = 64"] } else { &[] };
    let cluster = Cluster::start(settings);
    run(&mut cluster.connect("postgres"), "CREATE ROLE stranger LOGIN");
    Some(cluster)
}

/// How full the queue is made.
fn levels(cluster: &Cluster) -> &'static [f64] {
    if cluster.installation().major() >= 17 { &[0.5, 1.0] } else { &[0.5] }
}

/// Whether another connection hears of what this one does.
fn is_heard(listener: &mut Client) -> bool {
    let mut notifications = listener.notifications();
    let next = notifications.timeout_iter(Duration::from_secs(10)).next().expect("a connection");
    next.is_some_and(|notification| notification.channel() == "session_guard")
}

fn check_that_stamps_commit(cluster: &Cluster, database: &str) {
    let (mut app, warnings) = connect(cluster, database);
    let mut listener = cluster.connect(database);
    run(&mut listener, "LISTEN session_guard");
    run(&mut app, "UPDATE users SET active = false WHERE id = 9");
    assert!(is_heard(&mut listener), "the test would show nothing");
    drop(listener);
    for level in levels(cluster) {
        let held = fill(cluster, *level);
        println!("{database}: {:.3} of the queue is in use", usage(&mut app));
        run(
            &mut app,
            "INSERT INTO users SELECT n, true FROM generate_series(1, 9) AS n
             ON CONFLICT (id) DO UPDATE SET active = true",
        );
        for (user, way) in (1..).zip(WAYS) {
            // The epoch of what came before may lie ahead.
            let login = answer(&mut app, &format!("SELECT session_start({user})"));
            warnings.lock().expect("warnings").clear();
            run(&mut app, &format!("BEGIN; {}; COMMIT", way.replace('$', &user.to_string())));
            let verdict = format!("SELECT session_valid({user}, '{login}'::timestamptz)");
            assert_eq!(answer(&mut app, &verdict), "f", "{way}");
            let warnings = warnings.lock().expect("warnings");
            let [(code, message)] = &warnings[..] else { panic!("{way}: {warnings:?}") };
            assert_eq!(code, "54000", "{way}: {message}");
            assert!(message.contains("no notification was sent"), "{way}: {message}");
        }
        if *level == 1.0 {
            // So it would go otherwise.
            let code = refusal(&mut app, "NOTIFY session_guard");
            assert_eq!(code, SqlState::PROGRAM_LIMIT_EXCEEDED);
        }
        drop(held);
        wait_until(&mut app, "pg_notification_queue_usage() < 0.1");
        println!("{database}: with the listener gone, stamps are heard of again");
        let mut listener = cluster.connect(database);
        run(&mut listener, "LISTEN session_guard");
        warnings.lock().expect("warnings").clear();
        run(&mut app, "UPDATE users SET active = NOT active WHERE id = 9");
        assert!(is_heard(&mut listener));
        assert_eq!(warnings.lock().expect("warnings")[..], []);
    }
}

#[test]
fn a_full_queue_of_notifications_stops_no_stamp() {
    let Some(cluster) = cluster() else { return };
    let mut client = cluster.connect("postgres");
    run(&mut client, "CREATE EXTENSION pg_session_guard");
    run(&mut client, TABLES);
    run(&mut client, GUARD);
    drop(client);
    check_that_stamps_commit(&cluster, "postgres");
}

#[test]
fn nor_does_it_in_the_sql_edition() {
    let Some(cluster) = cluster() else { return };
    let folder = cluster.folder().join("sql_edition");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    output_of(Command::new(root.join("scripts/sql-edition")).arg(&folder));
    drop(cluster.create_database("edition"));
    let mut psql = cluster.program("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "edition", "-f"]);
    output_of(psql.arg(folder.join("install.sql")));
    let mut client = cluster.connect("edition");
    run(&mut client, TABLES);
    run(&mut client, GUARD);
    drop(client);
    check_that_stamps_commit(&cluster, "edition");
}
