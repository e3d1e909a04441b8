//! Memory contexts of PostgreSQL's, for what is allocated in parts.

use pgrx::PgMemoryContexts;

/// Runs `work` so that what PostgreSQL allocates is freed with the context. What it returns must
/// not be allocated there, which `Copy` stands for.
pub fn within<T: Copy>(context: &mut PgMemoryContexts, work: impl FnOnce() -> T) -> T {
    // SAFETY: nothing that is allocated inside outlives the context.
    unsafe { context.switch_to(|_| work()) }
}
