//! The committed metadata log becomes images, and images reach those who act on them (Kafka's `MetadataLoader`).
//!
//! Nothing is published before the first high watermark is reached: a replica manager that believed an old image
//! would put partitions aside that are its own. Records are applied as they come; publishers get what has gathered
//! since they were last done, one call at a time and in log order. It decides nothing and keeps no state but the
//! image.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jackdaw_metadata::controller::LogStart;
use jackdaw_metadata::{ApplyError, MetadataDelta, MetadataImage, Provenance};
use jackdaw_wire::MetadataRecord;
use jackdaw_wire::types::OffsetAndEpoch;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock;
use crate::raft::{LeaderAndEpoch, RaftEvent, RaftHandle};
use crate::replicas::{Loss, LostLeaders};

/// What the loader tells the controller, in log order.
#[derive(Debug)]
pub enum LogEvent {
    /// Everything up to this offset is committed.
    Committed(i64),
    /// The leader changed. `log` is there when it is this node: where the log stands that it takes over.
    Leader { leader: LeaderAndEpoch, log: Option<Box<LogStart>> },
}

/// The longest wait for a publication that is under way, or for what becomes of a lost broker: neither a disk that
/// stands still nor a session that has seconds to go keeps clients waiting.
const SETTLING: Duration = Duration::from_millis(500);
/// The longest wait of who decided something until this node has acted on it: opening thousands of logs takes seconds.
const ACTING: Duration = Duration::from_secs(5);
/// Events that the quorum may be ahead of the loader.
const EVENT_QUEUE: usize = 256;

/// Someone who acts on new images.
pub trait Publisher: Send + Sync {
    /// Brings what it looks after in line with the image. Awaited before the next call; `delta` is never empty, and
    /// tells everything since the image of the call before.
    fn publish<'a>(&'a self, image: &'a Arc<MetadataImage>, delta: &'a MetadataDelta) -> BoxFuture<'a, ()>;
}

/// Why the loader stopped. The node must stop too: its image is no longer the cluster's.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    #[error("the record at offset {offset} cannot be applied: {source}")]
    Apply { offset: i64, source: ApplyError },
    #[error("the record at offset {offset} breaks a metadata transaction: {what}")]
    Transaction { offset: i64, what: &'static str },
}

/// The loader, running.
pub struct LoaderHandle {
    /// The newest image that every publisher has seen. Its provenance tells the offset.
    pub images: watch::Receiver<Arc<MetadataImage>>,
    /// The newest committed offset that anybody here may have heard of: publishers are given it next, if they were not
    /// yet, and may not be done with it.
    pub given: watch::Receiver<i64>,
    /// Ends without an error when the quorum stops.
    pub task: JoinHandle<Result<(), LoaderError>>,
}

/// The image of what is committed by now, once publishers are done with it, or the newest they have seen.
///
/// A new leader answers producers before every publisher is done, and a client whose broker has just died asks for
/// metadata behind such an answer: an image from before the election would make it wait for its next look around, a
/// second in librdkafka. (Kafka gives an image to its metadata cache first, before there is a leader to serve it.)
pub async fn settled(
    images: &watch::Receiver<Arc<MetadataImage>>,
    given: &watch::Receiver<i64>,
) -> Arc<MetadataImage> {
    seen(images, given, SETTLING).await;
    Arc::clone(&images.borrow())
}

/// Waits until this node has acted on what is committed by now.
///
/// This node's own controller answers when its records are committed. Who asked it through this node uses the new topic
/// with the next request on the same connection, and is to find it there.
pub async fn acted(images: &watch::Receiver<Arc<MetadataImage>>, given: &watch::Receiver<i64>) {
    seen(images, given, ACTING).await;
}

async fn seen(
    images: &watch::Receiver<Arc<MetadataImage>>,
    given: &watch::Receiver<i64>,
    patience: Duration,
) {
    let (offset, mut images) = (*given.borrow(), images.clone());
    // Neither a loader that has stopped nor one that takes too long can keep what is known from being told.
    let is_seen = |image: &Arc<MetadataImage>| image.provenance.offset >= offset;
    let _ = tokio::time::timeout(patience, images.wait_for(is_seen)).await;
}

/// The newest image, once it says what becomes of the brokers that this node has just lost: they answer again, lead
/// nothing any more, are fenced, or are back under another epoch.
///
/// A client of a broker that dies asks the others within a millisecond. Told of the dead leader, librdkafka (before
/// 2.16) asks again a second later, when an election has long been over.
pub async fn decided(
    images: &watch::Receiver<Arc<MetadataImage>>,
    mut lost: watch::Receiver<LostLeaders>,
) -> Arc<MetadataImage> {
    let mut images = images.clone();
    loop {
        let (image, now) = (Arc::clone(&images.borrow_and_update()), clock::timer());
        let in_doubt_until = |(id, loss): (&i32, &Loss)| {
            let (until, broker) = (loss.at + SETTLING, image.broker(*id)?);
            let stands = !broker.fenced && broker.epoch == loss.broker_epoch;
            // Every partition is looked at, but only in the moment after a loss.
            (stands && until > now && leads(&image, *id)).then_some(until)
        };
        let until = lost.borrow_and_update().iter().filter_map(in_doubt_until).max();
        let Some(until) = until else { return image };
        // Whoever tells has stopped: there is nothing to wait for.
        let goes_on = tokio::select! {
            changed = images.changed() => changed.is_ok(),
            changed = lost.changed() => changed.is_ok(),
            () = tokio::time::sleep_until(until) => true,
        };
        if !goes_on {
            return image;
        }
    }
}

/// Whether the broker leads any partition.
fn leads(image: &MetadataImage, broker: i32) -> bool {
    image.topics.iter().any(|topic| topic.partitions.values().any(|partition| partition.leader == broker))
}

/// Starts to follow the log. On a controller, `controller` hears of commits and leaders in log order, and without
/// waiting for publishers.
pub async fn start(
    raft: RaftHandle,
    controller: Option<mpsc::Sender<LogEvent>>,
    publishers: Vec<Arc<dyn Publisher>>,
) -> LoaderHandle {
    let (events, queue) = mpsc::channel(EVENT_QUEUE);
    raft.subscribe(events).await;
    let (sender, images) = watch::channel(Arc::default());
    let (give, given) = watch::channel(i64::MIN);
    let loader = Loader { raft, controller, log: LogState::default(), ready: false, given: give };
    let task = tokio::spawn(loader.run(queue, publishers.into(), sender));
    LoaderHandle { images, given, task }
}

/// What the log says so far, apart from who is told.
#[derive(Default)]
struct LogState {
    image: MetadataImage,
    /// What changed since publishers were last told.
    delta: MetadataDelta,
    /// Whether the image, be it by its offset alone, is newer than what was published last.
    dirty: bool,
    /// Records of an open transaction, held back until it ends (`MetadataBatchLoader`).
    transaction: Option<Vec<(i64, MetadataRecord)>>,
    /// Some record took effect.
    has_records: bool,
}

impl LogState {
    fn record(&mut self, offset: i64, record: MetadataRecord) -> Result<(), LoaderError> {
        match record {
            MetadataRecord::BeginTransaction(_) if self.transaction.is_some() => {
                Err(LoaderError::Transaction { offset, what: "one is open already" })
            }
            MetadataRecord::BeginTransaction(_) => {
                self.transaction = Some(Vec::new());
                Ok(())
            }
            MetadataRecord::EndTransaction(_) => {
                let what = "none is open";
                let held = self.transaction.take().ok_or(LoaderError::Transaction { offset, what })?;
                held.iter().try_for_each(|(offset, record)| self.apply(*offset, record))
            }
            MetadataRecord::AbortTransaction(_) => {
                let what = "none is open";
                self.transaction.take().map(drop).ok_or(LoaderError::Transaction { offset, what })
            }
            record => match &mut self.transaction {
                Some(held) => {
                    held.push((offset, record));
                    Ok(())
                }
                None => self.apply(offset, &record),
            },
        }
    }

    fn apply(&mut self, offset: i64, record: &MetadataRecord) -> Result<(), LoaderError> {
        self.has_records = true;
        self.image
            .apply(offset, record, &mut self.delta)
            .map_err(|source| LoaderError::Apply { offset, source })
    }

    fn batch(
        &mut self,
        provenance: Provenance,
        records: Vec<(i64, MetadataRecord)>,
    ) -> Result<(), LoaderError> {
        for (offset, record) in records {
            self.record(offset, record)?;
        }
        self.image.provenance = provenance;
        self.dirty = true;
        Ok(())
    }

    /// Begins again from a snapshot. Publishers are told the difference to what they know.
    fn snapshot(
        &mut self,
        provenance: Provenance,
        records: &[MetadataRecord],
        published: &MetadataImage,
    ) -> Result<(), LoaderError> {
        let mut image = MetadataImage::default();
        for record in records {
            image
                .apply(provenance.offset, record, &mut MetadataDelta::default())
                .map_err(|source| LoaderError::Apply { offset: provenance.offset, source })?;
        }
        image.provenance = provenance;
        let delta = MetadataDelta::between(published, &image);
        *self = Self { image, delta, dirty: true, transaction: None, has_records: true };
        Ok(())
    }

    fn log_start(&self) -> LogStart {
        LogStart {
            image: self.image.clone(),
            next_offset: self.image.provenance.offset + 1,
            is_empty: !self.has_records,
            open_transaction: self.transaction.is_some(),
        }
    }
}

struct Loader {
    raft: RaftHandle,
    controller: Option<mpsc::Sender<LogEvent>>,
    log: LogState,
    /// The first high watermark was reached.
    ready: bool,
    given: watch::Sender<i64>,
}

impl Loader {
    async fn run(
        mut self,
        mut queue: mpsc::Receiver<RaftEvent>,
        publishers: Arc<[Arc<dyn Publisher>]>,
        images: watch::Sender<Arc<MetadataImage>>,
    ) -> Result<(), LoaderError> {
        let mut publishing: Option<BoxFuture<'static, Arc<MetadataImage>>> = None;
        let mut published = Arc::<MetadataImage>::default();
        loop {
            let published_now = async {
                match &mut publishing {
                    Some(publishing) => publishing.await,
                    None => std::future::pending().await,
                }
            };
            // Events first: what has gathered is published at once, however many events it came in.
            tokio::select! {
                biased;
                event = queue.recv() => match event {
                    Some(event) => self.event(event, &published).await?,
                    None => return Ok(()),
                },
                image = published_now => {
                    publishing = None;
                    images.send_replace(image);
                }
            }
            if publishing.is_none() && self.ready && self.log.dirty && queue.is_empty() {
                self.log.dirty = false;
                published = Arc::new(self.log.image.clone());
                self.given.send_replace(published.provenance.offset);
                let delta = std::mem::take(&mut self.log.delta);
                publishing = Some(Box::pin(publish(Arc::clone(&publishers), Arc::clone(&published), delta)));
            }
        }
    }

    async fn event(&mut self, event: RaftEvent, published: &MetadataImage) -> Result<(), LoaderError> {
        match event {
            RaftEvent::Committed { last_offset, epoch, append_time_ms, records, .. } => {
                self.log.batch(Provenance { offset: last_offset, epoch, append_time_ms }, records)?;
                if self.ready {
                    // Before the controller answers who waits for it: what follows the answer asks for this image.
                    self.given.send_replace(last_offset);
                }
                self.tell_controller(LogEvent::Committed(last_offset)).await;
            }
            RaftEvent::Snapshot { id, last_contained_log_time_ms, records } => {
                let (offset, epoch) = (id.offset - 1, id.epoch);
                let provenance = Provenance { offset, epoch, append_time_ms: last_contained_log_time_ms };
                self.log.snapshot(provenance, &records, published)?;
            }
            RaftEvent::HighWatermark(offset) => {
                if !self.ready && self.log.image.provenance.offset + 1 >= offset {
                    self.ready = true;
                    self.log.dirty = true;
                    self.log.delta.from_snapshot = true;
                }
            }
            RaftEvent::Leader(leader) => {
                let log = leader.is_leader(self.raft.node_id()).then(|| Box::new(self.log.log_start()));
                self.tell_controller(LogEvent::Leader { leader, log }).await;
            }
            RaftEvent::SnapshotWanted { id, last_contained_log_time_ms } => {
                self.write_snapshot(id, last_contained_log_time_ms);
            }
        }
        Ok(())
    }

    async fn tell_controller(&self, event: LogEvent) {
        if let Some(controller) = &self.controller {
            // A controller that has stopped needs to hear nothing.
            let _ = controller.send(event).await;
        }
    }

    /// Writes the image of this moment, unless a transaction is open, whose records the image does not have.
    fn write_snapshot(&self, id: OffsetAndEpoch, last_contained_log_time_ms: i64) {
        if self.log.transaction.is_some() {
            return;
        }
        let (raft, image) = (self.raft.clone(), self.log.image.clone());
        tokio::spawn(async move {
            let version = image.metadata_version().0;
            let records = image.to_records();
            if let Err(error) = raft.write_snapshot(id, last_contained_log_time_ms, version, records).await {
                tracing::error!(
                    target: "org.apache.kafka.image.publisher.SnapshotGenerator",
                    "Snapshot {id} was not written: {error}"
                );
            }
        });
    }
}

async fn publish(
    publishers: Arc<[Arc<dyn Publisher>]>,
    image: Arc<MetadataImage>,
    delta: MetadataDelta,
) -> Arc<MetadataImage> {
    if !delta.is_empty() {
        for publisher in publishers.iter() {
            publisher.publish(&image, &delta).await;
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::FutureExt;
    use jackdaw_metadata::BrokerRegistration;
    use jackdaw_wire::Uuid;
    use jackdaw_wire::metadata_record::{
        AbortTransactionRecord, BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord,
        PartitionRecord, TopicRecord,
    };
    use jackdaw_wire::types::random_uuid;
    use tokio::time::Instant;

    use super::*;

    fn topic(name: &str) -> MetadataRecord {
        let topic_id = random_uuid(rand::random);
        TopicRecord { name: name.into(), topic_id, ..Default::default() }.into()
    }

    fn names(image: &MetadataImage) -> String {
        image.topics.iter().map(|topic| topic.name.to_string()).collect::<Vec<_>>().join(" ")
    }

    /// What a leader left unfinished must never be seen, and what it finished must be seen whole (KIP-868).
    #[test]
    fn records_of_a_transaction_take_effect_together_or_not_at_all() {
        let begin = || BeginTransactionRecord::default().into();
        let end = || EndTransactionRecord::default().into();
        let abort = || AbortTransactionRecord::default().into();
        let mut log = LogState::default();
        let mut offset = 0;
        for (record, expected) in [
            (topic("a"), "a"),
            (begin(), "a"),
            (topic("b"), "a"),
            (topic("c"), "a"),
            (end(), "a b c"),
            (begin(), "a b c"),
            (topic("d"), "a b c"),
            (abort(), "a b c"),
            (topic("e"), "a b c e"),
        ] {
            offset += 1;
            let provenance = Provenance { offset, epoch: 1, append_time_ms: 0 };
            log.batch(provenance, vec![(offset, record)]).unwrap();
            assert_eq!((names(&log.image).as_str(), log.image.provenance.offset), (expected, offset));
        }
        for bad in [end(), abort()] {
            assert!(matches!(log.record(99, bad), Err(LoaderError::Transaction { offset: 99, .. })));
        }
        log.record(100, begin()).unwrap();
        assert!(log.record(101, begin()).is_err());
    }

    /// What was given before the question is in the answer, unless publishers are stuck with it.
    #[tokio::test]
    async fn who_asks_during_a_publication_gets_its_image() {
        let image = |offset| {
            let provenance = Provenance { offset, epoch: 1, append_time_ms: 0 };
            Arc::new(MetadataImage { provenance, ..MetadataImage::default() })
        };
        let ((seen, images), (give, given)) = (watch::channel(image(4)), watch::channel(4));
        let asked = || async { settled(&images, &given).await.provenance.offset };
        assert_eq!(asked().await, 4);
        give.send_replace(5);
        let answer = asked();
        tokio::pin!(answer);
        assert_eq!((&mut answer).now_or_never(), None);
        seen.send_replace(image(5));
        assert_eq!(answer.await, 5);
        give.send_replace(6);
        assert_eq!(asked().await, 5, "publishers that never end");
        drop(seen);
        assert_eq!(asked().await, 5, "a loader that has stopped");
    }

    /// Once, for half a second: a broker that nobody fences is told of until its session is over.
    #[tokio::test]
    async fn who_asks_while_a_broker_is_lost_hears_what_becomes_of_it() {
        let image_led_by = |leader, epoch, fenced| {
            let broker = BrokerRegistration {
                id: 1,
                epoch,
                incarnation_id: Uuid::nil(),
                listeners: BTreeMap::new(),
                features: BTreeMap::new(),
                rack: None,
                fenced,
                in_controlled_shutdown: false,
                is_migrating_zk_broker: false,
                directories: Vec::new(),
            };
            let brokers = Arc::new(BTreeMap::from([(1, Arc::new(broker))]));
            let mut image = MetadataImage { brokers, ..MetadataImage::default() };
            let topic_id = Uuid::from_u128(7);
            let topic = TopicRecord { name: "t".into(), topic_id, ..Default::default() };
            let (replicas, isr) = (vec![1, 2], vec![1, 2]);
            let partition = PartitionRecord { topic_id, replicas, isr, leader, ..Default::default() };
            for record in [topic.into(), partition.into()] {
                image.apply(0, &record, &mut MetadataDelta::default()).unwrap();
            }
            Arc::new(image)
        };
        let image = |epoch, fenced| image_led_by(1, epoch, fenced);
        let loss = |broker_epoch, ago| {
            let at = Instant::now().checked_sub(ago).unwrap();
            LostLeaders::from([(1, Loss { broker_epoch, at })])
        };
        let (seen, images) = watch::channel(image(5, false));
        let (lose, lost) = watch::channel(loss(4, Duration::ZERO));
        let asked = || async { decided(&images, lost.clone()).await.brokers[&1].fenced };
        assert!(!asked().await, "it is back since");
        lose.send_replace(loss(5, SETTLING));
        assert!(!asked().await, "that was long ago");
        lose.send_replace(loss(5, Duration::ZERO));
        let answer = asked();
        tokio::pin!(answer);
        assert_eq!((&mut answer).now_or_never(), None);
        seen.send_replace(image(5, true));
        assert!(answer.await);
        seen.send_replace(image(5, false));
        let answer = asked();
        tokio::pin!(answer);
        assert_eq!((&mut answer).now_or_never(), None);
        seen.send_replace(image_led_by(2, 5, false));
        assert!(!answer.await, "others lead, and its session goes on");
        seen.send_replace(image(5, false));
        let answer = asked();
        tokio::pin!(answer);
        assert_eq!((&mut answer).now_or_never(), None);
        lose.send_replace(LostLeaders::new());
        assert!(!answer.await, "it answers again");
    }

    /// Whether a log is empty decides whether a new controller writes the bootstrap records.
    #[test]
    fn a_log_is_empty_until_a_record_outside_of_an_open_transaction() {
        let level: MetadataRecord =
            FeatureLevelRecord { name: "metadata.version".into(), feature_level: 19, ..Default::default() }
                .into();
        let mut log = LogState::default();
        log.batch(Provenance { offset: 0, epoch: 1, append_time_ms: 0 }, Vec::new()).unwrap();
        let start = log.log_start();
        assert_eq!((start.next_offset, start.is_empty, start.open_transaction), (1, true, false));
        log.record(1, BeginTransactionRecord::default().into()).unwrap();
        log.record(2, level).unwrap();
        assert!(log.log_start().is_empty && log.log_start().open_transaction);
        log.record(3, EndTransactionRecord::default().into()).unwrap();
        assert!(!log.log_start().is_empty && !log.log_start().open_transaction);
    }

    #[test]
    fn a_snapshot_tells_publishers_the_difference_to_what_they_know() {
        let mut log = LogState::default();
        let (a, b) = (topic("a"), topic("b"));
        log.batch(Provenance { offset: 1, epoch: 1, append_time_ms: 0 }, vec![(1, a.clone())]).unwrap();
        let published = log.image.clone();
        log.delta = MetadataDelta::default();
        let provenance = Provenance { offset: 50, epoch: 2, append_time_ms: 7 };
        log.snapshot(provenance, &[b], &published).unwrap();
        assert_eq!((log.delta.changed_topics.len(), log.delta.deleted_topics.len()), (1, 1));
        assert_eq!(names(&log.image), "b");
        assert!(log.delta.from_snapshot && log.dirty && log.image.provenance == provenance);
    }
}
