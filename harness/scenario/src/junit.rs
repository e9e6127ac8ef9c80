//! The report that CI systems read. One test case per scenario.

use std::fmt::Write as _;
use std::time::Duration;

/// One scenario in the report.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Time it took.
    pub took: Duration,
    /// How it ended.
    pub ended: Ended,
}

/// How a scenario ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// As it should.
    Well,
    /// With this wrong.
    Failed(String),
    /// It was not run, for this reason.
    Skipped(String),
}

impl From<Option<String>> for Ended {
    fn from(failure: Option<String>) -> Self {
        failure.map_or(Ended::Well, Ended::Failed)
    }
}

/// The report.
pub fn report(suite: &str, cases: &[Case]) -> String {
    let count = |wanted: fn(&Ended) -> bool| cases.iter().filter(|case| wanted(&case.ended)).count();
    let failures = count(|ended| matches!(ended, Ended::Failed(_)));
    let skipped = count(|ended| matches!(ended, Ended::Skipped(_)));
    let total: f32 = cases.iter().map(|case| case.took.as_secs_f32()).sum();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n\
         <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\" time=\"{total:.3}\">\n",
        escaped(suite),
        cases.len(),
    );
    for case in cases {
        let (name, time) = (escaped(&case.name), case.took.as_secs_f32());
        let head = format!("<testcase classname=\"scenarios\" name=\"{name}\" time=\"{time:.3}\"");
        let _ = match &case.ended {
            Ended::Well => writeln!(out, "{head}/>"),
            Ended::Skipped(why) => {
                writeln!(out, "{head}><skipped message=\"{}\"/></testcase>", escaped(why))
            }
            Ended::Failed(why) => writeln!(
                out,
                "{head}><failure message=\"{}\">{}</failure></testcase>",
                escaped(why.lines().next().unwrap_or_default()),
                escaped(why)
            ),
        };
    }
    out + "</testsuite>\n</testsuites>\n"
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no place for the others.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_valid_xml() {
        let case = |name: &str, ended| Case { name: name.into(), took: Duration::from_millis(1500), ended };
        insta::assert_snapshot!(report(
            "Jackdaw",
            &[
                case("a", Ended::Well),
                case("b", Ended::Failed("1 < 2 & \"x\"\u{1}\nmore".into())),
                case("c", Ended::Skipped("no JVM".into())),
            ]
        ));
    }
}
