//! Every version of every API that is advertised to clients gets a reply in that version.
//!
//! A reply with a field that its version does not have cannot be encoded and would close the connection, which only
//! clients of that age would notice.

mod support;

use jackdaw_broker::net::NodeClient;
use jackdaw_wire::api::{Extras, Scope};
use jackdaw_wire::consumer_group::{self, ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest};
use jackdaw_wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use jackdaw_wire::messages::create_partitions_request::CreatePartitionsTopic;
use jackdaw_wire::messages::create_topics_request::CreatableTopic;
use jackdaw_wire::messages::delete_topics_request::DeleteTopicState;
use jackdaw_wire::messages::describe_configs_request::DescribeConfigsResource;
use jackdaw_wire::messages::describe_producers_request::TopicRequest;
use jackdaw_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use jackdaw_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use jackdaw_wire::messages::metadata_request::MetadataRequestTopic;
use jackdaw_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use jackdaw_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use jackdaw_wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use jackdaw_wire::messages::*;
use jackdaw_wire::protocol::{Encodable, StrBytes};
use jackdaw_wire::record_codec::Versioned;
use jackdaw_wire::{Bytes, BytesMut};
use support::*;

#[test]
fn node_process() {
    be_a_node_if_asked();
}

/// Error codes of the reply, of the topic `t` and of one that does not exist where both were asked for.
async fn codes(
    client: &NodeClient,
    key: ApiKey,
    version: i16,
    topic: &MetadataTopic,
) -> Result<Vec<i16>, String> {
    Ok(match key {
        ApiKey::Produce => produce_codes(client, version).await?,
        ApiKey::Fetch => fetch_codes(client, version, topic).await?,
        ApiKey::ListOffsets => {
            let partition = ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(-1);
            let topics = ["t", "none"].map(|n| {
                ListOffsetsTopic::default().with_name(name(n)).with_partitions(vec![partition.clone()])
            });
            let request =
                ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics.to_vec());
            let reply = ask(client, version, &request).await?;
            reply.topics.iter().map(|t| t.partitions[0].error_code).collect()
        }
        ApiKey::Metadata => {
            let topics = ["t", "none"].map(|n| MetadataRequestTopic::default().with_name(Some(name(n))));
            let request = MetadataRequest::default()
                .with_topics(Some(topics.to_vec()))
                .with_allow_auto_topic_creation(version < 4)
                .with_include_topic_authorized_operations(version >= 8);
            let reply = ask(client, version, &request).await?;
            assert_eq!((reply.brokers.len(), reply.topics[0].partitions.len()), (1, 1));
            reply.topics.iter().map(|t| t.error_code).collect()
        }
        ApiKey::OffsetForLeaderEpoch => {
            let partition = OffsetForLeaderPartition::default().with_current_leader_epoch(-1);
            let topics = ["t", "none"].map(|n| {
                OffsetForLeaderTopic::default().with_topic(name(n)).with_partitions(vec![partition.clone()])
            });
            let request = OffsetForLeaderEpochRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(topics.to_vec());
            let reply = ask(client, version, &request).await?;
            reply.topics.iter().map(|t| t.partitions[0].error_code).collect()
        }
        _ => admin_codes(client, key, version).await?,
    })
}

type MetadataTopic = jackdaw_wire::messages::metadata_response::MetadataResponseTopic;

async fn produce_codes(client: &NodeClient, version: i16) -> Result<Vec<i16>, String> {
    let topics = ["t", "none"].map(|n| {
        let data = PartitionProduceData::default().with_records(Some(batch(&["x".to_owned()])));
        TopicProduceData::default().with_name(name(n)).with_partition_data(vec![data])
    });
    let request = ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(-1)
        .with_timeout_ms(1000)
        .with_topic_data(topics.to_vec());
    let reply = ask(client, version, &request).await?;
    Ok(reply.responses.iter().map(|t| t.partition_responses[0].error_code).collect())
}

async fn fetch_codes(client: &NodeClient, version: i16, topic: &MetadataTopic) -> Result<Vec<i16>, String> {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(1000);
    let named = |n: &str, id| match version >= 13 {
        true => FetchTopic::default().with_topic_id(id).with_partitions(vec![partition.clone()]),
        false => FetchTopic::default().with_topic(name(n)).with_partitions(vec![partition.clone()]),
    };
    let unknown = jackdaw_wire::Uuid::from_u128(77);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(1000)
        .with_session_epoch(-1)
        .with_topics(vec![named("t", topic.topic_id), named("none", unknown)]);
    let reply = ask(client, version, &request).await?;
    Ok(reply.responses.iter().map(|t| t.partitions[0].error_code).collect())
}

async fn admin_codes(client: &NodeClient, key: ApiKey, version: i16) -> Result<Vec<i16>, String> {
    let fresh = format!("fresh-{key:?}-{version}");
    Ok(match key {
        ApiKey::ApiVersions => {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(
                    if version >= 3 { "test".to_owned() } else { String::new() }.into(),
                )
                .with_client_software_version(
                    if version >= 3 { "1".to_owned() } else { String::new() }.into(),
                );
            vec![ask(client, version, &request).await?.error_code]
        }
        ApiKey::CreateTopics => {
            let topic = CreatableTopic::default()
                .with_name(name(&fresh))
                .with_num_partitions(1)
                .with_replication_factor(1);
            let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
            let first = ask(client, version, &request).await?;
            let again = ask(client, version, &request).await?;
            vec![first.topics[0].error_code, again.topics[0].error_code]
        }
        ApiKey::CreatePartitions => {
            let topics = ["t", "none"].map(|n| {
                CreatePartitionsTopic::default().with_name(name(n)).with_count(1).with_assignments(None)
            });
            let request =
                CreatePartitionsRequest::default().with_topics(topics.to_vec()).with_timeout_ms(10_000);
            ask(client, version, &request).await?.results.iter().map(|t| t.error_code).collect()
        }
        ApiKey::DeleteTopics => {
            assert_eq!(create_topic(client, &fresh, 1, 1).await, 0);
            let names = [fresh.as_str(), "none"];
            let request = match version >= 6 {
                true => DeleteTopicsRequest::default().with_topics(
                    names.map(|n| DeleteTopicState::default().with_name(Some(name(n)))).to_vec(),
                ),
                false => DeleteTopicsRequest::default().with_topic_names(names.map(name).to_vec()),
            };
            let reply = ask(client, version, &request.with_timeout_ms(10_000)).await?;
            reply.responses.iter().map(|t| t.error_code).collect()
        }
        ApiKey::DescribeConfigs => {
            let resource = |kind, n: &str| {
                DescribeConfigsResource::default()
                    .with_resource_type(kind)
                    .with_resource_name(StrBytes::from_string(n.to_owned()))
                    .with_configuration_keys(None)
            };
            let request = DescribeConfigsRequest::default()
                .with_resources(vec![resource(2, "t"), resource(4, "0"), resource(2, "none")])
                .with_include_synonyms(version >= 1)
                .with_include_documentation(version >= 3);
            ask(client, version, &request).await?.results.iter().map(|r| r.error_code).collect()
        }
        ApiKey::DescribeCluster => {
            vec![ask(client, version, &DescribeClusterRequest::default()).await?.error_code]
        }
        ApiKey::FindCoordinator => {
            let key = StrBytes::from_static_str("g");
            let request = match version >= 4 {
                true => FindCoordinatorRequest::default().with_coordinator_keys(vec![key]),
                false => FindCoordinatorRequest::default().with_key(key),
            };
            let reply = ask(client, version, &request).await?;
            vec![reply.coordinators.first().map_or(reply.error_code, |c| c.error_code)]
        }
        ApiKey::InitProducerId => {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1);
            vec![ask(client, version, &request).await?.error_code]
        }
        ApiKey::DescribeQuorum => {
            vec![ask(client, version, &DescribeQuorumRequest::default()).await?.error_code]
        }
        key => operator_codes(client, key, version).await?,
    })
}

/// What operators ask for.
async fn operator_codes(client: &NodeClient, key: ApiKey, version: i16) -> Result<Vec<i16>, String> {
    let text = |n: &str| StrBytes::from_string(n.to_owned());
    Ok(match key {
        ApiKey::AlterConfigs => {
            let resources = ["t", "none"].map(|n| {
                alter_configs_request::AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text(n))
            });
            let request = AlterConfigsRequest::default().with_resources(resources.to_vec());
            ask(client, version, &request).await?.responses.iter().map(|r| r.error_code).collect()
        }
        ApiKey::IncrementalAlterConfigs => {
            let resources = ["t", "none"].map(|n| {
                incremental_alter_configs_request::AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text(n))
            });
            let request = IncrementalAlterConfigsRequest::default().with_resources(resources.to_vec());
            ask(client, version, &request).await?.responses.iter().map(|r| r.error_code).collect()
        }
        ApiKey::DescribeLogDirs => {
            let request = DescribeLogDirsRequest::default().with_topics(None);
            ask(client, version, &request).await?.results.iter().map(|r| r.error_code).collect()
        }
        ApiKey::DeleteRecords => {
            let partition = delete_records_request::DeleteRecordsPartition::default().with_offset(-1);
            let topics = ["t", "none"].map(|n| {
                delete_records_request::DeleteRecordsTopic::default()
                    .with_name(name(n))
                    .with_partitions(vec![partition.clone()])
            });
            let request =
                DeleteRecordsRequest::default().with_topics(topics.to_vec()).with_timeout_ms(10_000);
            ask(client, version, &request).await?.topics.iter().map(|t| t.partitions[0].error_code).collect()
        }
        ApiKey::ElectLeaders => {
            let topics = ["t", "none"].map(|n| {
                elect_leaders_request::TopicPartitions::default().with_topic(name(n)).with_partitions(vec![0])
            });
            let request = ElectLeadersRequest::default().with_topic_partitions(Some(topics.to_vec()));
            let reply = ask(client, version, &request).await?;
            reply.replica_election_results.iter().map(|t| t.partition_result[0].error_code).collect()
        }
        ApiKey::AlterPartitionReassignments => {
            let partition = alter_partition_reassignments_request::ReassignablePartition::default()
                .with_replicas(Some(vec![BrokerId(0)]));
            let topics = ["t", "none"].map(|n| {
                alter_partition_reassignments_request::ReassignableTopic::default()
                    .with_name(name(n))
                    .with_partitions(vec![partition.clone()])
            });
            let request = AlterPartitionReassignmentsRequest::default().with_topics(topics.to_vec());
            let reply = ask(client, version, &request).await?;
            reply.responses.iter().map(|t| t.partitions[0].error_code).collect()
        }
        ApiKey::ListPartitionReassignments => {
            let request = ListPartitionReassignmentsRequest::default().with_topics(None);
            vec![ask(client, version, &request).await?.error_code]
        }
        ApiKey::UpdateFeatures => {
            let update = update_features_request::FeatureUpdateKey::default()
                .with_feature(text("metadata.version"))
                .with_max_version_level(19);
            let request = UpdateFeaturesRequest::default().with_feature_updates(vec![update]);
            vec![ask(client, version, &request).await?.error_code]
        }
        ApiKey::UnregisterBroker => {
            let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(9));
            vec![ask(client, version, &request).await?.error_code]
        }
        key => transaction_codes(client, key, version).await?,
    })
}

async fn transaction_codes(client: &NodeClient, key: ApiKey, version: i16) -> Result<Vec<i16>, String> {
    Ok(match key {
        ApiKey::WriteTxnMarkers => {
            let topics = ["t", "none"].map(|n| {
                WritableTxnMarkerTopic::default().with_name(name(n)).with_partition_indexes(vec![0])
            });
            let marker =
                WritableTxnMarker::default().with_producer_id(ProducerId(7)).with_topics(topics.to_vec());
            let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
            let reply = ask(client, version, &request).await?;
            reply.markers[0].topics.iter().map(|t| t.partitions[0].error_code).collect()
        }
        ApiKey::DescribeProducers => {
            let topics = ["t", "none"]
                .map(|n| TopicRequest::default().with_name(name(n)).with_partition_indexes(vec![0]));
            let request = DescribeProducersRequest::default().with_topics(topics.to_vec());
            let reply = ask(client, version, &request).await?;
            reply.topics.iter().map(|t| t.partitions[0].error_code).collect()
        }
        ApiKey::AddPartitionsToTxn => {
            let topics = ["t", "none"]
                .map(|n| AddPartitionsToTxnTopic::default().with_name(name(n)).with_partitions(vec![0]));
            if version >= 4 {
                let transaction = AddPartitionsToTxnTransaction::default().with_topics(topics.to_vec());
                let request = AddPartitionsToTxnRequest::default().with_transactions(vec![transaction]);
                let reply = ask(client, version, &request).await?;
                let results = &reply.results_by_transaction[0].topic_results;
                return Ok(results.iter().map(|t| t.results_by_partition[0].partition_error_code).collect());
            }
            let request = AddPartitionsToTxnRequest::default().with_v3_and_below_topics(topics.to_vec());
            let reply = ask(client, version, &request).await?;
            let results = reply.results_by_topic_v3_and_below;
            results.iter().map(|t| t.results_by_partition[0].partition_error_code).collect()
        }
        ApiKey::AddOffsetsToTxn => {
            vec![ask(client, version, &AddOffsetsToTxnRequest::default()).await?.error_code]
        }
        ApiKey::EndTxn => vec![ask(client, version, &EndTxnRequest::default()).await?.error_code],
        ApiKey::DescribeTransactions => {
            let id = TransactionalId(StrBytes::from_static_str("x"));
            let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![id]);
            ask(client, version, &request).await?.transaction_states.iter().map(|t| t.error_code).collect()
        }
        ApiKey::ListTransactions => {
            vec![ask(client, version, &ListTransactionsRequest::default()).await?.error_code]
        }
        key => group_codes(client, key, version).await?,
    })
}

/// What members of groups ask for; nobody coordinates any here.
async fn group_codes(client: &NodeClient, key: ApiKey, version: i16) -> Result<Vec<i16>, String> {
    let (text, group) = (StrBytes::from_static_str, GroupId(StrBytes::from_static_str("g")));
    Ok(match key {
        ApiKey::OffsetCommit => {
            let partition = offset_commit_request::OffsetCommitRequestPartition::default();
            let topics = ["t", "none"].map(|n| {
                offset_commit_request::OffsetCommitRequestTopic::default()
                    .with_name(name(n))
                    .with_partitions(vec![partition.clone()])
            });
            let request = OffsetCommitRequest::default().with_group_id(group).with_topics(topics.to_vec());
            ask(client, version, &request).await?.topics.iter().map(|t| t.partitions[0].error_code).collect()
        }
        ApiKey::TxnOffsetCommit => {
            let partition = txn_offset_commit_request::TxnOffsetCommitRequestPartition::default();
            let topics = ["t", "none"].map(|n| {
                txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
                    .with_name(name(n))
                    .with_partitions(vec![partition.clone()])
            });
            let request = TxnOffsetCommitRequest::default().with_group_id(group).with_topics(topics.to_vec());
            ask(client, version, &request).await?.topics.iter().map(|t| t.partitions[0].error_code).collect()
        }
        ApiKey::OffsetFetch if version >= 8 => {
            let asked = offset_fetch_request::OffsetFetchRequestGroup::default().with_group_id(group);
            let request = OffsetFetchRequest::default().with_groups(vec![asked]);
            ask(client, version, &request).await?.groups.iter().map(|g| g.error_code).collect()
        }
        ApiKey::OffsetFetch => {
            let topic = offset_fetch_request::OffsetFetchRequestTopic::default()
                .with_name(name("t"))
                .with_partition_indexes(vec![0]);
            let request = OffsetFetchRequest::default().with_group_id(group).with_topics(Some(vec![topic]));
            let reply = ask(client, version, &request).await?;
            let partitions = reply.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
            partitions.chain((version >= 2).then_some(reply.error_code)).collect()
        }
        ApiKey::JoinGroup => {
            let request = JoinGroupRequest::default().with_group_id(group);
            vec![ask(client, version, &request).await?.error_code]
        }
        ApiKey::SyncGroup => {
            let named = |n| (version >= 5).then(|| text(n));
            let request = SyncGroupRequest::default()
                .with_group_id(group)
                .with_protocol_type(named("consumer"))
                .with_protocol_name(named("range"));
            vec![ask(client, version, &request).await?.error_code]
        }
        ApiKey::Heartbeat => {
            let request = HeartbeatRequest::default().with_group_id(group);
            vec![ask(client, version, &request).await?.error_code]
        }
        ApiKey::LeaveGroup => {
            let request = LeaveGroupRequest::default().with_group_id(group);
            vec![ask(client, version, &request).await?.error_code]
        }
        ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe => {
            consumer_group_codes(client, key, version).await?
        }
        ApiKey::DescribeGroups if version >= 6 => consumer_group_codes(client, key, version).await?,
        ApiKey::DescribeGroups => {
            let request = DescribeGroupsRequest::default().with_groups(vec![group]);
            ask(client, version, &request).await?.groups.iter().map(|g| g.error_code).collect()
        }
        ApiKey::ListGroups => {
            vec![ask(client, version, &ListGroupsRequest::default()).await?.error_code]
        }
        ApiKey::DeleteGroups => {
            let request = DeleteGroupsRequest::default().with_groups_names(vec![group]);
            ask(client, version, &request).await?.results.iter().map(|r| r.error_code).collect()
        }
        ApiKey::OffsetDelete => {
            let request = OffsetDeleteRequest::default().with_group_id(group);
            vec![ask(client, version, &request).await?.error_code]
        }
        other => panic!("{other:?} is advertised and not tried here"),
    })
}

/// What came with groups of the consumer protocol.
async fn consumer_group_codes(client: &NodeClient, key: ApiKey, version: i16) -> Result<Vec<i16>, String> {
    Ok(match key {
        ApiKey::ConsumerGroupHeartbeat => {
            let request = ConsumerGroupHeartbeatRequest {
                group_id: "g".into(),
                member_id: "m".into(),
                rebalance_timeout_ms: 1_000,
                subscribed_topic_names: Some(vec!["t".into()]),
                topic_partitions: Some(vec![]),
                ..Default::default()
            };
            let body = consumer_group::encode(version, &request).map_err(|e| e.to_string())?;
            let reply: consumer_group::ConsumerGroupHeartbeatResponse =
                ask_raw(client, key, version, body).await?;
            vec![reply.error_code]
        }
        ApiKey::ConsumerGroupDescribe => {
            let request = ConsumerGroupDescribeRequest { group_ids: vec!["g".into()], ..Default::default() };
            let body = consumer_group::encode(version, &request).map_err(|e| e.to_string())?;
            let reply: consumer_group::ConsumerGroupDescribeResponse =
                ask_raw(client, key, version, body).await?;
            reply.groups.iter().map(|group| group.error_code).collect()
        }
        _ => {
            let mut body = BytesMut::new();
            let group = GroupId(StrBytes::from_static_str("g"));
            let request = DescribeGroupsRequest::default().with_groups(vec![group]);
            request.encode(&mut body, 5).map_err(|e| e.to_string())?;
            let reply: consumer_group::DescribeGroupsResponse =
                ask_raw(client, key, version, body.freeze()).await?;
            reply.groups.iter().map(|group| group.error_code).collect()
        }
    })
}

async fn ask_raw<A: Versioned>(
    client: &NodeClient,
    key: ApiKey,
    version: i16,
    body: Bytes,
) -> Result<A, String> {
    let reply = client.request_raw(key as i16, version, (2, 1), body, PATIENCE).await;
    consumer_group::decode(version, &mut reply.map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

#[tokio::test]
async fn every_version_of_every_api_is_answered() {
    answers_in_every_version(Extras::default(), "").await;
}

#[tokio::test]
async fn so_is_every_version_that_comes_with_groups_of_the_consumer_protocol() {
    let extras = Extras { group_version: true, consumer_groups: true };
    answers_in_every_version(extras, "\ngroup.coordinator.rebalance.protocols=classic,consumer").await;
}

async fn answers_in_every_version(extras: Extras, settings: &str) {
    let cluster = Cluster::start(1, &format!("auto.create.topics.enable=false{settings}")).await;
    let client = cluster.node(0).client();
    assert_eq!(create_topic(&client, "t", 1, 1).await, 0);
    let topic = topic_ready(&client, "t", 1).await;
    let mut wrong = Vec::new();
    for (row, max_version) in extras.advertised(Scope::Broker) {
        for version in row.min_version..=max_version {
            let mut told = codes(&client, row.key, version, &topic).await;
            if row.key == ApiKey::DeleteTopics {
                // In whatever order the controller went through them.
                told = told.map(|mut codes| {
                    codes.sort_unstable();
                    codes
                });
            }
            let expected: &[i16] = match row.key {
                // Names are unknown as topics or partitions, ids as ids.
                ApiKey::Fetch if version >= 13 => &[0, 100],
                ApiKey::CreateTopics => &[0, 36],
                // No more partitions than there are.
                ApiKey::CreatePartitions => &[37, 3],
                ApiKey::DescribeConfigs => &[0, 0, 3],
                // One that does not exist keeps the other out.
                ApiKey::AddPartitionsToTxn => &[55, 3],
                ApiKey::AddOffsetsToTxn | ApiKey::EndTxn => &[42],
                ApiKey::DescribeTransactions => &[16],
                ApiKey::FindCoordinator => &[15],
                ApiKey::ApiVersions
                | ApiKey::DescribeCluster
                | ApiKey::InitProducerId
                | ApiKey::DescribeLogDirs
                | ApiKey::ListPartitionReassignments
                | ApiKey::UpdateFeatures
                | ApiKey::ListTransactions
                | ApiKey::DescribeQuorum => &[0],
                // Its leader is the preferred one.
                ApiKey::ElectLeaders => &[84, 3],
                ApiKey::UnregisterBroker => &[102],
                // What lies in ZooKeeper.
                ApiKey::OffsetCommit if version == 0 => &[35, 35],
                ApiKey::OffsetFetch if version == 0 => &[35],
                // It has no word for it.
                ApiKey::OffsetFetch if version == 1 => &[],
                ApiKey::OffsetCommit | ApiKey::TxnOffsetCommit => &[16, 3],
                ApiKey::ListGroups => &[0],
                ApiKey::JoinGroup
                | ApiKey::SyncGroup
                | ApiKey::Heartbeat
                | ApiKey::LeaveGroup
                | ApiKey::OffsetFetch
                | ApiKey::DescribeGroups
                | ApiKey::ConsumerGroupHeartbeat
                | ApiKey::ConsumerGroupDescribe
                | ApiKey::DeleteGroups
                | ApiKey::OffsetDelete => &[16],
                _ => &[0, 3],
            };
            if told.as_deref() != Ok(expected) {
                wrong.push(format!("{:?} {version}: {told:?}, not {expected:?}", row.key));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is told of groups of the consumer protocol: the feature's levels, the finalized one, and the last versions of
/// DescribeGroups and ConsumerGroupHeartbeat.
async fn told_of_groups(client: &NodeClient, version: i16) -> Result<String, String> {
    let text = StrBytes::from_static_str;
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text("test"))
        .with_client_software_version(text("1"));
    let reply = ask(client, version, &request).await?;
    let supported = reply.supported_features.iter().find(|f| &*f.name == "group.version");
    let finalized = reply.finalized_features.iter().find(|f| &*f.name == "group.version");
    let last = |key: ApiKey| {
        let row = reply.api_keys.iter().find(|row| row.api_key == key as i16);
        row.map(|row| row.max_version)
    };
    Ok(format!(
        "{:?} {:?} {:?} {:?}",
        supported.map(|f| (f.min_version, f.max_version)),
        finalized.map(|f| f.max_version_level),
        last(ApiKey::DescribeGroups),
        last(ApiKey::ConsumerGroupHeartbeat),
    ))
}

/// KIP-1022: who looks before the setting is made finds 3.7; then the feature tells of the protocol and switches it, and
/// clients that know of it already are refused and not cut off.
#[tokio::test]
async fn the_protocol_of_groups_is_switched_by_its_feature() {
    let plain = Cluster::start(1, "").await;
    assert_eq!(told_of_groups(&plain.node(0).client(), 3).await.unwrap(), "None None Some(5) None");
    let cluster = Cluster::start(1, "group.coordinator.rebalance.protocols=classic,consumer").await;
    let (client, controller) = (cluster.node(0).client(), cluster.node(0).controller_client());
    let on = "Some((0, 1)) Some(1) Some(6) Some(1)";
    assert_eq!(told_of_groups(&client, 4).await.unwrap(), on);
    assert_eq!(told_of_groups(&client, 3).await.unwrap(), "None Some(1) Some(6) Some(1)");
    assert_eq!(told_of_groups(&controller, 4).await.unwrap(), "Some((0, 1)) Some(1) None None");
    for (level, kind, told, beat) in [(0, 2, "Some((0, 1)) None Some(5) None", 35), (1, 1, on, 16)] {
        let update = update_features_request::FeatureUpdateKey::default()
            .with_feature(StrBytes::from_static_str("group.version"))
            .with_max_version_level(level)
            .with_upgrade_type(kind);
        let request = UpdateFeaturesRequest::default().with_feature_updates(vec![update]);
        let results = ask(&client, 1, &request).await.unwrap().results;
        assert_eq!(results.iter().map(|r| r.error_code).collect::<Vec<_>>(), [0]);
        eventually(&format!("group.version {level} is told"), async || {
            let now = told_of_groups(&client, 4).await?;
            if now == told { Ok(()) } else { Err(now) }
        })
        .await;
        let codes = consumer_group_codes(&client, ApiKey::ConsumerGroupHeartbeat, 1).await;
        assert_eq!(codes, Ok(vec![beat]));
    }
}
