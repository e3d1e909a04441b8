//! The arguments of the functions that apps call, read from where PostgreSQL has put them.
//!
//! One function of the library serves every overload of an SQL function for one type of id: the
//! number of arguments says whether a guard is named, and a naive login time has the bits of the
//! same time UTC. `sql/functions.sql` declares them.

use super::datum::text_bytes;
use crate::core::epoch::Instant;
use crate::core::user_id::UserId;
use pgrx::pg_sys::{self, Datum, NullableDatum, Oid};

/// Version 1 is the only one that there is (PostgreSQL manual, section "C-Language Functions").
pub static CALLED_BY_CALL_INFO: pg_sys::Pg_finfo_record =
    pg_sys::Pg_finfo_record { api_version: 1 };

/// The table that a call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsersArg {
    /// The overload takes none.
    NotTaken,
    /// NULL.
    Null,
    /// This one.
    Table(Oid),
}

/// An SQL type of ids.
pub trait IdArg {
    /// Whether a value can be read without a call of PostgreSQL's, as a text cannot that is stored
    /// out of line.
    const IS_PLAIN: bool;

    /// # Safety
    /// The datum is of this type, and outlives the result.
    unsafe fn read<'a>(id: Datum) -> UserId<'a>;
}

/// `smallint`
pub struct Int2Id;
/// `integer`
pub struct Int4Id;
/// `bigint`
pub struct Int8Id;
/// `uuid`
pub struct UuidId;
/// `text`, in any encoding
pub struct TextId;

impl IdArg for Int2Id {
    const IS_PLAIN: bool = true;

    unsafe fn read<'a>(id: Datum) -> UserId<'a> {
        UserId::Int((id.value() as i16).into())
    }
}

impl IdArg for Int4Id {
    const IS_PLAIN: bool = true;

    unsafe fn read<'a>(id: Datum) -> UserId<'a> {
        UserId::Int((id.value() as i32).into())
    }
}

impl IdArg for Int8Id {
    const IS_PLAIN: bool = true;

    unsafe fn read<'a>(id: Datum) -> UserId<'a> {
        UserId::Int(id.value() as i64)
    }
}

impl IdArg for UuidId {
    const IS_PLAIN: bool = true;

    unsafe fn read<'a>(id: Datum) -> UserId<'a> {
        // SAFETY: a uuid is passed as a pointer to its sixteen bytes.
        UserId::Uuid(unsafe { *id.cast_mut_ptr::<[u8; 16]>() })
    }
}

impl IdArg for TextId {
    const IS_PLAIN: bool = false;

    unsafe fn read<'a>(id: Datum) -> UserId<'a> {
        // SAFETY: the caller says that it is a text.
        UserId::Text(unsafe { text_bytes(id) }.into())
    }
}

/// A user, and which guard is to decide.
pub struct UserArgs<'a> {
    /// The table whose guard is named.
    pub users: UsersArg,
    /// The user; `None` for NULL.
    pub id: Option<UserId<'a>>,
}

/// A session: a user, and when it logged in; `None` for NULL.
pub struct SessionArgs<'a> {
    /// The user.
    pub user: UserArgs<'a>,
    /// The login time.
    pub login: Option<Instant>,
}

/// A thing that has tokens, and when one was issued; `None` for NULL.
pub struct TokenArgs<'a> {
    /// What kind of thing.
    pub scope: Option<&'a [u8]>,
    /// Which of its kind.
    pub subject: Option<&'a [u8]>,
    /// When the token was issued.
    pub issued: Option<Instant>,
}

/// The arguments `([users,] user_id)`.
///
/// # Safety
/// The call is of a function that is declared with these, and ids of the type `I`.
pub unsafe fn parse_user_args<'a, I: IdArg>(call: pg_sys::FunctionCallInfo) -> UserArgs<'a> {
    // SAFETY: the caller says so.
    match unsafe { arguments(call) } {
        // SAFETY: the caller says so.
        [users, id] => unsafe { user_args::<I>(Some(users), id) },
        // SAFETY: the caller says so.
        [id] => unsafe { user_args::<I>(None, id) },
        _ => unreachable!("sql/functions.sql declares no such overload"),
    }
}

/// The arguments `([users,] user_id, login_at)`.
///
/// # Safety
/// As above.
pub unsafe fn parse_session_args<'a, I: IdArg>(call: pg_sys::FunctionCallInfo) -> SessionArgs<'a> {
    // SAFETY: the caller says so.
    let (users, id, login) = match unsafe { arguments(call) } {
        [users, id, login] => (Some(users), id, login),
        [id, login] => (None, id, login),
        _ => unreachable!("sql/functions.sql declares no such overload"),
    };
    // SAFETY: the caller says so.
    SessionArgs { user: unsafe { user_args::<I>(users, id) }, login: time(login) }
}

/// The same where they are read without a call of PostgreSQL's that could raise, and neither guard
/// nor user is NULL.
///
/// # Safety
/// As above.
#[inline]
pub unsafe fn parse_plain_session_args<'a, I: IdArg>(
    call: pg_sys::FunctionCallInfo,
) -> Option<(Option<Oid>, UserId<'a>, Option<Instant>)> {
    // SAFETY: the caller says so.
    let (users, id, login) = match unsafe { arguments(call) } {
        [id, login] => (None, id, login),
        [users, id, login] if !users.isnull => (Some(oid(users)), id, login),
        _ => return None,
    };
    if id.isnull || !I::IS_PLAIN {
        return None;
    }
    // SAFETY: the caller says so.
    Some((users, unsafe { I::read(id.value) }, time(login)))
}

/// The arguments `(user_id, reason, users)`: the user, and the reason.
///
/// # Safety
/// As above.
pub unsafe fn parse_revoke_args<'a, I: IdArg>(
    call: pg_sys::FunctionCallInfo,
) -> (UserArgs<'a>, Option<&'a [u8]>) {
    // SAFETY: the caller says so.
    let [id, reason, users] = (unsafe { arguments(call) }) else {
        unreachable!("sql/functions.sql declares no such overload");
    };
    let users = (!users.isnull).then_some(users);
    // SAFETY: the caller says so.
    (unsafe { user_args::<I>(users, id) }, unsafe { text(reason) })
}

/// The arguments `(user_id, users)`.
///
/// # Safety
/// As above.
pub unsafe fn parse_history_args<'a, I: IdArg>(call: pg_sys::FunctionCallInfo) -> UserArgs<'a> {
    // SAFETY: the caller says so.
    let [id, users] = (unsafe { arguments(call) }) else {
        unreachable!("sql/functions.sql declares no such overload");
    };
    // SAFETY: the caller says so.
    unsafe { user_args::<I>((!users.isnull).then_some(users), id) }
}

/// The arguments `(scope, subject, issued_at)`.
///
/// # Safety
/// The call is of a function that is declared with these.
pub unsafe fn parse_token_args<'a>(call: pg_sys::FunctionCallInfo) -> TokenArgs<'a> {
    // SAFETY: the caller says so.
    let [scope, subject, issued] = (unsafe { arguments(call) }) else {
        unreachable!("sql/functions.sql declares no such overload");
    };
    // SAFETY: the caller says so.
    let (scope, subject) = (unsafe { text(scope) }, unsafe { text(subject) });
    TokenArgs { scope, subject, issued: time(issued) }
}

fn time(argument: &NullableDatum) -> Option<Instant> {
    (!argument.isnull).then(|| Instant(argument.value.value() as i64))
}

fn oid(argument: &NullableDatum) -> Oid {
    Oid::from(argument.value.value() as u32)
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
unsafe fn user_args<'a, I: IdArg>(
    users: Option<&NullableDatum>,
    id: &NullableDatum,
) -> UserArgs<'a> {
    let users = match users {
        None => UsersArg::NotTaken,
        Some(users) if users.isnull => UsersArg::Null,
        Some(users) => UsersArg::Table(oid(users)),
    };
    // SAFETY: the caller says so.
    let id = (!id.isnull).then(|| unsafe { I::read(id.value) });
    UserArgs { users, id }
}
