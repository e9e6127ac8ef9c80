//! The completed tree as typed values.
//! It must not complain: what is wrong was said before, and is left out here.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::load::Env;
use crate::model::*;
use crate::source::Spanned;
use crate::units;
use crate::yaml::{Entry, Kind, Node};

/// The typed project.
pub(crate) fn project(
    root: &Node,
    canonical: Value,
    name: Spanned<String>,
    working_dir: PathBuf,
    files: Vec<PathBuf>,
    disabled_services: Vec<Spanned<String>>,
    env: &Env,
) -> Project {
    let section = |key: &str| root.get(key).map(Node::entries).unwrap_or_default();
    let services = section("services").iter().filter(|e| matches!(e.value.kind, Kind::Map(_)));
    let services = services.map(|entry| {
        let canonical = canonical["services"][&entry.key.value].clone();
        service(entry, canonical, &working_dir)
    });
    let services = services.collect();
    Project {
        name,
        files,
        services,
        disabled_services,
        networks: section("networks").iter().map(network).collect(),
        volumes: section("volumes").iter().map(volume).collect(),
        secrets: section("secrets").iter().filter_map(|e| file_object(e, env)).collect(),
        configs: section("configs").iter().filter_map(|e| file_object(e, env)).collect(),
        missing_env_files: Vec::new(),
        unheeded: Vec::new(),
        canonical,
        working_dir,
    }
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key)?.scalar_text()
}

fn spanned(node: &Node, key: &str) -> Option<Spanned<String>> {
    let value = node.get(key)?;
    Some(Spanned::new(value.scalar_text()?, value.span.clone()))
}

fn flag(node: &Node, key: &str) -> Option<bool> {
    match node.get(key)?.kind {
        Kind::Bool(value) => Some(value),
        _ => None,
    }
}

fn int(node: &Node, key: &str) -> Option<i64> {
    match node.get(key)?.kind {
        Kind::Int(value) => Some(value),
        _ => None,
    }
}

fn float(node: &Node, key: &str) -> Option<f64> {
    match node.get(key)?.kind {
        Kind::Int(value) => Some(value as f64),
        Kind::Float(value) => Some(value),
        _ => None,
    }
}

fn size(node: &Node, key: &str) -> Option<u64> {
    text(node, key)?.parse().ok()
}

fn duration(node: &Node, key: &str) -> Option<Duration> {
    units::duration(node.get(key)?.as_str()?)
}

fn strings(node: &Node, key: &str) -> Vec<String> {
    items(node, key).filter_map(Node::scalar_text).collect()
}

fn items<'a>(node: &'a Node, key: &str) -> impl Iterator<Item = &'a Node> + use<'a> {
    node.get(key).map(Node::items).unwrap_or_default().iter()
}

fn entries<'a>(node: &'a Node, key: &str) -> impl Iterator<Item = &'a Entry> + use<'a> {
    node.get(key).map(Node::entries).unwrap_or_default().iter()
}

fn spanned_strings(node: &Node, key: &str) -> Vec<Spanned<String>> {
    items(node, key).filter_map(|n| Some(Spanned::new(n.scalar_text()?, n.span.clone()))).collect()
}

fn pairs(node: &Node, key: &str) -> Vec<(String, String)> {
    entries(node, key).filter_map(|e| Some((e.key.value.clone(), e.value.scalar_text()?))).collect()
}

fn words(node: &Node, key: &str) -> Option<Spanned<Vec<String>>> {
    let value = node.get(key)?;
    match &value.kind {
        Kind::Seq(items) => {
            Some(Spanned::new(items.iter().filter_map(Node::scalar_text).collect(), value.span.clone()))
        }
        _ => None,
    }
}

fn service(entry: &Entry, canonical: Value, working_dir: &std::path::Path) -> Service {
    let node = &entry.value;
    let deploy = node.get("deploy");
    let limits = deploy.and_then(|d| d.get("resources")?.get("limits"));
    let build = node.get("build").map(|build| Build {
        context: text(build, "context").unwrap_or_else(|| working_dir.to_string_lossy().into_owned()),
        dockerfile: text(build, "dockerfile"),
        span: build.span.clone(),
    });
    Service {
        name: entry.key.clone(),
        image: spanned(node, "image"),
        build,
        container_name: spanned(node, "container_name"),
        hostname: spanned(node, "hostname"),
        domainname: text(node, "domainname"),
        user: spanned(node, "user"),
        working_dir: text(node, "working_dir"),
        platform: text(node, "platform"),
        pull_policy: text(node, "pull_policy"),
        command: words(node, "command"),
        entrypoint: words(node, "entrypoint"),
        environment: entries(node, "environment").map(variable).collect(),
        attach: flag(node, "attach").unwrap_or(true),
        links: items(node, "links").filter_map(link).collect(),
        ports: items(node, "ports").filter_map(port).collect(),
        expose: spanned_strings(node, "expose"),
        mounts: items(node, "volumes")
            .filter_map(mount)
            .chain(items(node, "tmpfs").filter_map(tmpfs))
            .collect(),
        networks: entries(node, "networks").map(|entry| attachment(entry, &canonical["networks"])).collect(),
        network_mode: spanned(node, "network_mode"),
        depends_on: entries(node, "depends_on").map(dependency).collect(),
        healthcheck: node.get("healthcheck").filter(|h| !h.is_null()).map(healthcheck),
        restart: restart_of(node),
        replicas: replicas(node),
        labels: pairs(node, "labels"),
        extra_hosts: items(node, "extra_hosts").filter_map(extra_host).collect(),
        ulimits: entries(node, "ulimits").filter_map(ulimit).collect(),
        sysctls: pairs(node, "sysctls"),
        secrets: items(node, "secrets").filter_map(|n| file_mount(n, "/run/secrets/")).collect(),
        configs: items(node, "configs").filter_map(|n| file_mount(n, "/")).collect(),
        logging: node.get("logging").filter(|l| !l.is_null()).map(logging),
        stop_grace_period: duration(node, "stop_grace_period"),
        stop_signal: spanned(node, "stop_signal"),
        profiles: spanned_strings(node, "profiles"),
        init: flag(node, "init"),
        privileged: flag(node, "privileged").unwrap_or(false),
        read_only: flag(node, "read_only").unwrap_or(false),
        tty: flag(node, "tty").unwrap_or(false),
        stdin_open: flag(node, "stdin_open").unwrap_or(false),
        cap_add: strings(node, "cap_add"),
        cap_drop: strings(node, "cap_drop"),
        group_add: strings(node, "group_add"),
        security_opt: strings(node, "security_opt"),
        dns: strings(node, "dns"),
        shm_size_bytes: size(node, "shm_size"),
        memory_limit_bytes: size(node, "mem_limit").or_else(|| size(limits?, "memory")),
        cpus: float(node, "cpus").or_else(|| float(limits?, "cpus")),
        canonical,
    }
}

fn logging(node: &Node) -> Logging {
    Logging { driver: text(node, "driver"), options: pairs(node, "options") }
}

fn variable(entry: &Entry) -> EnvVar {
    let value = entry.value.scalar_text().map(|text| Spanned::new(text, entry.value.span.clone()));
    EnvVar { name: entry.key.clone(), value }
}

fn port(node: &Node) -> Option<Port> {
    let parse = |text: &str| text.parse::<u16>().ok();
    let published = match text(node, "published") {
        None => Published::Ephemeral,
        Some(published) => match published.split_once('-') {
            Some((low, high)) => Published::AnyOf(parse(low)?, parse(high)?),
            None => match parse(&published)? {
                0 => Published::Ephemeral,
                port => Published::Port(port),
            },
        },
    };
    let protocol = match text(node, "protocol").as_deref() {
        Some("udp") => Protocol::Udp,
        Some("sctp") => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    let target = u16::try_from(int(node, "target")?).ok()?;
    Some(Port { host_ip: text(node, "host_ip"), published, target, protocol, span: node.span.clone() })
}

fn mount(node: &Node) -> Option<Mount> {
    let source = text(node, "source");
    let kind = match (text(node, "type")?.as_str(), source) {
        ("volume", Some(source)) => MountKind::Volume(source),
        ("volume", None) => MountKind::Anonymous,
        ("bind", source) => MountKind::Bind {
            source: PathBuf::from(source?),
            // The long form creates the path, too, unless it says otherwise.
            create: node.get("bind").and_then(|b| flag(b, "create_host_path")).unwrap_or(true),
        },
        ("tmpfs", _) => {
            let said = node.get("tmpfs");
            let mode = said.and_then(|tmpfs| int(tmpfs, "mode")).and_then(|mode| u32::try_from(mode).ok());
            MountKind::Tmpfs { size_bytes: said.and_then(|tmpfs| size(tmpfs, "size")), mode, options: None }
        }
        (other, source) => MountKind::Other(other.to_owned(), source.unwrap_or_default()),
    };
    let read_only = flag(node, "read_only").unwrap_or(false);
    let options = mount_options(node);
    Some(Mount { kind, target: text(node, "target")?, read_only, options, span: node.span.clone() })
}

/// Only what is said under the key of the mount's own type.
fn mount_options(node: &Node) -> MountOptions {
    let kind = text(node, "type").unwrap_or_default();
    let of = |wanted: &str| node.get(wanted).filter(|_| kind == wanted);
    let (bind, volume) = (of("bind"), of("volume"));
    MountOptions {
        propagation: bind.and_then(|bind| text(bind, "propagation")),
        recursive: bind.and_then(|bind| text(bind, "recursive")),
        selinux: bind.and_then(|bind| text(bind, "selinux")),
        nocopy: volume.and_then(|volume| flag(volume, "nocopy")).unwrap_or(false),
        subpath: volume.or_else(|| of("image")).and_then(|said| text(said, "subpath")),
        labels: volume.map(|volume| pairs(volume, "labels")).unwrap_or_default(),
    }
}

/// `SERVICE` or `SERVICE:NAME`.
fn link(node: &Node) -> Option<(String, String)> {
    let text = node.as_str()?;
    let (service, name) = text.split_once(':').unwrap_or((text, text));
    Some((service.to_owned(), name.to_owned()))
}

/// `tmpfs: /run` or `/run:size=64m,mode=755`.
fn tmpfs(node: &Node) -> Option<Mount> {
    let spec = node.as_str()?;
    let (target, options) = spec.split_once(':').unwrap_or((spec, ""));
    let size = options.split(',').find_map(|option| option.strip_prefix("size="));
    let size_bytes = size.and_then(units::bytes).and_then(|bytes| u64::try_from(bytes).ok());
    let read_only = options.split(',').any(|option| option == "ro");
    Some(Mount {
        kind: MountKind::Tmpfs { size_bytes, mode: None, options: Some(options.to_owned()) },
        target: target.to_owned(),
        read_only,
        options: MountOptions::default(),
        span: node.span.clone(),
    })
}

fn attachment(entry: &Entry, canonical: &Value) -> Attachment {
    Attachment {
        key: entry.key.clone(),
        aliases: spanned_strings(&entry.value, "aliases"),
        ipv4_address: text(&entry.value, "ipv4_address"),
        ipv6_address: text(&entry.value, "ipv6_address"),
        priority: int(&entry.value, "priority").unwrap_or(0),
        canonical: canonical.get(&entry.key.value).cloned().unwrap_or_default(),
    }
}

fn dependency(entry: &Entry) -> Dependency {
    let condition = match text(&entry.value, "condition").as_deref() {
        Some("service_healthy") => Condition::Healthy,
        Some("service_completed_successfully") => Condition::CompletedSuccessfully,
        _ => Condition::Started,
    };
    Dependency {
        service: entry.key.clone(),
        condition,
        required: flag(&entry.value, "required").unwrap_or(true),
        restart: flag(&entry.value, "restart").unwrap_or(false),
    }
}

fn healthcheck(node: &Node) -> Healthcheck {
    let words = strings(node, "test");
    let test = match words.first().map(String::as_str) {
        _ if flag(node, "disable") == Some(true) => HealthTest::Disabled,
        None => HealthTest::Inherited,
        Some("NONE") => HealthTest::Disabled,
        Some("CMD-SHELL") => HealthTest::Shell(words[1..].join(" ")),
        Some(_) => HealthTest::Command(words[1..].to_vec()),
    };
    Healthcheck {
        test,
        interval: duration(node, "interval"),
        timeout: duration(node, "timeout"),
        retries: int(node, "retries").and_then(|n| u64::try_from(n).ok()),
        start_period: duration(node, "start_period"),
        start_interval: duration(node, "start_interval"),
        span: node.span.clone(),
    }
}

/// `no`, `always`, `unless-stopped`, `on-failure`, `on-failure:3`.
pub(crate) fn restart(text: &str) -> Option<Restart> {
    match text.split_once(':').unwrap_or((text, "")) {
        ("no", "") => Some(Restart::No),
        ("always", "") => Some(Restart::Always),
        ("unless-stopped", "") => Some(Restart::UnlessStopped),
        ("on-failure", "") => Some(Restart::OnFailure { max_retries: None }),
        ("on-failure", count) => Some(Restart::OnFailure { max_retries: Some(count.parse().ok()?) }),
        _ => None,
    }
}

fn restart_of(node: &Node) -> Restart {
    // As in Docker Compose, what `deploy` says wins.
    let Some(policy) = node.get("deploy").and_then(|d| d.get("restart_policy")) else {
        return text(node, "restart").and_then(|own| restart(&own)).unwrap_or_default();
    };
    match text(policy, "condition").as_deref() {
        Some("none") => Restart::No,
        Some("on-failure") => {
            let max_retries = int(policy, "max_attempts").and_then(|n| u32::try_from(n).ok());
            Restart::OnFailure { max_retries }
        }
        Some("unless-stopped") => Restart::UnlessStopped,
        _ => Restart::Always,
    }
}

fn replicas(node: &Node) -> u32 {
    let count = int(node, "scale").or_else(|| int(node.get("deploy")?, "replicas"));
    count.and_then(|n| u32::try_from(n).ok()).unwrap_or(1)
}

fn extra_host(node: &Node) -> Option<Spanned<(String, String)>> {
    let (host, address) = node.as_str()?.split_once('=')?;
    Some(Spanned::new((host.to_owned(), address.to_owned()), node.span.clone()))
}

fn ulimit(entry: &Entry) -> Option<(String, i64, i64)> {
    let (soft, hard) = match entry.value.kind {
        Kind::Int(both) => (both, both),
        _ => (int(&entry.value, "soft")?, int(&entry.value, "hard")?),
    };
    Some((entry.key.value.clone(), soft, hard))
}

fn file_mount(node: &Node, default_dir: &str) -> Option<FileMount> {
    let source = spanned(node, "source")?;
    let target = match text(node, "target") {
        Some(target) if target.starts_with('/') => target,
        Some(target) => format!("{default_dir}{target}"),
        None => format!("{default_dir}{}", source.value),
    };
    let mode = text(node, "mode").and_then(|mode| u32::from_str_radix(&mode, 8).ok());
    let id = |key: &str| text(node, key)?.parse().ok();
    Some(FileMount { source, target, mode, uid: id("uid"), gid: id("gid") })
}

fn network(entry: &Entry) -> Network {
    let node = &entry.value;
    let pool = |n: &Node| Subnet {
        subnet: text(n, "subnet"),
        gateway: text(n, "gateway"),
        ip_range: text(n, "ip_range"),
        aux_addresses: pairs(n, "aux_addresses"),
    };
    Network {
        key: entry.key.clone(),
        name: text(node, "name").unwrap_or_default(),
        external: flag(node, "external").unwrap_or(false),
        driver: text(node, "driver"),
        driver_opts: pairs(node, "driver_opts"),
        internal: flag(node, "internal").unwrap_or(false),
        attachable: flag(node, "attachable").unwrap_or(false),
        enable_ipv4: flag(node, "enable_ipv4"),
        enable_ipv6: flag(node, "enable_ipv6").unwrap_or(false),
        ipam_driver: node.get("ipam").and_then(|ipam| text(ipam, "driver")),
        ipam_options: node.get("ipam").map(|ipam| pairs(ipam, "options")).unwrap_or_default(),
        subnets: node.get("ipam").map(|ipam| items(ipam, "config").map(pool).collect()).unwrap_or_default(),
        labels: pairs(node, "labels"),
    }
}

fn volume(entry: &Entry) -> Volume {
    let node = &entry.value;
    Volume {
        key: entry.key.clone(),
        name: text(node, "name").unwrap_or_default(),
        external: flag(node, "external").unwrap_or(false),
        driver: text(node, "driver"),
        driver_opts: pairs(node, "driver_opts"),
        labels: pairs(node, "labels"),
    }
}

fn file_object(entry: &Entry, env: &Env) -> Option<FileObject> {
    let node = &entry.value;
    let content = if flag(node, "external") == Some(true) {
        FileContent::External
    } else if let Some(file) = text(node, "file") {
        FileContent::File(PathBuf::from(file))
    } else if let Some(content) = text(node, "content") {
        FileContent::Inline(content)
    } else {
        let name = text(node, "environment")?;
        let value = env.get(&name).cloned();
        FileContent::Environment(name, value)
    };
    Some(FileObject { key: entry.key.clone(), name: text(node, "name").unwrap_or_default(), content })
}
