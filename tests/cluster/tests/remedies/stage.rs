//! A database with the extension, and the roles that have to do with it: each says what it is told, and does it.

use crate::messages::STATEMENTS;
use cluster::{Cluster, answers, run};
use postgres::error::DbError;
use postgres::{Client, NoTls};
use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// All that was said to anybody.
pub type Said = RefCell<BTreeSet<String>>;

/// The superuser.
pub const ROOT: &str = "postgres";
/// Who owns the databases and, being no superuser, the extension in them.
pub const DBA: &str = "dba";
/// Who owns the users tables.
pub const ALICE: &str = "alice";
/// Who owns other tables.
pub const BOB: &str = "bob";
/// Who can become `dba` and `alice`.
pub const OPERATOR: &str = "operator";
/// Who ends sessions.
pub const SUPPORT: &str = "support";
/// Whom an app connects as.
pub const APP: &str = "app";

pub const ROLES: &str = "
    CREATE ROLE dba LOGIN; CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE operator LOGIN NOINHERIT;
    CREATE ROLE support LOGIN; CREATE ROLE app LOGIN; CREATE ROLE team; CREATE ROLE tables;
    GRANT dba, alice TO operator";

/// A connection, and what the server says to it beside its answers.
struct Person {
    client: Client,
    heard: Arc<Mutex<Vec<DbError>>>,
}

/// An error or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// All that it says: message, DETAIL and HINT.
    pub text: String,
    hint: String,
}

impl Complaint {
    fn of(error: &DbError) -> Complaint {
        let hint = error.hint().unwrap_or_default().to_owned();
        let detail = error.detail().unwrap_or_default();
        Complaint { text: format!("{}\n{detail}\n{hint}", error.message()), hint }
    }
}

/// What `health()` finds wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    guard: String,
    check: String,
    detail: String,
    remedy: String,
}

pub struct Stage<'a> {
    cluster: &'a Cluster,
    database: String,
    people: BTreeMap<&'static str, Person>,
    said: &'a Said,
}

impl<'a> Stage<'a> {
    /// A database with nothing in it.
    pub fn empty(cluster: &'a Cluster, database: &str, said: &'a Said) -> Stage<'a> {
        let create = format!("CREATE DATABASE {database} OWNER dba");
        run(&mut cluster.connect("postgres"), &create);
        Stage::of(cluster, database, said)
    }

    /// A database that is there.
    pub fn of(cluster: &'a Cluster, database: &str, said: &'a Said) -> Stage<'a> {
        Stage { cluster, database: database.to_owned(), people: BTreeMap::new(), said }
    }

    /// A database with the extension, whose functions the roles may call.
    pub fn new(cluster: &'a Cluster, database: &str, said: &'a Said) -> Stage<'a> {
        let mut stage = Stage::empty(cluster, database, said);
        stage.run(ROOT, "CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler");
        stage.run(DBA, "CREATE EXTENSION pg_session_guard");
        stage.run(DBA, "GRANT CREATE ON SCHEMA public TO alice, bob");
        stage.run(DBA, GRANTS);
        stage
    }

    fn person(&mut self, role: &'static str) -> &mut Person {
        match self.people.entry(role) {
            Entry::Occupied(person) => person.into_mut(),
            Entry::Vacant(place) => {
                let heard = Arc::<Mutex<Vec<DbError>>>::default();
                let listener = Arc::clone(&heard);
                let mut config = self.cluster.config();
                config.user(role).dbname(&self.database).notice_callback(move |notice| {
                    listener.lock().expect("nobody panics with it").push(notice);
                });
                let client = config.connect(NoTls).unwrap_or_else(|e| panic!("{role}: {e:?}"));
                place.insert(Person { client, heard })
            }
        }
    }

    /// Ends a role's connection: the next thing that it does is done by a new one.
    pub fn leave(&mut self, role: &'static str) {
        self.people.remove(role);
    }

    /// Runs what ends the role's connection.
    #[track_caller]
    pub fn end_by(&mut self, role: &'static str, statement: &str) {
        let client = &mut self.person(role).client;
        // Whether the client still reads the server's last word is a race.
        let last = client.batch_execute(statement).and_then(|()| client.batch_execute("SELECT 1"));
        assert!(last.is_err(), "{statement}");
        self.leave(role);
    }

    /// Runs what must succeed.
    #[track_caller]
    pub fn run(&mut self, role: &'static str, sql: &str) {
        run(&mut self.person(role).client, sql);
    }

    /// The rows of a query.
    #[track_caller]
    pub fn rows(&mut self, role: &'static str, sql: &str) -> Vec<Vec<String>> {
        answers(&mut self.person(role).client, sql)
    }

    /// Runs what must succeed, without a hint that something is wrong.
    #[track_caller]
    pub fn works(&mut self, role: &'static str, call: &str) {
        let complaints = self.complaints(role, call);
        assert!(complaints.is_empty(), "{call}: {complaints:?}");
    }

    /// What a statement fails with, or warns of with a HINT.
    #[track_caller]
    fn complaints(&mut self, role: &'static str, call: &str) -> Vec<Complaint> {
        let person = self.person(role);
        person.heard.lock().expect("nobody panics with it").clear();
        if let Err(error) = person.client.batch_execute(call) {
            let error = error.as_db_error().unwrap_or_else(|| panic!("{call}: {error:?}"));
            return vec![Complaint::of(error)];
        }
        let heard = person.heard.lock().expect("nobody panics with it");
        heard.iter().filter(|notice| notice.hint().is_some()).map(Complaint::of).collect()
    }

    /// The one thing that a statement fails with or warns of.
    #[track_caller]
    pub fn complaint(&mut self, role: &'static str, call: &str) -> Complaint {
        match self.complaints(role, call).as_slice() {
            [complaint] => {
                self.said.borrow_mut().insert(complaint.text.clone());
                complaint.clone()
            }
            complaints => panic!("{call}: not one complaint but {complaints:?}"),
        }
    }

    /// The statement that the HINT gives, as it stands.
    #[track_caller]
    pub fn hint(&mut self, role: &'static str, call: &str) -> String {
        let complaint = self.complaint(role, call);
        statement_in(&complaint.hint)
            .unwrap_or_else(|| panic!("{call}: no statement: {complaint:?}"))
            .to_owned()
    }

    /// A statement fails, or warns; its HINT is done by `by`; and it works.
    #[track_caller]
    pub fn mended(&mut self, role: &'static str, call: &str, by: &'static str) {
        let statement = self.hint(role, call);
        self.run(by, &statement);
        self.works(role, call);
    }

    /// A statement fails; what its HINT lists, to who may read it, has what is to be named; and then it works.
    #[track_caller]
    pub fn listed(&mut self, role: &'static str, call: &str, listed: &str, right: &str) {
        let statement = self.hint(role, call);
        let lister = if statement.contains("session_guard.") { DBA } else { role };
        let rows = self.rows(lister, &statement);
        let is_listed = rows.iter().flatten().any(|value| value.contains(listed));
        assert!(is_listed, "{call}: {statement}: {rows:?}");
        self.works(role, right);
    }

    /// What `health()` finds wrong. All that it says counts as said.
    #[track_caller]
    fn findings(&mut self) -> Vec<Finding> {
        let rows = self
            .rows(ROOT, "SELECT guard, check_name, detail, remedy, ok FROM session_guard.health()");
        for row in &rows {
            self.said.borrow_mut().insert(format!("{}\n{}", row[2], row[3]));
        }
        let wrong = rows.into_iter().filter(|row| row[4] == "f");
        wrong
            .map(|row| match <[String; 5]>::try_from(row) {
                Ok([guard, check, detail, remedy, _]) => Finding { guard, check, detail, remedy },
                Err(row) => panic!("{row:?}"),
            })
            .collect()
    }

    /// Whether a check finds something wrong.
    #[track_caller]
    pub fn is_wrong(&mut self, check: &str) -> bool {
        self.findings().iter().any(|finding| finding.check == check)
    }

    /// Waits until a check finds something wrong, or nothing.
    #[track_caller]
    pub fn becomes(&mut self, check: &str, is_wrong: bool) {
        let deadline = Instant::now() + PATIENCE;
        while self.is_wrong(check) != is_wrong {
            assert!(Instant::now() < deadline, "{check}: {:?}", self.findings());
            sleep(Duration::from_millis(10));
        }
    }

    /// Nothing is wrong.
    #[track_caller]
    pub fn is_well(&mut self) {
        assert_eq!(self.findings(), []);
    }

    /// Nothing is wrong, once all sessions are ended that nobody watched over.
    #[track_caller]
    pub fn is_settled(&mut self, by: &'static str) {
        if self.is_wrong("unwatched_changes") {
            self.remedied("unwatched_changes", by);
        }
        self.is_well();
    }

    /// A check finds something wrong. The remedy of each finding or, where there is none, the statement that ends its
    /// detail, is done by `by`, and the finding is gone.
    #[track_caller]
    pub fn remedied(&mut self, check: &str, by: &'static str) {
        self.remedied_where(check, "", by);
    }

    /// The same, where this is what is wrong.
    #[track_caller]
    pub fn remedied_where(&mut self, check: &str, detail: &str, by: &'static str) {
        let mut findings = self.findings_of(check, detail);
        assert!(!findings.is_empty(), "{check} {detail}: {:?}", self.findings());
        while let Some(finding) = findings.first() {
            let statement = match finding.remedy.as_str() {
                "∅" => statement_in(&finding.detail),
                remedy => Some(remedy),
            };
            let statement = statement.unwrap_or_else(|| panic!("no statement: {finding:?}"));
            self.run(by, statement);
            self.is_gone(finding);
            findings = self.findings_of(check, detail);
        }
    }

    /// A check finds one thing, for which there is no remedy that is right for everybody. What the detail says is done, as
    /// `statement` has it, and the finding is gone.
    #[track_caller]
    pub fn advised(&mut self, check: &str, detail: &str, by: &'static str, statement: &str) {
        let findings = self.findings_of(check, detail);
        let [finding] = findings.as_slice() else {
            panic!("not one: {findings:?} of {:?}", self.findings());
        };
        assert_eq!(finding.remedy, "∅");
        self.run(by, statement);
        self.is_gone(finding);
    }

    /// The remedy of what a check finds.
    #[track_caller]
    pub fn remedy_of(&mut self, check: &str) -> String {
        let findings = self.findings_of(check, "");
        findings.first().unwrap_or_else(|| panic!("{check} finds nothing")).remedy.clone()
    }

    #[track_caller]
    fn findings_of(&mut self, check: &str, detail: &str) -> Vec<Finding> {
        let mut findings = self.findings();
        findings.retain(|finding| finding.check == check && finding.detail.contains(detail));
        findings
    }

    /// A setting counts once the server has loaded it, and a standby replays when it can. Else it is gone at once.
    #[track_caller]
    fn is_gone(&mut self, finding: &Finding) {
        let patience = match finding.check.as_str() {
            "standby" | "durability" => PATIENCE,
            _ => Duration::ZERO,
        };
        let deadline = Instant::now() + patience;
        while self.findings().contains(finding) {
            assert!(Instant::now() < deadline, "it does not help: {finding:?}");
            sleep(Duration::from_millis(10));
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

/// What whoever owns a table, or ends sessions, is granted by hand.
const GRANTS: &str = "
    GRANT USAGE ON SCHEMA session_guard TO alice, bob, operator, support;
    GRANT EXECUTE ON FUNCTION session_guard.attach, session_guard.detach, session_guard.reconcile,
        session_guard.watch, session_guard.unwatch, session_guard.add_store, session_guard.remove_store,
        session_guard.revoke_all_sessions, session_guard.configure, session_guard.health
        TO alice, bob, operator, support;
    SELECT session_guard.grant_access('alice'), session_guard.grant_access('bob')";

/// The statement that ends a text, after a colon.
pub fn statement_in(text: &str) -> Option<&str> {
    text.match_indices(": ").map(|(at, colon)| &text[at + colon.len()..]).find(|rest| {
        let first = rest.split(' ').next().unwrap_or_default();
        STATEMENTS.contains(&first) && rest.ends_with(';')
    })
}
