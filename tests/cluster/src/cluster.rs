//! Starts, configures, crashes and copies a private throw-away cluster.

use crate::installation::Installation;
use crate::process::{kill, kill_family};
use crate::run;
use postgres::{Client, Config, NoTls};
use rustix::process::Signal;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of its own that only a socket leads to. Dropped, it is stopped and removed.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    folder: TempDir,
    postmaster: Option<Child>,
    environment: Vec<(&'static str, String)>,
}

impl Cluster {
    /// A running cluster of the installation that the environment names, with these settings.
    pub fn start(settings: &[&str]) -> Cluster {
        let mut cluster = Cluster::create(&Installation::of_environment(), settings);
        cluster.run();
        cluster
    }

    /// A cluster that does not run yet.
    ///
    /// # Panics
    /// If initdb fails.
    pub fn create(installation: &Installation, settings: &[&str]) -> Cluster {
        let cluster = Cluster::empty(installation);
        let mut initdb = installation.program("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        // Only newer ones know the option, and have checksums unless told otherwise; pg_upgrade
        // wants the same on both sides.
        if installation.major() >= 18 {
            initdb.arg("--no-data-checksums");
        }
        output_of(initdb.arg("-D").arg(cluster.data()));
        cluster.configure(&["fsync = off", "listen_addresses = ''", "max_wal_senders = 8"]);
        cluster.configure(&["autovacuum_naptime = 1h", "wal_sender_timeout = 0"]);
        cluster.configure(settings);
        cluster
    }

    /// A running standby of a cluster.
    pub fn standby_of(primary: &Cluster) -> Cluster {
        let mut cluster = Cluster::copy_of(primary, &["--write-recovery-conf"]);
        cluster.run();
        cluster
    }

    /// A copy of a running cluster, as pg_basebackup makes it, which does not run yet.
    pub fn copy_of(original: &Cluster, options: &[&str]) -> Cluster {
        let cluster = Cluster::empty(&original.installation);
        let mut backup = original.program("pg_basebackup");
        backup.args(options).args(["--checkpoint=fast", "--no-sync", "-D"]);
        output_of(backup.arg(cluster.data()));
        cluster.configure(&[]);
        cluster
    }

    /// Makes a primary of a standby.
    pub fn promote(&self) {
        output_of(self.program("pg_ctl").args(["promote", "-w", "-D"]).arg(self.data()));
    }

    fn empty(installation: &Installation) -> Cluster {
        // A socket's path must be short, so it is not where TMPDIR may lead.
        let folder = tempfile::Builder::new().prefix("guard").tempdir_in("/tmp").expect("/tmp");
        Cluster {
            installation: installation.clone(),
            folder,
            postmaster: None,
            environment: Vec::new(),
        }
    }

    /// Appends settings; they take effect at the next start.
    pub fn configure(&self, settings: &[&str]) {
        let path = self.data().join("postgresql.conf");
        let mut file = OpenOptions::new().append(true).open(path).expect("postgresql.conf");
        let socket = format!("unix_socket_directories = '{}'", self.folder().display());
        for setting in settings.iter().copied().chain([socket.as_str()]) {
            writeln!(file, "{setting}").expect("postgresql.conf");
        }
    }

    /// What the server is to find in its environment from its next start on.
    pub fn set_environment(&mut self, variables: impl IntoIterator<Item = (&'static str, String)>) {
        self.environment.extend(variables);
    }

    /// Starts the server, and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub fn run(&mut self) {
        assert!(self.postmaster.is_none(), "the cluster runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.log()).expect("a log");
        let errors = log.try_clone().expect("a log");
        let mut postgres = self.installation.program("postgres");
        postgres.arg("-D").arg(self.data()).stdin(Stdio::null()).stdout(log).stderr(errors);
        postgres.envs(self.environment.iter().cloned());
        self.postmaster = Some(postgres.spawn().expect("postgres"));
        self.wait_until_it_answers();
    }

    /// Waits until the server takes connections, as after a crash that it recovers from by itself.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.try_connect("postgres").is_err() {
            let postmaster = self.postmaster.as_mut().expect("a cluster that was started");
            let has_ended = postmaster.try_wait().expect("a child").is_some();
            if has_ended || Instant::now() > deadline {
                panic!("the server does not answer:\n{}", self.end_of_log());
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Stops the server in good order.
    pub fn stop(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            kill(postmaster.id(), Signal::INT);
            postmaster.wait().expect("a child");
        }
    }

    /// Kills every process of the server at once.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill_all(&mut self) {
        let mut postmaster = self.postmaster.take().expect("a running cluster");
        kill_family(postmaster.id());
        postmaster.wait().expect("a child");
    }

    /// Stops the server and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    /// A connection as the superuser.
    ///
    /// # Panics
    /// If there is none to be had.
    pub fn connect(&self, database: &str) -> Client {
        self.try_connect(database).unwrap_or_else(|error| panic!("{database}: {error:?}"))
    }

    /// A connection as the superuser, if there is one to be had.
    pub fn try_connect(&self, database: &str) -> Result<Client, postgres::Error> {
        self.connect_as("postgres", database)
    }

    /// A connection as another role.
    pub fn connect_as(&self, user: &str, database: &str) -> Result<Client, postgres::Error> {
        self.config().user(user).dbname(database).connect(NoTls)
    }

    /// How to connect as the superuser; the database is left open.
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.host_path(self.folder()).user("postgres");
        // Warnings are no part of what is tested here.
        config.notice_callback(drop);
        config
    }

    /// A new database, and a connection to it.
    pub fn create_database(&self, name: &str) -> Client {
        run(&mut self.connect("postgres"), &format!("CREATE DATABASE \"{name}\""));
        self.connect(name)
    }

    /// One of the installation's programs, led to this cluster.
    pub fn program(&self, name: &str) -> Command {
        let mut command = self.installation.program(name);
        command.env("PGHOST", self.folder()).env("PGUSER", "postgres");
        command
    }

    /// Which PostgreSQL this is.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// A folder of the cluster's own, for a test's files too.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder().join("log")
    }

    /// What the server wrote last.
    pub fn end_of_log(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nothing of it is needed any more, so it need not end in good order.
        if self.postmaster.is_some() {
            self.kill_all();
        }
    }
}

/// Runs a program to its end, and returns what it printed.
///
/// # Panics
/// If it fails: with what it had to say.
pub fn output_of(command: &mut Command) -> String {
    try_output_of(command).unwrap_or_else(|error| panic!("{error}"))
}

/// What a program prints, or all that it says of its failure.
pub fn try_output_of(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(printed),
        false => Err(format!("{command:?} failed:\n{printed}{complained}")),
    }
}
