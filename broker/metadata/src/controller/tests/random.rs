//! Whatever happens in whatever order, partitions stay sound.

use super::*;
use crate::partition::PartitionRegistration;
use crate::random::Entropy;

const BROKERS: i32 = 5;
const STEPS: usize = 400;

/// What must hold of every partition after every step.
fn check(cluster: &Cluster, before: &MetadataImage, context: &str) {
    let image = cluster.controller.image();
    for topic in image.topics.iter() {
        for (id, p) in &topic.partitions {
            let at = format!("{context}: {}-{id} {p:?}", topic.name);
            assert!(!p.isr.is_empty(), "someone has every acknowledged record: {at}");
            assert!(p.isr.iter().all(|broker| p.replicas.contains(broker)), "{at}");
            assert!(p.leader().is_none_or(|leader| p.isr.contains(&leader)), "{at}");
            assert_eq!(p.directories.len(), p.replicas.len(), "{at}");
            if let Some(leader) = p.leader() {
                let broker = image.broker(leader);
                assert!(broker.is_some_and(|b| !b.fenced), "a fenced broker leads: {at}");
                assert!(!cluster.controller.sessions.is_gone(leader), "a broker that is gone leads: {at}");
            }
            if p.isr.len() > 1 {
                let out = |id: &i32| {
                    image.broker(*id).is_none_or(|b| b.fenced) || cluster.controller.sessions.is_gone(*id)
                };
                assert!(!p.isr.iter().any(out), "a fenced or gone broker among others in the ISR: {at}");
            }
            if let Some(old) = before.topics.by_id(&topic.id).and_then(|t| t.partitions.get(id)) {
                check_change(old, p, &at);
            }
        }
    }
}

fn check_change(old: &PartitionRegistration, new: &PartitionRegistration, at: &str) {
    assert!(new.leader_epoch >= old.leader_epoch && new.partition_epoch >= old.partition_epoch, "{at}");
    if new != old {
        assert!(new.partition_epoch > old.partition_epoch, "a change without a new epoch: {at}");
    }
    if new.leader != old.leader {
        assert!(new.leader_epoch > old.leader_epoch, "a new leader in the old epoch: {at}");
        // No election was unclean: the new leader was in sync, or is the last one that was.
        assert!(new.leader().is_none_or(|leader| old.isr.contains(&leader)), "was {old:?}: {at}");
    }
}

fn step(cluster: &mut Cluster, dice: &mut Entropy) -> String {
    let broker = dice.below(BROKERS as usize) as i32 + 1;
    let registered = cluster.controller.image().broker(broker).is_some();
    cluster.now_ms += dice.below(2_000) as i64;
    match dice.below(10) {
        0 => {
            let name = format!("t{}", dice.below(20));
            let wanted = topic(&name, dice.below(4) as i32 + 1, dice.below(3) as i16 + 1);
            cluster.ask(7, CreateTopicsRequest::default().with_topics(vec![wanted]));
            format!("create {name}")
        }
        1 => {
            let incarnation = id(dice.next_u64().into());
            cluster.ask(3, registration(broker).with_incarnation_id(incarnation));
            format!("register {broker}")
        }
        2 if registered => {
            cluster.fence(broker);
            format!("fence {broker}")
        }
        3 if registered => {
            let stop = cluster.heartbeat(broker).with_want_shut_down(true);
            cluster.ask(1, stop);
            format!("stop {broker}")
        }
        4 if registered => {
            let epoch = cluster.epoch(broker);
            let now_ms = cluster.now_ms;
            cluster.controller.broker_gone(broker, epoch, now_ms).unwrap();
            format!("gone {broker}")
        }
        5 => {
            while cluster.tick().is_some() {}
            "tick".into()
        }
        6 | 7 => alter_some_isr(cluster, dice),
        _ if registered => {
            cluster.unfence(broker);
            format!("heartbeat {broker}")
        }
        _ => "nothing".into(),
    }
}

/// A leader asks for any subset of the replicas, as leaders do that are behind the log.
fn alter_some_isr(cluster: &mut Cluster, dice: &mut Entropy) -> String {
    let all: Vec<_> = cluster
        .controller
        .image()
        .topics
        .iter()
        .flat_map(|t| t.partitions.iter().map(|(id, p)| (t.id, *id, Arc::clone(p))))
        .collect();
    if all.is_empty() {
        return "nothing".into();
    }
    let (topic, partition, p) = &all[dice.below(all.len())];
    let mut isr: Vec<i32> = p.replicas.iter().copied().filter(|_| dice.below(3) > 0).collect();
    if !isr.contains(&p.leader) {
        isr.push(p.leader);
    }
    let request = alter_partition::request(cluster, p.leader, *topic, *partition, &isr);
    let outcome = cluster.ask(3, request);
    format!("isr {isr:?} of {partition}: {:?}", error_of(&outcome.response))
}

#[test]
fn partitions_stay_sound_through_any_history() {
    for seed in 0..60 {
        let mut dice = Entropy::new(seed);
        let mut cluster = Cluster::of(BROKERS);
        for at in 0..STEPS {
            let before = cluster.controller.image().clone();
            let what = step(&mut cluster, &mut dice);
            check(&cluster, &before, &format!("seed {seed} step {at} ({what})"));
        }
        assert_eq!(PartitionIndex::of(cluster.controller.image()), cluster.controller.index, "seed {seed}");
    }
}
