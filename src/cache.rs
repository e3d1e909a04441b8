//! What this backend has read of active accounts, so that it need not be read at each request: their
//! epochs.
//!
//! An entry holds while no guard and no epoch of its user has changed since it was read, as [`news`]
//! tells. Whatever makes a cached account unknown or disabled stamps it, where the guard is armed; and what disarms a guard is news, too. So only answers of armed guards are kept, and only what says
//! that an account is active.
//!
//! A transaction that has written reads for itself: its own changes are nobody's news yet.

use crate::epoch::{Epoch, Instant};
use crate::guard::Guard;
use crate::news::{self, Bucket, Generation, Mark};
use crate::planted::{self, Fault};
use crate::settings;
use crate::unguarded::has_written;
use crate::user_id::{IdType, UserId};
use pgrx::pg_sys::Oid;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::mem::ManuallyDrop;

/// Longer texts are read each time, so that entries have a size.
const LONGEST_TEXT: usize = 64;

thread_local! {
    /// Never dropped: that would have each call ask whether it has been.
    static CACHE: ManuallyDrop<RefCell<Cache>> =
        const { ManuallyDrop::new(RefCell::new(Cache::new(Generation::NONE))) };
}

struct Cache {
    /// When what is known of the guards held.
    generation: Generation,
    /// The guard that calls mean which name none.
    default: Option<Oid>,
    /// A few: they are found by looking through them.
    guards: Vec<Answers>,
    /// How many epochs there are in all.
    entries: usize,
}

/// What is known of one guard.
struct Answers {
    relid: Oid,
    id_type: IdType,
    /// The epoch of everybody whom it guards.
    of_all: Option<Epoch>,
    /// How long a session may last, in microseconds.
    max_session_age: Option<i64>,
    epochs: Epochs,
}

/// What is known of an active account.
pub struct Known {
    /// The greater of its own epoch and the guard's.
    pub epoch: Option<Epoch>,
    /// How long a session may last, in microseconds.
    pub max_session_age: Option<i64>,
}

/// The greater of each user's epoch and the guard's, by id.
enum Epochs {
    Ints(FxHashMap<i64, Entry>),
    Uuids(FxHashMap<[u8; 16], Entry>),
    Texts(FxHashMap<Box<[u8]>, Entry>),
}

/// Small, so that the processor's own caches hold many.
#[derive(Clone, Copy)]
struct Entry {
    epoch: Instant,
    since: Mark,
}

impl Entry {
    /// No timestamp of PostgreSQL's, which end at the infinities.
    const NO_EPOCH: Instant = Instant(i64::MIN + 1);

    fn new(epoch: Option<Epoch>, since: Mark) -> Entry {
        Entry { epoch: epoch.map_or(Entry::NO_EPOCH, |Epoch(epoch)| epoch), since }
    }

    fn epoch(self) -> Option<Epoch> {
        (self.epoch != Entry::NO_EPOCH).then_some(Epoch(self.epoch))
    }
}

impl Epochs {
    fn of(id_type: IdType) -> Epochs {
        match id_type {
            IdType::Int2 | IdType::Int4 | IdType::Int8 => Epochs::Ints(FxHashMap::default()),
            IdType::Uuid => Epochs::Uuids(FxHashMap::default()),
            IdType::Text => Epochs::Texts(FxHashMap::default()),
        }
    }

    fn get(&self, id: &UserId) -> Option<Option<Epoch>> {
        let entry = match (self, id) {
            (Epochs::Ints(epochs), UserId::Int(id)) => epochs.get(id),
            (Epochs::Uuids(epochs), UserId::Uuid(id)) => epochs.get(id),
            (Epochs::Texts(epochs), UserId::Text(id)) => epochs.get(&**id),
            _ => None,
        };
        entry.filter(|entry| entry.since.is_current()).map(|entry| entry.epoch())
    }

    /// What was taken for them stays: they are soon as many again.
    fn clear(&mut self) {
        match self {
            Epochs::Ints(epochs) => epochs.clear(),
            Epochs::Uuids(epochs) => epochs.clear(),
            Epochs::Texts(epochs) => epochs.clear(),
        }
    }

    /// Keeps an entry, and tells whether it is one more.
    fn insert(&mut self, id: UserId, entry: Entry) -> bool {
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

impl Cache {
    const fn new(generation: Generation) -> Cache {
        Cache { generation, default: None, guards: Vec::new(), entries: 0 }
    }

    /// Whether it tells what a reading would tell now.
    fn is_current(&self) -> bool {
        self.generation == news::of_stamps() && !has_written()
    }

    fn of_guard(&self, relid: Oid) -> Option<&Answers> {
        self.guards.iter().find(|answers| answers.relid == relid)
    }

    /// Forgets what does not hold any more, and every user if there is no room for one more.
    fn make_room(&mut self, generation: Generation, capacity: usize) {
        if self.generation != generation {
            *self = Cache::new(generation);
        } else if self.entries >= capacity {
            self.guards.iter_mut().for_each(|answers| answers.epochs.clear());
            self.entries = 0;
        }
    }
}

/// What is known of a user, if the account is known to be active, by the guard that is named, or by the
/// default one. The news must have been taken in.
#[inline]
pub fn active_account(users: Option<Oid>, id: &UserId) -> Option<Known> {
    CACHE.with(|cache| {
        let cache = cache.borrow();
        // That nothing has changed since, the entry itself tells: of the guard, too.
        if has_written() || cache.entries > settings::cache_entries() {
            return None;
        }
        let answers = cache.of_guard(users.or(cache.default)?)?;
        // Mostly it is given as the column has it.
        let as_given = answers.epochs.get(id);
        let in_column = || answers.epochs.get(&id.clone().in_column(answers.id_type)?);
        let epoch = as_given.or_else(in_column)?;
        Some(Known { epoch, max_session_age: answers.max_session_age })
    })
}

/// The guard's own epoch, if it is known. The news must have been taken in.
pub fn epoch_of_all(guard: Oid) -> Option<Option<Epoch>> {
    CACHE.with(|cache| {
        let cache = cache.borrow();
        let answers = cache.of_guard(guard).filter(|_| cache.is_current())?;
        Some(answers.of_all)
    })
}

/// An active account, with what was read of it.
pub struct Reading<'a> {
    /// Its id, as the column holds it.
    pub id: UserId<'a>,
    /// The greater of its own epoch and the guard's.
    pub epoch: Option<Epoch>,
    /// The guard's.
    pub of_all: Option<Epoch>,
    /// Which of the messages tells of it.
    pub bucket: Bucket,
    /// Its generation when the reading began.
    pub since: Generation,
}

/// Keeps what was read, unless it may have been outdated while it was read.
pub fn keep(guard: &Guard, is_default: bool, reading: Reading) {
    let capacity = settings::cache_entries();
    let now = news::of_user(reading.bucket);
    let holds = reading.since == now || planted::has(Fault::OutdatedKept);
    if capacity == 0 {
        CACHE.with(|cache| cache.replace(Cache::new(Generation::NONE)));
    }
    if capacity == 0 || !holds || !guard.is_sound() || has_written() {
        return;
    }
    CACHE.with(|cache| {
        let mut cache = cache.borrow_mut();
        let entry = Entry::new(reading.epoch, Mark::new(reading.bucket, now));
        cache.make_room(news::of_stamps(), capacity);
        if is_default {
            cache.default = Some(guard.relid);
        }
        if cache.of_guard(guard.relid).is_none() {
            cache.guards.push(Answers {
                relid: guard.relid,
                id_type: guard.id.id_type,
                of_all: reading.of_all,
                max_session_age: guard.max_session_age,
                epochs: Epochs::of(guard.id.id_type),
            });
        }
        let answers = cache.guards.iter_mut().find(|answers| answers.relid == guard.relid);
        let is_more = answers.is_some_and(|answers| answers.epochs.insert(reading.id, entry));
        cache.entries += usize::from(is_more);
    });
}
