//! Each finding of `health()`, and each error or warning whose HINT has a statement, is provoked. The statement is run as
//! it stands, by a role that it is meant for, and what was wrong is gone. What was said is compared with the source: no
//! finding and no such HINT is left out.

mod messages;
mod stage;

use cluster::{Cluster, run};
use messages::{Message, messages};
use stage::{ALICE, APP, BOB, DBA, OPERATOR, ROLES, ROOT, SUPPORT, Said, Stage};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What is tried, each in a database of its own.
type Part = fn(&mut Stage);

const PARTS: [(&str, Part); 18] = [
    ("first_guard", nothing_is_guarded),
    ("tables", tables_that_cannot_be_guarded),
    ("partitions", partitions),
    ("in_use", tables_in_use),
    ("columns", columns),
    ("renames", renames),
    ("names", columns_of_other_names),
    ("gone", tables_that_are_gone),
    ("roles", rights_that_a_caller_lacks),
    ("triggers", triggers_of_users_tables),
    ("accounts", accounts_and_epochs),
    ("kinds", tables_that_became_others),
    ("stores", stores),
    ("watches", watches),
    ("own_objects", the_extensions_own_objects),
    ("owners", rights_of_the_extension),
    ("grants", grants),
    ("versions", versions),
];

#[test]
fn what_is_wrong_is_mended_by_what_is_said_of_it() {
    let cluster = Cluster::start(&[]);
    run(&mut cluster.connect("postgres"), ROLES);
    let said = Said::default();
    for (database, part) in PARTS {
        println!("{database}");
        part(&mut Stage::new(&cluster, database, &said));
    }
    restored_without_grants(&mut Stage::empty(&cluster, "restored", &said));
    a_schema_that_the_owner_cannot_use(&mut Stage::empty(&cluster, "schema", &said));
    a_standby(&said);
    let mut said = said.take();

    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = messages(&here.join("../../src"));
    assert!(all.len() > 200, "the source is not read as it should be");
    let left_out = unsaid(&all, &said, |message| message.is_to_be_mended);
    assert!(left_out.is_empty(), "no test provokes these:\n{}", left_out.join("\n"));

    // What comes without a statement is shown by the SQL and the isolation tests.
    for folder in ["../sql/expected", "../isolation/expected"] {
        for path in files(&here.join(folder)) {
            let output = fs::read_to_string(path).expect("an expected output");
            said.extend(output.lines().map(str::to_owned));
        }
    }
    let left_out = unsaid(&all, &said, |message| !ELSEWHERE.contains(&&*message.text));
    assert!(left_out.is_empty(), "no test shows these:\n{}", left_out.join("\n"));
}

/// Those of the messages that are meant, and were not said.
fn unsaid(
    all: &[Message],
    said: &BTreeSet<String>,
    is_meant: impl Fn(&Message) -> bool,
) -> Vec<String> {
    let unsaid = all.iter().filter(|message| is_meant(message) && !message.is_in(said));
    unsaid.map(|message| format!("{}: {}", message.place, message.text)).collect()
}

/// What comes where a test is too large, or an expected output has no HINT.
const ELSEWHERE: [&str; 5] = [
    // isolation/watch_beside_renames
    "Call the function again.",
    // A queue of gigabytes.
    "no notification was sent: PostgreSQL's queue is half full",
    "A session that listens has a transaction open for long. End that session.",
    // PostgreSQL 18.
    "column {} of table {} is a virtual generated column",
    "Its changes are changes of the columns that it is made of.",
];

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect()
}

fn nothing_is_guarded(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean);
         CREATE TABLE members (id int PRIMARY KEY, active boolean)",
    );
    stage.remedied("default_guard", ALICE);
    stage.run(ALICE, "SELECT session_guard.detach('users', forget => true)");
    stage.mended(ALICE, "SELECT session_valid(1, now())", ALICE);
    stage.mended(ALICE, "SELECT session_valid('members', 1, now())", ALICE);
    stage.is_well();

    const NO_DEFAULT: &str = "UPDATE session_guard.guard SET is_default = false";
    stage.run(ROOT, NO_DEFAULT);
    stage.mended(ALICE, "SELECT session_valid(1, now())", ALICE);
    stage.run(ROOT, NO_DEFAULT);
    stage.remedied("default_guard", ALICE);
    stage.is_well();

    // What is not guarded cannot be detached.
    stage.run(ALICE, "CREATE TABLE role (id int)");
    stage.listed(
        ALICE,
        "SELECT session_guard.detach('role')",
        "members",
        "SELECT session_guard.detach('members')",
    );
    stage.listed(
        ALICE,
        "SELECT session_valid(4000000000::oid::regclass, 1, now())",
        "users",
        "SELECT session_valid('users', 1, now())",
    );
}

fn tables_that_cannot_be_guarded(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE UNLOGGED TABLE is_unlogged (id int PRIMARY KEY, active boolean);
         CREATE TABLE by_other_method (id int PRIMARY KEY, active boolean) USING other;
         CREATE TABLE has_no_index (id int, active boolean);
         CREATE TABLE has_triggers (id int PRIMARY KEY, active boolean);
         CREATE TRIGGER session_guard_insert AFTER INSERT ON has_triggers EXECUTE FUNCTION suppress_redundant_updates_trigger();
         CREATE TRIGGER not_session_guard_insert AFTER INSERT ON has_triggers EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    );
    for table in ["is_unlogged", "by_other_method", "has_no_index", "has_triggers"] {
        stage.mended(ALICE, &format!("SELECT session_guard.attach('{table}')"), ALICE);
    }
    stage.is_well();
}

fn partitions(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE parts (id int PRIMARY KEY, active boolean) PARTITION BY RANGE (id);
         CREATE TABLE parts_0 PARTITION OF parts FOR VALUES FROM (0) TO (10);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (10) TO (20)",
    );
    let statement = stage.hint(ALICE, "SELECT session_guard.attach('parts_0')");
    stage.run(ALICE, &statement);
    stage.works(ALICE, "SELECT session_valid('parts', 1, now())");
    let complaint = stage.complaint(ALICE, "SELECT session_valid('parts_1', 1, now())");
    assert!(complaint.text.contains("which is public.parts."), "{complaint:?}");
    stage.is_well();
    // One that has a guard of its own.
    stage.run(
        ALICE,
        "CREATE TABLE whole (id int PRIMARY KEY, active boolean) PARTITION BY RANGE (id);
         CREATE TABLE part (id int PRIMARY KEY, active boolean);
         SELECT session_guard.attach('part');
         ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (0) TO (10)",
    );
    stage.mended(ALICE, "SELECT session_guard.attach('whole')", ALICE);
    stage.is_settled(ALICE);

    // One that comes, one whose triggers are off, and one that goes.
    stage.run(ALICE, "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (20) TO (30)");
    stage.remedied_where("armed", "was attached after the guard", ALICE);
    stage.is_settled(ALICE);
    stage.run(ALICE, "ALTER TABLE parts_0 DISABLE TRIGGER session_guard_update");
    stage.remedied_where("armed", "on partition", ALICE);
    stage.is_settled(ALICE);
    stage.run(ALICE, "DROP TABLE parts_2");
    stage.remedied_where("unwatched_changes", "a partition was detached", ALICE);
    stage.is_well();
    // Its index cannot be used.
    stage.run(
        ROOT,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'parts_1_pkey'::regclass",
    );
    stage.leave(ROOT);
    stage.remedied_where("unique_index", "partition", ALICE);
    stage.is_well();
}

fn tables_in_use(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE busy (id int PRIMARY KEY, active boolean, boss int REFERENCES busy DEFERRABLE INITIALLY DEFERRED)",
    );
    stage.run(ALICE, "BEGIN; INSERT INTO busy VALUES (1, true, 1); SAVEPOINT here");
    let statement = stage.hint(ALICE, "SELECT session_guard.attach('busy')");
    stage.run(ALICE, &format!("ROLLBACK TO here; {statement}"));
    stage.works(ALICE, "SELECT session_guard.attach('busy')");
    stage.run(ALICE, "DECLARE reader CURSOR FOR SELECT * FROM busy; SAVEPOINT here");
    let statement = stage.hint(ALICE, "SELECT session_guard.detach('busy')");
    stage.run(ALICE, &format!("ROLLBACK TO here; {statement}"));
    stage.works(ALICE, "SELECT session_guard.detach('busy')");
    stage.run(ALICE, "COMMIT");
}

fn columns(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TYPE status AS ENUM ('in_use', 'banned');
         CREATE TABLE users (id int PRIMARY KEY, active boolean, password text, other_id int UNIQUE);
         CREATE TABLE persons (id int PRIMARY KEY, status status)",
    );
    stage.complaint(
        ALICE,
        "SELECT session_guard.attach('users', revoke_on => (SELECT array_agg(n::text::name) FROM generate_series(1, 1601) AS n))",
    );
    stage.listed(
        ALICE,
        "SELECT session_guard.attach('users', 'uid')",
        "other_id",
        "SELECT session_guard.attach('users', 'other_id')",
    );
    stage.mended(ALICE, "SELECT session_guard.attach('users', 'id')", ALICE);
    let attach = |list: &str| {
        format!(
            "SELECT session_guard.attach('persons', active_column => 'status', active_when => '{{{list}}}')"
        )
    };
    stage.listed(ALICE, &attach("active"), "in_use", &attach("in_use"));
    stage.is_settled(ALICE);

    // A label of the enum is renamed.
    stage.run(ALICE, "ALTER TYPE status RENAME VALUE 'in_use' TO 'active'");
    stage.advised("status_values", "'in_use'", ALICE, &attach("active"));
    // A further column is gone.
    let drop_password = "SELECT session_guard.attach('users', revoke_on => '{password}');
                         ALTER TABLE users DROP password CASCADE";
    stage.run(ALICE, drop_password);
    stage.mended(ALICE, "SELECT session_valid('users', 1, now())", ALICE);
    stage.run(ALICE, "ALTER TABLE users ADD password text");
    stage.run(ALICE, drop_password);
    stage.remedied_where("table", "is gone", ALICE);
    stage.is_settled(ALICE);
    // One was renamed, and another has its name.
    stage.run(
        ALICE,
        "ALTER TABLE users RENAME active TO enabled; ALTER TABLE users ADD active boolean",
    );
    stage.mended(ALICE, "SELECT session_valid('users', 1, now())", ALICE);
    stage.run(
        ALICE,
        "ALTER TABLE users RENAME enabled TO works; ALTER TABLE users ADD enabled boolean",
    );
    stage.remedied_where("table", "is not the one that its triggers compare", ALICE);
    stage.is_well();
    // The status column is gone: only its owner knows which has taken its place.
    stage.run(ALICE, "ALTER TABLE users DROP works CASCADE");
    let filled_in = |statement: &str| {
        let statement = statement.replace("id_column => ...", "id_column => 'id'");
        statement.replace("active_column => ...", "active_column => 'active'")
    };
    let statement = filled_in(&stage.hint(ALICE, "SELECT session_valid('users', 1, now())"));
    stage.advised("table", "guarded column works", ALICE, &statement);
    stage.works(ALICE, "SELECT session_valid('users', 1, now())");
    stage.is_settled(ALICE);
}

fn renames(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean);
         CREATE TABLE fresh (LIKE users INCLUDING ALL); SELECT session_guard.attach('users')",
    );
    // The table, or a column.
    stage.run(ALICE, "ALTER TABLE users RENAME active TO enabled");
    stage.remedied_where("table", "active has been renamed to enabled", ALICE);
    stage.run(ALICE, "ALTER TABLE users RENAME enabled TO active");
    stage.remedied("table", ALICE);
    // The table, and a view has its name.
    stage.run(
        ALICE,
        "ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT * FROM people",
    );
    let statement = stage.hint(ALICE, "SELECT session_valid('users', 1, now())");
    stage.run(ALICE, &statement);
    stage.works(ALICE, "SELECT session_valid('people', 1, now())");
    stage.is_well();
    let complaint = stage.complaint(ALICE, "SELECT session_valid('users', 1, now())");
    assert!(complaint.text.contains("For a view, guard the table that it reads."), "{complaint:?}");
    stage.run(ALICE, "DROP VIEW users; ALTER TABLE people RENAME TO users");
    stage.remedied_where("table", "public.people has been renamed to public.users", ALICE);

    // Another table has its name: the guard moves there, or stays.
    const SWAP: &str = "BEGIN; ALTER TABLE users RENAME TO old; ALTER TABLE fresh RENAME TO users;
                        ALTER TABLE old RENAME TO fresh; COMMIT";
    stage.run(ALICE, SWAP);
    stage.mended(ALICE, "SELECT session_valid('users', 1, now())", ALICE);
    stage.run(ALICE, SWAP);
    stage.remedied_where("table", "has been renamed to public.fresh", ALICE);
    stage.run(ALICE, SWAP);
    stage.mended(ALICE, "SELECT session_guard.attach('users')", ALICE);
    stage.is_settled(ALICE);
    // Where it could not be put there, it is not taken off.
    stage.run(ALICE, &format!("{SWAP}; ALTER TABLE users RENAME active TO enabled"));
    let statement = stage.hint(ALICE, "SELECT session_valid('users', 1, now())");
    stage.complaint(ALICE, &statement);
    stage.run(ALICE, "UPDATE fresh SET active = NOT active");
    let armed = stage.rows(
        ROOT,
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'fresh'::regclass AND tgenabled = 'A'",
    );
    assert_eq!(armed.concat(), ["4"]);
    stage.run(ALICE, "ALTER TABLE users RENAME enabled TO active");
    stage.mended(ALICE, "SELECT session_valid('users', 1, now())", ALICE);
    stage.is_settled(ALICE);
    stage.run(ALICE, SWAP);
    let complaint = stage.complaint(ALICE, "SELECT session_valid('users', 1, now())");
    const STAY: &str = "session_guard.attach('public.fresh')";
    assert!(complaint.text.contains(&format!("call {STAY}")), "{complaint:?}");
    stage.run(ALICE, &format!("SELECT {STAY}"));
    stage.works(ALICE, "SELECT session_valid('fresh', 1, now())");
    stage.is_well();
}

fn tables_that_are_gone(stage: &mut Stage) {
    const CREATE: &str = "CREATE TABLE users (id int PRIMARY KEY, active boolean)";
    stage.run(ALICE, &format!("{CREATE}; SELECT session_guard.attach('users'); DROP TABLE users"));
    stage.complaint(ALICE, "SELECT session_valid(1, now())");
    stage.advised(
        "table",
        "the extension's owner deletes its row",
        ALICE,
        &format!("{CREATE}; SELECT session_guard.attach('users')"),
    );
    stage.works(ALICE, "SELECT session_valid(1, now())");
    stage.is_settled(ALICE);
    // One that its owner has made again.
    stage.run(ALICE, &format!("DROP TABLE users; {CREATE}"));
    stage.mended(ALICE, "SELECT session_valid(1, now())", ALICE);
    stage.is_settled(ALICE);
    stage.run(ALICE, &format!("DROP TABLE users; {CREATE}"));
    stage.remedied("table", ALICE);
    stage.is_settled(ALICE);
    // Another role's: whether that is the table to guard, the extension's owner says.
    stage.run(ROOT, "GRANT bob TO dba");
    stage.run(ALICE, "DROP TABLE users");
    stage.run(BOB, CREATE);
    stage.mended(BOB, "SELECT session_valid(1, now())", DBA);
    stage.is_settled(BOB);
    // It is not wanted any more.
    stage.run(BOB, "DROP TABLE users");
    stage.run(DBA, "DELETE FROM session_guard.guard WHERE name = 'public.users'");
    stage.run(ROOT, "REVOKE bob FROM dba");
    stage.run(BOB, CREATE);
    stage.remedied("default_guard", BOB);
    stage.is_well();
}

fn rights_that_a_caller_lacks(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean); SELECT session_guard.attach('users');
         CREATE TABLE secret (id int PRIMARY KEY, active boolean); SELECT session_guard.attach('secret')",
    );
    stage.mended(OPERATOR, "SELECT session_guard.attach('users')", OPERATOR);
    stage.run(OPERATOR, "RESET ROLE");
    stage.mended(OPERATOR, "SELECT session_guard.configure(notify => false)", OPERATOR);
    stage.run(OPERATOR, "RESET ROLE");
    stage.mended(SUPPORT, "SELECT session_guard.revoke_all_sessions('users')", ALICE);
    // A row that the table's owner has not agreed to.
    stage.run(
        DBA,
        "DELETE FROM session_guard.guard WHERE name = 'public.secret';
         INSERT INTO session_guard.guard (name, schema_name, table_name, table_owner, id_column, active_column, active_when)
         VALUES ('public.secret', 'public', 'secret', 'alice', 'id', 'active', 'false')",
    );
    stage.mended(ALICE, "SELECT session_valid('secret', 1, now())", ALICE);
    stage.is_settled(ALICE);

    // A table that belongs to another role now, and one whose owner may not call what apps call.
    stage.run(ROOT, "ALTER TABLE users OWNER TO bob");
    stage.remedied_where("table", "belonged to alice and belongs to bob now", BOB);
    stage.is_well();
    stage.run(DBA, "SELECT session_guard.revoke_access('alice')");
    stage.run(ROOT, "REVOKE EXECUTE ON FUNCTION session_valid(int, timestamptz) FROM alice");
    stage.remedied("access", DBA);
    stage.is_well();
}

fn triggers_of_users_tables(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean); INSERT INTO users VALUES (1, true);
         SELECT session_guard.attach('users')",
    );
    const MAKE: &str = "DROP TRIGGER session_guard_insert ON users; CREATE TRIGGER session_guard_insert AFTER INSERT ON users FOR EACH ROW";
    const ENABLE: &str = "ALTER TABLE users ENABLE ALWAYS TRIGGER session_guard_insert";
    for (tampering, detail) in [
        ("DROP TRIGGER session_guard_insert ON users", "is missing"),
        ("ALTER TABLE users DISABLE TRIGGER session_guard_insert", "is disabled"),
        ("ALTER TABLE users ENABLE TRIGGER session_guard_insert", "is not ENABLE ALWAYS"),
        (
            &format!(
                "{MAKE} EXECUTE FUNCTION session_guard.stamp('public.others', 'true'); {ENABLE}"
            ),
            "serves another guard",
        ),
        (
            &format!(
                "{MAKE} EXECUTE FUNCTION session_guard.stamp('public.users', 'false'); {ENABLE}"
            ),
            "was made for other options of its guard",
        ),
        (
            &format!(
                "{MAKE} WHEN (NEW.id > 1) EXECUTE FUNCTION session_guard.stamp('public.users', 'true'); {ENABLE}"
            ),
            "fires on other changes than it should",
        ),
    ] {
        stage.run(ALICE, tampering);
        stage.remedied_where("armed", detail, ALICE);
        stage.remedied_where("unwatched_changes", "triggers were missing", ALICE);
        stage.is_well();
    }
    // Off and on again; and what a connection is warned of.
    stage.run(ALICE, "ALTER TABLE users DISABLE TRIGGER session_guard_insert");
    stage.run(ALICE, ENABLE);
    stage.remedied_where("unwatched_changes", "maybe back and forth", ALICE);
    stage.is_well();
    stage.run(ALICE, "ALTER TABLE users DISABLE TRIGGER session_guard_insert");
    stage.mended(ALICE, "SELECT session_valid('users', 1, now())", ALICE);
    stage.is_settled(ALICE);
    // One that nobody has made for it.
    stage.run(
        ALICE,
        "CREATE TRIGGER mine BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION session_guard.stamp()",
    );
    stage.mended(ALICE, "UPDATE users SET active = active", ALICE);
    stage.is_settled(ALICE);

    // Triggers without the row of their guard, also without the one that says the columns.
    for drop in ["", "DROP TRIGGER session_guard_update ON users"] {
        stage.run(DBA, "DELETE FROM session_guard.guard");
        stage.run(ALICE, drop);
        stage.remedied("unknown_guards", ALICE);
        stage.is_settled(ALICE);
    }
}

/// Whatever other columns are called: no statement guesses which are meant.
fn columns_of_other_names(stage: &mut Stage) {
    const CREATE: &str = "CREATE TABLE users (id int UNIQUE, number int PRIMARY KEY, active boolean, inactive boolean, password text)";
    stage.run(ALICE, CREATE);
    stage.run(
        ALICE,
        "SELECT session_guard.attach('users', 'number', 'inactive', 'false', '{password}', '1 day');
         CREATE TABLE fresh (LIKE users INCLUDING ALL)",
    );
    const SWAP: &str = "ALTER TABLE users RENAME TO old; ALTER TABLE fresh RENAME TO users; ALTER TABLE old RENAME TO fresh";
    const PARTITION: &str = "CREATE TABLE everybody (id int, number int PRIMARY KEY, active boolean, inactive boolean, password text) PARTITION BY RANGE (number); ALTER TABLE everybody ATTACH PARTITION users FOR VALUES FROM (0) TO (100)";
    for (change, check) in [
        (SWAP, "table"),
        ("ALTER TABLE users DISABLE TRIGGER session_guard_update", "armed"),
        ("ALTER TABLE users DROP password CASCADE", "table"),
        ("ALTER TABLE users RENAME inactive TO x; ALTER TABLE users ADD inactive boolean", "table"),
        ("ALTER TABLE users DROP inactive; ALTER TABLE users RENAME x TO inactive", "table"),
        ("ALTER TABLE users SET UNLOGGED", "table"),
        (&format!("DROP TABLE users; {CREATE}"), "table"),
        ("DELETE FROM session_guard.guard", "unknown_guards"),
        (PARTITION, "table"),
    ] {
        let by = if change.starts_with("DELETE") { DBA } else { ALICE };
        stage.run(by, change);
        stage.remedied(check, ALICE);
        stage.is_settled(ALICE);
        let columns = "SELECT id_column, active_column, active_when FROM session_guard.guard WHERE detached_at IS NULL";
        let columns = stage.rows(ROOT, columns).concat();
        assert!(
            columns == ["number", "inactive", "false"] || columns == ["number", "x", "false"],
            "{change}: {columns:?}"
        );
    }
}

fn accounts_and_epochs(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int, active boolean, CONSTRAINT users_key UNIQUE (id));
         INSERT INTO users VALUES (1, true), (2, false); SELECT session_guard.attach('users')",
    );
    stage.run(ROOT, "TRUNCATE session_guard.epoch");
    stage.remedied("disabled_accounts", ALICE);
    stage.run(ALICE, "ALTER TABLE users DROP CONSTRAINT users_key");
    stage.remedied_where("unique_index", "reads the whole table", ALICE);
    stage.is_well();
    stage.run(
        ROOT,
        "INSERT INTO session_guard.epoch VALUES ('public.users', '1', 'infinity', 'x');
         INSERT INTO session_guard.guard_epoch VALUES ('public.users', '2200-01-01', 'x');
         INSERT INTO session_guard.token_epoch VALUES ('scope', 'subject', '2200-01-01', 'x')",
    );
    stage.remedied("epochs_ahead", ROOT);
    stage.is_well();

    // Tokens, where their table has another name.
    stage.run(ROOT, "ALTER TABLE session_guard.token_epoch RENAME TO other_name");
    let statement = stage.hint(ALICE, "SELECT token_valid('scope', 'subject', now())");
    let rows = stage.rows(ROOT, &statement);
    assert!(rows.contains(&vec!["table session_guard.other_name".to_owned()]), "{rows:?}");
    stage.advised(
        "own_tables",
        "session_guard.token_epoch cannot be found",
        ROOT,
        "ALTER TABLE session_guard.other_name RENAME TO token_epoch;",
    );
    stage.works(ALICE, "SELECT token_valid('scope', 'subject', now())");
    stage.is_well();
}

fn tables_that_became_others(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean); SELECT session_guard.attach('users')",
    );
    for change in ["SET UNLOGGED", "SET ACCESS METHOD other"] {
        stage.run(ALICE, &format!("ALTER TABLE users {change}"));
        stage.remedied("table", ALICE);
        stage.is_well();
    }

    // A partition: its table is guarded, and nothing else, however much it looks like a users table.
    stage.run(
        ALICE,
        "INSERT INTO users VALUES (1, true), (2, true);
         CREATE TABLE everybody (id int PRIMARY KEY, active boolean) PARTITION BY RANGE (id);
         CREATE TABLE everybody_else PARTITION OF everybody FOR VALUES FROM (100) TO (200);
         CREATE TABLE accounts (id int PRIMARY KEY, active boolean);
         CREATE TABLE login AS SELECT id, session_start('users', id) AS at FROM users;
         UPDATE users SET active = false WHERE id = 1; UPDATE users SET active = true WHERE id = 1",
    );
    stage.run(ALICE, "ALTER TABLE everybody ATTACH PARTITION users FOR VALUES FROM (0) TO (100)");
    stage.run(ALICE, "INSERT INTO everybody VALUES (3, true)");
    stage.remedied_where("table", "is a partition, and cannot be guarded", ALICE);
    let guarded = stage.rows(
        ROOT,
        "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger
         WHERE tgfoid = 'session_guard.stamp()'::regprocedure ORDER BY 1",
    );
    assert_eq!(guarded.concat(), ["everybody", "everybody_else", "users"]);
    // It goes on with the epochs that it had.
    let verdicts =
        stage.rows(ALICE, "SELECT session_verdict('everybody', id, at) FROM login ORDER BY id");
    assert_eq!(verdicts.concat(), ["revoked", "valid"]);
    stage.is_settled(ALICE);
    // Of one that is partitioned by something else nothing can be guarded.
    stage.run(
        ALICE,
        "CREATE TABLE by_region (id int, region text, active boolean, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
         CREATE TABLE eu (id int, region text, active boolean, PRIMARY KEY (id, region), UNIQUE (id));
         SELECT session_guard.attach('eu'); ALTER TABLE by_region ATTACH PARTITION eu FOR VALUES IN ('eu')",
    );
    stage.advised(
        "table",
        "Keep ids and status in an ordinary table beside it",
        ALICE,
        "SELECT session_guard.detach('eu')",
    );
    stage.is_well();
}

fn stores(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean); SELECT session_guard.attach('users');
         CREATE TABLE staff (id int PRIMARY KEY, active boolean); SELECT session_guard.attach('staff');
         INSERT INTO users SELECT n, true FROM generate_series(1, 9) AS n;
         CREATE TABLE session (user_id int); SELECT session_guard.add_store('session', 'user_id', users => 'users')",
    );
    stage.mended(
        ALICE,
        "SELECT session_guard.add_store('session', 'user_id', users => 'staff')",
        ALICE,
    );
    stage.listed(
        ALICE,
        "SELECT session_guard.remove_store('staff')",
        "session",
        "SELECT session_guard.remove_store('session')",
    );
    stage
        .run(ALICE, "CREATE TABLE cutoff (user_id int UNIQUE, at timestamptz, kind text NOT NULL)");
    const ADD: &str = "SELECT session_guard.add_store('cutoff', 'user_id', 'at', 'users')";
    let statement = stage.hint(ALICE, ADD).replace("DEFAULT ...", "DEFAULT 'cutoff'");
    stage.run(ALICE, &statement);
    stage.works(ALICE, ADD);
    stage.run(
        ALICE,
        "SELECT session_guard.remove_store('cutoff');
         ALTER TABLE cutoff DROP at, ADD at timestamptz GENERATED ALWAYS AS ('infinity') STORED, ADD since timestamptz",
    );
    stage.listed(ALICE, ADD, "since", &ADD.replace("'at'", "'since'"));
    stage.run(ALICE, "SELECT session_guard.remove_store('cutoff')");

    // Sessions that could not be ended.
    const REFUSE: &str =
        "CREATE TRIGGER refuse BEFORE DELETE ON session FOR EACH ROW EXECUTE FUNCTION refuse()";
    stage.run(
        ALICE,
        "SELECT session_guard.add_store('session', 'user_id', users => 'users');
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
         INSERT INTO session VALUES (1), (2)",
    );
    stage.run(ALICE, REFUSE);
    let statement = stage.hint(ALICE, "UPDATE users SET active = false WHERE id = 1");
    stage.run(ALICE, "DROP TRIGGER refuse ON session");
    stage.run(ALICE, &statement);
    assert_eq!(stage.rows(ALICE, "SELECT user_id FROM session").concat(), ["2"]);
    stage.is_well();
    stage.run(ALICE, REFUSE);
    stage.complaint(ALICE, "UPDATE users SET active = false WHERE id = 2");
    stage.run(ALICE, "DROP TRIGGER refuse ON session");
    stage.remedied_where("store", "could not be ended", ALICE);
    assert_eq!(stage.rows(ALICE, "SELECT count(*) FROM session").concat(), ["0"]);
    stage.is_well();

    // Renames, and what has taken the name since.
    stage.run(ALICE, "ALTER TABLE session RENAME user_id TO account_id");
    stage.remedied_where("store", "has another name now", ALICE);
    stage.run(ALICE, "ALTER TABLE session RENAME TO old; CREATE TABLE session (user_id int)");
    stage.advised(
        "store",
        "has been renamed to public.old, and another table has its name",
        ALICE,
        "SELECT session_guard.remove_store('public.old');
         SELECT session_guard.add_store('public.session', 'user_id', users => 'users')",
    );
    stage.is_well();
    stage.run(ALICE, "ALTER TABLE session DROP user_id; ALTER TABLE session ADD account int");
    stage.advised(
        "store",
        "column user_id of session store public.session is gone",
        ALICE,
        "SELECT session_guard.add_store('public.session', 'account', users => 'users')",
    );
    stage.is_well();
    // Another owner, of the table or of one below it.
    stage.run(ROOT, "ALTER TABLE session OWNER TO bob");
    stage.advised(
        "store",
        "the owner of session store public.session has not added it. If sessions are to end in it, bob or a superuser calls session_guard.add_store('public.session', 'account', users => ...).",
        ROOT,
        "SELECT session_guard.add_store('public.session', 'account', users => 'users')",
    );
    stage.run(ROOT, "CREATE TABLE below () INHERITS (session); ALTER TABLE below OWNER TO alice");
    stage.advised(
        "store",
        "table public.below below session store public.session belongs to another role",
        ROOT,
        "ALTER TABLE below OWNER TO bob",
    );
    stage.is_well();
    // It is gone, and made again or not wanted any more.
    const GONE: &str = "session store public.session is gone";
    stage.run(ROOT, "DROP TABLE session CASCADE");
    stage.advised(
        "store",
        GONE,
        ALICE,
        "CREATE TABLE session (user_id int); SELECT session_guard.add_store('session', 'user_id', users => 'users')",
    );
    stage.is_well();
    stage.run(ALICE, "DROP TABLE session");
    stage.advised("store", GONE, DBA, "DELETE FROM session_guard.store");
    stage.is_well();
}

fn watches(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean, password text); SELECT session_guard.attach('users');
         GRANT UPDATE ON users TO bob, dba;
         CREATE TABLE role (user_id int, name text); SELECT session_guard.watch('role', 'user_id')",
    );
    let statement = stage.hint(ALICE, "SELECT session_guard.watch('users', 'id')");
    stage.run(ALICE, &statement);
    let revoke_on = stage.rows(ROOT, "SELECT revoke_on FROM session_guard.guard");
    assert_eq!(revoke_on.concat(), ["{password}"]);
    stage.listed(
        ALICE,
        "SELECT session_guard.unwatch('users')",
        "role",
        "SELECT session_guard.unwatch('role')",
    );
    const WATCH: &str = "SELECT session_guard.watch('role', 'user_id', '{name}', 'users')";
    stage.run(ALICE, WATCH);
    stage.is_well();
    stage.run(
        ALICE,
        "CREATE TABLE staff (id int PRIMARY KEY, active boolean); SELECT session_guard.attach('staff')",
    );
    stage.mended(ALICE, "SELECT session_guard.watch('role', 'user_id', users => 'staff')", ALICE);
    stage.run(
        ALICE,
        "SELECT session_guard.unwatch('role'), session_guard.detach('staff', forget => true); DROP TABLE staff",
    );
    stage.run(ALICE, WATCH);
    stage.is_well();

    stage.run(ALICE, "ALTER TABLE role DISABLE TRIGGER session_guard_related_insert");
    stage.remedied_where("watch", "is disabled", ALICE);
    stage.is_settled(ALICE);
    stage.run(ALICE, "ALTER TABLE role RENAME name TO label");
    stage.remedied_where("watch", "name is label now", ALICE);
    stage.is_well();
    // A column is gone: another takes its place, or the table is watched no more.
    stage.run(ALICE, "ALTER TABLE role DROP user_id CASCADE; ALTER TABLE role ADD account int");
    stage.run(ALICE, "SELECT session_guard.watch('public.role', 'account', users => 'users')");
    stage.is_settled(ALICE);
    stage.run(ALICE, "ALTER TABLE role DROP account CASCADE; ALTER TABLE role ADD user_id int");
    stage.remedied_where("watch", "has no column account", ALICE);
    stage.is_well();
    // It is gone, and made again by its owner or another role, or not wanted any more.
    stage.run(ALICE, WATCH.replace("'{name}'", "NULL").as_str());
    stage.run(ALICE, "ALTER TABLE role RENAME TO old; CREATE TABLE role (LIKE old)");
    stage.advised(
        "watch",
        "and another has its name",
        ALICE,
        "SELECT session_guard.unwatch('public.old'), session_guard.watch('public.role', 'user_id', users => 'users')",
    );
    stage.is_settled(ALICE);
    stage.run(ALICE, "DROP TABLE role");
    const AGAIN: &str = "CREATE TABLE role (user_id int)";
    const WATCH_AGAIN: &str =
        "SELECT session_guard.watch('public.role', 'user_id', users => 'users')";
    stage.advised(
        "watch",
        "watched table public.role is gone",
        ALICE,
        &format!("{AGAIN}; {WATCH_AGAIN}"),
    );
    stage.is_settled(ALICE);
    stage.run(ALICE, &format!("DROP TABLE role; {AGAIN}"));
    stage.advised("watch", "alice has not agreed to it", ALICE, WATCH_AGAIN);
    stage.is_settled(ALICE);
    stage.run(ALICE, "DROP TABLE role");
    stage.run(BOB, AGAIN);
    stage.advised(
        "watch",
        "belongs to bob, and the watched one belonged to alice",
        BOB,
        WATCH_AGAIN,
    );
    stage.is_settled(ALICE);
    stage.run(BOB, "DROP TABLE role");
    stage.advised(
        "watch",
        "the extension's owner deletes its row",
        DBA,
        "DELETE FROM session_guard.watch",
    );
    stage.is_well();
    // One of the extension's owner, that was restored as another role's.
    stage.run(
        DBA,
        "CREATE TABLE team (user_id int); SELECT session_guard.watch('team', 'user_id', users => 'users');
         DROP TABLE team; CREATE TABLE team (user_id int)",
    );
    stage.run(ROOT, "UPDATE session_guard.watch SET table_owner = 'alice'");
    stage.remedied_where("watch", "belongs to dba", DBA);
    stage.is_settled(ALICE);
    stage.run(DBA, "ALTER TABLE team RENAME TO former; CREATE TABLE team (LIKE former)");
    stage.remedied_where("watch", "and another has its name", DBA);
    stage.is_settled(ALICE);
}

fn the_extensions_own_objects(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean); SELECT session_guard.attach('users')",
    );
    // Triggers on its tables.
    stage.run(
        ROOT,
        "ALTER TABLE session_guard.epoch DISABLE TRIGGER USER;
         DROP TRIGGER session_guard_changed ON session_guard.timeline",
    );
    stage.remedied_where("own_tables", ": each call reads the tables", ROOT);
    stage.remedied("logical_replication", ROOT);
    stage.run(ROOT, "DROP TRIGGER session_guard_at_commit ON session_guard.pending");
    stage.remedied_where("own_tables", "nothing is called before COMMIT", ROOT);
    stage.run(ROOT, "ALTER TABLE session_guard.epoch SET UNLOGGED; ALTER TABLE session_guard.event SET UNLOGGED");
    stage.remedied("own_tables", ROOT);
    stage.run(
        ROOT,
        "CREATE ACCESS METHOD another TYPE TABLE HANDLER heap_tableam_handler;
         ALTER TABLE session_guard.epoch SET ACCESS METHOD another;
         ALTER TABLE session_guard.event SET ACCESS METHOD another",
    );
    stage.remedied("own_tables", ROOT);
    stage.is_well();
    // Tables, or functions, that have other names, and a table that has taken one.
    stage.run(
        ROOT,
        "ALTER TABLE session_guard.store RENAME TO a; ALTER TABLE session_guard.watch RENAME TO b",
    );
    stage.advised(
        "own_tables",
        "session_guard.watch, session_guard.store cannot be found",
        ROOT,
        "ALTER TABLE session_guard.a RENAME TO store; ALTER TABLE session_guard.b RENAME TO watch;",
    );
    stage.run(ROOT, "ALTER TABLE session_guard.epoch RENAME TO a");
    let complaint = stage.complaint(ALICE, "SELECT session_valid('users', 1, now())");
    assert!(
        complaint.text.contains("of the schema session_guard their names back"),
        "{complaint:?}"
    );
    stage.run(ROOT, "ALTER TABLE session_guard.a RENAME TO epoch");
    stage.run(ROOT, "ALTER FUNCTION session_guard.epoch_changed() RENAME TO a");
    stage.advised(
        "own_tables",
        "session_guard.epoch_changed() cannot be found",
        ROOT,
        "ALTER FUNCTION session_guard.a() RENAME TO epoch_changed",
    );
    stage.run(
        ROOT,
        "CREATE TABLE kept AS SELECT * FROM pg_extension WHERE extname = 'pg_session_guard';
         DELETE FROM pg_extension WHERE extname = 'pg_session_guard'",
    );
    stage.advised(
        "own_tables",
        "A superuser restores that row",
        ROOT,
        "INSERT INTO pg_extension SELECT * FROM kept",
    );
    stage.run(
        ROOT,
        "ALTER TABLE session_guard.policy RENAME TO a; CREATE TABLE session_guard.policy (LIKE session_guard.a)",
    );
    stage.advised(
        "own_tables",
        "table session_guard.policy is gone, or has another name",
        ROOT,
        "DROP TABLE session_guard.policy; ALTER TABLE session_guard.a RENAME TO policy",
    );
    stage.is_well();
    // A column of another type.
    stage.run(
        ALICE,
        "INSERT INTO users VALUES (1, true); SELECT session_guard.revoke_all_sessions('users')",
    );
    stage.run(ROOT, "ALTER TABLE session_guard.guard_epoch ALTER epoch TYPE timestamp");
    const ASK: &str = "SELECT session_valid('users', 1, now())";
    let complaint = stage.complaint(ALICE, ASK);
    assert!(complaint.text.contains("type back to what it was"), "{complaint:?}");
    stage.run(ROOT, "ALTER TABLE session_guard.guard_epoch ALTER epoch TYPE timestamptz");
    stage.works(ALICE, ASK);
    stage.is_well();
    // Its functions.
    stage.run(ROOT, "ALTER FUNCTION session_guard.stamp() SECURITY INVOKER");
    stage.remedied_where("trigger_owner", "cannot write epochs", ROOT);
    stage.run(ROOT, "ALTER FUNCTION session_guard.stamp() SET work_mem = '1 MB'");
    stage.remedied_where("trigger_owner", "the triggers' function has other settings", ROOT);
    stage.run(ROOT, "ALTER FUNCTION session_guard.epoch_changed() SET work_mem = '1 MB'");
    stage.remedied_where("trigger_owner", "session_guard.epoch_changed() has other settings", ROOT);
    stage.is_well();
    // Functions that are called in their place.
    stage.run(
        DBA,
        "CREATE FUNCTION session_valid(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    );
    stage.remedied("other_functions", DBA);
    stage.is_well();
}

fn rights_of_the_extension(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean); SELECT session_guard.attach('users')",
    );
    stage.run(
        ROOT,
        "ALTER TABLE session_guard.epoch OWNER TO bob; ALTER FUNCTION session_guard.attach OWNER TO dba",
    );
    stage.remedied("owners", ROOT);
    if stage.is_wrong("privileges") {
        stage.remedied("privileges", ROOT);
    }
    stage.is_well();
    // What the database's owner has does not count for a role that owns the extension alone.
    stage.run(
        ROOT,
        "ALTER DATABASE owners OWNER TO bob;
         REVOKE SELECT ON session_guard.event FROM dba CASCADE;
         REVOKE GRANT OPTION FOR EXECUTE ON FUNCTION session_guard.health FROM dba CASCADE;
         GRANT UPDATE ON session_guard.epoch TO support",
    );
    stage.remedied("privileges", ROOT);
    stage.remedied("writers", ROOT);
    stage.is_well();
}

/// Who may still call what apps call, and how that is taken back.
fn grants(stage: &mut Stage) {
    stage.complaint(DBA, "SELECT session_guard.grant_access(NULL)");
    const REVOKE: &str = "SELECT session_guard.revoke_access('app')";
    stage.run(DBA, "GRANT EXECUTE ON FUNCTION session_valid(int, timestamptz) TO app");
    stage.mended(DBA, REVOKE, ROOT);
    stage.run(ROOT, "GRANT EXECUTE ON FUNCTION session_valid(int, timestamptz) TO PUBLIC");
    stage.mended(DBA, REVOKE, ROOT);
    stage.run(ROOT, "GRANT team TO app");
    stage.run(DBA, "SELECT session_guard.grant_access('team')");
    let complaint = stage.complaint(DBA, REVOKE);
    const MEMBERSHIP: &str = "REVOKE team FROM app";
    assert!(complaint.text.contains(&format!("the membership by {MEMBERSHIP}.")), "{complaint:?}");
    stage.run(ROOT, MEMBERSHIP);
    stage.works(DBA, REVOKE);
    stage.leave(APP);
}

fn version(stage: &mut Stage) -> String {
    let version = "SELECT extversion FROM pg_extension WHERE extname = 'pg_session_guard'";
    stage.rows(ROOT, version).concat().concat()
}

/// What ALTER EXTENSION ... UPDATE does when the script has nothing but its last line.
fn set_version(version: &str) -> String {
    format!(
        "UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'pg_session_guard';
         REVOKE ALL ON session_guard.guard FROM PUBLIC"
    )
}

/// A connection goes on with the library that it has loaded, and a transaction may drop the extension.
fn versions(stage: &mut Stage) {
    stage.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean); SELECT session_guard.attach('users');
         CREATE TABLE role (user_id int); SELECT session_guard.watch('role', 'user_id')",
    );
    let own = version(stage);
    const ASK: &str = "SELECT session_valid('users', 1, now())";
    stage.works(ALICE, ASK);
    stage.run(ROOT, &set_version("99.0.0"));
    assert!(stage.is_wrong("version"));
    let statement = stage.hint(ALICE, ASK);
    stage.end_by(ALICE, &statement);
    // What is installed is of the catalog's version now.
    stage.run(ROOT, &set_version(&own));
    stage.works(ALICE, ASK);
    stage.is_well();

    // With its deferred trigger it could not be dropped in a transaction that has stamped.
    stage.run(
        ROOT,
        "BEGIN; ALTER TABLE session_guard.pending DISABLE TRIGGER session_guard_at_commit; TRUNCATE role;
         DROP EXTENSION pg_session_guard CASCADE",
    );
    let statement = stage.hint(ROOT, "COMMIT");
    stage.run(DBA, &statement);
    stage.remedied("default_guard", ROOT);
    stage.is_well();
}

/// A guard that came with a dump whose grants were left out, of a role that nobody connects as.
fn restored_without_grants(stage: &mut Stage) {
    stage.run(ROOT, "CREATE TABLE users (id int PRIMARY KEY, active boolean); ALTER TABLE users OWNER TO tables");
    stage.run(DBA, "CREATE EXTENSION pg_session_guard");
    stage.run(
        ROOT,
        "SELECT session_guard.attach('users'); UPDATE session_guard.guard SET attached_at = '2000-01-01'",
    );
    stage.remedied_where("access", "no role has been granted access", DBA);
    stage.run(APP, "SELECT session_valid(1, now())");
    stage.is_well();
}

fn a_schema_that_the_owner_cannot_use(stage: &mut Stage) {
    stage.run(DBA, "CREATE SCHEMA lib; CREATE EXTENSION pg_session_guard SCHEMA lib; GRANT CREATE ON SCHEMA public TO alice");
    stage.run(ALICE, "CREATE TABLE users (id int PRIMARY KEY, active boolean)");
    stage.mended(ROOT, "SELECT session_guard.attach('users')", DBA);
    stage.run(ALICE, "SELECT lib.session_valid(1, now())");
    stage.run(DBA, "REVOKE USAGE ON SCHEMA lib FROM alice");
    stage.remedied_where("access", "lacks USAGE on schema lib", DBA);
    stage.is_well();
}

/// A standby's own findings, and those of its primary before and after it is promoted.
fn a_standby(said: &Said) {
    let mut primary = Cluster::start(&[
        "wal_sender_timeout = 60s",
        "shared_preload_libraries = 'pg_session_guard'",
    ]);
    run(&mut primary.connect("postgres"), ROLES);
    let mut there = Stage::new(&primary, "app", said);
    there.run(
        ALICE,
        "CREATE TABLE users (id int PRIMARY KEY, active boolean); SELECT session_guard.attach('users')",
    );
    // A library that the server itself has loaded.
    const ASK: &str = "SELECT session_valid('users', 1, now())";
    let own = version(&mut there);
    there.run(ROOT, &set_version("99.0.0"));
    let complaint = there.complaint(ALICE, ASK);
    assert!(complaint.text.contains("Restart the server"), "{complaint:?}");
    there.run(ROOT, &set_version(&own));
    there.works(ALICE, ASK);
    // There is nobody to wait for: somebody is named, or nobody waits.
    const RELOAD: &str = "SELECT pg_reload_conf()";
    const NOBODY: &str = "there is no synchronous standby";
    there.run(DBA, "SELECT session_guard.configure(revocation_durability => 'remote_apply')");
    primary.configure(&["synchronous_standby_names = '*'"]);
    there.advised("durability", NOBODY, ROOT, RELOAD);
    primary.configure(&["synchronous_standby_names = ''"]);
    there.run(ROOT, RELOAD);
    there.becomes("durability", true);
    there.advised(
        "durability",
        NOBODY,
        DBA,
        "SELECT session_guard.configure(revocation_durability => 'local')",
    );
    there.is_well();

    there.run(DBA, "SELECT session_guard.configure(max_standby_staleness => '2 s')");
    let standby = Cluster::standby_of(&primary);
    let mut here = Stage::of(&standby, "app", said);
    here.remedied_where("standby", "an idle upstream server may be silent", ROOT);
    here.remedied_where("standby", "wal_receiver_timeout counts once", ROOT);
    // The receiver asks as it is told to from the next message on.
    there.run(ALICE, "INSERT INTO users VALUES (1, true)");
    here.becomes("standby", false);
    here.run(ROOT, "SELECT pg_wal_replay_pause()");
    there.run(ALICE, "INSERT INTO users VALUES (2, true)");
    here.becomes("standby", true);
    // How far it is behind is told otherwise each time.
    let remedy = here.remedy_of("standby");
    here.run(ROOT, &remedy);
    here.becomes("standby", false);
    let socket = primary.folder().display().to_string();
    const RECONCILE: &str = "SELECT session_guard.reconcile()";
    let statement = here.hint(ROOT, RECONCILE);
    let rows = here.rows(ROOT, &statement);
    assert_eq!(rows.concat().first(), Some(&socket));
    there.works(ROOT, RECONCILE);

    drop(there);
    primary.stop();
    standby.promote();
    here.remedied("timeline", ROOT);
    here.is_well();
}
