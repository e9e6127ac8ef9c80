//! `kafka-console-consumer.sh`: records of a topic, a line each, to stdout (`kafka.tools.ConsoleConsumer`).

use crate::cli::{Done, Stop, check_required, end, help_or_version, merge, properties_of, uncaught};
use crate::clients::consumer::{Consumer, EARLIEST, Fetched, LATEST, Source};
use crate::errors::Exception;
use crate::formatter::Formatter;
use crate::jopt::{self, Given};
use crate::options::console_consumer::OPTIONS;
use crate::properties::{self, Properties};
use crate::{errln, interrupt, outln, print};
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CLASS: &str = "kafka.tools.ConsoleConsumer$";
/// How long one look lasts: signals are seen in between.
const LOOK: Duration = Duration::from_millis(100);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    let config = match Config::read(args) {
        Ok(config) => config,
        Err(stop) => return end(OPTIONS, Err(stop), uncaught),
    };
    interrupt::listen(report_count);
    let code = consume(config).err().map_or(0, |exception| {
        print::log_thrown("ERROR", CLASS, "Unknown error when running consumer: ", &exception);
        1
    });
    interrupt::code().unwrap_or(code)
}

struct Config {
    properties: Properties,
    source: Source,
    group: Option<String>,
    formatter: Formatter,
    max_messages: Option<u64>,
    timeout: Option<Duration>,
    skip_on_error: bool,
    events: bool,
}

impl Config {
    fn read(args: &[String]) -> Done<Self> {
        let given = jopt::parse(OPTIONS, args).map_err(|error| Stop::Usage(error.message))?;
        let about = "This tool helps to read data from Kafka topics and outputs it to standard output.";
        help_or_version(&given, args, about)?;
        let extra = properties::pairs(&given.values("consumer-property"));
        let mut properties = properties_of(&given, "consumer.config")?;
        let partition = given.number::<i32>("partition")?;
        let mut formatter_properties = properties_of(&given, "formatter-config")?;
        formatter_properties.extend(properties::pairs(&given.values("property")));
        let positive = |number: Option<i32>| number.and_then(|number| u64::try_from(number).ok());
        let max_messages = given.number::<i32>("max-messages")?;
        let timeout = positive(given.number::<i32>("timeout-ms")?);
        for (option, key) in
            [("key-deserializer", "key.deserializer"), ("value-deserializer", "value.deserializer")]
        {
            if let Some(class) = given.value(option)?.filter(|class| !class.is_empty()) {
                formatter_properties.insert(key.into(), class);
            }
        }
        let formatter = Formatter::of(&given.value("formatter")?.unwrap_or_default(), &formatter_properties)?;
        let source = source(&given, partition)?;
        check_required(&given, &["bootstrap-server"])?;
        let group = group(&given, &properties, &extra)?;
        if group.is_some() && partition.is_some() {
            return Err(Stop::Usage("Options group and partition cannot be specified together.".to_owned()));
        }
        properties.extend(extra);
        reset(&given, &mut properties)?;
        properties.insert("bootstrap.servers".into(), given.value("bootstrap-server")?.unwrap_or_default());
        properties.entry("client.id".into()).or_insert_with(|| "console-consumer".into());
        merge(&mut properties, &given, &[("isolation.level", "isolation-level")])?;
        Ok(Config {
            properties,
            source,
            group,
            formatter,
            // Any number below 0 but -1 is reached before the first record.
            max_messages: max_messages.filter(|number| *number != -1).map(|number| number.max(0) as u64),
            timeout: timeout.map(Duration::from_millis),
            skip_on_error: given.has("skip-message-on-error"),
            events: given.has("enable-systest-events"),
        })
    }
}

fn source(given: &Given, partition: Option<i32>) -> Done<Source> {
    let usage = |message: String| Err(Stop::Usage(message));
    let topic = given.value("topic")?;
    let include = if given.has("include") { given.value("include")? } else { given.value("whitelist")? };
    if topic.is_some() == include.is_some() {
        let deprecated = match given.has("whitelist") {
            true => "--whitelist is DEPRECATED use --include instead; ignored if --include specified.",
            // What Scala makes of a condition that does not hold.
            false => "()",
        };
        return usage(format!("Exactly one of --include/--topic is required. {deprecated}"));
    }
    if partition.is_some() {
        if topic.is_none() {
            return usage("The topic is required when partition is specified.".to_owned());
        }
        if given.has("from-beginning") && given.has("offset") {
            return usage("Options from-beginning and offset cannot be specified together.".to_owned());
        }
    } else if given.has("offset") {
        return usage("The partition is required when offset is specified.".to_owned());
    }
    let offset = match given.has("offset") {
        false if given.has("from-beginning") => EARLIEST,
        false => LATEST,
        true => match given.value("offset")?.unwrap_or_default().to_lowercase().as_str() {
            "earliest" => EARLIEST,
            "latest" => LATEST,
            number => match number.parse::<i64>() {
                Ok(offset) if offset >= 0 => offset,
                _ => {
                    return usage(format!(
                        "The provided offset value '{number}' is incorrect. Valid values are 'earliest', 'latest', or a \
                         non-negative long."
                    ));
                }
            },
        },
    };
    Ok(match (topic, include, partition) {
        (Some(topic), _, Some(partition)) => Source::Partition((topic, partition), offset),
        (Some(topic), _, None) => Source::Topic(topic),
        (None, include, _) => {
            let include = include.unwrap_or_default();
            Source::Pattern(Regex::new(&format!("^(?:{include})$")).map_err(|error| {
                Exception::new("java.util.regex.PatternSyntaxException", error.to_string())
            })?)
        }
    })
}

/// The group that the user named; in however many places, always the same.
fn group(given: &Given, file: &Properties, extra: &Properties) -> Done<Option<String>> {
    let places = [given.value("group")?, file.get("group.id").cloned(), extra.get("group.id").cloned()];
    let groups: BTreeSet<String> = places.into_iter().flatten().collect();
    if groups.len() > 1 {
        let groups: Vec<String> = groups.iter().map(|group| format!("'{group}'")).collect();
        return Err(Stop::Usage(format!(
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via \
             '--consumer.config') do not match. Detected group ids: {}",
            groups.join(", ")
        )));
    }
    Ok(groups.into_iter().next())
}

fn reset(given: &Given, properties: &mut Properties) -> Done {
    let beginning = given.has("from-beginning");
    match properties.get("auto.offset.reset") {
        Some(reset) if beginning && reset != "earliest" => {
            errln!(
                "Can't simultaneously specify --from-beginning and 'auto.offset.reset={reset}', please remove one option"
            );
            Err(Stop::Code(1))
        }
        Some(_) => Ok(()),
        None => {
            let reset = if beginning { "earliest" } else { "latest" };
            properties.insert("auto.offset.reset".into(), reset.into());
            Ok(())
        }
    }
}

fn report_count() {
    errln!("Processed a total of {} messages", COUNT.load(Ordering::Relaxed));
}

fn consume(config: Config) -> Result<(), Exception> {
    let mut consumer = Consumer::create(&config.properties, config.source.clone(), config.group.as_deref())?;
    let done = process(&config, &mut consumer);
    let closed = consumer.close();
    report_count();
    if config.events && interrupt::code().is_some() {
        outln!("shutdown_complete");
    }
    done.and(closed)
}

fn process(config: &Config, consumer: &mut Consumer) -> Result<(), Exception> {
    while config.max_messages.is_none_or(|most| COUNT.load(Ordering::Relaxed) < most) {
        let record = match receive(consumer, config.timeout) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(()),
            Err(error) => {
                print::log_thrown(
                    "ERROR",
                    CLASS,
                    "Error processing message, terminating consumer process: ",
                    &error,
                );
                return Ok(());
            }
        };
        COUNT.fetch_add(1, Ordering::Relaxed);
        match config.formatter.write(&record, &mut *print::stdout()) {
            Ok(()) => {}
            Err(error) if config.skip_on_error => {
                print::log_thrown(
                    "ERROR",
                    CLASS,
                    "Error processing message, skipping this message: ",
                    &error,
                );
            }
            Err(error) => return Err(error),
        }
        if consumer.is_drained() && print::flush() {
            errln!("Unable to write to standard out, closing consumer.");
            return Ok(());
        }
    }
    Ok(())
}

/// The next record; nothing once a signal came.
fn receive(consumer: &mut Consumer, timeout: Option<Duration>) -> Result<Option<Fetched>, Exception> {
    let started = Instant::now();
    loop {
        if interrupt::code().is_some() {
            return Ok(None);
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        if let Some(record) = consumer.next(left.map_or(LOOK, |left| left.min(LOOK)))? {
            return Ok(Some(record));
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Exception::wordless("org.apache.kafka.common.errors.TimeoutException"));
        }
    }
}
