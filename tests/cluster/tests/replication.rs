//! A disable that logical or physical replication applies ends sessions like any other.

use cluster::{
    Cluster, Installation, answer, answers, forms, output_of, problems, refusal, run, scenario,
    wait_until,
};
use postgres::Client;
use postgres::error::SqlState;

const TABLE: &str = "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean, password text, last_login timestamp)";

fn verdict(client: &mut Client, id: u32, login: &str) -> String {
    answer(client, &format!("SELECT session_verdict({id}, '{login}')"))
}

fn login(client: &mut Client, id: u32) -> String {
    answer(client, &format!("SELECT session_start({id})"))
}

#[test]
fn changes_that_a_plain_publisher_sends_stamp_on_the_subscriber() {
    replicate_logically(false);
}

#[test]
fn changes_that_a_guarded_publisher_sends_stamp_on_the_subscriber() {
    replicate_logically(true);
}

fn replicate_logically(is_publisher_guarded: bool) {
    let publisher = Cluster::start(&["wal_level = logical"]);
    let mut there = publisher.connect("postgres");
    run(&mut there, TABLE);
    if is_publisher_guarded {
        run(&mut there, "CREATE EXTENSION pg_session_guard");
    }
    run(
        &mut there,
        "INSERT INTO ab_user SELECT n, n <> 3, 'old' FROM generate_series(1, 9) AS n;
         CREATE PUBLICATION everything FOR TABLE ab_user;",
    );
    let subscriber = Cluster::start(&["wal_level = logical"]);
    let mut here = subscriber.connect("postgres");
    run(&mut here, TABLE);
    run(
        &mut here,
        "CREATE ROLE app LOGIN;
         ALTER TABLE ab_user OWNER TO app;
         CREATE EXTENSION pg_session_guard;
         SELECT session_guard.attach('ab_user', revoke_on => '{password}');",
    );

    // Accounts that were here before and are gone come in as new rows: a session of theirs is dead.
    run(&mut here, "INSERT INTO ab_user VALUES (1, true), (3, true)");
    let (of_deleted, of_truncated) = (login(&mut here, 1), login(&mut here, 3));
    run(&mut here, "DELETE FROM ab_user WHERE id = 1; TRUNCATE ab_user;");
    println!("the tables' first copy");
    run(
        &mut here,
        &format!(
            "CREATE SUBSCRIPTION everything CONNECTION 'host={} user=postgres dbname=postgres' PUBLICATION everything",
            publisher.folder().display()
        ),
    );
    wait_until(&mut here, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel");
    assert_eq!(answer(&mut here, "SELECT count(*) FROM ab_user"), "9");
    assert_eq!(verdict(&mut here, 1, &of_deleted), "revoked");
    assert_eq!(verdict(&mut here, 3, &of_truncated), "disabled");
    let reason = "SELECT reason FROM session_guard.epoch WHERE user_id = '1'";
    assert_eq!(answer(&mut here, reason), "recreated");

    println!("changes one by one");
    let logins: Vec<String> =
        (1..=9).map(|id| if id == 3 { String::new() } else { login(&mut here, id) }).collect();
    let login_of = |id: u32| logins[id as usize - 1].as_str();
    let mut change = |here: &mut Client, change: &str, arrives: &str| {
        run(&mut there, change);
        wait_until(here, arrives);
    };
    change(
        &mut here,
        "UPDATE ab_user SET last_login = now() WHERE id = 1",
        "SELECT last_login IS NOT NULL FROM ab_user WHERE id = 1",
    );
    assert_eq!(verdict(&mut here, 1, login_of(1)), "valid", "a login is no reason");
    change(
        &mut here,
        "UPDATE ab_user SET active = false WHERE id = 1",
        "SELECT NOT active FROM ab_user WHERE id = 1",
    );
    assert_eq!(verdict(&mut here, 1, login_of(1)), "disabled");
    change(
        &mut here,
        "UPDATE ab_user SET active = true WHERE id = 1",
        "SELECT active FROM ab_user WHERE id = 1",
    );
    assert_eq!(verdict(&mut here, 1, login_of(1)), "revoked");
    change(
        &mut here,
        "BEGIN; UPDATE ab_user SET active = NULL WHERE id = 2; UPDATE ab_user SET active = true, last_login = now() WHERE id = 2; COMMIT",
        "SELECT last_login IS NOT NULL FROM ab_user WHERE id = 2",
    );
    assert_eq!(verdict(&mut here, 2, login_of(2)), "revoked", "both in one transaction");
    change(
        &mut here,
        "DELETE FROM ab_user WHERE id = 4",
        "SELECT NOT EXISTS (SELECT FROM ab_user WHERE id = 4)",
    );
    assert_eq!(verdict(&mut here, 4, login_of(4)), "unknown_user");
    change(
        &mut here,
        "INSERT INTO ab_user VALUES (4, true)",
        "SELECT EXISTS (SELECT FROM ab_user WHERE id = 4)",
    );
    assert_eq!(verdict(&mut here, 4, login_of(4)), "revoked");
    change(
        &mut here,
        "UPDATE ab_user SET id = 50 WHERE id = 5",
        "SELECT EXISTS (SELECT FROM ab_user WHERE id = 50)",
    );
    assert_eq!(verdict(&mut here, 5, login_of(5)), "unknown_user");
    assert_eq!(verdict(&mut here, 50, login_of(5)), "revoked");
    change(
        &mut here,
        "INSERT INTO ab_user VALUES (5, true)",
        "SELECT EXISTS (SELECT FROM ab_user WHERE id = 5)",
    );
    assert_eq!(verdict(&mut here, 5, login_of(5)), "revoked");
    change(
        &mut here,
        "UPDATE ab_user SET password = 'new' WHERE id = 6",
        "SELECT password = 'new' FROM ab_user WHERE id = 6",
    );
    assert_eq!(verdict(&mut here, 6, login_of(6)), "revoked");
    assert_eq!(verdict(&mut here, 7, login_of(7)), "valid", "nothing befell that one");
    change(
        &mut here,
        "BEGIN; TRUNCATE ab_user; INSERT INTO ab_user VALUES (7, true); COMMIT",
        "SELECT count(*) = 1 FROM ab_user",
    );
    assert_eq!(verdict(&mut here, 7, login_of(7)), "revoked");
    let again = login(&mut here, 7);
    assert_eq!(verdict(&mut here, 7, &again), "valid");
    assert_eq!(problems(&mut here), []);
    run(&mut here, "DROP SUBSCRIPTION everything");
}

/// Stamps that come without a change of the account, too: the epochs themselves are published. The subscriber's own triggers are
/// off.
#[test]
fn epochs_that_are_published_reach_a_subscriber_that_only_asks() {
    let publisher = Cluster::start(&["wal_level = logical"]);
    let mut there = publisher.connect("postgres");
    run(&mut there, TABLE);
    run(
        &mut there,
        "INSERT INTO ab_user SELECT n, true FROM generate_series(1, 9) AS n;
         CREATE EXTENSION pg_session_guard;
         CREATE PUBLICATION epochs FOR TABLE ab_user, session_guard.epoch, session_guard.guard_epoch, session_guard.token_epoch;",
    );
    let before: Vec<String> = (1..=9).map(|id| login(&mut there, id)).collect();
    run(
        &mut there,
        "UPDATE ab_user SET active = false WHERE id = 1; UPDATE ab_user SET active = true WHERE id = 1;
         SELECT session_guard.revoke_tokens('session', 's1');",
    );
    let subscriber = Cluster::start(&["wal_level = logical"]);
    let mut here = subscriber.connect("postgres");
    run(&mut here, TABLE);
    run(
        &mut here,
        "CREATE EXTENSION pg_session_guard;
         ALTER TABLE ab_user DISABLE TRIGGER USER;",
    );
    run(
        &mut here,
        &format!(
            "CREATE SUBSCRIPTION epochs CONNECTION 'host={} user=postgres dbname=postgres' PUBLICATION epochs",
            publisher.folder().display()
        ),
    );
    wait_until(&mut here, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel");
    println!("the first copy");
    assert_eq!(verdict(&mut here, 1, &before[0]), "revoked");
    assert_eq!(verdict(&mut here, 2, &before[1]), "valid");
    let token = |id: &str| format!("SELECT token_valid('session', '{id}', NULL::timestamptz)");
    assert_eq!(answer(&mut here, &token("s1")), "f");
    assert_eq!(answer(&mut here, &token("s2")), "t");

    println!("what comes after it");
    // A backend that has asked before, and one that is new.
    let mut new = subscriber.connect("postgres");
    for (number, change) in [
        "UPDATE ab_user SET active = false WHERE id = 2; UPDATE ab_user SET active = true WHERE id = 2",
        "SELECT session_guard.revoke_sessions(2)",
        "SELECT session_guard.revoke_sessions(3)",
        "DELETE FROM ab_user WHERE id = 4; INSERT INTO ab_user VALUES (4, true)",
        "SELECT session_guard.revoke_tokens('session', 's2'), session_guard.revoke_tokens('session', 's2')",
        "SELECT session_guard.revoke_all_sessions()",
    ]
    .into_iter()
    .enumerate()
    {
        run(&mut there, change);
        let mark = format!("mark{number}");
        run(&mut there, &format!("UPDATE ab_user SET password = '{mark}' WHERE id = 9"));
        wait_until(&mut here, &format!("SELECT password = '{mark}' FROM ab_user WHERE id = 9"));
        for client in [&mut here, &mut new] {
            let expected = ["revoked", if number < 2 { "valid" } else { "revoked" }];
            assert_eq!(verdict(client, 2, &before[1]), expected[0], "{change}");
            assert_eq!(verdict(client, 3, &before[2]), expected[1], "{change}");
        }
    }
    assert_eq!(verdict(&mut here, 4, &before[3]), "revoked");
    assert_eq!(verdict(&mut here, 5, &before[4]), "revoked", "everybody is out");
    assert_eq!(answer(&mut here, &token("s2")), "f");
    let epochs = "SELECT string_agg(e::text, ' ' ORDER BY user_id) FROM session_guard.epoch AS e";
    assert_eq!(answer(&mut here, epochs), answer(&mut there, epochs));
    run(&mut here, "DROP SUBSCRIPTION epochs");
}

/// A publication of all tables has the guard's as well, and the subscriber stamps what comes: made from a dump of the schema with
/// a first copy of the rows, or of a standby (as pg_createsubscriber does), which has the same rows and the same next numbers.
#[test]
fn all_tables_can_be_published_between_guards_of_the_same_table() {
    let publisher = Cluster::start(&["wal_level = logical"]);
    let mut there = publisher.connect("postgres");
    run(&mut there, TABLE);
    run(
        &mut there,
        "INSERT INTO ab_user SELECT n, true FROM generate_series(1, 19) AS n;
         CREATE EXTENSION pg_session_guard;
         CREATE PUBLICATION everything FOR ALL TABLES;
         SELECT session_guard.revoke_sessions(1), session_guard.revoke_tokens('session', 's1'), session_guard.revoke_all_sessions();",
    );
    run(&mut there, "SELECT pg_create_logical_replication_slot('of_a_standby', 'pgoutput')");
    let connection =
        format!("CONNECTION 'host={} user=postgres dbname=postgres'", publisher.folder().display());

    // One of another major as well, as in an upgrade without a long stop.
    let installations = [Installation::of_environment()].into_iter().chain(Installation::newer());
    let mut subscribers: Vec<(String, Cluster, Client)> = Vec::new();
    for installation in installations.take(2) {
        let mut subscriber = Cluster::create(&installation, &["wal_level = logical"]);
        subscriber.run();
        let mut here = subscriber.connect("postgres");
        run(&mut here, TABLE);
        run(&mut here, "CREATE EXTENSION pg_session_guard");
        let name = format!("of_{}", installation.major());
        run(&mut here, &format!("CREATE SUBSCRIPTION {name} {connection} PUBLICATION everything"));
        wait_until(&mut here, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel");
        subscribers.push((name, subscriber, here));
    }
    let standby = Cluster::standby_of(&publisher);
    standby.promote();
    let mut of_standby = standby.connect("postgres");
    run(
        &mut of_standby,
        &format!(
            "CREATE SUBSCRIPTION of_a_standby {connection} PUBLICATION everything
             WITH (create_slot = false, slot_name = 'of_a_standby', copy_data = false)"
        ),
    );
    subscribers.push(("of_a_standby".into(), standby, of_standby));

    // What one has forgotten, no UPDATE brings back: the events do.
    run(
        &mut subscribers[0].2,
        "DELETE FROM session_guard.epoch; DELETE FROM session_guard.token_epoch",
    );

    let before: Vec<String> = (1..=19).map(|id| login(&mut there, id)).collect();
    let changes = [
        "UPDATE ab_user SET active = false WHERE id = 1",
        "UPDATE ab_user SET active = true WHERE id = 1",
        "UPDATE ab_user SET active = false WHERE id BETWEEN 2 AND 5",
        "DELETE FROM ab_user WHERE id = 5; INSERT INTO ab_user VALUES (5, true)",
        "SELECT session_guard.revoke_sessions(6, 'lost phone')",
        "SELECT session_guard.revoke_sessions(6)",
        "SELECT session_guard.revoke_tokens('session', 's2'), session_guard.revoke_tokens('session', 's2')",
        "SELECT session_guard.revoke_tokens('guest'), session_guard.revoke_tokens('guest')",
        "SELECT session_guard.revoke_tokens('session', 's1')",
        // What the publisher decides for itself.
        "SELECT session_guard.configure(future_login_tolerance => '1 s')",
        "UPDATE session_guard.policy SET future_login_tolerance = '2 s'",
        // What the publisher itself forgets, and no longer guards.
        "SELECT session_guard.detach('ab_user', forget => true)",
        "DELETE FROM session_guard.token_epoch; DELETE FROM session_guard.event",
    ];
    let mut epochs = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        if change.contains("detach") {
            epochs = answers(&mut there, "SELECT user_id, epoch::text FROM session_guard.epoch");
        }
        run(&mut there, change);
        let mark = format!("mark{number}");
        run(&mut there, &format!("UPDATE ab_user SET password = '{mark}' WHERE id = 19"));
        for (name, _, here) in &mut subscribers {
            println!("{name}: {change}");
            wait_until(here, &format!("SELECT password = '{mark}' FROM ab_user WHERE id = 19"));
        }
    }
    const VERDICTS: &str = "SELECT string_agg(session_verdict(id, at), ' ' ORDER BY id) FROM login";
    const TOKENS: &str = "SELECT concat(token_valid('session', 's1', now() - interval '1 h'), token_valid('session', 's2', now() - interval '1 min'), token_valid('guest', 'g', now() - interval '1 min'))";
    let logins: Vec<String> =
        (1..).zip(&before).map(|(id, at)| format!("({id}, timestamptz '{at}')")).collect();
    let record = format!("CREATE TEMP VIEW login (id, at) AS VALUES {}", logins.join(", "));
    for (_, _, here) in &mut subscribers {
        run(here, &record);
        let expected = ["revoked", "disabled", "disabled", "disabled", "revoked", "revoked"];
        let expected: Vec<&str> = expected.into_iter().chain([const { "valid" }; 13]).collect();
        assert_eq!(answer(here, VERDICTS), expected.join(" "));
        assert_eq!(answer(here, TOKENS), "fff");
    }
    // No epoch is below the publisher's.
    for (name, _, here) in &mut subscribers {
        for epoch in &epochs {
            let [id, epoch] = epoch.as_slice() else { unreachable!("two columns") };
            let rose = format!(
                "SELECT epoch >= '{epoch}' FROM session_guard.epoch WHERE user_id = '{id}'"
            );
            assert_eq!(answer(here, &rose), "t", "{name}: {id}");
        }
        // Each event of the publisher's is here, too, beside those of this server's own stamps.
        let events = "SELECT count(*) FROM session_guard.event WHERE reason = 'admin: lost phone'";
        assert_eq!(answer(here, events), "1", "{name}");
        let own = "SELECT count(*) > 0 FROM session_guard.event WHERE replication_origin IS NOT NULL AND user_id = '1'";
        assert_eq!(answer(here, own), "t", "{name}");
    }

    // Its policies are its own.
    for (name, _, here) in &mut subscribers {
        let tolerance =
            "SELECT future_login_tolerance FROM session_guard.policy ORDER BY set_at DESC LIMIT 1";
        assert_eq!(answer(here, tolerance), "00:00:10", "{name}");
    }

    println!("the subscribers take over");
    for (name, _, here) in &mut subscribers {
        run(here, &format!("DROP SUBSCRIPTION {name}"));
        run(
            here,
            "UPDATE ab_user SET active = false WHERE id = 10; SELECT session_guard.revoke_sessions(11)",
        );
        assert_eq!(verdict(here, 10, &before[9]), "disabled", "{name}");
        assert_eq!(verdict(here, 11, &before[10]), "revoked", "{name}");
    }
}

/// The same by PostgreSQL's own program, which publishes all tables.
#[test]
fn a_standby_that_pg_createsubscriber_makes_a_subscriber_goes_on() {
    let has_program = |installation: &Installation| installation.major() >= 17;
    let Some(installation) = Installation::newer().into_iter().find(has_program) else {
        println!("SKIPPED: NEWER_PG_CONFIGS names no PostgreSQL that has pg_createsubscriber");
        return;
    };
    let mut publisher = Cluster::create(&installation, &["wal_level = logical"]);
    publisher.run();
    let mut there = publisher.connect("postgres");
    run(&mut there, TABLE);
    run(&mut there, "INSERT INTO ab_user SELECT n, true FROM generate_series(1, 9) AS n");
    run(&mut there, "CREATE EXTENSION pg_session_guard");
    let before = login(&mut there, 1);
    let mut subscriber = Cluster::standby_of(&publisher);
    subscriber.stop();
    let mut program = subscriber.program("pg_createsubscriber");
    program.args(["-U", "postgres", "-d", "postgres", "-p", "5432", "-s"]).arg(subscriber.folder());
    program
        .arg("-P")
        .arg(format!("host={} user=postgres dbname=postgres", publisher.folder().display()));
    output_of(program.arg("-D").arg(subscriber.data()));
    subscriber.run();
    let mut here = subscriber.connect("postgres");
    assert_eq!(verdict(&mut here, 1, &before), "valid");
    for change in [
        "UPDATE ab_user SET active = false WHERE id = 1",
        "UPDATE ab_user SET active = true WHERE id = 1",
        "SELECT session_guard.revoke_sessions(2), session_guard.revoke_tokens('session', 's1')",
    ] {
        run(&mut there, change);
    }
    run(&mut there, "UPDATE ab_user SET password = 'mark' WHERE id = 9");
    wait_until(&mut here, "SELECT password = 'mark' FROM ab_user WHERE id = 9");
    assert_eq!(verdict(&mut here, 1, &before), "revoked");
    assert_eq!(verdict(&mut here, 2, &before), "revoked");
    assert_eq!(verdict(&mut here, 3, &before), "valid");
    assert_eq!(
        answer(&mut here, "SELECT token_valid('session', 's1', now() - interval '1 min')"),
        "f"
    );
    // Of the two, it is a promotion: whether stamps were lost in that, PostgreSQL does not say.
    assert_eq!(scenario::checks(&problems(&mut here)), ["timeline"]);
}

#[test]
fn changes_of_a_status_of_each_form_stamp_on_the_subscriber() {
    let publisher = Cluster::start(&["wal_level = logical"]);
    let mut there = publisher.connect("postgres");
    forms::create_tables(&mut there);
    forms::insert(&mut there);
    run(&mut there, "CREATE PUBLICATION everything FOR ALL TABLES");
    let subscriber = Cluster::start(&["wal_level = logical"]);
    let mut here = subscriber.connect("postgres");
    run(&mut here, "CREATE EXTENSION pg_session_guard");
    forms::create_tables(&mut here);
    forms::attach(&mut here);
    run(
        &mut here,
        &format!(
            "CREATE SUBSCRIPTION everything CONNECTION 'host={} user=postgres dbname=postgres' PUBLICATION everything",
            publisher.folder().display()
        ),
    );
    wait_until(&mut here, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel");
    let mut sessions = forms::log_in(&mut here);
    forms::change(&mut there);
    run(&mut there, "INSERT INTO by_list VALUES (9)");
    wait_until(&mut here, "EXISTS (SELECT FROM by_list WHERE id = 9)");
    sessions.extend(forms::log_in_again(&mut here));
    // The second time, those who are active are known.
    forms::check_sessions(&mut here, &sessions);
    forms::check_sessions(&mut here, &sessions);
    forms::check_logins(&mut here);
    run(&mut here, "DROP SUBSCRIPTION everything");
    forms::check_guarding(&mut here);
}

#[test]
fn a_standby_answers_as_of_what_it_has_replayed() {
    let mut primary = Cluster::start(&[]);
    let mut there = primary.connect("postgres");
    run(&mut there, TABLE);
    run(
        &mut there,
        "INSERT INTO ab_user SELECT n, true FROM generate_series(1, 100) AS n;
         CREATE EXTENSION pg_session_guard;",
    );
    println!("a standby");
    let standby = Cluster::standby_of(&primary);
    // From here on a COMMIT returns when the standby has replayed it.
    primary.configure(&["synchronous_standby_names = '*'", "synchronous_commit = remote_apply"]);
    run(&mut there, "SELECT pg_reload_conf()");
    wait_until(&mut there, "SELECT sync_state = 'sync' FROM pg_stat_replication");
    run(&mut there, "SET synchronous_commit = remote_apply");
    let mut here = standby.connect("postgres");
    let mut session_of_1 = String::new();
    for id in 1..=100 {
        let session = login(&mut there, id);
        assert_eq!(verdict(&mut here, id, &session), "valid");
        run(&mut there, &format!("UPDATE ab_user SET active = false WHERE id = {id}"));
        assert_eq!(verdict(&mut here, id, &session), "disabled");
        run(&mut there, &format!("UPDATE ab_user SET active = true WHERE id = {id}"));
        assert_eq!(verdict(&mut here, id, &session), "revoked");
        if id == 1 {
            session_of_1 = session;
        }
    }
    assert_eq!(problems(&mut here), []);
    for question in ["SELECT session_start(1)", "SELECT session_start('ab_user', '1')"] {
        assert_eq!(refusal(&mut here, question), SqlState::READ_ONLY_SQL_TRANSACTION, "{question}");
    }
    run(&mut there, "ALTER TABLE ab_user DISABLE TRIGGER USER");
    assert_eq!(problems(&mut here)[0].check, "armed", "DDL is replayed, too");
    run(
        &mut there,
        "SELECT session_guard.reconcile(); SELECT session_guard.revoke_all_sessions();",
    );
    assert_eq!(problems(&mut here), []);
    let session = login(&mut there, 2);
    assert_eq!(verdict(&mut here, 2, &session), "valid");
    run(&mut there, "SELECT session_guard.revoke_all_sessions()");
    assert_eq!(verdict(&mut here, 2, &session), "revoked");

    println!("promoted, it is a primary like any other");
    drop(there);
    primary.kill_all();
    standby.promote();
    assert_eq!(verdict(&mut here, 1, &session_of_1), "revoked");
    let session = login(&mut here, 1);
    assert_eq!(verdict(&mut here, 1, &session), "valid");
    run(&mut here, "UPDATE ab_user SET active = NOT active");
    assert_eq!(verdict(&mut here, 1, &session), "disabled");
}

#[test]
fn changes_of_a_partitioned_table_stamp_on_the_subscriber() {
    const PARTITIONED: &str = "
        CREATE TABLE ab_user (id int PRIMARY KEY, active boolean) PARTITION BY RANGE (id);
        CREATE TABLE ab_user_1 PARTITION OF ab_user FOR VALUES FROM (0) TO (10);
        CREATE TABLE ab_user_2 (active boolean, id int NOT NULL);
        ALTER TABLE ab_user ATTACH PARTITION ab_user_2 FOR VALUES FROM (10) TO (20);
        ALTER TABLE ab_user_2 REPLICA IDENTITY FULL;";
    let publisher = Cluster::start(&["wal_level = logical"]);
    let subscriber = Cluster::start(&["wal_level = logical"]);
    for via_root in [false, true] {
        println!("publish_via_partition_root = {via_root}");
        let database = format!("via_root_{via_root}");
        let mut there = publisher.create_database(&database);
        run(&mut there, PARTITIONED);
        run(&mut there, "INSERT INTO ab_user SELECT n, true FROM generate_series(1, 19) AS n");
        run(
            &mut there,
            &format!(
                "CREATE PUBLICATION everything FOR TABLE ab_user
                 WITH (publish_via_partition_root = {via_root})"
            ),
        );
        let mut here = subscriber.create_database(&database);
        run(&mut here, PARTITIONED);
        run(&mut here, "CREATE EXTENSION pg_session_guard");
        run(
            &mut here,
            &format!(
                "CREATE SUBSCRIPTION {database} CONNECTION 'host={} user=postgres dbname={database}'
                 PUBLICATION everything",
                publisher.folder().display()
            ),
        );
        wait_until(&mut here, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel");
        assert_eq!(answer(&mut here, "SELECT count(*) FROM ab_user"), "19");
        let logins: Vec<(u32, String)> = [1, 2, 11, 12].map(|id| (id, login(&mut here, id))).into();
        for (id, login) in &logins {
            assert_eq!(verdict(&mut here, *id, login), "valid");
        }
        // Off and on again, a move to another partition, and a disable.
        run(&mut there, "UPDATE ab_user SET active = false WHERE id IN (1, 11)");
        run(&mut there, "UPDATE ab_user SET active = true WHERE id IN (1, 11)");
        run(
            &mut there,
            "DELETE FROM ab_user WHERE id = 19; UPDATE ab_user SET id = 19 WHERE id = 2;",
        );
        run(&mut there, "UPDATE ab_user SET active = false WHERE id = 12");
        wait_until(&mut here, "SELECT NOT active FROM ab_user WHERE id = 12");
        let verdicts: Vec<String> =
            logins.iter().map(|(id, login)| verdict(&mut here, *id, login)).collect();
        assert_eq!(verdicts, ["revoked", "unknown_user", "revoked", "disabled"]);
        let (_, moved) = &logins[1];
        assert_eq!(verdict(&mut here, 19, moved), "revoked");
        let other = login(&mut here, 3);
        run(&mut there, "TRUNCATE ab_user_2");
        // A publication by the root does not send the TRUNCATE of a partition.
        if via_root {
            run(&mut there, "TRUNCATE ab_user");
        }
        wait_until(&mut here, "SELECT count(*) = 0 FROM ab_user_2");
        assert_ne!(verdict(&mut here, 3, &other), "valid");
        assert!(problems(&mut here).is_empty());
        run(&mut here, &format!("DROP SUBSCRIPTION {database}"));
    }
}
