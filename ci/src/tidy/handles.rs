//! A setting of topics that is said to act is read: its handle, and the field that the log makes of it.
//!
//! For a node's settings the compiler tells, as only the broker sees their fields; these cross crates.

use super::{Finding, is_test_file};

/// Where the handles are, and the line that makes one.
const KEYS: &str = "settings/src/keys/topics.rs";
/// Where the fields are.
const FIELDS: &str = "broker/log/src/config.rs";

/// What is to be read, and the code that may read it.
#[derive(Default)]
pub struct Handles {
    handles: Vec<String>,
    fields: Vec<String>,
    /// Production code of the broker, outside of both files.
    code: String,
    /// Of the file that makes fields of handles.
    makes: String,
}

impl Handles {
    /// Takes what a file defines and what it reads.
    pub fn read(&mut self, name: &str, text: &str) {
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        if name == KEYS {
            let rows = text.split("\ntopic_keys! {").nth(1).unwrap_or_default();
            self.handles = rows
                .split(" acts(")
                .skip(1)
                .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
                .collect();
        } else if name == FIELDS {
            let fields = text.split("pub struct LogConfig {").nth(1).unwrap_or_default();
            let fields = fields.split("\n}").next().unwrap_or_default().lines();
            let field = |line: &str| Some(line.trim().strip_prefix("pub ")?.split_once(':')?.0.to_owned());
            self.fields = fields.filter_map(field).collect();
            self.makes = text.to_owned();
        } else if name.starts_with("broker/") && !is_test_file(name) {
            self.code.push_str(text);
        }
    }

    /// Those that nobody reads.
    pub fn check(&self, findings: &mut Vec<Finding>) {
        let follows = |code: &str, text: &str| {
            code.match_indices(text).any(|(at, _)| {
                !code[at + text.len()..]
                    .starts_with(|c: char| c == '_' || c == '(' || c.is_ascii_alphanumeric())
            })
        };
        if self.handles.is_empty() || self.fields.is_empty() {
            findings.push(format!(
                "{KEYS}, {FIELDS}: no handle or no field found: does this rule still read them?"
            ));
        }
        for handle in &self.handles {
            let text = format!("topics::{handle}");
            if !follows(&self.makes, &text) && !follows(&self.code, &text) {
                findings.push(format!("{KEYS}: `{handle}` is said to act and nobody reads it"));
            }
        }
        for field in self.fields.iter().filter(|field| !follows(&self.code, &format!(".{field}"))) {
            findings.push(format!("{FIELDS}: nobody reads the field `{field}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_and_a_field_that_nobody_reads_are_found() {
        let mut handles = Handles::default();
        handles.read(KEYS, "\ntopic_keys! {\n\"a\": Int, acts(A), [];\n\"b\": Int, acts(A_B), [];\n");
        handles
            .read(FIELDS, "pub struct LogConfig {\n    pub a: i32,\n    pub b: i32,\n}\nread(topics::A_B)");
        handles.read("broker/src/x.rs", "config.b()\nconfig.a;\n#[cfg(test)]\nconfig.b;");
        let mut findings = Vec::new();
        handles.check(&mut findings);
        assert_eq!(
            findings,
            [
                format!("{KEYS}: `A` is said to act and nobody reads it"),
                format!("{FIELDS}: nobody reads the field `b`")
            ]
        );
    }
}
