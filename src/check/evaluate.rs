//! The verdict on a session: from the cache, or from the tables.

use crate::cache::epoch_cache::{self, CachedAccount, NewEntry};
use crate::cache::generations::{Bucket, epoch_generation, user_generation};
use crate::cache::guard_cache::{self, GuardRef, null_table, open_for_check};
use crate::catalog::epochs::EpochReader;
use crate::catalog::guard::OpenGuard;
use crate::catalog::policy::Policy;
use crate::core::epoch::{Epoch, Instant};
use crate::core::status::{Account, Span};
use crate::core::user_id::UserId;
use crate::core::verdict::{FAR_AHEAD, Verdict};
use crate::fault_injection::{self, Fault};
use crate::pg::call_args::{SessionArgs, UsersArg};
use crate::pg::invalidation;
use crate::pg::noguard::statement_start;
use crate::pg::relation::Lock;
use crate::pg::report::OrRaise;
use crate::pg::server::{clock, is_ahead_of_clock};
use crate::replica::{freshness, timeline};

/// The guard that a call means. A table that is NULL is an error.
pub fn guard_ref(users: UsersArg) -> GuardRef {
    match users {
        UsersArg::NotTaken => GuardRef::Default,
        UsersArg::Null => null_table().raise(),
        UsersArg::Table(relid) => GuardRef::Table(relid),
    }
}

/// The verdict on a session.
pub fn evaluate(args: SessionArgs) -> Verdict {
    let users = guard_ref(args.user.users);
    let Some(id) = args.user.id else {
        return evaluate_null(users);
    };
    let cached = evaluate_cached(users, &id, args.login)
        .or_else(|| evaluate_cached_under_policy(users, &id, args.login));
    if let Some(verdict) = cached {
        return verdict;
    }
    // What is kept must not be older than what guard and policies are read of.
    let read_in = epoch_generation();
    let open = open_for_check(users, Lock::Read).or_raise();
    let policy = guard_cache::policy();
    if is_refusing_disarmed(&open, &policy) {
        return Verdict::Disarmed;
    }
    if let Some(reason) = refusal_reason(&policy) {
        return reason;
    }
    let Some(id) = id.in_column(open.guard.columns.id.id_type) else {
        return Verdict::UnknownUser;
    };
    let key = id.clone().into_key();
    let bucket = Bucket::of(&key);
    let generation = user_generation(bucket);
    let reader = EpochReader::new(&open, &id).or_raise();
    let account = reader.account(&id).with_margin(policy.stamp_margin);
    let Account::Active(Span { since, until }) = account else {
        return decide(account, None, args.login, None, &policy);
    };
    let cached_guard_epoch = epoch_cache::guard_epoch(open.guard.relid);
    let guard_epoch = cached_guard_epoch.unwrap_or_else(|| reader.guard_epoch());
    let epoch = reader.user_epoch(&key).max(guard_epoch).max(since.map(Epoch));
    let max_age = open.guard.max_session_age;
    if open.relations.untracked_table.is_none() && epoch_generation() == read_in {
        let new = NewEntry { id, epoch, until, guard_epoch, bucket, generation };
        epoch_cache::keep(&open.guard, policy, users == GuardRef::Default, new);
    }
    decide(account, epoch, args.login, max_age, &policy)
}

/// What can be said without reading. Whether an answer may be given at all is settled before what
/// is kept is used. Nothing in here raises, unless the id is a text that has to be fetched.
#[inline]
pub fn evaluate_cached(users: GuardRef, id: &UserId, login: Option<Instant>) -> Option<Verdict> {
    let CachedAccount { epoch, max_session_age, policy, .. } = active_account(users, id)?;
    if policy.max_standby_staleness == 0 && !policy.refuse_when_timeline_changed {
        return Some(decide(Account::ACTIVE, epoch, login, max_session_age, &policy));
    }
    None
}

/// The same where a policy may refuse everybody. Freshness is settled first, which may take a
/// moment; what is kept is looked up after that.
fn evaluate_cached_under_policy(
    users: GuardRef,
    id: &UserId,
    login: Option<Instant>,
) -> Option<Verdict> {
    let CachedAccount { policy, .. } = active_account(users, id)?;
    let timeline_refuses = timeline::is_known_to_refuse(&policy)?;
    if let Some(reason) = reason_of(&policy, timeline_refuses) {
        return Some(reason);
    }
    invalidation::accept_messages();
    let CachedAccount { epoch, max_session_age, policy, .. } = active_account(users, id)?;
    Some(decide(Account::ACTIVE, epoch, login, max_session_age, &policy))
}

/// What is kept of an account that is active still. The clock is read only for one that
/// is about to expire.
#[inline]
fn active_account(users: GuardRef, id: &UserId) -> Option<CachedAccount> {
    epoch_cache::active_account(users.relid(), id)
        .filter(|account| account.until.is_none_or(is_ahead_of_clock))
}

/// Whether a guard that is not armed refuses everybody; the first time, the client gets a warning.
pub fn is_refusing_disarmed(open: &OpenGuard, policy: &Policy) -> bool {
    if open.guard.disarmed.is_empty() {
        return false;
    }
    guard_cache::warn_disarmed(open);
    policy.refuse_when_disarmed
}

/// Why nobody is to be let in, whatever the tables say.
pub fn refusal_reason(policy: &Policy) -> Option<Verdict> {
    reason_of(policy, timeline::is_refusing(policy))
}

/// The same, with what the timeline says of it. On a standby that says nothing.
fn reason_of(policy: &Policy, timeline_refuses: bool) -> Option<Verdict> {
    if freshness::is_stale(policy.max_standby_staleness) {
        return Some(Verdict::StaleReplica);
    }
    timeline_refuses.then_some(Verdict::UnacknowledgedTimeline)
}

/// The verdict on an account's session where answers may be given.
#[inline]
pub fn decide(
    account: Account,
    mut epoch: Option<Epoch>,
    login: Option<Instant>,
    max_session_age: Option<i64>,
    policy: &Policy,
) -> Verdict {
    if fault_injection::has(Fault::EpochInclusive) {
        epoch = epoch.map(|Epoch(epoch)| Epoch(epoch.plus_micros(1)));
    }
    let oldest_login = || max_session_age.map(|age| clock().plus_micros(-age));
    let given_out = || latest_given_out(max_session_age, policy);
    Verdict::of(account, epoch, login, oldest_login, || latest_login(login, policy), given_out)
}

/// The latest login time that `session_start` gives out: at whatever epoch, but where sessions may
/// only last so long.
pub fn latest_given_out(max_session_age: Option<i64>, policy: &Policy) -> Instant {
    match max_session_age {
        Some(_) => clock().plus_micros(policy.stamp_margin.saturating_add(FAR_AHEAD)),
        None => Instant::INFINITY,
    }
}

/// The latest login time that is not yet in the future: the clock plus the tolerance.
///
/// Where a `login` lies before that of the statement's start, that one is given: the clock has not
/// been earlier since, and to read it costs as much as all the rest.
#[inline]
fn latest_login(login: Option<Instant>, policy: &Policy) -> Instant {
    let latest_at_start = statement_start().plus_micros(policy.future_login_tolerance);
    match login {
        Some(login) if login > latest_at_start => {
            clock().plus_micros(policy.future_login_tolerance)
        }
        _ => latest_at_start,
    }
}

/// Of a NULL id. A guard that is broken raises all the same.
fn evaluate_null(users: GuardRef) -> Verdict {
    let open = open_for_check(users, Lock::Read).or_raise();
    let policy = guard_cache::policy();
    match is_refusing_disarmed(&open, &policy) {
        true => Verdict::Disarmed,
        false => refusal_reason(&policy).unwrap_or(Verdict::UnknownUser),
    }
}
