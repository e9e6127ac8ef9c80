//! Two transcripts side by side: equal, or the steps in which they differ.

use crate::model::{Difference, Ours};
use crate::run::Section;
use std::fmt::Write as _;

/// Columns of one side.
const SIDE: usize = 72;
/// Equal lines shown around what differs.
const CONTEXT: usize = 4;

/// A step in which the transcripts differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// Title of the step.
    pub step: String,
    /// What was due.
    pub expected: String,
    /// What was told.
    pub told: String,
    /// Whether what was due is a difference that the scenario names.
    pub named: bool,
}

/// The steps that differ. A difference that the scenario names is due word for word; a step may have several that name
/// what it lacks.
pub fn compare(reference: &[Section], ours: &[Section], differences: &[Difference]) -> Vec<Differs> {
    let titles = reference.iter().map(|section| &section.title);
    let more = ours.iter().map(|section| &section.title);
    let mut order: Vec<&String> = titles.collect();
    order.extend(more.filter(|title| !reference.iter().any(|section| section.title == **title)));
    let text = |sections: &[Section], title: &str| {
        sections
            .iter()
            .find(|section| section.title == title)
            .map_or("(no such step)\n", |section| &section.text)
            .to_owned()
    };
    let mut differ = Vec::new();
    for title in order {
        let named = differences.iter().filter(|difference| difference.step == *title);
        let (mut expected, mut is_named) = (text(reference, title), false);
        for difference in named {
            is_named = true;
            expected = match &difference.ours {
                Ours::Words(words) => words.clone(),
                Ours::Lacks(items) => items.iter().fold(expected, |text, item| without_item(&text, item)),
            };
        }
        let told = text(ours, title);
        if expected.trim_end() != told.trim_end() {
            differ.push(Differs { step: title.clone(), expected, told, named: is_named });
        }
    }
    differ
}

/// The text without each list item that begins with this line. An item that is not there is left to be seen as a
/// difference: the scenario names something that is not so.
fn without_item(text: &str, first: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let (mut out, mut inside, mut found) = (String::new(), None, false);
    for line in text.lines() {
        if inside.is_some_and(|depth| indent(line) > depth) {
            continue;
        }
        inside = (line.trim_start().strip_prefix("- ") == Some(first)).then(|| indent(line));
        found |= inside.is_some();
        if inside.is_none() {
            out.push_str(line);
            out.push('\n');
        }
    }
    if !found {
        let _ = writeln!(out, "(the reference lists no `{first}` that could be lacking)");
    }
    out
}

impl Differs {
    /// Both sides, line by line; `expected_by` heads the left one.
    pub fn side_by_side(&self, expected_by: &str, told_by: &str) -> String {
        let left: Vec<&str> = self.expected.lines().collect();
        let right: Vec<&str> = self.told.lines().collect();
        let expected_by = if self.named { "the difference that the scenario names" } else { expected_by };
        let mut out = format!("  step: {}\n    {:SIDE$} │ {told_by}\n", self.step, expected_by);
        let rows = align(&left, &right);
        let is_near = |at: usize| {
            let near = at.saturating_sub(CONTEXT)..rows.len().min(at + CONTEXT + 1);
            rows[near].iter().any(|(mark, ..)| *mark != ' ')
        };
        let mut left_out = false;
        for (at, (mark, left, right)) in rows.iter().enumerate() {
            if !is_near(at) {
                if !std::mem::replace(&mut left_out, true) {
                    let _ = writeln!(out, "    {:SIDE$} │ …", "…");
                }
                continue;
            }
            left_out = false;
            for (left, right) in pieces(left, right) {
                let _ = writeln!(out, "  {mark} {left:SIDE$} │ {right}");
            }
        }
        out
    }
}

/// Lines longer than a side go on below.
fn pieces(left: &str, right: &str) -> Vec<(String, String)> {
    let cut = |text: &str| -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        if chars.is_empty() {
            vec![String::new()]
        } else {
            chars.chunks(SIDE).map(|c| c.iter().collect()).collect()
        }
    };
    let (left, right) = (cut(left), cut(right));
    let rows = left.len().max(right.len());
    let at = |side: &[String], row: usize| side.get(row).cloned().unwrap_or_default();
    (0..rows).map(|row| (at(&left, row), at(&right, row))).collect()
}

/// Equal lines beside each other (longest common subsequence), the others marked.
fn align<'a>(left: &[&'a str], right: &[&'a str]) -> Vec<(char, &'a str, &'a str)> {
    let mut common = vec![vec![0_u32; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            common[i][j] = if left[i] == right[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut rows = Vec::new();
    while i < left.len() || j < right.len() {
        match (left.get(i), right.get(j)) {
            (Some(a), Some(b)) if a == b => {
                rows.push((' ', *a, *b));
                (i, j) = (i + 1, j + 1);
            }
            (Some(a), Some(b)) if common[i + 1][j + 1] == common[i][j] => {
                rows.push(('≠', *a, *b));
                (i, j) = (i + 1, j + 1);
            }
            (Some(a), other) if other.is_none() || common[i + 1][j] >= common[i][j + 1] => {
                rows.push(('<', *a, ""));
                i += 1;
            }
            (_, Some(b)) => {
                rows.push(('>', "", *b));
                j += 1;
            }
            _ => break,
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackdaw_compose::Span;

    fn section(title: &str, text: &str) -> Section {
        Section { title: title.into(), text: text.into() }
    }

    #[test]
    fn a_difference_names_its_step_and_shows_both_sides() {
        let reference =
            [section("one", "a: 1\nb: 2\nc: 3\n"), section("two", "x\n"), section("three", "y\n")];
        let ours = [section("one", "a: 1\nb: 5\nc: 3\nd: 4\n"), section("two", "x\n")];
        let told: String = compare(&reference, &ours, &[])
            .iter()
            .map(|differs| differs.side_by_side("Apache Kafka 3.7.0", "Jackdaw"))
            .collect();
        insta::assert_snapshot!(told);
    }

    fn difference(ours: Ours) -> Difference {
        Difference { step: "one".into(), ours, reason: "r".into(), span: Span::default() }
    }

    #[test]
    fn what_is_lacking_on_purpose_is_named_item_by_item() {
        let lacks = |items: &[&str]| difference(Ours::Lacks(items.iter().map(|i| (*i).into()).collect()));
        let reference =
            [section("one", "v0:\n  keys:\n  - key: 1\n    max: 2\n  - key: 10\n  - key: 3\nend\n")];
        let ours = [section("one", "v0:\n  keys:\n  - key: 10\nend\n")];
        let named = [lacks(&["key: 1"]), lacks(&["key: 3"])];
        assert_eq!(compare(&reference, &ours, &named), []);
        // What is named must be lacking, and must be something that the reference has.
        assert_eq!(compare(&reference, &reference, &named[..1]).len(), 1);
        assert_eq!(compare(&reference, &reference, &[lacks(&["key: 4"])]).len(), 1);
    }

    #[test]
    fn a_named_difference_passes_only_word_for_word() {
        let differences = [difference(Ours::Words("b\n".into()))];
        let reference = [section("one", "a\n")];
        assert_eq!(compare(&reference, &[section("one", "b\n")], &differences), []);
        let differs = compare(&reference, &[section("one", "c\n")], &differences);
        assert!(differs[0].named);
        // Once we answer as the reference does, the difference has to go.
        assert_eq!(compare(&reference, &[section("one", "a\n")], &differences).len(), 1);
    }
}
