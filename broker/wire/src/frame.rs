//! A frame: four bytes of length, then a header, then a message.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, RequestHeader as HeaderMessage, ResponseHeader as ResponseHeaderMessage,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use crate::api::{self, Api};
use crate::guard;

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
    let (Some(key), Some(version)) = (be_i16(frame, 0), be_i16(frame, 2)) else {
        return Err(FrameError::TruncatedHeader);
    };
    let api = api::find(key).ok_or(FrameError::UnknownApiKey(key))?;
    let header = HeaderMessage::decode(frame, api.request_header_version(version))
        .map_err(|error| FrameError::BadHeader(error.to_string()))?;
    Ok(RequestHeader {
        api,
        api_version: header.request_api_version,
        correlation_id: header.correlation_id,
        client_id: header.client_id.unwrap_or_default(),
    })
}

fn be_i16(bytes: &[u8], at: usize) -> Option<i16> {
    bytes.get(at..at + 2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]))
}

/// Reads a request behind its header. Bytes behind the request are ignored, as the reference ignores them.
///
/// # Errors
/// `Malformed`, also for lengths that the bytes cannot hold: memory is never taken on an attacker's word.
pub fn decode_request<R: Request>(version: i16, body: &mut Bytes) -> Result<R, FrameError> {
    let malformed = |reason: String| FrameError::Malformed { api: name_of::<R>(), version, reason };
    if R::KEY == ApiKey::Produce as i16 {
        // Once walked, every length in it is known to be true.
        guard::walk_produce(version, body).map_err(|error| malformed(error.to_string()))?;
        return R::decode(body, version).map_err(|error| malformed(error.to_string()));
    }
    let limit =
        if guard::HAS_NO_ARRAYS.contains(&R::KEY) { guard::Limit::Remaining } else { guard::Limit::Elements };
    guard::decode(version, is_flexible::<R>(version), body, limit).map_err(malformed)
}

/// Reads a response behind its header. Peers are trusted with the size of what they send, and with nothing else.
pub fn decode_response<R: Request>(version: i16, body: &mut Bytes) -> Result<R::Response, FrameError> {
    guard::decode(version, is_flexible::<R>(version), body, guard::Limit::Remaining)
        .map_err(|reason| FrameError::Malformed { api: name_of::<R>(), version, reason })
}

/// Takes the response header off the front of a frame (without its length) and gives the correlation id.
pub fn decode_response_header<R: Request>(version: i16, frame: &mut Bytes) -> Result<i32, FrameError> {
    let header = ResponseHeaderMessage::decode(frame, R::Response::header_version(version))
        .map_err(|error| FrameError::BadHeader(error.to_string()))?;
    Ok(header.correlation_id)
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

fn is_flexible<R: Request>(version: i16) -> bool {
    api::find(R::KEY).is_some_and(|api| api.is_flexible(version))
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
