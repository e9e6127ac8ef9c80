//! `kafka-consumer-perf-test.sh`: how fast records can be read (`org.apache.kafka.tools.ConsumerPerformance`).

use crate::cli::{
    Done, Stop, check_required, end, help_or_version, message_and_trace, now_ms, properties_of,
};
use crate::clients::consumer::{Consumer, Source};
use crate::errors::Exception;
use crate::jopt;
use crate::options::consumer_perf_test::OPTIONS;
use crate::{errln, outln, print};
use std::time::Duration;

const POLL: Duration = Duration::from_millis(100);

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    end(OPTIONS, measure(args), message_and_trace)
}

/// What was read until a moment.
#[derive(Clone, Copy)]
struct Seen {
    at_ms: i64,
    records: u64,
    bytes: u64,
}

impl Seen {
    fn megabytes_since(self, before: Seen) -> f64 {
        (self.bytes - before.bytes) as f64 / (1024.0 * 1024.0)
    }
}

fn measure(args: &[String]) -> Done {
    let given = jopt::parse(OPTIONS, args).map_err(|error| Stop::Usage(error.message))?;
    if given.has("threads") || given.has("num-fetch-threads") {
        outln!(
            "WARNING: option [threads] and [num-fetch-threads] have been deprecated and will be ignored by the test"
        );
    }
    help_or_version(&given, args, "This tool is used to verify the consumer performance.")?;
    check_required(&given, &["topic", "messages"])?;
    let detailed = given.has("show-detailed-stats");
    if !given.has("hide-header") {
        let first = if detailed { "time, threadId" } else { "start.time, end.time" };
        outln!(
            "{first}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, \
             fetch.MB.sec, fetch.nMsg.sec"
        );
        print::flush();
    }
    let mut properties = properties_of(&given, "consumer.config")?;
    let servers = if given.has("bootstrap-server") { "bootstrap-server" } else { "broker-list" };
    properties.insert("bootstrap.servers".into(), given.value(servers)?.unwrap_or_default());
    properties.insert("max.partition.fetch.bytes".into(), given.checked("fetch-size")?.unwrap_or_default());
    let reset = if given.has("from-latest") { "latest" } else { "earliest" };
    properties.insert("auto.offset.reset".into(), reset.into());
    properties.entry("client.id".into()).or_insert_with(|| "perf-consumer-client".into());
    let wanted = given.number::<u64>("messages")?.unwrap_or_default();
    let timeout_ms = given.number::<i64>("timeout")?.unwrap_or(10_000);
    let interval_ms = given.number::<i64>("reporting-interval")?.unwrap_or(5_000);
    if interval_ms <= 0 {
        return Err(Exception::argument("Reporting interval must be greater than 0.").into());
    }
    let format = given.value("date-format")?.unwrap_or_default();
    let group = match given.has("group") {
        true => given.value("group")?,
        // A group that is made up for the test counts its rebalance as well.
        false => Some(format!("perf-consumer-{}", rand::random::<u32>() % 100_000)),
    };
    let topic = given.value("topic")?.unwrap_or_default();
    let mut consumer = Consumer::create(&properties, Source::Topic(topic), group.as_deref())?;
    let start = Seen { at_ms: now_ms(), records: 0, bytes: 0 };
    let (mut seen, mut reported, mut last_ms, mut joined_ms) = (start, start, start.at_ms, None);
    while seen.records < wanted && now_ms() - last_ms <= timeout_ms {
        let record = consumer.next(POLL)?;
        if joined_ms.is_none() && !consumer.positions().is_empty() {
            joined_ms = Some(now_ms() - start.at_ms);
        }
        let Some(record) = record else { continue };
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        seen.records += 1;
        seen.bytes += length(&record.key) + length(&record.value);
        if consumer.is_drained() || seen.records.is_multiple_of(1024) {
            seen.at_ms = now_ms();
            last_ms = seen.at_ms;
        }
        if seen.at_ms - reported.at_ms >= interval_ms {
            if detailed {
                progress(reported, seen, &format);
            }
            reported = seen;
        }
    }
    if seen.records < wanted {
        outln!(
            "WARNING: Exiting before consuming the expected number of messages: timeout ({timeout_ms} ms) exceeded. You \
             can use the --timeout option to increase the timeout."
        );
    }
    let end = Seen { at_ms: now_ms(), ..seen };
    consumer.close()?;
    if !detailed {
        total(start, end, joined_ms.unwrap_or_default(), &format);
    }
    if given.has("print-metrics") {
        errln!("--print-metrics: this consumer keeps no metrics");
    }
    Ok(())
}

fn total(start: Seen, end: Seen, joined_ms: i64, format: &str) {
    let elapsed_ms = end.at_ms - start.at_ms;
    let fetch_ms = elapsed_ms - joined_ms;
    let megabytes = end.megabytes_since(start);
    let per_second = |amount: f64, ms: i64| amount / (ms as f64 / 1000.0);
    outln!(
        "{}, {}, {megabytes:.4}, {:.4}, {}, {:.4}, {joined_ms}, {fetch_ms}, {:.4}, {:.4}",
        date(start.at_ms, format),
        date(end.at_ms, format),
        per_second(megabytes, elapsed_ms),
        end.records,
        per_second(end.records as f64, elapsed_ms),
        per_second(megabytes, fetch_ms),
        per_second(end.records as f64, fetch_ms)
    );
}

fn progress(before: Seen, now: Seen, format: &str) {
    let ms = now.at_ms - before.at_ms;
    let per_second = |amount: f64| 1000.0 * amount / ms as f64;
    let megabytes = per_second(now.megabytes_since(before));
    let records = per_second((now.records - before.records) as f64);
    outln!(
        "{}, 0, {:.4}, {megabytes:.4}, {}, {records:.4}, 0, {ms}, {megabytes:.4}, {records:.4}",
        date(now.at_ms, format),
        now.bytes as f64 / (1024.0 * 1024.0),
        now.records,
    );
    print::flush();
}

/// The letters of `SimpleDateFormat` that make dates and times of day; in UTC.
fn date(ms: i64, format: &str) -> String {
    let plain = print::date_time(ms, ' ', ',');
    let parts = [
        ("yyyy", &plain[0..4]),
        ("MM", &plain[5..7]),
        ("dd", &plain[8..10]),
        ("HH", &plain[11..13]),
        ("mm", &plain[14..16]),
        ("ss", &plain[17..19]),
        ("SSS", &plain[20..23]),
    ];
    parts.iter().fold(format.to_owned(), |text, (letters, value)| text.replace(letters, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_default_format() {
        assert_eq!(date(951_782_400_007, "yyyy-MM-dd HH:mm:ss:SSS"), "2000-02-29 00:00:00:007");
    }
}
