//! The responses, as nodes and clients read them. `message!` says how a row is read.

use kafka_protocol::messages::*;

use super::{Message, message};

pub(super) const RESPONSES: &[Message] = &[
    message!(Produce as ProduceResponse, to 10, flexible 9 {
        responses: [produce_response::TopicProduceResponse {
            name: string;
            partition_responses: [produce_response::PartitionProduceResponse {
                index: i32;
                error_code: i16;
                base_offset: i64;
                log_append_time_ms: i64 since 2;
                log_start_offset: i64 since 5;
                record_errors: [produce_response::BatchIndexAndErrorMessage {
                    batch_index: i32;
                    batch_index_error_message: string null 8;
                }] since 8;
                error_message: string since 8 null 8;
                current_leader: (produce_response::LeaderIdAndEpoch {
                    leader_id: i32;
                    leader_epoch: i32;
                }) since 10 tag 0;
            }];
        }];
        throttle_time_ms: i32 since 1;
        node_endpoints: [produce_response::NodeEndpoint {
            node_id: i32;
            host: string;
            port: i32;
            rack: string null 10;
        }] since 10 tag 0;
    }),
    message!(Fetch as FetchResponse, to 16, flexible 12 {
        throttle_time_ms: i32 since 1;
        error_code: i16 since 7;
        session_id: i32 since 7;
        responses: [fetch_response::FetchableTopicResponse {
            topic: string until 12;
            topic_id: uuid since 13;
            partitions: [fetch_response::PartitionData {
                partition_index: i32;
                error_code: i16;
                high_watermark: i64;
                last_stable_offset: i64 since 4;
                log_start_offset: i64 since 5;
                diverging_epoch: (fetch_response::EpochEndOffset {
                    epoch: i32;
                    end_offset: i64;
                }) since 12 tag 0;
                current_leader: (fetch_response::LeaderIdAndEpoch {
                    leader_id: i32;
                    leader_epoch: i32;
                }) since 12 tag 1;
                snapshot_id: (fetch_response::SnapshotId {
                    end_offset: i64;
                    epoch: i32;
                }) since 12 tag 2;
                aborted_transactions: [fetch_response::AbortedTransaction {
                    producer_id: i64;
                    first_offset: i64;
                }] since 4 null 4;
                preferred_read_replica: i32 since 11;
                records: bytes null 0;
            }];
        }];
        node_endpoints: [fetch_response::NodeEndpoint {
            node_id: i32;
            host: string;
            port: i32;
            rack: string null 16;
        }] since 16 tag 0;
    }),
    message!(ListOffsets as ListOffsetsResponse, to 8, flexible 6 {
        throttle_time_ms: i32 since 2;
        topics: [list_offsets_response::ListOffsetsTopicResponse {
            name: string;
            partitions: [list_offsets_response::ListOffsetsPartitionResponse {
                partition_index: i32;
                error_code: i16;
                old_style_offsets: [i64] until 0;
                timestamp: i64 since 1;
                offset: i64 since 1;
                leader_epoch: i32 since 4;
            }];
        }];
    }),
    message!(Metadata as MetadataResponse, to 12, flexible 9 {
        throttle_time_ms: i32 since 3;
        brokers: [metadata_response::MetadataResponseBroker {
            node_id: i32;
            host: string;
            port: i32;
            rack: string since 1 null 1;
        }];
        cluster_id: string since 2 null 2;
        controller_id: i32 since 1;
        topics: [metadata_response::MetadataResponseTopic {
            error_code: i16;
            name: string null 12;
            topic_id: uuid since 10;
            is_internal: bool since 1;
            partitions: [metadata_response::MetadataResponsePartition {
                error_code: i16;
                partition_index: i32;
                leader_id: i32;
                leader_epoch: i32 since 7;
                replica_nodes: [i32];
                isr_nodes: [i32];
                offline_replicas: [i32] since 5;
            }];
            topic_authorized_operations: i32 since 8;
        }];
        cluster_authorized_operations: i32 since 8 until 10;
    }),
    message!(ControlledShutdown as ControlledShutdownResponse, to 3, flexible 3 {
        error_code: i16;
        remaining_partitions: [controlled_shutdown_response::RemainingPartition {
            topic_name: string;
            partition_index: i32;
        }];
    }),
    message!(OffsetCommit as OffsetCommitResponse, to 9, flexible 8 {
        throttle_time_ms: i32 since 3;
        topics: [offset_commit_response::OffsetCommitResponseTopic {
            name: string;
            partitions: [offset_commit_response::OffsetCommitResponsePartition {
                partition_index: i32;
                error_code: i16;
            }];
        }];
    }),
    message!(OffsetFetch as OffsetFetchResponse, to 9, flexible 6 {
        throttle_time_ms: i32 since 3;
        topics: [offset_fetch_response::OffsetFetchResponseTopic {
            name: string;
            partitions: [offset_fetch_response::OffsetFetchResponsePartition {
                partition_index: i32;
                committed_offset: i64;
                committed_leader_epoch: i32 since 5;
                metadata: string null 0;
                error_code: i16;
            }];
        }] until 7;
        error_code: i16 since 2 until 7;
        groups: [offset_fetch_response::OffsetFetchResponseGroup {
            group_id: string;
            topics: [offset_fetch_response::OffsetFetchResponseTopics {
                name: string;
                partitions: [offset_fetch_response::OffsetFetchResponsePartitions {
                    partition_index: i32;
                    committed_offset: i64;
                    committed_leader_epoch: i32;
                    metadata: string null 8;
                    error_code: i16;
                }];
            }];
            error_code: i16;
        }] since 8;
    }),
    message!(FindCoordinator as FindCoordinatorResponse, to 4, flexible 3 {
        throttle_time_ms: i32 since 1;
        error_code: i16 until 3;
        error_message: string since 1 until 3 null 1;
        node_id: i32 until 3;
        host: string until 3;
        port: i32 until 3;
        coordinators: [find_coordinator_response::Coordinator {
            key: string;
            node_id: i32;
            host: string;
            port: i32;
            error_code: i16;
            error_message: string null 4;
        }] since 4;
    }),
    message!(JoinGroup as JoinGroupResponse, to 9, flexible 6 {
        throttle_time_ms: i32 since 2;
        error_code: i16;
        generation_id: i32;
        protocol_type: string since 7 null 7;
        protocol_name: string null 7;
        leader: string;
        skip_assignment: bool since 9;
        member_id: string;
        members: [join_group_response::JoinGroupResponseMember {
            member_id: string;
            group_instance_id: string since 5 null 5;
            metadata: bytes;
        }];
    }),
    message!(Heartbeat as HeartbeatResponse, to 4, flexible 4 {
        throttle_time_ms: i32 since 1;
        error_code: i16;
    }),
    message!(LeaveGroup as LeaveGroupResponse, to 5, flexible 4 {
        throttle_time_ms: i32 since 1;
        error_code: i16;
        members: [leave_group_response::MemberResponse {
            member_id: string;
            group_instance_id: string null 3;
            error_code: i16;
        }] since 3;
    }),
    message!(SyncGroup as SyncGroupResponse, to 5, flexible 4 {
        throttle_time_ms: i32 since 1;
        error_code: i16;
        protocol_type: string since 5 null 5;
        protocol_name: string since 5 null 5;
        assignment: bytes;
    }),
    message!(DescribeGroups as DescribeGroupsResponse, to 5, flexible 5 {
        throttle_time_ms: i32 since 1;
        groups: [describe_groups_response::DescribedGroup {
            error_code: i16;
            group_id: string;
            group_state: string;
            protocol_type: string;
            protocol_data: string;
            members: [describe_groups_response::DescribedGroupMember {
                member_id: string;
                group_instance_id: string since 4 null 4;
                client_id: string;
                client_host: string;
                member_metadata: bytes;
                member_assignment: bytes;
            }];
            authorized_operations: i32 since 3;
        }];
    }),
    message!(ListGroups as ListGroupsResponse, to 5, flexible 3 {
        throttle_time_ms: i32 since 1;
        error_code: i16;
        groups: [list_groups_response::ListedGroup {
            group_id: string;
            protocol_type: string;
            group_state: string since 4;
            group_type: string since 5;
        }];
    }),
    message!(ApiVersions as ApiVersionsResponse, to 4, flexible 3 {
        error_code: i16;
        api_keys: [api_versions_response::ApiVersion {
            api_key: i16;
            min_version: i16;
            max_version: i16;
        }];
        throttle_time_ms: i32 since 1;
        supported_features: [api_versions_response::SupportedFeatureKey {
            name: string;
            min_version: i16;
            max_version: i16;
        }] since 3 tag 0;
        finalized_features_epoch: i64 since 3 tag 1;
        finalized_features: [api_versions_response::FinalizedFeatureKey {
            name: string;
            max_version_level: i16;
            min_version_level: i16;
        }] since 3 tag 2;
        zk_migration_ready: bool since 3 tag 3;
    }),
    message!(CreateTopics as CreateTopicsResponse, to 7, flexible 5 {
        throttle_time_ms: i32 since 2;
        topics: [create_topics_response::CreatableTopicResult {
            name: string;
            topic_id: uuid since 7;
            error_code: i16;
            error_message: string since 1 null 0;
            topic_config_error_code: i16 since 5 tag 0;
            num_partitions: i32 since 5;
            replication_factor: i16 since 5;
            configs: [create_topics_response::CreatableTopicConfigs {
                name: string;
                value: string null 5;
                read_only: bool;
                config_source: i8;
                is_sensitive: bool;
            }] since 5 null 5;
        }];
    }),
    message!(DeleteTopics as DeleteTopicsResponse, to 6, flexible 4 {
        throttle_time_ms: i32 since 1;
        responses: [delete_topics_response::DeletableTopicResult {
            name: string null 6;
            topic_id: uuid since 6;
            error_code: i16;
            error_message: string since 5 null 5;
        }];
    }),
    message!(DeleteRecords as DeleteRecordsResponse, to 2, flexible 2 {
        throttle_time_ms: i32;
        topics: [delete_records_response::DeleteRecordsTopicResult {
            name: string;
            partitions: [delete_records_response::DeleteRecordsPartitionResult {
                partition_index: i32;
                low_watermark: i64;
                error_code: i16;
            }];
        }];
    }),
    message!(InitProducerId as InitProducerIdResponse, to 4, flexible 2 {
        throttle_time_ms: i32;
        error_code: i16;
        producer_id: i64;
        producer_epoch: i16;
    }),
    message!(OffsetForLeaderEpoch as OffsetForLeaderEpochResponse, to 4, flexible 4 {
        throttle_time_ms: i32 since 2;
        topics: [offset_for_leader_epoch_response::OffsetForLeaderTopicResult {
            topic: string;
            partitions: [offset_for_leader_epoch_response::EpochEndOffset {
                error_code: i16;
                partition: i32;
                leader_epoch: i32 since 1;
                end_offset: i64;
            }];
        }];
    }),
    message!(AddPartitionsToTxn as AddPartitionsToTxnResponse, to 4, flexible 3 {
        throttle_time_ms: i32;
        error_code: i16 since 4;
        results_by_transaction: [add_partitions_to_txn_response::AddPartitionsToTxnResult {
            transactional_id: string;
            topic_results: [add_partitions_to_txn_response::AddPartitionsToTxnTopicResult {
                name: string;
                results_by_partition: [add_partitions_to_txn_response::AddPartitionsToTxnPartitionResult {
                    partition_index: i32;
                    partition_error_code: i16;
                }];
            }];
        }] since 4;
        results_by_topic_v3_and_below: [add_partitions_to_txn_response::AddPartitionsToTxnTopicResult {
            name: string;
            results_by_partition: [add_partitions_to_txn_response::AddPartitionsToTxnPartitionResult {
                partition_index: i32;
                partition_error_code: i16;
            }];
        }] until 3;
    }),
    message!(AddOffsetsToTxn as AddOffsetsToTxnResponse, to 3, flexible 3 {
        throttle_time_ms: i32;
        error_code: i16;
    }),
    message!(EndTxn as EndTxnResponse, to 3, flexible 3 {
        throttle_time_ms: i32;
        error_code: i16;
    }),
    message!(WriteTxnMarkers as WriteTxnMarkersResponse, to 1, flexible 1 {
        markers: [write_txn_markers_response::WritableTxnMarkerResult {
            producer_id: i64;
            topics: [write_txn_markers_response::WritableTxnMarkerTopicResult {
                name: string;
                partitions: [write_txn_markers_response::WritableTxnMarkerPartitionResult {
                    partition_index: i32;
                    error_code: i16;
                }];
            }];
        }];
    }),
    message!(TxnOffsetCommit as TxnOffsetCommitResponse, to 3, flexible 3 {
        throttle_time_ms: i32;
        topics: [txn_offset_commit_response::TxnOffsetCommitResponseTopic {
            name: string;
            partitions: [txn_offset_commit_response::TxnOffsetCommitResponsePartition {
                partition_index: i32;
                error_code: i16;
            }];
        }];
    }),
    message!(DescribeConfigs as DescribeConfigsResponse, to 4, flexible 4 {
        throttle_time_ms: i32;
        results: [describe_configs_response::DescribeConfigsResult {
            error_code: i16;
            error_message: string null 0;
            resource_type: i8;
            resource_name: string;
            configs: [describe_configs_response::DescribeConfigsResourceResult {
                name: string;
                value: string null 0;
                read_only: bool;
                is_default: bool until 0;
                config_source: i8 since 1;
                is_sensitive: bool;
                synonyms: [describe_configs_response::DescribeConfigsSynonym {
                    name: string;
                    value: string null 0;
                    source: i8;
                }] since 1;
                config_type: i8 since 3;
                documentation: string since 3 null 0;
            }];
        }];
    }),
    message!(AlterConfigs as AlterConfigsResponse, to 2, flexible 2 {
        throttle_time_ms: i32;
        responses: [alter_configs_response::AlterConfigsResourceResponse {
            error_code: i16;
            error_message: string null 0;
            resource_type: i8;
            resource_name: string;
        }];
    }),
    message!(DescribeLogDirs as DescribeLogDirsResponse, to 4, flexible 2 {
        throttle_time_ms: i32;
        error_code: i16 since 3;
        results: [describe_log_dirs_response::DescribeLogDirsResult {
            error_code: i16;
            log_dir: string;
            topics: [describe_log_dirs_response::DescribeLogDirsTopic {
                name: string;
                partitions: [describe_log_dirs_response::DescribeLogDirsPartition {
                    partition_index: i32;
                    partition_size: i64;
                    offset_lag: i64;
                    is_future_key: bool;
                }];
            }];
            total_bytes: i64 since 4;
            usable_bytes: i64 since 4;
        }];
    }),
    message!(CreatePartitions as CreatePartitionsResponse, to 3, flexible 2 {
        throttle_time_ms: i32;
        results: [create_partitions_response::CreatePartitionsTopicResult {
            name: string;
            error_code: i16;
            error_message: string null 0;
        }];
    }),
    message!(DeleteGroups as DeleteGroupsResponse, to 2, flexible 2 {
        throttle_time_ms: i32;
        results: [delete_groups_response::DeletableGroupResult {
            group_id: string;
            error_code: i16;
        }];
    }),
    message!(ElectLeaders as ElectLeadersResponse, to 2, flexible 2 {
        throttle_time_ms: i32;
        error_code: i16 since 1;
        replica_election_results: [elect_leaders_response::ReplicaElectionResult {
            topic: string;
            partition_result: [elect_leaders_response::PartitionResult {
                partition_id: i32;
                error_code: i16;
                error_message: string null 0;
            }];
        }];
    }),
    message!(IncrementalAlterConfigs as IncrementalAlterConfigsResponse, to 1, flexible 1 {
        throttle_time_ms: i32;
        responses: [incremental_alter_configs_response::AlterConfigsResourceResponse {
            error_code: i16;
            error_message: string null 0;
            resource_type: i8;
            resource_name: string;
        }];
    }),
    message!(AlterPartitionReassignments as AlterPartitionReassignmentsResponse, to 0, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: string null 0;
        responses: [alter_partition_reassignments_response::ReassignableTopicResponse {
            name: string;
            partitions: [alter_partition_reassignments_response::ReassignablePartitionResponse {
                partition_index: i32;
                error_code: i16;
                error_message: string null 0;
            }];
        }];
    }),
    message!(ListPartitionReassignments as ListPartitionReassignmentsResponse, to 0, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: string null 0;
        topics: [list_partition_reassignments_response::OngoingTopicReassignment {
            name: string;
            partitions: [list_partition_reassignments_response::OngoingPartitionReassignment {
                partition_index: i32;
                replicas: [i32];
                adding_replicas: [i32];
                removing_replicas: [i32];
            }];
        }];
    }),
    message!(OffsetDelete as OffsetDeleteResponse, to 0, flexible never {
        error_code: i16;
        throttle_time_ms: i32;
        topics: [offset_delete_response::OffsetDeleteResponseTopic {
            name: string;
            partitions: [offset_delete_response::OffsetDeleteResponsePartition {
                partition_index: i32;
                error_code: i16;
            }];
        }];
    }),
    message!(Vote as VoteResponse, to 0, flexible 0 {
        error_code: i16;
        topics: [vote_response::TopicData {
            topic_name: string;
            partitions: [vote_response::PartitionData {
                partition_index: i32;
                error_code: i16;
                leader_id: i32;
                leader_epoch: i32;
                vote_granted: bool;
            }];
        }];
    }),
    message!(BeginQuorumEpoch as BeginQuorumEpochResponse, to 0, flexible never {
        error_code: i16;
        topics: [begin_quorum_epoch_response::TopicData {
            topic_name: string;
            partitions: [begin_quorum_epoch_response::PartitionData {
                partition_index: i32;
                error_code: i16;
                leader_id: i32;
                leader_epoch: i32;
            }];
        }];
    }),
    message!(EndQuorumEpoch as EndQuorumEpochResponse, to 0, flexible never {
        error_code: i16;
        topics: [end_quorum_epoch_response::TopicData {
            topic_name: string;
            partitions: [end_quorum_epoch_response::PartitionData {
                partition_index: i32;
                error_code: i16;
                leader_id: i32;
                leader_epoch: i32;
            }];
        }];
    }),
    message!(DescribeQuorum as DescribeQuorumResponse, to 1, flexible 0 {
        error_code: i16;
        topics: [describe_quorum_response::TopicData {
            topic_name: string;
            partitions: [describe_quorum_response::PartitionData {
                partition_index: i32;
                error_code: i16;
                leader_id: i32;
                leader_epoch: i32;
                high_watermark: i64;
                current_voters: [describe_quorum_response::ReplicaState {
                    replica_id: i32;
                    log_end_offset: i64;
                    last_fetch_timestamp: i64 since 1;
                    last_caught_up_timestamp: i64 since 1;
                }];
                observers: [describe_quorum_response::ReplicaState {
                    replica_id: i32;
                    log_end_offset: i64;
                    last_fetch_timestamp: i64 since 1;
                    last_caught_up_timestamp: i64 since 1;
                }];
            }];
        }];
    }),
    message!(AlterPartition as AlterPartitionResponse, to 3, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        topics: [alter_partition_response::TopicData {
            topic_name: string until 1;
            topic_id: uuid since 2;
            partitions: [alter_partition_response::PartitionData {
                partition_index: i32;
                error_code: i16;
                leader_id: i32;
                leader_epoch: i32;
                isr: [i32];
                leader_recovery_state: i8 since 1;
                partition_epoch: i32;
            }];
        }];
    }),
    message!(UpdateFeatures as UpdateFeaturesResponse, to 1, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: string null 0;
        results: [update_features_response::UpdatableFeatureResult {
            feature: string;
            error_code: i16;
            error_message: string null 0;
        }];
    }),
    message!(Envelope as EnvelopeResponse, to 0, flexible 0 {
        response_data: bytes null 0;
        error_code: i16;
    }),
    message!(FetchSnapshot as FetchSnapshotResponse, to 0, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        topics: [fetch_snapshot_response::TopicSnapshot {
            name: string;
            partitions: [fetch_snapshot_response::PartitionSnapshot {
                index: i32;
                error_code: i16;
                snapshot_id: (fetch_snapshot_response::SnapshotId {
                    end_offset: i64;
                    epoch: i32;
                });
                current_leader: (fetch_snapshot_response::LeaderIdAndEpoch {
                    leader_id: i32;
                    leader_epoch: i32;
                }) tag 0;
                size: i64;
                position: i64;
                unaligned_records: bytes;
            }];
        }];
    }),
    message!(DescribeCluster as DescribeClusterResponse, to 1, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: string null 0;
        endpoint_type: i8 since 1;
        cluster_id: string;
        controller_id: i32;
        brokers: [describe_cluster_response::DescribeClusterBroker {
            broker_id: i32;
            host: string;
            port: i32;
            rack: string null 0;
        }];
        cluster_authorized_operations: i32;
    }),
    message!(DescribeProducers as DescribeProducersResponse, to 0, flexible 0 {
        throttle_time_ms: i32;
        topics: [describe_producers_response::TopicResponse {
            name: string;
            partitions: [describe_producers_response::PartitionResponse {
                partition_index: i32;
                error_code: i16;
                error_message: string null 0;
                active_producers: [describe_producers_response::ProducerState {
                    producer_id: i64;
                    producer_epoch: i32;
                    last_sequence: i32;
                    last_timestamp: i64;
                    coordinator_epoch: i32;
                    current_txn_start_offset: i64;
                }];
            }];
        }];
    }),
    message!(BrokerRegistration as BrokerRegistrationResponse, to 3, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        broker_epoch: i64;
    }),
    message!(BrokerHeartbeat as BrokerHeartbeatResponse, to 1, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        is_caught_up: bool;
        is_fenced: bool;
        should_shut_down: bool;
    }),
    message!(UnregisterBroker as UnregisterBrokerResponse, to 0, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: string null 0;
    }),
    message!(DescribeTransactions as DescribeTransactionsResponse, to 0, flexible 0 {
        throttle_time_ms: i32;
        transaction_states: [describe_transactions_response::TransactionState {
            error_code: i16;
            transactional_id: string;
            transaction_state: string;
            transaction_timeout_ms: i32;
            transaction_start_time_ms: i64;
            producer_id: i64;
            producer_epoch: i16;
            topics: [describe_transactions_response::TopicData {
                topic: string;
                partitions: [i32];
            }];
        }];
    }),
    message!(ListTransactions as ListTransactionsResponse, to 0, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        unknown_state_filters: [string];
        transaction_states: [list_transactions_response::TransactionState {
            transactional_id: string;
            producer_id: i64;
            transaction_state: string;
        }];
    }),
    message!(AllocateProducerIds as AllocateProducerIdsResponse, to 0, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        producer_id_start: i64;
        producer_id_len: i32;
    }),
    message!(ControllerRegistration as ControllerRegistrationResponse, to 0, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        error_message: string null 0;
    }),
    message!(AssignReplicasToDirs as AssignReplicasToDirsResponse, to 0, flexible 0 {
        throttle_time_ms: i32;
        error_code: i16;
        directories: [assign_replicas_to_dirs_response::DirectoryData {
            id: uuid;
            topics: [assign_replicas_to_dirs_response::TopicData {
                topic_id: uuid;
                partitions: [assign_replicas_to_dirs_response::PartitionData {
                    partition_index: i32;
                    error_code: i16;
                }];
            }];
        }];
    }),
];
