//! Broker sessions as the active controller sees them (Kafka's `BrokerHeartbeatManager`).
//!
//! They are soft state: a new active controller starts every session afresh.

use std::collections::BTreeMap;

/// What the controller makes of a broker (`BrokerControlState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerState {
    /// Leads nothing, is in no ISR.
    Fenced,
    /// Does its work.
    Unfenced,
    /// Moves its leaders away, to stop afterwards.
    ControlledShutdown,
    /// May stop at once.
    ShutdownNow,
}

impl BrokerState {
    /// Whether a broker in this state is fenced.
    pub fn is_fenced(self) -> bool {
        matches!(self, Self::Fenced | Self::ShutdownNow)
    }
}

/// What a heartbeat says, apart from who sends it.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// The offset that the broker has applied.
    pub metadata_offset: i64,
    /// It wants to be, or to stay, fenced.
    pub want_fence: bool,
    /// It wants to stop.
    pub want_shutdown: bool,
}

#[derive(Debug, Clone)]
struct Session {
    last_contact_ms: i64,
    metadata_offset: i64,
    controlled_shutdown_offset: Option<i64>,
    fenced: bool,
    gone: bool,
}

/// All sessions. Brokers are few, so that every question is answered by looking at each.
#[derive(Debug)]
pub struct Sessions {
    timeout_ms: i64,
    brokers: BTreeMap<i32, Session>,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(timeout_ms: i64) -> Self {
        Self { timeout_ms, brokers: BTreeMap::new() }
    }

    /// A registration, or a change of its fencing, was written. Starts the session's time anew. Unlike Kafka's, it
    /// keeps the offset that the broker reported: forgetting it makes a neighbour's shutdown wait for a heartbeat.
    pub fn register(&mut self, broker: i32, fenced: bool, now_ms: i64) {
        let metadata_offset = self.brokers.get(&broker).map_or(-1, |session| session.metadata_offset);
        self.touch(broker, fenced, metadata_offset, now_ms);
    }

    /// A heartbeat arrived.
    pub fn touch(&mut self, broker: i32, fenced: bool, metadata_offset: i64, now_ms: i64) {
        let session = self.brokers.entry(broker).or_insert(Session {
            last_contact_ms: now_ms,
            metadata_offset: -1,
            controlled_shutdown_offset: None,
            fenced: true,
            gone: false,
        });
        session.last_contact_ms = now_ms;
        session.gone = false;
        session.metadata_offset = metadata_offset;
        session.fenced = fenced;
        if fenced {
            session.controlled_shutdown_offset = None;
        }
    }

    /// The broker's process is known to be gone, until it is heard of again. Its session goes on to its end.
    pub fn mark_gone(&mut self, broker: i32) {
        if let Some(session) = self.brokers.get_mut(&broker) {
            session.gone = true;
        }
    }

    /// Whether the broker's process is known to be gone.
    pub fn is_gone(&self, broker: i32) -> bool {
        self.brokers.get(&broker).is_some_and(|session| session.gone)
    }

    /// Forgets a broker.
    pub fn remove(&mut self, broker: i32) {
        self.brokers.remove(&broker);
    }

    /// Whether an unfenced broker was heard of within the session timeout, and is not known to be gone. A fenced one
    /// has no session.
    pub fn has_valid_session(&self, broker: i32, now_ms: i64) -> bool {
        let is_valid = |s: &Session| !s.fenced && !s.gone && s.last_contact_ms + self.timeout_ms >= now_ms;
        self.brokers.get(&broker).is_some_and(is_valid)
    }

    /// The unfenced broker that was silent for longest, if that is longer than the session timeout.
    pub fn stale_broker(&self, now_ms: i64) -> Option<i32> {
        let (id, session) = self.oldest()?;
        (session.last_contact_ms + self.timeout_ms < now_ms).then_some(id)
    }

    /// When the next session can time out.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        // A session lives through its last millisecond.
        self.oldest().map(|(_, session)| session.last_contact_ms + self.timeout_ms + 1)
    }

    fn oldest(&self) -> Option<(i32, &Session)> {
        let unfenced = self.brokers.iter().filter(|(_, s)| !s.fenced);
        unfenced.min_by_key(|(_, s)| s.last_contact_ms).map(|(id, s)| (*id, s))
    }

    /// Whether the broker is moving its leaders away.
    pub fn is_shutting_down(&self, broker: i32) -> bool {
        self.brokers.get(&broker).is_some_and(|s| s.controlled_shutdown_offset.is_some())
    }

    /// Every active broker must have applied this offset before the shutdown is granted; the first one counts.
    pub fn begin_controlled_shutdown(&mut self, broker: i32, offset: i64) {
        if let Some(session) = self.brokers.get_mut(&broker) {
            session.controlled_shutdown_offset.get_or_insert(offset);
        }
    }

    /// Brokers that placement may use: all that are not stopping, each with whether it is fenced. One that is gone is
    /// as good as fenced.
    pub fn usable(&self) -> impl Iterator<Item = (i32, bool)> {
        self.brokers
            .iter()
            .filter(|(_, s)| s.controlled_shutdown_offset.is_none())
            .map(|(id, s)| (*id, s.fenced || s.gone))
    }

    /// The state now, and the one that the heartbeat leads to. `leads` tells whether the broker leads anything.
    pub fn next_state(
        &self,
        broker: i32,
        heartbeat: Heartbeat,
        registration_offset: i64,
        leads: bool,
    ) -> (BrokerState, BrokerState) {
        let session = self.brokers.get(&broker);
        let stopping = session.and_then(|s| s.controlled_shutdown_offset);
        let current = match session {
            _ if stopping.is_some() => BrokerState::ControlledShutdown,
            Some(session) if !session.fenced => BrokerState::Unfenced,
            _ => BrokerState::Fenced,
        };
        let Heartbeat { metadata_offset, want_fence, want_shutdown } = heartbeat;
        let next = match current {
            BrokerState::Fenced if want_shutdown => BrokerState::ShutdownNow,
            BrokerState::Fenced if !want_fence && metadata_offset >= registration_offset => {
                BrokerState::Unfenced
            }
            BrokerState::Fenced => BrokerState::Fenced,
            BrokerState::Unfenced => match (want_fence, want_shutdown) {
                (true, true) => BrokerState::ShutdownNow,
                (true, false) => BrokerState::Fenced,
                (false, true) if leads => BrokerState::ControlledShutdown,
                (false, true) => BrokerState::ShutdownNow,
                (false, false) => BrokerState::Unfenced,
            },
            BrokerState::ControlledShutdown if leads || stopping > Some(self.lowest_active_offset()) => {
                BrokerState::ControlledShutdown
            }
            BrokerState::ControlledShutdown | BrokerState::ShutdownNow => BrokerState::ShutdownNow,
        };
        (current, next)
    }

    fn lowest_active_offset(&self) -> i64 {
        // One that is gone reads nothing any more: nobody waits for it.
        let is_active = |s: &&Session| !s.fenced && !s.gone && s.controlled_shutdown_offset.is_none();
        self.brokers.values().filter(is_active).map(|s| s.metadata_offset).min().unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BrokerState::{ControlledShutdown, Fenced, ShutdownNow, Unfenced};

    fn beat(metadata_offset: i64, want_fence: bool, want_shutdown: bool) -> Heartbeat {
        Heartbeat { metadata_offset, want_fence, want_shutdown }
    }

    #[test]
    fn a_broker_moves_through_its_states_as_its_heartbeats_ask() {
        let mut sessions = Sessions::new(9_000);
        sessions.register(1, true, 0);
        sessions.register(2, false, 0);
        for (broker, heartbeat, leads, expected) in [
            (1, beat(9, true, false), false, (Fenced, Fenced)),
            (1, beat(9, false, false), false, (Fenced, Fenced)),
            (1, beat(10, false, false), false, (Fenced, Unfenced)),
            (1, beat(10, false, true), false, (Fenced, ShutdownNow)),
            (2, beat(10, false, false), true, (Unfenced, Unfenced)),
            (2, beat(10, true, false), true, (Unfenced, Fenced)),
            (2, beat(10, false, true), true, (Unfenced, ControlledShutdown)),
            (2, beat(10, false, true), false, (Unfenced, ShutdownNow)),
            (2, beat(10, true, true), true, (Unfenced, ShutdownNow)),
        ] {
            assert_eq!(sessions.next_state(broker, heartbeat, 10, leads), expected, "{broker} {heartbeat:?}");
        }
    }

    /// Whoever still believes in the old leaders would send clients to a broker that is gone.
    #[test]
    fn a_shutdown_waits_until_every_active_broker_knows_the_new_leaders() {
        let mut sessions = Sessions::new(9_000);
        for broker in [1, 2, 3] {
            sessions.register(broker, false, 0);
        }
        sessions.begin_controlled_shutdown(1, 50);
        sessions.begin_controlled_shutdown(1, 70);
        for (offsets, leads, expected) in [
            ((49, 80), false, ControlledShutdown),
            ((50, 80), true, ControlledShutdown),
            ((50, 80), false, ShutdownNow),
        ] {
            sessions.touch(2, false, offsets.0, 5);
            sessions.touch(3, false, offsets.1, 5);
            assert_eq!(sessions.next_state(1, beat(0, false, true), 10, leads).1, expected, "{offsets:?}");
        }
        sessions.touch(1, true, 60, 6);
        assert!(!sessions.is_shutting_down(1), "a fenced broker has left its shutdown");
    }

    /// It stays unfenced, and so listed, for as long as Kafka would list it; for everything else it is out.
    #[test]
    fn who_is_gone_keeps_the_time_of_its_session_and_nothing_else() {
        let mut sessions = Sessions::new(9_000);
        for broker in [1, 2, 3] {
            sessions.register(broker, false, 100);
            sessions.touch(broker, false, 60, 100);
        }
        sessions.touch(1, false, 40, 200);
        sessions.begin_controlled_shutdown(2, 50);
        assert_eq!(sessions.next_state(2, beat(60, false, true), 10, false).1, ControlledShutdown);
        sessions.mark_gone(1);
        assert_eq!(
            sessions.next_state(2, beat(60, false, true), 10, false).1,
            ShutdownNow,
            "waits for nobody"
        );
        assert_eq!(sessions.usable().collect::<Vec<_>>(), [(1, true), (3, false)]);
        assert!(!sessions.has_valid_session(1, 201), "another may register at once");
        sessions.touch(2, true, 60, 9_000);
        sessions.touch(3, false, 60, 9_000);
        assert_eq!((sessions.stale_broker(9_200), sessions.stale_broker(9_201)), (None, Some(1)));
        sessions.touch(1, false, 60, 9_201);
        assert!(!sessions.is_gone(1) && sessions.has_valid_session(1, 9_202), "it was heard of");
    }

    #[test]
    fn sessions_time_out_oldest_first_and_only_for_unfenced_brokers() {
        let mut sessions = Sessions::new(9_000);
        sessions.register(1, true, 0);
        assert_eq!(sessions.next_deadline_ms(), None);
        sessions.register(2, false, 100);
        sessions.register(3, false, 50);
        assert_eq!(sessions.next_deadline_ms(), Some(9_051));
        assert_eq!(sessions.stale_broker(9_050), None);
        assert_eq!(sessions.stale_broker(9_051), Some(3));
        assert!(sessions.has_valid_session(3, 9_050) && !sessions.has_valid_session(3, 9_051));
        assert!(!sessions.has_valid_session(1, 1), "a fenced broker has no session");
    }
}
