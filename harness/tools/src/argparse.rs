//! Command lines as argparse4j 0.7.0 reads them: flags, positional arguments and commands from a table, its refusals
//! and its help, whose lines are justified.

use crate::jopt_help::words;
use crate::print;
use std::collections::{BTreeMap, BTreeSet};

/// `ArgumentParsers.DEFAULT_FORMAT_WIDTH`
const WIDTH: usize = 75;
const HELP_COLUMN: usize = 25;

/// What an argument does with what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing; it is true if it stands there.
    Nothing,
    /// One value.
    One,
    /// One value, or none.
    Maybe,
    /// One value or more.
    Many,
    /// One value each time that it stands there.
    Each,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A number of 32 bits.
    Integer,
    /// A number of 64 bits.
    Long,
}

/// Arguments that belong together.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Its title in the help; without one the arguments stand among the others.
    pub title: &'static str,
    /// What is said below the title.
    pub description: &'static str,
    /// Only one of them may be given.
    pub exclusive: bool,
    /// One of them has to be given.
    pub required: bool,
}

/// One argument.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// Its flags; one name without a dash is a positional argument.
    pub flags: &'static [&'static str],
    /// What its value is called; by default it is made of the first long flag.
    pub metavar: &'static str,
    /// Its words of help.
    pub help: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What its value is.
    pub kind: Kind,
    /// The values that there are; empty for any.
    pub choices: &'static [&'static str],
    /// Its value where it is not given.
    pub default: Option<&'static str>,
    /// Whether it has to be given.
    pub required: bool,
    /// Its group.
    pub group: Option<&'static Group>,
}

impl Arg {
    /// One with a value.
    pub const fn new(flags: &'static [&'static str], help: &'static str) -> Self {
        Arg {
            flags,
            metavar: "",
            help,
            takes: Takes::One,
            kind: Kind::Text,
            choices: &[],
            default: None,
            required: false,
            group: None,
        }
    }

    /// One without a value.
    pub const fn flag(flags: &'static [&'static str], help: &'static str) -> Self {
        Arg { takes: Takes::Nothing, ..Arg::new(flags, help) }
    }

    /// What is to be taken.
    pub const fn takes(self, takes: Takes) -> Self {
        Arg { takes, ..self }
    }

    /// What the value is.
    pub const fn kind(self, kind: Kind) -> Self {
        Arg { kind, ..self }
    }

    /// What the value is called.
    pub const fn metavar(self, metavar: &'static str) -> Self {
        Arg { metavar, ..self }
    }

    /// The values that there are.
    pub const fn choices(self, choices: &'static [&'static str]) -> Self {
        Arg { choices, ..self }
    }

    /// The value where it is not given.
    pub const fn default(self, default: &'static str) -> Self {
        Arg { default: Some(default), ..self }
    }

    /// It has to be given.
    pub const fn required(self) -> Self {
        Arg { required: true, ..self }
    }

    /// It belongs to a group.
    pub const fn group(self, group: &'static Group) -> Self {
        Arg { group: Some(group), ..self }
    }

    fn is_positional(&self) -> bool {
        !self.flags[0].starts_with('-')
    }

    /// The name under which its values are found: that of the first long flag, with underscores.
    fn key(&self) -> String {
        let long = self.flags.iter().find(|flag| flag.starts_with("--"));
        long.unwrap_or(&self.flags[0]).trim_start_matches('-').replace('-', "_")
    }

    fn shown(&self) -> String {
        self.flags.join("/")
    }

    fn metavar_shown(&self) -> String {
        let name = match () {
            () if !self.metavar.is_empty() => self.metavar.to_owned(),
            () if self.is_positional() => self.key(),
            () => self.key().to_uppercase(),
        };
        match self.takes {
            Takes::Nothing => String::new(),
            Takes::One | Takes::Each => name,
            Takes::Maybe => format!("[{name}]"),
            Takes::Many => format!("{name} [{name} ...]"),
        }
    }

    fn syntax(&self, bracketed: bool) -> String {
        let value = self.metavar_shown();
        if self.is_positional() {
            return value;
        }
        let plain =
            if value.is_empty() { self.flags[0].to_owned() } else { format!("{} {value}", self.flags[0]) };
        if bracketed && !self.required { format!("[{plain}]") } else { plain }
    }

    fn title(&self) -> String {
        if self.is_positional() {
            return self.key();
        }
        let value = self.metavar_shown();
        let flag =
            |flag: &&str| if value.is_empty() { (*flag).to_owned() } else { format!("{flag} {value}") };
        self.flags.iter().map(flag).collect::<Vec<_>>().join(", ")
    }
}

/// A command, or the whole line.
#[derive(Debug)]
pub struct Parser {
    /// The program, or the command.
    pub name: &'static str,
    /// What is said of it in its own help.
    pub description: &'static str,
    /// What is said of it where the commands are listed.
    pub help: &'static str,
    /// Its arguments.
    pub args: &'static [Arg],
    /// Its commands.
    pub commands: &'static [Parser],
    /// The title that they have in the help; without one they stand among the positional arguments.
    pub commands_title: &'static str,
    /// What the commands are called in the usage; by default they are listed.
    pub metavar: &'static str,
    /// Whether defaults are told.
    pub default_help: bool,
}

impl Parser {
    /// One without arguments.
    pub const fn new(name: &'static str) -> Self {
        Parser {
            name,
            description: "",
            help: "",
            args: &[],
            commands: &[],
            commands_title: "",
            metavar: "",
            default_help: true,
        }
    }
}

const HELP: Arg = Arg::flag(&["-h", "--help"], "show this help message and exit");

/// What was given.
#[derive(Debug, Default)]
pub struct Given {
    values: BTreeMap<String, Vec<String>>,
    /// The commands, from the outer to the inner.
    pub commands: Vec<&'static str>,
}

impl Given {
    /// Its value.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).and_then(|values| values.last()).map(String::as_str)
    }

    /// Its values.
    pub fn values(&self, key: &str) -> &[String] {
        self.values.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Its value as a number; what is none was refused before.
    pub fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        self.value(key).and_then(|text| text.parse().ok())
    }

    /// Whether its value is true.
    pub fn is(&self, key: &str) -> bool {
        self.value(key) == Some("true")
    }
}

/// Why a command line was not read.
#[derive(Debug)]
pub enum Refusal {
    /// The help was asked for, and is printed.
    Help,
    /// What is wrong, as an exception's message; [`Refusal::print`] says it as the library does.
    Wrong {
        /// The usage of the command that refuses.
        usage: String,
        /// The program.
        program: &'static str,
        /// What is wrong.
        message: String,
        /// What may have been meant.
        meant: Vec<String>,
    },
}

impl Refusal {
    /// What a tool itself has against a command line.
    pub fn of(parser: &'static Parser, message: &str) -> Self {
        Refusal::Wrong {
            usage: usage(&[parser]),
            program: parser.name,
            message: message.to_owned(),
            meant: Vec::new(),
        }
    }

    /// Prints it as `handleError` does.
    pub fn print(&self) {
        let Refusal::Wrong { usage, program, message, meant } = self else { return };
        let text = wrap(&format!("{program}: error: {message}\n"), 0, "");
        print::err(format_args!("{usage}{text}"));
        if !meant.is_empty() {
            print::err(format_args!("\nDid you mean:\n"));
            meant.iter().for_each(|name| print::err(format_args!("\t{name}\n")));
        }
    }
}

/// Reads a command line.
///
/// # Errors
/// When it does not fit, or the help is asked for.
pub fn parse(parser: &'static Parser, args: &[String]) -> Result<Given, Refusal> {
    let mut given = Given::default();
    let mut reader = Reader { path: vec![parser], args, at: 0, plain: false, missing: None };
    reader.read(&mut given)?;
    match reader.missing {
        Some(missing) => Err(missing),
        None => Ok(given),
    }
}

struct Reader<'a> {
    path: Vec<&'static Parser>,
    args: &'a [String],
    at: usize,
    /// After `--` nothing is a flag.
    plain: bool,
    /// The first refusal that comes only when all is read.
    missing: Option<Refusal>,
}

impl Reader<'_> {
    fn wrong(&self, message: impl Into<String>) -> Refusal {
        let program = self.path[0].name;
        Refusal::Wrong { usage: usage(&self.path), program, message: message.into(), meant: Vec::new() }
    }

    fn of(&self, arg: &Arg, message: &str) -> Refusal {
        self.wrong(format!("argument {}: {message}", arg.shown()))
    }

    fn is_flag(&self, word: &str) -> bool {
        let negative =
            word.len() > 1 && word[1..].chars().all(|letter| letter.is_ascii_digit() || letter == '.');
        !self.plain && word.len() > 1 && word.starts_with('-') && !negative
    }

    fn read(&mut self, given: &mut Given) -> Result<(), Refusal> {
        let parser = self.path[self.path.len() - 1];
        let optional: Vec<Arg> = std::iter::once(HELP)
            .chain(parser.args.iter().copied().filter(|arg| !arg.is_positional()))
            .collect();
        let positional: Vec<&Arg> = parser.args.iter().filter(|arg| arg.is_positional()).collect();
        for arg in parser.args {
            if let Some(default) = arg.default {
                given.values.insert(arg.key(), vec![default.to_owned()]);
            } else if arg.takes == Takes::Nothing {
                given.values.insert(arg.key(), vec!["false".to_owned()]);
            }
        }
        let mut used: BTreeSet<String> = BTreeSet::new();
        let mut loose: Vec<String> = Vec::new();
        while let Some(word) = self.args.get(self.at).cloned() {
            if self.is_flag(&word) && word != "--" {
                self.flag(&word, &optional, &mut used, given)?;
            } else if word == "--" && !self.plain {
                self.plain = true;
                self.at += 1;
            } else if loose.len() < positional.len()
                || positional.last().is_some_and(|arg| arg.takes == Takes::Many)
            {
                loose.push(word);
                self.at += 1;
            } else if !parser.commands.is_empty() && !self.plain {
                self.positional(&positional, loose, given)?;
                self.check_required(&optional, &used);
                return self.command(parser, &word, given);
            } else {
                let rest = self.args[self.at..].join(" ");
                return Err(self.wrong(format!("unrecognized arguments: '{rest}'")));
            }
        }
        if !parser.commands.is_empty() {
            return Err(self.wrong("too few arguments"));
        }
        self.positional(&positional, loose, given)?;
        self.check_required(&optional, &used);
        Ok(())
    }

    fn resolve<'t>(&self, flag: &str, optional: &'t [Arg]) -> Result<Option<&'t Arg>, Refusal> {
        if let Some(arg) = optional.iter().find(|arg| arg.flags.contains(&flag)) {
            return Ok(Some(arg));
        }
        let mut close: Vec<&str> = optional
            .iter()
            .flat_map(|arg| arg.flags)
            .filter(|known| known.starts_with(flag))
            .copied()
            .collect();
        close.sort_unstable();
        match close[..] {
            [] => Ok(None),
            [only] => Ok(optional.iter().find(|arg| arg.flags.contains(&only))),
            _ => Err(self.wrong(format!("ambiguous option: {flag} could match {}", close.join(", ")))),
        }
    }

    fn flag(
        &mut self,
        word: &str,
        optional: &[Arg],
        used: &mut BTreeSet<String>,
        given: &mut Given,
    ) -> Result<(), Refusal> {
        let (flag, mut embedded) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word.to_owned(), None),
        };
        let mut found = self.resolve(&flag, optional)?.copied();
        if found.is_none() && !word.starts_with("--") && word.len() > 2 {
            // A short flag with its value behind it.
            let short = &word[..2];
            found = optional
                .iter()
                .find(|arg| arg.flags.contains(&short) && arg.takes != Takes::Nothing)
                .copied();
            embedded = Some(word[2..].to_owned());
        }
        let Some(arg) = found else {
            let mut refusal = self.wrong(format!("unrecognized arguments: '{word}'"));
            if let Refusal::Wrong { meant, .. } = &mut refusal {
                let flags = optional
                    .iter()
                    .flat_map(|arg| arg.flags)
                    .map(|flag| flag.trim_start_matches('-').len() > 1);
                let long = optional.iter().flat_map(|arg| arg.flags).zip(flags).filter(|(_, long)| *long);
                *meant = candidates(word.trim_start_matches('-'), long.map(|(flag, _)| *flag));
            }
            return Err(refusal);
        };
        self.at += 1;
        if let Some(group) = arg.group.filter(|group| group.exclusive) {
            let mut others =
                optional.iter().filter(|other| other.group == Some(group) && other.flags != arg.flags);
            if let Some(other) = others.find(|other| used.contains(other.flags[0])) {
                return Err(self.of(&arg, &format!("not allowed with argument {}", other.shown())));
            }
        }
        used.insert(arg.flags[0].to_owned());
        self.take(&arg, embedded, given)
    }

    fn take(&mut self, arg: &Arg, embedded: Option<String>, given: &mut Given) -> Result<(), Refusal> {
        if arg.takes == Takes::Nothing {
            if let Some(value) = embedded {
                return Err(self.of(arg, &format!("ignore implicit argument '{value}'")));
            }
            if arg.flags == HELP.flags {
                print::out(format_args!("{}", help(&self.path)));
                return Err(Refusal::Help);
            }
            given.values.insert(arg.key(), vec!["true".to_owned()]);
            return Ok(());
        }
        let mut values = Vec::from_iter(embedded.clone());
        let most = if arg.takes == Takes::Many { usize::MAX } else { 1 };
        while embedded.is_none() && values.len() < most {
            let Some(word) = self.args.get(self.at).filter(|word| !self.is_flag(word)) else { break };
            values.push(word.clone());
            self.at += 1;
        }
        if values.is_empty() && arg.takes != Takes::Maybe {
            let due =
                if arg.takes == Takes::Many { "expected 1 argument(s)" } else { "expected one argument" };
            return Err(self.of(arg, due));
        }
        let values: Vec<String> =
            values.into_iter().map(|value| self.converted(arg, value)).collect::<Result<_, _>>()?;
        match arg.takes {
            Takes::Each => given.values.entry(arg.key()).or_default().extend(values),
            _ => {
                given.values.insert(arg.key(), values);
            }
        }
        Ok(())
    }

    fn converted(&self, arg: &Arg, value: String) -> Result<String, Refusal> {
        let (fits, kind) = match arg.kind {
            Kind::Integer => (value.parse::<i32>().is_ok(), "Integer"),
            Kind::Long => (value.parse::<i64>().is_ok(), "Long"),
            Kind::Text => (true, ""),
        };
        if !fits {
            return Err(self
                .of(arg, &format!("could not convert '{value}' to {kind} (For input string: \"{value}\")")));
        }
        if !arg.choices.is_empty() && !arg.choices.contains(&value.as_str()) {
            let choices = arg.choices.join(",");
            return Err(self.of(arg, &format!("invalid choice: '{value}' (choose from {{{choices}}})")));
        }
        Ok(value)
    }

    fn positional(&self, args: &[&Arg], loose: Vec<String>, given: &mut Given) -> Result<(), Refusal> {
        if loose.len() < args.len() {
            return Err(self.wrong("too few arguments"));
        }
        let mut loose = loose.into_iter();
        for arg in args {
            let most = if arg.takes == Takes::Many { usize::MAX } else { 1 };
            let values: Vec<String> = loose
                .by_ref()
                .take(most)
                .map(|value| self.converted(arg, value))
                .collect::<Result<_, _>>()?;
            given.values.insert(arg.key(), values);
        }
        Ok(())
    }

    fn check_required(&mut self, optional: &[Arg], used: &BTreeSet<String>) {
        if self.missing.is_some() {
            return;
        }
        let is_used = |arg: &&Arg| used.contains(arg.flags[0]);
        // As the library does, the last one that is missing is told.
        if let Some(arg) = optional.iter().rev().find(|arg| arg.required && !is_used(arg)) {
            self.missing = Some(self.wrong(format!("argument {} is required", arg.shown())));
            return;
        }
        for group in groups(optional).into_iter().filter(|group| group.exclusive && group.required) {
            let mut members = optional.iter().filter(|arg| arg.group == Some(group));
            if !members.clone().any(|arg| is_used(&arg)) {
                let names: String = members.by_ref().map(|arg| format!("{} ", arg.shown())).collect();
                self.missing = Some(self.wrong(format!("one of the arguments {names}is required")));
                return;
            }
        }
    }

    fn command(&mut self, parser: &'static Parser, word: &str, given: &mut Given) -> Result<(), Refusal> {
        let close: Vec<&'static Parser> =
            parser.commands.iter().filter(|command| command.name.starts_with(word)).collect();
        let exact = parser.commands.iter().find(|command| command.name == word);
        let command = match (exact, &close[..]) {
            (Some(command), _) => command,
            (None, [only]) => *only,
            (None, []) => {
                let names: Vec<String> =
                    parser.commands.iter().map(|command| format!("'{}'", command.name)).collect();
                let message = format!("invalid choice: '{word}' (choose from {})", names.join(", "));
                let mut refusal = self.wrong(message);
                if let Refusal::Wrong { meant, .. } = &mut refusal {
                    *meant = candidates(word, parser.commands.iter().map(|command| command.name));
                }
                return Err(refusal);
            }
            (None, several) => {
                let mut names: Vec<&str> = several.iter().map(|command| command.name).collect();
                names.sort_unstable();
                return Err(self.wrong(format!("ambiguous command: {word} could match {}", names.join(", "))));
            }
        };
        self.at += 1;
        self.path.push(command);
        given.commands.push(command.name);
        self.read(given)
    }
}

fn groups(args: &[Arg]) -> Vec<&'static Group> {
    let mut groups: Vec<&'static Group> = Vec::new();
    for group in args.iter().filter_map(|arg| arg.group) {
        if !groups.iter().any(|known| std::ptr::eq(*known, group)) {
            groups.push(group);
        }
    }
    groups
}

/// The names that are nearest, if any is near.
fn candidates<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    const TOO_FAR: usize = 7;
    let distance = |name: &str| {
        let body = name.trim_start_matches('-');
        if body.starts_with(word) { 0 } else { levenshtein(word, body) }
    };
    let mut found: Vec<(usize, String)> = names.map(|name| (distance(name), name.to_owned())).collect();
    found.sort();
    let nearest = found.first().map_or(TOO_FAR, |(distance, _)| *distance);
    if nearest >= TOO_FAR {
        return Vec::new();
    }
    found.into_iter().filter(|(distance, _)| *distance == nearest).map(|(_, name)| name).collect()
}

/// With git's costs: a swap is free, a substitution costs 2, an addition 1 and a deletion 4.
fn levenshtein(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=to.len()).collect();
    for i in 1..=from.len() {
        for j in 1..=to.len() {
            let same = from[i - 1] == to[j - 1];
            let mut least = rows[i - 1][j - 1] + if same { 0 } else { 2 };
            if i >= 2 && j >= 2 && !same && from[i - 2] == to[j - 1] && from[i - 1] == to[j - 2] {
                least = least.min(rows[i - 2][j - 2]);
            }
            rows[i][j] = least.min(rows[i - 1][j] + 4).min(rows[i][j - 1] + 1);
        }
    }
    rows[from.len()][to.len()]
}

fn syntaxes(parser: &Parser, all: bool) -> Vec<String> {
    let optional: Vec<Arg> = std::iter::once(HELP).chain(parser.args.iter().copied()).collect();
    let exclusive = |arg: &Arg| arg.group.is_some_and(|group| group.exclusive);
    let mut parts: Vec<String> = optional
        .iter()
        .filter(|arg| !arg.is_positional() && !exclusive(arg) && (all || arg.required))
        .map(|arg| arg.syntax(true))
        .collect();
    for group in groups(&optional).into_iter().filter(|group| group.exclusive && (all || group.required)) {
        let members: Vec<String> =
            optional.iter().filter(|arg| arg.group == Some(group)).map(|arg| arg.syntax(false)).collect();
        let (open, close) = if group.required { ("(", ")") } else { ("[", "]") };
        let last = members.len().saturating_sub(1);
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                parts.push("|".to_owned());
            }
            let open = if index == 0 { open } else { "" };
            let close = if index == last { close } else { "" };
            parts.push(format!("{open}{member}{close}"));
        }
    }
    parts.extend(optional.iter().filter(|arg| arg.is_positional()).map(|arg| arg.syntax(true)));
    parts
}

fn commands_shown(parser: &Parser) -> String {
    if !parser.metavar.is_empty() {
        return parser.metavar.to_owned();
    }
    let names: Vec<&str> = parser.commands.iter().map(|command| command.name).collect();
    format!("{{{}}}", names.join(","))
}

fn commands_listed(parser: &Parser) -> String {
    let listed = parser.commands.iter().filter(|command| !command.help.is_empty());
    let listed: String = listed.map(|command| entry(&format!("  {}", command.name), command.help)).collect();
    entry(&commands_shown(parser), "") + &listed
}

fn usage(path: &[&'static Parser]) -> String {
    let Some((parser, upper)) = path.split_last() else { return String::new() };
    let mut parts = Vec::new();
    for (index, outer) in upper.iter().enumerate() {
        if index > 0 {
            parts.push(outer.name.to_owned());
        }
        parts.extend(syntaxes(outer, false));
    }
    if !upper.is_empty() {
        parts.push(parser.name.to_owned());
    }
    parts.extend(syntaxes(parser, true));
    if !parser.commands.is_empty() {
        parts.push(commands_shown(parser));
        parts.push("...".to_owned());
    }
    let start = format!("usage: {}", path[0].name);
    let (mut text, indent) = match start.len() > 30 {
        true => (format!("{start}\n      "), 6),
        false => (start.clone(), start.len()),
    };
    let mut width = if start.len() > 30 { 12 } else { start.len() };
    for (index, part) in parts.iter().enumerate() {
        if index > 0 && width + part.len() + 1 > WIDTH {
            text.push_str(&format!("\n{:indent$} {part}", ""));
            width = indent + 1 + part.len();
        } else {
            text.push_str(&format!(" {part}"));
            width += 1 + part.len();
        }
    }
    text.push('\n');
    text
}

/// Whether a group has a place of its own in the help.
fn is_separate(group: &Group) -> bool {
    !group.exclusive || !group.title.is_empty() || !group.description.is_empty()
}

/// The help of the innermost command.
pub fn help(path: &[&'static Parser]) -> String {
    let Some(parser) = path.last() else { return String::new() };
    let mut text = usage(path);
    if !parser.description.is_empty() {
        text.push_str(&format!("\n{}\n", wrap(parser.description, 0, "")));
    }
    let separate = |arg: &Arg| arg.group.is_some_and(is_separate);
    let all: Vec<Arg> = std::iter::once(HELP).chain(parser.args.iter().copied()).collect();
    let shown = |arg: &Arg| {
        let flag = (arg.takes == Takes::Nothing && arg.flags != HELP.flags).then_some("false");
        // Commands do not take this over from the whole line.
        let told = path.len() == 1 && parser.default_help;
        let words = match arg.default.or(flag).filter(|_| told) {
            Some(default) if arg.help.is_empty() => format!("(default: {default})"),
            Some(default) => format!("{} (default: {default})", arg.help),
            None => arg.help.to_owned(),
        };
        entry(&arg.title(), &words)
    };
    let of =
        |positional: bool| all.iter().filter(move |arg| arg.is_positional() == positional && !separate(arg));
    let untitled = !parser.commands.is_empty() && parser.commands_title.is_empty();
    if of(true).next().is_some() || untitled {
        text.push_str("\npositional arguments:\n");
        text.extend(of(true).map(shown));
        if untitled {
            text.push_str(&commands_listed(parser));
        }
    }
    text.push_str("\noptional arguments:\n");
    text.extend(of(false).map(shown));
    if !parser.commands_title.is_empty() {
        text.push_str(&format!("\n{}:\n{}", parser.commands_title, commands_listed(parser)));
    }
    for group in groups(&all).into_iter().filter(|group| is_separate(group)) {
        text.push('\n');
        if !group.title.is_empty() {
            text.push_str(&format!("{}:\n", group.title));
        }
        if !group.description.is_empty() {
            text.push_str(&format!("  {}\n\n", wrap(group.description, 2, "  ")));
        }
        text.extend(all.iter().filter(|arg| arg.group == Some(group)).map(shown));
    }
    text
}

fn entry(title: &str, words: &str) -> String {
    if words.is_empty() {
        return format!("  {title}\n");
    }
    let column = " ".repeat(HELP_COLUMN);
    let wrapped = wrap(words, HELP_COLUMN, &column);
    match title.len() <= 21 {
        true => format!("  {title:width$}{wrapped}\n", width = HELP_COLUMN - 2),
        false => format!("  {title}\n{column}{wrapped}\n"),
    }
}

/// Breaks a text into lines of [`WIDTH`], all of which but the last are as wide as that.
fn wrap(text: &str, offset: usize, indent: &str) -> String {
    let (mut done, mut line, mut width) = (String::new(), String::new(), offset);
    for word in words(text) {
        width += word.chars().count();
        if width > WIDTH {
            done.push_str(&justified(&line, width - word.chars().count()));
            done.push('\n');
            done.push_str(indent);
            line.clear();
            width = indent.len() + word.chars().count();
        }
        line.push_str(word);
        if word.ends_with('\n') {
            done.push_str(&line);
            done.push_str(indent);
            line.clear();
            width = indent.len();
        }
    }
    done + &line
}

/// `TextHelper.adjustSpace`: the blanks that a line lacks go between its words.
fn justified(line: &str, width: usize) -> String {
    let trimmed = line.trim_matches(' ');
    let width = width - (line.chars().count() - trimmed.chars().count());
    let parts: Vec<&str> = trimmed.split(' ').collect();
    let gaps = trimmed.split(' ').filter(|part| !part.is_empty()).count().saturating_sub(1);
    if gaps == 0 || width >= WIDTH {
        return trimmed.to_owned();
    }
    let lacking = WIDTH - width;
    let (each, more) = (lacking / gaps, lacking % gaps);
    let first = (gaps - more).div_ceil(2);
    let (mut text, mut gap, mut after_word) = (String::new(), 0, false);
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            if after_word {
                let extra = each + usize::from(first <= gap && gap < first + more);
                text.push_str(&" ".repeat(extra));
                gap += 1;
            }
            text.push(' ');
        }
        after_word = !part.is_empty();
        text.push_str(part);
    }
    text
}
