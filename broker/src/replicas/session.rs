//! What a fetch asks for, partition by partition, and the sessions that remember it between fetches (KIP-227).
//!
//! A [`FetchSet`] visits only partitions that may have something new: those asked for anew, those that changed, and
//! those that were not read to their end. Kafka walks through a whole session on each fetch; the replies are the
//! same.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackdaw_wire::{ErrorCode, StrBytes, Uuid};

use super::interest::Interest;
use super::partition::Partition;
use super::read::PartitionRead;

/// `min.incremental.fetch.session.eviction.ms`: a session that was used within is not evicted as stale.
pub(super) const EVICTION_MS: i64 = 120_000;
/// Of a fetch without a session.
pub(super) const NO_SESSION: i32 = 0;
/// Asks for a new session.
pub(super) const INITIAL_EPOCH: i32 = 0;
/// Asks for no session, or ends one.
pub(super) const FINAL_EPOCH: i32 = -1;

/// What is asked of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub offset: i64,
    pub max_bytes: i32,
    /// -1 where the fetcher does not say.
    pub current_leader_epoch: i32,
    /// -1 where the fetcher does not say.
    pub last_fetched_epoch: i32,
    /// The follower's log start.
    pub log_start: i64,
}

/// A partition by what names it in this fetch: its topic id from version 13 on, the name before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub topic_id: Uuid,
    /// Empty where the id names it.
    pub name: StrBytes,
    pub partition: i32,
}

/// One partition of a fetch.
#[derive(Debug)]
pub(super) struct Slot {
    pub key: Key,
    pub ask: Ask,
    pub replica: Option<Arc<Partition>>,
    /// What it was unknown by when the present fetch began.
    pub unknown: Option<ErrorCode>,
    /// In `active`.
    pub is_active: bool,
    /// As it was told last; -1 before that and after an error.
    pub told_high_watermark: i64,
    pub told_log_start: i64,
    /// What the present fetch read.
    pub read: Option<Box<PartitionRead>>,
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.tp)
    }
}

/// The partitions of a fetch, or of all fetches of a session.
#[derive(Debug)]
pub(super) struct FetchSet {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32>,
    pub active: VecDeque<u32>,
    pub interest: Arc<Interest>,
    /// The reply has what changed, and not all that was asked for.
    pub is_incremental: bool,
    /// The partitions know the interest.
    pub is_subscribed: bool,
}

impl FetchSet {
    /// `follower` is the fetching broker's id, -1 for a consumer.
    pub fn new(follower: i32) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            active: VecDeque::new(),
            interest: Interest::new(follower),
            is_incremental: false,
            is_subscribed: false,
        }
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn slot(&self, at: u32) -> Option<&Slot> {
        self.slots.get(at as usize)?.as_ref()
    }

    pub fn slot_mut(&mut self, at: u32) -> Option<&mut Slot> {
        self.slots.get_mut(at as usize)?.as_mut()
    }

    /// Every slot, in the order of the request that added it (while none was removed).
    pub fn occupied(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.slots.len() as u32).filter(|at| self.slot(*at).is_some())
    }

    /// Adds a partition, or changes what is asked of it.
    pub fn ask(&mut self, key: Key, ask: Ask) {
        let at = match self.by_key.get(&key) {
            Some(at) => *at,
            None => self.add(key, ask),
        };
        if let Some(slot) = self.slot_mut(at) {
            slot.ask = ask;
        }
        self.activate(at);
    }

    fn add(&mut self, key: Key, ask: Ask) -> u32 {
        let slot = Slot {
            key: key.clone(),
            ask,
            replica: None,
            unknown: None,
            is_active: false,
            told_high_watermark: -1,
            told_log_start: -1,
            read: None,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = Some(slot);
                at
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as u32
            }
        };
        self.by_key.insert(key, at);
        at
    }

    pub fn forget(&mut self, key: &Key) {
        let Some(at) = self.by_key.remove(key) else { return };
        let slot = self.slots.get_mut(at as usize).and_then(Option::take);
        if let Some(partition) = slot.and_then(|slot| slot.replica).filter(|_| self.is_subscribed) {
            partition.unsubscribe(&self.interest, at);
        }
        self.active.retain(|other| *other != at);
        self.free.push(at);
    }

    pub fn activate(&mut self, at: u32) {
        if let Some(slot) = self.slot_mut(at)
            && !std::mem::replace(&mut slot.is_active, true)
        {
            self.active.push_back(at);
        }
    }

    /// Activates what changed since it was last looked at.
    pub fn take_marks(&mut self) {
        for at in self.interest.take() {
            self.activate(at);
        }
    }

    /// Gives a slot its replica; a subscribed set hears of its changes from now on.
    pub fn attach(&mut self, at: u32, partition: Option<Arc<Partition>>) {
        let (interest, is_subscribed) = (Arc::clone(&self.interest), self.is_subscribed);
        let Some(slot) = self.slot_mut(at) else { return };
        let before = std::mem::replace(&mut slot.replica, partition);
        if !is_subscribed {
            return;
        }
        if let Some(before) = before {
            before.unsubscribe(&interest, at);
        }
        if let Some(partition) = &slot.replica {
            partition.subscribe(&interest, at);
        }
    }

    /// Subscribes to every partition, and marks all to be looked at once more: they may have changed meanwhile.
    pub fn subscribe(&mut self) {
        if std::mem::replace(&mut self.is_subscribed, true) {
            return;
        }
        let all: Vec<u32> = self.occupied().collect();
        for at in all {
            if let Some(partition) = self.slot(at).and_then(|slot| slot.replica.clone()) {
                partition.subscribe(&self.interest, at);
            }
            self.activate(at);
        }
    }
}

impl Drop for FetchSet {
    fn drop(&mut self) {
        if !self.is_subscribed {
            return;
        }
        for (at, slot) in self.slots.iter().enumerate() {
            if let Some(partition) = slot.as_ref().and_then(|slot| slot.replica.as_ref()) {
                partition.unsubscribe(&self.interest, at as u32);
            }
        }
    }
}

/// A set that several may hold: the session's cache and the fetch under way.
pub(super) type SharedSet = Arc<Mutex<FetchSet>>;

pub(super) fn locked(set: &Mutex<FetchSet>) -> MutexGuard<'_, FetchSet> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Session {
    set: SharedSet,
    epoch: i32,
    uses_topic_ids: bool,
    is_privileged: bool,
    created_ms: i64,
    used_ms: i64,
    size: usize,
}

/// The sessions of this broker (`FetchSessionCache`): at most `max.incremental.fetch.session.cache.slots`.
pub(super) struct SessionCache {
    sessions: Mutex<BTreeMap<i32, Session>>,
    most: usize,
}

/// A fetch within a session.
pub(super) struct Turn {
    pub set: SharedSet,
    pub session_id: i32,
    /// No partition was left in it: answered as without a session, and the session is gone.
    pub ended: bool,
}

/// The session epoch after this one: never 0 again (`FetchMetadata.nextEpoch`).
pub(super) fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        FINAL_EPOCH => FINAL_EPOCH,
        i32::MAX => 1,
        epoch => epoch + 1,
    }
}

impl SessionCache {
    pub fn new(most: usize) -> Self {
        Self { sessions: Mutex::default(), most }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<i32, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn remove(&self, id: i32) {
        let removed = self.sessions().remove(&id);
        // Its partitions are told after the lock is gone.
        drop(removed);
    }

    /// The next fetch of a session: what it adds, changes and forgets is taken over at once
    /// (`FetchManager.newContext`).
    pub fn turn(
        &self,
        id: i32,
        epoch: i32,
        uses_topic_ids: bool,
        asks: Vec<(Key, Ask)>,
        forgotten: &[Key],
        now_ms: i64,
    ) -> Result<Turn, ErrorCode> {
        let set = {
            let mut sessions = self.sessions();
            let session = sessions.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
            if session.epoch != epoch {
                return Err(ErrorCode::InvalidFetchSessionEpoch);
            }
            if session.uses_topic_ids != uses_topic_ids {
                return Err(ErrorCode::FetchSessionTopicIdError);
            }
            session.epoch = next_epoch(epoch);
            session.used_ms = now_ms;
            Arc::clone(&session.set)
        };
        // The cache is not locked meanwhile: a set is locked for as long as its session's fetch reads.
        let size = {
            let mut set = locked(&set);
            asks.into_iter().for_each(|(key, ask)| set.ask(key, ask));
            forgotten.iter().for_each(|key| set.forget(key));
            set.len()
        };
        let ended = size == 0;
        let mut sessions = self.sessions();
        if ended {
            sessions.remove(&id);
        } else if let Some(session) = sessions.get_mut(&id) {
            session.size = size;
        }
        Ok(Turn { set, session_id: if ended { NO_SESSION } else { id }, ended })
    }

    /// Keeps the set as a new session, where there is room or another may go; its id, or [`NO_SESSION`].
    /// `random` proposes ids.
    pub fn create(
        &self,
        set: &SharedSet,
        is_privileged: bool,
        uses_topic_ids: bool,
        now_ms: i64,
        mut random: impl FnMut() -> i32,
    ) -> i32 {
        let size = locked(set).len();
        let mut sessions = self.sessions();
        if sessions.len() >= self.most && !evict(&mut sessions, is_privileged, size, now_ms) {
            return NO_SESSION;
        }
        let id = loop {
            let id = random() & i32::MAX;
            if id != NO_SESSION && !sessions.contains_key(&id) {
                break id;
            }
        };
        let session = Session {
            set: Arc::clone(set),
            epoch: next_epoch(INITIAL_EPOCH),
            uses_topic_ids,
            is_privileged,
            created_ms: now_ms,
            used_ms: now_ms,
            size,
        };
        sessions.insert(id, session);
        id
    }
}

/// Makes room for a session of that size: one that was not used for long goes, else one that counts for less than
/// the new one, by privilege and size (`FetchSessionCache.tryEvict`).
fn evict(sessions: &mut BTreeMap<i32, Session>, is_privileged: bool, size: usize, now_ms: i64) -> bool {
    let oldest = sessions.iter().min_by_key(|(id, s)| (s.used_ms, **id)).map(|(id, s)| (*id, s.used_ms));
    let Some((oldest, used_ms)) = oldest else { return false };
    if now_ms - used_ms > EVICTION_MS {
        sessions.remove(&oldest);
        return true;
    }
    let may_go = |s: &Session| {
        let is_old = now_ms - s.created_ms > EVICTION_MS;
        is_old || (is_privileged && !s.is_privileged)
    };
    let least = sessions
        .iter()
        .filter(|(_, s)| may_go(s))
        .map(|(id, s)| (s.is_privileged, s.size, *id))
        .min()
        .filter(|least| (is_privileged, size, NO_SESSION) >= *least);
    least.is_some_and(|(_, _, id)| sessions.remove(&id).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> Key {
        Key { topic_id: Uuid::nil(), name: StrBytes::from_static_str("t"), partition }
    }

    fn ask(offset: i64) -> Ask {
        Ask { offset, max_bytes: 1, current_leader_epoch: -1, last_fetched_epoch: -1, log_start: -1 }
    }

    fn set_of(partitions: i32) -> SharedSet {
        let mut set = FetchSet::new(-1);
        (0..partitions).for_each(|p| set.ask(key(p), ask(0)));
        Arc::new(Mutex::new(set))
    }

    fn create(cache: &SessionCache, partitions: i32, privileged: bool, now_ms: i64, id: i32) -> i32 {
        cache.create(&set_of(partitions), privileged, false, now_ms, || id)
    }

    #[test]
    fn a_session_is_refused_with_kafkas_errors() {
        let cache = SessionCache::new(10);
        assert_eq!(create(&cache, 2, false, 0, 7), 7);
        let turn = |id, epoch, ids| cache.turn(id, epoch, ids, Vec::new(), &[], 0).map(|t| t.session_id);
        assert_eq!(turn(8, 1, false), Err(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(turn(7, 2, false), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(turn(7, 1, true), Err(ErrorCode::FetchSessionTopicIdError));
        assert_eq!(turn(7, 1, false), Ok(7));
        assert_eq!(turn(7, 1, false), Err(ErrorCode::InvalidFetchSessionEpoch), "each epoch once");
        assert_eq!(turn(7, 2, false), Ok(7));
    }

    #[test]
    fn a_session_without_partitions_ends() {
        let cache = SessionCache::new(10);
        create(&cache, 1, false, 0, 7);
        let turn = cache.turn(7, 1, false, Vec::new(), &[key(0)], 0).unwrap();
        assert!(turn.ended && turn.session_id == NO_SESSION);
        assert!(cache.turn(7, 2, false, Vec::new(), &[], 0).is_err());
    }

    #[test]
    fn a_full_cache_keeps_the_larger_and_the_privileged() {
        let cache = SessionCache::new(2);
        assert_eq!(create(&cache, 2, false, 0, 1), 1);
        assert_eq!(create(&cache, 4, false, 0, 2), 2);
        assert_eq!(create(&cache, 9, false, 10, 3), NO_SESSION, "both are too young for a consumer to evict");
        assert_eq!(create(&cache, 1, true, 10, 4), 4, "a follower takes the place of the smallest consumer");
        assert!(cache.turn(1, 1, false, Vec::new(), &[], 10).is_err());
        assert_eq!(create(&cache, 9, false, EVICTION_MS + 1, 5), 5, "2 was not used for long");
        assert!(cache.turn(2, 1, false, Vec::new(), &[], 10).is_err());
        assert!(cache.turn(4, 1, false, Vec::new(), &[], 10).is_ok());
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!([0, 1, i32::MAX, FINAL_EPOCH].map(next_epoch), [1, 2, 1, FINAL_EPOCH]);
    }

    #[test]
    fn only_what_is_asked_or_marked_is_active() {
        let mut set = FetchSet::new(-1);
        set.ask(key(0), ask(0));
        set.ask(key(1), ask(0));
        set.ask(key(0), ask(5));
        assert_eq!(set.active, [0, 1]);
        set.forget(&key(0));
        assert_eq!((set.active.len(), set.len()), (1, 1));
        set.ask(key(2), ask(0));
        assert_eq!(set.active, [1, 0], "a free place is used again");
    }
}
