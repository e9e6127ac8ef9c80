//! One file a command, or a few that are alike; this one only hands over.

mod act;
mod broker;
mod check;
mod config;
mod conformance;
mod cp;
mod differences;
mod exec;
pub mod guard;
mod hidden;
mod image;
mod logs;
mod look;
mod ps;
mod run;
pub mod tools;
mod up;
mod words;

use crate::cli::{Command, Global};
use crate::exit::Result;
use crate::terminal::Terminal;

/// Runs one command.
///
/// # Errors
/// What is to be said, and the exit code.
pub fn run(global: &Global, command: Command, terminal: Terminal) -> Result {
    match command {
        Command::Up(up) => crate::block_on(up::run(global, up, terminal)),
        Command::Down(down) => crate::block_on(act::down(global, down, terminal)),
        Command::Ps(ps) => crate::block_on(ps::run(global, ps, terminal)),
        Command::Logs(logs) => crate::block_on(logs::run(global, logs, terminal)),
        Command::Stop(timed) => crate::block_on(act::stop(global, timed, terminal)),
        Command::Start(named) => crate::block_on(act::start(global, named, terminal)),
        Command::Restart(timed) => crate::block_on(act::restart(global, timed, terminal)),
        Command::Kill(kill) => crate::block_on(act::kill(global, kill, terminal)),
        Command::Pause(named) => crate::block_on(act::pause(global, named, terminal)),
        Command::Unpause(named) => crate::block_on(act::unpause(global, named, terminal)),
        Command::Top(named) => crate::block_on(look::top(global, named, terminal)),
        Command::Run(once) => crate::block_on(run::run(global, once, terminal)),
        Command::Ls(ls) => crate::block_on(look::ls(global, ls)),
        Command::Cp(cp) => crate::block_on(cp::run(global, cp, terminal)),
        Command::Build(build) => words::build(global, &build, &terminal),
        Command::Exec(exec) => crate::block_on(exec::run(global, exec, terminal)),
        Command::Config(wanted) => crate::block_on(async { config::run(global, &wanted, &terminal).await }),
        Command::Create(up) => {
            let up = crate::cli::Up { no_start: true, detach: true, ..up };
            crate::block_on(up::run(global, up, terminal))
        }
        Command::Port(port) => crate::block_on(words::port(global, port, terminal)),
        Command::Rm(rm) => crate::block_on(words::rm(global, rm, terminal)),
        Command::Wait(named) => crate::block_on(words::wait(global, named, terminal)),
        Command::Pull(pull) => words::pull(global, &pull, &terminal),
        Command::Version { short } => {
            let version = env!("CARGO_PKG_VERSION");
            let text = if short { version.to_owned() } else { format!("jackdaw {version}") };
            crate::terminal::result(&text);
            Ok(crate::exit::Exit::Done)
        }
        Command::Check(check) => crate::block_on(check::run(global, check, terminal)),
        Command::Broker(broker) => broker::run(broker),
        Command::Image(image) => crate::block_on(image::run(image)),
        Command::Healthy(healthy) => crate::inside::healthy::run(&healthy),
        Command::Container(container) => crate::inside::container::run(container),
        Command::Conformance(wanted) => conformance::run(global, &wanted, terminal),
        Command::Record(wanted) => conformance::record(global, &wanted, terminal),
        Command::ApacheKafka(node) => broker::reference(node),
        Command::KafkaTool { class, words } => broker::tool(&class, &words),
        Command::Explain { code } => config::explain(code.as_deref()),
        Command::Supervise { root } => hidden::supervise(&root),
        Command::Probe { look } => crate::block_on(hidden::probe(look)),
        Command::Await { looks, timeout_ms } => crate::block_on(hidden::until_ready(looks, timeout_ms)),
    }
}
