//! All workers together, and what came of it.

use crate::ask::{self, Way};
use crate::by_itself;
use crate::change;
use crate::event::{History, Stamp, Time};
use crate::form::Form;
use crate::judge::{Violation, judge};
use crate::login::{self, Logins};
use crate::maintenance::{self, Maintained};
use crate::plan::{Planner, generator, may_prepare};
use crate::server::{self, Servers};
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

const CHANGERS: usize = 8;
/// Of those whose accounts change by themselves.
const WAITERS: usize = 6;
const LOGGERS_IN: usize = 3;
/// The report shows the stamps around a login that was refused without cause: from so long before the login until so long
/// after the check.
const AROUND: Duration = Duration::from_secs(3);

/// What a history came to.
#[derive(Debug)]
pub struct Report {
    /// What was recorded.
    pub history: History,
    /// The promises that were broken.
    pub violations: Vec<Violation>,
    /// Transactions that changed accounts.
    pub committed: usize,
    /// Those that were given up.
    pub undone: usize,
    /// Serialization failures in SERIALIZABLE transactions that only asked.
    pub not_serializable: usize,
    /// How many times a table was maintained meanwhile.
    pub maintained: usize,
}

/// Whether the tables are maintained during a history, which leaves less time for everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// They are.
    Maintained,
    /// They are left alone.
    LeftAlone,
}

/// Runs one history in a database that `server::create_database` has made, for accounts of this form. An error that no worker
/// must expect ends it: `session_valid` that raises, above all.
pub fn run(
    servers: &Servers,
    database: &str,
    form: &Form,
    seed: u64,
    length: Duration,
    tables: Tables,
) -> Result<Report, postgres::Error> {
    let can_prepare = may_prepare(form) && server::can_prepare(&mut servers.connect(database)?)?;
    let logins = Logins::default();
    let (started, wall) = (Instant::now(), Time::now());
    let deadline = Time(wall.0 + length.as_micros() as i64);
    let (changes, answers, maintained) = thread::scope(|scope| {
        let changers: Vec<_> = (0..CHANGERS)
            .map(|number| {
                scope.spawn(move || {
                    let mut planner = Planner::new(seed, number as u64, can_prepare);
                    let name = format!("{database} {number}");
                    let mut client = servers.connect(database)?;
                    change::work(&mut client, form, &mut planner, &name, deadline)
                })
            })
            .collect();
        let waiters: Vec<_> = (0..WAITERS)
            .filter_map(|number| form.change_by_itself.map(|change| (number, change)))
            .map(|(number, change)| {
                let rng = generator(seed, 400 + number as u64);
                let name = can_prepare.then(|| format!("{database} by itself {number}"));
                scope.spawn(move || {
                    let client = &mut servers.connect(database)?;
                    by_itself::Worker { client, rng, form, change, name }.work(deadline)
                })
            })
            .collect();
        let loggers_in: Vec<_> = (0..LOGGERS_IN)
            .map(|number| {
                let (logins, mut rng) = (&logins, generator(seed, 100 + number as u64));
                scope.spawn(move || {
                    let mut client = servers.connect(database)?;
                    login::work(&mut client, form, &mut rng, logins, deadline)
                })
            })
            .collect();
        let askers: Vec<_> = Way::ALL
            .into_iter()
            .map(|way| {
                let (logins, mut rng) = (&logins, generator(seed, 200 + way as u64));
                let levels = ask::isolation_levels(servers.are_replicated());
                scope.spawn(move || {
                    let mut client = servers.connect_to_ask(way as usize, database)?;
                    ask::work(&mut client, &mut rng, way, levels, logins, deadline)
                })
            })
            .collect();
        // A standby ends whoever reads a table that is replaced.
        let is_maintained = tables == Tables::Maintained && !servers.are_replicated();
        let maintainer = is_maintained.then(|| {
            let mut rng = generator(seed, 300);
            scope.spawn(move || {
                maintenance::work(&mut servers.connect(database)?, &mut rng, deadline)
            })
        });
        loggers_in.into_iter().try_for_each(join)?;
        let changers = changers.into_iter().chain(waiters);
        let changes = changers.map(join).collect::<Result<Vec<_>, _>>()?;
        let answers = askers.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
        let maintained = maintainer.map_or_else(|| Ok(Maintained::default()), join)?;
        Ok::<_, postgres::Error>((changes, answers, maintained))
    })?;
    // The wall clock is the one clock that both sides read: one that was set meanwhile would make
    // the record worthless.
    let (by_wall, elapsed) = (Time::now().0 - wall.0, started.elapsed().as_micros() as i64);
    assert!((by_wall - elapsed).abs() < 5_000, "the clock was set during the history");
    let committed = changes.iter().map(|changes| changes.committed).sum();
    let undone = changes.iter().map(|changes| changes.undone).sum();
    let not_serializable = answers.iter().map(|answers| answers.not_serializable).sum();
    let Maintained { statements: maintained, gaps } = maintained;
    let stamps = changes.into_iter().flat_map(|changes| changes.stamps);
    let history = History {
        stamps: stamps.chain(gaps.iter().cloned()).collect(),
        logins: logins.into_inner(),
        checks: answers.into_iter().flat_map(|answers| answers.checks).collect(),
    };
    let mut violations = judge(&history);
    // Nobody knows then whom a change should have ended.
    let is_in_gap = |check: usize| {
        let check = &history.checks[check];
        gaps.iter().any(|gap| check.began <= gap.committed && check.ended >= gap.began)
    };
    violations.retain(|violation| match violation {
        Violation::Revived { check, .. } | Violation::Wavered { check, .. } => !is_in_gap(*check),
        Violation::Refused { .. } => true,
    });
    if servers.are_replicated() {
        violations.retain(|violation| matches!(violation, Violation::Revived { .. }));
    }
    Ok(Report { history, violations, committed, undone, not_serializable, maintained })
}

fn join<T>(worker: ScopedJoinHandle<T>) -> T {
    worker.join().expect("no worker panics")
}

impl Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let History { stamps, logins, checks } = &self.history;
        writeln!(
            to,
            "{} transactions committed and {} undone, tables maintained {} times",
            self.committed, self.undone, self.maintained
        )?;
        let mut kinds = BTreeMap::<_, usize>::new();
        stamps.iter().for_each(|stamp| *kinds.entry(stamp.what).or_default() += 1);
        let kinds: Vec<_> = kinds.iter().map(|(what, count)| format!("{what} {count}")).collect();
        writeln!(to, "{} stamps: {}", stamps.len(), kinds.join(", "))?;
        for (name, is_token) in [("sessions", false), ("tokens", true)] {
            let count = logins.iter().filter(|login| login.is_token() == is_token).count();
            let asked = self.history.checks_of(is_token).count();
            let valid = self.history.checks_of(is_token).filter(|check| check.is_valid).count();
            writeln!(to, "{count} {name}, {asked} checks of which {valid} valid")?;
        }
        let (failures, violations) = (self.not_serializable, self.violations.len());
        write!(to, "{failures} serialization failures, {violations} violations")?;
        for violation in self.violations.iter().take(5) {
            let check = match violation {
                Violation::Revived { check, .. }
                | Violation::Refused { check }
                | Violation::Wavered { check, .. } => &checks[*check],
            };
            let login = &logins[check.login];
            write!(to, "\n{violation:?}\n  {login:?}\n  {check:?}")?;
            match violation {
                Violation::Revived { stamp, .. } => write!(to, "\n  {:?}", stamps[*stamp])?,
                Violation::Wavered { refusal, .. } => write!(to, "\n  {:?}", checks[*refusal])?,
                Violation::Refused { .. } => {
                    let around = |stamp: &&Stamp| {
                        stamp.whose.includes(login.of)
                            && stamp.committed.plus(AROUND) > login.began
                            && stamp.began < check.ended.plus(AROUND)
                    };
                    for stamp in stamps.iter().filter(around) {
                        write!(to, "\n  {stamp:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
