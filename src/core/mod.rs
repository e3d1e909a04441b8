//! What can be decided without PostgreSQL: no pgrx, no unsafe code.

#![forbid(unsafe_code)]

pub mod encoding;
pub mod epoch;
pub mod status;
pub mod user_id;
pub mod verdict;
