//! `logs`, and the streams that attached `up` shows.

use super::act::existing;
use crate::cli::{Global, Logs};
use crate::exit::{Exit, Result, Stop};
use crate::terminal::{Terminal, result};
use futures_util::stream::{BoxStream, SelectAll, StreamExt as _};
use jackdaw_runtime::clock;
use jackdaw_runtime::interrupt::Interrupts;
use jackdaw_runtime::logline::{LogLine, LogOptions};
use jackdaw_runtime::model::Instance;
use jackdaw_runtime::runtime::Runtime;

/// How lines are printed.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Colours.
    pub terminal: Terminal,
    /// With the service's name.
    pub prefix: bool,
    /// With the time.
    pub timestamps: bool,
}

/// Lines of several instances as they come, each with its printed prefix.
pub fn merged(
    runtime: &dyn Runtime,
    project: &str,
    instances: &[&Instance],
    options: &LogOptions,
    style: Style,
) -> SelectAll<BoxStream<'static, String>> {
    let width = instances.iter().map(|instance| instance.name.chars().count()).max().unwrap_or(0);
    let streams = instances.iter().enumerate().map(|(index, instance)| {
        let prefix = match style.prefix {
            true => style.terminal.prefix(index, &instance.name, width),
            false => String::new(),
        };
        let lines = runtime.logs(project, instance, options.clone());
        let until = options.until.clone();
        let is_in_time = move |line: &LogLine| until.as_ref().is_none_or(|until| line.time <= *until);
        let lines = lines.take_while(move |line| std::future::ready(is_in_time(line)));
        lines.map(move |line| printed(&prefix, &line, style.timestamps)).boxed()
    });
    futures_util::stream::select_all(streams)
}

fn printed(prefix: &str, line: &LogLine, timestamps: bool) -> String {
    let time = if timestamps { format!("{} ", line.time) } else { String::new() };
    format!("{prefix}{time}{}", line.text)
}

/// A time of the command line, as log lines have it.
fn time(option: &str, text: &str) -> Result<String> {
    let at = clock::moment(text, clock::now_ns());
    at.map(clock::rfc3339).ok_or_else(|| {
        Stop::bad_input(format!(
            "{option} takes a time (2024-08-30T12:00:00, 1725021296) or a duration (10m), not `{text}`"
        ))
    })
}

/// `logs`
pub async fn run(global: &Global, logs: Logs, terminal: Terminal) -> Result {
    let tail = match logs.tail.as_deref() {
        None | Some("all") => None,
        Some(count) => Some(
            count.parse().map_err(|_| Stop::bad_input(format!("--tail takes a number, not `{count}`")))?,
        ),
    };
    let it = existing(global, &logs.services, &terminal).await?;
    let wanted = |instance: &&Instance| logs.services.is_empty() || logs.services.contains(&instance.service);
    let instances: Vec<&Instance> = it.observed.instances.iter().filter(wanted).collect();
    let at = |option: &str, text: Option<&String>| text.map(|text| time(option, text)).transpose();
    let (since, until) = (at("--since", logs.since.as_ref())?, at("--until", logs.until.as_ref())?);
    let options = LogOptions { follow: logs.follow, tail, since, until };
    let style = Style { terminal, prefix: !logs.no_log_prefix, timestamps: logs.timestamps };
    let mut lines = merged(&*it.runtime, &it.name, &instances, &options, style);
    let mut interrupts = Interrupts::listen()?;
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(line) => result(&line),
                None => return Ok(Exit::Done),
            },
            () = interrupts.next() => return Ok(Exit::Interrupted),
        }
    }
}
