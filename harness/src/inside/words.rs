//! How the entrypoint speaks: lines in a container's log, one a finding, without colours and frames.

use crate::terminal::narrate;
use jackdaw_compose::{Code, Diagnostic, Severity};

/// A line about the start.
pub fn say(text: &str) {
    narrate(&format!("jackdaw: {text}\n"));
}

/// Findings, one a line; what has no meaning here is said once for all of it.
pub fn tell(diagnostics: &[Diagnostic]) {
    lines(diagnostics).iter().for_each(|line| narrate(&format!("{line}\n")));
}

fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    let mut said = Vec::new();
    let meaningless: Vec<&str> = diagnostics
        .iter()
        .filter(|d| d.code == Code::MeaninglessVariable)
        .filter_map(|d| d.message.split(' ').next())
        .collect();
    for diagnostic in diagnostics.iter().filter(|d| d.code != Code::MeaninglessVariable) {
        let help = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        said.push(format!("jackdaw: {diagnostic}{help}"));
    }
    if !meaningless.is_empty() {
        let names = meaningless.join(", ");
        let code = Code::MeaninglessVariable;
        said.push(format!(
            "jackdaw: {}[{code}]: no effect here, where no Java virtual machine is: {names}",
            Severity::Hint
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackdaw_compose::Span;

    #[test]
    fn what_has_no_meaning_is_said_once() {
        let nowhere = Span::default();
        let heap =
            |name: &str| Diagnostic::new(Code::MeaninglessVariable, format!("{name} has no"), &nowhere);
        let near =
            Diagnostic::new(Code::NearMissVariable, "KAFKA_X is not known", &nowhere).help("mean KAFKA_Y?");
        let lines = lines(&[heap("KAFKA_HEAP_OPTS"), near, heap("KAFKA_OPTS")]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with(": KAFKA_X is not known (mean KAFKA_Y?)"), "{}", lines[0]);
        assert!(lines[1].ends_with("KAFKA_HEAP_OPTS, KAFKA_OPTS"), "{}", lines[1]);
    }
}
