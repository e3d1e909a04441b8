//! What differs between PostgreSQL majors, and nothing else.

use pgrx::pg_sys;
use std::ffi::CStr;

/// Whether `role` owns the relation, or has the rights of the role that does.
pub fn owns_relation(relid: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    #[cfg(any(feature = "pg13", feature = "pg14", feature = "pg15"))]
    // SAFETY: two OIDs; a relation that is gone raises an error.
    return unsafe { pg_sys::pg_class_ownercheck(relid, role) };
    #[cfg(not(any(feature = "pg13", feature = "pg14", feature = "pg15")))]
    // SAFETY: two OIDs; a relation that is gone raises an error.
    return unsafe { pg_sys::object_ownercheck(pg_sys::RelationRelationId, relid, role) };
}

/// Makes a misspelt setting an error: at once from PostgreSQL 15 on, a warning before.
pub fn reserve_setting_prefix(prefix: &CStr) {
    #[cfg(any(feature = "pg13", feature = "pg14"))]
    // SAFETY: the string outlives the call, which copies what it keeps.
    unsafe {
        pg_sys::EmitWarningsOnPlaceholders(prefix.as_ptr())
    };
    #[cfg(not(any(feature = "pg13", feature = "pg14")))]
    // SAFETY: the string outlives the call, which copies what it keeps.
    unsafe {
        pg_sys::MarkGUCPrefixReserved(prefix.as_ptr())
    };
}

/// An integer in one of the forms that came with PostgreSQL 16: `0x2A`, `0o52`, `0b101010`,
/// `1_000` (release notes 16, section E.1). `None` where it is no integer, or the server older.
///
/// The unit tests run outside of a server, where there is nothing to call, nor to link to.
pub fn read_modern_integer(text: &CStr) -> Option<i64> {
    #[cfg(any(test, feature = "pg13", feature = "pg14", feature = "pg15"))]
    {
        let _ = text;
        None
    }
    #[cfg(not(any(test, feature = "pg13", feature = "pg14", feature = "pg15")))]
    {
        let mut errors = pg_sys::ErrorSaveContext {
            type_: pg_sys::NodeTag::T_ErrorSaveContext,
            ..Default::default()
        };
        let mut value = pg_sys::Datum::from(0);
        let mut int8in = pg_sys::FmgrInfo::default();
        // SAFETY: fills the lookup of a function of PostgreSQL's own.
        unsafe { pg_sys::fmgr_info(pg_sys::Oid::from(pg_sys::F_INT8IN), &raw mut int8in) };
        // SAFETY: int8in reads the NUL-terminated text, and with an ErrorSaveContext it reports bad
        // input through that instead of raising.
        let is_integer = unsafe {
            pg_sys::InputFunctionCallSafe(
                &raw mut int8in,
                text.as_ptr().cast_mut(),
                pg_sys::InvalidOid,
                -1,
                (&raw mut errors).cast(),
                &raw mut value,
            )
        };
        is_integer.then_some(value.value() as i64)
    }
}

/// Whether a generated column is computed on reading, so that the row does not hold it
/// (PostgreSQL 18, section 5.4).
pub fn is_virtual(column: &pg_sys::FormData_pg_attribute) -> bool {
    column.attgenerated == b'v' as std::ffi::c_char
}
