#![no_main]

use libfuzzer_sys::fuzz_target;
use pg_session_guard_fuzz::{check_int_id, check_text_id, check_uuid_id};

fuzz_target!(|text: &[u8]| {
    check_text_id(text);
    if let Some(int) = text.first_chunk() {
        check_int_id(i64::from_le_bytes(*int));
    }
    if let Some(uuid) = text.first_chunk() {
        check_uuid_id(*uuid);
    }
});
