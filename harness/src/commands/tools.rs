//! Kafka's tools: by the name that the program was called as, or as `jackdaw NAME`.

use jackdaw_tools::{dispatch, find};
use std::process::ExitCode;

/// Runs the tool that the words ask for, if they ask for one.
pub fn run(words: &[String]) -> Option<ExitCode> {
    let called = words.first().and_then(|program| dispatch(program)).map(|tool| (tool, &words[1..]));
    let (tool, args) =
        called.or_else(|| words.get(1).and_then(|word| find(word)).map(|tool| (tool, &words[2..])))?;
    Some(ExitCode::from(u8::try_from(jackdaw_tools::run(tool, args)).unwrap_or(1)))
}
