use cookie::{Cookie, CookieJar, Key, SameSite, time::Duration};
use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
    request::Parts,
};
use serde::{Deserialize, Serialize};

use crate::{BoxError, BoxFuture, ConfigError, Kept, Login, LoginTime, Renewal, Sessions};

/// Sessions in one signed cookie: nothing of them is on the server.
///
/// The browser can read the user's id and the login time, and change neither. The cookie is
/// `HttpOnly`, `SameSite=Lax` and `Secure`.
#[derive(Clone)]
pub struct SignedCookies {
    name: String,
    secret: Key,
    key: Key,
    is_secure: bool,
}

#[derive(Deserialize, Serialize)]
struct Content {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guard_login_at: Option<LoginTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guard_message: Option<String>,
}

impl SignedCookies {
    /// Signed with a secret of 32 bytes or more.
    pub fn new(secret: &[u8]) -> Result<Self, ConfigError> {
        if secret.len() < 32 {
            return Err(ConfigError("the secret that signs the cookies has less than 32 bytes"));
        }
        let (name, secret) = ("session", Key::derive_from(secret));
        let key = key_of(&secret, name);
        Ok(Self { name: name.to_owned(), secret, key, is_secure: true })
    }

    /// The cookie's name; `session` unless another is given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self.key = key_of(&self.secret, &self.name);
        self
    }

    /// Whether browsers send it over HTTPS alone. They take localhost for secure, but for Safari.
    pub fn secure(mut self, is_secure: bool) -> Self {
        self.is_secure = is_secure;
        self
    }

    fn content(&self, headers: &HeaderMap) -> Option<Content> {
        let sent = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        // Of several with this name, a signed one counts: another host of the domain may have set
        // the other.
        sent.flat_map(|value| Cookie::split_parse_encoded(value.to_owned()))
            .filter_map(Result::ok)
            .filter(|cookie| cookie.name() == self.name)
            .find_map(|cookie| {
                let mut jar = CookieJar::new();
                jar.add_original(cookie);
                let verified = jar.signed(&self.key).get(&self.name)?;
                serde_json::from_str(verified.value()).ok()
            })
    }

    fn cookie(&self, content: &Content) -> Result<HeaderMap, BoxError> {
        let is_nobody = content.user_id.is_none() && content.guard_message.is_none();
        let value = if is_nobody { String::new() } else { serde_json::to_string(content)? };
        let mut cookie = Cookie::build((self.name.clone(), value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_secure)
            .build();
        if is_nobody {
            cookie.set_max_age(Duration::ZERO);
        } else {
            let mut jar = CookieJar::new();
            jar.signed_mut(&self.key).add(cookie);
            cookie = jar.get(&self.name).cloned().ok_or("no cookie")?;
        }
        let value = HeaderValue::try_from(cookie.encoded().to_string())?;
        Ok(HeaderMap::from_iter([(SET_COOKIE, value)]))
    }
}

/// Of this cookie alone: a signature covers no name. What the app has signed by the same secret, such
/// as a text that a user has chosen, must not be taken for a session, nor that of another guard.
fn key_of(secret: &Key, name: &str) -> Key {
    Key::derive_from(&[secret.signing(), b"pg_session_guard ", name.as_bytes()].concat())
}

impl Sessions for SignedCookies {
    fn read<'a>(&'a self, parts: &'a Parts) -> BoxFuture<'a, Result<Kept, BoxError>> {
        let kept = self.content(&parts.headers).map_or(Kept::default(), |content| Kept {
            login: content
                .user_id
                .map(|user_id| Login { user_id, login_at: content.guard_login_at }),
            message: content.guard_message,
        });
        Box::pin(async move { Ok(kept) })
    }

    fn renew<'a>(
        &'a self,
        _: &'a Parts,
        kept: Kept,
        _: Renewal,
    ) -> BoxFuture<'a, Result<HeaderMap, BoxError>> {
        let (user_id, guard_login_at) =
            kept.login.map_or((None, None), |login| (Some(login.user_id), login.login_at));
        let content = Content { user_id, guard_login_at, guard_message: kept.message };
        let cookie = self.cookie(&content);
        Box::pin(async move { cookie })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(secret: &str) -> SignedCookies {
        SignedCookies::new(secret.as_bytes()).unwrap()
    }

    async fn sent(sessions: &SignedCookies, kept: Kept) -> String {
        let parts = http::Request::new(()).into_parts().0;
        let headers = sessions.renew(&parts, kept, Renewal::Anew).await.unwrap();
        headers[SET_COOKIE].to_str().unwrap().to_owned()
    }

    async fn read(sessions: &SignedCookies, cookies: &str) -> Kept {
        let request = http::Request::builder().header(COOKIE, cookies).body(()).unwrap();
        sessions.read(&request.into_parts().0).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_kept_comes_back_and_nothing_that_was_changed() {
        let ours = sessions(&"ours".repeat(8));
        let login_at = LoginTime::from_kept("2026-07-01T12:00:00.123456Z");
        let kept = Kept {
            login: Some(Login::new("a; b=\"é\"", Some(login_at))),
            message: Some("Log in, please".to_owned()),
        };
        let cookie = sent(&ours, kept.clone()).await;
        assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/"), "{cookie}");
        let value = cookie.split(';').next().unwrap();
        assert_eq!(read(&ours, value).await, kept);
        assert_eq!(read(&ours, &format!("session=junk; {value}; a=b")).await, kept);
        for other in [
            value.replace("2026", "2027"),
            value.replace("session=", "other="),
            "session=".to_owned(),
            "session".to_owned(),
            String::new(),
        ] {
            assert_eq!(read(&ours, &other).await, Kept::default(), "{other}");
        }
        assert_eq!(read(&sessions(&"other".repeat(8)), value).await, Kept::default());
    }

    #[tokio::test]
    async fn a_session_of_nobody_takes_the_cookie_away() {
        let cookie =
            sent(&sessions(&"ours".repeat(8)).secure(false).name("id"), Kept::default()).await;
        assert_eq!(cookie, "id=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
    }

    #[test]
    fn what_the_app_signs_by_the_same_secret_is_no_session() {
        let (secret, login) = ("ours".repeat(8), r#"{"user_id":"1"}"#);
        let mut jar = CookieJar::new();
        jar.signed_mut(&Key::derive_from(secret.as_bytes())).add(Cookie::new("nickname", login));
        let signed = jar.get("nickname").unwrap().value();
        let cookie = Cookie::new("session", signed).encoded().to_string();
        let headers = |cookie: &str| HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())]);
        assert!(sessions(&secret).content(&headers(&cookie)).is_none());
        // Nor that of a second guard, of other users.
        let content =
            Content { user_id: Some("1".to_owned()), guard_login_at: None, guard_message: None };
        let cookie = sessions(&secret).name("staff").cookie(&content).unwrap();
        let value = cookie[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
        assert!(sessions(&secret).name("staff").content(&headers(value)).is_some());
        let renamed = value.replace("staff=", "session=");
        assert!(sessions(&secret).content(&headers(&renamed)).is_none());
    }

    #[test]
    fn a_secret_that_is_short_is_refused() {
        assert!(SignedCookies::new(&[0; 31]).is_err());
        assert!(SignedCookies::new(&[0; 32]).is_ok());
    }
}
