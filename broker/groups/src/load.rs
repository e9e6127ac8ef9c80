//! The log becomes groups again (`GroupMetadataManager.doLoadGroupsAndOffsets`): the last word of each key counts,
//! offsets of transactions once their marker says so.

use std::collections::BTreeMap;

use jackdaw_wire::group_record::{self, GroupKey, GroupMember, GroupMetadataValue, OffsetCommitValue};
use jackdaw_wire::record_codec::RecordError;
use jackdaw_wire::types::Now;
use jackdaw_wire::{Bytes, StrBytes};

use crate::consumer::{self, Change, ConsumerGroup, MemberState, TimerChange};
use crate::group::{Group, GroupState};
use crate::machine::{Context, Groups};
use crate::member::Member;
use crate::offsets::{CommittedOffset, Offsets, Stored, TopicPartition, put_if_newer};

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    /// The offset of its batch's first record.
    pub batch_offset: i64,
    pub producer_id: i64,
    pub is_transactional: bool,
}

/// Why a record is passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Of a later Kafka.
    #[error("its key has the unknown version {0}")]
    UnknownKey(i16),
    #[error("its key is missing")]
    NoKey,
    #[error("its key: {0}")]
    Key(RecordError),
    #[error("its value: {0}")]
    Value(RecordError),
}

type GroupPartition = (StrBytes, TopicPartition);

/// What the log has said so far.
#[derive(Debug, Default)]
pub(crate) struct Loading {
    groups: BTreeMap<StrBytes, (GroupMetadataValue, i16)>,
    /// Of the consumer protocol. What was written last says which protocol a group is of.
    consumers: BTreeMap<StrBytes, ConsumerGroup>,
    offsets: BTreeMap<GroupPartition, Stored>,
    in_transactions: BTreeMap<i64, BTreeMap<GroupPartition, Stored>>,
}

impl Groups {
    /// A record of the log, in order.
    ///
    /// # Errors
    /// For one that cannot be read: it changes nothing, and the next one may be loaded.
    pub fn load(
        &mut self,
        place: RecordPlace,
        key: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<(), LoadError> {
        let Some(loading) = &mut self.loading else { return Ok(()) };
        match GroupKey::decode(key.ok_or(LoadError::NoKey)?).map_err(LoadError::Key)? {
            GroupKey::Offset(key) => {
                let key = (key.group.into(), (key.topic.into(), key.partition));
                loading.offset(place, key, value).map_err(LoadError::Value)
            }
            GroupKey::Group(key) => {
                let id = StrBytes::from(key.group);
                match value {
                    None => drop(loading.groups.remove(&id)),
                    Some(value) => {
                        let group = group_record::decode(value).map_err(LoadError::Value)?;
                        loading.consumers.remove(&id);
                        loading.groups.insert(id, group);
                    }
                }
                Ok(())
            }
            GroupKey::Consumer(key_type, key) => {
                let change = consumer::load_of_group(key_type, value).map_err(LoadError::Value)?;
                loading.consumer(key.group.into(), &change);
                Ok(())
            }
            GroupKey::ConsumerPart(key_type, key) => {
                let change = consumer::load_of_part(key_type, key.part, value).map_err(LoadError::Value)?;
                loading.consumer(key.group.into(), &change);
                Ok(())
            }
            GroupKey::Unknown(version) => Err(LoadError::UnknownKey(version)),
        }
    }

    /// A transaction's end in the log.
    pub fn load_marker(&mut self, producer_id: i64, is_commit: bool) {
        let Some(loading) = &mut self.loading else { return };
        let ended = loading.in_transactions.remove(&producer_id).unwrap_or_default();
        if is_commit {
            ended.into_iter().for_each(|(key, stored)| put_if_newer(&mut loading.offsets, &key, stored));
        }
    }

    /// The log has no more: groups begin to live.
    pub fn loaded(&mut self, now: Now) {
        let Some(Loading { groups, consumers, offsets, in_transactions }) = self.loading.take() else {
            return;
        };
        let mut of_groups: BTreeMap<StrBytes, Offsets> = BTreeMap::new();
        let mut by_group: BTreeMap<StrBytes, (BTreeMap<_, _>, BTreeMap<i64, BTreeMap<_, _>>)> =
            BTreeMap::new();
        for ((id, partition), stored) in offsets {
            by_group.entry(id).or_default().0.insert(partition, stored);
        }
        for (producer, offsets) in in_transactions {
            for ((id, partition), stored) in offsets {
                self.open_for(producer, &id);
                by_group.entry(id).or_default().1.entry(producer).or_default().insert(partition, stored);
            }
        }
        for (id, (stored, open)) in by_group {
            of_groups.insert(id, Offsets::loaded(stored, open));
        }
        for (id, (value, version)) in groups {
            let offsets = of_groups.remove(&id).unwrap_or_default();
            let group = self.new_group(id.clone(), now.wall_ms);
            group.restore(value, version);
            group.offsets = offsets;
            self.with(now, &id, Group::begin_loaded);
        }
        for (id, consumer) in consumers {
            let offsets = of_groups.remove(&id).unwrap_or_default();
            let group = self.new_group(id.clone(), now.wall_ms);
            group.consumer = Some(Box::new(consumer));
            group.offsets = offsets;
            let session_ms = i64::from(self.times_of(&id).session_timeout_ms);
            self.with(now, &id, |group, context| group.begin_loaded_consumer(context, session_ms));
        }
        // Offsets of no group, or of one that was deleted after they were committed in a transaction.
        for (id, offsets) in of_groups {
            self.new_group(id, now.wall_ms).offsets = offsets;
        }
        self.expire_at_ms = Some(now.steady_ms.saturating_add(self.config.retention_check_interval_ms));
    }
}

impl Loading {
    /// A tombstone makes no group; the one of the group itself ends it.
    fn consumer(&mut self, id: StrBytes, change: &Change) {
        if *change == Change::Group(None) {
            self.consumers.remove(&id);
        } else if change.is_tombstone() {
            if let Some(group) = self.consumers.get_mut(&id) {
                group.apply(change);
            }
        } else {
            self.groups.remove(&id);
            self.consumers.entry(id).or_default().apply(change);
        }
    }

    fn offset(
        &mut self,
        place: RecordPlace,
        key: GroupPartition,
        value: Option<Bytes>,
    ) -> Result<(), RecordError> {
        let value = value.map(group_record::decode::<OffsetCommitValue>).transpose()?;
        let offsets = match place.is_transactional {
            true => self.in_transactions.entry(place.producer_id).or_default(),
            false => &mut self.offsets,
        };
        let Some((value, _)) = value else {
            offsets.remove(&key);
            return Ok(());
        };
        let value = CommittedOffset {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.into(),
            commit_timestamp_ms: value.commit_timestamp,
            expire_timestamp_ms: (value.expire_timestamp != -1).then_some(value.expire_timestamp),
        };
        offsets.insert(key, Stored { batch_offset: Some(place.batch_offset), value });
        Ok(())
    }
}

impl Group {
    fn restore(&mut self, value: GroupMetadataValue, version: i16) {
        let protocol = value.protocol.clone().map(StrBytes::from);
        self.generation = value.generation;
        self.state = if value.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        self.state_since_ms = (value.current_state_timestamp != -1).then_some(value.current_state_timestamp);
        let protocol_type = StrBytes::from(value.protocol_type);
        self.protocol_type = (!protocol_type.is_empty()).then(|| protocol_type.clone());
        self.leader = value.leader.map(StrBytes::from);
        for member in value.members {
            self.add(restored(member, protocol.clone().unwrap_or_default(), version), &protocol_type);
        }
        self.protocol = protocol;
        self.subscribed = self.subscribed_topics();
    }

    /// `GroupMetadataManager.onLoaded`
    fn begin_loaded_consumer(&mut self, context: &mut Context<'_>, session_ms: i64) {
        let now_ms = context.now.steady_ms;
        for (id, member) in self.consumer.iter().flat_map(|group| &group.members) {
            self.timers.change(TimerChange::Session(id.clone(), session_ms), now_ms);
            if member.current.state == MemberState::Unrevoked {
                let timer = Some((i64::from(member.about.rebalance_timeout_ms), member.current.epoch));
                self.timers.change(TimerChange::Rebalance(id.clone(), timer), now_ms);
            }
        }
    }

    /// `onGroupLoaded`
    fn begin_loaded(&mut self, context: &mut Context<'_>) {
        if self.members.len() > context.config.max_size {
            let reason = format!(
                "Freshly-loaded group is over capacity ({}). Rebalancing in order to give a chance for consumers to \
                 commit offsets",
                context.config.max_size
            );
            self.prepare_rebalance(context, &reason);
        }
        self.members.values_mut().for_each(|member| member.heard(context.now.steady_ms));
    }
}

fn restored(member: GroupMember, protocol: StrBytes, version: i16) -> Member {
    Member {
        id: member.member_id.into(),
        instance_id: member.group_instance_id.map(StrBytes::from),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        rebalance_timeout_ms: match version {
            0 => member.session_timeout,
            _ => member.rebalance_timeout,
        },
        session_timeout_ms: member.session_timeout,
        protocols: vec![(protocol, member.subscription)],
        assignment: member.assignment,
        joining: None,
        syncing: None,
        is_new: false,
        deadline_ms: None,
    }
}
