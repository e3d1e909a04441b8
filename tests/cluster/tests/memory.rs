//! A backend does not grow with the number of checks that it answers.

use cluster::{
    Cluster, answer, limit_memory, number_from_environment, refusal, resident_bytes, run,
    virtual_bytes,
};
use postgres::Client;
use std::time::Instant;

const ACCOUNTS: u64 = 1000;

/// How many questions one statement asks.
const BATCH: u64 = 5000;

/// What a backend may grow by in its tens or hundreds of thousands of calls: some pages of malloc's
/// own, less than a leak of a few bytes a call.
const SLACK: u64 = 128 * 1024;

struct Backend {
    client: Client,
    pid: u32,
}

impl Backend {
    fn new(cluster: &Cluster) -> Backend {
        let mut client = cluster.connect("postgres");
        let pid = answer(&mut client, "SELECT pg_backend_pid()").parse().expect("a number");
        Backend { client, pid }
    }

    /// What PostgreSQL has allocated, and what the process has of its own.
    fn size(&mut self) -> (u64, u64) {
        let contexts = "SELECT sum(total_bytes) FROM pg_backend_memory_contexts";
        let allocated = answer(&mut self.client, contexts).parse().expect("a number");
        (allocated, resident_bytes(self.pid))
    }

    /// Works for a while to have everything cached and grown, then much longer.
    fn check_growth(&mut self, what: &str, times: u64, mut work: impl FnMut(&mut Client, u64)) {
        work(&mut self.client, times / 50 + 1);
        // The measuring grows the caches, too.
        self.size();
        let before = self.size();
        work(&mut self.client, times);
        let after = self.size();
        println!(
            "{what}, {times} times: allocated and resident bytes before {before:?}, after {after:?}"
        );
        assert!(after.0 <= before.0 + SLACK, "{what}: {before:?}, {after:?}");
        assert!(after.1 <= before.1 + SLACK, "{what}: {before:?}, {after:?}");
    }
}

fn cluster_with_accounts() -> Cluster {
    let cluster = Cluster::start(&["autovacuum = on", "jit = off"]);
    let mut client = cluster.connect("postgres");
    run(
        &mut client,
        &format!(
            "CREATE TABLE ab_user (id bigint PRIMARY KEY, active boolean);
             INSERT INTO ab_user SELECT n, n % 10 > 0 FROM generate_series(1, {ACCOUNTS}) AS n;
             CREATE EXTENSION pg_session_guard;
             UPDATE ab_user SET active = true WHERE id % 20 = 0;"
        ),
    );
    drop(client);
    cluster
}

#[test]
fn questions_leave_no_memory_behind() {
    let calls = number_from_environment("GUARD_CALLS", 1_000_000);
    let cluster = cluster_with_accounts();
    let mut backend = Backend::new(&cluster);
    // Among the ids are some that no account has, and texts that no account could have.
    const QUESTIONS: [(&str, &str); 3] = [
        ("n % 1100", "now()"),
        ("(n % 1100)::text", "(now() AT TIME ZONE 'UTC')"),
        ("CASE n % 3 WHEN 0 THEN 'nobody' WHEN 1 THEN (n % 1100)::text END", "NULL::timestamptz"),
    ];
    for (id, login) in QUESTIONS {
        backend.check_growth(&format!("session_valid({id}, {login})"), calls / 4, |client, times| {
            // Of one size each, so that the set of numbers itself takes no more in the end.
            let all = format!(
                "SELECT count(*) FROM generate_series(1::bigint, {BATCH}) AS n WHERE session_valid({id}, {login})"
            );
            for _ in 0..times.div_ceil(BATCH) {
                run(client, &all);
            }
        });
    }
    // As an app asks: one statement after the other.
    let question =
        backend.client.prepare("SELECT session_verdict($1::text, now())").expect("valid");
    backend.check_growth("session_verdict of its own", calls / 16, |client, times| {
        for n in 0..times {
            let id = (n % 1100).to_string();
            client.query_one(&question, &[&id]).expect("a verdict");
        }
    });
    let question = backend.client.prepare("SELECT session_start($1::bigint)").expect("valid");
    backend.check_growth("session_start of its own", calls / 32, |client, times| {
        for n in 0..times {
            client.query_one(&question, &[&((n % 1100) as i64)]).expect("an answer");
        }
    });
}

/// Twice: a cache that is full starts anew, and what it has given back is used again.
#[test]
fn a_cache_that_has_seen_more_accounts_than_it_may_keep_stays_within_its_bound() {
    const MEGABYTE: u64 = 1024 * 1024;
    let cluster = Cluster::start(&["jit = off"]);
    let mut client = cluster.connect("postgres");
    run(
        &mut client,
        "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
         INSERT INTO ab_user SELECT n, true FROM generate_series(1, 200000) AS n;
         CREATE TABLE by_name (id text PRIMARY KEY, active boolean);
         INSERT INTO by_name SELECT lpad(n::text, 64, 'x'), true FROM generate_series(1, 200000) AS n;
         CREATE EXTENSION pg_session_guard;
         SELECT session_guard.attach('by_name');",
    );
    let ask = |of: &str| {
        format!(
            "SELECT count(*) FROM generate_series(1, 200000) AS n WHERE session_valid({of}, now())"
        )
    };
    for (of, bound) in [("n", 16 * MEGABYTE), ("'by_name', lpad(n::text, 64, 'x')", 40 * MEGABYTE)]
    {
        let mut backend = Backend::new(&cluster);
        run(&mut backend.client, &ask(of).replace("200000", "10"));
        let before = resident_bytes(backend.pid);
        for _ in 0..2 {
            assert_eq!(answer(&mut backend.client, &ask(of)), "200000");
            let grown = resident_bytes(backend.pid).saturating_sub(before);
            println!("session_valid({of}) of 200000 accounts: grown by {grown} bytes");
            assert!(grown < bound, "{of}: {grown} bytes");
        }
    }
}

#[test]
fn disables_leave_no_memory_behind() {
    let changes = number_from_environment("GUARD_CALLS", 1_000_000) / 10;
    let cluster = cluster_with_accounts();
    let mut backend = Backend::new(&cluster);
    backend.check_growth("disables and enables, many at once", changes * 3 / 4, |client, times| {
        for _ in 0..times.div_ceil(ACCOUNTS) {
            run(client, "UPDATE ab_user SET active = NOT active");
        }
    });
    let flip = "UPDATE ab_user SET active = NOT active WHERE id = $1";
    let flip = backend.client.prepare(flip).expect("valid");
    backend.check_growth("disables and enables, one by one", changes / 4, |client, times| {
        for n in 0..times {
            client.execute(&flip, &[&((n % ACCOUNTS + 1) as i64)]).expect("a change");
        }
    });
    // Attaching reads and writes the most at once.
    backend.check_growth("attach and detach", changes / 1000, |client, times| {
        for _ in 0..times {
            run(
                client,
                "SELECT session_guard.detach('ab_user'); SELECT session_guard.attach('ab_user');",
            );
            run(client, "SELECT count(*) FROM session_guard.health();");
        }
    });
}

/// Texts of users may be as large as PostgreSQL takes them, and memory may be short: an error is an error, and not the server's
/// end.
#[test]
fn a_huge_text_where_memory_is_short_does_not_end_the_server() {
    let cluster = Cluster::start(&["jit = off"]);
    let mut client = cluster.connect("postgres");
    run(
        &mut client,
        "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean, t text);
         INSERT INTO ab_user VALUES (1, true), (2, true);
         CREATE TABLE by_name (id text PRIMARY KEY, active boolean);
         INSERT INTO by_name VALUES ('ann', true);
         CREATE TABLE by_uuid (id uuid PRIMARY KEY, active boolean);
         CREATE TABLE ab_user_role (user_id text, role text);
         CREATE EXTENSION pg_session_guard;
         SELECT session_guard.attach('by_name'), session_guard.attach('by_uuid');
         SELECT session_guard.attach('ab_user', revoke_on => '{t}');
         SELECT session_guard.watch('ab_user_role', 'user_id', users => 'by_name');",
    );
    let mut witness = cluster.connect("postgres");
    let calls = [
        "SELECT session_valid($, now())",
        "SELECT session_valid('ab_user', $, now())",
        "SELECT session_valid('by_name', $, now())",
        "SELECT session_valid('by_uuid', $, now())",
        "SELECT session_verdict('by_name', $, now())",
        "SELECT session_start($)",
        "SELECT session_start('by_name', $)",
        "SELECT token_valid('session', $, now())",
        "SELECT token_valid($, 's', now())",
        "SELECT session_guard.epoch_of('by_name', $)",
        "SELECT session_guard.revoke_sessions($)",
        "SELECT session_guard.revoke_sessions($, users => 'by_name')",
        "SELECT session_guard.revoke_sessions(1, $)",
        "SELECT session_guard.revoke_all_sessions('by_uuid', $)",
        "SELECT session_guard.revoke_tokens('session', $)",
        "SELECT session_guard.revoke_tokens($)",
        "SELECT session_guard.revoke_tokens('session', 's', $)",
        "SELECT count(*) FROM session_guard.history($)",
        "SELECT session_guard.attach('ab_user', active_when => $)",
        "SELECT session_guard.configure(when_disarmed => $)",
        "INSERT INTO by_name VALUES ($, true)",
        "INSERT INTO ab_user_role VALUES ($, 'r')",
        "INSERT INTO ab_user_role VALUES ('ann', $)",
        "UPDATE ab_user SET t = $ WHERE id = 1",
    ];
    // Of digits, which may be a number; of what comes to one; and no number at all. Memory for one of them, a few, and many.
    const LENGTH: u64 = 8_000_000;
    let texts = [
        format!("repeat('5', {LENGTH})"),
        format!("(repeat(' ', {LENGTH}) || '1')"),
        format!("repeat('x', {LENGTH})"),
    ];
    for (text, room) in texts.iter().flat_map(|text| [2, 3, 5, 9].map(|room| (text, room))) {
        for call in calls {
            let mut short = Backend::new(&cluster);
            run(&mut short.client, "SELECT session_valid(2, now())");
            limit_memory(short.pid, virtual_bytes(short.pid) + room * LENGTH);
            let call = call.replace('$', text);
            let outcome = short.client.batch_execute(&call);
            let outcome = match &outcome {
                Ok(()) => "answered".to_owned(),
                Err(error) => {
                    let error = error.as_db_error().unwrap_or_else(|| panic!("{call}: {error:?}"));
                    let code = error.code().code();
                    // Out of memory, too long for PostgreSQL, or for a row or an index, or no such value.
                    assert!(
                        ["53200", "54000", "22023", "08P01", "XX000"].contains(&code)
                            && (code != "XX000"
                                || error.message().contains("invalid memory alloc request size")),
                        "{call}: {error:?}"
                    );
                    format!("{code} {}", error.message().chars().take(60).collect::<String>())
                }
            };
            println!("{room}: {call}: {outcome}");
            assert_eq!(answer(&mut witness, "SELECT session_valid(2, now())"), "t", "{call}");
            // The connection goes on, too.
            run(&mut short.client, "SELECT session_valid(2, now())");
        }
    }
}

/// What a transaction has to remember until COMMIT: users of watched tables, with keys as long as they may be.
#[test]
fn many_users_where_memory_is_short_do_not_end_the_server() {
    const MEGABYTE: u64 = 1024 * 1024;
    let cluster = Cluster::start(&["jit = off"]);
    let mut client = cluster.connect("postgres");
    run(
        &mut client,
        "CREATE TABLE by_name (id text PRIMARY KEY, active boolean);
         INSERT INTO by_name VALUES ('ann', true);
         CREATE TABLE by_name_role (user_id text, role text);
         CREATE EXTENSION pg_session_guard;
         SELECT session_guard.attach('by_name'), session_guard.watch('by_name_role', 'user_id');",
    );
    let mut witness = cluster.connect("postgres");
    let statements = [
        "INSERT INTO by_name_role SELECT repeat('x', 900) || n FROM generate_series(1, 120000) AS n",
        "INSERT INTO by_name_role SELECT n FROM generate_series(1, 240000) AS n",
        "SELECT session_guard.watch('by_name_role', 'user_id', (SELECT array_agg(('c' || n)::name) FROM generate_series(1, 100000) AS n))",
        "SELECT session_guard.attach('by_name', revoke_on => (SELECT array_agg(('c' || n)::name) FROM generate_series(1, 100000) AS n))",
    ];
    for room in [20, 40, 60, 80, 100, 160] {
        for statement in statements {
            let mut short = Backend::new(&cluster);
            run(&mut short.client, "SELECT session_valid('ann', now())");
            limit_memory(short.pid, virtual_bytes(short.pid) + room * MEGABYTE);
            let outcome = short.client.batch_execute(statement);
            if let Err(error) = &outcome {
                let error = error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error:?}"));
                let code = error.code().code();
                assert!(["53200", "22023"].contains(&code), "{statement}: {error:?}");
            }
            println!("{room} MB: {statement}: {}", outcome.is_ok());
            assert_eq!(
                answer(&mut witness, "SELECT session_verdict('nobody', now())"),
                "unknown_user"
            );
            run(&mut short.client, "SELECT session_valid('ann', now())");
        }
    }
}

/// As long as PostgreSQL has a text: its own functions fail where anything is put before it. A table cannot hold it, but a call may
/// bring it. It takes a few GB of memory, and a quarter of an hour in a build for debugging.
#[test]
fn the_longest_text_is_answered() {
    if std::env::var_os("GUARD_LONGEST_TEXT").is_none() {
        println!("SKIPPED: GUARD_LONGEST_TEXT has texts of 1 GB asked about");
        return;
    }
    let cluster = Cluster::start(&["jit = off"]);
    let mut client = cluster.connect("postgres");
    run(
        &mut client,
        "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
         INSERT INTO ab_user VALUES (1, true);
         CREATE TABLE by_name (id text PRIMARY KEY, active boolean);
         INSERT INTO by_name VALUES ('ann', true);
         CREATE TABLE by_uuid (id uuid PRIMARY KEY, active boolean);
         CREATE EXTENSION pg_session_guard;
         SELECT session_guard.attach('by_name'), session_guard.attach('by_uuid');",
    );
    let calls = [
        ("SELECT session_verdict($, now())", "unknown_user"),
        ("SELECT session_verdict('by_name', $, now())", "unknown_user"),
        ("SELECT session_verdict('by_uuid', $, now())", "unknown_user"),
        ("SELECT session_start($) IS NULL", "t"),
        ("SELECT session_start('by_name', $) IS NULL", "t"),
        ("SELECT token_valid('session', $, now())", "t"),
        ("SELECT session_guard.revoke_tokens('session', $) IS NOT NULL", "t"),
        ("SELECT token_valid('session', $, '2000-01-01')", "f"),
        ("SELECT session_guard.revoke_tokens($) IS NOT NULL", "t"),
        ("SELECT token_valid($, 's', '2000-01-01')", "f"),
        ("SELECT session_guard.revoke_tokens('session', 's', $) IS NOT NULL", "t"),
        ("SELECT session_guard.epoch_of('by_name', $) IS NULL", "t"),
        ("SELECT session_guard.revoke_sessions($, users => 'by_name') IS NULL", "t"),
        ("SELECT session_guard.revoke_sessions(1, $) IS NOT NULL", "t"),
        ("SELECT session_guard.revoke_all_sessions('ab_user', $) IS NOT NULL", "t"),
        ("SELECT count(*) FROM session_guard.history($, 'by_name')", "0"),
    ];
    for (call, expected) in calls {
        let began = Instant::now();
        assert_eq!(answer(&mut client, &call.replace('$', "repeat('5', 1073741819)")), expected);
        println!("{call}: {:.1?}", began.elapsed());
    }
    let refused = "SELECT session_guard.attach('ab_user', active_when => repeat('5', 1073741819))";
    assert_eq!(refusal(&mut client, refused).code(), "22023");
}
