//! FindCoordinator: which broker leads the partition that a group or a transactional id belongs to
//! (`KafkaApis.getCoordinator`).

use jackdaw_metadata::MetadataImage;
use jackdaw_metadata::coordinator::partition_for;
use jackdaw_metadata::topic_name::{GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::messages::find_coordinator_response::Coordinator;
use jackdaw_wire::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, TopicName};
use jackdaw_wire::protocol::StrBytes;

use super::Inner;
use crate::dispatch::RequestContext;

/// `FindCoordinatorRequest.CoordinatorType`.
const KEY_TYPE_GROUP: i8 = 0;
const KEY_TYPE_TRANSACTION: i8 = 1;
/// From this version on several keys are asked for at once (KIP-699).
const SEVERAL_KEYS_FROM: i16 = 4;
/// The texts of `Errors.INVALID_REQUEST` and `Errors.COORDINATOR_NOT_AVAILABLE`, which clients print.
const INVALID_REQUEST: &str = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details.";
const NOT_AVAILABLE: &str = "The coordinator is not available.";

/// A broker, as the listener that was asked shows it.
struct Found {
    id: i32,
    host: StrBytes,
    port: i32,
}

impl Inner {
    pub(super) fn find_coordinators(
        &self,
        context: &RequestContext,
        image: &MetadataImage,
        request: &FindCoordinatorRequest,
    ) -> FindCoordinatorResponse {
        let found = |key: &str| self.find_coordinator(context, image, request.key_type, key);
        let response = FindCoordinatorResponse::default();
        if context.api_version >= SEVERAL_KEYS_FROM {
            let told = |key: &StrBytes| {
                let answer = Coordinator::default().with_key(key.clone());
                match found(key) {
                    Ok(node) => {
                        answer.with_node_id(BrokerId(node.id)).with_host(node.host).with_port(node.port)
                    }
                    Err((code, message)) => {
                        // An unknown kind fails the request as a whole, and is then told of each key in words.
                        let is_request = code == ErrorCode::InvalidRequest;
                        let message = is_request.then(|| StrBytes::from_static_str(message));
                        answer
                            .with_error_code(code.code())
                            .with_error_message(message.or(Some(StrBytes::default())))
                            .with_node_id(BrokerId(-1))
                            .with_port(-1)
                    }
                }
            };
            return response.with_coordinators(request.coordinator_keys.iter().map(told).collect());
        }
        match found(&request.key) {
            Ok(node) => response
                .with_error_message(Some(StrBytes::from_static_str("NONE")))
                .with_node_id(BrokerId(node.id))
                .with_host(node.host)
                .with_port(node.port),
            Err((code, message)) => response
                .with_error_code(code.code())
                .with_error_message(Some(StrBytes::from_static_str(message)))
                .with_node_id(BrokerId(-1))
                .with_port(-1),
        }
    }

    fn find_coordinator(
        &self,
        context: &RequestContext,
        image: &MetadataImage,
        kind: i8,
        key: &str,
    ) -> Result<Found, (ErrorCode, &'static str)> {
        let topic = match kind {
            KEY_TYPE_GROUP => GROUP_METADATA_TOPIC,
            KEY_TYPE_TRANSACTION => TRANSACTION_STATE_TOPIC,
            _ => return Err((ErrorCode::InvalidRequest, INVALID_REQUEST)),
        };
        let not_available = (ErrorCode::CoordinatorNotAvailable, NOT_AVAILABLE);
        let Some(topic_image) = image.topics.by_name(topic) else {
            self.auto_topics.create(context, &[TopicName(StrBytes::from_static_str(topic))]);
            return Err(not_available);
        };
        let count = i32::try_from(topic_image.partitions.len()).unwrap_or(i32::MAX);
        let partition = topic_image.partitions.get(&partition_for(key, count)).ok_or(not_available)?;
        let broker = image.broker(partition.leader).filter(|broker| !broker.fenced).ok_or(not_available)?;
        let endpoint = broker.endpoint(&context.listener).ok_or(not_available)?;
        Ok(Found {
            id: broker.id,
            host: StrBytes::from_string(endpoint.host.clone()),
            port: i32::from(endpoint.port),
        })
    }
}
