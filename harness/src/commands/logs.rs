//! `logs`, and the streams that attached `up` shows.

use super::act::existing;
use crate::cli::{Global, Logs};
use crate::exit::{Exit, Result, Stop};
use crate::terminal::{Terminal, result};
use futures_util::stream::{BoxStream, SelectAll, StreamExt as _};
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
        lines.map(move |line| printed(&prefix, &line, style.timestamps)).boxed()
    });
    futures_util::stream::select_all(streams)
}

fn printed(prefix: &str, line: &LogLine, timestamps: bool) -> String {
    let time = if timestamps { format!("{} ", line.time) } else { String::new() };
    format!("{prefix}{time}{}", line.text)
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
    let options = LogOptions { follow: logs.follow, tail, since: logs.since };
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
