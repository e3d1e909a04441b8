//! ALTER EXTENSION … UPDATE from the last release leads to the catalog that a fresh installation has, object by
//! object, and forgets nothing. While there is no release, `scripts/servers` has this version's own SQL stand for one.

use cluster::{Cluster, answer, answers, output_of, problems, refusal, run};
use postgres::Client;
use postgres::error::SqlState;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The extension, its members, and what is part of those: indexes, columns' defaults, constraints, triggers, types.
const OBJECTS: &str = "
    CREATE OR REPLACE TEMP VIEW object AS
    WITH RECURSIVE object (classid, objid) AS (
        SELECT 'pg_extension'::regclass::oid, oid FROM pg_extension WHERE extname = 'pg_session_guard'
        UNION
        SELECT d.classid, d.objid FROM object AS o JOIN pg_depend AS d ON d.refclassid = o.classid AND d.refobjid = o.objid
        WHERE d.deptype IN ('e', 'i', 'a')
    )
    -- A TOAST table is named by a number.
    SELECT * FROM object WHERE pg_describe_object(classid, objid, 0) !~ 'pg_toast';
    CREATE OR REPLACE TEMP VIEW relation AS SELECT c.* FROM pg_class AS c JOIN object ON classid = 'pg_class'::regclass AND objid = c.oid;
    CREATE OR REPLACE TEMP VIEW function AS SELECT p.* FROM pg_proc AS p JOIN object ON classid = 'pg_proc'::regclass AND objid = p.oid;";

/// What is compared: each query lists all objects of the extension in one respect.
const RESPECTS: [(&str, &str); 14] = [
    ("objects", "SELECT pg_describe_object(classid, objid, 0) FROM object"),
    (
        "dependencies",
        "SELECT pg_describe_object(d.classid, d.objid, d.objsubid), d.deptype, pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
         FROM pg_depend AS d JOIN object USING (classid, objid)",
    ),
    (
        "owners and other roles",
        "SELECT pg_describe_object(d.classid, d.objid, d.objsubid), d.deptype, d.refobjid::regrole
         FROM pg_shdepend AS d JOIN object USING (classid, objid)
         WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
    ),
    (
        "extension",
        "SELECT extversion, extowner::regrole, extnamespace::regnamespace, extrelocatable FROM pg_extension JOIN object ON objid = oid",
    ),
    (
        "what pg_dump takes along",
        "SELECT config.oid::regclass, config.condition
         FROM pg_extension JOIN object ON objid = oid, unnest(extconfig, extcondition) AS config (oid, condition)",
    ),
    ("functions", "SELECT pg_get_functiondef(oid), proowner::regrole FROM function"),
    (
        "relations",
        "SELECT oid::regclass, relowner::regrole, relkind, relpersistence, relnatts, relrowsecurity, relforcerowsecurity,
                relreplident, relispartition, reloptions
         FROM relation",
    ),
    (
        "columns",
        "SELECT attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
                attstorage, attcollation::regcollation, pg_get_expr(adbin, adrelid)
         FROM relation AS r JOIN pg_attribute ON attrelid = r.oid
         LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE attnum > 0 AND NOT attisdropped",
    ),
    (
        "sequences",
        "SELECT r.oid::regclass, seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle
         FROM relation AS r JOIN pg_sequence ON seqrelid = r.oid",
    ),
    (
        "indexes",
        "SELECT pg_get_indexdef(indexrelid), indisprimary, indisreplident, indisvalid
         FROM relation AS r JOIN pg_index ON indexrelid = r.oid",
    ),
    (
        "constraints",
        "SELECT conrelid::regclass, conname, pg_get_constraintdef(c.oid)
         FROM object JOIN pg_constraint AS c ON classid = 'pg_constraint'::regclass AND objid = c.oid",
    ),
    (
        "triggers",
        "SELECT pg_get_triggerdef(t.oid), tgenabled
         FROM object JOIN pg_trigger AS t ON classid = 'pg_trigger'::regclass AND objid = t.oid",
    ),
    (
        "comments",
        "SELECT pg_describe_object(classoid, objoid, d.objsubid), description
         FROM object JOIN pg_description AS d ON classoid = classid AND objoid = objid",
    ),
    (
        // Those that pg_dump takes for the extension's own are listed beside those that there are.
        "privileges",
        "SELECT what, is_initial, grantor::regrole, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                privilege_type, is_grantable
         FROM (
             SELECT oid::regprocedure::text, false, proacl FROM function
             UNION ALL SELECT oid::regclass::text, false, relacl FROM relation
             UNION ALL SELECT a.attrelid::regclass || '.' || attname, false, attacl
                       FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid
             UNION ALL SELECT n.nspname, false, nspacl
                       FROM pg_namespace AS n JOIN object ON classid = 'pg_namespace'::regclass AND objid = n.oid
             UNION ALL SELECT t.oid::regtype::text, false, typacl
                       FROM pg_type AS t JOIN object ON classid = 'pg_type'::regclass AND objid = t.oid
             UNION ALL SELECT pg_describe_object(i.classoid, i.objoid, i.objsubid), true, initprivs
                       FROM pg_init_privs AS i JOIN object ON classid = classoid AND objid = objoid
         ) AS acl (what, is_initial, acl), aclexplode(acl.acl)",
    ),
];

fn catalog(client: &mut Client, query: &str) -> BTreeSet<String> {
    answers(client, &format!("SELECT o::text FROM ({query}) AS o")).into_iter().flatten().collect()
}

fn connect_as(cluster: &Cluster, user: &str, database: &str) -> Client {
    cluster.connect_as(user, database).unwrap_or_else(|error| panic!("{user}: {error:?}"))
}

/// The version to update from: the newest that is earlier than this one.
fn install_old(client: &mut Client) {
    let old = answer(
        client,
        "SELECT v.version
         FROM pg_available_extension_versions AS v JOIN pg_available_extensions AS e USING (name)
         WHERE name = 'pg_session_guard' AND v.version <> e.default_version
         ORDER BY string_to_array(v.version, '.')::int[] DESC LIMIT 1",
    );
    eprintln!("updates from {old}");
    run(client, &format!("CREATE EXTENSION pg_session_guard VERSION '{old}'"));
}

fn update(client: &mut Client) {
    run(client, "ALTER EXTENSION pg_session_guard UPDATE");
}

/// A database of a role's own.
fn create_database_of(cluster: &Cluster, owner: &str, name: &str) {
    run(&mut cluster.connect("postgres"), &format!("CREATE DATABASE \"{name}\" OWNER \"{owner}\""));
}

/// Whoever has created the extension, and whoever updates it.
#[test]
fn an_updated_catalog_is_the_same_as_a_fresh_one() {
    let cluster = Cluster::start(&[]);
    run(
        &mut cluster.connect("postgres"),
        "CREATE ROLE \"Owner\" LOGIN; CREATE ROLE operator LOGIN SUPERUSER;",
    );
    let cases = [("postgres", "postgres"), ("Owner", "Owner"), ("Owner", "operator")];
    for (number, (creator, updater)) in cases.into_iter().enumerate() {
        let [fresh, updated] = ["fresh", "updated"].map(|name| format!("{name} {number}"));
        create_database_of(&cluster, creator, &fresh);
        create_database_of(&cluster, creator, &updated);
        run(&mut connect_as(&cluster, creator, &fresh), "CREATE EXTENSION pg_session_guard");
        install_old(&mut connect_as(&cluster, creator, &updated));
        update(&mut connect_as(&cluster, updater, &updated));
        let differences = differences(&mut cluster.connect(&fresh), &mut cluster.connect(&updated));
        assert!(differences.is_empty(), "{creator}'s, updated by {updater}:{differences}");
    }
}

fn differences(fresh: &mut Client, updated: &mut Client) -> String {
    run(fresh, OBJECTS);
    run(updated, OBJECTS);
    let mut differences = String::new();
    for (respect, query) in RESPECTS {
        let (fresh, updated) = (catalog(fresh, query), catalog(updated, query));
        // PostgreSQL does not record what its first role has.
        assert!(
            !fresh.is_empty() || respect.starts_with("owners"),
            "{respect}: nothing is compared"
        );
        for missing in fresh.difference(&updated) {
            write!(differences, "\n{respect}: missing after the update: {missing}")
                .expect("memory");
        }
        for left_over in updated.difference(&fresh) {
            write!(differences, "\n{respect}: left over: {left_over}").expect("memory");
        }
    }
    differences
}

/// What the comparison is worth.
#[test]
fn a_difference_between_catalogs_is_found() {
    let cluster = Cluster::start(&[]);
    let [mut fresh, mut changed] = ["fresh", "changed"].map(|name| cluster.create_database(name));
    run(&mut fresh, "CREATE EXTENSION pg_session_guard");
    run(&mut changed, "CREATE EXTENSION pg_session_guard");
    assert_eq!(differences(&mut fresh, &mut changed), "");
    for (respect, change) in [
        ("functions", "ALTER FUNCTION session_guard.health() COST 7"),
        ("relations", "ALTER TABLE session_guard.epoch SET (fillfactor = 50)"),
        ("columns", "ALTER TABLE session_guard.epoch ALTER reason SET DEFAULT 'none'"),
        ("indexes", "CREATE INDEX another ON session_guard.epoch (reason)"),
        ("privileges", "GRANT EXECUTE ON FUNCTION session_guard.health() TO PUBLIC"),
        ("comments", "COMMENT ON FUNCTION session_guard.health() IS 'none'"),
        ("objects", "ALTER EXTENSION pg_session_guard DROP FUNCTION session_guard.health()"),
    ] {
        run(&mut changed, &format!("BEGIN; {change}"));
        let differences = differences(&mut fresh, &mut changed);
        assert!(differences.contains(&format!("\n{respect}: ")), "{change}: {differences}");
        run(&mut changed, "ROLLBACK");
    }
}

/// A guard with three users: one who has never been disabled, one who has been and is back, and one who is.
const STORY: [&str; 4] = [
    "CREATE SCHEMA app;
     CREATE TABLE app.users (id int PRIMARY KEY, active boolean);
     INSERT INTO app.users SELECT id, true FROM generate_series(1, 3) AS id",
    "SELECT session_guard.attach('app.users')",
    "CREATE TABLE app.login AS SELECT id, session_start(id) AS at FROM app.users",
    "UPDATE app.users SET active = false WHERE id IN (2, 3);
     UPDATE app.users SET active = true WHERE id = 2",
];

/// Each user's verdict, of the session from before all changes and of one that begins now.
fn verdicts(client: &mut Client) -> String {
    answer(
        client,
        "SELECT string_agg(concat_ws(' ', session_verdict(id, at), session_verdict('app.users', id, session_start(id))), ', ' ORDER BY id)
         FROM app.login",
    )
}

const VERDICTS: &str = "valid valid, revoked valid, disabled disabled";

/// Rights that users may give, and how to see that they are there.
fn grants() -> [(&'static str, String); 7] {
    let function = |role: &str, function: &str, privilege: &str| {
        format!("has_function_privilege('{role}', '{function}', '{privilege}')")
    };
    let attach = |role: &str, privilege: &str| {
        format!("has_function_privilege('{role}', 'session_guard.attach'::regproc, '{privilege}')")
    };
    const GRANTABLE: &str = "EXECUTE WITH GRANT OPTION";
    [
        (
            "EXECUTE ON FUNCTION session_valid(bigint, timestamptz) TO app",
            function("app", "session_valid(bigint, timestamptz)", "EXECUTE"),
        ),
        (
            "EXECUTE ON FUNCTION session_verdict(bigint, timestamptz) TO PUBLIC",
            function("anybody", "session_verdict(bigint, timestamptz)", "EXECUTE"),
        ),
        (
            "EXECUTE ON FUNCTION session_guard.health() TO app",
            function("app", "session_guard.health()", "EXECUTE"),
        ),
        (
            "SELECT ON session_guard.epoch TO app",
            "has_table_privilege('app', 'session_guard.epoch', 'SELECT')".into(),
        ),
        (
            "USAGE ON SCHEMA session_guard TO app",
            "has_schema_privilege('app', 'session_guard', 'USAGE')".into(),
        ),
        (
            "EXECUTE ON FUNCTION session_guard.attach TO \"Admin\" WITH GRANT OPTION",
            attach("Admin", GRANTABLE),
        ),
        (
            "EXECUTE ON FUNCTION session_guard.attach TO app",
            format!("{} AND NOT {}", attach("app", "EXECUTE"), attach("app", GRANTABLE)),
        ),
    ]
}

fn check_grants(client: &mut Client, place: &str) {
    for (grant, is_there) in grants() {
        assert_eq!(answer(client, &format!("SELECT {is_there}")), "t", "{place}: {grant}");
    }
    let others = "
        SELECT has_function_privilege('anybody', 'session_guard.attach'::regproc, 'EXECUTE')
            OR has_function_privilege('anybody', 'session_valid(bigint, timestamptz)', 'EXECUTE')
            OR has_function_privilege('app', 'session_guard.revoke_tokens'::regproc, 'EXECUTE')";
    assert_eq!(answer(client, others), "f", "{place}: rights that nobody gave");
}

/// A dump holds the rights that are not the extension's own, and so shows which are taken for that.
#[test]
fn an_update_keeps_guards_epochs_and_grants_and_so_does_a_dump() {
    let cluster = Cluster::start(&[]);
    let mut client = cluster.create_database("updated");
    run(&mut client, "CREATE ROLE app; CREATE ROLE \"Admin\"; CREATE ROLE anybody");
    install_old(&mut client);
    for step in STORY {
        run(&mut client, step);
    }
    for (grant, _) in grants() {
        run(&mut client, &format!("GRANT {grant}"));
    }
    // What depends on a function that apps call keeps it from being dropped.
    run(
        &mut client,
        "CREATE VIEW app.mine AS SELECT * FROM app.users WHERE session_valid(id, '2020-01-01 00:00:00+00'::timestamptz)",
    );
    let mut from_before = cluster.connect("updated");
    assert_eq!(verdicts(&mut from_before), VERDICTS);
    update(&mut client);

    check_grants(&mut client, "updated");
    assert_eq!(verdicts(&mut from_before), VERDICTS, "in a session from before");
    assert_eq!(verdicts(&mut cluster.connect("updated")), VERDICTS, "in a new session");
    // Nothing has to be repaired, and what comes next is recorded.
    assert_eq!(problems(&mut client), []);
    const EVENTS: &str = "SELECT count(*) FROM session_guard.event";
    let events: u64 = answer(&mut client, EVENTS).parse().expect("a number");
    run(&mut client, "UPDATE app.users SET active = false WHERE id = 1");
    assert_eq!(answer(&mut from_before, "SELECT session_verdict(1, now())"), "disabled");
    assert_eq!(answer(&mut client, EVENTS), (events + 1).to_string());
    run(&mut client, "UPDATE app.users SET active = true WHERE id = 1");
    let after = verdicts(&mut client);

    let file = cluster.folder().join("dump");
    output_of(cluster.program("pg_dump").arg("-f").arg(&file).arg("updated"));
    let mut restored = cluster.create_database("restored");
    let mut psql = cluster.program("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "restored", "-f"]);
    output_of(psql.arg(&file));
    check_grants(&mut restored, "restored");
    assert_eq!(verdicts(&mut restored), after, "restored");

    // Nothing is left that would keep the role.
    for database in [&mut client, &mut restored] {
        run(database, "REVOKE EXECUTE ON FUNCTION session_guard.attach FROM \"Admin\"");
    }
    run(&mut client, "DROP ROLE \"Admin\"");
}

/// A connection has kept its library, and a standby its files, while the update to a later version has run elsewhere.
#[test]
fn a_catalog_of_a_later_series_is_refused_by_a_library_that_does_not_know_it() {
    let cluster = Cluster::start(&[]);
    let mut updater = cluster.create_database("later");
    run(&mut updater, "CREATE EXTENSION pg_session_guard");
    run(&mut updater, "CREATE TABLE users (id int PRIMARY KEY, active boolean)");
    run(&mut updater, "INSERT INTO users VALUES (1, true), (2, true)");
    run(&mut updater, "SELECT session_guard.attach('users')");
    let mut app = cluster.connect("later");
    const ASK: &str = "SELECT session_valid(1, now())";
    assert_eq!(answer(&mut app, ASK), "t");
    assert_eq!(answer(&mut app, ASK), "t", "from what it knows");

    let own = answer(
        &mut updater,
        "SELECT extversion FROM pg_extension WHERE extname = 'pg_session_guard'",
    );
    let (series, _) = own.rsplit_once('.').expect("three numbers");
    let mut become_version = |version: &str| {
        // What ALTER EXTENSION ... UPDATE does when the script has nothing but its last line.
        run(
            &mut updater,
            &format!(
                "BEGIN; UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'pg_session_guard';
                 REVOKE ALL ON session_guard.guard FROM PUBLIC; COMMIT;"
            ),
        );
    };
    become_version(&format!("{series}.999"));
    assert_eq!(answer(&mut app, ASK), "t", "a catalog of the same series means the same");

    become_version("99.0.0");
    for question in [
        ASK,
        "SELECT session_verdict('users', '1', now())",
        "SELECT token_valid('a', 'b', now())",
        "SELECT session_start(1)",
        "SELECT session_guard.epoch_of(1)",
        "SELECT session_guard.attach('users')",
        "SELECT session_guard.detach('users')",
        "SELECT session_guard.reconcile()",
        "SELECT session_guard.revoke_sessions(1)",
        "SELECT session_guard.revoke_all_sessions()",
        "SELECT session_guard.revoke_tokens('a')",
        "SELECT session_guard.watch('users', 'id')",
        "SELECT session_guard.unwatch('users')",
        "SELECT session_guard.prune('1 d')",
        "SELECT session_guard.acknowledge_timeline()",
    ] {
        assert_eq!(
            refusal(&mut app, question),
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "{question}"
        );
    }
    // Also where the later one has other tables.
    run(&mut app, "BEGIN; ALTER TABLE session_guard.epoch RENAME TO other");
    assert_eq!(refusal(&mut app, ASK), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    run(&mut app, "ROLLBACK");
    let found = problems(&mut app);
    assert_eq!(found.len(), 1);
    // The app's writes go on, and stamp.
    run(&mut app, "UPDATE users SET active = false WHERE id = 2");
    assert_eq!(answer(&mut app, "SELECT user_id FROM session_guard.epoch"), "2");
    // The remedy ends the connection, so that the next one loads what is installed.
    // Whether the client still reads the server's last word is a race.
    assert!(app.batch_execute(&found[0].remedy).is_err());
    assert!(app.batch_execute("SELECT 1").is_err());
}
