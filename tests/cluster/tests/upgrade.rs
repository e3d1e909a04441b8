//! pg_upgrade to another major version revives no session.

use cluster::{Cluster, Installation, answer, answers, run, scenario, try_output_of};

#[test]
fn an_upgrade_by_copy_revives_nobody() {
    upgrade("--copy");
}

/// With the files of the old cluster, which are the new one's from then on.
#[test]
fn an_upgrade_by_link_revives_nobody() {
    upgrade("--link");
}

/// The newer ones to which PostgreSQL itself can upgrade: minor releases of an older major may have
/// what those of a newer one do not know yet.
fn targets() -> Vec<Installation> {
    let is_possible = |newer: &Installation| {
        let mut old = Cluster::start(&[]);
        run(&mut old.connect("postgres"), "CREATE TABLE plain (id int)");
        let mut new = Cluster::create(newer, &[]);
        let done = pg_upgrade(&mut old, &mut new, "--copy");
        if let Err(error) = &done {
            println!("PostgreSQL {} itself takes over no table: {error}", newer.major());
        }
        done.is_ok()
    };
    Installation::newer().into_iter().filter(is_possible).collect()
}

fn pg_upgrade(old: &mut Cluster, new: &mut Cluster, mode: &str) -> Result<(), String> {
    old.stop();
    let mut pg_upgrade = new.installation().program("pg_upgrade");
    pg_upgrade.arg(mode).args(["-U", "postgres", "-b"]).arg(old.installation().bindir());
    pg_upgrade.arg("-B").arg(new.installation().bindir());
    pg_upgrade.arg("-d").arg(old.data()).arg("-D").arg(new.data());
    let pg_upgrade = pg_upgrade.arg("--socketdir").arg(new.folder()).current_dir(new.folder());
    try_output_of(pg_upgrade).map(|_| ())
}

fn upgrade(mode: &str) {
    let targets = targets();
    if targets.is_empty() {
        println!("SKIPPED: NEWER_PG_CONFIGS names no PostgreSQL that this one can be upgraded to");
    }
    for newer in targets {
        upgrade_to(&newer, mode);
    }
}

fn upgrade_to(newer: &Installation, mode: &str) {
    let mut old = Cluster::start(&[]);
    let mut client = old.create_database("source");
    let mut scenario = scenario::create(&mut client);
    const KNOWN: &str = "SELECT * FROM session_guard.guard ORDER BY name";
    const EPOCHS: &str = "SELECT * FROM session_guard.epoch ORDER BY guard, user_id, is_related";
    const GRANTS: &str = "SELECT p.oid::regprocedure, proacl FROM pg_proc p WHERE proname = 'session_valid' ORDER BY p.oid::regprocedure::text";
    const TRIGGERS: &str =
        "SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger
                            WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text, 2";
    run(&mut client, "CREATE ROLE app LOGIN; ALTER TABLE staff OWNER TO app");
    run(&mut client, "SELECT session_guard.attach('staff')");
    scenario.note_configuration(&mut client);
    // Which names are keywords differs.
    const QUOTE: &str = "SET quote_all_identifiers = on";
    run(&mut client, QUOTE);
    let before = [KNOWN, EPOCHS, GRANTS, TRIGGERS].map(|query| answers(&mut client, query));
    drop(client);
    let mut new = Cluster::create(newer, &[]);
    println!("{} to {} by {mode}", old.installation().major(), newer.major());
    pg_upgrade(&mut old, &mut new, mode).unwrap();
    new.run();
    let mut client = new.connect("source");
    let version = answer(&mut client, "SHOW server_version_num");
    assert!(version.starts_with(&newer.major().to_string()));
    run(&mut client, QUOTE);
    for (query, before) in [KNOWN, EPOCHS, GRANTS, TRIGGERS].into_iter().zip(before) {
        assert_eq!(answers(&mut client, query), before, "{query}");
    }
    run(&mut client, "RESET quote_all_identifiers");
    let mut app = new.connect_as("app", "source").expect("a connection");
    let question = "SELECT session_valid('staff', gen_random_uuid(), now())";
    assert_eq!(answer(&mut app, question), "f", "the table's owner may still ask");
    scenario.check_copy(&mut client);
}
