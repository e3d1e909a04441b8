//! SQL: why a session counts, or why not.

use super::evaluate::evaluate;
use crate::pg::call_args::{Int2Id, Int4Id, Int8Id, TextId, UuidId, parse_session_args};
use crate::pg::invalidation;
use pgrx::prelude::*;

macro_rules! session_verdict {
    ($id:ty: $verdict:ident) => {
        #[pg_extern(sql = false)]
        fn $verdict(call: pg_sys::FunctionCallInfo) -> &'static str {
            invalidation::accept_messages();
            // SAFETY: declared so in sql/functions.sql.
            evaluate(unsafe { parse_session_args::<$id>(call) }).name()
        }
    };
}

session_verdict!(Int2Id: session_verdict_int2);
session_verdict!(Int4Id: session_verdict_int4);
session_verdict!(Int8Id: session_verdict_int8);
session_verdict!(UuidId: session_verdict_uuid);
session_verdict!(TextId: session_verdict_text);
