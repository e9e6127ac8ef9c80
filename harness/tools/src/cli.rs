//! What the tools have in common: how they are found, how they end, and the checks of `CommandLineUtils`.

use crate::argparse::{self, Given as Arguments, Parser, parse};
use crate::errors::Exception;
use crate::jopt::{Given, Opt};
use crate::jopt_help::help;
use crate::properties::{self, Properties};
use crate::tools::TOOLS;
use crate::{errln, outln, print};
use std::time::{SystemTime, UNIX_EPOCH};

/// The release that the tools stand in for.
pub const KAFKA_VERSION: &str = "3.7.0";

/// A tool.
#[derive(Debug)]
pub struct Tool {
    /// Its name in `jackdaw NAME`.
    pub name: &'static str,
    /// Its name in the folders of the images, there also with `.sh` behind it where Kafka has a script.
    pub script: &'static str,
    /// The class that the script runs; nothing where it runs none.
    pub class: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Runs it with its arguments; the exit code.
    pub run: fn(&[String]) -> i32,
}

/// The names under which the binary is a tool, for links to it.
pub fn names() -> impl Iterator<Item = String> {
    TOOLS.iter().flat_map(|tool| {
        let with_suffix = tool.script.starts_with("kafka-").then(|| format!("{}.sh", tool.script));
        [Some(tool.script.to_owned()), with_suffix].into_iter().flatten()
    })
}

/// The tool that the program was called as, if it was called as one.
pub fn dispatch(program: &str) -> Option<&'static Tool> {
    let name = program.rsplit('/').next().unwrap_or_default();
    let script = name.strip_suffix(".sh").unwrap_or(name);
    TOOLS.iter().find(|tool| tool.script == script)
}

/// The tool of that name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// Runs a tool; the exit code.
pub fn run(tool: &Tool, args: &[String]) -> i32 {
    let code = (tool.run)(args);
    print::flush();
    code
}

/// Why a tool ends before its time.
#[derive(Debug)]
pub enum Stop {
    /// Everything is said.
    Code(i32),
    /// A message and the help, on stderr.
    Usage(String),
    /// Something was thrown.
    Thrown(Exception),
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Stop::Thrown(exception)
    }
}

/// How a tool ends.
pub type Done<T = ()> = Result<T, Stop>;

/// The exit code of a tool with jopt's options; `thrown` prints what was thrown and says which it is then.
pub fn end(table: &[Opt], done: Done, thrown: impl FnOnce(Exception) -> i32) -> i32 {
    match done {
        Ok(()) => 0,
        Err(Stop::Code(code)) => code,
        Err(Stop::Usage(message)) => {
            print::err(format_args!("{message}\n{}", help(table)));
            1
        }
        Err(Stop::Thrown(exception)) => thrown(exception),
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// Runs a tool whose arguments `argparse4j` reads; the exit code.
pub fn run_with(
    parser: &'static Parser,
    args: &[String],
    work: impl FnOnce(&Arguments) -> Result<i32, Exception>,
) -> i32 {
    match parse(parser, args) {
        Ok(given) => work(&given).unwrap_or_else(uncaught),
        Err(refusal) => {
            refusal.print();
            1
        }
    }
}

/// The same, where a line without arguments asks for the help.
pub fn run_or_help(
    parser: &'static Parser,
    args: &[String],
    work: impl FnOnce(&Arguments) -> Result<i32, Exception>,
) -> i32 {
    if args.is_empty() {
        print::out(format_args!("{}", argparse::help(&[parser])));
        return 0;
    }
    run_with(parser, args, work)
}

/// What the JVM does about exceptions that nobody catches.
pub fn uncaught(exception: Exception) -> i32 {
    errln!("Exception in thread \"main\" {}", exception.trace());
    1
}

/// `CommandLineUtils.maybePrintHelpOrVersion`
pub fn help_or_version(given: &Given, args: &[String], message: &str) -> Done {
    if args.is_empty() || given.has("help") {
        return Err(Stop::Usage(message.to_owned()));
    }
    if given.has("version") {
        outln!("{KAFKA_VERSION}");
        return Err(Stop::Code(0));
    }
    Ok(())
}

/// `CommandLineUtils.checkRequiredArgs`
pub fn check_required(given: &Given, names: &[&str]) -> Done {
    match names.iter().find(|name| !given.has(name)) {
        None => Ok(()),
        Some(name) => Err(Stop::Usage(format!("Missing required argument \"[{name}]\""))),
    }
}

/// `CommandLineUtils.checkInvalidArgs`
pub fn check_invalid(given: &Given, used: &str, invalid: &[&str]) -> Done {
    match invalid.iter().find(|name| given.has(used) && given.has(name)) {
        None => Ok(()),
        Some(name) => Err(Stop::Usage(format!("Option \"[{used}]\" can't be used with option \"[{name}]\""))),
    }
}

/// The properties in the file that an option names; none without it.
pub fn properties_of(given: &Given, option: &str) -> Done<Properties> {
    Ok(match given.value(option)? {
        Some(path) => properties::load(&path)?,
        None => Properties::new(),
    })
}

/// The options that win over properties of a file, which win over the options' defaults
/// (`CommandLineUtils.maybeMergeOptions`).
///
/// # Errors
/// When a value is given twice, or is not of its kind.
pub fn merge(properties: &mut Properties, given: &Given, pairs: &[(&str, &str)]) -> Result<(), Exception> {
    for (key, option) in pairs {
        if given.has(option) || !properties.contains_key(*key) {
            match given.checked(option)? {
                Some(value) => properties.insert((*key).to_owned(), value),
                None => properties.remove(*key),
            };
        }
    }
    Ok(())
}

/// What most tools in Java do about exceptions: the message, then the stack trace.
pub fn message_and_trace(exception: Exception) -> i32 {
    errln!("{}", exception.message);
    if exception.class != TERSE {
        // `Utils.stackTrace` ends with a line feed of its own.
        errln!("{}\n", exception.trace());
    }
    1
}

const TERSE: &str = "org.apache.kafka.tools.TerseException";

/// An exception that is told by its message alone.
pub fn terse(message: impl Into<String>) -> Exception {
    Exception::new(TERSE, message)
}

/// Whether it is told by its message alone.
pub fn is_terse(exception: &Exception) -> bool {
    exception.class == TERSE
}

/// Where a tool with argparse4j's options connects to (`CommandLineUtils.initializeBootstrapProperties`).
///
/// # Errors
/// When the file of properties cannot be read.
pub fn bootstrap(given: &crate::argparse::Given, config: &str) -> Result<Properties, Exception> {
    let mut properties = match given.value(config) {
        Some(path) => properties::load(path)?,
        None => Properties::new(),
    };
    if let Some(servers) = given.value("bootstrap_server") {
        properties.insert("bootstrap.servers".into(), servers.to_owned());
    }
    if let Some(controllers) = given.value("bootstrap_controller") {
        properties.insert("bootstrap.controllers".into(), controllers.to_owned());
    }
    Ok(properties)
}
