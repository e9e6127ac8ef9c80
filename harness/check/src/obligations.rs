//! The obligations themselves: what a running cluster owes to its own file.
//! Each asks through [`Access`], compares with [`Expected`] and adds lines to the report.

use crate::expected::{Expected, ExpectedListener, Vantage};
use crate::look::{Advertised, Look, Partition, Question, Seen};
use crate::records::{self, Codec, Round};
use crate::report::{Line, Report, Verdict};
use futures_util::future::{BoxFuture, join_all};
use rdkafka::error::RDKafkaErrorCode;
use std::time::{Duration, Instant};

/// How long a state may take to come about.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a node that was started a moment ago may take to show itself as the file says.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at a state that is awaited.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const ACKNOWLEDGED: &str = "an acknowledgement";
/// What a write is answered, or not, that was appended before the leader knew of the ISR.
const WAITS: [RDKafkaErrorCode; 3] = [
    RDKafkaErrorCode::MessageTimedOut,
    RDKafkaErrorCode::RequestTimedOut,
    RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
];
const NOT_ENOUGH_REPLICAS: &str = "NOT_ENOUGH_REPLICAS";
const NO_HOST_LISTENER: &str = "no plaintext listener is meant for the host";

/// How a cluster is looked at and touched; each runtime has its own way.
pub trait Access: Sync {
    /// Takes one look from that vantage.
    fn look<'a>(&'a self, from: Vantage, look: &'a Look) -> BoxFuture<'a, Result<Seen, String>>;
    /// Kills a service with SIGKILL.
    fn kill<'a>(&'a self, service: &'a str) -> BoxFuture<'a, Result<(), String>>;
    /// Starts it again.
    fn start<'a>(&'a self, service: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// What to look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Kill the leader of a partition and hold the cluster to the same again.
    pub disruptive: bool,
}

/// Holds a running cluster to its file. `told` hears each line as soon as it is known.
pub async fn check(
    access: &dyn Access,
    expected: &Expected,
    options: Options,
    told: &mut (dyn FnMut(&Line) + Send),
) -> Report {
    let mut check = Check { access, expected, told, report: Report::default() };
    check.advertised().await;
    check.reachable().await;
    check.quorum().await;
    match expected.bootstrap(Vantage::Host) {
        Some(bootstrap) => check.with_topics(&bootstrap, options).await,
        None => {
            for obligation in ["replication", "min-isr", "records"] {
                check.add(Line::skipped(obligation, "all", NO_HOST_LISTENER));
            }
        }
    }
    check.report
}

struct Check<'a> {
    access: &'a dyn Access,
    expected: &'a Expected,
    told: &'a mut (dyn FnMut(&Line) + Send),
    report: Report,
}

impl Check<'_> {
    fn add(&mut self, line: Line) {
        (self.told)(&line);
        self.report.lines.push(line);
    }

    fn listeners(&self) -> Vec<(&str, &ExpectedListener)> {
        let brokers = self.expected.brokers.iter();
        brokers
            .flat_map(|broker| broker.listeners.iter().map(|listener| (broker.service.as_str(), listener)))
            .collect()
    }

    async fn ask(&self, from: Vantage, address: &(String, u16), question: Question) -> Result<Seen, String> {
        let look = Look { host: address.0.clone(), port: address.1, question };
        self.access.look(from, &look).await
    }

    /// Asks until the answer, as `told` puts it, is the expected one, for as long as a node may take to start.
    async fn ask_for(
        &self,
        from: Vantage,
        address: &(String, u16),
        question: Question,
        expected: &str,
        told: impl Fn(Seen) -> Result<String, String>,
    ) -> Result<String, String> {
        let start = Instant::now();
        loop {
            let seen = self.ask(from, address, question.clone()).await.and_then(&told);
            if seen.as_deref() == Ok(expected) || start.elapsed() > PATIENCE {
                return seen;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Each listener shows, of every broker, that listener's address and no other.
    async fn advertised(&mut self) {
        let expected = self.expected;
        let looks = self.listeners().into_iter().map(|(service, listener)| {
            let this = &*self;
            async move {
                let promised: Vec<String> = expected
                    .brokers
                    .iter()
                    .filter_map(|broker| {
                        let same = broker.listeners.iter().find(|other| other.name == listener.name)?;
                        Some(format!("{}@{}:{}", broker.node_id, same.advertised.0, same.advertised.1))
                    })
                    .collect();
                let promised = promised.join(" ");
                let subject = format!("{} of {service}", listener.name);
                let (from, entrance) = (listener.vantage, &listener.entrance);
                let seen = this.ask_for(from, entrance, Question::Cluster, &promised, brokers_of).await;
                Line::compare("advertised", subject, promised, seen)
            }
        });
        let lines = join_all(looks).await;
        lines.into_iter().for_each(|line| self.add(line));
        for broker in &expected.brokers {
            for name in &broker.secured {
                let subject = format!("{name} of {}", broker.service);
                self.add(Line::skipped("advertised", subject, "not a plaintext listener"));
            }
        }
    }

    /// Each advertised address answers, from where it is meant to be used.
    async fn reachable(&mut self) {
        let looks = self.listeners().into_iter().map(|(service, listener)| {
            let this = &*self;
            async move {
                let address = format!("{}:{}", listener.advertised.0, listener.advertised.1);
                let expected = format!("{address} answers from {}", listener.vantage.word());
                let subject = format!("{} of {service}", listener.name);
                let (from, to) = (listener.vantage, &listener.advertised);
                let answered = |_| Ok(expected.clone());
                let seen = this.ask_for(from, to, Question::Cluster, &expected, answered).await;
                Line::compare("reachable", subject, expected, seen)
            }
        });
        let lines = join_all(looks).await;
        lines.into_iter().for_each(|line| self.add(line));
    }

    /// Every broker knows one quorum: the file's voters, and one and the same leader among them.
    async fn quorum(&mut self) {
        let mut views = Vec::new();
        for (service, listener) in self.first_listeners() {
            let seen = self.ask(listener.vantage, &listener.entrance, Question::Quorum).await;
            views.push((service.to_owned(), seen));
        }
        let voters: Vec<i32> = self.expected.voters.iter().copied().collect();
        let promised = format!("voters {voters:?}, led by one of them");
        let mut leaders = Vec::new();
        for (service, seen) in views {
            let told = seen.and_then(|seen| match seen {
                Seen::Quorum { leader_id, leader_epoch, voters: seen_voters, .. } => {
                    leaders.push((leader_id, leader_epoch));
                    if seen_voters == voters && voters.contains(&leader_id) {
                        Ok(promised.clone())
                    } else {
                        Ok(format!("voters {seen_voters:?}, led by {leader_id} in epoch {leader_epoch}"))
                    }
                }
                other => Err(format!("{other:?}")),
            });
            self.add(Line::compare("quorum", format!("as {service} tells it"), promised.clone(), told));
        }
        leaders.sort_unstable();
        leaders.dedup();
        let seen = match leaders.as_slice() {
            [_] => Ok("one leader in one epoch".to_owned()),
            several => Err(format!("(leader, epoch): {several:?}")),
        };
        self.add(Line::compare("quorum", "all brokers agree", "one leader in one epoch", seen));
    }

    /// One listener of each broker, the one for the host where there is a choice.
    fn first_listeners(&self) -> Vec<(&str, &ExpectedListener)> {
        let brokers = self.expected.brokers.iter();
        brokers
            .filter_map(|broker| {
                let listener = broker.listeners.iter().min_by_key(|listener| listener.vantage)?;
                Some((broker.service.as_str(), listener))
            })
            .collect()
    }

    /// The obligations that need topics of their own, which are deleted afterwards.
    async fn with_topics(&mut self, bootstrap: &str, options: Options) {
        let nonce = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() & 0xffff_ffff);
        let topic = format!("jackdaw-check-{nonce:08x}");
        let strict = format!("{topic}-strict");
        if self.replication(bootstrap, &topic).await {
            self.min_isr(bootstrap, &strict, options.disruptive).await;
            self.records(bootstrap, &topic, "records").await;
            if options.disruptive {
                self.disrupted(bootstrap, &topic, &strict).await;
            }
        }
        for name in [&topic, &strict] {
            // What was never made cannot be deleted; either way nothing of ours is left.
            let _ = records::delete_topic(bootstrap, name).await;
        }
    }

    fn replication_factor(&self) -> usize {
        self.expected.brokers.len().min(3)
    }

    /// A new topic has its full replication factor, each partition a leader and all replicas in sync.
    async fn replication(&mut self, bootstrap: &str, topic: &str) -> bool {
        let (partitions, factor) = (self.expected.brokers.len(), self.replication_factor());
        let promised = format!("{partitions} partitions, {factor} replicas each, all in sync");
        let seen = match records::create_topic(bootstrap, topic, partitions as i32, factor as i32, &[]).await
        {
            Err(error) => Err(format!("the topic was not created: {error}")),
            Ok(()) => self
                .await_in_sync(topic, factor)
                .await
                .map(|seen| format!("{} partitions, {factor} replicas each, all in sync", seen.len())),
        };
        let line = Line::compare("replication", topic, promised, seen);
        let kept = line.verdict == Verdict::Kept;
        self.add(line);
        kept
    }

    /// Waits until every partition of a topic has a leader and `factor` replicas in sync.
    async fn await_in_sync(&self, topic: &str, factor: usize) -> Result<Vec<Partition>, String> {
        self.await_topic(topic, |partitions| {
            partitions.iter().all(|partition| {
                partition.leader >= 0 && partition.isr.len() == factor && partition.replicas.len() == factor
            })
        })
        .await
    }

    async fn await_topic(
        &self,
        topic: &str,
        reached: impl Fn(&[Partition]) -> bool,
    ) -> Result<Vec<Partition>, String> {
        let start = Instant::now();
        loop {
            let mut last = Err("no broker answers".to_owned());
            for (_, listener) in self.first_listeners() {
                let question = Question::Topic(topic.to_owned());
                last = self.ask(listener.vantage, &listener.entrance, question).await;
                if let Ok(Seen::Topic { error: 0, partitions }) = &last
                    && reached(partitions)
                {
                    return Ok(partitions.clone());
                }
            }
            if start.elapsed() > DEADLINE {
                return Err(format!("not within {DEADLINE:?}; last seen {last:?}"));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// A topic that wants every replica in sync takes an acks=all write while all are.
    async fn min_isr(&mut self, bootstrap: &str, topic: &str, disruptive: bool) {
        let factor = self.replication_factor();
        let wanted = factor.to_string();
        let settings = [("min.insync.replicas", wanted.as_str())];
        let seen = match records::create_topic(bootstrap, topic, 1, factor as i32, &settings).await {
            Err(error) => Err(format!("the topic was not created: {error}")),
            Ok(()) => self.answer_with(bootstrap, topic, factor).await,
        };
        self.add(Line::compare("min-isr", format!("{wanted} wanted, {factor} in sync"), ACKNOWLEDGED, seen));
        if !disruptive {
            let subject = format!("{wanted} wanted, {} in sync", factor - 1);
            self.add(Line::skipped("min-isr", subject, "wants a broker down: --disruptive"));
        }
    }

    /// What a write with acks=all is answered once `in_sync` replicas are in sync.
    async fn answer_with(&self, bootstrap: &str, topic: &str, in_sync: usize) -> Result<String, String> {
        let reached = |partitions: &[Partition]| {
            partitions.iter().all(|partition| partition.leader >= 0 && partition.isr.len() == in_sync)
        };
        self.await_topic(topic, reached).await?;
        let mut answer = records::send_once(bootstrap, topic).await;
        // Kafka's brokers show an ISR a moment before the leader acts on it (BrokerMetadataPublisher): a write of that
        // moment is in the log and waits for a replica that is gone. What comes next is answered.
        if answer.is_err_and(|code| WAITS.contains(&code)) {
            answer = records::send_once(bootstrap, topic).await;
        }
        Ok(match answer {
            Ok(()) => ACKNOWLEDGED.to_owned(),
            Err(RDKafkaErrorCode::NotEnoughReplicas) => NOT_ENOUGH_REPLICAS.to_owned(),
            Err(code) => format!("{code:?}"),
        })
    }

    /// Records of each codec, from a plain and from an idempotent producer, come back equal and in
    /// order, and are stored in the codec that they were sent in.
    async fn records(&mut self, bootstrap: &str, topic: &str, obligation: &'static str) {
        for codec in Codec::ALL {
            for idempotent in [false, true] {
                let round =
                    Round { bootstrap: bootstrap.to_owned(), topic: topic.to_owned(), codec, idempotent };
                let promised = format!("equal, in order, stored as {}", codec.name());
                let seen = match records::round_trip(&round).await {
                    Err(error) => Err(error),
                    Ok(first) => self.stored_as(topic, first).await.map(|stored| match stored {
                        codecs if codecs.contains(&codec.number()) => promised.clone(),
                        codecs => format!("equal, in order, stored with codec numbers {codecs:?}"),
                    }),
                };
                let producer = if idempotent { "idempotent" } else { "plain" };
                let subject =
                    format!("{} from an {producer} producer", codec.name()).replace("an plain", "a plain");
                self.add(Line::compare(obligation, subject, promised, seen));
            }
        }
    }

    /// The codecs of the stored batches of partition 0 from an offset on, asked of its leader.
    async fn stored_as(&self, topic: &str, offset: i64) -> Result<Vec<i16>, String> {
        let partitions =
            self.await_topic(topic, |partitions| partitions.iter().all(|p| p.leader >= 0)).await?;
        let leader = partitions.first().ok_or("the topic has no partition")?;
        let broker = self.expected.brokers.iter().find(|broker| broker.node_id == leader.leader);
        let listener = broker
            .and_then(|broker| broker.listeners.iter().min_by_key(|listener| listener.vantage))
            .ok_or_else(|| format!("leader {} is not in the file", leader.leader))?;
        let question =
            Question::Codecs { topic: topic.to_owned(), offset, leader_epoch: leader.leader_epoch };
        match self.ask(listener.vantage, &listener.entrance, question).await? {
            Seen::Codecs(codecs) => Ok(codecs),
            other => Err(format!("{other:?}")),
        }
    }

    /// The leader of partition 0 is killed: another one takes over, records go on, and it comes back.
    async fn disrupted(&mut self, bootstrap: &str, topic: &str, strict: &str) {
        let factor = self.replication_factor();
        if factor < 2 {
            self.add(Line::skipped("failover", topic, "one broker has nobody to fail over to"));
            return;
        }
        let before = self.await_in_sync(topic, factor).await;
        let Some(victim) = before.ok().and_then(|partitions| Some(partitions.first()?.leader)) else {
            self.add(Line::compare("failover", topic, "a leader", Err("none".to_owned())));
            return;
        };
        let Some(service) = self.expected.service_of(victim).map(str::to_owned) else {
            self.add(Line::compare("failover", topic, "a leader of the file", Err(format!("{victim}"))));
            return;
        };
        let taken_over = match self.access.kill(&service).await {
            Err(error) => Err(error),
            Ok(()) => self
                .await_topic(topic, |partitions| {
                    partitions.iter().all(|partition| partition.leader >= 0 && partition.leader != victim)
                })
                .await
                .map(|_| "another leader for each partition".to_owned()),
        };
        let subject = format!("{service} killed");
        self.add(Line::compare("failover", subject, "another leader for each partition", taken_over));
        let refused = self.answer_with(bootstrap, strict, factor - 1).await;
        let subject = format!("{factor} wanted, {} in sync", factor - 1);
        self.add(Line::compare("min-isr", subject, NOT_ENOUGH_REPLICAS, refused));
        self.records(bootstrap, topic, "records-down").await;
        let back = match self.access.start(&service).await {
            Err(error) => Err(error),
            Ok(()) => self.await_in_sync(topic, factor).await.map(|_| "all replicas in sync".to_owned()),
        };
        self.add(Line::compare("failover", format!("{service} started"), "all replicas in sync", back));
        self.records(bootstrap, topic, "records-back").await;
    }
}

fn brokers_of(seen: Seen) -> Result<String, String> {
    match seen {
        Seen::Cluster { brokers, .. } => {
            let show = |broker: &Advertised| format!("{}@{}:{}", broker.node_id, broker.host, broker.port);
            Ok(brokers.iter().map(show).collect::<Vec<_>>().join(" "))
        }
        other => Err(format!("{other:?}")),
    }
}
