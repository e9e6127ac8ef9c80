//! The table of samples, and the one line of a longer message that goes into it.
//! Nothing here runs anything.

use std::fmt::Write as _;

/// Where services ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Process,
    Docker,
}

/// Both, in the order of the table.
pub const RUNTIMES: [Runtime; 2] = [Runtime::Process, Runtime::Docker];

impl Runtime {
    /// As the command line has it.
    pub fn word(self) -> &'static str {
        match self {
            Runtime::Process => "process",
            Runtime::Docker => "docker",
        }
    }

    /// The runtime of that word.
    pub fn of(word: &str) -> Option<Self> {
        RUNTIMES.into_iter().find(|runtime| runtime.word() == word)
    }
}

/// What became of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A node that serves; the time is that of the whole file's `up`.
    Ready { took_ms: u128, health: String },
    /// A script that did its work.
    Done,
    /// A command that goes on.
    Runs,
    /// Neither, and why.
    No(String),
}

/// One service of one file on one runtime; an empty name stands for the file.
#[derive(Clone, Debug)]
pub struct Row {
    pub file: String,
    pub service: String,
    pub runtime: Runtime,
    pub ended: Ended,
}

impl Row {
    /// For the terminal.
    pub fn line(&self) -> String {
        let (cell, why) = self.cells();
        let name = if self.service.is_empty() { "(the file)" } else { &self.service };
        format!("{name}: {cell}{}{why}", if why.is_empty() { "" } else { ": " })
    }

    fn cells(&self) -> (String, String) {
        match &self.ended {
            Ended::Ready { took_ms, health } if health.is_empty() => {
                (format!("ready, {took_ms} ms"), String::new())
            }
            Ended::Ready { took_ms, health } => (format!("ready, {took_ms} ms, {health}"), String::new()),
            Ended::Done => ("done".to_owned(), String::new()),
            Ended::Runs => ("runs".to_owned(), String::new()),
            Ended::No(why) => ("no".to_owned(), why.clone()),
        }
    }

    fn is_well(&self) -> bool {
        !matches!(self.ended, Ended::No(_))
    }

    /// A row of a kept table.
    fn parse(line: &str) -> Option<Self> {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?.replace("\\|", "\u{0}");
        let cells: Vec<String> = line.split(" | ").map(|cell| cell.trim().replace('\u{0}', "|")).collect();
        let [file, service, runtime, came_to, why] = cells.try_into().ok()?;
        let ended = match came_to.split(", ").collect::<Vec<_>>().as_slice() {
            ["done"] => Ended::Done,
            ["runs"] => Ended::Runs,
            ["no"] => Ended::No(why),
            ["ready", took, health @ ..] => {
                let took_ms = took.strip_suffix(" ms")?.parse().ok()?;
                Ended::Ready { took_ms, health: health.first().copied().unwrap_or_default().to_owned() }
            }
            _ => return None,
        };
        Some(Row { file, service, runtime: Runtime::of(&runtime)?, ended })
    }
}

/// What was tried on one runtime.
#[derive(Clone, Debug)]
pub struct Part {
    pub date: String,
    pub rows: Vec<Row>,
}

/// The parts of a kept table.
pub fn parse(text: &str) -> Vec<(Runtime, Part)> {
    let rows: Vec<Row> = text.lines().filter_map(Row::parse).collect();
    let of = |runtime: Runtime| {
        let start = format!("- {}, ", runtime.word());
        let date =
            text.lines().find_map(|line| Some(line.strip_prefix(&start)?.split(':').next()?.to_owned()))?;
        let rows = rows.iter().filter(|row| row.runtime == runtime).cloned().collect();
        Some((runtime, Part { date, rows }))
    };
    RUNTIMES.into_iter().filter_map(of).collect()
}

/// Services and files of one runtime that came to what they are for, in words.
fn share(rows: &[&Row]) -> String {
    let mut files: Vec<(&str, bool)> = Vec::new();
    for row in rows {
        match files.iter_mut().find(|(file, _)| *file == row.file) {
            Some((_, well)) => *well &= row.is_well(),
            None => files.push((&row.file, row.is_well())),
        }
    }
    let services: Vec<_> = rows.iter().filter(|row| !row.service.is_empty()).collect();
    let well = services.iter().filter(|row| row.is_well()).count();
    let whole = files.iter().filter(|(_, well)| *well).count();
    let percent = 100 * whole / files.len().max(1);
    format!(
        "{whole} of {} files ({percent} %), with {well} of the {} services of files that can be read",
        files.len(),
        services.len()
    )
}

/// The file.
pub fn text(parts: &[(Runtime, Part)]) -> String {
    let mut out = String::from(
        "# Other people's compose files\n\n\
         Written by `cargo run -p ci -- samples FOLDER`. Each file is brought up alone, from a folder with nothing \
         beside it and no variable set; of each, the Kafka services. Times are those of `up -d` until the whole file \
         was ready; a health is what the file's own healthcheck says within five seconds.\n\n",
    );
    for (runtime, part) in parts {
        let of: Vec<&Row> = part.rows.iter().collect();
        let _ = writeln!(out, "- {}, {}: {}", runtime.word(), part.date, share(&of));
    }
    out += "\n| file | service | runtime | came to | why not |\n| --- | --- | --- | --- | --- |\n";
    let mut rows: Vec<&Row> = parts.iter().flat_map(|(_, part)| &part.rows).collect();
    rows.sort_by(|a, b| a.file.cmp(&b.file));
    for row in rows {
        let (cell, why) = row.cells();
        let why = why.replace('|', "\\|");
        let _ = writeln!(out, "| {} | {} | {} | {cell} | {why} |", row.file, row.service, row.runtime.word());
    }
    out
}

/// The first error among what the launcher said: `error:` lines, or the drawn form, whose words stand behind `×`.
pub fn first_error(said: &str) -> Option<String> {
    let lines: Vec<&str> = said.lines().collect();
    let at =
        lines.iter().position(|line| line.trim_start().starts_with('×') || line.starts_with("error:"))?;
    let first = lines[at].trim_start().trim_start_matches('×').trim_start_matches("error:").trim();
    // A drawn message goes on in the next lines, behind a bar, until its place is shown.
    let is_drawn = !lines[at].starts_with("error:");
    let more = lines[at + 1..]
        .iter()
        .map(|line| line.trim())
        .take_while(|line| is_drawn && line.starts_with('│') && !line.contains('╭'));
    let whole: Vec<&str> =
        std::iter::once(first).chain(more.map(|line| line.trim_start_matches('│').trim())).collect();
    Some(whole.join(" ").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(file: &str, service: &str, ended: Ended) -> Row {
        Row { file: file.into(), service: service.into(), runtime: Runtime::Process, ended }
    }

    #[test]
    fn a_file_counts_where_all_of_it_came_up() {
        let ready = Ended::Ready { took_ms: 12, health: "healthy".into() };
        let rows = [
            row("a.yml", "one", ready.clone()),
            row("a.yml", "init", Ended::Done),
            row("b.yml", "one", ready),
            row("b.yml", "two", Ended::No("a | b".into())),
            row("c.yml", "", Ended::No("not YAML".into())),
        ];
        let parts = [(Runtime::Process, Part { date: "2026-01-02".into(), rows: rows.to_vec() })];
        let text = text(&parts);
        let expected = "- process, 2026-01-02: 1 of 3 files (33 %), with 3 of the 4 services of files that can be read\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("| a.yml | one | process | ready, 12 ms, healthy |  |\n"), "{text}");
        assert!(text.ends_with("| c.yml |  | process | no | not YAML |\n"), "{text}");
        assert!(text.contains("| no | a \\| b |\n"), "{text}");
        assert_eq!(super::text(&parse(&text)), text, "what is kept of one runtime stays as it was");
    }

    #[test]
    fn the_first_error_is_found_in_what_was_said() {
        for (said, expected) in [
            ("warning: w\nerror: one is not ready: x\nthe last lines of one:\n  y\n", "one is not ready: x"),
            (
                "JK0022\n\n  ⚠ a warning\n   ╭─[f:1:1]\nJK0104\n\n  × no roles of\n  │ the node\n   ╭─[f:1:1]\n",
                "no roles of the node",
            ),
        ] {
            assert_eq!(first_error(said).as_deref(), Some(expected), "{said}");
        }
        assert_eq!(first_error("warning: w\n"), None);
    }
}
