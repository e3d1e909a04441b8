//! The checker finds each fault that a build for tests can be made to have: one that finds nothing
//! is worth nothing. `PG_CONFIG` names a PostgreSQL with such a build, of the feature `fault_injection`.

use cluster::Cluster;
use histories::event::{Stamp, Subject, Whose};
use histories::form::Form;
use histories::judge::Violation;
use histories::run;
use histories::run::Report;
use histories::server::{self, Servers};
use std::time::Duration;

/// A history of this many seconds does not show every fault; as many as this do.
const LENGTH: Duration = Duration::from_secs(8);
const HISTORIES: u64 = 20;

/// More than there are accounts.
const ALL_KEPT: &str = "1000";
/// As many as half of the accounts: answers are read often, and kept long enough to be given again.
const HALF_KEPT: &str = "20";

fn history(cluster: &Cluster, fault: &str, cache_entries: &str, seed: u64) -> Report {
    let database = format!("guard_{fault}");
    let settings = [("session_guard.fault", fault), ("session_guard.cache_entries", cache_entries)];
    let servers = Servers::single(cluster);
    let form = Form::of_seed(seed);
    server::create_database(&servers, &database, form, "", &settings).unwrap();
    let report = run::run(&servers, &database, form, seed, LENGTH, run::Tables::LeftAlone)
        .unwrap_or_else(|error| panic!("{error:?}\n{}", cluster.end_of_log()));
    println!("{fault}: {report}");
    report
}

/// What was changed to stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Account,
    Role,
    Tokens,
}

fn sort(stamp: &Stamp) -> Sort {
    match stamp.whose {
        Whose::One(Subject::Token(_)) | Whose::AllTokens => Sort::Tokens,
        _ if stamp.what.contains("role") => Sort::Role,
        _ => Sort::Account,
    }
}

/// Those of the sorts of stamps of which no history finds that they left a login alive.
fn undiscovered(fault: &str, cache_entries: &str, sorts: &[Sort]) -> Vec<Sort> {
    let cluster = server::start(true);
    let mut sorts = sorts.to_vec();
    for seed in 1..=HISTORIES {
        if sorts.is_empty() {
            break;
        }
        let report = history(&cluster, fault, cache_entries, seed);
        for violation in &report.violations {
            if let Violation::Revived { stamp, .. } = violation {
                let found = sort(&report.history.stamps[*stamp]);
                sorts.retain(|sort| *sort != found);
            }
        }
    }
    sorts
}

fn refuses(fault: &str, cache_entries: &str) -> bool {
    let is_refused = |violation: &Violation| matches!(violation, Violation::Refused { .. });
    let cluster = server::start(true);
    (1..=HISTORIES)
        .any(|seed| history(&cluster, fault, cache_entries, seed).violations.iter().any(is_refused))
}

#[test]
fn a_stamp_taken_from_the_transactions_start_revives() {
    let sorts = [Sort::Account, Sort::Role, Sort::Tokens];
    assert_eq!(undiscovered("stamp_from_now", ALL_KEPT, &sorts), []);
}

#[test]
fn a_lookup_with_the_callers_snapshot_revives() {
    let sorts = [Sort::Account, Sort::Role, Sort::Tokens];
    assert_eq!(undiscovered("callers_snapshot", ALL_KEPT, &sorts), []);
}

#[test]
fn an_enable_without_a_stamp_revives() {
    assert_eq!(undiscovered("no_stamp_at_enable", ALL_KEPT, &[Sort::Account]), []);
}

#[test]
fn a_login_that_waits_for_nobody_survives() {
    assert_eq!(undiscovered("login_without_lock", ALL_KEPT, &[Sort::Account]), []);
}

#[test]
fn an_epoch_that_counts_as_before_itself_refuses() {
    assert!(refuses("epoch_inclusive", ALL_KEPT));
}

#[test]
fn a_cache_that_accepts_no_invalidations_revives() {
    assert_eq!(undiscovered("invalidations_not_accepted", ALL_KEPT, &[Sort::Account]), []);
}

#[test]
fn a_cache_that_keeps_what_was_outdated_while_it_was_read_revives() {
    assert_eq!(undiscovered("outdated_kept", HALF_KEPT, &[Sort::Account]), []);
}

#[test]
fn without_a_fault_nothing_is_found() {
    assert_eq!(history(&server::start(true), "none", ALL_KEPT, 1).violations, []);
}
