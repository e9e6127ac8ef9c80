//! Signal names as `kill -s` and `stop_signal` take them.

use rustix::process::Signal;

/// SIGTERM.
pub const TERM: i32 = Signal::TERM.as_raw();

const NAMES: &[(&str, Signal)] = &[
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ABRT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("WINCH", Signal::WINCH),
];

/// `SIGKILL`, `kill`, `9`: the number.
pub fn number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return Signal::from_named_raw(number).map(Signal::as_raw);
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.iter().find(|(known, _)| *known == short).map(|(_, signal)| signal.as_raw())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (name, wanted) in
            [("SIGKILL", Some(9)), ("term", Some(15)), ("9", Some(9)), ("SIGNONE", None), ("99", None)]
        {
            assert_eq!(number(name), wanted, "{name}");
        }
    }
}
