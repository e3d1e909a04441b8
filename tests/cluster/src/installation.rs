//! An installation of PostgreSQL, with the extension in it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the programs of one PostgreSQL are.
#[derive(Clone, Debug)]
pub struct Installation {
    bindir: PathBuf,
    major: u32,
}

impl Installation {
    /// The one that `PG_CONFIG` names.
    ///
    /// # Panics
    /// If it names none.
    pub fn of_environment() -> Installation {
        let pg_config = std::env::var("PG_CONFIG")
            .expect("PG_CONFIG is to name the pg_config of a PostgreSQL that has the extension");
        Installation::of(&pg_config)
    }

    /// Those that `NEWER_PG_CONFIGS` names, in its order.
    pub fn newer() -> Vec<Installation> {
        let pg_configs = std::env::var("NEWER_PG_CONFIGS").unwrap_or_default();
        pg_configs.split_whitespace().map(Installation::of).collect()
    }

    fn of(pg_config: &str) -> Installation {
        let ask = |option| {
            let mut command = Command::new(pg_config);
            crate::output_of(command.arg(option)).trim().to_owned()
        };
        let version = ask("--version");
        let number: String = version
            .trim_start_matches("PostgreSQL ")
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let major = number.parse().unwrap_or_else(|_| panic!("what version is {version:?}?"));
        Installation { bindir: ask("--bindir").into(), major }
    }

    /// The first number of its version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Where its programs are.
    pub fn bindir(&self) -> &Path {
        &self.bindir
    }

    /// One of its programs, without the libpq variables of the caller's environment.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bindir.join(name));
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("PG") {
                command.env_remove(&variable);
            }
        }
        // With this set, pgrx puts a backtrace into the DETAIL of each error.
        command.env_remove("RUST_BACKTRACE").env("LC_ALL", "C");
        command
    }
}
