//! `flush.messages=1`: nothing counts as held before it is synced, however it came into the log.

use jackdaw_replication::FetchedPartition;

use super::single::{Single, single};
use super::*;
use crate::replicas::append::Followed;
use crate::replicas::partition::Partition;

const DURABLE: &[(&str, &str)] = &[("flush.messages", "1")];

fn partition(s: &Single) -> Arc<Partition> {
    let Some(shared::Hosted::Online(partition)) = s.manager.shared.hosted(topic_id(), 0) else { panic!() };
    partition
}

/// Log end, how far it is synced, how far it counts as held, and the high watermark; at one moment.
async fn ends(partition: &Arc<Partition>) -> (i64, i64, i64, i64) {
    let ends = partition.write_for(|writer, partition| {
        let state = partition.state();
        let log = &writer.log;
        (log.log_end_offset(), log.flushed_offset(), state.durable_end, state.replica.high_watermark())
    });
    ends.await.unwrap()
}

async fn assert_held_is_synced(partition: &Arc<Partition>) {
    let (end, synced, held, high_watermark) = ends(partition).await;
    assert!(held <= synced && high_watermark <= synced, "{end} {synced} {held} {high_watermark}");
}

/// Everything is synced, and counts, without anybody asking for it.
async fn assert_all_is_synced_in_the_end(partition: &Arc<Partition>, expected: i64) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while ends(partition).await != (expected, expected, expected, expected) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", ends(partition).await);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_finds_counts_only_once_it_is_synced() {
    let s = single(&[]).await;
    produce(&s.manager, 1, 0, batch(&["a", "b"])).await;
    let s = s.reopened(DURABLE, false).await;
    let partition = partition(&s);
    assert_held_is_synced(&partition).await;
    assert_all_is_synced_in_the_end(&partition, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_of_what_a_start_found_is_acknowledged_only_once_it_is_synced() {
    for acks in [1, -1] {
        let s = single(&[]).await;
        produce(&s.manager, 1, 0, batch_of(9, 0, &["a", "b"])).await;
        let s = s.reopened(DURABLE, false).await;
        let answer = produce(&s.manager, acks, 0, batch_of(9, 0, &["a", "b"])).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, 0));
        let (_, synced, ..) = ends(&partition(&s)).await;
        assert_eq!(synced, 2, "acks {acks}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_asks_for_flushes_concerns_what_is_there_already() {
    let s = single(&[]).await;
    produce(&s.manager, 1, 0, batch(&["a", "b"])).await;
    let partition = partition(&s);
    let config = TopicConfigs::default().with(DURABLE.iter().copied()).unwrap().to_log_config();
    partition.write(move |writer, partition| partition.set_config(writer, Arc::new(config)));
    assert_all_is_synced_in_the_end(&partition, 2).await;
}

/// What leader 2 sent to its follower 1.
async fn fetched(partition: &Arc<Partition>, records: Bytes) -> Followed {
    let follow = partition.write_for(move |writer, partition| {
        let asked = partition.state().replica.as_follower().and_then(|f| f.next_fetch()).unwrap();
        let reply = FetchedPartition { asked, error: None, diverging: None, high_watermark: 0, log_start: 0 };
        partition.follow(writer, &reply, &records)
    });
    follow.await.unwrap()
}

fn from_leader(offset: i64, epoch: i32, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(offset, epoch);
    builder.append(now_ms(), None, Some(value.as_bytes()));
    builder.build()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_follower_has_not_synced_does_not_count_when_it_leads() {
    let mut s = single(DURABLE).await;
    let follows = partition_record(0, &[1, 2], &[1, 2], 2, (1, 1));
    s.apply(&[follows]).await;
    let partition = partition(&s);
    assert_eq!(fetched(&partition, from_leader(0, 1, "a")).await, Followed::AfterFlush);
    assert_eq!(ends(&partition).await.1, 0, "its fetcher would flush, and there is none");
    s.apply(&[partition_record(0, &[1, 2], &[1], 1, (2, 2))]).await;
    assert_held_is_synced(&partition).await;
    assert_all_is_synced_in_the_end(&partition, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_asks_for_more_only_once_what_it_has_is_synced() {
    let s = single(&[]).await;
    produce(&s.manager, 1, 0, batch(&["a", "b"])).await;
    let mut s = s.reopened(DURABLE, false).await;
    s.apply(&[partition_record(0, &[1, 2], &[1, 2], 2, (1, 1))]).await;
    assert_eq!(ends(&partition(&s)).await.1, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_from_before_a_truncation_says_nothing_of_what_came_after() {
    let mut s = single(DURABLE).await;
    s.apply(&[partition_record(0, &[1, 2], &[1, 2], 2, (1, 1))]).await;
    let partition = partition(&s);
    fetched(&partition, from_leader(0, 1, "a")).await;
    let plan = partition.write_for(|writer, _| writer.log.flush_plan().unwrap()).await.unwrap();
    let ticket = plan.run().unwrap();
    partition.write_for(|writer, partition| partition.truncate_follower(writer, 0)).await.unwrap();
    fetched(&partition, from_leader(0, 1, "of another history")).await;
    assert_eq!(partition.note_flushed(ticket).await, Ok(false));
    let (end, synced, held, _) = ends(&partition).await;
    assert_eq!((end, synced, held), (1, 0, 0));
    // Whoever waits for a flush waits for one of what there is.
    partition.flush_and_wait().await.unwrap();
    let (end, synced, held, _) = ends(&partition).await;
    assert_eq!((end, synced, held), (1, 1, 1));
}
