//! Record batches of magic 2 (KIP-98): the fixed header, iteration over concatenated batches, checksums, building.
//!
//! A batch is looked at where it lies; only `BatchBuilder` makes new ones, for the records a broker writes itself
//! and for the cold paths. Whether a batch may enter a log is `validate`'s to say.

use bytes::{BufMut, Bytes, BytesMut};

use crate::compression::{self, Allowance, Compression, CompressionError, Packer};
use crate::records::{self, HeadersRef, RecordRef, Records};

pub use crate::records::{RecordsError, StructureError, Visit};

/// The fixed part of a batch of magic 2.
pub const HEADER_BYTES: usize = 61;
/// Base offset and length: what comes before the bytes that the length counts.
pub const LOG_OVERHEAD_BYTES: usize = 12;
/// Where the checksum begins to count: attributes.
const CRC_COVERS_FROM: usize = 21;
const MAGIC_AT: usize = 16;
/// What is needed to know a batch's length and magic.
pub const HEADER_UP_TO_MAGIC_BYTES: usize = 17;
/// The smallest message of magic 0: nothing shorter can be a batch of any magic.
const SMALLEST_MESSAGE_BYTES: i32 = 14;

pub const MAGIC_V2: i8 = 2;
pub const NO_TIMESTAMP: i64 = -1;
pub const NO_PRODUCER_ID: i64 = -1;
pub const NO_PRODUCER_EPOCH: i16 = -1;
pub const NO_SEQUENCE: i32 = -1;
pub const NO_PARTITION_LEADER_EPOCH: i32 = -1;

const COMPRESSION_MASK: i16 = 0x07;
const TIMESTAMP_TYPE_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;
/// What the reference keeps of the attributes when it writes them anew (`DefaultRecordBatch.computeAttributes`).
const KNOWN_ATTRIBUTES: i16 = 0x7f;

/// Why bytes are no batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("a batch of {needed} bytes is cut off after {available}")]
    Truncated { needed: usize, available: usize },
    #[error("Record size {0} is less than the minimum record overhead (14)")]
    TooSmall(i32),
    #[error("Record batch is corrupt (the size {0} is smaller than the minimum allowed overhead 61)")]
    SmallerThanHeader(usize),
    #[error("Invalid magic found in record: {0}")]
    UnknownMagic(i8),
    /// Magic 0 or 1: known, and not of this module.
    #[error("message format v{0} where v2 is expected")]
    LegacyMagic(i8),
    #[error("unknown compression type id: {0}")]
    UnknownCompression(i16),
    #[error("Record is corrupt (stored crc = {stored}, computed crc = {computed})")]
    Crc { stored: u32, computed: u32 },
}

/// Which clock a batch's timestamps are of (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// The fixed part of a batch of magic 2, field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes after this field; see [`BatchHeader::size_bytes`].
    pub batch_length: i32,
    pub partition_leader_epoch: i32,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    /// Of the first record; or, where the batch says so, the delete horizon of its tombstones.
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

/// Reads `N` bytes at `AT`; the compiler sees that they are there.
fn field<const AT: usize, const N: usize>(header: &[u8; HEADER_BYTES]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[AT..AT + N]);
    bytes
}

impl BatchHeader {
    /// Reads the fixed part. The rest of the batch need not be there.
    ///
    /// # Errors
    /// `LegacyMagic` and `UnknownMagic`; lengths that no batch can have; `Truncated` with fewer than 61 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let size_bytes = size_of_next(bytes)?;
        match bytes[MAGIC_AT] as i8 {
            MAGIC_V2 if size_bytes < HEADER_BYTES => return Err(BatchError::SmallerThanHeader(size_bytes)),
            MAGIC_V2 => {}
            legacy => return Err(BatchError::LegacyMagic(legacy)),
        }
        let available = bytes.len();
        let header = bytes.first_chunk::<HEADER_BYTES>();
        let header = header.ok_or(BatchError::Truncated { needed: HEADER_BYTES, available })?;
        Ok(Self {
            base_offset: i64::from_be_bytes(field::<0, 8>(header)),
            batch_length: i32::from_be_bytes(field::<8, 4>(header)),
            partition_leader_epoch: i32::from_be_bytes(field::<12, 4>(header)),
            crc: u32::from_be_bytes(field::<17, 4>(header)),
            attributes: i16::from_be_bytes(field::<21, 2>(header)),
            last_offset_delta: i32::from_be_bytes(field::<23, 4>(header)),
            base_timestamp: i64::from_be_bytes(field::<27, 8>(header)),
            max_timestamp: i64::from_be_bytes(field::<35, 8>(header)),
            producer_id: i64::from_be_bytes(field::<43, 8>(header)),
            producer_epoch: i16::from_be_bytes(field::<51, 2>(header)),
            base_sequence: i32::from_be_bytes(field::<53, 4>(header)),
            record_count: i32::from_be_bytes(field::<57, 4>(header)),
        })
    }

    /// The fixed part as bytes, as it stands: the checksum is not computed here.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        out[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        out[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        out[MAGIC_AT] = MAGIC_V2 as u8;
        out[17..21].copy_from_slice(&self.crc.to_be_bytes());
        out[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        out[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        out[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        out[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        out
    }

    /// The whole batch in bytes, this header included.
    pub fn size_bytes(&self) -> usize {
        LOG_OVERHEAD_BYTES + self.batch_length.max(0) as usize
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset after this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// # Errors
    /// `UnknownCompression` for the ids 5 to 7.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let id = self.attributes & COMPRESSION_MASK;
        Compression::from_id(id as u8).ok_or(BatchError::UnknownCompression(id))
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Writes the attributes anew; bits without a meaning are lost. The checksum is not touched.
    pub fn set_timestamp_type(&mut self, timestamp_type: TimestampType) {
        self.attributes &= KNOWN_ATTRIBUTES;
        match timestamp_type {
            TimestampType::CreateTime => self.attributes &= !TIMESTAMP_TYPE_BIT,
            TimestampType::LogAppendTime => self.attributes |= TIMESTAMP_TYPE_BIT,
        }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// When the tombstones of a compacted batch may go (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// The sequence of the last record, which wraps around to 0; `NO_SEQUENCE` if the batch has none.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            NO_SEQUENCE
        } else {
            increment_sequence(self.base_sequence, self.last_offset_delta)
        }
    }

    /// The timestamp of a record: its own, or the batch's where the broker's clock rules.
    pub fn timestamp_of(&self, delta_ms: i64) -> i64 {
        match self.timestamp_type() {
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(delta_ms),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }

    /// The batch without its records, which compaction keeps where the producer's epoch and last sequence are to be
    /// remembered (`DefaultRecordBatch.writeEmptyHeader`).
    pub fn emptied(&self) -> Bytes {
        let kept = TIMESTAMP_TYPE_BIT | TRANSACTIONAL_BIT | CONTROL_BIT;
        let attributes = self.attributes & kept;
        finish(Self { attributes, base_timestamp: NO_TIMESTAMP, record_count: 0, ..*self }, &[])
    }

    /// The checksum that this header and `body` should have.
    pub fn compute_crc(&self, body: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.to_bytes()[CRC_COVERS_FROM..]), body)
    }
}

/// `DefaultRecordBatch.incrementSequence`: sequences run from 0 to `i32::MAX` and start over.
pub fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    sequence.wrapping_add(increment) & i32::MAX
}

/// The length of the batch (of any magic) that `bytes` begin with; all of it need not be there.
///
/// # Errors
/// `Truncated` with fewer than 17 bytes; lengths and magics that do not exist.
pub fn size_of_next(bytes: &[u8]) -> Result<usize, BatchError> {
    let cut_off = BatchError::Truncated { needed: HEADER_UP_TO_MAGIC_BYTES, available: bytes.len() };
    let Some(&[_, _, _, _, _, _, _, _, length @ ..]) = bytes.first_chunk::<LOG_OVERHEAD_BYTES>() else {
        return Err(cut_off);
    };
    let length = i32::from_be_bytes(length);
    if length < SMALLEST_MESSAGE_BYTES {
        return Err(BatchError::TooSmall(length));
    }
    match magic_of_next(bytes) {
        None => Err(cut_off),
        Some(0..=MAGIC_V2) => Ok(LOG_OVERHEAD_BYTES + length as usize),
        Some(unknown) => Err(BatchError::UnknownMagic(unknown)),
    }
}

/// The magic of the batch that `bytes` begin with, if they reach that far.
pub fn magic_of_next(bytes: &[u8]) -> Option<i8> {
    bytes.get(MAGIC_AT).map(|magic| *magic as i8)
}

/// A whole batch, where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRef {
    pub header: BatchHeader,
    /// All bytes of the batch, header included.
    pub bytes: Bytes,
}

impl BatchRef {
    /// The batch that `bytes` begin with.
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let needed = header.size_bytes();
        if bytes.len() < needed {
            return Err(BatchError::Truncated { needed, available: bytes.len() });
        }
        Ok(Self { header, bytes: bytes.slice(..needed) })
    }

    /// The records, perhaps compressed.
    pub fn body(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// # Errors
    /// `Crc` if the stored checksum is not that of the bytes.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c(&self.bytes[CRC_COVERS_FROM..]);
        let stored = self.header.crc;
        if stored == computed { Ok(()) } else { Err(BatchError::Crc { stored, computed }) }
    }

    /// The records, unpacked into `scratch` where they are compressed.
    ///
    /// # Errors
    /// Data that is not of the batch's codec, or that unpacks to more than `limit_bytes`. Errors in the records come
    /// from the iterator.
    pub fn records<'a>(
        &'a self,
        limit_bytes: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Records<'a>, RecordsError> {
        let codec = self
            .header
            .compression()
            .map_err(|error| CompressionError::Corrupt { codec: "unknown", reason: error.to_string() })?;
        let body = if codec == Compression::None {
            self.body()
        } else {
            compression::decompress_into(codec, self.body(), limit_bytes, scratch)?;
            scratch
        };
        Ok(records::records(body, self.header.record_count))
    }

    /// Reads the records one by one; of what is compressed, one is in memory at a time.
    ///
    /// # Errors
    /// Data that is not of the batch's codec, that unpacks to more than is allowed, or with a record of more than
    /// `limit_bytes`; what `visit` says.
    pub fn each_record<E: From<RecordsError>>(
        &self,
        allowance: &Allowance,
        limit_bytes: usize,
        mut visit: impl FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let count = self.header.record_count;
        if matches!(self.header.compression(), Ok(Compression::None)) {
            let mut records = records::records(self.body(), count);
            return records.try_for_each(|record| visit(record.map_err(RecordsError::from)?));
        }
        records::read_stream(&mut self.stream(allowance)?, count, limit_bytes, visit)
    }

    /// The records' bytes, unpacked as they are read.
    fn stream<'a>(&'a self, allowance: &'a Allowance) -> Result<compression::Stream<'a>, RecordsError> {
        let unknown = |reason| CompressionError::Corrupt { codec: "unknown", reason };
        let codec = self.header.compression().map_err(|error| unknown(error.to_string()))?;
        Ok(compression::reader(codec, self.body(), allowance)?)
    }

    /// Walks the records; not even one of them is in memory as a whole. `buffer` may be used again.
    ///
    /// # Errors
    /// Data that is not of the batch's codec, or that unpacks to more than is allowed before the walk ends; what
    /// `visit` says.
    pub fn walk<V: Visit>(
        &self,
        allowance: &Allowance,
        buffer: &mut Vec<u8>,
        visit: &mut V,
    ) -> Result<(), V::Error> {
        let mut stream = self.stream(allowance)?;
        records::walk_stream(&mut stream, self.header.record_count, buffer, visit)
    }

    /// Builds a batch of some of the records, in the codec of this one; nothing but what is packed is in memory as a
    /// whole. `keeps` is asked of each in turn.
    pub fn copy_some(
        &self,
        mut builder: BatchBuilder,
        buffer: &mut Vec<u8>,
        mut keeps: impl FnMut() -> bool,
    ) -> Result<Bytes, RecordsError> {
        let header = &self.header;
        let codec = header.compression().unwrap_or(Compression::None);
        let unbounded = Allowance::new(usize::MAX);
        let (mut stream, mut packer) = (self.stream(&unbounded)?, Packer::new(codec)?);
        let keep = |delta_ms, offset_delta| {
            keeps().then(|| builder.begin_record(offset_delta, header.timestamp_of(delta_ms)))
        };
        records::copy_stream(&mut stream, header.record_count, buffer, keep, |piece| packer.write(piece))?;
        Ok(builder.build_packed(packer)?)
    }
}

/// Iterates over concatenated batches of magic 2. See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
    tolerate_partial: bool,
}

/// Concatenated batches; a batch that is cut off is an error. The first error ends the iteration.
pub fn batches(bytes: &Bytes) -> Batches {
    Batches { rest: bytes.clone(), tolerate_partial: false }
}

/// Concatenated batches of which the last may be cut off, as the end of a fetch is; it is left out.
pub fn complete_batches(bytes: &Bytes) -> Batches {
    Batches { rest: bytes.clone(), tolerate_partial: true }
}

impl Batches {
    /// What has not been iterated over: after the end, a batch that is cut off, or what is wrong.
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Batches {
    type Item = Result<BatchRef, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match BatchRef::parse(&self.rest) {
            Ok(batch) => {
                self.rest = self.rest.slice(batch.bytes.len()..);
                Some(Ok(batch))
            }
            Err(BatchError::Truncated { .. }) if self.tolerate_partial => None,
            Err(error) => {
                self.rest = Bytes::new();
                Some(Err(error))
            }
        }
    }
}

/// Builds one batch.
///
/// Offsets are contiguous from the base offset unless [`BatchBuilder::append_at`] leaves gaps, as compaction does.
#[derive(Debug)]
pub struct BatchBuilder {
    header: BatchHeader,
    log_append_time_ms: Option<i64>,
    /// The last offset that the batch claims, where its last records are gone.
    last_offset_delta: Option<i32>,
    body: BytesMut,
}

impl BatchBuilder {
    /// An empty batch of CREATE_TIME without a producer.
    pub fn new(base_offset: i64, partition_leader_epoch: i32) -> Self {
        Self {
            header: BatchHeader {
                base_offset,
                batch_length: 0,
                partition_leader_epoch,
                crc: 0,
                attributes: 0,
                last_offset_delta: -1,
                base_timestamp: NO_TIMESTAMP,
                max_timestamp: NO_TIMESTAMP,
                producer_id: NO_PRODUCER_ID,
                producer_epoch: NO_PRODUCER_EPOCH,
                base_sequence: NO_SEQUENCE,
                record_count: 0,
            },
            log_append_time_ms: None,
            last_offset_delta: None,
            body: BytesMut::new(),
        }
    }

    /// Marks the batch as one of control records.
    pub fn control(mut self) -> Self {
        self.header.attributes |= CONTROL_BIT;
        self
    }

    pub fn transactional(mut self) -> Self {
        self.header.attributes |= TRANSACTIONAL_BIT;
        self
    }

    pub fn producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        self.header.producer_id = producer_id;
        self.header.producer_epoch = producer_epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Stamps the batch with the broker's time. The records keep theirs, which readers of such a batch pass over.
    pub fn log_append_time(mut self, now_ms: i64) -> Self {
        self.header.set_timestamp_type(TimestampType::LogAppendTime);
        self.log_append_time_ms = Some(now_ms);
        self
    }

    /// Notes when the batch's tombstones, or its transaction marker, may go (KIP-534). Takes the place of the base
    /// timestamp, so it is to be said before the first record.
    pub fn delete_horizon(mut self, horizon_ms: i64) -> Self {
        self.header.attributes |= DELETE_HORIZON_BIT;
        self.header.base_timestamp = horizon_ms;
        self
    }

    /// Keeps the last offset, and with it the last sequence, of a batch whose last records are gone.
    pub fn last_offset_delta(mut self, delta: i32) -> Self {
        self.last_offset_delta = Some(delta);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// The offset the next record will get.
    pub fn next_offset(&self) -> i64 {
        self.header.next_offset()
    }

    /// What the batch takes so far, uncompressed, header included.
    pub fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Adds a record without headers at the next offset.
    pub fn append(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.append_at(self.header.last_offset_delta + 1, timestamp_ms, key, value, HeadersRef::default());
    }

    /// Adds a record at a given distance from the base offset, which must be beyond the last one's.
    pub fn append_at(
        &mut self,
        offset_delta: i32,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: HeadersRef<'_>,
    ) {
        let timestamp_delta_ms = self.begin_record(offset_delta, timestamp_ms);
        let record = RecordRef { timestamp_delta_ms, offset_delta, key, value, headers, size_bytes: 0 };
        records::put_record(&mut self.body, &record);
    }

    /// Counts a record; the delta of its time.
    fn begin_record(&mut self, offset_delta: i32, timestamp_ms: i64) -> i64 {
        debug_assert!(offset_delta > self.header.last_offset_delta, "offsets of a batch must rise");
        if self.header.record_count == 0 && self.header.delete_horizon_ms().is_none() {
            self.header.base_timestamp = timestamp_ms;
        }
        self.header.max_timestamp = self.header.max_timestamp.max(timestamp_ms);
        self.header.last_offset_delta = offset_delta;
        self.header.record_count += 1;
        timestamp_ms.wrapping_sub(self.header.base_timestamp)
    }

    fn settle(&mut self) {
        self.header.max_timestamp = self.log_append_time_ms.unwrap_or(self.header.max_timestamp);
        self.header.last_offset_delta = self.last_offset_delta.unwrap_or(self.header.last_offset_delta);
    }

    /// The batch, uncompressed.
    pub fn build(mut self) -> Bytes {
        self.settle();
        let body = self.body.freeze();
        finish(self.header, &body)
    }

    /// The batch, its records packed.
    pub fn build_compressed(self, codec: Compression) -> Result<Bytes, CompressionError> {
        self.build_packed(Packer::new(codec)?)
    }

    /// Forgets the records that are there, and not that there were some.
    pub(crate) fn drop_records(&mut self) {
        self.body.clear();
    }

    /// Packs the records that are there, so that what is unpacked of a large batch does not stay in memory.
    pub fn pack(&mut self, packer: &mut Packer) -> Result<(), CompressionError> {
        packer.write(&self.body)?;
        self.body.clear();
        Ok(())
    }

    /// The batch, its records in `packer`.
    pub fn build_packed(mut self, mut packer: Packer) -> Result<Bytes, CompressionError> {
        self.pack(&mut packer)?;
        self.header.attributes |= i16::from(packer.codec().id());
        self.settle();
        Ok(finish(self.header, &packer.finish()?))
    }
}

fn finish(mut header: BatchHeader, body: &[u8]) -> Bytes {
    header.batch_length = (HEADER_BYTES - LOG_OVERHEAD_BYTES + body.len()) as i32;
    header.crc = header.compute_crc(body);
    let mut out = BytesMut::with_capacity(HEADER_BYTES + body.len());
    out.put_slice(&header.to_bytes());
    out.put_slice(body);
    out.freeze()
}
