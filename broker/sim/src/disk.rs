//! A disk in memory that forgets: what was not synced may be gone after a power cut, may be there in another order,
//! may be there by half. Files and names are separate, as POSIX has it: a synced file in an unsynced folder is lost.
//!
//! It must not be kinder than a real disk. Where POSIX promises nothing, chance decides.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackdaw_log::{Disk, DiskFile, DiskLock, FileInfo, OpenMode};

use crate::seeds::Rng;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Any call fails (EIO). A write may have been done by half; what a sync was to bring to the disk may never get there,
    /// whatever a later sync says, as with Linux.
    Io,
    /// What needs room fails (ENOSPC): a write after a part of it.
    Full,
    /// What opens something fails (EMFILE).
    Descriptors,
}

impl Fault {
    /// As the kernel tells it.
    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Fault::Io => 5,
            Fault::Full => 28,
            Fault::Descriptors => 24,
        })
    }

    fn strikes(self, call: Call) -> bool {
        match self {
            Fault::Io => true,
            Fault::Full => matches!(call, Call::Write | Call::Grow | Call::Make),
            Fault::Descriptors => matches!(call, Call::Open | Call::Make),
        }
    }
}

/// What is asked of the disk, as far as faults tell calls apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Takes a descriptor, for a while at least.
    Open,
    /// Opens a file that is not there yet.
    Make,
    Read,
    Write,
    Grow,
    Sync,
    /// Needs neither room nor a descriptor.
    Other,
}

/// What is to fail, put aside.
#[derive(Debug)]
pub struct PausedFaults(Option<Armed>);

#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// So many more calls that it could strike succeed.
    after: u64,
    /// And then so many fail.
    times: u64,
    rng: Rng,
}

/// A file is torn at multiples of this: a sector is written whole or not at all.
const SECTOR_BYTES: usize = 512;

type NodeId = usize;
const ROOT: NodeId = 0;

#[derive(Debug, Clone)]
enum FileChange {
    Write { position: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl FileChange {
    fn apply(&self, contents: &mut Vec<u8>) {
        match self {
            FileChange::Write { position, bytes } => {
                let end = position + bytes.len();
                if contents.len() < end {
                    contents.resize(end, 0);
                }
                contents[*position..end].copy_from_slice(bytes);
            }
            FileChange::SetLen(len) => contents.resize(*len, 0),
        }
    }
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(String, NodeId),
    Remove(String),
    Rename(String, String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, NodeId>) {
        match self {
            NameChange::Set(name, node) => {
                names.insert(name.clone(), *node);
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
            NameChange::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

/// What is there, what would be there after a power cut, and the changes between.
#[derive(Debug)]
enum Node {
    File { now: Vec<u8>, synced: Vec<u8>, pending: Vec<FileChange> },
    Folder { now: BTreeMap<String, NodeId>, synced: BTreeMap<String, NodeId>, pending: Vec<NameChange> },
}

#[derive(Debug)]
struct State {
    nodes: Vec<Node>,
    /// Handles and locks of an earlier life are dead.
    life: u64,
    locks: Vec<NodeId>,
    broken: Option<PathBuf>,
    /// So many more operations succeed.
    left: Cell<Option<u64>>,
    syncs: u64,
    armed: Option<Armed>,
    failures: u64,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

fn no_entry() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl SimDisk {
    pub fn new() -> Self {
        let root = Node::Folder { now: BTreeMap::new(), synced: BTreeMap::new(), pending: Vec::new() };
        let state = State {
            nodes: vec![root],
            life: 0,
            locks: Vec::new(),
            broken: None,
            left: Cell::new(None),
            syncs: 0,
            armed: None,
            failures: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process dies; what it wrote is still there. Open handles and locks are dead.
    pub fn kill(&self) {
        let mut state = self.state();
        state.life += 1;
        state.locks.clear();
    }

    /// The power fails: of each file and folder what was synced is there, and of the changes since what chance
    /// leaves. Names change in order, as in a journal; file contents change in any order, and sectors by
    /// themselves.
    pub fn power_cut(&self, rng: &mut Rng) {
        self.kill();
        for node in &mut self.state().nodes {
            match node {
                Node::Folder { now, synced, pending } => {
                    let kept = rng.below(pending.len() as u64 + 1) as usize;
                    for change in &pending[..kept] {
                        change.apply(synced);
                    }
                    pending.clear();
                    *now = synced.clone();
                }
                Node::File { now, synced, pending } => {
                    for change in survivors(pending, rng) {
                        change.apply(synced);
                    }
                    pending.clear();
                    *now = synced.clone();
                }
            }
        }
    }

    /// From now on everything at or below `path` fails; `None` repairs the disk.
    pub fn break_at(&self, path: Option<&Path>) {
        self.state().broken = path.map(Path::to_owned);
    }

    /// After so many more operations everything fails; `None` repairs the disk.
    pub fn break_after(&self, operations: Option<u64>) {
        self.state().left.set(operations);
    }

    /// What [`SimDisk::break_after`] has left.
    pub fn operations_left(&self) -> Option<u64> {
        self.state().left.get()
    }

    /// After so many more calls that it could strike, the fault strikes so many times; the seed decides what is done by
    /// half. Takes the place of another fault.
    pub fn fail(&self, fault: Fault, after: u64, times: u64, seed: u64) {
        self.state().armed = Some(Armed { fault, after, times, rng: Rng::new(seed) });
    }

    /// Nothing fails any more.
    pub fn mend(&self) {
        self.state().armed = None;
    }

    /// Nothing fails while a test looks; what was to fail comes back with [`SimDisk::resume_faults`].
    pub fn pause_faults(&self) -> PausedFaults {
        PausedFaults(self.state().armed.take())
    }

    pub fn resume_faults(&self, paused: PausedFaults) {
        self.state().armed = paused.0;
    }

    /// How many calls failed by a [`Fault`].
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    /// How often a file was synced.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Changes the bytes of a file behind everybody's back, for good.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if let Ok(node) = state.find(path)
            && let Node::File { now, synced, pending } = &mut state.nodes[node]
        {
            change(now);
            synced.clone_from(now);
            pending.clear();
        }
    }
}

/// Which of the unsynced changes reached the disk.
fn survivors(pending: &[FileChange], rng: &mut Rng) -> Vec<FileChange> {
    // The usual case is that all or nothing arrived; the rest is where recovery earns its keep.
    match rng.below(4) {
        0 => return Vec::new(),
        1 => return pending.to_vec(),
        _ => {}
    }
    let mut kept = Vec::new();
    for change in pending {
        match change {
            FileChange::Write { position, bytes } if rng.chance(40) => {
                for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    if rng.chance(70) {
                        let position = position + number * SECTOR_BYTES;
                        kept.push(FileChange::Write { position, bytes: sector.to_vec() });
                    }
                }
            }
            _ if rng.chance(60) => kept.push(change.clone()),
            _ => {}
        }
    }
    if rng.chance(30) {
        for last in (1..kept.len()).rev() {
            kept.swap(last, rng.below(last as u64 + 1) as usize);
        }
    }
    kept
}

impl State {
    fn check(&self, path: &Path) -> io::Result<()> {
        if let Some(left) = self.left.get() {
            let left = left.checked_sub(1).ok_or_else(|| io::Error::other("simulated I/O error"))?;
            self.left.set(Some(left));
        }
        match &self.broken {
            Some(broken) if path.starts_with(broken) => Err(io::Error::other("simulated I/O error")),
            _ => Ok(()),
        }
    }

    /// Fails where the fault strikes.
    fn call(&mut self, call: Call) -> io::Result<()> {
        let Some(armed) = self.armed.as_mut().filter(|armed| armed.fault.strikes(call)) else {
            return Ok(());
        };
        if armed.after > 0 {
            armed.after -= 1;
            return Ok(());
        }
        let fault = armed.fault;
        armed.times = armed.times.saturating_sub(1);
        self.failures += 1;
        Err(fault.error())
    }

    /// After a failure: whether the fault is over.
    fn struck(&mut self) {
        if self.armed.as_ref().is_some_and(|armed| armed.times == 0) {
            self.armed = None;
        }
    }

    fn fails(&mut self, call: Call) -> io::Result<()> {
        let told = self.call(call);
        if told.is_err() {
            self.struck();
        }
        told
    }

    /// A write that fails after some of its bytes.
    fn write(&mut self, node: NodeId, position: usize, mut bytes: Vec<u8>) -> io::Result<()> {
        let told = self.call(Call::Write);
        if told.is_err() {
            let written = self.armed.as_mut().map_or(0, |armed| armed.rng.below(bytes.len() as u64 + 1));
            bytes.truncate(written as usize);
            self.struck();
        }
        if !bytes.is_empty() {
            self.change_file(node, FileChange::Write { position, bytes });
        }
        told
    }

    /// A sync that fails takes what it was to save out of all that later ones save, or out of a part of it.
    fn sync_file(&mut self, id: NodeId) -> io::Result<()> {
        let told = self.call(Call::Sync);
        let rng = self.armed.as_mut().map(|armed| armed.rng.clone());
        if let Node::File { synced, pending, .. } = &mut self.nodes[id] {
            let saved = match (&told, rng) {
                (Err(_), Some(mut rng)) => survivors(pending, &mut rng),
                _ => std::mem::take(pending),
            };
            saved.iter().for_each(|change| change.apply(synced));
            pending.clear();
        }
        if told.is_err() {
            self.struck();
        }
        told
    }

    fn folder(&self, node: NodeId) -> io::Result<&BTreeMap<String, NodeId>> {
        match &self.nodes[node] {
            Node::Folder { now, .. } => Ok(now),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        self.check(path)?;
        names(path).try_fold(ROOT, |node, name| self.folder(node)?.get(&name).copied().ok_or_else(no_entry))
    }

    fn parent(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let name = path.file_name().ok_or_else(no_entry)?.to_string_lossy().into_owned();
        Ok((self.find(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn change_names(&mut self, folder: NodeId, change: NameChange) {
        if let Node::Folder { now, pending, .. } = &mut self.nodes[folder] {
            change.apply(now);
            pending.push(change);
        }
    }

    fn add(&mut self, folder: NodeId, name: String, node: Node) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(node);
        self.change_names(folder, NameChange::Set(name, id));
        id
    }

    fn change_file(&mut self, node: NodeId, change: FileChange) {
        if let Node::File { now, pending, .. } = &mut self.nodes[node] {
            change.apply(now);
            pending.push(change);
        }
    }

    fn info(&self, name: String, node: NodeId) -> FileInfo {
        let size_bytes = match &self.nodes[node] {
            Node::File { now, .. } => now.len() as u64,
            Node::Folder { .. } => 0,
        };
        FileInfo { name, is_dir: matches!(self.nodes[node], Node::Folder { .. }), size_bytes, modified_ms: 0 }
    }
}

fn names(path: &Path) -> impl Iterator<Item = String> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    })
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: NodeId,
    life: u64,
    path: PathBuf,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life != self.life {
            return Err(io::Error::other("the process that opened this file is dead"));
        }
        state.check(&self.path)?;
        Ok(state)
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, position: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if !bytes.is_empty() {
            self.state()?.write(self.node, position as usize, bytes)?;
        }
        Ok(())
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state()?;
        state.fails(Call::Read)?;
        let Node::File { now, .. } = &state.nodes[self.node] else { return Err(no_entry()) };
        let rest = now.get(position as usize..).unwrap_or(&[]);
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        state.syncs += 1;
        state.sync_file(self.node)
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        let grows = size_bytes > self.len()?;
        let mut state = self.state()?;
        state.fails(if grows { Call::Grow } else { Call::Other })?;
        state.change_file(self.node, FileChange::SetLen(size_bytes as usize));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        state.fails(Call::Other)?;
        match &state.nodes[self.node] {
            Node::File { now, .. } => Ok(now.len() as u64),
            Node::Folder { .. } => Err(no_entry()),
        }
    }

    fn os_file(&self) -> Option<Arc<File>> {
        None
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    node: NodeId,
    life: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locks.retain(|node| *node != self.node);
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let node = match state.find(path) {
            Ok(node) => {
                state.fails(Call::Open)?;
                node
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !matches!(mode, OpenMode::Create | OpenMode::Truncate) {
                    return Err(error);
                }
                let (folder, name) = state.parent(path)?;
                state.fails(Call::Make)?;
                let file = Node::File { now: Vec::new(), synced: Vec::new(), pending: Vec::new() };
                state.add(folder, name, file)
            }
            Err(error) => return Err(error),
        };
        if mode == OpenMode::Truncate {
            state.change_file(node, FileChange::SetLen(0));
        }
        let life = state.life;
        drop(state);
        Ok(Arc::new(SimFile { disk: self.clone(), node, life, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.find(from)?;
        state.fails(Call::Other)?;
        let (folder, from) = state.parent(from)?;
        let (to_folder, to) = state.parent(to)?;
        if folder != to_folder {
            return Err(io::Error::other("the simulated disk renames within a folder only"));
        }
        state.change_names(folder, NameChange::Rename(from, to));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.find(path)?;
        state.fails(Call::Other)?;
        let (folder, name) = state.parent(path)?;
        state.change_names(folder, NameChange::Remove(name));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.remove_file(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check(path)?;
        state.fails(Call::Grow)?;
        let mut node = ROOT;
        for name in names(path) {
            node = match state.folder(node)?.get(&name) {
                Some(child) => *child,
                None => {
                    let folder =
                        Node::Folder { now: BTreeMap::new(), synced: BTreeMap::new(), pending: Vec::new() };
                    state.add(node, name, folder)
                }
            };
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<FileInfo>> {
        let mut state = self.state();
        state.fails(Call::Open)?;
        let folder = state.folder(state.find(path)?)?;
        Ok(folder.iter().map(|(name, node)| state.info(name.clone(), *node)).collect())
    }

    fn info(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        let mut state = self.state();
        state.fails(Call::Other)?;
        match state.find(path) {
            Ok(node) => Ok(Some(state.info(names(path).last().unwrap_or_default(), node))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = state.find(path)?;
        state.fails(Call::Open)?;
        state.fails(Call::Sync)?;
        if let Node::Folder { now, synced, pending } = &mut state.nodes[node] {
            synced.clone_from(now);
            pending.clear();
        }
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.open(path, OpenMode::Create)?;
        let mut state = self.state();
        let node = state.find(path)?;
        if state.locks.contains(&node) {
            return Ok(None);
        }
        state.locks.push(node);
        let life = state.life;
        Ok(Some(Box::new(SimLock { disk: self.clone(), node, life })))
    }

    fn space(&self, path: &Path) -> io::Result<Option<(u64, u64)>> {
        self.state().check(path)?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
        let file = disk.open(Path::new(path), OpenMode::Create).unwrap();
        file.write_at(0, &mut [IoSlice::new(bytes)]).unwrap();
        file
    }

    fn read(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
        let file = disk.open(Path::new(path), OpenMode::Read).ok()?;
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        Some(bytes)
    }

    #[test]
    fn a_synced_file_in_a_synced_folder_survives_and_nothing_less_has_to() {
        let (mut kept_unsynced, mut lost_unsynced, mut lost_name) = (0, 0, 0);
        for seed in 0..200 {
            let disk = SimDisk::new();
            write(&disk, "/safe", b"synced").sync().unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            write(&disk, "/safe", b"SYN").len().unwrap();
            write(&disk, "/nameless", b"synced").sync().unwrap();
            disk.power_cut(&mut Rng::new(seed));
            match read(&disk, "/safe").unwrap().as_slice() {
                b"SYNced" => kept_unsynced += 1,
                b"synced" => lost_unsynced += 1,
                other => panic!("{other:?}"),
            }
            lost_name += usize::from(read(&disk, "/nameless").is_none());
        }
        assert!(kept_unsynced > 20 && lost_unsynced > 20 && lost_name > 20);
    }

    #[test]
    fn a_killed_process_leaves_its_writes_and_loses_its_handles_and_locks() {
        let disk = SimDisk::new();
        let file = write(&disk, "/a", b"bytes");
        let lock = disk.try_lock(Path::new("/.lock")).unwrap().unwrap();
        assert!(disk.try_lock(Path::new("/.lock")).unwrap().is_none());
        disk.kill();
        assert!(file.len().is_err());
        assert_eq!(read(&disk, "/a").unwrap(), b"bytes");
        let again = disk.try_lock(Path::new("/.lock")).unwrap();
        assert!(again.is_some());
        drop(lock);
        assert!(disk.try_lock(Path::new("/.lock")).unwrap().is_none(), "a dead process's lock frees nothing");
    }

    #[test]
    fn a_broken_folder_fails_and_the_rest_goes_on() {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/bad/deep")).unwrap();
        let file = write(&disk, "/bad/deep/a", b"x");
        disk.break_at(Some(Path::new("/bad")));
        assert!(file.sync().is_err() && disk.list(Path::new("/bad")).is_err());
        write(&disk, "/good", b"x").sync().unwrap();
        disk.break_at(None);
        file.sync().unwrap();
    }
}
