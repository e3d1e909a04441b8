//! Writes that see what is committed now, the frequent ones with a plan that is kept.
//!
//! A REPEATABLE READ transaction's own snapshot would hide the epoch that another has raised
//! meanwhile, and its write would fail where the app's own does not.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int};

/// One statement, prepared at its first use.
pub struct Statement {
    sql: &'static CStr,
    argument_types: &'static [Oid],
    plan: Cell<pg_sys::SPIPlanPtr>,
}

impl Statement {
    /// A statement that takes arguments of these types, none of them NULL.
    pub const fn new(sql: &'static CStr, argument_types: &'static [Oid]) -> Statement {
        Statement { sql, argument_types, plan: Cell::new(std::ptr::null_mut()) }
    }

    /// Runs the statement, and tells how many rows it wrote.
    pub fn run(&self, arguments: &mut [Datum]) -> u64 {
        connected(|| {
            if self.plan.get().is_null() {
                let plan = prepare(self.sql, self.argument_types);
                // SAFETY: prepared just now; from here on it outlives the transaction.
                check(unsafe { pg_sys::SPI_keepplan(plan) });
                self.plan.set(plan);
            }
            assert_eq!(arguments.len(), self.argument_types.len());
            execute(self.plan.get(), arguments, std::ptr::null())
        })
    }
}

/// Runs a statement whose plan is not worth keeping.
pub fn run_once(sql: &str, arguments: &[DatumWithOid]) {
    let sql = CString::new(sql).unwrap_or_default();
    let types: Vec<Oid> = arguments.iter().map(DatumWithOid::oid).collect();
    let mut values: Vec<Datum> = Vec::new();
    let mut nulls: Vec<c_char> = Vec::new();
    for argument in arguments {
        let value = argument.datum().map(|datum| datum.sans_lifetime());
        nulls.push(if value.is_none() { b'n' } else { b' ' } as c_char);
        values.push(value.unwrap_or(Datum::null()));
    }
    connected(|| execute(prepare(&sql, &types), &mut values, nulls.as_ptr()));
}

/// A table as an argument of a statement.
pub fn relation(relid: Oid) -> DatumWithOid<'static> {
    // SAFETY: an OID's datum is the OID, and a regclass is one.
    unsafe { DatumWithOid::new(relid, pg_sys::REGCLASSOID) }
}

fn connected(work: impl FnOnce() -> u64) -> u64 {
    // SAFETY: matched by SPI_finish; an error that comes between is cleaned up by the abort.
    check(unsafe { pg_sys::SPI_connect() });
    let written = work();
    // SAFETY: connected above.
    check(unsafe { pg_sys::SPI_finish() });
    make_visible();
    written
}

/// Lets the fresh reads that follow in this transaction see what it has written, and processes the
/// invalidations that it caused.
pub fn make_visible() {
    // SAFETY: legal after any statement that was run through SPI.
    unsafe { pg_sys::CommandCounterIncrement() };
}

fn prepare(sql: &CStr, argument_types: &[Oid]) -> pg_sys::SPIPlanPtr {
    let (types, count) = (argument_types.as_ptr().cast_mut(), argument_types.len() as c_int);
    // SAFETY: the text is NUL-terminated, and there are as many types as are counted.
    let plan = unsafe { pg_sys::SPI_prepare(sql.as_ptr(), count, types) };
    assert!(!plan.is_null(), "cannot prepare {sql:?}");
    plan
}

fn execute(plan: pg_sys::SPIPlanPtr, arguments: &mut [Datum], nulls: *const c_char) -> u64 {
    // SAFETY: we are in a transaction that runs a query.
    let snapshot = unsafe { pg_sys::GetLatestSnapshot() };
    // SAFETY: the plan takes as many arguments; without `nulls` none of them is NULL.
    check(unsafe {
        pg_sys::SPI_execute_snapshot(
            plan,
            arguments.as_mut_ptr(),
            nulls,
            snapshot,
            std::ptr::null_mut(),
            false,
            true,
            0,
        )
    });
    // SAFETY: set by the execution.
    unsafe { pg_sys::SPI_processed }
}

/// SPI raises what goes wrong in a statement; its negative results are misuse by this library.
fn check(result: c_int) {
    assert!(result >= 0, "SPI refused with {result}");
}
