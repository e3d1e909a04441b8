//! What a worker does, from a seed. Pure: the same seed plans the same.

use crate::form::{ChangeByItself, Form};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How many accounts there are at the start. Few, so that workers meet; enough that epochs, which
/// rise by a second at least, do not run far ahead of the clock and hide what follows.
pub const ACCOUNTS: i32 = 40;
/// Accounts get ids beyond the first ones, and lose them.
pub const IDS: i32 = 50;

/// How many subjects tokens are issued for, all of one scope. Few, so that each is revoked now and then.
pub const TOKENS: i32 = 5;

/// A change of accounts, of their roles or of what tokens count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Gives the status a value of an account that is not active.
    Disable(i32),
    /// Gives it one of an account that is.
    Enable(i32),
    /// Gives it another value that means the same; which, the number says.
    Restate(i32, usize),
    /// Deletes the row.
    Delete(i32),
    /// Inserts a row, if there is none.
    Insert(i32),
    /// Gives the row another id.
    ChangeId(i32, i32),
    /// Changes a column of `revoke_on`.
    ChangePassword(i32),
    /// `revoke_sessions` of one user.
    Revoke(i32),
    /// `revoke_all_sessions`.
    RevokeAll,
    /// Inserts the user's role, if there is none.
    GrantRole(i32),
    /// Deletes it.
    TakeRole(i32),
    /// Changes it.
    ChangeRole(i32),
    /// Gives it to another user.
    MoveRole(i32, i32),
    /// Truncates the table of roles.
    TruncateRoles,
    /// `revoke_tokens` of one subject.
    RevokeTokens(i32),
    /// `revoke_tokens` of the scope.
    RevokeAllTokens,
}

/// A step of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Changes something.
    Do(Action),
    /// Lets others come between.
    Sleep(Duration),
    /// Changes something, and takes it back.
    DoAndUndo(Action),
    /// Makes all constraints IMMEDIATE, and DEFERRED again: in the SQL edition that does what waits
    /// for COMMIT.
    SetConstraints {
        /// Whether it is done in a savepoint that is rolled back.
        is_undone: bool,
    },
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// COMMIT
    Commit,
    /// ROLLBACK
    Rollback,
    /// PREPARE TRANSACTION, a pause, COMMIT PREPARED
    CommitPrepared(Duration),
    /// PREPARE TRANSACTION, a pause, ROLLBACK PREPARED
    RollbackPrepared(Duration),
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// As BEGIN names it.
    pub isolation: &'static str,
    /// In this order.
    pub steps: Vec<Step>,
    /// At last.
    pub end: End,
}

/// The isolation levels.
pub const ISOLATION: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

static IS_OF_SQL_EDITION: AtomicBool = AtomicBool::new(false);

/// From now on histories keep to what the SQL edition promises: at READ COMMITTED alone, and nothing of an
/// extension that is prepared.
pub fn keep_to_sql_edition() {
    IS_OF_SQL_EDITION.store(true, Ordering::Relaxed);
}

/// Whether histories of this form may prepare transactions.
#[must_use]
pub fn may_prepare(form: &Form) -> bool {
    let expires = form.change_by_itself == Some(ChangeByItself::Expires);
    !(expires && IS_OF_SQL_EDITION.load(Ordering::Relaxed))
}

/// Whether what waits for COMMIT is done when constraints are made IMMEDIATE.
#[must_use]
pub fn works_when_immediate() -> bool {
    IS_OF_SQL_EDITION.load(Ordering::Relaxed)
}

/// The isolation levels that histories use.
#[must_use]
pub fn isolation_levels() -> &'static [&'static str] {
    if IS_OF_SQL_EDITION.load(Ordering::Relaxed) { &ISOLATION[..1] } else { &ISOLATION }
}

/// A generator for worker `number` of a history.
pub fn generator(seed: u64, number: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number))
}

/// Plans transactions that change accounts, one after the other.
pub struct Planner {
    rng: StdRng,
    can_prepare: bool,
    /// What enables again whom an earlier transaction put out: most accounts must be in for most
    /// of the time, or there is nothing to see.
    repairs: Vec<Action>,
}

impl Planner {
    /// For worker `number` of a history.
    pub fn new(seed: u64, number: u64, can_prepare: bool) -> Planner {
        Planner { rng: generator(seed, number), can_prepare, repairs: Vec::new() }
    }

    /// The next transaction.
    pub fn next_plan(&mut self) -> Plan {
        let mut steps = Vec::new();
        // A stamp must not be taken from the time that its transaction began at: logins come in
        // between. One that lasts longer than an epoch is rounded up by shows it.
        if self.rng.random_bool(0.25) {
            steps.push(Step::Sleep(self.pause(1200..2500)));
        }
        for _ in 0..self.rng.random_range(1..=3) {
            let action = self.action();
            steps.push(match self.rng.random_bool(0.1) {
                true => Step::DoAndUndo(action),
                false => Step::Do(action),
            });
            if self.rng.random_bool(0.1) {
                steps.push(Step::SetConstraints { is_undone: self.rng.random() });
            }
            if self.rng.random_bool(0.3) {
                steps.push(Step::Sleep(self.pause(1..100)));
            }
        }
        // A login that slips in while a stamp is not yet committed has a time past its epoch, if that
        // takes long enough. What enables an account stamps it again, and so hides such a login.
        let is_of_everybody = steps.iter().any(stamps_everybody);
        if is_of_everybody || self.rng.random_bool(0.25) {
            let user = self.rng.random_range(1..=ACCOUNTS);
            match self.rng.random_range(0..4) {
                0 => steps.push(Step::Do(Action::Revoke(user))),
                1 => steps.push(Step::Do(Action::ChangePassword(user))),
                _ => {}
            }
            steps.push(Step::Sleep(self.pause(1200..2000)));
        }
        let levels = isolation_levels();
        let isolation = levels[self.rng.random_range(0..levels.len())];
        // Nothing raises the epoch of everybody again between PREPARE TRANSACTION and COMMIT PREPARED.
        let end = match is_of_everybody && self.can_prepare && self.rng.random() {
            true => End::CommitPrepared(self.pause(1200..2000)),
            false => self.end(),
        };
        Plan { isolation, steps, end }
    }

    fn action(&mut self) -> Action {
        if !self.repairs.is_empty() && self.rng.random_bool(0.6) {
            return self.repairs.remove(0);
        }
        let user = self.rng.random_range(1..=ACCOUNTS);
        match self.rng.random_range(0..200) {
            0..64 => self.and_repair(Action::Disable(user), Action::Enable(user)),
            64..84 => self.and_repair(Action::Delete(user), Action::Insert(user)),
            84..94 => Action::Restate(user, self.rng.random_range(0..6)),
            94..104 => {
                let other = self.rng.random_range(ACCOUNTS + 1..=IDS);
                self.and_repair(Action::ChangeId(user, other), Action::ChangeId(other, user))
            }
            104..114 => Action::ChangePassword(user),
            114..124 => Action::Revoke(user),
            124..172 => self.action_on_roles(),
            172..194 => Action::RevokeTokens(self.rng.random_range(1..=TOKENS)),
            // What stamps everybody hides what else stamps, and TRUNCATE keeps all others from the roles until
            // its transaction ends.
            194..196 => Action::RevokeAll,
            196..198 => Action::TruncateRoles,
            _ => Action::RevokeAllTokens,
        }
    }

    /// A role may be that of an id which no account has.
    fn action_on_roles(&mut self) -> Action {
        let mut id = || self.rng.random_range(1..=IDS);
        let (user, other) = (id(), id());
        match self.rng.random_range(0..5) {
            0 => Action::GrantRole(user),
            1 => Action::TakeRole(user),
            2..4 if user != other => Action::MoveRole(user, other),
            _ => Action::ChangeRole(user),
        }
    }

    fn and_repair(&mut self, action: Action, repair: Action) -> Action {
        self.repairs.push(repair);
        action
    }

    fn end(&mut self) -> End {
        match self.rng.random_range(0..100) {
            0..10 => End::Rollback,
            10..25 if self.can_prepare => End::CommitPrepared(self.pause(1..1500)),
            25..30 if self.can_prepare => End::RollbackPrepared(self.pause(1..300)),
            _ => End::Commit,
        }
    }

    fn pause(&mut self, millis: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(millis))
    }
}

fn stamps_everybody(step: &Step) -> bool {
    matches!(step, Step::Do(Action::RevokeAll | Action::TruncateRoles))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays() {
        let plans = |seed| {
            let mut planner = Planner::new(seed, 3, true);
            (0..200).map(|_| planner.next_plan()).collect::<Vec<_>>()
        };
        assert_eq!(plans(7), plans(7));
        assert_ne!(plans(7), plans(8));
    }

    #[test]
    fn every_kind_of_step_and_end_is_planned() {
        let mut planner = Planner::new(1, 1, true);
        let plans: Vec<Plan> = (0..2000).map(|_| planner.next_plan()).collect();
        for isolation in ISOLATION {
            assert!(plans.iter().any(|plan| plan.isolation == isolation));
        }
        let ends = |is: fn(&End) -> bool| plans.iter().any(|plan| is(&plan.end));
        assert!(ends(|end| matches!(end, End::Commit)) && ends(|end| matches!(end, End::Rollback)));
        assert!(ends(|end| matches!(end, End::CommitPrepared(_))));
        assert!(ends(|end| matches!(end, End::RollbackPrepared(_))));
        let does = |is: fn(&Action) -> bool| {
            plans.iter().flat_map(|plan| &plan.steps).any(|step| match step {
                Step::Do(action) | Step::DoAndUndo(action) => is(action),
                Step::Sleep(_) | Step::SetConstraints { .. } => false,
            })
        };
        assert!(does(|action| matches!(action, Action::Disable(_))));
        assert!(does(|action| matches!(action, Action::Enable(_))));
        assert!(does(|action| matches!(action, Action::Restate(..))));
        assert!(does(|action| matches!(action, Action::Delete(_))));
        assert!(does(|action| matches!(action, Action::Insert(_))));
        assert!(does(|action| matches!(action, Action::ChangeId(..))));
        assert!(does(|action| matches!(action, Action::ChangePassword(_))));
        assert!(does(|action| matches!(action, Action::Revoke(_))));
        assert!(does(|action| matches!(action, Action::RevokeAll)));
        assert!(does(|action| matches!(action, Action::GrantRole(_))));
        assert!(does(|action| matches!(action, Action::TakeRole(_))));
        assert!(does(|action| matches!(action, Action::ChangeRole(_))));
        assert!(does(|action| matches!(action, Action::MoveRole(..))));
        assert!(does(|action| matches!(action, Action::TruncateRoles)));
        assert!(does(|action| matches!(action, Action::RevokeTokens(_))));
        assert!(does(|action| matches!(action, Action::RevokeAllTokens)));
    }

    #[test]
    fn what_stamps_everybody_is_rare() {
        let mut planner = Planner::new(1, 1, true);
        let actions: Vec<Action> = (0..2000).map(|_| planner.action()).collect();
        let of_all = actions.iter().filter(|action| {
            matches!(action, Action::RevokeAll | Action::TruncateRoles | Action::RevokeAllTokens)
        });
        assert!(of_all.count() * 20 < actions.len());
    }

    #[test]
    fn nothing_is_prepared_where_that_is_not_allowed() {
        let mut planner = Planner::new(1, 1, false);
        let allowed = |plan: Plan| matches!(plan.end, End::Commit | End::Rollback);
        assert!((0..500).all(|_| allowed(planner.next_plan())));
    }
}
