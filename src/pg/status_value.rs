//! Reads the values of a status column, of whatever type it is.

use super::datum::text_bytes;
use super::names::{shown_type, to_server};
use super::relation::Column;
use super::tuple::Tuple;
use crate::core::epoch::Instant;
use crate::core::status::{ActiveWhen, StatusValue};
use pgrx::pg_sys::{self, Oid};

/// How the values of one column are read.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusReader {
    attno: i16,
    type_oid: Oid,
    values: Values,
    unknown: Vec<String>,
}

/// What the column holds, and for a list, which of its values are listed.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    Any,
    Bools,
    /// Microseconds since 2000, as a `timestamptz`, or a `timestamp` in UTC.
    Timestamps,
    Dates,
    Texts(Vec<Vec<u8>>),
    /// Blanks at the end do not count.
    Chars(Vec<Vec<u8>>),
    Int2s(Vec<i64>),
    Int4s(Vec<i64>),
    Int8s(Vec<i64>),
    Labels(Vec<Oid>),
}

impl StatusReader {
    /// Of a column that is read so; `None` where that does not fit its type. A domain is read as
    /// the type that it is over.
    pub fn new(column: &Column, active_when: &ActiveWhen) -> Option<StatusReader> {
        if column.is_virtual || column.is_row {
            return None;
        }
        let mut unknown = Vec::new();
        // SAFETY: an OID that the catalogs gave out.
        let base_type = unsafe { pg_sys::getBaseType(column.type_oid) };
        let values = match (active_when, base_type) {
            (ActiveWhen::Null, _) => Values::Any,
            (ActiveWhen::True | ActiveWhen::False, pg_sys::BOOLOID) => Values::Bools,
            (
                ActiveWhen::Past | ActiveWhen::Future,
                pg_sys::TIMESTAMPTZOID | pg_sys::TIMESTAMPOID,
            ) => Values::Timestamps,
            (ActiveWhen::Past | ActiveWhen::Future, pg_sys::DATEOID) => Values::Dates,
            (ActiveWhen::OneOf(listed), _) => Values::listed(listed, base_type, &mut unknown)?,
            _ => return None,
        };
        Some(StatusReader { attno: column.attno, type_oid: column.type_oid, values, unknown })
    }

    /// The column's number.
    pub fn attno(&self) -> i16 {
        self.attno
    }

    /// The name of the column's type, if that is an enum.
    pub fn enum_type(&self) -> Option<String> {
        // SAFETY: an OID that the catalogs gave out.
        let base_type = unsafe { pg_sys::getBaseType(self.type_oid) };
        matches!(self.values, Values::Labels(_)).then(|| shown_type(base_type))
    }

    /// What is listed, and the column's type does not have.
    pub fn unknown_values(&self) -> &[String] {
        &self.unknown
    }

    /// The value of a row of the column's table.
    pub fn read(&self, row: &Tuple) -> StatusValue {
        let Some(datum) = row.get_typed(self.attno, self.type_oid) else {
            return StatusValue::Null;
        };
        let is_listed = |listed: &[Vec<u8>], text: &[u8]| {
            StatusValue::IsListed(listed.iter().any(|one| one == text))
        };
        match &self.values {
            Values::Any => StatusValue::NotNull,
            Values::Bools => StatusValue::Bool(datum.value() as u8 != 0),
            Values::Timestamps => StatusValue::Time(Instant(datum.value() as i64)),
            Values::Dates => StatusValue::Time(Instant::of_day(datum.value() as i32)),
            // SAFETY: the column's type is text or varchar, and the tuple outlives the call.
            Values::Texts(listed) => is_listed(listed, unsafe { text_bytes(datum) }),
            // SAFETY: a char(n) is stored as those are.
            Values::Chars(listed) => is_listed(listed, trim_blanks(unsafe { text_bytes(datum) })),
            Values::Int2s(all) => {
                StatusValue::IsListed(all.contains(&(datum.value() as i16).into()))
            }
            Values::Int4s(all) => {
                StatusValue::IsListed(all.contains(&(datum.value() as i32).into()))
            }
            Values::Int8s(all) => StatusValue::IsListed(all.contains(&(datum.value() as i64))),
            Values::Labels(all) => {
                StatusValue::IsListed(all.contains(&Oid::from(datum.value() as u32)))
            }
        }
    }
}

impl Values {
    fn listed(listed: &[String], type_oid: Oid, unknown: &mut Vec<String>) -> Option<Values> {
        let texts = || listed.iter().map(|value| to_server(value).into_bytes());
        let mut ints = |least: i64, greatest: i64| {
            let (ints, others): (Vec<_>, Vec<_>) =
                listed.iter().map(|value| (value, value.parse::<i64>())).partition(|(_, int)| {
                    int.as_ref().is_ok_and(|int| (least..=greatest).contains(int))
                });
            unknown.extend(others.into_iter().map(|(value, _)| value.clone()));
            ints.into_iter().filter_map(|(_, int)| int.ok()).collect()
        };
        Some(match type_oid {
            pg_sys::TEXTOID | pg_sys::VARCHAROID => Values::Texts(texts().collect()),
            pg_sys::BPCHAROID => {
                Values::Chars(texts().map(|text| trim_blanks(&text).to_vec()).collect())
            }
            pg_sys::INT2OID => Values::Int2s(ints(i16::MIN.into(), i16::MAX.into())),
            pg_sys::INT4OID => Values::Int4s(ints(i32::MIN.into(), i32::MAX.into())),
            pg_sys::INT8OID => Values::Int8s(ints(i64::MIN, i64::MAX)),
            // SAFETY: an OID that the catalogs gave out.
            _ if unsafe { pg_sys::type_is_enum(type_oid) } => {
                let mut labels = Vec::new();
                for value in listed {
                    match label(type_oid, value) {
                        Some(label) => labels.push(label),
                        None => unknown.push(value.clone()),
                    }
                }
                Values::Labels(labels)
            }
            _ => return None,
        })
    }
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    let length = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &text[..length]
}

/// The label of an enum, as its values are stored.
fn label(enum_type: Oid, label: &str) -> Option<Oid> {
    let label = to_server(label);
    // The cache's key is a name, which is no longer.
    if label.as_bytes().len() >= pg_sys::NAMEDATALEN as usize {
        return None;
    }
    // SAFETY: the keys are those of this cache; zero comes back for a label that is not there.
    let oid = unsafe {
        pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::ENUMTYPOIDNAME as _,
            pg_sys::Anum_pg_enum_oid as pg_sys::AttrNumber,
            enum_type.into(),
            pg_sys::Datum::from(label.as_ptr()),
            pg_sys::Datum::from(0),
            pg_sys::Datum::from(0),
        )
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}
