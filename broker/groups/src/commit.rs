//! Offsets: committed by members, by whoever is in no group, and in transactions; and asked for.

use std::collections::BTreeMap;

use jackdaw_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use jackdaw_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use jackdaw_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use jackdaw_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use jackdaw_wire::messages::{
    OffsetCommitRequest, OffsetCommitResponse, TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use jackdaw_wire::types::Now;
use jackdaw_wire::{ErrorCode, StrBytes, keep};

use crate::api::{Reply, Request, code};
use crate::consumer::CommitKind;
use crate::group::{Group, GroupState};
use crate::machine::{Context, Groups, Write, of_offset_write};
use crate::offsets::{CommittedOffset, TopicPartition};
use crate::record::{self, Producer};

/// Offsets on their way to the log.
#[derive(Debug)]
pub(crate) struct OffsetWrite {
    token: u64,
    /// What is written.
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// Whose text is too long to be written.
    refused: Vec<TopicPartition>,
    producer: Option<Producer>,
}

/// Who commits what.
struct Committing {
    token: u64,
    member_id: StrBytes,
    instance_id: Option<StrBytes>,
    generation: i32,
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    producer: Option<Producer>,
    /// Of OffsetCommit.
    version: i16,
}

/// From this version of OffsetCommit on it is said of a group that is gone that it is, where the consumer protocol is
/// served.
const GROUP_NOT_FOUND_FROM: i16 = 9;

impl Groups {
    pub(crate) fn commit(&mut self, now: Now, token: u64, version: i16, request: OffsetCommitRequest) {
        let id = keep::text(&request.group_id);
        if !self.groups.contains_key(&id) {
            if request.generation_id_or_member_epoch >= 0 {
                // Of a group that is gone.
                let error = match self.config.consumer.enabled && version >= GROUP_NOT_FOUND_FROM {
                    true => ErrorCode::GroupIdNotFound,
                    false => ErrorCode::IllegalGeneration,
                };
                return self.refuse(token, &Request::Commit { version, request }, error);
            }
            // Somebody who keeps offsets here and is in no group.
            self.new_group(id.clone(), now.wall_ms);
        }
        let expires_ms =
            (request.retention_time_ms != -1).then(|| now.wall_ms.saturating_add(request.retention_time_ms));
        let mut offsets = BTreeMap::new();
        for topic in &request.topics {
            let name = keep::text(&topic.name);
            for partition in &topic.partitions {
                let commit_timestamp_ms = match partition.commit_timestamp {
                    -1 => now.wall_ms,
                    given_ms => given_ms,
                };
                let offset = CommittedOffset {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_ref().map(keep::text).unwrap_or_default(),
                    commit_timestamp_ms,
                    expire_timestamp_ms: expires_ms,
                };
                offsets.insert((name.clone(), partition.partition_index), offset);
            }
        }
        let committing = Committing {
            token,
            member_id: request.member_id.clone(),
            instance_id: request.group_instance_id.clone(),
            generation: request.generation_id_or_member_epoch,
            offsets,
            producer: None,
            version,
        };
        let done = self.with(now, &id, |group, context| group.commit(context, committing));
        if let Some(Err(error)) = done {
            self.refuse(token, &Request::Commit { version, request }, error);
        }
    }

    pub(crate) fn txn_commit(&mut self, now: Now, token: u64, request: TxnOffsetCommitRequest) {
        let id = keep::text(&request.group_id);
        if !self.groups.contains_key(&id) {
            self.new_group(id.clone(), now.wall_ms);
        }
        let mut offsets = BTreeMap::new();
        for topic in &request.topics {
            let name = keep::text(&topic.name);
            for partition in &topic.partitions {
                let offset = CommittedOffset {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_ref().map(keep::text).unwrap_or_default(),
                    commit_timestamp_ms: now.wall_ms,
                    expire_timestamp_ms: None,
                };
                offsets.insert((name.clone(), partition.partition_index), offset);
            }
        }
        let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
        let committing = Committing {
            token,
            member_id: request.member_id.clone(),
            instance_id: request.group_instance_id.clone(),
            generation: request.generation_id,
            offsets,
            producer: Some(producer),
            version: 0,
        };
        match self.with(now, &id, |group, context| group.commit(context, committing)) {
            Some(Err(error)) => self.refuse(token, &Request::TxnCommit(request), error),
            _ => self.open_for(producer.id, &id),
        }
    }

    /// The offsets are in the log, or are not.
    pub(crate) fn offsets_written(
        &mut self,
        id: &StrBytes,
        lives: bool,
        write: OffsetWrite,
        outcome: Result<i64, ErrorCode>,
    ) {
        if let Some(group) = self.groups.get_mut(id).filter(|_| lives) {
            let (known, offsets) = (&mut group.offsets, &write.offsets);
            match (outcome, write.producer) {
                (Ok(at), None) => known.committed(offsets, at),
                (Ok(at), Some(producer)) => known.appended_in_transaction(producer.id, offsets, at),
                (Err(_), None) => known.failed(offsets),
                (Err(_), Some(producer)) => known.failed_in_transaction(producer.id, offsets),
            }
        }
        self.reply(write.token, write.reply(outcome.err().map(of_offset_write)));
    }

    pub(crate) fn fetch(&mut self, token: u64, asked: &OffsetFetchRequestGroup, require_stable: bool) {
        let group = self.groups.get(&asked.group_id.0);
        if let Some(consumer) = group.and_then(|group| group.consumer.as_ref())
            && let Err(error) = consumer.check_fetch(asked.member_id.as_ref(), asked.member_epoch)
        {
            let request = Request::Fetch { group: asked.clone(), require_stable };
            return self.refuse(token, &request, error);
        }
        let mut topics: BTreeMap<StrBytes, BTreeMap<i32, OffsetFetchResponsePartitions>> = BTreeMap::new();
        let mut add = |partition: &TopicPartition| {
            let told = offset_of(group, partition, require_stable).with_partition_index(partition.1);
            topics.entry(partition.0.clone()).or_default().insert(partition.1, told);
        };
        match &asked.topics {
            None => group.iter().for_each(|group| group.offsets.partitions().for_each(&mut add)),
            Some(asked) => {
                for topic in asked {
                    topic.partition_indexes.iter().for_each(|index| add(&(topic.name.0.clone(), *index)));
                }
            }
        }
        let topic = |(name, partitions): (StrBytes, BTreeMap<i32, OffsetFetchResponsePartitions>)| {
            OffsetFetchResponseTopics::default()
                .with_name(TopicName(name))
                .with_partitions(partitions.into_values().collect())
        };
        let reply = OffsetFetchResponseGroup::default()
            .with_group_id(asked.group_id.clone())
            .with_topics(topics.into_iter().map(topic).collect());
        self.reply(token, Reply::Fetch(reply));
    }
}

fn offset_of(
    group: Option<&Group>,
    partition: &TopicPartition,
    require_stable: bool,
) -> OffsetFetchResponsePartitions {
    let none = OffsetFetchResponsePartitions::default()
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()));
    let Some(group) = group else { return none };
    if require_stable && group.offsets.is_unstable(partition) {
        return none.with_error_code(ErrorCode::UnstableOffsetCommit.code());
    }
    match group.offsets.get(partition) {
        None => none,
        Some(known) => none
            .with_committed_offset(known.offset)
            .with_committed_leader_epoch(known.leader_epoch)
            .with_metadata(Some(known.metadata.clone())),
    }
}

impl Group {
    /// `validateOffsetCommit`
    fn check_commit(&self, committing: &Committing) -> Result<(), ErrorCode> {
        let Committing { member_id, instance_id, generation, producer, version, .. } = committing;
        if let Some(consumer) = &self.consumer {
            let kind = producer.map_or(CommitKind::Plain(*version), |_| CommitKind::Transactional);
            return consumer.check_commit(kind, member_id, instance_id.as_ref(), *generation);
        }
        if *generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        if *generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            return self.check_generation(member_id, instance_id.as_ref(), *generation);
        }
        match producer {
            // Producers of before KIP-447 say nothing of their consumer.
            Some(_) => Ok(()),
            None => Err(ErrorCode::UnknownMemberId),
        }
    }

    fn commit(&mut self, context: &mut Context<'_>, committing: Committing) -> Result<(), ErrorCode> {
        self.check_commit(&committing)?;
        if committing.producer.is_none() {
            match self.state {
                GroupState::Empty => {}
                // What they had was theirs until now, and is soon somebody else's to go on with.
                GroupState::Stable | GroupState::PreparingRebalance => {
                    self.hear(context, &committing.member_id);
                }
                GroupState::CompletingRebalance => return Err(ErrorCode::RebalanceInProgress),
            }
        }
        let Committing { token, mut offsets, producer, .. } = committing;
        let longest = context.config.max_metadata_length;
        let is_too_long = |offset: &CommittedOffset| offset.metadata.encode_utf16().count() > longest;
        let too_long = offsets.iter().filter(|(_, offset)| is_too_long(offset));
        let refused: Vec<TopicPartition> = too_long.map(|(partition, _)| partition.clone()).collect();
        refused.iter().for_each(|partition| drop(offsets.remove(partition)));
        let write = OffsetWrite { token, offsets, refused, producer };
        if write.offsets.is_empty() {
            context.reply(token, write.reply(None));
            return Ok(());
        }
        match producer {
            None => self.offsets.begin(&write.offsets),
            Some(producer) => self.offsets.begin_in_transaction(producer.id, &write.offsets),
        }
        let batch = record::offsets(&self.id, &write.offsets, producer, context);
        context.write(self, Write::Offsets(write), batch);
        Ok(())
    }
}

impl OffsetWrite {
    fn reply(&self, error: Option<ErrorCode>) -> Reply {
        let too_large = Some(ErrorCode::OffsetMetadataTooLarge);
        let written = self.offsets.keys().map(|partition| (partition, error));
        let refused = self.refused.iter().map(|partition| (partition, too_large));
        let mut topics: BTreeMap<&StrBytes, Vec<(i32, i16)>> = BTreeMap::new();
        for ((topic, index), error) in written.chain(refused) {
            topics.entry(topic).or_default().push((*index, code(error)));
        }
        match self.producer {
            None => Reply::Commit(OffsetCommitResponse::default().with_topics(
                topics.into_iter().map(|(name, partitions)| committed_topic(name, partitions)).collect(),
            )),
            Some(_) => Reply::TxnCommit(TxnOffsetCommitResponse::default().with_topics(
                topics.into_iter().map(|(name, partitions)| txn_committed_topic(name, partitions)).collect(),
            )),
        }
    }
}

fn committed_topic(name: &StrBytes, partitions: Vec<(i32, i16)>) -> OffsetCommitResponseTopic {
    let partition = |(index, code)| {
        OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
    };
    OffsetCommitResponseTopic::default()
        .with_name(TopicName(name.clone()))
        .with_partitions(partitions.into_iter().map(partition).collect())
}

fn txn_committed_topic(name: &StrBytes, partitions: Vec<(i32, i16)>) -> TxnOffsetCommitResponseTopic {
    let partition = |(index, code)| {
        TxnOffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
    };
    TxnOffsetCommitResponseTopic::default()
        .with_name(TopicName(name.clone()))
        .with_partitions(partitions.into_iter().map(partition).collect())
}
