//! SQL: whether a session still counts.

use super::evaluate::{evaluate, evaluate_cached};
use crate::cache::guard_cache::GuardRef;
use crate::pg::call_args::{
    CALLED_BY_CALL_INFO, Int2Id, Int4Id, Int8Id, TextId, UuidId, parse_plain_session_args,
    parse_session_args,
};
use crate::pg::noguard::accept_invalidation_messages;
use pgrx::prelude::*;

macro_rules! session_valid {
    ($id:ty: $valid:ident, $finfo:ident, $guarded:ident) => {
        /// What PostgreSQL calls, at each request. `pg_guard` costs as much as a cache hit, so hits
        /// return before it. Accepting invalidations is the one thing in that which can raise, and
        /// there is nothing yet for an error to unwind.
        #[unsafe(no_mangle)]
        unsafe extern "C-unwind" fn $valid(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            accept_invalidation_messages();
            // SAFETY: declared so in sql/functions.sql.
            if let Some((users, id, login)) = unsafe { parse_plain_session_args::<$id>(call) }
                && let Some(verdict) = evaluate_cached(GuardRef::of(users), &id, login)
            {
                return verdict.is_valid().into();
            }
            // SAFETY: called as this is.
            unsafe { $guarded(call) }
        }

        #[doc(hidden)]
        #[unsafe(no_mangle)]
        extern "C-unwind" fn $finfo() -> &'static pg_sys::Pg_finfo_record {
            &CALLED_BY_CALL_INFO
        }

        #[pg_guard]
        unsafe extern "C-unwind" fn $guarded(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            // SAFETY: declared so in sql/functions.sql.
            evaluate(unsafe { parse_session_args::<$id>(call) }).is_valid().into()
        }
    };
}

session_valid!(Int2Id: session_valid_int2, pg_finfo_session_valid_int2, guarded_int2);
session_valid!(Int4Id: session_valid_int4, pg_finfo_session_valid_int4, guarded_int4);
session_valid!(Int8Id: session_valid_int8, pg_finfo_session_valid_int8, guarded_int8);
session_valid!(UuidId: session_valid_uuid, pg_finfo_session_valid_uuid, guarded_uuid);
session_valid!(TextId: session_valid_text, pg_finfo_session_valid_text, guarded_text);
