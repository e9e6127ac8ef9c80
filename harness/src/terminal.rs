//! What is said and shown: results on stdout, narration on stderr, colours where a person looks.

use jackdaw_runtime::execute::Progress;
use jackdaw_runtime::plan::Step;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// Colours of service names in logs, as Docker Compose cycles through them.
const CYCLE: [&str; 10] = ["36", "33", "32", "35", "34", "96", "93", "92", "95", "94"];

/// Where colours go.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Results may be coloured.
    pub out: bool,
    /// Narration may be coloured.
    pub err: bool,
    /// Somebody watches the narration as it comes.
    pub live: bool,
    /// Columns.
    pub width: usize,
}

impl Terminal {
    /// As standard output and error are, and as NO_COLOR and `--no-color` want it.
    pub fn detect(no_color: bool) -> Self {
        let plain = no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let err = std::io::stderr().is_terminal();
        let width = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(100, |size| size.ws_col as usize);
        Terminal {
            out: !plain && std::io::stdout().is_terminal(),
            err: !plain && err,
            live: err,
            width: width.clamp(60, 120),
        }
    }

    /// One line of narration.
    pub fn say(&self, text: &str) {
        let erase = if self.live { "\r\x1b[K" } else { "" };
        narrate(&format!("{erase}{text}\n"));
    }

    /// A warning.
    pub fn warn(&self, text: &str) {
        self.say(&format!("{} {text}", self.narrated("33", "warning:")));
    }

    /// A line that the next one replaces; only where somebody watches.
    pub fn status(&self, text: &str) {
        if self.live {
            let cut: String = text.chars().take(self.width.saturating_sub(1)).collect();
            narrate(&format!("\r\x1b[K{cut}"));
        }
    }

    /// Text of narration in a colour.
    pub fn narrated(&self, colour: &str, text: &str) -> String {
        if self.err { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The prefix of a log line: the name in its colour, padded.
    pub fn prefix(&self, index: usize, name: &str, width: usize) -> String {
        let prefix = format!("{name:width$}  | ");
        match self.out {
            true => format!("\x1b[{}m{prefix}\x1b[0m", CYCLE[index % CYCLE.len()]),
            false => prefix,
        }
    }
}

/// Narration as it is. Where its reader went away (`2>&1 | head`) it is lost, and the work goes on.
pub fn narrate(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// One line of result. A reader that went away (`| head`) ends the program quietly.
pub fn result(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").is_err() {
        std::process::exit(0);
    }
}

impl Progress for Terminal {
    fn begins(&self, step: &Step) {
        self.status(&format!(" {step}"));
    }

    fn done(&self, step: &Step, took: Duration) {
        let Some((subject, done)) = words(step) else { return };
        let tick = self.narrated("32", "✔");
        self.say(&format!(" {tick} {subject:44} {done:10} {:5.1}s", took.as_secs_f32()));
    }

    fn warn(&self, warning: &str) {
        Terminal::warn(self, warning);
    }

    fn left_out(&self, service: &str, reason: &str) {
        self.say(&format!(" {} {service} is left out: {reason}", self.narrated("33", "-")));
    }
}

fn words(step: &Step) -> Option<(String, &'static str)> {
    let container = |name: &str| format!("Container {name}");
    Some(match step {
        Step::ImportImage { image } => (format!("Image {image}"), "Imported"),
        Step::PullImage { image, .. } => (format!("Image {image}"), "Pulled"),
        Step::CreateNetwork { network } => (format!("Network {network}"), "Created"),
        Step::CreateVolume { volume } => (format!("Volume {volume}"), "Created"),
        Step::Stop { container: name, .. } => (container(name), "Stopped"),
        Step::Kill { container: name, .. } => (container(name), "Killed"),
        Step::Pause { container: name, .. } => (container(name), "Paused"),
        Step::Unpause { container: name, .. } => (container(name), "Unpaused"),
        Step::Remove { container: name, .. } => (container(name), "Removed"),
        Step::Create { container: name, .. } => (container(name), "Created"),
        Step::Start { container: name, .. } => (container(name), "Started"),
        Step::Wait { dependency, .. } => (format!("Service {dependency}"), "Waited"),
        Step::RemoveNetwork { network } => (format!("Network {network}"), "Removed"),
        Step::RemoveVolume { volume } => (format!("Volume {volume}"), "Removed"),
        Step::LeaveOut(_) => return None,
    })
}

/// Columns of text under their headings, as wide as they have to be.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    let mut lines = vec![line(headings.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["Kafka00Service".into(), "0".into()], vec!["b".into(), "10".into()]];
        insta::assert_snapshot!(table(&["SERVICE", "NODE"], &rows), @r"
        SERVICE          NODE
        Kafka00Service   0
        b                10
        ");
    }
}
