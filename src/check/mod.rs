//! SQL: what an app asks at each request, and at login.

pub mod evaluate;
pub mod session_start;
pub mod session_valid;
pub mod session_verdict;
pub mod token_valid;
