//! Where the replicas of new partitions go (Kafka's `StripedReplicaPlacer`).
//!
//! Racks take turns, and within a rack its brokers; fenced brokers come last and never first. After as many
//! partitions as there are unfenced brokers everything is shuffled, so that leaders and followers pair up
//! differently on the next round.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::random::Entropy;

/// A broker that may be given replicas: registered and not about to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsableBroker {
    /// Node id.
    pub id: i32,
    /// Rack, where one is set.
    pub rack: Option<Arc<str>>,
    /// A fenced broker gets replicas only when the others do not suffice.
    pub fenced: bool,
}

/// Why replicas cannot be placed; the texts are Kafka's, and the code is INVALID_REPLICATION_FACTOR.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// Zero or less replicas were asked for.
    #[error("Invalid replication factor {0}: the replication factor must be positive.")]
    NotPositive(i16),
    /// No broker is unfenced.
    #[error("All brokers are currently fenced.")]
    AllFenced,
    /// More replicas than brokers were asked for.
    #[error(
        "The target replication factor of {wanted} cannot be reached because only {registered} broker(s) are registered."
    )]
    TooFewBrokers {
        /// Replicas asked for.
        wanted: i16,
        /// Usable brokers.
        registered: usize,
    },
}

/// Places `partitions` times `replicas` replicas. The first of each list is the preferred leader.
pub fn place(
    brokers: &[UsableBroker],
    partitions: usize,
    replicas: i16,
    entropy: &mut Entropy,
) -> Result<Vec<Vec<i32>>, PlacementError> {
    if replicas <= 0 {
        return Err(PlacementError::NotPositive(replicas));
    }
    let mut racks = Racks::new(brokers, entropy);
    if racks.unfenced == 0 {
        return Err(PlacementError::AllFenced);
    }
    if replicas as usize > brokers.len() {
        return Err(PlacementError::TooFewBrokers { wanted: replicas, registered: brokers.len() });
    }
    Ok((0..partitions).map(|_| racks.place(replicas as usize, entropy)).collect())
}

/// Brokers of one rack in one state. Each partition starts one broker further on.
#[derive(Debug, Default)]
struct Ring {
    brokers: Vec<i32>,
    index: usize,
    offset: usize,
    round: usize,
}

impl Ring {
    fn initialize(&mut self, entropy: &mut Entropy) {
        if !self.brokers.is_empty() {
            self.brokers.sort_unstable();
            self.offset = entropy.below(self.brokers.len());
        }
    }

    fn next(&mut self, round: usize) -> Option<i32> {
        if self.brokers.is_empty() {
            return None;
        }
        if self.round != round {
            self.round = round;
            self.index = 0;
            self.offset = (self.offset + 1) % self.brokers.len();
        }
        if self.index >= self.brokers.len() {
            return None;
        }
        let broker = self.brokers[(self.index + self.offset) % self.brokers.len()];
        self.index += 1;
        Some(broker)
    }
}

#[derive(Debug, Default)]
struct Rack {
    unfenced: Ring,
    fenced: Ring,
}

impl Rack {
    fn next(&mut self, round: usize) -> Option<i32> {
        self.unfenced.next(round).or_else(|| self.fenced.next(round))
    }
}

struct Racks {
    racks: Vec<Rack>,
    unfenced: usize,
    round: usize,
    offset: usize,
}

impl Racks {
    fn new(brokers: &[UsableBroker], entropy: &mut Entropy) -> Self {
        let mut by_name: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for broker in brokers {
            let rack = by_name.entry(broker.rack.as_deref()).or_default();
            let ring = if broker.fenced { &mut rack.fenced } else { &mut rack.unfenced };
            ring.brokers.push(broker.id);
        }
        let mut racks: Vec<Rack> = by_name.into_values().collect();
        for rack in &mut racks {
            rack.fenced.initialize(entropy);
            rack.unfenced.initialize(entropy);
        }
        let offset = if racks.is_empty() { 0 } else { entropy.below(racks.len()) };
        Self { racks, unfenced: brokers.iter().filter(|b| !b.fenced).count(), round: 0, offset }
    }

    /// One partition. The caller has made sure that some broker is unfenced, and that there are enough of them.
    fn place(&mut self, replicas: usize, entropy: &mut Entropy) -> Vec<i32> {
        // With a single unfenced broker a new round would start over forever.
        if self.round == self.unfenced && self.unfenced > 1 {
            self.shuffle(entropy);
            self.round = 0;
        }
        let count = self.racks.len();
        self.offset %= count;
        let mut placed = Vec::with_capacity(replicas);
        let mut first_rack = None;
        for step in 0..count {
            let at = (self.offset + step) % count;
            if let Some(broker) = self.racks[at].unfenced.next(self.round) {
                placed.push(broker);
                first_rack = Some(at);
                break;
            }
        }
        // The leader's rack is passed over once, so that the second replica lands elsewhere.
        let mut at = self.offset;
        while placed.len() < replicas {
            if first_rack == Some(at) {
                first_rack = None;
            } else if let Some(broker) = self.racks[at].next(self.round) {
                placed.push(broker);
            }
            at = (at + 1) % count;
        }
        self.round += 1;
        self.offset += 1;
        placed
    }

    fn shuffle(&mut self, entropy: &mut Entropy) {
        entropy.shuffle(&mut self.racks);
        for rack in &mut self.racks {
            entropy.shuffle(&mut rack.fenced.brokers);
            entropy.shuffle(&mut rack.unfenced.brokers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(text: &str) -> Vec<UsableBroker> {
        text.split_whitespace()
            .map(|word| {
                let (id, rack) = word.split_once('@').map_or((word, None), |(id, rack)| (id, Some(rack)));
                let (id, fenced) = id.strip_suffix('!').map_or((id, false), |id| (id, true));
                UsableBroker { id: id.parse().unwrap(), rack: rack.map(Arc::from), fenced }
            })
            .collect()
    }

    #[test]
    fn impossible_placements_are_refused_in_kafkas_words() {
        let table: String = [("1 2", 0), ("1! 2!", 1), ("", 1), ("1 2", 3)]
            .iter()
            .map(|(b, n)| {
                format!("[{b}] x{n}: {}\n", place(&brokers(b), 1, *n, &mut Entropy::new(1)).unwrap_err())
            })
            .collect();
        insta::assert_snapshot!(table, @r"
        [1 2] x0: Invalid replication factor 0: the replication factor must be positive.
        [1! 2!] x1: All brokers are currently fenced.
        [] x1: All brokers are currently fenced.
        [1 2] x3: The target replication factor of 3 cannot be reached because only 2 broker(s) are registered.
        ");
    }

    /// Each partition has distinct replicas, an unfenced leader, and as many racks as it can have.
    #[test]
    fn replicas_are_distinct_spread_over_racks_and_led_by_unfenced_brokers() {
        for (cluster, replicas, racks) in [
            ("1 2 3", 3, 1),
            ("1 2 3 4 5", 3, 1),
            ("1@a 2@a 3@b 4@b 5@c 6@c", 3, 3),
            ("1@a 2@a 3@b 4@b", 2, 2),
            ("1@a 2! 3@b 4!@b", 4, 3),
            ("1 2!", 2, 1),
        ] {
            let brokers = brokers(cluster);
            for seed in 0..200 {
                for placed in place(&brokers, 17, replicas, &mut Entropy::new(seed)).unwrap() {
                    let context = format!("[{cluster}] seed {seed}: {placed:?}");
                    let found: Vec<&UsableBroker> =
                        placed.iter().map(|id| brokers.iter().find(|b| b.id == *id).unwrap()).collect();
                    let distinct: std::collections::BTreeSet<i32> = placed.iter().copied().collect();
                    assert_eq!(distinct.len(), replicas as usize, "{context}");
                    assert!(!found[0].fenced, "{context}");
                    let seen: std::collections::BTreeSet<_> = found.iter().map(|b| b.rack.clone()).collect();
                    assert_eq!(seen.len(), racks, "{context}");
                }
            }
        }
    }

    /// Six partitions on three brokers: every broker leads twice, and followers change after a round.
    #[test]
    fn leaders_are_spread_evenly() {
        for seed in 0..200 {
            let placed = place(&brokers("1 2 3"), 6, 3, &mut Entropy::new(seed)).unwrap();
            for id in 1..=3 {
                assert_eq!(placed.iter().filter(|p| p[0] == id).count(), 2, "seed {seed}: {placed:?}");
            }
        }
    }
}
