//! SQL: by which guard and key a user's events are recorded, for `session_guard.history`.

use crate::cache::guard_cache::open_for_check;
use crate::check::evaluate::guard_ref;
use crate::pg::call_args::{Int2Id, Int4Id, Int8Id, TextId, UserArgs, UuidId, parse_history_args};
use crate::pg::datum::TextPair;
use crate::pg::names::to_server;
use crate::pg::relation::Lock;
use crate::pg::report::OrRaise;
use pgrx::prelude::*;

fn event_key(UserArgs { users, id }: UserArgs) -> Option<TextPair> {
    let open = open_for_check(guard_ref(users), Lock::Read).or_raise();
    let id = id?.in_column(open.guard.columns.id.id_type)?;
    let guard = to_server(&open.guard.name).into_bytes();
    Some(TextPair([guard, id.into_key().into_owned()]))
}

macro_rules! event_key {
    ($id:ty: $key:ident) => {
        #[pg_extern(sql = false)]
        fn $key(call: pg_sys::FunctionCallInfo) -> Option<TextPair> {
            // SAFETY: declared so in sql/functions.sql.
            event_key(unsafe { parse_history_args::<$id>(call) })
        }
    };
}

event_key!(Int2Id: event_key_int2);
event_key!(Int4Id: event_key_int4);
event_key!(Int8Id: event_key_int8);
event_key!(UuidId: event_key_uuid);
event_key!(TextId: event_key_text);
