//! SQL: changes policies.

use crate::cache::guard_cache::check_writable;
use crate::catalog::privileges::{as_tables_owner, check_administration};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::datum::{Text, Value, micros_of_interval};
use crate::pg::report::OrRaise;
use crate::pg::roles::{login_role, role_name};
use crate::pg::spi::run_once;
use pgrx::datum::Interval;
use pgrx::prelude::*;

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// Changes the policies that are named; NULL leaves one as it is.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "one argument a policy")]
fn configure(
    future_login_tolerance: Option<Interval>,
    stamp_margin: Option<Interval>,
    when_disarmed: Option<Text<'_>>,
    audit: Option<bool>,
    notify: Option<bool>,
    revocation_durability: Option<Text<'_>>,
    max_standby_staleness: Option<Interval>,
    when_timeline_changed: Option<Text<'_>>,
) {
    check_writable("configure()").or_raise();
    check_administration().or_raise();
    let duration = |name, interval| duration(name, interval).or_raise();
    let answers = |name, text| choice(name, text, ["live", "refuse"]).or_raise();
    let when_disarmed = answers("when_disarmed", when_disarmed);
    let when_timeline_changed = answers("when_timeline_changed", when_timeline_changed);
    let durability = ["local", "remote_apply"];
    let durability = choice("revocation_durability", revocation_durability, durability).or_raise();
    let micros = |micros: Option<i64>| micros.map_or(Value::Null, Value::Int8);
    let boolean = |boolean: Option<bool>| boolean.map_or(Value::Null, Value::Bool);
    let role = role_name(login_role());
    let arguments = [
        Value::Utf8(&role),
        micros(duration("future_login_tolerance", future_login_tolerance)),
        micros(duration("stamp_margin", stamp_margin)),
        when_disarmed.as_deref().map_or(Value::Null, Value::Utf8),
        boolean(audit),
        boolean(notify),
        durability.as_deref().map_or(Value::Null, Value::Utf8),
        micros(duration("max_standby_staleness", max_standby_staleness)),
        when_timeline_changed.as_deref().map_or(Value::Null, Value::Utf8),
    ];
    as_tables_owner(|| {
        // A restored dump may have brought a row beside the one that was there.
        run_once(
            "DELETE FROM session_guard.policy AS p
             WHERE p.ctid <> (SELECT q.ctid FROM session_guard.policy AS q
                              ORDER BY q.set_at DESC LIMIT 1)",
            &[],
        );
        run_once(
            "INSERT INTO session_guard.policy (set_at)
             SELECT '-infinity' WHERE NOT EXISTS (SELECT FROM session_guard.policy)",
            &[],
        );
        run_once(
            "UPDATE session_guard.policy SET
                 set_at = pg_catalog.clock_timestamp(),
                 set_by = $1,
                 future_login_tolerance = COALESCE($2::pg_catalog.int8 * interval '1 microsecond',
                                                   future_login_tolerance),
                 stamp_margin = COALESCE($3::pg_catalog.int8 * interval '1 microsecond',
                                         stamp_margin),
                 when_disarmed = COALESCE($4, when_disarmed),
                 audit = COALESCE($5::pg_catalog.bool, audit),
                 notify = COALESCE($6::pg_catalog.bool, notify),
                 revocation_durability = COALESCE($7, revocation_durability),
                 max_standby_staleness = COALESCE($8::pg_catalog.int8 * interval '1 microsecond',
                                                  max_standby_staleness),
                 when_timeline_changed = COALESCE($9, when_timeline_changed)",
            &arguments,
        );
    });
}

/// A policy that is a time: from nothing to a day.
fn duration(name: &str, interval: Option<Interval>) -> Result<Option<i64>, GuardError> {
    match interval.map(|interval| micros_of_interval(&interval)) {
        Some(micros) if !(0..=DAY).contains(&micros) => {
            let message = format!("{name} must be between 0 and 1 day");
            let hint = Hint::advice("Give an interval such as '10 s'.");
            Err(GuardError::new(ErrorKind::InvalidValue, message, hint))
        }
        micros => Ok(micros),
    }
}

/// A policy that is one of two words.
fn choice(
    name: &str,
    value: Option<Text>,
    choices: [&str; 2],
) -> Result<Option<String>, GuardError> {
    let value = value.map(Text::word);
    match &value {
        Some(text) if !choices.contains(&text.as_str()) => {
            let [first, second] = choices;
            let message = format!("{name} must be {first} or {second}");
            let hint = Hint::advice(format!("Give '{first}' or '{second}'."));
            Err(GuardError::new(ErrorKind::InvalidValue, message, hint))
        }
        _ => Ok(value),
    }
}
