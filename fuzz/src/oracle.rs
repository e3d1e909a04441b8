//! What is right, written another way than in the extension: texts by their grammar, times in wider
//! integers, verdicts as one condition each.

use crate::status::{Account, Span};
use crate::user_id::{IdType, UserId};
use crate::verdict::Verdict;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

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
const MILLISECOND: i128 = 1_000;
/// The end of PostgreSQL's calendar, and of the one in which the extension rounds, the year 262142.
/// What lies beyond becomes infinite.
const END: i128 = 9_223_371_331_200_000_000;
const ROUNDING_END: i128 = 8_209_320_192_000_000_000;

/// `floor_to_second(now + margin) + 1 s`, or a millisecond past an old epoch that is no earlier, of a clock that shows a
/// timestamp.
pub fn stamp(now: i64, margin_millis: i32, old: Option<i64>) -> i64 {
    let moved = i128::from(now) + i128::from(margin_millis) * 1000;
    let rounded = moved - moved.rem_euclid(SECOND) + SECOND;
    let by_clock = if rounded < ROUNDING_END { rounded } else { i64::MAX.into() };
    let old = old.map_or(i128::MIN, i128::from);
    let epoch = match old + MILLISECOND {
        _ if old < by_clock => by_clock,
        _ if old == i64::MAX.into() => old,
        risen if risen >= END => i64::MAX.into(),
        risen => risen,
    };
    epoch as i64
}

/// The first 32 bits of the fractional parts of the first primes' square roots, or cube roots.
fn fractions(power: u32) -> Vec<u32> {
    let primes = (2..312u64).filter(|n| (2..*n).all(|d| n % d > 0));
    let fraction = |prime: u64| {
        // The root by search in integers.
        let scaled = u128::from(prime) << (32 * power);
        let (mut low, mut high) = (0u128, 1u128 << 38);
        while high - low > 1 {
            let middle = (low + high) / 2;
            match middle.pow(power) <= scaled {
                true => low = middle,
                false => high = middle,
            }
        }
        low as u32
    };
    primes.map(fraction).collect()
}

static OF_SQUARE_ROOTS: LazyLock<Vec<u32>> = LazyLock::new(|| fractions(2));
static OF_CUBE_ROOTS: LazyLock<Vec<u32>> = LazyLock::new(|| fractions(3));

/// As FIPS 180-4 has it, section 6.2, in hexadecimal digits.
pub fn sha256(text: &[u8]) -> String {
    let constants = &*OF_CUBE_ROOTS;
    let mut hash = OF_SQUARE_ROOTS[..8].to_vec();
    let mut message = text.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend((text.len() as u64 * 8).to_be_bytes());
    for block in message.chunks(64) {
        let mut words: Vec<u32> = block
            .chunks(4)
            .map(|word| word.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
            .collect();
        for t in 16..64 {
            let (x, y) = (words[t - 15], words[t - 2]);
            let s0 = x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
            let s1 = y.rotate_right(17) ^ y.rotate_right(19) ^ y >> 10;
            words.push(words[t - 16].wrapping_add(s0).wrapping_add(words[t - 7]).wrapping_add(s1));
        }
        let mut w = hash.clone();
        for t in 0..64 {
            let s1 = w[4].rotate_right(6) ^ w[4].rotate_right(11) ^ w[4].rotate_right(25);
            let choice = w[4] & w[5] ^ !w[4] & w[6];
            let t1 = [s1, choice, constants[t], words[t]].into_iter().fold(w[7], u32::wrapping_add);
            let s0 = w[0].rotate_right(2) ^ w[0].rotate_right(13) ^ w[0].rotate_right(22);
            let majority = w[0] & w[1] ^ w[0] & w[2] ^ w[1] & w[2];
            let t2 = s0.wrapping_add(majority);
            w.pop();
            w.insert(0, t1.wrapping_add(t2));
            w[4] = w[4].wrapping_add(t1);
        }
        for (sum, word) in hash.iter_mut().zip(w) {
            *sum = sum.wrapping_add(word);
        }
    }
    hash.iter().map(|word| format!("{word:08x}")).collect()
}

/// The table of verdicts, a line each.
pub fn verdict(
    account: Account,
    epoch: Option<i64>,
    login: Option<i64>,
    oldest: Option<i64>,
    [latest, given_out]: [i64; 2],
) -> Verdict {
    let since = match account {
        Account::Active(Span { since: Some(since), .. }) => Some(since.0),
        _ => None,
    };
    let epoch = epoch.max(since);
    let is_before_all = matches!(login, None | Some(i64::MIN));
    let at_or_past = |epoch| !is_before_all && login >= Some(epoch) && epoch != i64::MAX;
    let table = [
        (account == Account::Unknown, Verdict::UnknownUser),
        (account == Account::Disabled, Verdict::Disabled),
        (!epoch.is_none_or(at_or_past), Verdict::Revoked),
        (oldest.is_some_and(|oldest| login.unwrap_or(i64::MIN) < oldest), Verdict::Expired),
        (
            login.is_some_and(|at| at > latest && (Some(at) != epoch || at > given_out)),
            Verdict::LoginInFuture,
        ),
    ];
    table.into_iter().find(|(holds, _)| *holds).map_or(Verdict::Valid, |(_, verdict)| verdict)
}
