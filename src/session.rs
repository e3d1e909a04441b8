//! SQL: what an app server asks at each request, and at login.

use crate::cache::{self, Reading};
use crate::epoch::{Epoch, Instant};
use crate::error::OrRaise;
use crate::lookup::{self, Reader, RowLock};
use crate::news::{self, Bucket};
use crate::planted::{self, Fault};
use crate::question::{self, IntId, Question, TextId, Users, UuidId};
use crate::registry::{self, OpenGuard};
use crate::settings;
use crate::standby;
use crate::timeline;
use crate::user_id::UserId;
use crate::verdict::{Account, Verdict};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Whether a guard that is not armed refuses everybody; the first time, the client is told of it.
fn is_refusing(open: &OpenGuard) -> bool {
    let Some(why) = &open.guard.disarmed else {
        return false;
    };
    registry::warn_disarmed(&open.guard, why);
    settings::refuses_when_disarmed()
}

fn verdict((Question { users, id }, login): (Question, Option<Instant>)) -> Verdict {
    let Some(id) = id else {
        return verdict_of_nobody(users);
    };
    if let Some(verdict) = known_verdict(users, &id, login) {
        return verdict;
    }
    let open = users.open(pg_sys::AccessShareLock);
    if is_refusing(&open) {
        return Verdict::Disarmed;
    }
    if let Some(verdict) = doubt() {
        return verdict;
    }
    let Some(id) = id.in_column(open.guard.id.id_type) else {
        return Verdict::UnknownUser;
    };
    let key = id.clone().into_key();
    let bucket = Bucket::of(&key);
    let since = news::of_user(bucket);
    let reader = Reader::new(&open).or_raise();
    let account = reader.account(&id);
    if account != Account::Active {
        return judge(account, None, login, None);
    }
    let of_all = cache::epoch_of_all(open.guard.relid).unwrap_or_else(|| reader.guard_epoch());
    let epoch = reader.user_epoch(&key).max(of_all);
    if open.store.unheard.is_some() {
        return judge(account, epoch, login, open.guard.max_session_age);
    }
    cache::keep(&open.guard, users == Users::Default, Reading { id, epoch, of_all, bucket, since });
    judge(account, epoch, login, open.guard.max_session_age)
}

/// What can be said without reading. Nothing in here raises, unless the id is a text that has to be fetched.
fn known_verdict(users: Users, id: &UserId, login: Option<Instant>) -> Option<Verdict> {
    let known = cache::active_account(users.relid(), id)?;
    let doubt = doubt_where(timeline::is_known_to_refuse()?);
    Some(doubt.unwrap_or_else(|| judge(Account::Active, known.epoch, login, known.max_session_age)))
}

/// Why nobody is to be let in, whatever the tables say.
#[inline]
pub fn doubt() -> Option<Verdict> {
    doubt_where(timeline::is_refusing())
}

/// The same, with what the timeline says of it. On a standby that says nothing.
#[inline]
fn doubt_where(timeline_refuses: bool) -> Option<Verdict> {
    if standby::is_stale() {
        return Some(Verdict::StaleReplica);
    }
    timeline_refuses.then_some(Verdict::UnacknowledgedTimeline)
}

#[inline]
fn judge(
    account: Account,
    mut epoch: Option<Epoch>,
    login: Option<Instant>,
    max_session_age: Option<i64>,
) -> Verdict {
    if planted::has(Fault::EpochInclusive) {
        epoch = epoch.map(|Epoch(epoch)| Epoch(epoch.plus_micros(1)));
    }
    let oldest_login = || settings::oldest_login(max_session_age);
    Verdict::of(account, epoch, login, oldest_login, || settings::latest_login(login))
}

/// Of a NULL id. A guard that is broken raises all the same.
fn verdict_of_nobody(users: Users) -> Verdict {
    match is_refusing(&users.open(pg_sys::AccessShareLock)) {
        true => Verdict::Disarmed,
        false => doubt().unwrap_or(Verdict::UnknownUser),
    }
}

/// The login time to store, or `None` for an account that must not log in.
fn start(Question { users, id }: Question) -> Option<TimestampWithTimeZone> {
    registry::check_writable("session_start()");
    // SAFETY: raises where a row cannot be locked: in a read-only transaction (SQLSTATE 25006).
    unsafe { pg_sys::PreventCommandIfReadOnly(c"session_start()".as_ptr()) };
    let open = users.open(pg_sys::RowShareLock);
    if is_refusing(&open) {
        return None;
    }
    let id = id?.in_column(open.guard.id.id_type)?;
    if lookup::lock_account(&open, &id, RowLock::Share) != Account::Active {
        return None;
    }
    let epoch = lookup::epoch(&open.store, open.guard.relid, &id.into_key());
    let login = epoch.map_or(settings::clock(), |Epoch(epoch)| epoch.max(settings::clock()));
    TimestampWithTimeZone::try_from(login.0).ok()
}

fn epoch_of(Question { users, id }: Question) -> Option<TimestampWithTimeZone> {
    let open = users.open(pg_sys::AccessShareLock);
    let id = id?.in_column(open.guard.id.id_type)?;
    let Epoch(epoch) = lookup::epoch(&open.store, open.guard.relid, &id.into_key())?;
    TimestampWithTimeZone::try_from(epoch.0).ok()
}

/// Version 1 is the only one that there is (PostgreSQL manual, section 38.10.3).
pub static CALLED_BY_CALL_INFO: pg_sys::Pg_finfo_record =
    pg_sys::Pg_finfo_record { api_version: 1 };

/// The functions of the library for one type of id.
macro_rules! answers {
    ($id:ty: $valid:ident, $finfo:ident, $guarded:ident, $verdict:ident, $start:ident, $epoch:ident) => {
        /// What PostgreSQL calls, at each request. To guard against errors takes as long as all the rest; so what
        /// is known is answered out here. Taking in the news is the one thing in that which can raise, and
        /// there is nothing yet for an error to unwind.
        #[unsafe(no_mangle)]
        unsafe extern "C-unwind" fn $valid(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            news::accept_unguarded();
            // SAFETY: declared so in sql/questions.sql.
            if let Some((users, id, login)) = unsafe { question::about_plain_session::<$id>(call) }
                && let Some(verdict) = known_verdict(users, &id, login)
            {
                return verdict.is_valid().into();
            }
            // SAFETY: called as this is.
            unsafe { $guarded(call) }
        }

        #[doc(hidden)]
        #[unsafe(no_mangle)]
        extern "C-unwind" fn $finfo() -> &'static pg_sys::Pg_finfo_record {
            &CALLED_BY_CALL_INFO
        }

        #[pg_guard]
        unsafe extern "C-unwind" fn $guarded(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            // SAFETY: declared so in sql/questions.sql.
            verdict(unsafe { question::about_session::<$id>(call) }).is_valid().into()
        }

        #[pg_extern(sql = false)]
        fn $verdict(call: pg_sys::FunctionCallInfo) -> &'static str {
            news::accept();
            // SAFETY: declared so in sql/questions.sql.
            verdict(unsafe { question::about_session::<$id>(call) }).name()
        }

        #[pg_extern(sql = false)]
        fn $start(call: pg_sys::FunctionCallInfo) -> Option<TimestampWithTimeZone> {
            // SAFETY: as above.
            start(unsafe { question::about_user::<$id>(call) })
        }

        #[pg_extern(sql = false)]
        fn $epoch(call: pg_sys::FunctionCallInfo) -> Option<TimestampWithTimeZone> {
            // SAFETY: as above.
            epoch_of(unsafe { question::about_user::<$id>(call) })
        }
    };
}

answers!(IntId: session_valid_int, pg_finfo_session_valid_int, valid_int, verdict_int, start_int, epoch_int);
answers!(UuidId: session_valid_uuid, pg_finfo_session_valid_uuid, valid_uuid, verdict_uuid, start_uuid, epoch_uuid);
answers!(TextId: session_valid_text, pg_finfo_session_valid_text, valid_text, verdict_text, start_text, epoch_text);
