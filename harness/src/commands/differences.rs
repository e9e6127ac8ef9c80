//! The differences that scenarios name, as the table of the README. The scenarios are the source; nobody writes
//! the table by hand.

use crate::exit::{Exit, Result, Stop};
use crate::terminal::result;
use jackdaw_scenario::model::Scenario;
use std::fs;
use std::path::Path;

/// Stand around the table, on lines of their own.
const BEGIN: &str = "<!-- The table is written by `jackdaw conformance --differences --into README.md`. -->";
const END: &str = "<!-- The end of the table. -->";

/// `conformance --differences`: prints the table, or puts it between the marks of a file.
pub fn run(scenarios: &[Scenario], into: Option<&Path>) -> Result {
    let table = table(scenarios);
    let Some(file) = into else {
        result(table.trim_end());
        return Ok(Exit::Done);
    };
    let about = |why: String| format!("{}: {why}", file.display());
    let text = fs::read_to_string(file).map_err(|error| Stop::bad_input(about(error.to_string())))?;
    let written = replaced(&text, &table).map_err(|why| Stop::bad_input(about(why)))?;
    if written != text {
        fs::write(file, written).map_err(|error| Stop::failed(about(error.to_string())))?;
    }
    Ok(Exit::Done)
}

/// A scenario and its steps.
type Place<'a> = (&'a str, Vec<String>);

/// One row a reason, in the order of the scenarios, with every step that it is given for.
fn table(scenarios: &[Scenario]) -> String {
    let cell = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let mut rows: Vec<(String, Vec<Place<'_>>)> = Vec::new();
    for scenario in scenarios {
        for difference in &scenario.differences {
            let (reason, step) = (cell(&difference.reason), cell(&difference.step));
            let at = rows.iter().position(|(known, _)| *known == reason).unwrap_or_else(|| {
                rows.push((reason, Vec::new()));
                rows.len() - 1
            });
            match rows[at].1.iter_mut().find(|(name, _)| *name == scenario.name) {
                Some((_, steps)) => steps.push(step),
                None => rows[at].1.push((&scenario.name, vec![step])),
            }
        }
    }
    let mut out = String::from("| why Jackdaw answers otherwise | where |\n| --- | --- |\n");
    for (reason, places) in rows {
        let places = places
            .iter()
            .map(|(name, steps)| format!("[{name}](scenarios/{name}/scenario.yml): {}", steps.join(", ")));
        out += &format!("| {reason} | {} |\n", places.collect::<Vec<_>>().join("; "));
    }
    out
}

fn replaced(text: &str, table: &str) -> std::result::Result<String, String> {
    let missing = || format!("the marks `{BEGIN}` and `{END}` do not stand in it");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str, differences: &str) -> Scenario {
        let text = format!(
            "protects: a\nsource: b\nsteps: [{{ kill: node 1 }}, {{ start: node 1 }}]\ndifferences: [{differences}]\n"
        );
        jackdaw_scenario::parse(name, "f", &text).unwrap()
    }

    #[test]
    fn a_reason_has_one_row_and_names_its_steps() {
        let scenarios = [
            scenario("a", "{ step: kill node 1, ours: x, reason: 'ends | early' }"),
            scenario(
                "b",
                "{ step: kill node 1, ours: x, reason: other }, { step: start node 1, ours: x, reason: other }",
            ),
            scenario("c", "{ step: start node 1, ours: y, reason: 'ends | early' }"),
        ];
        insta::assert_snapshot!(table(&scenarios), @r"
        | why Jackdaw answers otherwise | where |
        | --- | --- |
        | ends \| early | [a](scenarios/a/scenario.yml): kill node 1; [c](scenarios/c/scenario.yml): start node 1 |
        | other | [b](scenarios/b/scenario.yml): kill node 1, start node 1 |
        ");
    }

    #[test]
    fn the_table_stands_between_its_marks_and_nothing_else_changes() {
        let once = replaced(&format!("x\n{BEGIN}\nold\n{END}\ny\n"), "| t |\n").unwrap();
        assert_eq!(once, format!("x\n{BEGIN}\n\n| t |\n\n{END}\ny\n"));
        assert_eq!(replaced(&once, "| t |\n").unwrap(), once);
        assert!(replaced("no marks", "").is_err());
    }
}
