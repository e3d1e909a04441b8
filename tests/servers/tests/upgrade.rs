//! A cluster that is upgraded to another major version knows all that it knew.

use servers::{Cluster, Installation, answer, answers, output_of, run, story};

#[test]
fn an_upgrade_by_copy_revives_nobody() {
    upgrade("--copy");
}

/// With the files of the old cluster, which are the new one's from then on.
#[test]
fn an_upgrade_by_link_revives_nobody() {
    upgrade("--link");
}

fn upgrade(mode: &str) {
    let Some(newer) = Installation::newer() else {
        println!("SKIPPED: NEWER_PG_CONFIG names no newer PostgreSQL to upgrade to");
        return;
    };
    let mut old = Cluster::start(&[]);
    let mut client = old.create_database("source");
    let story = story::tell(&mut client);
    // The epochs' table refers to tables by OID, and so may be one that is upgraded as it is: the new
    // server is to find the same tables by the same numbers.
    const KNOWN: &str = "SELECT guard::oid, guard, table_name, is_default, unwatched_at FROM session_guard.guard ORDER BY 1";
    const EPOCHS: &str =
        "SELECT guard::oid, user_id, epoch, reason FROM session_guard.epoch ORDER BY 1, 2";
    const GRANTS: &str = "SELECT p.oid::regprocedure, proacl FROM pg_proc p WHERE proname = 'session_valid' ORDER BY p.oid::regprocedure::text";
    const TRIGGERS: &str =
        "SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger
                            WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text, 2";
    run(&mut client, "CREATE ROLE app LOGIN; ALTER TABLE staff OWNER TO app");
    run(&mut client, "SELECT session_guard.attach('staff')");
    let before = [KNOWN, EPOCHS, GRANTS, TRIGGERS].map(|query| answers(&mut client, query));
    drop(client);
    let mut new = Cluster::create(&newer, &[]);
    println!("{} to {} by {mode}", old.installation().major(), newer.major());
    old.stop();
    let mut pg_upgrade = newer.program("pg_upgrade");
    pg_upgrade.arg(mode).args(["-U", "postgres", "-b"]).arg(old.installation().bindir());
    pg_upgrade.arg("-B").arg(newer.bindir()).arg("-d").arg(old.data()).arg("-D").arg(new.data());
    output_of(pg_upgrade.arg("--socketdir").arg(new.folder()).current_dir(new.folder()));
    new.run();
    let mut client = new.connect("source");
    let version = answer(&mut client, "SHOW server_version_num");
    assert!(version.starts_with(&newer.major().to_string()));
    for (query, before) in [KNOWN, EPOCHS, GRANTS, TRIGGERS].into_iter().zip(before) {
        assert_eq!(answers(&mut client, query), before, "{query}");
    }
    let mut app = new.connect_as("app", "source").expect("a connection");
    let question = "SELECT session_valid('staff', gen_random_uuid(), now())";
    assert_eq!(answer(&mut app, question), "f", "the table's owner may still ask");
    story.check_copy(&mut client);
}
