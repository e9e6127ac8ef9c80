//! `/dev/tcp/HOST/PORT`, which brush does not know: a redirection to it becomes one to a pipe that a thread of the shell
//! joins to the socket. A connection that is refused is a redirection that fails, which is what scripts ask for.
//!
//! Only text that stands outside quotes is rewritten: what is quoted is data, or the script of a shell further in.

use brush_core::builtins::{ContentOptions, ContentType, SimpleCommand};
use brush_core::commands::ExecutionContext;
use brush_core::extensions::ShellExtensions;
use brush_core::{Error, ExecutionResult};
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// The builtin that connects; no program is called so.
pub(crate) const BUILTIN: &str = "__jackdaw_tcp";
const PREFIX: &str = "/dev/tcp/";

/// The script as brush is to read it: paths where they lie, and every redirection to a socket rewritten.
pub(crate) fn rewritten(script: &str) -> String {
    with_sockets(&jackdaw_beside::placed(script))
}

fn with_sockets(script: &str) -> String {
    if !script.contains(PREFIX) {
        return script.to_owned();
    }
    let mut out = String::with_capacity(script.len() + 64);
    let mut quote = None;
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        match (quote, c) {
            (None, '<' | '>') => {
                if let Some((operator, mode, place, after)) = redirection(rest) {
                    out.push_str(operator);
                    out.push_str(&format!("\"$({BUILTIN} {mode} {place})\""));
                    rest = after;
                    continue;
                }
            }
            (None | Some('"'), '\\') => {
                let length = c.len_utf8() + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..length]);
                rest = &rest[length..];
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// Operator, direction, `HOST PORT`, and what comes after, where the text begins with such a redirection.
fn redirection(text: &str) -> Option<(&str, char, String, &str)> {
    let (operator, mode) = [("<>", 'b'), (">>", 'w'), (">|", 'w'), (">", 'w'), ("<", 'r')]
        .into_iter()
        .find(|(operator, _)| text.starts_with(operator))?;
    let target = text[operator.len()..].trim_start_matches([' ', '\t']);
    let target = target.strip_prefix(PREFIX)?;
    let end = target.find(|c: char| c.is_whitespace() || ";&|()<>'\"`".contains(c)).unwrap_or(target.len());
    let (host, port) = target[..end].split_once('/')?;
    Some((operator, mode, format!("{host} {port}"), &target[end..]))
}

/// `__jackdaw_tcp DIRECTION HOST PORT`: connects, and prints the path under which the connection can be opened.
pub(crate) struct Connect;

impl SimpleCommand for Connect {
    fn get_content(name: &str, _: ContentType, _: &ContentOptions) -> Result<String, Error> {
        Ok(format!("{name} - a connection for a redirection\n"))
    }

    fn execute<SE: ShellExtensions, I: Iterator<Item = S>, S: AsRef<str>>(
        context: ExecutionContext<'_, SE>,
        args: I,
    ) -> Result<ExecutionResult, Error> {
        let words: Vec<String> = args.map(|word| word.as_ref().to_owned()).collect();
        // The name comes first.
        let [.., mode, host, port] = words.as_slice() else { return Ok(ExecutionResult::new(2)) };
        match connected(mode, host, port) {
            Ok(path) => write!(context.stdout(), "{path}")?,
            // A path that cannot be there, so that the redirection fails with the address in its message.
            Err(_) => write!(context.stdout(), "{PREFIX}{host}/{port}")?,
        }
        Ok(ExecutionResult::success())
    }
}

fn connected(mode: &str, host: &str, port: &str) -> io::Result<String> {
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let socket = TcpStream::connect(jackdaw_beside::addresses(host, port)?.as_slice())?;
    if mode == "b" {
        return both_ways(socket);
    }
    let (from, to) = io::pipe()?;
    let (from, to): (OwnedFd, OwnedFd) = (from.into(), to.into());
    if mode == "r" {
        let path = kept(from);
        std::thread::spawn(move || carry(&socket, File::from(to)));
        return Ok(path);
    }
    let path = kept(to);
    std::thread::spawn(move || {
        carry(File::from(from), &socket);
        let _ = socket.shutdown(Shutdown::Write);
    });
    Ok(path)
}

/// A terminal in raw mode is the one thing that can be opened by path and read and written at once.
fn both_ways(socket: TcpStream) -> io::Result<String> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    let path = ptsname(&controller, Vec::new())?.to_string_lossy().into_owned();
    let terminal = File::options().read(true).write(true).open(&path)?;
    let mut raw = tcgetattr(&terminal)?;
    raw.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &raw)?;
    kept(terminal.into());
    let (to_socket, from_controller) = (socket.try_clone()?, File::from(controller));
    let to_controller = from_controller.try_clone()?;
    std::thread::spawn(move || carry(from_controller, to_socket));
    std::thread::spawn(move || carry(socket, to_controller));
    Ok(path)
}

/// Carries bytes until one side ends. Not `io::copy`: its splice(2) holds the pipe while it waits for the socket, and who
/// opens the pipe meanwhile waits with it.
fn carry(mut from: impl io::Read, mut to: impl io::Write) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

/// The path of an open file of this process, which stays open for as long as the shell lives: who opens it comes later.
fn kept(file: OwnedFd) -> String {
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    std::mem::forget(file);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_outside_quotes_is_rewritten() {
        let call = |mode: &str, place: &str| format!("\"$({BUILTIN} {mode} {place})\"");
        for (script, expected) in [
            ("echo > /dev/tcp/$H/9092; x", format!("echo >{}; x", call("w", "$H 9092"))),
            ("</dev/tcp/localhost/9092", format!("<{}", call("r", "localhost 9092"))),
            ("exec 3<>/dev/tcp/k/1 || x", format!("exec 3<>{} || x", call("b", "k 1"))),
            ("(echo >/dev/tcp/k/1) 2>/dev/null", format!("(echo >{}) 2>/dev/null", call("w", "k 1"))),
            ("bash -c '</dev/tcp/k/1'", "bash -c '</dev/tcp/k/1'".into()),
            ("echo \"\\\" > /dev/tcp/k/1\"", "echo \"\\\" > /dev/tcp/k/1\"".into()),
            ("ls /dev/tcp/k/1", "ls /dev/tcp/k/1".into()),
        ] {
            assert_eq!(rewritten(script), expected, "{script}");
        }
    }
}
