//! From a service to the engine's words for its container. No I/O.

use super::image::{PROPERTIES, file, folder, owned_file};
use super::resources::{self, Endpoint};
use super::rootfs::{BINARY, Names, PATH};
use crate::model::{MountSource, NetworkSpec, ProjectSpec, Restart, ServiceSpec, VolumeSpec};
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig, Ipam, IpamConfig,
    NetworkCreateRequest, NetworkingConfig, PortBinding, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum, VolumeCreateRequest,
};
use jackdaw_compose::{Attachment, HealthTest, Healthcheck};
use jackdaw_conventions::{NodePlan, Provider};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Docker Compose's label of the project.
pub const PROJECT: &str = "com.docker.compose.project";
/// Docker Compose's label of the service.
pub const SERVICE: &str = "com.docker.compose.service";
/// Docker Compose's label of the configuration's hash.
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// Listeners that a node made by the image's own scripts advertises elsewhere than its variables say.
pub const READDRESSED: &str = "JACKDAW_ADVERTISED_LISTENERS";
/// The image that the file names, where another one stands in for it.
pub const STANDS_IN_FOR: &str = "io.jackdaw.stands-in-for";

fn map<'a>(pairs: impl IntoIterator<Item = &'a (String, String)>) -> HashMap<String, String> {
    pairs.into_iter().cloned().collect()
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// Labels that Docker Compose puts on a container, so that it and its friends find it.
fn labels(spec: &ProjectSpec, service: &ServiceSpec) -> HashMap<String, String> {
    let files: Vec<String> = spec.config_files.iter().map(|file| file.display().to_string()).collect();
    let depends: Vec<String> = service
        .compose
        .depends_on
        .iter()
        .map(|dependency| format!("{}:{}:{}", *dependency.service, dependency.condition, dependency.restart))
        .collect();
    let mut labels = map(&service.compose.labels);
    let ours = [
        (PROJECT, spec.name.clone()),
        (SERVICE, service.name.clone()),
        (CONFIG_HASH, service.hash.clone()),
        ("com.docker.compose.container-number", "1".into()),
        ("com.docker.compose.oneoff", "False".into()),
        ("com.docker.compose.project.config_files", files.join(",")),
        ("com.docker.compose.project.working_dir", spec.working_dir.display().to_string()),
        ("com.docker.compose.depends_on", depends.join(",")),
        (STANDS_IN_FOR, service.image.clone()),
    ];
    labels.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    labels
}

/// The container of a service; `own_image` is what stands in for Kafka's images, and answers to `names`.
pub fn body(
    spec: &ProjectSpec,
    service: &ServiceSpec,
    own_image: &str,
    names: &Names,
) -> ContainerCreateBody {
    let compose = &service.compose;
    let words =
        |list: &Option<jackdaw_compose::Spanned<Vec<String>>>| list.as_ref().map(|words| words.value.clone());
    let mut body = ContainerCreateBody {
        image: Some(service.image.clone()),
        entrypoint: words(&compose.entrypoint),
        cmd: words(&compose.command),
        user: compose.user.as_ref().map(|user| user.value.clone()),
        env: some(environment(service)),
        labels: Some(labels(spec, service)),
        hostname: compose.hostname.as_ref().map(|hostname| hostname.value.clone()),
        domainname: compose.domainname.clone(),
        working_dir: compose.working_dir.clone(),
        tty: Some(compose.tty),
        open_stdin: Some(compose.stdin_open),
        stop_signal: compose.stop_signal.as_ref().map(|_| service.stop_signal.clone()),
        stop_timeout: compose.stop_grace_period.map(|grace| grace.as_secs() as i64),
        healthcheck: compose.healthcheck.as_ref().and_then(health),
        exposed_ports: some(exposed(service)),
        host_config: Some(host_config(spec, service)),
        networking_config: networking(spec, service),
        ..ContainerCreateBody::default()
    };
    if let Some(provider) = service.stands_in {
        stand_in(&mut body, provider, own_image);
        match &service.node {
            Some(node) => run_node(&mut body, service, node),
            // Our image's own check asks for a node.
            None if !service.has_own_check() => {
                body.healthcheck =
                    Some(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() });
            }
            None => {}
        }
        if service.compose.healthcheck.as_ref().is_some_and(|check| calls_missing(check, names)) {
            let own = vec!["CMD".into(), BINARY.into(), "healthy".into()];
            body.healthcheck.get_or_insert_default().test = Some(own);
        }
    }
    body
}

/// Our own image in place of one of Kafka's: what that one says of itself is said here, as ours serves all of them.
fn stand_in(body: &mut ContainerCreateBody, provider: Provider, own_image: &str) {
    let layout = provider.layout();
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    body.image = Some(own_image.to_owned());
    // As Docker has it: an entrypoint of the file's own leaves no command of the image's.
    if body.entrypoint.is_none() {
        body.entrypoint = Some(owned(layout.entrypoint));
        body.cmd = body.cmd.take().or_else(|| Some(owned(layout.command)));
    }
    body.user = body.user.take().or_else(|| Some(layout.user.to_owned()));
    body.working_dir = body.working_dir.take().or_else(|| Some(layout.working_dir.to_owned()));
    let env = body.env.get_or_insert_default();
    if layout.bin_on_path && !env.iter().any(|variable| variable.starts_with("PATH=")) {
        let path = if PATH.split(':').any(|folder| folder == layout.bin_dir) {
            PATH.to_owned()
        } else {
            format!("{}:{PATH}", layout.bin_dir)
        };
        env.push(format!("PATH={path}"));
    }
}

/// The platform that an image is pulled and run for. This program stands in for Kafka's images on its own.
pub fn platform(service: &ServiceSpec) -> Option<&str> {
    service.compose.platform.as_deref().filter(|_| service.stands_in.is_none())
}

/// Whether a healthcheck calls a tool of Kafka's that the image does not have.
pub(crate) fn calls_missing(check: &Healthcheck, names: &Names) -> bool {
    let words = match &check.test {
        HealthTest::Command(words) => words.join(" "),
        HealthTest::Shell(line) => line.clone(),
        HealthTest::Disabled | HealthTest::Inherited => return false,
    };
    let called = words.split(|c: char| c.is_whitespace() || "/;|&()'\"".contains(c));
    let tools = called.filter(|word| word.starts_with("kafka-"));
    tools.into_iter().any(|word| !names.kafka.iter().any(|name| name == word))
}

/// The variable that gives a cluster id to a node of that image.
pub(crate) fn cluster_id_variable(provider: Provider) -> &'static str {
    match provider {
        Provider::Bitnami => "KAFKA_KRAFT_CLUSTER_ID",
        Provider::Apache | Provider::Confluent => "CLUSTER_ID",
    }
}

/// The value of [`READDRESSED`].
pub(crate) fn readdressed(service: &ServiceSpec) -> String {
    service.readdressed.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// A node that starts as its image does is started at once, on the settings that were made of its file. One with a
/// command of its own, or scripts to run first, goes the image's way, in the cluster that the file's nodes agree on;
/// so does one that no settings can be put into.
fn run_node(body: &mut ContainerCreateBody, service: &ServiceSpec, node: &NodePlan) {
    body.user = Some(node.user.clone());
    let has_scripts =
        |folder: &str| service.mounts.iter().any(|mount| Path::new(&mount.target).starts_with(folder));
    let has_command = service.compose.entrypoint.is_some() || service.compose.command.is_some();
    let own_way = (has_command && !node.ignores_command)
        || service.compose.read_only
        || node.init_scripts_dir.is_some_and(has_scripts);
    let id = node.cluster_id.as_ref().map(|id| id.value.clone());
    if own_way {
        let variable = cluster_id_variable(node.provider);
        let env = body.env.get_or_insert_default();
        if let Some(id) = id.filter(|_| !env.iter().any(|set| set.starts_with(&format!("{variable}=")))) {
            env.push(format!("{variable}={id}"));
        }
        if !service.readdressed.is_empty() {
            env.push(format!("{READDRESSED}={}", readdressed(service)));
        }
        return;
    }
    let mut words: Vec<String> = vec!["broker".into()];
    words.extend(id.into_iter().flat_map(|id| ["--cluster-id".into(), id]));
    for (from, to) in service.readdressed.iter().filter_map(|moved| node.beside(moved)) {
        words.extend(["--forward".into(), format!("{from}={to}")]);
    }
    words.push(PROPERTIES.into());
    body.entrypoint = Some(vec![BINARY.into()]);
    body.cmd = Some(words);
}

fn exposed(service: &ServiceSpec) -> Vec<String> {
    let published = service.ports.iter().map(|port| format!("{}/{}", port.target, port.protocol));
    let mut ports: Vec<String> = published.collect();
    ports.extend(
        resources::exposed(service).into_iter().filter(|port| !ports.contains(port)).collect::<Vec<_>>(),
    );
    ports
}

fn environment(service: &ServiceSpec) -> Vec<String> {
    let set = service.compose.environment.iter();
    set.filter_map(|var| Some(format!("{}={}", var.name.value, var.value.as_ref()?.value))).collect()
}

fn health(check: &Healthcheck) -> Option<HealthConfig> {
    let ns = |time: Option<Duration>| time.map(|time| time.as_nanos() as i64);
    let test = match &check.test {
        HealthTest::Disabled => vec!["NONE".to_owned()],
        HealthTest::Inherited => Vec::new(),
        HealthTest::Command(words) => ["CMD".to_owned()].into_iter().chain(words.clone()).collect(),
        HealthTest::Shell(line) => vec!["CMD-SHELL".into(), line.clone()],
    };
    Some(HealthConfig {
        test: some(test),
        interval: ns(check.interval),
        timeout: ns(check.timeout),
        retries: check.retries.map(|retries| retries as i64),
        start_period: ns(check.start_period),
        start_interval: ns(check.start_interval),
    })
}

fn host_config(spec: &ProjectSpec, service: &ServiceSpec) -> HostConfig {
    let compose = &service.compose;
    let mut ports: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &service.ports {
        let binding = PortBinding {
            host_ip: port.host_ip.map(|ip| ip.to_string()),
            host_port: port.published.map(|published| published.to_string()),
        };
        let key = format!("{}/{}", port.target, port.protocol);
        ports.entry(key).or_default().get_or_insert_default().push(binding);
    }
    let in_memory = service.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Tmpfs { options: Some(options), .. } => Some((mount.target.clone(), options.clone())),
        _ => None,
    });
    let tmpfs: HashMap<String, String> = in_memory.collect();
    let ulimits = compose.ulimits.iter().map(|(name, soft, hard)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(*soft),
        hard: Some(*hard),
    });
    let mut host = HostConfig {
        binds: some(resources::binds(service)),
        mounts: some(resources::mounts(service)),
        port_bindings: Some(ports),
        restart_policy: Some(restart(service.restart)),
        network_mode: network_mode(spec, service),
        extra_hosts: some(
            compose.extra_hosts.iter().map(|entry| format!("{}:{}", entry.value.0, entry.value.1)).collect(),
        ),
        tmpfs: (!tmpfs.is_empty()).then_some(tmpfs),
        ulimits: some(ulimits.collect()),
        sysctls: (!compose.sysctls.is_empty()).then(|| map(&compose.sysctls)),
        cap_add: some(compose.cap_add.clone()),
        cap_drop: some(compose.cap_drop.clone()),
        group_add: some(compose.group_add.clone()),
        security_opt: some(compose.security_opt.clone()),
        dns: some(compose.dns.clone()),
        init: compose.init,
        privileged: Some(compose.privileged),
        readonly_rootfs: Some(compose.read_only),
        shm_size: compose.shm_size_bytes.map(|bytes| bytes as i64),
        memory: compose.memory_limit_bytes.map(|bytes| bytes as i64),
        nano_cpus: compose.cpus.map(|cpus| (cpus * 1e9) as i64),
        ..HostConfig::default()
    };
    resources::fill(&mut host, spec, service);
    host
}

fn restart(policy: Restart) -> RestartPolicy {
    let (name, count) = match policy {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure(limit) => (RestartPolicyNameEnum::ON_FAILURE, Some(i64::from(limit))),
    };
    RestartPolicy { name: Some(name), maximum_retry_count: count }
}

fn network_of<'a>(spec: &'a ProjectSpec, key: &str) -> Option<&'a NetworkSpec> {
    spec.networks.iter().find(|network| network.key == key)
}

fn network_mode(spec: &ProjectSpec, service: &ServiceSpec) -> Option<String> {
    let by_priority = by_priority(service);
    let mode = service.compose.network_mode.as_ref();
    let first = by_priority.first().and_then(|on| network_of(spec, &on.key.value));
    mode.map(|mode| resources::shared_with(spec, &mode.value)).or_else(|| Some(first?.name.clone()))
}

/// A service's networks as Docker Compose orders them: the one with the highest priority first, equal ones by name.
fn by_priority(service: &ServiceSpec) -> Vec<&Attachment> {
    let mut networks: Vec<&Attachment> = service.compose.networks.iter().collect();
    networks.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.key.value.cmp(&b.key.value)));
    networks
}

/// A container's place on each of its networks, by the engine's name. The first is given at creation, the
/// others are connected before the start (engines before API 1.44 take only one).
pub fn endpoints(spec: &ProjectSpec, service: &ServiceSpec) -> Vec<(String, EndpointSettings)> {
    let links = resources::links(spec, service);
    let on = by_priority(service).into_iter().enumerate();
    on.filter_map(|(at, on)| {
        let network = network_of(spec, &on.key.value)?;
        let mut aliases = vec![service.name.clone(), service.container.clone()];
        aliases.extend(on.aliases.iter().map(|alias| alias.value.clone()));
        aliases.dedup();
        let rest = Endpoint::of(&on.canonical);
        let fixed = on.ipv4_address.is_some() || on.ipv6_address.is_some() || rest.link_local_ips.is_some();
        let ipam_config = fixed.then(|| EndpointIpamConfig {
            ipv4_address: on.ipv4_address.clone(),
            ipv6_address: on.ipv6_address.clone(),
            link_local_ips: rest.link_local_ips,
        });
        let settings = EndpointSettings {
            aliases: Some(aliases),
            ipam_config,
            links: links.clone(),
            driver_opts: rest.driver_opts,
            gw_priority: rest.gw_priority,
            mac_address: rest.mac_address.or_else(|| resources::mac_address(service).filter(|_| at == 0)),
            ..EndpointSettings::default()
        };
        Some((network.name.clone(), settings))
    })
    .collect()
}

fn networking(spec: &ProjectSpec, service: &ServiceSpec) -> Option<NetworkingConfig> {
    let first = endpoints(spec, service).into_iter().next()?;
    Some(NetworkingConfig { endpoints_config: Some([first].into()) })
}

/// A network as the file wants it.
pub fn network(spec: &ProjectSpec, network: &NetworkSpec) -> NetworkCreateRequest {
    let compose = &network.compose;
    let mut labels = map(&compose.labels);
    labels.insert(PROJECT.into(), spec.name.clone());
    labels.insert("com.docker.compose.network".into(), network.key.clone());
    let subnets = compose.subnets.iter().map(|subnet| IpamConfig {
        subnet: subnet.subnet.clone(),
        gateway: subnet.gateway.clone(),
        ip_range: subnet.ip_range.clone(),
        auxiliary_addresses: some(subnet.aux_addresses.clone()).map(|pairs| map(&pairs)),
    });
    let ipam = Ipam {
        driver: compose.ipam_driver.clone(),
        config: some(subnets.collect()),
        options: some(compose.ipam_options.clone()).map(|pairs| map(&pairs)),
    };
    let says = ipam != Ipam::default();
    NetworkCreateRequest {
        name: network.name.clone(),
        driver: Some(compose.driver.clone().unwrap_or_else(|| "bridge".into())),
        internal: Some(compose.internal),
        attachable: Some(compose.attachable),
        enable_ipv4: compose.enable_ipv4,
        enable_ipv6: Some(compose.enable_ipv6),
        options: Some(map(&compose.driver_opts)),
        labels: Some(labels),
        ipam: says.then_some(ipam),
        ..NetworkCreateRequest::default()
    }
}

/// A volume as the file wants it.
pub fn volume(spec: &ProjectSpec, volume: &VolumeSpec) -> VolumeCreateRequest {
    let mut labels = map(&volume.compose.labels);
    labels.insert(PROJECT.into(), spec.name.clone());
    labels.insert("com.docker.compose.volume".into(), volume.key.clone());
    VolumeCreateRequest {
        name: Some(volume.name.clone()),
        driver: Some(volume.compose.driver.clone().unwrap_or_else(|| "local".into())),
        driver_opts: Some(map(&volume.compose.driver_opts)),
        labels: Some(labels),
        cluster_volume_spec: None,
    }
}

/// What is put into a node's container before it starts: its configuration, and its data folders with an
/// owner that may write them. Folders of the host are left as they are.
///
/// # Errors
/// When a path does not fit a tar header.
pub fn upload(service: &ServiceSpec, node: &NodePlan) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let (uid, gid) = owner(&node.user);
    let bound = |path: &str| {
        let is_bind = |mount: &crate::model::MountSpec| matches!(mount.source, MountSource::Bind(_));
        service.mounts.iter().any(|mount| is_bind(mount) && Path::new(path).starts_with(&mount.target))
    };
    let volumes = service.mounts.iter().filter(|mount| !matches!(mount.source, MountSource::Tmpfs { .. }));
    let targets = volumes
        .map(|mount| mount.target.as_str())
        .filter(|target| node.data_dirs.iter().any(|data| Path::new(&data.path).starts_with(target)));
    let folders = targets.chain(node.data_dirs.iter().map(|data| data.path.as_str()));
    for path in folders.filter(|path| !bound(path)) {
        folder(&mut tar, path, uid, gid, 0o775)?;
    }
    let text = node.properties.to_text();
    file(&mut tar, Path::new(PROPERTIES.trim_start_matches('/')), text.as_bytes(), 0o644)?;
    tar.into_inner()
}

/// Secrets and configs whose content the compose file has, if there are any.
///
/// # Errors
/// When a path does not fit a tar header.
pub fn texts(service: &ServiceSpec) -> io::Result<Option<Vec<u8>>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut has_any = false;
    for mount in &service.mounts {
        let MountSource::Text { text, mode, owner } = &mount.source else { continue };
        owned_file(
            &mut tar,
            Path::new(mount.target.trim_start_matches('/')),
            text.as_bytes(),
            *mode,
            *owner,
        )?;
        has_any = true;
    }
    Ok(if has_any { Some(tar.into_inner()?) } else { None })
}

/// `1001:0` as numbers.
pub(super) fn owner(user: &str) -> (u64, u64) {
    let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
    (uid.parse().unwrap_or(0), gid.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::seed;

    #[test]
    fn a_node_s_container_is_as_docker_compose_would_make_it_but_for_what_it_runs() {
        let mut spec = seed();
        spec.working_dir = "/work".into();
        spec.config_files = vec!["/srv/compose.yml".into()];
        spec.services[0].hash = "HASH".into();
        let body = body(&spec, &spec.services[0], "jackdaw:test", &Names::default());
        let sorted: serde_json::Value = serde_json::to_value(&body).unwrap();
        let mut text = serde_json::to_string_pretty(&sort(sorted)).unwrap();
        text.push('\n');
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_service_that_starts_no_node_is_on_another_s_network_and_has_no_node_s_health() {
        let spec = crate::testing::spec_of(
            "services:
  one:
    image: apache/kafka:3.7.0
    container_name: first
  init:
    image: apache/kafka:3.7.0
    command: [kafka-topics.sh, --list]
    network_mode: service:one
",
        );
        let init = spec.service("init").unwrap();
        let body = body(&spec, init, "jackdaw:test", &Names::default());
        assert_eq!(body.host_config.unwrap().network_mode.as_deref(), Some("container:first"));
        assert_eq!(body.healthcheck.unwrap().test.unwrap(), ["NONE"]);
    }

    fn sort(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Object(object) => {
                let mut pairs: Vec<_> = object.into_iter().map(|(key, value)| (key, sort(value))).collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                serde_json::Value::Object(pairs.into_iter().collect())
            }
            other => other,
        }
    }
}
