//! A database with an account in every state and a guard of every kind and form, and the checks that a copy of it
//! revives no session.

use crate::{Problem, answer, answers, forms, problems, repair, run};
use postgres::Client;

/// A session, as an app server remembers it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its user's table.
    pub table: &'static str,
    /// Its user's id.
    pub id: &'static str,
    /// When it began.
    pub login: String,
    /// Whether it is to count.
    pub is_live: bool,
}

/// What the database has gone through.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Everybody who has logged in.
    pub sessions: Vec<Session>,
    /// What `session_guard.health()` finds wrong at its end.
    pub problems: Vec<Problem>,
    policies: Vec<Vec<String>>,
    guards: Vec<Vec<String>>,
    options: Vec<Vec<String>>,
    watches: Vec<Vec<String>>,
}

/// The table that CREATE EXTENSION guards by itself; its guard is the default.
pub const AB_USER: &str = "public.ab_user";
/// A table whose users were all put out at once.
pub const STAFF: &str = "public.staff";
/// A table that is not guarded any more.
pub const FORMER: &str = "public.former";
/// A table that is there no more.
pub const DROPPED: &str = "public.dropped";
/// A table that was renamed.
pub const MEMBERS: &str = "public.members";
/// A table whose every name needs quotes.
pub const ODD: &str = r#""Odd Schema"."User's ""Table""""#;

/// A table whose every name is a keyword of PostgreSQL 16 or 17, and of none before.
pub const KEYWORDS: &str = r#""json_array"."system_user""#;
/// A table whose every name is as long as a name can be, with letters of two bytes and, but for the schema, a line's end.
pub const LONG: &str = "\"Schéma d'un \"\"nom\"\" de soixante-trois octets, «très long» xxx\".\"Tábla de usuarios\nde dos líneas, con 'comillas' y \\barra xxxx\"";

/// The names of a guard, quoted.
struct Names {
    table: &'static str,
    id: &'static str,
    status: &'static str,
    password: &'static str,
    /// A watched table, with the user's id.
    related: &'static str,
}

const OF_KEYWORDS: Names = Names {
    table: KEYWORDS,
    id: "\"merge_action\"",
    status: "\"json\"",
    password: "\"json_table\"",
    related: r#""json_array"."repack""#,
};

const OF_LONG: Names = Names {
    table: LONG,
    id: "\"clé\nde l'utilisateur, un nom de soixante-trois octets xxxxxxxx\"",
    status: "\"actif\nou non, un nom de soixante-trois octets xxxxxxxxxxxxxxxxx\"",
    password: "\"mot de passe\nun nom de soixante-trois octets xxxxxxxxxxxxxxxxxx\"",
    related: "\"Schéma d'un \"\"nom\"\" de soixante-trois octets, «très long» xxx\".\"droits\ndes utilisateurs, un nom de soixante-trois octets xxxxxx\"",
};

impl Names {
    /// A name that was written quoted, as a literal.
    fn literal(name: &str) -> String {
        quoted(&name[1..name.len() - 1])
    }

    fn create_tables(&self) -> String {
        let Names { table, id, status, password, related } = self;
        format!(
            "CREATE TABLE {table} ({id} int PRIMARY KEY, {status} boolean, {password} text);
             CREATE TABLE {related} ({id} int, {status} text);"
        )
    }

    fn attach(&self) -> String {
        let Names { table, id, status, password, related } = self;
        let (table, related) = (quoted(table), quoted(related));
        let [id, status, password] = [id, status, password].map(|name| Names::literal(name));
        format!(
            "SELECT session_guard.attach({table}, {id}, {status}, revoke_on => ARRAY[{password}]::name[], max_session_age => '12 hours');
             SELECT session_guard.watch({related}, {id}, ARRAY[{status}]::name[], {table});"
        )
    }
}

/// Makes the tables of one of these guards, without a row, as migrations do that come after a restore.
pub fn create_tables_of(client: &mut Client, table: &str) {
    let names = if table == LONG { OF_LONG } else { OF_KEYWORDS };
    let schema = names.table.split("\".\"").next().expect("a schema");
    run(client, &format!("CREATE SCHEMA IF NOT EXISTS {schema}\""));
    run(client, &names.create_tables().replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"));
    let Names { table, .. } = names;
    run(client, &format!("INSERT INTO {table} VALUES (1, true), (2, true), (3, true)"));
}

/// The tables as an app's migrations make them, without a row.
const TABLES: &str = r#"
    CREATE TABLE ab_user (id int PRIMARY KEY, active boolean, username text DEFAULT 'somebody');
    CREATE TABLE ab_user_role (user_id int, role_id int);
    CREATE TABLE staff (id uuid PRIMARY KEY, active boolean);
    CREATE TABLE former (id bigint PRIMARY KEY, active boolean);
    CREATE TABLE dropped (id int PRIMARY KEY, active boolean);
    CREATE TABLE accounts (id varchar(20) PRIMARY KEY, active boolean);
    CREATE SCHEMA "json_array";
    CREATE SCHEMA "Schéma d'un ""nom"" de soixante-trois octets, «très long» xxx";
    CREATE SCHEMA "Odd Schema";
    CREATE TABLE "Odd Schema"."User's ""Table""" ("Key.Id" text PRIMARY KEY, "is on" boolean, "Pass word" text);
"#;

/// Puts all tables under guard. `CREATE EXTENSION` does it with `ab_user` by itself.
const ATTACH: &str = r#"
    SELECT session_guard.attach('staff'), session_guard.attach('former'), session_guard.attach('dropped'),
           session_guard.attach('accounts'),
           session_guard.attach('"Odd Schema"."User''s ""Table"""', 'Key.Id', 'is on', revoke_on => '{"Pass word"}',
                                max_session_age => '12 hours');
    SELECT session_guard.watch('ab_user_role', 'user_id', '{role_id}', 'ab_user');
    -- Some role that each cluster has: a copy without any grant is one that an app cannot use.
    SELECT session_guard.grant_access('pg_monitor');
"#;

/// Other policies than the built-in ones.
const CONFIGURE: &str =
    "SELECT session_guard.configure(future_login_tolerance => '7 s', notify => true)";

/// The policies that count.
const POLICIES: &str = "
    SELECT future_login_tolerance, stamp_margin, when_disarmed, audit, notify, revocation_durability,
           max_standby_staleness, when_timeline_changed
    FROM session_guard.policy ORDER BY set_at DESC LIMIT 1";

/// The guards, in all that does not depend on the place.
const GUARDS: &str = "
    SELECT name, schema_name, table_name, table_owner, id_column, active_column, active_when, revoke_on, max_session_age,
           is_default, attached_at, detached_at
    FROM session_guard.guard ORDER BY name";

/// What the guards' owners have asked for, whatever has become of the tables. Who gives up one that is dropped has its row deleted.
const OPTIONS: &str = "
    SELECT name, id_column, active_column, active_when, revoke_on, max_session_age, is_default
    FROM session_guard.guard WHERE name <> 'public.dropped' ORDER BY name";

const WATCHES: &str = "SELECT w::text FROM session_guard.watch AS w ORDER BY 1";

const UUID: &str = "0190a0b0-0000-7000-8000-000000000001";
const ODD_ID: &str = "o'neil \\N \"x\"\t42";

/// What a deleted, a disabled … account's row is like again, for logins to be judged by their times.
const REVIVE: &str = "
    INSERT INTO ab_user VALUES (2, true), (4, true), (6, true), (7, true), (8, true), (9, true)
        ON CONFLICT (id) DO UPDATE SET active = true;
";

fn create_tables(client: &mut Client) {
    run(client, TABLES);
    for names in [OF_KEYWORDS, OF_LONG] {
        run(client, &names.create_tables());
    }
    forms::create_tables(client);
}

fn attach(client: &mut Client) {
    run(client, ATTACH);
    for names in [OF_KEYWORDS, OF_LONG] {
        run(client, &names.attach());
    }
    forms::attach(client);
}

/// The empty tables, under guard.
pub fn prepare(client: &mut Client) {
    create_tables(client);
    run(client, "CREATE EXTENSION pg_session_guard");
    attach(client);
    run(client, CONFIGURE);
    run(client, "ALTER TABLE accounts RENAME TO members");
}

/// Makes the tables and guards, and puts accounts into every state.
pub fn create(client: &mut Client) -> Scenario {
    create_tables(client);
    run(
        client,
        "INSERT INTO ab_user SELECT n, n <> 6 FROM generate_series(1, 9) AS n;
         CREATE EXTENSION pg_session_guard;",
    );
    attach(client);
    run(client, CONFIGURE);
    run(
        client,
        &format!(
            "INSERT INTO staff VALUES ('{UUID}', true);
             INSERT INTO former VALUES (1, true), (2, true);
             INSERT INTO dropped VALUES (1, true), (2, true);
             INSERT INTO accounts VALUES ('ann', true), ('bob', true);
             INSERT INTO {ODD} VALUES ({}, true, 'secret'), ('other', true, 'secret');",
            quoted(ODD_ID)
        ),
    );
    for Names { table, .. } in [OF_KEYWORDS, OF_LONG] {
        run(client, &format!("INSERT INTO {table} VALUES (1, true), (2, true), (3, true)"));
    }
    let mut sessions = Vec::new();
    let mut log_in = |client: &mut Client, table, id: &'static str, is_live| {
        let login = login(client, table, id);
        sessions.push(Session { table, id, login, is_live });
    };
    for (id, is_live) in [
        ("1", true),
        ("2", false),
        ("3", false),
        ("4", false),
        ("5", false),
        ("7", false),
        ("8", false),
    ] {
        log_in(client, AB_USER, id, is_live);
    }
    log_in(client, STAFF, UUID, false);
    log_in(client, FORMER, "1", false);
    log_in(client, DROPPED, "1", false);
    log_in(client, "accounts", "ann", false);
    log_in(client, "accounts", "bob", true);
    log_in(client, ODD, ODD_ID, false);
    log_in(client, ODD, "other", true);
    for table in [KEYWORDS, LONG] {
        for (id, is_live) in [("1", false), ("2", false), ("3", true)] {
            log_in(client, table, id, is_live);
        }
    }
    for Names { table, id, password, related, .. } in [OF_KEYWORDS, OF_LONG] {
        run(
            client,
            &format!(
                "UPDATE {table} SET {password} = 'changed' WHERE {id} = 1;
                 INSERT INTO {related} VALUES (2, 'editor')"
            ),
        );
    }
    run(
        client,
        &format!(
            "UPDATE ab_user SET active = false WHERE id IN (2, 3, 5);
             UPDATE ab_user SET active = true WHERE id IN (3, 5);
             DELETE FROM ab_user WHERE id = 4;
             UPDATE ab_user SET id = 70 WHERE id = 7;
             INSERT INTO ab_user_role VALUES (8, 1);
             SELECT session_guard.revoke_all_sessions('staff', 'breach');
             UPDATE former SET active = false WHERE id = 1;
             UPDATE former SET active = true WHERE id = 1;
             SELECT session_guard.detach('former');
             UPDATE dropped SET active = NOT active;
             DROP TABLE dropped;
             UPDATE accounts SET active = false WHERE id = 'ann';
             UPDATE accounts SET active = true WHERE id = 'ann';
             ALTER TABLE accounts RENAME TO members;
             UPDATE {ODD} SET \"Pass word\" = 'changed' WHERE \"Key.Id\" = {};",
            quoted(ODD_ID)
        ),
    );
    log_in(client, AB_USER, "5", true);
    log_in(client, STAFF, UUID, true);
    // Older than the installation.
    for (table, id, is_live) in [(AB_USER, "6", false), (AB_USER, "2", false), (AB_USER, "1", true)]
    {
        sessions.push(Session { table, id, login: "-infinity".into(), is_live });
    }
    sessions.extend(forms::fill(client));
    for session in &mut sessions {
        if session.table == "accounts" {
            session.table = MEMBERS;
        }
    }
    let scenario = Scenario {
        sessions,
        problems: problems(client),
        policies: answers(client, POLICIES),
        guards: answers(client, GUARDS),
        options: answers(client, OPTIONS),
        watches: answers(client, WATCHES),
    };
    assert_eq!(checks(&scenario.problems), ["table", "table"], "{:?}", scenario.problems);
    scenario.check_dead(client);
    scenario.check_live(client, |_| true);
    scenario
}

/// A login of today, as the guard gives it out.
pub fn login(client: &mut Client, table: &str, id: &str) -> String {
    answer(client, &format!("SELECT session_start({}, {})", quoted(table), quoted(id)))
}

/// Which checks they are of.
pub fn checks(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.check.as_str()).collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Session {
    /// What the guard says of it; an error is as good as a refusal.
    pub fn verdict(&self, client: &mut Client) -> String {
        let (table, id) = (quoted(self.table), quoted(self.id));
        let question =
            format!("SELECT session_verdict({table}, {id}, '{}'::timestamptz)", self.login);
        match client.simple_query(&question) {
            Ok(_) => answer(client, &question),
            Err(error) => error.code().expect("an error of the server's").code().to_owned(),
        }
    }
}

impl Scenario {
    /// The same, but for one table.
    pub fn without(&self, table: &str) -> Scenario {
        let sessions = self.sessions.iter().filter(|session| session.table != table);
        Scenario { sessions: sessions.cloned().collect(), ..self.clone() }
    }

    /// The configuration has been changed, and is to be as it is now.
    pub fn note_configuration(&mut self, client: &mut Client) {
        self.guards = answers(client, GUARDS);
        self.options = answers(client, OPTIONS);
        self.problems = problems(client);
    }

    /// What was dead is dead.
    #[track_caller]
    pub fn check_dead(&self, client: &mut Client) {
        self.check_dead_where(client, |_| true);
    }

    /// What was dead is dead, where it is of interest.
    #[track_caller]
    pub fn check_dead_where(&self, client: &mut Client, is_of_interest: impl Fn(&Session) -> bool) {
        let sessions = self.sessions.iter().filter(|session| !session.is_live);
        for session in sessions.filter(|session| is_of_interest(session)) {
            let verdict = session.verdict(client);
            assert_ne!(verdict, "valid", "{session:?}");
        }
    }

    /// What was alive is alive, where it is to be.
    #[track_caller]
    pub fn check_live(&self, client: &mut Client, is_of_interest: impl Fn(&Session) -> bool) {
        let sessions = self.sessions.iter().filter(|session| session.is_live);
        for session in sessions.filter(|session| is_of_interest(session)) {
            let verdict = session.verdict(client);
            assert_eq!(verdict, "valid", "{session:?}");
            // Nobody has stamped them.
            if [ODD, KEYWORDS, LONG].contains(&session.table) {
                let login = answer(client, "SELECT now() - interval '13 hours'");
                let old = Session { login, ..session.clone() };
                assert_eq!(old.verdict(client), "expired", "{old:?}");
            }
        }
    }

    /// What was dead stays so when accounts and tables come back in every way.
    #[track_caller]
    pub fn check_dead_for_ever(&self, client: &mut Client) {
        self.check_dead(client);
        println!("everybody comes back");
        run(client, REVIVE);
        forms::enable_all(client);
        run(client, "CREATE TABLE IF NOT EXISTS dropped (id int PRIMARY KEY, active boolean)");
        run(client, "INSERT INTO dropped VALUES (1, true) ON CONFLICT DO NOTHING");
        run(client, "SELECT session_guard.attach('former'), session_guard.attach('dropped')");
        repair(client);
        for session in self.sessions.iter().filter(|session| !session.is_live) {
            let verdict = session.verdict(client);
            assert_eq!(verdict, "revoked", "{session:?}");
        }
    }

    /// Every guard does its work.
    #[track_caller]
    pub fn check_guarding(&self, client: &mut Client) {
        let [disable_long, enable_long] =
            ["false", "true"].map(|value| format!("{} = {value}", OF_LONG.status));
        for (table, id, disable, enable) in [
            (AB_USER, "9", "active = false", "active = true"),
            (STAFF, UUID, "active = false", "active = true"),
            (MEMBERS, "bob", "active = NULL", "active = true"),
            (ODD, "other", "\"is on\" = false", "\"is on\" = true"),
            (KEYWORDS, "3", "\"json\" = false", "\"json\" = true"),
            (LONG, "3", &disable_long, &enable_long),
        ] {
            let login = login(client, table, id);
            let session = Session { table, id, login, is_live: true };
            assert_eq!(session.verdict(client), "valid", "{session:?}");
            let column = match table {
                ODD => "\"Key.Id\"",
                KEYWORDS => OF_KEYWORDS.id,
                LONG => OF_LONG.id,
                _ => "id",
            };
            for (change, verdict) in [(disable, "disabled"), (enable, "revoked")] {
                let id = quoted(id);
                run(client, &format!("UPDATE {table} SET {change} WHERE {column} = {id}"));
                assert_eq!(session.verdict(client), verdict, "{session:?}");
            }
        }
        forms::check_guarding(client);
        let session =
            Session { table: AB_USER, id: "1", login: login(client, AB_USER, "1"), is_live: true };
        run(client, "INSERT INTO ab_user_role VALUES (1, 1)");
        assert_eq!(session.verdict(client), "revoked", "by a watched table");
        for Names { table, id, password, related, .. } in [OF_KEYWORDS, OF_LONG] {
            let changes = [
                format!("UPDATE {table} SET {password} = clock_timestamp()::text WHERE {id} = 3"),
                format!("INSERT INTO {related} VALUES (3, 'editor')"),
            ];
            for change in changes {
                let login = login(client, table, "3");
                let session = Session { table, id: "3", login, is_live: true };
                assert_eq!(session.verdict(client), "valid", "{session:?}");
                run(client, &change);
                assert_eq!(session.verdict(client), "revoked", "{change}");
            }
        }
        assert_eq!(answers(client, OPTIONS), self.options);
    }

    /// What the owners have decided is here as it was there.
    #[track_caller]
    pub fn check_configuration(&self, client: &mut Client) {
        assert_eq!(answers(client, POLICIES), self.policies);
        assert_eq!(answers(client, GUARDS), self.guards);
        assert_eq!(answers(client, WATCHES), self.watches);
    }

    /// A whole copy: nothing to repair but what was there before, nobody revived, nobody put out.
    #[track_caller]
    pub fn check_copy(&self, client: &mut Client) {
        assert_eq!(problems(client), self.problems);
        self.check_dead(client);
        self.check_live(client, |_| true);
        self.check_configuration(client);
        forms::check_logins(client);
        repair(client);
        self.check_dead(client);
        self.check_live(client, |_| true);
        self.check_dead_for_ever(client);
        self.check_guarding(client);
    }
}
