//! The house rules and the invariants of ARCHITECTURE.md that a text search can hold.
//!
//! Each rule is one row of [`RULES`] (a pattern that must be absent from some files) or one small
//! function for what a pattern cannot say. A rule that never fired is tested by [`tests`].

mod circles;
mod forms;
mod handles;

use anyhow::Context as _;
use circles::Arrows;
use handles::Handles;
use std::fs;
use std::path::{Path, PathBuf};

/// A text that must not stand in the files of some rooms.
struct Rule {
    /// Path prefixes that the rule covers.
    rooms: &'static [&'static str],
    /// Texts of which none may occur in code (comments and tests are left out).
    absent: &'static [&'static str],
    why: &'static str,
}

const NO_IO: &[&str] = &[
    "settings/",
    "broker/quorum/",
    "broker/metadata/",
    "broker/replication/",
    "broker/groups/",
    "broker/transactions/",
];
const BELOW_THE_SHELL: &[&str] = &[
    "broker/wire/",
    "broker/quorum/",
    "broker/metadata/",
    "broker/replication/",
    "broker/groups/",
    "broker/transactions/",
    "broker/log/",
    "broker/sim/",
];

const RULES: &[Rule] = &[
    Rule {
        rooms: NO_IO,
        absent: &[
            "Instant::now",
            "SystemTime",
            "std::net",
            "std::fs",
            "std::thread",
            "rand::",
            "async fn",
            "async move",
        ],
        why: "a pure crate has no clock, socket, file, thread, randomness or async of its own",
    },
    Rule { rooms: BELOW_THE_SHELL, absent: &["tokio"], why: "tokio lives in broker/src" },
    Rule {
        rooms: &["broker/"],
        absent: &["unbounded_channel", "UnboundedSender", "UnboundedReceiver", "mpsc::channel()"],
        why: "no queue is unbounded",
    },
    Rule {
        rooms: &["broker/src/"],
        absent: &["SystemTime::now", "Instant::now"],
        why: "broker/src/clock.rs reads the clocks: what steps and what does not are different types",
    },
    Rule {
        rooms: &["broker/quorum/"],
        absent: &["jackdaw_metadata", "jackdaw_replication", "jackdaw_log"],
        why: "pure crates share only the types of wire",
    },
    Rule {
        rooms: &["broker/metadata/"],
        absent: &["jackdaw_quorum", "jackdaw_replication"],
        why: "pure crates share only the types of wire",
    },
    Rule {
        rooms: &["broker/replication/"],
        absent: &["jackdaw_metadata", "jackdaw_quorum", "jackdaw_log"],
        why: "pure crates share only the types of wire",
    },
    Rule {
        rooms: &["settings/"],
        absent: &["jackdaw_"],
        why: "the vocabulary depends on nobody who speaks it",
    },
    Rule {
        rooms: &["broker/"],
        absent: &["jackdaw_compose", "jackdaw_conventions", "jackdaw_runtime", "jackdaw_check"],
        why: "the broker knows no compose and no container",
    },
    Rule {
        rooms: &["harness/check/", "harness/scenario/"],
        absent: &["jackdaw_broker", "jackdaw_log", "jackdaw_metadata", "jackdaw_quorum"],
        why: "what the checks know of a cluster came over a socket",
    },
    Rule {
        rooms: &[""],
        absent: &["todo!(", "unimplemented!(", "FIXME", "XXX"],
        why: "what is not built is absent, and says so",
    },
    Rule { rooms: &[""], absent: &["/root/"], why: "no machine's paths" },
];

/// The file that reads the node's clocks for all others.
const CLOCKS: &str = "broker/src/clock.rs";

/// A line of a file that breaks a rule.
type Finding = String;

const MAX_FILE_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 100;

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The `tidy` step.
pub fn run() -> crate::Outcome {
    let findings = findings(&root())?;
    findings.iter().for_each(|finding| eprintln!("   {finding}"));
    anyhow::ensure!(findings.is_empty(), "{} finding(s)", findings.len());
    Ok(String::new())
}

fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut files = Vec::new();
    rust_files(root, &mut files)?;
    anyhow::ensure!(files.len() > 10, "only {} Rust files found below {}", files.len(), root.display());
    let mut findings = Vec::new();
    let (mut arrows, mut handles) = (Arrows::default(), Handles::default());
    for file in files {
        let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).with_context(|| name.clone())?;
        check_file(&name, &text, &mut findings);
        arrows.read(&name, &text);
        handles.read(&name, &text);
    }
    arrows.check(&mut findings);
    handles.check(&mut findings);
    Ok(findings)
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                rust_files(&path, files)?;
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn check_file(name: &str, text: &str, findings: &mut Vec<Finding>) {
    if name == "ci/src/tidy.rs" {
        return; // It names what it forbids.
    }
    if !text.starts_with("//!") {
        findings.push(format!("{name}:1: no `//!` header that says what the file is for"));
    }
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > MAX_FILE_LINES {
        findings.push(format!("{name}: {} lines, {MAX_FILE_LINES} at most: is it one subject?", lines.len()));
    }
    check_rules(name, &lines, findings);
    check_debug_forms(name, text, findings);
    check_function_lengths(name, &lines, findings);
}

/// Whether a whole file is test code.
fn is_test_file(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/tests.rs") || name.ends_with("_tests.rs")
}

fn check_rules(name: &str, lines: &[&str], findings: &mut Vec<Finding>) {
    if is_test_file(name) {
        return;
    }
    for rule in RULES.iter().filter(|rule| rule.rooms.iter().any(|room| name.starts_with(room))) {
        if name == CLOCKS && rule.absent.contains(&"Instant::now") {
            continue;
        }
        for (index, line) in lines.iter().enumerate() {
            if line.trim_start().starts_with("#[cfg(test)]") {
                break; // The tests stand at the end of a file.
            }
            let code = line.split("//").next().unwrap_or_default();
            if let Some(found) = rule.absent.iter().find(|text| code.contains(*text)) {
                findings.push(format!("{name}:{}: `{found}`: {}", index + 1, rule.why));
            }
        }
    }
}

/// Where Rust's debug form is what is wanted: what tracing hands over, and numbers as Java and as JSON write them.
const DEBUG_FORMS: &[&str] = &["broker/src/logging.rs", "broker/wire/src/record_codec.rs"];

fn check_debug_forms(name: &str, text: &str, findings: &mut Vec<Finding>) {
    let is_node = name.starts_with("broker/") && !name.starts_with("broker/sim/");
    if !is_node || is_test_file(name) || DEBUG_FORMS.contains(&name) {
        return;
    }
    for line in forms::debug_forms(text) {
        findings
            .push(format!("{name}:{line}: Rust's debug form in a text: say it as Kafka does, or plainly"));
    }
}

fn check_function_lengths(name: &str, lines: &[&str], findings: &mut Vec<Finding>) {
    let mut open: Option<(usize, usize)> = None; // indentation, first line
    for (index, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indentation = line.len() - trimmed.len();
        match open {
            None if is_function(trimmed) && !trimmed.ends_with(';') && !trimmed.ends_with('}') => {
                open = Some((indentation, index));
            }
            Some((at, first)) if indentation == at && (trimmed == "}" || trimmed.ends_with(';')) => {
                let length = index - first + 1;
                if length > MAX_FUNCTION_LINES {
                    findings.push(format!(
                        "{name}:{}: a function of {length} lines, {MAX_FUNCTION_LINES} at most",
                        first + 1
                    ));
                }
                open = None;
            }
            _ => {}
        }
    }
}

fn is_function(trimmed: &str) -> bool {
    let mut rest = trimmed;
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.starts_with("fn ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_keeps_its_rules() {
        let findings = findings(&root()).unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn each_rule_can_fail() {
        for rule in RULES {
            let file = format!("{}src/lib.rs", rule.rooms[0]);
            for text in rule.absent {
                let mut findings = Vec::new();
                check_file(&file, &format!("//! A file.\nfn f() {{ {text} }}\n"), &mut findings);
                assert!(findings.iter().any(|f| f.contains(text)), "{file} with {text}: {findings:?}");
            }
        }
    }

    #[test]
    fn debug_forms_are_found_in_the_node_and_nowhere_else() {
        let found = |name: &str| {
            let mut findings = Vec::new();
            check_file(name, "//! A file.\nfn f() { info!(\"{x:?}\") }\n", &mut findings);
            findings.len()
        };
        assert_eq!(found("broker/src/a.rs"), 1);
        assert_eq!(
            [found("broker/sim/src/a.rs"), found("broker/src/tests.rs"), found("harness/src/a.rs")],
            [0; 3]
        );
    }

    #[test]
    fn long_functions_and_files_and_missing_headers_are_found() {
        let body = "    x();\n".repeat(120);
        let text = format!("fn long() {{\n{body}}}\n{}", "// filler\n".repeat(800));
        let mut findings = Vec::new();
        check_file("broker/src/a.rs", &text, &mut findings);
        assert_eq!(findings.len(), 3, "{findings:?}");
    }
}
