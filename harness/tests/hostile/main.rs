//! What no client may do to a node, as a table of cases: frames that lie, connections that hold on, batches that blow
//! up. Each runs against a real node with 1,024 descriptors and 512 MB of address space. While it runs and after it, a
//! fresh client is answered; after it the node is the same process and serves what it acknowledged before.
//!
//! `JACKDAW_HOSTILE=CASE` runs the cases whose name has this in it; `JACKDAW_HOSTILE_SEED=n` replays one choice of
//! damaged frames; `JACKDAW_HOSTILE_FULL=1` runs them all in place of a choice.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod batches;
mod bystander;
mod connections;
mod damage;
mod large;
mod node;
mod packed_anew;
mod whole;
mod wire;

use bystander::Bystander;
use node::{Memory, Node};
use std::io::Write as _;
use std::time::{Duration, Instant};

/// In what a fresh client is to be answered after a case.
const ANSWERED_WITHIN: Duration = Duration::from_millis(100);
/// And while one runs: a client has its turn among those that keep every core of the machine busy.
const ANSWERED_MEANWHILE_WITHIN: Duration = Duration::from_secs(1);
/// A machine that is slow to wake this test's own threads is slow to wake the node's, too: so many of the waits of an
/// echo in this process are added to what the node may take.
const SHARE_OF_ECHO: u32 = 4;

/// A node that aborts refuses connections a moment before it has ended.
const AT_ITS_END: Duration = Duration::from_secs(2);

/// What is done to the node; what was done, for the report.
type Attack = fn(&Node) -> Result<String, String>;

struct Case {
    name: &'static str,
    attack: Attack,
}

const CASES: &[Case] = &[
    Case { name: "nothing at all", attack: nothing },
    Case { name: "damaged requests of clients", attack: damage::of_clients },
    Case { name: "damaged requests of controllers", attack: damage::of_controllers },
    Case { name: "garbage behind every header", attack: damage::garbage },
    Case { name: "lengths that are none", attack: damage::lengths },
    Case { name: "nested tags", attack: damage::tags },
    Case { name: "every length and boolean in turn", attack: damage::fields },
    Case { name: "batches that lie", attack: batches::lies },
    Case { name: "bombs in each codec", attack: batches::bombs },
    Case { name: "bombs for consumers of old", attack: packed_anew::consumers },
    Case { name: "bombs that are packed anew", attack: packed_anew::producers },
    Case { name: "requests byte by byte", attack: connections::dripped },
    Case { name: "half frames held open", attack: connections::halves },
    Case { name: "readers that never read", attack: connections::unread },
    Case { name: "nine hundred connections", attack: connections::many },
    Case { name: "the largest request", attack: large::largest },
];

fn nothing(_: &Node) -> Result<String, String> {
    std::thread::sleep(Duration::from_millis(500));
    Ok(String::new())
}

/// One line of the report.
struct Row {
    name: &'static str,
    took: Duration,
    bystander: bystander::Waits,
    after: Duration,
    before: Memory,
    at_the_end: Memory,
    said: String,
}

#[test]
fn no_client_stops_a_node() {
    raise_own_limit();
    let wanted = std::env::var("JACKDAW_HOSTILE").unwrap_or_default();
    let mut node = Node::start();
    let mut failures = Vec::new();
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(&wanted)) {
        match judge(case, &node) {
            Ok(row) => rows.push(row),
            Err(failure) => {
                eprintln!("{}: {failure}", case.name);
                failures.push(format!("{}: {}", case.name, failure.lines().next().unwrap_or_default()));
                node = Node::start();
            }
        }
    }
    report(&rows);
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Runs a case, and looks at the node while it runs and after it.
fn judge(case: &Case, node: &Node) -> Result<Row, String> {
    let before = node.memory();
    node.forget_peak();
    let begun = Instant::now();
    let (attacked, bystander) = std::thread::scope(|scope| {
        let bystander = Bystander::watch(scope, node);
        ((case.attack)(node), bystander.waits())
    });
    let took = begun.elapsed();
    let dead = |what: String| format!("{what}\n{}", node.tail());
    if let Some(end) = node.end_within(if attacked.is_err() { AT_ITS_END } else { Duration::ZERO }) {
        return Err(dead(format!("the node has ended, {end}, {:?}", attacked.err())));
    }
    let said = attacked.map_err(dead)?;
    bystander
        .judged(ANSWERED_MEANWHILE_WITHIN, SHARE_OF_ECHO)
        .map_err(|waits| dead(format!("while it ran, {waits}")))?;
    let settled = std::thread::scope(|scope| {
        let bystander = Bystander::watch(scope, node);
        std::thread::sleep(Duration::from_millis(100));
        bystander.waits()
    });
    settled.judged(ANSWERED_WITHIN, SHARE_OF_ECHO).map_err(|waits| dead(format!("after it, {waits}")))?;
    node.serves_what_it_acknowledged().map_err(|what| dead(format!("what was acknowledged: {what}")))?;
    Ok(Row {
        name: case.name,
        took,
        bystander,
        after: settled.worst,
        before,
        at_the_end: node.memory(),
        said,
    })
}

/// Past the capture of a passing test's output: the figures are to be seen.
fn report(rows: &[Row]) {
    let mut text = format!(
        "{:34} {:>7} {:>11} {:>11} {:>7} {:>8} {:>8} {:>8}  what was sent\n",
        "case", "took", "worst wait", "after", "echo", "before", "peak", "space"
    );
    for row in rows {
        let ms = |duration: Duration| format!("{:.1} ms", duration.as_secs_f64() * 1000.0);
        let mib = |kib: u64| format!("{} MB", kib / 1024);
        text += &format!(
            "{:34} {:>5.1} s {:>11} {:>11} {:>7} {:>8} {:>8} {:>8}  {}\n",
            row.name,
            row.took.as_secs_f64(),
            ms(row.bystander.worst),
            ms(row.after),
            ms(row.bystander.echo),
            mib(row.before.resident_kib),
            mib(row.at_the_end.peak_kib),
            mib(row.at_the_end.address_space_kib),
            row.said
        );
    }
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether everything is tried in place of a choice.
fn is_full() -> bool {
    std::env::var("JACKDAW_HOSTILE_FULL").is_ok_and(|full| full == "1")
}

/// A thousand connections have near ends, too.
fn raise_own_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
}
