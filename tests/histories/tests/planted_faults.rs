//! The checker finds each fault that a build for tests can be told to have: one that finds nothing
//! is worth nothing. The server is one with the feature `planted_faults`.

use histories::judge::Violation;
use histories::{run, server};
use std::time::Duration;

/// A history of this many seconds does not show every fault; as many as this do.
const LENGTH: Duration = Duration::from_secs(8);
const HISTORIES: u64 = 10;

/// More than there are accounts.
const ALL_KEPT: &str = "1000";
/// As many as half of the accounts: answers are read often, and kept long enough to be given again.
const HALF_KEPT: &str = "20";

fn violations(fault: &str, cache_entries: &str, seed: u64) -> Vec<Violation> {
    let database = format!("guard_{fault}");
    let settings =
        [("session_guard.planted_fault", fault), ("session_guard.cache_entries", cache_entries)];
    server::create_database(&database, &settings).unwrap();
    let report = run::run(&database, seed, LENGTH).unwrap();
    println!("{fault}: {report}");
    report.violations
}

fn revives(fault: &str, cache_entries: &str) -> bool {
    let is_revived = |violation: &Violation| matches!(violation, Violation::Revived { .. });
    (1..=HISTORIES).any(|seed| violations(fault, cache_entries, seed).iter().any(is_revived))
}

fn refuses(fault: &str, cache_entries: &str) -> bool {
    let is_refused = |violation: &Violation| matches!(violation, Violation::Refused { .. });
    (1..=HISTORIES).any(|seed| violations(fault, cache_entries, seed).iter().any(is_refused))
}

#[test]
fn a_stamp_taken_from_the_transactions_start_revives() {
    assert!(revives("stamp_from_now", ALL_KEPT));
}

#[test]
fn a_lookup_with_the_callers_snapshot_revives() {
    assert!(revives("callers_snapshot", ALL_KEPT));
}

#[test]
fn an_enable_without_a_stamp_revives() {
    assert!(revives("no_stamp_at_enable", ALL_KEPT));
}

#[test]
fn an_epoch_that_counts_as_before_itself_refuses() {
    assert!(refuses("epoch_inclusive", ALL_KEPT));
}

#[test]
fn a_cache_that_does_not_take_in_the_news_revives() {
    assert!(revives("news_not_accepted", ALL_KEPT));
}

#[test]
fn a_cache_that_keeps_what_was_outdated_while_it_was_read_revives() {
    assert!(revives("outdated_kept", HALF_KEPT));
}

#[test]
fn without_a_fault_nothing_is_found() {
    assert_eq!(violations("none", ALL_KEPT, 1), []);
}
