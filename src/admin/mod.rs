//! SQL: guards and watches, what an operator asks for, and what is wrong.

pub mod acknowledge_timeline;
pub mod attach;
pub mod configure;
pub mod create_extension;
pub mod detach;
pub mod grants;
pub mod health;
pub mod health_finding;
pub mod health_own_tables;
pub mod health_privileges;
pub mod history;
pub mod inherit;
pub mod prune;
pub mod reconcile;
pub mod revoke;
pub mod store;
pub mod trigger_ddl;
pub mod watch;
