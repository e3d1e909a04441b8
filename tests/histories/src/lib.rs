//! Concurrent histories: workers log in, change accounts and check sessions, all at once and on real
//! connections; what they saw is recorded on one clock, and then judged.
//!
//! Data flows one way: `event` (what is recorded) and `form` (how a status is read) ← `plan` (what a worker does, from a
//! seed) → `change`, `by_itself`, `login`, `ask` and `maintenance` (that it is done) → `run` (all of them together) → `judge`.

pub mod ask;
pub mod by_itself;
pub mod change;
pub mod event;
pub mod form;
pub mod judge;
pub mod login;
pub mod maintenance;
pub mod plan;
pub mod run;
pub mod server;
