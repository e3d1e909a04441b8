//! Names of the catalogs as Rust texts, and back: what is looked up, compared and stored is the
//! bare name, and what is quoted is only shown or made part of a statement.

use crate::core::encoding::{bytes_of_text, escape_bytes, text_of_bytes, text_of_foreign_bytes};
use pgrx::pg_sys::{self, Oid};
use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int};

const UTF8: c_int = pg_sys::pg_enc::PG_UTF8 as c_int;

/// A text of the server's as UTF-8, of which `to_server` makes the same bytes: also where the
/// database has no encoding (SQL_ASCII), and of a name that all databases share, as roles have
/// them, which need not be in this one's encoding.
pub fn from_server(text: &[u8]) -> String {
    if text.is_ascii() || has_no_conversion() {
        return text_of_bytes(text);
    }
    let Ok(length) = c_int::try_from(text.len()) else { return String::new() };
    if !is_in_encoding(text) {
        return text_of_foreign_bytes(text);
    }
    // SAFETY: as many bytes as are given; the result is the argument, or NUL-terminated.
    let converted = unsafe { pg_sys::pg_server_to_any(text.as_ptr().cast(), length, UTF8) };
    if std::ptr::eq(converted.cast(), text.as_ptr()) {
        return text_of_bytes(text);
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(converted) }.to_string_lossy().into_owned()
}

/// A text as the server has it, for lookups and statements. A character that the database's
/// encoding does not have is an error (22P05).
pub fn to_server(text: &str) -> CString {
    let bytes = bytes_of_text(text);
    if text.is_ascii() || has_no_conversion() || matches!(bytes, Cow::Owned(_)) {
        return CString::new(bytes).unwrap_or_default();
    }
    let Ok(length) = c_int::try_from(text.len()) else { return CString::default() };
    // SAFETY: as many bytes of UTF-8 as are given; the result is NUL-terminated, or the argument.
    let converted = unsafe { pg_sys::pg_any_to_server(text.as_ptr().cast(), length, UTF8) };
    if std::ptr::eq(converted.cast(), text.as_ptr()) {
        return CString::new(text).unwrap_or_default();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(converted) }.to_owned()
}

/// A text for a row or a client. Bytes that are no text in the database's encoding would keep a
/// dump from being restored, so they are escaped.
pub fn to_value(text: &str) -> Vec<u8> {
    in_encoding(to_server(text).into_bytes())
}

/// The text, escaped if it is none in the database's encoding.
pub fn in_encoding(text: Vec<u8>) -> Vec<u8> {
    if is_in_encoding(&text) { text } else { escape_bytes(&text) }
}

/// What a column of type `name` takes of a name.
pub fn clipped_name(mut name: Vec<u8>) -> Vec<u8> {
    name.truncate(pg_sys::NAMEDATALEN as usize - 1);
    name
}

/// The beginning of a text in the database's encoding, at most so many characters of it.
pub fn clipped_text(text: &[u8], longest: usize) -> &[u8] {
    let lengths = (c_int::try_from(text.len()), c_int::try_from(longest));
    let (Ok(length), Ok(limit)) = lengths else { return text };
    // SAFETY: as many bytes as are given.
    let clipped = unsafe { pg_sys::pg_mbcharcliplen(text.as_ptr().cast(), length, limit) };
    usize::try_from(clipped).ok().and_then(|length| text.get(..length)).unwrap_or(text)
}

fn is_in_encoding(text: &[u8]) -> bool {
    let Ok(length) = c_int::try_from(text.len()) else { return false };
    // SAFETY: as many bytes as are given; nothing is raised.
    text.is_ascii() || unsafe { pg_sys::pg_verifymbstr(text.as_ptr().cast(), length, true) }
}

/// Whether texts of the database are UTF-8, or bytes of which nobody knows what they mean.
fn has_no_conversion() -> bool {
    // SAFETY: reads a variable of this backend.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    encoding == UTF8 || encoding == pg_sys::pg_enc::PG_SQL_ASCII as c_int
}

/// A name that the catalogs gave out; `None` for NULL.
///
/// # Safety
/// The pointer is NULL or leads to a NUL-terminated text.
pub(super) unsafe fn from_catalog(name: *const c_char) -> Option<String> {
    // SAFETY: the caller says so.
    (!name.is_null()).then(|| from_server(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

/// An identifier, quoted whether or not this server needs it: which words are keywords differs
/// between majors.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal, whatever `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match text.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// An identifier as people write it: quoted only where some server needs it.
pub fn shown_identifier(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts_plainly = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let Ok(c_name) = CString::new(name) else { return quote_identifier(name) };
    // SAFETY: a NUL-terminated text, looked up among the keywords.
    let quoted = unsafe { pg_sys::quote_identifier(c_name.as_ptr()) };
    let is_keyword = !std::ptr::eq(quoted, c_name.as_ptr());
    match starts_plainly && name.chars().all(is_plain) && !is_keyword {
        true => name.to_owned(),
        false => quote_identifier(name),
    }
}

/// A relation's schema and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelationName {
    /// The schema's bare name.
    pub schema: String,
    /// The relation's bare name.
    pub name: String,
}

impl RelationName {
    /// That of a relation that there is.
    pub fn of(relid: Oid) -> Option<RelationName> {
        // SAFETY: any OID may be asked for; NULL comes back for one that is no relation.
        let name = unsafe { pg_sys::get_rel_name(relid) };
        // SAFETY: as above; zero comes back.
        let schema = unsafe { pg_sys::get_rel_namespace(relid) };
        // SAFETY: as above.
        let schema = unsafe { pg_sys::get_namespace_name(schema) };
        // SAFETY: a name that the catalogs gave out.
        let schema = unsafe { from_catalog(schema) }?;
        // SAFETY: as above.
        let name = unsafe { from_catalog(name) }?;
        Some(RelationName { schema, name })
    }

    /// The relation of this name now. Looks below the permission layer.
    pub fn find(&self) -> Option<Oid> {
        let (schema, name) = (to_server(&self.schema), to_server(&self.name));
        // SAFETY: looks up the system cache; zero comes back for a name that is no schema's.
        let schema = unsafe { pg_sys::get_namespace_oid(schema.as_ptr(), true) };
        // SAFETY: looks up the system cache; zero comes back for a name that is no relation's.
        let relid = unsafe { pg_sys::get_relname_relid(name.as_ptr(), schema) };
        (relid != pg_sys::InvalidOid).then_some(relid)
    }

    /// For statements.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }

    /// For people.
    pub fn shown(&self) -> String {
        format!("{}.{}", shown_identifier(&self.schema), shown_identifier(&self.name))
    }

    /// As an argument of type `regclass` in a statement for people.
    pub fn literal(&self) -> String {
        quote_literal(&self.shown())
    }

    /// The two names with a dot between, as guards are named.
    pub fn plain(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// A relation's name for people, or its OID where it has none any more.
pub fn shown_relation(relid: Oid) -> String {
    RelationName::of(relid).map_or_else(|| relid.to_u32().to_string(), |name| name.shown())
}

/// A relation in the schema `session_guard`.
pub fn extension_relation(name: &CStr) -> Option<Oid> {
    // SAFETY: looks up the system cache; zero comes back for a name that is no relation's.
    let oid = unsafe { pg_sys::get_relname_relid(name.as_ptr(), extension_schema()) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The schema `session_guard`, or zero.
pub fn extension_schema() -> Oid {
    // SAFETY: looks up the system cache.
    unsafe { pg_sys::get_namespace_oid(c"session_guard".as_ptr(), true) }
}

/// A function without arguments in the schema `session_guard`. Looks below the permission layer:
/// who may call it need not have USAGE on the schema.
pub fn extension_function(name: &CStr) -> Option<Oid> {
    // SAFETY: an empty list needs no elements.
    let no_arguments = unsafe { pg_sys::buildoidvector(std::ptr::null(), 0) };
    // SAFETY: the keys are those of this cache; zero comes back for a function that is not there.
    let oid = unsafe {
        pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as _,
            pg_sys::Anum_pg_proc_oid as pg_sys::AttrNumber,
            pg_sys::Datum::from(name.as_ptr()),
            pg_sys::Datum::from(no_arguments),
            extension_schema().into(),
            pg_sys::Datum::from(0),
        )
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// A type's name for people.
pub fn shown_type(type_oid: Oid) -> String {
    // SAFETY: an OID that the catalogs gave out.
    let name = unsafe { pg_sys::format_type_be(type_oid) };
    // SAFETY: the result is NUL-terminated.
    unsafe { from_catalog(name) }.unwrap_or_default()
}
