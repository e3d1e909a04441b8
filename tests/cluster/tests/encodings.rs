//! Databases whose encoding is not UTF-8: names and ids of their own characters, roles whose names are no text there, and
//! what a dump makes of them.

use cluster::{Cluster, answer, output_of, problems, run};
use postgres::Client;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Encodings, and a name that can be written in each.
const ENCODINGS: [(&str, &str); 4] =
    [("LATIN1", "é ß"), ("EUC_JP", "山 田"), ("SQL_ASCII", "é 山"), ("UTF8", "Ω 山 é")];

/// A name of a role that is no text in EUC_JP and in UTF-8: "josé" in LATIN1.
fn name_in_latin1() -> OsString {
    OsString::from_vec(b"jos\xe9".to_vec())
}

fn create_database(cluster: &Cluster, name: &str, encoding: &str) -> Client {
    let sql = format!(
        "CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    run(&mut cluster.connect("postgres"), &sql);
    cluster.connect(name)
}

/// A cluster with the role, which LATIN1 can name.
fn cluster_with_role() -> Cluster {
    let cluster = Cluster::start(&[]);
    let mut latin1 = create_database(&cluster, "latin1_names", "LATIN1");
    run(&mut latin1, "CREATE ROLE \"josé\" LOGIN");
    cluster
}

fn psql_as_role(cluster: &Cluster, database: &str, sql: &str) {
    psql_as(cluster, name_in_latin1(), database, sql);
}

fn psql_as(cluster: &Cluster, role: OsString, database: &str, sql: &str) {
    let mut psql = cluster.program("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database]);
    // A client is told its role's name when it connects, which must not be converted.
    psql.env("PGUSER", role).env("PGCLIENTENCODING", "SQL_ASCII");
    output_of(psql.args(["-c", "SET client_encoding = 'UTF8'", "-c", sql]));
}

/// Two accounts of a table whose names are of this encoding: one has been disabled and enabled by that
/// role, and sessions of both from before. Returns a login time of each from after.
fn create(cluster: &Cluster, database: &str, name: &str) -> String {
    let mut client = cluster.connect(database);
    run(&mut client, "CREATE EXTENSION pg_session_guard");
    run(
        &mut client,
        &format!(
            "CREATE TABLE \"{name}\" (\"{name} id\" text PRIMARY KEY, \"{name} active\" boolean);
             INSERT INTO \"{name}\" VALUES ('{name}', true), ('plain', true);
             SELECT session_guard.attach('\"{name}\"', '{name} id', '{name} active');
             SELECT session_guard.revoke_tokens('{name}', '{name}', '{name}');
             GRANT SELECT, UPDATE ON \"{name}\" TO PUBLIC;
             SELECT session_guard.grant_access('pg_monitor')"
        ),
    );
    let update = "UPDATE \"{}\" SET \"{} active\"";
    let update = update.replace("{}", name);
    psql_as_role(cluster, database, &format!("{update} = false WHERE \"{name} id\" <> 'plain'"));
    psql_as_role(cluster, database, &format!("{update} = true WHERE \"{name} id\" <> 'plain'"));
    answer(&mut client, &format!("SELECT session_start('{name}')"))
}

/// What must hold in each copy.
fn check(client: &mut Client, name: &str, login: &str) {
    let verdict = |id, at: &str| format!("SELECT session_verdict('{id}', '{at}'::timestamptz)");
    assert_eq!(answer(client, &verdict(name, "2026-01-01")), "revoked");
    assert_eq!(answer(client, &verdict(name, login)), "valid");
    assert_eq!(answer(client, &verdict("plain", "2026-01-01")), "valid");
    let token = format!("SELECT token_valid('{name}', '{name}', '2026-01-01'::timestamptz)");
    assert_eq!(answer(client, &token), "f");
    assert_eq!(problems(client), []);
    let events = format!(
        "SELECT count(session_guard.security_event(id)) FROM session_guard.event WHERE user_id = '{name}'"
    );
    assert_eq!(answer(client, &events), "2");
    run(client, &format!("UPDATE \"{name}\" SET \"{name} active\" = false"));
    assert_eq!(answer(client, &verdict("plain", "2026-01-01")), "disabled");
    run(client, &format!("UPDATE \"{name}\" SET \"{name} active\" = true"));
    assert_eq!(answer(client, &verdict("plain", "2026-01-01")), "revoked");
}

#[test]
fn a_dump_restores_in_the_same_encoding_and_in_utf8_whoever_has_written() {
    let cluster = cluster_with_role();
    for (encoding, name) in ENCODINGS {
        let source = format!("source_{}", encoding.to_lowercase());
        drop(create_database(&cluster, &source, encoding));
        let login = create(&cluster, &source, name);
        let file = cluster.folder().join(format!("{source}.dump"));
        output_of(cluster.program("pg_dump").args(["-F", "custom", "-f"]).arg(&file).arg(&source));
        for target in [encoding, "UTF8"] {
            println!("from {encoding} to {target}");
            let copy = format!("copy_{}_{}", encoding.to_lowercase(), target.to_lowercase());
            if encoding == "UTF8" && target == "UTF8" && cluster.try_connect(&copy).is_ok() {
                continue;
            }
            let mut client = create_database(&cluster, &copy, target);
            let mut restore = cluster.program("pg_restore");
            output_of(restore.args(["--exit-on-error", "-d", &copy]).arg(&file));
            check(&mut client, name, &login);
        }
        check(&mut cluster.connect(&source), name, &login);
    }
}

#[test]
fn a_table_of_such_a_role_is_guarded_and_its_dump_restores() {
    let cluster = cluster_with_role();
    for encoding in ["EUC_JP", "UTF8", "SQL_ASCII"] {
        let source = format!("owned_{}", encoding.to_lowercase());
        let mut client = create_database(&cluster, &source, encoding);
        run(
            &mut client,
            "CREATE EXTENSION pg_session_guard; GRANT CREATE ON SCHEMA public TO PUBLIC",
        );
        run(&mut client, "GRANT USAGE ON SCHEMA session_guard TO PUBLIC");
        run(&mut client, "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA session_guard TO PUBLIC");
        let sql = "CREATE TABLE users (id int PRIMARY KEY, active boolean);
             CREATE TABLE session (id int, user_id int);
             INSERT INTO users VALUES (1, true), (2, true);
             INSERT INTO session VALUES (1, 1), (2, 2);
             SELECT session_guard.attach('users');
             SELECT session_guard.add_store('session', 'user_id');
             UPDATE users SET active = false WHERE id = 1";
        psql_as_role(&cluster, &source, sql);
        assert_eq!(answer(&mut client, "SELECT array_agg(user_id) FROM session"), "{2}");
        let file = cluster.folder().join(format!("{source}.dump"));
        output_of(cluster.program("pg_dump").args(["-F", "custom", "-f"]).arg(&file).arg(&source));
        let mut copy = create_database(&cluster, &format!("{source}_copy"), encoding);
        let mut restore = cluster.program("pg_restore");
        // No statement in this encoding can name the role.
        restore.args(["--exit-on-error", "--no-owner", "--no-privileges", "-d"]);
        output_of(restore.arg(format!("{source}_copy")).arg(&file));
        let verdict = "SELECT session_verdict(2, now()), session_verdict(1, now())";
        assert_eq!(cluster::answers(&mut copy, verdict), [["valid", "disabled"]]);
    }
}

/// What is no text of the database is escaped, so that two roles never have one name, and the record can be read and restored.
#[test]
fn the_record_names_each_role_in_the_databases_encoding() {
    let cluster = cluster_with_role();
    let mut latin1 = cluster.connect("latin1_names");
    run(&mut latin1, "CREATE ROLE \"josè\" LOGIN");
    let mut japanese = create_database(&cluster, "japanese_names", "EUC_JP");
    run(&mut japanese, "CREATE ROLE \"山田\" LOGIN");
    let roles: [&[u8]; 3] = [b"jos\xe9", b"jos\xe8", b"\xbb\xb3\xc5\xc4"];
    let expected = [
        ("LATIN1", ["josé", "josè", "»³ÅÄ"]),
        ("EUC_JP", ["jos\\xe9", "jos\\xe8", "山田"]),
        ("UTF8", ["jos\\xe9", "jos\\xe8", "\\xbb\\xb3\\xc5\\xc4"]),
    ];
    for (encoding, names) in expected {
        let database = format!("record_{}", encoding.to_lowercase());
        let mut client = create_database(&cluster, &database, encoding);
        run(
            &mut client,
            "CREATE EXTENSION pg_session_guard;
             CREATE TABLE users (id int PRIMARY KEY, active boolean);
             INSERT INTO users SELECT n, true FROM generate_series(0, 9) AS n;
             SELECT session_guard.attach('users');
             GRANT SELECT, UPDATE ON users TO PUBLIC",
        );
        for (id, role) in roles.into_iter().enumerate() {
            let sql = format!("UPDATE users SET active = false WHERE id = {id}");
            psql_as(&cluster, OsString::from_vec(role.to_vec()), &database, &sql);
        }
        // Only a name that is a text here can be written.
        let shown = names.iter().filter(|name| !name.contains('\\'));
        for (id, role) in (5..).zip(shown.clone()) {
            run(
                &mut client,
                &format!(
                    "SET ROLE \"{role}\"; UPDATE users SET active = false WHERE id = {id}; RESET ROLE"
                ),
            );
        }
        let of_logins = names.iter().map(|name| vec![(*name).to_owned(); 2]);
        let of_actors = shown.map(|name| vec!["postgres".to_owned(), (*name).to_owned()]);
        let record = "SELECT login_role, acting_role FROM session_guard.event ORDER BY id";
        let wanted: Vec<_> = of_logins.chain(of_actors).collect();
        assert_eq!(cluster::answers(&mut client, record), wanted, "{encoding}");
        let file = cluster.folder().join("event.copy");
        let copy = format!(
            "COPY session_guard.event TO '{0}'; CREATE TABLE copied (LIKE session_guard.event); COPY copied FROM '{0}'",
            file.display()
        );
        run(&mut client, &copy);
        let copied = record.replace("session_guard.event", "copied");
        assert_eq!(cluster::answers(&mut client, &copied), wanted, "{encoding}");
    }
}

/// Where the database has no encoding, names need not be texts at all.
#[test]
fn names_that_are_no_text_are_guarded_where_there_is_no_encoding() {
    let cluster = cluster_with_role();
    let mut client = create_database(&cluster, "ascii", "SQL_ASCII");
    run(&mut client, "CREATE EXTENSION pg_session_guard; GRANT CREATE ON SCHEMA public TO PUBLIC");
    run(&mut client, "GRANT USAGE ON SCHEMA session_guard TO PUBLIC");
    run(&mut client, "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA session_guard TO PUBLIC");
    // The bytes E9 and E8 stand alone, as in no UTF-8.
    let sql = r#"DO $$
        DECLARE e9 text := convert_from('\xe9', 'SQL_ASCII'); e8 text := convert_from('\xe8', 'SQL_ASCII');
        BEGIN
            EXECUTE format('CREATE TABLE %I (%I int PRIMARY KEY, %I boolean)', e9, 'id' || e9, 'on' || e9);
            EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, active boolean)', e8);
            EXECUTE format('CREATE TABLE %I (%I int)', 'role' || e9, 'user' || e9);
            EXECUTE format('INSERT INTO %I VALUES (1, true), (2, true)', e9);
            EXECUTE format('INSERT INTO %I VALUES (2, true)', e8);
            PERFORM session_guard.attach(quote_ident(e9)::regclass, 'id' || e9, 'on' || e9);
            PERFORM session_guard.watch(quote_ident('role' || e9)::regclass, 'user' || e9);
            EXECUTE format('UPDATE %I SET %I = false WHERE %I = 1', e9, 'on' || e9, 'id' || e9);
        END $$"#;
    psql_as_role(&cluster, "ascii", sql);
    let verdicts = "SELECT session_verdict(1, now()), session_verdict(2, now())";
    assert_eq!(cluster::answers(&mut client, verdicts), [["disabled", "valid"]]);
    let insert = r#"DO $$BEGIN EXECUTE format('INSERT INTO %I VALUES (2)', convert_from('\x726f6c65e9', 'SQL_ASCII')); END$$"#;
    run(&mut client, insert);
    assert_eq!(
        answer(&mut client, "SELECT session_verdict(2, '2026-01-01'::timestamptz)"),
        "revoked"
    );
    assert_eq!(problems(&mut client), []);
    let other = r"SELECT session_verdict(quote_ident(convert_from('\xe8', 'SQL_ASCII'))::regclass, 2, now())";
    assert_eq!(cluster::refusal(&mut client, other).code(), "42704", "not guarded");
}
