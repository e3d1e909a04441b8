//! SQL: what comes for the extension's own tables by logical replication, where a publication has them, as one of all tables
//! does.
//!
//! The subscriber's triggers stamp the accounts that come with it, too, so that it has many a row already. PostgreSQL would
//! stop the subscription at the second (manual, section "Conflicts"), and an earlier epoch could take the place of a later one.
//! What comes raises epochs, and does nothing else to what is there: each server keeps, forgets and prunes for itself.

use crate::event::next_number;
use crate::lookup::{RowLock, lock_account};
use crate::name::qualified_name;
use crate::registry::{self, name_of_ours};
use crate::scan::{Row, text_datum};
use crate::session::CALLED_BY_CALL_INFO;
use crate::stamp::{write_token, write_user};
use crate::statement::{self, Statement};
use crate::trigger::called_by_trigger;
use crate::user_id::{IdType, UserId};
use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;

thread_local! {
    static WRITE_GUARD: Statement = const { Statement::new(
        c"INSERT INTO session_guard.guard_epoch AS e (guard, table_name, epoch, reason, stamped_at)
          VALUES ($1, $2, $3, $4, $5)
          ON CONFLICT (guard) DO UPDATE
          SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
          WHERE (e.epoch >= EXCLUDED.epoch) IS NOT TRUE AND EXCLUDED.epoch IS NOT NULL",
        &[
            pg_sys::REGCLASSOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID,
            pg_sys::TIMESTAMPTZOID,
        ],
    ) };
    static FIND_WATCH: Statement = const {
        Statement::new(c"SELECT FROM session_guard.watch WHERE related = $1", &[pg_sys::REGCLASSOID])
    };
}

/// The number of the epoch's column, in each of the tables of epochs.
const EPOCH: i16 = 3;

type Tuple = pg_sys::HeapTuple;

/// Not to be written.
const NONE: Tuple = std::ptr::null_mut();

/// Called before something is done to a row of the extension's own tables that has come by replication. Gives back the row to
/// write.
fn arrive(trigger: &PgTrigger) -> Tuple {
    let data = trigger.trigger_data();
    // SAFETY: a trigger is called with its relation open.
    let table = unsafe { &*data.tg_relation };
    let operation = data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK;
    let is_update = operation == pg_sys::TRIGGER_EVENT_UPDATE;
    let arriving = if is_update { data.tg_newtuple } else { data.tg_trigtuple };
    // SAFETY: a variable of this backend.
    let role = unsafe { pg_sys::SessionReplicationRole };
    // After ALTER TABLE ... ENABLE TRIGGER ALL the triggers fire for edits by hand as well, which are to be as they are. And what
    // this server itself writes, while it applies what comes, is no arrival.
    let is_arrival =
        role == pg_sys::SESSION_REPLICATION_ROLE_REPLICA as i32 && !statement::is_running();
    if arriving.is_null() || !is_arrival {
        return arriving;
    }
    let name = name_of_ours(table).unwrap_or_default();
    let has_epochs = matches!(name.as_str(), "epoch" | "guard_epoch" | "token_epoch");
    if !has_epochs && !matches!(name.as_str(), "guard" | "watch" | "timeline" | "event") {
        return arriving;
    }
    // SAFETY: a row-level trigger is called with tuples of its relation.
    let row_of = |tuple| unsafe { Row::of_trigger(tuple, table) };
    let row = row_of(arriving);
    if is_update {
        let epoch = |row: &Row| row.get(EPOCH).map(|epoch| epoch.value() as i64);
        let rises = has_epochs && epoch(&row) > epoch(&row_of(data.tg_trigtuple));
        return if rises { arriving } else { NONE };
    }
    if operation != pg_sys::TRIGGER_EVENT_INSERT {
        return NONE;
    }
    match name.as_str() {
        "epoch" => raise_user(&row, [1, 2, 3, 4, 5]),
        "guard_epoch" => {
            WRITE_GUARD.with(|write| write.run(&columns(&row, [1, 2, 3, 4, 5])));
        }
        "token_epoch" => {
            write_token(&columns(&row, [1, 2, 3, 4, 5]));
        }
        "guard" => return new_guard(table, arriving, &row),
        "watch" => {
            let is_there = FIND_WATCH.with(|find| find.run(&columns(&row, [1]))) > 0;
            return if is_there { NONE } else { arriving };
        }
        "event" => {
            raise_by_event(&row);
            // SAFETY: reads variables of this backend.
            let is_replicated = unsafe { pg_sys::IsLogicalWorker() };
            return if is_replicated { renumbered(table, arriving) } else { arriving };
        }
        // What is known of another cluster's timelines says nothing of this one's.
        _ => {}
    }
    NONE
}

fn columns<const N: usize>(row: &Row, numbers: [i16; N]) -> [Option<Datum>; N] {
    numbers.map(|number| row.get(number))
}

/// Raises a user's epoch: the columns are those of the guard, the id, the epoch, the reason and the time.
fn raise_user(row: &Row, numbers: [i16; 5]) {
    // Whoever stamps here holds the account's row, and nobody writes the same key meanwhile.
    let guard = registry::relation(row, numbers[0]);
    if let Ok(open) = registry::open(Some(guard), pg_sys::RowShareLock)
        && let Some(UserId::Text(key)) = row.id(numbers[1], IdType::Text)
        && let Some(id) = UserId::Text(key).in_column(open.guard.id.id_type)
    {
        lock_account(&open, &id, RowLock::Change);
    }
    write_user(&columns(row, numbers));
}

/// The event tells of an epoch that was raised, also where the row that has it is not here, or is another one here, so that
/// its change does not come.
fn raise_by_event(row: &Row) {
    let [at, guard, user_id, scope, subject, epoch, reason] = [2, 3, 4, 5, 6, 7, 8];
    let has = |number| row.get(number).is_some();
    if has(guard) && has(user_id) {
        raise_user(row, [guard, user_id, epoch, reason, at]);
    } else if has(guard) {
        let name = qualified_name(registry::relation(row, guard));
        let [guard, epoch, reason, at] = columns(row, [guard, epoch, reason, at]);
        let row = [guard, Some(text_datum(name.as_bytes())), epoch, reason, at];
        WRITE_GUARD.with(|write| write.run(&row));
    } else {
        write_token(&columns(row, [scope, subject, epoch, reason, at]));
    }
}

/// A guard that is not here yet, which is the default if no other is.
fn new_guard(table: &pg_sys::RelationData, guard: Tuple, row: &Row) -> Tuple {
    const IS_DEFAULT: i16 = 6;
    let rows = registry::rows();
    let relid = registry::relation(row, 1);
    if rows.iter().any(|row| row.relid == relid) {
        return NONE;
    }
    match rows.iter().any(|row| row.is_default) {
        true => with_column(table, guard, IS_DEFAULT, false.into()),
        false => guard,
    }
}

/// An event with a number of this server's: those of another can be the same, as after a standby has become a subscriber.
fn renumbered(table: &pg_sys::RelationData, event: Tuple) -> Tuple {
    const NUMBER: i16 = 1;
    with_column(table, event, NUMBER, next_number().unwrap_or(Datum::null()))
}

fn with_column(table: &pg_sys::RelationData, tuple: Tuple, number: i16, mut value: Datum) -> Tuple {
    let (mut number, mut is_null) = (number.into(), false);
    // SAFETY: the tuple is of this row type, and the value of that column's type.
    unsafe {
        pg_sys::heap_modify_tuple_by_cols(
            tuple,
            table.rd_att,
            1,
            &raw mut number,
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
