//! Names as the catalogs have them, and back.

use crate::scan::OpenTable;
use pgrx::pg_sys::{self, Oid};
use pgrx::spi;
use std::ffi::{CStr, CString, c_char};

/// A relation's name, schema and all, quoted where that is needed.
pub fn qualified_name(relid: Oid) -> String {
    // SAFETY: any OID may be asked for; NULL comes back for one that is no relation.
    let name = unsafe { pg_sys::get_rel_name(relid) };
    // SAFETY: as above.
    let schema = unsafe { pg_sys::get_rel_namespace(relid) };
    // SAFETY: as above.
    let schema = unsafe { pg_sys::get_namespace_name(schema) };
    match (to_string(schema), to_string(name)) {
        (Some(schema), Some(name)) => spi::quote_qualified_identifier(schema, name),
        _ => relid.to_u32().to_string(),
    }
}

/// The relation that has this qualified name now. Looks below the permission layer, and takes any
/// text: `session_guard.guard` may have been written by hand.
pub fn relation_called(qualified_name: &str) -> Option<Oid> {
    let (schema, rest) = identifier(qualified_name)?;
    let (name, rest) = identifier(rest.strip_prefix('.')?)?;
    if !rest.is_empty() {
        return None;
    }
    let (schema, name) = (CString::new(schema).ok()?, CString::new(name).ok()?);
    // SAFETY: looks up the system cache; zero comes back for a name that is no schema's.
    let schema = unsafe { pg_sys::get_namespace_oid(schema.as_ptr(), true) };
    // SAFETY: looks up the system cache; zero comes back for a name that is no relation's.
    let relid = unsafe { pg_sys::get_relname_relid(name.as_ptr(), schema) };
    (relid != pg_sys::InvalidOid).then_some(relid)
}

/// Takes an identifier, quoted or not, off the front of a text.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['.', '"']).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let (mut name, mut rest) = (String::new(), quoted);
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        let Some(after) = rest.strip_prefix('"') else {
            return Some((name, rest));
        };
        name.push('"');
        rest = after;
    }
}

/// The name of column `attno`.
pub fn column_name(table: &OpenTable, attno: i16) -> String {
    let name = table.column(attno).and_then(|column| to_string(column.attname.data.as_ptr()));
    name.unwrap_or_default()
}

/// The number of the column of this name, never a system column's.
pub fn column_number(table: &OpenTable, name: &str) -> Option<i16> {
    let name = CString::new(name).ok()?;
    // SAFETY: looks up the system cache; zero comes back for a name that is no column's.
    let attno = unsafe { pg_sys::get_attnum(table.oid(), name.as_ptr()) };
    (attno > 0).then_some(attno)
}

/// The role's name, quoted where that is needed.
pub fn role_name(role: Oid) -> String {
    // SAFETY: any OID may be asked for; NULL comes back for one that is no role.
    let name = to_string(unsafe { pg_sys::GetUserNameFromId(role, true) });
    name.map_or(role.to_u32().to_string(), spi::quote_identifier)
}

/// A name that the catalogs gave out.
pub fn to_string(name: *const c_char) -> Option<String> {
    if name.is_null() {
        return None;
    }
    // SAFETY: a name that the catalogs gave out is NUL-terminated.
    let name = unsafe { CStr::from_ptr(name) };
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::identifier;
    use proptest::prelude::*;

    #[test]
    fn an_identifier_ends_at_a_dot_or_at_its_quote() {
        assert_eq!(identifier("public.users"), Some(("public".into(), ".users")));
        assert_eq!(identifier(r#""a.b"."#), Some(("a.b".into(), ".")));
        assert_eq!(identifier(r#""a""b""#), Some((r#"a"b"#.into(), "")));
        for malformed in ["", ".", "\"", "\"a", "\"a\"\""] {
            assert_eq!(identifier(malformed), None, "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_identifier_reads_back(name in "[^\0]{1,20}", rest in "(\\..{0,5})?") {
            let quoted = format!("\"{}\"{rest}", name.replace('"', "\"\""));
            prop_assert_eq!(identifier(&quoted), Some((name, rest.as_str())));
        }
    }
}
