//! Memory of PostgreSQL's: the lack of it is an error, where the lack of Rust's ends the server.

use pgrx::{PgMemoryContexts, pg_sys};

/// Runs `work` so that what PostgreSQL allocates is freed with the context. What it returns must
/// not be allocated there, which `Copy` stands for.
pub fn within<T: Copy>(context: &mut PgMemoryContexts, work: impl FnOnce() -> T) -> T {
    // SAFETY: nothing that is allocated inside outlives the context.
    unsafe { context.switch_to(|_| work()) }
}

/// Raises PostgreSQL's error where so many bytes are not to be had. What is allocated next can be
/// had then, up to as much.
pub fn ensure_available(bytes: usize) {
    // SAFETY: raises an error where the memory cannot be had.
    let place = unsafe { pg_sys::palloc(bytes) };
    // SAFETY: allocated above.
    unsafe { pg_sys::pfree(place) };
}
