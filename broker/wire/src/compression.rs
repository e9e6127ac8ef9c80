//! The codecs of record batches: gzip, snappy (in xerial's framing, and raw), LZ4 frames, zstd.
//!
//! Bytes from a client are opened either as a stream, whose memory does not grow with what they unpack to, or into
//! a buffer with a limit. Nothing here trusts a length that the bytes claim: what a codec has to have in memory at once
//! (a block, a window) is within the allowance before it is allocated.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// How the records of a batch are compressed (`CompressionType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    /// From the three low bits of a batch's attributes.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The name in `compression.type` of clients. A topic's `compression.type` says `uncompressed` for `none`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    fn cannot_pack(self, error: io::Error) -> CompressionError {
        CompressionError::Pack { codec: self.name(), reason: error.to_string() }
    }

    /// From [`Compression::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| codec.name() == name)
    }
}

/// What a stream ends with that unpacks to more than is allowed.
#[derive(Debug, thiserror::Error)]
#[error("the records of the request unpack to more than is allowed")]
struct Spent;

fn spent() -> io::Error {
    io::Error::other(Spent)
}

/// Why bytes could not be unpacked or packed.
#[derive(Debug, thiserror::Error)]
pub enum CompressionError {
    #[error("the {codec} data is corrupt: {reason}")]
    Corrupt { codec: &'static str, reason: String },
    #[error("the {codec} data unpacks to more than {limit_bytes} bytes")]
    TooLarge { codec: &'static str, limit_bytes: usize },
    #[error("the records of the request unpack to more than is allowed")]
    AllowanceSpent,
    #[error("packing with {codec} failed: {reason}")]
    Pack { codec: &'static str, reason: String },
}

impl CompressionError {
    /// What a stream of [`reader`] ended with.
    pub(crate) fn of_stream(codec: &'static str, error: &io::Error) -> Self {
        match error.get_ref().is_some_and(|inner| inner.is::<Spent>()) {
            true => Self::AllowanceSpent,
            false => Self::Corrupt { codec, reason: error.to_string() },
        }
    }
}

/// What compressed records may still unpack to, over all batches of one request. `max.message.bytes` bounds what is
/// packed; a few kilobytes of it can stand for gigabytes, which take seconds to look at.
#[derive(Debug)]
pub struct Allowance {
    left_bytes: AtomicUsize,
}

impl Allowance {
    /// So much is allowed whatever the size of a request: batches that pack hundred to one, as repeated records do,
    /// stay far below it, and the slowest codec is through with it in about a second.
    pub const LEAST_BYTES: usize = 256 << 20;
    /// Where a topic takes very large batches: what text packs to at best.
    const MOST_RATIO: usize = 16;

    pub fn new(bytes: usize) -> Self {
        Self { left_bytes: AtomicUsize::new(bytes) }
    }

    /// For a request with so many bytes of records.
    pub fn for_records(packed_bytes: usize) -> Self {
        Self::new(packed_bytes.saturating_mul(Self::MOST_RATIO).max(Self::LEAST_BYTES))
    }

    pub fn left_bytes(&self) -> usize {
        self.left_bytes.load(Ordering::Relaxed)
    }

    /// Takes `bytes`; false where there are not so many left, and then there are none.
    pub fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| Some(left.saturating_sub(bytes));
        let before = self.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        before.is_ok_and(|before| before >= bytes)
    }
}

/// xerial's stream header: magic, then version and lowest compatible version, both 1.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;
/// xerial's own block size.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// A snappy block may claim to unpack to 4 GiB. No block of a request of sane size does.
const SNAPPY_BLOCK_LIMIT_BYTES: usize = 128 * 1024 * 1024;
/// zstd's default limit for a window (128 MiB): what the reference's decoder takes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// A window that every decoder is to have room for (RFC 8878), whatever is left of an allowance; no block of LZ4 is
/// larger. Levels of zstd up to 19 need no more.
const ZSTD_WINDOW_LOG_FREE: u32 = 23;
/// How zstd says that a window is larger than the decoder was told to take.
const ZSTD_WINDOW_TOO_LARGE: &str = "Frame requires too much memory for decoding";

/// Opens compressed bytes as a stream, which takes what it unpacks from the allowance. `Compression::None` passes them
/// through.
pub fn reader<'a>(
    codec: Compression,
    bytes: &'a [u8],
    allowance: &'a Allowance,
) -> Result<Stream<'a>, CompressionError> {
    let affordable = allowance.left_bytes().checked_ilog2().unwrap_or(0);
    open(codec, bytes, allowance, affordable.clamp(ZSTD_WINDOW_LOG_FREE, ZSTD_WINDOW_LOG_MAX))
}

fn open<'a>(
    codec: Compression,
    bytes: &'a [u8],
    allowance: &'a Allowance,
    window_log_max: u32,
) -> Result<Stream<'a>, CompressionError> {
    let corrupt = |error: io::Error| CompressionError::of_stream(codec.name(), &error);
    let unpacked = match codec {
        Compression::None => Unpacked::None(bytes),
        Compression::Gzip => Unpacked::Gzip(Box::new(flate2::read::MultiGzDecoder::new(bytes))),
        Compression::Snappy => Unpacked::Snappy(SnappyReader::new(bytes)),
        Compression::Lz4 => {
            require_independent_blocks(bytes).map_err(corrupt)?;
            Unpacked::Lz4(Box::new(lz4_flex::frame::FrameDecoder::new(bytes)))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(corrupt)?;
            decoder.window_log_max(window_log_max).map_err(corrupt)?;
            Unpacked::Zstd { decoder, is_short: window_log_max < ZSTD_WINDOW_LOG_MAX }
        }
    };
    Ok(Stream { unpacked, allowance })
}

/// What compressed bytes unpack to.
pub struct Stream<'a> {
    unpacked: Unpacked<'a>,
    allowance: &'a Allowance,
}

enum Unpacked<'a> {
    None(&'a [u8]),
    Gzip(Box<flate2::read::MultiGzDecoder<&'a [u8]>>),
    Snappy(SnappyReader<'a>),
    Lz4(Box<lz4_flex::frame::FrameDecoder<&'a [u8]>>),
    Zstd {
        decoder: zstd::stream::read::Decoder<'static, &'a [u8]>,
        /// It takes smaller windows than it would with a larger allowance.
        is_short: bool,
    },
}

impl Read for Stream<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.unpacked {
            Unpacked::None(bytes) => return bytes.read(out),
            // Blocks are paid for as a whole.
            Unpacked::Snappy(blocks) => return blocks.read(out, self.allowance),
            Unpacked::Gzip(decoder) => decoder.read(out)?,
            Unpacked::Lz4(decoder) => decoder.read(out)?,
            Unpacked::Zstd { decoder, is_short } => decoder.read(out).map_err(|error| match *is_short {
                true if error.to_string() == ZSTD_WINDOW_TOO_LARGE => spent(),
                _ => error,
            })?,
        };
        if self.allowance.take(read) { Ok(read) } else { Err(spent()) }
    }
}

/// The reference cannot read LZ4 frames whose blocks depend on each other (`KafkaLZ4BlockInputStream`); what it
/// could not read must not get into a log.
fn require_independent_blocks(frame: &[u8]) -> io::Result<()> {
    const FLAGS_AT: usize = 4;
    const BLOCK_INDEPENDENCE: u8 = 0x20;
    match frame.get(FLAGS_AT) {
        Some(flags) if flags & BLOCK_INDEPENDENCE == 0 => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "dependent block stream is unsupported"))
        }
        _ => Ok(()),
    }
}

/// Unpacks into `scratch`, which is cleared first and never grows beyond `limit_bytes` by more than one read.
///
/// # Errors
/// `Corrupt` for bytes that are not of this codec, `TooLarge` beyond the limit.
pub fn decompress_into(
    codec: Compression,
    bytes: &[u8],
    limit_bytes: usize,
    scratch: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    scratch.clear();
    let too_large = || CompressionError::TooLarge { codec: codec.name(), limit_bytes };
    let within_limit = |error: CompressionError| match error {
        CompressionError::AllowanceSpent => too_large(),
        error => error,
    };
    let allowance = Allowance::new(limit_bytes);
    let stream = open(codec, bytes, &allowance, ZSTD_WINDOW_LOG_MAX).map_err(within_limit)?;
    let read = stream.take(limit_bytes as u64 + 1).read_to_end(scratch);
    match read.map_err(|error| within_limit(CompressionError::of_stream(codec.name(), &error)))? {
        read if read > limit_bytes => Err(too_large()),
        _ => Ok(()),
    }
}

/// Packs `bytes`, as the reference does at its default levels.
pub fn compress(codec: Compression, bytes: &[u8]) -> Result<Bytes, CompressionError> {
    let mut packer = Packer::new(codec)?;
    packer.write(bytes)?;
    packer.finish()
}

/// Packs what is written to it as it comes: only what is packed stays in memory.
pub struct Packer {
    codec: Compression,
    encoder: Encoder,
}

enum Encoder {
    None(Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Snappy(XerialEncoder),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Packer {
    pub fn new(codec: Compression) -> Result<Self, CompressionError> {
        let out = Vec::new();
        let encoder = match codec {
            Compression::None => Encoder::None(out),
            Compression::Gzip => {
                Encoder::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default()))
            }
            Compression::Snappy => Encoder::Snappy(XerialEncoder::new(out)),
            Compression::Lz4 => {
                let info = lz4_flex::frame::FrameInfo::new()
                    .block_size(lz4_flex::frame::BlockSize::Max64KB)
                    .block_mode(lz4_flex::frame::BlockMode::Independent);
                Encoder::Lz4(Box::new(lz4_flex::frame::FrameEncoder::with_frame_info(info, out)))
            }
            Compression::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL);
                Encoder::Zstd(encoder.map_err(|error| codec.cannot_pack(error))?)
            }
        };
        Ok(Self { codec, encoder })
    }

    pub fn codec(&self) -> Compression {
        self.codec
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CompressionError> {
        let written = match &mut self.encoder {
            Encoder::None(out) => out.write_all(bytes),
            Encoder::Gzip(encoder) => encoder.write_all(bytes),
            Encoder::Snappy(encoder) => encoder.write_all(bytes),
            Encoder::Lz4(encoder) => encoder.write_all(bytes),
            Encoder::Zstd(encoder) => encoder.write_all(bytes),
        };
        written.map_err(|error| self.codec.cannot_pack(error))
    }

    /// What was written, packed.
    pub fn finish(self) -> Result<Bytes, CompressionError> {
        let packed = match self.encoder {
            Encoder::None(out) => Ok(out),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Snappy(encoder) => encoder.finish(),
            Encoder::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
            Encoder::Zstd(encoder) => encoder.finish(),
        };
        packed.map(Bytes::from).map_err(|error| self.codec.cannot_pack(error))
    }
}

/// Writes snappy as `SnappyOutputStream` does: blocks of one size behind xerial's header.
struct XerialEncoder {
    out: Vec<u8>,
    block: Vec<u8>,
}

impl XerialEncoder {
    fn new(mut out: Vec<u8>) -> Self {
        out.extend_from_slice(XERIAL_MAGIC);
        out.extend_from_slice(&1u32.to_be_bytes());
        out.extend_from_slice(&1u32.to_be_bytes());
        Self { out, block: Vec::with_capacity(XERIAL_BLOCK_BYTES) }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(XERIAL_BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = rest;
            if self.block.len() == XERIAL_BLOCK_BYTES {
                self.put_block()?;
            }
        }
        Ok(())
    }

    fn put_block(&mut self) -> io::Result<()> {
        let packed = snap::raw::Encoder::new().compress_vec(&self.block).map_err(io::Error::other)?;
        self.out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        self.out.extend_from_slice(&packed);
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        if !self.block.is_empty() {
            self.put_block()?;
        }
        Ok(self.out)
    }
}

/// Reads snappy as `SnappyInputStream` does: blocks behind xerial's header, which may appear again between them,
/// or, without that header, one raw block.
struct SnappyReader<'a> {
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    at: usize,
}

impl<'a> SnappyReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let framed = bytes.len() >= XERIAL_HEADER_BYTES && bytes.starts_with(XERIAL_MAGIC);
        let rest = if framed { &bytes[XERIAL_HEADER_BYTES..] } else { bytes };
        Self { rest, framed, block: Vec::new(), at: 0 }
    }

    fn next_block(&mut self, allowance: &Allowance) -> io::Result<bool> {
        let bad = |reason: &'static str| io::Error::new(io::ErrorKind::InvalidData, reason);
        while self.framed && self.rest.starts_with(XERIAL_MAGIC) && self.rest.len() >= XERIAL_HEADER_BYTES {
            self.rest = &self.rest[XERIAL_HEADER_BYTES..];
        }
        if self.rest.is_empty() {
            return Ok(false);
        }
        let packed = if self.framed {
            let (length, rest) =
                self.rest.split_first_chunk::<4>().ok_or_else(|| bad("a block's length is cut off"))?;
            let length = u32::from_be_bytes(*length) as usize;
            let (packed, rest) = rest.split_at_checked(length).ok_or_else(|| bad("a block is cut off"))?;
            self.rest = rest;
            packed
        } else {
            std::mem::take(&mut self.rest)
        };
        let unpacked = snap::raw::decompress_len(packed).map_err(io::Error::other)?;
        // Snappy cannot pack tighter than about 1 to 64: a copy of 64 bytes takes 2 or 3.
        if unpacked > SNAPPY_BLOCK_LIMIT_BYTES || unpacked > packed.len().saturating_mul(64) {
            return Err(bad("a block claims to unpack to more than it can"));
        }
        if !allowance.take(unpacked) {
            return Err(spent());
        }
        self.block.resize(unpacked, 0);
        self.at = 0;
        snap::raw::Decoder::new().decompress(packed, &mut self.block).map_err(io::Error::other)?;
        Ok(true)
    }

    fn read(&mut self, out: &mut [u8], allowance: &Allowance) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.next_block(allowance)? {
                return Ok(0);
            }
        }
        let length = out.len().min(self.block.len() - self.at);
        out[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|index| b"the quick brown fox "[index % 20] ^ (index / 4096) as u8).collect()
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        for codec in CODECS {
            for length in [0, 1, 1000, 200_000] {
                let plain = text(length);
                let packed = compress(codec, &plain).unwrap();
                let mut scratch = vec![1, 2, 3];
                decompress_into(codec, &packed, length, &mut scratch).unwrap();
                assert!(scratch == plain, "{codec:?} {length}");
            }
        }
    }

    #[test]
    fn unpacking_stops_at_the_limit() {
        for codec in CODECS {
            let packed = compress(codec, &vec![0; 100_000]).unwrap();
            let error = decompress_into(codec, &packed, 99_999, &mut Vec::new()).unwrap_err();
            assert!(matches!(error, CompressionError::TooLarge { .. }), "{codec:?} {error}");
        }
    }

    #[test]
    fn raw_snappy_and_concatenated_xerial_streams_are_read() {
        let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").unwrap();
        let mut scratch = Vec::new();
        decompress_into(Compression::Snappy, &raw, 100, &mut scratch).unwrap();
        assert_eq!(scratch, b"hello hello hello");
        let framed = compress(Compression::Snappy, b"hello ").unwrap();
        decompress_into(Compression::Snappy, &[&framed[..], &framed[..]].concat(), 100, &mut scratch)
            .unwrap();
        assert_eq!(scratch, b"hello hello ");
    }

    #[test]
    fn a_snappy_block_cannot_claim_the_moon() {
        // A length of 4 GiB - 1 in front of three bytes.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x08, b'a', b'b'];
        let error = decompress_into(Compression::Snappy, &bomb, usize::MAX - 1, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, CompressionError::Corrupt { .. }), "{error}");
    }

    /// A frame with such a window, of one empty block.
    fn zstd_frame(window_log: u8) -> Vec<u8> {
        vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3, 1, 0, 0]
    }

    /// Neither is allocated: in the one case because it is not paid for, in the other because nobody has so much.
    #[test]
    fn a_window_and_a_block_are_within_the_allowance_before_they_are_allocated() {
        let block = snap::raw::Encoder::new().compress_vec(&vec![0; 3 << 20]).unwrap();
        let framed = compress(Compression::Snappy, &vec![0; XERIAL_BLOCK_BYTES]).unwrap();
        let framed = [&framed[..], &framed].concat();
        for (codec, packed, allowed, left) in [
            (Compression::Zstd, zstd_frame(27), 128 << 20, Some(128 << 20)),
            (Compression::Zstd, zstd_frame(27), (128 << 20) - 1, None),
            (Compression::Zstd, zstd_frame(23), 1, Some(1)),
            (Compression::Zstd, zstd_frame(24), 1, None),
            (Compression::Snappy, block.clone(), 3 << 20, Some(0)),
            (Compression::Snappy, block, (3 << 20) - 1, None),
            (Compression::Snappy, framed.clone(), 2 * XERIAL_BLOCK_BYTES, Some(0)),
            (Compression::Snappy, framed, 2 * XERIAL_BLOCK_BYTES - 1, None),
        ] {
            let allowance = Allowance::new(allowed);
            let mut stream = reader(codec, &packed, &allowance).unwrap();
            let read = stream.read_to_end(&mut Vec::new());
            let read = read.map_err(|error| CompressionError::of_stream("", &error));
            match left {
                Some(left) => {
                    assert_eq!((read.is_ok(), allowance.left_bytes()), (true, left), "{codec:?} {allowed}")
                }
                None => assert!(matches!(read, Err(CompressionError::AllowanceSpent)), "{codec:?} {allowed}"),
            }
        }
        let frame = zstd_frame(28);
        let allowance = Allowance::new(usize::MAX);
        let error = reader(Compression::Zstd, &frame, &allowance).unwrap().read(&mut [0; 9]).unwrap_err();
        assert!(
            matches!(CompressionError::of_stream("", &error), CompressionError::Corrupt { .. }),
            "{error}"
        );
    }

    #[test]
    fn lz4_frames_the_reference_cannot_read_are_refused() {
        let info = lz4_flex::frame::FrameInfo::new().block_mode(lz4_flex::frame::BlockMode::Linked);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(b"hello").unwrap();
        let packed = encoder.finish().unwrap();
        assert!(decompress_into(Compression::Lz4, &packed, 100, &mut Vec::new()).is_err());
    }
}
