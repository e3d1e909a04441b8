//! Maintenance and DDL, on every table that the guard reads or writes, beside transactions that stamp: no session comes back,
//! and nothing of the app's fails.

use cluster::{Cluster, answer, answers, forms, output_of, run, wait_until};
use postgres::error::SqlState;
use postgres::{Client, NoTls};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

const TABLES: &str = "
    CREATE TABLE ab_user (id int PRIMARY KEY, active boolean, password text);
    INSERT INTO ab_user SELECT n, true FROM generate_series(1, 4000) AS n;
    CREATE TABLE ab_user_role (user_id int NOT NULL, role_id int);
    CREATE INDEX by_user ON ab_user_role (user_id);
    CREATE TABLE other (id int PRIMARY KEY, active boolean);
    INSERT INTO other VALUES (1, true);
    CREATE EXTENSION pg_session_guard;
    SELECT session_guard.attach('ab_user', revoke_on => '{password}'), session_guard.attach('other');
    SELECT session_guard.watch('ab_user_role', 'user_id', users => 'ab_user');
    CREATE TABLE app_session (sid serial PRIMARY KEY, user_id int, data text);
    CREATE INDEX session_of_user ON app_session (user_id);
    SELECT session_guard.add_store('app_session', 'user_id', users => 'ab_user');
    CREATE EXTENSION IF NOT EXISTS amcheck;
    CREATE ACCESS METHOD another TYPE TABLE HANDLER heap_tableam_handler;";

fn cluster_with_guards() -> Cluster {
    let cluster = Cluster::start(&["max_prepared_transactions = 10", "deadlock_timeout = 200ms"]);
    run(&mut cluster.connect("postgres"), TABLES);
    cluster
}

/// A table, its key's index, and a column of it.
struct Table<'a> {
    name: &'a str,
    index: &'a str,
    column: &'a str,
}

const MAINTAINED: [Table; 11] = [
    Table { name: "session_guard.epoch", index: "epoch_pkey", column: "reason" },
    Table { name: "session_guard.guard_epoch", index: "guard_epoch_pkey", column: "reason" },
    Table { name: "session_guard.token_epoch", index: "token_epoch_key", column: "reason" },
    Table { name: "session_guard.event", index: "event_of_user", column: "reason" },
    Table { name: "session_guard.guard", index: "guard_pkey", column: "active_when" },
    Table { name: "session_guard.watch", index: "watch_pkey", column: "guard" },
    Table { name: "session_guard.policy", index: "", column: "set_by" },
    Table { name: "ab_user", index: "ab_user_pkey", column: "password" },
    Table { name: "ab_user_role", index: "by_user", column: "role_id" },
    Table { name: "session_guard.store", index: "store_pkey", column: "guard" },
    Table { name: "app_session", index: "session_of_user", column: "data" },
];

/// $ is the table, # its index and % the column. What follows a semicolon is run after it, by itself.
const STATEMENTS: [&str; 21] = [
    "REINDEX INDEX #",
    "REINDEX INDEX CONCURRENTLY #",
    "REINDEX TABLE $",
    "REINDEX TABLE CONCURRENTLY $",
    "CREATE INDEX additional ON $ (%); DROP INDEX additional",
    "CREATE INDEX CONCURRENTLY additional ON $ (%); DROP INDEX CONCURRENTLY additional",
    "CLUSTER $ USING #",
    "VACUUM $",
    "VACUUM (FULL) $",
    "VACUUM (FREEZE) $",
    "ANALYZE $",
    "ALTER TABLE $ ADD COLUMN additional text; ALTER TABLE $ DROP COLUMN additional",
    "ALTER TABLE $ ADD COLUMN additional text DEFAULT clock_timestamp()::text; ALTER TABLE $ DROP COLUMN additional",
    "ALTER TABLE $ SET (fillfactor = 50)",
    "ALTER TABLE $ SET TABLESPACE additional; ALTER TABLE $ SET TABLESPACE pg_default",
    "ALTER INDEX # SET TABLESPACE additional; ALTER INDEX # SET TABLESPACE pg_default",
    "ALTER TABLE $ ADD CONSTRAINT additional CHECK (% IS NULL OR length(%::text) >= 0) NOT VALID; ALTER TABLE $ VALIDATE CONSTRAINT additional; ALTER TABLE $ DROP CONSTRAINT additional",
    "ALTER TABLE $ ALTER COLUMN % SET STATISTICS 200",
    "ALTER TABLE $ SET LOGGED",
    "ALTER INDEX # RENAME TO \"another name\"; ALTER INDEX \"another name\" RENAME TO #",
    "ALTER TABLE $ SET ACCESS METHOD another; ALTER TABLE $ SET ACCESS METHOD heap",
];

/// Of all tables at once.
const OF_ALL: [&str; 6] = [
    "REINDEX SCHEMA session_guard",
    "REINDEX SCHEMA CONCURRENTLY session_guard",
    "REINDEX DATABASE postgres",
    "REINDEX DATABASE CONCURRENTLY postgres",
    "VACUUM (FULL)",
    "CLUSTER",
];

/// The statements for one table.
fn statements(table: &Table) -> Vec<String> {
    let schema = table.name.rsplit_once('.').map_or("", |(schema, _)| schema);
    // A users table of another method lets nobody in, and a watched one would only be refused.
    let fits = |statement: &&&str| {
        (!table.index.is_empty() || !statement.contains('#'))
            && (schema == "session_guard" || !statement.contains("ACCESS METHOD"))
    };
    // A primary key cannot be marked for CLUSTER by another name.
    STATEMENTS
        .iter()
        .filter(fits)
        .map(|statement| {
            let index = match (statement.starts_with("CLUSTER"), schema) {
                (true, _) | (_, "") => table.index.to_owned(),
                _ => format!("{schema}.{}", table.index),
            };
            let schema_of_index = if schema.is_empty() { String::new() } else { format!("{schema}.") };
            let statement = match statement.contains("RENAME") {
                true => format!(
                    "ALTER INDEX {index} RENAME TO \"another name\"; ALTER INDEX {schema_of_index}\"another name\" RENAME TO {}",
                    table.index
                ),
                false => statement.replace('#', &index),
            };
            statement
                .replace("DROP INDEX additional", &format!("DROP INDEX {schema_of_index}additional"))
                .replace("CONCURRENTLY additional;", "additional;")
                .replace(
                    "DROP INDEX CONCURRENTLY additional",
                    &format!("DROP INDEX CONCURRENTLY {schema_of_index}additional"),
                )
                .replace('$', table.name)
                .replace('%', table.column)
        })
        .collect()
}

/// Users whom one round puts out, each in another way: their numbers begin at a round's own.
const WAYS: [&str; 8] = [
    "SELECT session_guard.revoke_sessions($)",
    "UPDATE ab_user SET active = false WHERE id = $",
    "UPDATE ab_user SET password = 'new' WHERE id = $",
    "DELETE FROM ab_user WHERE id = $",
    "UPDATE ab_user SET id = -$ WHERE id = $",
    "INSERT INTO ab_user_role VALUES ($, 1)",
    "SAVEPOINT here; UPDATE ab_user SET active = false WHERE id = $; RELEASE here",
    "SAVEPOINT here; INSERT INTO ab_user_role VALUES ($, 1); RELEASE here",
];

/// How many users a round takes: each way by a transaction that was open before the maintenance began, for a first stamp and a
/// later one, again after it began, and prepared.
const PER_WAY: u32 = 4;

struct Round {
    first: u32,
    logins: Vec<(u32, String)>,
    untouched: (u32, String),
    undone: (u32, String),
    other: String,
    token: String,
}

impl Round {
    fn new(client: &mut Client, first: u32) -> Round {
        let ways = u32::try_from(WAYS.len()).expect("a few");
        let users = first..first + ways * PER_WAY;
        // Who has an epoch before, of a while ago.
        for way in 0..ways {
            let user = first + way * PER_WAY + 1;
            run(
                client,
                &format!(
                    "INSERT INTO session_guard.epoch VALUES ('public.ab_user', '{user}', '2020-01-01 00:00+00', 'earlier')"
                ),
            );
        }
        run(
            client,
            &format!(
                "INSERT INTO app_session (user_id) SELECT generate_series({first}, {})",
                users.end + 1
            ),
        );
        let mut login =
            |user: u32| (user, answer(client, &format!("SELECT session_start({user})")));
        Round {
            first,
            logins: users.clone().map(&mut login).collect(),
            untouched: login(users.end),
            undone: login(users.end + 1),
            other: answer(client, "SELECT session_start('other', 1)"),
            token: answer(client, "SELECT clock_timestamp()"),
        }
    }

    /// How many users' numbers it has taken.
    fn end(&self) -> u32 {
        self.undone.0 + 1
    }

    fn statements(&self, which: u32) -> Vec<String> {
        (0..)
            .zip(WAYS)
            .map(|(way, statement)| {
                let user = self.first + way * PER_WAY + which;
                statement.replace('$', &user.to_string())
            })
            .collect()
    }

    /// Who was put out is out, also when the account is back; asked by whatever way of reading.
    fn check(&self, warm: &mut Client, cluster: &Cluster, what: &str) {
        let mut new = cluster.connect("postgres");
        let mut by_heap = cluster.config();
        by_heap.dbname("postgres").options("-c ignore_system_indexes=on -c enable_indexscan=off");
        let mut by_heap = by_heap.connect(NoTls).expect("a connection");
        let ids: Vec<String> = self.logins.iter().map(|(user, _)| user.to_string()).collect();
        let question = |(user, login): &(u32, String)| format!("({user}, '{login}'::timestamptz)");
        let values: Vec<String> = self.logins.iter().map(question).collect();
        let alive = format!(
            "SELECT string_agg(id::text, ' ') FROM (VALUES {}) AS login (id, at) WHERE session_valid(id, at)",
            values.join(", ")
        );
        let others = format!(
            "SELECT session_verdict({}, '{}'), session_verdict({}, '{}'), session_valid('other', 1, '{}'), token_valid('kind', '{}', '{}')",
            self.untouched.0,
            self.untouched.1,
            self.undone.0,
            self.undone.1,
            self.other,
            self.first,
            self.token
        );
        let is_right = |client: &mut Client, who: &str, when: &str| {
            assert_eq!(answer(client, &alive), "∅", "{who} {when}: alive after {what}");
            let others = answers(client, &others);
            assert_eq!(others[0], ["valid", "valid", "f", "f"], "{who} {when}: {what}");
        };
        for (who, client) in [("warm", &mut *warm), ("new", &mut new), ("by heap", &mut by_heap)] {
            is_right(client, who, "before");
        }
        // In the app's own store, too.
        let stored = format!("SELECT user_id FROM app_session WHERE user_id >= {}", self.first);
        let stored = answers(warm, &format!("{stored} ORDER BY 1")).concat();
        assert_eq!(stored, [self.untouched.0, self.undone.0].map(|id| id.to_string()), "{what}");
        run(
            warm,
            &format!(
                "INSERT INTO ab_user SELECT n, true FROM unnest('{{{}}}'::int[]) AS n ON CONFLICT (id) DO UPDATE SET active = true",
                ids.join(", ")
            ),
        );
        for (who, client) in [("warm", &mut *warm), ("new", &mut new), ("by heap", &mut by_heap)] {
            is_right(client, who, "after the re-enable");
        }
        let damaged = answers(
            &mut new,
            "SELECT bt_index_check(i.indexrelid, true) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
             JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_am AS a ON a.oid = x.relam
             WHERE a.amname = 'btree' AND c.relkind = 'r' AND i.indisvalid
               AND c.relnamespace IN ('session_guard'::regnamespace, 'public'::regnamespace)",
        );
        assert!(damaged.len() > 5, "amcheck looked at {} indexes", damaged.len());
        let problems = "SELECT string_agg(check_name || ': ' || detail, ', ') FROM session_guard.health() WHERE NOT ok AND check_name <> 'epochs_ahead'";
        assert_eq!(answer(&mut new, problems), "∅", "{what}");
    }
}

/// Runs the maintenance beside transactions that stamp.
fn maintain(cluster: &Cluster, first: u32, maintenance: &str) -> u32 {
    println!("{maintenance}");
    let mut warm = cluster.connect("postgres");
    let round = Round::new(&mut warm, first);
    for (user, login) in &round.logins {
        assert_eq!(
            answer(&mut warm, &format!("SELECT session_valid({user}, '{login}'::timestamptz)")),
            "t"
        );
    }
    let mut open = cluster.connect("postgres");
    let mut prepared = cluster.connect("postgres");
    let mut observer = cluster.connect("postgres");
    run(&mut prepared, "BEGIN");
    round.statements(2).iter().for_each(|statement| run(&mut prepared, statement));
    run(&mut prepared, "PREPARE TRANSACTION 'prepared'");
    run(&mut open, "BEGIN");
    for which in [0, 1] {
        round.statements(which).iter().for_each(|statement| run(&mut open, statement));
    }
    run(&mut open, &format!("SELECT session_guard.revoke_tokens('kind', '{first}')"));
    run(&mut open, "SELECT session_guard.revoke_all_sessions('other')");
    let undone = round.undone.0;
    run(
        &mut open,
        &format!(
            "SAVEPOINT undone; UPDATE ab_user SET active = false WHERE id = {undone}; INSERT INTO ab_user_role VALUES ({undone}, 1); ROLLBACK TO undone"
        ),
    );
    scope(|scope| {
        let mut maintainer = cluster.connect("postgres");
        let pid = answer(&mut maintainer, "SELECT pg_backend_pid()");
        let worker = scope.spawn(move || match maintenance.strip_prefix("pg_repack ") {
            Some(arguments) => {
                let mut repack = cluster.program("pg_repack");
                output_of(repack.args(["-d", "postgres", "-D"]).args(arguments.split(' ')));
            }
            None => maintenance.split("; ").for_each(|statement| run(&mut maintainer, statement)),
        });
        // Until it waits for these transactions, or is through.
        let began = Instant::now();
        let waits = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock'"
        );
        while answer(&mut observer, &waits) == "0"
            && !worker.is_finished()
            && began.elapsed() < Duration::from_millis(300)
        {
            sleep(Duration::from_millis(5));
        }
        // It goes on beside the maintenance, and its locks are its own already.
        round.statements(3).iter().for_each(|statement| run(&mut open, statement));
        // This has ended sessions in the store already, whose maintenance waits for it.
        run(&mut observer, "COMMIT PREPARED 'prepared'");
        run(&mut open, "COMMIT");
        worker.join().expect("the maintenance");
    });
    round.check(&mut warm, cluster, maintenance);
    round.end()
}

fn additional_tablespace(cluster: &Cluster) -> tempfile::TempDir {
    let space = tempfile::tempdir_in(cluster.folder()).expect("a folder");
    run(
        &mut cluster.connect("postgres"),
        &format!("CREATE TABLESPACE additional LOCATION '{}'", space.path().display()),
    );
    space
}

#[test]
fn maintenance_of_the_epochs_beside_open_stamps_loses_none() {
    maintain_tables(&MAINTAINED[..4]);
}

#[test]
fn maintenance_of_the_other_tables_beside_open_stamps_loses_none() {
    maintain_tables(&MAINTAINED[4..]);
}

fn maintain_tables(tables: &[Table]) {
    let began = Instant::now();
    let mut rounds = 0;
    for table in tables {
        let cluster = cluster_with_guards();
        let _space = additional_tablespace(&cluster);
        let mut first = 1;
        for statement in statements(table) {
            first = maintain(&cluster, first, &statement);
            rounds += 1;
        }
    }
    println!("{rounds} rounds in {:?}", began.elapsed());
}

#[test]
fn maintenance_of_all_tables_beside_open_stamps_loses_no_epoch() {
    let cluster = cluster_with_guards();
    run(
        &mut cluster.connect("postgres"),
        "CLUSTER session_guard.epoch USING epoch_pkey; CLUSTER ab_user USING ab_user_pkey;",
    );
    let mut first = 1;
    for statement in OF_ALL {
        first = maintain(&cluster, first, statement);
    }
    // An index that is bloated is exchanged for another.
    for exchange in [
        "CREATE UNIQUE INDEX CONCURRENTLY another ON ab_user (id); BEGIN; ALTER TABLE ab_user DROP CONSTRAINT ab_user_pkey; ALTER TABLE ab_user ADD CONSTRAINT ab_user_pkey PRIMARY KEY USING INDEX another; COMMIT",
        "CREATE UNIQUE INDEX CONCURRENTLY another ON session_guard.epoch (user_id, guard, is_related); BEGIN; ALTER TABLE session_guard.epoch DROP CONSTRAINT epoch_pkey; ALTER TABLE session_guard.epoch ADD CONSTRAINT epoch_pkey PRIMARY KEY USING INDEX another; COMMIT",
        "CREATE UNIQUE INDEX CONCURRENTLY another ON session_guard.token_epoch (scope, subject); DROP INDEX session_guard.token_epoch_key; ALTER INDEX session_guard.another RENAME TO token_epoch_key",
    ] {
        first = maintain(&cluster, first, exchange);
    }
}

#[test]
fn maintenance_changes_no_answer_of_any_form() {
    let cluster = cluster_with_guards();
    let _space = additional_tablespace(&cluster);
    let mut warm = cluster.connect("postgres");
    let mut maintainer = cluster.connect("postgres");
    forms::create_tables(&mut warm);
    forms::attach(&mut warm);
    let sessions = forms::fill(&mut warm);
    for name in forms::tables() {
        let index = format!("{name}_pkey");
        for statement in statements(&Table { name, index: &index, column: "status" }) {
            println!("{statement}");
            statement.split("; ").for_each(|statement| run(&mut maintainer, statement));
            forms::check_sessions(&mut warm, &sessions);
        }
    }
    forms::check_sessions(&mut cluster.connect("postgres"), &sessions);
    forms::check_logins(&mut warm);
    forms::check_guarding(&mut warm);
}

/// It puts a trigger on the table, copies it, and exchanges the files below it.
#[test]
fn pg_repack_beside_open_stamps_loses_no_epoch() {
    let cluster = cluster_with_guards();
    let mut client = cluster.connect("postgres");
    if client.batch_execute("CREATE EXTENSION pg_repack").is_err() {
        println!("SKIPPED: pg_repack is not installed for this PostgreSQL");
        return;
    }
    let _space = additional_tablespace(&cluster);
    // Those that have a primary key, as it demands.
    let of_each = [
        "session_guard.epoch",
        "session_guard.guard_epoch",
        "session_guard.guard",
        "session_guard.watch",
        "session_guard.store",
        "public.ab_user",
        "public.app_session",
    ];
    let mut first = 1;
    for table in of_each {
        let file = format!("SELECT pg_relation_filenode('{table}')");
        for way in ["--no-order", "--only-indexes", "--tablespace=additional --moveidx"] {
            let before = answer(&mut client, &file);
            first = maintain(&cluster, first, &format!("pg_repack --table={table} {way}"));
            let is_exchanged = answer(&mut client, &file) != before;
            assert_eq!(is_exchanged, way != "--only-indexes", "{table} {way}");
        }
    }
    maintain(&cluster, first, "pg_repack --no-order");
}

/// Who waits for a row while the index is replaced by which the row's epoch is looked up.
#[test]
fn who_waits_while_an_index_is_replaced_goes_on() {
    let cluster = cluster_with_guards();
    let mut keeper = cluster.connect("postgres");
    let mut holder = cluster.connect("postgres");
    let mut observer = cluster.connect("postgres");
    let calls = [
        "SELECT session_start(9)",
        "SELECT session_guard.revoke_sessions(9)",
        "UPDATE ab_user SET active = NOT active WHERE id = 9",
        "UPDATE ab_user SET id = 9 WHERE id = 9; INSERT INTO ab_user_role VALUES (9, 1)",
        "SELECT session_guard.revoke_tokens('kind', '9')",
    ];
    let rebuilds = [
        "REINDEX INDEX CONCURRENTLY session_guard.epoch_pkey",
        "REINDEX TABLE CONCURRENTLY session_guard.epoch",
        "REINDEX INDEX CONCURRENTLY session_guard.token_epoch_key",
        "REINDEX TABLE CONCURRENTLY session_guard.event",
        "REINDEX TABLE CONCURRENTLY ab_user",
        "REINDEX SCHEMA CONCURRENTLY session_guard",
    ];
    for rebuild in rebuilds {
        for call in calls {
            println!("{call} beside {rebuild}");
            let mut caller = cluster.connect("postgres");
            run(&mut caller, "SELECT session_valid(9, now()), token_valid('kind', '9', now())");
            // A snapshot from before holds the rebuild back.
            run(&mut keeper, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM other");
            scope(|scope| {
                let mut rebuilder = cluster.connect("postgres");
                let rebuilder = scope.spawn(move || run(&mut rebuilder, rebuild));
                let is_waiting = |what: &str| {
                    format!(
                        "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = '{}' AND wait_event_type = 'Lock'",
                        what.replace('\'', "''")
                    )
                };
                wait_until(&mut observer, &is_waiting(rebuild));
                run(
                    &mut holder,
                    "BEGIN; SELECT FROM ab_user WHERE id = 9 FOR UPDATE; SELECT session_guard.revoke_tokens('kind', '9')",
                );
                let caller = scope.spawn(move || caller.batch_execute(call));
                wait_until(&mut observer, &is_waiting(call));
                run(&mut keeper, "COMMIT");
                sleep(Duration::from_millis(50));
                run(&mut holder, "COMMIT");
                let outcome = caller.join().expect("a thread");
                assert!(outcome.is_ok(), "{call} beside {rebuild}: {outcome:?}");
                rebuilder.join().expect("a thread");
            });
        }
    }
}

/// The app's second stamp does not wait for who waits for its first.
#[test]
fn a_transaction_that_stamps_twice_does_not_deadlock_with_maintenance() {
    let cluster = cluster_with_guards();
    let mut app = cluster.connect("postgres");
    let mut observer = cluster.connect("postgres");
    for maintenance in [
        "REINDEX TABLE session_guard.epoch",
        "REINDEX TABLE session_guard.event",
        "REINDEX INDEX session_guard.epoch_pkey",
        "VACUUM FULL session_guard.epoch",
        "VACUUM FULL session_guard.event",
        "CLUSTER session_guard.epoch USING epoch_pkey",
        "ALTER TABLE session_guard.epoch ADD COLUMN additional int",
        "LOCK TABLE session_guard.epoch",
        "LOCK TABLE session_guard.event",
    ] {
        println!("{maintenance}");
        run(&mut app, "BEGIN; UPDATE ab_user SET active = NOT active WHERE id = 1");
        scope(|scope| {
            let mut maintainer = cluster.connect("postgres");
            let worker = scope.spawn(move || match maintenance.starts_with("LOCK") {
                true => run(&mut maintainer, &format!("BEGIN; {maintenance}; COMMIT")),
                false => run(&mut maintainer, maintenance),
            });
            wait_until(
                &mut observer,
                "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
            );
            let second = app.batch_execute(
                "UPDATE ab_user SET active = NOT active WHERE id = 2; INSERT INTO ab_user_role VALUES (3, 1);
                 SELECT session_guard.revoke_sessions(4), session_start(5); COMMIT",
            );
            if let Err(error) = second {
                assert_ne!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{maintenance}");
                panic!("{maintenance}: {error:?}");
            }
            worker.join().expect("a thread");
        });
    }
}
