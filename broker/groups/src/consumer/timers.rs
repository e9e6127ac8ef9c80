//! Until when members of one group are waited for. A timer outlives nothing: whoever it is for may be gone when it
//! is due.

use std::collections::BTreeMap;

use jackdaw_wire::StrBytes;

/// What a step does to timers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TimerChange {
    /// The member was heard of, and is to be heard of again within so many ms.
    Session(StrBytes, i64),
    /// It is to have given up what it was told to while it is in this epoch; or has.
    Rebalance(StrBytes, Option<(i64, i32)>),
    /// A classic member is to join again, unless it was told before.
    JoinIfAbsent(StrBytes, i64),
    Joined(StrBytes),
    /// A classic member is to ask for its assignment.
    Sync(StrBytes, i64),
    Synced(StrBytes),
    Forget(StrBytes),
}

#[derive(Debug, Clone, Default)]
struct OfMember {
    session_ms: Option<i64>,
    rebalance: Option<(i64, i32)>,
    join_ms: Option<i64>,
    sync_ms: Option<i64>,
}

impl OfMember {
    fn next(&self) -> Option<i64> {
        let rebalance = self.rebalance.map(|(due_ms, _)| due_ms);
        self.session_ms.into_iter().chain(rebalance).chain(self.join_ms).chain(self.sync_ms).min()
    }
}

/// A timer that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    Session,
    /// Unless the member left this epoch.
    Rebalance {
        epoch: i32,
    },
    Join,
    Sync,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Timers(BTreeMap<StrBytes, OfMember>);

impl Timers {
    pub fn change(&mut self, change: TimerChange, steady_ms: i64) {
        let due = |after_ms: i64| steady_ms.saturating_add(after_ms.max(0));
        match change {
            TimerChange::Session(id, after_ms) => self.of(id).session_ms = Some(due(after_ms)),
            TimerChange::Rebalance(id, timer) => {
                self.of(id).rebalance = timer.map(|(after_ms, epoch)| (due(after_ms), epoch));
            }
            TimerChange::JoinIfAbsent(id, after_ms) => {
                self.of(id).join_ms.get_or_insert(due(after_ms));
            }
            TimerChange::Joined(id) => self.of(id).join_ms = None,
            TimerChange::Sync(id, after_ms) => self.of(id).sync_ms = Some(due(after_ms)),
            TimerChange::Synced(id) => self.of(id).sync_ms = None,
            TimerChange::Forget(id) => drop(self.0.remove(&id)),
        }
    }

    fn of(&mut self, id: StrBytes) -> &mut OfMember {
        self.0.entry(id).or_default()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn next(&self) -> Option<i64> {
        self.0.values().filter_map(OfMember::next).min()
    }

    /// Takes what is due, the earliest kind of each member first.
    pub fn take_due(&mut self, steady_ms: i64) -> Vec<(StrBytes, Due)> {
        let is_due = |due_ms: &mut i64| *due_ms <= steady_ms;
        let mut all = Vec::new();
        for (id, timers) in &mut self.0 {
            let session = timers.session_ms.take_if(is_due).map(|_| Due::Session);
            let rebalance = timers.rebalance.take_if(|(due_ms, _)| is_due(due_ms));
            let rebalance = rebalance.map(|(_, epoch)| Due::Rebalance { epoch });
            let join = timers.join_ms.take_if(is_due).map(|_| Due::Join);
            let sync = timers.sync_ms.take_if(is_due).map(|_| Due::Sync);
            let due = session.into_iter().chain(rebalance).chain(join).chain(sync);
            all.extend(due.map(|due| (id.clone(), due)));
        }
        self.0.retain(|_, timers| timers.next().is_some());
        all
    }
}
