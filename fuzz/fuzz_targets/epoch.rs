#![no_main]

use libfuzzer_sys::fuzz_target;
use pg_session_guard_fuzz::check_stamp;

fuzz_target!(|input: (i64, u32, Option<i64>)| {
    let (now, margin, old) = input;
    // The setting's range: up to a day.
    let _ = check_stamp(now, (margin % 86_400_001) as i32, old);
});
