//! The record of stamps: what was stamped, why, by whom and by which path, in the transaction that
//! stamps.

use super::pending;
use crate::cache::generations::{self, Bucket};
use crate::catalog::extension::ExtensionRelations;
use crate::catalog::policy::Policy;
use crate::core::epoch::{Epoch, Instant};
use crate::pg::datum::{Inet, Value};
use crate::pg::heap_insert::UnmodifiedTable;
use crate::pg::names::{extension_relation, to_server};
use crate::pg::relation::{Lock, Relation};
use crate::pg::roles::{acting_role, login_role, recorded_name_bytes};
use crate::pg::server;
use crate::pg::spi::Statement;
use pgrx::pg_sys;

/// What a stamp ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject<'a> {
    /// One user's sessions: of the guard, the user's key.
    User(&'a str, &'a [u8]),
    /// All sessions of a guard.
    AllUsers(&'a str),
    /// One subject's tokens: of the scope, the subject.
    Token(&'a [u8], &'a [u8]),
    /// All tokens of a scope.
    AllTokens(&'a [u8]),
}

/// As the extension made the table: one trigger, for logical replication, and three indexes.
fn event_table_as_made(relations: &ExtensionRelations) -> UnmodifiedTable {
    UnmodifiedTable {
        trigger_functions: [relations.apply_replicated; 2],
        triggers: 1,
        indexes: 3,
        unique_indexes: 0,
    }
}

thread_local! {
    static WRITE: Statement = const { Statement::new(
        c"INSERT INTO session_guard.event (id, at, guard, user_id, scope, subject, epoch, reason,
              login_role, acting_role, application_name, client_addr, transaction_id,
              replication_origin)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        &[
            pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID, pg_sys::TEXTOID,
            pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID,
            pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INETOID, pg_sys::XID8OID,
            pg_sys::TEXTOID,
        ],
    ) };
}

/// Invalidates the subject in every backend, marks the transaction as one that stamps, and writes
/// the event. With the rights of the extension's owner.
pub fn record(
    relations: &ExtensionRelations,
    policy: &Policy,
    subject: Subject,
    (Epoch(epoch), at): (Epoch, Instant),
    reason: [&[u8]; 2],
) {
    match subject {
        Subject::User(_, key) => {
            generations::invalidate_user(Bucket::of(key), relations.invalidation);
        }
        Subject::AllUsers(_) => generations::invalidate_all(relations.invalidation),
        // Nobody keeps those.
        Subject::Token(..) | Subject::AllTokens(_) => {}
    }
    pending::note_stamp();
    let Some(table) = event_table(policy) else { return };
    let guard = match subject {
        Subject::User(guard, _) | Subject::AllUsers(guard) => Some(to_server(guard)),
        Subject::Token(..) | Subject::AllTokens(_) => None,
    };
    let (mut user_id, mut scope, mut token) = (Value::Null, Value::Null, Value::Null);
    match subject {
        Subject::User(_, key) => user_id = Value::Text(key),
        Subject::AllUsers(_) => {}
        Subject::Token(of, id) => (scope, token) = (Value::Text(of), Value::Text(id)),
        Subject::AllTokens(of) => scope = Value::Text(of),
    }
    let context = AuditContext::current();
    let row = [
        Value::Int8(next_id().unwrap_or(at.0)),
        Value::Time(at),
        guard.as_ref().map_or(Value::Null, |guard| Value::Text(guard.to_bytes())),
        user_id,
        scope,
        token,
        Value::Time(epoch),
        Value::Joined(reason),
        Value::Text(&context.login_role),
        Value::Text(&context.acting_role),
        context.application_name.as_deref().map_or(Value::Null, Value::Text),
        context.client_address.map_or(Value::Null, Value::Inet),
        Value::Xid8(context.transaction_id),
        context.replication_origin.as_deref().map_or(Value::Null, Value::Text),
    ];
    if !table.insert(event_table_as_made(relations), &row) {
        WRITE.with(|write| write.run(&row));
    }
}

/// The number of the next event. The sequence goes round, so that it never ends.
pub fn next_id() -> Option<i64> {
    server::next_value(extension_relation(c"event_id_seq")?)
}

/// Where stamps are to be recorded, if they are.
fn event_table(policy: &Policy) -> Option<Relation> {
    let relid = policy.audit.then(|| extension_relation(c"event")).flatten()?;
    Relation::open(relid, Lock::Write)
}

/// Who stamps, and by which path. Texts are in the database's encoding.
pub struct AuditContext {
    /// Who has logged in to the server.
    pub login_role: Vec<u8>,
    /// Whom SET ROLE has made of that; not the owner of a SECURITY DEFINER function.
    pub acting_role: Vec<u8>,
    /// The client's `application_name`.
    pub application_name: Option<Vec<u8>>,
    /// From where the client is connected.
    pub client_address: Option<Inet>,
    /// The transaction that stamps.
    pub transaction_id: u64,
    /// From where the change is applied by logical replication.
    pub replication_origin: Option<Vec<u8>>,
}

impl AuditContext {
    /// That of this backend now.
    pub fn current() -> AuditContext {
        AuditContext {
            login_role: recorded_name_bytes(login_role()),
            acting_role: recorded_name_bytes(acting_role()),
            application_name: server::setting(c"application_name"),
            client_address: server::client_address(),
            transaction_id: server::full_transaction_id(),
            replication_origin: server::replication_origin_name(),
        }
    }
}
