use http::{HeaderMap, request::Parts};
use tower_sessions_core::Session;

use crate::{BoxError, BoxFuture, Kept, LOGIN_TIME_KEY, Login, LoginTime, Renewal, Sessions};

const MESSAGE_KEY: &str = "guard_message";

/// Sessions of the crate tower-sessions. Its `SessionManagerLayer` is outside of the guard's layer.
#[derive(Clone, Debug)]
pub struct TowerSessions {
    user_key: String,
}

impl Default for TowerSessions {
    fn default() -> Self {
        Self { user_key: "user_id".to_owned() }
    }
}

impl TowerSessions {
    /// Where the session has the user's id; in `user_id` unless another key is given.
    pub fn user_key(mut self, key: impl Into<String>) -> Self {
        self.user_key = key.into();
        self
    }

    async fn kept(&self, parts: &Parts) -> Result<Kept, BoxError> {
        let session = session_of(parts)?;
        let login = match session.get_value(&self.user_key).await? {
            Some(serde_json::Value::String(user_id)) => Some(user_id),
            Some(serde_json::Value::Number(user_id)) => Some(user_id.to_string()),
            _ => None,
        };
        let login = match login {
            Some(user_id) => {
                let login_at = session.get::<Option<LoginTime>>(LOGIN_TIME_KEY).await?.flatten();
                Some(Login { user_id, login_at })
            }
            None => None,
        };
        Ok(Kept { login, message: session.get(MESSAGE_KEY).await? })
    }

    async fn write(
        &self,
        parts: &Parts,
        kept: Kept,
        renewal: Renewal,
    ) -> Result<HeaderMap, BoxError> {
        let session = session_of(parts)?;
        if renewal == Renewal::Anew {
            // Its `flush` lets the next session have the same id.
            session.clear().await;
        }
        if renewal != Renewal::InPlace {
            session.cycle_id().await?;
        }
        if let Some(login) = kept.login {
            session.insert(&self.user_key, login.user_id).await?;
            session.insert(LOGIN_TIME_KEY, login.login_at).await?;
        }
        match kept.message {
            Some(message) => session.insert(MESSAGE_KEY, message).await?,
            None => {
                session.remove_value(MESSAGE_KEY).await?;
            }
        }
        Ok(HeaderMap::new())
    }
}

fn session_of(parts: &Parts) -> Result<&Session, BoxError> {
    parts.extensions.get().ok_or_else(|| {
        "the guard finds no Session: the SessionManagerLayer is added after the guard's layer"
            .into()
    })
}

impl Sessions for TowerSessions {
    fn read<'a>(&'a self, parts: &'a Parts) -> BoxFuture<'a, Result<Kept, BoxError>> {
        Box::pin(self.kept(parts))
    }

    fn renew<'a>(
        &'a self,
        parts: &'a Parts,
        kept: Kept,
        renewal: Renewal,
    ) -> BoxFuture<'a, Result<HeaderMap, BoxError>> {
        Box::pin(self.write(parts, kept, renewal))
    }
}
