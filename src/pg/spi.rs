//! Statements over the extension's own tables, the frequent ones with a plan that is kept.
//!
//! Writes see what is committed now: a REPEATABLE READ transaction's own snapshot would hide the
//! epoch that another has raised meanwhile, and its write would fail where the app's own does not.

use super::datum::{ServerText, Value};
use super::names;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::spi::{Spi, SpiHeapTupleData};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};

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

    /// Runs the statement, and returns how many rows it wrote.
    pub fn run(&self, arguments: &[Value]) -> u64 {
        // What is passed by reference is read by its declared type.
        let fits =
            |(value, oid): (&Value, &Oid)| matches!(value, Value::Null) || value.type_oid() == *oid;
        assert_eq!(arguments.len(), self.argument_types.len());
        assert!(arguments.iter().zip(self.argument_types).all(fits));
        connected(|| {
            if self.plan.get().is_null() {
                let plan = prepare(self.sql, self.argument_types);
                // SAFETY: prepared just now; from here on it outlives the transaction.
                check(unsafe { pg_sys::SPI_keepplan(plan) });
                self.plan.set(plan);
            }
            execute(self.plan.get(), arguments)
        })
    }
}

/// Runs a statement whose plan is not worth keeping, and returns how many rows it wrote. The
/// arguments have the types of the values; NULL is a text.
pub fn run_once(sql: &str, arguments: &[Value]) -> u64 {
    let sql = names::to_server(sql);
    let types: Vec<Oid> = arguments.iter().map(|value| value.type_oid()).collect();
    connected(|| execute(prepare(&sql, &types), arguments))
}

/// The same over a table that is not the extension's: what its triggers write to the extension's
/// tables is written by hand.
pub fn run_elsewhere(sql: &str, arguments: &[Value]) -> u64 {
    let sql = names::to_server(sql);
    let types: Vec<Oid> = arguments.iter().map(|value| value.type_oid()).collect();
    with_spi(|| execute(prepare(&sql, &types), arguments))
}

/// Runs a query of the catalogs or of the extension's own tables, and hands out each row.
pub fn query<T>(
    sql: &str,
    arguments: &[Value],
    mut row: impl FnMut(&SpiHeapTupleData) -> T,
) -> Vec<T> {
    let arguments: Vec<DatumWithOid> = arguments
        .iter()
        .map(|value| {
            let (datum, oid) = (value.datum(), value.type_oid());
            // SAFETY: the datum is of this type; it lives in the current memory context.
            datum.map_or_else(
                || DatumWithOid::null_oid(oid),
                |d| unsafe { DatumWithOid::new(d, oid) },
            )
        })
        .collect();
    Spi::connect(|client| {
        let rows = client.select(sql, None, &arguments).expect("a query of the library's own");
        rows.map(|data| row(&data)).collect()
    })
}

/// The only value of the first row, if there is a row and it is not NULL.
pub fn query_one<T: pgrx::FromDatum + pgrx::IntoDatum>(
    sql: &str,
    arguments: &[Value],
) -> Option<T> {
    query(sql, arguments, |row| row.get::<T>(1).ok().flatten()).into_iter().next().flatten()
}

/// A text of a query's row as UTF-8: pgrx takes texts for that, whatever the database's encoding
/// is.
pub fn string(row: &SpiHeapTupleData, column: usize) -> Option<String> {
    row.get::<ServerText>(column).ok().flatten().map(|ServerText(text)| text)
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
    with_spi(work)
}

fn with_spi(work: impl FnOnce() -> u64) -> u64 {
    // SAFETY: matched by SPI_finish; an error that comes between is cleaned up by the abort.
    check(unsafe { pg_sys::SPI_connect() });
    let written = work();
    // SAFETY: connected above.
    check(unsafe { pg_sys::SPI_finish() });
    make_visible();
    written
}

/// Lets the reads that follow in this transaction see what it has written, and processes the
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

fn execute(plan: pg_sys::SPIPlanPtr, arguments: &[Value]) -> u64 {
    let datums: Vec<Option<Datum>> = arguments.iter().map(|value| value.datum()).collect();
    let null = |datum: &Option<Datum>| if datum.is_none() { b'n' } else { b' ' } as c_char;
    let nulls: Vec<c_char> = datums.iter().map(null).collect();
    let mut datums: Vec<Datum> =
        datums.into_iter().map(|datum| datum.unwrap_or(Datum::null())).collect();
    // SAFETY: we are in a transaction that runs a query.
    let snapshot = unsafe { pg_sys::GetLatestSnapshot() };
    // SAFETY: the plan takes as many arguments.
    check(unsafe {
        pg_sys::SPI_execute_snapshot(
            plan,
            datums.as_mut_ptr(),
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
