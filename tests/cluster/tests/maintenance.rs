//! Maintenance and DDL, on every table that the guard reads or writes, beside transactions that stamp: no session comes back,
//! and nothing of the app's fails.

use cluster::{
    Cluster, answer, answers, forms, output_of, problems, refusal, repair, run, wait_until,
};
use histories::server::damaged_indexes;
use postgres::error::SqlState;
use postgres::{Client, NoTls};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

const TABLES: &str = "
    CREATE TABLE ab_user (id int PRIMARY KEY, active boolean, password text, name varchar(20) DEFAULT 'somebody');
    INSERT INTO ab_user SELECT n, true FROM generate_series(1, 4000) AS n;
    CREATE TABLE ab_user_role (user_id int NOT NULL, role_id int, role text);
    CREATE INDEX by_user ON ab_user_role (user_id);
    CREATE TABLE other (id int PRIMARY KEY, active boolean);
    INSERT INTO other VALUES (1, true);
    CREATE EXTENSION pg_session_guard;
    SELECT session_guard.attach('ab_user', revoke_on => '{password}'), session_guard.attach('other');
    SELECT session_guard.watch('ab_user_role', 'user_id', users => 'ab_user');
    CREATE TABLE app_session (sid serial PRIMARY KEY, user_id int, data text);
    CREATE INDEX session_of_user ON app_session (user_id);
    SELECT session_guard.add_store('app_session', 'user_id', users => 'ab_user');
    CREATE SCHEMA elsewhere;
    CREATE ROLE another;
    CREATE ACCESS METHOD another TYPE TABLE HANDLER heap_tableam_handler;";

fn cluster_with_guards() -> Cluster {
    let cluster = Cluster::start(&["max_prepared_transactions = 10", "deadlock_timeout = 200ms"]);
    run(&mut cluster.connect("postgres"), TABLES);
    cluster
}

/// A table, its key's index, a column of it that holds a text, and the column's type. Empty: it has none.
struct Table<'a> {
    schema: &'a str,
    name: &'a str,
    index: &'a str,
    column: &'a str,
    column_type: &'a str,
}

const KEY: &str = "text COLLATE pg_catalog.\"C\"";

const fn own(
    name: &'static str,
    index: &'static str,
    column: &'static str,
    column_type: &'static str,
) -> Table<'static> {
    Table { schema: "session_guard", name, index, column, column_type }
}

const fn of_app(
    name: &'static str,
    index: &'static str,
    column: &'static str,
    column_type: &'static str,
) -> Table<'static> {
    Table { schema: "public", name, index, column, column_type }
}

/// What stamps write, and the apps' tables that they are called by.
const WRITTEN: [Table; 7] = [
    own("epoch", "epoch_pkey", "reason", "text"),
    own("guard_epoch", "guard_epoch_pkey", "reason", "text"),
    own("token_epoch", "token_epoch_key", "reason", "text"),
    own("event", "event_of_user", "reason", "text"),
    of_app("ab_user", "ab_user_pkey", "name", "varchar(20)"),
    of_app("ab_user_role", "by_user", "role", "text"),
    of_app("app_session", "session_of_user", "data", "text"),
];

/// What they read, or write only where something is wrong.
const READ: [Table; 10] = [
    own("guard", "guard_pkey", "active_when", "text"),
    own("watch", "watch_pkey", "guard", KEY),
    own("policy", "", "set_by", "text"),
    own("store", "store_pkey", "guard", KEY),
    own("store_failure", "", "reason", "text"),
    own("unwatched", "", "reason", "text"),
    own("trigger_state", "trigger_state_pkey", "state", "text"),
    own("timeline", "timeline_pkey", "acknowledged_by", "text"),
    own("invalidation", "", "", ""),
    own("pending", "", "", ""),
];

/// What follows a semicolon is run after it, by itself.
const STATEMENTS: [&str; 29] = [
    "REINDEX INDEX {schema}.{index}",
    "REINDEX INDEX CONCURRENTLY {schema}.{index}",
    "REINDEX TABLE {table}",
    "REINDEX TABLE CONCURRENTLY {table}",
    "CREATE INDEX additional ON {table} ({column}); DROP INDEX {schema}.additional",
    "CREATE INDEX CONCURRENTLY additional ON {table} ({column}); DROP INDEX CONCURRENTLY {schema}.additional",
    "CLUSTER {table} USING {index}",
    "VACUUM {table}",
    "VACUUM (FULL) {table}",
    "VACUUM (FREEZE) {table}",
    "ANALYZE {table}",
    "ALTER TABLE {table} ADD COLUMN additional text; ALTER TABLE {table} DROP COLUMN additional",
    "ALTER TABLE {table} ADD COLUMN additional text DEFAULT clock_timestamp()::text; ALTER TABLE {table} DROP COLUMN additional",
    "ALTER TABLE {table} SET (fillfactor = 50)",
    "ALTER TABLE {table} SET TABLESPACE additional; ALTER TABLE {table} SET TABLESPACE pg_default",
    "ALTER INDEX {schema}.{index} SET TABLESPACE additional; ALTER INDEX {schema}.{index} SET TABLESPACE pg_default",
    "ALTER TABLE {table} ADD CONSTRAINT additional CHECK ({column} IS NULL OR length({column}::text) >= 0) NOT VALID; ALTER TABLE {table} VALIDATE CONSTRAINT additional; ALTER TABLE {table} DROP CONSTRAINT additional",
    "ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 200",
    "ALTER TABLE {table} SET UNLOGGED; ALTER TABLE {table} SET LOGGED",
    "ALTER TABLE {table} SET ACCESS METHOD another; ALTER TABLE {table} SET ACCESS METHOD heap",
    "ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar(1000); ALTER TABLE {table} ALTER COLUMN {column} TYPE {type}",
    "ALTER TABLE {table} ALTER COLUMN {column} TYPE {type} USING {column} || ''",
    "ALTER TABLE {table} OWNER TO another; ALTER TABLE {table} OWNER TO postgres",
    "ALTER TABLE {table} SET SCHEMA elsewhere; ALTER TABLE elsewhere.{name} SET SCHEMA {schema}",
    "ALTER TABLE {table} RENAME TO \"another name\"; ALTER TABLE {schema}.\"another name\" RENAME TO {name}",
    "ALTER TABLE {table} RENAME COLUMN {column} TO \"another name\"; ALTER TABLE {table} RENAME COLUMN \"another name\" TO {column}",
    "ALTER INDEX {schema}.{index} RENAME TO \"another name\"; ALTER INDEX {schema}.\"another name\" RENAME TO {index}",
    "REPACK {table}",
    "REPACK (CONCURRENTLY) {table}",
];

/// Of all tables at once.
const OF_ALL: [&str; 8] = [
    "REINDEX SCHEMA session_guard",
    "REINDEX SCHEMA CONCURRENTLY session_guard",
    "REINDEX DATABASE postgres",
    "REINDEX DATABASE CONCURRENTLY postgres",
    "VACUUM (FULL)",
    "CLUSTER",
    "REPACK",
    "REPACK USING INDEX",
];

/// The statements for one table, as far as it has what they name.
fn statements(table: &Table) -> Vec<String> {
    let Table { schema, name, index, column, column_type } = table;
    let has = |statement: &&&str, what: &str, placeholder: &str| {
        !what.is_empty() || !statement.contains(placeholder)
    };
    let fits = |statement: &&&str| {
        // A users table of another method lets nobody in, and a watched one would only be refused.
        (*schema == "session_guard" || !statement.contains("ACCESS METHOD"))
            && has(statement, index, "{index}")
            && has(statement, column, "{column}")
            && has(statement, column_type, "{type}")
    };
    let fill_in = |statement: &&str| {
        statement
            .replace("{table}", &format!("{schema}.{name}"))
            .replace("{schema}", schema)
            .replace("{name}", name)
            .replace("{index}", index)
            .replace("{column}", column)
            .replace("{type}", column_type)
    };
    // A COMMIT that comes between looks for the store that it was.
    let at_once = |statement: String| match *name == "app_session" && statement.contains("; ALTER")
    {
        true => format!("BEGIN; {statement}; COMMIT"),
        false => statement,
    };
    STATEMENTS.iter().filter(fits).map(fill_in).map(at_once).collect()
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
    fn check(&self, warm: &mut Client, cluster: &Cluster, what: &str, told: &[&str]) {
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
        let damaged = damaged_indexes(&mut new).expect("amcheck").unwrap_or_default();
        assert_eq!(damaged, [""; 0], "{what}");
        let found = problems(&mut new).into_iter().map(|problem| problem.check);
        let found: Vec<_> = found.filter(|check| check != "epochs_ahead").collect();
        assert_eq!(found, told, "{what}");
    }
}

/// Runs the maintenance beside transactions that stamp.
fn maintain(cluster: &Cluster, first: u32, maintenance: &str) -> u32 {
    maintain_and_tell(cluster, first, maintenance, &[])
}

/// The same, where `health()` has something to say of it.
fn maintain_and_tell(cluster: &Cluster, first: u32, maintenance: &str, told: &[&str]) -> u32 {
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
    round.check(&mut warm, cluster, maintenance, told);
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
fn maintenance_of_what_stamps_write_beside_open_stamps_loses_none() {
    maintain_tables(&WRITTEN);
}

#[test]
fn maintenance_of_what_stamps_read_beside_open_stamps_loses_none() {
    maintain_tables(&READ);
}

fn maintain_tables(tables: &[Table]) {
    let began = Instant::now();
    let mut rounds = 0;
    for table in tables {
        let cluster = cluster_with_guards();
        let _space = additional_tablespace(&cluster);
        let mut first = 1;
        for statement in statements(table) {
            if is_possible(&cluster, table, &statement) {
                first = maintain(&cluster, first, &statement);
                rounds += 1;
            }
        }
    }
    println!("{rounds} rounds in {:?}", began.elapsed());
}

/// REPACK came with PostgreSQL 19. Beside writers it takes a primary key.
fn is_possible(cluster: &Cluster, table: &Table, statement: &str) -> bool {
    let has_key = table.index.ends_with("_pkey");
    is_known(cluster, statement) && (has_key || !statement.contains("REPACK (CONCURRENTLY)"))
}

fn is_known(cluster: &Cluster, statement: &str) -> bool {
    !statement.starts_with("REPACK") || cluster.installation().major() >= 19
}

#[test]
fn maintenance_of_all_tables_beside_open_stamps_loses_no_epoch() {
    let cluster = cluster_with_guards();
    run(
        &mut cluster.connect("postgres"),
        "CLUSTER session_guard.epoch USING epoch_pkey; CLUSTER ab_user USING ab_user_pkey;",
    );
    let mut first = 1;
    for statement in OF_ALL.into_iter().filter(|statement| is_known(&cluster, statement)) {
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

/// As docs/operations.md changes what the guard reads.
#[test]
fn columns_that_are_retyped_beside_open_stamps_lose_none() {
    const SETTLED: &str = "DELETE FROM session_guard.unwatched";
    let cluster = cluster_with_guards();
    let mut client = cluster.connect("postgres");
    let mut first = 1;
    for (column_type, of_id) in [("varchar(200)", "bigint"), ("text", "int")] {
        first = maintain(
            &cluster,
            first,
            &format!("ALTER TABLE ab_user_role ALTER COLUMN role_id TYPE {of_id}"),
        );
        first = maintain(
            &cluster,
            first,
            &format!("ALTER TABLE app_session ALTER COLUMN user_id TYPE {of_id}"),
        );
        first = maintain(
            &cluster,
            first,
            &format!(
                "BEGIN; SELECT session_guard.attach('ab_user', revoke_on => '{{}}'); ALTER TABLE ab_user ALTER COLUMN password TYPE {column_type}; SELECT session_guard.attach('ab_user', revoke_on => '{{password}}'); COMMIT"
            ),
        );
        first = maintain_and_tell(
            &cluster,
            first,
            &format!(
                "BEGIN; SELECT session_guard.detach('ab_user'); ALTER TABLE ab_user ALTER COLUMN id TYPE {of_id}; ALTER TABLE ab_user_role ALTER COLUMN user_id TYPE {of_id}; SELECT session_guard.attach('ab_user'); COMMIT"
            ),
            &["unwatched_changes"],
        );
        run(&mut client, SETTLED);
    }
}

/// What is told then, and that the remedies mend it.
#[test]
fn tables_that_get_another_owner_or_schema_beside_open_stamps_lose_none() {
    let cluster = cluster_with_guards();
    let mut client = cluster.connect("postgres");
    run(&mut client, "ALTER ROLE postgres SET search_path = public, elsewhere");
    let mut first = 1;
    // A role that cannot log in asks nothing.
    let changes: [(&str, &[&str]); 8] = [
        ("ab_user OWNER TO another", &["table", "access"]),
        ("ab_user OWNER TO postgres", &["table"]),
        ("ab_user_role OWNER TO another", &["watch"]),
        ("ab_user_role OWNER TO postgres", &["watch"]),
        ("ab_user SET SCHEMA elsewhere", &["table"]),
        ("ab_user SET SCHEMA public", &["table"]),
        ("ab_user_role SET SCHEMA elsewhere", &["watch"]),
        ("ab_user_role SET SCHEMA public", &["watch"]),
    ];
    for (change, told) in changes {
        first = maintain_and_tell(&cluster, first, &format!("ALTER TABLE {change}"), told);
        repair(&mut client);
        first = maintain(&cluster, first, "ANALYZE");
    }
}

/// A row that is locked for a stamp stays so, whatever rewrites the table.
#[test]
fn a_login_beside_a_revocation_waits_for_it_although_the_table_is_to_be_rewritten() {
    let cluster = cluster_with_guards();
    let mut open = cluster.connect("postgres");
    let mut observer = cluster.connect("postgres");
    let mut warm = cluster.connect("postgres");
    let stamps = [
        "SELECT session_guard.revoke_sessions($)",
        "UPDATE ab_user SET password = 'new' WHERE id = $",
        "SAVEPOINT here; SELECT session_guard.revoke_sessions($); RELEASE here",
    ];
    let rewrites = [
        "ALTER TABLE ab_user ADD COLUMN additional_$ text DEFAULT clock_timestamp()::text",
        "ALTER TABLE ab_user ALTER COLUMN name TYPE text USING name || ''",
        "ALTER TABLE ab_user SET UNLOGGED",
        "ALTER TABLE ab_user SET LOGGED",
        "VACUUM (FULL) ab_user",
        "CLUSTER ab_user USING ab_user_pkey",
        "REPACK ab_user",
    ];
    let is_waiting = |number: u32| {
        format!("SELECT count(*) = {number} FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    };
    let mut user = 0;
    for rewrite in rewrites.into_iter().filter(|rewrite| is_known(&cluster, rewrite)) {
        for stamp in stamps {
            for is_login_first in [true, false] {
                println!("{stamp}, {rewrite}, the login first: {is_login_first}");
                user += 1;
                let rewrite = rewrite.replace('$', &user.to_string());
                let old = answer(&mut warm, &format!("SELECT session_start({user})"));
                let verdict =
                    |login: &str| format!("SELECT session_verdict({user}, '{login}'::timestamptz)");
                assert_eq!(answer(&mut warm, &verdict(&old)), "valid");
                run(&mut open, &format!("BEGIN; {}", stamp.replace('$', &user.to_string())));
                let new = scope(|scope| {
                    let [mut app, mut maintainer] = [(); 2].map(|()| cluster.connect("postgres"));
                    let mut log_in =
                        Some(move || answer(&mut app, &format!("SELECT session_start({user})")));
                    let mut rewriting = Some(move || run(&mut maintainer, &rewrite));
                    let (mut login, mut rewriter) = (None, None);
                    for step in 1..=2 {
                        match (step == 1) == is_login_first {
                            true => login = log_in.take().map(|work| scope.spawn(work)),
                            false => rewriter = rewriting.take().map(|work| scope.spawn(work)),
                        }
                        wait_until(&mut observer, &is_waiting(step));
                    }
                    run(&mut open, "COMMIT");
                    rewriter.expect("a thread").join().expect("the rewrite");
                    login.expect("a thread").join().expect("the login")
                });
                for client in [&mut warm, &mut cluster.connect("postgres")] {
                    assert_eq!(answer(client, &verdict(&old)), "revoked");
                    assert_eq!(answer(client, &verdict(&new)), "valid");
                }
            }
        }
    }
}

/// A superuser's edit, which counts at once, and for all. It waits for stamps that are open, and no later one is lost.
#[test]
fn extension_tables_that_are_emptied_beside_open_stamps_lose_none_that_comes_later() {
    let cluster = cluster_with_guards();
    let mut open = cluster.connect("postgres");
    let mut observer = cluster.connect("postgres");
    let mut warm = cluster.connect("postgres");
    let tables = WRITTEN.iter().chain(&READ).filter(|table| table.schema == "session_guard");
    let mut user = 0;
    for Table { name, .. } in tables {
        let emptying = format!("TRUNCATE session_guard.{name}");
        println!("{emptying}");
        let is_emptied = |table: &str| *name == table;
        let [before, beside, after, other] = [1, 2, 3, 4].map(|number| user + number);
        user = other;
        let mut login = |user: u32| {
            let at = answer(&mut warm, &format!("SELECT session_start({user})"));
            let verdict = format!("SELECT session_verdict({user}, '{at}'::timestamptz)");
            assert_eq!(answer(&mut warm, &verdict), "valid");
            verdict
        };
        let verdicts = [before, beside, after, other].map(&mut login);
        let token = format!(
            "SELECT token_valid('kind', '{user}', '{}')",
            answer(&mut warm, "SELECT clock_timestamp()")
        );
        assert_eq!(answer(&mut warm, &token), "t");
        let change = |user: u32| format!("UPDATE ab_user SET password = 'new' WHERE id = {user}");
        run(&mut open, "BEGIN");
        run(&mut open, &change(before));
        run(&mut open, &format!("SELECT session_guard.revoke_tokens('kind', '{user}')"));
        run(&mut open, "SELECT session_guard.revoke_all_sessions('other')");
        let is_written = ["epoch", "event", "token_epoch", "guard_epoch"].contains(name);
        scope(|scope| {
            let [mut emptier, mut app] = [(); 2].map(|()| cluster.connect("postgres"));
            let emptier = scope.spawn(move || run(&mut emptier, &emptying));
            let waiting = |number: u32| {
                format!(
                    "SELECT count(*) = {number} FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                )
            };
            match is_written {
                true => wait_until(&mut observer, &waiting(1)),
                false => {
                    while !emptier.is_finished() && answer(&mut observer, &waiting(1)) != "t" {}
                }
            }
            let change = change(beside);
            let app = scope.spawn(move || run(&mut app, &change));
            if is_emptied("epoch") || is_emptied("event") {
                wait_until(&mut observer, &waiting(2));
            }
            run(&mut open, "COMMIT");
            emptier.join().expect("a thread");
            app.join().expect("a thread");
        });
        run(&mut warm, &change(after));
        let mut new = cluster.connect("postgres");
        let mut by_heap = cluster.config();
        by_heap.dbname("postgres").options("-c ignore_system_indexes=on -c enable_indexscan=off");
        let mut by_heap = by_heap.connect(NoTls).expect("a connection");
        if is_emptied("guard") {
            for client in [&mut warm, &mut new, &mut by_heap] {
                let refused = refusal(client, &verdicts[3]);
                assert_eq!(refused, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
            }
            // The app's writes have gone on, unstamped; and that is told.
            run(
                &mut warm,
                "SELECT session_guard.attach('ab_user', revoke_on => '{password}', is_default => true), session_guard.attach('other')",
            );
            assert!(repair(&mut warm).contains(&"unwatched_changes".to_owned()));
            for client in [&mut warm, &mut new, &mut by_heap] {
                for verdict in &verdicts {
                    assert_eq!(answer(client, verdict), "revoked", "{name}");
                }
            }
            continue;
        }
        let expected =
            [if is_emptied("epoch") { "valid" } else { "revoked" }, "revoked", "revoked", "valid"];
        for client in [&mut warm, &mut new, &mut by_heap] {
            let verdicts = verdicts.each_ref().map(|verdict| answer(client, verdict));
            assert_eq!(verdicts, expected, "{name}");
            let is_valid = if is_emptied("token_epoch") { "t" } else { "f" };
            assert_eq!(answer(client, &token), is_valid, "{name}");
        }
        let found = problems(&mut warm).into_iter().map(|problem| problem.check);
        assert_eq!(
            found.filter(|check| check != "epochs_ahead").collect::<Vec<_>>(),
            [""; 0],
            "{name}"
        );
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
        let table =
            Table { schema: "public", name, index: &index, column: "status", column_type: "" };
        for statement in statements(&table) {
            if !is_possible(&cluster, &table, &statement) {
                continue;
            }
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
