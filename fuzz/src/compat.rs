//! In place of the server: its input function of bigint.

use crate::oracle;
use std::cell::Cell;
use std::ffi::CStr;

thread_local! {
    static IS_MODERN: Cell<bool> = const { Cell::new(true) };
}

/// Whether the server is PostgreSQL 16 or later.
pub fn set_modern(is_modern: bool) {
    IS_MODERN.set(is_modern);
}

/// What the extension asks of the server.
pub fn read_modern_integer(text: &CStr) -> Option<i64> {
    match IS_MODERN.get() {
        true => oracle::integer(text.to_bytes(), true)?.try_into().ok(),
        false => None,
    }
}
