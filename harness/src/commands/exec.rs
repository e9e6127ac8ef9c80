//! `exec`: a command in a service's container, or beside its process.

use super::act::existing;
use crate::cli::{Exec, Global};
use crate::exit::{Exit, Result, Stop};
use crate::terminal::Terminal;
use jackdaw_runtime::RuntimeError;
use jackdaw_runtime::model::State;
use jackdaw_runtime::runtime::ExecSpec;
use std::io::{ErrorKind, IsTerminal as _};

/// As a shell has it: there is no such program.
const NOT_FOUND: u8 = 127;
/// As a shell has it: it cannot be run.
const NOT_EXECUTABLE: u8 = 126;

/// `exec`
pub async fn run(global: &Global, exec: Exec, terminal: Terminal) -> Result {
    let it = existing(global, std::slice::from_ref(&exec.service), &terminal).await?;
    let instance = it.observed.of(&exec.service).filter(|instance| instance.state == State::Running);
    let Some(instance) = instance else {
        return Err(Stop::failed(format!("service {} is not running", exec.service)));
    };
    let has_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let spec = ExecSpec {
        command: exec.command,
        tty: !exec.no_tty && !exec.detach && has_terminal,
        interactive: !exec.detach,
        detach: exec.detach,
        env: exec.env,
        user: exec.user,
        working_dir: exec.workdir,
    };
    match it.runtime.exec(&it.name, instance, spec).await {
        Ok(code) => Ok(Exit::Command(u8::try_from(code).unwrap_or(255))),
        Err(RuntimeError::Io { path, source }) => {
            let code = if source.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
            Err(Stop { exit: Exit::Command(code), message: format!("{}: {source}", path.display()) })
        }
        Err(error) => Err(error.into()),
    }
}
