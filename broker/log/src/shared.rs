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
    /// Where the first transaction that is not yet decided and replicated begins.
    pub first_unstable_offset: Option<i64>,
}

impl Published {
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
