//! A tuple of a relation, whose getters check the column's type.

use super::datum::{name_of, text_bytes};
use super::names;
use super::relation::{Relation, attribute_of};
use super::report::OrRaise;
use crate::core::epoch::Instant;
use crate::core::user_id::{IdType, UserId};
use crate::error::{ErrorKind, GuardError, Hint};
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{Array, FromDatum};
use std::marker::PhantomData;

/// A tuple, valid until the scan goes on, or the trigger's call ends.
pub struct Tuple<'scan> {
    tuple: pg_sys::HeapTuple,
    row_type: pg_sys::TupleDesc,
    relid: Oid,
    scan: PhantomData<&'scan Relation>,
}

/// How a row is locked until the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowLock {
    /// `FOR SHARE`, for a login: who wants to change the account waits, other logins do not.
    Share,
    /// `FOR NO KEY UPDATE`, for a stamp that comes without a change of the row: logins wait, too,
    /// but not those who refer to the row by a foreign key.
    NoKeyUpdate,
}

/// Whether a lock waits for who has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It does.
    Yes,
    /// It gives up at once.
    No,
}

/// What came of locking a version of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockedRow {
    /// It is locked, and the latest.
    Locked,
    /// There is a later version, or the row was deleted.
    Outdated,
    /// Another transaction has it.
    Busy,
}

/// Where a version of a row lies in its table.
#[derive(Clone, Copy, Debug)]
pub struct Tid(pg_sys::ItemPointerData);

impl<'scan> Tuple<'scan> {
    /// # Safety
    /// The tuple is not NULL, is of the row type, and both outlive the result.
    pub(super) unsafe fn new(
        tuple: pg_sys::HeapTuple,
        row_type: pg_sys::TupleDesc,
        relid: Oid,
    ) -> Tuple<'scan> {
        Tuple { tuple, row_type, relid, scan: PhantomData }
    }

    /// Where it lies.
    pub fn tid(&self) -> Tid {
        // SAFETY: the tuple is valid as long as this.
        Tid(unsafe { (*self.tuple).t_self })
    }

    /// The transaction that wrote it, as its system column `xmin` says.
    pub fn xmin(&self) -> u32 {
        // SAFETY: the tuple is valid as long as this.
        let header = unsafe { (*self.tuple).t_data };
        // SAFETY: a tuple has a header.
        let header = unsafe { &*header };
        // SAFETY: a stored tuple has this form of header.
        unsafe { header.t_choice.t_heap.t_xmin }.into_inner()
    }

    /// Whether the column is NULL.
    pub fn is_null(&self, attno: i16) -> bool {
        self.get(attno).is_none()
    }

    /// A `boolean`.
    pub fn bool(&self, attno: i16) -> Option<bool> {
        self.typed(attno, &[pg_sys::BOOLOID]).map(|datum| datum.value() as u8 != 0)
    }

    /// An `integer`.
    pub fn int4(&self, attno: i16) -> Option<i32> {
        self.typed(attno, &[pg_sys::INT4OID]).map(|datum| datum.value() as i32)
    }

    /// A `bigint`.
    pub fn int8(&self, attno: i16) -> Option<i64> {
        self.typed(attno, &[pg_sys::INT8OID]).map(|datum| datum.value() as i64)
    }

    /// An `oid`.
    pub fn oid(&self, attno: i16) -> Option<Oid> {
        self.typed(attno, &[pg_sys::OIDOID]).map(|datum| Oid::from(datum.value() as u32))
    }

    /// A `timestamptz`.
    pub fn time(&self, attno: i16) -> Option<Instant> {
        let datum = self.typed(attno, &[pg_sys::TIMESTAMPTZOID])?;
        Some(Instant(datum.value() as i64))
    }

    /// An `interval`, in microseconds.
    pub fn interval(&self, attno: i16) -> Option<i64> {
        let datum = self.typed(attno, &[pg_sys::INTERVALOID])?;
        // SAFETY: the type was checked.
        let interval = unsafe { pgrx::datum::Interval::from_datum(datum, false) }?;
        Some(super::datum::micros_of_interval(&interval))
    }

    /// A `text` or `varchar`, in the database's encoding.
    pub fn text(&self, attno: i16) -> Option<&[u8]> {
        let datum = self.typed(attno, &[pg_sys::TEXTOID, pg_sys::VARCHAROID])?;
        // SAFETY: the type was checked, and the tuple outlives the borrow.
        Some(unsafe { text_bytes(datum) })
    }

    /// The same as UTF-8; empty for NULL.
    pub fn string(&self, attno: i16) -> String {
        self.text(attno).map_or(String::new(), names::from_server)
    }

    /// A `name`; empty for NULL.
    pub fn name(&self, attno: i16) -> String {
        // SAFETY: the type was checked.
        self.typed(attno, &[pg_sys::NAMEOID]).map_or(String::new(), |d| unsafe { name_of(d) }.0)
    }

    /// A `name[]`.
    pub fn names(&self, attno: i16) -> Option<Vec<String>> {
        let datum = self.typed(attno, &[pg_sys::NAMEARRAYOID])?;
        // SAFETY: the type was checked.
        let names = unsafe { Array::<super::datum::Name>::from_datum(datum, false) }?;
        Some(names.iter().flatten().map(|name| name.0).collect())
    }

    /// The id in a column of this type.
    pub fn user_id(&self, attno: i16, id_type: IdType) -> Option<UserId<'_>> {
        Some(match id_type {
            IdType::Int2 => {
                UserId::Int((self.typed(attno, &[pg_sys::INT2OID])?.value() as i16).into())
            }
            IdType::Int4 => UserId::Int(self.int4(attno)?.into()),
            IdType::Int8 => UserId::Int(self.int8(attno)?),
            IdType::Uuid => {
                let datum = self.typed(attno, &[pg_sys::UUIDOID])?;
                // SAFETY: the type was checked: a pointer to sixteen bytes.
                UserId::Uuid(unsafe { *datum.cast_mut_ptr::<[u8; 16]>() })
            }
            IdType::Text => UserId::Text(self.text(attno)?.into()),
        })
    }

    /// Whether both tuples have the same bytes in a column. What is stored out of line or
    /// compressed is fetched first, in the server's memory.
    pub fn has_same_bytes(&self, other: &Tuple, attno: i16) -> bool {
        self.raw_bytes(attno) == other.raw_bytes(attno)
    }

    fn raw_bytes(&self, attno: i16) -> Option<RawBytes<'_>> {
        let datum = self.get(attno)?;
        // SAFETY: the row type is valid as long as this.
        let column = unsafe { attribute_of(self.row_type, attno) }?;
        if column.attbyval {
            return Some(RawBytes::Word(datum.value()));
        }
        Some(RawBytes::Bytes(match usize::try_from(column.attlen) {
            // SAFETY: a value of fixed length is passed as a pointer to that many bytes.
            Ok(length) => unsafe { std::slice::from_raw_parts(datum.cast_mut_ptr(), length) },
            // SAFETY: all other types that a column can have are stored like a text.
            Err(_) => unsafe { text_bytes(datum) },
        }))
    }

    pub(super) fn get(&self, attno: i16) -> Option<Datum> {
        // SAFETY: the row type is valid as long as this.
        if i32::from(attno) > unsafe { (*self.row_type).natts } {
            self.raise_wrong_column(attno);
        }
        let mut is_null = false;
        // SAFETY: the tuple is of this row type, which has the column.
        let datum =
            unsafe { pg_sys::heap_getattr(self.tuple, attno.into(), self.row_type, &mut is_null) };
        (!is_null).then_some(datum)
    }

    /// A value, if the column is of this type still.
    pub(super) fn get_typed(&self, attno: i16, type_oid: Oid) -> Option<Datum> {
        self.typed(attno, &[type_oid])
    }

    pub(super) fn type_of(&self, attno: i16) -> Option<Oid> {
        // SAFETY: the row type is valid as long as this.
        unsafe { attribute_of(self.row_type, attno) }.map(|column| column.atttypid)
    }

    fn typed(&self, attno: i16, types: &[Oid]) -> Option<Datum> {
        if !self.type_of(attno).is_some_and(|type_oid| types.contains(&type_oid)) {
            self.raise_wrong_column(attno);
        }
        self.get(attno)
    }

    /// Somebody has changed a table's columns behind the extension's back.
    fn raise_wrong_column(&self, attno: i16) -> ! {
        let table = names::shown_relation(self.relid);
        let message = format!("column {attno} of table {table} is not of the type that it had");
        let hint = Hint::advice("Change the column's type back to what it was.");
        Err(GuardError::new(ErrorKind::OwnTableModified, message, hint)).or_raise()
    }
}

#[derive(PartialEq)]
enum RawBytes<'a> {
    Word(usize),
    Bytes(&'a [u8]),
}

impl Relation {
    /// Locks one version of a row of this heap, and waits for who is changing it, or not.
    pub fn lock_row(&self, Tid(tid): Tid, lock: RowLock, wait: Wait) -> LockedRow {
        let policy = match wait {
            Wait::Yes => pg_sys::LockWaitPolicy::LockWaitBlock,
            Wait::No => pg_sys::LockWaitPolicy::LockWaitSkip,
        };
        let mode = match lock {
            RowLock::Share => pg_sys::LockTupleMode::LockTupleShare,
            RowLock::NoKeyUpdate => pg_sys::LockTupleMode::LockTupleNoKeyExclusive,
        };
        let mut tuple =
            pg_sys::HeapTupleData { t_self: tid, t_tableOid: self.oid(), ..Default::default() };
        let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
        let mut failure = pg_sys::TM_FailureData::default();
        // SAFETY: we are in a transaction; `true` says that it will write.
        let command = unsafe { pg_sys::GetCurrentCommandId(true) };
        // SAFETY: the relation is a heap, as `Guard::load` checks, and the place was read from it.
        let outcome = unsafe {
            pg_sys::heap_lock_tuple(
                self.as_ptr(),
                &raw mut tuple,
                command,
                mode,
                policy,
                false,
                &raw mut buffer,
                &raw mut failure,
            )
        };
        // SAFETY: heap_lock_tuple returns with the buffer pinned, whatever the outcome.
        unsafe { pg_sys::ReleaseBuffer(buffer) };
        match outcome {
            pg_sys::TM_Result::TM_Updated | pg_sys::TM_Result::TM_Deleted => LockedRow::Outdated,
            pg_sys::TM_Result::TM_WouldBlock => LockedRow::Busy,
            // A row that this very transaction has changed is locked already, by that change.
            _ => LockedRow::Locked,
        }
    }
}
