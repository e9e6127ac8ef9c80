//! Files of the host that a service mounts: whether they are there and can be read, before anything is started. What
//! is wrong with one is otherwise found out inside, or never: an engine makes a folder where a file is missing.

use crate::model::{MountSource, MountSpec, ServiceSpec};
use crate::runtime::Preflight;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Endings of names that are files' and not folders'.
const FILES: [&str; 17] = [
    "properties",
    "sh",
    "yml",
    "yaml",
    "json",
    "xml",
    "conf",
    "config",
    "cfg",
    "env",
    "txt",
    "jks",
    "p12",
    "pem",
    "crt",
    "key",
    "jaas",
];

/// Finds what is wrong with the files that a service mounts: an error where an engine would refuse, too, or where a
/// node looks for its settings; else a warning, as the service may do without.
pub fn look(service: &ServiceSpec, found: &mut Preflight) {
    let named = |why: String| format!("{}: {why}", service.name);
    found.errors.extend(service.missing.iter().cloned().map(named));
    for mount in &service.mounts {
        let list = if is_needed(service, mount) { &mut found.errors } else { &mut found.warnings };
        list.extend(why(mount).map(named));
    }
}

fn is_needed(service: &ServiceSpec, mount: &MountSpec) -> bool {
    let reads =
        service.node.iter().flat_map(|node| [Some(node.provider.layout().config_dir), node.init_scripts_dir]);
    !mount.create || reads.flatten().any(|folder| Path::new(&mount.target).starts_with(folder))
}

fn why(mount: &MountSpec) -> Option<String> {
    let MountSource::Bind(source) = &mount.source else { return None };
    let (shown, target) = (source.display(), &mount.target);
    let are_files = is_file(source) && is_file(Path::new(target));
    match fs::metadata(source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => (are_files || !mount.create)
            .then(|| format!("{shown} is to be mounted as {target}, and is not there")),
        Err(error) => Some(format!("{shown}, which is to be mounted as {target}, cannot be looked at: {error}")),
        Ok(there) if there.is_dir() => are_files.then(|| {
            format!(
                "{shown} is to be mounted as {target}, and is a folder: an engine made it when the file was missing; \
                 put the file in its place"
            )
        }),
        Ok(there) if there.is_file() => File::open(source)
            .err()
            .map(|error| format!("{shown}, which is to be mounted as {target}, cannot be read: {error}")),
        Ok(_) => None,
    }
}

fn is_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| FILES.iter().any(|known| ending == *known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{spec_in, spec_of};

    #[test]
    fn what_is_mounted_is_there_and_is_what_it_should_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("there.properties"), "").unwrap();
        fs::create_dir_all(path("made.properties")).unwrap();
        std::os::unix::fs::symlink("itself", path("itself")).unwrap();
        for (mount, expected) in [
            ("./there.properties:/bitnami/kafka/config/server.properties", None),
            ("./missing.properties:/bitnami/kafka/config/server.properties", Some("and is not there")),
            (
                "./made.properties:/bitnami/kafka/config/server.properties",
                Some("and is a folder: an engine made it"),
            ),
            ("./itself:/etc/kafka/secrets", Some("cannot be looked at: ")),
            ("./there.properties/below:/etc/kafka/secrets", Some("cannot be looked at: ")),
            ("./data:/bitnami/kafka", None),
            ("./conf.d:/etc/conf.d", None),
            (
                "{type: bind, source: ./data, target: /data, bind: {create_host_path: false}}",
                Some("is not there"),
            ),
        ] {
            let text =
                format!("services:\n  kafka:\n    image: example/app:1\n    volumes:\n      - {mount}\n");
            let mut found = Preflight::default();
            look(&spec_in(folder.path(), &text).services[0], &mut found);
            let told = [&found.errors[..], &found.warnings].concat();
            match expected {
                None => assert!(told.is_empty(), "{mount}: {told:?}"),
                Some(expected) => {
                    assert!(told.len() == 1 && told[0].starts_with("kafka: "), "{mount}: {told:?}");
                    assert!(told[0].contains(expected), "{mount}: {told:?}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_a_service_can_do_without_is_only_warned_of() {
        for (image, target, errors) in [
            ("bitnami/kafka:3.7.0", "/bitnami/kafka/config/server.properties", 1),
            ("bitnami/kafka:3.7.0", "/docker-entrypoint-initdb.d/init.sh", 1),
            ("bitnami/kafka:3.7.0", "/opt/jmx/exporter.yml", 0),
            ("example/app:1", "/bitnami/kafka/config/server.properties", 0),
        ] {
            let text = format!(
                "services:\n  kafka:\n    image: {image}\n    volumes: ['./missing.sh:{target}']\n    environment:\n      \
                 KAFKA_CFG_NODE_ID: 0\n      KAFKA_CFG_PROCESS_ROLES: controller,broker\n"
            );
            let mut found = Preflight::default();
            look(&spec_of(&text).services[0], &mut found);
            assert_eq!(
                (found.errors.len(), found.warnings.len()),
                (errors, 1 - errors),
                "{target}: {found:?}"
            );
        }
    }

    #[test]
    fn secrets_and_configs_come_from_where_the_file_says() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password.txt"), "hunter2").unwrap();
        let text = "services:
  kafka:
    image: example/app:1
    secrets: [password, lost, unset, swarm]
    configs: [{source: inline, target: /etc/app.conf, mode: 0440}]
secrets:
  password: {file: ./password.txt}
  lost: {file: ./lost}
  unset: {environment: NOT_SET_ANYWHERE}
  swarm: {external: true}
configs:
  inline: {content: 'key = value'}
";
        let spec = spec_in(folder.path(), text);
        let service = &spec.services[0];
        let mounts: Vec<String> = service.mounts.iter().map(|mount| format!("{mount:?}")).collect();
        let mounts = mounts.join("\n").replace(&folder.path().display().to_string(), "");
        insta::assert_snapshot!(mounts, @r#"
        MountSpec { target: "/run/secrets/password", source: Bind("/password.txt"), create: false, read_only: true, options: MountOptions { propagation: None, recursive: None, selinux: None, nocopy: false, subpath: None, labels: [] } }
        MountSpec { target: "/run/secrets/lost", source: Bind("/lost"), create: false, read_only: true, options: MountOptions { propagation: None, recursive: None, selinux: None, nocopy: false, subpath: None, labels: [] } }
        MountSpec { target: "/etc/app.conf", source: Text { text: "key = value", mode: 288, owner: (0, 0) }, create: false, read_only: true, options: MountOptions { propagation: None, recursive: None, selinux: None, nocopy: false, subpath: None, labels: [] } }
        "#);
        let mut found = Preflight::default();
        look(service, &mut found);
        let told = found.errors.join("\n").replace(&folder.path().display().to_string(), "");
        insta::assert_snapshot!(told, @r"
        kafka: the secret unset is to come from the variable NOT_SET_ANYWHERE, which is not set
        kafka: the secret swarm is external, and only a swarm keeps secrets: say `file` or `environment`
        kafka: /lost is to be mounted as /run/secrets/lost, and is not there
        ");
    }
}
