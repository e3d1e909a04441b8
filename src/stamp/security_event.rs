//! SQL: an event as the claims of a security event token (the only user of serde).

use crate::catalog::privileges::as_tables_owner;
use crate::pg::datum::{Json, Value};
use crate::pg::server::{database, system_identifier};
use crate::pg::spi;
use pgrx::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// A security event token's claims (RFC 8417, section 2.2), but for those of its transmitter: who
/// signs it adds `iss` and `aud`.
#[derive(Serialize)]
struct SecurityEvent {
    /// The same for each call about this event, and of no other event anywhere.
    jti: String,
    /// When the token was made, in seconds of the Unix epoch.
    iat: i64,
    sub_id: SubjectId,
    events: BTreeMap<&'static str, SessionRevoked>,
}

/// A subject identifier (RFC 9493, section 3; OpenID Shared Signals Framework 1.0, section 3).
#[derive(Serialize)]
#[serde(tag = "format", rename_all = "lowercase")]
enum SubjectId {
    Opaque {
        id: String,
    },
    Complex {
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<Box<SubjectId>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<Box<SubjectId>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        application: Option<Box<SubjectId>>,
    },
}

/// The event's own claims (OpenID Continuous Access Evaluation Profile 1.0, sections 2 and 3.1).
#[derive(Serialize)]
struct SessionRevoked {
    /// When the epoch was raised, in seconds of the Unix epoch.
    event_timestamp: i64,
    initiating_entity: &'static str,
    reason_admin: BTreeMap<&'static str, String>,
}

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

fn opaque(id: String) -> Option<Box<SubjectId>> {
    Some(Box::new(SubjectId::Opaque { id }))
}

/// An event as the claims of an OpenID CAEP `session-revoked` security event; NULL for an event
/// that is not there, or whose subject is an empty text, which no subject identifier can name.
#[pg_extern(sql = false)]
fn security_event(event_id: i64) -> Option<Json> {
    let claims = as_tables_owner(|| read_event(event_id))?;
    serde_json::to_string(&claims).ok().map(Json)
}

fn read_event(id: i64) -> Option<SecurityEvent> {
    const EVENT: &str = "
        SELECT user_id, guard, scope, subject, pg_catalog.left(reason, 1000),
               pg_catalog.floor(extract(epoch FROM at))::bigint,
               pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()))::bigint
        FROM session_guard.event WHERE id = $1 LIMIT 1";
    let events = spi::query(EVENT, &[Value::Int8(id)], |row| {
        let text = |column| spi::string(row, column);
        let number = |column| row.get::<i64>(column).ok().flatten().unwrap_or_default();
        let reason = text(5).unwrap_or_default();
        let claims = SessionRevoked {
            event_timestamp: number(6),
            initiating_entity: initiating_entity(&reason),
            reason_admin: BTreeMap::from([("en", reason)]),
        };
        let [user, guard, scope, subject] = [text(1), text(2), text(3), text(4)];
        // A subject identifier's members must not be empty (RFC 9493, section 3.2.4).
        if [&user, &scope, &subject].into_iter().flatten().any(String::is_empty) {
            return None;
        }
        Some(SecurityEvent {
            jti: token_id(id),
            iat: number(7),
            sub_id: subject_id(user, guard, scope, subject),
            events: BTreeMap::from([(SESSION_REVOKED, claims)]),
        })
    });
    events.into_iter().next().flatten()
}

/// Of all users of a guard, or all tokens of a scope, the thing that they belong to is the subject.
/// A subject of the scope `session` is a session's id; of others, what the scope says.
fn subject_id(
    user: Option<String>,
    guard: Option<String>,
    scope: Option<String>,
    subject: Option<String>,
) -> SubjectId {
    match (user, scope, subject) {
        (None, Some(scope), Some(id)) if scope != "session" => {
            SubjectId::Opaque { id: format!("{scope}:{id}") }
        }
        (user, scope, session) => SubjectId::Complex {
            user: user.and_then(opaque),
            session: session.and_then(opaque),
            application: scope.or(guard).and_then(opaque),
        },
    }
}

/// `admin` where somebody changed an account or asked for it, `user` for a logout, `system` where
/// the guard acted by itself.
fn initiating_entity(reason: &str) -> &'static str {
    match reason {
        "admin: logout" => "user",
        "backfill" | "recreated" | "truncated" | "ban_ended" => "system",
        _ => "admin",
    }
}

fn token_id(event_id: i64) -> String {
    format!("{}-{}-{event_id}", system_identifier(), database().to_u32())
}
