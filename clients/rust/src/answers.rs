//! Which answer a request gets: by what the guard says, and by the kind of its route.

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
    },
    request::Parts,
};
use serde_json::json;

pub(crate) const ENDED: &str = "The session has ended";
pub(crate) const NOT_LOGGED_IN: &str = "Not logged in";

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RouteKind {
    Page,
    Api,
}

/// A browser that opens a page asks for text/html, and what asks for nothing is a client that wants
/// to see what a browser would. Everything else is a program.
pub(crate) fn kind_of_route(headers: &HeaderMap) -> RouteKind {
    let header =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or("");
    let starts_with = |text: &str, start: &str| {
        text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    let is_program = starts_with(header(AUTHORIZATION.as_str()), "bearer ")
        || header("x-requested-with").eq_ignore_ascii_case("xmlhttprequest")
        || starts_with(header(CONTENT_TYPE.as_str()), "application/json");
    let wants_page = headers.get(ACCEPT).is_none_or(HeaderValue::is_empty)
        || headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|part| part.split(';').next().unwrap_or("").trim())
            .any(|kind| {
                kind.eq_ignore_ascii_case("text/html")
                    || kind.eq_ignore_ascii_case("application/xhtml+xml")
            });
    if wants_page && !is_program { RouteKind::Page } else { RouteKind::Api }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scheme {
    Cookie,
    Bearer,
}

/// The header WWW-Authenticate of a 401; not `ended`: there was no session and no token.
fn challenge(scheme: Scheme, ended: bool) -> &'static str {
    match (scheme, ended) {
        (Scheme::Cookie, false) => r#"Cookie realm="login""#,
        (Scheme::Cookie, true) => r#"Cookie realm="login", error="The session has ended""#,
        (Scheme::Bearer, false) => "Bearer",
        (Scheme::Bearer, true) => {
            r#"Bearer error="invalid_token", error_description="The session has ended""#
        }
    }
}

/// What a request gets in place of the app's own answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    fn new(status: StatusCode, content_type: &'static str, body: String) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Self { status, headers, body }
    }

    fn json(status: StatusCode, message: &str) -> Self {
        let error = status.canonical_reason().unwrap_or("");
        let body = json!({ "error": error, "message": message }).to_string();
        Self::new(status, "application/json; charset=utf-8", body)
    }

    fn page(status: StatusCode, html: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", html)
    }

    /// Of who has no session, or none that counts.
    pub(crate) fn refused(parts: &Parts, scheme: Scheme, ended: bool, login_path: &str) -> Self {
        if scheme == Scheme::Cookie && kind_of_route(&parts.headers) == RouteKind::Page {
            let mut answer = Self::page(StatusCode::SEE_OTHER, String::new());
            let location = with_next(login_path, &parts.method, &original_url(parts));
            if let Ok(location) = HeaderValue::try_from(location) {
                answer.headers.insert(LOCATION, location);
            }
            return answer;
        }
        let mut answer =
            Self::json(StatusCode::UNAUTHORIZED, if ended { ENDED } else { NOT_LOGGED_IN });
        let challenge = HeaderValue::from_static(challenge(scheme, ended));
        answer.headers.insert(WWW_AUTHENTICATE, challenge);
        answer
    }

    pub(crate) fn unavailable(
        kind: RouteKind,
        message: &str,
        page: &(dyn Fn(&str) -> String + Send + Sync),
    ) -> Self {
        let mut answer = match kind {
            RouteKind::Page => Self::page(StatusCode::SERVICE_UNAVAILABLE, page(message)),
            RouteKind::Api => Self::json(StatusCode::SERVICE_UNAVAILABLE, message),
        };
        answer.headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        answer
    }

    pub(crate) fn into_response<B: From<String>>(self) -> Response<B> {
        let mut response = Response::new(B::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

pub(crate) fn plain_page(message: &str) -> String {
    format!("<!doctype html>\n<meta charset=\"utf-8\">\n<title>503</title>\n<p>{message}</p>\n")
}

/// A router that is nested sees only the end of the path.
fn original_uri(parts: &Parts) -> &http::Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = parts.extensions.get() {
        return uri;
    }
    &parts.uri
}

pub(crate) fn original_path(parts: &Parts) -> &str {
    original_uri(parts).path()
}

fn original_url(parts: &Parts) -> String {
    original_uri(parts).path_and_query().map_or(String::new(), ToString::to_string)
}

/// Where to go on after the login; only a path of this app, as `//example.org` is another's.
fn with_next(login_path: &str, method: &Method, url: &str) -> String {
    let is_own = url.starts_with('/') && !url.starts_with("//") && !url.starts_with("/\\");
    if !is_own || !(method == Method::GET || method == Method::HEAD) {
        return login_path.to_owned();
    }
    let sign = if login_path.contains('?') { '&' } else { '?' };
    let mut location = format!("{login_path}{sign}next=");
    for byte in url.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                location.push(char::from(byte));
            }
            _ => location.push_str(&format!("%{byte:02X}")),
        }
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(headers: &[(&'static str, &'static str)]) -> RouteKind {
        let pairs = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        });
        kind_of_route(&pairs.collect())
    }

    #[test]
    fn a_page_is_what_a_browser_opens() {
        let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        for headers in
            [&[][..], &[browser], &[("accept", "TEXT/HTML;q=1")], &[("accept", "a/b, text/html")]]
        {
            assert_eq!(kind(headers), RouteKind::Page, "{headers:?}");
        }
        for headers in [
            &[("accept", "*/*")][..],
            &[("accept", "application/json")],
            &[("accept", "text/htmlx")],
            &[browser, ("authorization", "bearer x")],
            &[browser, ("x-requested-with", "XMLHttpRequest")],
            &[browser, ("content-type", "application/json")],
        ] {
            assert_eq!(kind(headers), RouteKind::Api, "{headers:?}");
        }
    }

    #[test]
    fn after_the_login_it_goes_on_to_a_page_of_this_app() {
        let get = |url| with_next("/login", &Method::GET, url);
        assert_eq!(get("/private?a=1&b"), "/login?next=%2Fprivate%3Fa%3D1%26b");
        assert_eq!(with_next("/login?a", &Method::HEAD, "/"), "/login?a&next=%2F");
        for url in ["//example.org", "/\\example.org", "https://example.org", ""] {
            assert_eq!(get(url), "/login");
        }
        assert_eq!(with_next("/login", &Method::POST, "/pay"), "/login");
    }
}
