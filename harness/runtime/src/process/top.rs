//! The processes of an instance as `ps -ef` shows them: its first one, and whatever that started.

use super::holder::command_line;
use crate::clock;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// `USER_HZ`.
const TICKS: u64 = 100;
/// The titles of `ps -ef`.
pub(super) const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];

struct Process {
    parent: i32,
    ticks: u64,
    started_ticks: u64,
}

/// `/proc/PID/stat`: the name in brackets may hold anything.
fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        ticks: number(11)? + number(12)?,
        started_ticks: number(19)?,
    })
}

/// A row for each process of the tree below `first`.
pub(super) fn rows(first: i32) -> Vec<Vec<String>> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let all: BTreeMap<i32, Process> = pids.filter_map(|pid| Some((pid, process(pid)?))).collect();
    let is_of_it = |pid: &i32| {
        let mut above = std::iter::successors(Some(*pid), |pid| all.get(pid).map(|process| process.parent));
        above.any(|pid| pid == first)
    };
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
    let row = |(pid, process): (&i32, &Process)| {
        let uid = fs::metadata(format!("/proc/{pid}")).map(|there| there.uid()).unwrap_or_default();
        let began = boot.unwrap_or_default() + process.started_ticks / TICKS;
        let began = clock::rfc3339(began * 1_000_000_000);
        let spent = process.ticks / TICKS;
        vec![
            uid.to_string(),
            pid.to_string(),
            process.parent.to_string(),
            "0".into(),
            began.get(11..16).unwrap_or_default().to_owned(),
            "?".into(),
            format!("{:02}:{:02}:{:02}", spent / 3600, spent / 60 % 60, spent % 60),
            command_line(*pid),
        ]
    };
    all.iter().filter(|(pid, _)| is_of_it(pid)).map(row).collect()
}
