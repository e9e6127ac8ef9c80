//! `kafka-console-producer.sh`: each line of stdin becomes a record (`kafka.tools.ConsoleProducer`).

use crate::admin::host_and_port;
use crate::cli::{Done, Stop, check_required, end, help_or_version, merge, properties_of};
use crate::clients::consumer::Header;
use crate::clients::producer::{Delivery, Producer, Record};
use crate::errors::Exception;
use crate::jopt::{self, Given};
use crate::options::console_producer::OPTIONS;
use crate::properties::{self, Properties};
use crate::{errln, print};
use regex::Regex;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

const LINE_READER: &str = "kafka.tools.ConsoleProducer$LineMessageReader";
const KAFKA_EXCEPTION: &str = "org.apache.kafka.common.KafkaException";
/// Lines that are read ahead.
const AHEAD: usize = 1024;

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    end(OPTIONS, produce(args), |exception| {
        match exception.class.starts_with("joptsimple.") {
            true => errln!("{}", exception.message),
            false => errln!("{}", exception.trace()),
        }
        1
    })
}

fn produce(args: &[String]) -> Done {
    let given = jopt::parse(OPTIONS, args).map_err(|error| Stop::Usage(error.message))?;
    help_or_version(
        &given,
        args,
        "This tool helps to read data from standard input and publish it to Kafka.",
    )?;
    check_required(&given, &["topic"])?;
    let topic = given.value("topic")?.unwrap_or_default();
    let servers = if given.has("bootstrap-server") { "bootstrap-server" } else { "broker-list" };
    let servers = given.value(servers)?.unwrap_or_default();
    if servers.split(',').any(|server| host_and_port(server).is_none()) {
        return Err(Stop::Usage("Please provide valid host:port like host1:9091,host2:9092\n ".to_owned()));
    }
    let mut producer = Producer::create(&producer_properties(&given, &servers)?)?;
    let mut reader_properties = properties_of(&given, "reader-config")?;
    reader_properties.insert("topic".into(), topic);
    reader_properties.extend(properties::pairs(&given.values("property")));
    let class = given.value("line-reader")?.unwrap_or_default();
    if class != LINE_READER {
        return Err(Exception::new("java.lang.ClassNotFoundException", class).into());
    }
    let reader = LineReader::configure(&reader_properties)?;
    let done = read_all(&mut producer, &reader, given.has("sync"));
    producer.flush();
    report(&mut producer);
    Ok(done?)
}

fn producer_properties(given: &Given, servers: &str) -> Done<Properties> {
    let mut properties = properties_of(given, "producer.config")?;
    properties.extend(properties::pairs(&given.values("producer-property")));
    properties.insert("bootstrap.servers".into(), servers.to_owned());
    let codec = match given.has("compression-codec") {
        false => "none".to_owned(),
        true => given
            .value("compression-codec")?
            .filter(|codec| !codec.is_empty())
            .unwrap_or_else(|| "gzip".into()),
    };
    properties.insert("compression.type".into(), codec);
    properties.entry("client.id".into()).or_insert_with(|| "console-producer".into());
    merge(
        &mut properties,
        given,
        &[
            ("linger.ms", "timeout"),
            ("acks", "request-required-acks"),
            ("request.timeout.ms", "request-timeout-ms"),
            ("retries", "message-send-max-retries"),
            ("retry.backoff.ms", "retry-backoff-ms"),
            ("send.buffer.bytes", "socket-buffer-size"),
            ("buffer.memory", "max-memory-bytes"),
            ("batch.size", "batch-size"),
            ("batch.size", "max-partition-memory-bytes"),
            ("metadata.max.age.ms", "metadata-expiry-ms"),
            ("max.block.ms", "max-block-ms"),
        ],
    )?;
    Ok(properties)
}

/// Lines until stdin ends; batches go out meanwhile.
fn read_all(producer: &mut Producer, reader: &LineReader, sync: bool) -> Result<(), Exception> {
    let prompt = io::stdin().is_terminal() && io::stdout().is_terminal();
    let show_prompt = || {
        if prompt {
            let _ = print::stdout().write_all(b">");
            print::flush();
        }
    };
    let lines = lines();
    let mut number = 0;
    show_prompt();
    loop {
        let line = match producer.next_due() {
            Some(wait) if wait.is_zero() => match lines.try_recv() {
                Ok(line) => Ok(line),
                Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
                Err(mpsc::TryRecvError::Empty) => {
                    producer.poll(Duration::from_millis(100));
                    report(producer);
                    continue;
                }
            },
            Some(wait) => lines.recv_timeout(wait),
            None => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match line {
            Ok(line) => {
                number += 1;
                let record = reader.record(&line, number)?;
                producer.send(record);
                if sync {
                    producer.flush();
                    if let Some(error) = producer.done().into_iter().find_map(|done| done.outcome.err()) {
                        return Err(error.in_execution());
                    }
                }
                show_prompt();
            }
            Err(RecvTimeoutError::Timeout) => producer.poll(Duration::ZERO),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        report(producer);
    }
}

/// The lines of stdin, read by a thread of their own. A line ends as Java's do: with LF, CR, or both.
fn lines() -> Receiver<String> {
    let (to, lines) = mpsc::sync_channel(AHEAD);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut line = Vec::new();
        while matches!(stdin.read_until(b'\n', &mut line), Ok(read) if read > 0) {
            let text = String::from_utf8_lossy(&line);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            for part in text.split('\r') {
                if to.send(part.to_owned()).is_err() {
                    return;
                }
            }
            line.clear();
        }
    });
    lines
}

/// What `ErrorLoggingCallback` says of records that did not arrive.
fn report(producer: &mut Producer) {
    for Delivery { record, outcome, .. } in producer.done() {
        let Err(error) = outcome else { continue };
        let length = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map_or("null".into(), |bytes| format!("{} bytes", bytes.len()))
        };
        let said = format!(
            "Error when sending message to topic {} with key: {}, value: {} with error:",
            record.topic,
            length(&record.key),
            length(&record.value)
        );
        print::log_thrown(
            "ERROR",
            "org.apache.kafka.clients.producer.internals.ErrorLoggingCallback",
            &said,
            &error,
        );
    }
}

/// `LineMessageReader`
struct LineReader {
    topic: String,
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: Regex,
    headers_key_separator: String,
    ignore_error: bool,
    null_marker: Option<String>,
}

impl LineReader {
    fn configure(properties: &Properties) -> Result<Self, Exception> {
        let is =
            |key: &str| properties.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        let or = |key: &str, default: &str| properties.get(key).map_or(default, String::as_str).to_owned();
        let key_separator = or("key.separator", "\t");
        let headers_delimiter = or("headers.delimiter", "\t");
        let separator = or("headers.separator", ",");
        let headers_key_separator = or("headers.key.separator", ":");
        let null_marker = properties.get("null.marker").cloned();
        let texts = [
            ("headers.delimiter", Some(&headers_delimiter)),
            ("headers.separator", Some(&separator)),
            ("headers.key.separator", Some(&headers_key_separator)),
            ("key.separator", Some(&key_separator)),
            ("null.marker", null_marker.as_ref()),
        ];
        for (first, second) in [(0, 1), (0, 2), (1, 2), (4, 3), (4, 1), (4, 0), (4, 2)] {
            if texts[first].1 == texts[second].1 {
                let message = format!("{} and {} may not be equal", texts[first].0, texts[second].0);
                return Err(Exception::new(KAFKA_EXCEPTION, message));
            }
        }
        let headers_separator = Regex::new(&separator)
            .map_err(|error| Exception::new("java.util.regex.PatternSyntaxException", error.to_string()))?;
        Ok(LineReader {
            topic: or("topic", ""),
            parse_key: is("parse.key"),
            key_separator,
            parse_headers: is("parse.headers"),
            headers_delimiter,
            headers_separator,
            headers_key_separator,
            ignore_error: is("ignore.error"),
            null_marker,
        })
    }

    fn record(&self, line: &str, number: usize) -> Result<Record, Exception> {
        let (headers, rest) = match self.parse_headers {
            true => self.cut(line, line, &self.headers_delimiter, "headers delimiter", number)?,
            false => (None, line),
        };
        let (key, value) = match self.parse_key {
            true => self.cut(line, rest, &self.key_separator, "key separator", number)?,
            false => (None, rest),
        };
        let bytes =
            |text: &str| (Some(text) != self.null_marker.as_deref()).then(|| text.as_bytes().to_vec());
        Ok(Record {
            topic: self.topic.clone(),
            key: key.and_then(bytes),
            value: bytes(value),
            headers: match headers.filter(|headers| Some(*headers) != self.null_marker.as_deref()) {
                Some(headers) => self.headers(headers, number)?,
                None => Vec::new(),
            },
            ..Record::default()
        })
    }

    fn cut<'a>(
        &self,
        line: &str,
        rest: &'a str,
        mark: &str,
        name: &str,
        number: usize,
    ) -> Result<(Option<&'a str>, &'a str), Exception> {
        match rest.split_once(mark) {
            Some((part, rest)) => Ok((Some(part), rest)),
            None if self.ignore_error => Ok((None, rest)),
            None => {
                let message = format!("No {name} found on line number {number}: '{line}'");
                Err(Exception::new(KAFKA_EXCEPTION, message))
            }
        }
    }

    fn headers(&self, text: &str, number: usize) -> Result<Vec<Header>, Exception> {
        let mut parts: Vec<&str> = self.headers_separator.split(text).collect();
        while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
        let mut headers = Vec::new();
        for pair in parts {
            let header = match pair.split_once(self.headers_key_separator.as_str()) {
                None if self.ignore_error => (pair.to_owned(), None),
                None => {
                    let message =
                        format!("No header key separator found in pair '{pair}' on line number {number}");
                    return Err(Exception::new(KAFKA_EXCEPTION, message));
                }
                Some((key, _)) if Some(key) == self.null_marker.as_deref() => {
                    let message = format!(
                        "Header keys should not be equal to the null marker '{key}' as they can't be null"
                    );
                    return Err(Exception::new(KAFKA_EXCEPTION, message));
                }
                Some((key, value)) => {
                    let value =
                        (Some(value) != self.null_marker.as_deref()).then(|| value.as_bytes().to_vec());
                    (key.to_owned(), value)
                }
            };
            headers.push(header);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(properties: &[(&str, &str)], line: &str) -> Result<Record, String> {
        let properties =
            properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let reader = LineReader::configure(&properties).map_err(|error| error.message)?;
        reader.record(line, 1).map_err(|error| error.message)
    }

    #[test]
    fn lines_are_taken_apart_as_the_properties_say() {
        let all = [("parse.key", "true"), ("parse.headers", "true"), ("null.marker", "NULL")];
        let record = read(&all, "h1:v1,h2:NULL\tkey\tvalue\tmore").unwrap();
        assert_eq!(record.key.as_deref(), Some(&b"key"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"value\tmore"[..]));
        assert_eq!(record.headers, [("h1".to_owned(), Some(b"v1".to_vec())), ("h2".to_owned(), None)]);
        assert_eq!(read(&all, "NULL\tNULL\tNULL").unwrap().value, None);
        assert_eq!(read(&[], "a\tb").unwrap().value.as_deref(), Some(&b"a\tb"[..]));
    }

    #[test]
    fn what_does_not_fit_is_said_in_kafkas_words() {
        let keyed = [("parse.key", "true"), ("key.separator", "=")];
        assert_eq!(read(&keyed, "abc").unwrap_err(), "No key separator found on line number 1: 'abc'");
        let lenient = [("parse.key", "true"), ("ignore.error", "true")];
        assert_eq!(read(&lenient, "abc").unwrap().value.as_deref(), Some(&b"abc"[..]));
        let said = read(&[("headers.separator", "\t")], "x").unwrap_err();
        assert_eq!(said, "headers.delimiter and headers.separator may not be equal");
    }
}
