//! What is right, written another way than in the extension: texts by their grammar, times in wider
//! integers, verdicts as one condition each.

use crate::user_id::{IdType, UserId};
use crate::verdict::{Account, Verdict};
use std::ops::RangeInclusive;

/// What an integer column of this type holds.
pub fn range(id_type: IdType) -> RangeInclusive<i128> {
    let bits = match id_type {
        IdType::Int2 => 16,
        IdType::Int4 => 32,
        _ => 64,
    };
    let half = 1i128 << (bits - 1);
    -half..=half - 1
}

/// A text as the column's input function reads it (PostgreSQL source, `numutils.c` and `uuid.c`).
pub fn read(text: &[u8], id_type: IdType, is_modern: bool) -> Option<UserId<'static>> {
    match id_type {
        IdType::Text => Some(UserId::Text(text.to_vec().into())),
        IdType::Uuid => uuid(text).map(UserId::Uuid),
        _ => {
            let int = integer(text, is_modern).filter(|int| range(id_type).contains(int))?;
            Some(UserId::Int(int as i64))
        }
    }
}

/// `space* sign? digits space*`, where from PostgreSQL 16 on the digits may be in another base, and
/// an underscore may stand before a digit, though not before the first decimal one.
pub fn integer(text: &[u8], is_modern: bool) -> Option<i128> {
    let mut text: Vec<u8> = text.to_vec();
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | 9..=13));
    while is_space(text.last()) {
        text.pop();
    }
    text.reverse();
    while is_space(text.last()) {
        text.pop();
    }
    let sign = match text.last() {
        Some(b'-') => text.pop().map(|_| -1)?,
        Some(b'+') => text.pop().map(|_| 1)?,
        _ => 1,
    };
    let second = text.len().checked_sub(2).and_then(|at| text.get(at));
    let base = match (text.last(), second) {
        (Some(b'0'), Some(b'x' | b'X')) if is_modern => 16,
        (Some(b'0'), Some(b'o' | b'O')) if is_modern => 8,
        (Some(b'0'), Some(b'b' | b'B')) if is_modern => 2,
        _ => 10,
    };
    if base != 10 {
        text.truncate(text.len() - 2);
    }
    let (mut value, mut may_be_underscore, mut is_complete) = (0i128, base != 10, false);
    while let Some(byte) = text.pop() {
        if byte == b'_' && is_modern && may_be_underscore {
            (may_be_underscore, is_complete) = (false, false);
            continue;
        }
        let digit = (byte as char).to_digit(base)?;
        value = (value * i128::from(base) + i128::from(digit)).min(1 << 100);
        (may_be_underscore, is_complete) = (true, true);
    }
    is_complete.then_some(sign * value)
}

/// Pieces of whole groups of four digits, 32 digits in all, with a hyphen between any two.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(text).ok()?;
    let inside = match (text.starts_with('{'), text.ends_with('}')) {
        (true, true) => text.get(1..text.len() - 1)?,
        (false, false) => text,
        _ => return None,
    };
    let is_piece = |piece: &str| {
        !piece.is_empty()
            && piece.len() % 4 == 0
            && piece.chars().all(|digit| digit.is_ascii_hexdigit())
    };
    let pieces: Vec<&str> = inside.split('-').collect();
    let digits = pieces.concat();
    let is_uuid = digits.len() == 32 && pieces.into_iter().all(is_piece);
    is_uuid.then(|| u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes))?
}

/// As the output function writes it.
pub fn uuid_text(uuid: [u8; 16]) -> String {
    let number = u128::from_be_bytes(uuid);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        number >> 96,
        number >> 80 & 0xFFFF,
        number >> 64 & 0xFFFF,
        number >> 48 & 0xFFFF,
        number & 0xFFFF_FFFF_FFFF
    )
}

/// The first instant of PostgreSQL's calendar, in 4714 BC.
pub const FIRST_TIMESTAMP: i64 = -211_813_488_000_000_000;
const SECOND: i128 = 1_000_000;
/// The end of PostgreSQL's calendar, and of the one in which the extension rounds, the year 262142.
/// What lies beyond becomes infinite.
const END: i128 = 9_223_371_331_200_000_000;
const ROUNDING_END: i128 = 8_209_320_192_000_000_000;

/// `max(floor_to_second(now + margin) + 1 s, old epoch + 1 s)`, of a clock that shows a timestamp.
pub fn stamp(now: i64, margin_millis: i32, old: Option<i64>) -> i64 {
    let moved = i128::from(now) + i128::from(margin_millis) * 1000;
    let rounded = moved - moved.rem_euclid(SECOND) + SECOND;
    let by_clock = if rounded < ROUNDING_END { rounded } else { i64::MAX.into() };
    let risen = old.map(|old| match i128::from(old) + SECOND {
        _ if old == i64::MIN || old == i64::MAX => old.into(),
        risen if risen >= END => i64::MAX.into(),
        risen => risen,
    });
    risen.map_or(by_clock, |risen| risen.max(by_clock)) as i64
}

/// The table of verdicts, a line each.
pub fn verdict(
    account: Account,
    epoch: Option<i64>,
    login: Option<i64>,
    oldest: Option<i64>,
    latest: i64,
) -> Verdict {
    let is_before_all = matches!(login, None | Some(i64::MIN));
    let at_or_past = |epoch| !is_before_all && login >= Some(epoch) && epoch != i64::MAX;
    let table = [
        (account == Account::Unknown, Verdict::UnknownUser),
        (account == Account::Disabled, Verdict::Disabled),
        (!epoch.is_none_or(at_or_past), Verdict::Revoked),
        (oldest.is_some_and(|oldest| login.unwrap_or(i64::MIN) < oldest), Verdict::Expired),
        (login.is_some_and(|at| at > latest) && login > epoch, Verdict::LoginInFuture),
    ];
    table.into_iter().find(|(holds, _)| *holds).map_or(Verdict::Valid, |(_, verdict)| verdict)
}
