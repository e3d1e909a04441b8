//! Whether a guard's triggers are in place, and what they watch.

use crate::name::to_string;
use crate::scan::OpenTable;
use pgrx::pg_sys::{self, Oid};

/// The four triggers that `attach` puts on a users table: name, event and level.
pub const TRIGGERS: [(&str, u32); 4] = [
    (UPDATE_TRIGGER, pg_sys::TRIGGER_TYPE_UPDATE | pg_sys::TRIGGER_TYPE_ROW),
    ("session_guard_insert", pg_sys::TRIGGER_TYPE_INSERT | pg_sys::TRIGGER_TYPE_ROW),
    ("session_guard_delete", pg_sys::TRIGGER_TYPE_DELETE | pg_sys::TRIGGER_TYPE_ROW),
    ("session_guard_truncate", pg_sys::TRIGGER_TYPE_TRUNCATE),
];

/// The one trigger with a WHEN clause.
pub const UPDATE_TRIGGER: &str = "session_guard_update";

/// The table's triggers of ours, enabled or not. One that has any has been attached, whatever it is
/// called now.
pub fn stamping_triggers(table: &OpenTable, stamper: Oid) -> Vec<String> {
    let ours = triggers(table).iter().filter(|trigger| trigger.tgfoid == stamper);
    ours.filter_map(|trigger| to_string(trigger.tgname)).collect()
}

/// The first of these names that a trigger of somebody else's has.
pub fn taken_name(
    table: &OpenTable,
    names: &[(&'static str, u32)],
    function: Oid,
) -> Option<&'static str> {
    let others = triggers(table).iter().filter(|trigger| trigger.tgfoid != function);
    let others: Vec<_> = others.filter_map(|trigger| to_string(trigger.tgname)).collect();
    let mut ours = names.iter().map(|(name, _)| *name);
    ours.find(|name| others.iter().any(|other| other == name))
}

fn triggers(table: &OpenTable) -> &[pg_sys::Trigger] {
    let description = table.relation().trigdesc;
    if description.is_null() {
        return &[];
    }
    // SAFETY: the description of an open relation stays while the relation is open.
    let description = unsafe { &*description };
    let count = usize::try_from(description.numtriggers).unwrap_or(0);
    // SAFETY: PostgreSQL fills as many as it counts.
    unsafe { std::slice::from_raw_parts(description.triggers, count) }
}

fn trigger<'a>(table: &'a OpenTable, name: &str, stamper: Oid) -> Option<&'a pg_sys::Trigger> {
    triggers(table).iter().find(|trigger| {
        trigger.tgfoid == stamper && to_string(trigger.tgname).as_deref() == Some(name)
    })
}

/// The columns that the update trigger compares, in the order in which `attach` wrote them: id,
/// active, then those of `revoke_on`. `None` if there is no such trigger, or its clause is another.
pub fn watched_columns(table: &OpenTable, stamper: Oid) -> Option<Vec<i16>> {
    compared_columns(table, UPDATE_TRIGGER, stamper)
}

/// The columns that a trigger's clause compares, in its order; 0 for the whole row.
pub fn compared_columns(table: &OpenTable, name: &str, function: Oid) -> Option<Vec<i16>> {
    let clause = trigger(table, name, function)?.tgqual;
    if clause.is_null() {
        return None;
    }
    // SAFETY: a trigger's clause is the text of an expression tree.
    let tree: *mut pg_sys::Node = unsafe { pg_sys::stringToNode(clause) }.cast();
    // SAFETY: every node begins with its tag.
    if unsafe { (*tree).type_ } != pg_sys::NodeTag::T_BoolExpr {
        return None;
    }
    let tree: *mut pg_sys::BoolExpr = tree.cast();
    // SAFETY: the tag says what the node is.
    let tree = unsafe { &*tree };
    if tree.boolop != pg_sys::BoolExprType::OR_EXPR {
        return None;
    }
    // SAFETY: the arguments of a BoolExpr are a list of nodes.
    let arms = unsafe { pgrx::PgList::<pg_sys::Node>::from_pg(tree.args) };
    arms.iter_ptr().map(compared_column).collect()
}

/// The column that an arm of the form `OLD.column IS DISTINCT FROM NEW.column` compares.
fn compared_column(arm: *mut pg_sys::Node) -> Option<i16> {
    // SAFETY: every node begins with its tag.
    if unsafe { (*arm).type_ } != pg_sys::NodeTag::T_DistinctExpr {
        return None;
    }
    // SAFETY: a WHEN clause has neither aggregates nor placeholders, which would raise.
    let columns = unsafe { pg_sys::pull_var_clause(arm, 0) };
    // SAFETY: pull_var_clause returns a list of Var nodes.
    let columns = unsafe { pgrx::PgList::<pg_sys::Var>::from_pg(columns) };
    let columns: Vec<(u32, i16)> = columns
        .iter_ptr()
        .map(|column| {
            // SAFETY: as above.
            let column = unsafe { &*column };
            (column.varno as u32, column.varattno)
        })
        .collect();
    match columns[..] {
        [(pg_sys::PRS2_OLD_VARNO, before), (pg_sys::PRS2_NEW_VARNO, after)]
            if before == after && before >= 0 =>
        {
            Some(before)
        }
        _ => None,
    }
}

/// Why triggers of these names and kinds are not all in place and `ENABLE ALWAYS`; `None` when they are.
pub fn why_not_in_place(table: &OpenTable, names: &[(&str, u32)], function: Oid) -> Option<String> {
    names.iter().find_map(|(name, kind)| {
        let Some(trigger) = trigger(table, name, function) else {
            return Some(format!("trigger {name} is missing"));
        };
        match trigger.tgenabled as u8 {
            pg_sys::TRIGGER_FIRES_ALWAYS => {}
            b'D' => return Some(format!("trigger {name} is disabled")),
            _ => return Some(format!("trigger {name} is not ENABLE ALWAYS")),
        }
        let is_conditional = kind & pg_sys::TRIGGER_TYPE_UPDATE != 0;
        let fires_as_made = trigger.tgtype as u32 == *kind
            && trigger.tgnattr == 0
            && (is_conditional || trigger.tgqual.is_null());
        (!fires_as_made).then(|| fires_otherwise(name))
    })
}

fn fires_otherwise(name: &str) -> String {
    format!("trigger {name} fires on other changes than the guard's")
}

/// Why a guard of these columns is not armed; `None` when it is.
pub fn why_disarmed(
    table: &OpenTable,
    (id, active, revoke_on): (i16, i16, &[i16]),
    stamper: Oid,
    watched: &[i16],
) -> Option<String> {
    let (update, others) = TRIGGERS.split_at(1);
    let columns = [id, active].into_iter().chain(revoke_on.iter().copied());
    let compares_others = !columns.eq(watched.iter().copied());
    why_not_in_place(table, update, stamper)
        .or_else(|| compares_others.then(|| fires_otherwise(UPDATE_TRIGGER)))
        .or_else(|| why_not_in_place(table, others, stamper))
}
