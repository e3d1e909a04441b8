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
