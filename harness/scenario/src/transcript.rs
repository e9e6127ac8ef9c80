//! Replies as text in which two runs of a scenario are equal: fields at their default are left out, and
//! what depends on the run has a stable name. It must not judge what it tells.

use crate::records::{Names, describe};
use crate::schema::{Field, Type};
use crate::value::{Value, default_of};
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Times this far from "now" were chosen by the scenario and are told exactly.
const CHOSEN_MS: i64 = 30_000;
/// How far "now" lies before the start of the scenario, so that no clock reads it again.
pub const NOW_LIES_BACK_MS: i64 = 60_000;

/// Fields that depend on the run wherever they stand, and what they are called.
const RUN_DEPENDENT: [(&str, &str, &str); 14] = [
    ("", "broker_epoch", "<broker epoch>"),
    ("", "throttle_time_ms", "<throttled>"),
    ("Metadata", "controller_id", "<a node>"),
    ("DescribeCluster", "controller_id", "<a node>"),
    ("DescribeQuorum", "leader_id", "<the leader>"),
    ("DescribeQuorum", "leader_epoch", "<epoch>"),
    ("DescribeQuorum", "high_watermark", "<offset>"),
    ("DescribeQuorum", "log_end_offset", "<offset>"),
    ("DescribeQuorum", "last_fetch_timestamp", "<time>"),
    ("DescribeQuorum", "last_caught_up_timestamp", "<time>"),
    ("AllocateProducerIds", "producer_id_start", "<producer id>"),
    ("ApiVersions", "finalized_features_epoch", "<metadata offset>"),
    ("DescribeLogDirs", "total_bytes", "<bytes>"),
    ("DescribeLogDirs", "usable_bytes", "<bytes>"),
];

/// Numbers that name something: zero is one of them.
const NUMBERS: [&str; 6] =
    ["api_key", "partition", "partition_index", "partition_id", "node_id", "base_offset"];

/// Kafka's error codes by name (`org.apache.kafka.common.protocol.Errors`).
const ERRORS: &str = include_str!("errors.txt");

/// Codes and names.
pub fn errors() -> impl Iterator<Item = (i64, &'static str)> {
    ERRORS.lines().filter_map(|line| {
        let (code, name) = line.split_once(' ')?;
        Some((code.parse().ok()?, name))
    })
}

/// The name of an error code.
pub fn error_name(code: i64) -> &'static str {
    errors().find(|(known, _)| *known == code).map_or("an unknown error", |(_, name)| name)
}

/// What one run has named so far.
#[derive(Debug, Default)]
pub struct Naming {
    /// The moment that the scenario calls now.
    pub now_ms: i64,
    /// Topics by id.
    pub topics: Vec<([u8; 16], String)>,
    /// Texts of this run, each with its name.
    pub texts: Vec<(String, String)>,
    producers: Vec<i64>,
    sessions: Vec<i64>,
    /// Random parts of texts: what makes member ids of groups unlike each other.
    randoms: Vec<String>,
}

impl Names for Naming {
    fn time(&mut self, ms: i64) -> String {
        match ms - self.now_ms {
            0 => "now".into(),
            back @ -7_200_000..=-1 => format!("now{back}"),
            chosen @ 1..CHOSEN_MS => format!("now+{chosen}"),
            CHOSEN_MS..=600_000 => "<the clock>".into(),
            _ => ms.to_string(),
        }
    }

    fn producer(&mut self, id: i64) -> String {
        format!("producer {}", place(&mut self.producers, id))
    }
}

fn place(known: &mut Vec<i64>, id: i64) -> usize {
    let at = known.iter().position(|one| *one == id).unwrap_or_else(|| {
        known.push(id);
        known.len() - 1
    });
    at + 1
}

impl Naming {
    /// Nothing is named yet but these texts.
    pub fn new(now_ms: i64, texts: Vec<(String, String)>) -> Self {
        Naming { now_ms, texts, ..Naming::default() }
    }

    /// Zero is the first id that is given out, and what stands where there is no producer.
    fn has_producer(&self, id: &Value) -> bool {
        matches!(id, Value::Int(id) if self.producers.contains(id))
    }

    /// Keeps the ids of topics that a reply names.
    pub fn learn(&mut self, value: &Value) {
        let name = value.get("name").or(value.get("topic")).and_then(Value::str);
        if let (Some(name), Some(Value::Uuid(id))) = (name, value.get("topic_id"))
            && *id != [0; 16]
            && !self.topics.iter().any(|(known, _)| known == id)
        {
            self.topics.push((*id, name.to_owned()));
            self.texts.push((base64(id), format!("<id of {name}>")));
        }
        match value {
            Value::Struct(fields) => fields.iter().for_each(|(_, value)| self.learn(value)),
            Value::Array(items) => items.iter().for_each(|value| self.learn(value)),
            _ => {}
        }
    }

    fn topic(&self, id: &[u8; 16]) -> String {
        match self.topics.iter().rev().find(|(known, _)| known == id) {
            Some((_, name)) => format!("<id of {name}>"),
            None if *id == [0; 16] => "zero".into(),
            None if id.starts_with(&[0; 15]) => format!("id {}", id[15]),
            None => "<an id>".into(),
        }
    }

    fn text(&mut self, text: &str) -> String {
        let text = without_clock(&self.known(text), self.now_ms);
        let text = self.without_random(text);
        let text = without_controller(&text);
        if text.is_empty() { "\"\"".into() } else { text }
    }

    /// A line in Kafka's own words, with the names of this run.
    pub fn line(&mut self, line: &str) -> String {
        const PRODUCER: &str = "producerId:";
        let line = self.text(line);
        let Some((before, rest)) = line.split_once(PRODUCER) else { return line };
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        match rest[..digits].parse() {
            Ok(id) => format!("{before}{PRODUCER}{}{}", self.producer(id), &rest[digits..]),
            Err(_) => line,
        }
    }

    /// A text with the names that are given so far.
    fn known(&self, text: &str) -> String {
        let named = |text: String, (found, name): &(String, String)| text.replace(found.as_str(), name);
        self.texts.iter().fold(text.to_owned(), named)
    }

    /// Names what looks like a Java UUID by the order of first sight.
    fn without_random(&mut self, mut text: String) -> String {
        while let Some(random) = random_in(&text) {
            let at = self.randoms.iter().position(|known| *known == random).unwrap_or_else(|| {
                self.randoms.push(random.clone());
                self.randoms.len() - 1
            });
            text = text.replace(&random, &format!("<random {}>", at + 1));
        }
        text
    }

    /// What a text is ordered by: random parts by when they were first seen, new ones last.
    fn order_of(&self, text: &str) -> String {
        let numbered =
            |text: String, (at, random): (usize, &String)| text.replace(random, &format!("{at:08}"));
        self.randoms.iter().enumerate().fold(self.known(text), numbered)
    }
}

/// The first part of a text that has the shape of a UUID.
fn random_in(text: &str) -> Option<String> {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let is_random = |part: &[u8]| {
        part.iter().enumerate().all(|(at, byte)| match DASHES.contains(&at) {
            true => *byte == b'-',
            false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
    };
    let found = text.as_bytes().windows(36).find(|part| is_random(part))?;
    Some(String::from_utf8_lossy(found).into_owned())
}

/// The node that happens to be the active controller, where a refusal names it (`ControllerExceptions`).
fn without_controller(text: &str) -> String {
    const NAMED: &str = "The active controller appears to be node ";
    match text.strip_prefix(NAMED).and_then(|rest| rest.strip_suffix('.')) {
        Some(id) if id.parse::<u32>().is_ok() => format!("{NAMED}<the controller>."),
        _ => text.to_owned(),
    }
}

/// Times of this run within a text: numbers of 13 digits that are near to now.
fn without_clock(text: &str, now_ms: i64) -> String {
    const NEAR_MS: i64 = 24 * 3_600_000;
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let is_time = digits.len() == 13 && digits.parse().is_ok_and(|ms: i64| (ms - now_ms).abs() < NEAR_MS);
        out.push_str(if is_time { "<a time>" } else { &digits });
        digits.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

/// An id as Kafka prints it.
fn base64(id: &[u8; 16]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = u128::from_be_bytes(*id);
    (0..22).map(|at| DIGITS[((number << 4 >> (126 - 6 * at).min(122)) & 63) as usize] as char).collect()
}

/// What a reply is told with.
pub struct Teller<'a> {
    /// Its API.
    pub api: &'a str,
    /// Fields left out by the step.
    pub redact: &'a [String],
    /// Whether arrays keep their order.
    pub ordered: bool,
    /// Names of this run.
    pub naming: &'a mut Naming,
}

impl Teller<'_> {
    /// The text of a reply.
    pub fn tell(&mut self, fields: &[Field], value: &Value) -> String {
        self.naming.learn(value);
        let mut out = String::new();
        self.fields(fields, value, 0, &mut out);
        if out.is_empty() { "(nothing but defaults)\n".into() } else { out }
    }

    fn fields(&mut self, fields: &[Field], value: &Value, depth: usize, out: &mut String) {
        let Value::Struct(values) = value else { return };
        let has_failed = values.iter().any(|(name, code)| name == "error_code" && *code != Value::Int(0));
        for (name, value) in values {
            if self.redact.contains(name) {
                continue;
            }
            let Some(field) = known(fields, name, value) else {
                let _ = writeln!(out, "{}{name}: {value:?}", "  ".repeat(depth));
                continue;
            };
            let is_producer = name == "producer_id" && !has_failed && self.naming.has_producer(value);
            if *value != default_of(field) || is_producer || NUMBERS.contains(&name.as_str()) {
                self.field(field, value, depth, out);
            }
        }
    }

    fn field(&mut self, field: &Field, value: &Value, depth: usize, out: &mut String) {
        let pad = "  ".repeat(depth);
        let name = &field.name;
        match (&field.kind, value) {
            (Type::Struct(inner), Value::Struct(_)) => {
                let _ = writeln!(out, "{pad}{name}:");
                self.fields(inner, value, depth + 1, out);
            }
            (Type::Array(of), Value::Array(items)) => match &**of {
                Type::Struct(inner) => {
                    let _ = writeln!(out, "{pad}{name}:{}", if items.is_empty() { " []" } else { "" });
                    let mut items: Vec<&Value> = items.iter().collect();
                    if !self.ordered {
                        items.sort_by(|a, b| self.order(a, b));
                    }
                    for item in items {
                        let mut text = String::new();
                        self.fields(inner, item, depth + 1, &mut text);
                        let body = text.trim_start();
                        let _ =
                            writeln!(out, "{pad}- {}", if body.is_empty() { "{}" } else { body.trim_end() });
                    }
                }
                _ => {
                    let mut items: Vec<&Value> = items.iter().collect();
                    if name == "partitions" && !self.ordered {
                        items.sort_by_key(|item| match item {
                            Value::Int(number) => *number,
                            _ => i64::MAX,
                        });
                    }
                    let items: Vec<String> = items.iter().map(|item| self.scalar(name, item)).collect();
                    let _ = writeln!(out, "{pad}{name}: [{}]", items.join(", "));
                }
            },
            (Type::Records, Value::Bytes(bytes)) if !bytes.is_empty() => {
                let _ = writeln!(out, "{pad}{name}:");
                let with_epochs = !self.redact.iter().any(|field| field == "leader_epoch");
                for line in describe(bytes, self.naming).lines() {
                    let line = if with_epochs { line.to_owned() } else { without_epoch(line) };
                    let _ = writeln!(out, "{pad}  {line}");
                }
            }
            (Type::Records, Value::Bytes(_)) => {
                let _ = writeln!(out, "{pad}{name}: empty");
            }
            _ => {
                let _ = writeln!(out, "{pad}{name}: {}", self.scalar(name, value));
            }
        }
    }

    fn scalar(&mut self, name: &str, value: &Value) -> String {
        let dependent = RUN_DEPENDENT
            .iter()
            .find(|(api, field, _)| *field == name && (api.is_empty() || *api == self.api));
        match (value, dependent) {
            (Value::Int(0..), Some((.., word))) => (*word).to_owned(),
            (Value::Int(code), _) if name == "error_code" => format!("{code} {}", error_name(*code)),
            (Value::Int(id @ 0..), _) if name == "producer_id" => self.naming.producer(*id),
            (Value::Int(id), _) if name == "session_id" && *id != 0 => {
                format!("session {}", place(&mut self.naming.sessions, *id))
            }
            (Value::Int(ms @ 0..), _) if name.ends_with("timestamp") || name.ends_with("_time_ms") => {
                self.naming.time(*ms)
            }
            (Value::Int(port), _) if name == "port" => self.naming.text(&port.to_string()),
            (Value::Int(number), _) => number.to_string(),
            (Value::Bool(flag), _) => flag.to_string(),
            (Value::Float(number), _) => number.to_string(),
            // A container sees the bridge's address, where a process sees the loopback's.
            (Value::Str(host), _) if name == "client_host" && is_address(host) => "/<the client>".into(),
            (Value::Str(text), _) => self.naming.text(text),
            (Value::Uuid(id), _) => self.naming.topic(id),
            (Value::Bytes(bytes), _) => format!("{} bytes", bytes.len()),
            (Value::Null, _) => "null".into(),
            (Value::Struct(_) | Value::Array(_), _) => String::new(),
        }
    }

    /// Replies list most things in the order of a hash map: they are told by their names and numbers,
    /// whatever became of them. Nulls come first, so that the order is a total one.
    fn order(&self, a: &Value, b: &Value) -> Ordering {
        let (Value::Struct(a), Value::Struct(b)) = (a, b) else { return Ordering::Equal };
        let pairs = a.iter().zip(b).filter(|((name, _), _)| name != "error_code" && name != "error_message");
        let compared = pairs.map(|((_, a), (_, b))| match (a, b) {
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Str(a), Value::Str(b)) => self.naming.order_of(a).cmp(&self.naming.order_of(b)),
            (Value::Uuid(a), Value::Uuid(b)) => self.naming.topic(a).cmp(&self.naming.topic(b)),
            (a, b) => matches!(b, Value::Null).cmp(&matches!(a, Value::Null)),
        });
        compared.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// An address as Java prints one that has no name.
fn is_address(host: &str) -> bool {
    host.strip_prefix('/').is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok())
}

/// A batch's first line without its leader epoch.
fn without_epoch(line: &str) -> String {
    match line.split_once(" of leader epoch ") {
        Some((batch, rest)) if batch.starts_with("batch ") => {
            format!("{batch}{}", rest.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit()))
        }
        _ => line.to_owned(),
    }
}

/// The field of that name; where versions differ in its type, the one that fits.
fn known<'a>(fields: &'a [Field], name: &str, value: &Value) -> Option<&'a Field> {
    let mut named = fields.iter().filter(|field| field.name == name);
    let first = named.next()?;
    let is_array = |field: &Field| matches!(field.kind, Type::Array(_));
    let fits = |field: &&Field| is_array(field) == matches!(value, Value::Array(_));
    Some(if fits(&first) { first } else { named.find(fits).unwrap_or(first) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::api;

    fn of(fields: &[(&str, Value)]) -> Value {
        Value::Struct(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    #[test]
    fn ids_are_printed_as_kafka_does() {
        assert_eq!(base64(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64(&[0xff; 16]), "_____________________w");
        assert_eq!(base64(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "AAAAAAAAAAAAAAAAAAAAAQ");
    }

    #[test]
    fn what_depends_on_the_run_has_a_name_and_lists_are_in_order() {
        let topic = |name: &str, id: u8| {
            let id = Value::Uuid([id; 16]);
            of(&[("name", Value::Str(name.into())), ("topic_id", id), ("error_code", Value::Int(36))])
        };
        let broker = |id: i64| {
            of(&[
                ("node_id", Value::Int(id)),
                ("host", Value::Str("localhost".into())),
                ("port", Value::Int(40_000 + id)),
            ])
        };
        let reply = of(&[
            ("brokers", Value::Array(vec![broker(10), broker(2)])),
            ("controller_id", Value::Int(2)),
            ("topics", Value::Array(vec![topic("b", 9), topic("a", 8)])),
        ]);
        let mut naming =
            Naming { texts: vec![("40002".into(), "<port of node 2>".into())], ..Naming::default() };
        let mut teller = Teller { api: "Metadata", redact: &[], ordered: false, naming: &mut naming };
        insta::assert_snapshot!(teller.tell(&api("Metadata").unwrap().response, &reply));
    }

    #[test]
    fn a_client_s_address_has_a_name_and_anything_else_is_told() {
        let mut naming = Naming::default();
        let mut teller = Teller { api: "DescribeGroups", redact: &[], ordered: false, naming: &mut naming };
        for (host, told) in [
            ("/127.0.0.1", "/<the client>"),
            ("/192.168.32.1", "/<the client>"),
            ("/::1", "/<the client>"),
            ("127.0.0.1", "127.0.0.1"),
            ("localhost/127.0.0.1", "localhost/127.0.0.1"),
        ] {
            assert_eq!(teller.scalar("client_host", &Value::Str(host.into())), told);
        }
    }

    #[test]
    fn member_ids_are_told_in_the_order_of_first_sight() {
        let mut naming = Naming::default();
        let (early, late) =
            ("c-f0000000-0000-4000-8000-000000000000", "c-00000000-0000-4000-8000-00000000000f");
        assert_eq!(naming.text(&format!("{early} of g")), "c-<random 1> of g");
        assert!(naming.order_of(early) < naming.order_of(late));
        assert_eq!([late, early].map(|id| naming.text(id)), ["c-<random 2>", "c-<random 1>"]);
        assert_eq!(naming.text("00000000-0000-4000-8000-00000000000"), "00000000-0000-4000-8000-00000000000");
    }

    #[test]
    fn times_that_the_scenario_chose_are_told_exactly() {
        let mut naming = Naming { now_ms: 1_000_000_000, ..Naming::default() };
        let told: Vec<String> = [0, 5, -10, NOW_LIES_BACK_MS, 99_000_000, -1_000_000_001]
            .map(|offset| naming.time(1_000_000_000 + offset))
            .to_vec();
        assert_eq!(told, ["now", "now+5", "now-10", "<the clock>", "1099000000", "-1"]);
    }
}
