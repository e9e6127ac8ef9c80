//! A recording on disk: what the reference answered, with where it comes from. Text that a reviewer reads.

use crate::model::Scenario;
use crate::run::Section;
use std::fmt::Write as _;

/// The reference whose answers to the scenario count, as recordings name it.
pub fn reference(scenario: &Scenario) -> String {
    format!("Apache Kafka {}", scenario.shape.release)
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixture {
    /// Who answered.
    pub provider: String,
    /// When, as YYYY-MM-DD.
    pub date: String,
    /// Digest of the scenario that was recorded.
    pub digest: String,
    /// What was answered.
    pub sections: Vec<Section>,
}

/// Why a recording cannot be compared with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It was made by another version.
    #[error(
        "it holds what {found} answered, and the reference is {reference}: record it anew with `jackdaw record {name}`"
    )]
    Version {
        /// Its provider.
        found: String,
        /// Whose answers count.
        reference: String,
        /// The scenario.
        name: String,
    },
    /// The scenario changed since.
    #[error("the scenario was changed after it was recorded: record it anew with `jackdaw record {name}`")]
    Stale {
        /// The scenario.
        name: String,
    },
    /// There is none.
    #[error("there is no recording: make it with `jackdaw record {name}`")]
    Absent {
        /// The scenario.
        name: String,
    },
    /// It is no recording.
    #[error("this line is not that of a recording: remove the file and record the scenario anew")]
    Syntax(usize),
}

impl Unfit {
    /// The line of the recording that says so.
    pub fn line(&self) -> usize {
        match self {
            Unfit::Syntax(line) => *line,
            // See `Fixture::to_text`.
            Unfit::Version { .. } => 2,
            Unfit::Stale { .. } => 5,
            Unfit::Absent { .. } => 1,
        }
    }
}

impl Fixture {
    /// As it is kept.
    pub fn to_text(&self, name: &str) -> String {
        let mut out = format!(
            "# What the reference answered to scenarios/{name}; written by `jackdaw record`, not by hand.\n\
             provider: {}\nrecorded: {}\ncommand: jackdaw record {name}\nscenario: {}\n",
            self.provider, self.date, self.digest
        );
        for section in &self.sections {
            let _ = write!(out, "\n## {}\n{}", section.title, section.text);
        }
        out
    }

    /// Reads what [`Fixture::to_text`] wrote.
    ///
    /// # Errors
    /// The first line that is not understood.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let mut fixture = Fixture {
            provider: String::new(),
            date: String::new(),
            digest: String::new(),
            sections: Vec::new(),
        };
        for (at, line) in text.lines().enumerate() {
            if let Some(title) = line.strip_prefix("## ") {
                if let Some(last) = fixture.sections.last_mut() {
                    last.text.truncate(last.text.trim_end_matches('\n').len());
                    if !last.text.is_empty() {
                        last.text.push('\n');
                    }
                }
                fixture.sections.push(Section { title: title.to_owned(), text: String::new() });
                continue;
            }
            match (fixture.sections.last_mut(), line.split_once(": ")) {
                (Some(section), _) => {
                    section.text.push_str(line);
                    section.text.push('\n');
                }
                (None, Some(("provider", value))) => fixture.provider = value.to_owned(),
                (None, Some(("recorded", value))) => fixture.date = value.to_owned(),
                (None, Some(("scenario", value))) => fixture.digest = value.to_owned(),
                (None, Some(("command", _))) => {}
                (None, _) if line.is_empty() || line.starts_with('#') => {}
                (None, _) => return Err(Unfit::Syntax(at + 1)),
            }
        }
        Ok(fixture)
    }

    /// Whether it can be held against a run of the scenario.
    ///
    /// # Errors
    /// Why not.
    pub fn fits(&self, scenario: &Scenario) -> Result<(), Unfit> {
        let name = scenario.name.clone();
        let reference = reference(scenario);
        if self.provider != reference {
            return Err(Unfit::Version { found: self.provider.clone(), reference, name });
        }
        if self.digest != scenario.digest {
            return Err(Unfit::Stale { name });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_comes_back_from_its_text() {
        let section = |title: &str, text: &str| Section { title: title.into(), text: text.into() };
        let fixture = Fixture {
            provider: "Apache Kafka 3.7.0".into(),
            date: "2026-01-02".into(),
            digest: "abc".into(),
            sections: vec![section("create t", ""), section("Fetch", "a: 1\n  b\n"), section("last", "x\n")],
        };
        assert_eq!(Fixture::parse(&fixture.to_text("n")), Ok(fixture));
        assert_eq!(Fixture::parse("provider: x\nwhat\n"), Err(Unfit::Syntax(2)));
    }

    #[test]
    fn another_version_and_other_steps_are_refused() {
        let scenario = crate::parse("n", "f", "protects: a\nsource: b\nsteps: [{ kill: node 1 }]\n").unwrap();
        let own = reference(&scenario);
        let own = own.as_str();
        let fixture = |provider: &str, digest: &str| Fixture {
            provider: provider.into(),
            date: String::new(),
            digest: digest.into(),
            sections: Vec::new(),
        };
        assert_eq!(fixture(own, &scenario.digest).fits(&scenario), Ok(()));
        for (provider, digest) in [("Apache Kafka 3.9.0", scenario.digest.as_str()), (own, "other")] {
            let why = fixture(provider, digest).fits(&scenario).unwrap_err();
            assert!(why.to_string().contains("jackdaw record n"), "{why}");
            let text = fixture(provider, digest).to_text("n");
            let line = text.lines().nth(why.line() - 1).unwrap_or_default();
            assert!(line.ends_with(provider) && provider != own || line.ends_with(digest), "{line}");
        }
    }

    #[test]
    fn a_scenario_may_be_held_to_another_release() {
        let of = |reference: &str| {
            crate::parse(
                "n",
                "f",
                &format!("protects: a\nsource: b\n{reference}steps: [{{ kill: node 1 }}]\n"),
            )
        };
        let (plain, later) = (of("").unwrap(), of("reference: 4.1.0\n").unwrap());
        assert_eq!(
            (reference(&plain).as_str(), plain.shape.reference().as_str()),
            ("Apache Kafka 3.7.0", "apache-kafka")
        );
        assert_eq!(
            (reference(&later).as_str(), later.shape.reference().as_str()),
            ("Apache Kafka 4.1.0", "apache-kafka:4.1.0")
        );
        assert_ne!(plain.digest, later.digest);
        assert_ne!(plain.shape, later.shape, "they share no cluster");
        assert!(of("reference: four\n").is_err());
    }
}
