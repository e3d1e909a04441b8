//! SQL: what comes for the extension's own tables by logical replication, where a publication has them, as one of all tables
//! does.
//!
//! The subscriber's triggers stamp the accounts that come with it, too, so that it has many a row already. PostgreSQL would
//! stop the subscription at the second (manual, section "Conflicts"), and an earlier epoch could take the place of a later one.

use crate::registry::relation_of_ours;
use crate::scan::Row;
use crate::session::CALLED_BY_CALL_INFO;
use crate::statement::{self, Statement};
use crate::trigger::called_by_trigger;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use pgrx::{IntoDatum, direct_function_call};
use std::ffi::CStr;
use std::thread::LocalKey;

/// The columns that the three tables of epochs begin with: what has the epoch, in two parts, and the epoch with its reason.
const OF_USER: [Oid; 5] = [
    pg_sys::REGCLASSOID,
    pg_sys::TEXTOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::TEXTOID,
    pg_sys::TIMESTAMPTZOID,
];
const OF_TOKEN: [Oid; 5] = [
    pg_sys::TEXTOID,
    pg_sys::TEXTOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::TEXTOID,
    pg_sys::TIMESTAMPTZOID,
];
/// The number of the epoch's column in these.
const EPOCH: i16 = 3;

/// Raises the epoch that is there, if there is one.
macro_rules! raise {
    ($table:literal, $key:literal) => {
        match CStr::from_bytes_with_nul(
            concat!(
                "UPDATE session_guard.",
                $table,
                " SET epoch = greatest(epoch, $3),
                     reason = CASE WHEN greatest(epoch, $3) IS NOT DISTINCT FROM epoch THEN reason ELSE $4 END,
                     stamped_at = CASE WHEN greatest(epoch, $3) IS NOT DISTINCT FROM epoch THEN stamped_at ELSE $5 END
                 WHERE ",
                $key,
                "\0"
            )
            .as_bytes(),
        ) {
            Ok(sql) => sql,
            Err(_) => unreachable!(),
        }
    };
}

thread_local! {
    // What each does with a row that is there; it takes the first columns of the one that comes.
    static USER: Statement =
        const { Statement::new(raise!("epoch", "guard = $1 AND user_id = $2"), &OF_USER) };
    static ALL_USERS: Statement = const { Statement::new(raise!("guard_epoch", "guard = $1"), &OF_USER) };
    static TOKEN: Statement =
        const { Statement::new(raise!("token_epoch", "scope = $1 AND subject = $2"), &OF_TOKEN) };
    static ALL_TOKENS: Statement = const {
        Statement::new(raise!("token_epoch", "scope = $1 AND subject IS NULL AND $2 IS NULL"), &OF_TOKEN)
    };
    static GUARD: Statement = const {
        Statement::new(c"SELECT FROM session_guard.guard WHERE guard = $1", &[pg_sys::REGCLASSOID])
    };
    static WATCH: Statement = const {
        Statement::new(c"SELECT FROM session_guard.watch WHERE related = $1", &[pg_sys::REGCLASSOID])
    };
}

/// Called before a row of the extension's own tables is written that has come by replication: merges it with what is there.
/// Gives back the row to write, or NULL for none.
fn arrive(trigger: &PgTrigger) -> pg_sys::HeapTuple {
    let data = trigger.trigger_data();
    // SAFETY: a trigger is called with its relation open.
    let table = unsafe { &*data.tg_relation };
    let is_update = data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_UPDATE;
    let arriving = if is_update { data.tg_newtuple } else { data.tg_trigtuple };
    // What this server itself writes, while it applies what comes, is no arrival.
    if statement::is_running() || arriving.is_null() {
        return arriving;
    }
    let is = |name| relation_of_ours(name) == Some(table.rd_id);
    let has_epochs = is(c"epoch") || is(c"guard_epoch") || is(c"token_epoch");
    // SAFETY: a row-level trigger is called with tuples of its relation.
    let row_of = |tuple| unsafe { Row::of_trigger(tuple, table) };
    if is_update {
        let epoch = |tuple| row_of(tuple).get(EPOCH).map(|epoch| epoch.value() as i64);
        let falls = has_epochs && epoch(arriving) < epoch(data.tg_trigtuple);
        return if falls { data.tg_trigtuple } else { arriving };
    }
    let row = row_of(arriving);
    let is_there =
        |merge: &'static LocalKey<Statement>| merge.with(|merge| merge.run_with(&row) > 0);
    let is_known = match () {
        () if is(c"epoch") => is_there(&USER),
        () if is(c"guard_epoch") => is_there(&ALL_USERS),
        () if is(c"token_epoch") => is_there(&TOKEN) || is_there(&ALL_TOKENS),
        () if is(c"guard") => is_there(&GUARD),
        () if is(c"watch") => is_there(&WATCH),
        // What is known of another cluster's timelines says nothing of this one's.
        () if is(c"timeline") => true,
        () if is(c"event") => return renumbered(table, arriving),
        () => false,
    };
    if is_known { std::ptr::null_mut() } else { arriving }
}

/// An event with a number of this server's: those of another can be the same, as after a standby has become a subscriber.
fn renumbered(table: &pg_sys::RelationData, event: pg_sys::HeapTuple) -> pg_sys::HeapTuple {
    let sequence = relation_of_ours(c"event_id_seq").into_datum();
    // SAFETY: a function of one OID.
    let number = unsafe { direct_function_call::<Datum>(pg_sys::nextval_oid, &[sequence]) };
    let (mut column, mut value, mut is_null) = (1, number.unwrap_or(Datum::null()), false);
    // SAFETY: the tuple is of this row type, whose first column is the number.
    unsafe {
        pg_sys::heap_modify_tuple_by_cols(
            event,
            table.rd_att,
            1,
            &raw mut column,
            &raw mut value,
            &raw mut is_null,
        )
    }
}

#[unsafe(no_mangle)]
#[pg_guard]
unsafe extern "C-unwind" fn arrive_wrapper(call: pg_sys::FunctionCallInfo) -> Datum {
    arrive(&called_by_trigger(call)).into()
}

#[unsafe(no_mangle)]
extern "C-unwind" fn pg_finfo_arrive_wrapper() -> &'static pg_sys::Pg_finfo_record {
    &CALLED_BY_CALL_INFO
}
