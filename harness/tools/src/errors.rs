//! Kafka's errors as its clients show them: code, name, exception and message (`Errors`), and the exceptions that the
//! tools raise of their own.
//!
//! It knows no tool and no connection; what is printed where is the tools' affair.

use std::fmt;

/// One of the protocol's errors.
#[derive(Debug)]
pub struct Error {
    /// Its code on the wire.
    pub code: i16,
    /// Its name in Kafka's enumeration.
    pub name: &'static str,
    /// The exception that stands for it, in `org.apache.kafka.common.errors`.
    class: &'static str,
    /// What is said where the broker says nothing.
    pub message: &'static str,
}

/// What a Java program would have thrown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// The full name of its class.
    pub class: String,
    /// Its message.
    pub message: String,
    /// Whether it has no message at all, which is not an empty one.
    pub wordless: bool,
    /// The one that led to it.
    pub cause: Option<Box<Exception>>,
    /// Those that it stands for as well.
    pub suppressed: Vec<Exception>,
    /// The error's code, if the broker said so; else 0.
    pub code: i16,
}

impl Exception {
    /// One of the given class.
    pub fn new(class: &str, message: impl Into<String>) -> Self {
        Exception {
            class: class.to_owned(),
            message: message.into(),
            wordless: false,
            cause: None,
            suppressed: Vec::new(),
            code: 0,
        }
    }

    /// One without a message.
    pub fn wordless(class: &str) -> Self {
        Exception { wordless: true, ..Exception::new(class, "") }
    }

    /// One of `org.apache.kafka.common.errors`.
    pub fn kafka(class: &str, message: impl Into<String>) -> Self {
        Exception::new(&format!("org.apache.kafka.common.errors.{class}"), message)
    }

    /// `IllegalArgumentException`
    pub fn argument(message: impl Into<String>) -> Self {
        Exception::new("java.lang.IllegalArgumentException", message)
    }

    /// What those who wait for a future see: the exception inside of another.
    #[must_use]
    pub fn in_execution(self) -> Self {
        Exception::new("java.util.concurrent.ExecutionException", self.to_string()).because(self)
    }

    /// The same, with its cause.
    #[must_use]
    pub fn because(mut self, cause: Exception) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// The class without its package.
    pub fn simple_name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or_default()
    }

    /// The first lines of the stack trace, and those of its causes; frames of another program would tell nothing.
    pub fn trace(&self) -> String {
        let suppressed: String = self.suppressed.iter().map(|one| format!("\n\tSuppressed: {one}")).collect();
        match &self.cause {
            Some(cause) => format!("{self}{suppressed}\nCaused by: {}", cause.trace()),
            None => format!("{self}{suppressed}"),
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wordless { f.write_str(&self.class) } else { write!(f, "{}: {}", self.class, self.message) }
    }
}

/// The error with this code.
pub fn error(code: i16) -> &'static Error {
    let found = ERRORS.binary_search_by_key(&code, |error| error.code);
    found.map_or(&ERRORS[0], |index| &ERRORS[index])
}

/// The exception for a code that is not 0, with the broker's words if it has some.
pub fn exception(code: i16, message: Option<&str>) -> Exception {
    let error = error(code);
    let message = message.unwrap_or(error.message);
    let made = if error.class.contains('.') {
        Exception::new(error.class, message)
    } else {
        Exception::kafka(error.class, message)
    };
    Exception { code, ..made }
}

/// Nothing wrong, or the exception for the code.
///
/// # Errors
/// When the code is not 0.
pub fn check(code: i16, message: Option<&str>) -> Result<(), Exception> {
    if code == 0 { Ok(()) } else { Err(exception(code, message)) }
}

const fn row(code: i16, name: &'static str, class: &'static str, message: &'static str) -> Error {
    Error { code, name, class, message }
}

#[rustfmt::skip]
const ERRORS: &[Error] = &[
    row(-1, "UNKNOWN_SERVER_ERROR", "UnknownServerException", "The server experienced an unexpected error when processing the request."),
    row(1, "OFFSET_OUT_OF_RANGE", "OffsetOutOfRangeException", "The requested offset is not within the range of offsets maintained by the server."),
    row(2, "CORRUPT_MESSAGE", "CorruptRecordException", "This message has failed its CRC checksum, exceeds the valid size, has a null key for a compacted topic, or is otherwise corrupt."),
    row(3, "UNKNOWN_TOPIC_OR_PARTITION", "UnknownTopicOrPartitionException", "This server does not host this topic-partition."),
    row(4, "INVALID_FETCH_SIZE", "InvalidFetchSizeException", "The requested fetch size is invalid."),
    row(5, "LEADER_NOT_AVAILABLE", "LeaderNotAvailableException", "There is no leader for this topic-partition as we are in the middle of a leadership election."),
    row(6, "NOT_LEADER_OR_FOLLOWER", "NotLeaderOrFollowerException", "For requests intended only for the leader, this error indicates that the broker is not the current leader. For requests intended for any replica, this error indicates that the broker is not a replica of the topic partition."),
    row(7, "REQUEST_TIMED_OUT", "TimeoutException", "The request timed out."),
    row(8, "BROKER_NOT_AVAILABLE", "BrokerNotAvailableException", "The broker is not available."),
    row(9, "REPLICA_NOT_AVAILABLE", "ReplicaNotAvailableException", "The replica is not available for the requested topic-partition. Produce/Fetch requests and other requests intended only for the leader or follower return NOT_LEADER_OR_FOLLOWER if the broker is not a replica of the topic-partition."),
    row(10, "MESSAGE_TOO_LARGE", "RecordTooLargeException", "The request included a message larger than the max message size the server will accept."),
    row(11, "STALE_CONTROLLER_EPOCH", "ControllerMovedException", "The controller moved to another broker."),
    row(12, "OFFSET_METADATA_TOO_LARGE", "OffsetMetadataTooLarge", "The metadata field of the offset request was too large."),
    row(13, "NETWORK_EXCEPTION", "NetworkException", "The server disconnected before a response was received."),
    row(14, "COORDINATOR_LOAD_IN_PROGRESS", "CoordinatorLoadInProgressException", "The coordinator is loading and hence can't process requests."),
    row(15, "COORDINATOR_NOT_AVAILABLE", "CoordinatorNotAvailableException", "The coordinator is not available."),
    row(16, "NOT_COORDINATOR", "NotCoordinatorException", "This is not the correct coordinator."),
    row(17, "INVALID_TOPIC_EXCEPTION", "InvalidTopicException", "The request attempted to perform an operation on an invalid topic."),
    row(18, "RECORD_LIST_TOO_LARGE", "RecordBatchTooLargeException", "The request included message batch larger than the configured segment size on the server."),
    row(19, "NOT_ENOUGH_REPLICAS", "NotEnoughReplicasException", "Messages are rejected since there are fewer in-sync replicas than required."),
    row(20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "NotEnoughReplicasAfterAppendException", "Messages are written to the log, but to fewer in-sync replicas than required."),
    row(21, "INVALID_REQUIRED_ACKS", "InvalidRequiredAcksException", "Produce request specified an invalid value for required acks."),
    row(22, "ILLEGAL_GENERATION", "IllegalGenerationException", "Specified group generation id is not valid."),
    row(23, "INCONSISTENT_GROUP_PROTOCOL", "InconsistentGroupProtocolException", "The group member's supported protocols are incompatible with those of existing members or first group member tried to join with empty protocol type or empty protocol list."),
    row(24, "INVALID_GROUP_ID", "InvalidGroupIdException", "The configured groupId is invalid."),
    row(25, "UNKNOWN_MEMBER_ID", "UnknownMemberIdException", "The coordinator is not aware of this member."),
    row(26, "INVALID_SESSION_TIMEOUT", "InvalidSessionTimeoutException", "The session timeout is not within the range allowed by the broker (as configured by group.min.session.timeout.ms and group.max.session.timeout.ms)."),
    row(27, "REBALANCE_IN_PROGRESS", "RebalanceInProgressException", "The group is rebalancing, so a rejoin is needed."),
    row(28, "INVALID_COMMIT_OFFSET_SIZE", "InvalidCommitOffsetSizeException", "The committing offset data size is not valid."),
    row(29, "TOPIC_AUTHORIZATION_FAILED", "TopicAuthorizationException", "Topic authorization failed."),
    row(30, "GROUP_AUTHORIZATION_FAILED", "GroupAuthorizationException", "Group authorization failed."),
    row(31, "CLUSTER_AUTHORIZATION_FAILED", "ClusterAuthorizationException", "Cluster authorization failed."),
    row(32, "INVALID_TIMESTAMP", "InvalidTimestampException", "The timestamp of the message is out of acceptable range."),
    row(33, "UNSUPPORTED_SASL_MECHANISM", "UnsupportedSaslMechanismException", "The broker does not support the requested SASL mechanism."),
    row(34, "ILLEGAL_SASL_STATE", "IllegalSaslStateException", "Request is not valid given the current SASL state."),
    row(35, "UNSUPPORTED_VERSION", "UnsupportedVersionException", "The version of API is not supported."),
    row(36, "TOPIC_ALREADY_EXISTS", "TopicExistsException", "Topic with this name already exists."),
    row(37, "INVALID_PARTITIONS", "InvalidPartitionsException", "Number of partitions is below 1."),
    row(38, "INVALID_REPLICATION_FACTOR", "InvalidReplicationFactorException", "Replication factor is below 1 or larger than the number of available brokers."),
    row(39, "INVALID_REPLICA_ASSIGNMENT", "InvalidReplicaAssignmentException", "Replica assignment is invalid."),
    row(40, "INVALID_CONFIG", "InvalidConfigurationException", "Configuration is invalid."),
    row(41, "NOT_CONTROLLER", "NotControllerException", "This is not the correct controller for this cluster."),
    row(42, "INVALID_REQUEST", "InvalidRequestException", "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."),
    row(43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", "UnsupportedForMessageFormatException", "The message format version on the broker does not support the request."),
    row(44, "POLICY_VIOLATION", "PolicyViolationException", "Request parameters do not satisfy the configured policy."),
    row(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", "OutOfOrderSequenceException", "The broker received an out of order sequence number."),
    row(46, "DUPLICATE_SEQUENCE_NUMBER", "DuplicateSequenceException", "The broker received a duplicate sequence number."),
    row(47, "INVALID_PRODUCER_EPOCH", "InvalidProducerEpochException", "Producer attempted to produce with an old epoch."),
    row(48, "INVALID_TXN_STATE", "InvalidTxnStateException", "The producer attempted a transactional operation in an invalid state."),
    row(49, "INVALID_PRODUCER_ID_MAPPING", "InvalidPidMappingException", "The producer attempted to use a producer id which is not currently assigned to its transactional id."),
    row(50, "INVALID_TRANSACTION_TIMEOUT", "InvalidTxnTimeoutException", "The transaction timeout is larger than the maximum value allowed by the broker (as configured by transaction.max.timeout.ms)."),
    row(51, "CONCURRENT_TRANSACTIONS", "ConcurrentTransactionsException", "The producer attempted to update a transaction while another concurrent operation on the same transaction was ongoing."),
    row(52, "TRANSACTION_COORDINATOR_FENCED", "TransactionCoordinatorFencedException", "Indicates that the transaction coordinator sending a WriteTxnMarker is no longer the current coordinator for a given producer."),
    row(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "TransactionalIdAuthorizationException", "Transactional Id authorization failed."),
    row(54, "SECURITY_DISABLED", "SecurityDisabledException", "Security features are disabled."),
    row(55, "OPERATION_NOT_ATTEMPTED", "OperationNotAttemptedException", "The broker did not attempt to execute this operation. This may happen for batched RPCs where some operations in the batch failed, causing the broker to respond without trying the rest."),
    row(56, "KAFKA_STORAGE_ERROR", "KafkaStorageException", "Disk error when trying to access log file on the disk."),
    row(57, "LOG_DIR_NOT_FOUND", "LogDirNotFoundException", "The user-specified log directory is not found in the broker config."),
    row(58, "SASL_AUTHENTICATION_FAILED", "SaslAuthenticationException", "SASL Authentication failed."),
    row(59, "UNKNOWN_PRODUCER_ID", "UnknownProducerIdException", "This exception is raised by the broker if it could not locate the producer metadata associated with the producerId in question. This could happen if, for instance, the producer's records were deleted because their retention time had elapsed. Once the last records of the producerId are removed, the producer's metadata is removed from the broker, and future appends by the producer will return this exception."),
    row(60, "REASSIGNMENT_IN_PROGRESS", "ReassignmentInProgressException", "A partition reassignment is in progress."),
    row(61, "DELEGATION_TOKEN_AUTH_DISABLED", "DelegationTokenDisabledException", "Delegation Token feature is not enabled."),
    row(62, "DELEGATION_TOKEN_NOT_FOUND", "DelegationTokenNotFoundException", "Delegation Token is not found on server."),
    row(63, "DELEGATION_TOKEN_OWNER_MISMATCH", "DelegationTokenOwnerMismatchException", "Specified Principal is not valid Owner/Renewer."),
    row(64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "UnsupportedByAuthenticationException", "Delegation Token requests are not allowed on PLAINTEXT/1-way SSL channels and on delegation token authenticated channels."),
    row(65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", "DelegationTokenAuthorizationException", "Delegation Token authorization failed."),
    row(66, "DELEGATION_TOKEN_EXPIRED", "DelegationTokenExpiredException", "Delegation Token is expired."),
    row(67, "INVALID_PRINCIPAL_TYPE", "InvalidPrincipalTypeException", "Supplied principalType is not supported."),
    row(68, "NON_EMPTY_GROUP", "GroupNotEmptyException", "The group is not empty."),
    row(69, "GROUP_ID_NOT_FOUND", "GroupIdNotFoundException", "The group id does not exist."),
    row(70, "FETCH_SESSION_ID_NOT_FOUND", "FetchSessionIdNotFoundException", "The fetch session ID was not found."),
    row(71, "INVALID_FETCH_SESSION_EPOCH", "InvalidFetchSessionEpochException", "The fetch session epoch is invalid."),
    row(72, "LISTENER_NOT_FOUND", "ListenerNotFoundException", "There is no listener on the leader broker that matches the listener on which metadata request was processed."),
    row(73, "TOPIC_DELETION_DISABLED", "TopicDeletionDisabledException", "Topic deletion is disabled."),
    row(74, "FENCED_LEADER_EPOCH", "FencedLeaderEpochException", "The leader epoch in the request is older than the epoch on the broker."),
    row(75, "UNKNOWN_LEADER_EPOCH", "UnknownLeaderEpochException", "The leader epoch in the request is newer than the epoch on the broker."),
    row(76, "UNSUPPORTED_COMPRESSION_TYPE", "UnsupportedCompressionTypeException", "The requesting client does not support the compression type of given partition."),
    row(77, "STALE_BROKER_EPOCH", "StaleBrokerEpochException", "Broker epoch has changed."),
    row(78, "OFFSET_NOT_AVAILABLE", "OffsetNotAvailableException", "The leader high watermark has not caught up from a recent leader election so the offsets cannot be guaranteed to be monotonically increasing."),
    row(79, "MEMBER_ID_REQUIRED", "MemberIdRequiredException", "The group member needs to have a valid member id before actually entering a consumer group."),
    row(80, "PREFERRED_LEADER_NOT_AVAILABLE", "PreferredLeaderNotAvailableException", "The preferred leader was not available."),
    row(81, "GROUP_MAX_SIZE_REACHED", "GroupMaxSizeReachedException", "The consumer group has reached its max size."),
    row(82, "FENCED_INSTANCE_ID", "FencedInstanceIdException", "The broker rejected this static consumer since another consumer with the same group.instance.id has registered with a different member.id."),
    row(83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", "EligibleLeadersNotAvailableException", "Eligible topic partition leaders are not available."),
    row(84, "ELECTION_NOT_NEEDED", "ElectionNotNeededException", "Leader election not needed for topic partition."),
    row(85, "NO_REASSIGNMENT_IN_PROGRESS", "NoReassignmentInProgressException", "No partition reassignment is in progress."),
    row(86, "GROUP_SUBSCRIBED_TO_TOPIC", "GroupSubscribedToTopicException", "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it."),
    row(87, "INVALID_RECORD", "org.apache.kafka.common.InvalidRecordException", "This record has failed the validation on broker and hence will be rejected."),
    row(88, "UNSTABLE_OFFSET_COMMIT", "UnstableOffsetCommitException", "There are unstable offsets that need to be cleared."),
    row(89, "THROTTLING_QUOTA_EXCEEDED", "ThrottlingQuotaExceededException", "The throttling quota has been exceeded."),
    row(90, "PRODUCER_FENCED", "ProducerFencedException", "There is a newer producer with the same transactionalId which fences the current one."),
    row(91, "RESOURCE_NOT_FOUND", "ResourceNotFoundException", "A request illegally referred to a resource that does not exist."),
    row(92, "DUPLICATE_RESOURCE", "DuplicateResourceException", "A request illegally referred to the same resource twice."),
    row(93, "UNACCEPTABLE_CREDENTIAL", "UnacceptableCredentialException", "Requested credential would not meet criteria for acceptability."),
    row(94, "INCONSISTENT_VOTER_SET", "InconsistentVoterSetException", "Indicates that the either the sender or recipient of a voter-only request is not one of the expected voters"),
    row(95, "INVALID_UPDATE_VERSION", "InvalidUpdateVersionException", "The given update version was invalid."),
    row(96, "FEATURE_UPDATE_FAILED", "FeatureUpdateFailedException", "Unable to update finalized features due to an unexpected server error."),
    row(97, "PRINCIPAL_DESERIALIZATION_FAILURE", "PrincipalDeserializationException", "Request principal deserialization failed during forwarding. This indicates an internal error on the broker cluster security setup."),
    row(98, "SNAPSHOT_NOT_FOUND", "SnapshotNotFoundException", "Requested snapshot was not found"),
    row(99, "POSITION_OUT_OF_RANGE", "PositionOutOfRangeException", "Requested position is not greater than or equal to zero, and less than the size of the snapshot."),
    row(100, "UNKNOWN_TOPIC_ID", "UnknownTopicIdException", "This server does not host this topic ID."),
    row(101, "DUPLICATE_BROKER_REGISTRATION", "DuplicateBrokerRegistrationException", "This broker ID is already in use."),
    row(102, "BROKER_ID_NOT_REGISTERED", "BrokerIdNotRegisteredException", "The given broker ID was not registered."),
    row(103, "INCONSISTENT_TOPIC_ID", "InconsistentTopicIdException", "The log's topic ID did not match the topic ID in the request"),
    row(104, "INCONSISTENT_CLUSTER_ID", "InconsistentClusterIdException", "The clusterId in the request does not match that found on the server"),
    row(105, "TRANSACTIONAL_ID_NOT_FOUND", "TransactionalIdNotFoundException", "The transactionalId could not be found"),
    row(106, "FETCH_SESSION_TOPIC_ID_ERROR", "FetchSessionTopicIdException", "The fetch session encountered inconsistent topic ID usage"),
    row(107, "INELIGIBLE_REPLICA", "IneligibleReplicaException", "The new ISR contains at least one ineligible replica."),
    row(108, "NEW_LEADER_ELECTED", "NewLeaderElectedException", "The AlterPartition request successfully updated the partition state but the leader has changed."),
    row(109, "OFFSET_MOVED_TO_TIERED_STORAGE", "OffsetMovedToTieredStorageException", "The requested offset is moved to tiered storage."),
    row(110, "FENCED_MEMBER_EPOCH", "FencedMemberEpochException", "The member epoch is fenced by the group coordinator. The member must abandon all its partitions and rejoin."),
    row(111, "UNRELEASED_INSTANCE_ID", "UnreleasedInstanceIdException", "The instance ID is still used by another member in the consumer group. That member must leave first."),
    row(112, "UNSUPPORTED_ASSIGNOR", "UnsupportedAssignorException", "The assignor or its version range is not supported by the consumer group."),
    row(113, "STALE_MEMBER_EPOCH", "StaleMemberEpochException", "The member epoch is stale. The member must retry after receiving its updated member epoch via the ConsumerGroupHeartbeat API."),
    row(114, "MISMATCHED_ENDPOINT_TYPE", "MismatchedEndpointTypeException", "The request was sent to an endpoint of the wrong type."),
    row(115, "UNSUPPORTED_ENDPOINT_TYPE", "UnsupportedEndpointTypeException", "This endpoint type is not supported yet."),
    row(116, "UNKNOWN_CONTROLLER_ID", "UnknownControllerIdException", "This controller ID is not known."),
    row(117, "UNKNOWN_SUBSCRIPTION_ID", "UnknownSubscriptionIdException", "Client sent a push telemetry request with an invalid or outdated subscription ID."),
    row(118, "TELEMETRY_TOO_LARGE", "TelemetryTooLargeException", "Client sent a push telemetry request larger than the maximum size the broker will accept."),
    row(119, "INVALID_REGISTRATION", "InvalidRegistrationException", "The controller has considered the broker registration to be invalid."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_without_holes() {
        let codes: Vec<i16> = ERRORS.iter().map(|error| error.code).collect();
        let due: Vec<i16> = (-1..=119).filter(|code| *code != 0).collect();
        assert_eq!(codes, due);
    }

    #[test]
    fn the_brokers_words_win() {
        assert_eq!(exception(3, None).message, "This server does not host this topic-partition.");
        assert_eq!(exception(3, Some("")).to_string().split_once(' ').unwrap().1, "");
        assert_eq!(Exception::wordless("C").to_string(), "C");
        assert_eq!(
            exception(36, Some("Topic 't' already exists.")).trace(),
            "org.apache.kafka.common.errors.TopicExistsException: Topic 't' already exists."
        );
    }
}
