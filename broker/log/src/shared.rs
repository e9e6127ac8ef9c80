//! What the writer tells the readers: one small value behind a lock that is held for the length of a copy.

use std::sync::{Arc, Mutex};

use crate::epochs::EpochCache;
use crate::place::{Place, locked};
use crate::segment::Segment;

/// A log as of one moment.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// By base offset; never empty.
    pub segments: Arc<Vec<Arc<Segment>>>,
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    /// Bytes of the last segment up to the log end.
    pub active_bytes: u64,
    pub epochs: Arc<EpochCache>,
    /// Where the first transaction that is open begins.
    pub first_open_offset: Option<i64>,
    /// First and last offsets of ended transactions whose end may not be replicated yet; mostly there are none.
    pub ended: Option<Arc<Vec<(i64, i64)>>>,
}

impl Published {
    /// What `read_committed` may see below `high_watermark`: not beyond a transaction that is open, or whose end is
    /// not replicated (`maybeIncrementFirstUnstableOffset`).
    pub fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        let ended = self.ended.iter().flat_map(|ended| ended.iter());
        let unreplicated = ended.filter(|(_, last)| *last >= high_watermark).map(|(first, _)| *first);
        let first_unstable = unreplicated.chain(self.first_open_offset).min();
        first_unstable.map_or(high_watermark, |offset| offset.max(self.log_start_offset).min(high_watermark))
    }

    /// The number of the segment that `offset` lies in: the last that starts at or before it.
    pub fn segment_of(&self, offset: i64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.base_offset <= offset).checked_sub(1)
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub place: Arc<Place>,
    published: Mutex<Published>,
}

impl Shared {
    pub fn new(place: Arc<Place>, published: Published) -> Self {
        Self { place, published: Mutex::new(published) }
    }

    pub fn look(&self) -> Published {
        locked(&self.published).clone()
    }

    pub fn publish(&self, published: Published) {
        *locked(&self.published) = published;
    }

    /// Runs `with` under the lock; only for the few words of a change or a look.
    pub fn with<T>(&self, with: impl FnOnce(&mut Published) -> T) -> T {
        with(&mut locked(&self.published))
    }
}
