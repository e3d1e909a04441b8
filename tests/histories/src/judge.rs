//! Whether a history keeps the promises. Pure.

use crate::event::{History, Means, Time};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A dead session was called valid: the login had returned before the stamping statement began,
    /// and the stamp's COMMIT had returned before the check began.
    Revived {
        /// Its place in the history.
        check: usize,
        /// That of the stamp.
        stamp: usize,
    },
    /// A login by `session_start` was refused, though no stamp had followed it.
    Refused {
        /// Its place in the history.
        check: usize,
    },
}

/// What the stamps of a history make of one login.
struct Fate {
    /// From here on no check may call it valid, because of this stamp.
    dead_from: Option<(Time, usize)>,
    /// Up to here every check must call it valid.
    valid_until: Time,
}

/// All broken promises, in the order of the checks.
pub fn judge(history: &History) -> Vec<Violation> {
    let fates: Vec<Fate> = (0..history.logins.len()).map(|login| fate(history, login)).collect();
    let judged = history.checks.iter().enumerate().filter_map(|(place, check)| {
        let (login, fate) = (&history.logins[check.login], &fates[check.login]);
        match fate.dead_from {
            Some((dead_from, stamp)) if check.is_valid && check.began > dead_from => {
                Some(Violation::Revived { check: place, stamp })
            }
            _ if !check.is_valid
                && login.means == Means::SessionStart
                && check.ended < fate.valid_until =>
            {
                Some(Violation::Refused { check: place })
            }
            _ => None,
        }
    });
    judged.collect()
}

fn fate(history: &History, login: usize) -> Fate {
    let login = &history.logins[login];
    let concerns = |user: Option<i32>| user.is_none_or(|user| user == login.user);
    let mut fate = Fate { dead_from: None, valid_until: Time::NEVER };
    for (place, stamp) in history.stamps.iter().enumerate() {
        if !concerns(stamp.user) {
            continue;
        }
        // Even one that was sent before the login may have come after it.
        if stamp.committed > login.began {
            fate.valid_until = fate.valid_until.min(stamp.began);
        }
        let must_kill = stamp.is_certain && stamp.began > login.returned;
        if must_kill && fate.dead_from.is_none_or(|(dead_from, _)| stamp.committed < dead_from) {
            fate.dead_from = Some((stamp.committed, place));
        }
    }
    fate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Check, Login, Stamp};

    fn login(means: Means) -> Login {
        Login { user: 1, means, at: Time(105), began: Time(100), returned: Time(110) }
    }

    fn stamp(user: Option<i32>, began: i64, committed: i64) -> Stamp {
        Stamp {
            user,
            what: "disable",
            began: Time(began),
            committed: Time(committed),
            is_certain: true,
        }
    }

    fn check(began: i64, ended: i64, is_valid: bool) -> Check {
        Check { login: 0, began: Time(began), ended: Time(ended), is_valid, by: "a test" }
    }

    fn verdict(means: Means, stamps: &[Stamp], check: Check) -> Vec<Violation> {
        judge(&History { stamps: stamps.to_vec(), logins: vec![login(means)], checks: vec![check] })
    }

    #[test]
    fn a_dead_session_must_not_be_valid_again() {
        let revived = vec![Violation::Revived { check: 0, stamp: 0 }];
        for means in [Means::SessionStart, Means::AppClock, Means::AppClockInSeconds] {
            for user in [Some(1), None] {
                assert_eq!(
                    verdict(means, &[stamp(user, 120, 130)], check(131, 132, true)),
                    revived
                );
                assert_eq!(verdict(means, &[stamp(user, 120, 130)], check(131, 132, false)), []);
            }
        }
    }

    #[test]
    fn until_the_commit_has_returned_either_answer_will_do() {
        for is_valid in [true, false] {
            assert_eq!(
                verdict(
                    Means::SessionStart,
                    &[stamp(Some(1), 120, 130)],
                    check(129, 140, is_valid)
                ),
                []
            );
        }
    }

    #[test]
    fn a_stamp_that_began_before_the_login_was_done_need_not_kill_it() {
        assert_eq!(
            verdict(Means::AppClock, &[stamp(Some(1), 109, 130)], check(140, 150, true)),
            []
        );
    }

    #[test]
    fn the_stamp_of_another_user_kills_nothing() {
        assert_eq!(
            verdict(Means::SessionStart, &[stamp(Some(2), 120, 130)], check(140, 150, true)),
            []
        );
        assert_eq!(
            verdict(Means::SessionStart, &[stamp(Some(2), 120, 130)], check(140, 150, false)),
            [Violation::Refused { check: 0 }]
        );
    }

    #[test]
    fn a_login_by_session_start_is_valid_until_a_stamp_may_have_followed() {
        let refused = [Violation::Refused { check: 0 }];
        let start = Means::SessionStart;
        assert_eq!(verdict(start, &[], check(120, 130, false)), refused);
        assert_eq!(verdict(start, &[stamp(Some(1), 50, 99)], check(120, 130, false)), refused);
        assert_eq!(verdict(start, &[stamp(Some(1), 140, 150)], check(120, 130, false)), refused);
        assert_eq!(verdict(start, &[stamp(Some(1), 50, 101)], check(120, 130, false)), []);
        assert_eq!(verdict(start, &[stamp(Some(1), 129, 150)], check(120, 130, false)), []);
        let mut perhaps = stamp(Some(1), 115, 118);
        perhaps.is_certain = false;
        assert_eq!(verdict(start, &[perhaps.clone()], check(120, 130, false)), []);
        assert_eq!(verdict(start, &[perhaps], check(120, 130, true)), []);
    }

    #[test]
    fn a_login_by_the_apps_clock_may_be_refused_at_any_time() {
        for means in [Means::AppClock, Means::AppClockInSeconds] {
            assert_eq!(verdict(means, &[], check(120, 130, false)), []);
        }
    }

    #[test]
    fn the_stamp_that_committed_first_decides() {
        let stamps = [stamp(Some(1), 120, 200), stamp(Some(1), 130, 140)];
        assert_eq!(
            verdict(Means::AppClock, &stamps, check(150, 160, true)),
            [Violation::Revived { check: 0, stamp: 1 }]
        );
    }

    #[test]
    fn a_stamp_in_doubt_kills_nothing_but_may_have() {
        let doubtful = stamp(Some(1), 120, i64::MAX);
        for is_valid in [true, false] {
            let answer = check(150, 160, is_valid);
            assert_eq!(verdict(Means::SessionStart, std::slice::from_ref(&doubtful), answer), []);
        }
    }
}
