//! Apache Kafka itself as the provider of a node: its jars by name and version from Maven Central in a cache,
//! a JVM that takes this process's place.
//!
//! It knows how a release is run, and nothing of compose files or of who compares what.

use crate::runtime::{Result, RuntimeError};
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release that runs where none is named.
const DEFAULT: &str = "3.7.0";
/// Heap of a node unless `KAFKA_HEAP_OPTS` says otherwise: several run beside each other on a desk.
const HEAP: &str = "-Xms128m -Xmx512m";
/// A short start matters more than the last percent of speed.
const JVM: [&str; 4] =
    ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true"];
/// As in Kafka's own `log4j.properties`, to the terminal alone.
const LOG4J: &str = "log4j.rootLogger=INFO, stdout\n\
    log4j.appender.stdout=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.stdout.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n\n";

/// A release of Apache Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    version: String,
}

impl Default for Release {
    fn default() -> Self {
        Release { version: DEFAULT.to_owned() }
    }
}

impl Release {
    /// `apache-kafka` or `apache-kafka:VERSION`; nothing where the text names another provider.
    ///
    /// # Errors
    /// When the version is none that can run a quorum of its own.
    fn parse(text: &str) -> Option<std::result::Result<Self, String>> {
        let version = match text.strip_prefix("apache-kafka")? {
            "" => DEFAULT,
            rest => rest.strip_prefix(':')?,
        };
        let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
        let known =
            numbers.len() == 3 && numbers.len() == version.split('.').count() && numbers >= vec![3, 3, 0];
        Some(if known {
            Ok(Release { version: version.to_owned() })
        } else {
            Err(format!("`{version}` is no release of Apache Kafka from 3.3.0 on, as 3.7.0"))
        })
    }

    /// The release that a provider's name stands for; nothing for Jackdaw itself.
    ///
    /// # Errors
    /// When no provider is called so.
    pub fn of_provider(name: &str) -> std::result::Result<Option<Self>, String> {
        match (name, Self::parse(name)) {
            ("jackdaw", _) => Ok(None),
            (_, Some(release)) => release.map(Some),
            (_, None) => {
                Err(format!("no provider is called `{name}`: there are jackdaw and apache-kafka[:VERSION]"))
            }
        }
    }

    fn jar(&self) -> String {
        format!("kafka_2.13-{}.jar", self.version)
    }

    /// The folder with the release's jars: `$JACKDAW_KAFKA_LIBS`, else the cache, filled by Maven if it has to be.
    ///
    /// # Errors
    /// How to get what is missing.
    pub fn libs(&self) -> Result<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(folder) = set("JACKDAW_KAFKA_LIBS")
            && folder.join(self.jar()).is_file()
        {
            return Ok(folder);
        }
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        let no_cache =
            || RuntimeError::Unavailable("no folder for jars: set JACKDAW_KAFKA_LIBS, or HOME".into());
        let folder =
            cache.ok_or_else(no_cache)?.join("jackdaw").join(format!("apache-kafka-{}", self.version));
        if !folder.join(self.jar()).is_file() {
            self.fetch(&folder)?;
        }
        Ok(folder)
    }

    /// Java, which everything else is for.
    ///
    /// # Errors
    /// How to get it.
    pub fn java() -> Result<()> {
        let found = Command::new("java").arg("-version").output();
        match found {
            Ok(output) if output.status.success() => Ok(()),
            _ => Err(RuntimeError::Unavailable(
                "Apache Kafka needs Java 17 on PATH: install it (Debian: openjdk-17-jre-headless)".into(),
            )),
        }
    }

    /// Becomes one of the release's tools. Returns only when that fails.
    pub fn become_tool(&self, class: &str, words: &[String]) -> RuntimeError {
        let libs = match Self::java().and_then(|()| self.libs()) {
            Ok(libs) => libs,
            Err(error) => return error,
        };
        let mut java = Command::new("java");
        java.args(JVM).arg("-cp").arg(libs.join("*")).arg(class).args(words);
        RuntimeError::io("java")(java.exec())
    }

    fn fetch(&self, folder: &Path) -> Result<()> {
        let parent = folder.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(RuntimeError::io(parent))?;
        let fresh = parent.join(format!(".{}-{}", self.version, std::process::id()));
        fs::create_dir_all(&fresh).map_err(RuntimeError::io(&fresh))?;
        let pom = fresh.join("pom.xml");
        fs::write(&pom, self.pom()).map_err(RuntimeError::io(&pom))?;
        let output = Command::new("mvn")
            .args(["--quiet", "--batch-mode", "-f"])
            .arg(&pom)
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", fresh.display()))
            .output();
        let done = match output {
            Ok(output) if output.status.success() && fresh.join(self.jar()).is_file() => {
                fs::rename(&fresh, folder).map_err(RuntimeError::io(folder))
            }
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let why =
                    said.lines().find(|line| line.contains("ERROR")).unwrap_or("it said nothing").to_owned();
                Err(RuntimeError::Unavailable(format!("Maven could not fetch {self}: {why}")))
            }
            Err(_) => Err(RuntimeError::Unavailable(format!(
                "the jars of {self} are fetched by Maven (`mvn`), which is not on PATH: install it, or put the \
                 release's libs folder in JACKDAW_KAFKA_LIBS"
            ))),
        };
        // Renamed away, or of no use.
        let _ = fs::remove_dir_all(&fresh);
        done
    }

    /// Everything that runs and formats a node, and the logger that its line of releases wants.
    fn pom(&self) -> String {
        let kafka = ["kafka_2.13", "kafka-tools", "kafka-shell"];
        let kafka = kafka.map(|artifact| dependency("org.apache.kafka", artifact, &self.version));
        let logger = match self.version.starts_with("3.") {
            true => dependency("org.slf4j", "slf4j-reload4j", "1.7.36"),
            false => dependency("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
        };
        format!(
            "<project><modelVersion>4.0.0</modelVersion><groupId>jackdaw</groupId><artifactId>reference</artifactId>\
             <version>1</version><dependencies>{}{logger}</dependencies></project>\n",
            kafka.concat()
        )
    }
}

fn dependency(group: &str, artifact: &str, version: &str) -> String {
    format!(
        "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
    )
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Apache Kafka {}", self.version)
    }
}

/// One node to run.
#[derive(Debug)]
pub struct Node {
    /// Folder of the jars.
    pub libs: PathBuf,
    /// Names for addresses, as an /etc/hosts file; the JVM asks nobody else then.
    pub hosts: Option<PathBuf>,
    /// Formats empty log folders for this cluster.
    pub cluster_id: Option<String>,
    /// The configuration.
    pub properties: PathBuf,
}

impl Node {
    /// Formats the node's folders where they are empty, then becomes the JVM that runs it. Returns only when
    /// that fails.
    pub fn run(&self) -> RuntimeError {
        if let Some(id) = &self.cluster_id {
            let mut format = match self.java(&[], "kafka.tools.StorageTool") {
                Ok(format) => format,
                Err(error) => return error,
            };
            format.args(["format", "--ignore-formatted", "-t", id, "-c"]).arg(&self.properties);
            match format.status() {
                Ok(status) if status.success() => {}
                Ok(status) => {
                    return RuntimeError::Failed(format!("kafka.tools.StorageTool ended with {status}"));
                }
                Err(error) => return RuntimeError::io("java")(error),
            }
        }
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let heap = set("KAFKA_HEAP_OPTS").unwrap_or_else(|| HEAP.to_owned());
        let more = set("KAFKA_OPTS").unwrap_or_default();
        let flags: Vec<&str> = heap.split_whitespace().chain(more.split_whitespace()).collect();
        match self.java(&flags, "kafka.Kafka") {
            Ok(mut java) => RuntimeError::io("java")(java.arg(&self.properties).exec()),
            Err(error) => error,
        }
    }

    fn java(&self, flags: &[&str], class: &str) -> Result<Command> {
        let log4j = self.properties.with_file_name("log4j.properties");
        fs::write(&log4j, LOG4J).map_err(RuntimeError::io(&log4j))?;
        let mut java = Command::new("java");
        java.args(JVM).args(flags).arg(format!("-Dlog4j.configuration=file:{}", log4j.display()));
        if let Some(hosts) = &self.hosts {
            java.arg(format!("-Djdk.net.hosts.file={}", hosts.display()));
        }
        java.arg("-cp").arg(self.libs.join("*")).arg(class);
        Ok(java)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_named_by_its_version() {
        let version = |text: &str| Release::parse(text).map(|release| release.map(|release| release.version));
        assert_eq!(version("apache-kafka"), Some(Ok("3.7.0".into())));
        assert_eq!(version("apache-kafka:4.0.0"), Some(Ok("4.0.0".into())));
        assert_eq!(version("jackdaw"), None);
        for wrong in ["apache-kafka:2.8.0", "apache-kafka:latest", "apache-kafka:3.7", "apache-kafka:3.7.x.0"]
        {
            assert!(version(wrong).is_some_and(|version| version.is_err()), "{wrong}");
        }
    }

    #[test]
    fn the_logger_fits_the_line_of_releases() {
        let pom = |text: &str| Release::parse(text).unwrap().unwrap().pom();
        assert!(pom("apache-kafka").contains("slf4j-reload4j"));
        assert!(pom("apache-kafka:4.0.0").contains("log4j-slf4j-impl"));
    }
}
