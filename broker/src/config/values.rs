//! The settings of one file against the table: each value parsed and checked on its own, in Kafka's words.
//!
//! Must not compare settings with each other; `validate` does.

use std::collections::BTreeMap;
use std::fmt;

use jackdaw_settings::keys::{self, Honour, Key, Kind, parse, split_csv, split_list};
use jackdaw_settings::properties::Entry;

/// Something to tell about a configuration: why it is refused, or what it will not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// Where the setting was read; not a path where it was given otherwise.
    pub file: String,
    /// 1-based.
    pub line: Option<usize>,
    pub key: Option<String>,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

#[derive(Clone, Debug)]
struct Setting {
    value: String,
    file: String,
    line: Option<usize>,
}

/// All settings of a node, with what there is to say about them.
#[derive(Clone, Debug, Default)]
pub struct Values {
    file: String,
    settings: BTreeMap<String, Setting>,
    pub errors: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Values {
    /// Takes the entries of a file, then the overrides; later ones win. Values that do not parse are left at their
    /// default, with an error.
    pub fn new(file: &str, entries: Vec<Entry>, overrides: &[(String, String)]) -> Self {
        let mut values = Self { file: file.to_owned(), ..Self::default() };
        for Entry { key, value, line, .. } in entries {
            let setting = Setting { value, file: file.to_owned(), line: Some(line) };
            if let Some(before) = values.settings.insert(key.clone(), setting) {
                let first = before.line.unwrap_or_default();
                values.warn(&key, format!("`{key}` was already set in line {first}; this line wins"));
            }
        }
        for (key, value) in overrides {
            let setting = Setting { value: value.clone(), file: "--override".to_owned(), line: None };
            values.settings.insert(key.clone(), setting);
        }
        values.check_each();
        values
    }

    fn check_each(&mut self) {
        let settings: Vec<(String, String)> =
            self.settings.iter().map(|(name, s)| (name.clone(), s.value.trim().to_owned())).collect();
        for (name, value) in settings {
            match keys::find(&name) {
                Some(key) => self.check_one(key, &value),
                None if keys::of_listener(&name).is_some() => self.check_of_listener(&name, &value),
                None if keys::is_family_member(&name) => {
                    self.warn(
                        &name,
                        format!("`{name}` has no effect: it belongs to a feature that is not built"),
                    );
                }
                None => {
                    let hint =
                        keys::nearest(&name).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                    self.warn(
                        &name,
                        format!("`{name}` is not a setting of Kafka 3.7 and has no effect{hint}"),
                    );
                }
            }
        }
    }

    fn check_one(&mut self, key: &Key, value: &str) {
        if let Err(why) = parse(key, value) {
            self.error(key.name, why);
            self.settings.remove(key.name);
            return;
        }
        let is_default = key.default.unwrap_or_default() == value
            || (key.kind == Kind::Bool && key.default.is_some_and(|d| d.eq_ignore_ascii_case(value)));
        match key.honour {
            Honour::NoEffect(why) if !is_default => {
                self.warn(key.name, format!("`{}` has no effect here: {why}", key.name));
            }
            Honour::Refused if !is_default => {
                let why = "what it asks for is not built, and leaving it out would break its promise";
                self.error(key.name, format!("`{}` cannot be honoured: {why}", key.name));
            }
            _ => {}
        }
    }

    /// A listener's own setting goes by the rules of the general one.
    fn check_of_listener(&mut self, name: &str, value: &str) {
        let Some((listener, key)) = keys::of_listener(name) else { return };
        let names_it = |item: &String| item.to_ascii_lowercase().starts_with(&format!("{listener}:"));
        let is_known = split_csv(self.text("listeners")).iter().any(names_it);
        if let Err(why) = parse(key, value) {
            self.error(name, why);
            self.settings.remove(name);
        } else if !is_known {
            self.warn(name, format!("`{name}` has no effect: `listeners` has no {listener}"));
        }
    }

    /// An error about a setting, at its line if it has one.
    pub fn error(&mut self, key: &str, message: String) {
        let problem = self.problem(key, message);
        self.errors.push(problem);
    }

    pub fn warn(&mut self, key: &str, message: String) {
        let problem = self.problem(key, message);
        self.warnings.push(problem);
    }

    /// Kafka's `require`: an error about `key` unless the condition holds.
    pub fn require(&mut self, holds: bool, key: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.error(key, message());
        }
    }

    fn problem(&self, key: &str, message: String) -> Problem {
        let setting = self.settings.get(key);
        Problem {
            file: setting.map_or(&self.file, |s| &s.file).clone(),
            line: setting.and_then(|s| s.line),
            key: Some(key.to_owned()),
            message,
        }
    }

    /// Sets what the file left to its synonym.
    pub fn populate(&mut self, name: &str, value: String) {
        let file = self.file.clone();
        self.settings.entry(name.to_owned()).or_insert(Setting { value, file, line: None });
    }

    /// What was set, without what is default.
    pub fn explicit(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(|s| s.value.trim())
    }

    /// What was set, or the default; none where that is null.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.explicit(name).or_else(|| keys::find(name).and_then(|key| key.default))
    }

    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// A number of the table; its value and its default are known to parse.
    pub fn number<N: std::str::FromStr + Default>(&self, name: &str) -> N {
        self.text(name).parse().unwrap_or_default()
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.text(name).eq_ignore_ascii_case("true")
    }

    /// Items without blanks around them.
    pub fn list(&self, name: &str) -> Vec<String> {
        split_list(self.text(name))
    }

    /// Everything that was set, unknown keys included, as it was written.
    pub fn originals(&self) -> BTreeMap<String, String> {
        self.settings.iter().map(|(name, s)| (name.clone(), s.value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_swallowed() {
        let entries = jackdaw_settings::properties::parse(
            "node.id=1\nnode.id=2\nnum.io.threads=16\nnum.io.thread=4\nauthorizer.class.name=a.B\nnum.partitions=q\n",
        )
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
        let values = Values::new("s.properties", entries, &[("log.dir".to_owned(), "/x".to_owned())]);
        let told = |problems: &[Problem]| problems.iter().map(Problem::to_string).collect::<Vec<_>>();
        assert_eq!(
            told(&values.warnings),
            [
                "s.properties:2: `node.id` was already set in line 1; this line wins",
                "s.properties:4: `num.io.thread` is not a setting of Kafka 3.7 and has no effect; did you mean `num.io.threads`?",
                "s.properties:3: `num.io.threads` has no effect here: this broker needs no such sizes",
            ]
        );
        assert_eq!(
            told(&values.errors),
            [
                "s.properties:5: `authorizer.class.name` cannot be honoured: what it asks for is not built, and leaving it out would break its promise",
                "s.properties:6: Invalid value q for configuration num.partitions: Not a number of type INT",
            ]
        );
        assert_eq!((values.number::<i32>("num.partitions"), values.text("log.dir")), (1, "/x"));
    }
}
