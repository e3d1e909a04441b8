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
//! Log in at /login, set active to false in psql, reload the page.

mod database;
mod guard;
mod password;

use std::{env, error::Error};

use axum::{
    Extension, Form, Router,
    extract::{FromRef, State},
    http::StatusCode,
    middleware,
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use axum_extra::extract::cookie::{Key, SignedCookieJar};
use database::{Database, Unavailable};
use guard::Session;
use serde::Deserialize;
use tokio::net::TcpListener;

#[derive(Clone, FromRef)]
struct App {
    database: Database,
    key: Key,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = Database::from_url(&env::var("DATABASE_URL")?)?;
    match env::args().collect::<Vec<_>>().as_slice() {
        [_] => serve(database).await,
        [_, command, name] if command == "add-user" => add_user(database, name).await,
        _ => Err("no arguments, or: add-user NAME".into()),
    }
}

async fn serve(database: Database) -> Result<(), Box<dyn Error>> {
    let key = match env::var("SECRET_KEY") {
        Ok(secret) => Key::derive_from(secret.as_bytes()),
        // A key of its own for each start logs everybody out, and serves one process only.
        Err(_) => Key::generate(),
    };
    let app = App { database, key };
    let router = Router::new()
        .route("/private", get(private))
        .route_layer(middleware::from_fn_with_state(app.clone(), guard::layer))
        // From here on, routes are open to all.
        .route("/login", get(form).post(log_in))
        .with_state(app);
    let port = env::var("PORT").unwrap_or("3000".into()).parse()?;
    Ok(axum::serve(TcpListener::bind(("127.0.0.1", port)).await?, router).await?)
}

async fn private(Extension(session): Extension<Session>) -> String {
    format!("Logged in as {}\n", session.username)
}

async fn form() -> Html<&'static str> {
    Html(concat!(
        "<!doctype html>\n<title>Example</title>\n",
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
    jar: SignedCookieJar,
    Form(login): Form<Login>,
) -> Result<Response, Unavailable> {
    let started = guard::start(&app.database, &login.username).await?;
    let user_id = started.as_ref().map(|(user_id, _)| *user_id);
    let user =
        app.database.ask("SELECT password_hash FROM users WHERE id = $1", &[&user_id]).await?;
    let matches = password::matches(login.password, user.map(|row| row.get(0))).await?;
    Ok(match started {
        Some((user_id, Some(login_at))) if matches => {
            let session = Session { user_id, username: login.username, login_at };
            (jar.add(session.cookie()?), Redirect::to("/private")).into_response()
        }
        _ => (StatusCode::UNAUTHORIZED, form().await).into_response(),
    })
}

/// Adds a user, or gives a new password to one.
async fn add_user(database: Database, name: &str) -> Result<(), Box<dyn Error>> {
    let hash = password::hash(&env::var("PASSWORD")?)?;
    let add = "INSERT INTO users (username, password_hash) VALUES ($1, $2)
        ON CONFLICT (username) DO UPDATE SET password_hash = EXCLUDED.password_hash";
    database.ask(add, &[&name, &hash]).await.map_err(|_| "not added")?;
    Ok(())
}
