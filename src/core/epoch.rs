//! The stamping rule: what instant the sessions of a disabled account must not predate.
//!
//! Pure: knows nothing of PostgreSQL but the unit of its timestamps.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// A point in time as a `timestamptz` holds it: microseconds since 2000-01-01 00:00 UTC, with the
/// two infinities at the ends (PostgreSQL manual, section 8.5, Date/Time Types).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub i64);

impl Instant {
    /// Later than every login time.
    pub const INFINITY: Instant = Instant(i64::MAX);
    /// Earlier than every other instant.
    pub const NEG_INFINITY: Instant = Instant(i64::MIN);

    /// The first microsecond that a `timestamptz` can hold: in the year 4714 BC.
    const START: i64 = -211_813_488_000_000_000;
    /// The first microsecond that a `timestamptz` cannot hold: the end of the year 294276.
    const END: i64 = 9_223_371_331_200_000_000;
    /// 2000-01-01 00:00 UTC, in microseconds of the Unix epoch.
    const UNIX_MICROS_OF_ZERO: i64 = 946_684_800_000_000;

    /// The beginning of a day in UTC, as a `date` counts days: from 2000-01-01 on, with the two
    /// infinities at the ends.
    pub fn of_day(day: i32) -> Instant {
        const DAY: i64 = 24 * 60 * 60 * 1_000_000;
        match day {
            i32::MIN => Self::NEG_INFINITY,
            i32::MAX => Self::INFINITY,
            day => Instant(0).plus_micros(i64::from(day).saturating_mul(DAY)),
        }
    }

    /// A Unix time: seconds since 1970-01-01 00:00 UTC, and microseconds.
    pub fn of_unix(seconds: i64, micros: i64) -> Instant {
        let micros = seconds.saturating_mul(1_000_000).saturating_add(micros);
        Instant(micros.saturating_sub(Self::UNIX_MICROS_OF_ZERO))
    }

    /// This instant moved by `micros`; what leaves the range of a `timestamptz` becomes infinite.
    pub fn plus_micros(self, micros: i64) -> Instant {
        match self.0.saturating_add(micros) {
            _ if self == Self::INFINITY || self == Self::NEG_INFINITY => self,
            moved if moved >= Self::END => Self::INFINITY,
            moved if moved < Self::START => Self::NEG_INFINITY,
            moved => Instant(moved),
        }
    }

    fn to_utc(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0.checked_add(Self::UNIX_MICROS_OF_ZERO)?)
    }

    fn from_utc(utc: DateTime<Utc>) -> Instant {
        Instant(utc.timestamp_micros() - Self::UNIX_MICROS_OF_ZERO)
    }
}

/// The instant that a login must not predate. An epoch that a superuser wrote by hand may hold any
/// value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub Instant);

impl Epoch {
    /// The epoch that ends every login given out up to `now`: the second after `now + margin`, or,
    /// where that is not later, a millisecond past the `old` epoch.
    ///
    /// Rounding up, and strictly, puts a login that was cut to whole seconds in the second of the
    /// stamp before the epoch. Rising strictly does the same for a login that was given out at the
    /// old epoch, also when the clock has stepped back since. A rise by no more than a millisecond
    /// keeps the epochs of accounts that change often near the clock.
    pub fn stamp(now: Instant, margin: TimeDelta, old: Option<Epoch>) -> Epoch {
        let by_clock = Self::second_after(now, margin);
        match old {
            Some(old) if old >= by_clock => old.plus_one_millisecond(),
            _ => by_clock,
        }
    }

    /// Whether every login given out up to `now` lies before this epoch already.
    pub fn is_after(self, now: Instant, margin: TimeDelta) -> bool {
        self >= Self::second_after(now, margin)
    }

    /// A millisecond later; an infinite epoch stays as it is.
    pub fn plus_one_millisecond(self) -> Epoch {
        Epoch(self.0.plus_micros(1_000))
    }

    fn second_after(now: Instant, margin: TimeDelta) -> Epoch {
        let rounded_up = now
            .to_utc()
            .and_then(|now| now.checked_add_signed(margin))
            .and_then(|now| now.trunc_subsecs(0).checked_add_signed(TimeDelta::seconds(1)));
        Epoch(rounded_up.map_or(Instant::INFINITY, Instant::from_utc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;
    const NO_MARGIN: TimeDelta = TimeDelta::zero();

    fn cut_to_seconds(login: Instant) -> Instant {
        Instant(login.0.div_euclid(SECOND) * SECOND)
    }

    /// The years 1970 to 2200: any clock that a server will show.
    fn clock() -> impl Strategy<Value = Instant> {
        (-946_684_800 * SECOND..6_311_433_600 * SECOND).prop_map(Instant)
    }

    #[test]
    fn unix_time_is_read_as_chrono_writes_it() {
        for now in [Instant(0), Instant(-1), Instant(800_000_000_123_456)] {
            let unix = now.to_utc().expect("a date");
            let micros = i64::from(unix.timestamp_subsec_micros());
            assert_eq!(Instant::of_unix(unix.timestamp(), micros), now);
        }
    }

    #[test]
    fn a_stamp_is_the_next_whole_second() {
        let stamp = |now| Epoch::stamp(Instant(now), NO_MARGIN, None);
        assert_eq!(stamp(0), Epoch(Instant(SECOND)));
        assert_eq!(stamp(1), Epoch(Instant(SECOND)));
        assert_eq!(stamp(SECOND - 1), Epoch(Instant(SECOND)));
        assert_eq!(stamp(SECOND), Epoch(Instant(2 * SECOND)));
        assert_eq!(stamp(-1), Epoch(Instant(0)));
    }

    #[test]
    fn a_stamp_passes_the_margin_before_it_is_rounded() {
        let margin = TimeDelta::milliseconds(1500);
        assert_eq!(Epoch::stamp(Instant(0), margin, None), Epoch(Instant(2 * SECOND)));
    }

    #[test]
    fn a_stamp_rises_by_a_millisecond_when_the_clock_stands_still() {
        let old = Epoch::stamp(Instant(0), NO_MARGIN, None);
        assert_eq!(Epoch::stamp(Instant(0), NO_MARGIN, Some(old)), Epoch(Instant(SECOND + 1_000)));
    }

    #[test]
    fn epochs_of_an_account_that_changes_all_the_time_stay_near_the_clock() {
        let mut last = None;
        for stamp in 0..10_000 {
            let now = Instant(stamp * 1_000);
            let epoch = Epoch::stamp(now, NO_MARGIN, last);
            assert!(epoch.0.0 - now.0 <= 2 * SECOND, "{epoch:?} at {now:?}");
            last = Some(epoch);
        }
    }

    #[test]
    fn an_epoch_covers_the_logins_of_its_second() {
        let epoch = Epoch::stamp(Instant(0), NO_MARGIN, None);
        assert!(epoch.is_after(Instant(SECOND - 1), NO_MARGIN));
        assert!(!epoch.is_after(Instant(SECOND), NO_MARGIN));
        assert!(!epoch.is_after(Instant(0), TimeDelta::seconds(1)));
    }

    #[test]
    fn a_stamp_of_a_clock_beyond_the_calendar_is_infinite() {
        let end = Instant(Instant::END - 1);
        assert_eq!(Epoch::stamp(end, NO_MARGIN, None), Epoch(Instant::INFINITY));
        assert_eq!(Epoch(end).plus_one_millisecond(), Epoch(Instant::INFINITY));
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        assert_eq!(Instant::of_day(0), Instant(0));
        assert_eq!(Instant::of_day(-1), Instant(-86_400 * SECOND));
        assert_eq!(Instant::of_day(i32::MAX), Instant::INFINITY);
        assert_eq!(Instant::of_day(i32::MIN), Instant::NEG_INFINITY);
        assert_eq!(Instant::of_day(i32::MAX - 1), Instant::INFINITY);
    }

    #[test]
    fn infinite_epochs_do_not_move() {
        for end in [Instant::INFINITY, Instant::NEG_INFINITY] {
            assert_eq!(Epoch(end).plus_one_millisecond(), Epoch(end));
        }
    }

    proptest! {
        #[test]
        fn no_login_up_to_the_stamps_clock_is_at_or_past_the_epoch(
            now in clock(),
            age in 0i64..10 * 365 * 86_400 * SECOND,
            margin in 0i64..86_400_000,
            old in proptest::option::of(any::<i64>().prop_map(|micros| Epoch(Instant(micros)))),
        ) {
            let epoch = Epoch::stamp(now, TimeDelta::milliseconds(margin), old);
            let login = Instant(now.0 - age);
            prop_assert!(login < epoch.0);
            prop_assert!(cut_to_seconds(login) < epoch.0);
            let fast_clock = login.plus_micros(margin * 1000);
            prop_assert!(fast_clock < epoch.0);
        }

        #[test]
        fn epochs_rise_strictly_also_when_the_clock_steps_back(
            clocks in prop::collection::vec(clock(), 1..50),
        ) {
            let mut last = None;
            for now in clocks {
                let epoch = Epoch::stamp(now, NO_MARGIN, last);
                prop_assert!(Some(epoch) > last);
                prop_assert!(cut_to_seconds(now) < epoch.0);
                last = Some(epoch);
            }
        }

        #[test]
        fn a_login_at_the_old_epoch_dies_with_the_next_stamp(now in clock(), ahead in clock()) {
            let old = Epoch::stamp(ahead, NO_MARGIN, None);
            prop_assert!(old.0 < Epoch::stamp(now, NO_MARGIN, Some(old)).0);
        }
    }
}
