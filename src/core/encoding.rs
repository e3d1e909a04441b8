//! Texts that need not be UTF-8: those of databases without an encoding (SQL_ASCII), and names that
//! all databases share, as roles have them.

use std::borrow::Cow;

/// A byte that is no part of UTF-8 is one of these characters; byte 80 is the first. They are for
/// private use (Unicode Standard, section 23.5).
const BYTES: std::ops::RangeInclusive<char> = '\u{10FF80}'..='\u{10FFFF}';

/// The bytes as text, and no two as the same.
pub fn text_of_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match is_byte(c) {
                true => text.extend(c.encode_utf8(&mut [0; 4]).bytes().map(of_byte)),
                false => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().copied().map(of_byte));
    }
    text
}

/// The bytes that `text_of_bytes` has made this text of.
pub fn bytes_of_text(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(is_byte) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match is_byte(c) {
            true => bytes.push((c as u32 & 0xFF) as u8),
            false => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

fn of_byte(byte: u8) -> char {
    char::from_u32(0x10_FF00 + u32::from(byte)).unwrap_or_default()
}

fn is_byte(c: char) -> bool {
    BYTES.contains(&c)
}

/// The same of bytes that are in another encoding than UTF-8, and in none that is known.
pub fn text_of_foreign_bytes(bytes: &[u8]) -> String {
    let shown = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { of_byte(*byte) };
    bytes.iter().map(shown).collect()
}

/// The bytes as ASCII: others as `\xe9`.
pub fn escape_bytes(bytes: &[u8]) -> Vec<u8> {
    let escaped = |byte: &u8| match byte.is_ascii() {
        true => vec![*byte],
        false => format!("\\x{byte:02x}").into_bytes(),
    };
    bytes.iter().flat_map(escaped).collect()
}

/// A text whose bytes are escaped, and its characters beyond ASCII if `is_ascii`.
pub fn escape_text(text: String, is_ascii: bool) -> String {
    if text.is_ascii() || !is_ascii && !text.contains(is_byte) {
        return text;
    }
    let escaped = |c: char| match c {
        _ if is_byte(c) => format!("\\x{:02x}", c as u32 & 0xFF),
        _ if is_ascii && !c.is_ascii() => c.escape_unicode().to_string(),
        _ => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back() {
        let texts: [&[u8]; 6] = [
            b"",
            b"plain",
            b"jos\xe9",
            "é 山".as_bytes(),
            b"\xf4\x8f\xbe\x80",
            b"\xff\x80 \xe5\xb1",
        ];
        for bytes in texts {
            assert_eq!(*bytes_of_text(&text_of_bytes(bytes)), *bytes);
        }
        for byte in 0..=u8::MAX {
            assert_eq!(*bytes_of_text(&text_of_bytes(&[byte])), [byte]);
        }
    }

    #[test]
    fn different_bytes_are_different_texts() {
        let a_byte = text_of_bytes(b"\xe9");
        assert_ne!(a_byte, text_of_bytes(b"\xe8"));
        // The character that stands for the byte, itself written as UTF-8.
        assert_ne!(a_byte, text_of_bytes(a_byte.as_bytes()));
    }

    #[test]
    fn what_is_utf8_stays_as_it_is() {
        assert_eq!(text_of_bytes("é 山".as_bytes()), "é 山");
        assert!(matches!(bytes_of_text("é 山"), Cow::Borrowed(_)));
    }

    #[test]
    fn foreign_bytes_come_back() {
        let bytes = "é jos\u{E9}".as_bytes();
        let text = text_of_foreign_bytes(bytes);
        assert_eq!(*bytes_of_text(&text), *bytes);
        assert!(!text.contains('é'));
    }

    #[test]
    fn escaped_bytes_are_ascii() {
        assert_eq!(escape_bytes(b"jos\xe9"), br"jos\xe9");
        let text = text_of_bytes(b"\xe9 \xe5\xb1\xb1");
        assert_eq!(escape_text(text.clone(), true), r"\xe9 \u{5c71}");
        assert_eq!(escape_text(text, false), r"\xe9 山");
        assert_eq!(escape_text("山".to_owned(), false), "山");
    }
}
