//! How a command ends: the one table of exit codes (printed by `--help`), and the error that carries one.

use jackdaw_runtime::RuntimeError;
use std::fmt;
use std::process::ExitCode;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Not done.
    Failed,
    /// Bad input.
    BadInput,
    /// No runtime answers.
    NoRuntime,
    /// Ended by Ctrl-C.
    Interrupted,
    /// What the executed command gave.
    Command(u8),
}

impl Exit {
    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::NoRuntime => 3,
            Exit::Interrupted => 130,
            Exit::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a command was not done; printed once, by `main`.
#[derive(Debug)]
pub struct Stop {
    /// The exit code.
    pub exit: Exit,
    /// What is said; nothing where everything was said before.
    pub message: String,
}

impl Stop {
    /// The input is at fault.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Stop { exit: Exit::BadInput, message: message.into() }
    }

    /// The work is at fault.
    pub fn failed(message: impl Into<String>) -> Self {
        Stop { exit: Exit::Failed, message: message.into() }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<RuntimeError> for Stop {
    fn from(error: RuntimeError) -> Self {
        let exit = match error {
            RuntimeError::Refused(_) => Exit::BadInput,
            RuntimeError::Unavailable(_) => Exit::NoRuntime,
            RuntimeError::Failed(_) | RuntimeError::Io { .. } => Exit::Failed,
        };
        Stop { exit, message: error.to_string() }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Stop::failed(error.to_string())
    }
}

/// Result of a command.
pub type Result<T = Exit> = std::result::Result<T, Stop>;
