//! What the controller can be asked, and how it answers when it cannot even try.

use jackdaw_wire::ErrorCode;
use jackdaw_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use jackdaw_wire::messages::create_topics_response::CreatableTopicResult;
use jackdaw_wire::messages::delete_topics_response::DeletableTopicResult;
use jackdaw_wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use jackdaw_wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use jackdaw_wire::messages::*;

use super::error::ApiError;

macro_rules! requests {
    ($($(#[$meta:meta])* $name:ident: $request:ident => $response:ident;)*) => {
        /// A request for the active controller.
        #[derive(Debug, Clone)]
        pub enum Request {
            $($(#[$meta])* $name($request),)*
        }

        /// The reply of the same kind as the request.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Response {
            $($(#[$meta])* $name($response),)*
        }

        $(impl From<$request> for Request {
            fn from(request: $request) -> Self {
                Self::$name(request)
            }
        }

        impl From<$response> for Response {
            fn from(response: $response) -> Self {
                Self::$name(response)
            }
        })*
    };
}

requests! {
    /// A broker says who it is.
    RegisterBroker: BrokerRegistrationRequest => BrokerRegistrationResponse;
    /// A broker says that it lives, and what it wants to be.
    Heartbeat: BrokerHeartbeatRequest => BrokerHeartbeatResponse;
    /// A broker id is given up.
    UnregisterBroker: UnregisterBrokerRequest => UnregisterBrokerResponse;
    /// A controller says who it is.
    RegisterController: ControllerRegistrationRequest => ControllerRegistrationResponse;
    /// A partition's leader changes its ISR.
    AlterPartition: AlterPartitionRequest => AlterPartitionResponse;
    /// A broker says in which directories its replicas lie.
    AssignReplicasToDirs: AssignReplicasToDirsRequest => AssignReplicasToDirsResponse;
    /// A broker wants a block of producer ids.
    AllocateProducerIds: AllocateProducerIdsRequest => AllocateProducerIdsResponse;
    /// Topics are created.
    CreateTopics: CreateTopicsRequest => CreateTopicsResponse;
    /// Topics are deleted.
    DeleteTopics: DeleteTopicsRequest => DeleteTopicsResponse;
    /// Topics get more partitions.
    CreatePartitions: CreatePartitionsRequest => CreatePartitionsResponse;
    /// Leaders are elected by hand.
    ElectLeaders: ElectLeadersRequest => ElectLeadersResponse;
    /// Configurations are changed key by key.
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse;
    /// Configurations are replaced.
    AlterConfigs: AlterConfigsRequest => AlterConfigsResponse;
    /// Replicas are moved, or stay after all.
    AlterPartitionReassignments: AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse;
    /// Moves that are under way are told.
    ListPartitionReassignments: ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse;
    /// Finalized features change level.
    UpdateFeatures: UpdateFeaturesRequest => UpdateFeaturesResponse;
}

impl Request {
    /// The reply that says `error` wherever the request's own reply has room for it, as Kafka's `getErrorResponse`
    /// does: per topic where there are topics, else at the top.
    pub fn refuse(&self, error: &ApiError) -> Response {
        let code = error.code.code();
        match self {
            Self::RegisterBroker(_) => BrokerRegistrationResponse::default().with_error_code(code).into(),
            Self::Heartbeat(_) => BrokerHeartbeatResponse::default().with_error_code(code).into(),
            Self::UnregisterBroker(_) => UnregisterBrokerResponse::default().with_error_code(code).into(),
            Self::RegisterController(_) => ControllerRegistrationResponse::default()
                .with_error_code(code)
                .with_error_message(error.text())
                .into(),
            Self::AlterPartition(_) => AlterPartitionResponse::default().with_error_code(code).into(),
            Self::AssignReplicasToDirs(_) => {
                AssignReplicasToDirsResponse::default().with_error_code(code).into()
            }
            Self::AllocateProducerIds(_) => {
                AllocateProducerIdsResponse::default().with_error_code(code).into()
            }
            Self::CreateTopics(request) => {
                let topics = request.topics.iter().map(|t| failed_topic(t.name.clone(), error));
                CreateTopicsResponse::default().with_topics(topics.collect()).into()
            }
            Self::DeleteTopics(request) => refuse_deletion(request, code).into(),
            Self::CreatePartitions(request) => {
                let results = request.topics.iter().map(|topic| {
                    CreatePartitionsTopicResult::default()
                        .with_name(topic.name.clone())
                        .with_error_code(code)
                        .with_error_message(error.text())
                });
                CreatePartitionsResponse::default().with_results(results.collect()).into()
            }
            Self::ElectLeaders(request) => refuse_elections(request, error).into(),
            Self::IncrementalAlterConfigs(request) => {
                let responses = request.resources.iter().map(|resource| {
                    AlterConfigsResourceResponse::default()
                        .with_resource_type(resource.resource_type)
                        .with_resource_name(resource.resource_name.clone())
                        .with_error_code(code)
                        .with_error_message(error.text())
                });
                IncrementalAlterConfigsResponse::default().with_responses(responses.collect()).into()
            }
            Self::AlterConfigs(request) => {
                let responses = request.resources.iter().map(|resource| {
                    alter_configs_response::AlterConfigsResourceResponse::default()
                        .with_resource_type(resource.resource_type)
                        .with_resource_name(resource.resource_name.clone())
                        .with_error_code(code)
                        .with_error_message(error.text())
                });
                AlterConfigsResponse::default().with_responses(responses.collect()).into()
            }
            Self::AlterPartitionReassignments(request) => refuse_reassignments(request, error).into(),
            Self::ListPartitionReassignments(_) => ListPartitionReassignmentsResponse::default()
                .with_error_code(code)
                .with_error_message(error.text())
                .into(),
            Self::UpdateFeatures(_) => UpdateFeaturesResponse::default()
                .with_error_code(code)
                .with_error_message(error.text())
                .into(),
        }
    }
}

impl Response {
    /// Whether the reply says NOT_CONTROLLER anywhere: an Envelope then says so itself, so that the forwarding
    /// broker looks for the new controller (`RequestChannel.shouldReturnNotController`).
    pub fn says_not_controller(&self) -> bool {
        let not_controller = ErrorCode::NotController.code();
        let is = |code: i16| code == not_controller;
        match self {
            Self::RegisterBroker(r) => is(r.error_code),
            Self::Heartbeat(r) => is(r.error_code),
            Self::UnregisterBroker(r) => is(r.error_code),
            Self::RegisterController(r) => is(r.error_code),
            Self::AlterPartition(r) => {
                is(r.error_code) || r.topics.iter().flat_map(|t| &t.partitions).any(|p| is(p.error_code))
            }
            Self::AssignReplicasToDirs(r) => is(r.error_code),
            Self::AllocateProducerIds(r) => is(r.error_code),
            Self::CreateTopics(r) => r.topics.iter().any(|t| is(t.error_code)),
            Self::DeleteTopics(r) => r.responses.iter().any(|t| is(t.error_code)),
            Self::CreatePartitions(r) => r.results.iter().any(|t| is(t.error_code)),
            Self::ElectLeaders(r) => {
                let mut partitions = r.replica_election_results.iter().flat_map(|t| &t.partition_result);
                is(r.error_code) || partitions.any(|p| is(p.error_code))
            }
            Self::IncrementalAlterConfigs(r) => r.responses.iter().any(|c| is(c.error_code)),
            Self::AlterConfigs(r) => r.responses.iter().any(|c| is(c.error_code)),
            Self::AlterPartitionReassignments(r) => {
                is(r.error_code) || r.responses.iter().flat_map(|t| &t.partitions).any(|p| is(p.error_code))
            }
            Self::ListPartitionReassignments(r) => is(r.error_code),
            Self::UpdateFeatures(r) => is(r.error_code) || r.results.iter().any(|f| is(f.error_code)),
        }
    }
}

/// A topic that was not created.
pub(super) fn failed_topic(name: TopicName, error: &ApiError) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(error.code.code())
        .with_error_message(error.text())
}

fn refuse_deletion(request: &DeleteTopicsRequest, code: i16) -> DeleteTopicsResponse {
    let by_name = request.topic_names.iter().map(|name| (Some(name.clone()), jackdaw_wire::Uuid::nil()));
    let by_state = request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id));
    let responses = by_name.chain(by_state).map(|(name, id)| {
        DeletableTopicResult::default().with_name(name).with_topic_id(id).with_error_code(code)
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

fn refuse_elections(request: &ElectLeadersRequest, error: &ApiError) -> ElectLeadersResponse {
    let code = error.code.code();
    let results = request.topic_partitions.iter().flatten().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionResult::default()
                .with_partition_id(*partition)
                .with_error_code(code)
                .with_error_message(error.text())
        });
        ReplicaElectionResult::default()
            .with_topic(topic.topic.clone())
            .with_partition_result(partitions.collect())
    });
    ElectLeadersResponse::default().with_error_code(code).with_replica_election_results(results.collect())
}

fn refuse_reassignments(
    request: &AlterPartitionReassignmentsRequest,
    error: &ApiError,
) -> AlterPartitionReassignmentsResponse {
    use alter_partition_reassignments_response::{ReassignablePartitionResponse, ReassignableTopicResponse};
    let code = error.code.code();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            ReassignablePartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
                .with_error_message(error.text())
        });
        ReassignableTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    AlterPartitionReassignmentsResponse::default()
        .with_error_code(code)
        .with_error_message(error.text())
        .with_responses(topics.collect())
}
