//! Clocks that are wrong, and are set: no session comes back, and what is left behind is told, with what to do.

use cluster::{Cluster, FakeClock, answer, answers, kill, problems, run, wait_until};
use postgres::Client;
use rustix::process::Signal;
use std::thread::sleep;
use std::time::{Duration, Instant};

const TABLES: &str = "
    CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
    INSERT INTO ab_user SELECT n, true FROM generate_series(1, 9) AS n;
    CREATE EXTENSION pg_session_guard;";

/// A server whose clock can be set, with a guard; `None` where it cannot.
fn server() -> Option<(Cluster, FakeClock)> {
    let mut cluster = Cluster::start(&[]);
    run(&mut cluster.connect("postgres"), TABLES);
    let clock = set_clock_of(&mut cluster)?;
    Some((cluster, clock))
}

/// Starts a server again by a clock of its own.
fn set_clock_of(cluster: &mut Cluster) -> Option<FakeClock> {
    let Some(clock) = FakeClock::new(cluster.folder()) else {
        println!("SKIPPED: there is no libfaketime");
        return None;
    };
    cluster.set_environment(clock.environment());
    cluster.restart();
    Some(clock)
}

fn verdict(client: &mut Client, id: u32, login: &str) -> String {
    answer(client, &format!("SELECT session_verdict({id}, '{login}')"))
}

fn checks(client: &mut Client) -> Vec<String> {
    problems(client).into_iter().map(|problem| problem.check).collect()
}

#[test]
fn what_a_clock_a_year_ahead_has_stamped_is_told_and_lowered() {
    let Some((cluster, clock)) = server() else { return };
    let mut client = cluster.connect("postgres");
    let before = answer(&mut client, "SELECT session_start(1)");
    clock.set("+1y");
    assert_eq!(
        answer(
            &mut client,
            "SELECT now() > '2027-06-01' OR now() > timestamptz '2026-01-01' + interval '1 y'"
        ),
        "t"
    );
    run(
        &mut client,
        "UPDATE ab_user SET active = false WHERE id IN (2, 3); UPDATE ab_user SET active = true WHERE id = 2;
         SELECT session_guard.revoke_tokens('kind', 'one'), session_guard.revoke_tokens('scope')",
    );
    run(&mut client, "SELECT session_guard.revoke_all_sessions()");
    clock.set("+0");
    // By an app's own clock nobody can log in, and by the server's, for a year.
    assert_eq!(verdict(&mut client, 1, "now"), "revoked");
    let ahead = answer(&mut client, "SELECT session_start(2)");
    assert_eq!(verdict(&mut client, 2, &ahead), "valid");
    assert_eq!(answer(&mut client, "SELECT token_valid('kind', 'one', now())"), "f");
    assert_eq!(checks(&mut client), ["epochs_ahead", "epochs_ahead"]);
    // Where sessions have an age, none begins then.
    run(&mut client, "SELECT session_guard.attach('ab_user', max_session_age => '12 hours')");
    assert_eq!(answer(&mut client, "SELECT session_start(2)"), "∅");
    assert_eq!(verdict(&mut client, 2, &ahead), "login_in_future");
    run(&mut client, "SELECT session_guard.attach('ab_user', max_session_age => '0')");
    for problem in problems(&mut client) {
        run(&mut client, &problem.remedy);
    }
    assert_eq!(checks(&mut client), [""; 0]);
    sleep(Duration::from_secs(4));
    for (id, login, expected) in [
        (1, before.as_str(), "revoked"),
        (1, "now", "valid"),
        (2, ahead.as_str(), "login_in_future"),
        (2, "now", "valid"),
        (3, "now", "disabled"),
    ] {
        assert_eq!(verdict(&mut client, id, login), expected, "{id} {login}");
    }
    let tokens = "SELECT token_valid('kind', 'one', now()), token_valid('scope', 'x', now()), token_valid('kind', 'one', now() - interval '1 h')";
    assert_eq!(answers(&mut client, tokens)[0], ["t", "t", "f"]);
}

#[test]
fn changes_that_went_unwatched_are_told_whatever_the_clock_was() {
    let Some((cluster, clock)) = server() else { return };
    let mut client = cluster.connect("postgres");
    let unwatched = "
        ALTER TABLE ab_user DISABLE TRIGGER ALL; UPDATE ab_user SET active = NOT active WHERE id = 1;
        UPDATE ab_user SET active = NOT active WHERE id = 1; SELECT session_guard.reconcile()";
    let is_told = |client: &mut Client| checks(client).contains(&"unwatched_changes".to_owned());
    // Everybody was put out by a clock that was ahead, which is no later than what comes after it.
    clock.set("+1y");
    run(&mut client, "SELECT session_guard.revoke_all_sessions()");
    clock.set("+0");
    run(&mut client, unwatched);
    assert!(is_told(&mut client));
    run(&mut client, "SELECT session_guard.revoke_all_sessions()");
    assert!(!is_told(&mut client));
    // It was noticed by one, and everybody is put out after that.
    clock.set("+1y");
    run(&mut client, unwatched);
    clock.set("+0");
    assert!(is_told(&mut client));
    run(&mut client, "SELECT session_guard.revoke_all_sessions()");
    assert!(!is_told(&mut client));
    run(&mut client, unwatched);
    assert!(is_told(&mut client));
}

/// It gave out a login time by the clock that was ahead.
#[test]
fn a_login_that_a_clock_ahead_gave_out_ends_with_the_next_stamp_but_one_of_the_margin() {
    let Some((cluster, clock)) = server() else { return };
    let mut client = cluster.connect("postgres");
    run(&mut client, "SELECT session_guard.configure(stamp_margin => '1 hour')");
    clock.set("+1800");
    let logins: Vec<String> =
        (1..5).map(|id| answer(&mut client, &format!("SELECT session_start({id})"))).collect();
    clock.set("+0");
    for statement in [
        "UPDATE ab_user SET active = false WHERE id = 1",
        "UPDATE ab_user SET active = true WHERE id = 1",
        "UPDATE ab_user SET id = 102 WHERE id = 2",
        "UPDATE ab_user SET id = 2 WHERE id = 102",
        "SELECT session_guard.revoke_sessions(3)",
        "SELECT session_guard.revoke_all_sessions()",
    ] {
        run(&mut client, statement);
    }
    for (id, login) in (1..5).zip(&logins) {
        assert_eq!(verdict(&mut client, id, login), "revoked", "{id}");
    }
}

#[test]
fn a_standby_whose_clock_is_set_notices_silence() {
    let primary = Cluster::start(&["wal_sender_timeout = 0"]);
    let mut there = primary.connect("postgres");
    run(&mut there, TABLES);
    run(&mut there, "SELECT session_guard.configure(max_standby_staleness => '2 s')");
    for (user, offset) in [(1, "-3600"), (2, "-3"), (3, "+1"), (4, "+3600")] {
        let mut standby = Cluster::copy_of(&primary, &["--write-recovery-conf"]);
        standby.configure(&["wal_receiver_timeout = 0"]);
        standby.run();
        let Some(clock) = set_clock_of(&mut standby) else { return };
        let mut here = standby.connect("postgres");
        let login = answer(&mut there, &format!("SELECT session_start({user})"));
        let question = format!("SELECT session_verdict({user}, '{login}') = 'valid'");
        wait_until(&mut here, &question);
        let sender = answer(
            &mut there,
            "SELECT pid FROM pg_stat_replication ORDER BY backend_start DESC LIMIT 1",
        );
        let sender = sender.parse().expect("a number");
        kill(sender, Signal::STOP);
        clock.set(offset);
        run(&mut there, &format!("UPDATE ab_user SET active = false WHERE id = {user}"));
        let committed = Instant::now();
        // Within the bound it may not know yet.
        sleep(Duration::from_millis(2500));
        while committed.elapsed() < Duration::from_secs(6) {
            let verdict = verdict(&mut here, user, &login);
            assert_eq!(
                verdict,
                "stale_replica",
                "{offset}, {:?} after COMMIT",
                committed.elapsed()
            );
            sleep(Duration::from_millis(50));
        }
        // In this order: what arrives before the clock is right again counts as old after it, and
        // nothing follows from an idle primary.
        clock.set("+0");
        kill(sender, Signal::CONT);
        wait_until(&mut here, &format!("SELECT session_verdict({user}, '{login}') = 'disabled'"));
    }
}
