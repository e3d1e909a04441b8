//! A failover loses no acknowledged disable where `revocation_durability` can keep it, and elsewhere the guard reports
//! the new timeline.

use cluster::{Cluster, answer, kill, number_from_environment, problems, run, wait_until};
use postgres::Client;
use rustix::process::Signal;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

const USERS: u32 = 100_000;
const WORKERS: u32 = 4;
const LONG_AGO: &str = "2020-01-01 00:00:00+00";

fn primary(settings: &[&str]) -> Cluster {
    let primary = Cluster::start(settings);
    run(
        &mut primary.connect("postgres"),
        &format!(
            "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
             INSERT INTO ab_user SELECT n, true FROM generate_series(1, {USERS}) AS n;
             CREATE EXTENSION pg_session_guard;"
        ),
    );
    primary
}

fn verdict(client: &mut Client, id: u32, login: &str) -> String {
    answer(client, &format!("SELECT session_verdict({id}, '{login}')"))
}

fn configure(client: &mut Client, policy: &str) {
    run(client, &format!("SELECT session_guard.configure({policy})"));
}

fn checks(client: &mut Client) -> Vec<String> {
    problems(client).into_iter().map(|problem| problem.check).collect()
}

/// Disables accounts one by one until the server is gone; returns those whose COMMIT had returned.
fn disable_until_it_dies(client: &mut Client, next: &AtomicU32) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    loop {
        let id = next.fetch_add(1, Ordering::Relaxed);
        assert!(id <= USERS, "there are no more accounts to disable");
        let disable = format!(
            "UPDATE ab_user SET active = false WHERE id = {id}; UPDATE ab_user SET active = true WHERE id = {id};"
        );
        match client.batch_execute(&disable) {
            Ok(()) => acknowledged.push(id),
            Err(_) => return acknowledged,
        }
    }
}

#[test]
fn no_acknowledged_disable_is_lost_with_the_primary() {
    let failovers = number_from_environment("GUARD_FAILOVERS", 20);
    let mut primary = primary(&["synchronous_commit = local"]);
    configure(&mut primary.connect("postgres"), "revocation_durability => 'remote_apply'");
    let next = AtomicU32::new(1);
    let mut all = 0;
    for failover in 1..=failovers {
        let standby = Cluster::standby_of(&primary);
        primary.configure(&["synchronous_standby_names = '*'"]);
        let mut there = primary.connect("postgres");
        run(&mut there, "SELECT pg_reload_conf()");
        wait_until(
            &mut there,
            "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
        );
        drop(there);
        // It would wait for a standby of its own, once it is promoted.
        standby.configure(&["synchronous_standby_names = ''"]);
        let acknowledged: Vec<u32> = thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|_| {
                    let mut client = primary.connect("postgres");
                    let next = &next;
                    scope.spawn(move || disable_until_it_dies(&mut client, next))
                })
                .collect();
            sleep(Duration::from_millis(300 + 100 * (failover % 5)));
            primary.kill_all();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().expect("no worker panics"))
                .collect()
        });
        assert!(!acknowledged.is_empty());
        standby.promote();
        let mut here = standby.connect("postgres");
        for id in &acknowledged {
            assert_eq!(verdict(&mut here, *id, LONG_AGO), "revoked", "{id} was acknowledged");
        }
        all += acknowledged.len();
        primary = standby;
    }
    println!("{failovers} failovers, {all} disables acknowledged, none lost");
    assert_eq!(checks(&mut primary.connect("postgres")), ["durability", "timeline"]);
}

#[test]
fn after_a_failover_that_may_have_lost_stamps_the_guard_says_so_and_may_refuse() {
    let mut primary = primary(&[]);
    let standby = Cluster::standby_of(&primary);
    let mut there = primary.connect("postgres");
    let mut here = standby.connect("postgres");
    let session = answer(&mut there, "SELECT session_start(1)");
    assert_eq!(verdict(&mut here, 1, &session), "valid");
    let sender = answer(&mut there, "SELECT pid FROM pg_stat_replication");
    kill(sender.parse().expect("a process"), Signal::STOP);
    run(&mut there, "UPDATE ab_user SET active = false WHERE id = 1");
    assert_eq!(checks(&mut there), [""; 0]);
    assert_eq!(checks(&mut here), [""; 0]);
    drop(there);
    primary.kill_all();
    standby.promote();

    // A session's backend from before the promotion, and a new one.
    let mut new = standby.connect("postgres");
    for client in [&mut here, &mut new] {
        assert_eq!(verdict(client, 1, &session), "valid", "the disable is lost");
        assert_eq!(checks(client), ["timeline"]);
        configure(client, "when_timeline_changed => 'refuse'");
        assert_eq!(verdict(client, 1, &session), "unacknowledged_timeline");
        assert_eq!(answer(client, "SELECT session_start(1)"), "∅", "nobody could use it");
        assert_eq!(answer(client, "SELECT session_valid(1, now())"), "f");
        assert_eq!(answer(client, "SELECT token_valid('session', 's', now())"), "f");
        assert_eq!(
            answer(client, "SELECT session_verdict(NULL::text, now())"),
            "unacknowledged_timeline"
        );
        configure(client, "when_timeline_changed => 'live'");
    }
    configure(&mut new, "when_timeline_changed => 'refuse'");
    let remedy = problems(&mut new)[0].remedy.clone();
    run(&mut new, &remedy);
    for client in [&mut here, &mut new] {
        assert_eq!(verdict(client, 1, &session), "revoked");
        assert_eq!(checks(client), [""; 0]);
    }
    let session = answer(&mut here, "SELECT session_start(2)");
    assert_eq!(verdict(&mut new, 2, &session), "valid");

    // What has been said can be taken back.
    run(
        &mut new,
        "TRUNCATE session_guard.timeline; INSERT INTO session_guard.timeline VALUES (1, 1, now(), 'another cluster')",
    );
    assert_eq!(verdict(&mut here, 2, &session), "unacknowledged_timeline");
}

#[test]
fn after_a_restore_to_an_earlier_time_the_guard_says_so() {
    let archive = tempfile::tempdir().expect("a folder");
    let folder = archive.path().display().to_string();
    let mut primary =
        primary(&["archive_mode = on", &format!("archive_command = 'cp %p {folder}/%f'")]);
    configure(&mut primary.connect("postgres"), "when_timeline_changed => 'refuse'");
    let mut restored = Cluster::copy_of(&primary, &[]);
    let mut there = primary.connect("postgres");
    let session = answer(&mut there, "SELECT session_start(1)");
    run(&mut there, "SELECT pg_create_restore_point('before')");
    run(&mut there, "UPDATE ab_user SET active = false WHERE id = 1");
    let segment = answer(&mut there, "SELECT pg_walfile_name(pg_switch_wal())");
    wait_until(
        &mut there,
        &format!("SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver"),
    );
    drop(there);
    primary.stop();
    restored.configure(&[
        "archive_mode = off",
        &format!("restore_command = 'cp {folder}/%f %p'"),
        "recovery_target_name = 'before'",
        "recovery_target_action = promote",
    ]);
    std::fs::write(restored.data().join("recovery.signal"), "").expect("recovery.signal");
    restored.run();
    let mut here = restored.connect("postgres");
    wait_until(&mut here, "SELECT NOT pg_is_in_recovery()");
    assert_eq!(verdict(&mut here, 1, &session), "unacknowledged_timeline");
    assert_eq!(checks(&mut here), ["timeline"]);
    // Somebody who knows that nothing of importance was lost.
    run(&mut here, "SELECT session_guard.acknowledge_timeline()");
    assert_eq!(verdict(&mut here, 1, &session), "valid");
    assert_eq!(checks(&mut here), [""; 0]);
}
