//! How a group of this protocol changes: a step is planned on what the log holds, its records are written as one
//! batch, and only then is the group what the plan says and the reply sent. Meanwhile whatever else is asked of the group
//! waits, so no plan is made on what may not come true (where Kafka plans on, and goes back if it must).

use jackdaw_wire::types::Now;
use jackdaw_wire::{ErrorCode, StrBytes};

use super::timers::TimerChange;
use super::{Change, ConsumerGroup, encode};
use crate::api::{Config, Reply, Request};
use crate::group::{Group, GroupState};
use crate::machine::{Context, Groups, Write, of_group_write};
use crate::member::Member as ClassicMember;
use crate::settings::Times;
use crate::topics::Topics;

/// How long a write of which nobody knows whether it is in the log is waited with until it is written again, and
/// timers whose step failed.
const RETRY_MS: i64 = 500;

/// What a step has at hand. The group may be of either protocol, or of none yet.
pub(crate) struct Step<'a> {
    pub now: Now,
    pub config: &'a Config,
    pub topics: &'a Topics,
    pub times: Times,
    pub group: &'a Group,
}

/// Why a request comes to nothing, for those whose replies can say it in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub code: ErrorCode,
    pub message: Option<String>,
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None }
    }
}

impl Refused {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }
}

/// What becomes of the group.
#[derive(Debug, Default)]
pub(crate) enum Becomes {
    #[default]
    Same,
    Consumer(Box<ConsumerGroup>),
    /// A group of the classic protocol, which its members are to settle anew for this reason, if any.
    Classic {
        members: Vec<ClassicMember>,
        generation: i32,
        protocol: Option<StrBytes>,
        rebalances: Option<String>,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Planned {
    pub changes: Vec<Change>,
    pub becomes: Becomes,
    /// Of what is not a request, there is none.
    pub reply: Option<Reply>,
    pub timers: Vec<TimerChange>,
    /// The version of the topics that was looked at.
    pub topics_seen: Option<i64>,
    /// The group's regular expressions are to be looked at next.
    pub resolves: bool,
    /// Members whose end this is; should it fail, it is tried again.
    pub ends: Vec<StrBytes>,
}

/// A step on its way to the log.
#[derive(Debug)]
pub(crate) struct ConsumerWrite {
    asked: Option<(u64, Request)>,
    planned: Planned,
}

/// What is known of a batch whose append was answered.
enum Fate {
    Written,
    /// In the log of the leader, and not known to be anywhere else: whoever asked hears of an error, but it counts, as in
    /// Kafka.
    WrittenUnsure(ErrorCode),
    NotWritten(ErrorCode),
    /// It may be in the log, or not.
    Unknown(ErrorCode),
}

impl Fate {
    fn of(outcome: Result<i64, ErrorCode>) -> Self {
        match outcome {
            Ok(_) => Self::Written,
            Err(error @ ErrorCode::NotEnoughReplicasAfterAppend) => Self::WrittenUnsure(error),
            Err(
                error @ (ErrorCode::NotEnoughReplicas
                | ErrorCode::MessageTooLarge
                | ErrorCode::RecordListTooLarge
                | ErrorCode::InvalidRecord
                | ErrorCode::CorruptMessage),
            ) => Self::NotWritten(error),
            Err(error) => Self::Unknown(error),
        }
    }
}

/// How the outcome of a write reaches whoever asked (`CoordinatorOperationExceptionHelper`).
fn of_write(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        other => of_group_write(other),
    }
}

impl Groups {
    /// Plans a step of a group, and writes it.
    pub(crate) fn consumer_step(
        &mut self,
        now: Now,
        id: &StrBytes,
        asked: Option<(u64, Request)>,
        plan: impl FnOnce(&Step<'_>) -> Result<Planned, Refused>,
    ) {
        let Some(group) = self.groups.get(id) else { return };
        let times = self.times_of(id);
        let step = Step { now, config: &self.config, topics: &self.topics, times, group };
        match plan(&step) {
            Err(refused) => {
                if let Some((token, request)) = asked {
                    self.refuse_with(token, &request, refused);
                }
            }
            Ok(planned) if planned.changes.is_empty() => {
                self.step_is_done(now, id, &planned);
                if let (Some((token, _)), Some(reply)) = (asked, planned.reply) {
                    self.reply(token, reply);
                }
                if planned.resolves {
                    self.resolve_regexes(now, id);
                }
            }
            Ok(planned) => self.write_step(now, id, ConsumerWrite { asked, planned }),
        }
    }

    fn write_step(&mut self, now: Now, id: &StrBytes, write: ConsumerWrite) {
        let compression = self.config.compression;
        self.with(now, id, |group, context| {
            let batch = encode(&group.id, &write.planned.changes, now.wall_ms, compression);
            group.is_writing = true;
            group.unsure = None;
            context.write(group, Write::Consumer(Box::new(write)), batch);
        });
    }

    pub(crate) fn refuse_with(&mut self, token: u64, request: &Request, refused: Refused) {
        let reply = request.refusal(refused.code);
        self.out.answer(token, reply.map(|reply| reply.with_message(refused.message)));
    }

    /// Timers begin, and what was looked at is remembered.
    fn step_is_done(&mut self, now: Now, id: &StrBytes, planned: &Planned) {
        self.with(now, id, |group, _| {
            group.topics_seen = planned.topics_seen.or(group.topics_seen);
            for change in &planned.timers {
                group.timers.change(change.clone(), now.steady_ms);
            }
        });
    }

    /// The records are in the log, or are not.
    pub(crate) fn consumer_written(
        &mut self,
        now: Now,
        id: &StrBytes,
        lives: bool,
        write: ConsumerWrite,
        outcome: Result<i64, ErrorCode>,
    ) {
        let ConsumerWrite { asked, mut planned } = write;
        if !lives {
            let error = outcome.err().unwrap_or(ErrorCode::NotCoordinator);
            if let Some((token, request)) = asked {
                self.refuse(token, &request, of_write(error));
            }
            return;
        }
        let reply = planned.reply.take();
        let (is_written, error) = match Fate::of(outcome) {
            Fate::Written => (true, None),
            Fate::WrittenUnsure(error) => (true, Some(error)),
            Fate::NotWritten(error) => (false, Some(error)),
            Fate::Unknown(error) => {
                if let Some((token, request)) = asked {
                    self.refuse(token, &request, of_write(error));
                }
                let again_ms = now.steady_ms.saturating_add(RETRY_MS);
                let again = Box::new(ConsumerWrite { asked: None, planned });
                self.with(now, id, |group, _| group.unsure = Some((again_ms, again)));
                return;
            }
        };
        let resolves = is_written && planned.resolves;
        self.with(now, id, |group, context| {
            group.is_writing = false;
            if is_written {
                group.becomes(context, std::mem::take(&mut planned.becomes));
                return;
            }
            let ends = planned.ends.drain(..).map(|member| TimerChange::Session(member, RETRY_MS));
            let heard = planned.timers.drain(..).filter(|change| matches!(change, TimerChange::Session(..)));
            heard.chain(ends).for_each(|change| group.timers.change(change, now.steady_ms));
        });
        if is_written {
            self.step_is_done(now, id, &planned);
        }
        match (asked, error) {
            (Some((token, request)), Some(error)) => self.refuse(token, &request, of_write(error)),
            (Some((token, _)), None) => self.out.answer(token, reply),
            (None, _) => {}
        }
        if resolves {
            self.resolve_regexes(now, id);
        }
        self.serve_waiting(now, id);
    }

    /// Whatever was asked while the group's records were on their way.
    fn serve_waiting(&mut self, now: Now, id: &StrBytes) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let mut waiting = std::mem::take(&mut group.waiting);
        loop {
            if let Some(group) = self.groups.get_mut(id).filter(|group| group.is_writing) {
                waiting.append(&mut group.waiting);
                group.waiting = waiting;
                return;
            }
            let Some((token, request)) = waiting.pop_front() else { return };
            self.serve(now, token, request);
        }
    }

    /// Timers of a group that is of this protocol, or becomes so.
    pub(crate) fn consumer_tick(&mut self, now: Now, id: &StrBytes) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if group.is_writing {
            let is_due = |(due_ms, _): &mut (i64, Box<ConsumerWrite>)| *due_ms <= now.steady_ms;
            match group.unsure.take_if(is_due) {
                Some((_, write)) => self.write_step(now, id, *write),
                None => drop(self.with(now, id, |_, _| ())),
            }
            return;
        }
        let due = group.timers.take_due(now.steady_ms);
        self.with(now, id, |_, _| ());
        self.end_members(now, id, &due);
    }
}

impl Group {
    /// The group is what was planned.
    fn becomes(&mut self, context: &mut Context<'_>, becomes: Becomes) {
        match becomes {
            Becomes::Same => {}
            Becomes::Consumer(group) => {
                if self.consumer.is_none() {
                    self.leave_classic();
                }
                group.validate();
                self.consumer = Some(group);
            }
            Becomes::Classic { members, generation, protocol, rebalances } => {
                self.consumer = None;
                self.topics_seen = None;
                self.timers.clear();
                self.generation = generation;
                let consumer = StrBytes::from_static_str(crate::subscription::CONSUMER);
                members.into_iter().for_each(|member| self.add(member, &consumer));
                self.protocol = protocol;
                self.subscribed = self.subscribed_topics();
                self.enter(GroupState::Stable, context.now);
                self.members.values_mut().for_each(|member| member.heard(context.now.steady_ms));
                tracing::info!(
                    target: "kafka.coordinator.group",
                    "[GroupId {}] Converted the consumer group to a classic group.", self.id
                );
                if let Some(reason) = rebalances {
                    self.prepare_rebalance(context, &reason);
                }
            }
        }
    }

    /// Nothing of the classic protocol is left.
    fn leave_classic(&mut self) {
        let fresh = Self::new(self.id.clone(), self.incarnation, 0);
        *self = Self {
            offsets: std::mem::take(&mut self.offsets),
            timers: std::mem::take(&mut self.timers),
            waiting: std::mem::take(&mut self.waiting),
            topics_seen: self.topics_seen,
            ..fresh
        };
    }
}
