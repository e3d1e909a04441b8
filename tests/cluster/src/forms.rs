//! A table and a guard for each form of `active_when`, with accounts in every state that it knows, and session stores.

use crate::scenario::{Session, login};
use crate::{answer, answers, run};
use postgres::Client;

/// A form, and how an account's status is given.
struct Form {
    table: &'static str,
    column_type: &'static str,
    active_when: &'static str,
    /// Two values of an account that is active: the same twice where there is no other.
    active: [&'static str; 2],
    disabled: &'static str,
}

const FORMS: [Form; 6] = [
    Form {
        table: "by_true",
        column_type: "boolean",
        active_when: "true",
        active: ["true", "true"],
        disabled: "NULL",
    },
    Form {
        table: "by_false",
        column_type: "boolean",
        active_when: "false",
        active: ["false", "NULL"],
        disabled: "true",
    },
    Form {
        table: "by_null",
        column_type: "date",
        active_when: "null",
        active: ["NULL", "NULL"],
        disabled: "now()",
    },
    Form {
        table: "by_past",
        column_type: "timestamp",
        active_when: "past",
        active: ["NULL", "'-infinity'"],
        disabled: "now() AT TIME ZONE 'UTC' + interval '1 day'",
    },
    Form {
        table: "by_future",
        column_type: "timestamp",
        active_when: "future",
        active: ["NULL", "now() AT TIME ZONE 'UTC' + interval '1 day'"],
        disabled: "now() AT TIME ZONE 'UTC' - interval '1 s'",
    },
    Form {
        table: "by_list",
        column_type: "stage",
        active_when: "{trial,active}",
        active: ["'trial'", "'active'"],
        disabled: "'closed'",
    },
];

/// As a `timestamp` is read.
const IN_UTC: &str = "now() AT TIME ZONE 'UTC'";

/// What the accounts of each table are: active, disabled, enabled again, and active by another value.
const ACTIVE: &str = "1";
const DISABLED: &str = "2";
const ENABLED: &str = "3";
const RESTATED: &str = "4";
/// Its ban ended an hour ago, or it expired then.
const PASSED: &str = "5";
/// The same; since then it was cleared.
const CLEARED: &str = "6";

/// The names of the tables.
#[must_use]
pub fn tables() -> [&'static str; 6] {
    FORMS.map(|form| form.table)
}

/// Makes the tables, without a row.
pub fn create_tables(client: &mut Client) {
    run(client, "CREATE TYPE stage AS ENUM ('trial', 'active', 'closed')");
    for Form { table, column_type, .. } in &FORMS {
        run(
            client,
            &format!(
                "CREATE TABLE {table} (id int PRIMARY KEY, status {column_type});
                 CREATE TABLE {table}_session (sid serial PRIMARY KEY, user_id int);
                 CREATE TABLE {table}_revoked (user_id int PRIMARY KEY, revoked_at timestamptz)"
            ),
        );
    }
}

/// Puts them under guard, each with a store whose rows are deleted and one whose column is raised.
pub fn attach(client: &mut Client) {
    for Form { table, active_when, .. } in &FORMS {
        let attach = format!(
            "SELECT session_guard.attach('{table}', active_column => 'status', active_when => '{active_when}',
                                         is_default => false);
             SELECT session_guard.add_store('{table}_session', 'user_id', users => '{table}'),
                    session_guard.add_store('{table}_revoked', 'user_id', 'revoked_at', users => '{table}')"
        );
        run(client, &attach);
    }
}

/// Puts accounts into every state; returns who has logged in.
pub fn fill(client: &mut Client) -> Vec<Session> {
    insert(client);
    let mut sessions = log_in(client);
    change(client);
    sessions.extend(log_in_again(client));
    sessions
}

/// The accounts as they are at first.
pub fn insert(client: &mut Client) {
    for form in &FORMS {
        let Form { table, active: [active, _], .. } = form;
        let rows = format!("SELECT n, {active} FROM generate_series(1, 4) AS n");
        run(client, &format!("INSERT INTO {table} {rows}"));
        if goes_by_the_clock(form) {
            let passed = format!("{IN_UTC} - interval '1 hour'");
            run(client, &format!("INSERT INTO {table} VALUES (5, {passed}), (6, {passed})"));
        }
    }
}

/// Who logs in then, and who has logged in long ago.
pub fn log_in(client: &mut Client) -> Vec<Session> {
    let mut sessions = Vec::new();
    for form in &FORMS {
        let table = form.table;
        for (id, is_live) in [(ACTIVE, true), (DISABLED, false), (ENABLED, false), (RESTATED, true)]
        {
            sessions.push(Session { table, id, login: login(client, table, id), is_live });
        }
        if goes_by_the_clock(form) {
            let login = answer(client, "SELECT now() - interval '90 min'");
            sessions.extend([PASSED, CLEARED].map(|id| {
                let login = login.clone();
                Session { table, id, login, is_live: false }
            }));
        }
    }
    sessions
}

/// What happens to the accounts after that.
pub fn change(client: &mut Client) {
    for form in &FORMS {
        let Form { table, active: [active, other], disabled, .. } = form;
        run(client, &format!("UPDATE {table} SET status = {disabled} WHERE id IN (2, 3)"));
        run(client, &format!("UPDATE {table} SET status = {active} WHERE id = 3"));
        run(client, &format!("UPDATE {table} SET status = {other} WHERE id IN (4, 6)"));
    }
}

/// Who logs in after that.
pub fn log_in_again(client: &mut Client) -> Vec<Session> {
    let mut sessions = Vec::new();
    for form in &FORMS {
        let table = form.table;
        let ids: &[&str] = match form.active_when {
            "past" => &[ENABLED, PASSED, CLEARED],
            "future" => &[ENABLED, CLEARED],
            _ => &[ENABLED],
        };
        for id in ids {
            sessions.push(Session { table, id, login: login(client, table, id), is_live: true });
        }
    }
    sessions
}

/// Who is dead is dead, and nobody else.
#[track_caller]
pub fn check_sessions(client: &mut Client, sessions: &[Session]) {
    for session in sessions {
        let verdict = session.verdict(client);
        assert_eq!(verdict == "valid", session.is_live, "{session:?}: {verdict}");
    }
}

fn goes_by_the_clock(form: &Form) -> bool {
    matches!(form.active_when, "past" | "future")
}

/// Who may log in may, and nobody else.
#[track_caller]
pub fn check_logins(client: &mut Client) {
    for form in &FORMS {
        let table = form.table;
        let may = format!(
            "SELECT id FROM {table} WHERE session_start('{table}', id) IS NOT NULL ORDER BY id"
        );
        let expected = match form.active_when {
            "past" => vec![ACTIVE, ENABLED, RESTATED, PASSED, CLEARED],
            "future" => vec![ACTIVE, ENABLED, RESTATED, CLEARED],
            _ => vec![ACTIVE, ENABLED, RESTATED],
        };
        assert_eq!(answers(client, &may).concat(), expected, "{table}");
    }
}

/// Everybody is active again.
pub fn enable_all(client: &mut Client) {
    for Form { table, active: [active, _], .. } in &FORMS {
        run(client, &format!("UPDATE {table} SET status = {active}"));
    }
}

/// Every guard does its work.
#[track_caller]
pub fn check_guarding(client: &mut Client) {
    for Form { table, active: [active, other], disabled, .. } in FORMS {
        let session =
            Session { table, id: ACTIVE, login: login(client, table, ACTIVE), is_live: true };
        run(client, &format!("TRUNCATE {table}_session, {table}_revoked"));
        run(client, &format!("INSERT INTO {table}_session (user_id) VALUES (1), (1), (2)"));
        // A login time may be ahead of it.
        let began = answer(client, "SELECT clock_timestamp()");
        let of_stores = format!(
            "SELECT (SELECT string_agg(user_id::text, ' ') FROM {table}_session) || ', ' ||
                    (SELECT count(*) FROM {table}_revoked WHERE user_id = 1 AND revoked_at > '{began}')"
        );
        for (status, verdict, stored) in [
            (active, "valid", "1 1 2, 0"),
            (other, "valid", "1 1 2, 0"),
            (disabled, "disabled", "2, 1"),
            (active, "revoked", "2, 1"),
        ] {
            run(client, &format!("UPDATE {table} SET status = {status} WHERE id = {ACTIVE}"));
            assert_eq!(session.verdict(client), verdict, "{session:?}, {status}");
            assert_eq!(answer(client, &of_stores), stored, "{session:?}, {status}");
        }
    }
}
