//! Nodes for which there is no room: few file descriptors, full disks. They say what lacks and serve on, or end as Kafka
//! does, and what was acknowledged is there when there is room again.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use jackdaw_broker::net::NodeClient;
use support::*;

#[test]
fn node_process() {
    be_a_node_if_asked();
}

async fn reads_back(client: &NodeClient, partitions: i32) {
    for index in 0..partitions {
        let found = consume_all(client, "orders", index).await.unwrap();
        assert_eq!(found, [(0, format!("record of {index}"))], "partition {index}");
    }
}

/// 200 partitions have 600 files, and 1,024 descriptors were gone with the 334th.
#[tokio::test]
async fn a_node_serves_more_partitions_than_it_has_descriptors() {
    const DESCRIPTORS: u64 = 256;
    const PARTITIONS: i32 = 200;
    let mut cluster = Cluster::prepare(1, "");
    cluster.node_mut(0).descriptors = Some(DESCRIPTORS);
    cluster.node_mut(0).start();
    cluster.ready().await;
    let client = cluster.node(0).client();
    assert_eq!(create_topic(&client, "orders", PARTITIONS, 1).await, 0);
    topic_ready(&client, "orders", 1).await;
    for index in 0..PARTITIONS {
        let reply = produce(&client, "orders", index, -1, &[format!("record of {index}")]).await.unwrap();
        assert_eq!(reply.error_code, 0, "partition {index}");
    }
    let idle: Vec<_> = (0..300)
        .map_while(|_| std::net::TcpStream::connect((cluster.node(0).host.as_str(), 9092)).ok())
        .collect();
    reads_back(&client, PARTITIONS).await;
    assert!(cluster.node(0).open_descriptors() < DESCRIPTORS as usize);
    drop(idle);
    cluster.node_mut(0).kill();
    cluster.node_mut(0).start();
    cluster.ready().await;
    let client = cluster.node(0).client();
    topic_ready(&client, "orders", 1).await;
    reads_back(&client, PARTITIONS).await;
    assert_eq!(cluster.node_mut(0).stop(), Some(0));
    let log = cluster.node(0).log_text();
    assert!(!log.contains("Its partitions go offline"), "running out is no failure of a disk");
}

/// Their places are chosen side by side.
#[tokio::test]
async fn partitions_of_a_new_topic_are_spread_over_the_log_directories() {
    let mut cluster = Cluster::prepare(1, "");
    let second = cluster.add_log_dir(0);
    cluster.node_mut(0).start();
    cluster.ready().await;
    let client = cluster.node(0).client();
    for (topic, partitions) in [("orders", 8), ("payments", 4)] {
        assert_eq!(create_topic(&client, topic, partitions, 1).await, 0);
        topic_ready(&client, topic, 1).await;
    }
    let count = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| !name.to_string_lossy().starts_with("__") && name.to_string_lossy().contains('-'))
            .count()
    };
    assert_eq!((count(&cluster.node(0).data), count(&second)), (6, 6));
}

/// A disk of a few megabytes for each node. Mounting takes rights that not everybody has.
struct Disks(Vec<PathBuf>);

impl Disks {
    fn mount(folders: Vec<PathBuf>, size_mib: usize) -> Option<Self> {
        let mut mounted = Self(Vec::new());
        for folder in folders {
            std::fs::create_dir_all(&folder).unwrap();
            let size = format!("size={size_mib}m");
            let outcome =
                Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
            if !outcome.is_ok_and(|outcome| outcome.status.success()) {
                return None;
            }
            mounted.0.push(folder);
        }
        Some(mounted)
    }

    fn grow(&self, size_mib: usize) {
        for folder in &self.0 {
            let options = format!("remount,size={size_mib}m");
            assert!(Command::new("mount").args(["-o", &options]).arg(folder).status().unwrap().success());
        }
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for folder in &self.0 {
            // A folder that stays mounted is the machine's to clean up.
            let _ = Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}

/// Whether the test can go on; under `CI=true` it has to.
fn mounted(test: &str, disks: Option<Disks>) -> Option<Disks> {
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(disks.is_some() || !in_ci, "{test}: CI has to be allowed to mount");
    if disks.is_none() {
        // Past the capture of a passing test's output: a skip is to be seen.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: mounting a small disk is refused");
    }
    disks
}

/// Sends until no majority is left, and tells what was acknowledged.
async fn fill(cluster: &mut Cluster) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let end = Instant::now() + PATIENCE;
    for number in 0.. {
        let running: Vec<i32> =
            cluster.nodes.iter_mut().filter_map(|n| n.is_running().then_some(n.id)).collect();
        let [via, _, ..] = running[..] else { break };
        assert!(Instant::now() < end, "nodes {running:?} go on with full disks");
        let value = format!("{number} {}", "x".repeat(50_000));
        let sent = async {
            let shown = metadata(&cluster.node(via).client(), Some("orders")).await?;
            let leader = shown.topics[0].partitions.first().ok_or("no partition")?.leader_id.0;
            let leader = cluster.nodes.iter().find(|n| n.id == leader).ok_or("no leader")?;
            produce(&leader.client(), "orders", 0, -1, std::slice::from_ref(&value)).await
        };
        let sent = tokio::time::timeout(std::time::Duration::from_secs(2), sent).await;
        if sent.is_ok_and(|reply| reply.is_ok_and(|reply| reply.error_code == 0)) {
            acknowledged.push(value);
        }
    }
    acknowledged
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_disks_of_all_nodes_are_full_at_once() {
    const TEST: &str = "nothing_acknowledged_is_lost_when_the_disks_of_all_nodes_are_full_at_once";
    let settings = "default.replication.factor=3\nmin.insync.replicas=2\nlog.segment.bytes=500000\n\
                    offsets.topic.num.partitions=1\nbroker.session.timeout.ms=3000";
    let mut cluster = Cluster::prepare(3, settings);
    let folders = cluster.nodes.iter().map(|node| node.data.clone()).collect();
    let Some(disks) = mounted(TEST, Disks::mount(folders, 6)) else { return };
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.ready().await;
    let client = cluster.node(0).client();
    assert_eq!(create_topic(&client, "orders", 1, 3).await, 0);
    topic_ready(&client, "orders", 3).await;
    let acknowledged = fill(&mut cluster).await;
    assert!(acknowledged.len() > 50, "{} records filled the disks", acknowledged.len());
    for (number, node) in cluster.nodes.iter_mut().enumerate() {
        if node.is_running() {
            // Nothing is acknowledged without the others: its disk is filled from outside.
            let mut ballast = std::fs::File::create(disks.0[number].join("ballast")).unwrap();
            while ballast.write_all(&[1; 4096]).is_ok() {}
            node.kill();
            continue;
        }
        assert_eq!(node.until_it_ends(), Some(1));
        let log = node.log_text();
        assert!(log.contains("No space left on device"), "node {} does not say what lacks", node.id);
    }

    disks.grow(64);
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.ready().await;
    let client = cluster.node(0).client();
    let leader = topic_ready(&client, "orders", 3).await.partitions[0].leader_id.0;
    let found = consume_all(&cluster.node(leader).client(), "orders", 0).await.unwrap();
    let found: Vec<String> = found.into_iter().map(|(_, value)| value).collect();
    let missing = acknowledged.iter().filter(|value| !found.contains(value)).count();
    assert_eq!(missing, 0, "of {} acknowledged records", acknowledged.len());
    let more = produce(&cluster.node(leader).client(), "orders", 0, -1, &["more".to_owned()]).await.unwrap();
    assert_eq!(more.error_code, 0);
}
