//! The log of one instance: a line is `TIME STREAM TEXT`, the file is bounded by rotation.
//!
//! The supervisor writes; commands read the files themselves, so that logs can be read when it is gone.

use crate::clock;
use crate::logline::{LogLine, LogOptions, Stream};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Size at which the current file becomes the previous one; one previous file is kept.
pub const ROTATE_AT_BYTES: u64 = 16 * 1024 * 1024;

/// Appends lines and rotates.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    file: File,
    size_bytes: u64,
    rotate_at_bytes: u64,
}

impl LogWriter {
    /// Opens the log to append to it.
    ///
    /// # Errors
    /// When its folder cannot be made or the file not opened.
    pub fn open(path: &Path, rotate_at_bytes: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let size_bytes = file.metadata()?.len();
        Ok(LogWriter { path: path.to_owned(), file, size_bytes, rotate_at_bytes })
    }

    /// Appends one line, given without its end.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(&mut self, stream: Stream, text: &[u8]) -> io::Result<()> {
        if self.size_bytes >= self.rotate_at_bytes {
            fs::rename(&self.path, previous(&self.path))?;
            *self = LogWriter::open(&self.path, self.rotate_at_bytes)?;
        }
        let mut line = Vec::with_capacity(text.len() + 34);
        write!(line, "{} {} ", clock::rfc3339(clock::now_ns()), stream.letter())?;
        line.extend(text.iter().filter(|byte| **byte != b'\n'));
        line.push(b'\n');
        self.size_bytes += line.len() as u64;
        self.file.write_all(&line)
    }
}

/// The file that rotation leaves behind.
pub fn previous(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// Removes a log; one that is not there is gone already.
///
/// # Errors
/// As the file system says.
pub fn remove(path: &Path) -> io::Result<()> {
    for path in [previous(path), path.to_owned()] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn parse(line: &[u8]) -> Option<LogLine> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let time = String::from_utf8(parts.next()?.to_vec()).ok()?;
    let stream = Stream::of_letter(parts.next()?)?;
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    Some(LogLine { time, stream, text })
}

/// Reads a log from where it stands to wherever it grows.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    file: Option<(u64, BufReader<File>)>,
    partial: Vec<u8>,
}

impl LogReader {
    /// A reader and the lines that were there already, as many as the options want.
    pub fn open(path: &Path, options: &LogOptions) -> (Self, Vec<LogLine>) {
        let mut reader = LogReader { path: path.to_owned(), file: None, partial: Vec::new() };
        let old = File::open(previous(path)).map(BufReader::new).ok();
        let mut lines: Vec<LogLine> = old
            .into_iter()
            .flat_map(|file| file.split(b'\n').map_while(Result::ok))
            .filter_map(|l| parse(&l))
            .collect();
        lines.extend(reader.more());
        if let Some(since) = &options.since {
            lines.retain(|line| line.time.as_str() >= since.as_str());
        }
        let skip = options.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        (reader, lines.split_off(skip))
    }

    /// Lines that came since the last call, across a rotation.
    pub fn more(&mut self) -> Vec<LogLine> {
        let mut lines = Vec::new();
        self.read_to_end(&mut lines);
        let current = fs::metadata(&self.path).map(|meta| meta.ino()).ok();
        if current.is_some() && current != self.file.as_ref().map(|(inode, _)| *inode) {
            self.partial.clear();
            self.file = File::open(&self.path)
                .and_then(|file| Ok((file.metadata()?.ino(), BufReader::new(file))))
                .ok();
            self.read_to_end(&mut lines);
        }
        lines
    }

    fn read_to_end(&mut self, lines: &mut Vec<LogLine>) {
        let Some((_, file)) = &mut self.file else { return };
        while let Ok(read) = file.read_until(b'\n', &mut self.partial) {
            if read == 0 || !self.partial.ends_with(b"\n") {
                return;
            }
            lines.extend(parse(&self.partial));
            self.partial.clear();
        }
    }
}

/// The last lines of a file of plain text, for a message.
pub fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(64 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_come_back_in_order_across_a_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/broker.log");
        let mut writer = LogWriter::open(&path, 100).unwrap();
        writer.write(Stream::Out, b"one").unwrap();
        writer.write(Stream::Err, b"two").unwrap();
        let (mut reader, lines) = LogReader::open(&path, &LogOptions::default());
        assert_eq!(texts(&lines), ["one", "two"]);
        assert_eq!(lines[1].stream, Stream::Err);

        for text in ["three", "four", "five"] {
            writer.write(Stream::Out, text.as_bytes()).unwrap();
        }
        assert_eq!(texts(&reader.more()), ["three", "four", "five"]);
        assert!(previous(&path).exists(), "it was rotated on the way");
        let tail = LogOptions { tail: Some(2), ..LogOptions::default() };
        assert_eq!(texts(&LogReader::open(&path, &tail).1), ["four", "five"]);
    }

    #[test]
    fn a_line_that_is_still_being_written_is_held_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.log");
        fs::write(&path, "2024-01-01T00:00:00Z o whole\n2024-01-01T00:00:00Z o ha").unwrap();
        let (mut reader, lines) = LogReader::open(&path, &LogOptions::default());
        assert_eq!(texts(&lines), ["whole"]);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"lf\n").unwrap();
        assert_eq!(texts(&reader.more()), ["half"]);
    }
}
