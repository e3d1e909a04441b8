//! Restoring a dump, whole or in part, revives no session, and the remedies of `session_guard.health()` repair what
//! the restore leaves disarmed.

use cluster::scenario::{AB_USER, DROPPED, Scenario, checks, login};
use cluster::{Cluster, answer, output_of, problems, refusal, repair, repair_where, run, scenario};
use postgres::Client;
use postgres::error::SqlState;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A running cluster with a database `source` in which everything has happened.
fn cluster_with_source() -> (Cluster, Scenario) {
    let cluster = Cluster::start(&[]);
    let mut client = cluster.create_database("source");
    let scenario = scenario::create(&mut client);
    (cluster, scenario)
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
        output_of(&mut match format {
            "plain" => {
                let mut psql = psql(&cluster, &database, &file);
                psql.args(["-v", "ON_ERROR_STOP=1"]);
                psql
            }
            _ => restore(&cluster, &database, &["--exit-on-error", "-j", jobs], &file),
        });
        scenario.check_copy(&mut client);
    }
}

#[test]
fn a_dump_of_all_databases_restores_in_another_cluster() {
    let (cluster, scenario) = cluster_with_source();
    let mut client = cluster.connect("source");
    run(&mut client, "CREATE ROLE app LOGIN; ALTER TABLE staff OWNER TO app");
    run(&mut client, "SELECT session_guard.attach('staff')");
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
    scenario.check_copy(&mut client);
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
        // The guards that are there already stay as they are; and with the rows that were refused went
        // the name of a table that was dropped, by which another would take over its epochs.
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("guard_pkey"), "{errors:?}");
        let scenario = scenario.without(DROPPED);
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

/// A dropped table's OID is a number in the dump, and may be another table's where that is restored.
#[test]
fn an_oid_that_means_another_table_after_the_restore_is_not_taken_for_it() {
    let (cluster, scenario) = cluster_with_source();
    let mut client = cluster.connect("source");
    run(&mut client, "CREATE TABLE unrelated (id int PRIMARY KEY, active boolean)");
    let dangling = answer(
        &mut client,
        "SELECT guard::oid FROM session_guard.guard WHERE table_name = 'public.dropped'",
    );
    drop(client);
    let schema = dump(&cluster, "schema", &["--section=pre-data"]);
    let data = dump(&cluster, "data", &["--section=data"]);
    let rest = dump(&cluster, "rest", &["--section=post-data"]);
    let mut client = cluster.create_database("restored");
    output_of(&mut psql(&cluster, "restored", &schema));
    let other = answer(&mut client, "SELECT 'unrelated'::regclass::oid");
    let rows = fs::read_to_string(&data).expect("the dump");
    assert!(rows.contains(&format!("\n{dangling}\t")), "the OID is in the dump");
    fs::write(&data, rows.replace(&format!("\n{dangling}\t"), &format!("\n{other}\t")))
        .expect("a file");
    for file in [&data, &rest] {
        output_of(psql(&cluster, "restored", file).args(["-v", "ON_ERROR_STOP=1"]));
    }
    run(&mut client, "INSERT INTO unrelated VALUES (1, true)");
    let question = "SELECT session_valid('unrelated', 1, now())";
    assert_eq!(refusal(&mut client, question), SqlState::UNDEFINED_TABLE);
    assert_eq!(checks(&problems(&mut client)), ["table", "table"]);
    repair(&mut client);
    assert_eq!(refusal(&mut client, question), SqlState::UNDEFINED_OBJECT, "it is not guarded");
    scenario.check_live(&mut client, |_| true);
    scenario.check_dead_for_ever(&mut client);
    scenario.check_guarding(&mut client);
}

/// Dumps one table while somebody is enabled who is disabled when it is restored.
#[test]
fn a_single_table_that_is_restored_revives_nobody() {
    let (cluster, _) = cluster_with_source();
    let mut client = cluster.connect("source");
    let login = login(&mut client, AB_USER, "8");
    let verdict = format!("SELECT session_verdict('ab_user', 8, '{login}')");
    assert_eq!(answer(&mut client, &verdict), "valid");
    let whole = dump(&cluster, "whole", &["-F", "custom"]);
    let table = dump(&cluster, "table", &["-F", "custom", "-t", "ab_user"]);
    let data = dump(&cluster, "rows", &["-F", "custom", "-t", "ab_user", "--data-only"]);
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
        println!("== {database}");
        run(
            &mut cluster.connect("postgres"),
            &format!("CREATE DATABASE {database} TEMPLATE source"),
        );
        let mut client = cluster.connect(database);
        run(&mut client, before);
        output_of(restore(&cluster, database, &["--exit-on-error"], file).args(options));
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
    let reason = "SELECT reason FROM session_guard.epoch WHERE guard = 'ab_user'::regclass AND user_id = '9'";
    assert_eq!(answer(client, reason), "disabled");
}
