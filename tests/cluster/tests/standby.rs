//! A hot standby never says `valid` later than its staleness allows, and refuses what only the primary can do.

use cluster::{
    Cluster, DelayingProxy, Problem, answer, answers, forms, kill, number_from_environment,
    problems, refusal, run, scenario, wait_until,
};
use histories::form::Form;
use histories::run::Tables;
use histories::server::Servers;
use postgres::Client;
use postgres::error::SqlState;
use rustix::process::Signal;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

const USERS: u32 = 50;
const TABLE: &str = "
    CREATE TABLE ab_user (id int PRIMARY KEY, active boolean, password text);
    CREATE TABLE ab_user_role (user_id int REFERENCES ab_user, role_id int);";

/// A primary with a guard.
fn primary(settings: &[&str]) -> Cluster {
    let primary = Cluster::start(settings);
    let mut client = primary.connect("postgres");
    run(&mut client, TABLE);
    run(
        &mut client,
        &format!(
            "INSERT INTO ab_user SELECT n, true FROM generate_series(1, {USERS}) AS n;
             CREATE EXTENSION pg_session_guard;
             SELECT session_guard.attach('ab_user', revoke_on => '{{password}}');
             SELECT session_guard.watch('ab_user_role', 'user_id');"
        ),
    );
    primary
}

fn reload(cluster: &Cluster, settings: &[&str]) {
    cluster.configure(settings);
    run(&mut cluster.connect("postgres"), "SELECT pg_reload_conf()");
}

fn verdict(client: &mut Client, id: u32, login: &str) -> String {
    answer(client, &format!("SELECT session_verdict({id}, '{login}')"))
}

fn login(client: &mut Client, id: u32) -> String {
    answer(client, &format!("SELECT session_start({id})"))
}

fn wait_for_replay(primary: &mut Client, standby: &mut Client) {
    let sent = answer(primary, "SELECT pg_current_wal_lsn()");
    wait_until(standby, &format!("SELECT pg_last_wal_replay_lsn() >= '{sent}'"));
}

/// Ways to end a session of a user whom none of them has ended before.
const WAYS: [&str; 6] = [
    "UPDATE ab_user SET active = false WHERE id = $",
    "UPDATE ab_user SET password = 'new' WHERE id = $",
    "INSERT INTO ab_user_role VALUES ($, 1)",
    "SELECT session_guard.revoke_sessions($)",
    "DELETE FROM ab_user WHERE id = $",
    "SELECT session_guard.revoke_all_sessions()",
];

#[test]
fn no_caller_can_forget_to_wait_for_the_standbys() {
    let primary = primary(&["synchronous_commit = local"]);
    let standbys = [Cluster::standby_of(&primary), Cluster::standby_of(&primary)];
    reload(&primary, &["synchronous_standby_names = 'ANY 2 (*)'"]);
    let mut there = primary.connect("postgres");
    configure(&mut there, "revocation_durability => 'remote_apply'");
    wait_until(
        &mut there,
        "SELECT count(*) = 2 FROM pg_stat_replication WHERE sync_state = 'quorum'",
    );
    let mut warm = standbys.each_ref().map(|standby| standby.connect("postgres"));
    let mut operators = standbys.each_ref().map(|standby| standby.connect("postgres"));
    let (mut asked, mut user) = (0, 0);
    for round in 0..8 {
        for (number, way) in WAYS.into_iter().enumerate() {
            user += 1;
            // As long as nobody's epoch is ahead of the clock, none has to be waited for.
            let session = login(&mut there, user);
            for here in &mut warm {
                wait_for_replay(&mut there, here);
                assert_eq!(verdict(here, user, &session), "valid");
            }
            // Now and then a standby does not replay for a while.
            let paused = (round + number) % 4 == 0;
            let operator = &mut operators[round % 2];
            if paused {
                run(operator, "SELECT pg_wal_replay_pause()");
                wait_until(operator, "SELECT pg_get_wal_replay_pause_state() = 'paused'");
            }
            let began = Instant::now();
            thread::scope(|scope| {
                if paused {
                    scope.spawn(|| {
                        sleep(Duration::from_millis(100));
                        run(operator, "SELECT pg_wal_replay_resume()");
                    });
                }
                run(&mut there, &way.replace('$', &user.to_string()));
            });
            assert!(!paused || began.elapsed() >= Duration::from_millis(100), "{way} did not wait");
            for here in &mut warm {
                assert_ne!(verdict(here, user, &session), "valid", "after {way}");
                asked += 1;
            }
        }
        run(
            &mut there,
            "DELETE FROM ab_user_role; DELETE FROM ab_user; TRUNCATE session_guard.epoch, session_guard.guard_epoch;",
        );
        run(
            &mut there,
            &format!("INSERT INTO ab_user SELECT n, true FROM generate_series(1, {USERS}) AS n"),
        );
        run(&mut there, "TRUNCATE session_guard.epoch");
        user = 0;
    }
    println!("{asked} answers of standbys after a stamp, none of them valid");

    // It is decided at COMMIT: no setting that is made before it can undo it, and the caller's own
    // setting is what it was.
    run(
        &mut there,
        "CREATE FUNCTION off(int) RETURNS void SET synchronous_commit = off LANGUAGE sql
                     AS 'UPDATE ab_user SET active = NOT active WHERE id = $1'",
    );
    let ways = [
        "UPDATE ab_user SET active = false WHERE id = $; SET LOCAL synchronous_commit = off; COMMIT",
        "UPDATE ab_user SET active = false WHERE id = $; SET synchronous_commit = off; COMMIT",
        "INSERT INTO ab_user_role VALUES ($, 1); SET LOCAL synchronous_commit = local; COMMIT",
        "SET LOCAL synchronous_commit = off; SELECT session_guard.revoke_sessions($); COMMIT",
        "SELECT off($); COMMIT",
        "SAVEPOINT here; SELECT off($); RELEASE here; COMMIT",
    ];
    run(&mut there, "SET synchronous_commit = local");
    for (user, way) in (1..).zip(ways) {
        let session = login(&mut there, user);
        for (here, operator) in warm.iter_mut().zip(&mut operators) {
            wait_for_replay(&mut there, here);
            assert_eq!(verdict(here, user, &session), "valid");
            run(operator, "SELECT pg_wal_replay_pause()");
            wait_until(operator, "SELECT pg_get_wal_replay_pause_state() = 'paused'");
        }
        let began = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                sleep(Duration::from_millis(100));
                for operator in &mut operators {
                    run(operator, "SELECT pg_wal_replay_resume()");
                }
            });
            // Each statement by itself, as an app sends them.
            run(&mut there, "BEGIN");
            for statement in way.replace('$', &user.to_string()).split("; ") {
                run(&mut there, statement);
            }
        });
        assert!(began.elapsed() >= Duration::from_millis(100), "{way} did not wait");
        for here in &mut warm {
            assert_ne!(verdict(here, user, &session), "valid", "after {way}");
        }
        let expected = if way.contains("SET synchronous_commit = off") { "off" } else { "local" };
        assert_eq!(answer(&mut there, "SHOW synchronous_commit"), expected, "{way}");
        run(&mut there, "SET synchronous_commit = local");
    }

    // What stamps nothing waits for nobody, nor what is taken back.
    for operator in &mut operators {
        run(operator, "SELECT pg_wal_replay_pause()");
        wait_until(operator, "SELECT pg_get_wal_replay_pause_state() = 'paused'");
    }
    run(&mut there, "SET statement_timeout = '20s'");
    run(&mut there, "UPDATE ab_user SET password = password WHERE id = 1");
    run(&mut there, "BEGIN; SELECT session_guard.revoke_sessions(1); ROLLBACK");
    for operator in &mut operators {
        run(operator, "SELECT pg_wal_replay_resume()");
    }

    // Under the other policy the same goes wrong: it is what the test above sees at work.
    configure(&mut there, "revocation_durability => 'local'");
    let session = login(&mut there, 20);
    let [here, _] = &mut warm;
    wait_for_replay(&mut there, here);
    run(here, "SELECT pg_wal_replay_pause()");
    wait_until(here, "SELECT pg_get_wal_replay_pause_state() = 'paused'");
    run(&mut there, "UPDATE ab_user SET active = false WHERE id = 20");
    assert_eq!(verdict(here, 20, &session), "valid");
    run(here, "SELECT pg_wal_replay_resume()");
}

/// No stamp does it: the standby is to know of the time before it comes.
#[test]
fn an_expiry_that_is_brought_forward_waits_for_the_standby() {
    let primary = primary(&["synchronous_commit = local"]);
    let standby = Cluster::standby_of(&primary);
    let mut there = primary.connect("postgres");
    run(
        &mut there,
        "CREATE TABLE account (id int PRIMARY KEY, valid_until timestamptz, seen timestamptz);
         INSERT INTO account VALUES (1, NULL), (2, now() + interval '1 day');
         SELECT session_guard.attach('account', active_column => 'valid_until', active_when => 'future')",
    );
    configure(&mut there, "revocation_durability => 'remote_apply'");
    reload(&primary, &["synchronous_standby_names = '*'"]);
    wait_until(
        &mut there,
        "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
    );
    let mut here = standby.connect("postgres");
    let mut operator = standby.connect("postgres");
    for id in [1, 2] {
        let session = answer(&mut there, &format!("SELECT session_start('account', {id})"));
        let verdict = format!("SELECT session_verdict('account', {id}, '{session}')");
        wait_for_replay(&mut there, &mut here);
        assert_eq!(answer(&mut here, &verdict), "valid");
        run(&mut operator, "SELECT pg_wal_replay_pause()");
        wait_until(&mut operator, "SELECT pg_get_wal_replay_pause_state() = 'paused'");
        // What changes nothing of it waits for nobody.
        run(&mut there, &format!("UPDATE account SET seen = now() WHERE id = {id}"));
        let pid = answer(&mut there, "SELECT pg_backend_pid()");
        let mut observer = primary.connect("postgres");
        thread::scope(|scope| {
            let update = scope.spawn(|| {
                run(
                    &mut there,
                    &format!(
                        "UPDATE account SET valid_until = clock_timestamp() + interval '1 s' WHERE id = {id}"
                    ),
                );
            });
            wait_until(
                &mut observer,
                &format!("SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = {pid}"),
            );
            run(&mut operator, "SELECT pg_wal_replay_resume()");
            update.join().expect("the update");
        });
        wait_until(
            &mut here,
            &format!("SELECT valid_until < clock_timestamp() FROM account WHERE id = {id}"),
        );
        assert_eq!(answer(&mut here, &verdict), "disabled");
    }
}

/// The checker of concurrent histories, with the questions put to the standbys, while their replaying is held up now and then.
#[test]
fn under_load_no_standby_lets_in_whom_a_commit_has_put_out() {
    let histories = number_from_environment("GUARD_HISTORIES", 6);
    let primary = Cluster::start(&["synchronous_commit = local"]);
    let standbys = [Cluster::standby_of(&primary), Cluster::standby_of(&primary)];
    standbys.iter().for_each(|standby| reload(standby, &["hot_standby_feedback = on"]));
    reload(&primary, &["synchronous_standby_names = 'ANY 2 (*)'"]);
    let servers = Servers::replicated(&primary, &standbys);
    let mut there = primary.connect("postgres");
    let mut operators = standbys.each_ref().map(|standby| standby.connect("postgres"));
    let (mut asked, mut valid) = (0, 0);
    for seed in 1..=histories {
        let policies = "revocation_durability => 'remote_apply', max_standby_staleness => '5 s'";
        let form = Form::of_seed(seed);
        histories::server::create_database(&servers, "histories", form, policies, &[])
            .expect("a database");
        operators.iter_mut().for_each(|operator| wait_for_replay(&mut there, operator));
        let is_over = AtomicBool::new(false);
        let report = thread::scope(|scope| {
            for (number, operator) in operators.iter_mut().enumerate() {
                let is_over = &is_over;
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        sleep(Duration::from_millis(700 + 400 * number as u64));
                        run(operator, "SELECT pg_wal_replay_pause()");
                        sleep(Duration::from_millis(100));
                        run(operator, "SELECT pg_wal_replay_resume()");
                    }
                });
            }
            let length = Duration::from_secs(8);
            let report =
                histories::run::run(&servers, "histories", form, seed, length, Tables::LeftAlone);
            is_over.store(true, Ordering::Relaxed);
            report
        });
        let report = report.expect("no question raises");
        println!("{report}");
        assert_eq!(report.violations, []);
        asked += report.history.checks.len();
        valid += report.history.checks.iter().filter(|check| check.is_valid).count();
    }
    println!("{asked} checks at two standbys, of which {valid} valid, and no violation");
    assert!(valid > 0);
}

/// Whatever a status looks like, and also when it changes because a time passes.
#[test]
fn a_standby_reads_a_status_of_each_form_as_the_primary_does() {
    let primary = primary(&[]);
    let mut there = primary.connect("postgres");
    let standby = Cluster::standby_of(&primary);
    let mut here = standby.connect("postgres");
    forms::create_tables(&mut there);
    forms::attach(&mut there);
    let sessions = forms::fill(&mut there);
    wait_for_replay(&mut there, &mut here);
    // The second time, those who are active are known.
    for client in [&mut there, &mut here] {
        forms::check_sessions(client, &sessions);
        forms::check_sessions(client, &sessions);
    }

    println!("a ban that ends, and an account that expires");
    let of =
        |table: &'static str, login| scenario::Session { table, id: "1", login, is_live: true };
    let [banned, expiring] =
        ["by_past", "by_future"].map(|table| of(table, scenario::login(&mut there, table, "1")));
    // The same instant for both, far enough ahead for a busy machine to ask before it.
    let soon: String = answer(
        &mut there,
        "SELECT ((clock_timestamp() + interval '5 s') AT TIME ZONE 'UTC')::text",
    );
    for table in [banned.table, expiring.table] {
        run(&mut there, &format!("UPDATE {table} SET status = '{soon}' WHERE id = 1"));
    }
    wait_for_replay(&mut there, &mut here);
    let verdicts =
        |client: &mut Client| [&banned, &expiring].map(|session| session.verdict(client));
    assert_eq!(verdicts(&mut here), ["disabled", "valid"]);
    wait_until(
        &mut here,
        &format!("SELECT clock_timestamp() AT TIME ZONE 'UTC' > '{soon}'::timestamp"),
    );
    assert_eq!(verdicts(&mut here), ["revoked", "disabled"]);
    let next = of(banned.table, scenario::login(&mut there, banned.table, "1"));
    assert_eq!(next.verdict(&mut here), "valid");

    println!("promoted");
    drop(there);
    drop(primary);
    standby.promote();
    run(
        &mut here,
        "UPDATE by_past SET status = NULL; UPDATE by_future SET status = NULL WHERE id = 1",
    );
    assert_eq!(verdicts(&mut here), ["revoked", "revoked"]);
    assert_eq!(next.verdict(&mut here), "valid");
    forms::check_guarding(&mut here);
}

/// The longest that a standby of the tests below may be behind.
const BOUND: Duration = Duration::from_secs(1);

fn configure(client: &mut Client, policies: &str) {
    run(client, &format!("SELECT session_guard.configure({policies})"));
}

fn configure_bound(client: &mut Client) {
    configure(client, &format!("max_standby_staleness => '{} ms'", BOUND.as_millis()));
}

fn is_stale(client: &mut Client) -> bool {
    verdict(client, 1, "now") == "stale_replica"
}

/// Waits until it is, or is not, and says when it was last asked before that.
fn wait_until_stale(client: &mut Client, is_wanted: bool) -> Duration {
    let began = Instant::now();
    let mut last_asked = Duration::ZERO;
    loop {
        let asked = began.elapsed();
        if is_stale(client) == is_wanted {
            return last_asked;
        }
        assert!(asked < Duration::from_secs(120), "stale for ever, or never");
        last_asked = asked;
        sleep(Duration::from_millis(10));
    }
}

/// That an idle primary may be silent for too long is told, and each remedy is one statement that any client can send.
#[track_caller]
fn mend_silence(here: &mut Client) {
    const TOLD: &str =
        "SELECT remedy FROM session_guard.health() WHERE NOT ok AND remedy !~ 'replay_resume'";
    let remedies = answers(here, TOLD).concat();
    assert_eq!(remedies.len(), 2, "{remedies:?}");
    for remedy in remedies {
        run(here, &remedy);
    }
    wait_until(here, &format!("SELECT NOT EXISTS ({TOLD})"));
}

/// The blocks of code of one kind on the page that says how standbys are set up.
fn documented(kind: &str) -> Vec<&'static str> {
    let blocks = include_str!("../../../docs/replicas.md").split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(kind)).collect()
}

/// Answers all the time, while nothing at all happens.
#[track_caller]
fn check_idle(here: &mut Client, session: &str, length: Duration) {
    let idle = Instant::now();
    while idle.elapsed() < length {
        assert_eq!(verdict(here, 1, session), "valid", "idle for {:?}", idle.elapsed());
        sleep(Duration::from_millis(20));
    }
    assert_eq!(checks(&problems(here)), [""; 0]);
}

#[test]
fn set_up_as_the_docs_say_a_standby_of_an_idle_primary_always_answers() {
    let [of_primary, of_each] = documented("ini\n")[..] else { panic!("not two files") };
    let [policies] = documented("sql\n")[..] else { panic!("not one statement") };
    // What is not documented is as PostgreSQL has it.
    let primary = primary(&["wal_sender_timeout = 60s", of_each]);
    let standby = Cluster::standby_of(&primary);
    reload(&primary, &[of_primary]);
    let mut there = primary.connect("postgres");
    run(&mut there, policies);
    let bound = answer(&mut there, "SELECT max(max_standby_staleness) FROM session_guard.policy");
    assert_eq!(bound, "00:00:05");
    let session = login(&mut there, 1);
    let mut here = standby.connect("postgres");
    wait_for_replay(&mut there, &mut here);
    wait_until_stale(&mut here, false);
    assert_eq!(checks(&problems(&mut there)), [""; 0]);
    check_idle(&mut here, &session, Duration::from_secs(20));
}

/// A primary that asks for a reply after a while is never silent for longer, but that a standby's own reports come first.
#[test]
fn a_primary_that_is_silent_while_standbys_report_is_told() {
    let primary = primary(&["wal_sender_timeout = 30s"]);
    let standby = Cluster::standby_of(&primary);
    let mut there = primary.connect("postgres");
    let mut here = standby.connect("postgres");
    configure(&mut there, "max_standby_staleness => '20 s'");
    wait_for_replay(&mut there, &mut here);
    let details = answers(
        &mut here,
        "SELECT detail FROM session_guard.health() WHERE check_name = 'standby' AND NOT ok",
    );
    assert!(details.concat()[0].contains("may be silent for 30 s"), "{details:?}");

    println!("the same in a tenth of the time");
    reload(&primary, &["wal_sender_timeout = 3s"]);
    reload(&standby, &["wal_receiver_status_interval = 1s", "wal_receiver_timeout = 6s"]);
    configure(&mut there, "max_standby_staleness => '2 s'");
    wait_for_replay(&mut there, &mut here);
    wait_until_stale(&mut here, true);
    wait_until_stale(&mut here, false);

    println!("it does not hide that replay is paused");
    run(&mut here, "SELECT pg_wal_replay_pause()");
    wait_until(&mut here, "SELECT pg_get_wal_replay_pause_state() = 'paused'");
    run(&mut there, "UPDATE ab_user SET password = 'new' WHERE id = 3");
    wait_until(
        &mut here,
        "SELECT count(*) = 3 FROM session_guard.health() WHERE check_name = 'standby' AND NOT ok",
    );
    run(&mut here, "SELECT pg_wal_replay_resume()");

    mend_silence(&mut here);
    wait_until_stale(&mut here, false);
    let session = login(&mut there, 1);
    check_idle(&mut here, &session, Duration::from_secs(10));
}

#[test]
fn a_standby_that_may_be_too_far_behind_refuses() {
    let mut primary = primary(&["wal_sender_timeout = 60s"]);
    let standby = Cluster::standby_of(&primary);
    reload(&standby, &["wal_retrieve_retry_interval = 200ms"]);
    let mut there = primary.connect("postgres");
    let mut here = standby.connect("postgres");
    configure_bound(&mut there);
    wait_for_replay(&mut there, &mut here);

    println!("by PostgreSQL's own defaults an idle primary is silent for too long, which is told");
    mend_silence(&mut here);
    // The receiver asks as it is told to from the next message on.
    run(&mut there, "UPDATE ab_user SET password = password WHERE id = 3");
    wait_until_stale(&mut here, false);
    assert_eq!(checks(&problems(&mut here)), [""; 0]);

    println!("one that is up to date answers, also while nothing happens");
    let session = login(&mut there, 1);
    let idle = Instant::now();
    while idle.elapsed() < BOUND * 4 {
        assert_eq!(verdict(&mut here, 1, &session), "valid");
        sleep(Duration::from_millis(20));
    }
    println!("and when something happens after that");
    for _ in 0..4 {
        sleep(BOUND * 3 / 2);
        for number in 0..200 {
            if number % 50 == 0 {
                run(&mut there, "UPDATE ab_user SET password = password WHERE id = 3");
            }
            assert_eq!(verdict(&mut here, 1, &session), "valid");
        }
    }
    assert_eq!(checks(&problems(&mut here)), [""; 0]);

    println!("one that does not replay answers for so long and no longer");
    run(&mut here, "SELECT pg_wal_replay_pause()");
    wait_until(&mut here, "SELECT pg_get_wal_replay_pause_state() = 'paused'");
    // One who waits for what has happened just now gives up soon, and does not wait again.
    run(&mut there, "UPDATE ab_user SET active = false WHERE id = 1");
    let disabled = Instant::now();
    let mut last_valid = Duration::ZERO;
    while disabled.elapsed() < BOUND * 3 {
        let asked = disabled.elapsed();
        match verdict(&mut here, 1, &session).as_str() {
            "valid" => last_valid = asked,
            "stale_replica" => {}
            other => panic!("{other} before it was replayed"),
        }
    }
    println!("the last valid answer was asked for {last_valid:?} after the disable");
    assert!(last_valid <= BOUND + Duration::from_millis(100));
    assert_eq!(answer(&mut here, "SELECT session_valid(2, now())"), "f", "of everybody");
    assert_eq!(verdict(&mut here, 999, "now"), "stale_replica");
    assert_eq!(answer(&mut here, "SELECT session_verdict(NULL::bigint, now())"), "stale_replica");
    assert_eq!(answer(&mut here, "SELECT token_valid('session', 's', NULL::timestamptz)"), "f");
    assert_eq!(checks(&problems(&mut here)), ["standby"]);
    let remedy = problems(&mut here)[0].remedy.clone();
    run(&mut here, &remedy);
    wait_until_stale(&mut here, false);
    assert_eq!(verdict(&mut here, 1, &session), "disabled");
    assert_eq!(checks(&problems(&mut here)), [""; 0]);

    println!("one that receives nothing, as when the network is cut");
    let session = login(&mut there, 2);
    assert_eq!(verdict(&mut here, 2, &session), "valid");
    let sender = answer(&mut there, "SELECT pid FROM pg_stat_replication");
    // Else the standby connects to another sender before it is stale.
    let postmaster = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)";
    let stopped = [answer(&mut there, postmaster), sender];
    let stopped = stopped.map(|process| process.parse().expect("a process"));
    stopped.into_iter().for_each(|process| kill(process, Signal::STOP));
    let taken = wait_until_stale(&mut here, true);
    stopped.into_iter().for_each(|process| kill(process, Signal::CONT));
    println!("stale {taken:?} after the last word");
    assert!(taken <= BOUND + Duration::from_millis(500));
    wait_until_stale(&mut here, false);

    println!("one whose primary is gone");
    let session = login(&mut there, 2);
    assert_eq!(verdict(&mut here, 2, &session), "valid");
    drop(there);
    primary.kill_all();
    let taken = wait_until_stale(&mut here, true);
    println!("stale {taken:?} after the primary was gone");
    assert!(taken <= BOUND + Duration::from_millis(500));
    assert_eq!(checks(&problems(&mut here)), ["standby"]);

    println!("one whose primary answers no more: an attempt to connect receives nothing");
    let path = primary.folder().join(".s.PGSQL.5432");
    std::fs::remove_file(&path).expect("what the killed server has left");
    let socket = UnixListener::bind(&path).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    let began = Instant::now();
    let (mut tries, mut connection) = (0, None);
    while began.elapsed() < BOUND * 5 {
        if let Ok((accepted, _)) = socket.accept() {
            tries += 1;
            // The one before is closed, and so tried again.
            connection = Some(accepted);
        } else if began.elapsed() > BOUND && tries < 20 {
            connection = None;
        }
        assert!(is_stale(&mut here), "fresh after {:?} and {tries} tries", began.elapsed());
    }
    assert!(tries > 2, "it did not try");
    drop((socket, connection));

    println!("promoted, it answers for itself");
    standby.promote();
    assert_eq!(verdict(&mut here, 2, &session), "valid");
    run(&mut here, "UPDATE ab_user SET active = false WHERE id = 2");
    assert_eq!(verdict(&mut here, 2, &session), "disabled");
}

/// What is kept of an account may be older than the bound, however quick the answer.
#[test]
fn a_warm_cache_is_not_asked_before_the_standby_is_known_to_be_recent() {
    let primary = primary(&["wal_sender_timeout = 1s"]);
    let standby = Cluster::standby_of(&primary);
    let mut there = primary.connect("postgres");
    configure_bound(&mut there);
    let mut here = standby.connect("postgres");
    let mut operator = standby.connect("postgres");
    wait_for_replay(&mut there, &mut here);
    wait_until_stale(&mut here, false);
    for user in 1..=5 {
        let session = login(&mut there, user);
        wait_for_replay(&mut there, &mut here);
        let valid = format!("SELECT session_valid({user}, '{session}'::timestamptz)");
        assert_eq!(answer(&mut here, &valid), "t");
        assert_eq!(answer(&mut here, &valid), "t", "from what it keeps");
        run(&mut operator, "SELECT pg_wal_replay_pause()");
        wait_until(&mut operator, "SELECT pg_get_wal_replay_pause_state() = 'paused'");
        run(&mut there, &format!("UPDATE ab_user SET active = false WHERE id = {user}"));
        let disabled = Instant::now();
        while disabled.elapsed() < BOUND * 3 / 2 {
            run(&mut there, "UPDATE ab_user SET password = password WHERE id = 50");
            sleep(Duration::from_millis(20));
        }
        let answered = thread::scope(|scope| {
            scope.spawn(|| {
                sleep(Duration::from_millis(20));
                run(&mut operator, "SELECT pg_wal_replay_resume()");
            });
            answer(&mut here, &valid)
        });
        assert_eq!(answered, "f", "{:?} after the disable", disabled.elapsed());
        wait_until_stale(&mut here, false);
    }
}

/// What arrives has been sent a while ago.
#[test]
fn behind_a_slow_link_a_standby_refuses() {
    const DELAY: Duration = Duration::from_secs(3);
    let primary = primary(&["wal_sender_timeout = 0"]);
    let mut standby = Cluster::copy_of(&primary, &["--write-recovery-conf"]);
    let link = DelayingProxy::to(primary.folder());
    standby.configure(&[
        &format!("primary_conninfo = 'host={} user=postgres'", link.folder().display()),
        // Another than the one that pg_basebackup has written.
        "wal_receiver_timeout = 1s",
    ]);
    std::fs::write(standby.data().join("postgresql.auto.conf"), "").expect("a file");
    standby.run();
    let mut there = primary.connect("postgres");
    configure_bound(&mut there);
    let mut here = standby.connect("postgres");
    wait_for_replay(&mut there, &mut here);
    wait_until_stale(&mut here, false);
    let session = login(&mut there, 1);
    assert_eq!(verdict(&mut here, 1, &session), "valid");
    // The receiver must not give up for the silence that comes first.
    reload(&standby, &["wal_receiver_timeout = 60s"]);
    link.delay(DELAY);
    run(&mut there, "UPDATE ab_user SET active = false WHERE id = 1");
    let disabled = Instant::now();
    let mut last_valid = Duration::ZERO;
    let mut refusals = 0;
    while disabled.elapsed() < DELAY * 3 {
        run(&mut there, "UPDATE ab_user SET password = password WHERE id = 50");
        let asked = disabled.elapsed();
        match verdict(&mut here, 1, &session).as_str() {
            "valid" => last_valid = asked,
            "stale_replica" => refusals += 1,
            other => panic!("{other} of a standby that is {DELAY:?} behind"),
        }
        sleep(Duration::from_millis(10));
    }
    println!(
        "the last valid answer was asked for {last_valid:?} after the disable, {refusals} refusals"
    );
    assert!(last_valid <= BOUND + Duration::from_millis(100));
    link.delay(Duration::ZERO);
    wait_until_stale(&mut here, false);
    assert_eq!(verdict(&mut here, 1, &session), "disabled");
}

/// Ways to put everybody out.
const GUARD_WAYS: [&str; 3] = [
    "SELECT session_guard.revoke_all_sessions()",
    "TRUNCATE ab_user_role",
    "BEGIN; TRUNCATE ab_user, ab_user_role; INSERT INTO ab_user SELECT n, true FROM generate_series(1, 50) AS n; COMMIT",
];

/// The COMMIT of a stamp of everybody is held up by a standby; who logs in waits for it, or is put out by it.
#[test]
fn no_login_from_before_the_commit_of_a_guards_stamp_has_returned_survives() {
    const HELD_UP: Duration = Duration::from_millis(1500);
    let primary = primary(&["synchronous_commit = on"]);
    let standby = Cluster::standby_of(&primary);
    reload(&primary, &["synchronous_standby_names = '*'"]);
    let mut there = primary.connect("postgres");
    wait_until(
        &mut there,
        "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
    );
    configure(&mut there, "revocation_durability => 'remote_apply'");
    let mut operator = standby.connect("postgres");
    for way in GUARD_WAYS {
        println!("{way}");
        let is_over = AtomicBool::new(false);
        let (returned, resumed, logins) = thread::scope(|scope| {
            let workers: Vec<_> = (1..=4_u32)
                .map(|user| {
                    let mut client = primary.connect("postgres");
                    let is_over = &is_over;
                    scope.spawn(move || {
                        let mut logins = Vec::new();
                        // Reading takes no transaction id, and so waits for no standby.
                        while !is_over.load(Ordering::Relaxed) {
                            run(&mut client, "BEGIN");
                            let session = login(&mut client, user);
                            run(&mut client, "ROLLBACK");
                            logins.push((Instant::now(), user, session));
                            sleep(Duration::from_millis(5));
                        }
                        logins
                    })
                })
                .collect();
            sleep(Duration::from_millis(300));
            run(&mut operator, "SELECT pg_wal_replay_pause()");
            wait_until(&mut operator, "SELECT pg_get_wal_replay_pause_state() = 'paused'");
            let resumer = scope.spawn(|| {
                sleep(HELD_UP);
                let resumed = Instant::now();
                run(&mut operator, "SELECT pg_wal_replay_resume()");
                resumed
            });
            let began = Instant::now();
            run(&mut there, way);
            let returned = Instant::now();
            assert!(returned - began > HELD_UP / 2, "it did not wait: {way}");
            sleep(Duration::from_millis(300));
            is_over.store(true, Ordering::Relaxed);
            let logins: Vec<_> =
                workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect();
            (returned, resumer.join().expect("a thread"), logins)
        });
        // The server has released its locks by the time that the client hears of the COMMIT: up to where replay
        // went on, nothing can have come after it.
        let before: Vec<_> = logins.iter().filter(|(at, ..)| *at < resumed).collect();
        let after: Vec<_> = logins.iter().filter(|(at, ..)| *at > returned).collect();
        println!("{} logins before, {} after", before.len(), after.len());
        assert!(before.len() > 20 && after.len() > 20, "the test shows nothing");
        for (_, user, session) in before {
            assert_eq!(verdict(&mut there, *user, session), "revoked", "{way}");
        }
        for (_, user, session) in after.iter().rev().take(4) {
            assert_eq!(verdict(&mut there, *user, session), "valid", "{way}");
        }
    }
}

/// The same of a related table's stamp, whose user alone has to wait.
#[test]
fn no_login_from_before_the_commit_of_a_watched_row_survives() {
    let primary = primary(&[]);
    let standby = Cluster::standby_of(&primary);
    reload(&primary, &["synchronous_standby_names = '*'"]);
    let mut there = primary.connect("postgres");
    wait_until(
        &mut there,
        "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
    );
    configure(&mut there, "revocation_durability => 'remote_apply'");
    let mut operator = standby.connect("postgres");
    let mut app = primary.connect("postgres");
    run(&mut there, "BEGIN; INSERT INTO ab_user_role VALUES (1, 1)");
    let early = login(&mut app, 1);
    sleep(Duration::from_millis(1100));
    let later = login(&mut app, 1);
    run(&mut operator, "SELECT pg_wal_replay_pause()");
    wait_until(&mut operator, "SELECT pg_get_wal_replay_pause_state() = 'paused'");
    thread::scope(|scope| {
        let committer = scope.spawn(|| run(&mut there, "COMMIT"));
        wait_until(
            &mut app,
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
        );
        run(&mut app, "SET lock_timeout = '200ms'");
        assert_eq!(refusal(&mut app, "SELECT session_start(1)"), SqlState::LOCK_NOT_AVAILABLE);
        // Checks wait for nobody, and the change counts nowhere yet.
        assert_eq!(verdict(&mut app, 1, &later), "valid");
        run(&mut operator, "SELECT pg_wal_replay_resume()");
        committer.join().expect("a thread");
    });
    assert_eq!(verdict(&mut app, 1, &early), "revoked");
    assert_eq!(verdict(&mut app, 1, &later), "revoked");
    let session = login(&mut app, 1);
    assert_eq!(verdict(&mut app, 1, &session), "valid");
}

#[test]
fn a_standby_that_has_been_away_refuses_until_it_has_caught_up() {
    let primary = primary(&["wal_keep_size = 2GB", "max_wal_size = 4GB"]);
    run(&mut primary.connect("postgres"), "CREATE TABLE junk (text text)");
    let mut standby = Cluster::standby_of(&primary);
    let mut there = primary.connect("postgres");
    configure_bound(&mut there);
    let session = login(&mut there, 1);
    wait_for_replay(&mut there, &mut standby.connect("postgres"));
    standby.stop();
    run(&mut there, "INSERT INTO junk SELECT repeat('x', 1000) FROM generate_series(1, 200000)");
    run(&mut there, "UPDATE ab_user SET active = false WHERE id = 1");
    sleep(BOUND);
    standby.run();
    let mut here = standby.connect("postgres");
    let mut refusals = 0;
    loop {
        match verdict(&mut here, 1, &session).as_str() {
            "stale_replica" => refusals += 1,
            "disabled" => break,
            other => panic!("{other}, {refusals} refusals after it came back"),
        }
    }
    println!("refused {refusals} times, then disabled");
}

/// A standby that has just been started has heard nothing yet, and may hear nothing for long.
#[test]
fn a_standby_that_has_not_heard_of_its_primary_since_it_started_says_so() {
    let mut primary = primary(&["wal_sender_timeout = 1s"]);
    let mut standby = Cluster::standby_of(&primary);
    reload(&standby, &["wal_receiver_timeout = 1s", "wal_retrieve_retry_interval = 200ms"]);
    let mut there = primary.connect("postgres");
    let session = login(&mut there, 1);
    configure_bound(&mut there);
    wait_for_replay(&mut there, &mut standby.connect("postgres"));
    run(&mut standby.connect("postgres"), "CHECKPOINT");
    drop(there);
    primary.stop();
    standby.restart();
    let mut here = standby.connect("postgres");
    let found = problems(&mut here);
    assert_eq!(checks(&found), ["standby"]);
    assert!(found[0].detail.contains("has no message of its upstream server"), "{found:?}");
    assert_eq!(found[0].remedy, "∅", "no statement of this server's connects it");
    assert_eq!(verdict(&mut here, 1, &session), "stale_replica");
    primary.run();
    // From the first message on, also if that is the only one.
    wait_until_stale(&mut here, false);
    assert_eq!(checks(&problems(&mut here)), [""; 0]);
    assert_eq!(verdict(&mut here, 1, &session), "valid");

    println!("without a bound it answers as of what it has replayed, and says the same");
    let mut there = primary.connect("postgres");
    configure(&mut there, "max_standby_staleness => '0'");
    wait_for_replay(&mut there, &mut here);
    run(&mut here, "CHECKPOINT");
    drop((there, here));
    primary.stop();
    standby.restart();
    let mut here = standby.connect("postgres");
    let detail = "SELECT ok, detail FROM session_guard.health() WHERE check_name = 'standby'";
    assert_eq!(answers(&mut here, detail), [["t", "has no message of its upstream server"]]);
    assert_eq!(verdict(&mut here, 1, &session), "valid");
}

fn checks(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.check.as_str()).collect()
}

#[test]
fn what_writes_says_on_a_standby_where_to_call_it() {
    let primary = primary(&[]);
    let standby = Cluster::standby_of(&primary);
    let mut here = standby.connect("postgres");
    for call in [
        "session_start(1)",
        "session_start('ab_user', '1')",
        "session_guard.revoke_sessions(1)",
        "session_guard.revoke_all_sessions()",
        "session_guard.revoke_tokens('session')",
        "session_guard.attach('ab_user')",
        "session_guard.detach('ab_user')",
        "session_guard.reconcile()",
        "session_guard.watch('ab_user_role', 'user_id')",
        "session_guard.unwatch('ab_user_role')",
        "session_guard.prune('1 d')",
        "session_guard.configure(audit => true)",
        "session_guard.grant_access('postgres')",
        "session_guard.revoke_access('postgres')",
        "session_guard.acknowledge_timeline()",
    ] {
        let question = format!("SELECT {call}");
        assert_eq!(refusal(&mut here, &question), SqlState::READ_ONLY_SQL_TRANSACTION, "{call}");
        let error = here.simple_query(&question).expect_err("it was just refused");
        let hint = error.as_db_error().and_then(|error| error.hint()).expect("a hint").to_owned();
        let (_, query) = hint.split_once(": ").expect("a sentence and a query");
        let place = answers(&mut here, query).remove(0).remove(0);
        assert_eq!(place, primary.folder().display().to_string());
    }
}

/// A primary whose stamps wait for standbys that there are none of says so.
#[test]
fn waiting_for_nobody_is_a_finding() {
    let primary = primary(&[]);
    let mut there = primary.connect("postgres");
    configure(&mut there, "revocation_durability => 'remote_apply'");
    assert_eq!(checks(&problems(&mut there)), ["durability"]);
    run(&mut there, "UPDATE ab_user SET active = false WHERE id = 1");
    // Which standbys there are to wait for, nobody but the operator knows.
    assert_eq!(problems(&mut there)[0].remedy, "∅");
    reload(&primary, &["synchronous_standby_names = '*'"]);
    wait_until(&mut there, "SELECT current_setting('synchronous_standby_names') = '*'");
    assert_eq!(checks(&problems(&mut there)), [""; 0]);
}
