//! The app's own writes, its logins and revocations do not deadlock where without the guard they would not, and checks
//! from the cache wait for no lock.

use cluster::{Cluster, Dice, answer, run, wait_until};
use postgres::Client;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{JoinHandle, ScopedJoinHandle, scope, sleep, spawn};
use std::time::{Duration, Instant};

const USERS: u64 = 300;

fn cluster_with_watch() -> Cluster {
    let cluster = Cluster::start(&["deadlock_timeout = 100ms", "max_prepared_transactions = 10"]);
    run(
        &mut cluster.connect("postgres"),
        &format!(
            "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean, password text);
             INSERT INTO ab_user SELECT n, true FROM generate_series(1, {USERS}) AS n;
             CREATE TABLE membership (user_id int REFERENCES ab_user, number int);
             CREATE TABLE permission (user_id int, name text);
             CREATE EXTENSION pg_session_guard;
             SELECT session_guard.attach('ab_user', revoke_on => '{{password}}');
             SELECT session_guard.watch('membership', 'user_id'), session_guard.watch('permission', 'user_id');"
        ),
    );
    cluster
}

/// Sends a statement that may have to wait, from a thread of its own.
struct Waiting(JoinHandle<(Client, Result<(), postgres::Error>)>);

impl Waiting {
    fn send(mut client: Client, sql: impl Into<String>) -> Waiting {
        let sql = sql.into();
        Waiting(spawn(move || {
            let outcome = client.batch_execute(&sql);
            (client, outcome)
        }))
    }

    #[track_caller]
    fn succeed(self) -> Client {
        let (client, outcome) = self.0.join().expect("a thread");
        if let Err(error) = outcome {
            panic!("{error:?}");
        }
        client
    }
}

fn connect(cluster: &Cluster, name: &str) -> Client {
    let mut client = cluster.connect("postgres");
    run(&mut client, &format!("SET application_name = '{name}'"));
    client
}

/// Waits until the connection of this name waits for a lock, or has nothing to wait for.
fn wait_for(observer: &mut Client, name: &str) {
    let began = Instant::now();
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND wait_event_type = 'Lock'"
    );
    while answer(observer, &waits) == "0" && began.elapsed() < Duration::from_millis(50) {}
}

#[test]
fn bulk_inserts_of_memberships_of_the_same_users_by_three_clients() {
    let cluster = cluster_with_watch();
    let failures = AtomicUsize::new(0);
    scope(|scope| {
        let clients: Vec<ScopedJoinHandle<()>> = (0..3_u64)
            .map(|number| {
                let (cluster, failures) = (&cluster, &failures);
                scope.spawn(move || {
                    let mut client = cluster.connect("postgres");
                    let mut dice = Dice::of_seed(number + 1);
                    for _ in 0..80 {
                        let ids: Vec<String> =
                            (0..40).map(|_| (dice.roll(USERS) + 1).to_string()).collect();
                        let ids = ids.join(",");
                        let insert = format!(
                            "INSERT INTO membership SELECT unnest('{{{ids}}}'::int[]), {number}"
                        );
                        let transaction = match dice.roll(4) {
                            0 => format!("BEGIN; {insert}; DELETE FROM membership WHERE number = {number}; COMMIT"),
                            1 => format!("BEGIN; {insert}; SAVEPOINT here; {insert}; ROLLBACK TO here; {insert}; COMMIT"),
                            2 => format!("BEGIN; INSERT INTO permission SELECT unnest('{{{ids}}}'::int[]), 'p'; {insert}; COMMIT"),
                            _ => insert,
                        };
                        if let Err(error) = client.batch_execute(&transaction) {
                            println!("{error:?}");
                            failures.fetch_add(1, Ordering::Relaxed);
                            let _ = client.batch_execute("ROLLBACK");
                        }
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().expect("a client"));
    });
    assert_eq!(failures.into_inner(), 0, "of 240 transactions");
}

#[test]
fn two_who_disable_a_user_each_and_add_the_others_to_a_group() {
    let cluster = cluster_with_watch();
    let mut observer = cluster.connect("postgres");
    for (disable_1, disable_2) in [
        (
            "UPDATE ab_user SET active = false WHERE id = 1",
            "UPDATE ab_user SET active = false WHERE id = 2",
        ),
        (
            "UPDATE ab_user SET password = 'x' WHERE id = 1",
            "UPDATE ab_user SET password = 'x' WHERE id = 2",
        ),
        ("SELECT session_guard.revoke_sessions(1)", "SELECT session_guard.revoke_sessions(2)"),
    ] {
        let (mut one, mut two) = (connect(&cluster, "one"), connect(&cluster, "two"));
        run(&mut one, "BEGIN");
        run(&mut one, disable_1);
        run(&mut two, "BEGIN");
        run(&mut two, disable_2);
        run(&mut one, "INSERT INTO membership VALUES (2, 1)");
        run(&mut two, "INSERT INTO membership VALUES (1, 1)");
        let one = Waiting::send(one, "COMMIT");
        wait_for(&mut observer, "one");
        let two = Waiting::send(two, "COMMIT");
        one.succeed();
        two.succeed();
    }
}

/// A login waits for a row; then whoever adds members commits, beside one who has disabled that member and then wants the row.
#[test]
fn a_login_between_one_who_adds_members_and_one_who_disables() {
    let cluster = cluster_with_watch();
    let mut observer = cluster.connect("postgres");
    for commit in
        ["INSERT INTO membership VALUES (2, 1)", "SELECT session_guard.revoke_all_sessions()"]
    {
        let mut holder = connect(&cluster, "holder");
        run(&mut holder, "BEGIN; SELECT FROM ab_user WHERE id = 1 FOR UPDATE");
        let mut login = connect(&cluster, "login");
        run(&mut login, "BEGIN");
        let login = Waiting::send(login, "SELECT session_start(1)");
        wait_for(&mut observer, "login");
        let mut disabler = connect(&cluster, "disabler");
        run(&mut disabler, "BEGIN; UPDATE ab_user SET active = false WHERE id = 2");
        let mut adder = connect(&cluster, "adder");
        run(&mut adder, "BEGIN");
        run(&mut adder, commit);
        let adder = Waiting::send(adder, "COMMIT");
        wait_for(&mut observer, "adder");
        run(&mut holder, "ROLLBACK");
        // The login has the row now.
        wait_until(
            &mut observer,
            "SELECT state <> 'active' OR wait_event = 'object' FROM pg_stat_activity WHERE application_name = 'login'",
        );
        let disabler = Waiting::send(disabler, "UPDATE ab_user SET active = false WHERE id = 1");
        wait_for(&mut observer, "disabler");
        run(&mut login.succeed(), "COMMIT");
        adder.succeed();
        run(&mut disabler.succeed(), "ROLLBACK");
    }
}

#[test]
fn a_revocation_of_all_beside_one_who_disables_two() {
    let cluster = cluster_with_watch();
    let mut observer = cluster.connect("postgres");
    for ahead in [
        "clock_timestamp()",
        "clock_timestamp() + interval '1 s'",
        "clock_timestamp() + interval '1 h'",
        "'infinity'",
    ] {
        for order in [["1", "2"], ["2", "1"]] {
            for way in [
                "UPDATE ab_user SET active = NOT active WHERE id = $",
                "SELECT session_guard.revoke_sessions($)",
            ] {
                println!("{ahead} {order:?} {way}");
                run(&mut observer, "DELETE FROM session_guard.epoch");
                run(
                    &mut observer,
                    &format!(
                        "INSERT INTO session_guard.epoch (guard, user_id, epoch, reason) SELECT 'public.ab_user', n::text, {ahead}, 'by hand' FROM generate_series(1, 3) AS n"
                    ),
                );
                let mut disabler = connect(&cluster, "disabler");
                run(&mut disabler, "BEGIN");
                run(&mut disabler, &way.replace('$', order[0]));
                let revoker = Waiting::send(
                    connect(&cluster, "revoker"),
                    "SELECT session_guard.revoke_all_sessions()",
                );
                wait_for(&mut observer, "revoker");
                run(&mut disabler, &way.replace('$', order[1]));
                run(&mut disabler, "COMMIT");
                revoker.succeed();
            }
        }
    }
}

/// A migration changes both tables while the app adds a row to the one that does not refer to the other.
#[test]
fn a_migration_of_a_users_table_and_a_watched_one() {
    let cluster = cluster_with_watch();
    let mut observer = cluster.connect("postgres");
    let mut app = connect(&cluster, "app");
    run(&mut app, "INSERT INTO permission VALUES (1, 'x')");
    run(&mut app, "BEGIN; INSERT INTO permission VALUES (1, 'y')");
    let mut migration = connect(&cluster, "migration");
    run(&mut migration, "BEGIN; ALTER TABLE ab_user ADD COLUMN additional text");
    let migration = Waiting::send(migration, "ALTER TABLE permission ADD COLUMN additional text");
    wait_for(&mut observer, "migration");
    Waiting::send(app, "COMMIT").succeed();
    run(&mut migration.succeed(), "COMMIT");
}

/// All that an app does, at once and in any order of the users. Each transaction changes one row at most that others
/// change, so that nothing of its own can deadlock.
#[test]
fn one_change_of_each_kind_at_a_time_never_deadlocks() {
    let cluster = cluster_with_watch();
    let kinds = [
        "UPDATE ab_user SET active = NOT active WHERE id = $",
        "UPDATE ab_user SET password = clock_timestamp()::text WHERE id = $",
        "SELECT session_guard.revoke_sessions($)",
        "SELECT session_start($)",
        "SELECT session_guard.revoke_all_sessions()",
        "SELECT session_guard.revoke_tokens('kind', '$')",
    ];
    let failures = AtomicUsize::new(0);
    scope(|scope| {
        for number in 0..6_u64 {
            let (cluster, failures) = (&cluster, &failures);
            scope.spawn(move || {
                let mut client = cluster.connect("postgres");
                let mut dice = Dice::of_seed(100 + number);
                for _ in 0..200 {
                    let mut user = || (dice.roll(8) + 1).to_string();
                    let (changed, added, permitted) = (user(), user(), user());
                    let kind = kinds[dice.roll(60).min(63) as usize % kinds.len()];
                    // One that revokes all is rare: nobody else would get on.
                    let kind = if kind.contains("revoke_all") && dice.roll(5) > 0 {
                        kinds[0]
                    } else {
                        kind
                    };
                    let steps = [
                        kind.replace('$', &changed),
                        format!("INSERT INTO membership VALUES ({added}, 1)"),
                        format!("INSERT INTO permission VALUES ({permitted}, 'x')"),
                    ];
                    let first = dice.roll(3) as usize;
                    let mut transaction = "BEGIN".to_owned();
                    for step in 0..3 {
                        transaction.push_str("; ");
                        transaction.push_str(&steps[(first + step) % 3]);
                    }
                    let end = match dice.roll(10) {
                        0 => "; ROLLBACK".to_owned(),
                        _ => "; COMMIT".to_owned(),
                    };
                    transaction.push_str(&end);
                    if let Err(error) = client.batch_execute(&transaction) {
                        println!("{transaction}: {error:?}");
                        failures.fetch_add(1, Ordering::Relaxed);
                        let _ = client.batch_execute("ROLLBACK");
                    }
                }
            });
        }
    });
    assert_eq!(failures.into_inner(), 0, "of 1200 transactions");
    let mut client = cluster.connect("postgres");
    wait_until(&mut client, "SELECT count(*) = 0 FROM pg_locks WHERE NOT granted");
}

/// A stamp of everybody, and one of a user whose epoch lies far ahead.
#[test]
fn a_revocation_of_all_beside_a_new_member_whose_epoch_lies_ahead() {
    let cluster = cluster_with_watch();
    let mut observer = cluster.connect("postgres");
    run(
        &mut observer,
        "INSERT INTO session_guard.epoch (guard, user_id, epoch, reason, is_related)
         VALUES ('public.ab_user', '1', clock_timestamp() + interval '1 h', 'by hand', true)",
    );
    let mut revoker = connect(&cluster, "revoker");
    run(&mut revoker, "BEGIN; SELECT session_guard.revoke_all_sessions()");
    let mut adder = connect(&cluster, "adder");
    run(&mut adder, "BEGIN; INSERT INTO membership VALUES (1, 1)");
    let adder = Waiting::send(adder, "COMMIT");
    wait_for(&mut observer, "adder");
    Waiting::send(revoker, "COMMIT").succeed();
    adder.succeed();
}

/// To raise a lock on the store, with its index locked, would deadlock with who maintains that index.
#[test]
fn sessions_in_a_store_end_beside_who_maintains_its_index() {
    let cluster = cluster_with_watch();
    let [mut maintainer, mut observer] = [(); 2].map(|()| cluster.connect("postgres"));
    run(
        &mut maintainer,
        "CREATE TABLE app_session (user_id int);
         CREATE INDEX session_of_user ON app_session (user_id);
         INSERT INTO app_session SELECT generate_series(1, 10);
         SELECT session_guard.add_store('app_session', 'user_id')",
    );
    for (user, way) in (1..).zip([
        "UPDATE ab_user SET active = false WHERE id = $",
        "INSERT INTO membership VALUES ($, 1)",
        "SELECT session_guard.revoke_sessions($)",
    ]) {
        println!("{way}");
        // What REINDEX INDEX does, with time between its two locks.
        run(&mut maintainer, "BEGIN; LOCK TABLE app_session IN SHARE MODE");
        let client = connect(&cluster, "disabler");
        let disabler = Waiting::send(client, way.replace('$', &user.to_string()));
        wait_until(
            &mut observer,
            "SELECT state = 'active' FROM pg_stat_activity WHERE application_name = 'disabler'",
        );
        sleep(Duration::from_millis(300));
        run(&mut maintainer, "REINDEX INDEX session_of_user");
        run(&mut maintainer, "COMMIT");
        drop(disabler.succeed());
        // Where this took longer than a store is waited for.
        run(&mut maintainer, "SELECT session_guard.reconcile()");
        let left = format!("SELECT count(*) FROM app_session WHERE user_id = {user}");
        assert_eq!(answer(&mut maintainer, &left), "0");
    }
}

/// In a cluster of its own: beside other databases the server may empty a backend's caches at any time.
#[test]
fn a_check_from_the_cache_waits_for_no_lock() {
    let cluster = cluster_with_watch();
    let mut locker = cluster.connect("postgres");
    run(&mut locker, "ALTER SYSTEM SET autovacuum = off");
    run(&mut locker, "SELECT pg_reload_conf()");
    let mut asker = cluster.connect("postgres");
    run(&mut asker, "SET lock_timeout = '250ms'");
    let check = "SELECT session_valid(1, now())";
    for locks in [
        "LOCK TABLE ab_user",
        "LOCK TABLE session_guard.epoch",
        "LOCK TABLE session_guard.guard; UPDATE session_guard.guard SET name = name",
    ] {
        println!("{locks}");
        assert_eq!(answer(&mut asker, check), "t");
        run(&mut locker, &format!("BEGIN; {locks}"));
        assert_eq!(answer(&mut asker, check), "t");
        run(&mut locker, "ROLLBACK");
    }
}
