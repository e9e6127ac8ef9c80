//! The help of a table of options, in the two columns that jopt-simple 5.0.4 prints (`BuiltinHelpFormatter`).
//!
//! Where a line may be broken is for `java.text.BreakIterator` to say; its rules for Latin text are in [`words`].

use crate::jopt::{Kind, Opt, Takes};

const WIDTH: usize = 80;
const GAP: usize = 2;

/// The help, with the blanks at the ends of its lines.
pub fn help(table: &[Opt]) -> String {
    let mut sorted: Vec<&Opt> = table.iter().collect();
    sorted.sort_by_key(|option| option.name);
    let mut rows = vec![
        ("Option".to_owned(), "Description".to_owned()),
        ("-".repeat("Option".len()), "-".repeat("Description".len())),
    ];
    rows.extend(sorted.into_iter().map(|option| (left(option), right(option))));
    let (left_width, right_width) = widths(&rows);
    let fitted: Vec<(String, String)> =
        rows.iter().flat_map(|(left, right)| fit(left, left_width, right, right_width)).collect();
    let (left_width, right_width) = widths(&fitted);
    fitted.iter().map(|(left, right)| format!("{left:left_width$}  {right:right_width$}\n")).collect()
}

fn left(option: &Opt) -> String {
    let kind = match option.kind {
        Kind::Text => "String",
        Kind::Integer => "Integer",
        Kind::Long => "Long",
        Kind::Named(name) => name,
    };
    let value = if option.value.is_empty() { kind.to_owned() } else { format!("{kind}: {}", option.value) };
    let value = match option.takes {
        Takes::Nothing => String::new(),
        Takes::Value => format!(" <{value}>"),
        Takes::MaybeValue => format!(" [{value}]"),
    };
    format!("--{}{value}", option.name)
}

fn right(option: &Opt) -> String {
    match option.default {
        Some(default) => format!("{} (default: {default})", option.text).trim().to_owned(),
        None => option.text.to_owned(),
    }
}

fn widths(rows: &[(String, String)]) -> (usize, usize) {
    let widest = |side: fn(&(String, String)) -> &String| {
        rows.iter().map(|row| side(row).chars().count()).max().unwrap_or_default()
    };
    let left = widest(|row| &row.0).min((WIDTH - GAP) / 2);
    (left, widest(|row| &row.1).min(WIDTH - GAP - left))
}

fn fit(left: &str, left_width: usize, right: &str, right_width: usize) -> Vec<(String, String)> {
    let (left, right) = (pieces(left, left_width), pieces(right, right_width));
    let item = |pieces: &[String], index: usize| pieces.get(index).cloned().unwrap_or_default();
    (0..left.len().max(right.len())).map(|index| (item(&left, index), item(&right, index))).collect()
}

fn pieces(text: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    for line in text.trim().split('\n') {
        let mut piece = String::new();
        for word in words(line) {
            if piece.chars().count() + word.chars().count() > width {
                pieces.push(piece.trim_end().to_owned());
                piece = format!("  {word}");
            } else {
                piece.push_str(word);
            }
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
    }
    pieces
}

fn opens(letter: char) -> bool {
    matches!(letter, '(' | '[' | '{' | '"' | '\'')
}

fn closes(letter: char) -> bool {
    matches!(letter, ')' | ']' | '}' | '"' | '\'' | '!' | '%' | '.' | ',' | ':' | ';' | '?')
}

/// An apostrophe may stand before, after and in words.
fn is_plain(letter: char) -> bool {
    letter == '\'' || !(opens(letter) || closes(letter) || letter == '-' || letter.is_whitespace())
}

/// The parts between which a line may be broken: what opens, a core (a number with its signs, or a run of other
/// letters), then dashes or what closes, then blanks. A line feed ends its part.
pub fn words(line: &str) -> Vec<&str> {
    let letters: Vec<(usize, char)> = line.char_indices().collect();
    let mut words = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        let end = word_end(&letters, at).max(at + 1);
        let byte = |index: usize| letters.get(index).map_or(line.len(), |(byte, _)| *byte);
        words.push(&line[byte(at)..byte(end)]);
        at = end;
    }
    words
}

/// The longest match from `start`.
fn word_end(letters: &[(usize, char)], start: usize) -> usize {
    let is = |at: usize, what: fn(char) -> bool| letters.get(at).is_some_and(|(_, letter)| what(*letter));
    let run = |mut at: usize, what: fn(char) -> bool| {
        while is(at, what) {
            at += 1;
        }
        at
    };
    let suffix = |at: usize| {
        let (dashes, closing) = (run(at, |letter| letter == '-'), run(at, closes));
        let blanks = run(dashes.max(closing), |letter| letter.is_whitespace() && letter != '\n');
        blanks + usize::from(is(blanks, |letter| letter == '\n'))
    };
    let opened = run(start, opens);
    let plain = suffix(run(opened, is_plain));
    let signs = run(start, |letter| opens(letter) || letter == '-');
    let mut number = run(signs, |letter| letter.is_ascii_digit());
    if number == signs {
        return plain;
    }
    while is(number, |letter| matches!(letter, '.' | ',')) && is(number + 1, |letter| letter.is_ascii_digit())
    {
        number = run(number + 1, |letter| letter.is_ascii_digit());
    }
    plain.max(suffix(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_where_java_breaks_them() {
        for (line, due) in [
            ("the broker list", vec!["the ", "broker ", "list"]),
            ("--list(deprecated) is", vec!["--", "list", "(deprecated) ", "is"]),
            ("HOST1:PORT1,HOST2:PORT2.", vec!["HOST1:", "PORT1,", "HOST2:", "PORT2."]),
            ("key=value", vec!["key=value"]),
            ("can't 'a.b.' and C$D", vec!["can't ", "'a.", "b.' ", "and ", "C$D"]),
            ("pre-allocated -1 or 3.5,7", vec!["pre-", "allocated ", "-1 ", "or ", "3.5,7"]),
        ] {
            assert_eq!(words(line), due, "{line}");
        }
    }

    #[test]
    fn the_columns_are_jopts() {
        const TABLE: &[Opt] = &[
            Opt::text("topic", "a name that is much longer than its column is wide", "A topic."),
            Opt::integer("partitions", "", "How many there are to be of them, at the very least.")
                .default("3"),
        ];
        insta::assert_snapshot!(help(TABLE).replace(' ', "·"), @r"
        Option································Description·························
        ------································-----------·························
        --partitions·<Integer>················How·many·there·are·to·be·of·them,·at
        ········································the·very·least.·(default:·3)······
        --topic·<String:·a·name·that·is·much··A·topic.····························
        ··longer·than·its·column·is·wide>·········································
        ");
    }
}
