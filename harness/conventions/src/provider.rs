//! Which images Jackdaw stands in for, and how each lays out its files.
//! It must not interpret settings; each family's rules are in the file of its name.

use std::fmt;

/// An image family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// `bitnami/kafka`, `bitnamilegacy/kafka`, also from mirrors such as `public.ecr.aws/bitnami/kafka`.
    Bitnami,
    /// `apache/kafka`, `apache/kafka-native`.
    Apache,
    /// `confluentinc/cp-kafka`, `confluentinc/cp-server`, and `confluentinc/confluent-local`, which starts a node where
    /// nothing is said.
    Confluent,
}

/// The image of `confluent local kafka start`.
const CONFLUENT_LOCAL: &str = "confluent-local";

/// Where an image keeps what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Folder of the command line tools.
    pub bin_dir: &'static str,
    /// Whether that folder is on PATH.
    pub bin_on_path: bool,
    /// What comes after a tool's name (`.sh`, or nothing).
    pub tool_suffix: &'static str,
    /// The image's entrypoint.
    pub entrypoint: &'static [&'static str],
    /// The image's command.
    pub command: &'static [&'static str],
    /// Scripts that start a node, whole or in steps; launchers call them by path.
    pub start_scripts: &'static [&'static str],
    /// Where a mounted `server.properties` is looked for.
    pub config_dir: &'static str,
    /// The file that the entrypoint makes of the environment, and that the node reads.
    pub made_config: &'static str,
    /// Folder of the data unless `log.dirs` says otherwise.
    pub data_dir: &'static str,
    /// Paths that the image declares as volumes.
    pub volumes: &'static [&'static str],
    /// `UID:GID`.
    pub user: &'static str,
    /// Name of that user.
    pub user_name: &'static str,
    /// Folder in which a container starts.
    pub working_dir: &'static str,
    /// Ports that the image declares.
    pub exposed_ports: &'static [u16],
}

impl Provider {
    /// The family of an image reference. Registry, tag and digest do not matter; the last two parts of the name do.
    pub fn of_image(image: &str) -> Option<Self> {
        let name = image.split('@').next().unwrap_or(image);
        let mut parts = name.rsplit('/');
        let repository = parts.next()?;
        let repository = repository.split(':').next().unwrap_or(repository);
        match (parts.next()?, repository) {
            ("bitnami" | "bitnamilegacy" | "bitnamisecure", "kafka") => Some(Provider::Bitnami),
            ("apache", "kafka" | "kafka-native") => Some(Provider::Apache),
            ("confluentinc", "cp-kafka" | "cp-server" | CONFLUENT_LOCAL) => Some(Provider::Confluent),
            _ => None,
        }
    }

    /// Whether an image starts a node of its own where its environment says nothing.
    pub(crate) fn is_confluent_local(image: &str) -> bool {
        let name = image.split(['@', ':']).next().unwrap_or(image);
        name.rsplit('/').next() == Some(CONFLUENT_LOCAL)
    }

    /// Whether an image is called as if Kafka was in it, whoever made it.
    pub(crate) fn is_named_kafka(image: &str) -> bool {
        let name = image.split('@').next().unwrap_or(image).rsplit('/').next().unwrap_or_default();
        let repository = name.split(':').next().unwrap_or(name);
        matches!(
            repository,
            "kafka" | "kafka-kraft" | "kafka-native" | "cp-kafka" | "cp-server" | "cp-enterprise-kafka"
        )
    }

    /// The image that a service of this family has where it names none.
    pub fn usual_image(self) -> &'static str {
        match self {
            Provider::Bitnami => "bitnami/kafka",
            Provider::Apache => "apache/kafka",
            Provider::Confluent => "confluentinc/cp-kafka",
        }
    }

    /// The family that an environment is written for, where nothing else says so: by the variables that only one of
    /// them reads. Without any of those it is apache's, whose image starts with no variable at all.
    pub fn of_environment<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        const BITNAMI_S: [&str; 3] =
            ["ALLOW_PLAINTEXT_LISTENER", "KAFKA_KRAFT_CLUSTER_ID", "KAFKA_ENABLE_KRAFT"];
        let mut found = Provider::Apache;
        for name in names {
            if name.starts_with("KAFKA_CFG_") || BITNAMI_S.contains(&name) {
                return Provider::Bitnami;
            }
            if name.starts_with("CONFLUENT_") || name.starts_with("KAFKA_CONFLUENT_") {
                found = Provider::Confluent;
            }
        }
        found
    }

    /// Where the image keeps what.
    pub fn layout(self) -> &'static Layout {
        match self {
            Provider::Bitnami => &BITNAMI,
            Provider::Apache => &APACHE,
            Provider::Confluent => &CONFLUENT,
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Provider::Bitnami => "bitnami",
            Provider::Apache => "apache",
            Provider::Confluent => "confluent",
        })
    }
}

const BITNAMI: Layout = Layout {
    bin_dir: "/opt/bitnami/kafka/bin",
    bin_on_path: true,
    tool_suffix: ".sh",
    entrypoint: &["/opt/bitnami/scripts/kafka/entrypoint.sh"],
    command: &["/opt/bitnami/scripts/kafka/run.sh"],
    start_scripts: &[
        "/opt/bitnami/scripts/kafka/entrypoint.sh",
        "/opt/bitnami/scripts/kafka/setup.sh",
        "/opt/bitnami/scripts/kafka/run.sh",
    ],
    config_dir: "/bitnami/kafka/config",
    made_config: "/opt/bitnami/kafka/config/server.properties",
    data_dir: "/bitnami/kafka/data",
    volumes: &["/bitnami/kafka"],
    user: "1001:0",
    user_name: "1001",
    working_dir: "/",
    exposed_ports: &[9092],
};

const APACHE: Layout = Layout {
    bin_dir: "/opt/kafka/bin",
    bin_on_path: false,
    tool_suffix: ".sh",
    entrypoint: &["/__cacert_entrypoint.sh"],
    command: &["/etc/kafka/docker/run"],
    start_scripts: &[
        "/etc/kafka/docker/run",
        "/etc/kafka/docker/configure",
        "/etc/kafka/docker/launch",
        "/etc/kafka/docker/bash-config",
        "/etc/kafka/docker/configureDefaults",
    ],
    config_dir: "/mnt/shared/config",
    made_config: "/opt/kafka/config/server.properties",
    data_dir: "/tmp/kraft-combined-logs",
    volumes: &["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"],
    user: "1000:1000",
    user_name: "appuser",
    working_dir: "/",
    exposed_ports: &[9092],
};

const CONFLUENT: Layout = Layout {
    bin_dir: "/usr/bin",
    bin_on_path: true,
    tool_suffix: "",
    entrypoint: &[],
    command: &["/etc/confluent/docker/run"],
    start_scripts: &[
        "/etc/confluent/docker/run",
        "/etc/confluent/docker/configure",
        "/etc/confluent/docker/ensure",
        "/etc/confluent/docker/launch",
    ],
    config_dir: "/etc/kafka",
    made_config: "/etc/kafka/kafka.properties",
    data_dir: "/var/lib/kafka/data",
    volumes: &["/var/lib/kafka/data", "/etc/kafka/secrets"],
    user: "1000:1000",
    user_name: "appuser",
    working_dir: "/home/appuser",
    exposed_ports: &[9092],
};
