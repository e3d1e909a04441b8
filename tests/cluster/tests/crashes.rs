//! No acknowledged disable is lost, and no half of one is left, when the server, a backend or the disk fails, or a
//! statement is cut off by a timeout.

use cluster::{
    Cluster, Dice, answer, answers, kill, number_from_environment, refusal, run, wait_until,
};
use histories::server::damaged_indexes;
use postgres::Client;
use postgres::error::SqlState;
use rustix::process::Signal;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

// ---------------------------------------------------------------------------------------------
// The whole server, killed
// ---------------------------------------------------------------------------------------------

/// What is the case with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Disabled,
    Gone,
}

/// An account, and what the server has acknowledged of it.
struct Account {
    id: u64,
    state: State,
    /// A change that was sent and, where the server was killed, never answered.
    in_flight: Option<State>,
    /// The login since the last change, if the account is active.
    live: Option<String>,
    /// Logins that an acknowledged change has killed.
    dead: Vec<String>,
    /// The epoch as it was read last after an acknowledged change.
    epoch: Option<i64>,
}

impl Account {
    fn new(id: u64) -> Account {
        Account {
            id,
            state: State::Active,
            in_flight: None,
            live: None,
            dead: Vec::new(),
            epoch: None,
        }
    }

    /// Logs in or changes the account, as its state allows; an error is the server's end. Tells
    /// whether it was a disable.
    fn live_on(&mut self, client: &mut Client, dice: &mut Dice) -> Result<bool, postgres::Error> {
        let id = i64::try_from(self.id).expect("a small number");
        if self.state == State::Active && self.live.is_none() {
            let start = "SELECT session_start($1::bigint)::text";
            self.live = client.query_one(start, &[&id])?.get(0);
            return Ok(false);
        }
        let (change, next) = match (self.state, dice.roll(3)) {
            (State::Active | State::Disabled, 0) => {
                ("DELETE FROM ab_user WHERE id = $1", State::Gone)
            }
            (State::Active, _) => {
                ("UPDATE ab_user SET active = false WHERE id = $1", State::Disabled)
            }
            (State::Disabled, _) => {
                ("UPDATE ab_user SET active = true WHERE id = $1", State::Active)
            }
            (State::Gone, _) => ("INSERT INTO ab_user VALUES ($1, true)", State::Active),
        };
        self.in_flight = Some(next);
        assert_eq!(client.execute(change, &[&id])?, 1, "{change}: {id}");
        // From here on it is acknowledged.
        self.state = next;
        self.in_flight = None;
        self.dead.extend(self.live.take());
        if dice.roll(4) == 0 {
            let epoch = "SELECT extract(epoch FROM session_guard.epoch_of($1::bigint))::bigint";
            self.epoch = client.query_one(epoch, &[&id])?.get(0);
        }
        Ok(next == State::Disabled)
    }
}

/// A process that is killed loses nothing that it gave to the operating system, so that fsync may be
/// off; with synchronous_commit off, this test fails.
#[test]
fn no_acknowledged_disable_is_lost_when_the_server_is_killed() {
    const WRITERS: usize = 4;
    const ACCOUNTS: u64 = 400;
    let crashes = number_from_environment("GUARD_CRASHES", 50);
    let seed = number_from_environment("GUARD_SEED", Dice::new_seed());
    let mut dice = Dice::of_seed(seed);
    println!("killing the server {crashes} times; GUARD_SEED={seed}");
    let mut cluster = Cluster::start(&["shared_buffers = 16MB", "checkpoint_timeout = 30s"]);
    let mut client = cluster.connect("postgres");
    run(
        &mut client,
        &format!(
            "CREATE TABLE ab_user (id bigint PRIMARY KEY, active boolean);
             CREATE INDEX ON ab_user (active);
             INSERT INTO ab_user SELECT n, true FROM generate_series(1, {ACCOUNTS}) AS n;
             CREATE EXTENSION pg_session_guard;"
        ),
    );
    drop(client);
    let mut accounts: Vec<_> = (1..=ACCOUNTS).map(Account::new).collect();
    let (mut disables, mut changes_in_flight, mut lost) = (0_u64, 0, Vec::new());
    let began = Instant::now();
    for crash in 1..=crashes {
        let seeds: Vec<u64> = (0..WRITERS).map(|_| dice.roll(u64::MAX)).collect();
        scope(|scope| {
            let shares = accounts.chunks_mut(ACCOUNTS as usize / WRITERS);
            let writers: Vec<_> = shares
                .zip(seeds)
                .map(|(share, seed)| {
                    let mut client = cluster.connect("postgres");
                    scope.spawn(move || {
                        let mut dice = Dice::of_seed(seed);
                        let mut disables = 0;
                        loop {
                            let chosen = dice.roll(share.len() as u64) as usize;
                            match share[chosen].live_on(&mut client, &mut dice) {
                                Ok(is_disable) => disables += u64::from(is_disable),
                                // Anything but the server's end is a failure of another kind.
                                Err(error) if client.is_closed() => {
                                    drop(error);
                                    return disables;
                                }
                                Err(error) => panic!("{error:?}"),
                            }
                        }
                    })
                })
                .collect();
            sleep(Duration::from_millis(50 + dice.roll(300)));
            cluster.kill_all();
            disables += writers.into_iter().map(|w| w.join().expect("a writer")).sum::<u64>();
        });
        cluster.run();
        let mut client = cluster.connect("postgres");
        changes_in_flight += accounts.iter().filter(|account| account.in_flight.is_some()).count();
        lost.extend(losses(&mut client, &mut accounts));
        check_indexes(&mut client);
        if crash % 10 == 0 {
            println!("{crash} crashes, {disables} disables acknowledged, {} lost", lost.len());
        }
    }
    println!(
        "crashes: {crashes} in {:.1} s, changes in flight: {changes_in_flight}, disables acknowledged: {disables}, lost: {}",
        began.elapsed().as_secs_f32(),
        lost.len()
    );
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(disables > crashes, "the server was killed before anything happened");
}

/// Compares what the server has after its recovery with what it acknowledged, and takes note of what
/// became of the changes that were in flight.
fn losses(client: &mut Client, accounts: &mut [Account]) -> Vec<String> {
    let logins = accounts.iter().flat_map(|account| {
        let logins = account.dead.iter().chain(&account.live);
        logins.map(|login| (account.id.to_string(), login.clone()))
    });
    let (ids, times): (Vec<String>, Vec<String>) = logins.unzip();
    let verdicts = client
        .query(
            "SELECT id, login, session_verdict(id, login::timestamptz)
             FROM unnest($1::text[], $2::text[]) AS u (id, login)",
            &[&ids, &times],
        )
        .expect("verdicts");
    let verdicts: HashMap<(String, String), String> =
        verdicts.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    let epochs = client
        .query(
            "SELECT user_id, extract(epoch FROM epoch)::bigint FROM session_guard.epoch
             WHERE guard = 'public.ab_user'",
            &[],
        )
        .expect("epochs");
    let epochs: HashMap<String, i64> = epochs.iter().map(|row| (row.get(0), row.get(1))).collect();
    let states = client.query("SELECT id, active FROM ab_user", &[]).expect("accounts");
    let states: HashMap<i64, State> = states
        .iter()
        .map(|row| (row.get(0), if row.get(1) { State::Active } else { State::Disabled }))
        .collect();
    let mut losses = Vec::new();
    for account in accounts {
        let id = account.id;
        let mut lose = |what: String| losses.push(format!("account {id}: {what}"));
        let state = states.get(&(id as i64)).copied().unwrap_or(State::Gone);
        if state != account.state && Some(state) != account.in_flight {
            lose(format!("is {state:?}, acknowledged was {:?}", account.state));
        }
        let epoch = epochs.get(&id.to_string()).copied();
        if epoch < account.epoch {
            lose(format!("its epoch fell from {:?} to {epoch:?}", account.epoch));
        }
        if !account.dead.is_empty() && epoch.is_none() {
            lose("has no epoch".into());
        }
        for login in &account.dead {
            if verdicts[&(id.to_string(), login.clone())] == "valid" {
                lose(format!("login {login} is alive again"));
            }
        }
        // A change that was in flight has happened, and has stamped; or neither.
        let has_changed = state != account.state;
        if let Some(login) = account.live.take() {
            let verdict = verdicts[&(id.to_string(), login.clone())].as_str();
            match (has_changed, verdict) {
                (true, "valid") => lose(format!("changed, and login {login} is valid")),
                (false, "valid") => account.live = Some(login),
                (false, _) => lose(format!("unchanged, and login {login} is {verdict}")),
                (true, _) => account.dead.push(login),
            }
        }
        account.state = state;
        account.in_flight = None;
    }
    losses
}

/// Each row is in each index that it must be in: those of the extension's tables, and of the users table.
fn check_indexes(client: &mut Client) {
    if let Some(damaged) = damaged_indexes(client).expect("amcheck") {
        assert_eq!(damaged, [""; 0]);
        return;
    }
    const ALL: &str = "SELECT count(*), md5(string_agg(e::text, ',' ORDER BY guard, user_id)) FROM session_guard.epoch e";
    run(client, "SET enable_seqscan = off; SET enable_bitmapscan = off");
    let by_index = answers(client, ALL);
    run(client, "RESET enable_seqscan; SET enable_indexscan = off; SET enable_indexonlyscan = off");
    assert_eq!(by_index, answers(client, ALL));
}

// ---------------------------------------------------------------------------------------------
// A backend, ended inside the trigger
// ---------------------------------------------------------------------------------------------

#[test]
fn a_disable_that_is_ended_inside_the_trigger_leaves_nothing() {
    let mut cluster = Cluster::start(&[]);
    let mut client = cluster.connect("postgres");
    run(
        &mut client,
        "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
         INSERT INTO ab_user SELECT n, true FROM generate_series(1, 9) AS n;
         CREATE EXTENSION pg_session_guard;",
    );
    drop(client);
    let changes = [
        "UPDATE ab_user SET active = false WHERE id = 1",
        "DELETE FROM ab_user WHERE id = 1",
        "UPDATE ab_user SET id = 11 WHERE id = 1",
        "TRUNCATE ab_user",
    ];
    for change in changes {
        for end in ["cancel", "terminate", "kill"] {
            println!("{change}, ended by {end}");
            end_inside_the_trigger(&mut cluster, change, end);
        }
        // Undone, it can be done again; and then it counts.
        let mut client = cluster.connect("postgres");
        let login = answer(&mut client, "SELECT session_start(1)");
        run(&mut client, change);
        let verdict = answer(&mut client, &format!("SELECT session_verdict(1, '{login}')"));
        assert_ne!(verdict, "valid", "{change}");
        run(
            &mut client,
            "INSERT INTO ab_user VALUES (1, true) ON CONFLICT (id) DO UPDATE SET active = true",
        );
        let verdict = answer(&mut client, &format!("SELECT session_verdict(1, '{login}')"));
        assert_eq!(verdict, "revoked", "{change}");
    }
}

fn end_inside_the_trigger(cluster: &mut Cluster, change: &str, end: &str) {
    const EPOCHS: &str = "SELECT (SELECT string_agg(e::text, ',' ORDER BY e::text) FROM session_guard.epoch e),
                                 (SELECT string_agg(g::text, ',') FROM session_guard.guard_epoch g)";
    let mut holder = cluster.connect("postgres");
    let login = answer(&mut holder, "SELECT session_start(1)");
    let epochs = answers(&mut holder, EPOCHS);
    run(
        &mut holder,
        "BEGIN; LOCK TABLE session_guard.epoch, session_guard.guard_epoch IN SHARE MODE;",
    );
    let mut victim = cluster.connect("postgres");
    let pid: u32 = answer(&mut victim, "SELECT pg_backend_pid()").parse().expect("a number");
    scope(|scope| {
        let outcome = scope.spawn(move || victim.batch_execute(change));
        let waits = format!(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = {pid} AND NOT granted
             AND relation IN ('session_guard.epoch'::regclass, 'session_guard.guard_epoch'::regclass))"
        );
        wait_until(&mut holder, &waits);
        match end {
            "kill" => kill(pid, Signal::KILL),
            _ => run(&mut holder, &format!("SELECT pg_{end}_backend({pid})")),
        }
        let error = outcome.join().expect("a thread").expect_err("it was ended");
        let code = error.code().cloned();
        match end {
            "cancel" => assert_eq!(code, Some(SqlState::QUERY_CANCELED)),
            // The connection may end before the error is read.
            "terminate" => assert!(code.is_none_or(|code| code == SqlState::ADMIN_SHUTDOWN)),
            _ => assert_eq!(code, None, "{error:?}"),
        }
    });
    if end == "kill" {
        // The server ends every other backend too, lets nobody in from then on, and recovers.
        while holder.batch_execute("SELECT pg_sleep(0.01)").is_ok() {}
        cluster.wait_until_it_answers();
    }
    drop(holder);
    let mut client = cluster.connect("postgres");
    assert_eq!(answer(&mut client, "SELECT active FROM ab_user WHERE id = 1"), "t");
    assert_eq!(answers(&mut client, EPOCHS), epochs, "{change} {end}");
    let verdict = answer(&mut client, &format!("SELECT session_verdict(1, '{login}')"));
    assert_eq!(verdict, "valid", "{change} {end}");
    check_indexes(&mut client);
}

// ---------------------------------------------------------------------------------------------
// The disk, full
// ---------------------------------------------------------------------------------------------

#[test]
fn a_disable_fails_whole_when_the_epochs_disk_is_full() {
    let Ok(small_disk) = std::env::var("GUARD_SMALL_DISK") else {
        println!(
            "SKIPPED: GUARD_SMALL_DISK names no small file system (scripts/servers mounts one as root)"
        );
        return;
    };
    let cluster = Cluster::start(&[]);
    let mut client = cluster.connect("postgres");
    let space = tempfile::tempdir_in(&small_disk).expect("GUARD_SMALL_DISK is writable");
    run(
        &mut client,
        "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
             INSERT INTO ab_user SELECT n, true FROM generate_series(1, 20000) AS n;
             CREATE EXTENSION pg_session_guard;
             CREATE TEMP TABLE login AS SELECT id, session_start(id) AS at FROM ab_user;",
    );
    run(&mut client, &format!("CREATE TABLESPACE small LOCATION '{}'", space.path().display()));
    run(
        &mut client,
        "ALTER TABLE session_guard.epoch SET TABLESPACE small;
         ALTER INDEX session_guard.epoch_pkey SET TABLESPACE small;",
    );
    run(&mut client, "UPDATE ab_user SET active = false WHERE id <= 300");
    let filler = fill(space.path());

    // One by one, into what the last pages have left, until there is no more.
    let mut disabled = 300;
    let code = loop {
        let one = format!("UPDATE ab_user SET active = false WHERE id = {}", disabled + 1);
        match client.batch_execute(&one) {
            Ok(()) => disabled += 1,
            Err(error) => break error.code().cloned(),
        }
        assert!(disabled < 20000, "the disk is never full");
    };
    println!("the disk was full after {disabled} disables");
    assert_eq!(code, Some(SqlState::DISK_FULL));
    let failures = [
        format!("UPDATE ab_user SET active = false WHERE id > {disabled}"),
        format!("DELETE FROM ab_user WHERE id > {disabled}"),
        format!("UPDATE ab_user SET id = -id WHERE id > {disabled}"),
    ];
    for failure in failures {
        assert_eq!(refusal(&mut client, &failure), SqlState::DISK_FULL, "{failure}");
    }
    let count = |client: &mut Client, what: &str| -> i32 {
        answer(client, &format!("SELECT count(*) {what}")).parse().expect("a number")
    };
    const VALID: &str = "FROM login WHERE session_valid(id, at)";
    assert_eq!(count(&mut client, VALID), 20000 - disabled);
    assert_eq!(count(&mut client, "FROM ab_user WHERE active"), 20000 - disabled);
    assert_eq!(count(&mut client, "FROM ab_user"), 20000);
    assert_eq!(count(&mut client, "FROM session_guard.epoch"), disabled);

    filler.close().expect("free space");
    run(&mut client, &format!("UPDATE ab_user SET active = false WHERE id <= {}", disabled + 100));
    assert_eq!(count(&mut client, VALID), 20000 - disabled - 100);
    assert_eq!(count(&mut client, "FROM session_guard.epoch"), disabled + 100);
    check_indexes(&mut client);
    drop(client);
}

/// A file that takes all the space there is.
fn fill(folder: &std::path::Path) -> tempfile::NamedTempFile {
    let mut filler = tempfile::NamedTempFile::new_in(folder).expect("a file");
    let file: &mut File = filler.as_file_mut();
    for size in [65536, 4096] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    filler
}

// ---------------------------------------------------------------------------------------------
// Patience, at its end
// ---------------------------------------------------------------------------------------------

/// What attach, reconcile and CREATE EXTENSION leave behind, as one text.
const TRACES: &str = "
    SELECT concat_ws(E'\\n',
        (SELECT string_agg(pg_get_triggerdef(oid) || tgenabled::text, E'\\n' ORDER BY tgname)
         FROM pg_trigger WHERE tgrelid = 'app.ab_user'::regclass AND NOT tgisinternal),
        (SELECT string_agg(row_to_json(g)::text, E'\\n') FROM session_guard.guard g),
        (SELECT string_agg(row_to_json(g)::text, E'\\n') FROM session_guard.guard_epoch g),
        (SELECT count(*) || ' ' || sum(hashtext(e::text)) FROM session_guard.epoch e),
        (SELECT string_agg(p.oid::regprocedure || ' ' || proacl::text, E'\\n' ORDER BY p.oid)
         FROM pg_proc p WHERE proname IN ('session_valid', 'session_start')))";

/// The same before the extension is there.
const NO_TRACES: &str = "
    SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)
         + (SELECT count(*) FROM pg_namespace WHERE nspname = 'session_guard')
         + (SELECT count(*) FROM pg_proc WHERE proname ~ '^session_' AND oid >= 16384)
         + (SELECT count(*) FROM pg_extension WHERE extname = 'pg_session_guard') = 0";

fn make_many_accounts(client: &mut Client) {
    run(
        client,
        "CREATE ROLE app LOGIN;
         CREATE SCHEMA app;
         CREATE TABLE app.ab_user (id int PRIMARY KEY, active boolean, password text);
         ALTER TABLE app.ab_user OWNER TO app;
         INSERT INTO app.ab_user SELECT n, n % 2 = 0 FROM generate_series(1, 120000) AS n;",
    );
}

/// Runs a statement with ever more patience until it gets through: cut off by `statement_timeout`, and
/// then by pg_cancel_backend. `check` is called after each failure. At least so many there must be.
fn run_with_rising_patience(
    cluster: &Cluster,
    client: &mut Client,
    statement: &str,
    check: &mut dyn FnMut(&mut Client),
) {
    let database = answer(client, "SELECT current_database()");
    let began = Instant::now();
    let mut failures = 0;
    let mut patience = 1.0;
    loop {
        // By turns, since they reach the backend by different ways.
        let outcome = match failures % 2 {
            0 => {
                run(client, &format!("SET statement_timeout = {}", patience as u64));
                let outcome = client.batch_execute(statement);
                // It counts for this one, too.
                while let Err(error) = client.batch_execute("RESET statement_timeout") {
                    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error:?}");
                }
                outcome
            }
            _ => run_until_cancelled(cluster, &database, client, statement, patience as u64),
        };
        match outcome {
            Ok(()) => break,
            Err(error) => assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error:?}"),
        }
        failures += 1;
        check(client);
        patience *= 1.4;
    }
    println!(
        "{statement}: {failures} times cut off, with {patience:.0} ms it got through; {:.1} s",
        began.elapsed().as_secs_f32()
    );
    assert!(failures >= 8, "{statement}: cut off only {failures} times");
}

fn run_until_cancelled(
    cluster: &Cluster,
    database: &str,
    client: &mut Client,
    statement: &str,
    milliseconds: u64,
) -> Result<(), postgres::Error> {
    let pid = answer(client, "SELECT pg_backend_pid()");
    let mut other = cluster.connect(database);
    let is_done = AtomicBool::new(false);
    scope(|scope| {
        scope.spawn(|| {
            sleep(Duration::from_millis(milliseconds));
            // One that has got through must not have its next statement cancelled. One that has yet to begin, on a
            // busy machine, would not notice: it is told again.
            while !is_done.load(Ordering::SeqCst) {
                run(&mut other, &format!("SELECT pg_cancel_backend({pid})"));
                sleep(Duration::from_millis(1));
            }
        });
        let outcome = client.batch_execute(statement);
        is_done.store(true, Ordering::SeqCst);
        outcome
    })
}

#[test]
fn create_extension_that_is_cut_off_leaves_nothing() {
    let cluster = Cluster::start(&[]);
    let mut client = cluster.create_database("impatient");
    make_many_accounts(&mut client);
    // Who creates the extension guards no table of another's by that.
    run(&mut client, "ALTER TABLE app.ab_user OWNER TO postgres");
    run_with_rising_patience(
        &cluster,
        &mut client,
        "CREATE EXTENSION pg_session_guard",
        &mut |client| assert_eq!(answer(client, NO_TRACES), "t"),
    );
    assert_eq!(answer(&mut client, "SELECT count(*) FROM session_guard.epoch"), "60000");
    assert_eq!(answer(&mut client, "SELECT bool_and(ok) FROM session_guard.health()"), "t");
}

#[test]
fn attach_and_reconcile_that_are_cut_off_leave_the_old_state() {
    let cluster = Cluster::start(&[]);
    // The extension comes first: what it would guard by itself is not there yet.
    let mut client = cluster.create_database("impatient");
    run(&mut client, "CREATE EXTENSION pg_session_guard");
    make_many_accounts(&mut client);
    let steps = [
        // The first attach: triggers, row, grants and backfill.
        ("", "SELECT session_guard.attach('app.ab_user')"),
        // A changed one takes the triggers off and makes them anew; accounts without an epoch are
        // backfilled, so that there is something to cut off.
        (
            "TRUNCATE session_guard.epoch",
            "SELECT session_guard.attach('app.ab_user', revoke_on => '{password}')",
        ),
        // Disarmed in one trigger, all accounts are looked at again.
        (
            "ALTER TABLE app.ab_user DISABLE TRIGGER session_guard_delete",
            "SELECT session_guard.reconcile()",
        ),
        ("TRUNCATE session_guard.epoch", "SELECT session_guard.reconcile('app.ab_user')"),
    ];
    for (before, statement) in steps {
        run(&mut client, before);
        let traces = answer(&mut client, TRACES);
        run_with_rising_patience(&cluster, &mut client, statement, &mut |client| {
            assert_eq!(answer(client, TRACES), traces, "{statement}");
        });
        assert_ne!(answer(&mut client, TRACES), traces, "{statement}");
        assert_eq!(answer(&mut client, "SELECT count(*) FROM session_guard.epoch"), "60000");
        let armed = "SELECT bool_and(ok) FROM session_guard.health() WHERE check_name <> 'unwatched_changes'";
        assert_eq!(answer(&mut client, armed), "t", "{statement}");
    }
    // The owner's right to ask came with the first attach that got through, and only with that.
    assert_eq!(
        answer(
            &mut client,
            "SELECT has_function_privilege('app', 'session_valid(bigint, timestamptz)', 'EXECUTE')"
        ),
        "t"
    );
}

#[test]
fn attach_behind_a_writer_gives_up_with_the_lock_timeout() {
    let cluster = Cluster::start(&[]);
    let mut client = cluster.connect("postgres");
    run(
        &mut client,
        "CREATE ROLE app LOGIN; CREATE SCHEMA app; CREATE EXTENSION pg_session_guard;
         CREATE TABLE app.ab_user (id int PRIMARY KEY, active boolean, password text);
         INSERT INTO app.ab_user VALUES (1, true), (2, false);
         SET lock_timeout = '50ms';",
    );
    let steps = [
        ("", "SELECT session_guard.attach('app.ab_user')"),
        ("", "SELECT session_guard.attach('app.ab_user', revoke_on => '{password}')"),
        (
            "ALTER TABLE app.ab_user DISABLE TRIGGER session_guard_delete",
            "SELECT session_guard.reconcile('app.ab_user')",
        ),
        ("", "SELECT session_guard.detach('app.ab_user')"),
    ];
    for (before, statement) in steps {
        run(&mut client, before);
        let traces = answer(&mut client, TRACES);
        let mut writer = cluster.connect("postgres");
        run(&mut writer, "BEGIN; UPDATE app.ab_user SET password = 'x' WHERE id = 1;");
        assert_eq!(refusal(&mut client, statement), SqlState::LOCK_NOT_AVAILABLE, "{statement}");
        assert_eq!(answer(&mut client, TRACES), traces, "{statement}");
        // The writer is not held up by who gave up.
        run(&mut writer, "UPDATE app.ab_user SET password = 'y' WHERE id = 2; ROLLBACK;");
        run(&mut client, statement);
        assert_ne!(answer(&mut client, TRACES), traces, "{statement}");
    }
}

/// What the wrapper of a foreign table begins must end with the transaction that stamps.
#[test]
fn a_session_store_may_write_to_a_foreign_table() {
    let cluster = Cluster::start(&[]);
    let mut client = cluster.connect("postgres");
    let is_there =
        "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw')";
    if answer(&mut client, is_there) == "f" {
        println!("SKIPPED: there is no postgres_fdw");
        return;
    }
    let folder = cluster.folder().display();
    run(
        &mut client,
        &format!(
            "CREATE TABLE ab_user (id int PRIMARY KEY, active boolean);
             INSERT INTO ab_user SELECT n, true FROM generate_series(1, 9) AS n;
             CREATE EXTENSION pg_session_guard; CREATE EXTENSION postgres_fdw;
             CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{folder}', dbname 'postgres');
             CREATE USER MAPPING FOR postgres SERVER here OPTIONS (user 'postgres');
             CREATE TABLE ended (user_id int);
             CREATE FOREIGN TABLE ended_there (user_id int) SERVER here OPTIONS (table_name 'ended');
             CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
                 BEGIN INSERT INTO public.ended_there VALUES (OLD.user_id); RETURN OLD; END $$;
             CREATE TABLE session (user_id int); INSERT INTO session SELECT id FROM ab_user;
             CREATE TRIGGER tell AFTER DELETE ON session FOR EACH ROW EXECUTE FUNCTION tell();
             SELECT session_guard.add_store('session', 'user_id')"
        ),
    );
    // The wrapper is loaded at COMMIT, or has been used before, also in the transaction itself.
    for (user, before) in [
        (1, "SELECT 1"),
        (2, "DELETE FROM session WHERE user_id = 9"),
        (3, "BEGIN; DELETE FROM session WHERE user_id = 8"),
        // So often that the trigger's statement has a plan that is kept.
        (
            4,
            "INSERT INTO session SELECT n FROM generate_series(11, 20) AS n; DELETE FROM session WHERE user_id > 10",
        ),
        (5, "BEGIN; SET CONSTRAINTS ALL IMMEDIATE"),
    ] {
        let mut app = cluster.connect("postgres");
        run(&mut app, before);
        run(&mut app, &format!("UPDATE ab_user SET active = false WHERE id = {user}; COMMIT"));
        assert_eq!(answer(&mut client, &format!("SELECT session_valid({user}, now())")), "f");
    }
    let sessions = "SELECT count(*) FROM session";
    assert_eq!(answer(&mut client, sessions), "2");
    assert_eq!(answer(&mut client, "SELECT count(*) FROM ended"), "17");
    // Both are rolled back together.
    run(&mut client, "ALTER TABLE ended ADD CHECK (user_id <> 6) NOT VALID");
    run(&mut client, "UPDATE ab_user SET active = false WHERE id = 6");
    assert_eq!(answer(&mut client, "SELECT session_valid(6, now())"), "f");
    assert_eq!(answer(&mut client, sessions), "2");
    // Where nothing is called in time, it is too late for the store, and the server stays up.
    run(&mut client, "ALTER TABLE session_guard.pending DISABLE TRIGGER session_guard_at_commit");
    run(&mut client, "UPDATE ab_user SET active = false WHERE id = 7");
    assert_eq!(answer(&mut client, "SELECT session_valid(7, now())"), "f");
    assert_eq!(answer(&mut client, sessions), "2");
    run(
        &mut client,
        "ALTER TABLE session_guard.pending ENABLE ALWAYS TRIGGER session_guard_at_commit",
    );
    run(&mut client, "DROP TRIGGER tell ON session; SELECT session_guard.reconcile()");
    assert_eq!(answer(&mut client, sessions), "0");
}
