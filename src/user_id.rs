//! An id as the caller gave it, as the id column would hold it, and as the key of an epoch.

use crate::compat;
use std::borrow::Cow;
use std::ffi::CString;

/// The type of an id column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdType {
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `uuid`
    Uuid,
    /// `text` or `varchar`
    Text,
}

/// The value of an id. Texts are bytes in the database's encoding, whatever that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserId<'a> {
    /// An integer of any width.
    Int(i64),
    /// A UUID's sixteen bytes.
    Uuid([u8; 16]),
    /// A text.
    Text(Cow<'a, [u8]>),
}

impl<'a> UserId<'a> {
    /// The same id as a column of this type would hold it, or `None` if no row can have it.
    ///
    /// A text is read as the column's input function of this server reads it.
    pub fn in_column(self, id_type: IdType) -> Option<UserId<'a>> {
        match (id_type, self) {
            (IdType::Text, id) => Some(UserId::Text(id.into_key())),
            (IdType::Uuid, UserId::Uuid(uuid)) => Some(UserId::Uuid(uuid)),
            (IdType::Uuid, UserId::Text(text)) => read_uuid(&text).map(UserId::Uuid),
            (IdType::Uuid, UserId::Int(_)) => None,
            (_, UserId::Uuid(_)) => None,
            (_, UserId::Int(int)) => in_range(int, id_type),
            (_, UserId::Text(text)) => in_range(read_integer(&text)?, id_type),
        }
    }

    /// The same id, kept by itself.
    pub fn into_owned(self) -> UserId<'static> {
        match self {
            UserId::Int(int) => UserId::Int(int),
            UserId::Uuid(uuid) => UserId::Uuid(uuid),
            UserId::Text(text) => UserId::Text(Cow::Owned(text.into_owned())),
        }
    }

    /// The key of this id's epoch: its text, as the type's output function writes it.
    pub fn into_key(self) -> Cow<'a, [u8]> {
        match self {
            UserId::Int(int) => Cow::Owned(int.to_string().into_bytes()),
            UserId::Uuid(uuid) => Cow::Owned(write_uuid(&uuid).into_bytes()),
            UserId::Text(text) => text,
        }
    }
}

fn in_range(int: i64, id_type: IdType) -> Option<UserId<'static>> {
    let fits = match id_type {
        IdType::Int2 => i16::try_from(int).is_ok(),
        IdType::Int4 => i32::try_from(int).is_ok(),
        _ => true,
    };
    fits.then_some(UserId::Int(int))
}

/// What C's `isspace` calls a space: the integer input functions skip it at both ends.
fn trim_spaces(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0B;
    let Some(start) = text.iter().position(|byte| !is_space(byte)) else {
        return &[];
    };
    let end = text.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

fn read_integer(text: &[u8]) -> Option<i64> {
    let digits = std::str::from_utf8(trim_spaces(text)).ok()?;
    digits.parse().ok().or_else(|| compat::read_modern_integer(&CString::new(digits).ok()?))
}

/// A UUID as its input function takes it: 32 hexadecimal digits in either case, a hyphen allowed
/// after each group of four, and braces around the whole (PostgreSQL manual, section 8.12).
fn read_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut rest = match text {
        [b'{', inside @ .., b'}'] => inside,
        bare => bare,
    };
    let mut uuid = [0; 16];
    for (position, byte) in uuid.iter_mut().enumerate() {
        let is_group_start = position > 0 && position % 2 == 0;
        if is_group_start && let [b'-', after @ ..] = rest {
            rest = after;
        }
        let [high, low, after @ ..] = rest else {
            return None;
        };
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
        rest = after;
    }
    rest.is_empty().then_some(uuid)
}

fn hex_digit(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

fn write_uuid(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (position, byte) in uuid.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> UserId<'_> {
        UserId::Text(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn spaces_around_an_integer_do_not_count() {
        for padded in [" 42 ", "\t42\n", "\u{b}42\u{c}\r", "+42", "042"] {
            assert_eq!(text(padded).in_column(IdType::Int4), Some(UserId::Int(42)), "{padded:?}");
        }
    }

    #[test]
    fn an_integer_out_of_the_columns_range_is_no_id() {
        assert_eq!(UserId::Int(32768).in_column(IdType::Int2), None);
        assert_eq!(UserId::Int(-32768).in_column(IdType::Int2), Some(UserId::Int(-32768)));
        assert_eq!(UserId::Int(i64::MAX).in_column(IdType::Int4), None);
        assert_eq!(
            text("9223372036854775807").in_column(IdType::Int8),
            Some(UserId::Int(i64::MAX))
        );
    }

    #[test]
    fn ids_of_another_kind_are_no_ids() {
        assert_eq!(UserId::Int(1).in_column(IdType::Uuid), None);
        assert_eq!(UserId::Uuid([0; 16]).in_column(IdType::Int8), None);
    }

    #[test]
    fn a_uuid_is_read_in_every_form_that_the_server_reads() {
        let expected = [
            0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38,
            0x0a, 0x11,
        ];
        for form in [
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
            "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
        ] {
            assert_eq!(text(form).in_column(IdType::Uuid), Some(UserId::Uuid(expected)), "{form}");
        }
    }

    #[test]
    fn a_text_that_is_nearly_a_uuid_is_none() {
        for form in [
            "",
            "{}",
            "{",
            "}",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "-a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11-",
            "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11",
            "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ] {
            assert_eq!(text(form).in_column(IdType::Uuid), None, "{form}");
        }
    }

    proptest! {
        #[test]
        fn a_written_uuid_reads_back(uuid in any::<[u8; 16]>()) {
            let key = UserId::Uuid(uuid).into_key();
            prop_assert_eq!(UserId::Text(key).in_column(IdType::Uuid), Some(UserId::Uuid(uuid)));
        }

        #[test]
        fn an_integers_key_reads_back(int in any::<i64>()) {
            let key = UserId::Int(int).into_key();
            prop_assert_eq!(UserId::Text(key).in_column(IdType::Int8), Some(UserId::Int(int)));
        }

        #[test]
        fn a_text_column_takes_the_text_as_it_is(bytes in any::<Vec<u8>>()) {
            let id = UserId::Text(Cow::Owned(bytes.clone()));
            prop_assert_eq!(id.clone().in_column(IdType::Text), Some(id));
        }
    }
}
