//! The whole truth table: what the guard says of a user and a login time.
//!
//! Pure: takes what was read, and decides.

use super::epoch::{Epoch, Instant};
use super::status::{Account, Span};

/// How far past the margin an epoch may lie ahead of the clock, in microseconds. One that lies
/// further ahead was stamped by a clock that was wrong. A login time that is given out at it tells
/// nothing of the session's age.
pub const FAR_AHEAD: i64 = 60_000_000;

/// The guard's answer. Only `Valid` lets a session go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The guard's triggers are not all in place, and the policy `when_disarmed` is `refuse`.
    Disarmed,
    /// This is a standby that cannot show that it is recent enough.
    StaleReplica,
    /// The server has changed its timeline, so that stamps may be lost, and the policy
    /// `when_timeline_changed` is `refuse`.
    UnacknowledgedTimeline,
    /// The id names no row.
    UnknownUser,
    /// The account is disabled now.
    Disabled,
    /// The login predates the epoch.
    Revoked,
    /// The login is longer ago than a session may last.
    Expired,
    /// The login lies further ahead than the clocks may differ.
    LoginInFuture,
    /// The session counts.
    Valid,
}

impl Verdict {
    /// The verdict of an account whose guard may be asked.
    ///
    /// `epoch` is the greater of the user's and the guard's; the end of a ban counts as one. A
    /// `login` of `None` counts as before every epoch, so a session that is older than the
    /// installation goes on until its user is stamped. `oldest_login` is the clock less the age
    /// that a session may have, if that is limited, and `latest_login` the clock with the tolerance
    /// added. `latest_given_out` is how far ahead `session_start` gives out a login time. They are
    /// asked only when nothing else has decided: reading a clock costs more than comparing.
    #[inline]
    pub fn of(
        account: Account,
        epoch: Option<Epoch>,
        login: Option<Instant>,
        oldest_login: impl FnOnce() -> Option<Instant>,
        latest_login: impl FnOnce() -> Instant,
        latest_given_out: impl FnOnce() -> Instant,
    ) -> Verdict {
        let since = match account {
            Account::Unknown => return Verdict::UnknownUser,
            Account::Disabled => return Verdict::Disabled,
            Account::Active(Span { since, .. }) => since,
        };
        let epoch = epoch.max(since.map(Epoch));
        let login = login.unwrap_or(Instant::NEG_INFINITY);
        let is_revoked = epoch.is_some_and(|Epoch(epoch)| {
            login < epoch || login == Instant::NEG_INFINITY || epoch == Instant::INFINITY
        });
        if is_revoked {
            return Verdict::Revoked;
        }
        if oldest_login().is_some_and(|oldest| login < oldest) {
            return Verdict::Expired;
        }
        // A login at its epoch is what `session_start` gives out when the epoch is ahead.
        let is_given_out = || epoch == Some(Epoch(login)) && login <= latest_given_out();
        if login > latest_login() && !is_given_out() {
            return Verdict::LoginInFuture;
        }
        Verdict::Valid
    }

    /// The verdict's name, as `session_verdict` returns it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Disarmed => "disarmed",
            Verdict::StaleReplica => "stale_replica",
            Verdict::UnacknowledgedTimeline => "unacknowledged_timeline",
            Verdict::UnknownUser => "unknown_user",
            Verdict::Disabled => "disabled",
            Verdict::Revoked => "revoked",
            Verdict::Expired => "expired",
            Verdict::LoginInFuture => "login_in_future",
            Verdict::Valid => "valid",
        }
    }

    /// Whether the session goes on.
    pub fn is_valid(self) -> bool {
        self == Verdict::Valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLOCK: Instant = Instant(800_000_000_000_000);
    const TOLERANCE: i64 = 10_000_000;
    const HOUR: i64 = 3_600_000_000;

    fn verdict_of(account: Account, epoch: Option<Instant>, login: Option<Instant>) -> Verdict {
        let latest = || CLOCK.plus_micros(TOLERANCE);
        Verdict::of(account, epoch.map(Epoch), login, || None, latest, || Instant::INFINITY)
    }

    fn verdict_at_most_an_hour(epoch: Option<Instant>, login: Option<Instant>) -> Verdict {
        let oldest = || Some(CLOCK.plus_micros(-HOUR));
        let latest = || CLOCK.plus_micros(TOLERANCE);
        let given_out = || CLOCK.plus_micros(FAR_AHEAD);
        Verdict::of(Account::ACTIVE, epoch.map(Epoch), login, oldest, latest, given_out)
    }

    fn later(micros: i64) -> Option<Instant> {
        Some(CLOCK.plus_micros(micros))
    }

    #[test]
    fn an_unknown_user_is_unknown_whatever_else_holds() {
        assert_eq!(verdict_of(Account::Unknown, None, Some(CLOCK)), Verdict::UnknownUser);
        assert_eq!(verdict_of(Account::Unknown, later(0), None), Verdict::UnknownUser);
    }

    #[test]
    fn a_disabled_account_is_disabled_before_it_is_revoked() {
        assert_eq!(verdict_of(Account::Disabled, None, Some(CLOCK)), Verdict::Disabled);
        assert_eq!(verdict_of(Account::Disabled, later(1), Some(CLOCK)), Verdict::Disabled);
    }

    #[test]
    fn a_login_before_the_epoch_is_revoked_and_one_at_the_epoch_is_valid() {
        assert_eq!(verdict_of(Account::ACTIVE, later(0), later(-1)), Verdict::Revoked);
        assert_eq!(verdict_of(Account::ACTIVE, later(0), later(0)), Verdict::Valid);
        assert_eq!(verdict_of(Account::ACTIVE, later(0), later(1)), Verdict::Valid);
    }

    #[test]
    fn a_login_before_the_end_of_a_ban_is_revoked() {
        let account = Account::Active(Span { since: later(0), until: None });
        assert_eq!(verdict_of(account, None, later(-1)), Verdict::Revoked);
        assert_eq!(verdict_of(account, later(-2), later(-1)), Verdict::Revoked);
        assert_eq!(verdict_of(account, later(2), later(1)), Verdict::Revoked);
        assert_eq!(verdict_of(account, later(-2), later(0)), Verdict::Valid);
        assert_eq!(verdict_of(account, None, None), Verdict::Revoked);
    }

    #[test]
    fn a_missing_login_is_before_every_epoch_and_valid_without_one() {
        for login in [None, Some(Instant::NEG_INFINITY)] {
            assert_eq!(verdict_of(Account::ACTIVE, None, login), Verdict::Valid);
            assert_eq!(verdict_of(Account::ACTIVE, later(-1), login), Verdict::Revoked);
            let beginning = Some(Instant::NEG_INFINITY);
            assert_eq!(verdict_of(Account::ACTIVE, beginning, login), Verdict::Revoked);
        }
    }

    #[test]
    fn a_login_past_the_tolerance_is_in_the_future() {
        assert_eq!(verdict_of(Account::ACTIVE, None, later(TOLERANCE)), Verdict::Valid);
        assert_eq!(verdict_of(Account::ACTIVE, None, later(TOLERANCE + 1)), Verdict::LoginInFuture);
        let forever = Some(Instant::INFINITY);
        assert_eq!(verdict_of(Account::ACTIVE, None, forever), Verdict::LoginInFuture);
        assert_eq!(verdict_of(Account::ACTIVE, later(0), forever), Verdict::LoginInFuture);
    }

    #[test]
    fn a_login_given_out_at_an_epoch_far_ahead_is_valid() {
        let ahead = later(100 * TOLERANCE);
        assert_eq!(verdict_of(Account::ACTIVE, ahead, ahead), Verdict::Valid);
        let past_it = later(100 * TOLERANCE + 1);
        assert_eq!(verdict_of(Account::ACTIVE, ahead, past_it), Verdict::LoginInFuture);
    }

    #[test]
    fn a_login_longer_ago_than_a_session_may_last_has_expired() {
        assert_eq!(verdict_at_most_an_hour(None, later(-HOUR)), Verdict::Valid);
        assert_eq!(verdict_at_most_an_hour(None, later(-HOUR - 1)), Verdict::Expired);
        assert_eq!(verdict_at_most_an_hour(None, None), Verdict::Expired);
        assert_eq!(verdict_at_most_an_hour(later(-1), later(-2 * HOUR)), Verdict::Revoked);
        assert_eq!(verdict_at_most_an_hour(None, later(TOLERANCE + 1)), Verdict::LoginInFuture);
    }

    #[test]
    fn where_sessions_have_an_age_none_begins_far_ahead() {
        let near = later(FAR_AHEAD);
        assert_eq!(verdict_at_most_an_hour(near, near), Verdict::Valid);
        let far = later(FAR_AHEAD + 1);
        assert_eq!(verdict_at_most_an_hour(far, far), Verdict::LoginInFuture);
    }

    #[test]
    fn an_infinite_epoch_lets_nobody_in() {
        let forever = Some(Instant::INFINITY);
        for login in [None, Some(CLOCK), forever] {
            assert_eq!(verdict_of(Account::ACTIVE, forever, login), Verdict::Revoked);
        }
    }

    fn instant() -> impl Strategy<Value = Instant> {
        prop_oneof![
            any::<i64>().prop_map(Instant),
            (-2 * TOLERANCE..2 * TOLERANCE).prop_map(|micros| CLOCK.plus_micros(micros)),
            Just(Instant::INFINITY),
            Just(Instant::NEG_INFINITY),
        ]
    }

    proptest! {
        #[test]
        fn an_epoch_only_ever_takes_sessions_away(
            epoch in instant(), later_epoch in instant(), login in proptest::option::of(instant()),
        ) {
            let (low, high) = (epoch.min(later_epoch), epoch.max(later_epoch));
            let before = verdict_of(Account::ACTIVE, Some(low), login);
            let after = verdict_of(Account::ACTIVE, Some(high), login);
            // A login exactly at the later epoch is the one that its stamp makes possible.
            let is_given_out = login == Some(high);
            prop_assert!(is_given_out || before.is_valid() || !after.is_valid());
        }

        #[test]
        fn what_is_valid_lies_neither_before_the_epoch_nor_ahead_of_the_clock(
            epoch in proptest::option::of(instant()), login in instant(),
        ) {
            let is_valid = verdict_of(Account::ACTIVE, epoch, Some(login)).is_valid();
            if is_valid && let Some(epoch) = epoch {
                prop_assert!(login >= epoch);
            }
            if is_valid && epoch != Some(login) {
                prop_assert!(login <= CLOCK.plus_micros(TOLERANCE));
            }
        }
    }
}
