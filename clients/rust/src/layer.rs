use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    Extensions, HeaderMap, Request, Response,
    header::{AUTHORIZATION, SET_COOKIE},
    request::Parts,
};
use serde::Serialize;
use serde_json::Value;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    CannotAsk, SessionGuard,
    database::{BoxFuture, Put, put},
    guard::Admitted,
};

/// A layer of a [`SessionGuard`]: of [`layer`](SessionGuard::layer),
/// [`required`](SessionGuard::required) or [`bearer`](SessionGuard::bearer).
#[derive(Clone, Debug)]
pub struct GuardLayer {
    guard: SessionGuard,
    rule: Rule,
}

impl GuardLayer {
    pub(crate) fn new(guard: &SessionGuard, rule: Rule) -> Self {
        Self { guard: guard.clone(), rule }
    }
}

/// Of a token: the claims, and how they get into the request.
type Decode = dyn Fn(&str) -> Option<(Value, Put)> + Send + Sync;

#[derive(Clone)]
pub(crate) enum Rule {
    Ask,
    Require,
    Bearer { scope: Option<Arc<str>>, decode: Arc<Decode> },
}

impl Rule {
    pub(crate) fn bearer<C, E>(
        scope: Option<String>,
        decode: impl Fn(&str) -> Result<C, E> + Send + Sync + 'static,
    ) -> Self
    where
        C: Serialize + Clone + Send + Sync + 'static,
    {
        let decode = move |token: &str| {
            let claims = decode(token).ok()?;
            Some((serde_json::to_value(&claims).ok()?, put(claims)))
        };
        Self::Bearer { scope: scope.map(Into::into), decode: Arc::new(decode) }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ask => "Ask",
            Self::Require => "Require",
            Self::Bearer { .. } => "Bearer",
        })
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.guard.clone(), rule: self.rule.clone() }
    }
}

/// A service behind a [`GuardLayer`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    guard: SessionGuard,
    rule: Rule,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // What poll_ready has made ready is called, and not its clone.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let (guard, rule) = (self.guard.clone(), self.rule.clone());
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let headers = match admitted(&guard, &rule, &mut parts).await {
                Admitted::Go(headers) => headers,
                Admitted::Refused(answer) => return Ok(answer.into_response()),
            };
            let asked = parts.headers.clone();
            let response = inner.call(Request::from_parts(parts, body)).await?;
            let mut response = match told(response.extensions()) {
                Some(error) => guard.unavailable(&asked, &error).into_response(),
                None => response,
            };
            add(response.headers_mut(), headers);
            Ok(response)
        })
    }
}

async fn admitted(guard: &SessionGuard, rule: &Rule, parts: &mut Parts) -> Admitted {
    match rule {
        Rule::Ask if guard.is_open(parts) => Admitted::Go(HeaderMap::new()),
        Rule::Ask => guard.admit(parts, false).await,
        Rule::Require => guard.admit(parts, true).await,
        Rule::Bearer { scope, decode } => {
            let token = match bearer_token(&parts.headers) {
                Ok(token) => token,
                Err(has_one) => return guard.refuse_token(parts, has_one),
            };
            let Some((claims, put)) = decode(token) else {
                return guard.refuse_token(parts, true);
            };
            let admitted = guard.admit_token(parts, scope.as_deref(), &claims).await;
            if let Admitted::Go(_) = admitted {
                put(&mut parts.extensions);
            }
            admitted
        }
    }
}

/// An error says whether there is something that ought to be a token.
fn bearer_token(headers: &HeaderMap) -> Result<&str, bool> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(false);
    }
    let token = token.trim_matches(' ');
    if token.is_empty() || token.contains([' ', '\t']) { Err(true) } else { Ok(token) }
}

/// What a handler has passed on by `?`.
fn told(extensions: &Extensions) -> Option<CannotAsk> {
    extensions.get().cloned()
}

/// A cookie that the app sends itself, such as that of a login, stays.
fn add(headers: &mut HeaderMap, more: HeaderMap) {
    let name = |value: &http::HeaderValue| {
        value.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default().to_vec()
    };
    let sent: Vec<_> = headers.get_all(SET_COOKIE).iter().map(name).collect();
    let mut last = None;
    for (key, value) in more {
        last = key.or(last);
        if let Some(key) = &last
            && !(key == SET_COOKIE && sent.contains(&name(&value)))
        {
            headers.append(key, value);
        }
    }
}

#[cfg(all(test, feature = "axum", feature = "signed-cookies"))]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use ::axum::{
        Extension, Router,
        body::Body,
        http::{
            Request, StatusCode,
            header::{COOKIE, SET_COOKIE},
        },
        routing::get,
    };
    use tower::ServiceExt;

    use crate::{Builder, Database, DatabaseError, Login, Question, SessionGuard, SignedCookies};

    /// Gives one answer to all questions, and counts them.
    #[derive(Clone)]
    struct Says(&'static str, Arc<AtomicUsize>);

    impl Database for Says {
        type Row = String;

        async fn first_row(&self, _: Question<'_>) -> Result<Option<String>, DatabaseError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Ok(Some(self.0.to_owned()))
        }

        fn text(row: &String, _: &str) -> Result<Option<String>, DatabaseError> {
            Ok(Some(row.clone()))
        }
    }

    fn says(answer: &'static str) -> (Builder<Says>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let builder = SessionGuard::builder(Says(answer, asked.clone()))
            .sessions(|parts: &http::request::Parts| parts.extensions.get::<Login>().cloned())
            .log(|_| ());
        (builder, asked)
    }

    fn request(path: &str, has_login: bool) -> Request<Body> {
        let mut request = Request::builder().uri(path).body(Body::empty()).unwrap();
        if has_login {
            request.extensions_mut().insert(Login::new(1, None));
        }
        request
    }

    async fn status(app: &Router, request: Request<Body>) -> StatusCode {
        app.clone().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn nothing_is_asked_without_a_session_nor_on_an_open_path() {
        let (builder, asked) = says("false");
        let guard = builder.open_paths(["/open"]).build().unwrap();
        let nested = || Router::new().route("/open", get("inner"));
        let app = Router::new()
            .route("/", get("all"))
            .route("/open/deep", get("open"))
            .nest("/admin", nested().layer(guard.layer()))
            .layer(guard.layer());
        for (path, has_login, questions) in
            [("/", false, 0), ("/open/deep", true, 0), ("/", true, 1), ("/admin/open", true, 2)]
        {
            assert_eq!(status(&app, request(path, has_login)).await, StatusCode::OK);
            assert_eq!(asked.load(Ordering::Relaxed), questions, "{path}");
        }
        // The nested layer alone: the whole path counts.
        let app = Router::new().nest("/admin", nested().layer(guard.layer()));
        assert_eq!(status(&app, request("/admin/open", true)).await, StatusCode::OK);
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn what_one_guard_says_is_not_what_another_says() {
        let (yes, no) = (says("true").0.build().unwrap(), says("false").0.build().unwrap());
        let app = Router::new()
            .route("/", get("staff"))
            .route_layer(no.required())
            .layer(yes.layer())
            .route("/yes", get("users").layer(yes.required()));
        assert_eq!(status(&app, request("/", true)).await, StatusCode::SEE_OTHER);
        assert_eq!(status(&app, request("/yes", true)).await, StatusCode::OK);
    }

    #[tokio::test]
    async fn of_a_session_that_ended_nothing_is_left_in_the_request() {
        type Name = &'static str;
        let seen = async |login: Option<Extension<Login>>, name: Option<Extension<Name>>| {
            format!("{} {}", login.is_some(), name.is_some())
        };
        let load = |_, _| async { Ok::<_, DatabaseError>(Some(("alice", false))) };
        for (builder, expected) in [
            (says("true").0, "true true"),
            (says("false").0, "false true"),
            (says("false").0.user("SELECT 1", |_| Ok::<_, DatabaseError>("alice")), "false false"),
            (says("false").0.load_user(load), "false false"),
        ] {
            let guard = builder.build().unwrap();
            let app = Router::new().route("/", get(seen)).layer(guard.layer());
            let mut request = request("/", true);
            request.extensions_mut().insert::<Name>("of the app's own");
            let response = app.oneshot(request).await.unwrap();
            let body = ::axum::body::to_bytes(response.into_body(), 100).await.unwrap();
            assert_eq!(body, expected);
        }
    }

    #[tokio::test]
    async fn whatever_is_not_true_ends_the_session() {
        for (answer, expected) in [
            ("true", StatusCode::OK),
            ("false", StatusCode::SEE_OTHER),
            ("t", StatusCode::SEE_OTHER),
            ("", StatusCode::SEE_OTHER),
        ] {
            let guard = says(answer).0.build().unwrap();
            let app = Router::new().route("/", get("private")).route_layer(guard.required());
            assert_eq!(status(&app, request("/", true)).await, expected, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_guard_without_sessions_serves_nothing() {
        let database = Says("true", Arc::default());
        let guard = SessionGuard::builder(database).log(|_| ()).build().unwrap();
        for layer in [guard.layer(), guard.required()] {
            let app = Router::new().route("/", get("private")).route_layer(layer);
            assert_eq!(status(&app, request("/", true)).await, StatusCode::SERVICE_UNAVAILABLE);
        }
    }

    #[tokio::test]
    async fn the_cookie_of_a_login_is_not_that_of_the_session_which_ended() {
        let sessions = SignedCookies::new(&[7; 32]).unwrap();
        let (yes, no) = (says("true").0, says("false").0);
        let yes = yes.sessions(sessions.clone()).build().unwrap();
        let no = no.sessions(sessions).build().unwrap();
        let parts = request("/", false).into_parts().0;
        let begun = Some(crate::LoginTime::from_kept("2026-07-01T12:00:00Z"));
        let cookie = yes.log_in_at(&parts, 1, begun).await.unwrap().unwrap()[SET_COOKIE].clone();
        let sent = cookie.clone();
        let app = Router::new()
            .route("/login", get(async move || [(SET_COOKIE, sent)]))
            .route("/", get("open"))
            .layer(no.layer());
        for (path, is_kept) in [("/login", true), ("/", false)] {
            let mut request = request(path, false);
            request.headers_mut().insert(COOKIE, cookie.clone());
            let response = app.clone().oneshot(request).await.unwrap();
            let cookies: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
            assert_eq!((cookies.len(), cookies[0] == cookie), (1, is_kept), "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_no_bearer_token_is_refused() {
        let guard = says("true").0.build().unwrap();
        let decode = |token: &str| match token {
            "good" => Ok(serde_json::json!({ "sub": "1" })),
            "of nobody" | "nobody" => Ok(serde_json::json!({ "sub": ["1"] })),
            _ => Err("bad"),
        };
        let claims = async |claims: Extension<serde_json::Value>| claims.0["sub"].to_string();
        let app = Router::new().route("/", get(claims)).route_layer(guard.bearer(decode));
        for (sent, expected) in [
            ("Bearer good", StatusCode::OK),
            ("bearer  good ", StatusCode::OK),
            ("Bearer nobody", StatusCode::UNAUTHORIZED),
            ("Bearer of nobody", StatusCode::UNAUTHORIZED),
            ("Bearer", StatusCode::UNAUTHORIZED),
            ("Bearergood", StatusCode::UNAUTHORIZED),
            ("Basic good", StatusCode::UNAUTHORIZED),
            ("", StatusCode::UNAUTHORIZED),
        ] {
            let mut request = request("/", false);
            request.headers_mut().insert("authorization", sent.parse().unwrap());
            assert_eq!(status(&app, request).await, expected, "{sent}");
        }
    }

    #[test]
    fn an_option_without_a_meaning_is_refused() {
        let refused =
            |change: fn(Builder<Says>) -> Builder<Says>| change(says("").0).build().is_err();
        assert!(refused(
            |builder| builder.user("SELECT 1; ", |row| Ok::<_, DatabaseError>(row.clone()))
        ));
        assert!(refused(|builder| builder.lock_timeout(std::time::Duration::MAX)));
        assert!(refused(|builder| builder.login_path("")));
        assert!(refused(|builder| builder.login_path("/a\nb")));
        assert!(refused(|builder| builder.schema("")));
        assert!(refused(|builder| builder.users("")));
        assert!(!refused(|builder| builder.lock_timeout(std::time::Duration::ZERO)));
    }
}
