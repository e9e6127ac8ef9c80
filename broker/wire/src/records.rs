//! The records inside a batch of magic 2 (KIP-98): borrowed views over the bytes, and a scan that needs no more of a
//! record than its shape and no more memory than one buffer, however large what is compressed.

use std::io::Read;
use std::ops::ControlFlow;

use bytes::BufMut;

use crate::compression::CompressionError;
use crate::varint::{self, VarintError};

/// Why the records of a batch cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error(transparent)]
    Structure(#[from] StructureError),
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// What is wrong with how the records are laid out. The texts are the reference's, as clients are shown them.
/// Small and plain, as it is the other outcome of every step of the hottest loop there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    #[error("Incorrect declared batch size, premature EOF reached")]
    PrematureEnd,
    #[error("Incorrect declared batch size, records still remaining in file")]
    BytesRemain,
    #[error("Found invalid record count {0} in batch")]
    BadCount(i32),
    #[error("Found invalid record structure")]
    BadStructure,
    #[error("Found invalid number of record headers {0}")]
    BadHeaderCount(i32),
    #[error("Invalid negative header key size {0}")]
    BadHeaderKeySize(i32),
    #[error(
        "Invalid record size: expected to read {expected} bytes in record payload, but instead read {read}"
    )]
    BadSize { expected: i32, read: i32 },
}

impl From<VarintError> for StructureError {
    fn from(error: VarintError) -> Self {
        match error {
            VarintError::Truncated => Self::PrematureEnd,
            VarintError::TooLong => Self::BadStructure,
        }
    }
}

impl From<VarintError> for RecordsError {
    fn from(error: VarintError) -> Self {
        Self::Structure(error.into())
    }
}

/// One record, borrowed from the (uncompressed) body of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Added to the batch's base timestamp.
    pub timestamp_delta_ms: i64,
    /// Added to the batch's base offset.
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: HeadersRef<'a>,
    /// The whole record in bytes, with its length in front.
    pub size_bytes: usize,
}

/// The headers of a record, not yet taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeadersRef<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> HeadersRef<'a> {
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers that `pairs` are, written into `buffer`.
    pub fn write(pairs: &[(&[u8], Option<&[u8]>)], buffer: &'a mut Vec<u8>) -> Self {
        let start = buffer.len();
        for (key, value) in pairs {
            put_nullable(buffer, Some(key));
            put_nullable(buffer, *value);
        }
        HeadersRef { count: pairs.len() as u32, bytes: &buffer[start..] }
    }

    /// Keys with values, in order. The bytes were checked when the record was read.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut cursor = Cursor { bytes: self.bytes, at: 0 };
        (0..self.count).map_while(move |_| Some((cursor.nullable().ok()??, cursor.nullable().ok()?)))
    }
}

/// A place in bytes.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    fn i32(&mut self) -> Result<i32, StructureError> {
        Ok(varint::read_i32(self.bytes, &mut self.at)?)
    }

    #[inline(always)]
    fn i64(&mut self) -> Result<i64, StructureError> {
        Ok(varint::read_i64(self.bytes, &mut self.at)?)
    }

    /// A length and as many bytes; a negative length is null.
    #[inline]
    fn nullable(&mut self) -> Result<Option<&'a [u8]>, StructureError> {
        let Ok(length) = usize::try_from(self.i32()?) else { return Ok(None) };
        let rest = &self.bytes[self.at..];
        let bytes = rest.get(..length).ok_or(StructureError::PrematureEnd)?;
        self.at += length;
        Ok(Some(bytes))
    }

    /// Steps over a length and as many bytes, and gives the length; a negative one is null.
    #[inline(always)]
    fn skip_nullable(&mut self) -> Result<i32, StructureError> {
        let length = self.i32()?;
        if length > 0 {
            // No overflow: both are at most the size of what is in memory.
            self.at += length as usize;
            if self.at > self.bytes.len() {
                return Err(StructureError::PrematureEnd);
            }
        }
        Ok(length)
    }

    /// Steps over a record and gives its shape. Refuses what [`Cursor::record`] refuses.
    #[inline(always)]
    fn shape(&mut self) -> Result<RecordShape, StructureError> {
        let size = self.i32()?;
        let body_start = self.at;
        if size < 0 || size as usize > self.bytes.len() - body_start {
            return Err(StructureError::PrematureEnd);
        }
        self.at += 1;
        let timestamp_delta_ms = self.i64()?;
        let offset_delta = self.i32()?;
        let key_size_bytes = self.skip_nullable()?;
        let value_size_bytes = self.skip_nullable()?;
        // Nearly always a single zero: no headers.
        if self.bytes.get(self.at) == Some(&0) {
            self.at += 1;
        } else {
            self.headers()?;
        }
        if self.at - body_start != size as usize {
            return Err(StructureError::BadSize { expected: size, read: (self.at - body_start) as i32 });
        }
        Ok(RecordShape { timestamp_delta_ms, offset_delta, key_size_bytes, value_size_bytes })
    }

    fn headers(&mut self) -> Result<HeadersRef<'a>, StructureError> {
        let count = self.i32()?;
        if count < 0 || count as usize > self.bytes.len() - self.at {
            return Err(StructureError::BadHeaderCount(count));
        }
        let start = self.at;
        for _ in 0..count {
            let key_size = self.i32()?;
            let key_size =
                usize::try_from(key_size).map_err(|_| StructureError::BadHeaderKeySize(key_size))?;
            if key_size > self.bytes.len() - self.at {
                return Err(StructureError::PrematureEnd);
            }
            self.at += key_size;
            self.nullable()?;
        }
        Ok(HeadersRef { count: count as u32, bytes: &self.bytes[start..self.at] })
    }

    fn record(&mut self) -> Result<RecordRef<'a>, StructureError> {
        let start = self.at;
        let size = self.i32()?;
        let body_start = self.at;
        let body_end = usize::try_from(size).ok().and_then(|size| body_start.checked_add(size));
        let body_end = body_end.filter(|end| *end <= self.bytes.len()).ok_or(StructureError::PrematureEnd)?;
        // The attributes of a record are unused.
        self.at += 1;
        let timestamp_delta_ms = self.i64()?;
        let offset_delta = self.i32()?;
        let (key, value) = (self.nullable()?, self.nullable()?);
        let headers = self.headers()?;
        if self.at != body_end {
            return Err(StructureError::BadSize { expected: size, read: (self.at - body_start) as i32 });
        }
        Ok(RecordRef { timestamp_delta_ms, offset_delta, key, value, headers, size_bytes: body_end - start })
    }
}

/// Iterates over the uncompressed body of a batch. Ends after the first error.
pub struct Records<'a> {
    cursor: Cursor<'a>,
    left: i32,
}

/// The records of an uncompressed body, of which the batch declares `count`.
pub fn records(body: &[u8], count: i32) -> Records<'_> {
    Records { cursor: Cursor { bytes: body, at: 0 }, left: count }
}

impl<'a> Records<'a> {
    fn step(&mut self) -> Result<RecordRef<'a>, StructureError> {
        if self.left < 0 {
            return Err(StructureError::BadCount(self.left));
        }
        let record = self.cursor.record()?;
        if self.left == 1 && self.cursor.at != self.cursor.bytes.len() {
            return Err(StructureError::BytesRemain);
        }
        Ok(record)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, StructureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let step = self.step();
        self.left = if step.is_ok() { self.left - 1 } else { 0 };
        Some(step)
    }
}

/// What a validator needs to know of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordShape {
    pub timestamp_delta_ms: i64,
    pub offset_delta: i32,
    /// Below zero: null.
    pub key_size_bytes: i32,
    /// Below zero: null.
    pub value_size_bytes: i32,
}

impl RecordShape {
    pub fn has_key(&self) -> bool {
        self.key_size_bytes >= 0
    }

    pub fn has_value(&self) -> bool {
        self.value_size_bytes >= 0
    }
}

/// Scans an uncompressed body. `visit` gets each record's index and shape; the first error ends the scan.
pub fn scan(body: &[u8], count: i32, mut visit: impl FnMut(i32, RecordShape)) -> Result<(), StructureError> {
    if count < 0 {
        return Err(StructureError::BadCount(count));
    }
    let mut cursor = Cursor { bytes: body, at: 0 };
    for index in 0..count {
        visit(index, cursor.shape()?);
    }
    if cursor.at == body.len() || count == 0 { Ok(()) } else { Err(StructureError::BytesRemain) }
}

/// Scans a stream of unpacked bytes through a buffer of fixed size, so that a small batch which unpacks to gigabytes
/// costs time, within the allowance of the stream, and no memory. Keys, values and headers are stepped over, as `DefaultRecord.readPartiallyFrom` does.
pub fn scan_stream(
    stream: &mut dyn Read,
    count: i32,
    buffer: &mut Vec<u8>,
    mut visit: impl FnMut(i32, RecordShape),
) -> Result<(), RecordsError> {
    if count < 0 {
        return Err(StructureError::BadCount(count).into());
    }
    let mut window = Window::new(stream, buffer);
    for index in 0..count {
        visit(index, window.record()?);
    }
    if window.at_end()? { Ok(()) } else { Err(StructureError::BytesRemain.into()) }
}

/// Reads the records of a stream of unpacked bytes one by one. `buffer` holds one record at a time.
///
/// # Errors
/// `TooLarge` for a record of more than `limit_bytes`; what `visit` says.
pub fn read_stream<E: From<RecordsError>>(
    stream: &mut dyn Read,
    count: i32,
    limit_bytes: usize,
    mut visit: impl FnMut(RecordRef<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let structure = |error: StructureError| E::from(error.into());
    if count < 0 {
        return Err(structure(StructureError::BadCount(count)));
    }
    let (mut buffer, mut record) = (Vec::new(), Vec::new());
    let mut window = Window::new(stream, &mut buffer);
    for _ in 0..count {
        let size = window.i32()?;
        if usize::try_from(size).is_ok_and(|size| size > limit_bytes) {
            return Err(E::from(CompressionError::TooLarge { codec: "record", limit_bytes }.into()));
        }
        record.clear();
        varint::put_i32(&mut record, size);
        window.take(size, &mut record)?;
        visit(Cursor { bytes: &record, at: 0 }.record().map_err(structure)?)?;
    }
    if window.at_end()? { Ok(()) } else { Err(structure(StructureError::BytesRemain)) }
}

/// Whoever is told of the records of a batch one after the other, of which no more than a piece is in memory.
pub trait Visit {
    type Error: From<RecordsError>;

    /// The next bytes of the key of the record that is told of next.
    fn key(&mut self, _piece: &[u8]) {}

    /// A record; `Break` ends the walk, and what is behind is not looked at.
    fn record(&mut self, record: RecordShape) -> Result<ControlFlow<()>, Self::Error>;
}

/// Walks a stream of unpacked bytes through a buffer of fixed size.
pub(crate) fn walk_stream<V: Visit>(
    stream: &mut dyn Read,
    count: i32,
    buffer: &mut Vec<u8>,
    visit: &mut V,
) -> Result<(), V::Error> {
    let structure = |error: StructureError| V::Error::from(error.into());
    if count < 0 {
        return Err(structure(StructureError::BadCount(count)));
    }
    let mut window = Window::new(stream, buffer);
    for _ in 0..count {
        let shape = window.record_with(&mut |piece| visit.key(piece))?;
        if visit.record(shape)?.is_break() {
            return Ok(());
        }
    }
    if count == 0 || window.at_end()? { Ok(()) } else { Err(structure(StructureError::BytesRemain)) }
}

/// Copies records of a stream of unpacked bytes, piece by piece. `keeps` says of each, by its deltas of time and
/// offset, the delta of time that the copy has; none where it is left out.
pub(crate) fn copy_stream(
    stream: &mut dyn Read,
    count: i32,
    buffer: &mut Vec<u8>,
    mut keeps: impl FnMut(i64, i32) -> Option<i64>,
    mut write: impl FnMut(&[u8]) -> Result<(), CompressionError>,
) -> Result<(), RecordsError> {
    let mut window = Window::new(stream, buffer);
    let mut head = Vec::with_capacity(2 * LONGEST_READ_BYTES);
    for _ in 0..count {
        let size = window.i32()?;
        let start = window.passed;
        // The attributes of a record are unused.
        window.skip(1)?;
        let (timestamp_delta_ms, offset_delta) = (window.i64()?, window.i32()?);
        let rest = i32::try_from(i64::from(size) - (window.passed - start));
        let rest = rest.ok().filter(|rest| *rest >= 0).ok_or(StructureError::PrematureEnd)?;
        let Some(delta_ms) = keeps(timestamp_delta_ms, offset_delta) else {
            window.skip(rest)?;
            continue;
        };
        let deltas_bytes = varint::len_i64(delta_ms) + varint::len_i32(offset_delta);
        head.clear();
        varint::put_i32(&mut head, 1 + deltas_bytes as i32 + rest);
        head.put_u8(0);
        varint::put_i64(&mut head, delta_ms);
        varint::put_i32(&mut head, offset_delta);
        write(&head)?;
        let mut written = Ok(());
        window.pass(rest, &mut |piece| {
            if written.is_ok() {
                written = write(piece);
            }
        })?;
        written?;
    }
    Ok(())
}

/// How much of a stream is looked at at a time.
const WINDOW_BYTES: usize = 64 * 1024;
/// The longest thing that is read in one piece: a 64-bit varint.
const LONGEST_READ_BYTES: usize = 10;

/// A buffered stream that one can step over.
struct Window<'a> {
    stream: &'a mut dyn Read,
    buffer: &'a mut Vec<u8>,
    at: usize,
    filled: usize,
    ended: bool,
    /// Bytes of the stream before `at`.
    passed: i64,
}

impl<'a> Window<'a> {
    fn new(stream: &'a mut dyn Read, buffer: &'a mut Vec<u8>) -> Self {
        buffer.resize(WINDOW_BYTES, 0);
        Self { stream, buffer, at: 0, filled: 0, ended: false, passed: 0 }
    }

    /// Makes the next varint contiguous, if the stream has one.
    #[inline(always)]
    fn ensure(&mut self) -> Result<(), RecordsError> {
        if self.filled - self.at >= LONGEST_READ_BYTES || self.ended { Ok(()) } else { self.refill() }
    }

    #[cold]
    fn refill(&mut self) -> Result<(), RecordsError> {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        while self.filled < LONGEST_READ_BYTES && !self.ended {
            match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CompressionError::of_stream("record", &error).into()),
            }
        }
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, RecordsError> {
        self.ensure()?;
        Ok(self.at == self.filled)
    }

    #[inline(always)]
    fn i32(&mut self) -> Result<i32, RecordsError> {
        self.ensure()?;
        let before = self.at;
        let value = varint::read_i32(&self.buffer[..self.filled], &mut self.at)?;
        self.passed += (self.at - before) as i64;
        Ok(value)
    }

    #[inline(always)]
    fn i64(&mut self) -> Result<i64, RecordsError> {
        self.ensure()?;
        let before = self.at;
        let value = varint::read_i64(&self.buffer[..self.filled], &mut self.at)?;
        self.passed += (self.at - before) as i64;
        Ok(value)
    }

    /// Steps over `length` bytes; a negative length is null and nothing to step over.
    #[inline(always)]
    fn skip(&mut self, length: i32) -> Result<(), RecordsError> {
        self.pass(length, &mut |_| {})
    }

    /// Steps over `length` bytes and shows them, as they come.
    #[inline(always)]
    fn pass(&mut self, length: i32, show: &mut impl FnMut(&[u8])) -> Result<(), RecordsError> {
        let mut left = usize::try_from(length).unwrap_or(0);
        self.passed += left as i64;
        while left > self.filled - self.at {
            left -= self.filled - self.at;
            show(&self.buffer[self.at..self.filled]);
            self.at = self.filled;
            self.ensure()?;
            if self.at == self.filled {
                return Err(StructureError::PrematureEnd.into());
            }
        }
        show(&self.buffer[self.at..self.at + left]);
        self.at += left;
        Ok(())
    }

    /// Appends the next `length` bytes to `out`, as they come.
    fn take(&mut self, length: i32, out: &mut Vec<u8>) -> Result<(), RecordsError> {
        let mut left = usize::try_from(length).map_err(|_| StructureError::PrematureEnd)?;
        while left > 0 {
            self.ensure()?;
            let now = left.min(self.filled - self.at);
            if now == 0 {
                return Err(StructureError::PrematureEnd.into());
            }
            out.extend_from_slice(&self.buffer[self.at..self.at + now]);
            self.at += now;
            left -= now;
        }
        Ok(())
    }

    fn record(&mut self) -> Result<RecordShape, RecordsError> {
        self.record_with(&mut |_| {})
    }

    /// The shape of the next record, whose key is shown as it comes.
    #[inline(always)]
    fn record_with(&mut self, key: &mut impl FnMut(&[u8])) -> Result<RecordShape, RecordsError> {
        let size = self.i32()?;
        let start = self.passed;
        self.skip(1)?;
        let timestamp_delta_ms = self.i64()?;
        let offset_delta = self.i32()?;
        let key_size = self.i32()?;
        self.pass(key_size, key)?;
        let value_size = self.i32()?;
        self.skip(value_size)?;
        let headers = self.i32()?;
        if headers < 0 {
            return Err(StructureError::BadHeaderCount(headers).into());
        }
        for _ in 0..headers {
            let key_size = self.i32()?;
            if key_size < 0 {
                return Err(StructureError::BadHeaderKeySize(key_size).into());
            }
            self.skip(key_size)?;
            let value_size = self.i32()?;
            self.skip(value_size)?;
        }
        // The reference's partial reader lets a wrong size through and its consumers then fail on the batch for ever.
        if self.passed - start != i64::from(size) {
            return Err(StructureError::BadSize { expected: size, read: (self.passed - start) as i32 }.into());
        }
        Ok(RecordShape {
            timestamp_delta_ms,
            offset_delta,
            key_size_bytes: key_size,
            value_size_bytes: value_size,
        })
    }
}

/// Writes one record.
pub(crate) fn put_record(out: &mut impl BufMut, record: &RecordRef<'_>) {
    let body_bytes = 1
        + varint::len_i64(record.timestamp_delta_ms)
        + varint::len_i32(record.offset_delta)
        + nullable_len(record.key)
        + nullable_len(record.value)
        + varint::len_i32(record.headers.count as i32)
        + record.headers.bytes.len();
    varint::put_i32(out, body_bytes as i32);
    out.put_u8(0);
    varint::put_i64(out, record.timestamp_delta_ms);
    varint::put_i32(out, record.offset_delta);
    put_nullable(out, record.key);
    put_nullable(out, record.value);
    varint::put_i32(out, record.headers.count as i32);
    out.put_slice(record.headers.bytes);
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::len_i32(bytes.len() as i32) + bytes.len())
}

fn put_nullable(out: &mut impl BufMut, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            varint::put_i32(out, bytes.len() as i32);
            out.put_slice(bytes);
        }
        None => varint::put_i32(out, -1),
    }
}
