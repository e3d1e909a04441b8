//! Whether a history keeps the promises. Pure.

use crate::event::{History, Means, Stamp, Time};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A dead login was called valid: the stamp ends what had returned when this login had, and its COMMIT had returned
    /// before the check began.
    Revived {
        /// Its place in the history.
        check: usize,
        /// That of the stamp.
        stamp: usize,
    },
    /// A login past every epoch before it was refused, though no stamp had followed it.
    Refused {
        /// Its place in the history.
        check: usize,
    },
    /// A login that had been refused was called valid again, though no change was underway any more that
    /// could have the answers differ.
    Wavered {
        /// Its place in the history.
        check: usize,
        /// That of the check that had refused it.
        refusal: usize,
    },
}

/// What the stamps of a history make of one login.
struct Fate {
    /// From here on no check may call it valid, because of this stamp.
    dead_from: Option<(Time, usize)>,
    /// Up to here every check must call it valid.
    valid_until: Time,
    /// From here on no check may call it valid, because this one has not.
    refused_from: (Time, usize),
}

/// All broken promises, in the order of the checks.
pub fn judge(history: &History) -> Vec<Violation> {
    let mut fates: Vec<Fate> =
        (0..history.logins.len()).map(|login| fate(history, login)).collect();
    note_refusals(history, &mut fates);
    let judged = history.checks.iter().enumerate().filter_map(|(place, check)| {
        let fate = &fates[check.login];
        match fate.dead_from {
            Some((dead_from, stamp)) if check.is_valid && check.began > dead_from => {
                Some(Violation::Revived { check: place, stamp })
            }
            _ if check.is_valid && check.began > fate.refused_from.0 => {
                Some(Violation::Wavered { check: place, refusal: fate.refused_from.1 })
            }
            _ if !check.is_valid && check.ended < fate.valid_until => {
                Some(Violation::Refused { check: place })
            }
            _ => None,
        }
    });
    judged.collect()
}

fn fate(history: &History, login: usize) -> Fate {
    let login = &history.logins[login];
    let mut before = Vec::new();
    let mut fate =
        Fate { dead_from: None, valid_until: Time::NEVER, refused_from: (Time::NEVER, 0) };
    for (place, stamp) in history.stamps.iter().enumerate() {
        if !stamp.whose.includes(login.of) {
            continue;
        }
        // Even one that was sent before the login may have come after it.
        if stamp.committed > login.began {
            fate.valid_until = fate.valid_until.min(stamp.began);
        } else {
            before.push(stamp);
        }
        let ends_before = match login.means {
            Means::SessionStart => stamp.ends_session_starts_before,
            Means::AppClock | Means::AppClockInSeconds => stamp.ends_logins_before,
        };
        let must_kill = stamp.is_certain && ends_before > login.returned;
        if must_kill && fate.dead_from.is_none_or(|(dead_from, _)| stamp.committed < dead_from) {
            fate.dead_from = Some((stamp.committed, place));
        }
    }
    // `session_start` waits for the epoch; a clock knows nothing of it.
    let is_past = |epoch| login.means == Means::SessionStart || login.at >= epoch;
    if !latest_epoch(&before, &history.stamps, login.began).is_none_or(is_past) {
        fate.valid_until = login.began;
    }
    fate
}

/// Who is refused stays so: once it has returned what caused that, or what may have.
fn note_refusals(history: &History, fates: &mut [Fate]) {
    for (place, check) in history.checks.iter().enumerate().filter(|(_, check)| !check.is_valid) {
        let refused_from = &mut fates[check.login].refused_from;
        // Most are refused many times.
        if check.ended >= refused_from.0 {
            continue;
        }
        let of = history.logins[check.login].of;
        let is_underway = |stamp: &&Stamp| {
            stamp.whose.includes(of) && stamp.began <= check.ended && stamp.committed >= check.began
        };
        let underway = history.stamps.iter().filter(is_underway).map(|stamp| stamp.committed);
        let from = underway.fold(check.ended, Time::max);
        *refused_from = (*refused_from).min((from, place));
    }
}

/// The latest that an epoch can be at this time after these stamps: each takes it to the second after the clock, or, where
/// that is later, a millisecond past what it was. A stamp of everybody goes past each user's epoch, and one of an id that
/// changes past the other's, so that any of `all` may have it rise; and one of everybody may be made twice.
fn latest_epoch(stamps: &[&Stamp], all: &[Stamp], at: Time) -> Option<Time> {
    let after = |stamp: &&Stamp| {
        let may_follow = |other: &&Stamp| other.committed > stamp.began && other.began < at;
        let risen = 2 * all.iter().filter(may_follow).count();
        stamp.committed.cut_to_seconds().plus_seconds(1).plus_milliseconds(risen)
    };
    stamps.iter().map(after).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Check, Login, Subject, Whose};

    const USER: Subject = Subject::User(1);
    const TOKEN: Subject = Subject::Token(1);
    const MEANS: [Means; 3] = [Means::SessionStart, Means::AppClock, Means::AppClockInSeconds];
    const SECOND: i64 = 1_000_000;

    fn login(of: Subject, means: Means) -> Login {
        Login { of, means, at: Time(105), began: Time(100), returned: Time(110) }
    }

    fn stamp(whose: Whose, began: i64, committed: i64) -> Stamp {
        Stamp {
            whose,
            what: "disable",
            began: Time(began),
            ends_logins_before: Time(began),
            ends_session_starts_before: Time(began),
            committed: Time(committed),
            is_certain: true,
        }
    }

    fn of_user(began: i64, committed: i64) -> Stamp {
        stamp(Whose::One(USER), began, committed)
    }

    fn check(began: i64, ended: i64, is_valid: bool) -> Check {
        Check { login: 0, began: Time(began), ended: Time(ended), is_valid, by: "a test" }
    }

    fn verdict(login: Login, stamps: &[Stamp], check: Check) -> Vec<Violation> {
        judge(&History { stamps: stamps.to_vec(), logins: vec![login], checks: vec![check] })
    }

    fn verdict_on_session(means: Means, stamps: &[Stamp], check: Check) -> Vec<Violation> {
        verdict(login(USER, means), stamps, check)
    }

    #[test]
    fn a_dead_login_must_not_be_valid_again() {
        let revived = vec![Violation::Revived { check: 0, stamp: 0 }];
        for means in MEANS {
            for (of, whose) in [
                (USER, Whose::One(USER)),
                (USER, Whose::AllUsers),
                (TOKEN, Whose::One(TOKEN)),
                (TOKEN, Whose::AllTokens),
            ] {
                let answered = |is_valid| {
                    let stamps = [stamp(whose, 120, 130)];
                    verdict(login(of, means), &stamps, check(131, 132, is_valid))
                };
                assert_eq!(answered(true), revived);
                assert_eq!(answered(false), []);
            }
        }
    }

    #[test]
    fn until_the_commit_has_returned_either_answer_will_do() {
        for is_valid in [true, false] {
            let answer = check(129, 140, is_valid);
            assert_eq!(verdict_on_session(Means::SessionStart, &[of_user(120, 130)], answer), []);
        }
    }

    #[test]
    fn a_stamp_that_began_before_the_login_was_done_need_not_kill_it() {
        let answer = check(140, 150, true);
        assert_eq!(verdict_on_session(Means::AppClock, &[of_user(109, 130)], answer), []);
    }

    #[test]
    fn a_stamp_that_is_put_off_kills_what_came_before_its_end() {
        let mut stamp = of_user(90, 130);
        stamp.ends_logins_before = Time(120);
        let revived = [Violation::Revived { check: 0, stamp: 0 }];
        let verdict = |stamp: &Stamp| {
            verdict_on_session(Means::AppClock, std::slice::from_ref(stamp), check(140, 150, true))
        };
        assert_eq!(verdict(&stamp), revived);
        stamp.ends_logins_before = Time(109);
        assert_eq!(verdict(&stamp), []);
    }

    #[test]
    fn a_stamp_kills_what_session_start_gave_out_before_its_commit() {
        let mut stamp = of_user(90, 130);
        stamp.ends_session_starts_before = Time(120);
        let answer =
            |means| verdict_on_session(means, std::slice::from_ref(&stamp), check(140, 150, true));
        assert_eq!(answer(Means::SessionStart), [Violation::Revived { check: 0, stamp: 0 }]);
        assert_eq!(answer(Means::AppClock), []);
    }

    #[test]
    fn the_stamp_of_another_kills_nothing() {
        for (of, whose) in [
            (USER, Whose::One(Subject::User(2))),
            (USER, Whose::One(TOKEN)),
            (USER, Whose::AllTokens),
            (TOKEN, Whose::One(Subject::Token(2))),
            (TOKEN, Whose::One(USER)),
            (TOKEN, Whose::AllUsers),
        ] {
            let answered = |is_valid| {
                let stamps = [stamp(whose, 120, 130)];
                verdict(login(of, Means::AppClock), &stamps, check(140, 150, is_valid))
            };
            assert_eq!(answered(true), []);
            assert_eq!(answered(false), [Violation::Refused { check: 0 }]);
        }
    }

    #[test]
    fn a_login_by_session_start_is_valid_until_a_stamp_may_have_followed() {
        let refused = [Violation::Refused { check: 0 }];
        let verdict = |stamps: &[Stamp], is_valid| {
            verdict_on_session(Means::SessionStart, stamps, check(120, 130, is_valid))
        };
        assert_eq!(verdict(&[], false), refused);
        assert_eq!(verdict(&[of_user(50, 99)], false), refused);
        assert_eq!(verdict(&[of_user(140, 150)], false), refused);
        assert_eq!(verdict(&[of_user(50, 101)], false), []);
        assert_eq!(verdict(&[of_user(129, 150)], false), []);
        let mut perhaps = of_user(115, 118);
        perhaps.is_certain = false;
        assert_eq!(verdict(&[perhaps.clone()], false), []);
        assert_eq!(verdict(&[perhaps], true), []);
    }

    #[test]
    fn a_login_by_a_clock_is_so_where_no_epoch_can_be_ahead_of_it() {
        let refused = [Violation::Refused { check: 0 }];
        for (of, means) in [(USER, Means::AppClock), (TOKEN, Means::AppClockInSeconds)] {
            let refusal = |at: i64, stamps: &[(i64, i64)]| {
                let stamps: Vec<Stamp> = stamps
                    .iter()
                    .map(|&(began, committed)| stamp(Whose::One(of), began, committed))
                    .collect();
                let (at, began, returned) = (Time(at), Time(9 * SECOND), Time(9 * SECOND + 10));
                let login = Login { of, means, at, began, returned };
                verdict(login, &stamps, check(returned.0 + 10, returned.0 + 20, false))
            };
            assert_eq!(refusal(0, &[]), refused);
            // In the second after it committed, and as long as it takes to be made twice.
            const TWICE: i64 = 2_000;
            assert_eq!(refusal(4 * SECOND + TWICE - 1, &[(50, 3 * SECOND)]), []);
            assert_eq!(refusal(4 * SECOND + TWICE, &[(50, 3 * SECOND)]), refused);
            // Either may have come after the other: as long again.
            let (first, second) = ((50, 3 * SECOND), (60, 3 * SECOND + 1));
            assert_eq!(refusal(4 * SECOND + 2 * TWICE - 1, &[first, second]), []);
            assert_eq!(refusal(4 * SECOND + 2 * TWICE, &[first, second]), refused);
            // The other came before.
            assert_eq!(refusal(4 * SECOND + TWICE, &[(20, 40), (50, 3 * SECOND)]), refused);
            // It came after, but by less than a second.
            assert_eq!(refusal(SECOND + TWICE - 1, &[(20, 40), (50, 60)]), []);
            // What follows may have killed it, as ever.
            assert_eq!(refusal(9 * SECOND, &[(9 * SECOND + 1, 9 * SECOND + 15)]), []);
        }
    }

    #[test]
    fn who_has_been_refused_is_not_valid_again() {
        let perhaps = |began, committed| Stamp { is_certain: false, ..of_user(began, committed) };
        let answers = |stamp: Stamp, checks: &[Check]| {
            judge(&History {
                stamps: vec![stamp],
                logins: vec![login(USER, Means::AppClock)],
                checks: checks.to_vec(),
            })
        };
        let checks = [check(140, 145, false), check(146, 150, true)];
        let wavered = [Violation::Wavered { check: 1, refusal: 0 }];
        assert_eq!(answers(perhaps(120, 130), &checks), wavered);
        assert_eq!(
            answers(perhaps(120, 130), &[checks[1].clone(), checks[0].clone()]),
            [Violation::Wavered { check: 0, refusal: 1 }]
        );
        assert_eq!(answers(perhaps(120, 150), &checks), [], "the change is underway still");
        assert_eq!(answers(perhaps(120, 130), &[checks[0].clone(), check(144, 150, true)]), []);
    }

    #[test]
    fn the_stamp_that_committed_first_decides() {
        let stamps = [of_user(120, 200), of_user(130, 140)];
        assert_eq!(
            verdict_on_session(Means::AppClock, &stamps, check(150, 160, true)),
            [Violation::Revived { check: 0, stamp: 1 }]
        );
    }

    #[test]
    fn a_stamp_in_doubt_kills_nothing_but_may_have() {
        let doubtful = [of_user(120, i64::MAX)];
        for is_valid in [true, false] {
            let answer = check(150, 160, is_valid);
            assert_eq!(verdict_on_session(Means::SessionStart, &doubtful, answer), []);
        }
    }
}
