use std::sync::Arc;

use http::{HeaderMap, request::Parts};

use crate::{BoxError, BoxFuture, LoginTime, UserId};

/// Who has logged in, and when. Of a session or a token that counts, it is in the request's
/// extensions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Login {
    /// The user's id, as text.
    pub user_id: String,
    /// None: of a session from before the guard. It goes on until the first stamp of its user.
    pub login_at: Option<LoginTime>,
}

impl Login {
    /// Of a session or a token of the app's own.
    pub fn new(user_id: impl UserId, login_at: Option<LoginTime>) -> Self {
        Self { user_id: user_id.to_text(), login_at }
    }
}

/// What a session keeps for the guard.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kept {
    /// Who has logged in; None: nobody.
    pub login: Option<Login>,
    /// What the login page is to show.
    pub message: Option<String>,
}

/// How a session is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Renewal {
    /// A new session in place of the one that was there, of which nothing goes on.
    Anew,
    /// The same session goes on, without its message.
    InPlace,
    /// The same session goes on, with another login time. In a store it gets a new id: a copy of its
    /// cookie must not go on.
    NewId,
}

/// How the app keeps its logins between requests.
///
/// There are implementations for signed cookies and for the crate tower-sessions. A closure that
/// reads the login out of a request is one, too: the app then writes its sessions itself, and ends
/// them itself.
pub trait Sessions: Send + Sync + 'static {
    /// What the request's session keeps. An error is a 503.
    fn read<'a>(&'a self, parts: &'a Parts) -> BoxFuture<'a, Result<Kept, BoxError>>;

    /// Writes the session. What it gives is added to the response, such as a `Set-Cookie`.
    fn renew<'a>(
        &'a self,
        parts: &'a Parts,
        kept: Kept,
        renewal: Renewal,
    ) -> BoxFuture<'a, Result<HeaderMap, BoxError>>;
}

impl<F> Sessions for F
where
    F: Fn(&Parts) -> Option<Login> + Send + Sync + 'static,
{
    fn read<'a>(&'a self, parts: &'a Parts) -> BoxFuture<'a, Result<Kept, BoxError>> {
        let login = self(parts);
        Box::pin(async move { Ok(Kept { login, message: None }) })
    }

    fn renew<'a>(
        &'a self,
        _: &'a Parts,
        _: Kept,
        _: Renewal,
    ) -> BoxFuture<'a, Result<HeaderMap, BoxError>> {
        Box::pin(async { Ok(HeaderMap::new()) })
    }
}

/// Of a guard that was given none.
pub(crate) struct NoSessions;

impl Sessions for NoSessions {
    fn read<'a>(&'a self, _: &'a Parts) -> BoxFuture<'a, Result<Kept, BoxError>> {
        Box::pin(async {
            Err("the guard has no sessions: give them by the option sessions".into())
        })
    }

    fn renew<'a>(
        &'a self,
        parts: &'a Parts,
        _: Kept,
        _: Renewal,
    ) -> BoxFuture<'a, Result<HeaderMap, BoxError>> {
        Box::pin(async move { self.read(parts).await.map(|_| HeaderMap::new()) })
    }
}

pub(crate) type SharedSessions = Arc<dyn Sessions>;
