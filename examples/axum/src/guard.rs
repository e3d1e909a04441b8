//! Connects the app's sessions to pg_session_guard.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::cookie::{Cookie, SameSite, SignedCookieJar};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    database::{Database, Unavailable},
};

const COOKIE: &str = "session";

#[derive(Clone, Deserialize, Serialize)]
pub struct Session {
    pub user_id: i64,
    pub username: String,
    /// As the database wrote it: nothing here needs to understand it.
    pub login_at: String,
}

impl Session {
    pub fn cookie(&self) -> Result<Cookie<'static>, serde_json::Error> {
        let cookie = Cookie::build((COOKIE, serde_json::to_string(self)?));
        Ok(cookie.path("/").http_only(true).same_site(SameSite::Lax).build())
    }

    fn from_cookies(jar: &SignedCookieJar) -> Option<Self> {
        serde_json::from_str(jar.get(COOKIE)?.value()).ok()
    }
}

/// The user's id, and the login time to store: none where the user must not log in.
///
/// To be called before the password's hash is read, or a password that is changed in between goes unseen. session_start
/// locks the user's row, and counts once it has committed: this statement is a transaction of its own.
pub async fn start(
    database: &Database,
    username: &str,
) -> Result<Option<(i64, Option<String>)>, Unavailable> {
    let start = "SELECT id, session_start(id)::text FROM users WHERE username = $1";
    let row = database.ask(start, &[&username]).await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

/// Lets only those through whose session counts, and hands it on. An error calls no handler; the cookie survives for when
/// the database can answer.
pub async fn layer(
    State(app): State<App>,
    jar: SignedCookieJar,
    mut request: Request,
    next: Next,
) -> Result<Response, Unavailable> {
    if let Some(session) = Session::from_cookies(&jar) {
        let valid = "SELECT session_valid($1::bigint, $2::text::timestamptz)";
        let row = app.database.ask(valid, &[&session.user_id, &session.login_at]).await?;
        if row.is_some_and(|row| row.get(0)) {
            request.extensions_mut().insert(session);
            return Ok(next.run(request).await);
        }
    }
    let gone = Cookie::build(COOKIE).path("/").build();
    Ok((jar.remove(gone), Redirect::to("/login")).into_response())
}
