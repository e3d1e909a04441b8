//! SQL: what an app server asks at each request, and at login.

use crate::arg::{IdText, RegClass};
use crate::epoch::{Epoch, Instant};
use crate::error::{GuardError, Mistake, OrRaise};
use crate::planted::{self, Fault};
use crate::registry::{self, OpenGuard};
use crate::settings;
use crate::user_id::UserId;
use crate::verdict::{Account, Verdict};
use crate::{advice, lookup};
use pgrx::datum::{Timestamp, TimestampWithTimeZone};
use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

/// Which guard a call means.
#[derive(Clone, Copy)]
enum Users {
    Default,
    Named(Option<RegClass>),
}

impl Users {
    fn open(self, lock: u32) -> OpenGuard {
        let relid = match self {
            Users::Default => None,
            Users::Named(users) => Some(users.ok_or_else(null_table).or_raise().0),
        };
        let open = registry::open(relid, lock).or_raise();
        registry::check_names(&open.guard).or_raise();
        open
    }
}

/// NULL where a users table is wanted.
pub fn null_table() -> GuardError {
    GuardError::new(
        Mistake::NullTable,
        "the users table must not be null",
        advice::attach_something(),
    )
}

/// Whether a guard that is not armed refuses everybody; the first time, the client is told of it.
fn is_refusing(open: &OpenGuard) -> bool {
    let Some(why) = &open.guard.disarmed else {
        return false;
    };
    registry::warn_disarmed(&open.guard, why);
    settings::refuses_when_disarmed()
}

fn verdict<'a>(users: Users, id: Option<impl Into<UserId<'a>>>, login: Option<Instant>) -> Verdict {
    let open = users.open(pg_sys::AccessShareLock);
    if is_refusing(&open) {
        return Verdict::Disarmed;
    }
    let Some(id) = id.and_then(|id| id.into().in_column(open.guard.id.id_type)) else {
        return Verdict::UnknownUser;
    };
    let account = lookup::account(&open, &id);
    let mut epoch = match account {
        Account::Active => lookup::epoch(&open.store, open.guard.relid, &id.into_key()),
        Account::Unknown | Account::Disabled => None,
    };
    if planted::has(Fault::EpochInclusive) {
        epoch = epoch.map(|Epoch(epoch)| Epoch(epoch.plus_micros(1)));
    }
    Verdict::of(account, epoch, login, settings::latest_login)
}

/// The login time to store, or `None` for an account that must not log in.
fn start<'a>(users: Users, id: Option<impl Into<UserId<'a>>>) -> Option<TimestampWithTimeZone> {
    // SAFETY: raises where a row cannot be locked: on a standby (SQLSTATE 25006).
    unsafe { pg_sys::PreventCommandDuringRecovery(c"session_start()".as_ptr()) };
    // SAFETY: the same in a read-only transaction.
    unsafe { pg_sys::PreventCommandIfReadOnly(c"session_start()".as_ptr()) };
    let open = users.open(pg_sys::RowShareLock);
    if is_refusing(&open) {
        return None;
    }
    let id = id?.into().in_column(open.guard.id.id_type)?;
    if lookup::lock_account(&open, &id) != Account::Active {
        return None;
    }
    let epoch = lookup::epoch(&open.store, open.guard.relid, &id.into_key());
    let login = epoch.map_or(settings::clock(), |Epoch(epoch)| epoch.max(settings::clock()));
    TimestampWithTimeZone::try_from(login.0).ok()
}

fn epoch_of<'a>(users: Users, id: Option<impl Into<UserId<'a>>>) -> Option<TimestampWithTimeZone> {
    let open = users.open(pg_sys::AccessShareLock);
    let id = id?.into().in_column(open.guard.id.id_type)?;
    let Epoch(epoch) = lookup::epoch(&open.store, open.guard.relid, &id.into_key())?;
    TimestampWithTimeZone::try_from(epoch.0).ok()
}

/// One set of overloads: for the default guard and for a named one.
macro_rules! overloads {
    (answer: $($valid:ident, $valid_of:ident, $verdict:ident, $verdict_of:ident: $id:ty, $time:ty;)*) => { $(
        #[pg_extern(stable, parallel_safe, name = "session_valid")]
        fn $valid(user_id: Option<$id>, login_at: Option<$time>) -> bool {
            verdict(Users::Default, user_id, login_at.map(|login| Instant(login.into()))).is_valid()
        }

        #[pg_extern(stable, parallel_safe, name = "session_valid")]
        fn $valid_of(users: Option<RegClass>, user_id: Option<$id>, login_at: Option<$time>) -> bool {
            let login = login_at.map(|login| Instant(login.into()));
            verdict(Users::Named(users), user_id, login).is_valid()
        }

        #[pg_extern(stable, parallel_safe, name = "session_verdict")]
        fn $verdict(user_id: Option<$id>, login_at: Option<$time>) -> &'static str {
            verdict(Users::Default, user_id, login_at.map(|login| Instant(login.into()))).name()
        }

        #[pg_extern(stable, parallel_safe, name = "session_verdict")]
        fn $verdict_of(
            users: Option<RegClass>,
            user_id: Option<$id>,
            login_at: Option<$time>,
        ) -> &'static str {
            let login = login_at.map(|login| Instant(login.into()));
            verdict(Users::Named(users), user_id, login).name()
        }
    )* };
    (user: $($start:ident, $start_of:ident, $epoch:ident, $epoch_of:ident: $id:ty;)*) => { $(
        #[pg_extern(volatile, parallel_unsafe, name = "session_start")]
        fn $start(user_id: Option<$id>) -> Option<TimestampWithTimeZone> {
            start(Users::Default, user_id)
        }

        #[pg_extern(volatile, parallel_unsafe, name = "session_start")]
        fn $start_of(users: Option<RegClass>, user_id: Option<$id>) -> Option<TimestampWithTimeZone> {
            start(Users::Named(users), user_id)
        }

        #[pg_extern(stable, parallel_safe, schema = "session_guard", name = "epoch_of")]
        fn $epoch(user_id: Option<$id>) -> Option<TimestampWithTimeZone> {
            epoch_of(Users::Default, user_id)
        }

        #[pg_extern(stable, parallel_safe, schema = "session_guard", name = "epoch_of")]
        fn $epoch_of(users: Option<RegClass>, user_id: Option<$id>) -> Option<TimestampWithTimeZone> {
            epoch_of(Users::Named(users), user_id)
        }
    )* };
}

// A naive time is UTC: a timestamp holds the same microseconds as the timestamptz of that time UTC.
overloads! { answer:
    valid_int, valid_int_of, verdict_int, verdict_int_of: i64, TimestampWithTimeZone;
    valid_uuid, valid_uuid_of, verdict_uuid, verdict_uuid_of: Uuid, TimestampWithTimeZone;
    valid_text, valid_text_of, verdict_text, verdict_text_of: IdText<'_>, TimestampWithTimeZone;
    valid_int_utc, valid_int_utc_of, verdict_int_utc, verdict_int_utc_of: i64, Timestamp;
    valid_uuid_utc, valid_uuid_utc_of, verdict_uuid_utc, verdict_uuid_utc_of: Uuid, Timestamp;
    valid_text_utc, valid_text_utc_of, verdict_text_utc, verdict_text_utc_of: IdText<'_>, Timestamp;
}

overloads! { user:
    start_int, start_int_of, epoch_int, epoch_int_of: i64;
    start_uuid, start_uuid_of, epoch_uuid, epoch_uuid_of: Uuid;
    start_text, start_text_of, epoch_text, epoch_text_of: IdText<'_>;
}
