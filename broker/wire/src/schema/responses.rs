//! The responses that this node reads from other nodes. `message!` says how a row is read.

use kafka_protocol::messages::*;

use super::{Message, message};

pub(super) const RESPONSES: &[Message] = &[
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
    message!(AlterConfigs as AlterConfigsResponse, to 2, flexible 2 {
        throttle_time_ms: i32;
        responses: [alter_configs_response::AlterConfigsResourceResponse {
            error_code: i16;
            error_message: string null 0;
            resource_type: i8;
            resource_name: string;
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
