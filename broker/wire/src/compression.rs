//! The codecs of record batches: gzip, snappy (in xerial's framing, and raw), LZ4 frames, zstd.
//!
//! Bytes from a client are opened either as a stream, whose memory does not grow with what they unpack to, or into
//! a buffer with a limit. Nothing here trusts a length that the bytes claim.

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

/// Opens compressed bytes as a stream. `Compression::None` passes them through.
pub fn reader<'a>(codec: Compression, bytes: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match codec {
        Compression::None => Box::new(bytes),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Compression::Snappy => Box::new(SnappyReader::new(bytes)),
        Compression::Lz4 => {
            require_independent_blocks(bytes)?;
            Box::new(lz4_flex::frame::FrameDecoder::new(bytes))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
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
    let corrupt =
        |error: io::Error| CompressionError::Corrupt { codec: codec.name(), reason: error.to_string() };
    let stream = reader(codec, bytes).map_err(corrupt)?;
    let read = stream.take(limit_bytes as u64 + 1).read_to_end(scratch).map_err(corrupt)?;
    if read > limit_bytes {
        return Err(CompressionError::TooLarge { codec: codec.name(), limit_bytes });
    }
    Ok(())
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

    fn next_block(&mut self) -> io::Result<bool> {
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
        self.block.resize(unpacked, 0);
        self.at = 0;
        snap::raw::Decoder::new().decompress(packed, &mut self.block).map_err(io::Error::other)?;
        Ok(true)
    }
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.next_block()? {
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

    #[test]
    fn lz4_frames_the_reference_cannot_read_are_refused() {
        let info = lz4_flex::frame::FrameInfo::new().block_mode(lz4_flex::frame::BlockMode::Linked);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(b"hello").unwrap();
        let packed = encoder.finish().unwrap();
        assert!(decompress_into(Compression::Lz4, &packed, 100, &mut Vec::new()).is_err());
    }
}
