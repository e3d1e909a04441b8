//! The pure core, compared with oracles that are written differently: by properties
//! (`tests/properties.rs`) and by what coverage guides (`fuzz_targets/`).

#[path = "../../src/core/epoch.rs"]
pub mod epoch;
#[path = "../../src/core/status.rs"]
pub mod status;
#[path = "../../src/core/user_id.rs"]
pub mod user_id;
#[path = "../../src/core/verdict.rs"]
pub mod verdict;

pub mod oracle;

use epoch::{Epoch, Instant};
use status::Account;
use std::borrow::Cow;
use std::cell::Cell;
use user_id::{IdType, UserId};
use verdict::Verdict;

/// Every type of an id column.
pub const ID_TYPES: [IdType; 5] =
    [IdType::Int2, IdType::Int4, IdType::Int8, IdType::Uuid, IdType::Text];

/// A longer text has a digest as its key.
const LONGEST_KEY: usize = 1024;

/// Reads a text as an id of every type: as PostgreSQL 15 reads it where that feature is on, else as 16 and later do.
pub fn check_text_id(text: &[u8]) {
    for id_type in ID_TYPES {
        let id = UserId::Text(Cow::Borrowed(text)).in_column(id_type);
        let expected = oracle::read(text, id_type, !cfg!(feature = "pg15"));
        assert_eq!(id, expected, "{:?} as {id_type:?}", String::from_utf8_lossy(text));
        if let Some(id) = id {
            check_key(id, id_type);
        }
    }
}

/// Takes an integer as an id of every type.
pub fn check_int_id(int: i64) {
    for id_type in ID_TYPES {
        let id = UserId::Int(int).in_column(id_type);
        let expected = match id_type {
            IdType::Uuid => None,
            IdType::Text => Some(UserId::Text(format!("{int}").into_bytes().into())),
            _ => oracle::range(id_type).contains(&int.into()).then_some(UserId::Int(int)),
        };
        assert_eq!(id, expected, "{int} as {id_type:?}");
        if let Some(id) = id {
            check_key(id, id_type);
        }
    }
}

/// Takes a UUID as an id of every type.
pub fn check_uuid_id(uuid: [u8; 16]) {
    for id_type in ID_TYPES {
        let id = UserId::Uuid(uuid).in_column(id_type);
        let expected = match id_type {
            IdType::Uuid => Some(UserId::Uuid(uuid)),
            IdType::Text => Some(UserId::Text(oracle::uuid_text(uuid).into_bytes().into())),
            _ => None,
        };
        assert_eq!(id, expected, "{uuid:?} as {id_type:?}");
        if let Some(id) = id {
            check_key(id, id_type);
        }
    }
}

/// A column's value has one key, and the key reads back as that value, unless that is too long for an index.
fn check_key(id: UserId, id_type: IdType) {
    let key = id.clone().into_key();
    if let UserId::Text(text) = &id
        && text.len() > LONGEST_KEY
    {
        assert!(user_id::is_digest(&key));
        assert_eq!(*key, *format!("sha256:{}", oracle::sha256(text)).as_bytes());
        return;
    }
    match &id {
        UserId::Int(int) => assert_eq!(*key, *int.to_string().as_bytes()),
        UserId::Uuid(uuid) => assert_eq!(*key, *oracle::uuid_text(*uuid).as_bytes()),
        UserId::Text(text) => assert_eq!(key, *text),
    }
    assert_eq!(UserId::Text(key).in_column(id_type), Some(id));
}

/// Stamps once, at any clock and past any epoch; `None` where the two are no timestamps.
pub fn check_stamp(now: i64, margin_millis: i32, old: Option<i64>) -> Option<i64> {
    let is_timestamp = |at: i64| at >= oracle::FIRST_TIMESTAMP || at == i64::MIN;
    if now < oracle::FIRST_TIMESTAMP || !old.is_none_or(is_timestamp) {
        return None;
    }
    let margin = chrono::TimeDelta::milliseconds(margin_millis.into());
    let stamp = Epoch::stamp(Instant(now), margin, old.map(|old| Epoch(Instant(old))));
    let Epoch(Instant(epoch)) = stamp;
    let expected = oracle::stamp(now, margin_millis, old);
    assert_eq!(epoch, expected, "stamp at {now} plus {margin_millis} ms past {old:?}");
    assert!(epoch > now || epoch == i64::MAX);
    if let Some(old) = old {
        assert!(epoch > old || old == i64::MAX);
        // Epochs do not run away.
        let near = now.saturating_add(i64::from(margin_millis) * 1000 + 1_000_000);
        assert!(epoch == i64::MAX || epoch <= near.max(old.saturating_add(1_000)));
    }
    Some(epoch)
}

/// Judges once. `ahead`: the latest login that is not in the future, and the latest that is given out.
pub fn check_verdict(
    account: Account,
    epoch: Option<i64>,
    login: Option<i64>,
    oldest: Option<i64>,
    ahead: [i64; 2],
) {
    let [latest, given_out] = ahead;
    let is_clock_read = Cell::new(false);
    let read = |at| {
        is_clock_read.set(true);
        Instant(at)
    };
    let at_epoch = epoch.map(|epoch| Epoch(Instant(epoch)));
    let verdict = Verdict::of(
        account,
        at_epoch,
        login.map(Instant),
        || oldest.map(read),
        || read(latest),
        || read(given_out),
    );
    let expected = oracle::verdict(account, epoch, login, oldest, ahead);
    assert_eq!(verdict, expected, "{account:?}, {epoch:?}, {login:?}, {oldest:?}, {ahead:?}");
    assert_eq!(verdict.is_valid(), verdict.name() == "valid");
    let needs_clock = matches!(verdict, Verdict::Expired | Verdict::LoginInFuture | Verdict::Valid);
    assert!(needs_clock || !is_clock_read.get());
}
