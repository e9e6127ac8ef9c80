//! The next step of one member towards its part of the target (`CurrentAssignmentBuilder`): it gives up before it gets,
//! and gets only what nobody has.

use std::collections::BTreeSet;

use jackdaw_wire::Uuid;

use super::{Current, MemberState, Partitions};

/// The member is in a state that is not known here, and must begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownState;

/// What a member is to come to.
pub(crate) struct Goal<'a> {
    pub epoch: i32,
    pub target: &'a Partitions,
    /// What the member says it owns; none where it did not say.
    pub owned: Option<&'a Partitions>,
    /// Whether some member has the partition, this one included.
    pub is_taken: &'a dyn Fn(&Uuid, i32) -> bool,
}

/// Where the member goes from here; the same again where it must wait.
pub(crate) fn next(current: &Current, goal: &Goal<'_>) -> Result<Current, UnknownState> {
    match current.state {
        MemberState::Stable if current.epoch == goal.epoch => Ok(current.clone()),
        MemberState::Stable | MemberState::Unreleased => Ok(step(current, current.epoch, goal)),
        MemberState::Unrevoked if goal.still_owns(&current.revoking) => Ok(current.clone()),
        MemberState::Unrevoked => Ok(step(current, current.epoch.saturating_add(1), goal)),
        MemberState::Unknown if goal.owned.is_some_and(Partitions::is_empty) => {
            Ok(step(current, goal.epoch, goal))
        }
        MemberState::Unknown => Err(UnknownState),
    }
}

impl Goal<'_> {
    /// Whether the member has any of these, or may have, as it did not say.
    fn still_owns(&self, partitions: &Partitions) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|(topic, owned)| {
            partitions.get(topic).is_some_and(|partitions| !partitions.is_disjoint(owned))
        })
    }
}

fn step(current: &Current, epoch: i32, goal: &Goal<'_>) -> Current {
    let (mut kept, mut revoked, mut added) = (Partitions::new(), Partitions::new(), Partitions::new());
    let mut waits = false;
    let none = BTreeSet::new();
    let topics: BTreeSet<&Uuid> = goal.target.keys().chain(current.assigned.keys()).collect();
    for topic in topics {
        let target = goal.target.get(topic).unwrap_or(&none);
        let had = current.assigned.get(topic).unwrap_or(&none);
        put(&mut kept, topic, had.intersection(target).copied().collect());
        put(&mut revoked, topic, had.difference(target).copied().collect());
        let (taken, free): (BTreeSet<i32>, BTreeSet<i32>) =
            target.difference(had).copied().partition(|partition| (goal.is_taken)(topic, *partition));
        waits |= !taken.is_empty();
        put(&mut added, topic, free);
    }
    if !revoked.is_empty() && goal.still_owns(&revoked) {
        let state = MemberState::Unrevoked;
        return Current { epoch, previous_epoch: current.epoch, state, assigned: kept, revoking: revoked };
    }
    for (topic, partitions) in added {
        kept.entry(topic).or_default().extend(partitions);
    }
    Current {
        epoch: goal.epoch,
        previous_epoch: current.epoch,
        state: if waits { MemberState::Unreleased } else { MemberState::Stable },
        assigned: kept,
        revoking: Partitions::new(),
    }
}

fn put(all: &mut Partitions, topic: &Uuid, partitions: BTreeSet<i32>) {
    if !partitions.is_empty() {
        all.insert(*topic, partitions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(indexes: &[i32]) -> Partitions {
        let mut all = Partitions::new();
        put(&mut all, &Uuid::from_u128(1), indexes.iter().copied().collect());
        all
    }

    fn told(current: &Current) -> String {
        let list = |all: &Partitions| format!("{:?}", all.values().flatten().collect::<Vec<_>>());
        let Current { epoch, previous_epoch, state, assigned, revoking } = current;
        format!("{epoch} after {previous_epoch} {state:?} has {} gives up {}", list(assigned), list(revoking))
    }

    /// One line a case: where the member is, what it is to have in epoch 12, what it says it owns, what others have.
    #[test]
    fn a_member_gives_up_before_it_gets_and_gets_what_nobody_has() {
        use MemberState::*;
        type Case<'a> =
            (i32, MemberState, &'a [i32], &'a [i32], &'a [i32], Option<&'a [i32]>, &'a [i32], &'a str);
        let cases: &[Case<'_>] = &[
            (12, Stable, &[1], &[], &[1], None, &[], "12 after 11 Stable has [1] gives up []"),
            (11, Stable, &[1, 2], &[], &[1, 2], None, &[], "12 after 11 Stable has [1, 2] gives up []"),
            (11, Stable, &[1], &[], &[1, 2], None, &[], "12 after 11 Stable has [1, 2] gives up []"),
            (11, Stable, &[1], &[], &[1, 2, 3], None, &[2], "12 after 11 Unreleased has [1, 3] gives up []"),
            (11, Stable, &[1], &[], &[1, 2], None, &[2], "12 after 11 Unreleased has [1] gives up []"),
            (11, Stable, &[1, 2], &[], &[2, 3], None, &[], "11 after 11 Unrevoked has [2] gives up [1]"),
            // It gave up before it was told to.
            (11, Stable, &[1, 2], &[], &[2, 3], Some(&[2]), &[], "12 after 11 Stable has [2, 3] gives up []"),
            (11, Unrevoked, &[2], &[1], &[2, 3], None, &[], "11 after 10 Unrevoked has [2] gives up [1]"),
            (
                11,
                Unrevoked,
                &[2],
                &[1],
                &[2, 3],
                Some(&[1, 2]),
                &[],
                "11 after 10 Unrevoked has [2] gives up [1]",
            ),
            (
                11,
                Unrevoked,
                &[2],
                &[1],
                &[2, 3],
                Some(&[2]),
                &[],
                "12 after 11 Stable has [2, 3] gives up []",
            ),
            // The target moved on meanwhile: more to give up.
            (
                10,
                Unrevoked,
                &[2, 3],
                &[1],
                &[3],
                Some(&[2, 3]),
                &[],
                "11 after 10 Unrevoked has [3] gives up [2]",
            ),
            (11, Unreleased, &[2], &[], &[2, 3], None, &[3], "12 after 11 Unreleased has [2] gives up []"),
            (12, Unreleased, &[2], &[], &[2, 3], None, &[], "12 after 12 Stable has [2, 3] gives up []"),
            (11, Unknown, &[2], &[], &[2, 3], Some(&[]), &[2], "12 after 11 Stable has [2, 3] gives up []"),
        ];
        for (epoch, state, assigned, revoking, target, owned, taken, expected) in cases {
            let current = Current {
                epoch: *epoch,
                previous_epoch: epoch - 1,
                state: *state,
                assigned: partitions(assigned),
                revoking: partitions(revoking),
            };
            let owned = owned.map(partitions);
            let is_taken = |_: &Uuid, partition: i32| taken.contains(&partition);
            let target = partitions(target);
            let goal = Goal { epoch: 12, target: &target, owned: owned.as_ref(), is_taken: &is_taken };
            assert_eq!(told(&next(&current, &goal).unwrap()), *expected, "{current:?}");
        }
        let unknown = Current { state: Unknown, ..Current::default() };
        let goal = Goal { epoch: 12, target: &partitions(&[1]), owned: None, is_taken: &|_, _| false };
        assert_eq!(next(&unknown, &goal), Err(UnknownState));
    }
}
