//! FindCoordinator, which every client asks and which nothing stands behind yet.
//!
//! It is served because librdkafka takes its absence as the sign of a broker without LZ4.

use jackdaw_wire::ErrorCode;
use jackdaw_wire::messages::find_coordinator_response::Coordinator;
use jackdaw_wire::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use jackdaw_wire::protocol::StrBytes;

use crate::dispatch::RequestContext;

/// `FindCoordinatorRequest.CoordinatorType`.
const KEY_TYPE_GROUP: i8 = 0;
const KEY_TYPE_TRANSACTION: i8 = 1;
/// The text of `Errors.INVALID_REQUEST`, which clients print.
const INVALID_REQUEST: &str = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details.";

/// No coordinator, in the shape of the asked version (several keys from version 4 on, KIP-699).
pub(super) fn find(context: &RequestContext, request: &FindCoordinatorRequest) -> FindCoordinatorResponse {
    let is_known = (KEY_TYPE_GROUP..=KEY_TYPE_TRANSACTION).contains(&request.key_type);
    let (code, message) = if is_known {
        (ErrorCode::CoordinatorNotAvailable.code(), "The coordinator is not available.")
    } else {
        (ErrorCode::InvalidRequest.code(), INVALID_REQUEST)
    };
    let response = FindCoordinatorResponse::default();
    if context.api_version < 4 {
        return response
            .with_error_code(code)
            .with_error_message(Some(StrBytes::from_static_str(message)))
            .with_node_id(BrokerId(-1))
            .with_port(-1);
    }
    let none = |key: &StrBytes| {
        Coordinator::default()
            .with_key(key.clone())
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(code)
    };
    response.with_coordinators(request.coordinator_keys.iter().map(none).collect())
}
