//! Tools that uutils offers only with a tree of dependencies larger than the shell's own (parsers of dates and of
//! ini files, resolvers): here is the part of them that scripts use. An option that is not known is refused.

use crate::Tool;
use chrono::{DateTime, Local, Utc};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{FileTimes, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::SystemTime;

/// Names and what they do.
pub(crate) const TABLE: &[(&str, Tool)] = &[
    ("date", date),
    ("env", env),
    ("hostname", hostname),
    ("nc", crate::nc::run),
    ("pwd", pwd),
    ("touch", touch),
];

/// As GNU's tools: a wrong call is 1, but for `env`, whose small codes are its command's.
const FAILED: i32 = 1;
const ENV_FAILED: i32 = 125;
const CANNOT_EXECUTE: i32 = 126;
const NOT_FOUND: i32 = 127;

pub(crate) fn texts(words: Vec<OsString>) -> Vec<String> {
    words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

fn refused(name: &str, option: &str) -> i32 {
    eprintln!("{name}: unrecognized option '{option}'");
    FAILED
}

/// `date [-u] [-Iseconds] [-d @SECONDS] [+FORMAT]`
fn date(name: &str, words: Vec<OsString>) -> i32 {
    let (mut format, mut utc, mut when) = (String::from("%a %b %e %H:%M:%S %Z %Y"), false, Utc::now());
    let mut words = texts(words).into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-u" | "--utc" | "--universal" => utc = true,
            "-I" | "-Idate" | "--iso-8601" => format = "%Y-%m-%d".into(),
            "-Iseconds" | "--iso-8601=seconds" => format = "%Y-%m-%dT%H:%M:%S%:z".into(),
            "-R" | "--rfc-email" => format = "%a, %d %b %Y %H:%M:%S %z".into(),
            "-d" | "--date" => {
                let text = words.next().unwrap_or_default();
                let seconds = text.strip_prefix('@').and_then(|seconds| seconds.parse().ok());
                let Some(given) = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)) else {
                    eprintln!("{name}: only @SECONDS are understood as a date, not '{text}'");
                    return FAILED;
                };
                when = given;
            }
            other => match other.strip_prefix('+') {
                Some(given) => format = given.to_owned(),
                None => return refused(name, other),
            },
        }
    }
    // chrono names the places of a second's fraction otherwise.
    let format = format.replace("%3N", "%3f").replace("%N", "%9f");
    let local = when.with_timezone(&Local);
    let mut text = String::new();
    // Only UTC has a name in chrono; any other zone is its offset.
    let written = match utc || local.offset().utc_minus_local() == 0 {
        true => write!(text, "{}", when.format(&format)),
        false => write!(text, "{}", local.format(&format)),
    };
    if written.is_err() {
        eprintln!("{name}: invalid format '{format}'");
        return FAILED;
    }
    println!("{text}");
    0
}

/// `env [-i] [-u NAME] [NAME=VALUE]… [COMMAND [ARGUMENT]…]`
fn env(name: &str, words: Vec<OsString>) -> i32 {
    let mut words = words.into_iter().peekable();
    let (mut cleared, mut removed, mut set) = (false, Vec::new(), Vec::new());
    while let Some(word) = words.next_if(|word| {
        let text = word.to_string_lossy();
        text.starts_with('-') || text.contains('=')
    }) {
        let text = word.to_string_lossy().into_owned();
        match text.as_str() {
            "-" | "-i" | "--ignore-environment" => cleared = true,
            "-u" | "--unset" => removed.extend(words.next()),
            "--" => {}
            option if option.starts_with('-') => {
                refused(name, option);
                return ENV_FAILED;
            }
            pair => set.extend(pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))),
        }
    }
    let kept = std::env::vars_os().filter(|(key, _)| !cleared && !removed.contains(key));
    let mut pairs: Vec<(OsString, OsString)> = kept.collect();
    for (key, value) in set {
        pairs.retain(|(known, _)| known.to_str() != Some(&key));
        pairs.push((key.into(), value.into()));
    }
    let Some(program) = words.next() else {
        let line = |(key, value): (OsString, OsString)| format!("{}={}\n", key.display(), value.display());
        // A reader that wants no more (`env | head`) is no failure.
        let _ = std::io::stdout().write_all(pairs.into_iter().map(line).collect::<String>().as_bytes());
        return 0;
    };
    let error = Command::new(&program).args(words).env_clear().envs(pairs).exec();
    eprintln!("{name}: '{}': {error}", program.to_string_lossy());
    if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_EXECUTE }
}

/// `hostname [-i | -I | -s | -f]`
fn hostname(name: &str, words: Vec<OsString>) -> i32 {
    // Beside a service that is a process the machine has a name of its own.
    let beside = jackdaw_beside::hosts().and_then(|_| std::env::var("HOSTNAME").ok());
    let own = beside.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let words = texts(words);
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["-f" | "--fqdn"] => println!("{own}"),
        ["-s" | "--short"] => println!("{}", own.split('.').next().unwrap_or(&own)),
        ["-i" | "-I" | "--ip-address" | "--all-ip-addresses"] => {
            let Ok(found) = jackdaw_beside::addresses(&own, 0) else {
                eprintln!("{name}: {own} does not resolve");
                return FAILED;
            };
            let mut addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
            addresses.dedup();
            println!("{}", addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "));
        }
        [other, ..] => return refused(name, other),
    }
    0
}

/// `pwd [-L | -P]`, as the container has the folder.
fn pwd(name: &str, words: Vec<OsString>) -> i32 {
    let words = texts(words);
    if let Some(other) = words.iter().find(|word| !matches!(word.as_str(), "-L" | "-P" | "--logical")) {
        return refused(name, other);
    }
    let here = match std::env::current_dir() {
        Ok(here) => here,
        Err(error) => {
            eprintln!("{name}: {error}");
            return FAILED;
        }
    };
    let is_here = |path: &String| std::fs::canonicalize(path).is_ok_and(|path| path == here);
    let logical =
        std::env::var("PWD").ok().filter(|_| !words.iter().any(|word| word == "-P")).filter(is_here);
    println!("{}", jackdaw_beside::shown(&logical.unwrap_or_else(|| here.display().to_string())));
    0
}

/// `touch [-c] FILE…`
fn touch(name: &str, words: Vec<OsString>) -> i32 {
    let (mut create, mut code, mut files) = (true, 0, 0);
    for word in words {
        match word.to_string_lossy().as_ref() {
            "-c" | "--no-create" => create = false,
            "--" => {}
            option if option.starts_with('-') => return refused(name, option),
            _ => {
                files += 1;
                let now = SystemTime::now();
                let times = FileTimes::new().set_accessed(now).set_modified(now);
                let opened = OpenOptions::new().append(true).create(create).open(&word);
                match opened.and_then(|file| file.set_times(times)) {
                    Err(error) if create || error.kind() != std::io::ErrorKind::NotFound => {
                        eprintln!("{name}: cannot touch '{}': {error}", word.to_string_lossy());
                        code = FAILED;
                    }
                    _ => {}
                }
            }
        }
    }
    if files == 0 {
        eprintln!("{name}: missing file operand");
        return FAILED;
    }
    code
}
