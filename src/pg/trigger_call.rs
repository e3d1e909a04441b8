//! What PostgreSQL passes to a trigger's function.

use super::names;
use super::tuple::Tuple;
use pgrx::pg_sys::{self, Oid};
use pgrx::{PgTrigger, PgTriggerLevel, PgTriggerOperation, PgTriggerWhen};
use std::ffi::CStr;

/// A trigger's call.
pub struct TriggerCall<'a> {
    trigger: PgTrigger<'a>,
}

/// What a BEFORE trigger gives back: the row to write, or none.
pub struct ReturnedRow(pg_sys::HeapTuple);

impl ReturnedRow {
    /// The row is not to be written.
    pub const NONE: ReturnedRow = ReturnedRow(std::ptr::null_mut());

    /// For PostgreSQL.
    pub fn into_datum(self) -> pg_sys::Datum {
        self.0.into()
    }
}

impl<'a> TriggerCall<'a> {
    /// The call, or nothing where no trigger calls.
    ///
    /// # Safety
    /// PostgreSQL calls with this, and it outlives the result.
    pub unsafe fn new(fcinfo: pg_sys::FunctionCallInfo) -> Option<TriggerCall<'a>> {
        // SAFETY: the caller says so.
        let fcinfo = unsafe { &*fcinfo };
        // SAFETY: as above; what is no trigger's call is refused.
        let trigger = unsafe { PgTrigger::from_fcinfo(fcinfo) }.ok()?;
        Some(TriggerCall { trigger })
    }

    /// INSERT, UPDATE, DELETE or TRUNCATE.
    pub fn operation(&self) -> Option<PgTriggerOperation> {
        self.trigger.op().ok()
    }

    /// Whether it fires for each row.
    pub fn is_row_level(&self) -> bool {
        matches!(self.trigger.level(), PgTriggerLevel::Row)
    }

    /// Whether it fires after the change.
    pub fn is_after(&self) -> bool {
        matches!(self.trigger.when(), Ok(PgTriggerWhen::After))
    }

    /// The trigger's bare name.
    pub fn name(&self) -> String {
        // SAFETY: a trigger is called with its description.
        let trigger = unsafe { &*self.trigger.trigger_data().tg_trigger };
        // SAFETY: a trigger has a name.
        unsafe { names::from_catalog(trigger.tgname) }.unwrap_or_default()
    }

    /// The arguments that it was made with.
    pub fn arguments(&self) -> Vec<String> {
        // SAFETY: a trigger is called with its description.
        let trigger = unsafe { &*self.trigger.trigger_data().tg_trigger };
        arguments_of(trigger)
    }

    /// Whether PostgreSQL made it, on a partition, because of one of the partitioned table's.
    pub fn is_clone(&self) -> bool {
        // SAFETY: a trigger is called with its description.
        let trigger = unsafe { &*self.trigger.trigger_data().tg_trigger };
        trigger.tgisclone
    }

    /// The relation that it fires for.
    pub fn relid(&self) -> Oid {
        self.relation().rd_id
    }

    /// The relation's bare name, if it lies in the schema `session_guard`.
    pub fn extension_table(&self) -> Option<String> {
        // SAFETY: an open relation has its row of pg_class.
        let class = unsafe { &*self.relation().rd_rel };
        let is_ours = class.relnamespace == names::extension_schema();
        // SAFETY: a name of the catalogs.
        is_ours.then(|| unsafe { names::from_catalog(class.relname.data.as_ptr()) }).flatten()
    }

    /// Has every backend look at the relation anew.
    pub fn invalidate_relation(&self) {
        // SAFETY: a trigger is called with its relation open.
        unsafe { pg_sys::CacheInvalidateRelcache(self.trigger.trigger_data().tg_relation) };
    }

    /// The row before an UPDATE or DELETE.
    pub fn old(&self) -> Option<Tuple<'_>> {
        match self.operation()? {
            PgTriggerOperation::Insert => None,
            _ => self.tuple(self.trigger.trigger_data().tg_trigtuple),
        }
    }

    /// The row after an INSERT or UPDATE.
    pub fn new_row(&self) -> Option<Tuple<'_>> {
        let data = self.trigger.trigger_data();
        match self.operation()? {
            PgTriggerOperation::Insert => self.tuple(data.tg_trigtuple),
            PgTriggerOperation::Update => self.tuple(data.tg_newtuple),
            _ => None,
        }
    }

    /// The row that the statement would write or delete.
    pub fn unchanged(&self) -> ReturnedRow {
        let data = self.trigger.trigger_data();
        ReturnedRow(match self.operation() {
            Some(PgTriggerOperation::Update) => data.tg_newtuple,
            _ => data.tg_trigtuple,
        })
    }

    /// The same with another value in a column, of that column's type.
    pub fn with_column(&self, attno: i16, value: super::datum::Value) -> ReturnedRow {
        let ReturnedRow(tuple) = self.unchanged();
        let datum = value.datum();
        let (mut attno, mut is_null) = (attno.into(), datum.is_none());
        let mut datum = datum.unwrap_or(pg_sys::Datum::null());
        // SAFETY: the tuple is of this row type.
        ReturnedRow(unsafe {
            pg_sys::heap_modify_tuple_by_cols(
                tuple,
                self.relation().rd_att,
                1,
                &raw mut attno,
                &raw mut datum,
                &raw mut is_null,
            )
        })
    }

    fn tuple(&self, tuple: pg_sys::HeapTuple) -> Option<Tuple<'_>> {
        let relation = self.relation();
        // SAFETY: a row-level trigger is called with tuples of its relation.
        (!tuple.is_null()).then(|| unsafe { Tuple::new(tuple, relation.rd_att, relation.rd_id) })
    }

    fn relation(&self) -> &pg_sys::RelationData {
        // SAFETY: a trigger is called with its relation open.
        unsafe { &*self.trigger.trigger_data().tg_relation }
    }
}

/// The arguments of a trigger.
pub(super) fn arguments_of(trigger: &pg_sys::Trigger) -> Vec<String> {
    let count = usize::try_from(trigger.tgnargs).unwrap_or(0);
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: as many arguments as are counted.
    let arguments = unsafe { std::slice::from_raw_parts(trigger.tgargs, count) };
    // SAFETY: arguments are NUL-terminated.
    let text = |argument: &*mut std::ffi::c_char| unsafe { CStr::from_ptr(*argument) };
    arguments.iter().map(|argument| names::from_server(text(argument).to_bytes())).collect()
}
