//! As many cases as PROPTEST_CASES says.

use pg_session_guard_fuzz::epoch::Instant;
use pg_session_guard_fuzz::status::{Account, Span};
use pg_session_guard_fuzz::{
    check_int_id, check_stamp, check_text_id, check_uuid_id, check_verdict,
};
use proptest::prelude::*;

/// Near an integer, near a UUID, and anything at all.
fn text_id() -> impl Strategy<Value = Vec<u8>> {
    let near = prop_oneof![
        4 => "[ \t\n\u{b}\u{c}\r]{0,2}[+-]{0,2}[0-9_]{0,20}[ \t\n]{0,2}",
        4 => "[ ]{0,1}[+-]{0,1}0{0,1}[xXoObB_]{0,2}[0-9a-fA-F_]{0,22}[ ]{0,1}",
        2 => "[+-]{0,1}0{0,3}9?(2233720368547758|32767|32768|2147483647|2147483648)[0-9]{0,4}",
        2 => "[{]{0,1}[0-9a-fA-F]{8}-{0,1}[0-9a-f]{4}-{0,1}[0-9a-f]{4}-{0,2}[0-9A-F]{4}-{0,1}[0-9a-f]{11,13}[}]{0,1}",
        1 => "[{]?([0-9a-f]{4}-?){7,9}[}]?",
        1 => "[{}0-9a-fA-F-]{30,40}",
        1 => any::<String>(),
    ];
    prop_oneof![
        8 => near.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..50),
        1 => prop::collection::vec(prop::sample::select(&b" +-0123456789xXoObB_abcf{}\t\n\x0b\0\xff"[..]), 0..40),
    ]
}

/// The ends of the calendars, whole seconds and what lies beside them, and anything at all.
fn instant() -> impl Strategy<Value = i64> {
    let ends = prop::sample::select(vec![
        i64::MIN,
        i64::MAX,
        0,
        800_000_000_000_000,
        -946_684_800_000_000,
        9_223_371_331_200_000_000,
        8_209_320_192_000_000_000,
        -8_335_548_000_000_000_000,
        -211_813_488_000_000_000,
    ]);
    prop_oneof![
        any::<i64>(),
        (ends.clone(), -3i64..=3).prop_map(|(end, beside)| end.saturating_add(beside)),
        (ends, -5_000_000i64..5_000_000).prop_map(|(end, beside)| end.saturating_add(beside)),
        (0i64..1_000_000_000, -1i64..=1).prop_map(|(second, beside)| second * 1_000_000 + beside),
    ]
}

fn account() -> impl Strategy<Value = Account> {
    let banned_before =
        instant().prop_map(|since| Account::Active(Span { since: Some(Instant(since)), until: None }));
    prop_oneof![
        1 => Just(Account::Unknown),
        1 => Just(Account::Disabled),
        2 => Just(Account::ACTIVE),
        2 => banned_before,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_text_is_read_as_the_server_reads_it(text in text_id()) {
        check_text_id(&text);
    }

    #[test]
    fn a_text_that_is_too_long_for_an_index_has_a_digest_for_its_key(byte in any::<u8>(), length in 1000usize..1200) {
        check_text_id(&vec![byte; length]);
    }

    #[test]
    fn an_integer_is_an_id_where_it_fits(int in prop_oneof![any::<i64>(), -70_000i64..70_000, instant()]) {
        check_int_id(int);
    }

    #[test]
    fn a_uuid_is_an_id_of_a_uuid_or_text_column(uuid in any::<[u8; 16]>()) {
        check_uuid_id(uuid);
    }

    #[test]
    fn a_stamp_is_past_the_clock_and_the_old_epoch(
        now in instant(),
        margin in prop_oneof![Just(0i32), 0..=86_400_000i32],
        old in proptest::option::of(instant()),
    ) {
        check_stamp(now, margin, old);
    }

    #[test]
    fn stamps_rise_strictly(clocks in prop::collection::vec(instant(), 1..20), margin in 0..=86_400_000i32) {
        let mut last = None;
        for now in clocks {
            last = check_stamp(now, margin, last).or(last);
            prop_assert!(last.is_none_or(|last| last == i64::MAX || last.rem_euclid(1_000) == 0));
        }
    }

    #[test]
    fn a_verdict_is_what_the_table_says(
        account in account(),
        epoch in proptest::option::of(instant()),
        login in proptest::option::of(instant()),
        oldest in proptest::option::of(instant()),
        latest in instant(),
        given_out in instant(),
    ) {
        let ahead = [latest, given_out];
        check_verdict(account, epoch, login, oldest, ahead);
        // Equal values are the ones that decide.
        check_verdict(account, epoch, epoch, oldest, ahead);
        check_verdict(account, epoch, Some(latest), oldest, ahead);
        check_verdict(account, Some(latest), login, oldest, ahead);
        check_verdict(account, epoch, oldest, oldest, ahead);
        check_verdict(account, Some(given_out), Some(given_out), oldest, ahead);
    }
}
