//! Restoring a dump, whole or in part, revives no session, and the remedies of `session_guard.health()` repair what
//! the restore leaves disarmed.

use cluster::scenario::{
    AB_USER, DROPPED, KEYWORDS, LONG, MEMBERS, ODD, STAFF, Scenario, Session, checks, login,
};
use cluster::{
    Cluster, Installation, Problem, answer, output_of, problems, refusal, repair, repair_where,
    run, scenario, try_output_of,
};
use postgres::Client;
use postgres::error::SqlState;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A running cluster with a database `source` in which everything has happened.
fn cluster_with_source() -> (Cluster, Scenario) {
    let cluster = Cluster::start(&[]);
    let mut client = cluster.create_database("source");
    let scenario = scenario::create(&mut client);
    (cluster, scenario)
}

/// Who dumps and restores: a superuser, and the owner of the database, whose tables and extension it has.
const OWNERS: [&str; 2] = ["postgres", "owner"];

/// The same, all made by a role.
fn cluster_with_source_of(owner: &str) -> (Cluster, Scenario) {
    let cluster = Cluster::start(&[]);
    run(&mut cluster.connect("postgres"), "CREATE ROLE owner LOGIN");
    let scenario = scenario::create(&mut create_database(&cluster, "source", owner));
    (cluster, scenario)
}

/// A new database of a role, and a connection as that.
fn create_database(cluster: &Cluster, name: &str, owner: &str) -> Client {
    run(&mut cluster.connect("postgres"), &format!("CREATE DATABASE {name} OWNER {owner}"));
    cluster.connect_as(owner, name).expect("a connection")
}

/// Dumps the database `source` into a file or folder of the cluster's.
fn dump(cluster: &Cluster, name: &str, options: &[&str]) -> PathBuf {
    let path = cluster.folder().join(format!("{name}.dump"));
    output_of(cluster.program("pg_dump").args(options).arg("-f").arg(&path).arg("source"));
    path
}

fn psql(cluster: &Cluster, database: &str, file: &PathBuf) -> Command {
    let mut psql = cluster.program("psql");
    psql.args(["-X", "-q", "-d", database, "-f"]).arg(file);
    psql
}

fn restore(cluster: &Cluster, database: &str, options: &[&str], file: &PathBuf) -> Command {
    let mut restore = cluster.program("pg_restore");
    restore.args(["-d", database]).args(options).arg(file);
    restore
}

/// Restores a dump of this format, and stops at the first error.
fn restore_whole(cluster: &Cluster, database: &str, format: &str, jobs: &str, file: &PathBuf) {
    output_of(&mut match format {
        "plain" => {
            let mut psql = psql(cluster, database, file);
            psql.args(["-v", "ON_ERROR_STOP=1"]);
            psql
        }
        _ => restore(cluster, database, &["--exit-on-error", "-j", jobs], file),
    });
}

/// Runs a restore that goes on after errors, as both programs do by default; returns the
/// errors.
fn errors_of(command: &mut Command) -> Vec<String> {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).output().expect("a program");
    let printed = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<_> =
        printed.lines().filter(|line| line.contains("ERROR: ")).map(str::to_owned).collect();
    println!("errors of the restore: {errors:#?}");
    errors
}

#[test]
fn a_whole_dump_restores_whole_in_every_format() {
    let (cluster, scenario) = cluster_with_source();
    for (format, jobs) in
        [("plain", "1"), ("custom", "1"), ("custom", "4"), ("directory", "4"), ("tar", "1")]
    {
        println!("format {format}, {jobs} jobs");
        let database = format!("from_{format}_{jobs}");
        let file = dump(&cluster, &database, &["-F", format]);
        let mut client = cluster.create_database(&database);
        restore_whole(&cluster, &database, format, jobs, &file);
        scenario.check_copy(&mut client);
    }
}

/// Where other words are keywords.
#[test]
fn a_dump_restores_whole_on_a_newer_major() {
    let newer = Installation::newer();
    if newer.is_empty() {
        println!("SKIPPED: NEWER_PG_CONFIGS names no PostgreSQL");
    }
    let (cluster, scenario) = cluster_with_source();
    run(&mut cluster.create_database("plain"), "CREATE TABLE plain (id int)");
    for installation in newer {
        let mut target = Cluster::create(&installation, &[]);
        target.run();
        for (restored, by) in [("by_its_own_major", &cluster), ("by_the_newer_one", &target)] {
            println!("to {}, dumped {restored}", installation.major());
            let file = target.folder().join(restored);
            let copy = |database: &str, restored: &str| {
                let mut pg_dump = by.program("pg_dump");
                pg_dump.env("PGHOST", cluster.folder()).args(["-F", "custom", "-f"]).arg(&file);
                output_of(pg_dump.arg(database));
                let client = target.create_database(restored);
                let mut restore = restore(&target, restored, &["--exit-on-error"], &file);
                try_output_of(&mut restore).map(|_| client)
            };
            // Minor releases of an older major may have what those of a newer one do not know yet.
            if let Err(error) = copy("plain", "plain") {
                println!("PostgreSQL itself takes over no table: {error}");
            } else {
                scenario.check_copy(&mut copy("source", restored).expect("a restore"));
            }
            run(&mut target.connect("postgres"), "DROP DATABASE plain WITH (FORCE)");
        }
    }
}

#[test]
fn a_dump_of_all_databases_restores_in_another_cluster() {
    let (cluster, mut scenario) = cluster_with_source();
    let mut client = cluster.connect("source");
    run(&mut client, "CREATE ROLE app LOGIN; ALTER TABLE staff OWNER TO app");
    run(&mut client, "SELECT session_guard.attach('staff')");
    scenario.note_configuration(&mut client);
    let all = cluster.folder().join("all.sql");
    output_of(cluster.program("pg_dumpall").arg("-f").arg(&all));
    let other = Cluster::start(&[]);
    // The role postgres is there already, which is the one error there is.
    let errors = errors_of(&mut psql(&other, "postgres", &all));
    assert!(errors.len() == 1 && errors[0].contains("role \"postgres\" already exists"));
    let mut app = other.connect_as("app", "source").expect("a connection");
    let question = "SELECT session_valid('staff', gen_random_uuid(), now())";
    assert_eq!(answer(&mut app, question), "f", "the table's owner may still ask");
    scenario.check_copy(&mut other.connect("source"));
}

#[test]
fn the_owner_of_a_database_restores_without_being_superuser() {
    let cluster = Cluster::start(&[]);
    run(&mut cluster.connect("postgres"), "CREATE ROLE owner LOGIN");
    let create = |name: &str| {
        let mut client = cluster.connect("postgres");
        run(&mut client, &format!("CREATE DATABASE {name} OWNER owner"));
        cluster.connect_as("owner", name).expect("a connection")
    };
    let scenario = scenario::create(&mut create("source"));
    for (target, options) in [("plain_again", ["-F", "plain"]), ("custom_again", ["-F", "custom"])]
    {
        let file = cluster.folder().join(format!("{target}.dump"));
        let mut pg_dump = cluster.program("pg_dump");
        pg_dump.args(options).arg("-f").arg(&file).args(["-U", "owner", "source"]);
        output_of(&mut pg_dump);
        let mut client = create(target);
        let mut command = match options[1] {
            "plain" => {
                let mut psql = psql(&cluster, target, &file);
                psql.args(["-v", "ON_ERROR_STOP=1"]);
                psql
            }
            _ => restore(&cluster, target, &["--exit-on-error", "-j", "2"], &file),
        };
        output_of(command.args(["-U", "owner"]));
        scenario.check_copy(&mut client);
    }
    // A superuser's dump, whose objects become the owner's.
    let mut superuser = cluster.connect("postgres");
    run(&mut superuser, "DROP DATABASE source");
    drop(superuser);
    let scenario = scenario::create(&mut cluster.create_database("source"));
    let file = dump(&cluster, "of_superuser", &["-F", "custom"]);
    let mut client = create("taken_over");
    let options = ["--exit-on-error", "--no-owner", "-U", "owner"];
    output_of(&mut restore(&cluster, "taken_over", &options, &file));
    scenario.check_dead(&mut client);
    scenario.check_live(&mut client, |_| true);
    // The tables are another's now, which is told of each; and what the remedies say takes them over.
    let of_table = |problem: &Problem| problem.check == "table";
    assert_eq!(problems(&mut client).into_iter().filter(of_table).count(), 13);
    repair(&mut client);
    scenario.check_dead_for_ever(&mut client);
    scenario.check_guarding(&mut client);
}

#[test]
fn the_schema_first_and_then_the_data_makes_a_whole_copy() {
    let (cluster, scenario) = cluster_with_source();
    let schema = dump(&cluster, "schema", &["-F", "custom", "--schema-only"]);
    let data = dump(&cluster, "data", &["-F", "custom", "--data-only"]);
    let mut client = cluster.create_database("in_two_steps");
    output_of(&mut restore(&cluster, "in_two_steps", &["--exit-on-error"], &schema));
    output_of(&mut restore(&cluster, "in_two_steps", &["--exit-on-error"], &data));
    scenario.check_copy(&mut client);

    // With several jobs the epochs may be there before the accounts, which are stamped then.
    let mut client = cluster.create_database("side_by_side");
    output_of(&mut restore(&cluster, "side_by_side", &["--exit-on-error"], &schema));
    output_of(&mut restore(&cluster, "side_by_side", &["--exit-on-error", "-j", "4"], &data));
    assert_eq!(problems(&mut client), scenario.problems);
    scenario.check_dead_for_ever(&mut client);
    scenario.check_guarding(&mut client);

    // Triggers that are disabled for the restore come back as ordinary ones, not as always enabled.
    let mut client = cluster.create_database("without_triggers");
    output_of(&mut restore(&cluster, "without_triggers", &["--exit-on-error"], &schema));
    let options = ["--exit-on-error", "--disable-triggers"];
    output_of(&mut restore(&cluster, "without_triggers", &options, &data));
    scenario.check_dead(&mut client);
    let wrong = problems(&mut client);
    assert!(checks(&wrong).contains(&"armed"), "{wrong:?}");
    let repaired = repair(&mut client);
    println!("repaired: {repaired:?}");
    scenario.check_dead_for_ever(&mut client);
    scenario.check_guarding(&mut client);
}

#[test]
fn data_alone_into_guarded_tables_revives_nobody() {
    let (cluster, scenario) = cluster_with_source();
    let plain = dump(&cluster, "plain", &["--data-only"]);
    let data = dump(&cluster, "data", &["-F", "custom", "--data-only"]);
    for (database, options) in [
        ("psql", None),
        ("one_job", Some(["-j", "1"].as_slice())),
        ("four_jobs", Some(["-j", "4"].as_slice())),
        ("no_triggers", Some(["--disable-triggers"].as_slice())),
    ] {
        println!("== {database}");
        let mut client = cluster.create_database(database);
        scenario::prepare(&mut client);
        let errors = errors_of(&mut match options {
            None => psql(&cluster, database, &plain),
            Some(options) => restore(&cluster, database, options, &data),
        });
        // The guards, watches and stores that are there already stay as they are.
        let is_of_config = |error: &String| {
            ["guard_pkey", "watch_pkey", "store_pkey"].iter().any(|key| error.contains(key))
        };
        assert!(errors.iter().all(is_of_config), "{errors:?}");
        scenario.check_dead(&mut client);
        let repaired = repair(&mut client);
        println!("repaired: {repaired:?}");
        scenario.check_dead_for_ever(&mut client);
        scenario.check_guarding(&mut client);
    }
    // Where the guards make room, what the dump has takes their place.
    let mut client = cluster.create_database("guards_removed");
    scenario::prepare(&mut client);
    run(
        &mut client,
        "TRUNCATE session_guard.guard, session_guard.guard_epoch, session_guard.epoch",
    );
    run(&mut client, "DROP TABLE dropped");
    output_of(&mut restore(&cluster, "guards_removed", &["--exit-on-error"], &data));
    scenario.check_copy(&mut client);
}

/// A table may be there under the name of one that was dropped before the dump, and may be anybody's.
#[test]
fn a_table_of_another_owner_is_not_taken_for_a_guarded_one_of_its_name() {
    let (cluster, scenario) = cluster_with_source();
    run(&mut cluster.connect("postgres"), "CREATE ROLE other LOGIN");
    let file = dump(&cluster, "whole", &["-F", "custom"]);
    let mut client = cluster.create_database("restored");
    run(
        &mut client,
        "CREATE TABLE dropped (id int PRIMARY KEY, active boolean);
         INSERT INTO dropped VALUES (1, true);
         ALTER TABLE dropped OWNER TO other;
         GRANT CREATE ON SCHEMA public TO other",
    );
    output_of(&mut restore(&cluster, "restored", &["--exit-on-error"], &file));
    let question = "SELECT session_valid('dropped', 1, now())";
    assert_eq!(refusal(&mut client, question), SqlState::UNDEFINED_TABLE, "it is not guarded");
    scenario.check_configuration(&mut client);
    scenario.check_dead(&mut client);
    scenario.check_live(&mut client, |_| true);
    // Its owner guards it: a guard of its own, which has nothing of the other's.
    run(
        &mut client,
        "GRANT USAGE ON SCHEMA session_guard TO other; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA session_guard TO other",
    );
    let mut others = cluster.connect_as("other", "restored").expect("a connection");
    run(&mut others, "SELECT session_guard.attach('dropped')");
    assert_eq!(
        answer(
            &mut others,
            "SELECT session_valid('dropped', 1, '2020-01-01 00:00+00'::timestamptz)"
        ),
        "t"
    );
    assert_eq!(
        answer(
            &mut client,
            "SELECT string_agg(name, ' ' ORDER BY name) FROM session_guard.guard WHERE table_name = 'dropped'"
        ),
        "public.dropped public.dropped (2)"
    );
    scenario.without(DROPPED).check_dead(&mut client);
    scenario.check_live(&mut client, |_| true);
}

/// The epochs of one table go with those of all others, in whatever part the tables are there.
#[test]
fn a_dump_without_one_table_keeps_all_epochs() {
    for owner in OWNERS {
        restore_without_one_table(owner, false);
    }
}

#[test]
fn a_dump_without_one_table_keeps_all_epochs_where_the_extension_is_there() {
    for owner in OWNERS {
        restore_without_one_table(owner, true);
    }
}

fn restore_without_one_table(owner: &str, is_prepared: bool) {
    let (cluster, mut scenario) = cluster_with_source_of(owner);
    let mut client = cluster.connect_as(owner, "source").expect("a connection");
    // A table that comes later is known by the name that was recorded last.
    run(&mut client, "SELECT session_guard.reconcile('members')");
    scenario.note_configuration(&mut client);
    drop(client);
    for (database, left_out, option) in [
        ("without_staff", STAFF, "--exclude-table=public.staff"),
        ("without_default", AB_USER, "--exclude-table=public.ab_user"),
        ("without_members", MEMBERS, "-Tmembers"),
        ("without_odd", ODD, "--exclude-schema=\"Odd Schema\""),
        ("without_keywords", KEYWORDS, "-T\"json_array\".\"system_user\""),
        ("without_long", LONG, "-N\"Sch\"*\"nom\"*"),
        ("without_watched", "", "--exclude-table=public.ab_user_role"),
        ("without_rows", STAFF, "--exclude-table-data=public.staff"),
    ] {
        println!("== {database}, by {owner}");
        let file = dump(&cluster, database, &["-U", owner, "-F", "custom", option]);
        let mut client = create_database(&cluster, database, owner);
        if is_prepared {
            run(&mut client, "CREATE EXTENSION pg_session_guard");
        }
        let mut restore = restore(&cluster, database, &["--exit-on-error", "-U", owner], &file);
        output_of(&mut restore);
        scenario.check_configuration(&mut client);
        let there = scenario.without(left_out);
        there.check_dead(&mut client);
        there.check_live(&mut client, |_| true);
        let found = problems(&mut client);
        let is_new = |problem: &&Problem| !scenario.problems.contains(problem);
        let new: Vec<_> =
            found.iter().filter(is_new).map(|problem| problem.check.as_str()).collect();
        println!("found: {new:?}");
        match database {
            "without_rows" => assert!(new.is_empty(), "{new:?}"),
            "without_watched" => assert_eq!(new, ["watch"]),
            "without_members" => assert_eq!(new, ["table"]),
            _ => assert!(new.contains(&"table"), "{new:?}"),
        }
        // The table comes later, from the same dump's rest or as migrations make it.
        if [KEYWORDS, LONG].contains(&left_out) {
            scenario::create_tables_of(&mut client, left_out);
        } else if !left_out.is_empty() {
            let table = match left_out {
                AB_USER => {
                    "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean, username text); INSERT INTO ab_user SELECT n, true FROM generate_series(1, 9) AS n WHERE n <> 6; INSERT INTO ab_user VALUES (6, false), (70, true)"
                }
                MEMBERS => {
                    "CREATE TABLE members (id varchar(20) PRIMARY KEY, active boolean); INSERT INTO members VALUES ('ann', true), ('bob', true)"
                }
                STAFF => {
                    "CREATE TABLE IF NOT EXISTS staff (id uuid PRIMARY KEY, active boolean); INSERT INTO staff VALUES ('0190a0b0-0000-7000-8000-000000000001', true)"
                }
                _ => {
                    r#"CREATE SCHEMA "Odd Schema"; CREATE TABLE "Odd Schema"."User's ""Table""" ("Key.Id" text PRIMARY KEY, "is on" boolean, "Pass word" text);
                    INSERT INTO "Odd Schema"."User's ""Table""" VALUES (E'o''neil \\N "x"\t42', true, 'secret'), ('other', true, 'secret')"#
                }
            };
            run(&mut client, table);
        }
        let repaired = repair_where(&mut client, |problem| {
            problem.check != "unwatched_changes" && problem.check != "watch"
        });
        println!("repaired: {repaired:?}");
        scenario.check_dead_where(&mut client, |session| session.table != DROPPED);
        if database == "without_watched" {
            run(&mut client, "CREATE TABLE ab_user_role (user_id int, role_id int)");
        }
        scenario.check_dead_for_ever(&mut client);
        scenario.check_guarding(&mut client);
    }
}

/// It is the one table of the extension that can be left out.
#[test]
fn a_dump_without_the_record_is_whole_but_for_that() {
    let (cluster, scenario) = cluster_with_source();
    for (database, option) in [
        ("without_table", "-Tsession_guard.event"),
        ("without_rows", "--exclude-table-data=session_guard.event"),
    ] {
        let file = dump(&cluster, database, &["-F", "custom", option]);
        let mut client = cluster.create_database(database);
        output_of(&mut restore(&cluster, database, &["--exit-on-error"], &file));
        assert_eq!(answer(&mut client, "SELECT count(*) FROM session_guard.event"), "0");
        scenario.check_copy(&mut client);
    }
}

/// Any client may have names quoted where they need not be, and a keyword of a later version is.
#[test]
fn names_that_are_quoted_needlessly_are_the_same_names() {
    let (cluster, scenario) = cluster_with_source();
    let file = dump(&cluster, "quoted", &["-F", "custom", "--quote-all-identifiers"]);
    let mut client = cluster.create_database("quoted");
    run(&mut client, "ALTER DATABASE quoted SET quote_all_identifiers = on");
    let mut command = restore(&cluster, "quoted", &["--exit-on-error"], &file);
    output_of(command.env("PGOPTIONS", "-c quote_all_identifiers=on"));
    // A connection that quotes, one that does not, and guards that each of them changes.
    let mut quoting = cluster.connect("quoted");
    assert_eq!(answer(&mut quoting, "SHOW quote_all_identifiers"), "on");
    run(&mut client, "SET quote_all_identifiers = off");
    for client in [&mut quoting, &mut client] {
        assert_eq!(checks(&problems(client)), checks(&scenario.problems));
        scenario.check_dead(client);
        scenario.check_live(client, |_| true);
        scenario.check_configuration(client);
    }
    run(&mut quoting, "SELECT session_guard.reconcile(), session_guard.attach('ab_user')");
    run(&mut client, "SELECT session_guard.reconcile(), session_guard.attach('ab_user')");
    assert_eq!(checks(&problems(&mut client)), ["table"], "the dropped one");
    scenario.check_dead(&mut client);
    scenario.check_live(&mut client, |_| true);
    run(&mut quoting, "ALTER TABLE staff RENAME TO \"system_user\"");
    run(&mut quoting, "SELECT session_guard.reconcile()");
    assert_eq!(checks(&problems(&mut client)), ["table"], "the dropped one");
    run(&mut client, "ALTER TABLE \"system_user\" RENAME TO staff");
    run(&mut client, "SELECT session_guard.reconcile()");
    scenario.check_dead_for_ever(&mut quoting);
    scenario.check_guarding(&mut client);
}

/// The extension is the database's owner's, and its tables are another's.
fn create_owned(cluster: &Cluster) -> Scenario {
    let mut superuser = cluster.connect("postgres");
    run(
        &mut superuser,
        "CREATE ROLE dbo LOGIN; CREATE ROLE app LOGIN; CREATE ROLE staff_owner LOGIN",
    );
    run(&mut superuser, "CREATE DATABASE source OWNER dbo");
    let mut dbo = cluster.connect_as("dbo", "source").expect("a connection");
    let mut scenario = scenario::create(&mut dbo);
    run(&mut dbo, "SELECT session_guard.grant_access('app')");
    run(
        &mut dbo,
        "GRANT USAGE ON SCHEMA session_guard TO staff_owner;
         GRANT EXECUTE ON FUNCTION session_guard.attach, session_guard.health TO staff_owner",
    );
    let mut superuser = cluster.connect("source");
    run(&mut superuser, "ALTER TABLE staff OWNER TO staff_owner");
    run(&mut superuser, "SELECT session_guard.attach('staff')");
    scenario.note_configuration(&mut superuser);
    scenario
}

/// Who could ask and administer in the database that was dumped can in this one.
#[track_caller]
fn check_rights(cluster: &Cluster, database: &str) {
    check_app_and_owners(cluster, database);
    let mut dbo = cluster.connect_as("dbo", database).expect("a connection");
    run(&mut dbo, "SELECT session_guard.configure(audit => true)");
    run(&mut dbo, "SELECT * FROM session_guard.prune('90 days', '90 days', dry_run => true)");
}

/// Who could ask in the database that was dumped, and guard their tables, can in this one.
#[track_caller]
fn check_app_and_owners(cluster: &Cluster, database: &str) {
    let mut app = cluster.connect_as("app", database).expect("a connection");
    for question in [
        "SELECT session_valid(1, now())",
        "SELECT session_start(1) IS NOT NULL",
        "SELECT token_valid('session', 's1', now())",
    ] {
        assert_eq!(answer(&mut app, question), "t", "{question}");
    }
    let mut dbo = cluster.connect_as("dbo", database).expect("a connection");
    run(&mut dbo, "SELECT session_guard.attach('former')");
    let mut staff_owner = cluster.connect_as("staff_owner", database).expect("a connection");
    run(&mut staff_owner, "SELECT session_guard.attach('staff')");
    let question = "SELECT session_valid('staff', gen_random_uuid(), now())";
    assert_eq!(answer(&mut staff_owner, question), "f", "nobody of this id");
}

#[test]
fn a_superuser_restores_the_dump_of_a_database_of_another_owner() {
    let cluster = Cluster::start(&[]);
    let scenario = create_owned(&cluster);
    check_rights(&cluster, "source");
    let found = problems(&mut cluster.connect("source"));
    let before = checks(&found);
    let file = dump(&cluster, "whole", &["-F", "custom"]);
    let create = |name: &str| {
        run(&mut cluster.connect("postgres"), &format!("CREATE DATABASE {name} OWNER dbo"));
        cluster.connect(name)
    };
    // The extension is the superuser's then. What its former owner granted is granted again, since
    // the database is his; but he administers it no more.
    println!("as it is");
    let mut client = create("again");
    output_of(&mut restore(&cluster, "again", &["--exit-on-error"], &file));
    assert_eq!(checks(&problems(&mut client)), before);
    check_app_and_owners(&cluster, "again");
    scenario.check_dead(&mut client);
    scenario.check_live(&mut client, |_| true);
    let mut dbo = cluster.connect_as("dbo", "again").expect("a connection");
    let refused = refusal(&mut dbo, "SELECT session_guard.configure(audit => true)");
    assert_eq!(refused, SqlState::INSUFFICIENT_PRIVILEGE);

    println!("with the extension there already, by its owner");
    let mut client = create("prepared");
    run(
        &mut cluster.connect_as("dbo", "prepared").expect("a connection"),
        "CREATE EXTENSION pg_session_guard",
    );
    output_of(&mut restore(&cluster, "prepared", &["--exit-on-error"], &file));
    check_rights(&cluster, "prepared");
    scenario.check_dead(&mut client);
    scenario.check_guarding(&mut client);

    println!("without owners and privileges: nothing is whole, and health() says so");
    let stripped = ["--exit-on-error", "--no-owner", "--no-privileges"];
    let plain = dump(&cluster, "plain", &["-F", "plain", "--no-owner", "--no-privileges"]);
    for (database, user, is_plain) in [
        ("stripped", "postgres", false),
        ("stripped_plain", "postgres", true),
        ("stripped_by_owner", "dbo", false),
        ("stripped_plain_by_owner", "dbo", true),
    ] {
        println!("== {database}");
        let mut client = create(database);
        output_of(&mut match is_plain {
            true => {
                let mut psql = psql(&cluster, database, &plain);
                psql.args(["-v", "ON_ERROR_STOP=1", "-U", user]);
                psql
            }
            false => {
                let mut restore = restore(&cluster, database, &stripped, &file);
                restore.args(["-U", user]);
                restore
            }
        });
        scenario.check_dead(&mut client);
        scenario.check_live(&mut client, |_| true);
        let mut app = cluster.connect_as("app", database).expect("a connection");
        let question = "SELECT session_valid(1, now())";
        assert_eq!(refusal(&mut app, question), SqlState::INSUFFICIENT_PRIVILEGE);
        // What has another owner now is told of each table; and what the remedies say takes all over.
        let mut client = cluster.connect_as(user, database).expect("a connection");
        let found = problems(&mut client);
        let owners =
            found.iter().filter(|problem| problem.detail.contains(" belonged to ")).count();
        let asks = |problem: &Problem| problem.check == "access" && problem.remedy == "∅";
        let asking: Vec<_> = found.iter().filter(|problem| asks(problem)).collect();
        match user {
            // The owner of the tables can log in, and so may be whom the app connects as.
            "dbo" => assert!(owners == 1 && asking.is_empty(), "{found:#?}"),
            _ => assert!(owners == 13 && asking.len() == 13, "{found:#?}"),
        }
        let repaired = repair_where(&mut client, |problem| !asks(problem));
        println!("repaired: {repaired:?}");
        let left = problems(&mut client);
        assert_eq!(left.len(), asking.len(), "{left:#?}");
        let (_, statement) =
            asking.first().map_or(("", "SELECT session_guard.grant_access('app');"), |problem| {
                problem.detail.split_once("for example: ").expect("a statement")
            });
        run(&mut client, statement);
        assert_eq!(problems(&mut client), []);
        assert_eq!(answer(&mut app, question), "t");
        scenario.check_dead_for_ever(&mut client);
        scenario.check_guarding(&mut client);
    }
}

/// As before there was an extension in it.
#[test]
fn a_databases_owner_asks_and_dumps_where_a_superuser_made_the_extension() {
    let cluster = Cluster::start(&[]);
    run(&mut cluster.connect("postgres"), "CREATE ROLE former_owner; CREATE ROLE dbo LOGIN");
    run(&mut cluster.connect("postgres"), "CREATE DATABASE source OWNER dbo");
    let mut superuser = cluster.connect("source");
    run(
        &mut superuser,
        "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
         INSERT INTO ab_user VALUES (1, true), (2, false);
         CREATE EXTENSION pg_session_guard;
         ALTER TABLE ab_user OWNER TO former_owner;
         SELECT session_guard.attach('ab_user');
         ALTER TABLE ab_user OWNER TO dbo;
         SELECT session_guard.reconcile()",
    );
    let mut dbo = cluster.connect_as("dbo", "source").expect("a connection");
    assert_eq!(answer(&mut dbo, "SELECT session_valid(1, now())"), "t");
    let path = cluster.folder().join("by_owner.dump");
    let mut command = cluster.program("pg_dump");
    output_of(command.args(["-U", "dbo", "-F", "custom", "-f"]).arg(&path).arg("source"));
    run(&mut superuser, "CREATE DATABASE again OWNER dbo");
    output_of(&mut restore(&cluster, "again", &["--exit-on-error"], &path));
    let mut dbo = cluster.connect_as("dbo", "again").expect("a connection");
    assert_eq!(answer(&mut dbo, "SELECT session_valid(1, now())"), "t");
    run(&mut dbo, "UPDATE ab_user SET active = true");
    assert_eq!(answer(&mut dbo, "SELECT session_verdict(2, now() - interval '1 min')"), "revoked");
}

/// A part of the dump may have tables whose guards it has not: nobody can know who was put out there.
#[test]
fn tables_that_are_restored_without_their_guards_rows_are_told() {
    for owner in OWNERS {
        restore_without_guards_rows(owner);
    }
}

fn restore_without_guards_rows(owner: &str) {
    let (cluster, scenario) = cluster_with_source_of(owner);
    let is_of_interest = |session: &&Session| session.table == STAFF && !session.is_live;
    let Session { id, login, .. } =
        scenario.sessions.iter().find(is_of_interest).expect("somebody who is out");
    let question = format!("SELECT session_verdict('staff', '{id}', '{login}')");
    for (database, options) in [
        ("schema", ["-n", "public"]),
        ("one_table", ["-t", "staff"]),
        ("without_guards", ["--exclude-table-data", "session_guard.*"]),
        ("without_guards_tables", ["-T", "session_guard.*"]),
        ("without_guards_schema", ["-N", "session_guard"]),
    ] {
        for is_before in [false, true] {
            let database = format!("{database}_{is_before}");
            println!("== {database}, by {owner}");
            let [option, pattern] = options;
            let options = ["-U", owner, "-F", "custom", option, pattern];
            let file = dump(&cluster, &database, &options);
            let mut client = create_database(&cluster, &database, owner);
            let extension = "CREATE EXTENSION IF NOT EXISTS pg_session_guard";
            if !is_before {
                run(&mut client, extension);
            }
            errors_of(&mut restore(&cluster, &database, &["-U", owner], &file));
            run(&mut client, extension);
            let is_refused = client.simple_query(&question).is_err();
            assert!(is_refused, "not guarded");
            if answer(
                &mut client,
                "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'staff'::regclass",
            ) == "0"
            {
                // Without the triggers, which need the extension, it is a table like any other.
                assert!(is_before);
                continue;
            }
            let says = |problem: &Problem| problem.detail.contains("staff");
            let found = problems(&mut client);
            assert!(found.iter().any(says), "{found:#?}");
            run(&mut client, "SELECT session_guard.attach('staff')");
            let verdict = answer(&mut client, &question);
            let found = problems(&mut client);
            let asks =
                |problem: &Problem| problem.remedy.contains("revoke_all_sessions('public.staff')");
            assert!(verdict == "revoked" || found.iter().any(asks), "{verdict}: {found:#?}");
        }
    }
}

/// Dumps one table while somebody is enabled who is disabled when it is restored.
#[test]
fn a_single_table_that_is_restored_revives_nobody() {
    for owner in OWNERS {
        restore_a_single_table(owner);
    }
}

fn restore_a_single_table(owner: &str) {
    let (cluster, _) = cluster_with_source_of(owner);
    let mut client = cluster.connect_as(owner, "source").expect("a connection");
    let login = login(&mut client, AB_USER, "8");
    let verdict = format!("SELECT session_verdict('ab_user', 8, '{login}')");
    assert_eq!(answer(&mut client, &verdict), "valid");
    let whole = dump(&cluster, "whole", &["-U", owner, "-F", "custom"]);
    let table = dump(&cluster, "table", &["-U", owner, "-F", "custom", "-t", "ab_user"]);
    let data =
        dump(&cluster, "rows", &["-U", owner, "-F", "custom", "-t", "ab_user", "--data-only"]);
    run(&mut client, "UPDATE ab_user SET active = false WHERE id = 8");
    drop(client);

    let ways: [(&str, &str, &PathBuf, &[&str]); 7] = [
        ("cleaned", "", &table, &["--clean"]),
        ("cleaned_at_once", "", &table, &["--clean", "--single-transaction"]),
        ("cleaned_of_whole", "", &whole, &["--clean", "-t", "ab_user"]),
        ("emptied", "TRUNCATE ab_user", &data, &["--data-only"]),
        ("deleted", "DELETE FROM ab_user", &data, &["--data-only"]),
        ("deleted_unseen", "DELETE FROM ab_user", &data, &["--data-only", "--disable-triggers"]),
        ("dropped", "DROP TABLE ab_user", &table, &[]),
    ];
    for (database, before, file, options) in ways {
        println!("== {database}, by {owner}");
        run(
            &mut cluster.connect("postgres"),
            &format!("CREATE DATABASE {database} TEMPLATE source OWNER {owner}"),
        );
        let mut client = cluster.connect_as(owner, database).expect("a connection");
        run(&mut client, before);
        let mut restore = restore(&cluster, database, &["--exit-on-error", "-U", owner], file);
        output_of(restore.args(options));
        check_table_restored(&mut client, &verdict);
    }
}

fn check_table_restored(client: &mut Client, verdict: &str) {
    assert_eq!(answer(client, "SELECT active FROM ab_user WHERE id = 8"), "t");
    let is_dead = |client: &mut Client| match client.simple_query(verdict) {
        Ok(_) => assert_ne!(answer(client, verdict), "valid"),
        Err(error) => println!("refused: {:?}", error.code()),
    };
    is_dead(client);
    // The app goes on writing meanwhile.
    run(client, "UPDATE ab_user SET username = 'else' WHERE id = 8");
    // Before everybody is put out, which is what may be asked for in the end.
    let mut repaired = repair_where(client, |problem| problem.check != "unwatched_changes");
    assert_eq!(answer(client, verdict), "revoked");
    repaired.extend(repair(client));
    println!("repaired: {repaired:?}");
    run(client, "UPDATE ab_user SET active = false WHERE id = 9");
    let reason =
        "SELECT reason FROM session_guard.epoch WHERE guard = 'public.ab_user' AND user_id = '9'";
    assert_eq!(answer(client, reason), "disabled");
}

/// What the restored database does with sessions that lie in a table of the app's.
#[track_caller]
fn left_in(client: &mut Client, table: &str) -> String {
    run(client, &format!("TRUNCATE {table}; INSERT INTO {table} VALUES (1), (2)"));
    run(client, "UPDATE users SET active = false WHERE id = 1");
    run(client, "UPDATE users SET active = true WHERE id = 1");
    answer(client, &format!("SELECT string_agg(user_id::text, ' ' ORDER BY user_id) FROM {table}"))
}

fn checks_of_stores(client: &mut Client) -> Vec<String> {
    let found = problems(client).into_iter().filter(|problem| problem.check == "store");
    found.map(|problem| problem.detail).collect()
}

/// A database of `dbo`, who owns the extension and a store; another store is a superuser's, and one of `alice`.
fn create_with_stores(cluster: &Cluster) {
    let mut superuser = cluster.connect("postgres");
    run(&mut superuser, "CREATE ROLE dbo LOGIN; CREATE ROLE alice LOGIN");
    run(&mut superuser, "CREATE DATABASE source OWNER dbo");
    let mut dbo = cluster.connect_as("dbo", "source").expect("a connection");
    run(
        &mut dbo,
        "CREATE EXTENSION pg_session_guard;
         CREATE TABLE users (id int PRIMARY KEY, active boolean);
         INSERT INTO users VALUES (1, true), (2, true);
         SELECT session_guard.attach('users');
         CREATE TABLE of_dbo (user_id int);
         SELECT session_guard.add_store('of_dbo', 'user_id')",
    );
    run(
        &mut cluster.connect("source"),
        "CREATE TABLE of_superuser (user_id int);
         CREATE TABLE of_alice (user_id int);
         ALTER TABLE of_alice OWNER TO alice;
         SELECT session_guard.add_store('of_superuser', 'user_id'), session_guard.add_store('of_alice', 'user_id')",
    );
}

const STORES: [&str; 3] = ["of_dbo", "of_superuser", "of_alice"];

#[test]
fn stores_are_restored_with_the_tables_of_their_owners() {
    let cluster = Cluster::start(&[]);
    create_with_stores(&cluster);
    let whole = dump(&cluster, "whole", &["-F", "custom"]);
    let create = |name: &str| {
        run(&mut cluster.connect("postgres"), &format!("CREATE DATABASE {name} OWNER dbo"));
        cluster.connect(name)
    };
    for (database, is_prepared, options) in [
        ("by_superuser", false, ["-j", "1"]),
        ("by_superuser_with_jobs", false, ["-j", "4"]),
        ("by_superuser_after_create", true, ["-j", "1"]),
    ] {
        println!("== {database}");
        let mut client = create(database);
        if is_prepared {
            run(&mut client, "CREATE EXTENSION pg_session_guard");
        }
        let mut command = restore(&cluster, database, &["--exit-on-error"], &whole);
        output_of(command.args(options));
        for table in STORES {
            assert_eq!(left_in(&mut client, table), "2", "{table}");
        }
        assert_eq!(checks_of_stores(&mut client), [""; 0]);
    }

    println!("== all becomes the restoring role's");
    let mut client = create("by_owner");
    let options = ["--exit-on-error", "--no-owner", "--no-privileges", "-U", "dbo"];
    output_of(&mut restore(&cluster, "by_owner", &options, &whole));
    for table in STORES {
        assert_eq!(left_in(&mut client, table), "2", "{table}");
    }

    // Who has agreed is not who owns them now; nor is a table that comes later the one that was meant.
    let own = dump(&cluster, "own", &["-F", "custom", "-t", "of_superuser"]);
    for (database, options, table, later) in [
        ("nobodys", ["--no-owner", "--no-privileges"], "of_alice", None),
        ("later", ["-T", "of_superuser"], "of_superuser", Some(&own)),
    ] {
        println!("== {database}");
        let mut client = create(database);
        let file = match later {
            Some(_) => dump(&cluster, database, &["-F", "custom", options[0], options[1]]),
            None => whole.clone(),
        };
        let mut command = restore(&cluster, database, &["--exit-on-error"], &file);
        output_of(command.args(options.iter().filter(|_| later.is_none())));
        if let Some(later) = later {
            output_of(&mut restore(&cluster, database, &["--exit-on-error"], later));
        }
        assert_eq!(left_in(&mut client, table), "1 2", "nobody has agreed");
        let told = checks_of_stores(&mut client);
        let call = format!("add_store('public.{table}'");
        assert!(told.iter().any(|detail| detail.contains(&call)), "{told:?}");
        // Which role is an app's, nobody can tell from a dump without grants.
        repair_where(&mut client, |problem| problem.check != "access");
        for table in STORES {
            assert_eq!(left_in(&mut client, table), "2", "{table}");
        }
    }
}

/// The owner of the extension may write a row about any table, and has it restored by a superuser.
#[test]
fn rows_of_stores_that_were_planted_do_nothing_after_a_superusers_restore() {
    let cluster = Cluster::start(&[]);
    create_with_stores(&cluster);
    run(
        &mut cluster.connect("source"),
        "SELECT session_guard.remove_store('of_superuser'), session_guard.remove_store('of_alice')",
    );
    let mut dbo = cluster.connect_as("dbo", "source").expect("a connection");
    run(
        &mut dbo,
        "INSERT INTO session_guard.store VALUES ('public.users', 'public', 'of_superuser', 'postgres', 'user_id', NULL),
                                                ('public.users', 'public', 'of_alice', 'alice', 'user_id', NULL);
         CREATE FUNCTION take_over() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN ALTER ROLE dbo SUPERUSER; RETURN OLD; END $$;
         CREATE TRIGGER take_over BEFORE DELETE ON of_dbo FOR EACH ROW EXECUTE FUNCTION take_over()",
    );
    for (database, options) in [
        ("again", ["--exit-on-error"].as_slice()),
        ("stripped", &["--exit-on-error", "--no-owner"]),
    ] {
        println!("== {database}");
        let file = dump(&cluster, database, &["-F", "custom"]);
        run(&mut cluster.connect("postgres"), &format!("CREATE DATABASE {database} OWNER dbo"));
        let mut client = cluster.connect(database);
        output_of(&mut restore(&cluster, database, options, &file));
        for table in ["of_superuser", "of_alice"] {
            assert_eq!(left_in(&mut client, table), "1 2", "{table}");
        }
        // Its own table is the superuser's later, whose rights its trigger must not get.
        run(&mut client, "INSERT INTO of_dbo VALUES (1); ALTER TABLE of_dbo OWNER TO postgres");
        run(&mut client, "SELECT session_guard.reconcile()");
        run(&mut client, "UPDATE users SET active = false WHERE id = 1");
        assert_eq!(answer(&mut client, "SELECT count(*) FROM of_dbo"), "1");
        let is_superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'dbo'";
        assert_eq!(answer(&mut client, is_superuser), "f");
    }
}

/// The second partition numbers the columns otherwise.
const PARTITIONED: &str = "
    CREATE TABLE members (id int PRIMARY KEY, active boolean NOT NULL) PARTITION BY RANGE (id);
    CREATE TABLE members_1 PARTITION OF members FOR VALUES FROM (0) TO (10);
    CREATE TABLE members_2 (active boolean NOT NULL, id int NOT NULL);
    ALTER TABLE members ATTACH PARTITION members_2 FOR VALUES FROM (10) TO (20);
    INSERT INTO members SELECT n, true FROM generate_series(1, 19) AS n;
    CREATE EXTENSION pg_session_guard;
    SELECT session_guard.attach('members');";

#[test]
fn a_partitioned_users_table_is_armed_when_it_is_restored() {
    let cluster = Cluster::start(&[]);
    let mut client = cluster.create_database("source");
    run(&mut client, PARTITIONED);
    let login =
        |client: &mut Client, id: u32| answer(client, &format!("SELECT session_start({id})"));
    let logins = [login(&mut client, 1), login(&mut client, 11), login(&mut client, 12)];
    run(&mut client, "UPDATE members SET active = false WHERE id IN (1, 11)");
    run(&mut client, "UPDATE members SET active = true WHERE id IN (1, 11)");
    let verdicts = format!(
        "SELECT concat_ws(' ', session_verdict(1, '{}'), session_verdict(11, '{}'), session_verdict(12, '{}'))",
        logins[0], logins[1], logins[2]
    );
    assert_eq!(answer(&mut client, &verdicts), "revoked revoked valid");
    for (format, jobs) in [("plain", "1"), ("custom", "2")] {
        println!("format {format}");
        let database = format!("from_{format}");
        let file = dump(&cluster, &database, &["-F", format]);
        let mut copy = cluster.create_database(&database);
        restore_whole(&cluster, &database, format, jobs, &file);
        assert!(problems(&mut copy).is_empty());
        assert_eq!(answer(&mut copy, &verdicts), "revoked revoked valid");
        run(&mut copy, "UPDATE members_2 SET active = false WHERE id = 12");
        run(&mut copy, "UPDATE members SET active = true WHERE id = 12");
        assert_eq!(answer(&mut copy, &verdicts), "revoked revoked revoked");
        let late = login(&mut copy, 1);
        run(&mut copy, "TRUNCATE members_2");
        run(&mut copy, "SELECT session_guard.reconcile()");
        let verdict = format!("SELECT session_verdict(1, '{late}')");
        assert_eq!(answer(&mut copy, &verdict), "revoked");
        assert!(problems(&mut copy).is_empty());
        run(
            &mut copy,
            "CREATE TABLE members_3 PARTITION OF members FOR VALUES FROM (20) TO (30);
             SELECT session_guard.reconcile('members')",
        );
        assert!(problems(&mut copy).is_empty());
    }
}
