//! What this transaction has stamped, and what it is to stamp before it commits.

use super::deferred_event;
use crate::core::epoch::{Epoch, Instant};
use crate::pg::memory::ensure_available;
use crate::pg::server::Subtransaction;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// By the name of the guard: locks are taken in this order, so that no two transactions wait for
/// one another.
pub type PendingGuards = BTreeMap<String, PendingGuard>;

/// What is to be stamped of one guard.
#[derive(Default)]
pub struct PendingGuard {
    /// Of the whole guard: the stamps that were made, in their order.
    pub guard_stamps: Vec<GuardStamp>,
    /// Of users, because of related tables: by the key of the user's epoch, for the same reason.
    pub users: BTreeMap<Vec<u8>, UserStamp>,
    /// How much memory these take.
    pub bytes: usize,
    /// Of users, because their accounts expire later than they did.
    pub extended: Extended,
}

/// Accounts that were to expire at a time which has not passed, and are not any more. If that time
/// passes before COMMIT, they were not active meanwhile.
#[derive(Default)]
pub struct Extended {
    /// The times of each, by the key of the user's epoch.
    pub users: BTreeMap<Vec<u8>, FormerEnds>,
    /// Those of the accounts for whom there was no room.
    pub others: FormerEnds,
}

/// The times at which accounts were to expire, and the savepoint that put each off: every one is
/// earlier than those before it. A rollback takes the last ones, so no other can come to matter.
#[derive(Default)]
pub struct FormerEnds(Vec<(Subtransaction, Instant)>);

/// A stamp of a whole guard.
pub struct GuardStamp {
    /// The epoch that it raised the guard's to already; `None`: it is yet to be made.
    pub epoch: Option<Epoch>,
    /// Why.
    pub reason: [Vec<u8>; 2],
    /// If that is rolled back, the stamp is, too.
    pub made_in: Subtransaction,
}

/// A user whom this transaction is to stamp.
pub struct UserStamp {
    /// The related table's name.
    pub related: Rc<str>,
    /// If all that asked for it is rolled back, nothing is stamped.
    pub asked_in: Vec<Subtransaction>,
    /// Whether the key is that of the user's epoch, or may write the same id otherwise.
    pub is_canonical: bool,
}

const LONGEST_REASON: usize = 1000;

/// Of one guard. They cannot be stamped before COMMIT: two transactions would take their rows in
/// different orders.
const MAX_USERS: usize = 250_000;
/// The same in bytes, for keys that are long.
const MAX_BYTES: usize = 64 << 20;
/// What a user takes beside the key.
const USER_BYTES: usize = 200;
/// How many accounts are kept that expire later. Few transactions last until one would have.
const MAX_EXTENDED: usize = 10_000;
/// Memory is asked for in such pieces, so that the lack of it is an error.
const PIECE: usize = 1 << 20;

thread_local! {
    static HAS_STAMPED: Cell<bool> = const { Cell::new(false) };
    static PENDING: RefCell<PendingGuards> = const { RefCell::new(BTreeMap::new()) };
}

/// The transaction has raised an epoch.
pub fn note_stamp() {
    HAS_STAMPED.set(true);
}

/// Whether it has.
pub fn has_stamped() -> bool {
    HAS_STAMPED.get()
}

/// The transaction has raised a guard's epoch, which must hold for all logins until it commits; or
/// has it raised then.
pub fn add_guard(guard: &str, epoch: Option<Epoch>, reason: [&[u8]; 2]) {
    // What was said may be too large to be kept here: then the kind of reason is enough.
    let reason = match reason {
        [kind, more] if more.len() <= LONGEST_REASON => [kind.to_vec(), more.to_vec()],
        _ => [b"admin".to_vec(), Vec::new()],
    };
    deferred_event::queue();
    let stamp = GuardStamp { epoch, reason, made_in: Subtransaction::current() };
    PENDING.with_borrow_mut(|pending| pending.entry(guard.to_owned()).or_default().add(stamp));
}

/// The transaction has changed a row of a related table that belongs to this user. If there are too
/// many, the whole guard is to be stamped in their place.
pub fn add_user(
    guard: &str,
    key: Vec<u8>,
    is_canonical: bool,
    related: &Rc<str>,
    reason: [&[u8]; 2],
) {
    deferred_event::queue();
    let here = Subtransaction::current();
    PENDING.with_borrow_mut(|pending| {
        if !pending.contains_key(guard) {
            pending.insert(guard.to_owned(), PendingGuard::default());
        }
        let Some(pending) = pending.get_mut(guard) else { return };
        // What can be rolled back takes this with it.
        if pending.guard_stamps.iter().any(|stamp| stamp.epoch.is_none() && stamp.made_in.counts())
        {
            return;
        }
        let bytes = bytes_of(&key);
        let stamp = pending.users.entry(key).or_insert_with(|| {
            let is_first = pending.bytes == 0;
            if is_first || pending.bytes / PIECE != (pending.bytes + bytes) / PIECE {
                ensure_available(4 * PIECE);
            }
            pending.bytes += bytes;
            UserStamp { related: Rc::clone(related), asked_in: Vec::new(), is_canonical }
        });
        if stamp.asked_in.last() != Some(&here) {
            stamp.asked_in.push(here);
        }
        if pending.users.len() > MAX_USERS || pending.bytes > MAX_BYTES {
            let reason = reason.map(<[u8]>::to_vec);
            pending.add(GuardStamp { epoch: None, reason, made_in: here });
            // Who was asked for before this savepoint is still to be stamped if it is rolled back.
            let is_nested = Subtransaction::is_nested();
            pending.users.retain(|_, stamp| is_nested && stamp.asked_in[..] != [here]);
            pending.bytes = pending.users.keys().map(|key| bytes_of(key)).sum();
        }
    });
}

/// The transaction has put off the time at which this user's account expires.
pub fn add_extended(guard: &str, key: &[u8], end: Instant) {
    deferred_event::queue();
    PENDING.with_borrow_mut(|pending| {
        let Extended { users, others } = &mut pending.entry(guard.to_owned()).or_default().extended;
        let is_full = users.len() >= MAX_EXTENDED;
        match users.get_mut(key) {
            Some(ends) => ends.add(end),
            None if is_full => others.add(end),
            None => users.entry(key.to_owned()).or_default().add(end),
        }
    });
}

/// The same of users who are not remembered: the first of their times.
pub fn add_others_extended(guard: &str, end: Instant) {
    PENDING.with_borrow_mut(|pending| {
        pending.entry(guard.to_owned()).or_default().extended.others.add(end);
    });
}

fn bytes_of(key: &[u8]) -> usize {
    key.len() + USER_BYTES
}

impl PendingGuard {
    fn add(&mut self, stamp: GuardStamp) {
        // Of those of one savepoint the last is enough.
        self.guard_stamps.retain(|other| other.made_in != stamp.made_in);
        self.guard_stamps.push(stamp);
    }
}

impl FormerEnds {
    fn add(&mut self, end: Instant) {
        while self.0.pop_if(|(put_off_in, _)| !put_off_in.counts()).is_some() {}
        if self.0.last().is_none_or(|(_, first)| end < *first) {
            self.0.push((Subtransaction::current(), end));
        }
    }

    /// The first of them. `None`: all that put one off was rolled back.
    pub fn first(&self) -> Option<Instant> {
        self.0.iter().rfind(|(put_off_in, _)| put_off_in.counts()).map(|(_, end)| *end)
    }
}

/// Whether there may be something to stamp.
pub fn is_empty() -> bool {
    PENDING.with_borrow(BTreeMap::is_empty)
}

/// Takes what is to be stamped.
pub fn take() -> PendingGuards {
    PENDING.take()
}

/// The transaction has ended.
pub fn clear() {
    HAS_STAMPED.set(false);
    PENDING.take();
}
