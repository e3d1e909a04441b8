//! What raises epochs, and what is recorded of it.

pub mod at_commit;
pub mod audit;
pub mod backfill;
pub mod by_hand;
pub mod deferred_event;
pub mod logical_replication;
pub mod merge;
pub mod own_tables_trigger;
pub mod pending;
pub mod progress;
pub mod raise;
pub mod reason;
pub mod related_trigger;
pub mod security_event;
pub mod stored_sessions;
pub mod users_trigger;
