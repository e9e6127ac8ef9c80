//! Real logs on simulated disks, under the real rules of replication: three brokers, several partitions of which some
//! are compacted by each broker for itself, so that a follower copies a log with gaps. Disks fail, descriptors run out,
//! syncs take seconds while other work goes on, processes are killed, the power fails on one broker or on all.
//!
//! Kept: a kill takes nothing that was written; a power cut nothing that was flushed; what is committed is in the log of
//! each broker that may lead. In the default mode that is what Kafka promises: while one replica of the ISR keeps its
//! disk. In the durable mode (`flush.messages=1`) it holds whatever fails.
//!
//! The network is not what is tested here (see `replication.rs`): a fetch and its answer are one step. A failing seed is
//! printed and replays (`JACKDAW_SIM_SEED`, `JACKDAW_SIM_TRACE=1`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod node;
mod oracle;

use std::cell::Cell;

use cluster::{Cluster, Tally};
use jackdaw_sim::seeds::for_each_seed;

const SEEDS: u64 = 24;
const STEPS: u64 = 700;

fn run(is_durable: bool) {
    let tally = Cell::new(Tally::default());
    for_each_seed(SEEDS, |seed| {
        let mut cluster = Cluster::new(seed, is_durable);
        for _ in 0..STEPS {
            cluster.step();
        }
        cluster.settle();
        tally.set(tally.get().and(&cluster.tally));
    });
    let tally = tally.into_inner();
    println!("{tally:?}");
    // What never happened was not tested.
    if std::env::var_os("JACKDAW_SIM_SEED").is_none() {
        for (what, count) in tally.counts() {
            assert!(count > 0, "no {what}");
        }
    }
}

#[test]
fn what_is_committed_survives_while_one_replica_of_the_isr_keeps_its_disk() {
    run(false);
}

#[test]
fn with_flushes_asked_for_nothing_acknowledged_is_lost_whatever_fails() {
    run(true);
}
