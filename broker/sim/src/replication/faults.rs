//! What goes wrong: links that are cut, for minutes in Kafka's time, in one direction or both; brokers that crash, stop
//! or stand still; followers that fall behind; leaders that are moved.
//!
//! A crash may lose unsynced records only of a broker that the controller has taken out of the ISR before it is back:
//! Kafka promises no more than that without fsync. The last member of an ISR keeps all it has.

use super::{BROKERS, CONTROLLER, Event, Node, Pace, Simulation};
use jackdaw_replication::Replica;

/// How long the links of a split stay cut: mostly too short for anyone to be missed, now and then longer than a
/// session, and than the lag time.
const SHORT_CUT_MS: (i64, i64) = (50, 1_000);
const LONG_CUT_MS: (i64, i64) = (1_500, 8_000);

/// A link, from whom to whom.
pub(super) type Link = (usize, usize);

impl Simulation {
    pub(super) fn fault(&mut self) {
        if !self.faulty() {
            return;
        }
        let pause_ms = self.rng.between(100, 2_500);
        self.events.after(pause_ms, Event::Fault);
        let node = self.rng.below(BROKERS.len() as u64) as usize;
        match self.rng.below(100) {
            0..25 if self.nodes[node].up => self.crash(node),
            25..32 if self.nodes[node].up => self.nodes[node].leaving = true,
            32..64 => self.cut(node),
            64..76 => {
                let until_ms = self.events.now_ms() + self.rng.between(200, 6_000);
                self.nodes[node].stalled_until_ms = until_ms;
            }
            76..88 => {
                let pace =
                    Pace { records: self.rng.between(1, 12) as usize, pause_ms: self.rng.between(200, 900) };
                let is_slow = self.nodes[node].slow.is_some();
                self.nodes[node].slow = (!is_slow).then_some(pace);
            }
            88..100 => self.move_leader(),
            _ => {}
        }
    }

    /// Another leads for a while, or for good; now and then before the former leader hears of it.
    fn move_leader(&mut self) {
        let (now_ms, before) = (self.events.now_ms(), self.cluster.partition().clone());
        let replicas = self.shuffled();
        self.cluster.prefer(now_ms, &replicas);
        if self.rng.chance(50) {
            return;
        }
        let back_ms = self.rng.between(50, 3_000);
        let first = |id: &i32| i64::from(*id != before.leader);
        let mut replicas = before.replicas;
        replicas.sort_by_key(first);
        self.events.after(back_ms, Event::Prefer { replicas });
        if let Some(leader) = BROKERS.iter().position(|id| *id == before.leader) {
            let until_ms = now_ms + back_ms + self.rng.between(-300, 300);
            self.nodes[leader].stalled_until_ms = until_ms;
        }
    }

    fn shuffled(&mut self) -> Vec<i32> {
        let mut replicas = BROKERS.to_vec();
        for at in (1..replicas.len()).rev() {
            let other = self.rng.below(at as u64 + 1) as usize;
            replicas.swap(at, other);
        }
        replicas
    }

    /// Cuts off one link, one direction of it, one node, or the controller and a broker from the others.
    fn cut(&mut self, node: usize) {
        let all = BROKERS.len() + 1;
        let other = (node + 1 + self.rng.below(all as u64 - 1) as usize) % all;
        let across = |side: &[usize]| -> Vec<Link> {
            let crosses = |(from, to): &Link| side.contains(from) != side.contains(to);
            (0..all).flat_map(|from| (0..all).map(move |to| (from, to))).filter(crosses).collect()
        };
        let links = match self.rng.below(4) {
            0 => vec![(node, other), (other, node)],
            1 => vec![(other, node)],
            2 => across(&[node]),
            _ => across(&[node, CONTROLLER]),
        };
        let (least, most) = if self.rng.chance(50) { SHORT_CUT_MS } else { LONG_CUT_MS };
        let lasts_ms = self.rng.between(least, most);
        for (from, to) in &links {
            self.cuts[*from][*to] += 1;
        }
        self.events.after(lasts_ms, Event::Heal { links });
    }

    pub(super) fn heal(&mut self, links: &[Link]) {
        for (from, to) in links {
            self.cuts[*from][*to] -= 1;
        }
    }

    pub(super) fn is_open(&self, from: usize, to: usize) -> bool {
        !self.faulty() || self.cuts[from][to] == 0
    }

    fn crash(&mut self, node: usize) {
        self.outcome.crashes += 1;
        self.nodes[node].loses_power = self.rng.chance(50);
        let checkpoints = self.rng.chance(50);
        self.leave_fetch(node);
        self.go_down(node, checkpoints);
    }

    /// The broker lives on without its replica, until it is started again with a directory that works.
    pub(super) fn fail_directory(&mut self, node: usize) {
        let state = &self.nodes[node];
        if !self.cluster.has_directories() || !state.up || state.directory_failed {
            return;
        }
        self.outcome.failed_directories += 1;
        self.leave_fetch(node);
        let state = &mut self.nodes[node];
        state.directory_failed = true;
        state.waiting.clear();
        state.asking = None;
        state.replica.go_offline();
        let life = state.life;
        let after_ms = self.rng.between(500, 8_000);
        self.events.after(after_ms, Event::Repair { node, life });
    }

    /// The last fetch may wait at the leader, and be told again there, for longer than it takes the broker to come back.
    fn leave_fetch(&mut self, node: usize) {
        let state = &self.nodes[node];
        let asked = state.replica.as_follower().and_then(|f| f.next_fetch().map(|n| (f.leader(), n)));
        let Some((leader, fetch)) = asked else { return };
        let Some(to) = BROKERS.iter().position(|id| *id == leader) else { return };
        let (life, broker_epoch) = (state.life, state.broker_epoch);
        for _ in 0..4 {
            let delay_ms = self.rng.between(10, 6_000);
            let last = Event::Fetch { from: node, to, life, id: 0, broker_epoch, state: fetch };
            self.events.after(delay_ms, last);
        }
    }

    /// The end of a controlled shutdown.
    pub(super) fn stop(&mut self, node: usize) {
        self.outcome.shutdowns += 1;
        self.nodes[node].log.sync();
        self.nodes[node].loses_power = false;
        self.go_down(node, true);
    }

    pub(super) fn go_down(&mut self, node: usize, checkpoints: bool) {
        let state = &mut self.nodes[node];
        (state.up, state.serves) = (false, false);
        state.leaving = false;
        state.life += 1;
        state.waiting.clear();
        state.asking = None;
        if checkpoints {
            state.checkpointed_hw = state.replica.high_watermark();
        }
        state.replica.go_offline();
        let life = state.life;
        let after_ms = self.rng.between(10, 4_000);
        self.events.after(after_ms, Event::Restart { node, life });
    }

    /// Registers a new incarnation. Its first image is no older than the last of its former life, for the metadata log
    /// is on its disk; it may well be older than its registration.
    pub(super) fn restart(&mut self, node: usize) {
        let (id, life, now_ms) = (BROKERS[node], self.nodes[node].life, self.events.now_ms());
        let is_reachable = self.is_open(node, CONTROLLER) && self.is_open(CONTROLLER, node);
        let registered = if is_reachable { self.cluster.register(now_ms, id, life) } else { None };
        let Some(broker_epoch) = registered else {
            let again_ms = self.rng.between(50, 300);
            self.events.after(again_ms, Event::Restart { node, life });
            return;
        };
        self.lose_unsynced(node);
        let last = self.cluster.images().len() - 1;
        let known = self.nodes[node].applied.unwrap_or(last);
        let version = self.rng.between(known as i64, last as i64) as usize;
        let state = &mut self.nodes[node];
        let high_watermark = state.checkpointed_hw.min(state.log.end());
        *state = Node {
            up: true,
            serves: false,
            life,
            broker_epoch,
            log: std::mem::take(&mut state.log),
            checkpointed_hw: state.checkpointed_hw,
            highest_hw: high_watermark,
            slow: state.slow,
            replica: Replica::new(id, high_watermark, super::MIN_INSYNC, super::LAG_MS),
            ..Node::new(id)
        };
        self.events.after(1, Event::Image { node, life, version });
    }

    fn lose_unsynced(&mut self, node: usize) {
        let is_member = self.cluster.partition().isr.contains(&BROKERS[node]);
        let log = &mut self.nodes[node].log;
        let (synced, end) = (log.synced as i64, log.end());
        if !self.nodes[node].loses_power || is_member || synced == end {
            return;
        }
        let kept = self.rng.between(synced, end - 1);
        self.outcome.lossy_crashes += 1;
        self.nodes[node].log.truncate(kept);
    }
}
