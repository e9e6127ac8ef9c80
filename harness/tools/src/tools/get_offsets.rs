//! `kafka-get-offsets.sh`: the offsets of partitions for a time (`org.apache.kafka.tools.GetOffsetShell`).

use super::topics::filter;
use crate::admin::{ADMIN, Admin, Result, host_and_port};
use crate::cli::{Done, Stop, check_required, end, is_terse, properties_of, terse};
use crate::clients::consumer::{EARLIEST, LATEST, Place, list_offset};
use crate::errors::Exception;
use crate::jopt::{self, Given};
use crate::options::get_offsets::OPTIONS;
use crate::{errln, outln};
use regex::Regex;

/// `OffsetSpec.maxTimestamp`
const MAX_TIMESTAMP: i64 = -3;

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    end(OPTIONS, show(args), |exception| {
        errln!("Error occurred: {}", exception.message);
        if !is_terse(&exception) {
            errln!("{}", exception.trace());
        }
        1
    })
}

/// Topics, and which of their partitions.
struct Rule {
    topics: Regex,
    partitions: Vec<std::ops::Range<i32>>,
}

impl Rule {
    fn takes(&self, (topic, partition): &Place) -> bool {
        self.topics.is_match(topic) && self.partitions.iter().any(|range| range.contains(partition))
    }
}

fn show(args: &[String]) -> Done {
    if args.is_empty() {
        return Err(Stop::Usage("An interactive shell for getting topic-partition offsets.".to_owned()));
    }
    let given = jopt::parse(OPTIONS, args).map_err(|error| terse(error.message))?;
    let option = if given.has("bootstrap-server") { "bootstrap-server" } else { "broker-list" };
    check_required(&given, &[option])?;
    let servers = given.value(option)?.unwrap_or_default();
    if servers.split(',').any(|server| host_and_port(server).is_none()) {
        return Err(Stop::Usage("Please provide valid host:port like host1:9091,host2:9092\n".to_owned()));
    }
    if given.has("topic-partitions") && (given.has("topic") || given.has("partitions")) {
        return Err(terse("--topic-partitions cannot be used with --topic or --partitions").into());
    }
    let time = time(&given.value("time")?.unwrap_or_default())?;
    let rules = rules(&given)?;
    let mut properties = properties_of(&given, "command-config")?;
    properties.insert("bootstrap.servers".into(), servers);
    properties.insert("client.id".into(), "GetOffsetShell".into());
    let mut admin = Admin::create(ADMIN, &properties)?;
    let mut places = Vec::new();
    for topic in admin.metadata("listTopics", None).map_err(Exception::in_execution)?.topics {
        if topic.is_internal && given.has("exclude-internal-topics") {
            continue;
        }
        let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        places.extend(topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)));
    }
    places.retain(|place| rules.iter().any(|rule| rule.takes(place)));
    places.sort_by_key(|(topic, partition)| format!("{topic}-{partition}"));
    if places.is_empty() {
        return Err(terse("Could not match any topic-partitions with the specified filters").into());
    }
    for place in places {
        match list_offset(&mut admin, &place, time, false).map_err(Exception::in_execution) {
            Ok(-1) => {}
            Ok(offset) => outln!("{}:{}:{offset}", place.0, place.1),
            Err(error) => errln!(
                "Skip getting offsets for topic-partition {}-{} due to error: {}",
                place.0,
                place.1,
                error.message
            ),
        }
    }
    Ok(())
}

fn time(text: &str) -> Result<i64> {
    match text {
        "earliest" => Ok(EARLIEST),
        "latest" => Ok(LATEST),
        "max-timestamp" => Ok(MAX_TIMESTAMP),
        text => text.parse().map_err(|_| {
            terse(format!(
                "Malformed time argument {text}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp, or a \
                 specified long format timestamp"
            ))
        }),
    }
}

fn rules(given: &Given) -> Result<Vec<Rule>> {
    if let Some(patterns) = given.value("topic-partitions")? {
        return patterns.split(',').map(rule).collect();
    }
    let topics = filter(given.value("topic")?.as_deref().unwrap_or(".*"))?;
    let partitions = match given.value("partitions")?.filter(|list| !list.is_empty()) {
        None => std::iter::once(0..i32::MAX).collect(),
        Some(list) => {
            let one = |part: &str| part.parse::<i32>().ok().map(|number| number..number.saturating_add(1));
            list.split(',').map(one).collect::<Option<Vec<_>>>().ok_or_else(|| {
                terse(format!(
                    "--partitions expects a comma separated list of numeric partition ids, but received: {list}"
                ))
            })?
        }
    };
    Ok(vec![Rule { topics, partitions }])
}

/// `TOPIC`, `TOPIC:3`, `TOPIC:1-`, `TOPIC:-5`, `TOPIC:1-5`; any topic without one.
fn rule(text: &str) -> Result<Rule> {
    let invalid = || {
        let cause = terse(format!("Invalid rule specification: {text}"));
        Exception::new("java.lang.RuntimeException", cause.to_string()).because(cause)
    };
    let (topic, partitions) = text.split_once(':').unwrap_or((text, ""));
    let number = |digits: &str, default: i32| match digits {
        "" => Ok(default),
        digits if digits.chars().all(|digit| digit.is_ascii_digit()) => digits.parse().map_err(|_| invalid()),
        _ => Err(invalid()),
    };
    let range = match partitions.split_once('-') {
        Some((from, to)) => number(from, 0)?..number(to, i32::MAX)?,
        None if partitions.is_empty() => 0..i32::MAX,
        None => {
            let only = number(partitions, 0)?;
            only..only.saturating_add(1)
        }
    };
    Ok(Rule { topics: filter(if topic.is_empty() { ".*" } else { topic })?, partitions: vec![range] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_topics_and_ranges_of_partitions() {
        let takes = |pattern: &str, topic: &str, partition: i32| {
            rule(pattern).unwrap().takes(&(topic.to_owned(), partition))
        };
        assert!(takes("t", "t", 7) && !takes("t", "tt", 7));
        assert!(takes("t.*:2", "tt", 2) && !takes("t.*:2", "tt", 3));
        assert!(takes(":1-3", "any", 1) && takes(":1-3", "any", 2) && !takes(":1-3", "any", 3));
        assert!(takes(":-2", "any", 1) && !takes(":-2", "any", 2) && takes("t:5-", "t", 9));
        assert!(rule("t:x").is_err());
    }
}
