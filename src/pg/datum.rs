//! SQL values as arguments, and as columns of what is written.

use super::names;
use crate::core::epoch::Instant;
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, UnboxDatum};
use pgrx::pgrx_sql_entity_graph::metadata::impl_sql_translatable;
use pgrx::{FromDatum, IntoDatum, pg_sys};
use std::ffi::{CStr, CString, c_char, c_int};

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

/// A role, as `regrole`.
#[derive(Clone, Copy, Debug)]
pub struct RegRole(pub pg_sys::Oid);

impl_sql_translatable!(RegRole, "regrole");

// SAFETY: a regrole is passed as the OID that it is.
unsafe impl<'fcx> ArgAbi<'fcx> for RegRole {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the SQL declaration of the function says regrole, and NULL went another way.
        let oid: Option<pg_sys::Oid> = unsafe { arg.unbox_arg_using_from_datum() };
        RegRole(oid.unwrap_or(pg_sys::InvalidOid))
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
pub(super) unsafe fn name_of(datum: pg_sys::Datum) -> Name {
    // SAFETY: a name is NUL-terminated.
    let name = unsafe { CStr::from_ptr(datum.cast_mut_ptr()) };
    Name(names::from_server(name.to_bytes()))
}

/// A `text` as bytes in the database's encoding.
#[derive(Clone, Copy)]
pub struct Text<'fcx>(pub &'fcx [u8]);

impl_sql_translatable!(Text<'_>, "text");

impl Text<'_> {
    /// The text as UTF-8, if it may be a word that the library knows.
    pub fn word(self) -> String {
        self.up_to(pg_sys::NAMEDATALEN as usize)
    }

    /// The text as UTF-8, or nothing where it is longer: texts of users may be larger than what can
    /// be allocated.
    pub fn up_to(self, longest: usize) -> String {
        if self.0.len() <= longest { names::from_server(self.0) } else { String::new() }
    }
}

// SAFETY: a text has the layout of a bytea.
unsafe impl<'fcx> ArgAbi<'fcx> for Text<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the SQL declaration of the function says text, and NULL went another way.
        let bytes: Option<&'fcx [u8]> = unsafe { arg.unbox_arg_using_from_datum() };
        Text(bytes.unwrap_or_default())
    }
}

/// A text as UTF-8, which SQL has in the database's encoding.
pub struct ServerText(pub String);

impl_sql_translatable!(ServerText, "text");

// SAFETY: returns a text.
unsafe impl BoxRet for ServerText {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        let datum = self.into_datum().unwrap_or(pg_sys::Datum::null());
        // SAFETY: a text that was made just now.
        unsafe { fcinfo.return_raw_datum(datum) }
    }
}

impl IntoDatum for ServerText {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Value::Text(&names::to_value(&self.0)).datum()
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}

impl FromDatum for ServerText {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _type_oid: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the caller hands over a text.
        (!is_null).then(|| ServerText(names::from_server(unsafe { text_bytes(datum) })))
    }
}

/// A JSON text, as a `jsonb`.
pub struct Json(pub String);

impl_sql_translatable!(Json, "jsonb");

// SAFETY: returns a jsonb.
unsafe impl BoxRet for Json {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        let text = CString::new(names::to_value(&self.0)).unwrap_or_default();
        // SAFETY: the input function takes a text in the database's encoding, and raises an error
        // for one that is no JSON.
        let datum = unsafe {
            pg_sys::OidInputFunctionCall(
                pg_sys::Oid::from(pg_sys::F_JSONB_IN),
                text.as_ptr().cast_mut(),
                pg_sys::JSONBOID,
                -1,
            )
        };
        // SAFETY: a jsonb that was made just now.
        unsafe { fcinfo.return_raw_datum(datum) }
    }
}

/// Two texts in the database's encoding, as a `text[]`.
pub struct TextPair(pub [Vec<u8>; 2]);

impl_sql_translatable!(TextPair, "text[]");

// SAFETY: returns a text[].
unsafe impl BoxRet for TextPair {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        let datum = Value::Texts(&self.0).datum().unwrap_or(pg_sys::Datum::null());
        // SAFETY: an array that was made just now.
        unsafe { fcinfo.return_raw_datum(datum) }
    }
}

/// Reads a text that PostgreSQL stores.
///
/// # Safety
/// The datum is a `text`, `varchar` or `bytea` that outlives the result.
pub unsafe fn text_bytes<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: those three types share their layout; it is not NULL.
    unsafe { <&[u8]>::from_datum(datum, false) }.unwrap_or_default()
}

/// An `interval` in microseconds, a month counting thirty days and a day 24 hours, as where
/// PostgreSQL compares intervals (manual, section "Interval Input"). One that no number can say is
/// the longest or the shortest.
pub fn micros_of_interval(interval: &pgrx::datum::Interval) -> i64 {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    let days = i64::from(interval.months()) * 30 + i64::from(interval.days());
    days.saturating_mul(DAY).saturating_add(interval.micros())
}

/// A value that is written or compared.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// NULL, of the type that the statement says.
    Null,
    /// A `text`, in the database's encoding.
    Text(&'a [u8]),
    /// A `text` of these parts.
    Joined([&'a [u8]; 2]),
    /// A `text[]`.
    Texts(&'a [Vec<u8>]),
    /// A `name`, given as UTF-8.
    Name(&'a str),
    /// A `name[]`, given as UTF-8.
    Names(&'a [String]),
    /// A `text`, given as UTF-8.
    Utf8(&'a str),
    /// A `boolean`.
    Bool(bool),
    /// An `integer`.
    Int4(i32),
    /// A `bigint`.
    Int8(i64),
    /// An `xid8`.
    Xid8(u64),
    /// An `oid`.
    Oid(pg_sys::Oid),
    /// A `timestamptz`.
    Time(Instant),
    /// An `inet` that PostgreSQL gave out.
    Inet(Inet),
}

/// An `inet` that PostgreSQL gave out in this memory context.
#[derive(Clone, Copy, Debug)]
pub struct Inet(pub(super) pg_sys::Datum);

impl Value<'_> {
    /// The value's type.
    pub fn type_oid(self) -> pg_sys::Oid {
        match self {
            Value::Null | Value::Text(_) | Value::Joined(_) | Value::Utf8(_) => pg_sys::TEXTOID,
            Value::Texts(_) => pg_sys::TEXTARRAYOID,
            Value::Name(_) => pg_sys::NAMEOID,
            Value::Names(_) => pg_sys::NAMEARRAYOID,
            Value::Bool(_) => pg_sys::BOOLOID,
            Value::Int4(_) => pg_sys::INT4OID,
            Value::Int8(_) => pg_sys::INT8OID,
            Value::Xid8(_) => pg_sys::XID8OID,
            Value::Oid(_) => pg_sys::OIDOID,
            Value::Time(_) => pg_sys::TIMESTAMPTZOID,
            Value::Inet(_) => pg_sys::INETOID,
        }
    }

    /// The datum, in the current memory context: texts are copied into the server's memory, where
    /// an allocation that fails is an error.
    pub(super) fn datum(self) -> Option<pg_sys::Datum> {
        Some(match self {
            Value::Null => return None,
            Value::Text(text) => text_datum(&[text]),
            Value::Joined(parts) => text_datum(&parts),
            Value::Utf8(text) => text_datum(&[&names::to_value(text)]),
            Value::Texts(texts) => {
                let mut elements: Vec<_> = texts.iter().map(|text| text_datum(&[text])).collect();
                array_datum(&mut elements, pg_sys::TEXTOID, -1, b'i')
            }
            Value::Name(name) => name_datum(name),
            Value::Names(all) => {
                let mut elements: Vec<_> = all.iter().map(|name| name_datum(name)).collect();
                let length = pg_sys::NAMEDATALEN as c_int;
                array_datum(&mut elements, pg_sys::NAMEOID, length, b'c')
            }
            Value::Bool(boolean) => boolean.into(),
            Value::Int4(integer) => integer.into(),
            Value::Int8(integer) => integer.into(),
            Value::Xid8(xid) => xid.into(),
            Value::Oid(oid) => oid.into(),
            Value::Time(Instant(micros)) => micros.into(),
            Value::Inet(Inet(datum)) => datum,
        })
    }
}

/// A `text` of these parts, one after the other.
fn text_datum(parts: &[&[u8]]) -> pg_sys::Datum {
    let length = parts.iter().map(|part| part.len()).fold(pg_sys::VARHDRSZ, usize::saturating_add);
    // SAFETY: raises an error for a size that cannot be had.
    let text = unsafe { pg_sys::palloc(length) };
    // SAFETY: the header fits; the length is below a gigabyte, or palloc would have raised.
    unsafe { pgrx::set_varsize_4b(text.cast(), length as i32) };
    let mut at = pg_sys::VARHDRSZ;
    for part in parts {
        // SAFETY: the sum of the parts was allocated.
        let place = unsafe { text.cast::<u8>().add(at) };
        // SAFETY: as above; what was allocated just now overlaps with nothing.
        unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), place, part.len()) };
        at += part.len();
    }
    text.into()
}

fn name_datum(name: &str) -> pg_sys::Datum {
    let name = names::clipped_name(names::to_value(name));
    let length = pg_sys::NAMEDATALEN as usize;
    // SAFETY: raises an error for a size that cannot be had.
    let datum = unsafe { pg_sys::palloc0(length) }.cast::<u8>();
    // SAFETY: shorter than what was allocated just now.
    unsafe { std::ptr::copy_nonoverlapping(name.as_ptr(), datum, name.len()) };
    datum.into()
}

fn array_datum(
    elements: &mut [pg_sys::Datum],
    element_type: pg_sys::Oid,
    length: c_int,
    alignment: u8,
) -> pg_sys::Datum {
    let count = elements.len() as c_int;
    // SAFETY: as many elements as are counted, of this type, which is passed by reference.
    let array = unsafe {
        pg_sys::construct_array(
            elements.as_mut_ptr(),
            count,
            element_type,
            length,
            false,
            alignment as c_char,
        )
    };
    array.into()
}
