#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answers;
#[cfg(feature = "axum")]
mod axum;
mod database;
mod error;
mod guard;
mod layer;
mod login_time;
mod open_paths;
mod sessions;
#[cfg(feature = "signed-cookies")]
mod signed_cookies;
#[cfg(feature = "sqlx")]
mod sqlx;
mod statements;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;
#[cfg(feature = "tower-sessions")]
mod tower_sessions;
mod user_id;

#[cfg(feature = "signed-cookies")]
pub use signed_cookies::SignedCookies;
#[cfg(feature = "tower-sessions")]
pub use tower_sessions::TowerSessions;

pub use database::{BoxFuture, Database};
pub use error::{BoxError, CannotAsk, ConfigError, DatabaseError};
pub use guard::{Builder, SessionGuard};
pub use layer::{GuardLayer, Guarded};
pub use login_time::{LOGIN_TIME_KEY, LoginClaims, LoginTime, login_time_of};
pub use sessions::{Kept, Login, Renewal, Sessions};
pub use statements::Question;
pub use user_id::UserId;
