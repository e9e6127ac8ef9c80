//! Where a shell without a script has its commands from: a terminal in its own line mode, or a pipe. Lines are gathered
//! until they are a whole command. Editing is the terminal's; there is no history.

use brush_core::{Shell, ShellExtensions};
use brush_interactive::{InputBackend, InteractivePrompt, ReadResult, ShellError, ShellRef};
use brush_parser::ParseError;
use std::io::{IsTerminal as _, Write as _};

/// The standard input.
#[derive(Debug, Default)]
pub(crate) struct Lines;

impl InputBackend for Lines {
    fn read_line(
        &mut self,
        shell: &ShellRef<impl ShellExtensions>,
        prompt: InteractivePrompt,
    ) -> Result<ReadResult, ShellError> {
        let at_terminal = std::io::stdin().is_terminal();
        let mut command = String::new();
        loop {
            if at_terminal {
                let shown = if command.is_empty() { &prompt.prompt } else { &prompt.continuation_prompt };
                let mut err = std::io::stderr();
                let _ = write!(err, "{shown}").and_then(|()| err.flush());
            }
            let ended = !line(&mut command).map_err(ShellError::InputError)?;
            if command.is_empty() {
                return Ok(ReadResult::Eof);
            }
            let is_whole = ended || {
                let shell =
                    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(shell.lock()));
                is_whole(&shell, &command)
            };
            if is_whole {
                return Ok(ReadResult::Input(crate::sockets::rewritten(&command)));
            }
        }
    }
}

/// Adds a line with its end; false where the input ends before. Byte by byte, as bash reads a pipe: what comes after
/// the line is the command's to read.
fn line(command: &mut String) -> std::io::Result<bool> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    loop {
        match rustix::io::read(std::io::stdin(), &mut byte) {
            Ok(0) => break,
            Ok(_) => {
                bytes.push(byte[0]);
                if byte[0] == b'\n' {
                    break;
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    command.push_str(&String::from_utf8_lossy(&bytes));
    Ok(bytes.last() == Some(&b'\n'))
}

/// Whether nothing is open at its end: no quote, no `if`, no here-document.
fn is_whole(shell: &Shell<impl ShellExtensions>, command: &str) -> bool {
    match shell.parse_string(command.to_owned()) {
        Err(ParseError::Tokenizing { inner, .. }) => !inner.is_incomplete(),
        Err(ParseError::ParsingAtEndOfInput) => false,
        _ => !command.ends_with("\\\n"),
    }
}
