//! The checker finds each fault that a build for tests can be told to have: one that finds nothing
//! is worth nothing. The server is one with the feature `planted_faults`.

use histories::judge::Violation;
use histories::{run, server};
use std::time::Duration;

/// A history of this many seconds does not show every fault; as many as this do.
const LENGTH: Duration = Duration::from_secs(8);
const HISTORIES: u64 = 10;

fn first_violation(fault: &str, histories: u64) -> Option<Violation> {
    let database = format!("guard_{fault}");
    let settings = [("session_guard.planted_fault", fault)];
    (1..=histories).find_map(|seed| {
        server::create_database(&database, &settings).unwrap();
        let report = run::run(&database, seed, LENGTH).unwrap();
        println!("{fault}: {report}");
        report.violations.first().cloned()
    })
}

fn is_revived(violation: Option<Violation>) -> bool {
    matches!(violation, Some(Violation::Revived { .. }))
}

#[test]
fn a_stamp_taken_from_the_transactions_start_revives() {
    assert!(is_revived(first_violation("stamp_from_now", HISTORIES)));
}

#[test]
fn a_lookup_with_the_callers_snapshot_revives() {
    assert!(is_revived(first_violation("callers_snapshot", HISTORIES)));
}

#[test]
fn an_enable_without_a_stamp_revives() {
    assert!(is_revived(first_violation("no_stamp_at_enable", HISTORIES)));
}

#[test]
fn an_epoch_that_counts_as_before_itself_refuses() {
    let violation = first_violation("epoch_inclusive", HISTORIES);
    assert!(matches!(violation, Some(Violation::Refused { .. })));
}

#[test]
fn a_cache_that_does_not_take_in_the_news_revives() {
    assert!(is_revived(first_violation("news_not_accepted", HISTORIES)));
}

#[test]
fn a_cache_that_keeps_what_was_outdated_while_it_was_read_revives() {
    assert!(is_revived(first_violation("outdated_kept", HISTORIES)));
}

#[test]
fn without_a_fault_nothing_is_found() {
    assert_eq!(first_violation("none", 1), None);
}
