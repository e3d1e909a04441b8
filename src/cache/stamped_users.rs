//! Which users this transaction has stamped already, and why.
//!
//! A statement may change many rows of one user. One stamp for each reason is enough, as long as
//! every login that was given out until now lies before the epoch. A stamp that is undone with its
//! savepoint does not count.

use crate::core::epoch::Epoch;
use crate::pg::server::{Subtransaction, full_transaction_id};
use foldhash::fast::RandomState;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// Some 600 kB. A transaction that stamps more users starts to forget: then a user may be stamped
/// again.
const MAX_STAMPS: usize = 10_000;

#[derive(Default)]
struct StampedUsers {
    transaction: u64,
    stamps: HashMap<Fingerprint, Stamp, RandomState>,
    seeds: [RandomState; 2],
}

/// Of a guard, a user and a reason: texts of users may be large.
type Fingerprint = [u64; 2];

#[derive(Clone, Copy)]
struct Stamp {
    made_in: Subtransaction,
    epoch: Epoch,
}

thread_local! {
    static STAMPED: RefCell<StampedUsers> = RefCell::default();
}

impl StampedUsers {
    fn current(&mut self) -> &mut StampedUsers {
        let transaction = full_transaction_id();
        if self.transaction != transaction {
            self.transaction = transaction;
            self.stamps.clear();
        }
        self
    }

    fn fingerprint(&self, guard: &str, key: &[u8], reason: [&[u8]; 2]) -> Fingerprint {
        let [a, b] = &self.seeds;
        [a.hash_one((guard, key, reason)), b.hash_one((guard, key, reason))]
    }
}

/// A login time was given out in this transaction, at an epoch that it has raised itself: every
/// later stamp counts again.
pub fn forget_all() {
    STAMPED.with_borrow_mut(|stamped| stamped.stamps.clear());
}

/// The epoch that this transaction has raised the user's to for this reason.
pub fn find(guard: &str, key: &[u8], reason: [&[u8]; 2]) -> Option<Epoch> {
    STAMPED.with_borrow_mut(|stamped| {
        let stamped = stamped.current();
        let fingerprint = stamped.fingerprint(guard, key, reason);
        let stamp = stamped.stamps.get(&fingerprint)?;
        stamp.made_in.counts().then_some(stamp.epoch)
    })
}

/// Notes a stamp.
pub fn note(guard: &str, key: &[u8], reason: [&[u8]; 2], epoch: Epoch) {
    STAMPED.with_borrow_mut(|stamped| {
        let stamped = stamped.current();
        if stamped.stamps.len() >= MAX_STAMPS {
            stamped.stamps.clear();
        }
        let fingerprint = stamped.fingerprint(guard, key, reason);
        let made_in = Subtransaction::current();
        stamped.stamps.insert(fingerprint, Stamp { made_in, epoch });
    });
}
