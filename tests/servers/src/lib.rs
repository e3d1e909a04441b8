//! Private throw-away servers, for tests that crash, dump, upgrade or replicate whole clusters.
//!
//! `PG_CONFIG` names the pg_config of an installation that has the extension installed. PostgreSQL
//! does not run as root: `scripts/servers` sees to that, and to the rest of the environment.

mod answer;
mod cluster;
mod dice;
mod installation;
mod process;
pub mod story;

pub use answer::{Ailment, ailments, answer, answers, heal, heal_where, refusal, run, wait_until};
pub use cluster::{Cluster, output_of, try_output_of};
pub use dice::Dice;
pub use installation::Installation;
pub use process::{kill, resident_bytes};

/// A number that the environment may set.
///
/// # Panics
/// If it is set to something else than a number.
pub fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}
