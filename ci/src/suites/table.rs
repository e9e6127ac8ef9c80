//! What became of each test on either side, kept as `fixtures/suites/NAME.md`, and whether that is as it must be.
//!
//! Names of tests and our own reasons are all that is written: no text of the suites.

use super::{Side, Suite};
use std::collections::{BTreeMap, BTreeSet};

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Passes,
    Fails,
    /// It says itself that it is not meant for this cluster.
    Skipped,
}

impl Ended {
    fn word(self) -> &'static str {
        match self {
            Ended::Passes => "passes",
            Ended::Fails => "fails",
            Ended::Skipped => "skipped",
        }
    }
}

/// The tests of one run by their names.
pub type Results = BTreeMap<String, Ended>;

/// One side of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// When, and at which commit.
    pub when: String,
    pub results: Results,
}

/// Both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    columns: BTreeMap<Side, Column>,
}

/// Begins the line of those tests that say of themselves that they are not meant for such a cluster.
const SKIPPED: &str = "Skipped on both: ";
const SIDES: [Side; 2] = [Side::Reference, Side::Jackdaw];

impl Table {
    /// Reads what [`Table::text`] wrote.
    pub fn parse(text: &str) -> Self {
        let mut table = Table::default();
        for line in text.lines() {
            for test in line.strip_prefix(SKIPPED).into_iter().flat_map(|names| names.split("`, `")) {
                for column in table.columns.values_mut() {
                    column.results.insert(test.trim_matches('`').to_owned(), Ended::Skipped);
                }
            }
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            for (at, side) in SIDES.into_iter().enumerate() {
                let Some(cell) = cells.get(at + 2).filter(|cell| !cell.is_empty()) else { continue };
                let known =
                    [Ended::Passes, Ended::Fails, Ended::Skipped].into_iter().find(|e| e.word() == *cell);
                match (cells[1].trim_matches('`'), known) {
                    ("run", _) => table.column(side).when = (*cell).to_owned(),
                    (test, Some(ended)) => {
                        table.column(side).results.insert(test.to_owned(), ended);
                    }
                    _ => {}
                }
            }
        }
        table
    }

    fn column(&mut self, side: Side) -> &mut Column {
        self.columns.entry(side).or_default()
    }

    /// Takes the place of what was known of that side.
    pub fn set(&mut self, side: Side, column: Column) {
        self.columns.insert(side, column);
    }

    fn ended(&self, side: Side, test: &str) -> Option<Ended> {
        self.columns.get(&side)?.results.get(test).copied()
    }

    /// Tests that ran on some side, and those that were skipped on all.
    fn tests(&self) -> (BTreeSet<&str>, BTreeSet<&str>) {
        let all = self.columns.values().flat_map(|column| column.results.keys()).map(String::as_str);
        all.partition(|test| self.columns.keys().any(|side| self.ended(*side, test) != Some(Ended::Skipped)))
    }

    fn count(&self, side: Side, ended: Ended) -> usize {
        let all = self.columns.get(&side).map(|column| column.results.values());
        all.map_or(0, |all| all.filter(|one| **one == ended).count())
    }

    /// How many of each, on a side.
    pub fn sum(&self, side: Side) -> String {
        if !self.columns.contains_key(&side) {
            return String::new();
        }
        let of = |ended| self.count(side, ended);
        format!("{} pass, {} fail, {} skipped", of(Ended::Passes), of(Ended::Fails), of(Ended::Skipped))
    }

    /// The file.
    pub fn text(&self, suite: &Suite) -> String {
        let row = |name: &str, of: &dyn Fn(Side) -> String, why: &str| {
            format!("| {name} | {} | {} | {why} |\n", of(Side::Reference), of(Side::Jackdaw))
        };
        let mut out = format!(
            "# {}: {}\n\n{} {}. Written by `cargo run -p ci -- suites {}`.\n\n",
            suite.name, suite.what, suite.package, suite.version, suite.name
        );
        out += &row("", &|side| side.to_string(), "");
        out += "| --- | --- | --- | --- |\n";
        out += &row("run", &|side| self.columns.get(&side).map_or_else(String::new, |c| c.when.clone()), "");
        out += &row("in all", &|side| self.sum(side), "");
        out += "\n| test | Apache Kafka | Jackdaw | why not |\n| --- | --- | --- | --- |\n";
        let (ran, skipped) = self.tests();
        for test in ran {
            let cell = |side| self.ended(side, test).map_or("", Ended::word).to_owned();
            let why = suite.why_not(test).unwrap_or_default();
            out += &row(&format!("`{test}`"), &cell, why);
        }
        if !skipped.is_empty() {
            let names: Vec<String> = skipped.into_iter().map(|test| format!("`{test}`")).collect();
            out += &format!("\n{SKIPPED}{}\n", names.join(", "));
        }
        out
    }

    /// What must not be: each a line.
    pub fn findings(&self, suite: &Suite) -> Vec<String> {
        let mut findings = Vec::new();
        for test in self.tests().0 {
            let [reference, ours] = SIDES.map(|side| self.ended(side, test));
            let passes = [reference, ours].map(|ended| ended == Some(Ended::Passes));
            match (passes, suite.why_not(test)) {
                ([true, true], Some(_)) => {
                    findings.push(format!("{test} passes on both: its reason is stale"))
                }
                ([true, false], None) if self.columns.contains_key(&Side::Jackdaw) => {
                    findings.push(format!("{test} passes on Apache Kafka and not on Jackdaw"));
                }
                ([false, _], None) if reference == Some(Ended::Fails) => {
                    findings.push(format!("{test} fails on Apache Kafka, and nothing says why"));
                }
                _ => {}
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ended::{Fails, Passes, Skipped};

    const SUITE: Suite =
        Suite { why_not: &[("acl", "CreateAcls is not built"), ("old", "x")], ..super::super::BLANK };

    fn column(results: &[(&str, Ended)]) -> Column {
        let results = results.iter().map(|(test, ended)| ((*test).to_owned(), *ended)).collect();
        Column { when: "2026-01-02 at abc".into(), results }
    }

    fn both(reference: &[(&str, Ended)], ours: &[(&str, Ended)]) -> Table {
        let mut table = Table::default();
        table.set(Side::Reference, column(reference));
        table.set(Side::Jackdaw, column(ours));
        table
    }

    #[test]
    fn what_passes_on_the_reference_passes_here_or_has_its_reason() {
        let reference =
            [("a", Passes), ("acl", Passes), ("b", Passes), ("c", Fails), ("old", Passes), ("s", Skipped)];
        let ours =
            [("a", Passes), ("acl", Fails), ("b", Skipped), ("c", Passes), ("old", Passes), ("s", Skipped)];
        assert_eq!(
            both(&reference, &ours).findings(&SUITE),
            [
                "b passes on Apache Kafka and not on Jackdaw",
                "c fails on Apache Kafka, and nothing says why",
                "old passes on both: its reason is stale",
            ]
        );
    }

    #[test]
    fn a_side_that_did_not_run_is_kept_from_the_file() {
        let reference = [("a", Passes), ("acl", Passes), ("s", Skipped), ("t", Skipped)];
        let table = both(&reference, &[("a", Passes), ("acl", Fails), ("s", Skipped), ("t", Skipped)]);
        let text = table.text(&SUITE);
        assert!(text.contains("| `acl` | passes | fails | CreateAcls is not built |\n"), "{text}");
        assert!(text.contains("Skipped on both: `s`, `t`\n"), "{text}");
        assert_eq!(Table::parse(&text), table);
    }
}
