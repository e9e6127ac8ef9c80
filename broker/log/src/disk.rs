//! The one door to the disk. Everything in this crate goes through [`Disk`], so that the simulator can run the real
//! log on a disk that tears, reorders and forgets unsynced writes.
//!
//! A `Disk` must not interpret what it stores, and a file handle must work from several threads at once: readers
//! read while the writer writes.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rustix::fs::FlockOperation;

use crate::handles::OpenFiles;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must exist; reading only.
    Read,
    /// The file must exist.
    ReadWrite,
    /// Made when absent, kept as it is when present.
    Create,
    /// Made when absent, emptied when present.
    Truncate,
}

/// What a directory listing or a look at one path tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// The name within its folder.
    pub name: String,
    pub is_dir: bool,
    pub size_bytes: u64,
    /// Milliseconds since the Unix epoch.
    pub modified_ms: i64,
}

/// A lock on a file that lasts as long as this value lives.
pub trait DiskLock: Debug + Send + Sync {}

/// An open file. All positions are absolute: handles have no cursor.
pub trait DiskFile: Debug + Send + Sync {
    /// Writes all of `parts`, one after the other, from `position` on.
    fn write_at(&self, position: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Makes the contents and the length durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    fn set_len(&self, size_bytes: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// The file behind, for `sendfile`; `None` where there is none, as in simulation.
    fn os_file(&self) -> Option<Arc<File>>;
}

/// A disk: files and folders by path.
pub trait Disk: Debug + Send + Sync {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Replaces `to` when it exists. Durable only after [`Disk::sync_dir`] of the parent.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Names in `path`, in no particular order.
    fn list(&self, path: &Path) -> io::Result<Vec<FileInfo>>;
    /// `None` when nothing is there.
    fn info(&self, path: &Path) -> io::Result<Option<FileInfo>>;
    /// Makes creations, renames and removals in this folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// A POSIX record lock over the whole file, as Java's `FileChannel.tryLock` takes one; `None` when another
    /// process holds it.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
    /// Which files of the logs stay open. Descriptors are the process's: so is what counts them, on a real disk.
    fn open_files(&self) -> &OpenFiles {
        static WITHOUT_LIMIT: OpenFiles = OpenFiles::new();
        &WITHOUT_LIMIT
    }
    /// Bytes in use and free on the volume of `path`: (total, usable). `None` where it cannot be told.
    fn space(&self, path: &Path) -> io::Result<Option<(u64, u64)>>;
}

/// Reads a whole (small) file; `None` when it does not exist.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut contents = vec![0; size];
    let read = file.read_at(0, &mut contents)?;
    contents.truncate(read);
    Ok(Some(contents))
}

/// Replaces a small file in one step: written to `<path>.tmp`, synced, renamed, and the folder synced. A crash
/// leaves the old contents or the new, nothing between (`Utils.atomicMoveWithFallback`).
pub fn replace_file(disk: &dyn Disk, path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let file = disk.open(&temporary, OpenMode::Truncate)?;
    file.write_at(0, &mut [IoSlice::new(contents)])?;
    file.sync()?;
    disk.rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => disk.sync_dir(parent),
        None => Ok(()),
    }
}

/// Removes a file; whether there was one.
pub(crate) fn remove_if_exists(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The machine's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

static OPEN_FILES: OpenFiles = OpenFiles::new();

/// Whether a call failed because this process, or the machine, has no file descriptor left. That says nothing of a disk.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    errno.is_some_and(|errno| errno == rustix::io::Errno::MFILE || errno == rustix::io::Errno::NFILE)
}

/// Does what takes a descriptor; where there is none, once more after files were closed that nobody uses.
fn with_room<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match open() {
        Err(error) if is_out_of_descriptors(&error) && OPEN_FILES.make_room() => open(),
        other => other,
    }
}

#[derive(Debug)]
struct RealFile(Arc<File>);

#[derive(Debug)]
struct RealLock {
    /// The lock goes when the descriptor closes.
    _file: File,
}

impl DiskLock for RealLock {}

/// `pwritev` takes no more parts than this at once (`IOV_MAX` on Linux).
const MAX_PARTS_PER_WRITE: usize = 1024;

impl DiskFile for RealFile {
    fn write_at(&self, mut position: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        // Empty parts would look like an end of the volume below.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let some = parts.len().min(MAX_PARTS_PER_WRITE);
            match rustix::io::pwritev(&*self.0, &parts[..some], position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut parts, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.0.set_len(size_bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn os_file(&self) -> Option<Arc<File>> {
        Some(Arc::clone(&self.0))
    }
}

fn info_of(name: String, metadata: &fs::Metadata) -> FileInfo {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    FileInfo {
        name,
        is_dir: metadata.is_dir(),
        size_bytes: metadata.len(),
        modified_ms: modified.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0),
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::ReadWrite => options.write(true),
            OpenMode::Create => options.write(true).create(true),
            OpenMode::Truncate => options.write(true).create(true).truncate(true),
        };
        let file = with_room(|| options.open(path))?;
        Ok(Arc::new(RealFile(Arc::new(file))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<FileInfo>> {
        let mut entries = Vec::new();
        for entry in with_room(|| fs::read_dir(path))? {
            let entry = entry?;
            // A file may go between the listing and the look at it; then it is simply not there.
            let Ok(metadata) = fs::metadata(entry.path()) else { continue };
            entries.push(info_of(entry.file_name().to_string_lossy().into_owned(), &metadata));
        }
        Ok(entries)
    }

    fn info(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        match fs::metadata(path) {
            Ok(metadata) => {
                let name =
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                Ok(Some(info_of(name, &metadata)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        with_room(|| File::open(path))?.sync_all()
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = with_room(|| options.open(path))?;
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(RealLock { _file: file }))),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open_files(&self) -> &OpenFiles {
        &OPEN_FILES
    }

    fn space(&self, path: &Path) -> io::Result<Option<(u64, u64)>> {
        let volume = rustix::fs::statvfs(path)?;
        Ok(Some((volume.f_blocks * volume.f_frsize, volume.f_bavail * volume.f_frsize)))
    }
}
