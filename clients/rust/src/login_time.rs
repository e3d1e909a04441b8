use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// When a session logged in: exact, as the database wrote it. Keep it as it is, in the session or
/// in a token.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct LoginTime(String);

/// Before every epoch, so that it counts for nobody who was ever stamped.
const LONG_AGO: &str = "0001-01-02T00:00:00.000000Z";

impl LoginTime {
    /// Of a text that was kept. What is no time is one of long ago: PostgreSQL would take
    /// `infinity` and `tomorrow` for times, and raise an error at others.
    pub fn from_kept(kept: &str) -> Self {
        Self(if is_time(kept) { kept } else { LONG_AGO }.to_owned())
    }

    /// As it is kept: `2026-07-01T12:00:00.123456Z`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By the app's own clock: only where the database cannot be asked, and the app has chosen to
    /// go on.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_micros(i64::try_from(since.as_micros()).ok())
    }

    /// A token's `iat`.
    fn from_seconds(seconds: f64) -> Self {
        // What is no time becomes one that from_micros refuses.
        Self::from_micros(Some((seconds * 1e6) as i64))
    }

    fn from_micros(since_1970: Option<i64>) -> Self {
        // Of the years 1 to 9999.
        const KNOWN: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;
        let Some(micros) = since_1970.filter(|micros| KNOWN.contains(micros)) else {
            return Self(LONG_AGO.to_owned());
        };
        let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
        let (year, month, day) = civil(days);
        let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        Self(format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
        ))
    }
}

impl<'de> Deserialize<'de> for LoginTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kept = Value::deserialize(deserializer)?;
        Ok(Self::from_kept(kept.as_str().unwrap_or_default()))
    }
}

/// The Gregorian date of a day since 1970, by the algorithm of Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// `YYYY-MM-DDTHH:MM:SS`, up to six digits more, and a zone.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let matches = |bytes: &[u8], pattern: &str| {
        bytes.len() == pattern.len()
            && bytes.iter().zip(pattern.bytes()).all(|(byte, wanted)| {
                if wanted == b'0' { byte.is_ascii_digit() } else { *byte == wanted }
            })
    };
    let number = |from: usize, to: usize| {
        text.get(from..to).and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(-1)
    };
    let Some((date, mut rest)) = bytes.split_at_checked(19) else { return false };
    if !matches(date, "0000-00-00T00:00:00") {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=6).contains(&digits) {
            return false;
        }
        rest = &fraction[digits..];
    }
    let is_zone = rest == b"Z"
        || (matches(rest, "+00:00") || matches(rest, "-00:00"))
            && number(text.len() - 5, text.len() - 3) < 16
            && number(text.len() - 2, text.len()) < 60;
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    is_zone
        && year > 0
        && (1..=days).contains(&day)
        && number(11, 13) < 24
        && number(14, 16) < 60
        && number(17, 19) < 60
}

/// The name of the login time, in a session and in the claims of a token.
pub const LOGIN_TIME_KEY: &str = "guard_login_at";

/// The claim to put into a token beside `sub`, by `#[serde(flatten)]`. A token that is made of
/// another, or of a session, takes over the time of that, by `into()`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct LoginClaims {
    /// The login time that the token is as old as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard_login_at: Option<LoginTime>,
}

impl From<LoginTime> for LoginClaims {
    fn from(login_at: LoginTime) -> Self {
        Self { guard_login_at: Some(login_at) }
    }
}

impl From<Option<LoginTime>> for LoginClaims {
    /// None, as of a session from before the guard, is long ago: the token's `iat` would be later
    /// than what may have ended it.
    fn from(login_at: Option<LoginTime>) -> Self {
        login_at.unwrap_or_else(|| LoginTime(LONG_AGO.to_owned())).into()
    }
}

/// The login time of a token that has been verified, of its claims as JSON.
///
/// `iat` serves for tokens that were made before the crate was there. It is not used for others: it
/// is cut to whole seconds, so just after a stamp it lies before the epoch.
pub fn login_time_of(claims: &Value) -> Option<LoginTime> {
    match &claims[LOGIN_TIME_KEY] {
        Value::Null => claims["iat"].as_f64().map(LoginTime::from_seconds),
        kept => Some(LoginTime::from_kept(kept.as_str().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_login_time_is_kept_exactly_and_what_is_no_time_is_one_of_long_ago() {
        for exact in
            ["2026-07-01T12:00:00.123456Z", "2026-07-01T12:00:00Z", "2028-02-29T12:00:00.1+05:30"]
        {
            assert_eq!(LoginTime::from_kept(exact).as_str(), exact);
        }
        for junk in [
            "",
            "infinity",
            "tomorrow",
            "now",
            "2026-07-01",
            "2026-02-30T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-07-01T12:00:00",
            "2026-07-01T25:00:00Z",
            "0000-01-01T00:00:00Z",
            " 2026-07-01T12:00:00Z",
            "2026-07-01T12:00:00.1234567Z",
            "2026-07-01T12:00:00.Z",
            "2026-07-01T12:00:00+99:00",
            "2026-07-01T12:00:00Zé",
            "2026-07-0éT12:00:00Z",
            "2026-07-01T12:00:60Z",
        ] {
            assert_eq!(LoginTime::from_kept(junk).as_str(), LONG_AGO, "{junk}");
        }
    }

    #[test]
    fn a_time_of_the_clock_is_written_as_the_database_writes_it() {
        for (seconds, written) in [
            (0.0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400.25, "2000-02-29T00:00:00.250000Z"),
            (-1.0, "1969-12-31T23:59:59.000000Z"),
            (4_102_444_799.0, "2099-12-31T23:59:59.000000Z"),
            (1e300, LONG_AGO),
            (-1e300, LONG_AGO),
            (f64::NAN, "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(LoginTime::from_seconds(seconds).as_str(), written);
        }
        assert!(is_time(LoginTime::now().as_str()) && is_time(LONG_AGO));
    }

    #[test]
    fn the_claim_of_a_token_counts_before_its_iat() {
        let exact = "2026-07-01T12:00:00.123456Z";
        let text = |claims| login_time_of(&claims).map(|time| time.0);
        assert_eq!(text(json!({ "guard_login_at": exact, "iat": 1 })).as_deref(), Some(exact));
        for forged in [json!("infinity"), json!(7), json!([exact])] {
            let claims = json!({ "guard_login_at": forged, "iat": 4e9 });
            assert_eq!(text(claims).as_deref(), Some(LONG_AGO));
        }
        assert_eq!(text(json!({ "iat": 1 })).as_deref(), Some("1970-01-01T00:00:01.000000Z"));
        assert_eq!(
            [text(json!({ "iat": "now" })), text(json!({})), text(json!(7))],
            [None, None, None]
        );
        let claims = LoginClaims::from(LoginTime::from_kept(exact));
        assert_eq!(serde_json::to_value(claims).unwrap(), json!({ "guard_login_at": exact }));
        assert_eq!(serde_json::to_value(LoginClaims::default()).unwrap(), json!({}));
        let claims = LoginClaims::from(None::<LoginTime>);
        assert_eq!(serde_json::to_value(claims).unwrap(), json!({ "guard_login_at": LONG_AGO }));
    }
}
