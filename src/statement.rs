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
    /// A statement that takes arguments of these types.
    pub const fn new(sql: &'static CStr, argument_types: &'static [Oid]) -> Statement {
        Statement { sql, argument_types, plan: Cell::new(std::ptr::null_mut()) }
    }

    /// Runs the statement, `None` being NULL, and tells how many rows it wrote.
    pub fn run(&self, arguments: &[Option<Datum>]) -> u64 {
        connected(|| {
            if self.plan.get().is_null() {
                let plan = prepare(self.sql, self.argument_types);
                // SAFETY: prepared just now; from here on it outlives the transaction.
                check(unsafe { pg_sys::SPI_keepplan(plan) });
                self.plan.set(plan);
            }
            assert_eq!(arguments.len(), self.argument_types.len());
            execute(self.plan.get(), arguments)
        })
    }
}

/// Runs a statement whose plan is not worth keeping, and tells how many rows it wrote.
pub fn run_once(sql: &str, arguments: &[DatumWithOid]) -> u64 {
    let sql = CString::new(sql).unwrap_or_default();
    let types: Vec<Oid> = arguments.iter().map(DatumWithOid::oid).collect();
    let value = |argument: &DatumWithOid| argument.datum().map(|datum| datum.sans_lifetime());
    let values: Vec<Option<Datum>> = arguments.iter().map(value).collect();
    connected(|| execute(prepare(&sql, &types), &values))
}

/// A table as an argument of a statement.
pub fn relation(relid: Oid) -> DatumWithOid<'static> {
    // SAFETY: an OID's datum is the OID, and a regclass is one.
    unsafe { DatumWithOid::new(relid, pg_sys::REGCLASSOID) }
}

/// A text in the database's encoding as an argument of a statement.
pub fn text(text: &[u8]) -> DatumWithOid<'_> {
    // SAFETY: a text has the layout of a bytea.
    unsafe { DatumWithOid::new(text, pg_sys::TEXTOID) }
}

thread_local! {
    static RUNNING: Cell<u32> = const { Cell::new(0) };
}

/// Whether one of the library's own statements is under way, which a trigger may be called by.
pub fn is_running() -> bool {
    RUNNING.get() > 0
}

/// One statement is, as long as this lives, which ends with an error, too.
struct Running;

impl Running {
    fn begin() -> Running {
        RUNNING.set(RUNNING.get() + 1);
        Running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(RUNNING.get() - 1);
    }
}

fn connected(work: impl FnOnce() -> u64) -> u64 {
    let _running = Running::begin();
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

fn execute(plan: pg_sys::SPIPlanPtr, arguments: &[Option<Datum>]) -> u64 {
    let is_null = |argument: &Option<Datum>| if argument.is_none() { b'n' } else { b' ' } as c_char;
    let nulls: Vec<c_char> = arguments.iter().map(is_null).collect();
    let mut values: Vec<Datum> =
        arguments.iter().map(|argument| argument.unwrap_or(Datum::null())).collect();
    // SAFETY: we are in a transaction that runs a query.
    let snapshot = unsafe { pg_sys::GetLatestSnapshot() };
    // SAFETY: the plan takes as many arguments.
    check(unsafe {
        pg_sys::SPI_execute_snapshot(
            plan,
            values.as_mut_ptr(),
            nulls.as_ptr(),
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
