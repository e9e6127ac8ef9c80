//! Options as jopt-simple 5.0.4 reads them: a table of [`Opt`], the words of the command line, and what is refused.
//!
//! Kafka's tools turn abbreviations off, so an option is its whole name. Values are converted when they are asked for,
//! not when they are read: a tool that never looks at a number accepts anything in its place.

use crate::errors::Exception;

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A value, always.
    Value,
    /// A value, if the next word is not an option.
    MaybeValue,
}

/// How a value is written; the name stands in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A number of 32 bits.
    Integer,
    /// A number of 64 bits.
    Long,
    /// A regular expression, shown as a Java class.
    Named(&'static str),
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Its name, without dashes.
    pub name: &'static str,
    /// Its words of help; lines are broken where they have a line feed.
    pub text: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// How its value is written.
    pub kind: Kind,
    /// What its value is called in the help.
    pub value: &'static str,
    /// Its values where it is not given.
    pub default: Option<&'static str>,
    /// Required unless that other one is given.
    pub required_unless: Option<&'static str>,
    /// Only with one of these.
    pub available_if: &'static [&'static str],
    /// Asks for help, so that nothing is required.
    pub for_help: bool,
    /// What parts one value from the next in one word.
    pub separator: Option<char>,
}

impl Opt {
    /// An option without a value.
    pub const fn flag(name: &'static str, text: &'static str) -> Self {
        Opt {
            name,
            text,
            takes: Takes::Nothing,
            kind: Kind::Text,
            value: "",
            default: None,
            required_unless: None,
            available_if: &[],
            for_help: false,
            separator: None,
        }
    }

    /// An option with a text, which the help calls `value`.
    pub const fn text(name: &'static str, value: &'static str, text: &'static str) -> Self {
        Opt { takes: Takes::Value, value, ..Opt::flag(name, text) }
    }

    /// An option with a number of 32 bits.
    pub const fn integer(name: &'static str, value: &'static str, text: &'static str) -> Self {
        Opt { kind: Kind::Integer, ..Opt::text(name, value, text) }
    }

    /// An option with a number of 64 bits.
    pub const fn long(name: &'static str, value: &'static str, text: &'static str) -> Self {
        Opt { kind: Kind::Long, ..Opt::text(name, value, text) }
    }

    /// The value may be left out.
    pub const fn maybe(self) -> Self {
        Opt { takes: Takes::MaybeValue, ..self }
    }

    /// The value where the option is not given.
    pub const fn default(self, value: &'static str) -> Self {
        Opt { default: Some(value), ..self }
    }

    /// It has to be given unless `other` is.
    pub const fn required_unless(self, other: &'static str) -> Self {
        Opt { required_unless: Some(other), ..self }
    }

    /// Only together with one of these.
    pub const fn available_if(self, others: &'static [&'static str]) -> Self {
        Opt { available_if: others, ..self }
    }

    /// The kind is shown by that name.
    pub const fn kind(self, name: &'static str) -> Self {
        Opt { kind: Kind::Named(name), ..self }
    }

    /// One word may hold several values.
    pub const fn separated_by(self, separator: char) -> Self {
        Opt { separator: Some(separator), ..self }
    }
}

/// Options that every tool of the kind has (`CommandDefaultOptions`).
pub const HELP: Opt = Opt { for_help: true, ..Opt::flag("help", "Print usage information.") };
/// See [`HELP`].
pub const VERSION: Opt = Opt { for_help: true, ..Opt::flag("version", "Display Kafka version.") };

/// What was given.
#[derive(Debug)]
pub struct Given {
    table: &'static [Opt],
    options: Vec<(&'static str, Option<String>)>,
    /// Words that belong to no option.
    pub words: Vec<String>,
}

fn refused(class: &str, message: String) -> Exception {
    Exception::new(&format!("joptsimple.{class}"), message)
}

/// Reads a command line.
///
/// # Errors
/// In jopt-simple's words.
pub fn parse(table: &'static [Opt], args: &[String]) -> Result<Given, Exception> {
    let mut given = Given { table, options: Vec::new(), words: Vec::new() };
    let mut rest = args.iter().peekable();
    let mut options_ended = false;
    while let Some(word) = rest.next() {
        let body = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        match body {
            _ if options_ended => given.words.push(word.clone()),
            Some("") if word == "--" => options_ended = true,
            Some(body) if !body.is_empty() => {
                let (name, value) = match body.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (body, None),
                };
                let Some(option) = table.iter().find(|option| option.name == name) else {
                    // A single dash leads a cluster of letters, of which Kafka's tools have none.
                    let unknown = if word.starts_with("--") { name } else { first_letter(body) };
                    return Err(refused(
                        "UnrecognizedOptionException",
                        format!("{unknown} is not a recognized option"),
                    ));
                };
                let value = match (option.takes, value) {
                    (Takes::Nothing, _) => None,
                    (_, Some(value)) => Some(value),
                    (Takes::Value, None) => Some(rest.next().cloned().ok_or_else(|| {
                        let message = format!("Option {name} requires an argument");
                        refused("OptionMissingRequiredArgumentException", message)
                    })?),
                    (Takes::MaybeValue, None) => {
                        rest.next_if(|next| !next.starts_with('-') || *next == "-").cloned()
                    }
                };
                given.add(option, value);
            }
            _ => given.words.push(word.clone()),
        }
    }
    given.ensure_required()?;
    Ok(given)
}

fn first_letter(body: &str) -> &str {
    body.char_indices().nth(1).map_or(body, |(end, _)| &body[..end])
}

impl Given {
    fn add(&mut self, option: &'static Opt, value: Option<String>) {
        match (option.separator, value) {
            (Some(separator), Some(value)) if value.chars().any(|letter| letter != separator) => {
                let parts = value.split(separator).filter(|part| !part.is_empty());
                self.options.extend(parts.map(|part| (option.name, Some(part.to_owned()))));
            }
            (_, value) => self.options.push((option.name, value)),
        }
    }

    fn ensure_required(&self) -> Result<(), Exception> {
        let missing = |option: &&Opt| {
            let due = option.required_unless.is_some_and(|other| !self.has(other));
            due && !self.has(option.name)
        };
        let missing: Vec<&str> = self.table.iter().filter(missing).map(|option| option.name).collect();
        let help = self.table.iter().any(|option| option.for_help && self.has(option.name));
        if !missing.is_empty() && !help {
            let message = format!("Missing required option(s) [{}]", missing.join(", "));
            return Err(refused("MissingRequiredOptionsException", message));
        }
        let alone = |option: &&Opt| {
            let others = option.available_if;
            self.has(option.name) && !others.is_empty() && !others.iter().any(|other| self.has(other))
        };
        let alone: Vec<&str> = self.table.iter().filter(alone).map(|option| option.name).collect();
        if !alone.is_empty() && !help {
            let message = format!(
                "Option(s) [{}] are unavailable given other options on the command line",
                alone.join(", ")
            );
            return Err(refused("UnavailableOptionException", message));
        }
        Ok(())
    }

    /// Whether the option stands on the command line.
    pub fn has(&self, name: &str) -> bool {
        debug_assert!(self.table.iter().any(|option| option.name == name), "{name} is in no table");
        self.options.iter().any(|(given, _)| *given == name)
    }

    /// Those of the options that were given, in their order, each time anew.
    pub fn order(&self, names: &[&str]) -> Vec<&'static str> {
        self.options.iter().map(|(given, _)| *given).filter(|given| names.contains(given)).collect()
    }

    /// Its values, else its default ones.
    pub fn values(&self, name: &str) -> Vec<String> {
        if !self.has(name) {
            let option = self.table.iter().find(|option| option.name == name);
            return option.and_then(|option| option.default).into_iter().map(str::to_owned).collect();
        }
        self.options
            .iter()
            .filter(|(given, _)| *given == name)
            .filter_map(|(_, value)| value.clone())
            .collect()
    }

    /// Its only value, else its default one.
    ///
    /// # Errors
    /// When there are several.
    pub fn value(&self, name: &str) -> Result<Option<String>, Exception> {
        let mut values = self.values(name);
        if values.len() > 1 {
            let message = format!("Found multiple arguments for option {name}, but you asked for only one");
            return Err(refused("MultipleArgumentsForOptionException", message));
        }
        Ok(values.pop())
    }

    /// Its value as it stands, if that is of the option's kind.
    ///
    /// # Errors
    /// As [`Given::number`].
    pub fn checked(&self, name: &str) -> Result<Option<String>, Exception> {
        match self.table.iter().find(|option| option.name == name).map(|option| option.kind) {
            Some(Kind::Integer) => Ok(self.number::<i32>(name)?.map(|number| number.to_string())),
            Some(Kind::Long) => Ok(self.number::<i64>(name)?.map(|number| number.to_string())),
            _ => self.value(name),
        }
    }

    /// Its value as a number.
    ///
    /// # Errors
    /// When there are several, or it is none.
    pub fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Exception> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        let number = text.parse().map_err(|_| {
            let message = format!("Cannot parse argument '{text}' of option {name}");
            let number =
                Exception::new("java.lang.NumberFormatException", format!("For input string: \"{text}\""));
            let reflection = Exception::new("joptsimple.internal.ReflectionException", number.to_string());
            refused("OptionArgumentConversionException", message).because(reflection.because(number))
        })?;
        Ok(Some(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Opt] = &[
        HELP,
        Opt::flag("list", "List."),
        Opt::text("topic", "topic", "A topic.").required_unless("ids"),
        Opt::integer("partitions", "n", "A number.").default("3"),
        Opt::text("codec", "codec", "A codec.").maybe(),
        Opt::text("ids", "ids", "Several.").separated_by(','),
    ];

    fn read(line: &str) -> Result<Given, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(TABLE, &words).map_err(|error| error.message)
    }

    #[test]
    fn values_stand_behind_or_in_the_word() {
        for line in ["--topic t --list", "--topic=t --list", "-topic t --list=x", "--codec --topic t --list"]
        {
            let given = read(line).unwrap();
            assert_eq!(given.value("topic").unwrap().as_deref(), Some("t"), "{line}");
            assert!(given.has("list"), "{line}");
            assert_eq!(given.value("codec").unwrap(), None, "{line}");
            assert_eq!(given.number::<i32>("partitions").unwrap(), Some(3), "{line}");
        }
        assert_eq!(read("--topic t --codec gzip").unwrap().value("codec").unwrap().as_deref(), Some("gzip"));
        assert_eq!(read("--topic t --ids 1,,2 --ids 3").unwrap().values("ids"), ["1", "2", "3"]);
        assert_eq!(read("--topic t a -- --list").unwrap().words, ["a", "--list"]);
        assert_eq!(read("--topic --list").unwrap().value("topic").unwrap().as_deref(), Some("--list"));
    }

    #[test]
    fn refusals_have_the_librarys_words() {
        for (line, said) in [
            ("--topi t", "topi is not a recognized option"),
            ("-xyz", "x is not a recognized option"),
            ("--list", "Missing required option(s) [topic]"),
            ("--topic", "Option topic requires an argument"),
        ] {
            assert_eq!(read(line).unwrap_err(), said, "{line}");
        }
        assert!(read("--help").is_ok());
        let given = read("--topic a --topic b --partitions many").unwrap();
        let said = "Found multiple arguments for option topic, but you asked for only one";
        assert_eq!(given.value("topic").unwrap_err().message, said);
        let said = "Cannot parse argument 'many' of option partitions";
        assert_eq!(given.number::<i32>("partitions").unwrap_err().message, said);
    }
}
