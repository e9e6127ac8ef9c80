//! `kafka-consumer-groups.sh --reset-offsets`: which offsets a group is to have, and committing them.

use super::consumer_groups::{meant, print_error};
use crate::admin::{Admin, MOVED, Result, To, text, topic_name};
use crate::cli::{Done, Stop, check_invalid};
use crate::clients::consumer::{EARLIEST, LATEST, Place, list_offset};
use crate::clients::group::fetch_offsets;
use crate::errors::{Exception, check};
use crate::groups;
use crate::jopt::Given;
use crate::{errln, outln, print};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

const SCENARIOS: [&str; 8] = [
    "to-offset",
    "shift-by",
    "to-datetime",
    "by-duration",
    "to-earliest",
    "to-latest",
    "to-current",
    "from-file",
];

/// What of the command line does not fit.
pub fn check_args(given: &Given, scoped: bool) -> Done {
    let usage = |message: &str| Err(Stop::Usage(message.to_owned()));
    if given.has("dry-run") && given.has("execute") {
        return usage("Option [reset-offsets] only accepts one of [execute] and [dry-run]");
    }
    if !given.has("dry-run") && !given.has("execute") {
        errln!(
            "WARN: No action will be performed as the --execute option is missing.In a future major release, the default \
             behavior of this command will be to prompt the user before executing the reset rather than doing a dry run. \
             You should add the --dry-run option explicitly if you are scripting this command and want to keep the current \
             default behavior without prompting."
        );
    }
    if !scoped {
        return usage("Option [reset-offsets] takes one of these options: [group], [all-groups]");
    }
    for scenario in [
        "to-offset",
        "to-datetime",
        "by-duration",
        "to-earliest",
        "to-latest",
        "to-current",
        "shift-by",
        "from-file",
    ] {
        let others: Vec<&str> = SCENARIOS.iter().filter(|other| **other != scenario).copied().collect();
        check_invalid(given, scenario, &others)?;
    }
    Ok(())
}

type Plan = BTreeMap<Place, i64>;

/// Plans, commits unless it is a rehearsal, and prints.
pub fn run(admin: &mut Admin, given: &Given) -> Done {
    let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
    for group in meant(admin, given)? {
        let state = groups::describe(admin, &group).map_err(Exception::in_execution)?.state;
        if state != "Empty" && state != "Dead" {
            print_error(&format!(
                "Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
            ));
            plans.insert(group, Plan::new());
            continue;
        }
        let places = places(admin, given, &group)?;
        let plan = plan(admin, given, &group, &places)?;
        if given.has("execute") && !given.has("dry-run") {
            commit(admin, &group, &plan).map_err(Exception::in_execution)?;
        }
        plans.insert(group, plan);
    }
    if given.has("export") {
        let single = given.values("group").len() == 1;
        for (group, plan) in &plans {
            for ((topic, partition), offset) in plan {
                let group = if single { String::new() } else { format!("{group},") };
                outln!("{group}{topic},{partition},{offset}");
            }
        }
        outln!();
        return Ok(());
    }
    if !plans.is_empty() {
        outln!("\n{:30} {:30} {:10} {:15}", "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
    }
    for (group, plan) in plans {
        for ((topic, partition), offset) in plan {
            outln!("{group:30} {topic:30} {partition:<10} {offset:<15}");
        }
    }
    Ok(())
}

/// `topic:0,1` as partitions.
pub fn places_of(arg: &str) -> Result<Vec<Place>> {
    let parts: Vec<&str> = arg.split(':').collect();
    let [topic, partitions] = parts[..] else {
        return Err(Exception::argument(format!(
            "Invalid topic arg '{arg}', expected topic name and partitions"
        )));
    };
    let place = |partition: &str| {
        let number = partition.parse().map_err(|_| {
            Exception::argument(format!("Invalid partition '{partition}' specified in topic arg '{arg}''"))
        })?;
        Ok((topic.to_owned(), number))
    };
    partitions.split(',').map(place).collect()
}

/// All partitions of a topic.
pub fn partitions_of(admin: &mut Admin, topic: &str) -> Result<Vec<Place>> {
    let answer = admin.metadata("describeTopics", Some(&[topic.to_owned()]))?;
    let mut places = Vec::new();
    for found in answer.topics {
        check(found.error_code, None)?;
        places.extend(found.partitions.iter().map(|partition| (topic.to_owned(), partition.partition_index)));
    }
    places.sort();
    Ok(places)
}

fn places(admin: &mut Admin, given: &Given, group: &str) -> Done<Vec<Place>> {
    if given.has("all-topics") {
        let committed = fetch_offsets(admin, group, None).map_err(Exception::in_execution)?;
        return Ok(committed.into_keys().collect());
    }
    if !given.has("topic") {
        return match given.has("from-file") {
            true => Ok(Vec::new()),
            false => Err(Stop::Usage(
                "One of the reset scopes should be defined: --all-topics, --topic.".to_owned(),
            )),
        };
    }
    let mut places = Vec::new();
    for topic in given.values("topic") {
        places.extend(match topic.contains(':') {
            true => places_of(&topic)?,
            false => partitions_of(admin, &topic).map_err(Exception::in_execution)?,
        });
    }
    Ok(places)
}

fn plan(admin: &mut Admin, given: &Given, group: &str, places: &[Place]) -> Done<Plan> {
    let all = |admin: &mut Admin, time: i64| -> Result<Plan> {
        places.iter().map(|place| Ok((place.clone(), list_offset(admin, place, time, false)?))).collect()
    };
    if let Some(offset) = given.number::<i64>("to-offset")? {
        return Ok(in_range(admin, places.iter().map(|place| (place.clone(), offset)).collect())?);
    }
    if given.has("to-earliest") {
        return Ok(all(admin, EARLIEST).map_err(Exception::in_execution)?);
    }
    if given.has("to-latest") {
        return Ok(all(admin, LATEST).map_err(Exception::in_execution)?);
    }
    if let Some(by) = given.number::<i64>("shift-by")? {
        let committed = fetch_offsets(admin, group, None).map_err(Exception::in_execution)?;
        let mut asked = Plan::new();
        for place in places {
            let offset = committed.get(place).ok_or_else(|| {
                Exception::argument(format!(
                    "Cannot shift offset for partition {}-{} since there is no current committed offset",
                    place.0, place.1
                ))
            })?;
            asked.insert(place.clone(), offset.offset + by);
        }
        return Ok(in_range(admin, asked)?);
    }
    if let Some(text) = given.value("to-datetime")? {
        return Ok(at(admin, places, date_time(&text)?)?);
    }
    if let Some(text) = given.value("by-duration")? {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let time = i64::try_from(now).unwrap_or_default() - duration_ms(&text)?;
        return Ok(at(admin, places, time)?);
    }
    if let Some(path) = given.value("from-file")? {
        let single = given.values("group").len() == 1;
        let Some(asked) = read_plan(&path, group, single)? else {
            print_error(&format!("No reset plan for group {group} found"));
            return Ok(Plan::new());
        };
        return Ok(in_range(admin, asked)?);
    }
    if given.has("to-current") {
        let committed = fetch_offsets(admin, group, None).map_err(Exception::in_execution)?;
        let mut plan = Plan::new();
        for place in places {
            let offset = match committed.get(place) {
                Some(committed) => committed.offset,
                None => list_offset(admin, place, LATEST, false).map_err(Exception::in_execution)?,
            };
            plan.insert(place.clone(), offset);
        }
        return Ok(plan);
    }
    Err(Stop::Usage(
        "Option '[reset-offsets]' requires one of the following scenarios: HashSet([by-duration], [to-offset], \
         [from-file], [to-datetime], [to-earliest], [to-current], [shift-by], [to-latest])"
            .to_owned(),
    ))
}

/// Offsets that lie in the logs; what lies outside is moved to the nearer end.
fn in_range(admin: &mut Admin, asked: Plan) -> Result<Plan> {
    let mut plan = Plan::new();
    for (place, offset) in asked {
        let start = list_offset(admin, &place, EARLIEST, false).map_err(Exception::in_execution)?;
        let end = list_offset(admin, &place, LATEST, false).map_err(Exception::in_execution)?;
        let found = offset.clamp(start, end.max(start));
        if found != offset {
            let which = if offset > end { "higher than latest" } else { "lower than earliest" };
            let said = format!(
                "New offset ({offset}) is {which} offset for topic partition {}-{}. Value will be set to {found}",
                place.0, place.1
            );
            print::log("WARN", "kafka.admin.ConsumerGroupCommand$", &said);
        }
        plan.insert(place, found);
    }
    Ok(plan)
}

/// The first offsets of a time; the ends of logs that have nothing of it.
fn at(admin: &mut Admin, places: &[Place], time: i64) -> Result<Plan> {
    let mut plan = Plan::new();
    for place in places {
        let mut offset = list_offset(admin, place, time, false).map_err(Exception::in_execution)?;
        if offset < 0 {
            outln!(
                "\nWarn: Partition {} from topic {} is empty. Falling back to latest known offset.",
                place.1,
                place.0
            );
            offset = list_offset(admin, place, LATEST, false).map_err(Exception::in_execution)?;
        }
        plan.insert(place.clone(), offset);
    }
    Ok(plan)
}

fn read_plan(path: &str, group: &str, single: bool) -> Result<Option<Plan>> {
    let text = std::fs::read_to_string(path)
        .map_err(|_| Exception::new("java.nio.file.NoSuchFileException", path))?;
    let mut plan = Plan::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let columns = columns(line);
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let (named, topic, partition, offset) = match columns[..] {
            [topic, partition, offset] if single => (group, topic, partition, offset),
            [named, topic, partition, offset] => (named, topic, partition, offset),
            _ => return Err(Exception::new("java.lang.RuntimeException", format!("no reset plan: {line}"))),
        };
        if named != group {
            continue;
        }
        let (Ok(partition), Ok(offset)) = (partition.trim().parse(), offset.trim().parse()) else {
            return Err(Exception::new("java.lang.RuntimeException", format!("no reset plan: {line}")));
        };
        plan.insert((topic.to_owned(), partition), offset);
    }
    Ok((!plan.is_empty()).then_some(plan))
}

/// The columns of a line of CSV; a quoted one may hold commas, and a quote that is written twice.
fn columns(line: &str) -> Vec<String> {
    let mut columns = vec![String::new()];
    let mut is_quoted = false;
    let mut letters = line.trim_end_matches('\r').chars().peekable();
    while let Some(letter) = letters.next() {
        let column = columns.last_mut();
        match (letter, column) {
            ('"', Some(column)) if is_quoted && letters.next_if_eq(&'"').is_some() => column.push('"'),
            ('"', Some(column)) if is_quoted || column.is_empty() => is_quoted = !is_quoted,
            (',', _) if !is_quoted => columns.push(String::new()),
            (letter, Some(column)) => column.push(letter),
            (_, None) => {}
        }
    }
    columns
}

fn commit(admin: &mut Admin, group: &str, plan: &Plan) -> Result<()> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, partition), offset) in plan {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_metadata(Some(StrBytes::default()));
        topics.entry(topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&str, Vec<OffsetCommitRequestPartition>)| {
        OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
    };
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(topics.into_iter().map(topic).collect());
    admin.retrying(MOVED, |admin| {
        let node = admin.coordinator(0, group)?;
        let answer = admin.ask(To::Node(node), "alterConsumerGroupOffsets", &request)?;
        answer
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .try_for_each(|one| check(one.error_code, None))
    })
}

/// `YYYY-MM-DDTHH:mm:SS.sss`, in UTC or with `Z`, `+hh`, `+hhmm` or `+hh:mm` behind it (`Utils.getDateTime`).
fn date_time(text: &str) -> Result<i64> {
    let wrong = || Exception::new("java.text.ParseException", format!("Unparseable date: \"{text}\""));
    let Some((date, rest)) = text.split_once('T') else {
        return Err(Exception::new(
            "java.text.ParseException",
            "Error parsing timestamp. It does not contain a 'T' according to ISO8601 format",
        ));
    };
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let numbers = |text: &str, separators: &[char]| -> Option<Vec<i64>> {
        text.split(separators).map(|part| part.parse().ok()).collect()
    };
    let date = numbers(date, &['-']).filter(|parts| parts.len() == 3).ok_or_else(wrong)?;
    let time = numbers(time, &[':', '.']).filter(|parts| (3..=4).contains(&parts.len())).ok_or_else(wrong)?;
    let zone_minutes = match zone {
        "" | "Z" => 0,
        zone => {
            let digits = zone[1..].replace(':', "");
            let number: i64 = digits.parse().map_err(|_| wrong())?;
            let minutes = if digits.len() <= 2 { number * 60 } else { number / 100 * 60 + number % 100 };
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    let days = days_from_civil(date[0], date[1], date[2]);
    let seconds = days * 86_400 + time[0] * 3_600 + time[1] * 60 + time[2] - zone_minutes * 60;
    Ok(seconds * 1000 + time.get(3).copied().unwrap_or_default())
}

/// Howard Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `PnDTnHnMnS` (`java.time.Duration.parse`).
fn duration_ms(text: &str) -> Result<i64> {
    let wrong =
        || Exception::new("java.time.format.DateTimeParseException", "Text cannot be parsed to a Duration");
    let upper = text.to_uppercase();
    let (sign, rest) = match upper.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, upper.strip_prefix('+').unwrap_or(&upper)),
    };
    let rest = rest.strip_prefix('P').ok_or_else(wrong)?;
    let (mut total_ms, mut number, mut in_time, mut any) = (0.0, String::new(), false, false);
    for letter in rest.chars() {
        let unit_ms = match letter {
            'T' if !in_time && number.is_empty() => {
                in_time = true;
                continue;
            }
            'D' if !in_time => 86_400_000.0,
            'H' if in_time => 3_600_000.0,
            'M' if in_time => 60_000.0,
            'S' if in_time => 1_000.0,
            '0'..='9' | '.' | '-' | '+' => {
                number.push(letter);
                continue;
            }
            _ => return Err(wrong()),
        };
        total_ms += number.parse::<f64>().map_err(|_| wrong())? * unit_ms;
        number.clear();
        any = true;
    }
    if !any || !number.is_empty() {
        return Err(wrong());
    }
    Ok((sign * total_ms) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_read_as_java_reads_them() {
        for (text, due) in [
            ("1970-01-01T00:00:00.000", Some(0)),
            ("2024-02-29T12:00:00.500Z", Some(1_709_208_000_500)),
            ("2024-02-29T12:00:00.500+01:00", Some(1_709_204_400_500)),
            ("2024-02-29T12:00:00-0130", Some(1_709_213_400_000)),
            ("2024-02-29", None),
            ("2024-02-29Tnoon", None),
        ] {
            assert_eq!(date_time(text).ok(), due, "{text}");
        }
        for (text, due) in [
            ("P1D", Some(86_400_000)),
            ("PT1H30M", Some(5_400_000)),
            ("P1DT0.5S", Some(86_400_500)),
            ("PT", None),
            ("1D", None),
            ("P1H", None),
        ] {
            assert_eq!(duration_ms(text).ok(), due, "{text}");
        }
    }

    #[test]
    fn a_plan_is_read_as_csv() {
        for (line, expected) in [
            ("t,0,2", vec!["t", "0", "2"]),
            ("\"t\",0,2\r", vec!["t", "0", "2"]),
            ("g,\"a,b\",0,2", vec!["g", "a,b", "0", "2"]),
            ("\"a\"\"b\",\"1\",", vec!["a\"b", "1", ""]),
        ] {
            assert_eq!(columns(line), expected, "{line}");
        }
    }
}
