//! Compaction where descriptors are few: it takes no more of them than a few segments need, and gives them back where
//! they did not suffice. The limit is the process's, so these have one of their own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use common::{NOW_MS, TestLog, clean_options, keyed};
use jackdaw_log::{Cleaning, Disk as _, LogConfig, OpenState, RealDisk, StorageError};
use rustix::process::{Resource, getrlimit, setrlimit};

const SEGMENTS: i64 = 60;
/// Far fewer than the files of all segments, and enough for those of some.
const ROOM: usize = 70;

fn set_limit(most: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(most);
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Which descriptors are open, and how many of them are files below a folder.
fn open_ones(folder: &Path) -> (HashSet<u64>, usize) {
    let all = std::fs::read_dir("/proc/self/fd").unwrap().map(Result::unwrap);
    let all: Vec<_> = all.map(|entry| (entry.file_name(), std::fs::read_link(entry.path()))).collect();
    let below = all.iter().filter(|(_, file)| file.as_ref().is_ok_and(|file| file.starts_with(folder)));
    (all.iter().map(|(number, _)| number.to_str().unwrap().parse().unwrap()).collect(), below.count())
}

/// Leaves so many descriptors that are not in use; how many files of the folder are open.
fn leave_room(folder: &Path, room: usize) -> usize {
    let (open, below) = open_ones(folder);
    let last = (0..).filter(|number| !open.contains(number)).nth(room - 1).unwrap();
    set_limit(last + 1);
    below
}

fn begin(log: &mut TestLog) -> Cleaning {
    let (end, config) = (log.end(), log.config.clone());
    log.log.high_watermark_moved(end);
    let cleanable = log.log.reader().cleanable(Some(0), end, &config, NOW_MS).unwrap();
    let mut cleaning = log.log.begin_cleaning(&cleanable, clean_options(NOW_MS, 1_000));
    cleaning.index(&mut |_| Ok(())).unwrap();
    cleaning
}

fn swap_next(log: &mut TestLog, cleaning: &mut Cleaning) -> Result<bool, StorageError> {
    let Some(group) = cleaning.next_group(&mut |_| Ok(())).unwrap() else { return Ok(false) };
    log.log.swap_in(group, NOW_MS)
}

#[test]
fn compaction_takes_few_descriptors_and_gives_back_what_did_not_suffice() {
    let config = LogConfig { compact: true, delete: false, segment_bytes: 100, ..LogConfig::default() };
    let mut log = TestLog::new(config.clone());
    for number in 0..SEGMENTS {
        log.append_verbatim(&[keyed(number, None, &[("a", Some("1"))])]);
    }
    log.log.close_clean().unwrap();
    log.config = Arc::new(LogConfig { segment_bytes: 1 << 20, ..config });
    log.reopen(OpenState { clean_shutdown: true, recovery_point: SEGMENTS, ..OpenState::default() });
    assert_eq!(log.log.segment_count(), SEGMENTS as usize);
    let folder = log.folder();
    let all = getrlimit(Resource::Nofile).current.unwrap();
    RealDisk.open_files().keep(8);
    log.log.close_idle_files();

    let mut cleaning = begin(&mut log);
    let open_before = leave_room(&folder, 12);
    let error = swap_next(&mut log, &mut cleaning).unwrap_err();
    assert!(error.is_out_of_descriptors(), "{error}");
    set_limit(all);
    let (_, open_after) = open_ones(&folder);
    assert!(open_after <= open_before, "{open_after} files are open in place of {open_before}");

    drop(cleaning);
    let mut cleaning = begin(&mut log);
    leave_room(&folder, ROOM);
    while swap_next(&mut log, &mut cleaning).unwrap() {}
    set_limit(all);
    assert!(log.log.segment_count() < 10, "{} segments", log.log.segment_count());
    assert_eq!(log.all().len(), 2, "the last of those that may be compacted, and the active segment's");
}
