//! An id as the caller gave it, as the id column would hold it, and as the key of an epoch.
//!
//! Texts of users are read in place: they may be larger than what can be allocated.

use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Whether this server reads `0x2A`, `0o52`, `0b101010` and `1_000` as integers, as PostgreSQL does
/// from 16 on (release notes 16, section "Data Types").
const READS_RADIX_AND_UNDERSCORES: bool = cfg!(not(feature = "pg15"));

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
            (IdType::Text, UserId::Text(text)) => Some(UserId::Text(text)),
            (IdType::Text, id) => Some(UserId::Text(id.into_key())),
            (IdType::Uuid, UserId::Uuid(uuid)) => Some(UserId::Uuid(uuid)),
            (IdType::Uuid, UserId::Text(text)) => read_uuid(&text).map(UserId::Uuid),
            (IdType::Uuid, UserId::Int(_)) => None,
            (_, UserId::Uuid(_)) => None,
            (_, UserId::Int(int)) => in_range(int, id_type),
            (_, UserId::Text(text)) => in_range(read_integer(&text)?, id_type),
        }
    }

    /// The key of this id's epoch: its text, as the type's output function writes it, or a digest
    /// of one that is too long for an index.
    pub fn into_key(self) -> Cow<'a, [u8]> {
        match self {
            UserId::Int(int) => Cow::Owned(int.to_string().into_bytes()),
            UserId::Uuid(uuid) => Cow::Owned(write_uuid(&uuid).into_bytes()),
            UserId::Text(text) => match indexable(&text) {
                Cow::Owned(digest) => Cow::Owned(digest),
                Cow::Borrowed(_) => text,
            },
        }
    }
}

/// A btree index takes no text that is longer than a third of a page, some 2,700 bytes.
const LONGEST_KEY: usize = 1024;
const DIGEST_PREFIX: &[u8] = b"sha256:";

/// The text itself, or `sha256:` and the digest of one that is too long for an index.
pub fn indexable(text: &[u8]) -> Cow<'_, [u8]> {
    if text.len() <= LONGEST_KEY {
        return Cow::Borrowed(text);
    }
    let digest = Sha256::digest(text);
    let hex = digest.iter().flat_map(|byte| hex_digits(*byte));
    Cow::Owned(DIGEST_PREFIX.iter().copied().chain(hex).collect())
}

/// Whether a key may be the digest of an id, so that the id cannot be told from it.
pub fn is_digest(key: &[u8]) -> bool {
    key.len() == DIGEST_PREFIX.len() + 64 && key.starts_with(DIGEST_PREFIX)
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

/// An integer as its input function takes it (PostgreSQL source, `pg_strtoint64_safe`).
fn read_integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match trim_spaces(text) {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let magnitude = match digits {
        [b'0', b'x' | b'X', digits @ ..] if READS_RADIX_AND_UNDERSCORES => read_digits(digits, 16)?,
        [b'0', b'o' | b'O', digits @ ..] if READS_RADIX_AND_UNDERSCORES => read_digits(digits, 8)?,
        [b'0', b'b' | b'B', digits @ ..] if READS_RADIX_AND_UNDERSCORES => read_digits(digits, 2)?,
        [b'_', ..] => return None,
        digits => read_digits(digits, 10)?,
    };
    match is_negative {
        true => 0_i64.checked_sub_unsigned(magnitude),
        false => i64::try_from(magnitude).ok(),
    }
}

/// Digits, an underscore allowed before each of them.
fn read_digits(digits: &[u8], radix: u32) -> Option<u64> {
    let mut value: Option<u64> = None;
    let mut rest = digits;
    loop {
        rest = match rest {
            [] => return value,
            [b'_', after @ ..] if READS_RADIX_AND_UNDERSCORES && !after.is_empty() => after,
            _ => rest,
        };
        let (digit, after) = rest.split_first()?;
        let digit = char::from(*digit).to_digit(radix)?;
        let shifted = value.unwrap_or(0).checked_mul(radix.into())?;
        value = Some(shifted.checked_add(digit.into())?);
        rest = after;
    }
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
        text.extend(hex_digits(*byte).map(char::from));
    }
    text
}

fn hex_digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|nibble| b"0123456789abcdef"[usize::from(nibble)])
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
    fn a_text_that_is_nearly_an_integer_is_none() {
        for form in [
            "",
            " ",
            "+",
            "-",
            "--1",
            "1 2",
            "_1",
            "1_",
            "1__0",
            "0x",
            "1.0",
            "9223372036854775808",
        ] {
            assert_eq!(text(form).in_column(IdType::Int8), None, "{form:?}");
        }
        let smallest = text("-9223372036854775808").in_column(IdType::Int8);
        assert_eq!(smallest, Some(UserId::Int(i64::MIN)));
    }

    #[test]
    fn radix_and_underscores_are_read_where_the_server_reads_them() {
        for form in ["0x2A", "0o52", "0b10_1010", "4_2", "0X_2a"] {
            let read = text(form).in_column(IdType::Int8);
            assert_eq!(read, READS_RADIX_AND_UNDERSCORES.then_some(UserId::Int(42)), "{form:?}");
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
        fn keys_of_different_texts_differ_and_are_short(
            a in proptest::collection::vec(any::<u8>(), 0..3000), b in any::<Vec<u8>>(),
        ) {
            let key = |text: &[u8]| UserId::Text(Cow::Borrowed(text)).into_key().into_owned();
            prop_assert!(key(&a).len() <= LONGEST_KEY);
            prop_assert_eq!(key(&a) == key(&b), a == b);
            prop_assert_eq!(is_digest(&key(&a)), a.len() > LONGEST_KEY);
        }

        #[test]
        fn a_text_column_takes_the_text_as_it_is(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        ) {
            let id = UserId::Text(Cow::Owned(bytes.clone()));
            prop_assert_eq!(id.clone().in_column(IdType::Text), Some(id));
        }
    }
}
