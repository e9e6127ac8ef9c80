//! The leader's rules as tables: one input a row, and what is true after it.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jackdaw_replication::{
    AlterOutcome, BrokerView, CommittedIsr, Effects, FollowerFetch, Proposal, Registration, Replica,
};
use jackdaw_wire::ErrorCode;

const LAG_MS: i64 = 30_000;

/// Broker 1's replica of a partition on brokers 1, 2 and 3, with broker epochs 101, 102 and 103.
struct Table {
    replica: Replica,
    brokers: BTreeMap<i32, BrokerView>,
    now_ms: i64,
    log_end: i64,
    /// How far a new leader's log is flushed, where it owes a flush.
    durable_end: Option<i64>,
    sent: Option<Proposal>,
}

impl Table {
    fn new(min_insync: usize) -> Self {
        let view = |id: i32| BrokerView { epoch: 100 + i64::from(id), fenced: false, shutting_down: false };
        Self {
            replica: Replica::new(1, 0, min_insync, LAG_MS),
            brokers: (1..=3).map(|id| (id, view(id))).collect(),
            now_ms: 100_000,
            log_end: 0,
            durable_end: None,
            sent: None,
        }
    }

    fn step(&mut self, input: &str) -> String {
        let words: Vec<&str> = input.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|w| w.parse::<i64>().ok());
        let ids = |text: &str| text.split(',').map(|id| id.parse().unwrap()).collect::<Vec<i32>>();
        let note = match words[0] {
            "lead" => self.lead(number(1).unwrap(), number(2).unwrap(), ids(words[3])),
            "found" => {
                (self.log_end, self.durable_end) = (number(1).unwrap(), number(2));
                String::new()
            }
            "append" => self.append(number(1).unwrap(), number(2)),
            "flush" => {
                let effects = self.leader(|l, now, b| l.flushed(words[1].parse().unwrap(), now, b));
                self.effects(effects)
            }
            "fetch" => self.fetch(words[1].parse().unwrap(), number(2).unwrap(), number(3)),
            "check" => {
                let effects = self.leader(|l, now, _| l.check_isr(now));
                self.effects(effects)
            }
            "wait" => {
                self.now_ms += number(1).unwrap();
                String::new()
            }
            "still" => {
                let (broker, now_ms) = (words[1].parse().unwrap(), self.now_ms);
                self.replica.as_leader_mut().unwrap().still_caught_up(broker, now_ms);
                String::new()
            }
            "lost" => {
                self.replica.as_leader_mut().unwrap().must_fetch_again(words[1].parse().unwrap());
                String::new()
            }
            "broker" => self.broker(words[1].parse().unwrap(), words[2]),
            "commit" => self.answer(Ok((number(1).unwrap(), ids(words[2])))),
            "refuse" => self.answer(Err(match words[1] {
                "ineligible" => ErrorCode::IneligibleReplica,
                "version" => ErrorCode::InvalidUpdateVersion,
                "timeout" => ErrorCode::RequestTimedOut,
                other => panic!("{other}"),
            })),
            "write" => match self.replica.check_append(words[1] == "all") {
                Ok(_) => "ok".to_owned(),
                Err(refusal) => refusal.to_string(),
            },
            "acked" => format!("{:?}", self.replica.as_leader().unwrap().acknowledged(number(1).unwrap())),
            other => panic!("unknown input {other}"),
        };
        self.replica.validate();
        note
    }

    fn leader<T>(
        &mut self,
        act: impl FnOnce(&mut jackdaw_replication::LeaderState, i64, &BTreeMap<i32, BrokerView>) -> T,
    ) -> T {
        act(self.replica.as_leader_mut().unwrap(), self.now_ms, &self.brokers)
    }

    fn lead(&mut self, leader_epoch: i64, partition_epoch: i64, isr: Vec<i32>) -> String {
        let registration = Registration {
            replicas: vec![1, 2, 3],
            isr,
            leader: 1,
            leader_epoch: leader_epoch as i32,
            partition_epoch: partition_epoch as i32,
            adding: Vec::new(),
        };
        let (end, durable_end) = (self.log_end, self.durable_end.unwrap_or(self.log_end));
        let became = self.replica.become_leader(&registration, end, durable_end, self.now_ms, &self.brokers);
        if became.skipped {
            return "skipped".to_owned();
        }
        let start = became.new_epoch.map(|(epoch, start)| format!("epoch {epoch} from {start}"));
        start.unwrap_or_default() + &self.effects(became.effects)
    }

    fn append(&mut self, log_end: i64, durable: Option<i64>) -> String {
        self.log_end = log_end;
        let effects = self.leader(|l, now, b| l.appended(log_end, durable.unwrap_or(log_end), now, b));
        self.effects(effects)
    }

    fn fetch(&mut self, broker: i32, offset: i64, epoch: Option<i64>) -> String {
        let fetch = FollowerFetch {
            broker,
            broker_epoch: epoch.unwrap_or(100 + i64::from(broker)),
            offset,
            log_start: 0,
            leader_end: self.log_end,
            now_ms: self.now_ms,
        };
        match self.leader(|l, _, b| l.follower_fetched(&fetch, b)) {
            Ok(effects) => self.effects(effects),
            Err(refusal) => refusal.to_string(),
        }
    }

    fn broker(&mut self, id: i32, state: &str) -> String {
        let view = self.brokers.get_mut(&id).unwrap();
        view.fenced = state == "fenced";
        view.shutting_down = state == "stopping";
        let effects = self.leader(|l, _, b| l.reconsider(id, b));
        self.effects(effects)
    }

    fn answer(&mut self, answer: Result<(i64, Vec<i32>), ErrorCode>) -> String {
        let sent = self.sent.clone().expect("a proposal was sent");
        let committed = answer.map(|(partition_epoch, isr)| CommittedIsr {
            leader_epoch: sent.leader_epoch,
            partition_epoch: partition_epoch as i32,
            isr,
        });
        let (outcome, effects) = self.leader(|l, now, b| l.altered(sent.id, committed, now, b));
        let word = match outcome {
            AlterOutcome::Committed => "committed",
            AlterOutcome::Stale => "stale",
            AlterOutcome::Reset => "reset",
            AlterOutcome::AwaitMetadata => "await metadata",
            AlterOutcome::Retry(again) => {
                assert_eq!(again, sent);
                "retry"
            }
        };
        word.to_owned() + &self.effects(effects)
    }

    fn effects(&mut self, effects: Effects) -> String {
        let mut text = String::new();
        if let Some(offset) = effects.high_watermark {
            write!(text, " advanced to {offset}").unwrap();
        }
        if let Some(proposal) = effects.alter_partition {
            let isr: Vec<String> = proposal.isr.iter().map(|b| format!("{}@{}", b.broker, b.epoch)).collect();
            write!(text, " propose {} at {}", isr.join(","), proposal.partition_epoch).unwrap();
            self.sent = Some(proposal);
        }
        text
    }
}

/// Plays the inputs left of `|` and compares what is right of it: the note of the input, then the high watermark.
#[track_caller]
fn check(min_insync: usize, rows: &str) {
    let mut table = Table::new(min_insync);
    let (mut expected, mut seen) = (String::new(), String::new());
    for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (input, want) = row.split_once('|').expect("a row has a |");
        let note = table.step(input);
        writeln!(expected, "{:<26}| {}", input.trim(), want.trim()).unwrap();
        let hw = table.replica.high_watermark();
        writeln!(seen, "{:<26}| {}", input.trim(), format!("{} hw {hw}", note.trim()).trim()).unwrap();
    }
    assert_eq!(seen, expected, "\nseen:\n{seen}\nexpected:\n{expected}");
}

#[test]
fn the_high_watermark_is_the_least_end_of_the_isr() {
    check(
        1,
        "lead 1 1 1,2,3  | epoch 1 from 0 hw 0
         append 10       | hw 0
         fetch 2 10      | hw 0
         fetch 3 4       | advanced to 4 hw 4
         fetch 3 10      | advanced to 10 hw 10
         append 12       | hw 10
         fetch 2 12      | hw 10
         fetch 3 12      | advanced to 12 hw 12",
    );
}

#[test]
fn nothing_is_committed_under_min_isr() {
    check(
        2,
        "lead 1 1 1      | epoch 1 from 0 hw 0
         append 10       | hw 0
         write all       | the ISR has 1 members, and min.insync.replicas is 2 hw 0
         write one       | ok hw 0
         fetch 2 10      | propose 1@-1,2@102 at 1 hw 0
         commit 2 1,2    | committed advanced to 10 hw 10
         write all       | ok hw 10",
    );
}

#[test]
fn a_joining_replica_holds_the_high_watermark_before_the_controller_has_answered() {
    check(
        1,
        "lead 1 1 1      | epoch 1 from 0 hw 0
         append 10       | advanced to 10 hw 10
         fetch 2 10      | propose 1@-1,2@102 at 1 hw 10
         append 20       | hw 10
         fetch 2 15      | advanced to 15 hw 15
         commit 2 1,2    | committed hw 15
         fetch 2 20      | advanced to 20 hw 20",
    );
}

#[test]
fn a_replica_that_is_caught_up_and_may_join_is_waited_for() {
    // Broker 2 fetches everything at once, but is fenced: no reason to wait. Unfenced, it is waited for even while
    // another change is pending and it cannot be proposed.
    check(
        1,
        "lead 1 1 1      | epoch 1 from 0 hw 0
         broker 2 fenced | hw 0
         fetch 2 0       | hw 0
         append 10       | advanced to 10 hw 10
         fetch 3 10      | propose 1@-1,3@103 at 1 hw 10
         broker 2 alive  | hw 10
         append 20       | hw 10
         fetch 3 20      | hw 10
         fetch 2 20      | advanced to 20 hw 20",
    );
}

#[test]
fn a_shrink_counts_only_once_it_is_committed() {
    check(
        1,
        "lead 1 1 1,2,3  | epoch 1 from 0 hw 0
         append 10       | hw 0
         fetch 2 10      | hw 0
         wait 30001      | hw 0
         fetch 2 10      | hw 0
         check           | propose 1@-1,2@102 at 1 hw 0
         check           | hw 0
         commit 2 1,2    | committed advanced to 10 hw 10",
    );
}

#[test]
fn a_follower_that_is_always_a_little_behind_stays_in_sync() {
    check(
        1,
        "lead 1 1 1,2    | epoch 1 from 0 hw 0
         fetch 2 0       | hw 0
         append 10       | hw 0
         wait 10000      | hw 0
         fetch 2 5       | advanced to 5 hw 5
         append 20       | hw 5
         wait 10000      | hw 5
         fetch 2 10      | advanced to 10 hw 10
         append 30       | hw 10
         wait 10000      | hw 10
         check           | hw 10
         wait 10001      | hw 10
         check           | propose 1@-1 at 1 hw 10",
    );
}

#[test]
fn an_idle_follower_whose_session_lives_is_not_dropped_at_the_first_write() {
    check(
        1,
        "lead 1 1 1,2    | epoch 1 from 0 hw 0
         fetch 2 0       | hw 0
         wait 100000     | hw 0
         still 2         | hw 0
         append 1        | hw 0
         check           | hw 0
         wait 30001      | hw 0
         check           | propose 1@-1 at 1 hw 0",
    );
}

#[test]
fn a_follower_of_a_former_incarnation_counts_for_nothing() {
    check(
        1,
        "lead 1 1 1      | epoch 1 from 0 hw 0
         fetch 2 0 99    | stale fetch of broker 2: broker epoch 99, expected 102 hw 0
         fetch 2 0 200   | hw 0
         append 5        | advanced to 5 hw 5
         fetch 2 5 -1    | propose 1@-1,2@-1 at 1 hw 5
         fetch 4 5       | broker 4 is no replica of this partition hw 5",
    );
}

#[test]
fn answers_of_the_controller() {
    check(
        1,
        "lead 1 1 1      | epoch 1 from 0 hw 0
         append 5        | advanced to 5 hw 5
         fetch 2 5       | propose 1@-1,2@102 at 1 hw 5
         refuse timeout  | retry hw 5
         refuse ineligible | reset hw 5
         refuse ineligible | stale hw 5
         fetch 2 5       | propose 1@-1,2@102 at 1 hw 5
         refuse version  | await metadata hw 5
         append 9        | hw 5
         fetch 3 9       | hw 5
         lead 1 3 1      | advanced to 9 hw 9
         commit 2 1,2    | stale hw 9
         lead 1 2 1,2    | skipped hw 9
         fetch 3 9       | propose 1@-1,3@103 at 3 hw 9
         fetch 2 9       | hw 9",
    );
}

#[test]
fn a_replica_joins_only_with_all_that_the_epoch_began_with() {
    // Broker 2 is behind what the epoch began with, whatever the high watermark says.
    let mut table = Table::new(1);
    table.log_end = 10;
    assert_eq!(table.step("lead 3 5 1,3"), "epoch 3 from 10");
    assert_eq!(table.step("fetch 2 7"), "");
    assert_eq!(table.step("fetch 3 10"), " advanced to 10");
    assert_eq!(table.step("fetch 2 10"), " propose 1@-1,3@103,2@102 at 5");
}

#[test]
fn min_isr_is_asked_before_and_after_the_append() {
    check(
        2,
        "lead 1 1 1,2    | epoch 1 from 0 hw 0
         write all       | ok hw 0
         append 3        | hw 0
         acked 3         | None hw 0
         fetch 2 3       | advanced to 3 hw 3
         acked 3         | Some(Ok(())) hw 3
         lead 1 2 1      | hw 3
         acked 3         | Some(Err(NotEnoughReplicasAfterAppend)) hw 3
         write all       | the ISR has 1 members, and min.insync.replicas is 2 hw 3",
    );
}

#[test]
fn a_flush_that_is_owed_holds_the_high_watermark_and_not_the_followers() {
    check(
        1,
        "lead 1 1 1,2    | epoch 1 from 0 hw 0
         append 10 0     | hw 0
         fetch 2 10      | hw 0
         flush 6         | advanced to 6 hw 6
         flush 10        | advanced to 10 hw 10",
    );
}

#[test]
fn a_new_epoch_starts_at_the_log_end_and_forgets_what_followers_had() {
    check(
        1,
        "lead 1 1 1,2    | epoch 1 from 0 hw 0
         append 10       | hw 0
         fetch 2 10      | advanced to 10 hw 10
         append 12       | hw 10
         lead 2 2 1,2    | epoch 2 from 12 hw 10
         fetch 2 12      | advanced to 12 hw 12",
    );
}

#[test]
fn an_image_of_what_is_known_already_leaves_a_joining_replica_pending() {
    // The controller may have let broker 3 in by the time that the image of the change before arrives.
    check(
        2,
        "lead 1 1 1,2,3  | epoch 1 from 0 hw 0
         append 4        | hw 0
         wait 30001      | hw 0
         fetch 2 4       | hw 0
         check           | propose 1@-1,2@102 at 1 hw 0
         commit 2 1,2    | committed advanced to 4 hw 4
         fetch 3 4       | propose 1@-1,2@102,3@103 at 2 hw 4
         append 9        | hw 4
         wait 30001      | hw 4
         lead 1 2 1,2    | hw 4
         fetch 2 9       | hw 4
         commit 3 1,2,3  | committed hw 4
         fetch 3 9       | advanced to 9 hw 9",
    );
}

#[test]
fn a_replica_that_left_the_isr_comes_back_with_a_fetch_and_not_with_what_it_had_before() {
    // Broker 2 lost the log directory of its replica: it lives on, and fetches no more. What it had when it left is
    // no reason to propose it, nor to wait for it.
    check(
        1,
        "lead 1 1 1,2    | epoch 1 from 0 hw 0
         append 10       | hw 0
         fetch 2 10      | advanced to 10 hw 10
         lead 1 2 1      | hw 10
         broker 2 alive  | hw 10
         append 20       | advanced to 20 hw 20
         fetch 2 20      | propose 1@-1,2@102 at 2 hw 20
         append 30       | hw 20
         fetch 2 30      | advanced to 30 hw 30",
    );
}

#[test]
fn a_replica_that_was_let_in_and_taken_out_before_anybody_heard_must_fetch_again() {
    check(
        1,
        "lead 1 1 1      | epoch 1 from 0 hw 0
         append 10       | advanced to 10 hw 10
         fetch 2 10      | propose 1@-1,2@102 at 1 hw 10
         lead 1 3 1      | hw 10
         broker 2 alive  | hw 10
         append 20       | advanced to 20 hw 20
         fetch 2 20      | propose 1@-1,2@102 at 3 hw 20",
    );
}

#[test]
fn a_replica_that_the_controller_refused_must_fetch_again() {
    check(
        1,
        "lead 1 1 1      | epoch 1 from 0 hw 0
         append 10       | advanced to 10 hw 10
         fetch 2 10      | propose 1@-1,2@102 at 1 hw 10
         refuse ineligible | reset hw 10
         broker 2 alive  | hw 10
         append 20       | advanced to 20 hw 20
         fetch 2 20      | propose 1@-1,2@102 at 1 hw 20",
    );
}

#[test]
fn a_replica_whose_broker_lost_a_directory_must_fetch_again() {
    // It was waiting to be let in, so that no ISR says that it went.
    check(
        1,
        "lead 1 1 1      | epoch 1 from 0 hw 0
         broker 2 fenced | hw 0
         append 10       | advanced to 10 hw 10
         fetch 2 10      | hw 10
         lost 2          | hw 10
         broker 2 alive  | hw 10
         append 20       | advanced to 20 hw 20
         fetch 2 20      | propose 1@-1,2@102 at 1 hw 20",
    );
}

#[test]
fn epochs_that_were_never_heard_of_forget_what_followers_had() {
    // Another led in epoch 2, and broker 2 truncated to what that one had.
    check(
        2,
        "lead 1 1 1,2,3  | epoch 1 from 0 hw 0
         append 10       | hw 0
         fetch 2 10      | hw 0
         lead 3 3 1,2    | epoch 3 from 10 hw 0
         fetch 2 8       | advanced to 8 hw 8
         append 12       | hw 8
         fetch 2 12      | advanced to 12 hw 12
         lead 4 4 1,2    | epoch 4 from 12 hw 12
         append 14       | hw 12",
    );
}

#[test]
fn what_a_new_leader_has_not_flushed_commits_nothing() {
    check(
        1,
        "found 5 3       | hw 0
         lead 1 1 1,2    | epoch 1 from 5 hw 0
         fetch 2 5       | advanced to 3 hw 3
         flush 4         | advanced to 4 hw 4
         append 7 4      | hw 4
         flush 7         | advanced to 5 hw 5",
    );
}
