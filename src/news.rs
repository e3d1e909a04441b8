//! What other backends, and this one, have changed since: PostgreSQL's relation cache invalidations carry
//! the news.
//!
//! DDL on a guarded table sends one by itself. A change of the guards' rows sends one for their table, a stamp of a
//! guard one for a relation that is there for that alone, and a stamp of a user one of many. The messages
//! are transactional: they reach the backend that made the change at its next command, others when the change commits and before COMMIT returns, and standbys with the commit's
//! WAL record (PostgreSQL source, src/backend/utils/cache/inval.c).

use crate::planted::{self, Fault};
use pgrx::pg_sys::{self, Oid};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::c_int;

/// A stamp of one user is told of by one of so many messages, so that a backend forgets a thousandth of what it
/// knows, and not all.
const BUCKETS: usize = 1000;
/// Their messages are for relations that there are none of: PostgreSQL keeps these OIDs free for patches in
/// development (manual, section "System Catalog Initial Data", on OID assignment). A relation that had one would
/// be read from the catalogs once more, and no harm done.
const FIRST_BUCKET: u32 = 8000;
/// Who stamps more of them in one transaction tells of all.
const MOST_TOLD: usize = 100;

/// Which of the messages tells of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket(u16);

impl Bucket {
    /// By the key of the user's epoch. For ever the same (FNV-1a): backends with another version of the library may
    /// run beside this one while it is upgraded.
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

/// How much has become known by now. What was read under one generation holds while that is the
/// current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    /// That of what was never read.
    pub const NONE: Generation = Generation(u64::MAX);
}

/// A bucket, and the generation that something of it was read in: in one word, so that what is kept is small.
#[derive(Clone, Copy)]
pub struct Mark(u64);

impl Mark {
    /// Generations are counted one by one, so they do not get to where the bucket begins.
    const BUCKET_SHIFT: u32 = 48;

    /// Of what was read of this bucket in this generation.
    pub fn new(Bucket(bucket): Bucket, Generation(generation): Generation) -> Mark {
        Mark((u64::from(bucket) << Mark::BUCKET_SHIFT) | generation)
    }

    /// Whether nothing of the bucket has changed since.
    #[inline]
    pub fn is_current(self) -> bool {
        let bucket = Bucket((self.0 >> Mark::BUCKET_SHIFT) as u16);
        self.0 == Mark::new(bucket, of_user(bucket)).0
    }
}

thread_local! {
    /// The relations that tell of guards.
    static GUARD_RELATIONS: RefCell<HashSet<Oid>> = RefCell::default();
    /// The relation that tells of stamps.
    static STAMP_RELATION: Cell<Oid> = const { Cell::new(pg_sys::InvalidOid) };
    static COUNTS: Counts = const {
        Counts { of_guards: Cell::new(0), of_stamps: Cell::new(0), of_users: [const { Cell::new(0) }; BUCKETS] }
    };
    static TOLD: RefCell<Told> = const {
        RefCell::new(Told { transaction: 0, subtransaction: 0, all: false, notified: false, buckets: Vec::new() })
    };
}

/// How many messages have come. In one place, since each call looks there.
struct Counts {
    of_guards: Cell<u64>,
    of_stamps: Cell<u64>,
    of_users: [Cell<u64>; BUCKETS],
}

impl Counts {
    fn note_stamps(&self) {
        self.of_stamps.set(self.of_stamps.get() + 1);
    }
}

/// What a subtransaction has told of already.
struct Told {
    transaction: u64,
    subtransaction: pg_sys::SubTransactionId,
    all: bool,
    notified: bool,
    buckets: Vec<Bucket>,
}

impl Told {
    /// Starts anew in another subtransaction: what one tells is taken back with it.
    fn here(&mut self) -> &mut Told {
        // SAFETY: we are in a transaction that is about to write.
        let transaction = unsafe { pg_sys::GetTopFullTransactionId() }.value;
        // SAFETY: as above.
        let subtransaction = unsafe { pg_sys::GetCurrentSubTransactionId() };
        if (self.transaction, self.subtransaction) != (transaction, subtransaction) {
            *self = Told {
                transaction,
                subtransaction,
                all: false,
                notified: false,
                buckets: Vec::new(),
            };
        }
        self
    }
}

/// Has PostgreSQL report invalidations. Called once, when the library is loaded.
pub fn listen() {
    // SAFETY: the callback is a static function, and the library is never unloaded.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_invalidation), pg_sys::Datum::from(0)) };
    // SAFETY: as above.
    unsafe {
        pg_sys::CacheRegisterSyscacheCallback(
            pg_sys::SysCacheIdentifier::NAMESPACEOID as c_int,
            Some(on_schema_change),
            pg_sys::Datum::from(0),
        );
    }
}

/// A schema that is renamed takes its tables to another name without a word of each.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_schema_change(_arg: pg_sys::Datum, _cache: c_int, _hash: u32) {
    note_guards();
}

/// Runs inside PostgreSQL's message handling, where nothing may be looked up: it only takes note.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_invalidation(_arg: pg_sys::Datum, relid: Oid) {
    let tells_of_guards = relid == pg_sys::InvalidOid
        || GUARD_RELATIONS
            .with(|watched| watched.try_borrow().map_or(true, |watched| watched.contains(&relid)));
    if tells_of_guards {
        note_guards();
    } else if relid == STAMP_RELATION.get() {
        COUNTS.with(Counts::note_stamps);
    } else if let Some(bucket) = Bucket::of_oid(relid) {
        COUNTS.with(|counts| {
            let of_user = &counts.of_users[usize::from(bucket.0)];
            of_user.set(of_user.get() + 1);
        });
    }
}

/// What is known of stamps may be so only by what is known of guards.
fn note_guards() {
    COUNTS.with(|counts| {
        counts.of_guards.set(counts.of_guards.get() + 1);
        counts.note_stamps();
    });
}

/// Counts invalidations of these relations as news of guards.
pub fn watch_guards(relids: impl IntoIterator<Item = Oid>) {
    GUARD_RELATIONS.with_borrow_mut(|watched| watched.extend(relids));
}

/// Counts invalidations of this relation as news of stamps.
pub fn watch_stamps(relid: Oid) {
    STAMP_RELATION.set(relid);
}

/// Takes in what others have committed.
pub fn accept() {
    // SAFETY: legal wherever a query may run.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}

/// The same where no frame between here and PostgreSQL has anything to clean up, nor catches what unwinds: what
/// this raises goes straight to PostgreSQL.
#[inline(always)]
pub fn accept_unguarded() {
    unsafe extern "C-unwind" {
        fn AcceptInvalidationMessages();
    }
    if planted::has(Fault::NewsNotAccepted) {
        return;
    }
    // SAFETY: declared as in utils/inval.h; legal wherever a query may run; frames without destructors may be
    // jumped over (RFC 2945 of Rust, "plain old frames").
    unsafe { AcceptInvalidationMessages() };
}

/// Rises when a guard may have changed.
pub fn of_guards() -> Generation {
    Generation(COUNTS.with(|counts| counts.of_guards.get()))
}

/// Rises when a guard, its epoch, or very many epochs may have changed.
pub fn of_stamps() -> Generation {
    Generation(COUNTS.with(|counts| counts.of_stamps.get()))
}

/// Rises when that does, or the epoch of a user of this bucket may have changed.
#[inline]
pub fn of_user(bucket: Bucket) -> Generation {
    // Both only rise, so that their sum stays the same only if both do.
    Generation(
        COUNTS.with(|counts| counts.of_stamps.get() + counts.of_users[usize::from(bucket.0)].get()),
    )
}

/// Has every backend that knows epochs forget them, when the current transaction commits, and this one at once. One
/// message in each subtransaction is enough: a bulk statement must not flood the queue.
pub fn tell_of_all(relid: Oid) {
    COUNTS.with(Counts::note_stamps);
    TOLD.with_borrow_mut(|told| {
        let told = told.here();
        if !told.all && relid != pg_sys::InvalidOid {
            told.all = true;
            invalidate(relid);
        }
    });
}

/// The same of one user's epoch; `relid` is for where there are very many.
pub fn tell_of_user(bucket: Bucket, relid: Oid) {
    let are_many = TOLD.with_borrow_mut(|told| {
        let told = told.here();
        if told.all {
            return false;
        }
        if !told.buckets.contains(&bucket) {
            told.buckets.push(bucket);
            invalidate(bucket.oid());
        }
        told.buckets.len() > MOST_TOLD
    });
    if are_many {
        tell_of_all(relid);
    }
}

/// Whether this is the first notice that the subtransaction gives to those who listen.
pub fn is_first_notice() -> bool {
    TOLD.with_borrow_mut(|told| !std::mem::replace(&mut told.here().notified, true))
}

/// Sends a message for a relation that need not be there.
fn invalidate(relid: Oid) {
    let mut class = pg_sys::FormData_pg_class::default();
    let mut relation =
        pg_sys::RelationData { rd_id: relid, rd_rel: &raw mut class, ..Default::default() };
    // SAFETY: reads the OID, and whether the relation is shared among databases, which it is not.
    unsafe { pg_sys::CacheInvalidateRelcache(&raw mut relation) };
}
