//! The epochs of active accounts that this backend has read, so that a call need not read them
//! again: a hit costs some 30 ns, a read some 5 us.
//!
//! An entry holds while no guard and no epoch of its user has been invalidated since it was read.
//! Whatever makes a cached account unknown or disabled stamps it, where the guard is armed; and
//! what disarms a guard invalidates it, too. So only answers of armed guards are kept, and only of
//! accounts that are active.
//!
//! A transaction that has written reads for itself: its own changes are not sent yet.

use super::generations::{Bucket, EntryVersion, Generation, epoch_generation, user_generation};
use crate::catalog::guard::Guard;
use crate::catalog::policy::Policy;
use crate::core::epoch::{Epoch, Instant};
use crate::core::status::ActiveWhen;
use crate::core::user_id::{IdType, UserId};
use crate::fault_injection::{self, Fault};
use crate::pg::noguard::has_written;
use crate::settings;
use foldhash::quality::RandomState;
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;

/// Longer texts are read each time, so that entries have a size.
const LONGEST_TEXT: usize = 64;

thread_local! {
    /// Never dropped: that would have each call ask whether it has been.
    static CACHE: ManuallyDrop<RefCell<Cache>> =
        const { ManuallyDrop::new(RefCell::new(Cache::new(Generation::NONE))) };
}

struct Cache {
    /// When what is known of the guards and policies held.
    generation: Generation,
    policy: Policy,
    /// The default guard's table.
    default: Option<Oid>,
    /// A few: they are found by looking through them.
    guards: Vec<CachedGuard>,
    /// How many epochs there are in all.
    entries: usize,
}

/// What is kept of one guard.
struct CachedGuard {
    relid: Oid,
    id_type: IdType,
    /// Whether accounts expire.
    is_expiring: bool,
    guard_epoch: Option<Epoch>,
    /// How long a session may last, in microseconds.
    max_session_age: Option<i64>,
    epochs: Epochs<CachedEpoch>,
    /// Of accounts that expire.
    expiring: Epochs<ExpiringEpoch>,
}

/// What is known of an active account.
pub struct CachedAccount {
    /// The greater of its own epoch and the guard's.
    pub epoch: Option<Epoch>,
    /// When the account expires.
    pub until: Option<Instant>,
    /// How long a session may last, in microseconds.
    pub max_session_age: Option<i64>,
    /// The policies that held when it was read, and still hold.
    pub policy: Policy,
}

/// The greater of each user's epoch and the guard's, by id. The hash has a random seed: who chooses
/// ids cannot choose collisions. Its low bits are as good as the others, also for ids that are
/// alike.
enum Epochs<E> {
    Ints(HashMap<i64, E, RandomState>),
    Uuids(HashMap<[u8; 16], E, RandomState>),
    Texts(HashMap<Box<[u8]>, E, RandomState>),
}

/// Small, so that the processor's own caches hold many.
#[derive(Clone, Copy)]
struct CachedEpoch {
    epoch: Instant,
    version: EntryVersion,
}

/// Few guards have accounts that expire, so the others' entries stay small.
#[derive(Clone, Copy)]
struct ExpiringEpoch {
    cached: CachedEpoch,
    until: Instant,
}

impl CachedEpoch {
    /// Not a timestamp of PostgreSQL's, which end at the infinities.
    const NO_EPOCH: Instant = Instant(i64::MIN + 1);

    fn new(epoch: Option<Epoch>, version: EntryVersion) -> CachedEpoch {
        CachedEpoch { epoch: epoch.map_or(CachedEpoch::NO_EPOCH, |Epoch(epoch)| epoch), version }
    }

    /// What was read, if it holds still.
    fn epoch(self) -> Option<Option<Epoch>> {
        let epoch = (self.epoch != CachedEpoch::NO_EPOCH).then_some(Epoch(self.epoch));
        self.version.is_current().then_some(epoch)
    }
}

impl<E: Copy> Epochs<E> {
    fn of(id_type: IdType) -> Self {
        match id_type {
            IdType::Int2 | IdType::Int4 | IdType::Int8 => Epochs::Ints(HashMap::default()),
            IdType::Uuid => Epochs::Uuids(HashMap::default()),
            IdType::Text => Epochs::Texts(HashMap::default()),
        }
    }

    fn get(&self, id: &UserId) -> Option<E> {
        match (self, id) {
            (Epochs::Ints(epochs), UserId::Int(id)) => epochs.get(id),
            (Epochs::Uuids(epochs), UserId::Uuid(id)) => epochs.get(id),
            (Epochs::Texts(epochs), UserId::Text(id)) if id.len() <= LONGEST_TEXT => {
                epochs.get(&**id)
            }
            _ => None,
        }
        .copied()
    }

    /// The memory stays: they are soon as many again.
    fn clear(&mut self) {
        match self {
            Epochs::Ints(epochs) => epochs.clear(),
            Epochs::Uuids(epochs) => epochs.clear(),
            Epochs::Texts(epochs) => epochs.clear(),
        }
    }

    /// Keeps an entry, and returns whether it is one more.
    fn insert(&mut self, id: UserId, entry: E) -> bool {
        match (self, id) {
            (Epochs::Ints(epochs), UserId::Int(id)) => epochs.insert(id, entry).is_none(),
            (Epochs::Uuids(epochs), UserId::Uuid(id)) => epochs.insert(id, entry).is_none(),
            (Epochs::Texts(epochs), UserId::Text(id)) if id.len() <= LONGEST_TEXT => {
                epochs.insert(id.into_owned().into_boxed_slice(), entry).is_none()
            }
            _ => false,
        }
    }
}

impl CachedGuard {
    fn new(guard: &Guard, guard_epoch: Option<Epoch>) -> CachedGuard {
        let id_type = guard.columns.id.id_type;
        CachedGuard {
            relid: guard.relid,
            id_type,
            is_expiring: guard.columns.status.active_when == ActiveWhen::Future,
            guard_epoch,
            max_session_age: guard.max_session_age,
            epochs: Epochs::of(id_type),
            expiring: Epochs::of(id_type),
        }
    }

    /// The epoch of a user, and when the account expires.
    #[inline]
    fn get(&self, id: &UserId) -> Option<(Option<Epoch>, Option<Instant>)> {
        let expiring = || {
            let known = self.expiring.get(id)?;
            Some((known.cached.epoch()?, Some(known.until)))
        };
        let lasting = || Some((self.epochs.get(id)?.epoch()?, None));
        match self.is_expiring {
            true => expiring().or_else(lasting),
            false => lasting(),
        }
    }

    /// Keeps an entry, and returns whether it is one more.
    fn insert(&mut self, id: UserId, cached: CachedEpoch, until: Option<Instant>) -> bool {
        match until {
            None => self.epochs.insert(id, cached),
            Some(until) => self.expiring.insert(id, ExpiringEpoch { cached, until }),
        }
    }
}

impl Cache {
    const fn new(generation: Generation) -> Cache {
        Cache { generation, policy: Policy::DEFAULT, default: None, guards: Vec::new(), entries: 0 }
    }

    fn guard(&self, relid: Oid) -> Option<&CachedGuard> {
        self.guards.iter().find(|guard| guard.relid == relid)
    }

    /// Drops what does not hold any more, and every user if there is no room for one more.
    fn make_room(&mut self, generation: Generation, capacity: usize) {
        if self.generation != generation {
            *self = Cache::new(generation);
        } else if self.entries >= capacity {
            for guard in &mut self.guards {
                guard.epochs.clear();
                guard.expiring.clear();
            }
            self.entries = 0;
        }
    }
}

/// What is known of a user, if the account is known to be active, by the guard of the table that is
/// named, or by the default one. Invalidations must have been accepted.
#[inline]
pub fn active_account(users: Option<Oid>, id: &UserId) -> Option<CachedAccount> {
    CACHE.with(|cache| {
        let cache = cache.borrow();
        // The entry's version covers guard and policies, too.
        if has_written() {
            return None;
        }
        let guard = cache.guard(users.or(cache.default)?)?;
        // The caller's type is nearly always the column's.
        let in_column = || guard.get(&id.clone().in_column(guard.id_type)?);
        let (epoch, until) = guard.get(id).or_else(in_column)?;
        let max_session_age = guard.max_session_age;
        Some(CachedAccount { epoch, until, max_session_age, policy: cache.policy })
    })
}

/// The guard's own epoch, if it is known. Invalidations must have been accepted.
pub fn guard_epoch(relid: Oid) -> Option<Option<Epoch>> {
    CACHE.with(|cache| {
        let cache = cache.borrow();
        let is_current = cache.generation == epoch_generation() && !has_written();
        cache.guard(relid).filter(|_| is_current).map(|guard| guard.guard_epoch)
    })
}

/// An active account, with what was read of it.
pub struct NewEntry<'a> {
    /// Its id, as the column holds it.
    pub id: UserId<'a>,
    /// The greater of its own epoch and the guard's.
    pub epoch: Option<Epoch>,
    /// When the account expires.
    pub until: Option<Instant>,
    /// The guard's.
    pub guard_epoch: Option<Epoch>,
    /// Which of the messages stands for it.
    pub bucket: Bucket,
    /// Its generation when the reading began.
    pub generation: Generation,
}

/// Keeps what was read, unless it may have been invalidated while it was read.
pub fn keep(guard: &Guard, policy: Policy, is_default: bool, new: NewEntry) {
    let capacity = settings::cache_entries();
    let now = user_generation(new.bucket);
    let holds = new.generation == now || fault_injection::has(Fault::OutdatedKept);
    if capacity == 0 {
        CACHE.with(|cache| cache.replace(Cache::new(Generation::NONE)));
    }
    if capacity == 0 || !holds || !guard.is_sound() || has_written() {
        return;
    }
    CACHE.with(|cache| {
        let mut cache = cache.borrow_mut();
        let entry = CachedEpoch::new(new.epoch, EntryVersion::new(new.bucket, now));
        cache.make_room(epoch_generation(), capacity);
        cache.policy = policy;
        if is_default {
            cache.default = Some(guard.relid);
        }
        if cache.guard(guard.relid).is_none() {
            cache.guards.push(CachedGuard::new(guard, new.guard_epoch));
        }
        let cached = cache.guards.iter_mut().find(|cached| cached.relid == guard.relid);
        let is_more = cached.is_some_and(|cached| cached.insert(new.id, entry, new.until));
        cache.entries += usize::from(is_more);
    });
}

#[cfg(test)]
mod tests {
    use super::{CachedEpoch, Epochs};
    use crate::core::user_id::IdType;
    use std::collections::HashSet;
    use std::hash::{BuildHasher, Hash};

    const IDS: u64 = 60_000;

    fn hash(epochs: &Epochs<CachedEpoch>, id: impl Hash) -> u64 {
        match epochs {
            Epochs::Ints(epochs) => epochs.hasher().hash_one(id),
            Epochs::Uuids(epochs) => epochs.hasher().hash_one(id),
            Epochs::Texts(epochs) => epochs.hasher().hash_one(id),
        }
    }

    /// How many of 131,072 places the ids take: some 48,000, if nothing makes them collide.
    fn places<I: Hash>(id_type: IdType, id: impl Fn(u64) -> I) -> usize {
        let epochs = Epochs::of(id_type);
        (0..IDS).map(|n| hash(&epochs, id(n)) % (1 << 17)).collect::<HashSet<_>>().len()
    }

    fn uuid(first: u64, last: u64) -> [u8; 16] {
        (u128::from(first) << 64 | u128::from(last)).to_be_bytes()
    }

    #[test]
    fn ids_that_are_alike_do_not_collide() {
        assert!(places(IdType::Uuid, |n| uuid(42, n)) > 40_000);
        assert!(places(IdType::Uuid, |n| uuid(42, n << 48)) > 40_000);
        assert!(places(IdType::Uuid, |n| uuid(n, 42)) > 40_000);
        assert!(places(IdType::Uuid, |n| uuid(n, n)) > 40_000);
        assert!(places(IdType::Int8, |n| n << 32) > 40_000);
        assert!(places(IdType::Text, |n| format!("{n:032}").into_bytes()) > 40_000);
    }

    #[test]
    fn which_ids_collide_is_another_thing_in_each_cache() {
        for id_type in [IdType::Int8, IdType::Uuid, IdType::Text] {
            let [one, other] = [Epochs::of(id_type), Epochs::of(id_type)];
            assert!((0..IDS).any(|n| hash(&one, n) != hash(&other, n)));
        }
    }
}
