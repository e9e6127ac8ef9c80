//! What comes from the engine in pieces: log chunks made into lines, events into ours.

use crate::clock;
use crate::logline::{LogLine, LogOptions, Stream};
use crate::process::protocol::{Event, Happening};
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::EventMessage;
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use std::collections::VecDeque;
use std::time::Duration;

/// How often a container that ended is looked at, to go on when it was started again.
const RESTART_REST: Duration = Duration::from_millis(250);

struct Following {
    docker: Docker,
    container: String,
    options: LogOptions,
    chunks: Option<BoxStream<'static, LogOutput>>,
    lines: VecDeque<LogLine>,
    partial: [Vec<u8>; 2],
    last: String,
    first: bool,
}

/// The log of a container. A followed log goes on when the container is started again, and ends when it is
/// removed.
pub fn logs(docker: &Docker, container: &str, options: LogOptions) -> BoxStream<'static, LogLine> {
    let following = Following {
        docker: docker.clone(),
        container: container.to_owned(),
        last: options.since.clone().unwrap_or_default(),
        options,
        chunks: None,
        lines: VecDeque::new(),
        partial: [Vec::new(), Vec::new()],
        first: true,
    };
    stream::unfold(following, |mut following| async move {
        let line = following.next().await?;
        Some((line, following))
    })
    .boxed()
}

impl Following {
    async fn next(&mut self) -> Option<LogLine> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            let Some(chunks) = &mut self.chunks else {
                self.open().await?;
                continue;
            };
            match chunks.next().await {
                Some(output) => self.take(output),
                None => self.chunks = None,
            }
        }
    }

    /// Opens the log; a second time only to follow, once the container runs again.
    async fn open(&mut self) -> Option<()> {
        if !self.first {
            if !self.options.follow {
                return None;
            }
            self.runs_again().await?;
        }
        let tail =
            self.options.tail.filter(|_| self.first).map_or_else(|| "all".into(), |tail| tail.to_string());
        let since_s = clock::parse_rfc3339(&self.last).map_or(0, |ns| ns / 1_000_000_000);
        let options = LogsOptionsBuilder::default()
            .follow(self.options.follow)
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .since(i32::try_from(since_s).unwrap_or(0))
            .tail(&tail)
            .build();
        let chunks = self.docker.logs(&self.container, Some(options));
        self.chunks = Some(chunks.filter_map(|chunk| std::future::ready(chunk.ok())).boxed());
        self.first = false;
        Some(())
    }

    async fn runs_again(&mut self) -> Option<()> {
        loop {
            let seen =
                self.docker.inspect_container(&self.container, None::<InspectContainerOptions>).await.ok()?;
            if seen.state.and_then(|state| state.running).unwrap_or(false) {
                return Some(());
            }
            tokio::time::sleep(RESTART_REST).await;
        }
    }

    fn take(&mut self, output: LogOutput) {
        let (stream, index) = match &output {
            LogOutput::StdErr { .. } => (Stream::Err, 1),
            _ => (Stream::Out, 0),
        };
        self.partial[index].extend_from_slice(&output.into_bytes());
        while let Some(end) = self.partial[index].iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial[index].drain(..=end).collect();
            let text = String::from_utf8_lossy(&line);
            let (time, text) = text.trim_end_matches(['\n', '\r']).split_once(' ').unwrap_or(("", ""));
            if time > self.last.as_str() {
                self.last = time.to_owned();
                self.lines.push_back(LogLine { time: time.to_owned(), stream, text: text.to_owned() });
            }
        }
    }
}

/// An engine's event about a container, in our words.
pub fn event(message: &EventMessage) -> Option<Event> {
    let attributes = message.actor.as_ref()?.attributes.as_ref()?;
    let name = attributes.get("name")?.clone();
    let what = match message.action.as_deref()? {
        "start" => Happening::Started,
        "destroy" => Happening::Removed,
        "die" => {
            let code = attributes.get("exitCode").and_then(|code| code.parse().ok()).unwrap_or(0);
            Happening::Exited { code, restarting: false }
        }
        _ => return None,
    };
    Some(Event { name, what })
}
