//! A frame: four bytes of length, then a header, then a message.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, DefaultPrincipalData, RequestHeader as HeaderMessage, ResponseHeader as ResponseHeaderMessage,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use crate::api::{self, Api};
pub use crate::schema::Measure;
use crate::schema::{self, Message};
use crate::varint;

/// The length in front of each frame.
pub const LENGTH_BYTES: usize = 4;

/// Why bytes are no frame, or a message cannot be one. Whoever sent such bytes has its connection closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("Invalid receive (size = {0})")]
    NegativeSize(i32),
    #[error("Invalid receive (size = {size} larger than {max_bytes})")]
    TooLarge { size: i32, max_bytes: usize },
    #[error("the frame ends inside the request header")]
    TruncatedHeader,
    #[error("Unknown API key {0}")]
    UnknownApiKey(i16),
    #[error("the request header is malformed: {0}")]
    BadHeader(String),
    #[error("{api} version {version} cannot be read: {reason}")]
    Malformed { api: &'static str, version: i16, reason: String },
    #[error("{api} version {version} cannot be written: {reason}")]
    Unwritable { api: &'static str, version: i16, reason: String },
}

/// The length of the frame that follows, from its first four bytes. Zero is a valid length.
///
/// # Errors
/// Below zero, and above `max_bytes` (`socket.request.max.bytes`), as `NetworkReceive` refuses them.
pub fn parse_length(prefix: [u8; LENGTH_BYTES], max_bytes: usize) -> Result<usize, FrameError> {
    let size = i32::from_be_bytes(prefix);
    match usize::try_from(size) {
        Err(_) => Err(FrameError::NegativeSize(size)),
        Ok(length) if length > max_bytes => Err(FrameError::TooLarge { size, max_bytes }),
        Ok(length) => Ok(length),
    }
}

/// What a request says about itself.
#[derive(Debug, Clone)]
pub struct RequestHeader {
    pub api: &'static Api,
    pub api_version: i16,
    pub correlation_id: i32,
    /// Empty where the client sent none: to the reference, null and empty are the same.
    pub client_id: StrBytes,
}

/// Takes the request header off the front of a frame (without its length); what is left is the request.
///
/// The version is not judged here: an ApiVersions request of an unknown version must be answered, others refused,
/// which [`api::is_enabled`] tells apart.
pub fn decode_request_header(frame: &mut Bytes) -> Result<RequestHeader, FrameError> {
    let parts = HeaderParts::of(frame)?;
    let client_id = StrBytes::from_utf8(frame.slice(parts.client_id))
        .map_err(|error| FrameError::BadHeader(error.to_string()))?;
    frame.advance(parts.size_bytes);
    let HeaderParts { api, api_version, correlation_id, .. } = parts;
    Ok(RequestHeader { api, api_version, correlation_id, client_id })
}

/// A request header as it lies in a frame.
struct HeaderParts {
    api: &'static Api,
    api_version: i16,
    correlation_id: i32,
    client_id: Range<usize>,
    size_bytes: usize,
}

impl HeaderParts {
    /// Tagged fields are stepped over: the reference knows none in this place.
    fn of(frame: &[u8]) -> Result<Self, FrameError> {
        const CORRELATION_ID_AT: usize = 4;
        const CLIENT_ID_AT: usize = 8;
        let cut_off = || FrameError::BadHeader("it ends early".into());
        let (Some(key), Some(api_version)) = (be_i16(frame, 0), be_i16(frame, 2)) else {
            return Err(FrameError::TruncatedHeader);
        };
        let api = api::find(key).ok_or(FrameError::UnknownApiKey(key))?;
        let correlation_id =
            frame[CORRELATION_ID_AT..].first_chunk().map(|id| i32::from_be_bytes(*id)).ok_or_else(cut_off)?;
        let header_version = api.request_header_version(api_version);
        let mut at = CLIENT_ID_AT;
        let mut client_id = at..at;
        if header_version >= 1 {
            let length = be_i16(frame, at).ok_or_else(cut_off)?;
            at += 2;
            let length = match usize::try_from(length) {
                Ok(length) => length,
                Err(_) if length == -1 => 0,
                Err(_) => {
                    return Err(FrameError::BadHeader(format!("the client id has a length of {length}")));
                }
            };
            client_id = at..at + length;
            at = client_id.end;
        }
        let behind = frame.get(at..).ok_or_else(cut_off)?;
        if header_version >= 2 {
            at += skip_tagged(behind)?;
        }
        Ok(Self { api, api_version, correlation_id, client_id, size_bytes: at })
    }
}

fn skip_tagged(bytes: &[u8]) -> Result<usize, FrameError> {
    schema::skip_tagged_fields(bytes).map_err(|error| FrameError::BadHeader(error.to_string()))
}

fn be_i16(bytes: &[u8], at: usize) -> Option<i16> {
    bytes.get(at..at + 2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]))
}

/// Looks through a request behind its header, as [`decode_request`] does, and tells what decoding it will take. Nothing
/// is decoded. An Envelope counts with what it carries. What is answered without being read, an ApiVersions request of an
/// unknown version, takes nothing.
///
/// # Errors
/// `Malformed`.
pub fn measure_request(api_key: i16, version: i16, body: &[u8]) -> Result<Measure, FrameError> {
    let Some(message) = schema::request(api_key) else { return Err(FrameError::UnknownApiKey(api_key)) };
    if api_key == ApiKey::ApiVersions as i16 && version > message.max_version {
        return Ok(Measure::default());
    }
    let (mut measure, _) = walk(message, version, body)?;
    if api_key == ApiKey::Envelope as i16 {
        let carried = measure_carried(body).unwrap_or_default();
        measure.elements += carried.elements;
        measure.decoded_bytes += carried.decoded_bytes;
    }
    Ok(measure)
}

/// The request inside an Envelope that was walked: its first field. One that cannot be read is not decoded either.
fn measure_carried(envelope: &[u8]) -> Option<Measure> {
    let mut at = 0;
    let length = (varint::read_u32(envelope, &mut at).ok()? as usize).checked_sub(1)?;
    let frame = envelope.get(at..at + length)?;
    let header = HeaderParts::of(frame).ok()?;
    if header.api.key == ApiKey::Envelope {
        return None;
    }
    measure_request(header.api.key as i16, header.api_version, &frame[header.size_bytes..]).ok()
}

fn walk(message: &'static Message, version: i16, body: &[u8]) -> Result<(Measure, usize), FrameError> {
    schema::walk(message, version, body).map_err(|error| FrameError::Malformed {
        api: message.name,
        version,
        reason: error.to_string(),
    })
}

/// Decodes what was walked: each of its lengths is known to be true.
fn decode_walked<M: Decodable>(
    message: &'static Message,
    version: i16,
    body: &mut Bytes,
) -> Result<M, FrameError> {
    walk(message, version, body)?;
    M::decode(body, version).map_err(|error| FrameError::Malformed {
        api: message.name,
        version,
        reason: error.to_string(),
    })
}

/// Reads a request behind its header. Bytes behind the request are ignored, as the reference ignores them.
///
/// # Errors
/// `Malformed`, also for lengths that the bytes cannot hold: memory is never taken on an attacker's word.
pub fn decode_request<R: Request>(version: i16, body: &mut Bytes) -> Result<R, FrameError> {
    decode_walked(schema::request(R::KEY).ok_or(FrameError::UnknownApiKey(R::KEY))?, version, body)
}

/// Reads a response behind its header. Whoever answers is trusted no more than whoever asks.
pub fn decode_response<R: Request>(version: i16, body: &mut Bytes) -> Result<R::Response, FrameError> {
    decode_walked(schema::response(R::KEY).ok_or(FrameError::UnknownApiKey(R::KEY))?, version, body)
}

/// Reads who a broker says that it forwards for, behind the version.
pub fn decode_principal(version: i16, bytes: &mut Bytes) -> Result<DefaultPrincipalData, FrameError> {
    decode_walked(schema::principal(), version, bytes)
}

/// Takes the response header off the front of a frame (without its length) and gives the correlation id.
pub fn decode_response_header<R: Request>(version: i16, frame: &mut Bytes) -> Result<i32, FrameError> {
    take_response_header(R::Response::header_version(version), frame)
}

/// As [`decode_response_header`], by the version of the header itself.
pub fn take_response_header(header_version: i16, frame: &mut Bytes) -> Result<i32, FrameError> {
    let correlation_id = frame.try_get_i32().map_err(|_| FrameError::BadHeader("it ends early".into()))?;
    if header_version >= 1 {
        frame.advance(skip_tagged(frame)?);
    }
    Ok(correlation_id)
}

/// A whole frame: length, response header, response.
///
/// # Errors
/// `Unwritable` where the response says something that its version has no words for.
pub fn encode_response<R: Encodable + HeaderVersion>(
    api: &'static Api,
    version: i16,
    correlation_id: i32,
    response: &R,
) -> Result<Bytes, FrameError> {
    let header = ResponseHeaderMessage::default().with_correlation_id(correlation_id);
    encode(&header, api.response_header_version(version), response, version)
        .map_err(|reason| FrameError::Unwritable { api: api.name, version, reason })
}

/// A whole frame: length, request header, request.
pub fn encode_request<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: &StrBytes,
    request: &R,
) -> Result<Bytes, FrameError> {
    let header = HeaderMessage::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(client_id.clone()));
    encode(&header, R::header_version(version), request, version).map_err(|reason| FrameError::Unwritable {
        api: name_of::<R>(),
        version,
        reason,
    })
}

fn encode<H: Encodable, M: Encodable>(
    header: &H,
    header_version: i16,
    message: &M,
    version: i16,
) -> Result<Bytes, String> {
    let header_bytes = header.compute_size(header_version).map_err(|error| error.to_string())?;
    let bytes = header_bytes + message.compute_size(version).map_err(|error| error.to_string())?;
    let length = i32::try_from(bytes).map_err(|_| format!("{bytes} bytes do not fit a frame"))?;
    let mut out = BytesMut::with_capacity(LENGTH_BYTES + bytes);
    out.put_i32(length);
    header.encode(&mut out, header_version).map_err(|error| error.to_string())?;
    message.encode(&mut out, version).map_err(|error| error.to_string())?;
    debug_assert_eq!(out.len(), LENGTH_BYTES + bytes);
    Ok(out.freeze())
}

fn name_of<R: Request>() -> &'static str {
    api::find(R::KEY).map_or("an API that 3.7.0 does not have", |api| api.name)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::*;

    use super::*;

    #[test]
    fn lengths_out_of_range_are_refused_in_the_references_words() {
        assert_eq!(parse_length(100i32.to_be_bytes(), 100), Ok(100));
        assert_eq!(parse_length([0; 4], 100), Ok(0));
        let error = parse_length(101i32.to_be_bytes(), 100).unwrap_err();
        assert_eq!(error.to_string(), "Invalid receive (size = 101 larger than 100)");
        let error = parse_length(*b"\xffGET", 100).unwrap_err();
        assert_eq!(error.to_string(), "Invalid receive (size = -12106412)");
    }

    fn sent<R: Request>(version: i16, request: &R) -> Bytes {
        let frame = encode_request(version, 7, &StrBytes::from_static_str("me"), request).unwrap();
        frame.slice(LENGTH_BYTES..)
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        for version in 0..=12 {
            let mut request = MetadataRequest::default();
            request.topics = Some(vec![]);
            let mut frame = sent(version, &request);
            let header = decode_request_header(&mut frame).unwrap();
            assert_eq!(
                (header.api.name, header.api_version, header.correlation_id),
                ("Metadata", version, 7)
            );
            assert_eq!(&*header.client_id, "me");
            assert_eq!(decode_request::<MetadataRequest>(version, &mut frame), Ok(request), "{version}");
            assert!(frame.is_empty());
        }
    }

    #[test]
    fn numbers_that_are_not_lengths_may_be_large() {
        for version in [0, 3, 11, 12, 15, 16] {
            let mut request = FetchRequest::default();
            request.max_wait_ms = i32::MAX;
            request.min_bytes = i32::MAX;
            let mut frame = sent(version, &request);
            decode_request_header(&mut frame).unwrap();
            let read: FetchRequest = decode_request(version, &mut frame).unwrap();
            assert_eq!((read.max_wait_ms, read.min_bytes), (i32::MAX, i32::MAX), "{version}");
        }
    }

    #[test]
    fn large_records_of_a_produce_request_pass() {
        for version in 0..=10 {
            let partition = PartitionProduceData::default().with_records(Some(vec![5; 3 << 20].into()));
            let topic = TopicProduceData::default()
                .with_name(TopicName(StrBytes::from_static_str("t")))
                .with_partition_data(vec![partition]);
            let request =
                ProduceRequest::default().with_acks(-1).with_timeout_ms(1).with_topic_data(vec![topic]);
            let mut frame = sent(version, &request);
            decode_request_header(&mut frame).unwrap();
            assert_eq!(decode_request::<ProduceRequest>(version, &mut frame), Ok(request), "{version}");
        }
    }

    #[test]
    fn absurd_lengths_take_no_memory() {
        // An array of 2^31 - 1 elements (compact: 2^32 - 1) and nothing behind it. Believed, each of these would ask
        // for hundreds of gigabytes and end the process.
        let most = i32::MAX.to_be_bytes();
        let compact = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(decode_request::<MetadataRequest>(1, &mut Bytes::copy_from_slice(&most)).is_err());
        assert!(decode_request::<MetadataRequest>(9, &mut Bytes::copy_from_slice(&compact)).is_err());
        let acks_and_timeout = [0; 6];
        let old = [&acks_and_timeout[..], &most].concat();
        assert!(decode_request::<ProduceRequest>(0, &mut old.into()).is_err());
        let new = [&[0][..], &acks_and_timeout, &compact].concat();
        assert!(decode_request::<ProduceRequest>(9, &mut new.into()).is_err());
        // As many as there are bytes, and more than any request has.
        let many = [&(8i32 << 20).to_be_bytes()[..], &vec![0; 8 << 20]].concat();
        assert!(decode_request::<MetadataRequest>(1, &mut many.into()).is_err());
    }

    #[test]
    fn an_api_versions_request_of_the_future_still_has_a_readable_header() {
        let mut bytes = vec![0, 18, 0, 99, 0, 0, 0, 5, 0, 1, b'x', 0];
        let mut frame = Bytes::from(bytes.clone());
        let header = decode_request_header(&mut frame).unwrap();
        assert_eq!((header.api_version, header.correlation_id), (99, 5));
        bytes[1] = 200;
        assert_eq!(decode_request_header(&mut bytes.into()).unwrap_err(), FrameError::UnknownApiKey(200));
        assert_eq!(
            decode_request_header(&mut Bytes::from_static(&[0, 18])).unwrap_err(),
            FrameError::TruncatedHeader
        );
    }

    #[test]
    fn responses_carry_the_header_their_version_has() {
        let api = api::of(ApiKey::ApiVersions).unwrap();
        let mut frame =
            encode_response(api, 3, 9, &ApiVersionsResponse::default()).unwrap().slice(LENGTH_BYTES..);
        assert_eq!(
            &frame[..4],
            9i32.to_be_bytes(),
            "no tagged fields between the correlation id and the response"
        );
        assert_eq!(decode_response_header::<ApiVersionsRequest>(3, &mut frame), Ok(9));
        assert!(decode_response::<ApiVersionsRequest>(3, &mut frame).is_ok());
    }
}
