//! What a call asks: `([users regclass,] user_id [, login_at])`, read from where PostgreSQL has put it.
//!
//! One function of the library serves every overload of an SQL function for one type of id: the number of
//! arguments tells whether a guard is named, and a naive login time has the bits of the same time UTC.
//! `sql/questions.sql` declares them.

use crate::advice;
use crate::arg::text_bytes;
use crate::epoch::Instant;
use crate::error::{GuardError, Mistake, OrRaise};
use crate::registry::{self, OpenGuard};
use crate::user_id::UserId;
use pgrx::pg_sys::{self, Datum, NullableDatum, Oid};

/// Which guard a call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// The default one.
    Default,
    /// The one of this table.
    Named(Oid),
}

impl Users {
    /// The table that is named.
    pub fn relid(self) -> Option<Oid> {
        match self {
            Users::Default => None,
            Users::Named(relid) => Some(relid),
        }
    }

    /// Opens the guard, if it is sure which table it guards.
    pub fn open(self, lock: u32) -> OpenGuard {
        registry::check_library().or_raise();
        let open = registry::open(self.relid(), lock).or_raise();
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

/// An SQL type of ids.
pub trait IdArgument {
    /// Whether a value can be read without a call of PostgreSQL's, as a text cannot that is stored elsewhere.
    const IS_PLAIN: bool;

    /// # Safety
    /// The datum is of this type, and outlives the result.
    unsafe fn read<'a>(id: Datum) -> UserId<'a>;
}

/// `bigint`
pub struct IntId;
/// `uuid`
pub struct UuidId;
/// `text`, in any encoding
pub struct TextId;

impl IdArgument for IntId {
    const IS_PLAIN: bool = true;

    unsafe fn read<'a>(id: Datum) -> UserId<'a> {
        UserId::Int(id.value() as i64)
    }
}

impl IdArgument for UuidId {
    const IS_PLAIN: bool = true;

    unsafe fn read<'a>(id: Datum) -> UserId<'a> {
        // SAFETY: a uuid is passed as a pointer to its sixteen bytes.
        UserId::Uuid(unsafe { *id.cast_mut_ptr::<[u8; 16]>() })
    }
}

impl IdArgument for TextId {
    const IS_PLAIN: bool = false;

    unsafe fn read<'a>(id: Datum) -> UserId<'a> {
        // SAFETY: the caller says that it is a text.
        UserId::Text(unsafe { text_bytes(id) }.into())
    }
}

/// A user, and which guard is to know of it.
pub struct Question<'a> {
    /// The guard.
    pub users: Users,
    /// The user; `None` for NULL.
    pub id: Option<UserId<'a>>,
}

/// The arguments `([users,] user_id)`.
///
/// # Safety
/// The call is of a function that is declared with these, and ids of the type `I`.
pub unsafe fn about_user<'a, I: IdArgument>(call: pg_sys::FunctionCallInfo) -> Question<'a> {
    // SAFETY: the caller says so.
    match unsafe { arguments(call) } {
        // SAFETY: the caller says so.
        [users, id] => unsafe { question::<I>(Some(users), id) },
        // SAFETY: the caller says so.
        [id] => unsafe { question::<I>(None, id) },
        _ => unreachable!("sql/questions.sql declares no such overload"),
    }
}

/// The arguments `([users,] user_id, login_at)`: the user, and the login time unless it is NULL.
///
/// # Safety
/// The call is of a function that is declared with these, and ids of the type `I`.
pub unsafe fn about_session<'a, I: IdArgument>(
    call: pg_sys::FunctionCallInfo,
) -> (Question<'a>, Option<Instant>) {
    // SAFETY: the caller says so.
    let (users, id, login) = match unsafe { arguments(call) } {
        [users, id, login] => (Some(users), id, login),
        [id, login] => (None, id, login),
        _ => unreachable!("sql/questions.sql declares no such overload"),
    };
    let login = (!login.isnull).then(|| Instant(login.value.value() as i64));
    // SAFETY: the caller says so.
    (unsafe { question::<I>(users, id) }, login)
}

/// The same where they are read without a call of PostgreSQL's that could raise, and neither guard nor user is
/// NULL.
///
/// # Safety
/// The call is of a function that is declared with these, and ids of the type `I`.
pub unsafe fn about_plain_session<'a, I: IdArgument>(
    call: pg_sys::FunctionCallInfo,
) -> Option<(Users, UserId<'a>, Option<Instant>)> {
    // SAFETY: the caller says so.
    let (users, id, login) = match unsafe { arguments(call) } {
        [id, login] => (Users::Default, id, login),
        [users, id, login] if !users.isnull => {
            (Users::Named(Oid::from(users.value.value() as u32)), id, login)
        }
        _ => return None,
    };
    if id.isnull || !I::IS_PLAIN {
        return None;
    }
    let login = (!login.isnull).then(|| Instant(login.value.value() as i64));
    // SAFETY: the caller says so.
    Some((users, unsafe { I::read(id.value) }, login))
}

/// The arguments `(user_id)`, `(user_id, reason)` or `(users, user_id, reason)`: the user, and the reason
/// unless it is NULL.
///
/// # Safety
/// The call is of a function that is declared with these, and ids of the type `I`.
pub unsafe fn about_user_and_why<'a, I: IdArgument>(
    call: pg_sys::FunctionCallInfo,
) -> (Question<'a>, Option<&'a [u8]>) {
    // SAFETY: the caller says so.
    let (users, id, reason) = match unsafe { arguments(call) } {
        [users, id, reason] => (Some(users), id, Some(reason)),
        [id, reason] => (None, id, Some(reason)),
        [id] => (None, id, None),
        _ => unreachable!("sql/questions.sql declares no such overload"),
    };
    // SAFETY: the caller says so.
    let question = unsafe { question::<I>(users, id) };
    // SAFETY: the reason is a text.
    (question, reason.and_then(|reason| unsafe { text(reason) }))
}

/// A thing that has tokens; `None` for NULL.
pub struct TokenQuestion<'a> {
    /// What kind of thing.
    pub scope: Option<&'a [u8]>,
    /// Which of its kind.
    pub subject: Option<&'a [u8]>,
}

/// The arguments `(scope, subject, issued_at)`: the thing, and the time of issue unless it is NULL.
///
/// # Safety
/// The call is of a function that is declared with these.
pub unsafe fn about_token<'a>(
    call: pg_sys::FunctionCallInfo,
) -> (TokenQuestion<'a>, Option<Instant>) {
    // SAFETY: the caller says so.
    let [scope, subject, issued] = (unsafe { arguments(call) }) else {
        unreachable!("sql/questions.sql declares no such overload");
    };
    let issued = (!issued.isnull).then(|| Instant(issued.value.value() as i64));
    // SAFETY: the caller says so.
    let scope = unsafe { text(scope) };
    // SAFETY: the caller says so.
    (TokenQuestion { scope, subject: unsafe { text(subject) } }, issued)
}

/// # Safety
/// The argument is a text.
unsafe fn text<'a>(argument: &NullableDatum) -> Option<&'a [u8]> {
    // SAFETY: the caller says so.
    (!argument.isnull).then(|| unsafe { text_bytes(argument.value) })
}

/// # Safety
/// PostgreSQL calls with this.
unsafe fn arguments<'a>(call: pg_sys::FunctionCallInfo) -> &'a [NullableDatum] {
    // SAFETY: PostgreSQL calls with a call info that outlives the call.
    let call = unsafe { &*call };
    // SAFETY: it holds as many arguments as it counts.
    unsafe { call.args.as_slice(usize::try_from(call.nargs).unwrap_or(0)) }
}

/// # Safety
/// The first is a regclass, the second an id of the type `I`.
unsafe fn question<'a, I: IdArgument>(
    users: Option<&NullableDatum>,
    id: &NullableDatum,
) -> Question<'a> {
    let users = match users {
        None => Users::Default,
        Some(users) if users.isnull => null_table().raise(),
        Some(users) => Users::Named(Oid::from(users.value.value() as u32)),
    };
    // SAFETY: the caller says so.
    let id = (!id.isnull).then(|| unsafe { I::read(id.value) });
    Question { users, id }
}
