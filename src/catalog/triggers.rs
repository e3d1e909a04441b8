//! Whether the triggers of a guard or a watch are in place, and what they compare.

use crate::pg::relation::Relation;
use crate::pg::triggers::{Enabled, Trigger, TriggerKind};
use crate::pg::when_clause::Comparison;
use pgrx::pg_sys::Oid;

/// The triggers of one kind of table: the name and kind of each, the update trigger first.
pub type TriggerSet = [(&'static str, TriggerKind); 4];

/// What `attach` puts on a users table.
pub const USERS_TRIGGERS: TriggerSet = [
    ("session_guard_update", TriggerKind::UPDATE),
    ("session_guard_insert", TriggerKind::INSERT),
    ("session_guard_delete", TriggerKind::DELETE),
    ("session_guard_truncate", TriggerKind::TRUNCATE),
];

/// What a partition of a users table has: PostgreSQL makes those for rows because of the
/// partitioned table's; but TRUNCATE of a partition calls that one's own triggers alone.
pub const PARTITION_TRIGGERS: TriggerSet = [
    ("session_guard_update", TriggerKind::UPDATE),
    ("session_guard_insert", TriggerKind::INSERT),
    ("session_guard_delete", TriggerKind::DELETE),
    (PARTITION_TRUNCATE, TriggerKind::TRUNCATE),
];

/// The one of these that `attach` puts on a partition. A name of its own tells a partition from a
/// table that is guarded itself, also after it was detached.
pub const PARTITION_TRUNCATE: &str = "session_guard_partition_truncate";

/// What `watch` puts on a related table.
pub const RELATED_TRIGGERS: TriggerSet = [
    ("session_guard_related_update", TriggerKind::UPDATE),
    ("session_guard_related_insert", TriggerKind::INSERT),
    ("session_guard_related_delete", TriggerKind::DELETE),
    ("session_guard_related_truncate", TriggerKind::TRUNCATE),
];

/// The names of the table's own triggers that call this function, enabled or not.
pub fn names_of(table: &Relation, function: Oid) -> Vec<String> {
    let ours =
        table.triggers().filter(|trigger| trigger.function() == function && !trigger.is_clone());
    ours.map(|trigger| trigger.name()).collect()
}

/// The guard that the table's triggers serve, by their own argument.
pub fn served_guard(table: &Relation, function: Oid) -> Option<String> {
    served(table, function).and_then(|arguments| arguments.into_iter().next())
}

/// What the table's triggers serve, by their own arguments: a guard, or a guard and a watch.
pub fn served(table: &Relation, function: Oid) -> Option<Vec<String>> {
    table
        .triggers()
        .filter(|trigger| trigger.function() == function && !is_of_partition(trigger))
        .map(|trigger| trigger.arguments())
        .find(|arguments| !arguments.is_empty())
}

/// Whether the partitioned table is what the trigger serves, and not the partition that has it.
fn is_of_partition(trigger: &Trigger) -> bool {
    trigger.is_clone() || trigger.name() == PARTITION_TRUNCATE
}

/// Whether all of the table's triggers that call this function are such.
pub fn are_of_partition(table: &Relation, function: Oid) -> bool {
    table.triggers().filter(|trigger| trigger.function() == function).all(|t| is_of_partition(&t))
}

/// The names of those that do not fire in each session.
pub fn not_always(table: &Relation, set: &TriggerSet, function: Oid) -> Vec<&'static str> {
    let names = set.iter().map(|(name, _)| *name);
    names
        .filter(|name| {
            find(table, name, function).is_some_and(|found| found.enabled() != Enabled::Always)
        })
        .collect()
}

/// The first of these names that a trigger has which calls another function.
pub fn taken_name(table: &Relation, set: &TriggerSet, function: Oid) -> Option<&'static str> {
    let mut names = set.iter().map(|(name, _)| *name);
    names.find(|name| {
        table.triggers().any(|trigger| trigger.function() != function && trigger.name() == *name)
    })
}

/// The columns that the update trigger compares, in the order in which they were written: for a
/// users table the id, the status column, then those of `revoke_on`; for a related one the user's
/// id, then the columns watched. 0 is the whole row. `None` where there is no such trigger, or its
/// clause is no list of comparisons.
pub fn compared_columns(table: &Relation, set: &TriggerSet, function: Oid) -> Option<Vec<i16>> {
    find(table, set[0].0, function)?.compared_columns()
}

/// Whether the update trigger's clause begins with these comparisons.
pub fn compares_first(
    table: &Relation,
    set: &TriggerSet,
    function: Oid,
    comparisons: &[Comparison],
) -> bool {
    find(table, set[0].0, function)
        .is_some_and(|trigger| trigger.compares_first(table, comparisons))
}

/// The arguments of the update trigger.
pub fn arguments_of_update(
    table: &Relation,
    set: &TriggerSet,
    function: Oid,
) -> Option<Vec<String>> {
    find(table, set[0].0, function).map(|trigger| trigger.arguments())
}

/// The arguments of the trigger of this name.
pub fn arguments_of(table: &Relation, name: &str, function: Oid) -> Option<Vec<String>> {
    find(table, name, function).map(|trigger| trigger.arguments())
}

/// Why the triggers are not all in place and `ENABLE ALWAYS`: each of them that is not.
pub fn problems(
    table: &Relation,
    set: &TriggerSet,
    function: Oid,
    arguments: &[&str],
    comparisons: &[Comparison],
) -> Vec<String> {
    let problem = |(name, kind): &(&str, TriggerKind)| {
        let Some(trigger) = find(table, name, function) else {
            return Some(format!("trigger {name} is missing"));
        };
        match trigger.enabled() {
            Enabled::Always => {}
            Enabled::No => return Some(format!("trigger {name} is disabled")),
            Enabled::Sometimes => return Some(format!("trigger {name} is not ENABLE ALWAYS")),
        }
        if trigger.arguments() != arguments {
            let is_other_guard =
                trigger.arguments().first().map(String::as_str) != arguments.first().copied();
            return Some(match is_other_guard {
                true => format!("trigger {name} serves another guard"),
                false => format!("trigger {name} was made for other options of its guard"),
            });
        }
        let fires_as_made = trigger.is(*kind)
            && match *kind {
                TriggerKind::UPDATE => trigger.compares(table, comparisons),
                _ => !trigger.is_conditional(),
            };
        (!fires_as_made).then(|| format!("trigger {name} fires on other changes than it should"))
    };
    set.iter().filter_map(problem).collect()
}

fn find<'a>(table: &'a Relation, name: &str, function: Oid) -> Option<Trigger<'a>> {
    table.triggers().find(|trigger| trigger.function() == function && trigger.name() == name)
}
