//! A small axum app that is protected by pg_session_guard. Its sessions are signed cookies: nothing of them is on the
//! server, so that nothing but the guard could end them.
//!
//!     createuser --pwprompt axum && createdb --owner=axum axum               # as a superuser
//!     export DATABASE_URL=postgresql://axum:PASSWORD@localhost/axum
//!     export SECRET_KEY=…                                 # of 32 bytes or more
//!     psql "$DATABASE_URL" -f schema.sql                  # here the app's role owns the database and the table
//!     PASSWORD=… cargo run --release add-user alice
//!     PORT=3000 cargo run --release
//!
//! Log in at http://localhost:3000/login, set active to false in psql, reload the page.

mod password;

use std::{env, error::Error, time::Duration};

use axum::{
    Extension, Form, Router,
    extract::State,
    http::{StatusCode, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use deadpool_postgres::{Manager, Pool, Runtime};
use serde::Deserialize;
use session_guard::{CannotAsk, SessionGuard, SignedCookies};
use tokio::net::TcpListener;
use tokio_postgres::NoTls;

#[derive(Clone)]
struct User(String);

#[derive(Clone)]
struct App {
    pool: Pool,
    guard: SessionGuard,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Without TLS: for a database on the same machine.
    let manager = Manager::new(env::var("DATABASE_URL")?.parse()?, NoTls);
    let patience = Some(Duration::from_secs(5));
    let pool = Pool::builder(manager)
        .runtime(Runtime::Tokio1)
        .wait_timeout(patience)
        .create_timeout(patience)
        .build()?;
    match env::args().collect::<Vec<_>>().as_slice() {
        [_] => serve(pool).await,
        [_, command, name] if command == "add-user" => add_user(pool, name).await,
        _ => Err("no arguments, or: add-user NAME".into()),
    }
}

async fn serve(pool: Pool) -> Result<(), Box<dyn Error>> {
    let guard = SessionGuard::builder(pool.clone())
        .sessions(SignedCookies::new(env::var("SECRET_KEY")?.as_bytes())?)
        .user("SELECT username FROM users WHERE id = $1::bigint", |row| row.try_get(0).map(User))
        .build()?;
    let router = Router::new()
        .route("/private", get(private))
        .route_layer(guard.required())
        // From here on, routes are open to all.
        .route("/login", get(form).post(log_in))
        .layer(guard.layer())
        .with_state(App { pool, guard });
    let port = env::var("PORT").unwrap_or("3000".into()).parse()?;
    Ok(axum::serve(TcpListener::bind(("127.0.0.1", port)).await?, router).await?)
}

async fn private(Extension(User(name)): Extension<User>) -> String {
    format!("Logged in as {name}\n")
}

async fn form(State(app): State<App>, parts: Parts) -> Result<Response, CannotAsk> {
    let (message, headers) = app.guard.pop_message(&parts).await?;
    Ok((headers, page(&message.unwrap_or_default())).into_response())
}

fn page(message: &str) -> Html<String> {
    Html(format!(
        "<!doctype html>\n<title>Example</title>\n<p>{message}</p>\n{}",
        r#"<form method="post"><input name="username"><input name="password" type="password"><button>Send</button></form>"#
    ))
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

async fn log_in(
    State(app): State<App>,
    parts: Parts,
    Form(login): Form<Login>,
) -> Result<Response, Failed> {
    let id = "SELECT id FROM users WHERE username = $1";
    let user_id = app.pool.get().await?.query_opt(id, &[&login.username]).await?;
    let user_id = user_id.map(|row| row.get(0));
    // Before the hash is read, or a password that is changed in between goes unseen.
    let begun = app.guard.start(user_id.unwrap_or(0_i64)).await?;
    let hash = "SELECT password_hash FROM users WHERE id = $1";
    let hash = app.pool.get().await?.query_opt(hash, &[&user_id]).await?;
    let matches = password::matches(login.password, hash.map(|row| row.get(0))).await?;
    if let (true, Some(user_id)) = (matches, user_id)
        && let Some(headers) = app.guard.log_in_at(&parts, user_id, begun).await?
    {
        return Ok((headers, Redirect::to("/private")).into_response());
    }
    Ok((StatusCode::UNAUTHORIZED, page("Not logged in.")).into_response())
}

/// Whatever went wrong: it is told to the log, and to the client that it should come again.
struct Failed(Response);

impl<E: Error + 'static> From<E> for Failed {
    fn from(error: E) -> Self {
        eprintln!("{error:?}");
        let error: Box<dyn Error> = error.into();
        Self(match error.downcast::<CannotAsk>() {
            Ok(error) => error.into_response(),
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        })
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        self.0
    }
}

/// Adds a user, or gives a new password to one.
async fn add_user(pool: Pool, name: &str) -> Result<(), Box<dyn Error>> {
    let hash = password::hash(&env::var("PASSWORD")?)?;
    let add = "INSERT INTO users (username, password_hash) VALUES ($1, $2)
        ON CONFLICT (username) DO UPDATE SET password_hash = EXCLUDED.password_hash";
    pool.get().await?.execute(add, &[&name, &hash]).await?;
    Ok(())
}
