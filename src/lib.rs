//! Disable an account by any path, and its sessions are dead at their next request, because the
//! database itself says so.
//!
//! The folders in the order in which data flows; each imports only what stands above it here:
//!
//! - `core`: epochs, verdicts, ids and status, without PostgreSQL
//! - `pg`: PostgreSQL's functions and structures behind safe types
//! - `catalog`: what the tables say
//! - `cache`: what a backend keeps, and what invalidates it
//! - `replica`: how recent a standby is, and whether a failover has lost stamps
//! - `check`: the functions that apps call at each request and at login
//! - `stamp`: what raises epochs
//! - `admin`: guards, watches, policies, health

use pgrx::prelude::*;

pub mod error;
mod fault_injection;
mod settings;

pub mod core;

mod pg;

mod catalog;

mod cache;

mod replica;

mod check;

mod stamp;

mod admin;

pgrx::pg_module_magic!(name, version);

extension_sql_file!("../sql/tables.sql", name = "tables", bootstrap);
extension_sql_file!("../sql/functions.sql", name = "functions", requires = ["tables"]);
extension_sql_file!("../sql/privileges.sql", name = "privileges", finalize);

/// Called by PostgreSQL when a backend loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    settings::define();
    pg::compat::reserve_setting_prefix(c"session_guard");
    cache::generations::register_callbacks();
    stamp::at_commit::register_callbacks();
    catalog::extension::note_loading(pg::server::is_preloading());
}

#[cfg(any(test, feature = "pg_test"))]
#[path = "../tests/in_server/mod.rs"]
mod pg_tests;

/// What the pgrx test harness asks of the crate.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to prepare.
    pub fn setup(_options: Vec<&str>) {}

    /// Settings of the server that the tests run on.
    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["track_functions = all"]
    }
}
