//! What the image says about this broker's partitions becomes true: logs are opened or made, roles taken, folders
//! marked for deletion (`ReplicaManager.applyDelta`, `BrokerMetadataPublisher.initializeManagers`).

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jackdaw_log::names::{self, FolderKind};
use jackdaw_log::{Log, LogConfig, OpenError, OpenState, PartitionFolder, StorageError};
use jackdaw_metadata::{
    BrokerRegistration, ConfigResource, MetadataDelta, MetadataImage, PartitionRegistration, ResourceType,
};
use jackdaw_replication::{Registration, Replica};
use jackdaw_wire::types::{METADATA_TOPIC_NAME, is_reserved_directory_id, random_uuid};
use jackdaw_wire::{ErrorCode, TopicPartition, Uuid};

use super::dirs::{Dir, Placed};
use super::interest::Change;
use super::partition::{After, Partition, Writer, held_end, ids, owes_flush};
use super::shared::{Hosted, Shared};
use super::upkeep::Doomed;
use crate::clock;

/// So many partitions are opened side by side: opening waits for the disk.
const PARALLEL: usize = 8;

/// A partition that the image puts here.
struct Wanted {
    tp: TopicPartition,
    topic_id: Uuid,
    registration: Arc<PartitionRegistration>,
}

/// Why a partition's log is not here although the image puts it here.
#[derive(Debug, thiserror::Error)]
enum NotHosted {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("no log directory is online")]
    NoDirectory,
    #[error("its directory {0} is not online here")]
    DirectoryOffline(Uuid),
}

impl Shared {
    /// See [`super::ReplicaManager::apply`].
    pub async fn apply(self: &Arc<Self>, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        *self.context.brokers.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&image.brokers);
        *self.image.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(image);
        let is_first = !self.has_image.swap(true, Ordering::AcqRel);
        if is_first {
            let shared = Arc::clone(self);
            let image = Arc::clone(image);
            self.blocking(move || shared.first_image(&image)).await;
        }
        let (wanted, unwanted) = if is_first || delta.from_snapshot {
            (self.all_wanted(image), self.all_unwanted(image))
        } else {
            self.changes(delta)
        };
        self.remove_all(image, unwanted).await;
        self.take_roles(image, wanted).await;
        self.apply_configs(image, delta);
        self.brokers_changed(delta);
    }

    async fn blocking(&self, work: impl FnOnce() + Send + 'static) {
        // A panic of the work is reported where it happens.
        let _ = self.context.runtime.spawn_blocking(work).await;
    }

    fn all_wanted(&self, image: &MetadataImage) -> Vec<Wanted> {
        let me = self.options.node_id;
        let mut wanted = Vec::new();
        for topic in image.topics.iter() {
            for (index, registration) in topic.partitions.iter().filter(|(_, r)| r.has_replica(me)) {
                let tp = TopicPartition::new(Arc::clone(&topic.name), *index);
                let registration = Arc::clone(registration);
                wanted.push(Wanted { tp, topic_id: topic.id, registration });
            }
        }
        wanted
    }

    fn all_unwanted(&self, image: &MetadataImage) -> Vec<(Uuid, i32)> {
        let me = self.options.node_id;
        let is_wanted = |(id, index): &(Uuid, i32)| {
            image
                .topics
                .by_id(id)
                .and_then(|topic| topic.partitions.get(index))
                .is_some_and(|r| r.has_replica(me))
        };
        let hosted = self.hosted.read().unwrap_or_else(PoisonError::into_inner);
        hosted.keys().filter(|key| !is_wanted(key)).copied().collect()
    }

    fn changes(&self, delta: &MetadataDelta) -> (Vec<Wanted>, Vec<(Uuid, i32)>) {
        let me = self.options.node_id;
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for (id, topic) in &delta.changed_topics {
            for (index, change) in &topic.partitions {
                if change.current.has_replica(me) {
                    let tp = TopicPartition::new(Arc::clone(&topic.name), *index);
                    let registration = Arc::clone(&change.current);
                    wanted.push(Wanted { tp, topic_id: *id, registration });
                } else if change.previous.as_ref().is_some_and(|previous| previous.has_replica(me)) {
                    unwanted.push((*id, *index));
                }
            }
        }
        for (id, topic) in &delta.deleted_topics {
            unwanted.extend(topic.partitions.keys().map(|index| (*id, *index)));
        }
        (wanted, unwanted)
    }

    /// Puts what was found in the directories beside the image: what it does not know is kept under another name
    /// and no longer served, what was marked for deletion goes.
    fn first_image(self: &Arc<Self>, image: &MetadataImage) {
        for dir in self.dirs.iter().filter(|dir| dir.is_online()) {
            let folders = std::mem::take(&mut dir.found().folders);
            let mut logs = HashSet::new();
            let mut cleared = dir.log_dir.remove_clean_shutdown();
            for folder in folders {
                match folder.kind {
                    FolderKind::Live if &*folder.partition.topic == METADATA_TOPIC_NAME => {}
                    FolderKind::Live => match self.keep_or_stray(dir, image, &folder) {
                        Ok(true) => drop(logs.insert(folder.partition)),
                        Ok(false) => {}
                        Err(error) => cleared = Err(error),
                    },
                    FolderKind::Delete => self.upkeep.doom(self.doomed(dir, folder.path)),
                    _ => {}
                }
            }
            dir.found().logs = logs;
            if let Err(error) = cleared {
                dir.failed(&error);
            }
        }
    }

    fn doomed(&self, dir: &Arc<Dir>, folder: std::path::PathBuf) -> Doomed {
        let delay_ms = self.defaults().log.file_delete_delay_ms;
        Doomed { dir: Arc::clone(dir), folder, due: clock::steady().plus(delay_ms) }
    }

    /// Whether the image knows the folder as ours. One without a topic id was made just before a crash, and belongs
    /// to whatever the image has by its name.
    fn keep_or_stray(
        &self,
        dir: &Dir,
        image: &MetadataImage,
        folder: &PartitionFolder,
    ) -> Result<bool, StorageError> {
        let disk = dir.log_dir.disk();
        let id = jackdaw_log::read_topic_id(&**disk, &folder.path)?;
        let topic = match id {
            Some(id) => image.topics.by_id(&id),
            None => image.topics.by_name(&folder.partition.topic),
        };
        let registration = topic.and_then(|topic| topic.partitions.get(&folder.partition.partition));
        if registration.is_some_and(|r| r.has_replica(self.options.node_id)) {
            return Ok(true);
        }
        let name = names::marked_folder(&folder.partition, FolderKind::Stray, random_uuid(rand::random));
        tracing::warn!(
            target: "kafka.log.LogManager",
            "Found stray log dir {}: the metadata log puts no such replica on this broker. It is kept as {name}",
            folder.path.display()
        );
        rename(dir, &folder.path, &name)?;
        Ok(false)
    }

    async fn take_roles(self: &Arc<Self>, image: &Arc<MetadataImage>, mut wanted: Vec<Wanted>) {
        let chunk = wanted.len().div_ceil(PARALLEL).max(1);
        let mut running = Vec::new();
        while !wanted.is_empty() {
            let rest = wanted.split_off(chunk.min(wanted.len()));
            let some = std::mem::replace(&mut wanted, rest);
            let (shared, image) = (Arc::clone(self), Arc::clone(image));
            running.push(self.blocking(move || {
                some.iter().for_each(|wanted| shared.take_role(&image, wanted));
            }));
        }
        futures_util::future::join_all(running).await;
    }

    /// On a thread that may block.
    fn take_role(self: &Arc<Self>, image: &MetadataImage, wanted: &Wanted) {
        let key = (wanted.topic_id, wanted.tp.partition);
        let partition = match self.hosted(key.0, key.1) {
            Some(Hosted::Online(partition)) => partition,
            Some(Hosted::Offline) => return,
            None => match self.host(image, wanted) {
                Ok(partition) => partition,
                Err(error) => {
                    tracing::error!(
                        target: "kafka.server.ReplicaManager",
                        "Log of {} cannot be served: {error}", wanted.tp
                    );
                    let mut hosted = self.hosted.write().unwrap_or_else(PoisonError::into_inner);
                    hosted.insert(key, Hosted::Offline);
                    return;
                }
            },
        };
        let registration = registration_of(&wanted.registration);
        let me = self.options.node_id;
        let done = if registration.leader == me {
            self.fetchers.unfollow(key);
            partition.write_for(move |writer, partition| partition.become_leader(writer, &registration))
        } else {
            partition.write_for(move |writer, partition| partition.become_follower(writer, &registration))
        };
        // Dropped unanswered only when the node stops.
        let Ok(restart_fetching) = done.blocking_recv() else { return };
        // The first fetch says what is held here: not before it is true.
        if restart_fetching && partition.flush_what_is_owed() {
            self.fetchers.follow(self, &partition, wanted.registration.leader);
        }
    }

    /// Opens the partition's log, or makes it.
    fn host(self: &Arc<Self>, image: &MetadataImage, wanted: &Wanted) -> Result<Arc<Partition>, NotHosted> {
        let assigned = wanted.registration.directory(self.options.node_id);
        let (dir, state) = self.place(&wanted.tp, assigned)?;
        let config = self.config_of(image, &wanted.tp.topic);
        let folder = dir.log_dir.folder_of(&wanted.tp);
        let open = || {
            let (disk, tp) = (Arc::clone(dir.log_dir.disk()), wanted.tp.clone());
            let mut log = Log::open(disk, &folder, tp, Arc::clone(&config), state, clock::wall().0)?;
            log.assign_topic_id(wanted.topic_id)?;
            Ok(log)
        };
        let log = while_descriptors_lack(open).inspect_err(|error| {
            if let OpenError::Storage(error) = error {
                dir.failed(error);
            }
        })?;
        let checkpointed = dir.found().high_watermarks.remove(&wanted.tp).unwrap_or(0);
        let high_watermark = checkpointed.clamp(log.log_start_offset(), log.log_end_offset());
        let min_insync = usize::try_from(config.min_insync_replicas).unwrap_or(1);
        let lag_ms = self.options.replication.lag_time_max_ms;
        let replica = Replica::new(self.options.node_id, high_watermark, min_insync, lag_ms);
        dir.high_watermarks_moved();
        dir.recovery_points_moved();
        let partition = Partition::new(log, wanted.topic_id, dir, Arc::clone(&self.context), replica);
        let key = (wanted.topic_id, wanted.tp.partition);
        let hosted = Hosted::Online(Arc::clone(&partition));
        self.hosted.write().unwrap_or_else(PoisonError::into_inner).insert(key, hosted);
        Ok(partition)
    }

    /// Where the log lies or will lie, and how it was left.
    fn place(&self, tp: &TopicPartition, assigned: Option<Uuid>) -> Result<(Placed, OpenState), NotHosted> {
        for dir in self.dirs.iter().filter(|dir| dir.is_online()) {
            let mut found = dir.found();
            if !found.logs.remove(tp) {
                continue;
            }
            let state = OpenState {
                clean_shutdown: found.was_clean,
                recovery_point: found.recovery_points.remove(tp).unwrap_or(0),
                log_start_offset: found.log_starts.remove(tp).unwrap_or(0),
                ..OpenState::default()
            };
            return Ok((dir.place(), self.expiring(state)));
        }
        let online: Vec<&Arc<Dir>> = self.dirs.iter().filter(|dir| dir.is_online()).collect();
        let has_offline = online.len() < self.dirs.len();
        if let Some(assigned) = assigned.filter(|id| !is_reserved_directory_id(id)) {
            if let Some(dir) = online.iter().find(|dir| dir.id == assigned) {
                return Ok((dir.place(), self.expiring(OpenState::default())));
            }
            if has_offline {
                // It may lie there already (`createLogInAssignedDirectoryId`).
                return Err(NotHosted::DirectoryOffline(assigned));
            }
        }
        let _one_by_one = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        let emptiest = online.into_iter().min_by_key(|dir| dir.logs()).ok_or(NotHosted::NoDirectory)?;
        Ok((emptiest.place(), self.expiring(OpenState::default())))
    }

    fn expiring(&self, state: OpenState) -> OpenState {
        let producers = self.defaults().producers;
        OpenState {
            producer_expiration_ms: i64::from(producers.id_expiration_ms),
            verify_transactions: producers.verify_transactions,
            ..state
        }
    }

    /// The settings of a topic's logs: its overrides on top of the broker's.
    pub(super) fn config_of(&self, image: &MetadataImage, topic: &str) -> Arc<LogConfig> {
        let defaults = self.defaults();
        let Some(overrides) = image.topic_config(topic).filter(|set| !set.is_empty()) else {
            return Arc::clone(&defaults.log);
        };
        let pairs: Vec<(&str, &str)> = overrides.iter().map(|(name, value)| (&**name, &**value)).collect();
        match defaults.topic.with(pairs.iter().copied()) {
            Ok(configs) => Arc::new(configs.to_log_config()),
            Err(error) => {
                tracing::error!(
                    target: "kafka.server.ReplicaManager",
                    "The settings of topic {topic} are not usable, and the broker's defaults stay in force: {error}"
                );
                Arc::clone(&defaults.log)
            }
        }
    }

    fn apply_configs(self: &Arc<Self>, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        let is_topic = |resource: &&ConfigResource| resource.resource_type == ResourceType::Topic;
        for resource in delta.changed_configs.iter().filter(is_topic) {
            let Some(topic) = image.topics.by_name(&resource.name) else { continue };
            self.without_effect.warn(image, topic);
            let config = self.config_of(image, &resource.name);
            for index in topic.partitions.keys() {
                if let Some(Hosted::Online(partition)) = self.hosted(topic.id, *index) {
                    let config = Arc::clone(&config);
                    partition.write(move |writer, partition| partition.set_config(writer, config));
                }
            }
        }
    }

    /// Someone may join an ISR now; a leader may be reachable again.
    fn brokers_changed(self: &Arc<Self>, delta: &MetadataDelta) {
        if delta.changed_brokers.is_empty() {
            return;
        }
        let changed: BTreeSet<i32> = delta.changed_brokers.keys().copied().collect();
        changed.iter().for_each(|id| self.fetchers.wake(*id));
        let poorer = self.lost_directories(delta);
        for partition in self.online() {
            partition.log_starts.notify_waiters();
            poorer.iter().for_each(|id| partition.must_fetch_again(*id));
            let concerns = partition
                .state()
                .replica
                .as_leader()
                .is_some_and(|leader| changed.iter().any(|id| leader.is_waiting_to_join(*id)));
            if concerns {
                partition.reconsider();
            }
        }
    }

    /// Brokers that have fewer log directories than before: whatever is known of their replicas, they may fetch no more.
    fn lost_directories(&self, delta: &MetadataDelta) -> Vec<i32> {
        let brokers = self.image().brokers.clone();
        let lost = |(id, before): (&i32, &Option<Arc<BrokerRegistration>>)| {
            let (before, now) = (before.as_ref()?, brokers.get(id)?);
            before.directories.iter().any(|directory| !now.directories.contains(directory)).then_some(*id)
        };
        delta.changed_brokers.iter().filter_map(lost).collect()
    }

    async fn remove_all(self: &Arc<Self>, image: &Arc<MetadataImage>, unwanted: Vec<(Uuid, i32)>) {
        if unwanted.is_empty() {
            return;
        }
        let mut removed = Vec::new();
        for key in unwanted {
            self.fetchers.unfollow(key);
            let hosted = self.hosted.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
            let Some(Hosted::Online(partition)) = hosted else { continue };
            let error = match image.topics.by_id(&key.0) {
                Some(_) => ErrorCode::NotLeaderOrFollower,
                None => ErrorCode::UnknownTopicOrPartition,
            };
            partition.go_offline(error, true);
            removed.push(partition);
        }
        let shared = Arc::clone(self);
        self.blocking(move || removed.iter().for_each(|partition| shared.delete(partition))).await;
    }

    /// Marks the folder; its files go after `file.delete.delay.ms`.
    fn delete(&self, partition: &Arc<Partition>) {
        let marked = partition.write_for(|writer, _| {
            writer.closed = true;
            let delay_ms = writer.log.config().file_delete_delay_ms;
            writer.log.mark_folder(FolderKind::Delete, random_uuid(rand::random)).map(|to| (to, delay_ms))
        });
        match marked.blocking_recv() {
            Ok(Ok((folder, delay_ms))) => {
                tracing::info!(
                    target: "kafka.log.LogManager",
                    "Log for partition {} is renamed to {} and is scheduled for deletion",
                    partition.tp, folder.display()
                );
                let dir = Arc::clone(&partition.dir);
                let due = clock::steady().plus(delay_ms);
                partition.dir.high_watermarks_moved();
                partition.dir.recovery_points_moved();
                partition.dir.cleaned_no_further(&partition.tp, None);
                self.upkeep.doom(Doomed { dir, folder, due });
            }
            Ok(Err(error)) => partition.storage_failed(&error),
            Err(_) => {}
        }
    }

    /// A directory failed: its partitions are here in name only.
    pub fn directory_failed(self: &Arc<Self>, id: Uuid) {
        let failed: HashSet<(Uuid, i32)> = {
            let hosted = self.hosted.read().unwrap_or_else(PoisonError::into_inner);
            let lies_there =
                |hosted: &&Hosted| matches!(hosted, Hosted::Online(partition) if partition.dir.id == id);
            hosted.iter().filter(|(_, hosted)| lies_there(hosted)).map(|(key, _)| *key).collect()
        };
        for key in failed {
            self.fetchers.unfollow(key);
            let mut hosted = self.hosted.write().unwrap_or_else(PoisonError::into_inner);
            let before = hosted.insert(key, Hosted::Offline);
            drop(hosted);
            if let Some(Hosted::Online(partition)) = before {
                tracing::warn!(
                    target: "kafka.server.ReplicaManager",
                    "Stopping serving partition {} in the failed log dir", partition.tp
                );
                partition.go_offline(ErrorCode::KafkaStorageError, true);
            }
        }
    }
}

/// Tries for a while where no descriptor is left: others give some back, and a log that was not opened stays away.
fn while_descriptors_lack<T>(open: impl Fn() -> Result<T, OpenError>) -> Result<T, OpenError> {
    const ATTEMPTS: usize = 50;
    const PAUSE: Duration = Duration::from_millis(100);
    for _ in 1..ATTEMPTS {
        match open() {
            Err(OpenError::Storage(error)) if error.is_out_of_descriptors() => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
    open()
}

fn registration_of(registration: &PartitionRegistration) -> Registration {
    Registration {
        replicas: registration.replicas.clone(),
        isr: registration.isr.clone(),
        leader: registration.leader,
        leader_epoch: registration.leader_epoch,
        partition_epoch: registration.partition_epoch,
        adding: registration.adding_replicas.clone(),
    }
}

fn rename(dir: &Dir, folder: &Path, name: &str) -> Result<(), StorageError> {
    let disk = dir.log_dir.disk();
    let to = dir.log_dir.path().join(name);
    disk.rename(folder, &to).map_err(|error| StorageError::new("renaming", folder, error))?;
    disk.sync_dir(dir.log_dir.path()).map_err(|error| StorageError::new("syncing", dir.log_dir.path(), error))
}

impl Partition {
    /// Leads, or takes note of a change while leading. Never asks for fetching.
    fn become_leader(self: &Arc<Self>, writer: &mut Writer, registration: &Registration) -> bool {
        if writer.closed {
            return false;
        }
        let now_ms = clock::steady().0;
        let brokers = self.context.brokers();
        let (log_end, held_end) = (writer.log.log_end_offset(), held_end(&writer.log));
        let mut after = After::default();
        let became = {
            let mut state = self.state();
            let was_elsewhere = state.replica.as_leader().is_none();
            let mut became = state.replica.become_leader(registration, log_end, held_end, now_ms, &brokers);
            if was_elsewhere {
                state.durable_end = held_end;
            }
            let effects = std::mem::take(&mut became.effects);
            state.settle(self, effects, &mut after);
            if !became.skipped {
                state.tell(Change::Role);
                state.release_committed(&mut after);
            }
            became
        };
        self.finish(after);
        if held_end < log_end {
            self.request_flush();
        }
        if let Some((epoch, start)) = became.new_epoch {
            tracing::info!(
                target: "state.change.logger",
                "[Broker id={}] Leader {} with topic id {} starts at leader epoch {epoch} from offset {start} with \
                 partition epoch {}, high watermark {}, ISR [{}]",
                self.context.node_id, self.tp, jackdaw_wire::types::kafka_base64(&self.topic_id),
                registration.partition_epoch, self.state().replica.high_watermark(),
                ids(registration.isr.iter().copied())
            );
            if let Err(error) = writer.log.assign_epoch_start(epoch, start) {
                self.storage_failed(&error);
            }
        }
        false
    }

    /// Follows; whether fetching starts over.
    fn become_follower(self: &Arc<Self>, writer: &mut Writer, registration: &Registration) -> bool {
        if writer.closed {
            return false;
        }
        let (log_end, latest) = (writer.log.log_end_offset(), writer.log.latest_epoch());
        let mut after = After::default();
        let (became, truncate_first) = {
            let mut state = self.state();
            let became = state.replica.become_follower(registration, log_end, latest);
            if !became.skipped {
                state.fail_waiting(ErrorCode::NotLeaderOrFollower, &mut after);
                state.tell(Change::Role);
            }
            (became, state.replica.as_follower().and_then(|f| f.truncate_first()))
        };
        self.finish(after);
        self.log_starts.notify_waiters();
        if became.restart_fetching {
            tracing::info!(
                target: "state.change.logger",
                "[Broker id={}] Follower {} starts at leader epoch {} from offset {log_end} with partition epoch {} \
                 and high watermark {}. Current leader is {}.",
                self.context.node_id, self.tp, registration.leader_epoch, registration.partition_epoch,
                self.state().replica.high_watermark(), registration.leader
            );
            if let Some(offset) = truncate_first {
                self.truncate_follower(writer, offset);
            }
        }
        became.restart_fetching
    }

    pub(super) fn set_config(self: &Arc<Self>, writer: &mut Writer, config: Arc<LogConfig>) {
        let min_insync = usize::try_from(config.min_insync_replicas).unwrap_or(1);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&config);
        writer.log.set_config(config);
        if owes_flush(&writer.log) {
            self.request_flush();
        }
        let brokers = self.context.brokers();
        let mut after = After::default();
        {
            let mut state = self.state();
            let effects = state.replica.set_min_insync(min_insync, clock::steady().0, &brokers);
            state.settle(self, effects, &mut after);
        }
        self.finish(after);
    }
}
