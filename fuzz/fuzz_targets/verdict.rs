#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pg_session_guard_fuzz::check_verdict;
use pg_session_guard_fuzz::epoch::Instant;
use pg_session_guard_fuzz::status::{Account, Span};

#[derive(Arbitrary, Debug)]
enum Seen {
    Unknown,
    Disabled,
    Active(Option<i64>),
}

fuzz_target!(|input: (Seen, Option<i64>, Option<i64>, Option<i64>, [i64; 2])| {
    let (seen, epoch, login, oldest, ahead) = input;
    let account = match seen {
        Seen::Unknown => Account::Unknown,
        Seen::Disabled => Account::Disabled,
        Seen::Active(since) => {
            Account::Active(Span { since: since.map(Instant), until: None })
        }
    };
    check_verdict(account, epoch, login, oldest, ahead);
});
