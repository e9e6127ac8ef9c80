//! The requests about groups and their offsets: to the coordinator of the group, and back in the words of the version
//! that was asked in.
//!
//! What a request comes to is decided by `jackdaw-groups`. Here is what needs the image (which partitions exist) and
//! what depends on the version.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jackdaw_groups::{Caller, Reply, Request, of_offset_write};
use jackdaw_metadata::MetadataImage;
use jackdaw_metadata::topic_name::GROUP_METADATA_TOPIC;
use jackdaw_wire::consumer_group::{
    self, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
};
use jackdaw_wire::frame::FrameError;
use jackdaw_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use jackdaw_wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use jackdaw_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use jackdaw_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use jackdaw_wire::messages::{
    ApiKey, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest,
    SyncGroupResponse, TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse, leave_group_request,
    offset_fetch_request, offset_fetch_response, txn_offset_commit_response,
};
use jackdaw_wire::protocol::StrBytes;
use jackdaw_wire::types::random_uuid;
use jackdaw_wire::{ErrorCode, TopicPartition};

use super::{Inner, operations, rarely_again};
use crate::coordinators::NotHere;
use crate::coordinators::groups::GroupRequest;
use crate::dispatch::{RequestContext, Response, decode};

/// Below this version JoinGroup's protocol name cannot be null, from it on an empty one is.
const NULL_PROTOCOL_FROM: i16 = 7;
/// From this version on SyncGroup must name protocol type and protocol (KIP-559).
const PROTOCOL_REQUIRED_FROM: i16 = 5;
/// From this version on several members leave at once (KIP-345).
const SEVERAL_LEAVE_FROM: i16 = 3;
/// From this version on several groups are asked for offsets at once (KIP-709).
const SEVERAL_GROUPS_FROM: i16 = 8;
/// Offsets of versions below lie in ZooKeeper.
const OFFSETS_IN_KAFKA_FROM: i16 = 1;
/// Below this version a loading coordinator must be called an absent one, which old producers can bear (KAFKA-7296).
const LOADING_KNOWN_FROM: i16 = 2;
/// From this version on a group that is not there is an error, and says why (KIP-1043).
const NOT_FOUND_FROM: i16 = 6;

/// Groups that one request asks about at the same time.
const ASKED_AT_ONCE: usize = 32;

/// Takes out of a request what does not exist: by topic and partition, for whoever makes the reply. Requests about
/// offsets have the same parts under different types, and so have their replies.
macro_rules! take_unknown {
    ($request:ident, $image:ident) => {{
        let mut unknown: Vec<(TopicName, i32)> = Vec::new();
        for topic in &mut $request.topics {
            let name = &topic.name;
            topic.partitions.retain(|partition| {
                let exists = $image.partition(name, partition.partition_index).is_some();
                if !exists {
                    unknown.push((name.clone(), partition.partition_index));
                }
                exists
            });
        }
        $request.topics.retain(|topic| !topic.partitions.is_empty());
        unknown
    }};
}

/// Tells of it behind what else there is to tell of the same topic.
macro_rules! tell_unknown {
    ($reply:ident, $unknown:ident, $topic:ident, $partition:ident) => {
        let mut places: HashMap<TopicName, usize> = HashMap::new();
        if !$unknown.is_empty() {
            for (at, topic) in $reply.topics.iter().enumerate() {
                places.entry(topic.name.clone()).or_insert(at);
            }
        }
        for (name, partition_index) in $unknown {
            let partition = $partition::default()
                .with_partition_index(partition_index)
                .with_error_code(ErrorCode::UnknownTopicOrPartition.code());
            let at = *places.entry(name).or_insert_with_key(|name| {
                $reply.topics.push($topic::default().with_name(name.clone()));
                $reply.topics.len() - 1
            });
            $reply.topics[at].partitions.push(partition);
        }
    };
}

/// Asks about each of what a request names, about some at a time, and gives the answers in its order.
async fn ask_each<T, A, F>(asked: impl Iterator<Item = T>, ask: impl Fn(T) -> F) -> Result<Vec<A>, Response>
where
    F: Future<Output = Result<A, Response>>,
{
    stream::iter(asked).map(ask).buffered(ASKED_AT_ONCE).try_collect().await
}

impl Inner {
    /// Asks the coordinator of a group. Refusals are replies; `Err` is a node that stops.
    async fn ask_group(&self, group: &str, request: Request) -> Result<Reply, Response> {
        self.ask_group_guarded(group, request.into()).await
    }

    async fn ask_group_guarded(&self, group: &str, asked: GroupRequest) -> Result<Reply, Response> {
        let stopping = || Response::Close("the coordinator stops with its node".to_owned());
        let refusal = |request: &Request, error: ErrorCode| request.refusal(error).ok_or_else(stopping);
        if let Err(error) = asked.request.check() {
            return refusal(&asked.request, error);
        }
        let groups = &self.parts.groups;
        match groups.ask(groups.partition_of(group), asked).await {
            Ok(reply) => reply.ok_or_else(stopping),
            Err((why, asked)) => refusal(&asked.request, why.code()),
        }
    }

    /// One whose reply needs nothing done to it.
    pub(super) async fn simple(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> Result<Response, Response> {
        let group = match &request {
            Request::Heartbeat(request) => request.group_id.clone(),
            Request::Sync(request) => request.group_id.clone(),
            _ => GroupId::default(),
        };
        Ok(match self.ask_group(&group, request).await? {
            Reply::Heartbeat(reply) => Response::encode(context, &reply),
            Reply::Sync(reply) => Response::encode(context, &reply),
            _ => closed(),
        })
    }

    fn caller(context: &RequestContext) -> Caller {
        Caller {
            version: context.api_version,
            client_id: context.client_id.clone().unwrap_or_default(),
            client_host: StrBytes::from_string(java_address(context.peer.ip())),
        }
    }

    /// `isConsumerGroupProtocolEnabled`: the settings name the protocol, as it is advertised, and the feature is on.
    fn check_consumer_groups(&self, image: &MetadataImage) -> Result<(), ErrorCode> {
        match image.features.group_version(self.parts.config.groups.consumer.enabled) {
            0 => Err(ErrorCode::UnsupportedVersion),
            _ => Ok(()),
        }
    }

    pub(super) async fn consumer_group_heartbeat(
        &self,
        context: &RequestContext,
        image: &MetadataImage,
        mut body: Bytes,
    ) -> Result<Response, Response> {
        let version = context.api_version;
        let request: ConsumerGroupHeartbeatRequest =
            consumer_group::decode_request(ApiKey::ConsumerGroupHeartbeat, version, &mut body)
                .map_err(close)?;
        let group = request.group_id.clone();
        let (caller, unique) = (Self::caller(context), random_uuid(rand::random));
        let request = Request::ConsumerHeartbeat { caller, unique, request };
        let reply = match self.check_consumer_groups(image) {
            Ok(()) => self.ask_group(&group, request).await?,
            Err(error) => request.refusal(error).ok_or_else(closed)?,
        };
        match reply {
            Reply::ConsumerHeartbeat(reply) => {
                consumer_group::encode(version, &reply).map(Response::from).map_err(close)
            }
            _ => Err(closed()),
        }
    }

    pub(super) async fn consumer_group_describe(
        &self,
        context: &RequestContext,
        image: &MetadataImage,
        mut body: Bytes,
    ) -> Result<Response, Response> {
        let version = context.api_version;
        let request: ConsumerGroupDescribeRequest =
            consumer_group::decode_request(ApiKey::ConsumerGroupDescribe, version, &mut body)
                .map_err(close)?;
        let is_told = request.include_authorized_operations;
        let described = ask_each(rarely_again(request.group_ids, String::clone), |id| async move {
            let request = Request::ConsumerDescribe(GroupId(StrBytes::from_string(id.clone())));
            let reply = match self.check_consumer_groups(image) {
                Ok(()) => self.ask_group(&id, request).await?,
                Err(error) => request.refusal(error).ok_or_else(closed)?,
            };
            match reply {
                Reply::ConsumerDescribe(mut group) => {
                    if is_told && group.error_code == 0 {
                        group.authorized_operations = operations::GROUP_WITH_CONFIGS;
                    }
                    Ok(*group)
                }
                _ => Err(closed()),
            }
        });
        let groups = described.await?;
        let reply = ConsumerGroupDescribeResponse { groups, ..Default::default() };
        consumer_group::encode(version, &reply).map(Response::from).map_err(close)
    }

    pub(super) async fn join_group(
        &self,
        context: &RequestContext,
        request: JoinGroupRequest,
    ) -> Result<Response, Response> {
        let caller = Self::caller(context);
        let group = request.group_id.clone();
        let request = Request::Join { caller, unique: random_uuid(rand::random), request };
        let Reply::Join(mut reply) = self.ask_group(&group, request).await? else {
            return Err(Response::Close("JoinGroup was answered by something else".to_owned()));
        };
        let name = reply.protocol_name.take().filter(|name| !name.is_empty());
        reply.protocol_name = match context.api_version {
            NULL_PROTOCOL_FROM.. => name,
            _ => Some(name.unwrap_or_default()),
        };
        Ok(Response::encode(context, &reply))
    }

    pub(super) async fn sync_group(
        &self,
        context: &RequestContext,
        request: SyncGroupRequest,
    ) -> Result<Response, Response> {
        let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
        if context.api_version >= PROTOCOL_REQUIRED_FROM && !names_protocol {
            let code = ErrorCode::InconsistentGroupProtocol.code();
            return Ok(Response::encode(context, &SyncGroupResponse::default().with_error_code(code)));
        }
        self.simple(context, Request::Sync(request)).await
    }

    pub(super) async fn leave_group(
        &self,
        context: &RequestContext,
        mut request: LeaveGroupRequest,
    ) -> Result<Response, Response> {
        let is_single = context.api_version < SEVERAL_LEAVE_FROM;
        if is_single {
            let member = std::mem::take(&mut request.member_id);
            request.members = vec![leave_group_request::MemberIdentity::default().with_member_id(member)];
        }
        let group = request.group_id.clone();
        let Reply::Leave(mut reply) = self.ask_group(&group, Request::Leave(request)).await? else {
            return Err(Response::Close("LeaveGroup was answered by something else".to_owned()));
        };
        if is_single {
            let of_member = std::mem::take(&mut reply.members).first().map_or(0, |member| member.error_code);
            reply.error_code = if reply.error_code == 0 { of_member } else { reply.error_code };
        }
        Ok(Response::encode(context, &reply))
    }

    pub(super) async fn offset_commit(
        &self,
        context: &RequestContext,
        image: &MetadataImage,
        mut request: OffsetCommitRequest,
    ) -> Result<Response, Response> {
        if context.api_version < OFFSETS_IN_KAFKA_FROM {
            let request = Request::Commit { version: context.api_version, request };
            let unsupported = request.refusal(ErrorCode::UnsupportedVersion);
            let Some(Reply::Commit(reply)) = unsupported else { return Err(closed()) };
            return Ok(Response::encode(context, &reply));
        }
        let unknown = take_unknown!(request, image);
        let mut reply = OffsetCommitResponse::default();
        if !request.topics.is_empty() {
            let group = request.group_id.clone();
            let request = Request::Commit { version: context.api_version, request };
            let Reply::Commit(told) = self.ask_group(&group, request).await? else {
                return Err(closed());
            };
            reply = told;
        }
        tell_unknown!(reply, unknown, OffsetCommitResponseTopic, OffsetCommitResponsePartition);
        Ok(Response::encode(context, &reply))
    }

    pub(super) async fn txn_offset_commit(
        &self,
        context: &RequestContext,
        image: &MetadataImage,
        mut request: TxnOffsetCommitRequest,
    ) -> Result<Response, Response> {
        use txn_offset_commit_response::{TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic};
        let unknown = take_unknown!(request, image);
        let mut reply = TxnOffsetCommitResponse::default();
        if !request.topics.is_empty() {
            let group = request.group_id.clone();
            let Reply::TxnCommit(told) = self.commit_in_transaction(&group, request).await? else {
                return Err(closed());
            };
            reply = told;
        }
        tell_unknown!(reply, unknown, TxnOffsetCommitResponseTopic, TxnOffsetCommitResponsePartition);
        if context.api_version < LOADING_KNOWN_FROM {
            let loading = ErrorCode::CoordinatorLoadInProgress.code();
            let partitions = reply.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions
                .filter(|partition| partition.error_code == loading)
                .for_each(|partition| partition.error_code = ErrorCode::CoordinatorNotAvailable.code());
        }
        Ok(Response::encode(context, &reply))
    }

    /// The partition of the group must be part of the producer's transaction (`handleTxnCommitOffsets`).
    async fn commit_in_transaction(
        &self,
        group: &str,
        request: TxnOffsetCommitRequest,
    ) -> Result<Reply, Response> {
        let index = self.parts.groups.partition_of(group);
        let here = self.parts.groups.check(index).map_err(NotHere::code);
        let partition = TopicPartition::new(GROUP_METADATA_TOPIC, index);
        let (id, producer_id) = (&request.transactional_id, *request.producer_id);
        let verified = match here {
            // One without a name is refused further on.
            _ if group.is_empty() => Ok(None),
            // Nobody is asked about a group that is not coordinated here.
            Err(error) => Err(error),
            Ok(()) => {
                let epoch = request.producer_epoch;
                self.parts.replicas.verify_transaction(&partition, id, producer_id, epoch).await
            }
        };
        let request = Request::TxnCommit(request);
        match verified {
            Ok(guard) => self.ask_group_guarded(group, GroupRequest { request, guard }).await,
            Err(error) => request.refusal(of_offset_write(error)).ok_or_else(closed),
        }
    }

    pub(super) async fn offset_fetch(
        &self,
        context: &RequestContext,
        request: OffsetFetchRequest,
    ) -> Result<Response, Response> {
        if context.api_version < OFFSETS_IN_KAFKA_FROM {
            return Ok(Response::encode(context, &no_offsets_in_zookeeper(&request)));
        }
        let OffsetFetchRequest { group_id, topics, groups, require_stable, .. } = request;
        let asked = match context.api_version {
            SEVERAL_GROUPS_FROM.. => groups,
            _ => vec![OffsetFetchRequestGroup::default().with_group_id(group_id).with_topics(topics.map(
                |topics| {
                    let topic = |topic: offset_fetch_request::OffsetFetchRequestTopic| {
                        OffsetFetchRequestTopics::default()
                            .with_name(topic.name)
                            .with_partition_indexes(topic.partition_indexes)
                    };
                    topics.into_iter().map(topic).collect()
                },
            ))],
        };
        let asked = rarely_again(asked, |group| group.group_id.clone());
        let told = ask_each(asked, |group| async move {
            let id = group.group_id.clone();
            match self.ask_group(&id, Request::Fetch { group, require_stable }).await? {
                Reply::Fetch(told) => Ok(told),
                _ => Err(closed()),
            }
        });
        let told: Vec<OffsetFetchResponseGroup> = told.await?;
        let mut reply = OffsetFetchResponse::default();
        if context.api_version >= SEVERAL_GROUPS_FROM {
            reply.groups = told;
        } else if let Some(group) = told.into_iter().next() {
            reply.error_code = group.error_code;
            reply.topics = group.topics.into_iter().map(old_fetch_topic).collect();
        }
        Ok(Response::encode(context, &reply))
    }

    pub(super) async fn describe_groups(
        &self,
        context: &RequestContext,
        body: Bytes,
    ) -> Result<Response, Response> {
        // Later versions ask in the same form.
        let api_version = context.api_version.min(NOT_FOUND_FROM - 1);
        let request: DescribeGroupsRequest =
            decode(&RequestContext { api_version, ..context.clone() }, body)?;
        let of_group = match self.parts.config.groups.consumer.enabled {
            true => operations::GROUP_WITH_CONFIGS,
            false => operations::GROUP,
        };
        let (version, is_told) = (context.api_version, request.include_authorized_operations);
        let described = ask_each(rarely_again(request.groups, GroupId::clone), |id| async move {
            let Reply::Describe { mut group, not_found } =
                self.ask_group(&id.clone(), Request::Describe(id)).await?
            else {
                return Err(closed());
            };
            let not_found = not_found.filter(|_| version >= NOT_FOUND_FROM);
            if not_found.is_some() {
                group.error_code = ErrorCode::GroupIdNotFound.code();
            }
            let shows = is_told && group.error_code == 0;
            group.authorized_operations = if shows { of_group } else { operations::NOT_TOLD };
            Ok((group, not_found))
        });
        let groups = described.await?;
        if version < NOT_FOUND_FROM {
            let groups = groups.into_iter().map(|(group, _)| group).collect();
            return Ok(Response::encode(context, &DescribeGroupsResponse::default().with_groups(groups)));
        }
        let groups = groups.into_iter().map(|(group, why)| consumer_group::DescribedGroup::of(group, why));
        let reply = consumer_group::DescribeGroupsResponse { groups: groups.collect(), ..Default::default() };
        consumer_group::encode(version, &reply).map(Response::from).map_err(close)
    }

    /// The groups that this broker coordinates: clients ask every broker.
    pub(super) async fn list_groups(
        &self,
        context: &RequestContext,
        request: ListGroupsRequest,
    ) -> Result<Response, Response> {
        let coordinators = &self.parts.groups;
        let is_loading = coordinators.is_loading();
        let mut groups = Vec::new();
        let once = |names: Vec<StrBytes>| names.into_iter().collect::<HashSet<_>>().into_iter().collect();
        let (states, types): (Vec<_>, Vec<_>) = (once(request.states_filter), once(request.types_filter));
        for partition in coordinators.led() {
            let asked = Request::List { states: states.clone(), types: types.clone() };
            match coordinators.ask(partition, asked.into()).await {
                Ok(Some(Reply::List(listed))) => groups.extend(listed),
                Ok(Some(_)) => return Err(closed()),
                // One that does not serve has nothing to tell.
                Ok(None) | Err(_) => {}
            }
        }
        let code = if is_loading { ErrorCode::CoordinatorLoadInProgress.code() } else { 0 };
        Ok(Response::encode(
            context,
            &ListGroupsResponse::default().with_error_code(code).with_groups(groups),
        ))
    }

    pub(super) async fn delete_groups(
        &self,
        context: &RequestContext,
        request: DeleteGroupsRequest,
    ) -> Result<Response, Response> {
        let mut seen = HashSet::new();
        let mut reply = DeleteGroupsResponse::default();
        for id in request.groups_names.into_iter().filter(|id| seen.insert(id.clone())) {
            match self.ask_group(&id.clone(), Request::Delete(id)).await? {
                Reply::Delete(result) => reply.results.push(result),
                _ => return Err(closed()),
            }
        }
        Ok(Response::encode(context, &reply))
    }

    pub(super) async fn offset_delete(
        &self,
        context: &RequestContext,
        image: &MetadataImage,
        mut request: OffsetDeleteRequest,
    ) -> Result<Response, Response> {
        let unknown = take_unknown!(request, image);
        let group = request.group_id.clone();
        let Reply::DeleteOffsets(mut reply) = self.ask_group(&group, Request::DeleteOffsets(request)).await?
        else {
            return Err(closed());
        };
        if reply.error_code == 0 {
            tell_unknown!(reply, unknown, OffsetDeleteResponseTopic, OffsetDeleteResponsePartition);
        }
        Ok(Response::encode(context, &reply))
    }
}

fn close(error: FrameError) -> Response {
    Response::Close(error.to_string())
}

fn closed() -> Response {
    Response::Close("a request about groups was answered by something else".to_owned())
}

/// As `InetAddress.toString` has it, which is what lies in the log and is shown to administrators.
fn java_address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}"),
        IpAddr::V6(ip) => {
            let parts: Vec<String> = ip.segments().iter().map(|part| format!("{part:x}")).collect();
            format!("/{}", parts.join(":"))
        }
    }
}

/// Version 0 asks for what lies in ZooKeeper, which no KRaft broker has (`OffsetFetchRequest.getErrorResponse`).
fn no_offsets_in_zookeeper(request: &OffsetFetchRequest) -> OffsetFetchResponse {
    let partition = |index: &i32| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(*index)
            .with_committed_offset(-1)
            .with_metadata(Some(StrBytes::default()))
            .with_error_code(ErrorCode::UnsupportedVersion.code())
    };
    let topic = |topic: &offset_fetch_request::OffsetFetchRequestTopic| {
        OffsetFetchResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partition_indexes.iter().map(partition).collect())
    };
    OffsetFetchResponse::default().with_topics(request.topics.iter().flatten().map(topic).collect())
}

fn old_fetch_topic(topic: offset_fetch_response::OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partition = |partition: offset_fetch_response::OffsetFetchResponsePartitions| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_metadata(partition.metadata)
            .with_error_code(partition.error_code)
    };
    OffsetFetchResponseTopic::default()
        .with_name(topic.name)
        .with_partitions(topic.partitions.into_iter().map(partition).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many unknown topics as fit into a request are told of in its order, behind what is known of the same topic.
    #[test]
    fn unknown_partitions_are_told_of_in_order_and_in_linear_time() {
        const COUNT: i32 = 100_000;
        let name = |index: i32| TopicName(StrBytes::from_string(format!("t{index}")));
        let topic = |index: i32, partition: i32| {
            let partition = OffsetCommitResponsePartition::default().with_partition_index(partition);
            OffsetCommitResponseTopic::default().with_name(name(index)).with_partitions(vec![partition])
        };
        let mut reply = OffsetCommitResponse::default().with_topics(vec![topic(7, 0), topic(7, 1)]);
        let unknown: Vec<_> =
            (0..2 * COUNT).map(|index| (name(index % COUNT), 100 + index / COUNT)).collect();
        tell_unknown!(reply, unknown, OffsetCommitResponseTopic, OffsetCommitResponsePartition);
        let told = |topic: &OffsetCommitResponseTopic| {
            let partitions = topic.partitions.iter().map(|p| (p.partition_index, p.error_code));
            (topic.name.clone(), partitions.collect::<Vec<_>>())
        };
        let told: Vec<_> = reply.topics.iter().map(told).collect();
        let mut expected = vec![(name(7), vec![(0, 0), (100, 3), (101, 3)]), (name(7), vec![(1, 0)])];
        let others = (0..COUNT).filter(|index| *index != 7);
        expected.extend(others.map(|index| (name(index), vec![(100, 3), (101, 3)])));
        assert!(told == expected);
    }

    /// A JVM that takes the partition over shows the same member at the same host.
    #[test]
    fn addresses_are_written_as_java_writes_them() {
        for (address, text) in [
            ("127.0.0.1", "/127.0.0.1"),
            ("::1", "/0:0:0:0:0:0:0:1"),
            ("fe80::a", "/fe80:0:0:0:0:0:0:a"),
            ("::ffff:10.0.0.1", "/10.0.0.1"),
        ] {
            assert_eq!(java_address(address.parse().unwrap()), text);
        }
    }
}
