//! The one setting. What a database's owner decides lies in `session_guard.policy`, where no
//! client's options and no parallel worker can lose it.

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

/// Some 200 MB a backend at the most, of long text ids.
const MAX_CACHE_ENTRIES: i32 = 1_000_000;

static CACHE_ENTRIES: GucSetting<i32> = GucSetting::<i32>::new(65_536);

/// How many accounts' epochs a backend keeps at the most.
pub fn cache_entries() -> usize {
    usize::try_from(CACHE_ENTRIES.get()).unwrap_or(0)
}

/// Defines the setting. Called once, when the library is loaded.
pub fn define() {
    GucRegistry::define_int_guc(
        c"session_guard.cache_entries",
        c"How many accounts each backend keeps the epochs of, so as not to read them again.",
        c"When there are more, all are dropped. 0: none is kept.",
        &CACHE_ENTRIES,
        0,
        MAX_CACHE_ENTRIES,
        GucContext::Suset,
        GucFlags::default(),
    );
    crate::fault_injection::define();
}
