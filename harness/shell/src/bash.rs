//! `bash` and `sh`: brush with bash's own command line. What a line of script means is brush's business. `sh` is bash,
//! too: brush's mode for it loses redirections such as `>&2`.

use crate::{forward, sockets};
use brush_builtins::{BuiltinSet, ShellBuilderExt as _};
use brush_core::{ProfileLoadBehavior, RcLoadBehavior, Shell};
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::sync::Arc;

/// Builtins block their thread, and every stage of a pipeline may be one.
const WORKERS: usize = 4;
/// What bash calls a version of its own kind; scripts ask whether they run in bash at all.
const VERSION: &str = "5.2.15";
const MISUSED: i32 = 2;
const CANNOT_EXECUTE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// What the words after `bash` ask for.
#[derive(Debug, Default, PartialEq)]
struct Call {
    command: Option<String>,
    from_input: bool,
    interactive: bool,
    login: bool,
    no_profile: bool,
    no_rc: bool,
    /// Names of `set -o`, and whether they are switched on.
    options: Vec<(String, bool)>,
    /// Names of `shopt`, and whether they are switched on.
    shopt: Vec<(String, bool)>,
    rest: Vec<String>,
}

/// Single letters of `set`, and their names.
const LETTERS: [(char, &str); 9] = [
    ('e', "errexit"),
    ('f', "noglob"),
    ('n', "noexec"),
    ('u', "nounset"),
    ('v', "verbose"),
    ('x', "xtrace"),
    ('C', "noclobber"),
    ('a', "allexport"),
    ('m', "monitor"),
];

fn parse(words: Vec<String>) -> Result<Call, String> {
    let mut call = Call::default();
    let mut wants_command = false;
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next_if(|word| word.len() > 1 && word.starts_with(['-', '+'])) {
        let on = word.starts_with('-');
        match word.as_str() {
            "--" => break,
            "--login" => call.login = true,
            "--norc" => call.no_rc = true,
            "--noprofile" => call.no_profile = true,
            "--noediting" | "--verbose" | "--debugger" | "--posix" => {}
            long if long.starts_with("--") => return Err(format!("{long}: invalid option")),
            short => {
                for letter in short.chars().skip(1) {
                    match letter {
                        'c' => wants_command = true,
                        's' => call.from_input = true,
                        'i' => call.interactive = true,
                        'l' => call.login = true,
                        'o' | 'O' => {
                            let name = words.next().ok_or_else(|| format!("-{letter}: needs a name"))?;
                            let list = if letter == 'o' { &mut call.options } else { &mut call.shopt };
                            list.push((name, on));
                        }
                        other => match LETTERS.iter().find(|(known, _)| *known == other) {
                            Some((_, name)) => call.options.push(((*name).to_owned(), on)),
                            None => return Err(format!("-{other}: invalid option")),
                        },
                    }
                }
            }
        }
    }
    if wants_command {
        call.command = Some(words.next().ok_or("-c: option requires an argument")?);
    }
    call.rest = words.collect();
    Ok(call)
}

/// `bash` or `sh`, to its end.
pub(crate) fn run(name: &str, words: Vec<OsString>) -> i32 {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if words.first().is_some_and(|word| word == "--version") {
        println!("GNU bash, version {VERSION}(1)-release (a work-alike: brush)");
        return 0;
    }
    let mut call = match parse(words) {
        Ok(call) => call,
        Err(why) => {
            eprintln!("{name}: {why}");
            return MISUSED;
        }
    };
    call.login |= name.starts_with('-');
    if let Some(code) = ourselves(name, &call) {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(work(name, call));
            // A thread that still reads the terminal must not keep the shell from ending.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            CANNOT_EXECUTE
        }
    }
}

/// A script that is a link to this program, as the image's tools are: bash would read its text, there is none.
fn ourselves(name: &str, call: &Call) -> Option<i32> {
    let script = call.rest.first().filter(|_| call.command.is_none() && !call.from_input)?;
    let target = std::fs::canonicalize(script).ok()?;
    if target != std::env::current_exe().ok()? {
        return None;
    }
    let error = std::process::Command::new(&target).arg0(script).args(&call.rest[1..]).exec();
    eprintln!("{name}: {script}: {error}");
    Some(CANNOT_EXECUTE)
}

async fn work(name: &str, call: Call) -> i32 {
    if rustix::process::getpid().as_raw_nonzero().get() == 1 || jackdaw_beside::is_first() {
        forward::to_the_last();
    }
    match session(name, call).await {
        Ok(code) => i32::from(code),
        Err(Failure::Code(code)) => code,
        Err(Failure::Said(why)) => {
            eprintln!("{name}: {why}");
            1
        }
    }
}

enum Failure {
    Code(i32),
    Said(String),
}

impl From<brush_core::Error> for Failure {
    fn from(error: brush_core::Error) -> Self {
        Failure::Said(error.to_string())
    }
}

impl From<brush_interactive::ShellError> for Failure {
    fn from(error: brush_interactive::ShellError) -> Self {
        Failure::Said(error.to_string())
    }
}

async fn session(name: &str, call: Call) -> Result<u8, Failure> {
    let reads_input = call.command.is_none() && (call.from_input || call.rest.is_empty());
    let at_terminal = reads_input && std::io::stdin().is_terminal();
    let mut shell = build(name, &call, reads_input, call.interactive || at_terminal).await?;
    let profile = if call.no_profile { ProfileLoadBehavior::Skip } else { ProfileLoadBehavior::LoadDefault };
    let rc = if call.no_rc { RcLoadBehavior::Skip } else { RcLoadBehavior::LoadDefault };
    shell.load_config(&profile, &rc).await?;
    if let Some(command) = call.command {
        shell.run_dash_c_command(sockets::rewritten(&command)).await?;
        return Ok(shell.last_exit_status());
    }
    if !reads_input {
        let script = &call.rest[0];
        if !Path::new(script).is_file() {
            eprintln!("{name}: {}: No such file or directory", jackdaw_beside::shown(script));
            return Err(Failure::Code(NOT_FOUND));
        }
        let text = std::fs::read(script).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let text = text.unwrap_or_default();
        match sockets::rewritten(&text) {
            same if same == text => shell.run_script(Path::new(script), call.rest.iter().skip(1)).await?,
            other => shell.run_dash_c_command(other).await?,
        };
        return Ok(shell.last_exit_status());
    }
    if at_terminal {
        forward::ignore_interrupts();
    }
    let shell = Arc::new(tokio::sync::Mutex::new(shell));
    let mut input = crate::input::Lines;
    let options = brush_interactive::InteractiveOptions::default();
    brush_interactive::InteractiveShell::new(&shell, &mut input, &options)?.run_interactively().await?;
    let code = shell.lock().await.last_exit_status();
    Ok(code)
}

async fn build(
    name: &str,
    call: &Call,
    reads_input: bool,
    interactive: bool,
) -> Result<Shell, brush_core::Error> {
    let named = |list: &[(String, bool)], on: bool| -> Vec<String> {
        list.iter().filter(|(_, set)| *set == on).map(|(name, _)| name.clone()).collect()
    };
    let (shell_name, arguments) = match (&call.command, call.rest.split_first()) {
        (Some(_), Some((first, rest))) => (first.clone(), Some(rest.to_vec())),
        (None, Some((first, rest))) if !reads_input => (first.clone(), Some(rest.to_vec())),
        (None, Some(_)) => (name.to_owned(), Some(call.rest.clone())),
        (_, None) => (name.to_owned(), None),
    };
    Shell::builder()
        .enable_options(named(&call.options, true))
        .disable_options(named(&call.options, false))
        .enable_shopt_options(named(&call.shopt, true))
        .disable_shopt_options(named(&call.shopt, false))
        .default_builtins(BuiltinSet::BashMode)
        .builtin(sockets::BUILTIN, brush_core::builtins::simple_builtin::<sockets::Connect, _>())
        .login(call.login)
        .interactive(interactive)
        .command_string_mode(call.command.is_some())
        .read_commands_from_stdin(reads_input)
        .profile(ProfileLoadBehavior::Skip)
        .rc(RcLoadBehavior::Skip)
        .shell_name(shell_name)
        .maybe_shell_args(arguments)
        .shell_version(VERSION.to_owned())
        .build()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_command_line_is_bash_s() {
        let call = parse(words(&["-ec", "echo $1", "name", "one"])).unwrap();
        assert_eq!(call.command.as_deref(), Some("echo $1"));
        assert_eq!((call.options, call.rest), (vec![("errexit".into(), true)], words(&["name", "one"])));
        let call = parse(words(&["-euo", "pipefail", "script.sh", "-x"])).unwrap();
        assert_eq!(call.options.len(), 3);
        assert_eq!(call.rest, words(&["script.sh", "-x"]));
        let call = parse(words(&["-c", "--", "date"]));
        assert_eq!(call.unwrap().command.as_deref(), Some("date"));
        for refused in [&["-c"][..], &["--unknown"], &["-Z"], &["-o"]] {
            assert!(parse(words(refused)).is_err(), "{refused:?}");
        }
    }
}
