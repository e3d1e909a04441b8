//! Disable an account by any path, and its sessions are dead at their next request, because the
//! database itself says so.
//!
//! Data flows one way: what is pure (`epoch`, `verdict`, `user_id`) is used by `guard` (with `armed`
//! and `index`) → `registry` → `lookup` → `cache` → `session` on the path of each request, and by `stamp` →
//! `trigger`, `backfill` → `attach` → `admin` where epochs are raised and guards are kept.

use pgrx::prelude::*;

pub mod epoch;
pub mod user_id;
pub mod verdict;

mod advice;
mod arg;
mod compat;
mod error;
mod name;
mod planted;
mod settings;
mod standby;
mod unguarded;

mod scan;
mod statement;

mod armed;
mod cache;
mod guard;
mod index;
mod insert;
mod lookup;
mod news;
mod owner;
mod question;
mod registry;
mod version;

mod admin;
mod arm;
mod arrival;
mod attach;
mod backfill;
mod event;
mod health;
mod prune;
mod revoke;
mod session;
mod stamp;
mod succession;
mod timeline;
mod token;
mod trigger;
mod watch;

pgrx::pg_module_magic!(name, version);

/// The schema of what administers guards. `sql/tables.sql` has created it by the time that this is
/// looked at, and fails if somebody else's is there.
#[pg_schema]
mod session_guard {}

extension_sql_file!("../sql/tables.sql", name = "tables", bootstrap);
extension_sql_file!("../sql/questions.sql", name = "questions", requires = ["tables"]);
extension_sql_file!("../sql/arrivals.sql", name = "arrivals", requires = ["tables"]);
extension_sql_file!("../sql/privileges.sql", name = "privileges", finalize);

/// Called by PostgreSQL when a backend loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    settings::define();
    news::listen();
    version::note_loading();
}

#[cfg(any(test, feature = "pg_test"))]
#[path = "../tests/pg_test/mod.rs"]
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
