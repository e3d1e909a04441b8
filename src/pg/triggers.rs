//! The triggers of an open relation.

use super::index_scan::Key;
use super::names;
use super::relation::{Lock, Relation};
use super::snapshot::Snapshot;
use super::trigger_call::arguments_of;
use super::when_clause::{self, Comparison};
use pgrx::pg_sys::{self, Oid};

/// A trigger, as the catalogs describe it.
pub struct Trigger<'a>(&'a pg_sys::Trigger);

/// When a trigger fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerKind(u32);

impl TriggerKind {
    /// AFTER UPDATE, for each row.
    pub const UPDATE: TriggerKind =
        TriggerKind(pg_sys::TRIGGER_TYPE_UPDATE | pg_sys::TRIGGER_TYPE_ROW);
    /// AFTER INSERT, for each row.
    pub const INSERT: TriggerKind =
        TriggerKind(pg_sys::TRIGGER_TYPE_INSERT | pg_sys::TRIGGER_TYPE_ROW);
    /// AFTER DELETE, for each row.
    pub const DELETE: TriggerKind =
        TriggerKind(pg_sys::TRIGGER_TYPE_DELETE | pg_sys::TRIGGER_TYPE_ROW);
    /// AFTER TRUNCATE, once.
    pub const TRUNCATE: TriggerKind = TriggerKind(pg_sys::TRIGGER_TYPE_TRUNCATE);
    /// AFTER INSERT, UPDATE or DELETE, for each row.
    pub const CHANGE: TriggerKind = TriggerKind(
        pg_sys::TRIGGER_TYPE_INSERT
            | pg_sys::TRIGGER_TYPE_UPDATE
            | pg_sys::TRIGGER_TYPE_DELETE
            | pg_sys::TRIGGER_TYPE_ROW,
    );

    /// As CREATE TRIGGER says it: the event, and the level.
    pub fn clauses(self) -> (&'static str, &'static str) {
        match self {
            TriggerKind::UPDATE => ("UPDATE", "ROW"),
            TriggerKind::INSERT => ("INSERT", "ROW"),
            TriggerKind::DELETE => ("DELETE", "ROW"),
            TriggerKind::CHANGE => ("INSERT OR UPDATE OR DELETE", "ROW"),
            _ => ("TRUNCATE", "STATEMENT"),
        }
    }
}

/// Whether a trigger fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enabled {
    /// ENABLE ALWAYS.
    Always,
    /// DISABLE.
    No,
    /// Only where `session_replication_role` is one of several.
    Sometimes,
}

impl Trigger<'_> {
    /// The trigger's bare name.
    pub fn name(&self) -> String {
        // SAFETY: a name of the catalogs.
        unsafe { names::from_catalog(self.0.tgname) }.unwrap_or_default()
    }

    /// The function that it calls.
    pub fn function(&self) -> Oid {
        self.0.tgfoid
    }

    /// Whether PostgreSQL made it, on a partition, because of one of the partitioned table's.
    pub fn is_clone(&self) -> bool {
        self.0.tgisclone
    }

    /// The bare name of its constraint, if that can be deferred.
    pub fn deferrable_constraint(&self) -> Option<String> {
        if !self.0.tgdeferrable {
            return None;
        }
        // SAFETY: any OID may be asked for; NULL comes back for one that is no constraint.
        let name = unsafe { pg_sys::get_constraint_name(self.0.tgconstraint) };
        // SAFETY: NULL, or a name of the catalogs.
        unsafe { names::from_catalog(name) }
    }

    /// The arguments that it was made with.
    pub fn arguments(&self) -> Vec<String> {
        arguments_of(self.0)
    }

    /// Whether it fires.
    pub fn enabled(&self) -> Enabled {
        match self.0.tgenabled as u8 {
            pg_sys::TRIGGER_FIRES_ALWAYS => Enabled::Always,
            pg_sys::TRIGGER_DISABLED => Enabled::No,
            _ => Enabled::Sometimes,
        }
    }

    /// Whether it fires at these changes, and has no condition but maybe a WHEN clause.
    pub fn is(&self, kind: TriggerKind) -> bool {
        self.0.tgtype as u32 == kind.0 && self.0.tgnattr == 0 && !self.0.tgdeferrable
    }

    /// Whether it has a WHEN clause.
    pub fn is_conditional(&self) -> bool {
        !self.0.tgqual.is_null()
    }

    /// The columns that its WHEN clause compares, in its order, 0 for the whole row; `None` where
    /// the clause is no list of comparisons.
    pub fn compared_columns(&self) -> Option<Vec<i16>> {
        // SAFETY: a trigger's clause is NULL, or the text of an expression tree.
        unsafe { when_clause::compared_columns(self.0.tgqual) }
    }

    /// Whether its WHEN clause is exactly these comparisons.
    pub fn compares(&self, table: &Relation, comparisons: &[Comparison]) -> bool {
        // SAFETY: as above.
        unsafe { when_clause::is_made_of(self.0.tgqual, table, comparisons) }
    }

    /// Whether its WHEN clause begins with these comparisons.
    pub fn compares_first(&self, table: &Relation, comparisons: &[Comparison]) -> bool {
        // SAFETY: as above.
        unsafe { when_clause::begins_with(self.0.tgqual, table, comparisons) }
    }
}

impl Relation {
    /// Its triggers.
    pub fn triggers(&self) -> impl Iterator<Item = Trigger<'_>> {
        // SAFETY: the description of an open relation stays while the relation is open.
        let description = unsafe { self.data().trigdesc.as_ref() };
        let triggers = description.map_or(&[][..], |description| {
            let count = usize::try_from(description.numtriggers).unwrap_or(0);
            // SAFETY: PostgreSQL fills as many as it counts.
            unsafe { std::slice::from_raw_parts(description.triggers, count) }
        });
        triggers.iter().map(Trigger)
    }
}

/// A row of `pg_trigger`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TriggerRow {
    /// The trigger's bare name.
    pub name: String,
    /// Its OID.
    pub oid: u32,
    /// Which transaction made it. ALTER TABLE ... DISABLE or ENABLE TRIGGER makes it anew, and
    /// leaves the OID.
    pub xmin: u32,
}

/// The triggers of a relation that call this function, in the order of their names.
pub fn rows_of(relid: Oid, function: Oid) -> Vec<TriggerRow> {
    let mut rows = Vec::new();
    let Some(triggers) = Relation::open(pg_sys::TriggerRelationId, Lock::Read) else { return rows };
    let key = [Key::oid(pg_sys::Anum_pg_trigger_tgrelid as i16, relid)];
    triggers.scan_keys(&Snapshot::latest(&triggers), &key, |row| {
        if row.oid(pg_sys::Anum_pg_trigger_tgfoid as i16) == Some(function) {
            rows.push(TriggerRow {
                name: row.name(pg_sys::Anum_pg_trigger_tgname as i16),
                oid: row.oid(pg_sys::Anum_pg_trigger_oid as i16).map_or(0, Oid::to_u32),
                xmin: row.xmin(),
            });
        }
    });
    rows.sort();
    rows
}

/// The same as `name:xid` each.
pub fn state_of(relid: Oid, function: Oid) -> String {
    let rows = rows_of(relid, function).into_iter();
    rows.map(|row| format!("{}:{}", row.name, row.xmin)).collect::<Vec<_>>().join(" ")
}

/// The relations that have a trigger which calls this function, by `pg_depend`.
pub fn relations_with_trigger_of(function: Oid) -> Vec<Oid> {
    let mut relations = Vec::new();
    let Some(depend) = Relation::open(pg_sys::DependRelationId, Lock::Read) else {
        return relations;
    };
    let Some(triggers) = Relation::open(pg_sys::TriggerRelationId, Lock::Read) else {
        return relations;
    };
    let snapshot = Snapshot::latest(&depend);
    let of_function = [
        Key::oid(pg_sys::Anum_pg_depend_refclassid as i16, pg_sys::ProcedureRelationId),
        Key::oid(pg_sys::Anum_pg_depend_refobjid as i16, function),
    ];
    let mut trigger_oids = Vec::new();
    depend.scan_keys(&snapshot, &of_function, |row| {
        if row.oid(pg_sys::Anum_pg_depend_classid as i16) == Some(pg_sys::TriggerRelationId) {
            trigger_oids.extend(row.oid(pg_sys::Anum_pg_depend_objid as i16));
        }
    });
    for oid in trigger_oids {
        let key = [Key::oid(pg_sys::Anum_pg_trigger_oid as i16, oid)];
        triggers.scan_keys(&snapshot, &key, |row| {
            let relid = row.oid(pg_sys::Anum_pg_trigger_tgrelid as i16);
            relations.extend(relid.filter(|relid| !relations.contains(relid)));
        });
    }
    relations
}
