//! `sed`, the part of it that scripts use around a configuration: `s`, `d`, `p` and `q`, under addresses, on files in
//! place or on what passes through. A command or an option that is not known is refused.

use crate::own::texts;
use regex::{Captures, Regex, RegexBuilder};
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::iter::Peekable;
use std::str::Chars;

/// As GNU's: a wrong call, and a file that cannot be read.
const WRONG_CALL: i32 = 1;
const NO_FILE: i32 = 2;

enum Address {
    Line(usize),
    Last,
    Matching(Regex),
}

enum Action {
    Delete,
    Print,
    Quit,
    Substitute { pattern: Regex, by: Vec<Part>, all: bool, print: bool },
}

/// A part of what a match is replaced by.
enum Part {
    Text(String),
    Group(usize),
}

struct Command {
    from: Option<Address>,
    to: Option<Address>,
    negated: bool,
    /// Between a range's first line and its last.
    is_open: bool,
    action: Action,
}

#[derive(Default)]
struct Call {
    quiet: bool,
    extended: bool,
    /// What is appended to the name of the file as it was; nothing is kept where that is empty.
    in_place: Option<String>,
    scripts: Vec<String>,
    files: Vec<String>,
}

/// `sed [-n] [-E] [-i[SUFFIX]] [-e SCRIPT]… [SCRIPT] [FILE]…`
pub(crate) fn run(name: &str, words: Vec<OsString>) -> i32 {
    let call = match Call::read(texts(words)) {
        Ok(call) => call,
        Err(why) => {
            eprintln!("{name}: {why}");
            return WRONG_CALL;
        }
    };
    let script = call.scripts.join("\n");
    let mut commands = match commands(&script, call.extended) {
        Ok(commands) => commands,
        Err(why) => {
            eprintln!("{name}: `{script}`: {why}");
            return WRONG_CALL;
        }
    };
    if call.files.is_empty() {
        let mut text = Vec::new();
        let read = std::io::stdin().read_to_end(&mut text);
        let out = edited(&String::from_utf8_lossy(&text), &mut commands, call.quiet);
        let written = read.and_then(|_| std::io::stdout().write_all(out.as_bytes()));
        return if written.is_ok() { 0 } else { NO_FILE };
    }
    let mut code = 0;
    for file in &call.files {
        if let Err(error) = edit(file, &call, &mut commands) {
            eprintln!("{name}: can't read {file}: {error}");
            code = NO_FILE;
        }
    }
    code
}

fn edit(file: &str, call: &Call, commands: &mut [Command]) -> std::io::Result<()> {
    let before = fs::read(file)?;
    let after = edited(&String::from_utf8_lossy(&before), commands, call.quiet);
    match &call.in_place {
        None => std::io::stdout().write_all(after.as_bytes()),
        Some(suffix) => {
            if !suffix.is_empty() {
                fs::write(format!("{file}{suffix}"), before)?;
            }
            fs::write(file, after)
        }
    }
}

impl Call {
    fn read(words: Vec<String>) -> Result<Self, String> {
        let mut call = Self::default();
        let mut plain = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--" => plain.extend(words.by_ref()),
                "--quiet" | "--silent" => call.quiet = true,
                "--regexp-extended" => call.extended = true,
                "--in-place" => call.in_place = Some(String::new()),
                long if long.starts_with("--in-place=") => call.in_place = Some(long[11..].to_owned()),
                long if long.starts_with("--") => return Err(format!("unrecognized option '{long}'")),
                short if short.starts_with('-') && short.len() > 1 => {
                    call.letters(&short[1..], &mut words)?
                }
                _ => plain.push(word),
            }
        }
        let mut plain = plain.into_iter();
        if call.scripts.is_empty() {
            call.scripts.push(plain.next().ok_or("no script was given")?);
        }
        call.files = plain.collect();
        Ok(call)
    }

    /// Options of one letter, after one dash; the rest of the word is the value of one that has a value.
    fn letters(&mut self, letters: &str, words: &mut impl Iterator<Item = String>) -> Result<(), String> {
        for (at, letter) in letters.char_indices() {
            let rest = &letters[at + letter.len_utf8()..];
            match letter {
                'n' => self.quiet = true,
                'E' | 'r' => self.extended = true,
                's' | 'u' => {}
                'i' => {
                    self.in_place = Some(rest.to_owned());
                    return Ok(());
                }
                'e' => {
                    let script = if rest.is_empty() { words.next() } else { Some(rest.to_owned()) };
                    self.scripts.push(script.ok_or("option requires an argument -- 'e'")?);
                    return Ok(());
                }
                other => return Err(format!("invalid option -- '{other}'")),
            }
        }
        Ok(())
    }
}

fn commands(script: &str, extended: bool) -> Result<Vec<Command>, String> {
    let mut rest = script.chars().peekable();
    let mut commands = Vec::new();
    loop {
        while rest.next_if(|c| c.is_whitespace() || *c == ';').is_some() {}
        if rest.peek().is_none() {
            return Ok(commands);
        }
        let from = address(&mut rest, extended)?;
        let to = if from.is_some() && rest.next_if_eq(&',').is_some() {
            Some(address(&mut rest, extended)?.ok_or("a second address is missing")?)
        } else {
            None
        };
        while rest.next_if_eq(&' ').is_some() {}
        let negated = rest.next_if_eq(&'!').is_some();
        let action = match rest.next() {
            Some('d') => Action::Delete,
            Some('p') => Action::Print,
            Some('q') => Action::Quit,
            Some('s') => substitution(&mut rest, extended)?,
            Some(other) => return Err(format!("unknown command: `{other}'")),
            None => return Err("missing command".into()),
        };
        while rest.next_if_eq(&' ').is_some() {}
        if let Some(more) = rest.next_if(|c| !matches!(c, ';' | '\n')) {
            return Err(format!("extra characters after command: `{more}'"));
        }
        commands.push(Command { from, to, negated, is_open: false, action });
    }
}

fn address(rest: &mut Peekable<Chars<'_>>, extended: bool) -> Result<Option<Address>, String> {
    match rest.peek() {
        Some('$') => {
            rest.next();
            Ok(Some(Address::Last))
        }
        Some('/') => {
            rest.next();
            let text = until(rest, '/')?;
            let ignore_case = rest.next_if_eq(&'I').is_some();
            Ok(Some(Address::Matching(pattern(&text, extended, ignore_case)?)))
        }
        Some(digit) if digit.is_ascii_digit() => {
            let mut number = String::new();
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                number.push(digit);
            }
            number.parse().map(|line| Some(Address::Line(line))).map_err(|_| format!("no line {number}"))
        }
        _ => Ok(None),
    }
}

/// What stands before the delimiter; the delimiter itself is written behind a backslash there.
fn until(rest: &mut Peekable<Chars<'_>>, delimiter: char) -> Result<String, String> {
    let mut text = String::new();
    while let Some(c) = rest.next() {
        match c {
            _ if c == delimiter => return Ok(text),
            '\\' if rest.peek() == Some(&delimiter) => text.extend(rest.next()),
            '\\' => {
                text.push(c);
                text.extend(rest.next());
            }
            _ => text.push(c),
        }
    }
    Err(format!("unterminated: no `{delimiter}'"))
}

fn substitution(rest: &mut Peekable<Chars<'_>>, extended: bool) -> Result<Action, String> {
    let delimiter = rest.next().ok_or("unterminated `s' command")?;
    let (what, by) = (until(rest, delimiter)?, until(rest, delimiter)?);
    let (mut all, mut print, mut ignore_case) = (false, false, false);
    while let Some(flag) = rest.next_if(|c| matches!(c, 'g' | 'p' | 'i' | 'I')) {
        match flag {
            'g' => all = true,
            'p' => print = true,
            _ => ignore_case = true,
        }
    }
    Ok(Action::Substitute { pattern: pattern(&what, extended, ignore_case)?, by: parts(&by), all, print })
}

/// What a match is replaced by: `&` and `\1` are of the match, all else is itself.
fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let group = match c {
            '&' => Some(0),
            '\\' => match rest.next() {
                Some('n') => {
                    plain.push('\n');
                    None
                }
                Some(digit) if digit.is_ascii_digit() => digit.to_digit(10),
                other => {
                    plain.extend(other);
                    None
                }
            },
            _ => {
                plain.push(c);
                None
            }
        };
        if let Some(group) = group {
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(Part::Group(group as usize));
        }
    }
    parts.push(Part::Text(plain));
    parts
}

/// A regular expression of POSIX's as one of the crate's. In a basic one, `( ) { } | + ?` mean something behind a
/// backslash, and in an extended one without.
fn pattern(text: &str, extended: bool, ignore_case: bool) -> Result<Regex, String> {
    const OPERATORS: [char; 7] = ['(', ')', '{', '}', '|', '+', '?'];
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    // Where `^` is an anchor and `*` is itself.
    let mut at_start = true;
    while let Some(c) = rest.next() {
        let was_start = std::mem::take(&mut at_start);
        match c {
            '\\' => match rest.next() {
                Some(operator) if OPERATORS.contains(&operator) => {
                    if extended {
                        out.push('\\');
                    }
                    out.push(operator);
                    at_start = !extended && matches!(operator, '(' | '|');
                }
                Some('n') => out.push('\n'),
                Some(class) if "wWsSbBt".contains(class) => out.extend(['\\', class]),
                Some(digit) if digit.is_ascii_digit() => {
                    return Err("references in a pattern are not understood".into());
                }
                Some(plain) => out.push_str(&regex::escape(&plain.to_string())),
                None => return Err("trailing backslash".into()),
            },
            operator if OPERATORS.contains(&operator) => {
                if !extended {
                    out.push('\\');
                }
                out.push(operator);
                at_start = extended && matches!(operator, '(' | '|');
            }
            '[' => bracket(&mut rest, &mut out)?,
            '*' if was_start => out.push_str("\\*"),
            '^' if !was_start => out.push_str("\\^"),
            '$' if rest.peek().is_some_and(|next| !matches!(next, '\\' | ')' | '|')) => out.push_str("\\$"),
            '^' => {
                out.push('^');
                at_start = true;
            }
            _ => out.push(c),
        }
    }
    RegexBuilder::new(&out).case_insensitive(ignore_case).build().map_err(|error| error.to_string())
}

/// `[…]`, in which a backslash is itself, and a `]` too where it comes first.
fn bracket(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('[');
    out.extend(rest.next_if_eq(&'^'));
    if rest.next_if_eq(&']').is_some() {
        out.push_str("\\]");
    }
    while let Some(c) = rest.next() {
        match c {
            ']' => {
                out.push(']');
                return Ok(());
            }
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '\\' if rest.peek() == Some(&'n') => {
                rest.next();
                out.push_str("\\n");
            }
            '\\' | '[' | '&' | '~' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    Err("unterminated `['".into())
}

/// The text as the commands leave it.
fn edited(text: &str, commands: &mut [Command], quiet: bool) -> String {
    let mut out = String::new();
    let count = text.split_inclusive('\n').count();
    commands.iter_mut().for_each(|command| command.is_open = false);
    for (number, whole) in (1..).zip(text.split_inclusive('\n')) {
        let (line, end) = whole.strip_suffix('\n').map_or((whole, ""), |line| (line, "\n"));
        // A last line without an end stays without, unless more comes behind it.
        let after = if quiet { end } else { "\n" };
        let mut line = line.to_owned();
        let (mut kept, mut quits) = (true, false);
        for command in commands.iter_mut() {
            if !command.takes(&line, number, number == count) {
                continue;
            }
            match &command.action {
                Action::Delete => kept = false,
                Action::Print => out.extend([line.as_str(), after]),
                Action::Quit => quits = true,
                Action::Substitute { pattern, by, all, print } => {
                    let changed = pattern.is_match(&line);
                    let by = |found: &Captures<'_>| replaced(by, found);
                    line = pattern.replacen(&line, usize::from(!all), by).into_owned();
                    if changed && *print {
                        out.extend([line.as_str(), after]);
                    }
                }
            }
            if !kept || quits {
                break;
            }
        }
        if kept && !quiet {
            out.extend([line.as_str(), end]);
        }
        if quits {
            break;
        }
    }
    out
}

fn replaced(by: &[Part], found: &Captures<'_>) -> String {
    let text = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Group(group) => found.get(*group).map(|group| group.as_str().to_owned()).unwrap_or_default(),
    };
    by.iter().map(text).collect()
}

impl Command {
    /// Whether the command is for this line.
    fn takes(&mut self, line: &str, number: usize, is_last: bool) -> bool {
        let is_at = |address: &Address| match address {
            Address::Line(line) => *line == number,
            Address::Last => is_last,
            Address::Matching(pattern) => pattern.is_match(line),
        };
        let taken = match (&self.from, &self.to) {
            (None, _) => true,
            (Some(only), None) => is_at(only),
            (Some(_), Some(to)) if self.is_open => {
                // A last line that is already behind ends the range with the line after its first.
                let ends = match to {
                    Address::Line(line) => number >= *line,
                    other => is_at(other),
                };
                self.is_open = !ends;
                !matches!(to, Address::Line(line) if number > *line)
            }
            (Some(from), Some(to)) => {
                let begins = is_at(from);
                self.is_open = begins && !matches!(to, Address::Line(line) if *line <= number) && !is_last;
                begins
            }
        };
        taken != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sed(script: &str, extended: bool, quiet: bool, text: &str) -> String {
        match commands(script, extended) {
            Ok(mut commands) => edited(text, &mut commands, quiet),
            Err(why) => format!("refused: {why}"),
        }
    }

    #[test]
    fn scripts_around_configurations_do_what_they_say() {
        let text = "a=1\n# b=2\npath=/x/y\n(c)=3\n";
        for (script, expected) in [
            ("/b=/d", "a=1\npath=/x/y\n(c)=3\n"),
            ("s/^# //", "a=1\nb=2\npath=/x/y\n(c)=3\n"),
            ("s|/x/y|/z|g", "a=1\n# b=2\npath=/z\n(c)=3\n"),
            ("s/(c)/d/", "a=1\n# b=2\npath=/x/y\nd=3\n"),
            ("s/\\(.\\)=\\([0-9]\\)$/\\2=\\1 &/", "1=a a=1\n# 2=b b=2\npath=/x/y\n(c3=) )=3\n"),
            ("2,3d", "a=1\n(c)=3\n"),
            ("/b/,$d", "a=1\n"),
            ("/path/!d", "path=/x/y\n"),
            ("s/A/x/I;1q", "x=1\n"),
            ("s/[[:digit:]]\\+/N/;$!d", "(c)=N\n"),
            ("s/\\//\\&/g;3!d", "path=&x&y\n"),
        ] {
            assert_eq!(sed(script, false, false, text), expected, "{script}");
        }
        assert_eq!(sed("s/(a|path)=(.*)/\\2/p", true, true, text), "1\n/x/y\n");
        assert_eq!(sed("$p", false, true, "one\ntwo"), "two");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for script in ["y/a/b/", "s/a/b", "/a", "/a/", "s/\\(/x/", "d d", "1,d"] {
            assert!(sed(script, false, false, "a\n").starts_with("refused"), "{script}");
        }
        for words in [vec!["-z", "d"], vec!["--debug", "d"], vec![], vec!["-e"]] {
            assert!(Call::read(words.iter().map(|word| (*word).to_owned()).collect()).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_file_is_changed_in_place_and_may_be_kept() {
        let folder = std::env::temp_dir().join(format!("jackdaw-sed-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("f");
        fs::write(&file, "a\nb\n").unwrap();
        let words = ["-i.old", "/a/d", file.to_str().unwrap()];
        assert_eq!(run("sed", words.map(OsString::from).to_vec()), 0);
        assert_eq!(fs::read_to_string(&file).unwrap(), "b\n");
        assert_eq!(fs::read_to_string(folder.join("f.old")).unwrap(), "a\nb\n");
        fs::remove_dir_all(&folder).unwrap();
    }
}
