//! An app of axum, by either driver (DRIVER), with its sessions in a cookie or in a store
//! (SESSIONS). MODE says how the guard is asked: query, function, or own (by a query of the guard's
//! own). UNGUARDED leaves the guard out.

mod tokens;

use std::{
    env,
    error::Error,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Form, Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use rust_server::{Counting, PATIENCE, Pool, STATEMENTS};
use serde_json::{Value, json};
use session_guard::{
    Builder, CannotAsk, Database, DatabaseError, Kept, Login, LoginClaims, LoginTime, Renewal,
    SessionGuard, Sessions, SignedCookies, TowerSessions, login_time_of,
};
use sqlx::{PgPool, Row};
use tokio_postgres::types::Type;
use tower_sessions::{MemoryStore, SessionManagerLayer};

const USER: &str = "SELECT id, username FROM users WHERE id = $1::bigint -- by its key";

#[derive(Clone)]
struct User(String);

#[derive(Clone)]
struct App {
    pool: Pool,
    guard: SessionGuard,
    sessions: Arc<dyn Sessions>,
    is_guarded: bool,
    key: String,
}

fn has(name: &str) -> bool {
    env::var(name).is_ok()
}

/// As long as any test, where it is not what a test is about.
fn lock_timeout() -> Result<Duration, Box<dyn Error>> {
    let millis = env::var("LOCK_TIMEOUT_MILLIS").unwrap_or_else(|_| "600000".to_owned());
    Ok(Duration::from_millis(millis.parse()?))
}

/// The options of both drivers.
fn build<D: Database>(builder: Builder<D>) -> Result<SessionGuard, Box<dyn Error>> {
    let builder = builder
        .open_paths(["/open", "/static", "/statements"])
        .lock_timeout(lock_timeout()?)
        .answer_timeout(PATIENCE)
        .fail_open(has("FAIL_OPEN"))
        .prepare(has("PREPARE"));
    Ok(if env::var("SESSIONS").is_ok_and(|sessions| sessions == "store") {
        builder.sessions(TowerSessions::default()).build()?
    } else {
        builder.sessions(cookies()?).build()?
    })
}

fn cookies() -> Result<SignedCookies, Box<dyn Error>> {
    Ok(SignedCookies::new(env::var("SECRET_KEY")?.as_bytes())?.secure(false))
}

fn over_deadpool(
    pool: deadpool_postgres::Pool,
    mode: &str,
) -> Result<SessionGuard, Box<dyn Error>> {
    let builder = SessionGuard::builder(Counting(pool.clone()));
    build(match mode {
        "query" => builder.user(USER, |row| row.try_get("username").map(User)),
        "function" => {
            let valid = build(SessionGuard::builder(pool.clone()))?.sql("u.id", "$2");
            let query = format!("SELECT username, {valid} FROM users u WHERE id = $1::bigint");
            builder.load_user(move |id, login_at| {
                let (pool, query) = (pool.clone(), query.clone());
                async move {
                    STATEMENTS.fetch_add(1, Ordering::Relaxed);
                    let client = pool.get().await.map_err(DatabaseError::other)?;
                    let kept = login_at.as_ref().map(LoginTime::as_str);
                    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
                        [(&id, Type::TEXT), (&kept, Type::TEXT)];
                    let row = client.query_typed(&query, &values).await?.pop();
                    let Some(row) = row else { return Ok(None) };
                    Ok::<_, DatabaseError>(Some((User(row.try_get(0)?), row.try_get(1)?)))
                }
            })
        }
        _ => builder,
    })
}

fn over_sqlx(pool: PgPool, mode: &str) -> Result<SessionGuard, Box<dyn Error>> {
    let builder = SessionGuard::builder(Counting(pool.clone()));
    build(match mode {
        "query" => builder.user(USER, |row| row.try_get("username").map(User)),
        "function" => {
            const QUERY: &str = r#"SELECT username, public.session_valid(id::text, $2::timestamptz)
                FROM users WHERE id = $1::bigint"#;
            builder.load_user(move |id, login_at| {
                let pool = pool.clone();
                async move {
                    STATEMENTS.fetch_add(1, Ordering::Relaxed);
                    let kept = login_at.as_ref().map(LoginTime::as_str);
                    let query = sqlx::query_as::<_, (String, bool)>(QUERY).bind(id).bind(kept);
                    let row = query.fetch_optional(&pool).await?;
                    Ok::<_, sqlx::Error>(row.map(|(name, valid)| (User(name), valid)))
                }
            })
        }
        _ => builder,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (database, user) = (env::var("PGDATABASE")?, env::var("PGUSER")?);
    let mode = env::var("MODE").unwrap_or("query".to_owned());
    let (pool, guard) = if env::var("DRIVER")? == "sqlx" {
        let pool = Pool::sqlx(&database, &user, 8)?;
        (Pool::Sqlx(pool.clone()), over_sqlx(pool, &mode)?)
    } else {
        let pool = Pool::deadpool(&database, &user, 8)?;
        (Pool::Deadpool(pool.clone()), over_deadpool(pool, &mode)?)
    };
    let in_store = env::var("SESSIONS").is_ok_and(|sessions| sessions == "store");
    let sessions: Arc<dyn Sessions> =
        if in_store { Arc::new(TowerSessions::default()) } else { Arc::new(cookies()?) };
    let key = env::var("SECRET_KEY")?;
    let app = App { pool, guard, sessions, is_guarded: !has("UNGUARDED"), key };

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", env::var("PORT")?.parse()?)).await?;
    let router = router(app);
    let store = SessionManagerLayer::new(MemoryStore::default()).with_secure(false);
    Ok(axum::serve(listener, if in_store { router.layer(store) } else { router }).await?)
}

fn router(app: App) -> Router {
    let guard = app.guard.clone();
    let private = Router::new()
        .route("/private", get(private))
        .route("/api/me", get(me))
        .route("/password", post(password));
    let private = if app.is_guarded {
        private.route_layer(guard.required())
    } else {
        private.route_layer(middleware::from_fn_with_state(app.clone(), unguarded))
    };
    let key = app.key.clone();
    let by_token = Router::new()
        .route("/by-token", get(by_token))
        .route_layer(guard.bearer(move |token| tokens::decode(&key, token)));
    let router = Router::new()
        .merge(private)
        .merge(by_token)
        .route("/login", get(form).post(log_in))
        .route("/logout", get(log_out))
        .route("/open", get(async || "open to all"))
        .route("/static/{name}", get(async || "a file"))
        .route("/public", get(public))
        .route("/statements", get(async || STATEMENTS.load(Ordering::Relaxed).to_string()))
        .route("/by-orm/{active}", get(by_orm))
        .route("/token", post(token))
        .route("/token/refresh", post(refresh))
        .with_state(app.clone());
    if app.is_guarded { router.layer(guard.layer()) } else { router }
}

/// What the app did before it had the guard.
async fn unguarded(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(Kept { login: Some(login), .. }) = app.sessions.read(&parts).await else {
        return Redirect::to("/login").into_response();
    };
    parts.extensions.insert(login);
    next.run(Request::from_parts(parts, body)).await
}

/// What the app's own queries say of a database that does not answer.
enum Failure {
    Guard(CannotAsk),
    Own,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Guard(error) => error.into_response(),
            Self::Own => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

impl From<CannotAsk> for Failure {
    fn from(error: CannotAsk) -> Self {
        Self::Guard(error)
    }
}

impl From<DatabaseError> for Failure {
    fn from(_: DatabaseError) -> Self {
        Self::Own
    }
}

async fn name_of(app: &App, parts: &Parts) -> Result<String, Failure> {
    if let Some(User(name)) = parts.extensions.get() {
        return Ok(name.clone());
    }
    let login: &Login = parts.extensions.get().ok_or(Failure::Own)?;
    let query = "SELECT username FROM users WHERE id = $1::text::bigint";
    app.pool.field(query, &[&login.user_id]).await?.ok_or(Failure::Own)
}

async fn private(State(app): State<App>, parts: Parts) -> Result<String, Failure> {
    Ok(format!("Logged in as {}", name_of(&app, &parts).await?))
}

async fn me(State(app): State<App>, parts: Parts) -> Result<Json<Value>, Failure> {
    Ok(Json(json!({ "name": name_of(&app, &parts).await? })))
}

async fn public(State(app): State<App>, parts: Parts) -> String {
    let is_nobody = if app.is_guarded {
        parts.extensions.get::<Login>().is_none()
    } else {
        app.sessions.read(&parts).await.is_ok_and(|kept| kept.login.is_none())
    };
    format!("nobody: {is_nobody}")
}

async fn form(State(app): State<App>, parts: Parts) -> Result<Response, CannotAsk> {
    let (message, headers) = match app.is_guarded {
        true => app.guard.pop_message(&parts).await?,
        false => (None, HeaderMap::new()),
    };
    Ok((headers, format!("{}<form>", message.unwrap_or_default())).into_response())
}

async fn log_in(
    State(app): State<App>,
    parts: Parts,
    Form(form): Form<std::collections::HashMap<String, String>>,
) -> Result<Response, Failure> {
    let given = |name: &str| form.get(name).map_or("", String::as_str);
    let by_name = "SELECT id::text FROM users WHERE username = $1";
    let Some(id) = app.pool.field(by_name, &[given("username")]).await? else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    let begun = if app.is_guarded { app.guard.start(&id).await? } else { None };
    // Not hashed: what counts here is that it is read after session_start.
    let password = "SELECT password FROM users WHERE id = $1::text::bigint";
    let matches = app.pool.field(password, &[&id]).await?.as_deref() == Some(given("password"));
    if !matches {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    }
    let headers = if app.is_guarded {
        app.guard.log_in_at(&parts, &id, begun).await?
    } else {
        let kept = Kept { login: Some(Login::new(&id, None)), message: None };
        app.sessions.renew(&parts, kept, Renewal::Anew).await.ok()
    };
    Ok(match headers {
        Some(headers) => (headers, Redirect::to("/private")).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    })
}

async fn log_out(State(app): State<App>, parts: Parts) -> Result<HeaderMap, CannotAsk> {
    app.guard.log_out(&parts).await
}

async fn password(
    State(app): State<App>,
    parts: Parts,
    Form(form): Form<std::collections::HashMap<String, String>>,
) -> Result<Response, Failure> {
    let login: &Login = parts.extensions.get().ok_or(Failure::Own)?;
    let (id, new) = (login.user_id.as_str(), form.get("new").map_or("", String::as_str));
    let change = "UPDATE users SET password = $2 WHERE id = $1::text::bigint";
    let start = format!("SELECT {}", app.guard.start_sql("$1::text"));
    let begun = app.pool.fields(&[(change, &[id, new]), (&start, &[id])]).await?;
    // Committed by somebody else.
    if let Some(meanwhile) = form.get("meanwhile") {
        app.pool.field(meanwhile, &[]).await?;
    }
    let begun = begun.as_deref().map(LoginTime::from_kept);
    let kept = match form.contains_key("plain") {
        true => app.guard.keep_session(&parts).await?,
        false => app.guard.keep_session_at(&parts, begun).await?,
    };
    Ok((kept.clone().unwrap_or_default(), Json(kept.is_some())).into_response())
}

async fn by_orm(State(app): State<App>, Path(active): Path<String>) -> Result<(), Failure> {
    let change = "UPDATE users SET active = $1::text::bool WHERE username = 'alice'";
    app.pool.field(change, &[&active]).await?;
    Ok(())
}

fn signed(app: &App, claims: Value) -> Result<String, Failure> {
    tokens::sign(&app.key, claims).ok_or(Failure::Own)
}

async fn token(State(app): State<App>, Json(asked): Json<Value>) -> Result<Response, Failure> {
    let id = asked["id"].as_i64().unwrap_or_default();
    let Some(login_at) = app.guard.start(id).await? else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    let claims = |refresh: bool| {
        let mut claims = json!(LoginClaims::from(login_at.clone()));
        claims["sub"] = json!(id.to_string());
        claims["refresh"] = json!(refresh);
        claims
    };
    let (access, refresh) = (signed(&app, claims(false))?, signed(&app, claims(true))?);
    Ok(Json(json!({ "access": access, "refresh": refresh })).into_response())
}

async fn refresh(State(app): State<App>, Json(asked): Json<Value>) -> Result<Response, Failure> {
    let refused = Ok(StatusCode::UNAUTHORIZED.into_response());
    let Ok(claims) = tokens::decode(&app.key, asked["refresh"].as_str().unwrap_or_default()) else {
        return refused;
    };
    let (id, login_at) = (claims["sub"].as_str().unwrap_or_default(), login_time_of(&claims));
    if !app.guard.is_valid(id, login_at.as_ref()).await? {
        return refused;
    }
    let mut claims = json!(LoginClaims { guard_login_at: login_at.clone() });
    claims["sub"] = json!(id);
    Ok(Json(json!({ "access": signed(&app, claims)? })).into_response())
}

async fn by_token(parts: Parts) -> Json<Value> {
    Json(json!({ "id": parts.extensions.get::<Value>().map(|claims| claims["sub"].clone()) }))
}
