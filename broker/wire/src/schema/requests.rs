//! The requests that this node serves, in all their versions: 3.7.0's, and those of later ones that a setting adds.
//! `message!` says how a row is read.

use kafka_protocol::messages::*;

use super::{Message, message};
use crate::consumer_group;

pub(super) const REQUESTS: &[Message] = &[
    message!(Produce as ProduceRequest, to 10, flexible 9 {
        transactional_id: string since 3 null 3;
        acks: i16;
        timeout_ms: i32;
        topic_data: [produce_request::TopicProduceData {
            name: string;
            partition_data: [produce_request::PartitionProduceData {
                index: i32;
                records: bytes null 0;
            }];
        }];
    }),
    message!(Fetch as FetchRequest, to 16, flexible 12 {
        cluster_id: string since 12 null 12 tag 0;
        replica_id: i32 until 14;
        replica_state: (fetch_request::ReplicaState {
            replica_id: i32;
            replica_epoch: i64;
        }) since 15 tag 1;
        max_wait_ms: i32;
        min_bytes: i32;
        max_bytes: i32 since 3;
        isolation_level: i8 since 4;
        session_id: i32 since 7;
        session_epoch: i32 since 7;
        topics: [fetch_request::FetchTopic {
            topic: string until 12;
            topic_id: uuid since 13;
            partitions: [fetch_request::FetchPartition {
                partition: i32;
                current_leader_epoch: i32 since 9;
                fetch_offset: i64;
                last_fetched_epoch: i32 since 12;
                log_start_offset: i64 since 5;
                partition_max_bytes: i32;
            }];
        }];
        forgotten_topics_data: [fetch_request::ForgottenTopic {
            topic: string until 12;
            topic_id: uuid since 13;
            partitions: [i32];
        }] since 7;
        rack_id: string since 11;
    }),
    message!(ListOffsets as ListOffsetsRequest, to 8, flexible 6 {
        replica_id: i32;
        isolation_level: i8 since 2;
        topics: [list_offsets_request::ListOffsetsTopic {
            name: string;
            partitions: [list_offsets_request::ListOffsetsPartition {
                partition_index: i32;
                current_leader_epoch: i32 since 4;
                timestamp: i64;
                max_num_offsets: i32 until 0;
            }];
        }];
    }),
    message!(Metadata as MetadataRequest, to 12, flexible 9 {
        topics: [metadata_request::MetadataRequestTopic {
            topic_id: uuid since 10;
            name: string null 10;
        }] null 1;
        allow_auto_topic_creation: bool since 4;
        include_cluster_authorized_operations: bool since 8 until 10;
        include_topic_authorized_operations: bool since 8;
    }),
    message!(ControlledShutdown as ControlledShutdownRequest, to 3, flexible 3 {
        broker_id: i32;
        broker_epoch: i64 since 2;
    }),
    message!(OffsetCommit as OffsetCommitRequest, to 9, flexible 8 {
        group_id: string;
        generation_id_or_member_epoch: i32 since 1;
        member_id: string since 1;
        group_instance_id: string since 7 null 7;
        retention_time_ms: i64 since 2 until 4;
        topics: [offset_commit_request::OffsetCommitRequestTopic {
            name: string;
            partitions: [offset_commit_request::OffsetCommitRequestPartition {
                partition_index: i32;
                committed_offset: i64;
                committed_leader_epoch: i32 since 6;
                commit_timestamp: i64 since 1 until 1;
                committed_metadata: string null 0;
            }];
        }];
    }),
    message!(OffsetFetch as OffsetFetchRequest, to 9, flexible 6 {
        group_id: string until 7;
        topics: [offset_fetch_request::OffsetFetchRequestTopic {
            name: string;
            partition_indexes: [i32];
        }] until 7 null 2;
        groups: [offset_fetch_request::OffsetFetchRequestGroup {
            group_id: string;
            member_id: string since 9 null 9;
            member_epoch: i32 since 9;
            topics: [offset_fetch_request::OffsetFetchRequestTopics {
                name: string;
                partition_indexes: [i32];
            }] null 8;
        }] since 8;
        require_stable: bool since 7;
    }),
    message!(FindCoordinator as FindCoordinatorRequest, to 4, flexible 3 {
        key: string until 3;
        key_type: i8 since 1;
        coordinator_keys: [string] since 4;
    }),
    message!(JoinGroup as JoinGroupRequest, to 9, flexible 6 {
        group_id: string;
        session_timeout_ms: i32;
        rebalance_timeout_ms: i32 since 1;
        member_id: string;
        group_instance_id: string since 5 null 5;
        protocol_type: string;
        protocols: [join_group_request::JoinGroupRequestProtocol {
            name: string;
            metadata: bytes;
        }];
        reason: string since 8 null 8;
    }),
    message!(Heartbeat as HeartbeatRequest, to 4, flexible 4 {
        group_id: string;
        generation_id: i32;
        member_id: string;
        group_instance_id: string since 3 null 3;
    }),
    message!(LeaveGroup as LeaveGroupRequest, to 5, flexible 4 {
        group_id: string;
        member_id: string until 2;
        members: [leave_group_request::MemberIdentity {
            member_id: string;
            group_instance_id: string null 3;
            reason: string since 5 null 5;
        }] since 3;
    }),
    message!(SyncGroup as SyncGroupRequest, to 5, flexible 4 {
        group_id: string;
        generation_id: i32;
        member_id: string;
        group_instance_id: string since 3 null 3;
        protocol_type: string since 5 null 5;
        protocol_name: string since 5 null 5;
        assignments: [sync_group_request::SyncGroupRequestAssignment {
            member_id: string;
            assignment: bytes;
        }];
    }),
    message!(DescribeGroups as DescribeGroupsRequest, to 6, flexible 5 {
        groups: [string];
        include_authorized_operations: bool since 3;
    }),
    message!(ListGroups as ListGroupsRequest, to 5, flexible 3 {
        states_filter: [string] since 4;
        types_filter: [string] since 5;
    }),
    message!(ApiVersions as ApiVersionsRequest, to 4, flexible 3 {
        client_software_name: string since 3;
        client_software_version: string since 3;
    }),
    message!(CreateTopics as CreateTopicsRequest, to 7, flexible 5 {
        topics: [create_topics_request::CreatableTopic {
            name: string;
            num_partitions: i32;
            replication_factor: i16;
            assignments: [create_topics_request::CreatableReplicaAssignment {
                partition_index: i32;
                broker_ids: [i32];
            }];
            configs: [create_topics_request::CreatableTopicConfig {
                name: string;
                value: string null 0;
            }];
        }];
        timeout_ms: i32;
        validate_only: bool since 1;
    }),
    message!(DeleteTopics as DeleteTopicsRequest, to 6, flexible 4 {
        topics: [delete_topics_request::DeleteTopicState {
            name: string null 6;
            topic_id: uuid;
        }] since 6;
        topic_names: [string] until 5;
        timeout_ms: i32;
    }),
    message!(DeleteRecords as DeleteRecordsRequest, to 2, flexible 2 {
        topics: [delete_records_request::DeleteRecordsTopic {
            name: string;
            partitions: [delete_records_request::DeleteRecordsPartition {
                partition_index: i32;
                offset: i64;
            }];
        }];
        timeout_ms: i32;
    }),
    message!(InitProducerId as InitProducerIdRequest, to 4, flexible 2 {
        transactional_id: string null 0;
        transaction_timeout_ms: i32;
        producer_id: i64 since 3;
        producer_epoch: i16 since 3;
    }),
    message!(OffsetForLeaderEpoch as OffsetForLeaderEpochRequest, to 4, flexible 4 {
        replica_id: i32 since 3;
        topics: [offset_for_leader_epoch_request::OffsetForLeaderTopic {
            topic: string;
            partitions: [offset_for_leader_epoch_request::OffsetForLeaderPartition {
                partition: i32;
                current_leader_epoch: i32 since 2;
                leader_epoch: i32;
            }];
        }];
    }),
    message!(AddPartitionsToTxn as AddPartitionsToTxnRequest, to 4, flexible 3 {
        transactions: [add_partitions_to_txn_request::AddPartitionsToTxnTransaction {
            transactional_id: string;
            producer_id: i64;
            producer_epoch: i16;
            verify_only: bool;
            topics: [add_partitions_to_txn_request::AddPartitionsToTxnTopic {
                name: string;
                partitions: [i32];
            }];
        }] since 4;
        v3_and_below_transactional_id: string until 3;
        v3_and_below_producer_id: i64 until 3;
        v3_and_below_producer_epoch: i16 until 3;
        v3_and_below_topics: [add_partitions_to_txn_request::AddPartitionsToTxnTopic {
            name: string;
            partitions: [i32];
        }] until 3;
    }),
    message!(AddOffsetsToTxn as AddOffsetsToTxnRequest, to 3, flexible 3 {
        transactional_id: string;
        producer_id: i64;
        producer_epoch: i16;
        group_id: string;
    }),
    message!(EndTxn as EndTxnRequest, to 3, flexible 3 {
        transactional_id: string;
        producer_id: i64;
        producer_epoch: i16;
        committed: bool;
    }),
    message!(WriteTxnMarkers as WriteTxnMarkersRequest, to 1, flexible 1 {
        markers: [write_txn_markers_request::WritableTxnMarker {
            producer_id: i64;
            producer_epoch: i16;
            transaction_result: bool;
            topics: [write_txn_markers_request::WritableTxnMarkerTopic {
                name: string;
                partition_indexes: [i32];
            }];
            coordinator_epoch: i32;
        }];
    }),
    message!(TxnOffsetCommit as TxnOffsetCommitRequest, to 3, flexible 3 {
        transactional_id: string;
        group_id: string;
        producer_id: i64;
        producer_epoch: i16;
        generation_id: i32 since 3;
        member_id: string since 3;
        group_instance_id: string since 3 null 3;
        topics: [txn_offset_commit_request::TxnOffsetCommitRequestTopic {
            name: string;
            partitions: [txn_offset_commit_request::TxnOffsetCommitRequestPartition {
                partition_index: i32;
                committed_offset: i64;
                committed_leader_epoch: i32 since 2;
                committed_metadata: string null 0;
            }];
        }];
    }),
    message!(DescribeConfigs as DescribeConfigsRequest, to 4, flexible 4 {
        resources: [describe_configs_request::DescribeConfigsResource {
            resource_type: i8;
            resource_name: string;
            configuration_keys: [string] null 0;
        }];
        include_synonyms: bool since 1;
        include_documentation: bool since 3;
    }),
    message!(AlterConfigs as AlterConfigsRequest, to 2, flexible 2 {
        resources: [alter_configs_request::AlterConfigsResource {
            resource_type: i8;
            resource_name: string;
            configs: [alter_configs_request::AlterableConfig {
                name: string;
                value: string null 0;
            }];
        }];
        validate_only: bool;
    }),
    message!(DescribeLogDirs as DescribeLogDirsRequest, to 4, flexible 2 {
        topics: [describe_log_dirs_request::DescribableLogDirTopic {
            topic: string;
            partitions: [i32];
        }] null 0;
    }),
    message!(CreatePartitions as CreatePartitionsRequest, to 3, flexible 2 {
        topics: [create_partitions_request::CreatePartitionsTopic {
            name: string;
            count: i32;
            assignments: [create_partitions_request::CreatePartitionsAssignment {
                broker_ids: [i32];
            }] null 0;
        }];
        timeout_ms: i32;
        validate_only: bool;
    }),
    message!(DeleteGroups as DeleteGroupsRequest, to 2, flexible 2 {
        groups_names: [string];
    }),
    message!(ElectLeaders as ElectLeadersRequest, to 2, flexible 2 {
        election_type: i8 since 1;
        topic_partitions: [elect_leaders_request::TopicPartitions {
            topic: string;
            partitions: [i32];
        }] null 0;
        timeout_ms: i32;
    }),
    message!(IncrementalAlterConfigs as IncrementalAlterConfigsRequest, to 1, flexible 1 {
        resources: [incremental_alter_configs_request::AlterConfigsResource {
            resource_type: i8;
            resource_name: string;
            configs: [incremental_alter_configs_request::AlterableConfig {
                name: string;
                config_operation: i8;
                value: string null 0;
            }];
        }];
        validate_only: bool;
    }),
    message!(AlterPartitionReassignments as AlterPartitionReassignmentsRequest, to 0, flexible 0 {
        timeout_ms: i32;
        topics: [alter_partition_reassignments_request::ReassignableTopic {
            name: string;
            partitions: [alter_partition_reassignments_request::ReassignablePartition {
                partition_index: i32;
                replicas: [i32] null 0;
            }];
        }];
    }),
    message!(ListPartitionReassignments as ListPartitionReassignmentsRequest, to 0, flexible 0 {
        timeout_ms: i32;
        topics: [list_partition_reassignments_request::ListPartitionReassignmentsTopics {
            name: string;
            partition_indexes: [i32];
        }] null 0;
    }),
    message!(OffsetDelete as OffsetDeleteRequest, to 0, flexible never {
        group_id: string;
        topics: [offset_delete_request::OffsetDeleteRequestTopic {
            name: string;
            partitions: [offset_delete_request::OffsetDeleteRequestPartition {
                partition_index: i32;
            }];
        }];
    }),
    message!(Vote as VoteRequest, to 0, flexible 0 {
        cluster_id: string null 0;
        topics: [vote_request::TopicData {
            topic_name: string;
            partitions: [vote_request::PartitionData {
                partition_index: i32;
                candidate_epoch: i32;
                candidate_id: i32;
                last_offset_epoch: i32;
                last_offset: i64;
            }];
        }];
    }),
    message!(BeginQuorumEpoch as BeginQuorumEpochRequest, to 0, flexible never {
        cluster_id: string null 0;
        topics: [begin_quorum_epoch_request::TopicData {
            topic_name: string;
            partitions: [begin_quorum_epoch_request::PartitionData {
                partition_index: i32;
                leader_id: i32;
                leader_epoch: i32;
            }];
        }];
    }),
    message!(EndQuorumEpoch as EndQuorumEpochRequest, to 0, flexible never {
        cluster_id: string null 0;
        topics: [end_quorum_epoch_request::TopicData {
            topic_name: string;
            partitions: [end_quorum_epoch_request::PartitionData {
                partition_index: i32;
                leader_id: i32;
                leader_epoch: i32;
                preferred_successors: [i32];
            }];
        }];
    }),
    message!(DescribeQuorum as DescribeQuorumRequest, to 1, flexible 0 {
        topics: [describe_quorum_request::TopicData {
            topic_name: string;
            partitions: [describe_quorum_request::PartitionData {
                partition_index: i32;
            }];
        }];
    }),
    message!(AlterPartition as AlterPartitionRequest, to 3, flexible 0 {
        broker_id: i32;
        broker_epoch: i64;
        topics: [alter_partition_request::TopicData {
            topic_name: string until 1;
            topic_id: uuid since 2;
            partitions: [alter_partition_request::PartitionData {
                partition_index: i32;
                leader_epoch: i32;
                new_isr: [i32] until 2;
                new_isr_with_epochs: [alter_partition_request::BrokerState {
                    broker_id: i32;
                    broker_epoch: i64;
                }] since 3;
                leader_recovery_state: i8 since 1;
                partition_epoch: i32;
            }];
        }];
    }),
    message!(UpdateFeatures as UpdateFeaturesRequest, to 1, flexible 0 {
        timeout_ms: i32;
        feature_updates: [update_features_request::FeatureUpdateKey {
            feature: string;
            max_version_level: i16;
            allow_downgrade: bool until 0;
            upgrade_type: i8 since 1;
        }];
        validate_only: bool since 1;
    }),
    message!(Envelope as EnvelopeRequest, to 0, flexible 0 {
        request_data: bytes;
        request_principal: bytes null 0;
        client_host_address: bytes;
    }),
    message!(FetchSnapshot as FetchSnapshotRequest, to 0, flexible 0 {
        cluster_id: string null 0 tag 0;
        replica_id: i32;
        max_bytes: i32;
        topics: [fetch_snapshot_request::TopicSnapshot {
            name: string;
            partitions: [fetch_snapshot_request::PartitionSnapshot {
                partition: i32;
                current_leader_epoch: i32;
                snapshot_id: (fetch_snapshot_request::SnapshotId {
                    end_offset: i64;
                    epoch: i32;
                });
                position: i64;
            }];
        }];
    }),
    message!(DescribeCluster as DescribeClusterRequest, to 1, flexible 0 {
        include_cluster_authorized_operations: bool;
        endpoint_type: i8 since 1;
    }),
    message!(DescribeProducers as DescribeProducersRequest, to 0, flexible 0 {
        topics: [describe_producers_request::TopicRequest {
            name: string;
            partition_indexes: [i32];
        }];
    }),
    message!(BrokerRegistration as BrokerRegistrationRequest, to 3, flexible 0 {
        broker_id: i32;
        cluster_id: string;
        incarnation_id: uuid;
        listeners: [broker_registration_request::Listener {
            name: string;
            host: string;
            port: u16;
            security_protocol: i16;
        }];
        features: [broker_registration_request::Feature {
            name: string;
            min_supported_version: i16;
            max_supported_version: i16;
        }];
        rack: string null 0;
        is_migrating_zk_broker: bool since 1;
        log_dirs: [uuid] since 2;
        previous_broker_epoch: i64 since 3;
    }),
    message!(BrokerHeartbeat as BrokerHeartbeatRequest, to 1, flexible 0 {
        broker_id: i32;
        broker_epoch: i64;
        current_metadata_offset: i64;
        want_fence: bool;
        want_shut_down: bool;
        offline_log_dirs: [uuid] since 1 tag 0;
    }),
    message!(UnregisterBroker as UnregisterBrokerRequest, to 0, flexible 0 {
        broker_id: i32;
    }),
    message!(DescribeTransactions as DescribeTransactionsRequest, to 0, flexible 0 {
        transactional_ids: [string];
    }),
    message!(ListTransactions as ListTransactionsRequest, to 0, flexible 0 {
        state_filters: [string];
        producer_id_filters: [i64];
    }),
    message!(AllocateProducerIds as AllocateProducerIdsRequest, to 0, flexible 0 {
        broker_id: i32;
        broker_epoch: i64;
    }),
    message!(ConsumerGroupHeartbeat as consumer_group::ConsumerGroupHeartbeatRequest, to 1, flexible 0 copied {
        group_id: string;
        member_id: string;
        member_epoch: i32;
        instance_id: string null 0;
        rack_id: string null 0;
        rebalance_timeout_ms: i32;
        subscribed_topic_names: [string] null 0;
        subscribed_topic_regex: string since 1 null 1;
        server_assignor: string null 0;
        topic_partitions: [consumer_group::TopicPartitions {
            topic_id: uuid;
            partitions: [i32];
        }] null 0;
    }),
    message!(ConsumerGroupDescribe as consumer_group::ConsumerGroupDescribeRequest, to 1, flexible 0 copied {
        group_ids: [string];
        include_authorized_operations: bool;
    }),
    message!(ControllerRegistration as ControllerRegistrationRequest, to 0, flexible 0 {
        controller_id: i32;
        incarnation_id: uuid;
        zk_migration_ready: bool;
        listeners: [controller_registration_request::Listener {
            name: string;
            host: string;
            port: u16;
            security_protocol: i16;
        }];
        features: [controller_registration_request::Feature {
            name: string;
            min_supported_version: i16;
            max_supported_version: i16;
        }];
    }),
    message!(AssignReplicasToDirs as AssignReplicasToDirsRequest, to 0, flexible 0 {
        broker_id: i32;
        broker_epoch: i64;
        directories: [assign_replicas_to_dirs_request::DirectoryData {
            id: uuid;
            topics: [assign_replicas_to_dirs_request::TopicData {
                topic_id: uuid;
                partitions: [assign_replicas_to_dirs_request::PartitionData {
                    partition_index: i32;
                }];
            }];
        }];
    }),
];

pub(super) const PRINCIPAL: Message = message!(data DefaultPrincipal as DefaultPrincipalData, to 0, flexible 0 {
    type: string;
    name: string;
    token_authenticated: bool;
});
