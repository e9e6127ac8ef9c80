//! The language of the scripts: one node, what it is told, and its effects in a short notation.
//!
//! `10@2` is offset 10 of epoch 2. Replies go to whatever the node has last sent to that voter.

use std::collections::BTreeMap;

use bytes::Bytes;
use jackdaw_wire::batch::BatchBuilder;
use jackdaw_wire::messages::{BrokerId, DescribeQuorumRequest, describe_quorum_request};
use jackdaw_wire::{ErrorCode, OffsetAndEpoch};

use crate::messages::{self as build, fetched_partition, singleton};
use crate::{
    Config, Effect, ElectionState, Input, LeaderAndEpoch, LogState, NewAppend, Quorum, Request, Response,
    Validity,
};
use jackdaw_wire::types::METADATA_TOPIC_NAME;

const CLUSTER: &str = "tested";

/// `key=value` words after the first few.
struct Words<'a> {
    plain: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let (named, plain): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| word.contains('='));
        Self { plain, named: named.into_iter().filter_map(|word| word.split_once('=')).collect() }
    }

    fn id(&self, at: usize) -> i32 {
        self.plain[at].parse().expect("a node id")
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.named.get(name).and_then(|word| word.parse().ok())
    }

    fn list(&self, name: &str) -> Vec<&'a str> {
        self.named.get(name).map_or(Vec::new(), |word| word.split(',').collect())
    }
}

fn point(word: &str) -> OffsetAndEpoch {
    let (offset, epoch) = word.split_once('@').expect("offset@epoch");
    OffsetAndEpoch::new(offset.parse().expect("an offset"), epoch.parse().expect("an epoch"))
}

fn error_named(name: &str) -> ErrorCode {
    match name {
        "NOT_LEADER_OR_FOLLOWER" => ErrorCode::NotLeaderOrFollower,
        "FENCED_LEADER_EPOCH" => ErrorCode::FencedLeaderEpoch,
        "UNKNOWN_LEADER_EPOCH" => ErrorCode::UnknownLeaderEpoch,
        "SNAPSHOT_NOT_FOUND" => ErrorCode::SnapshotNotFound,
        "BROKER_NOT_AVAILABLE" => ErrorCode::BrokerNotAvailable,
        other => panic!("name {other} here first"),
    }
}

/// One node on the bench.
pub(super) struct Bench {
    machine: Quorum,
    now_ms: i64,
    tokens: u64,
    sent: BTreeMap<i32, (u64, &'static str)>,
    flush: Option<u64>,
}

impl Bench {
    /// `node 1 voters=1,2,3 epoch=2 leader=3 log=10 epochs=0@1,5@2 snapshots=5@1:100 start=5`
    pub fn start(line: &str) -> (Self, Vec<String>) {
        let words = Words::of(line);
        assert_eq!(words.plain[0], "node", "a script begins with its node");
        let voters = words.list("voters").into_iter().map(|word| word.parse::<i32>().expect("a voter"));
        let config = Config::new(words.id(1), voters.clone(), CLUSTER);
        let end_offset = words.number("log").unwrap_or(0);
        let log = LogState {
            start_offset: words.number("start").unwrap_or(0),
            end_offset,
            flushed_offset: end_offset,
            epochs: words.list("epochs").into_iter().map(point).map(|id| (id.epoch, id.offset)).collect(),
            snapshots: words
                .list("snapshots")
                .into_iter()
                .map(|word| {
                    let (id, size) = word.split_once(':').expect("id:size");
                    (point(id), size.parse().expect("a size"))
                })
                .collect(),
        };
        let persisted = words.number("epoch").map(|epoch| {
            let (leader, voted) = (words.number("leader"), words.number("voted"));
            (ElectionState { epoch, leader, voted }, voters.collect())
        });
        let machine = match Quorum::new(config, persisted, log, 0) {
            Ok(machine) => machine,
            Err(error) => panic!("{error}"),
        };
        let mut bench = Self { machine, now_ms: 0, tokens: 0, sent: BTreeMap::new(), flush: None };
        let effects = bench.step(Input::Tick);
        (bench, effects)
    }

    fn step(&mut self, input: Input) -> Vec<String> {
        let mut effects = Vec::new();
        if let Err(error) = self.machine.step(self.now_ms, input, &mut effects) {
            return vec![format!("FATAL {error}")];
        }
        for effect in &effects {
            match effect {
                Effect::Send { to, correlation, request } => {
                    self.sent.insert(*to, (*correlation, request_name(request)));
                }
                Effect::Flush { id } => self.flush = Some(*id),
                _ => {}
            }
        }
        effects.iter().map(show).chain([self.standing()]).collect()
    }

    fn standing(&self) -> String {
        let log = self.machine.log();
        let mark = self.machine.high_watermark().map_or("-".to_owned(), |mark| mark.to_string());
        format!(
            "= {} epoch={} log={} hw={mark}",
            self.machine.state_name(),
            self.machine.epoch(),
            log.end_offset
        )
    }

    pub fn play(&mut self, line: &str) -> Vec<String> {
        let words = Words::of(line);
        let input = match words.plain[0] {
            "at" => {
                self.now_ms = words.plain[1].parse().expect("a time");
                Input::Tick
            }
            "append" => Input::Append(vec![NewAppend {
                ticket: 7,
                epoch: words.number("epoch").unwrap_or(self.machine.epoch()),
                record_count: words.plain[1].parse().expect("a count"),
            }]),
            "flushed" => Input::Flushed { id: self.flush.take().expect("no flush is under way") },
            "reached" => Input::PeerReached { peer: words.id(1) },
            "lost" => Input::PeerLost { peer: words.id(1) },
            "resign" => Input::Resign { epoch: self.machine.epoch() },
            "shutdown" => Input::Shutdown { deadline_ms: self.now_ms + 5_000 },
            "snapshot" => Input::SnapshotCreated { id: point(words.plain[1]), size_bytes: 100 },
            "cleaned" => Input::Cleaned { log_start: words.plain[1].parse().expect("an offset") },
            "failed" => {
                let (correlation, _) = self.sent[&words.id(1)];
                Input::SendFailed { from: words.id(1), correlation }
            }
            "answer" => self.answer(&words),
            _ => self.request(&words),
        };
        self.step(input)
    }

    fn request(&mut self, words: &Words<'_>) -> Input {
        self.tokens += 1;
        let from = words.plain.get(1).map_or(-1, |_| words.id(1));
        let config = Config::new(from, [], words.named.get("cluster").copied().unwrap_or(CLUSTER));
        let epoch = words.number("epoch").unwrap_or(0);
        let end = words.named.get("end").map_or(OffsetAndEpoch::new(0, 0), |word| point(word));
        let request = match words.plain[0] {
            "vote" => Request::Vote(build::vote_request(&config, epoch, end)),
            "begin" => Request::BeginQuorumEpoch(build::begin_epoch_request(&config, epoch)),
            "end" => {
                let successors: Vec<i32> =
                    words.list("successors").into_iter().map(|id| id.parse().expect("a voter")).collect();
                Request::EndQuorumEpoch(build::end_epoch_request(&config, epoch, &successors))
            }
            "fetch" => {
                let fetch = build::fetch_request(&config, epoch, end);
                Request::Fetch(fetch.with_max_wait_ms(words.number("wait").unwrap_or(500)))
            }
            "fetch-snapshot" => {
                let position = words.number("position").unwrap_or(0);
                Request::FetchSnapshot(build::fetch_snapshot_request(&config, epoch, end, position))
            }
            "describe" => {
                let topic = describe_quorum_request::TopicData::default()
                    .with_topic_name(jackdaw_wire::messages::TopicName(
                        jackdaw_wire::StrBytes::from_static_str(METADATA_TOPIC_NAME),
                    ))
                    .with_partitions(vec![describe_quorum_request::PartitionData::default()]);
                Request::DescribeQuorum(DescribeQuorumRequest::default().with_topics(vec![topic]))
            }
            other => panic!("no such line: {other}"),
        };
        Input::Request { token: self.tokens, request }
    }

    /// `answer 2 granted`, `answer 2 rejected epoch=5 leader=3`, `answer 2 records=10..12@3 hw=10`, …
    fn answer(&mut self, words: &Words<'_>) -> Input {
        let from = words.id(1);
        let (correlation, api) = self.sent[&from];
        let error = words.named.get("error").map(|name| error_named(name));
        let epoch = words.number("epoch").unwrap_or(self.machine.epoch());
        let current = LeaderAndEpoch { leader: words.number("leader"), epoch };
        let response = match api {
            "Vote" => Response::Vote(build::vote_response(error, current, words.plain.contains(&"granted"))),
            "BeginQuorumEpoch" => Response::BeginQuorumEpoch(build::begin_epoch_response(error, current)),
            "EndQuorumEpoch" => Response::EndQuorumEpoch(build::end_epoch_response(error, current)),
            "Fetch" => {
                let validity = match (words.named.get("diverging"), words.named.get("snapshot")) {
                    (Some(end), _) => Validity::Diverging(point(end)),
                    (_, Some(id)) => Validity::Snapshot(point(id)),
                    _ => Validity::Valid,
                };
                let mut response = build::fetch_response(error, current, words.number("hw"), 0, validity);
                if let Some(range) = words.named.get("records") {
                    response.responses[0].partitions[0].records =
                        Some(batch(range, words.plain.contains(&"cut")));
                }
                Response::Fetch(response)
            }
            _ => {
                let id = words.named.get("id").map(|word| point(word));
                let position = words.number("position").unwrap_or(0);
                let piece = id.map(|id| (id, words.number("size").unwrap_or(0), position));
                let mut response = build::fetch_snapshot_response(error, current, piece);
                let bytes = vec![0; words.number("bytes").unwrap_or(0)];
                response.topics[0].partitions[0].unaligned_records = bytes.into();
                Response::FetchSnapshot(response)
            }
        };
        Input::Response { from, correlation, response }
    }
}

/// `10..12@3`: one batch; with `cut`, and the head of another one.
fn batch(range: &str, cut: bool) -> Bytes {
    let (base, end) = range.split_once("..").expect("base..end@epoch");
    let end = point(end);
    let base: i64 = base.parse().expect("an offset");
    let build = |from: i64, to: i64| {
        let mut builder = BatchBuilder::new(from, end.epoch);
        (from..to).for_each(|_| builder.append(0, None, Some(b"record")));
        builder.build()
    };
    let mut records = build(base, end.offset).to_vec();
    if cut {
        records.extend_from_slice(&build(end.offset, end.offset + 1)[..65]);
    }
    records.into()
}

fn request_name(request: &Request) -> &'static str {
    match request {
        Request::Vote(_) => "Vote",
        Request::BeginQuorumEpoch(_) => "BeginQuorumEpoch",
        Request::EndQuorumEpoch(_) => "EndQuorumEpoch",
        Request::Fetch(_) => "Fetch",
        Request::FetchSnapshot(_) => "FetchSnapshot",
        Request::DescribeQuorum(_) => "DescribeQuorum",
    }
}

fn error_text(code: i16) -> String {
    match code {
        0 => String::new(),
        code => format!(" {:?}", ErrorCode::try_from_code(code).expect("a known error")),
    }
}

fn who(leader: BrokerId) -> String {
    if leader.0 < 0 { "none".to_owned() } else { leader.0.to_string() }
}

fn show_request(request: &Request) -> String {
    match request {
        Request::Vote(request) => {
            let partition = singleton!(request.topics, topic_name, partition_index).expect("one partition");
            let end = format!("{}@{}", partition.last_offset, partition.last_offset_epoch);
            format!("Vote epoch={} end={end}", partition.candidate_epoch)
        }
        Request::BeginQuorumEpoch(request) => {
            let partition = singleton!(request.topics, topic_name, partition_index).expect("one partition");
            format!("BeginQuorumEpoch epoch={}", partition.leader_epoch)
        }
        Request::EndQuorumEpoch(request) => {
            let partition = singleton!(request.topics, topic_name, partition_index).expect("one partition");
            format!(
                "EndQuorumEpoch epoch={} successors={:?}",
                partition.leader_epoch, partition.preferred_successors
            )
        }
        Request::Fetch(request) => {
            let partition = build::fetch_partition(request).expect("one partition");
            let end = format!("{}@{}", partition.fetch_offset, partition.last_fetched_epoch);
            format!("Fetch epoch={} end={end}", partition.current_leader_epoch)
        }
        Request::FetchSnapshot(request) => {
            let partition = singleton!(request.topics, name, partition).expect("one partition");
            let id = format!("{}@{}", partition.snapshot_id.end_offset, partition.snapshot_id.epoch);
            format!(
                "FetchSnapshot epoch={} id={id} position={}",
                partition.current_leader_epoch, partition.position
            )
        }
        Request::DescribeQuorum(_) => "DescribeQuorum".to_owned(),
    }
}

fn show_fetch(response: &jackdaw_wire::messages::FetchResponse) -> String {
    let Some(partition) = fetched_partition(response) else {
        return format!("Fetch:{}", error_text(response.error_code));
    };
    let current = &partition.current_leader;
    let mut text = format!(
        "Fetch:{} epoch={} leader={} hw={}",
        error_text(partition.error_code),
        current.leader_epoch,
        who(current.leader_id),
        partition.high_watermark
    );
    if partition.diverging_epoch.epoch >= 0 {
        text += &format!(
            " diverging={}@{}",
            partition.diverging_epoch.end_offset, partition.diverging_epoch.epoch
        );
    }
    if partition.snapshot_id.epoch >= 0 {
        text += &format!(" snapshot={}@{}", partition.snapshot_id.end_offset, partition.snapshot_id.epoch);
    }
    text
}

fn show_response(response: &Response) -> String {
    match response {
        Response::Vote(response) => match singleton!(response.topics, topic_name, partition_index) {
            None => format!("Vote:{}", error_text(response.error_code)),
            Some(partition) => format!(
                "Vote: {}{} epoch={} leader={}",
                if partition.vote_granted { "granted" } else { "rejected" },
                error_text(partition.error_code),
                partition.leader_epoch,
                who(partition.leader_id)
            ),
        },
        Response::BeginQuorumEpoch(response) => {
            match singleton!(response.topics, topic_name, partition_index) {
                None => format!("BeginQuorumEpoch:{}", error_text(response.error_code)),
                Some(partition) => format!(
                    "BeginQuorumEpoch:{} epoch={} leader={}",
                    error_text(partition.error_code),
                    partition.leader_epoch,
                    who(partition.leader_id)
                ),
            }
        }
        Response::EndQuorumEpoch(response) => {
            match singleton!(response.topics, topic_name, partition_index) {
                None => format!("EndQuorumEpoch:{}", error_text(response.error_code)),
                Some(partition) => format!(
                    "EndQuorumEpoch:{} epoch={} leader={}",
                    error_text(partition.error_code),
                    partition.leader_epoch,
                    who(partition.leader_id)
                ),
            }
        }
        Response::Fetch(response) => show_fetch(response),
        Response::FetchSnapshot(response) => match singleton!(response.topics, name, index) {
            None => format!("FetchSnapshot:{}", error_text(response.error_code)),
            Some(partition) => format!("FetchSnapshot:{}", error_text(partition.error_code)),
        },
        Response::DescribeQuorum(response) => {
            let partition = &response.topics[0].partitions[0];
            let replicas = |states: &[jackdaw_wire::messages::describe_quorum_response::ReplicaState]| {
                let shown: Vec<String> = states
                    .iter()
                    .map(|state| {
                        let (id, end) = (state.replica_id.0, state.log_end_offset);
                        format!(
                            "{id}:{end} fetched={} caught-up={}",
                            state.last_fetch_timestamp, state.last_caught_up_timestamp
                        )
                    })
                    .collect();
                shown.join(", ")
            };
            format!(
                "DescribeQuorum:{} epoch={} leader={} hw={} voters [{}] observers [{}]",
                error_text(partition.error_code),
                partition.leader_epoch,
                who(partition.leader_id),
                partition.high_watermark,
                replicas(&partition.current_voters),
                replicas(&partition.observers)
            )
        }
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::Persist(state) => {
            let id = |id: Option<i32>| id.map_or("-".to_owned(), |id| id.to_string());
            format!("persist epoch={} leader={} voted={}", state.epoch, id(state.leader), id(state.voted))
        }
        Effect::AppendLeaderChange { base_offset, epoch, granting, .. } => {
            format!("append LEADER_CHANGE at {base_offset} epoch={epoch} by {granting:?}")
        }
        Effect::Append { ticket, base_offset, epoch } => {
            format!("append #{ticket} at {base_offset} epoch={epoch}")
        }
        Effect::RejectAppend { ticket, current } => {
            format!("reject #{ticket} epoch={} leader={:?}", current.epoch, current.leader)
        }
        Effect::AppendFetched { base_offset, records } => {
            let count = jackdaw_wire::batch::batches(records).count();
            format!("append {count} fetched batches at {base_offset}")
        }
        Effect::Truncate { end_offset } => format!("truncate to {end_offset}"),
        Effect::Flush { .. } => "flush".to_owned(),
        Effect::FlushNow => "flush now".to_owned(),
        Effect::SnapshotChunk { id, position, bytes } => {
            format!("snapshot {}@{} gets {} bytes at {position}", id.offset, id.epoch, bytes.len())
        }
        Effect::RestartLogAt { id, .. } => format!("restart the log at snapshot {}@{}", id.offset, id.epoch),
        Effect::Send { to, request, .. } => format!("to {to}: {}", show_request(request)),
        Effect::Reply { response, .. } => format!("reply {}", show_response(response)),
        Effect::ReplyFetch { response, offset, end, .. } => {
            format!("reply {} records={offset}..{end}", show_fetch(response))
        }
        Effect::ReplySnapshot { id, position, .. } => {
            format!("reply FetchSnapshot: {}@{} from {position}", id.offset, id.epoch)
        }
        Effect::Leader { current, epoch_start } => {
            let start = epoch_start.map_or(String::new(), |start| format!(" from {start}"));
            let leader = current.leader.map_or("none".to_owned(), |id| id.to_string());
            format!("tell leader={leader} epoch={}{start}", current.epoch)
        }
        Effect::HighWatermark(mark) => format!("tell hw={mark}"),
        Effect::ShutdownComplete => "stopped".to_owned(),
    }
}
