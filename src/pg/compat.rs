//! What differs between PostgreSQL majors, and nothing else.

use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;

/// Whether `role` owns the relation, or has the rights of the role that does.
pub fn owns_relation(relid: Oid, role: Oid) -> bool {
    #[cfg(feature = "pg15")]
    // SAFETY: two OIDs; a relation that is gone raises an error.
    return unsafe { pg_sys::pg_class_ownercheck(relid, role) };
    #[cfg(not(feature = "pg15"))]
    // SAFETY: two OIDs; a relation that is gone raises an error.
    return unsafe { pg_sys::object_ownercheck(pg_sys::RelationRelationId, relid, role) };
}

/// Makes a misspelt setting of this prefix an error.
pub fn reserve_setting_prefix(prefix: &CStr) {
    // SAFETY: the string outlives the call, which copies what it keeps.
    unsafe { pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) };
}

/// Whether a generated column is computed on reading, so that no tuple holds it (PostgreSQL 18,
/// section "Generated Columns").
pub fn is_virtual(column: &pg_sys::FormData_pg_attribute) -> bool {
    column.attgenerated == b'v' as std::ffi::c_char
}

/// The replication origin whose changes this backend applies, if it applies any.
pub fn replication_origin() -> Option<u16> {
    #[cfg(not(feature = "pg19"))]
    // SAFETY: a variable of this backend.
    let origin = unsafe { pg_sys::replorigin_session_origin };
    #[cfg(feature = "pg19")]
    // SAFETY: a variable of this backend.
    let origin = unsafe { pg_sys::replorigin_xact_state.origin };
    (origin != 0).then_some(origin)
}
