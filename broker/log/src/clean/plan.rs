//! How much of a log waits for compaction (`LogCleanerManager.cleanableOffsets`, `calculateCleanableBytes`,
//! `maxCompactionDelay`).

use crate::config::LogConfig;
use crate::error::{ReadError, StorageError};
use crate::reader::LogReader;
use crate::shared::Published;

/// What may be compacted of a log at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cleanable {
    /// Where the last compaction ended.
    pub first_dirty_offset: i64,
    /// The base offset of the first segment that stays as it is.
    pub first_uncleanable_offset: i64,
    pub clean_bytes: u64,
    pub cleanable_bytes: u64,
    /// `max.compaction.lag.ms` has passed for some record.
    pub is_overdue: bool,
    /// The checkpoint was not of this log: it is to be written anew.
    pub checkpoint_is_wrong: bool,
}

impl Cleanable {
    /// Dirty bytes of all that compaction may touch, 0 to 1: the filthiest log comes first.
    pub fn dirty_ratio(&self) -> f64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        if total == 0 { 0.0 } else { self.cleanable_bytes as f64 / total as f64 }
    }

    /// Whether it is time.
    pub fn is_due(&self, config: &LogConfig) -> bool {
        (self.is_overdue && self.cleanable_bytes > 0) || self.dirty_ratio() > config.min_cleanable_dirty_ratio
    }
}

impl LogReader {
    /// What is to be compacted. `checkpoint` is where the last round ended, if there was one.
    pub fn cleanable(
        &self,
        checkpoint: Option<i64>,
        high_watermark: i64,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<Cleanable, ReadError> {
        self.with_looks(|log| {
            let noted = checkpoint.unwrap_or(log.log_start_offset);
            let is_wrong = noted < log.log_start_offset || noted > log.log_end_offset;
            let first_dirty = if is_wrong { log.log_start_offset } else { noted };
            let bound = uncleanable_from(log, first_dirty, high_watermark, config, now_ms)?;
            // Whole segments only: the one that the bound lies in stays.
            let number = log.segment_of(bound).unwrap_or(0);
            let first_uncleanable = log.segments[number].base_offset;
            let bytes = |from: i64, to: i64| -> u64 {
                let first = log.segment_of(from).unwrap_or(0);
                let segments = log.segments[first..].iter();
                segments.take_while(|segment| segment.base_offset < to).map(|s| s.size_bytes()).sum()
            };
            Ok(Cleanable {
                first_dirty_offset: first_dirty,
                first_uncleanable_offset: first_uncleanable,
                clean_bytes: bytes(-1, first_dirty),
                cleanable_bytes: bytes(first_dirty.min(first_uncleanable), first_uncleanable),
                is_overdue: is_overdue(log, first_dirty, config, now_ms)?,
                checkpoint_is_wrong: checkpoint.is_some() && is_wrong,
            })
        })
    }
}

/// Not the active segment, nothing that is not yet stable, nothing that is too young.
fn uncleanable_from(
    log: &Published,
    first_dirty: i64,
    high_watermark: i64,
    config: &LogConfig,
    now_ms: i64,
) -> Result<i64, StorageError> {
    let active = log.segments.last().map_or(0, |segment| segment.base_offset);
    let mut bound = log.last_stable_offset(high_watermark).min(active);
    if config.min_compaction_lag_ms > 0 {
        let first = log.segment_of(first_dirty).unwrap_or(0);
        let young_from_ms = now_ms.saturating_sub(config.min_compaction_lag_ms);
        for segment in log.segments[first..].iter().take_while(|segment| segment.base_offset < active) {
            if segment.largest_timestamp_ms()? > young_from_ms {
                bound = bound.min(segment.base_offset);
                break;
            }
        }
    }
    Ok(bound.max(first_dirty))
}

fn is_overdue(
    log: &Published,
    first_dirty: i64,
    config: &LogConfig,
    now_ms: i64,
) -> Result<bool, StorageError> {
    let due_before_ms = now_ms.saturating_sub(config.max_compaction_lag_ms.max(0));
    if due_before_ms <= 0 {
        return Ok(false);
    }
    let active = log.segments.last().map_or(0, |segment| segment.base_offset);
    let first = log.segment_of(first_dirty).unwrap_or(0);
    for segment in log.segments[first..].iter().take_while(|segment| segment.base_offset < active) {
        let began_ms = segment.first_batch_timestamp_ms()?.filter(|ms| *ms > 0);
        if began_ms.is_some_and(|began_ms| began_ms < due_before_ms) {
            return Ok(true);
        }
    }
    Ok(false)
}
