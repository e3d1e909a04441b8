//! How the status column says whether an account is active, and what a change of it does.
//!
//! Pure: takes the column's value and the clock, and decides.

use super::epoch::Instant;
use std::fmt::{self, Display, Formatter, Write};
use std::iter::Peekable;
use std::str::Chars;

/// How the status column is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActiveWhen {
    /// A boolean: active while it is true. NULL: not active.
    True,
    /// A boolean: active while it is false, as `is_disabled` or `banned`. NULL: active.
    False,
    /// Any type: active while it is NULL, as `deleted_at`.
    Null,
    /// A time: active while it is not ahead of the clock, as `banned_until`. NULL: active. A login
    /// before that time does not count.
    Past,
    /// A time: active while it is ahead of the clock, as `expires_at`. NULL: active.
    Future,
    /// A text, a label of an enum, or an integer: active while it is one of these. NULL: not
    /// active.
    OneOf(Vec<String>),
}

/// The value of a status column, as far as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusValue {
    /// NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A point in time.
    Time(Instant),
    /// Whether it is one of those that are listed.
    IsListed(bool),
    /// Any value that is not NULL.
    NotNull,
}

/// What the users table says of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// No such row, or an id that the column cannot hold.
    Unknown,
    /// The status column says that the account is not active.
    Disabled,
    /// The status column says that the account is active.
    Active(Span),
}

/// Since when, and until when, an account is active without anybody writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// A ban ended then: a login before it does not count.
    pub since: Option<Instant>,
    /// The account expires then.
    pub until: Option<Instant>,
}

impl Span {
    /// An account whose status does not change by itself.
    pub const ALWAYS: Span = Span { since: None, until: None };
}

impl Account {
    /// An account that is active until somebody writes.
    pub const ACTIVE: Account = Account::Active(Span::ALWAYS);

    /// Of two rows of one id, what the stricter says.
    pub fn stricter(self, other: Account) -> Account {
        match (self, other) {
            (Account::Unknown, known) | (known, Account::Unknown) => known,
            (Account::Active(one), Account::Active(other)) => Account::Active(Span {
                since: one.since.max(other.since),
                until: match (one.until, other.until) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                },
            }),
            _ => Account::Disabled,
        }
    }

    /// The same where clocks of app servers may be this far ahead, in microseconds.
    pub fn with_margin(self, margin: i64) -> Account {
        match self {
            Account::Active(Span { since, until }) => {
                Account::Active(Span { since: since.map(|since| since.plus_micros(margin)), until })
            }
            other => other,
        }
    }

    /// Whether the account is active now.
    pub fn is_active(self) -> bool {
        matches!(self, Account::Active(_))
    }
}

impl ActiveWhen {
    /// Reads the form as `attach` takes it.
    pub fn parse(text: &str) -> Option<ActiveWhen> {
        Some(match text {
            "true" => ActiveWhen::True,
            "false" => ActiveWhen::False,
            "null" => ActiveWhen::Null,
            "past" => ActiveWhen::Past,
            "future" => ActiveWhen::Future,
            list => ActiveWhen::OneOf(parse_list(list).filter(|values| !values.is_empty())?),
        })
    }

    /// What an account with this value is. The clock is read only where it counts.
    #[inline]
    pub fn account(&self, value: StatusValue, clock: impl Fn() -> Instant) -> Account {
        let when = |is_active| if is_active { Account::ACTIVE } else { Account::Disabled };
        match (self, value) {
            (ActiveWhen::True, value) => when(value == StatusValue::Bool(true)),
            (ActiveWhen::False, value) => when(value != StatusValue::Bool(true)),
            (ActiveWhen::Null, value) => when(value == StatusValue::Null),
            (ActiveWhen::OneOf(_), value) => when(value == StatusValue::IsListed(true)),
            (ActiveWhen::Past, StatusValue::Time(end)) if end > clock() => Account::Disabled,
            // The earliest time of all is how some apps say that there was no ban.
            (ActiveWhen::Past, StatusValue::Time(end)) if end > Instant::NEG_INFINITY => {
                Account::Active(Span { since: Some(end), until: None })
            }
            (ActiveWhen::Future, StatusValue::Time(Instant::INFINITY)) => when(true),
            (ActiveWhen::Future, StatusValue::Time(end)) if end > clock() => {
                Account::Active(Span { since: None, until: Some(end) })
            }
            (ActiveWhen::Future, StatusValue::Time(_)) => Account::Disabled,
            (ActiveWhen::Past | ActiveWhen::Future, _) => when(true),
        }
    }

    /// Whether an account can become inactive, or active, without anybody writing.
    pub fn goes_by_the_clock(&self) -> bool {
        matches!(self, ActiveWhen::Past | ActiveWhen::Future)
    }
}

/// What a change of an account's row does to its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: the account is as active as it was.
    None,
    /// The account is not active any more.
    Disabled,
    /// The account is active again.
    Enabled,
    /// The account is as active as it was at this moment, but changes by itself at another time.
    Moved {
        /// Logins before this must not count again, though the row does not say so any more.
        not_before: Option<Instant>,
        /// If this has passed when the change commits, the account was not active meanwhile.
        unless_past: Option<Instant>,
    },
}

impl Change {
    /// Of what the old row said and what the new one says, both by one clock.
    pub fn between(old: Account, new: Account) -> Change {
        let moved = |not_before, unless_past| Change::Moved { not_before, unless_past };
        match (old, new) {
            (Account::Active(old), Account::Active(new)) if old == new => Change::None,
            (Account::Active(old), Account::Active(new)) => {
                let extends = |end: &Instant| new.until.is_none_or(|new| new > *end);
                let forgets = |end: &Instant| new.since < Some(*end);
                moved(old.since.filter(forgets), old.until.filter(extends))
            }
            // A ban that is moved may have ended by itself before this commits.
            (Account::Disabled, Account::Disabled) => moved(None, None),
            (_, Account::Active(_)) => Change::Enabled,
            _ => Change::Disabled,
        }
    }
}

/// As `attach` takes it, and as it is stored.
impl Display for ActiveWhen {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let values = match self {
            ActiveWhen::True => return out.write_str("true"),
            ActiveWhen::False => return out.write_str("false"),
            ActiveWhen::Null => return out.write_str("null"),
            ActiveWhen::Past => return out.write_str("past"),
            ActiveWhen::Future => return out.write_str("future"),
            ActiveWhen::OneOf(values) => values,
        };
        for (value, before) in values.iter().zip(std::iter::once('{').chain(std::iter::repeat(',')))
        {
            out.write_char(before)?;
            let is_plain = |c: char| !c.is_whitespace() && !"{}\",\\".contains(c);
            if !value.is_empty()
                && value.chars().all(is_plain)
                && !value.eq_ignore_ascii_case("null")
            {
                out.write_str(value)?;
                continue;
            }
            out.write_char('"')?;
            for c in value.chars() {
                if "\"\\".contains(c) {
                    out.write_char('\\')?;
                }
                out.write_char(c)?;
            }
            out.write_char('"')?;
        }
        out.write_char('}')
    }
}

/// The elements of an array of texts, as PostgreSQL writes one of a single dimension (manual,
/// section "Array Input and Output Syntax"), each once. Such an array has no NULLs.
fn parse_list(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut values: Vec<String> = Vec::new();
    let mut rest = inner.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        let is_quoted = rest.next_if_eq(&'"').is_some();
        let value = match is_quoted {
            true => parse_quoted(&mut rest)?,
            false => parse_plain(&mut rest)?,
        };
        if !values.contains(&value) {
            values.push(value);
        }
        match rest.next() {
            None => return Some(values),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// An element up to its closing quote, and the white space after that.
fn parse_quoted(rest: &mut Peekable<Chars>) -> Option<String> {
    let mut value = String::new();
    loop {
        match rest.next()? {
            '"' => break,
            '\\' => value.push(rest.next()?),
            c => value.push(c),
        }
    }
    while rest.next_if(|c| c.is_whitespace()).is_some() {}
    Some(value)
}

/// An element up to the next comma, without the white space before that.
fn parse_plain(rest: &mut Peekable<Chars>) -> Option<String> {
    let mut value = String::new();
    let mut length = 0;
    while let Some(c) = rest.next_if(|c| *c != ',') {
        match c {
            '"' | '{' | '}' => return None,
            '\\' => value.push(rest.next()?),
            c => value.push(c),
        }
        if c == '\\' || !c.is_whitespace() {
            length = value.len();
        }
    }
    value.truncate(length);
    (!value.is_empty() && !value.eq_ignore_ascii_case("null")).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Instant = Instant(800_000_000_000_000);
    const LATER: Instant = Instant(NOW.0 + 1);
    const EARLIER: Instant = Instant(NOW.0 - 1);

    fn by(form: &ActiveWhen, value: StatusValue) -> Account {
        form.account(value, || NOW)
    }

    fn since(since: Instant) -> Account {
        Account::Active(Span { since: Some(since), until: None })
    }

    fn until(until: Instant) -> Account {
        Account::Active(Span { since: None, until: Some(until) })
    }

    fn listed() -> ActiveWhen {
        ActiveWhen::OneOf(vec!["active".into(), "trial".into()])
    }

    #[test]
    fn booleans_are_active_while_true_or_while_not_true() {
        let values = [StatusValue::Bool(true), StatusValue::Bool(false), StatusValue::Null];
        let decide = |form: ActiveWhen| values.map(|value| by(&form, value).is_active());
        assert_eq!(decide(ActiveWhen::True), [true, false, false]);
        assert_eq!(decide(ActiveWhen::False), [false, true, true]);
    }

    #[test]
    fn null_is_active_for_all_but_true_and_a_list() {
        for form in [ActiveWhen::False, ActiveWhen::Null, ActiveWhen::Past, ActiveWhen::Future] {
            assert_eq!(by(&form, StatusValue::Null), Account::ACTIVE);
        }
        for form in [ActiveWhen::True, listed()] {
            assert_eq!(by(&form, StatusValue::Null), Account::Disabled);
        }
        assert_eq!(by(&ActiveWhen::Null, StatusValue::NotNull), Account::Disabled);
    }

    #[test]
    fn a_ban_ends_at_its_time_and_takes_the_logins_before_it() {
        let past = |end| by(&ActiveWhen::Past, StatusValue::Time(end));
        assert_eq!(past(LATER), Account::Disabled);
        assert_eq!(past(NOW), since(NOW));
        assert_eq!(past(EARLIER), since(EARLIER));
        assert_eq!(past(Instant::INFINITY), Account::Disabled);
        assert_eq!(past(Instant::NEG_INFINITY), Account::ACTIVE);
    }

    #[test]
    fn an_account_expires_at_its_time() {
        let future = |end| by(&ActiveWhen::Future, StatusValue::Time(end));
        assert_eq!(future(LATER), until(LATER));
        assert_eq!(future(NOW), Account::Disabled);
        assert_eq!(future(EARLIER), Account::Disabled);
        assert_eq!(future(Instant::INFINITY), Account::ACTIVE);
        assert_eq!(future(Instant::NEG_INFINITY), Account::Disabled);
    }

    #[test]
    fn only_what_is_listed_is_active() {
        assert_eq!(by(&listed(), StatusValue::IsListed(true)), Account::ACTIVE);
        assert_eq!(by(&listed(), StatusValue::IsListed(false)), Account::Disabled);
    }

    #[test]
    fn of_two_rows_the_stricter_counts() {
        let both = Account::Active(Span { since: Some(EARLIER), until: Some(LATER) });
        assert_eq!(since(EARLIER).stricter(until(LATER)), both);
        assert_eq!(until(LATER).stricter(until(NOW)), until(NOW));
        assert_eq!(since(EARLIER).stricter(since(NOW)), since(NOW));
        assert_eq!(Account::ACTIVE.stricter(Account::Disabled), Account::Disabled);
        assert_eq!(Account::Disabled.stricter(Account::ACTIVE), Account::Disabled);
        assert_eq!(Account::Unknown.stricter(Account::ACTIVE), Account::ACTIVE);
        assert_eq!(Account::Unknown.stricter(Account::Unknown), Account::Unknown);
    }

    #[test]
    fn a_change_counts_where_the_account_becomes_active_or_inactive() {
        assert_eq!(Change::between(Account::ACTIVE, Account::Disabled), Change::Disabled);
        assert_eq!(Change::between(Account::Disabled, since(EARLIER)), Change::Enabled);
        assert_eq!(Change::between(until(LATER), until(LATER)), Change::None);
        assert_eq!(Change::between(Account::ACTIVE, Account::ACTIVE), Change::None);
    }

    #[test]
    fn what_ended_with_a_ban_stays_ended_when_the_ban_is_forgotten() {
        let moved = |not_before, unless_past| Change::Moved { not_before, unless_past };
        assert_eq!(Change::between(since(EARLIER), Account::ACTIVE), moved(Some(EARLIER), None));
        assert_eq!(Change::between(since(NOW), since(EARLIER)), moved(Some(NOW), None));
        assert_eq!(Change::between(since(EARLIER), since(NOW)), moved(None, None));
        assert_eq!(Change::between(Account::Disabled, Account::Disabled), moved(None, None));
    }

    #[test]
    fn an_extension_that_commits_too_late_has_an_account_enabled_again() {
        let moved = |unless_past| Change::Moved { not_before: None, unless_past };
        let end = Instant(LATER.0 + 1);
        assert_eq!(Change::between(until(LATER), until(end)), moved(Some(LATER)));
        assert_eq!(Change::between(until(LATER), Account::ACTIVE), moved(Some(LATER)));
        assert_eq!(Change::between(until(end), until(LATER)), moved(None));
        assert_eq!(Change::between(Account::ACTIVE, until(LATER)), moved(None));
    }

    #[test]
    fn lists_are_read_as_postgresql_writes_arrays() {
        let list = |text| match ActiveWhen::parse(text) {
            Some(ActiveWhen::OneOf(values)) => values,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(list("{active}"), ["active"]);
        assert_eq!(list(" { active , on trial,active } "), ["active", "on trial"]);
        assert_eq!(list(r#"{"a,b","c\"d",e\ ,"",NULLs}"#), ["a,b", "c\"d", "e ", "", "NULLs"]);
        assert_eq!(list(r#"{"null" , "{}"}"#), ["null", "{}"]);
        let refused = [
            "", "{", "{}", "{ }", "active", "{a", "a}", "{a,}", "{,a}", "{null}", "{{a}}", "{a}b",
            "{\"a}", "{\"a\"b}", "{a\"b\"}", "{a\\", "TRUE", "maybe", "{\"}", "{a\\}",
        ];
        for text in refused {
            assert_eq!(ActiveWhen::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_form_reads_back_as_it_is_written() {
        for name in ["true", "false", "null", "past", "future", "{a,b}", r#"{"a b","",null2}"#] {
            assert_eq!(ActiveWhen::parse(name).map(|form| form.to_string()).as_deref(), Some(name));
        }
    }

    fn instant() -> impl Strategy<Value = Instant> {
        prop_oneof![
            any::<i64>().prop_map(Instant),
            (-3i64..3).prop_map(|micros| NOW.plus_micros(micros)),
            Just(Instant::INFINITY),
            Just(Instant::NEG_INFINITY),
        ]
    }

    proptest! {
        #[test]
        fn every_list_reads_back(values in proptest::collection::vec(".{0,8}", 1..5)) {
            let written = ActiveWhen::OneOf(values.clone()).to_string();
            let Some(ActiveWhen::OneOf(read)) = ActiveWhen::parse(&written) else {
                return Err(TestCaseError::fail(written));
            };
            prop_assert!(values.iter().all(|value| read.contains(value)), "{written}: {read:?}");
            prop_assert!(read.iter().all(|value| values.contains(value)), "{written}: {read:?}");
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,24}") {
            let _ = ActiveWhen::parse(&text);
            let _ = ActiveWhen::parse(&format!("{{{text}}}"));
        }

        #[test]
        fn an_account_is_active_until_it_expires_and_from_the_end_of_its_ban(
            end in instant(), now in instant(),
        ) {
            let past = ActiveWhen::Past.account(StatusValue::Time(end), || now);
            let future = ActiveWhen::Future.account(StatusValue::Time(end), || now);
            prop_assert_eq!(past.is_active(), end <= now);
            prop_assert_eq!(future.is_active(), end > now || end == Instant::INFINITY);
            if let Account::Active(Span { since: Some(since), .. }) = past {
                prop_assert!(since <= now);
            }
            if let Account::Active(Span { until: Some(until), .. }) = future {
                prop_assert!(until > now);
            }
        }

        #[test]
        fn no_change_gives_back_a_login_that_a_ban_has_taken(
            old in proptest::option::of(instant()), new in proptest::option::of(instant()),
        ) {
            let value = |end: Option<Instant>| end.map_or(StatusValue::Null, StatusValue::Time);
            let (old, new) = (by(&ActiveWhen::Past, value(old)), by(&ActiveWhen::Past, value(new)));
            if let (Account::Active(before), Account::Active(after)) = (old, new) {
                let kept = match Change::between(old, new) {
                    Change::Moved { not_before, .. } => not_before,
                    Change::None => None,
                    other => panic!("{other:?}"),
                };
                prop_assert!(kept.max(after.since) >= before.since);
            }
        }
    }
}
