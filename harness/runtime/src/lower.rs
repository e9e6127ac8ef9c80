//! From what a file says to what a runtime has to make: names of the engine, defaults, order, hashes.
//!
//! No I/O, and no judgement: what is wrong with a file was said before.

use crate::digest;
use crate::model::{
    LeftOut, MountSource, MountSpec, NetworkSpec, PortSpec, ProjectSpec, Restart, ServiceSpec, VolumeSpec,
};
use crate::ports::DYNAMIC;
use crate::process::reference::Release;
use jackdaw_compose::{
    self as compose, FileContent, MountKind, MountOptions, Project, Protocol, Published, Service,
};
use jackdaw_conventions::{Cluster, NodePlan, provide};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Docker's default for `stop_grace_period`.
const STOP_GRACE_MS: u64 = 10_000;

/// Docker Compose's mode of a secret or config that says none.
const FILE_MODE: u32 = 0o444;

/// The spec of a project, and the services that Jackdaw does not run on any runtime. `build` names the
/// program that runs the nodes: another one changes their hashes.
pub fn lower(project: &Project, cluster: &Cluster, build: &str) -> (ProjectSpec, Vec<LeftOut>) {
    let mut left_out = Vec::new();
    let mut services = Vec::new();
    for service in in_dependency_order(project) {
        let node = cluster.node(&service.name);
        match why_left_out(project, cluster, service) {
            Some(reason) => left_out.push(LeftOut { service: service.name.value.clone(), reason }),
            None => services.push(ServiceSpec {
                quorum: cluster.quorum_of(&service.name),
                ..lower_service(project, service, node, build)
            }),
        }
    }
    let networks = project.networks.iter().map(|network| NetworkSpec {
        key: network.key.value.clone(),
        name: network.name.clone(),
        external: network.external,
        compose: network.clone(),
    });
    let volumes = project.volumes.iter().map(|volume| VolumeSpec {
        key: volume.key.value.clone(),
        name: volume.name.clone(),
        external: volume.external,
        compose: volume.clone(),
    });
    let spec = ProjectSpec {
        name: project.name.value.clone(),
        working_dir: project.working_dir.clone(),
        config_files: project.files.clone(),
        services,
        networks: networks.collect(),
        volumes: volumes.collect(),
    };
    (spec, left_out)
}

fn why_left_out(project: &Project, cluster: &Cluster, service: &Service) -> Option<String> {
    if cluster.unneeded.contains(&service.name.value) {
        return Some("the brokers run without ZooKeeper".into());
    }
    if service.replicas == 0 {
        return Some("its scale is 0".into());
    }
    if provide(service).is_some() {
        return None;
    }
    let missing = project.missing_env_files.iter().find(|missing| missing.service == service.name.value);
    if let Some(missing) = missing {
        return Some(format!("its env file {} is not there", missing.path.value));
    }
    match &service.image {
        _ if service.build.is_some() && service.image.is_none() => {
            Some("it has to be built, and Jackdaw builds no images".into())
        }
        Some(image) if image.value.trim().is_empty() => {
            let written = image.span.text().trim_matches(['"', '\'']);
            Some(format!("its image, {written}, is empty: the variable is not set"))
        }
        Some(_) => None,
        None => Some("it names no image".into()),
    }
}

/// The image as the file names it; of a node that is to be built, or whose image came to nothing, the usual one.
fn image_of(service: &Service) -> String {
    let named =
        service.image.as_ref().map(|image| image.value.clone()).filter(|name| !name.trim().is_empty());
    named.or_else(|| provide(service).map(|provider| provider.usual_image().to_owned())).unwrap_or_default()
}

fn lower_service(project: &Project, service: &Service, node: Option<&NodePlan>, build: &str) -> ServiceSpec {
    let name = service.name.value.clone();
    let container = service
        .container_name
        .as_ref()
        .map_or_else(|| format!("{}-{name}-1", *project.name), |n| n.value.clone());
    let (files, missing) = lower_files(project, service);
    ServiceSpec {
        image: image_of(service),
        node: node.cloned(),
        quorum: None,
        stands_in: provide(service),
        reference: None,
        ports: service.ports.iter().map(lower_port).collect(),
        readdressed: Vec::new(),
        has_lost_its_port: false,
        mounts: service.mounts.iter().map(|mount| lower_mount(project, mount)).chain(files).collect(),
        missing,
        restart: lower_restart(service.restart),
        stop_signal: service.stop_signal.as_ref().map_or_else(|| "SIGTERM".into(), |s| s.value.clone()),
        stop_grace_ms: service.stop_grace_period.map_or(STOP_GRACE_MS, |grace| grace.as_millis() as u64),
        hash: hash(service, &container, node, build),
        compose: service.clone(),
        container,
        name,
    }
}

fn lower_port(port: &compose::Port) -> PortSpec {
    let (published, open) = match (port.published, port.protocol) {
        (Published::Port(published), _) => (Some(published), None),
        (Published::AnyOf(first, last), Protocol::Tcp) => (None, Some((first, last))),
        (Published::Ephemeral, Protocol::Tcp) => (None, Some(DYNAMIC)),
        // Nobody is told an address with such a port: the engine may choose.
        (Published::AnyOf(first, _), _) => (Some(first), None),
        (Published::Ephemeral, _) => (None, None),
    };
    PortSpec {
        host_ip: port.host_ip.as_deref().and_then(|ip| ip.trim_matches(['[', ']']).parse().ok()),
        published,
        open,
        target: port.target,
        protocol: match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
        .into(),
    }
}

fn lower_mount(project: &Project, mount: &compose::Mount) -> MountSpec {
    let (source, create) = match &mount.kind {
        MountKind::Volume(key) => {
            let name = project.volume(key).map_or_else(|| key.clone(), |volume| volume.name.clone());
            (MountSource::Volume(name), true)
        }
        MountKind::Anonymous => (MountSource::Anonymous, true),
        MountKind::Bind { source, create } => (MountSource::Bind(source.clone()), *create),
        MountKind::Tmpfs { size_bytes, mode, options } => {
            (MountSource::Tmpfs { size_bytes: *size_bytes, mode: *mode, options: options.clone() }, true)
        }
        MountKind::Other(kind, source) => (MountSource::Other(kind.clone(), source.clone()), true),
    };
    let (target, options) = (mount.target.clone(), mount.options.clone());
    MountSpec { target, source, create, read_only: mount.read_only, options }
}

/// Secrets and configs, and why those are missing that cannot be had.
fn lower_files(project: &Project, service: &Service) -> (Vec<MountSpec>, Vec<String>) {
    let secrets = service.secrets.iter().map(|mount| ("secret", mount, &project.secrets));
    let configs = service.configs.iter().map(|mount| ("config", mount, &project.configs));
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for (kind, mount, declared) in secrets.chain(configs) {
        let name = &mount.source.value;
        let Some(object) = declared.iter().find(|object| object.key.value == *name) else { continue };
        let text = |text: &String| MountSource::Text {
            text: text.clone(),
            mode: mount.mode.unwrap_or(FILE_MODE),
            owner: (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0)),
        };
        let source = match &object.content {
            FileContent::File(path) => MountSource::Bind(path.clone()),
            FileContent::Inline(content) | FileContent::Environment(_, Some(content)) => text(content),
            FileContent::Environment(variable, None) => {
                missing.push(format!(
                    "the {kind} {name} is to come from the variable {variable}, which is not set"
                ));
                continue;
            }
            FileContent::External => {
                missing.push(format!(
                    "the {kind} {name} is external, and only a swarm keeps {kind}s: say `file` or `environment`"
                ));
                continue;
            }
        };
        let options = MountOptions::default();
        files.push(MountSpec {
            target: mount.target.clone(),
            source,
            create: false,
            read_only: true,
            options,
        });
    }
    (files, missing)
}

fn lower_restart(restart: compose::Restart) -> Restart {
    match restart {
        compose::Restart::No => Restart::No,
        compose::Restart::Always => Restart::Always,
        compose::Restart::UnlessStopped => Restart::UnlessStopped,
        compose::Restart::OnFailure { max_retries } => Restart::OnFailure(max_retries.unwrap_or(0)),
    }
}

/// Digest of what makes a container what it is. As in Docker Compose (`ServiceHash`), what only concerns
/// its surroundings does not count.
fn hash(service: &Service, container: &str, node: Option<&NodePlan>, build: &str) -> String {
    let mut canonical = service.canonical.clone();
    if let Value::Object(keys) = &mut canonical {
        for key in ["build", "pull_policy", "depends_on", "profiles", "scale"] {
            keys.remove(key);
        }
    }
    let node = node.map(|node| {
        json!({
            "properties": node.properties.to_text(),
            "cluster_id": node.cluster_id.as_ref().map(|id| &id.value),
            "user": node.user,
            "build": build,
        })
    });
    let stands_in = provide(service).map(|_| build).filter(|_| node.is_none());
    let mut whole = json!({ "container": container, "service": canonical, "node": node });
    if let Some(build) = stands_in {
        whole["build"] = build.into();
    }
    digest::hex(whole.to_string().as_bytes())
}

/// Takes the words of `--provider SERVICE=PROVIDER` (`*` for every node) into the spec. A node that Apache Kafka
/// runs is another container than one that Jackdaw runs: its hash differs.
///
/// # Errors
/// What is wrong with the first word that cannot be followed.
pub fn provide_by(spec: &mut ProjectSpec, words: &[String]) -> Result<(), String> {
    for word in words {
        let (name, provider) =
            word.split_once('=').ok_or_else(|| format!("--provider takes SERVICE=PROVIDER, not `{word}`"))?;
        let release = Release::of_provider(provider)?;
        let mut nodes = spec
            .services
            .iter_mut()
            .filter(|service| service.node.is_some() && (name == "*" || service.name == name));
        let Some(first) = nodes.next() else { return Err(format!("no such Kafka node: {name}")) };
        for service in std::iter::once(first).chain(nodes) {
            if let Some(release) = &release {
                service.hash = digest::hex(format!("{}{release}", service.hash).as_bytes());
            }
            service.reference = release.clone();
        }
    }
    Ok(())
}

/// Services in the order of the file, each after those it depends on. A cycle (an error that was told)
/// keeps the order of the file.
fn in_dependency_order(project: &Project) -> Vec<&Service> {
    let mut ordered: Vec<&Service> = Vec::new();
    let mut placed = BTreeSet::new();
    while ordered.len() < project.services.len() {
        let waiting = || project.services.iter().filter(|service| !placed.contains(&service.name.value));
        let is_free = |service: &&Service| {
            service.depends_on.iter().all(|dependency| {
                let other = &dependency.service.value;
                placed.contains(other) || project.service(other).is_none()
            })
        };
        let Some(next) = waiting().find(is_free).or_else(|| waiting().next()) else { break };
        placed.insert(next.name.value.clone());
        ordered.push(next);
    }
    ordered
}

/// The named services and everything they depend on, or all of them where none is named.
///
/// # Errors
/// The first name that the file does not have.
pub fn select<'a>(
    spec: &'a ProjectSpec,
    names: &[String],
    alone: bool,
) -> Result<Vec<&'a ServiceSpec>, String> {
    if names.is_empty() {
        return Ok(spec.services.iter().collect());
    }
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = names.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        let Some(service) = spec.service(name) else {
            if names.iter().any(|asked| asked == name) {
                return Err(name.to_owned());
            }
            continue;
        };
        if wanted.insert(&service.name) && !alone {
            open.extend(
                service.compose.depends_on.iter().map(|dependency| dependency.service.value.as_str()),
            );
        }
    }
    Ok(spec.services.iter().filter(|service| wanted.contains(service.name.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackdaw_compose::LoadOptions;

    #[test]
    fn a_zookeeper_that_nobody_asks_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let text = "services:
  zk: {image: zookeeper}
  kafka:
    image: bitnami/kafka
    depends_on: {zk: {condition: service_healthy}}
    environment: {KAFKA_CFG_ZOOKEEPER_CONNECT: 'zk:2181', KAFKA_BROKER_ID: 3}
";
        std::fs::write(folder.path().join("compose.yml"), text).unwrap();
        let options = LoadOptions { working_dir: folder.path().to_owned(), ..LoadOptions::default() };
        let project = jackdaw_compose::load(&options).project.unwrap();
        let (spec, left_out) = lower(&project, &Cluster::of(&project), "test");
        let out: Vec<_> = left_out.iter().map(|out| (out.service.as_str(), out.reason.as_str())).collect();
        assert_eq!(out, [("zk", "the brokers run without ZooKeeper")]);
        let nodes: Vec<_> = spec.nodes().map(|(_, node)| node.node_id).collect();
        assert_eq!(nodes, [3]);
    }

    #[test]
    fn what_only_others_lack_leaves_only_them_out() {
        let node = "environment: {KAFKA_PROCESS_ROLES: 'broker,controller', KAFKA_NODE_ID: 1}";
        for (service, expected) in [
            ("image: app", "runs"),
            ("build: .", "it has to be built, and Jackdaw builds no images"),
            ("{image: '$NONE'}", "its image, $NONE, is empty: the variable is not set"),
            ("{image: app, env_file: app.env}", "its env file app.env is not there"),
            (format!("{{build: ., {node}}}").as_str(), "runs apache/kafka"),
            (format!("{{image: '$NONE', {node}}}").as_str(), "runs apache/kafka"),
            (format!("{{image: acme/kafka, {node}}}").as_str(), "runs acme/kafka"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let text = match service.starts_with('{') {
                true => format!("services: {{a: {service}}}"),
                false => format!("services:\n  a:\n    {service}\n"),
            };
            std::fs::write(folder.path().join("compose.yml"), text).unwrap();
            let loaded = jackdaw_compose::load(&LoadOptions {
                project_name: Some("p".into()),
                working_dir: folder.path().to_owned(),
                ..LoadOptions::default()
            });
            let project = loaded.project.unwrap();
            let (spec, left_out) = lower(&project, &Cluster::of(&project), "test");
            let told = left_out.iter().map(|out| out.reason.clone());
            let runs = spec.services.iter().map(|service| match service.stands_in {
                Some(_) => format!("runs {}", service.image),
                None => "runs".to_owned(),
            });
            assert_eq!(told.chain(runs).collect::<Vec<_>>(), [expected], "{service}");
        }
    }
}
