//! SQL argument types that pgrx does not bring: `regclass`, `name`, and the bytes of a `text`.

use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, UnboxDatum};
use pgrx::pgrx_sql_entity_graph::metadata::impl_sql_translatable;
use pgrx::{FromDatum, IntoDatum, pg_sys};
use std::ffi::CStr;

/// A relation, as `regclass`.
#[derive(Clone, Copy, Debug)]
pub struct RegClass(pub pg_sys::Oid);

impl_sql_translatable!(RegClass, "regclass");

// SAFETY: a regclass is passed as the OID that it is.
unsafe impl<'fcx> ArgAbi<'fcx> for RegClass {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the SQL declaration of the function says regclass, and NULL went another way.
        let oid: Option<pg_sys::Oid> = unsafe { arg.unbox_arg_using_from_datum() };
        RegClass(oid.unwrap_or(pg_sys::InvalidOid))
    }
}

// SAFETY: a regclass is returned as the OID that it is.
unsafe impl BoxRet for RegClass {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: an OID is passed by value.
        unsafe { fcinfo.return_raw_datum(self.0.into()) }
    }
}

impl IntoDatum for RegClass {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(self.0.into())
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::REGCLASSOID
    }
}

/// An identifier, as `name`.
pub struct Name(pub String);

impl_sql_translatable!(Name, "name");

// SAFETY: a name is passed as a pointer to a NUL-terminated array of 64 bytes.
unsafe impl<'fcx> ArgAbi<'fcx> for Name {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the SQL declaration of the function says name, and NULL went another way.
        let datum: Option<pg_sys::Datum> = unsafe { arg.unbox_arg_using_from_datum() };
        // SAFETY: as above.
        unsafe { name_of(datum.unwrap_or(pg_sys::Datum::null())) }
    }
}

// SAFETY: the elements of a name[] are pointers to NUL-terminated arrays of 64 bytes.
unsafe impl UnboxDatum for Name {
    type As<'src> = Name;

    unsafe fn unbox<'src>(datum: Datum<'src>) -> Self::As<'src>
    where
        Self: 'src,
    {
        // SAFETY: the caller hands over an element of a name[].
        unsafe { name_of(datum.sans_lifetime()) }
    }
}

/// # Safety
/// The datum is a `name`.
unsafe fn name_of(datum: pg_sys::Datum) -> Name {
    // SAFETY: a name is NUL-terminated.
    let name = unsafe { CStr::from_ptr(datum.cast_mut_ptr()) };
    Name(name.to_string_lossy().into_owned())
}

/// An `interval` in microseconds, a month counting thirty days and a day 24 hours, as where PostgreSQL compares
/// intervals (manual, section 8.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

impl_sql_translatable!(Duration, "interval");

impl Duration {
    /// # Safety
    /// The datum is an `interval`.
    pub unsafe fn of_datum(datum: pg_sys::Datum) -> Duration {
        // SAFETY: an interval is passed as a pointer to this.
        let interval = unsafe { *datum.cast_mut_ptr::<pg_sys::Interval>() };
        const DAY: i64 = 24 * 60 * 60 * 1_000_000;
        let days = i64::from(interval.month) * 30 + i64::from(interval.day);
        Duration(days.saturating_mul(DAY).saturating_add(interval.time))
    }
}

// SAFETY: an interval is passed as a pointer to PostgreSQL's structure of that name.
unsafe impl<'fcx> ArgAbi<'fcx> for Duration {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the SQL declaration of the function says interval, and NULL went another way.
        let datum: Option<pg_sys::Datum> = unsafe { arg.unbox_arg_using_from_datum() };
        // SAFETY: as above.
        datum.map_or(Duration(0), |datum| unsafe { Duration::of_datum(datum) })
    }
}

/// A `text` as bytes: in a database that is not UTF-8 it cannot be a `str`.
#[derive(Clone, Copy)]
pub struct Text<'fcx>(pub &'fcx [u8]);

impl_sql_translatable!(Text<'_>, "text");

// SAFETY: a text has the layout of a bytea.
unsafe impl<'fcx> ArgAbi<'fcx> for Text<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the SQL declaration of the function says text, and NULL went another way.
        let bytes: Option<&'fcx [u8]> = unsafe { arg.unbox_arg_using_from_datum() };
        Text(bytes.unwrap_or_default())
    }
}

/// Reads a text that PostgreSQL stores, whatever its encoding.
///
/// # Safety
/// The datum is a `text`, `varchar` or `bytea` that outlives the result.
pub unsafe fn text_bytes<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: those three types share their layout; it is not NULL.
    unsafe { <&[u8]>::from_datum(datum, false) }.unwrap_or_default()
}
