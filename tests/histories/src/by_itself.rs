//! Workers that give accounts a status which soon changes by itself: bans that end, and accounts that expire. Some are
//! lifted or extended again, before that time, after it, or while it passes.

use crate::change::{self, Changes, is_conflict};
use crate::event::{Stamp, Subject, Time, Whose};
use crate::form::{ChangeByItself, Form};
use crate::plan::{ACCOUNTS, Action, End, Plan, Step};
use postgres::Client;
use rand::RngExt;
use rand::rngs::StdRng;
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

/// An answer may be underway for so long: by an expiry that was put off meanwhile.
const UNDERWAY: Duration = Duration::from_millis(100);

/// The one who has an account change by itself.
pub struct Worker<'a> {
    /// Its connection.
    pub client: &'a mut Client,
    /// Its source of chance.
    pub rng: StdRng,
    /// One by which accounts can change by themselves.
    pub form: &'a Form,
    /// What happens then.
    pub change: ChangeByItself,
    /// Of its prepared transactions; `None` where there can be none.
    pub name: Option<String>,
}

/// A status that changes at a time, and how that went.
struct Passing {
    user: i32,
    /// When the statement was sent that set it.
    began: Time,
    /// When that had returned.
    set: Time,
    /// When its COMMIT had.
    committed: Time,
    /// When it changes.
    end: Time,
}

/// A transaction that takes a status back before it has changed.
struct TakenBack {
    was_prepared: bool,
    began: Time,
    /// When COMMIT or PREPARE TRANSACTION was sent.
    ended: Time,
    committed: Time,
}

impl Worker<'_> {
    /// Works until `deadline`.
    pub fn work(&mut self, deadline: Time) -> Result<Changes, postgres::Error> {
        let mut changes = Changes::default();
        while Time::now() < deadline {
            match self.set() {
                Ok(Some(passing)) => {
                    changes.stamps.extend(self.follow(&passing)?);
                    changes.committed += 1;
                }
                Ok(None) => {}
                Err(error) if is_conflict(&error) => {
                    self.client.batch_execute("ROLLBACK")?;
                    changes.undone += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(changes)
    }

    /// Bans an account for a moment, or has it expire in a moment, if it is active. The transaction may
    /// take longer than that.
    fn set(&mut self) -> Result<Option<Passing>, postgres::Error> {
        let user = self.rng.random_range(1..=ACCOUNTS);
        let (lasts, hold) = (self.rng.random_range(100..900), self.pause(0..300));
        let Form { is_active, is_settled, .. } = self.form;
        let sql = format!(
            "UPDATE users SET status = clock_timestamp() + interval '{lasts} ms'
             WHERE id = {user} AND {is_active} AND {is_settled} RETURNING status"
        );
        let began = Time::now();
        self.client.batch_execute("BEGIN")?;
        let row = self.client.query_opt(&sql, &[])?;
        let set = Time::now();
        sleep(hold);
        self.client.batch_execute("COMMIT")?;
        let committed = Time::now();
        Ok(row.map(|row| {
            let end = row.get::<_, SystemTime>(0).into();
            Passing { user, began, set, committed, end }
        }))
    }

    /// Sees what becomes of it.
    fn follow(&mut self, passing: &Passing) -> Result<Vec<Stamp>, postgres::Error> {
        let mut stamps = Vec::new();
        // One that has ended before its trigger was called was none.
        let has_banned = passing.end > passing.set;
        if self.change == ChangeByItself::BanEnds {
            let Passing { began, committed, .. } = *passing;
            stamps.push(passing.stamp("ban", began, began, committed, has_banned));
        }
        let taken_back = match self.rng.random_bool(0.5) {
            true => self.take_back(passing)?,
            false => None,
        };
        stamps.extend(taken_back.as_ref().and_then(|by| self.stamp_by_taking_back(passing, by)));
        if taken_back.is_some_and(|by| by.committed.plus(UNDERWAY) < passing.end) {
            return Ok(stamps);
        }
        while Time::now() <= passing.end {
            sleep(Duration::from_millis(1));
        }
        let has_changed = self.has_changed(passing)?;
        let (what, is_certain) = match self.change {
            ChangeByItself::BanEnds => ("end of a ban", has_changed && has_banned),
            ChangeByItself::Expires => ("expiry", has_changed),
        };
        stamps.push(passing.stamp(what, passing.end, passing.end, Time::now(), is_certain));
        // Time to ask.
        sleep(self.pause(0..500));
        stamps.extend(self.tidy_up(passing.user)?);
        Ok(stamps)
    }

    /// Gives the account a status that lasts, if it has this one still.
    fn take_back(&mut self, passing: &Passing) -> Result<Option<TakenBack>, postgres::Error> {
        sleep(self.pause(0..600));
        let (hold, pause) = (self.pause(0..500), self.pause(0..500));
        let name = self.name.clone().filter(|_| self.rng.random_bool(0.3));
        let (user, status) = (passing.user, self.form.active(0));
        let sql = format!("UPDATE users SET status = {status} WHERE id = {user} AND status = $1");
        let client = &mut *self.client;
        let transact = || {
            let began = Time::now();
            client.batch_execute("BEGIN")?;
            let written = client.execute(&sql, &[&SystemTime::from(passing.end)])?;
            sleep(hold);
            let (ended, was_prepared) = (Time::now(), name.is_some());
            match name {
                None => client.batch_execute("COMMIT")?,
                Some(name) => {
                    client.batch_execute(&format!("PREPARE TRANSACTION '{name}'"))?;
                    sleep(pause);
                    client.batch_execute(&format!("COMMIT PREPARED '{name}'"))?;
                }
            }
            let committed = Time::now();
            Ok((written > 0).then_some(TakenBack { was_prepared, began, ended, committed }))
        };
        match transact() {
            Err(error) if is_conflict(&error) => {
                client.batch_execute("ROLLBACK")?;
                Ok(None)
            }
            outcome => outcome,
        }
    }

    /// A ban that is lifted stamps, or has ended already. An account that is extended is stamped if it has
    /// expired before that is committed, or if that is prepared: nobody knows then when it will be.
    fn stamp_by_taking_back(&self, passing: &Passing, by: &TakenBack) -> Option<Stamp> {
        let TakenBack { was_prepared, began, ended, committed } = *by;
        let end = passing.end;
        match self.change {
            ChangeByItself::BanEnds => {
                Some(passing.stamp("lift of a ban", began, began.min(end), committed, true))
            }
            ChangeByItself::Expires if was_prepared => {
                Some(passing.stamp("prepared extension", began, began, committed, true))
            }
            ChangeByItself::Expires if committed.plus(UNDERWAY) < end => None,
            ChangeByItself::Expires => {
                Some(passing.stamp("late extension", end, end, committed, ended > end))
            }
        }
    }

    /// Whether the account has this status still, now that its time has passed.
    fn has_changed(&mut self, passing: &Passing) -> Result<bool, postgres::Error> {
        let sql = "SELECT status = $1 FROM users WHERE id = $2";
        let row = self.client.query_opt(sql, &[&SystemTime::from(passing.end), &passing.user])?;
        Ok(row.is_some_and(|row| row.get::<_, Option<bool>>(0) == Some(true)))
    }

    /// Who has expired is enabled again; a row need not tell of a ban that is over.
    fn tidy_up(&mut self, user: i32) -> Result<Vec<Stamp>, postgres::Error> {
        let action = match self.change {
            ChangeByItself::BanEnds if self.rng.random() => return Ok(Vec::new()),
            ChangeByItself::BanEnds => Action::Restate(user, self.rng.random_range(0..6)),
            ChangeByItself::Expires => Action::Enable(user),
        };
        let steps = vec![Step::Do(action)];
        let plan = Plan { isolation: "READ COMMITTED", steps, end: End::Commit };
        match change::transact(self.client, self.form, &plan, "") {
            Err(error) if is_conflict(&error) => {
                self.client.batch_execute("ROLLBACK")?;
                Ok(Vec::new())
            }
            stamps => Ok(stamps?.unwrap_or_default()),
        }
    }

    fn pause(&mut self, millis: Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(millis))
    }
}

impl Passing {
    fn stamp(
        &self,
        what: &'static str,
        began: Time,
        ends: Time,
        committed: Time,
        is_certain: bool,
    ) -> Stamp {
        let whose = Whose::One(Subject::User(self.user));
        let (ends_logins_before, ends_session_starts_before) = (ends, ends);
        Stamp {
            whose,
            what,
            began,
            ends_logins_before,
            ends_session_starts_before,
            committed,
            is_certain,
        }
    }
}
