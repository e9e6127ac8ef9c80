//! Other people's test suites as judges: each is taken by name and version from its registry, run against Apache Kafka
//! and against Jackdaw on one shape of cluster, and its table of results kept in `fixtures/suites`.
//!
//! No text of a suite enters the repository: sources and builds lie in a cache outside of it. A run that does not come to
//! its end keeps nothing: a table that lacks tests looks like one in which they fail.

mod cluster;
mod franz_go;
mod interrupt;
mod kafka_python;
mod librdkafka;
mod table;
mod verifiable;

use crate::{results, tidy};
use anyhow::Context as _;
use cluster::Cluster;
use interrupt::Interrupt;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use table::{Column, Results, Table};

/// Who is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Reference,
    Jackdaw,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Reference => "Apache Kafka 3.7.0",
            Side::Jackdaw => "Jackdaw",
        })
    }
}

/// A program that a suite needs.
struct Need {
    program: &'static str,
    /// A word that it ends well with.
    asks: &'static str,
    /// How to get it.
    remedy: &'static str,
}

const JAVA: Need = Need { program: "java", asks: "-version", remedy: "Debian: openjdk-17-jre-headless" };
const MAVEN: Need = Need { program: "mvn", asks: "--version", remedy: "Debian: maven" };
const CC: Need = Need { program: "cc", asks: "--version", remedy: "Debian: gcc" };
const CXX: Need = Need { program: "c++", asks: "--version", remedy: "Debian: g++" };
const MAKE: Need = Need { program: "make", asks: "--version", remedy: "Debian: make" };
const GO: Need = Need { program: "go", asks: "version", remedy: "Go 1.26 or later; Debian: golang" };
const PYTHON: Need = Need { program: "python3", asks: "--version", remedy: "Debian: python3 python3-venv" };

/// One suite.
struct Suite {
    name: &'static str,
    what: &'static str,
    /// Its registry and its name there.
    package: &'static str,
    version: &'static str,
    /// Beside Java and Maven, for the reference.
    needs: &'static [Need],
    /// Fetches and builds what is not in the cache yet.
    prepare: fn(&Room) -> anyhow::Result<()>,
    /// Runs it against the cluster, its words into the log.
    run: fn(&Room, &Cluster, log: &Path) -> anyhow::Result<Results>,
    /// Tests that do not pass on either side, each with its reason; here, the API that is not built.
    why_not: &'static [(&'static str, &'static str)],
}

const SUITES: &[Suite] = &[
    Suite {
        name: "verifiable",
        what: "Kafka's own verifiable clients",
        package: "Maven Central: org.apache.kafka:kafka-tools",
        version: "3.7.0",
        needs: &[],
        prepare: verifiable::prepare,
        run: verifiable::run,
        why_not: &[],
    },
    Suite {
        name: "kafka-python",
        what: "the integration tests of kafka-python",
        package: "PyPI: kafka-python",
        version: "3.0.12",
        needs: &[PYTHON],
        prepare: kafka_python::prepare,
        run: kafka_python::run,
        why_not: &[
            (
                "test_create_describe_delete_acls",
                "it asks one broker for an ACL that another has just made; CreateAcls is not built",
            ),
            ("test_describe_configs_broker_resource_returns_configs", "it wants advertised.listeners unset"),
            (
                "test_alter_replica_log_dirs",
                "it wants the only replica of a topic on the first broker; AlterReplicaLogDirs is not built",
            ),
        ],
    },
    Suite {
        name: "franz-go",
        what: "the tests of franz-go's client package",
        package: "Go modules: github.com/twmb/franz-go",
        version: "v1.22.3",
        needs: &[GO],
        prepare: franz_go::prepare,
        run: franz_go::run,
        why_not: &[],
    },
    Suite {
        name: "librdkafka",
        what: "librdkafka's own tests, the quick set",
        package: "crates.io: rdkafka-sys",
        version: "4.10.0+2.12.1",
        needs: &[CC, CXX, MAKE],
        prepare: librdkafka::prepare,
        run: librdkafka::run,
        why_not: &[
            ("0081_admin", "CreateAcls is not built; its other parts stand below"),
            ("0109_auto_create_topics", "it wants clients whom an ACL can stop; CreateAcls is not built"),
            ("0115_producer_auth", "it wants clients whom an ACL can stop; CreateAcls is not built"),
            ("0119_consumer_auth", "it wants clients whom an ACL can stop; CreateAcls is not built"),
        ],
    },
    Suite {
        name: "librdkafka-whole",
        what: "those of librdkafka's tests that the quick set leaves empty",
        package: "crates.io: rdkafka-sys",
        version: "4.10.0+2.12.1",
        needs: &[CC, CXX, MAKE],
        prepare: librdkafka::prepare,
        run: librdkafka::run_whole,
        why_not: &[],
    },
];

impl Suite {
    /// Its name in its registry.
    fn package_name(&self) -> &'static str {
        self.package.rsplit(": ").next().unwrap_or_default()
    }

    fn why_not(&self, test: &str) -> Option<&'static str> {
        self.why_not.iter().find(|(name, _)| *name == test).map(|(_, why)| *why)
    }
}

/// A suite's package in the cache.
struct Room {
    suite: &'static Suite,
    folder: PathBuf,
    interrupt: Interrupt,
}

/// Signals that somebody else ends a program by: what it says by then is not all that there was to say.
const CUT_SHORT_BY: [i32; 4] = [
    signal_hook::consts::SIGHUP,
    signal_hook::consts::SIGINT,
    signal_hook::consts::SIGKILL,
    signal_hook::consts::SIGTERM,
];

const USAGE: &str = "usage: cargo run -p ci -- suites [--only reference|jackdaw] [NAME …]; the suites are:";

/// `suites [--only SIDE] [NAME…]`. Exit codes as the product's: 0 all as it must be, 1 not so, 2 bad input,
/// 3 a program is missing, 130 ended by a signal.
pub fn main(words: &[&str]) -> ExitCode {
    let (sides, names): (&[Side], &[&str]) = match words {
        ["--only", "reference", names @ ..] => (&[Side::Reference], names),
        ["--only", "jackdaw", names @ ..] => (&[Side::Jackdaw], names),
        names => (&[Side::Reference, Side::Jackdaw], names),
    };
    if let Some(unknown) = names.iter().find(|name| SUITES.iter().all(|suite| suite.name != **name)) {
        eprintln!("no suite is called `{unknown}`\n{USAGE}");
        list();
        return ExitCode::from(2);
    }
    let chosen = || SUITES.iter().filter(|suite| names.is_empty() || names.contains(&suite.name));
    let missing: Vec<String> = chosen().flat_map(missing).collect();
    if !missing.is_empty() {
        missing.iter().for_each(|missing| eprintln!("{missing}"));
        return ExitCode::from(3);
    }
    let interrupt = match Interrupt::watched() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut held = true;
    for suite in chosen() {
        let findings = judged(suite, sides, &interrupt).unwrap_or_else(|error| vec![format!("{error:#}")]);
        findings.iter().for_each(|finding| eprintln!("   {}: {finding}", suite.name));
        if interrupt.came() {
            return ExitCode::from(130);
        }
        held &= findings.is_empty();
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The suites, a line each.
pub fn list() {
    for suite in SUITES {
        println!("{:23} {}: {} {}", suite.name, suite.what, suite.package, suite.version);
    }
}

/// What a suite lacks on this machine, each with its remedy.
fn missing(suite: &Suite) -> Vec<String> {
    let lacks = |need: &&Need| {
        let asked =
            Command::new(need.program).arg(need.asks).stdout(Stdio::null()).stderr(Stdio::null()).status();
        !asked.is_ok_and(|status| status.success())
    };
    let all = suite.needs.iter().chain(&[JAVA, MAVEN]).filter(lacks);
    all.map(|need| format!("{} needs `{}` on PATH: install it ({})", suite.name, need.program, need.remedy))
        .collect()
}

/// Runs a suite on these sides, keeps the table, and says what must not be.
fn judged(suite: &'static Suite, sides: &[Side], interrupt: &Interrupt) -> anyhow::Result<Vec<String>> {
    let package = suite.package.rsplit(['/', ':', ' ']).next().unwrap_or_default();
    let folder = cache()?.join(format!("{package}-{}", suite.version));
    let room = Room { suite, folder, interrupt: interrupt.clone() };
    fs::create_dir_all(&room.folder)?;
    eprintln!("── {}: {} {}", suite.name, suite.package, suite.version);
    (suite.prepare)(&room)?;
    kept(suite, &file_of(suite), sides, |side| ran(&room, side))
}

fn file_of(suite: &Suite) -> PathBuf {
    tidy::root().join("fixtures/suites").join(format!("{}.md", suite.name))
}

/// Puts all sides into the table, or none where one of them did not come to its end.
fn kept(
    suite: &Suite,
    file: &Path,
    sides: &[Side],
    mut run: impl FnMut(Side) -> anyhow::Result<Column>,
) -> anyhow::Result<Vec<String>> {
    let mut table = fs::read_to_string(file).map(|text| Table::parse(&text)).unwrap_or_default();
    for side in sides {
        let column =
            run(*side).with_context(|| format!("nothing is kept of this run, which ended on {side}"))?;
        table.set(*side, column);
        eprintln!("   {side}: {}", table.sum(*side));
    }
    fs::create_dir_all(file.parent().context("it has a folder")?)?;
    fs::write(file, table.text(suite))?;
    Ok(table.findings(suite))
}

/// One run, on a cluster of its own.
fn ran(room: &Room, side: Side) -> anyhow::Result<Column> {
    let log = |what: &str| {
        room.folder.join(format!("{}{what}-on-{}.log", room.suite.name, format!("{side:?}").to_lowercase()))
    };
    let mut cluster = Cluster::up(side, &log("-cluster"), &room.interrupt)?;
    let (began, words) = (Instant::now(), log(""));
    File::create(&words)?;
    eprintln!("   on {side}; its words go to {}", words.display());
    let results = (room.suite.run)(room, &cluster, &words);
    // What fails for want of a cluster, or because it was ended, says nothing of anybody.
    room.interrupt.check()?;
    cluster.check()?;
    let results = results?;
    anyhow::ensure!(!results.is_empty(), "no test ran; see {}", words.display());
    let date = results::date(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    Ok(Column { when: format!("{date}, {} s", began.elapsed().as_secs()), results })
}

/// Where suites lie between runs.
fn cache() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.context("no folder for a cache: set HOME")?.join("jackdaw/suites"))
}

impl Room {
    /// What a program printed that has to end well.
    fn output(&self, command: &mut Command) -> anyhow::Result<String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (child, _group) = self.interrupt.spawn(command)?;
        let output = child.wait_with_output()?;
        self.interrupt.check()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        anyhow::ensure!(output.status.success(), "{command:?} ended with {}:\n{last}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What a program of a suite printed, which the log keeps, and how it ended: with failures, or crashed, but of
    /// itself.
    fn said(&self, command: &mut Command, log: &Path) -> anyhow::Result<(String, ExitStatus)> {
        let file = File::options().create(true).append(true).open(log)?;
        let before = usize::try_from(file.metadata()?.len())?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let (mut child, _group) = self.interrupt.spawn(command)?;
        let status = child.wait()?;
        self.interrupt.check()?;
        let is_cut_short = status.signal().is_some_and(|signal| CUT_SHORT_BY.contains(&signal));
        anyhow::ensure!(
            !is_cut_short,
            "{} was ended from outside: {status}",
            command.get_program().display()
        );
        Ok((String::from_utf8_lossy(&fs::read(log)?[before..]).into_owned(), status))
    }
}

/// For tests of what becomes of results.
#[cfg(test)]
const BLANK: Suite = Suite {
    name: "blank",
    what: "nothing",
    package: "none: blank",
    version: "0",
    needs: &[],
    prepare: verifiable::prepare,
    run: verifiable::run,
    why_not: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_remedy() {
        let need = Need { program: "no-such-program", asks: "--version", remedy: "Debian: nowhere" };
        let needs: &'static [Need] = Box::leak(Box::new([need]));
        let missing = missing(&Suite { needs, ..BLANK });
        assert_eq!(missing[0], "blank needs `no-such-program` on PATH: install it (Debian: nowhere)");
    }

    #[test]
    fn a_run_that_does_not_come_to_its_end_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("blank.md");
        let column =
            || Column { when: "now".into(), results: [("a".to_owned(), table::Ended::Passes)].into() };
        let fails_on = |failing: Option<Side>| {
            let run = |side| match failing == Some(side) {
                true => Err(anyhow::anyhow!("interrupted")),
                false => Ok(column()),
            };
            kept(&BLANK, &file, &[Side::Reference, Side::Jackdaw], run).map_err(|error| format!("{error:#}"))
        };
        let told = "nothing is kept of this run, which ended on Jackdaw: interrupted";
        assert_eq!(fails_on(Some(Side::Jackdaw)).unwrap_err(), told);
        assert!(!file.exists());
        fails_on(None).unwrap();
        let whole = fs::read_to_string(&file).unwrap();
        fs::write(&file, whole.replace("now", "then")).unwrap();
        assert!(fails_on(Some(Side::Reference)).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), whole.replace("now", "then"));
    }

    /// A program that failed has said what it had to say; one that was killed has not.
    #[test]
    fn what_was_killed_is_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room { suite: &BLANK, folder: folder.path().to_owned(), interrupt: Interrupt::default() };
        let said = |script: &str| {
            let said = room.said(Command::new("sh").args(["-c", script]), &folder.path().join("log"));
            said.map(|(text, _)| text).map_err(|error| error.to_string())
        };
        assert_eq!(said("echo a; exit 1"), Ok("a\n".to_owned()));
        assert_eq!(said("echo b; kill -ABRT $$"), Ok("b\n".to_owned()));
        for signal in ["KILL", "TERM"] {
            let error = said(&format!("echo c; kill -{signal} $$")).unwrap_err();
            assert!(error.starts_with("sh was ended from outside: signal: "), "{error}");
        }
    }

    #[test]
    fn the_kept_tables_are_as_they_must_be() {
        for suite in SUITES {
            let text = fs::read_to_string(file_of(suite)).unwrap();
            let table = Table::parse(&text);
            let wanted = table.text(suite);
            let differs = wanted.lines().zip(text.lines()).find(|(wanted, kept)| wanted != kept);
            assert!(wanted == text, "{}: {differs:?}", suite.name);
            assert_eq!(table.findings(suite), [""; 0], "{}", suite.name);
        }
    }
}
