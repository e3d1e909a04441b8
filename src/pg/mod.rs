//! PostgreSQL's own functions and structures behind safe types: the only unsafe code but the entry
//! points.

pub mod call_args;
pub mod compat;
pub mod datum;
pub mod deferred_event;
pub mod heap_insert;
pub mod index_scan;
pub mod invalidation;
pub mod memory;
pub mod names;
pub mod noguard;
pub mod partitions;
pub mod relation;
pub mod report;
pub mod restricted;
pub mod roles;
pub mod server;
pub mod snapshot;
pub mod spi;
pub mod status_value;
pub mod transaction;
pub mod trigger_call;
pub mod triggers;
pub mod tuple;
pub mod wal_receiver;
pub mod when_clause;
