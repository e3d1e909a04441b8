//! The settings, all under the prefix `session_guard.`, all set by a superuser.

use crate::epoch::Instant;
use crate::planted::{self, Fault};
use crate::unguarded::statement_start;
use chrono::TimeDelta;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, GucValue};
use pgrx::{PostgresGucEnum, pg_sys};

/// What a guard says while stamps may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum InDoubt {
    /// Judge by the rows as they are: a disabled account is refused, a stamp may be missing.
    #[name = c"live"]
    Live,
    /// Refuse everybody.
    #[name = c"refuse"]
    Refuse,
}

/// What the COMMIT of a stamp waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum Durability {
    /// What the transaction's own `synchronous_commit` says.
    #[name = c"local"]
    Local,
    /// That the synchronous standbys have replayed it.
    #[name = c"remote_apply"]
    RemoteApply,
}

/// Some 200 MB a backend at the most, of long text ids.
const MOST_CACHE_ENTRIES: i32 = 1_000_000;
const DAY_IN_MILLIS: i32 = 24 * 60 * 60 * 1000;

static FUTURE_LOGIN_TOLERANCE: GucSetting<i32> = GucSetting::<i32>::new(10_000);
static STAMP_MARGIN: GucSetting<i32> = GucSetting::<i32>::new(0);
static WHEN_DISARMED: GucSetting<InDoubt> = GucSetting::<InDoubt>::new(InDoubt::Live);

static CACHE_ENTRIES: GucSetting<i32> = GucSetting::<i32>::new(65_536);

static AUDIT: GucSetting<bool> = GucSetting::<bool>::new(true);
static NOTIFY: GucSetting<bool> = GucSetting::<bool>::new(false);
static WHEN_TIMELINE_CHANGED: GucSetting<InDoubt> = GucSetting::<InDoubt>::new(InDoubt::Live);
static MAX_STANDBY_STALENESS: GucSetting<i32> = GucSetting::<i32>::new(0);
static REVOCATION_DURABILITY: GucSetting<Durability> =
    GucSetting::<Durability>::new(Durability::Local);

/// Whether the COMMIT of a stamp waits for standbys, whatever the transaction itself asks for.
pub fn waits_for_standbys() -> bool {
    REVOCATION_DURABILITY.get() == Durability::RemoteApply
}

/// How far behind a standby may be, in microseconds, if that is limited.
#[inline]
pub fn max_standby_staleness() -> Option<i64> {
    let most = value(&MAX_STANDBY_STALENESS);
    (most > 0).then(|| i64::from(most) * 1000)
}

/// A setting that each call reads. `GucSetting::get` asks first whether this is the thread that PostgreSQL runs in, which takes
/// longer than all the comparisons of a call.
#[inline]
fn value<T: GucValue>(setting: &GucSetting<T>) -> T::Raw {
    // SAFETY: PostgreSQL calls, and assigns settings, in the one thread of a backend.
    unsafe { *setting.as_ptr() }
}

/// Whether stamps are recorded.
pub fn is_auditing() -> bool {
    AUDIT.get()
}

/// Whether those who listen are told of stamps.
pub fn is_notifying() -> bool {
    NOTIFY.get()
}

/// How many epochs a backend keeps at the most.
#[inline]
pub fn cache_entries() -> usize {
    usize::try_from(value(&CACHE_ENTRIES)).unwrap_or(0)
}

/// The oldest login time of a session that may last so long, in microseconds.
pub fn oldest_login(max_session_age: Option<i64>) -> Option<Instant> {
    max_session_age.map(|age| clock().plus_micros(-age))
}

/// The latest login time that is not yet in the future: the clock plus the tolerance.
///
/// Where a `login` lies before that of the statement's start, that one is given: the clock has not
/// been earlier since, and to read it costs as much as all the rest.
#[inline]
pub fn latest_login(login: Option<Instant>) -> Instant {
    let tolerance = i64::from(value(&FUTURE_LOGIN_TOLERANCE)) * 1000;
    let latest_at_start = statement_start().plus_micros(tolerance);
    match login {
        Some(login) if login > latest_at_start => clock().plus_micros(tolerance),
        _ => latest_at_start,
    }
}

/// How far the app servers' clocks may be ahead of this one when they hand out login times.
pub fn stamp_margin() -> TimeDelta {
    TimeDelta::milliseconds(STAMP_MARGIN.get().into())
}

/// Whether everybody is refused while stamps may be lost.
#[inline]
pub fn refuses_when_timeline_changed() -> bool {
    value(&WHEN_TIMELINE_CHANGED) == InDoubt::Refuse as i32
}

/// Whether a guard that is not armed refuses everybody.
pub fn refuses_when_disarmed() -> bool {
    WHEN_DISARMED.get() == InDoubt::Refuse
}

/// What the wall clock shows now, whenever the transaction began.
pub fn clock() -> Instant {
    // SAFETY: reads the clock, and needs nothing else.
    Instant(unsafe { pg_sys::GetCurrentTimestamp() })
}

/// What the wall clock shows when an epoch is raised.
pub fn stamping_clock() -> Instant {
    if planted::has(Fault::StampFromNow) {
        // SAFETY: we are in a transaction.
        return Instant(unsafe { pg_sys::GetCurrentTransactionStartTimestamp() });
    }
    clock()
}

/// Makes the settings known. Called once, when the library is loaded.
pub fn define() {
    GucRegistry::define_int_guc(
        c"session_guard.future_login_tolerance",
        c"How far ahead of the server's clock a login time may lie.",
        c"A login time further ahead than this would outlive later stamps, and is refused.",
        &FUTURE_LOGIN_TOLERANCE,
        0,
        DAY_IN_MILLIS,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"session_guard.stamp_margin",
        c"How far the app servers' clocks may be ahead of the server's.",
        c"Added to the clock before an epoch is rounded up. Not needed where logins take their time from session_start().",
        &STAMP_MARGIN,
        0,
        DAY_IN_MILLIS,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_enum_guc(
        c"session_guard.when_disarmed",
        c"What a guard answers while its triggers are not all in place.",
        c"live: by the rows as they are, so that disabled accounts are refused but a stamp may be missing. refuse: nobody gets in.",
        &WHEN_DISARMED,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"session_guard.cache_entries",
        c"How many accounts each backend keeps the epochs of, so as not to read them again.",
        c"All are forgotten when an account or a guard changes, and when there are more. 0: none is kept.",
        &CACHE_ENTRIES,
        0,
        MOST_CACHE_ENTRIES,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"session_guard.audit",
        c"Whether each stamp is recorded in session_guard.event.",
        c"With who caused it, and by which path; session_guard.prune() keeps the record short.",
        &AUDIT,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"session_guard.notify",
        c"Whether a transaction that stamps sends a NOTIFY on the channel session_guard.",
        c"Without a payload: listeners read the new rows of session_guard.event. PostgreSQL cannot prepare a transaction (PREPARE TRANSACTION) that has sent a NOTIFY.",
        &NOTIFY,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"session_guard.max_standby_staleness",
        c"How far behind a standby may be and still answer.",
        c"One that has heard nothing from its upstream server for longer, or has not replayed for longer what it received, refuses everybody. Set wal_sender_timeout on the upstream server to less than twice as much, or it may be silent for longer. 0: a standby answers as of what it has replayed.",
        &MAX_STANDBY_STALENESS,
        0,
        DAY_IN_MILLIS,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_enum_guc(
        c"session_guard.revocation_durability",
        c"What the COMMIT of a transaction that ends sessions waits for.",
        c"local: what its own synchronous_commit says. remote_apply: that the synchronous standbys (synchronous_standby_names) have replayed it, so that none of them lets in whom it put out. COMMIT PREPARED waits as its own session says.",
        &REVOCATION_DURABILITY,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"session_guard.when_timeline_changed",
        c"What a guard answers after a failover or a restore to an earlier time, in which stamps may have been lost.",
        c"Until session_guard.acknowledge_timeline() is called. live: by the rows as they are. refuse: nobody gets in.",
        &WHEN_TIMELINE_CHANGED,
        GucContext::Suset,
        GucFlags::default(),
    );
    crate::planted::define();
    crate::compat::reserve_setting_prefix(c"session_guard");
}
