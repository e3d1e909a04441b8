//! Private throw-away clusters for tests in Rust that crash, dump, upgrade or replicate whole servers, and for the
//! concurrent histories.
//!
//! `PG_CONFIG` names the pg_config of an installation that has the extension installed. PostgreSQL
//! does not run as root: `scripts/servers` and `scripts/histories` see to that, and to the rest of the environment.

mod cluster;
mod delaying_proxy;
mod fake_clock;
pub mod forms;
mod installation;
mod process;
mod query;
mod random;
pub mod scenario;

pub use cluster::{Cluster, output_of, try_output_of};
pub use delaying_proxy::DelayingProxy;
pub use fake_clock::FakeClock;
pub use installation::Installation;
pub use process::{kill, limit_memory, resident_bytes, virtual_bytes};
pub use query::{
    Problem, answer, answers, problems, refusal, repair, repair_where, run, wait_until,
};
pub use random::Dice;

/// A number that the environment may set.
///
/// # Panics
/// If it is set to something else than a number.
pub fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}
