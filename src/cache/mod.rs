//! What a backend keeps, and what invalidates it.

pub mod epoch_cache;
pub mod generations;
pub mod guard_cache;
pub mod stamped;
