//! The coordinator: requests in, effects out. Each transactional id has one transition at a time under way; whoever
//! comes meanwhile is told CONCURRENT_TRANSACTIONS and comes again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use jackdaw_wire::{ErrorCode, TopicPartition};

use crate::record::{self, LoadError};
use crate::requests::{AppendFailure, Described, Effect, Listed, Reply, Request};
use crate::state::State;
use crate::transaction::{Transaction, Transit, is_exhausted};

/// The time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970, as in the log.
    pub wall_ms: i64,
    /// Milliseconds since some moment, as deadlines are told.
    pub steady_ms: i64,
}

/// `transaction.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`
    pub id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_interval_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub expire_interval_ms: i64,
    /// `request.timeout.ms`: how long tombstones may take to be replicated.
    pub request_timeout_ms: i32,
}

/// Who waits for an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InFlight {
    ProducerId {
        token: u64,
    },
    Partitions {
        token: u64,
    },
    /// The decision. `answers` is what to say when it is made: nobody asked where a transaction timed out.
    End {
        token: Option<u64>,
        answer: Reply,
        fences: bool,
    },
    Completion,
}

/// An append that is not yet settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pending {
    Transit {
        id: String,
        transit: Transit,
        waiter: InFlight,
    },
    /// Ids with the epochs they expired in.
    Expired(Vec<(String, i16)>),
}

/// One partition's transactions.
#[derive(Debug)]
pub struct Coordinator {
    pub(crate) settings: Settings,
    /// Of the leadership, in markers.
    pub(crate) epoch: i32,
    pub(crate) transactions: BTreeMap<String, Transaction>,
    pub(crate) pending: HashMap<u64, Pending>,
    next_ticket: u64,
    pub(crate) effects: Vec<Effect>,
    /// Their completion is being appended.
    pub(crate) completing: BTreeSet<String>,
    /// Their completion could not be appended.
    pub(crate) incomplete: BTreeSet<String>,
    /// Markers that are to be sent again.
    pub(crate) resend: BTreeMap<String, BTreeSet<TopicPartition>>,
    pub(crate) resend_ms: Option<i64>,
    pub(crate) next_abort_ms: i64,
    pub(crate) next_expiry_ms: i64,
    has_resigned: bool,
}

impl Coordinator {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            epoch: -1,
            transactions: BTreeMap::new(),
            pending: HashMap::new(),
            next_ticket: 0,
            effects: Vec::new(),
            completing: BTreeSet::new(),
            incomplete: BTreeSet::new(),
            resend: BTreeMap::new(),
            resend_ms: None,
            next_abort_ms: i64::MAX,
            next_expiry_ms: i64::MAX,
            has_resigned: false,
        }
    }

    /// The leadership's epoch: before anything is loaded, and when it leads on in a later one.
    pub fn leads(&mut self, epoch: i32, now: Now) {
        let led_before = self.epoch >= 0 && self.epoch != epoch;
        self.epoch = epoch;
        if led_before {
            self.send_all_markers(now);
        }
    }

    /// One record of the log, in order.
    ///
    /// # Errors
    /// For one that cannot be read: it changes nothing, and the next one may be loaded.
    pub fn load(&mut self, key: Option<Bytes>, value: Option<Bytes>) -> Result<(), LoadError> {
        match record::read(key, value)? {
            (id, Some(transaction)) => drop(self.transactions.insert(id, transaction)),
            (id, None) => drop(self.transactions.remove(&id)),
        }
        Ok(())
    }

    /// The log's end is reached. What was decided is finished.
    pub fn loaded(&mut self, now: Now) {
        self.next_abort_ms = now.steady_ms + self.settings.abort_interval_ms;
        self.next_expiry_ms = now.steady_ms + self.settings.expire_interval_ms;
        self.transactions.values_mut().for_each(|transaction| transaction.resume(now));
        let decided =
            |(id, transaction): (&String, &Transaction)| transaction.state.is_prepared().then(|| id.clone());
        let decided: Vec<String> = self.transactions.iter().filter_map(decided).collect();
        for id in decided {
            self.begin_completion(&id, now);
        }
    }

    pub(crate) fn begin_completion(&mut self, id: &str, now: Now) {
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.prepare_complete(now.wall_ms);
        }
        self.send_markers(id, now);
    }

    pub fn handle(&mut self, now: Now, token: u64, request: Request) {
        if self.has_resigned {
            return self.fail(token, ErrorCode::NotCoordinator);
        }
        match request {
            Request::InitProducerId { transactional_id, timeout_ms, expected, fresh_id } => {
                self.init_producer_id(now, token, transactional_id, timeout_ms, expected, fresh_id);
            }
            Request::AddPartitions { transactional_id, producer_id, producer_epoch, partitions } => {
                self.add_partitions(now, token, &transactional_id, (producer_id, producer_epoch), partitions);
            }
            Request::Verify { transactional_id, producer_id, producer_epoch, partitions } => {
                let verified = self.verify(&transactional_id, (producer_id, producer_epoch), partitions);
                self.reply(token, verified.map_or_else(Reply::Error, Reply::Verified));
            }
            Request::End { transactional_id, producer_id, producer_epoch, commits } => {
                self.end(now, token, &transactional_id, (producer_id, producer_epoch), commits);
            }
            Request::Describe { transactional_id } => {
                let described = self.transactions.get(&transactional_id).map(describe);
                let unknown = Reply::Error(ErrorCode::TransactionalIdNotFound);
                self.reply(token, described.map_or(unknown, Reply::Described));
            }
            Request::List { producer_ids, states } => {
                let listed = self.list(&producer_ids, states.as_ref());
                self.reply(token, Reply::Listed(listed));
            }
            Request::MarkersWritten { transactional_id, coordinator_epoch, outcomes } => {
                self.markers_written(&transactional_id, coordinator_epoch, outcomes, now);
            }
        }
    }

    fn init_producer_id(
        &mut self,
        now: Now,
        token: u64,
        id: String,
        timeout_ms: i32,
        expected: Option<(i64, i16)>,
        fresh_id: Option<i64>,
    ) {
        if id.is_empty() {
            return self.fail(token, ErrorCode::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.settings.max_timeout_ms {
            return self.fail(token, ErrorCode::InvalidTransactionTimeout);
        }
        if !self.transactions.contains_key(&id) {
            let Some(fresh_id) = fresh_id else { return self.reply(token, Reply::NeedsProducerId) };
            self.transactions.insert(id.clone(), Transaction::new(fresh_id, timeout_ms, now.wall_ms));
        }
        let Some(transaction) = self.transactions.get_mut(&id) else { return };
        if transaction.pending.is_some() {
            return self.fail(token, ErrorCode::ConcurrentTransactions);
        }
        if expected.is_some_and(|(producer_id, epoch)| !transaction.knows(producer_id, epoch)) {
            return self.fail(token, ErrorCode::ProducerFenced);
        }
        let transit = match transaction.state {
            State::PrepareAbort | State::PrepareCommit => Err(ErrorCode::ConcurrentTransactions),
            // The producer that has it is shut out, and whoever asks comes again.
            State::Ongoing => return self.fence(now, token, &id),
            state if !state.may_be_written() => Err(ErrorCode::UnknownServerError),
            _ => {
                let epoch = transaction.producer_epoch;
                if is_exhausted(epoch) && expected.is_none_or(|(_, expected)| expected == epoch) {
                    let Some(fresh_id) = fresh_id else {
                        return self.reply(token, Reply::NeedsProducerId);
                    };
                    Ok(transaction.rotate_id(fresh_id, timeout_ms, expected.is_some(), now.wall_ms))
                } else if is_exhausted(epoch) {
                    // Kafka runs into an exception here.
                    Err(ErrorCode::UnknownServerError)
                } else {
                    transaction.bump_epoch(timeout_ms, expected.map(|(_, epoch)| epoch), now.wall_ms)
                }
            }
        };
        match transit {
            Ok(transit) => self.append(&id, transit, InFlight::ProducerId { token }),
            Err(error) => self.fail(token, error),
        }
    }

    fn add_partitions(
        &mut self,
        now: Now,
        token: u64,
        id: &str,
        producer: (i64, i16),
        partitions: BTreeSet<TopicPartition>,
    ) {
        if id.is_empty() {
            return self.fail(token, ErrorCode::InvalidRequest);
        }
        let transaction = match self.of_producer(id, producer) {
            Ok(transaction) => transaction,
            Err(error) => return self.fail(token, error),
        };
        if transaction.pending.is_some() || transaction.state.is_prepared() {
            return self.fail(token, ErrorCode::ConcurrentTransactions);
        }
        if !transaction.state.may_be_written() {
            return self.fail(token, ErrorCode::UnknownServerError);
        }
        if transaction.state == State::Ongoing && partitions.is_subset(&transaction.partitions) {
            return self.reply(token, Reply::Done);
        }
        let transit = transaction.add_partitions(partitions, now);
        self.append(id, transit, InFlight::Partitions { token });
    }

    /// The transaction of exactly this producer.
    fn of_producer(
        &mut self,
        id: &str,
        (producer_id, epoch): (i64, i16),
    ) -> Result<&mut Transaction, ErrorCode> {
        let transaction = self.transactions.get_mut(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if transaction.producer_id != producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if transaction.producer_epoch != epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(transaction)
    }

    /// What is pending is not looked at: the append in the partition is what decides in the end.
    fn verify(
        &mut self,
        id: &str,
        producer: (i64, i16),
        partitions: BTreeSet<TopicPartition>,
    ) -> Result<Vec<TopicPartition>, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let transaction = self.of_producer(id, producer)?;
        if transaction.state.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        Ok(partitions.difference(&transaction.partitions).cloned().collect())
    }

    fn list(&self, producer_ids: &BTreeSet<i64>, states: Option<&BTreeSet<State>>) -> Vec<Listed> {
        let is_wanted = |transaction: &Transaction| {
            (producer_ids.is_empty() || producer_ids.contains(&transaction.producer_id))
                && states.is_none_or(|states| states.contains(&transaction.state))
        };
        let wanted = self.transactions.iter().filter(|(_, transaction)| is_wanted(transaction));
        wanted
            .map(|(id, transaction)| Listed {
                transactional_id: id.clone(),
                producer_id: transaction.producer_id,
                state: transaction.state,
            })
            .collect()
    }

    pub(crate) fn reply(&mut self, token: u64, reply: Reply) {
        self.effects.push(Effect::Reply { token, reply });
    }

    pub(crate) fn fail(&mut self, token: u64, error: ErrorCode) {
        self.reply(token, Reply::Error(error));
    }

    pub(crate) fn ticket(&mut self, pending: Pending) -> u64 {
        self.next_ticket += 1;
        self.pending.insert(self.next_ticket, pending);
        self.next_ticket
    }

    pub(crate) fn append(&mut self, id: &str, transit: Transit, waiter: InFlight) {
        let (key, value) = match (record::key(id), record::value(&transit)) {
            (Ok(key), Ok(value)) => (key, value),
            // An id or a topic's name that is longer than a record can hold.
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(target: "kafka.coordinator.transaction", "{id} cannot be written: {error}");
                let ticket = self.ticket(Pending::Transit { id: id.to_owned(), transit, waiter });
                let now = Now { wall_ms: 0, steady_ms: 0 };
                return self.appended(now, ticket, Err(AppendFailure(ErrorCode::UnknownServerError)));
            }
        };
        let timeout_ms = transit.timeout_ms;
        let ticket = self.ticket(Pending::Transit { id: id.to_owned(), transit, waiter });
        self.effects.push(Effect::Append { ticket, records: vec![(key, Some(value))], timeout_ms });
    }

    /// What became of an append.
    pub fn appended(&mut self, now: Now, ticket: u64, outcome: Result<(), AppendFailure>) {
        match self.pending.remove(&ticket) {
            Some(Pending::Transit { id, transit, waiter }) => {
                self.transit_appended(now, id, transit, waiter, outcome);
            }
            Some(Pending::Expired(ids)) => self.expired(ids, outcome.is_ok()),
            None => {}
        }
    }

    fn transit_appended(
        &mut self,
        now: Now,
        id: String,
        transit: Transit,
        waiter: InFlight,
        outcome: Result<(), AppendFailure>,
    ) {
        let Some(transaction) = self.transactions.get_mut(&id) else { return };
        if let Err(AppendFailure(error)) = outcome {
            if waiter == InFlight::Completion {
                return self.completion_failed(id, now);
            }
            transaction.pending = None;
            match waiter {
                InFlight::ProducerId { token } | InFlight::Partitions { token } => self.fail(token, error),
                InFlight::End { token, fences, .. } => {
                    transaction.has_failed_fence |= fences;
                    if let Some(token) = token {
                        self.fail(token, error);
                    }
                }
                InFlight::Completion => {}
            }
            return;
        }
        let (producer_id, producer_epoch) = (transit.producer_id, transit.producer_epoch);
        transaction.complete(transit);
        match waiter {
            InFlight::ProducerId { token } => {
                self.reply(token, Reply::ProducerId { producer_id, producer_epoch });
            }
            InFlight::Partitions { token } => self.reply(token, Reply::Done),
            InFlight::End { token, answer, .. } => {
                if let Some(token) = token {
                    self.reply(token, answer);
                }
                self.begin_completion(&id, now);
            }
            InFlight::Completion => drop(self.completing.remove(&id)),
        }
    }

    /// It leads no longer.
    pub fn resign(&mut self) {
        self.has_resigned = true;
        for (_, pending) in std::mem::take(&mut self.pending) {
            let Pending::Transit { waiter, .. } = pending else { continue };
            match waiter {
                InFlight::ProducerId { token }
                | InFlight::Partitions { token }
                | InFlight::End { token: Some(token), .. } => self.fail(token, ErrorCode::NotCoordinator),
                InFlight::End { token: None, .. } | InFlight::Completion => {}
            }
        }
        self.transactions.clear();
    }

    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Checks what must hold after every input.
    pub fn validate(&self) {
        self.transactions.values().for_each(Transaction::validate);
        for id in &self.completing {
            assert!(
                self.transactions.get(id).is_some_and(|t| t.state.is_prepared()),
                "{id} completes: {self:?}"
            );
        }
    }
}

fn describe(transaction: &Transaction) -> Described {
    Described {
        state: transaction.state,
        timeout_ms: transaction.timeout_ms,
        start_ms: transaction.start_ms,
        producer_id: transaction.producer_id,
        producer_epoch: transaction.producer_epoch,
        partitions: transaction.partitions.clone(),
    }
}
