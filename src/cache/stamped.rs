//! What this transaction has stamped already, and why.
//!
//! A statement may change many rows of one user, and call for the same token many times. One stamp
//! is enough, and one line in the record for each reason, as long as every login that was given out
//! until now lies before the epoch. A stamp that is undone with its savepoint does not count.

use crate::core::epoch::Epoch;
use crate::pg::memory::ensure_available;
use crate::pg::server::{Subtransaction, full_transaction_id};
use foldhash::quality::RandomState;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Some 600 kB. A transaction that stamps more starts to forget: then it may stamp again.
const MAX_STAMPS: usize = 10_000;

#[derive(Default)]
struct StampedSubjects {
    transaction: u64,
    stamps: HashMap<Fingerprint, Stamp, RandomState>,
    seeds: [RandomState; 2],
}

/// Asked for before the table grows, so that the lack of it is an error: more than it ever takes.
const PIECE: usize = 1 << 20;

/// Of a subject, and of a subject and a reason: texts of users may be large.
type Fingerprint = [u64; 2];

#[derive(Clone, Copy)]
struct Stamp {
    made_in: Subtransaction,
    epoch: Epoch,
}

/// A stamp that this transaction has made.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The epoch that it has raised the subject's to.
    pub epoch: Epoch,
    /// Whether it was for this reason, too.
    pub has_reason: bool,
}

thread_local! {
    static STAMPED: RefCell<StampedSubjects> = RefCell::default();
}

impl StampedSubjects {
    fn current(&mut self) -> &mut StampedSubjects {
        let transaction = full_transaction_id();
        if self.transaction != transaction {
            self.transaction = transaction;
            self.stamps.clear();
        }
        self
    }

    fn fingerprint(&self, of: impl Hash) -> Fingerprint {
        self.seeds.each_ref().map(|seed| seed.hash_one(&of))
    }

    fn find(&self, fingerprint: Fingerprint) -> Option<Epoch> {
        let stamp = self.stamps.get(&fingerprint)?;
        stamp.made_in.counts().then_some(stamp.epoch)
    }
}

/// A login time was given out in this transaction, at an epoch that it has raised itself: every
/// later stamp counts again.
pub fn forget_all() {
    STAMPED.with_borrow_mut(|stamped| stamped.stamps.clear());
}

/// What this transaction has raised the subject's epoch to.
pub fn find(subject: impl Hash, reason: [&[u8]; 2]) -> Option<Found> {
    STAMPED.with_borrow_mut(|stamped| {
        let stamped = stamped.current();
        let epoch = stamped.find(stamped.fingerprint(&subject))?;
        let for_reason = stamped.find(stamped.fingerprint((&subject, reason)));
        Some(Found { epoch, has_reason: for_reason.is_some() })
    })
}

/// Notes a stamp.
pub fn note(subject: impl Hash, reason: [&[u8]; 2], epoch: Epoch) {
    STAMPED.with_borrow_mut(|stamped| {
        let stamped = stamped.current();
        if stamped.stamps.len() >= MAX_STAMPS {
            stamped.stamps.clear();
        }
        if stamped.stamps.len() + 2 > stamped.stamps.capacity() {
            ensure_available(PIECE);
        }
        let stamp = Stamp { made_in: Subtransaction::current(), epoch };
        for fingerprint in [stamped.fingerprint(&subject), stamped.fingerprint((&subject, reason))]
        {
            stamped.stamps.insert(fingerprint, stamp);
        }
    });
}
