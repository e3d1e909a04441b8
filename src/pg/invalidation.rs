//! PostgreSQL's invalidation messages, by which this backend and all others learn what has changed.
//!
//! DDL on a relation sends one by itself. The messages are transactional: they reach the backend
//! that made the change at its next command, others when the change commits and before COMMIT
//! returns, and standbys with the commit's WAL record (PostgreSQL source,
//! src/backend/utils/cache/inval.c).

use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;
#[cfg(not(feature = "pg19"))]
use std::ffi::c_int;

/// What is called for each message: for a relation, or with zero for all; nothing may be looked up
/// inside.
#[derive(Clone, Copy)]
pub struct Callbacks {
    /// A relation may have changed.
    pub relation: fn(Oid),
    /// A schema, a role, a membership in one, or a label of an enum may have changed. A schema that
    /// is renamed takes its tables to another name without a message for each.
    pub catalog: fn(),
}

thread_local! {
    static CALLBACKS: Cell<Option<Callbacks>> = const { Cell::new(None) };
}

/// Registers the callbacks. Called once, when the library is loaded.
pub fn register_callbacks(callbacks: Callbacks) {
    CALLBACKS.set(Some(callbacks));
    // SAFETY: the callback is a static function, and the library is never unloaded.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), pg_sys::Datum::from(0));
    }
    for cache in [
        pg_sys::SysCacheIdentifier::NAMESPACEOID,
        pg_sys::SysCacheIdentifier::AUTHOID,
        pg_sys::SysCacheIdentifier::AUTHMEMROLEMEM,
        pg_sys::SysCacheIdentifier::ENUMOID,
    ] {
        // SAFETY: as above.
        unsafe {
            pg_sys::CacheRegisterSyscacheCallback(
                cache as _,
                Some(on_catalog_change),
                pg_sys::Datum::from(0),
            );
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_relation_change(_arg: pg_sys::Datum, relid: Oid) {
    if let Some(callbacks) = CALLBACKS.get() {
        (callbacks.relation)(relid);
    }
}

#[cfg(not(feature = "pg19"))]
type CacheId = c_int;
#[cfg(feature = "pg19")]
type CacheId = pg_sys::SysCacheIdentifier::Type;

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_catalog_change(_arg: pg_sys::Datum, _cache: CacheId, _hash: u32) {
    if let Some(callbacks) = CALLBACKS.get() {
        (callbacks.catalog)();
    }
}

/// Processes the messages of what others have committed.
pub fn accept_messages() {
    // SAFETY: legal wherever a query may run.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}

/// Sends a message for a relation that need not exist.
pub fn send(relid: Oid) {
    let mut class = pg_sys::FormData_pg_class::default();
    let mut relation =
        pg_sys::RelationData { rd_id: relid, rd_rel: &raw mut class, ..Default::default() };
    // SAFETY: reads the OID, and whether the relation is shared among databases, which it is not.
    unsafe { pg_sys::CacheInvalidateRelcache(&raw mut relation) };
}
