//! Stamps in prepared transactions: logins wait for them, also after a crash, and what was given out before is dead when they
//! are committed.

use cluster::{Cluster, answer, refusal, run};
use postgres::Client;
use postgres::error::SqlState;
use std::thread::sleep;
use std::time::Duration;

fn verdict(client: &mut Client, id: u32, login: &str) -> String {
    answer(client, &format!("SELECT session_verdict({id}, '{login}')"))
}

fn login(client: &mut Client, id: u32) -> String {
    answer(client, &format!("SELECT session_start({id})"))
}

#[test]
fn logins_wait_for_a_prepared_stamp_also_after_a_crash() {
    let mut cluster = Cluster::start(&["max_prepared_transactions = 5"]);
    run(
        &mut cluster.connect("postgres"),
        "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
         INSERT INTO ab_user SELECT n, true FROM generate_series(1, 9) AS n;
         CREATE TABLE ab_user_role (user_id int, role_id int);
         CREATE EXTENSION pg_session_guard;
         SELECT session_guard.watch('ab_user_role', 'user_id');",
    );
    let ways = [
        ("SELECT session_guard.revoke_all_sessions()", true),
        ("TRUNCATE ab_user_role", true),
        ("INSERT INTO ab_user_role VALUES (1, 1)", false),
        ("SELECT session_guard.revoke_sessions(1)", false),
        ("UPDATE ab_user SET active = NOT active WHERE id = 1", false),
    ];
    for (way, is_of_all) in ways {
        for end in ["COMMIT PREPARED 'stamp'", "ROLLBACK PREPARED 'stamp'"] {
            println!("{way}; {end}");
            let mut client = cluster.connect("postgres");
            run(&mut client, "UPDATE ab_user SET active = true WHERE NOT active");
            run(&mut client, "BEGIN");
            run(&mut client, way);
            let mut app = cluster.connect("postgres");
            run(&mut app, "SET lock_timeout = '100ms'");
            // Past the epoch that the statement itself may have stamped.
            sleep(Duration::from_millis(2100));
            let waits = way.starts_with("SELECT session_guard.revoke_sessions")
                || way.starts_with("UPDATE");
            let before = if waits { String::new() } else { login(&mut app, 1) };
            let other = login(&mut app, 2);
            run(&mut client, "PREPARE TRANSACTION 'stamp'");
            assert_eq!(refusal(&mut app, "SELECT session_start(1)"), SqlState::LOCK_NOT_AVAILABLE);
            drop((client, app));
            cluster.kill_all();
            cluster.run();
            let mut app = cluster.connect("postgres");
            run(&mut app, "SET lock_timeout = '100ms'");
            assert_eq!(refusal(&mut app, "SELECT session_start(1)"), SqlState::LOCK_NOT_AVAILABLE);
            // Checks wait for nobody.
            assert_eq!(verdict(&mut app, 2, &other), "valid");
            run(&mut app, end);
            let is_committed = end.starts_with("COMMIT");
            if !waits {
                let expected = if is_committed { "revoked" } else { "valid" };
                assert_eq!(verdict(&mut app, 1, &before), expected);
            }
            let expected = if is_committed && is_of_all { "revoked" } else { "valid" };
            assert_eq!(verdict(&mut app, 2, &other), expected);
            let after = login(&mut app, 2);
            assert_eq!(verdict(&mut app, 2, &after), "valid");
        }
    }
}
