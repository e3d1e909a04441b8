//! What asks through a pool of either driver, in databases of their own: types of ids, other
//! schemas, what others have planted, and databases that are not set up. PGHOST, PGPORT and PGUSER
//! (a superuser) name the server.

use std::{
    env,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Extension, http, http::Request, routing::get};
use rust_server::Pool;
use session_guard::{
    Builder, CannotAsk, Database, DatabaseError, Login, LoginTime, Question, SessionGuard, UserId,
};
use sqlx::{PgPool, Row};
use tokio_postgres::{Client, NoTls};
use tower::ServiceExt;
use uuid::Uuid;

const OWNER: &str = "session_guard_rust";
const APP: &str = "session_guard_rust_app";
const USER: &str = "SELECT id, name FROM users WHERE id = $1::bigint -- by its key";
const GUARDED: &[&str] = &[
    "CREATE EXTENSION pg_session_guard",
    "CREATE TABLE users (id bigint PRIMARY KEY, name text, active bool NOT NULL DEFAULT true)",
    "INSERT INTO users VALUES (1, 'alice'), (2, 'bob'), (9007199254740993, 'many')",
    "GRANT SELECT ON users TO session_guard_rust_app",
    "SELECT session_guard.attach('users')",
    "SELECT session_guard.grant_access('session_guard_rust_app')",
];

async fn admin(database: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    let port = env::var("PGPORT").unwrap().parse().unwrap();
    config.host(env::var("PGHOST").unwrap()).port(port).dbname(database);
    let (client, connection) =
        config.user(env::var("PGUSER").unwrap()).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn run(client: &Client, statements: &[&str]) {
    for statement in statements {
        client
            .batch_execute(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

/// A database that OWNER owns, with the statements run in it, and a superuser's connection.
async fn database(name: &str, statements: &[&str]) -> Client {
    let server = admin("postgres").await;
    // Tests make the roles side by side.
    let lock = "SELECT pg_advisory_lock(77)";
    run(&server, &[lock]).await;
    for role in [OWNER, APP] {
        let known =
            server.query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&role]).await.unwrap();
        if known.is_none() {
            run(&server, &[&format!("CREATE ROLE {role} LOGIN")]).await;
        }
    }
    let (drop, create) = (
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name} OWNER {OWNER}"),
    );
    run(&server, &[&drop, &create]).await;
    let db = admin(name).await;
    run(&db, &[&format!("SET ROLE {OWNER}")]).await;
    run(&db, statements).await;
    run(&db, &["RESET ROLE"]).await;
    db
}

type Log = Arc<Mutex<Vec<String>>>;

fn told(log: &Log) -> String {
    log.lock().unwrap().last().cloned().unwrap_or_default()
}

/// The login that the test puts into the request.
fn by_extension<D: Database>(builder: Builder<D>) -> (Builder<D>, Log) {
    let log = Log::default();
    let kept = log.clone();
    let builder = builder
        .sessions(|parts: &http::request::Parts| parts.extensions.get::<Login>().cloned())
        .log(move |told| kept.lock().unwrap().push(told.to_owned()));
    (builder, log)
}

/// As a page behind `required`: the status, and what it says.
async fn page(guard: &SessionGuard, login: Option<Login>) -> (u16, String) {
    let user = async |user: Option<Extension<String>>| user.map_or(String::new(), |user| user.0);
    let app: Router = Router::new().route("/", get(user)).route_layer(guard.required());
    let mut request = Request::new(Body::empty());
    if let Some(login) = login {
        request.extensions_mut().insert(login);
    }
    let response = app.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn login(guard: &SessionGuard, id: impl UserId) -> Login {
    let begun = guard.start(&id).await.unwrap();
    assert!(begun.is_some());
    Login::new(id, begun)
}

async fn is_valid(guard: &SessionGuard, login: &Login) -> bool {
    guard.is_valid(&login.user_id, login.login_at.as_ref()).await.unwrap()
}

/// Of each driver: a pool of two connections, and how the column `name` is read.
trait Driver: Database + Clone {
    fn pool(database: &str) -> Self;
    fn name(row: &Self::Row) -> Result<String, DatabaseError>;
}

impl Driver for deadpool_postgres::Pool {
    fn pool(database: &str) -> Self {
        Pool::deadpool(database, APP, 2).unwrap()
    }

    fn name(row: &Self::Row) -> Result<String, DatabaseError> {
        Ok(row.try_get("name")?)
    }
}

impl Driver for PgPool {
    fn pool(database: &str) -> Self {
        Pool::sqlx(database, APP, 2).unwrap()
    }

    fn name(row: &Self::Row) -> Result<String, DatabaseError> {
        Ok(row.try_get("name")?)
    }
}

/// Each test runs with either driver.
macro_rules! with_both {
    ($($test:ident),* $(,)?) => {
        mod tokio_postgres_driver {
            $(#[tokio::test] async fn $test() {
                super::$test::<deadpool_postgres::Pool>(concat!("session_guard_rust_tp_", stringify!($test))).await;
            })*
        }
        mod sqlx_driver {
            $(#[tokio::test] async fn $test() {
                super::$test::<sqlx::PgPool>(concat!("session_guard_rust_sx_", stringify!($test))).await;
            })*
        }
    };
}

with_both!(ends, altered, ids, exact, waits, others, planted, bare, tokens, fails_open, late);

async fn ends<D: Driver>(name: &str) {
    let db = database(name, GUARDED).await;
    for prepare in [false, true] {
        let builder = SessionGuard::builder(D::pool(name)).user(USER, D::name).prepare(prepare);
        let (builder, log) = by_extension(builder);
        let guard = builder.build().unwrap();
        let (alice, bob) = (login(&guard, 1_i32).await, login(&guard, "2").await);
        assert_eq!(page(&guard, Some(alice.clone())).await, (200, "alice".to_owned()));
        run(&db, &["UPDATE users SET active = false WHERE id = 1"]).await;
        assert_eq!(guard.start(1).await.unwrap(), None);
        run(&db, &["UPDATE users SET active = true WHERE id = 1"]).await;
        assert_eq!(page(&guard, Some(alice.clone())).await.0, 303);
        assert!(!is_valid(&guard, &alice).await && is_valid(&guard, &bob).await);
        assert_eq!(page(&guard, Some(bob.clone())).await, (200, "bob".to_owned()));
        assert_eq!(page(&guard, Some(login(&guard, 1_i64).await)).await.0, 200);
        assert_eq!(page(&guard, None).await.0, 303);
        assert!(log.lock().unwrap().is_empty(), "{log:?}");
        // Told once.
        for _ in 0..2 {
            assert_eq!(page(&guard, Some(Login::new(1, None))).await.0, 303);
        }
        assert_eq!(log.lock().unwrap().len(), 1);
        assert!(told(&log).contains("without a login time"));
    }
}

async fn altered<D: Driver>(name: &str) {
    let db = database(name, GUARDED).await;
    let all = "SELECT * FROM users WHERE id = $1::bigint";
    for prepare in [false, true] {
        let builder = SessionGuard::builder(D::pool(name)).user(all, D::name).prepare(prepare);
        let (builder, log) = by_extension(builder);
        let guard = builder.build().unwrap();
        let alice = login(&guard, 1).await;
        // Of each connection of the pool.
        for change in ["ADD more int", "ALTER more TYPE text", "DROP more"] {
            let ask = || page(&guard, Some(alice.clone()));
            assert_eq!(tokio::join!(ask(), ask()).0, (200, "alice".to_owned()));
            run(&db, &[&format!("ALTER TABLE users {change}")]).await;
        }
        for _ in 0..3 {
            let ask = || page(&guard, Some(alice.clone()));
            let (one, other) = tokio::join!(ask(), ask());
            assert_eq!((one.0, other.0), (200, 200), "{log:?}");
        }
        assert!(log.lock().unwrap().is_empty(), "{log:?}");
    }
}

async fn ids<D: Driver>(name: &str) {
    database(name, GUARDED).await;
    let (builder, log) = by_extension(SessionGuard::builder(D::pool(name)).user(USER, D::name));
    let (with_user, plain) = (builder.build().unwrap(), SessionGuard::builder(D::pool(name)));
    let (plain, _) = by_extension(plain);
    let plain = plain.build().unwrap();
    for id in
        ["nobody", "", "3", "9223372036854775808", "1'; SELECT 1", "\\'; SELECT 1 --", "1\0", "$1"]
    {
        for guard in [&with_user, &plain] {
            assert_eq!(guard.start(id).await.unwrap(), None, "{id}");
            assert!(!guard.is_valid(id, None).await.unwrap(), "{id}");
            assert_eq!(page(guard, Some(Login::new(id, None))).await.0, 303, "{id}");
        }
    }
    let many = login(&plain, 9_007_199_254_740_993_i64).await;
    assert!(is_valid(&plain, &many).await);
    assert!(!told(&log).contains("cannot ask"), "{log:?}");
    // An error of the app's own query is no refusal of who is logged in.
    let failing = "SELECT name::int FROM users WHERE id = $1::bigint";
    let (failing, log) = by_extension(SessionGuard::builder(D::pool(name)).user(failing, D::name));
    let failing = failing.build().unwrap();
    assert_eq!(page(&failing, Some(login(&failing, 2).await)).await.0, 503);
    assert!(told(&log).contains("SQLSTATE 22P02"), "{}", told(&log));
}

async fn exact<D: Driver>(name: &str) {
    let db = database(name, GUARDED).await;
    let odd = format!("ALTER DATABASE {name} SET DateStyle = 'German'");
    let far = format!("ALTER DATABASE {name} SET TimeZone = 'Asia/Kolkata'");
    run(&db, &[&odd, &far]).await;
    let guard = SessionGuard::builder(D::pool(name)).build().unwrap();
    let mut has_micros = false;
    for _ in 0..20 {
        let begun = login(&guard, 2).await;
        let time = begun.login_at.clone().unwrap();
        assert_eq!(&LoginTime::from_kept(time.as_str()), &time);
        assert!(time.as_str().starts_with("20") && time.as_str().len() == 27, "{time:?}");
        has_micros |= !time.as_str().ends_with("000Z");
        assert!(is_valid(&guard, &begun).await);
    }
    assert!(has_micros);
    run(&db, &["SELECT session_guard.revoke_sessions(1)"]).await;
    let epoch = login(&guard, 1).await;
    let before = r#"SELECT to_char((max(epoch) - interval '1 us') AT TIME ZONE 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM session_guard.epoch"#;
    let before: String = db.query_one(before, &[]).await.unwrap().get(0);
    // A microsecond before the epoch is too early; the epoch itself is not.
    assert!(is_valid(&guard, &epoch).await);
    assert!(!is_valid(&guard, &Login::new(1, Some(LoginTime::from_kept(&before)))).await);
}

async fn waits<D: Driver>(name: &str) {
    let db = database(name, GUARDED).await;
    run(&db, &["BEGIN; UPDATE users SET active = false WHERE id = 2"]).await;
    let timeout = Duration::from_millis(100);
    let builder = || by_extension(SessionGuard::builder(D::pool(name)).lock_timeout(timeout));
    // Also where it fails open: a login by now would outlive what the change ends.
    let (fails_open, log) = builder();
    let guard = fails_open.fail_open(true).build().unwrap();
    assert!(guard.start(2).await.is_err());
    assert!(told(&log).contains("SQLSTATE 55P03"), "{}", told(&log));
    let (builder, log) = builder();
    let guard = builder.build().unwrap();
    let began = Instant::now();
    assert!(guard.start(2).await.is_err());
    assert!(began.elapsed() >= timeout);
    assert!(told(&log).contains("SQLSTATE 55P03"), "{}", told(&log));
    run(&db, &["ROLLBACK"]).await;
    login(&guard, 2).await;
    let asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(db.query_one(asked, &[]).await.unwrap().get::<_, i64>(0), 0);
}

async fn others<D: Driver>(name: &str) {
    let id = Uuid::from_u128(0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11);
    let db = database(
        name,
        &[
            "CREATE SCHEMA guards",
            "CREATE EXTENSION pg_session_guard SCHEMA guards",
            "CREATE TABLE users (id text PRIMARY KEY, active bool)",
            r#"CREATE SCHEMA "the people""#,
            r#"CREATE TABLE "the people"."it's $1 \ staff" (id uuid PRIMARY KEY, active bool NOT NULL DEFAULT true)"#,
            &format!(r#"INSERT INTO "the people"."it's $1 \ staff" VALUES ('{id}')"#),
            r#"GRANT USAGE ON SCHEMA guards, "the people" TO session_guard_rust_app"#,
            "SELECT session_guard.attach('users')",
            r#"SELECT session_guard.attach(E'"the people"."it''s $1 \\ staff"')"#,
            "SELECT session_guard.grant_access('session_guard_rust_app')",
        ],
    )
    .await;
    for conforming in ["on", "off"] {
        let set = format!("ALTER DATABASE {name} SET standard_conforming_strings = {conforming}");
        run(&db, &[&set]).await;
        let named =
            || SessionGuard::builder(D::pool(name)).users(r#""the people"."it's $1 \ staff""#);
        let guard = named().schema("guards").build().unwrap();
        let begun = login(&guard, id).await;
        assert!(is_valid(&guard, &begun).await);
        let capitals = id.to_string().to_uppercase();
        assert!(guard.is_valid(capitals, begun.login_at.as_ref()).await.unwrap());
        assert_eq!(guard.start("nobody").await.unwrap(), None);
        assert_eq!(guard.start("it's \\ me").await.unwrap(), None);
        let table = r#""the people"."it's $1 \ staff""#;
        let (off, on) = (
            format!("UPDATE {table} SET active = false"),
            format!("UPDATE {table} SET active = true"),
        );
        run(&db, &[&off, &on]).await;
        assert!(!is_valid(&guard, &begun).await);
        let (without, log) = by_extension(named());
        assert!(without.build().unwrap().start(id).await.is_err());
        assert!(told(&log).contains("option schema (now public)"), "{}", told(&log));
    }
}

async fn planted<D: Driver>(name: &str) {
    let said = |function: &str, types: &str, result: &str, value: &str| {
        format!(
            "CREATE FUNCTION {function}({types}) RETURNS {result} LANGUAGE sql IMMUTABLE AS $f$ SELECT {value} $f$"
        )
    };
    let now = "'2100-01-01'::timestamptz";
    let mut statements: Vec<String> = GUARDED.iter().map(|each| (*each).to_owned()).collect();
    statements.push("CREATE SCHEMA planted".to_owned());
    for schema in ["public", "planted"] {
        for types in [
            "varchar, timestamptz",
            "varchar, text",
            "text, text",
            "regclass, varchar, timestamptz",
        ] {
            statements.push(said(&format!("{schema}.session_valid"), types, "bool", "true"));
        }
        for types in ["varchar", "name", "text, text", "regclass, varchar"] {
            statements.push(said(&format!("{schema}.session_start"), types, "timestamptz", now));
        }
    }
    statements.extend([
        said("planted.session_valid", "text, timestamptz", "bool", "true"),
        said("planted.session_start", "text", "timestamptz", now),
        said("planted.to_char", "timestamp, text", "text", "'2100-01-01T00:00:00.000000Z'::text"),
        said("planted.timezone", "text, timestamptz", "timestamp", "'2100-01-01'::timestamp"),
        said("planted.set_config", "text, text, bool", "text", "NULL::text"),
        "CREATE DOMAIN planted.text AS pg_catalog.varchar".to_owned(),
        "CREATE DOMAIN planted.timestamptz AS pg_catalog.text".to_owned(),
        "CREATE DOMAIN planted.regclass AS pg_catalog.text".to_owned(),
        format!("GRANT USAGE ON SCHEMA planted TO {APP}"),
    ]);
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let db = database(name, &statements).await;
    let began = login(&SessionGuard::builder(D::pool(name)).build().unwrap(), 1).await;
    run(&db, &["UPDATE users SET active = false WHERE id = 1"]).await;
    for path in ["planted, public, pg_catalog", "planted, pg_catalog", "public"] {
        run(&db, &[&format!("ALTER DATABASE {name} SET search_path = {path}")]).await;
        for users in [None, Some("public.users")] {
            let query = "SELECT name FROM public.users WHERE id = $1::pg_catalog.int8";
            let mut builder = SessionGuard::builder(D::pool(name)).user(query, D::name);
            if let Some(users) = users {
                builder = builder.users(users);
            }
            let (builder, _) = by_extension(builder);
            let guard = builder.build().unwrap();
            assert_eq!(guard.start(1).await.unwrap(), None);
            assert!(!login(&guard, 2).await.login_at.unwrap().as_str().starts_with("21"));
            assert!(!is_valid(&guard, &began).await);
            assert_eq!(page(&guard, Some(began.clone())).await.0, 303);
            assert_eq!(page(&guard, Some(login(&guard, 2).await)).await, (200, "bob".to_owned()));
            // Of a column of a type for which a function was planted.
            let asked = format!(
                "SELECT {} FROM public.users WHERE id = 1",
                guard.sql("id::pg_catalog.varchar", "$1::pg_catalog.text")
            );
            let kept = began.login_at.as_ref().map(LoginTime::as_str);
            let row = db.query_one(&asked, &[&kept]).await.unwrap();
            assert!(!row.get::<_, bool>(0));
        }
    }
}

async fn bare<D: Driver>(name: &str) {
    let db = database(name, &["CREATE TABLE users (id bigint PRIMARY KEY, active bool)"]).await;
    let (builder, log) = by_extension(SessionGuard::builder(D::pool(name)));
    let guard = builder.build().unwrap();
    let asked = async |guard: &SessionGuard| {
        let error: CannotAsk = guard.start(1).await.unwrap_err();
        assert!(!error.to_string().contains("session_"), "{error}");
        assert!(guard.is_valid(1, None).await.is_err());
        let (status, body) = page(guard, Some(Login::new(1, None))).await;
        assert!(status == 503 && body.contains("cannot be checked now"), "{status} {body}");
        assert!(!body.contains("SQLSTATE"));
    };
    asked(&guard).await;
    assert!(told(&log).contains("CREATE EXTENSION pg_session_guard"), "{}", told(&log));
    run(&db, &[&format!("SET ROLE {OWNER}"), "CREATE EXTENSION pg_session_guard"]).await;
    asked(&guard).await;
    assert!(
        told(&log).contains("grant_access") && told(&log).contains("SQLSTATE 42501"),
        "{}",
        told(&log)
    );
    run(&db, &[&format!("SELECT session_guard.grant_access('{APP}')")]).await;
    asked(&guard).await;
    assert!(told(&log).contains("SELECT session_guard.attach"), "{}", told(&log));
    for (users, part) in
        [("users", "by the option users"), ("none", "names a table that is not there")]
    {
        let (builder, log) = by_extension(SessionGuard::builder(D::pool(name)).users(users));
        asked(&builder.build().unwrap()).await;
        assert!(told(&log).contains(part), "{}", told(&log));
    }
}

async fn tokens<D: Driver>(name: &str) {
    let db = database(name, GUARDED).await;
    let guard = SessionGuard::builder(D::pool(name)).build().unwrap();
    // As a token of the app, whose signature is checked: the scope's claim is a thing of the app's.
    let decode = |token: &str| match token {
        "junk" => Err("no token"),
        seconds => {
            Ok(serde_json::json!({ "sub": "sales", "iat": seconds.parse::<i64>().unwrap_or(0) }))
        }
    };
    let app: Router = Router::new()
        .route("/", get(async |claims: Extension<serde_json::Value>| claims.0["sub"].to_string()))
        .route_layer(guard.bearer_of_scope("dashboard", decode));
    let ask = async |token: &str| {
        let request = Request::builder().header("authorization", format!("Bearer {token}"));
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        response.status().as_u16()
    };
    let second = "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint::text";
    let second: String = db.query_one(second, &[]).await.unwrap().get(0);
    assert_eq!([ask(&second).await, ask("junk").await], [200, 401]);
    run(&db, &["SELECT session_guard.revoke_tokens('dashboard', 'other')"]).await;
    assert_eq!(ask(&second).await, 200);
    run(&db, &["SELECT session_guard.revoke_tokens('dashboard', 'sales')"]).await;
    assert_eq!(ask(&second).await, 401);
    let new = "SELECT (extract(epoch FROM clock_timestamp())::bigint + 5)::text";
    let new: String = db.query_one(new, &[]).await.unwrap().get(0);
    assert_eq!(ask(&new).await, 200);
}

async fn fails_open<D: Driver>(name: &str) {
    let statements = [
        "CREATE TABLE users (id bigint PRIMARY KEY, name text)",
        "INSERT INTO users VALUES (1, 'alice')",
        "GRANT SELECT ON users TO session_guard_rust_app",
    ];
    database(name, &statements).await;
    let builder = SessionGuard::builder(D::pool(name)).user(USER, D::name).fail_open(true);
    let (builder, log) = by_extension(builder);
    let guard = builder.build().unwrap();
    let begun = login(&guard, 1).await;
    assert!(is_valid(&guard, &begun).await);
    assert_eq!(page(&guard, Some(begun)).await, (200, "alice".to_owned()));
    assert_eq!(page(&guard, Some(Login::new(2, None))).await.0, 303);
    let told = log.lock().unwrap();
    assert_eq!(told.iter().filter(|told| told.starts_with("cannot ask")).count(), 4);
}

/// A database that never answers.
struct Silent;

impl Database for Silent {
    type Row = ();

    async fn first_row(&self, _: Question<'_>) -> Result<Option<()>, DatabaseError> {
        std::future::pending().await
    }

    fn text(_: &(), _: &str) -> Result<Option<String>, DatabaseError> {
        Ok(None)
    }
}

async fn late<D: Driver>(name: &str) {
    let soon = Duration::from_millis(50);
    let (builder, log) =
        by_extension(SessionGuard::builder(Silent).answer_timeout(soon).lock_timeout(soon));
    let guard = builder.build().unwrap();
    assert_eq!(page(&guard, Some(Login::new(1, None))).await.0, 503);
    assert!(guard.start(1).await.is_err());
    assert!(told(&log).contains("deadline has elapsed"), "{}", told(&log));
    // What waits for a table does not keep the connection from those after it.
    let db = database(name, GUARDED).await;
    let (builder, _) = by_extension(
        SessionGuard::builder(D::pool(name)).user(USER, D::name).answer_timeout(soon * 10),
    );
    let guard = builder.build().unwrap();
    let bob = login(&guard, 2).await;
    run(&db, &["BEGIN; LOCK TABLE users"]).await;
    for _ in 0..3 {
        assert_eq!(page(&guard, Some(bob.clone())).await.0, 503);
    }
    run(&db, &["ROLLBACK"]).await;
    assert_eq!(page(&guard, Some(bob)).await.0, 200);
}
