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
    /// What is wrong, if anything.
    pub failure: Option<String>,
}

/// The report.
pub fn report(suite: &str, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let total: f32 = cases.iter().map(|case| case.took.as_secs_f32()).sum();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n\
         <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" time=\"{total:.3}\">\n",
        escaped(suite),
        cases.len(),
    );
    for case in cases {
        let (name, time) = (escaped(&case.name), case.took.as_secs_f32());
        let _ = match &case.failure {
            None => writeln!(out, "<testcase classname=\"scenarios\" name=\"{name}\" time=\"{time:.3}\"/>"),
            Some(why) => writeln!(
                out,
                "<testcase classname=\"scenarios\" name=\"{name}\" time=\"{time:.3}\">\
                 <failure message=\"{}\">{}</failure></testcase>",
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
        let case = |name: &str, failure: Option<&str>| Case {
            name: name.into(),
            took: Duration::from_millis(1500),
            failure: failure.map(str::to_owned),
        };
        insta::assert_snapshot!(report(
            "Jackdaw",
            &[case("a", None), case("b", Some("1 < 2 & \"x\"\u{1}\nmore"))]
        ));
    }
}
