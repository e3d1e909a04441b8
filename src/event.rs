//! The record of stamps: what was stamped, why, by whom and by which path; and each as the claims of a
//! security event token (the only user of serde).

use crate::epoch::{Epoch, Instant};
use crate::insert::{Plain, insert};
use crate::name::{role_name, to_string};
use crate::news::{self, Bucket};
use crate::owner::as_owner;
use crate::registry::{Store, relation_of_ours};
use crate::scan::{OpenTable, text_datum};
use crate::settings;
use crate::standby;
use crate::statement::{Statement, run_once};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use pgrx::spi::Spi;
use pgrx::{IntoDatum, JsonB, direct_function_call, spi};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a stamp ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// One user's sessions.
    User(Oid, &'a [u8]),
    /// All sessions of a guard.
    AllUsers(Oid),
    /// One subject's tokens.
    Token(&'a [u8], &'a [u8]),
    /// All tokens of a scope.
    AllTokens(&'a [u8]),
}

thread_local! {
    static WRITE: Statement = const { Statement::new(
        c"INSERT INTO session_guard.event (at, guard, user_id, scope, subject, epoch, reason, login_role,
              acting_role, application_name, client_addr, transaction_id, replication_origin)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        &[
            pg_sys::TIMESTAMPTZOID, pg_sys::REGCLASSOID, pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID,
            pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID,
            pg_sys::INETOID, pg_sys::XID8OID, pg_sys::TEXTOID,
        ],
    ) };
}

/// Tells of a stamp: the other backends, those who listen, and the record. In the transaction that
/// stamps, with the rights of the extension's owner.
pub fn tell(store: &Store, subject: Subject, at: Instant, Epoch(epoch): Epoch, reason: &[u8]) {
    match subject {
        Subject::User(_, id) => news::tell_of_user(Bucket::of(id), store.stamp_signal),
        Subject::AllUsers(_) => news::tell_of_all(store.stamp_signal),
        // Nobody keeps those.
        Subject::Token(..) | Subject::AllTokens(_) => {}
    }
    notify();
    standby::wait_at_commit();
    let Some(table) = record() else { return };
    let text = |text: &str| Some(text_datum(text.as_bytes()));
    let (mut guard, mut user_id, mut scope, mut token) = (None, None, None, None);
    match subject {
        Subject::User(relid, id) => (guard, user_id) = (Some(relid.into()), Some(text_datum(id))),
        Subject::AllUsers(relid) => guard = Some(relid.into()),
        Subject::Token(of, id) => (scope, token) = (Some(text_datum(of)), Some(text_datum(id))),
        Subject::AllTokens(of) => scope = Some(text_datum(of)),
    }
    let path = Path::current();
    let facts = [
        Some(Datum::from(at.0)),
        guard,
        user_id,
        scope,
        token,
        Some(Datum::from(epoch.0)),
        Some(text_datum(reason)),
        text(&path.login_role),
        text(&path.acting_role),
        path.application_name.as_deref().and_then(text),
        path.client_addr,
        Some(path.transaction_id),
        path.replication_origin.as_deref().and_then(text),
    ];
    if !insert_numbered(table, &facts) {
        WRITE.with(|write| write.run(&facts));
    }
}

/// Writes the event without a statement, if the table is as the extension made it.
fn insert_numbered(table: Oid, facts: &[Option<Datum>]) -> bool {
    let Some(index) = relation_of_ours(c"event_pkey") else { return false };
    let Some(table) = OpenTable::try_open(table, pg_sys::RowExclusiveLock) else { return false };
    let Some(number) = next_number() else { return false };
    insert(&table, &Plain { index, triggers: 1 }, &[&[Some(number)], facts].concat())
}

/// The number of the next event, if they are numbered as the extension made them.
pub fn next_number() -> Option<Datum> {
    let sequence = relation_of_ours(c"event_id_seq")?;
    // SAFETY: a function of one OID.
    unsafe { direct_function_call(pg_sys::nextval_oid, &[sequence.into_datum()]) }
}

/// Where stamps are to be recorded, if they are, and can be: not in a catalog of 0.1.0 that has not been updated yet.
fn record() -> Option<Oid> {
    settings::is_auditing().then(|| relation_of_ours(c"event")).flatten()
}

/// Tells the other backends, and those who listen, of very many stamps.
pub fn tell_of_all(store: &Store) {
    news::tell_of_all(store.stamp_signal);
    notify();
    standby::wait_at_commit();
}

/// PostgreSQL folds what is the same; the first is enough.
fn notify() {
    if settings::is_notifying() && news::is_first_notice() {
        run_once("NOTIFY session_guard", &[]);
    }
}

/// Who stamps, and by which path.
pub struct Path {
    /// Who has logged in to the server.
    pub login_role: String,
    /// Whom SET ROLE has made of that; not the owner of a SECURITY DEFINER function.
    pub acting_role: String,
    /// The client's `application_name`.
    pub application_name: Option<String>,
    /// From where the client is connected, an `inet`.
    pub client_addr: Option<Datum>,
    /// The transaction that stamps, an `xid8`.
    pub transaction_id: Datum,
    /// From where the change is applied by logical replication.
    pub replication_origin: Option<String>,
}

impl Path {
    /// That of this backend now.
    pub fn current() -> Path {
        // SAFETY: reads a variable.
        let login_role = unsafe { pg_sys::GetSessionUserId() };
        // SAFETY: reads a variable.
        let acting_role = unsafe { pg_sys::GetOuterUserId() };
        // SAFETY: the setting exists in each server; its value is NUL-terminated.
        let application =
            unsafe { pg_sys::GetConfigOption(c"application_name".as_ptr(), true, false) };
        Path {
            login_role: bare_role_name(login_role),
            acting_role: bare_role_name(acting_role),
            application_name: to_string(application).filter(|name| !name.is_empty()),
            // SAFETY: a function without arguments.
            client_addr: unsafe { direct_function_call::<Datum>(pg_sys::inet_client_addr, &[]) },
            // SAFETY: we are in a transaction that writes.
            transaction_id: unsafe { pg_sys::GetTopFullTransactionId() }.value.into(),
            replication_origin: replication_origin(),
        }
    }
}

fn bare_role_name(role: Oid) -> String {
    // SAFETY: any OID may be asked for; NULL comes back for one that is no role.
    to_string(unsafe { pg_sys::GetUserNameFromId(role, true) }).unwrap_or_else(|| role_name(role))
}

fn replication_origin() -> Option<String> {
    let origin = crate::compat::replication_origin()?;
    let mut name = std::ptr::null_mut();
    // SAFETY: fills the name, if there is such an origin.
    let is_known = unsafe { pg_sys::replorigin_by_oid(origin, true, &raw mut name) };
    is_known.then(|| to_string(name)).flatten()
}

/// A security event token's claims (RFC 8417, section 2.2), but for those of its transmitter: who signs it
/// adds `iss` and `aud`.
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

/// An event as the claims of an OpenID CAEP `session-revoked` security event; NULL for an event that is
/// not there, or whose subject is an empty text, which no subject identifier can name.
#[pg_extern(schema = "session_guard", stable, parallel_safe, strict)]
#[search_path(pg_catalog, pg_temp)]
fn security_event(event_id: i64) -> Option<JsonB> {
    let claims =
        as_owner(|| read_event(event_id)).expect("a query of the extension's own table")?;
    Some(JsonB(serde_json::to_value(claims).expect("texts and numbers")))
}

fn read_event(id: i64) -> Result<Option<SecurityEvent>, spi::Error> {
    const EVENT: &str = "
        SELECT user_id, guard::regclass::text, scope, subject, reason,
               pg_catalog.floor(extract(epoch FROM at))::bigint,
               pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()))::bigint
        FROM session_guard.event WHERE id = $1";
    Spi::connect(|client| {
        let row = client.select(EVENT, Some(1), &[DatumWithOid::from(id)])?.first();
        if row.is_empty() {
            return Ok(None);
        }
        let text = |column| row.get::<String>(column);
        let reason = text(5)?.unwrap_or_default();
        let claims = SessionRevoked {
            event_timestamp: row.get(6)?.unwrap_or_default(),
            initiating_entity: initiating_entity(&reason),
            reason_admin: BTreeMap::from([("en", reason)]),
        };
        let [user, guard, scope, subject] = [text(1)?, text(2)?, text(3)?, text(4)?];
        // A subject identifier's members must not be empty (RFC 9493, section 3.2.4).
        if [&user, &scope, &subject].into_iter().flatten().any(String::is_empty) {
            return Ok(None);
        }
        Ok(Some(SecurityEvent {
            jti: token_id(id),
            iat: row.get(7)?.unwrap_or_default(),
            sub_id: subject_id(user, guard, scope, subject),
            events: BTreeMap::from([(SESSION_REVOKED, claims)]),
        }))
    })
}

/// Of all users of a table, or all tokens of a scope, the thing that they belong to is the subject. A subject of the
/// scope `session` is a session's id; of others, what the scope says.
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

/// `admin` where somebody changed an account or asked for it, `user` for a logout, `system` where the guard acted
/// by itself.
fn initiating_entity(reason: &str) -> &'static str {
    match reason {
        "admin: logout" => "user",
        "backfill" | "recreated" | "truncated" => "system",
        _ => "admin",
    }
}

fn token_id(event_id: i64) -> String {
    // SAFETY: reads what was read at the server's start.
    let cluster = unsafe { pg_sys::GetSystemIdentifier() };
    // SAFETY: a variable of this backend.
    let database = unsafe { pg_sys::MyDatabaseId };
    format!("{cluster}-{}-{event_id}", database.to_u32())
}
