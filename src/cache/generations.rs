//! Counts invalidations. What was read in one generation is valid while that generation is current.
//!
//! A change of the guards' rows, of a policy or of a guarded table is one of the guards; a stamp of
//! a guard sends an invalidation of a relation that exists for that alone; a stamp of a user one of
//! a thousand buckets, so that a backend drops a thousandth of what it keeps, and not all.

use crate::pg::invalidation::{self, Callbacks};
use crate::pg::server::Subtransaction;
use pgrx::pg_sys::{self, Oid};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;

const BUCKETS: usize = 1000;
/// The buckets' messages name relations that do not exist: PostgreSQL keeps these OIDs free for
/// patches in development (manual, section "System Catalog Initial Data", on OID assignment). A
/// relation that had one would be read from the catalogs once more, and no harm done.
const FIRST_BUCKET: u32 = 8000;
/// A transaction that stamps more users sends the one message for all.
const MAX_BUCKETS_QUEUED: usize = 100;

/// Which of the messages stands for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket(u16);

impl Bucket {
    /// By the key of the user's epoch. For ever the same (FNV-1a): backends with another version of
    /// the library may run beside this one while it is upgraded.
    pub fn of(key: &[u8]) -> Bucket {
        let hash = key.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        Bucket((hash % BUCKETS as u64) as u16)
    }

    fn oid(self) -> Oid {
        Oid::from(FIRST_BUCKET + u32::from(self.0))
    }

    fn of_oid(relid: Oid) -> Option<Bucket> {
        let number = relid.to_u32().checked_sub(FIRST_BUCKET)?;
        ((number as usize) < BUCKETS).then_some(Bucket(number as u16))
    }
}

/// How many invalidations of one kind have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    /// That of what was never read.
    pub const NONE: Generation = Generation(u64::MAX);
}

/// A bucket, and the generation that something of it was read in: in one word, so that what is kept
/// is small.
#[derive(Clone, Copy)]
pub struct EntryVersion(u64);

impl EntryVersion {
    /// Generations are counted one by one, so they do not get to where the bucket begins.
    const BUCKET_SHIFT: u32 = 48;

    /// Of what was read of this bucket in this generation.
    pub fn new(Bucket(bucket): Bucket, Generation(generation): Generation) -> EntryVersion {
        EntryVersion((u64::from(bucket) << EntryVersion::BUCKET_SHIFT) | generation)
    }

    /// Whether nothing of the bucket has changed since.
    #[inline]
    pub fn is_current(self) -> bool {
        let bucket = Bucket((self.0 >> EntryVersion::BUCKET_SHIFT) as u16);
        self.0 == EntryVersion::new(bucket, user_generation(bucket)).0
    }
}

thread_local! {
    /// The relations whose invalidations are ones of the guards.
    static GUARD_RELATIONS: RefCell<HashSet<Oid>> = RefCell::default();
    /// `session_guard.invalidation`
    static EPOCH_RELATION: Cell<Oid> = const { Cell::new(pg_sys::InvalidOid) };
    static COUNTS: Counts = const {
        Counts {
            guards: Cell::new(0),
            epochs: Cell::new(0),
            users: [const { Cell::new(0) }; BUCKETS],
        }
    };
    static QUEUED: RefCell<QueuedInvalidations> = const {
        RefCell::new(QueuedInvalidations { made_in: None, all: false, buckets: Vec::new() })
    };
}

/// In one place, since each call looks there.
struct Counts {
    guards: Cell<u64>,
    epochs: Cell<u64>,
    users: [Cell<u64>; BUCKETS],
}

impl Counts {
    fn count_epochs(&self) {
        self.epochs.set(self.epochs.get() + 1);
    }

    /// What is known of epochs may be so only by what is known of guards.
    fn count_guards(&self) {
        self.guards.set(self.guards.get() + 1);
        self.count_epochs();
    }
}

/// What a subtransaction has queued already. One message of a kind is enough: a bulk statement must
/// not flood the queue.
struct QueuedInvalidations {
    made_in: Option<Subtransaction>,
    all: bool,
    buckets: Vec<Bucket>,
}

impl QueuedInvalidations {
    /// Starts anew in another subtransaction: what one queues is taken back with it.
    fn current(&mut self) -> &mut QueuedInvalidations {
        let subtransaction = Some(Subtransaction::current());
        if self.made_in != subtransaction {
            self.made_in = subtransaction;
            self.all = false;
            self.buckets.clear();
        }
        self
    }
}

/// Has PostgreSQL report invalidations. Called once, when the library is loaded.
pub fn register_callbacks() {
    invalidation::register_callbacks(Callbacks {
        relation: on_relation_change,
        catalog: || COUNTS.with(Counts::count_guards),
    });
}

fn on_relation_change(relid: Oid) {
    let is_of_guards = relid == pg_sys::InvalidOid
        || GUARD_RELATIONS
            .with(|relations| relations.try_borrow().map_or(true, |all| all.contains(&relid)));
    if is_of_guards {
        COUNTS.with(Counts::count_guards);
    } else if relid == EPOCH_RELATION.get() {
        COUNTS.with(Counts::count_epochs);
    } else if let Some(bucket) = Bucket::of_oid(relid) {
        COUNTS.with(|counts| {
            let count = &counts.users[usize::from(bucket.0)];
            count.set(count.get() + 1);
        });
    }
}

/// Counts invalidations of these relations as ones of the guards.
pub fn track_guards(relids: impl IntoIterator<Item = Oid>) {
    GUARD_RELATIONS.with_borrow_mut(|relations| relations.extend(relids));
}

/// Counts invalidations of this relation as ones of all epochs.
pub fn track_epochs(relid: Oid) {
    EPOCH_RELATION.set(relid);
}

/// Rises when a guard may have changed.
pub fn guard_generation() -> Generation {
    Generation(COUNTS.with(|counts| counts.guards.get()))
}

/// Rises when a guard, its epoch, or very many epochs may have changed.
pub fn epoch_generation() -> Generation {
    Generation(COUNTS.with(|counts| counts.epochs.get()))
}

/// Rises when that does, or the epoch of a user of this bucket may have changed.
#[inline]
pub fn user_generation(bucket: Bucket) -> Generation {
    // Both only rise, so that their sum stays the same only if both do.
    Generation(
        COUNTS.with(|counts| counts.epochs.get() + counts.users[usize::from(bucket.0)].get()),
    )
}

/// Has every backend drop all epochs that it keeps, when the current transaction commits, and this
/// one at once.
pub fn invalidate_all(relid: Oid) {
    COUNTS.with(Counts::count_epochs);
    QUEUED.with_borrow_mut(|queued| {
        let queued = queued.current();
        if !std::mem::replace(&mut queued.all, true) {
            invalidation::send(relid);
        }
    });
}

/// The same of one user's epoch; `relid` is for where there are very many.
pub fn invalidate_user(bucket: Bucket, relid: Oid) {
    let are_many = QUEUED.with_borrow_mut(|queued| {
        let queued = queued.current();
        if queued.all {
            return false;
        }
        if !queued.buckets.contains(&bucket) {
            queued.buckets.push(bucket);
            invalidation::send(bucket.oid());
        }
        queued.buckets.len() > MAX_BUCKETS_QUEUED
    });
    if are_many {
        invalidate_all(relid);
    }
}
