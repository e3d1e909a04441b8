//! ALTER EXTENSION … UPDATE leads to the catalog that a fresh installation has, object by object, and forgets nothing.

use postgres::Client;
use servers::{Cluster, answer, answers, run};
use std::collections::BTreeSet;

const OLD: &str = "0.1.0";

/// What is compared: each query lists all objects of the extension in one respect.
const RESPECTS: [(&str, &str); 9] = [
    (
        "objects",
        "SELECT pg_describe_object(classid, objid, objsubid), deptype FROM pg_depend
         WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_session_guard')",
    ),
    (
        "functions",
        "SELECT pg_get_functiondef(p.oid), proacl::text FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
             AND d.classid = 'pg_proc'::regclass
         WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_session_guard')",
    ),
    (
        "relations",
        "SELECT relname, relkind, relpersistence, relacl::text FROM pg_class WHERE relnamespace = 'session_guard'::regnamespace",
    ),
    (
        "columns",
        "SELECT attrelid::regclass::text, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attidentity::text,
                attcollation::regcollation::text, pg_get_expr(adbin, adrelid)
         FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE relnamespace = 'session_guard'::regnamespace AND relkind IN ('r', 'S') AND attnum > 0 AND NOT attisdropped",
    ),
    (
        "indexes",
        "SELECT pg_get_indexdef(indexrelid), indisprimary FROM pg_index JOIN pg_class c ON c.oid = indexrelid
         WHERE relnamespace = 'session_guard'::regnamespace",
    ),
    (
        "constraints",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE connamespace = 'session_guard'::regnamespace",
    ),
    (
        "triggers",
        "SELECT pg_get_triggerdef(t.oid), tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
         WHERE relnamespace = 'session_guard'::regnamespace AND NOT tgisinternal",
    ),
    (
        "comments",
        "SELECT pg_describe_object(classoid, objoid, objsubid), description FROM pg_description
         WHERE pg_describe_object(classoid, objoid, objsubid) ~ 'session_|token_valid'",
    ),
    (
        "what pg_dump takes along",
        "SELECT unnest(extconfig)::regclass::text, unnest(extcondition) FROM pg_extension WHERE extname = 'pg_session_guard'",
    ),
];

fn catalog(client: &mut Client, query: &str) -> BTreeSet<String> {
    answers(client, &format!("SELECT o::text FROM ({query}) AS o")).into_iter().flatten().collect()
}

fn install_old(client: &mut Client) {
    run(client, &format!("CREATE EXTENSION pg_session_guard VERSION '{OLD}'"));
}

#[test]
fn an_updated_catalog_is_the_same_as_a_fresh_one() {
    let cluster = Cluster::start(&[]);
    let mut fresh = cluster.create_database("fresh");
    run(&mut fresh, "CREATE EXTENSION pg_session_guard");
    let mut updated = cluster.create_database("updated");
    install_old(&mut updated);
    run(&mut updated, "ALTER EXTENSION pg_session_guard UPDATE");
    for (respect, query) in RESPECTS {
        let (fresh, updated) = (catalog(&mut fresh, query), catalog(&mut updated, query));
        let missing: Vec<_> = fresh.difference(&updated).collect();
        let left_over: Vec<_> = updated.difference(&fresh).collect();
        assert!(!fresh.is_empty(), "{respect}: nothing is compared");
        assert!(
            missing.is_empty() && left_over.is_empty(),
            "{respect}: missing after the update: {missing:#?}, left over: {left_over:#?}"
        );
    }
}

#[test]
fn an_update_forgets_neither_guards_nor_epochs_nor_grants() {
    let cluster = Cluster::start(&[]);
    let mut client = cluster.create_database("updated");
    run(
        &mut client,
        "CREATE ROLE app; CREATE ROLE admin; CREATE SCHEMA old_app;
         CREATE TABLE old_app.users (id int PRIMARY KEY, active boolean);
         INSERT INTO old_app.users VALUES (1, true), (2, true), (3, false);",
    );
    install_old(&mut client);
    // As attach of the old version leaves it, and with a stamp in the past of who has come back.
    run(
        &mut client,
        "INSERT INTO session_guard.guard VALUES ('old_app.users', 'old_app.users', 'id', 'active', '{}', true);
         INSERT INTO session_guard.epoch VALUES ('old_app.users', '1', '2020-01-01 00:00:01+00', 'enabled');
         GRANT EXECUTE ON FUNCTION session_valid(bigint, timestamptz) TO app;
         GRANT EXECUTE ON FUNCTION session_guard.attach TO admin WITH GRANT OPTION;",
    );
    // The new library goes on with the old catalog: it asks, and it stamps.
    let mut before = cluster.connect("updated");
    const OLD_SESSION: &str = "SELECT session_verdict(1, '2020-01-01 00:00:00+00'::timestamptz)";
    assert_eq!(answer(&mut before, OLD_SESSION), "revoked");
    assert_eq!(
        answer(&mut before, "SELECT session_verdict('old_app.users', '2', now()::timestamp)"),
        "valid"
    );
    run(
        &mut before,
        "CREATE TRIGGER session_guard_update AFTER UPDATE ON old_app.users FOR EACH ROW
             WHEN (OLD.id IS DISTINCT FROM NEW.id OR OLD.active IS DISTINCT FROM NEW.active) EXECUTE FUNCTION session_guard.stamp();
         UPDATE old_app.users SET active = false WHERE id = 2; UPDATE old_app.users SET active = true WHERE id = 2;",
    );
    assert_eq!(answer(&mut before, "SELECT session_verdict(2, now() - interval '1 h')"), "revoked");
    run(&mut client, "ALTER EXTENSION pg_session_guard UPDATE");
    run(&mut client, "SELECT session_guard.reconcile()");
    let mut after = cluster.connect("updated");
    run(&mut after, "SET ROLE app");
    assert_eq!(
        answer(&mut after, "SELECT session_valid(1, '2020-01-01 00:00:00+00'::timestamptz)"),
        "f"
    );
    assert_eq!(
        answer(&mut after, "SELECT session_valid(1, '2020-01-01 00:00:02+00'::timestamptz)"),
        "t"
    );
    assert_eq!(
        answer(&mut after, "SELECT session_valid(3, '2020-01-01 00:00:02+00'::timestamptz)"),
        "f"
    );
    let attach = "'session_guard.attach(regclass, name, name, name[], boolean, interval)'";
    let may =
        format!("SELECT has_function_privilege('admin', {attach}, 'EXECUTE WITH GRANT OPTION')");
    assert_eq!(answer(&mut client, &may), "t");
}
