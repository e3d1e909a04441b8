//! The names that functions of the library had in 0.1.0, each for one overload. A catalog that has not been updated
//! yet goes on with them, and one that is restored by pg_upgrade cannot be made without. Of those of named guards the
//! new catalog makes use, too: a backend that has kept the old library reads the arguments by the name.

use crate::error::OrRaise;
use crate::registry;
use crate::session::CALLED_BY_CALL_INFO;
use pgrx::pg_sys::{Datum, FunctionCallInfo, Pg_finfo_record};

unsafe extern "C-unwind" {
    fn epoch_int_wrapper(call: FunctionCallInfo) -> Datum;
    fn epoch_text_wrapper(call: FunctionCallInfo) -> Datum;
    fn epoch_uuid_wrapper(call: FunctionCallInfo) -> Datum;
    fn session_valid_int(call: FunctionCallInfo) -> Datum;
    fn session_valid_text(call: FunctionCallInfo) -> Datum;
    fn session_valid_uuid(call: FunctionCallInfo) -> Datum;
    fn start_int_wrapper(call: FunctionCallInfo) -> Datum;
    fn start_text_wrapper(call: FunctionCallInfo) -> Datum;
    fn start_uuid_wrapper(call: FunctionCallInfo) -> Datum;
    fn verdict_int_wrapper(call: FunctionCallInfo) -> Datum;
    fn verdict_text_wrapper(call: FunctionCallInfo) -> Datum;
    fn verdict_uuid_wrapper(call: FunctionCallInfo) -> Datum;
}

macro_rules! formerly {
    ($($former:ident, $finfo:ident => $function:ident;)*) => { $(
        #[unsafe(no_mangle)]
        unsafe extern "C-unwind" fn $former(call: FunctionCallInfo) -> Datum {
            // SAFETY: declared for the same arguments by the catalog of 0.1.0.
            unsafe { $function(call) }
        }

        #[unsafe(no_mangle)]
        extern "C-unwind" fn $finfo() -> &'static Pg_finfo_record {
            &CALLED_BY_CALL_INFO
        }
    )* };
}

/// `attach` as 0.1.0 declares it, with one argument less.
#[unsafe(no_mangle)]
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn attach_wrapper(_call: FunctionCallInfo) -> Datum {
    registry::check_catalog().or_raise();
    Datum::null()
}

#[unsafe(no_mangle)]
extern "C-unwind" fn pg_finfo_attach_wrapper() -> &'static Pg_finfo_record {
    &CALLED_BY_CALL_INFO
}

formerly! {
    valid_int_wrapper, pg_finfo_valid_int_wrapper => session_valid_int;
    valid_int_of_wrapper, pg_finfo_valid_int_of_wrapper => session_valid_int;
    valid_int_utc_wrapper, pg_finfo_valid_int_utc_wrapper => session_valid_int;
    valid_int_utc_of_wrapper, pg_finfo_valid_int_utc_of_wrapper => session_valid_int;
    verdict_int_of_wrapper, pg_finfo_verdict_int_of_wrapper => verdict_int_wrapper;
    verdict_int_utc_wrapper, pg_finfo_verdict_int_utc_wrapper => verdict_int_wrapper;
    verdict_int_utc_of_wrapper, pg_finfo_verdict_int_utc_of_wrapper => verdict_int_wrapper;
    start_int_of_wrapper, pg_finfo_start_int_of_wrapper => start_int_wrapper;
    epoch_int_of_wrapper, pg_finfo_epoch_int_of_wrapper => epoch_int_wrapper;
    valid_uuid_wrapper, pg_finfo_valid_uuid_wrapper => session_valid_uuid;
    valid_uuid_of_wrapper, pg_finfo_valid_uuid_of_wrapper => session_valid_uuid;
    valid_uuid_utc_wrapper, pg_finfo_valid_uuid_utc_wrapper => session_valid_uuid;
    valid_uuid_utc_of_wrapper, pg_finfo_valid_uuid_utc_of_wrapper => session_valid_uuid;
    verdict_uuid_of_wrapper, pg_finfo_verdict_uuid_of_wrapper => verdict_uuid_wrapper;
    verdict_uuid_utc_wrapper, pg_finfo_verdict_uuid_utc_wrapper => verdict_uuid_wrapper;
    verdict_uuid_utc_of_wrapper, pg_finfo_verdict_uuid_utc_of_wrapper => verdict_uuid_wrapper;
    start_uuid_of_wrapper, pg_finfo_start_uuid_of_wrapper => start_uuid_wrapper;
    epoch_uuid_of_wrapper, pg_finfo_epoch_uuid_of_wrapper => epoch_uuid_wrapper;
    valid_text_wrapper, pg_finfo_valid_text_wrapper => session_valid_text;
    valid_text_of_wrapper, pg_finfo_valid_text_of_wrapper => session_valid_text;
    valid_text_utc_wrapper, pg_finfo_valid_text_utc_wrapper => session_valid_text;
    valid_text_utc_of_wrapper, pg_finfo_valid_text_utc_of_wrapper => session_valid_text;
    verdict_text_of_wrapper, pg_finfo_verdict_text_of_wrapper => verdict_text_wrapper;
    verdict_text_utc_wrapper, pg_finfo_verdict_text_utc_wrapper => verdict_text_wrapper;
    verdict_text_utc_of_wrapper, pg_finfo_verdict_text_utc_of_wrapper => verdict_text_wrapper;
    start_text_of_wrapper, pg_finfo_start_text_of_wrapper => start_text_wrapper;
    epoch_text_of_wrapper, pg_finfo_epoch_text_of_wrapper => epoch_text_wrapper;
}
