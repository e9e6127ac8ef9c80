//! What lies where in the image beside the program: the folders, scripts and links of the images that it stands in
//! for. Names and texts only: `image` makes a file system of them.

use jackdaw_conventions::{Provider, bundled_properties};

/// The names that the program answers to, each a link in the image.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The shell and its small tools.
    pub shell: Vec<String>,
    /// Kafka's tools, as their scripts are called, with `.sh` and without.
    pub kafka: Vec<String>,
}

/// Where the program lies.
pub const BINARY: &str = "/usr/bin/jackdaw";

/// Where programs are looked for, beside an image's own folder of tools.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const FILES: [(&str, &str); 4] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nappuser:x:1000:1000:appuser:/home/appuser:/bin/bash\n\
         kafka:x:1001:0:kafka:/:/bin/bash\n",
    ),
    ("etc/group", "root:x:0:\nappuser:x:1000:\n"),
    // Without it glibc asks DNS before files in some builds.
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    // Scripts that ask what they run on.
    ("etc/os-release", "NAME=\"Jackdaw\"\nID=jackdaw\n"),
];

/// Files with their texts.
pub(super) fn files() -> impl Iterator<Item = (&'static str, String)> {
    FILES.into_iter().map(|(path, text)| (path, text.to_owned()))
}

/// Where each image has Kafka's settings for a node by itself, which people start from.
const BUNDLED: [&str; 3] = [
    "opt/bitnami/kafka/config/kraft/server.properties",
    "opt/kafka/config/kraft/server.properties",
    "etc/kafka/kraft/server.properties",
];

/// Folders with owner and mode: a named volume that is mounted on one starts with them, as with the images
/// that are stood in for. Group 0 may write wherever one of their users may, as with bitnami's: then any user may.
pub(crate) const FOLDERS: [(&str, u64, u64, u32); 27] = [
    ("tmp", 0, 0, 0o1777),
    ("root", 0, 0, 0o700),
    ("usr/bin", 0, 0, 0o755),
    ("etc/jackdaw", 0, 0, 0o755),
    ("home/appuser", 1000, 1000, 0o755),
    ("docker-entrypoint-initdb.d", 0, 0, 0o755),
    ("bitnami/kafka", 1001, 0, 0o775),
    ("bitnami/kafka/data", 1001, 0, 0o775),
    ("bitnami/kafka/config", 1001, 0, 0o775),
    ("opt/bitnami/kafka/bin", 0, 0, 0o755),
    ("opt/bitnami/kafka/config", 1001, 0, 0o775),
    ("opt/bitnami/kafka/config/certs", 1001, 0, 0o775),
    ("opt/bitnami/kafka/config/kraft", 1001, 0, 0o775),
    ("opt/bitnami/scripts/kafka", 0, 0, 0o775),
    ("opt/kafka", 1000, 0, 0o775),
    ("opt/kafka/bin", 0, 0, 0o755),
    ("opt/kafka/config", 1000, 0, 0o775),
    ("opt/kafka/config/kraft", 1000, 0, 0o775),
    ("var/lib/kafka", 1000, 0, 0o775),
    ("var/lib/kafka/data", 1000, 0, 0o775),
    ("etc/kafka", 1000, 0, 0o775),
    ("etc/kafka/docker", 1000, 0, 0o775),
    ("etc/kafka/kraft", 1000, 0, 0o775),
    ("etc/kafka/secrets", 1000, 0, 0o775),
    ("etc/confluent/docker", 1000, 0, 0o775),
    ("mnt/shared/config", 1000, 0, 0o775),
    ("tmp/kraft-combined-logs", 1000, 0, 0o775),
];

/// Scripts, and what each of them runs. They are text, as those that they stand in for: people read, source, replace
/// and append to them.
const SCRIPTS: [(&str, &str); 15] = [
    ("opt/bitnami/scripts/kafka/entrypoint.sh", "--convention bitnami entrypoint"),
    ("opt/bitnami/scripts/kafka/setup.sh", "--convention bitnami setup"),
    ("opt/bitnami/scripts/kafka/run.sh", "--convention bitnami run"),
    ("__cacert_entrypoint.sh", "--convention apache entrypoint"),
    ("etc/kafka/docker/run", "--convention apache run"),
    ("etc/kafka/docker/configure", "--convention apache configure"),
    ("etc/kafka/docker/launch", "--convention apache launch"),
    ("etc/kafka/docker/bash-config", ""),
    ("etc/kafka/docker/configureDefaults", ""),
    ("etc/confluent/docker/run", "--convention confluent run"),
    ("etc/confluent/docker/configure", "--convention confluent configure"),
    ("etc/confluent/docker/ensure", "--convention confluent ensure"),
    ("etc/confluent/docker/launch", "--convention confluent launch"),
    ("etc/confluent/docker/bash-config", ""),
    ("etc/confluent/docker/mesos-setup.sh", ""),
];

/// What whoever a container runs as may change, as with the images: scripts, and settings to start from.
pub(crate) fn changeable() -> impl Iterator<Item = (&'static str, String)> {
    BUNDLED.into_iter().map(|path| (path, bundled_properties())).chain(scripts())
}

/// Scripts with their texts.
fn scripts() -> impl Iterator<Item = (&'static str, String)> {
    SCRIPTS.into_iter().map(|(path, words)| {
        let work = match (path, words) {
            (_, "") => String::new(),
            // Each step is a script of its own, so that one that was replaced is the one that runs.
            ("etc/confluent/docker/run", _) => String::from(
                "/etc/confluent/docker/configure\n/etc/confluent/docker/ensure\nexec /etc/confluent/docker/launch\n",
            ),
            (path, words) => {
                // People append to the steps that come back.
                let comes_back = ["setup.sh", "configure", "ensure"].iter().any(|name| path.ends_with(name));
                let exec = if comes_back { "" } else { "exec " };
                format!("{exec}{BINARY} container {words} \"$@\"\n")
            }
        };
        (path, format!("#!/bin/bash\nset -e\n{work}"))
    })
}

/// Links, from where to where.
pub(crate) fn links(names: &Names) -> Vec<(String, String)> {
    let mut links = vec![
        ("bin".to_owned(), "usr/bin".to_owned()),
        ("sbin".to_owned(), "usr/bin".to_owned()),
        ("opt/bitnami/kafka/logs".to_owned(), "/tmp".to_owned()),
    ];
    let program = |place: String| (place, BINARY.to_owned());
    links.extend(names.shell.iter().map(|name| program(format!("usr/bin/{name}"))));
    for name in &names.kafka {
        // Confluent's packages drop the suffix and put the tools on everybody's PATH.
        let folders: &[&str] = match name.ends_with(".sh") {
            true => &["opt/bitnami/kafka/bin", "opt/kafka/bin"],
            false => &["usr/bin"],
        };
        links.extend(folders.iter().map(|folder| program(format!("{folder}/{name}"))));
    }
    links
}

/// What the image runs unless a container says otherwise, as Dockerfile instructions. Without a convention it is the
/// environment that decides.
pub fn changes(convention: Option<Provider>) -> Vec<String> {
    let quoted = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        format!("[{}]", words.join(","))
    };
    let layout = convention.map(Provider::layout);
    let of_bitnami = convention.is_none_or(|provider| provider == Provider::Bitnami);
    let path = if of_bitnami { format!("/opt/bitnami/kafka/bin:{PATH}") } else { PATH.to_owned() };
    let mut changes = vec![format!("ENV PATH={path}")];
    changes.push(match layout {
        Some(layout) => format!("ENTRYPOINT {}", quoted(layout.entrypoint)),
        None => format!("ENTRYPOINT {}", quoted(&[BINARY, "container", "entrypoint"])),
    });
    if let Some(layout) = layout {
        changes.push(format!("CMD {}", quoted(layout.command)));
        changes.push(format!("WORKDIR {}", layout.working_dir));
        changes.extend(layout.exposed_ports.iter().map(|port| format!("EXPOSE {port}/tcp")));
        changes.extend(layout.volumes.iter().map(|volume| format!("VOLUME {volume}")));
    }
    changes.push(format!("USER {}", layout.map_or("1001", |layout| layout.user)));
    changes.push(format!(
        "HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD {}",
        quoted(&[BINARY, "healthy"])
    ));
    changes.push("LABEL org.opencontainers.image.title=jackdaw".into());
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_convention_starts_as_the_image_it_stands_in_for() {
        let all = [Some(Provider::Bitnami), Some(Provider::Apache), Some(Provider::Confluent), None];
        let text: Vec<String> = all.map(|convention| changes(convention).join("\n")).to_vec();
        insta::assert_snapshot!(text.join("\n\n"));
    }

    #[test]
    fn every_start_script_of_a_layout_is_there() {
        let there: Vec<&str> = scripts().map(|(path, _)| path).collect();
        for provider in [Provider::Bitnami, Provider::Apache, Provider::Confluent] {
            let layout = provider.layout();
            let called = layout.start_scripts.iter().chain(layout.entrypoint).chain(layout.command);
            for script in called {
                assert!(there.contains(&script.trim_start_matches('/')), "{script} of {provider}");
            }
        }
    }

    #[test]
    fn a_tool_lies_where_each_image_has_it() {
        let names = Names {
            shell: vec!["bash".into()],
            kafka: vec!["kafka-topics".into(), "kafka-topics.sh".into(), "cub".into()],
        };
        let there: Vec<String> = links(&names).into_iter().map(|(from, _)| from).collect();
        for wanted in [
            "usr/bin/bash",
            "usr/bin/kafka-topics",
            "usr/bin/cub",
            "opt/kafka/bin/kafka-topics.sh",
            "opt/bitnami/kafka/bin/kafka-topics.sh",
        ] {
            assert!(there.iter().any(|from| from == wanted), "{wanted} in {there:?}");
        }
    }
}
