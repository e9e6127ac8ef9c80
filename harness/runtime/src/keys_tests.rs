//! The table of compose keys against what really comes of each: every key is written into a small project, and whatever
//! a runtime makes of that (containers, networks, volumes, processes, files, plans) is held against what it makes
//! without it. A key that is said to act and that nobody reads is found here, and so is the contrary.

use crate::docker::{container, rootfs::Names};
use crate::lower::lower;
use crate::model::{Observed, ProjectSpec, State};
use crate::mounts;
use crate::plan::{self, Act, DownOptions, Kind, Means, Step, UpOptions};
use crate::process::host::ProcessRuntime;
use crate::runtime::{Preflight, Runtime as _};
use crate::testing::there;
use jackdaw_compose::{Effect, Key, LoadOptions, Loaded, Target, has_errors, keys};
use jackdaw_conventions::Cluster;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Files that lie beside the compose file.
const FILES: [(&str, &str); 10] = [
    ("app.env", "QUOTED=\"a b\"\n"),
    ("other.env", "OTHER=1\n"),
    ("labels.env", "FROM_FILE=label\n"),
    ("secret.txt", "secret"),
    ("other.txt", "other"),
    ("example", "example"),
    ("other.yml", "services: {template: {image: 'example/t:2', environment: {FROM: other}}}\n"),
    (
        "included.yml",
        "services: {more: {image: 'bitnami/kafka:3.7.0', command: [cub], environment: {Q: '${QUOTED-unset}'}, volumes: ['./m:/m']}}\n",
    ),
    ("included2.yml", "services: {more2: {image: 'example/more:2'}}\n"),
    ("bound/.keep", ""),
];

/// Sections of the top level: what is in them is tried.
const SECTIONS: [&str; 5] = ["configs", "networks", "secrets", "services", "volumes"];

/// Keys that are read beyond the runtimes, with the place.
const READ_ELSEWHERE: [(&str, &str, &str); 1] =
    [("services.*.attach", "src/commands/up.rs", "compose.attach")];

/// Keys of which nothing that they ask for comes, although something else changes: what they were written in place of.
const SOMETHING_ELSE: [(&str, Target); 3] = [
    // A service with a mode of its own is on no network of the file, and was on one.
    ("services.*.network_mode", Target::Process),
    // A port that is not TCP is not forwarded, and one that is was.
    ("services.*.ports[].protocol", Target::Process),
    // A mount of a kind that is not there takes the place of one that was.
    ("services.*.volumes[].type", Target::Process),
];

/// What a key is set to, and in what surroundings, where the shape of its value does not say enough: the path, what is
/// merged into the project before (`null` removes), the value.
fn examples() -> Vec<(&'static str, Value, Value)> {
    let app = |patch: Value| json!({ "services": { "app": patch } });
    let bind = || app(json!({ "volumes": [{ "type": "bind", "source": "./d", "target": "/d" }] }));
    let tmpfs = || app(json!({ "volumes": [{ "type": "tmpfs", "target": "/t" }] }));
    let image = || app(json!({ "volumes": [{ "type": "image", "source": "example/i", "target": "/i" }] }));
    let healthy = || app(json!({ "healthcheck": { "test": ["CMD", "true"] } }));
    let failing = || app(json!({ "deploy": { "restart_policy": { "condition": "on-failure" } } }));
    let none = || json!({});
    vec![
        (
            "configs.*.environment",
            json!({ "configs": { "con": { "content": null, "environment": "SET" } } }),
            json!("OTHER"),
        ),
        ("configs.*.external", none(), json!(true)),
        ("configs.*.file", none(), json!("./other.txt")),
        ("include", none(), json!(["./included.yml"])),
        ("include[].env_file", none(), json!("./app.env")),
        ("include[].path", none(), json!("./included2.yml")),
        ("include[].project_directory", none(), json!("./sub")),
        ("models", none(), json!({ "m": {} })),
        ("networks.*.ipam", none(), json!({ "driver": "example" })),
        ("networks.*.ipam.config", none(), json!([{ "subnet": "10.78.0.0/24" }])),
        ("networks.*.ipam.config[].subnet", none(), json!("10.79.0.0/24")),
        (
            "secrets.*.environment",
            json!({ "secrets": { "sec": { "file": null, "environment": "SET" } } }),
            json!("OTHER"),
        ),
        ("secrets.*.file", none(), json!("./other.txt")),
        ("services.*.blkio_config", none(), json!({ "weight": 300 })),
        (
            "services.*.blkio_config",
            none(),
            json!({ "device_read_bps": [{ "path": "/dev/sda", "rate": "12mb" }] }),
        ),
        ("services.*.build.secrets", none(), json!([{ "source": "sec" }])),
        ("services.*.configs", none(), json!([{ "source": "con", "target": "/etc/other" }])),
        ("services.*.configs[].source", json!({ "configs": { "con2": { "content": "x" } } }), json!("con2")),
        ("services.*.configs[].target", none(), json!("/etc/other")),
        ("services.*.configs[].gid", none(), json!("7")),
        ("services.*.configs[].uid", none(), json!("7")),
        ("services.*.credential_spec", none(), json!({ "file": "x.json" })),
        ("services.*.depends_on", none(), json!({ "db": { "condition": "service_healthy" } })),
        (
            "services.*.depends_on.*.required",
            app(json!({ "depends_on": { "db": { "condition": "service_healthy" } } })),
            json!(false),
        ),
        ("services.*.deploy", none(), json!({ "replicas": 0 })),
        ("services.*.deploy.mode", none(), json!("global")),
        ("services.*.deploy.placement", none(), json!({ "constraints": ["x"] })),
        ("services.*.deploy.placement.preferences", none(), json!([{ "spread": "x" }])),
        ("services.*.deploy.replicas", none(), json!(0)),
        ("services.*.deploy.replicas", none(), json!(7)),
        ("services.*.deploy.resources", none(), json!({ "limits": { "memory": "64m" } })),
        ("services.*.deploy.resources.limits", none(), json!({ "memory": "64m" })),
        ("services.*.deploy.resources.reservations", none(), json!({ "memory": "64m" })),
        ("services.*.deploy.resources.reservations.devices", none(), json!([{ "capabilities": ["gpu"] }])),
        ("services.*.deploy.resources.reservations.generic_resources", none(), json!([{ "x": 1 }])),
        ("services.*.deploy.restart_policy", none(), json!({ "condition": "any" })),
        ("services.*.deploy.restart_policy.delay", failing(), json!("7s")),
        ("services.*.deploy.restart_policy.max_attempts", failing(), json!(7)),
        ("services.*.deploy.restart_policy.window", failing(), json!("7s")),
        ("services.*.deploy.rollback_config", none(), json!({ "parallelism": 7 })),
        ("services.*.deploy.update_config", none(), json!({ "parallelism": 7 })),
        ("services.*.develop", none(), json!({ "watch": [{ "path": ".", "action": "rebuild" }] })),
        ("services.*.devices", none(), json!(["/dev/null"])),
        ("services.*.devices", none(), json!(["vendor.example/class=name"])),
        ("services.*.devices[].source", none(), json!("/dev/zero")),
        ("services.*.env_file", none(), json!(["./app.env"])),
        ("services.*.env_file[].format", none(), json!("raw")),
        ("services.*.env_file[].path", none(), json!("./other.env")),
        (
            "services.*.env_file[].required",
            app(json!({ "env_file": [{ "path": "./missing.env" }] })),
            json!(false),
        ),
        ("services.*.expose", none(), json!(["7070-7071", "7072/udp"])),
        ("services.*.extends", none(), json!({ "service": "template" })),
        (
            "services.*.extends.file",
            app(json!({ "extends": { "service": "template" } })),
            json!("./other.yml"),
        ),
        (
            "services.*.extends.service",
            app(json!({ "extends": { "service": "template" } })),
            json!("template2"),
        ),
        ("services.*.gpus", none(), json!("all")),
        ("services.*.gpus", none(), json!([{ "driver": "example", "count": 2 }])),
        ("services.*.healthcheck", none(), json!({ "test": ["CMD", "true"] })),
        ("services.*.healthcheck.disable", healthy(), json!(true)),
        ("services.*.healthcheck.interval", healthy(), json!("7s")),
        ("services.*.healthcheck.retries", healthy(), json!(7)),
        ("services.*.healthcheck.start_interval", healthy(), json!("7s")),
        ("services.*.healthcheck.start_period", healthy(), json!("7s")),
        ("services.*.healthcheck.timeout", healthy(), json!("7s")),
        ("services.*.isolation", none(), json!("process")),
        ("services.*.label_file", none(), json!("./labels.env")),
        ("services.*.links", none(), json!(["kafka:broker"])),
        ("services.*.logging", none(), json!({ "driver": "local" })),
        ("services.*.models", none(), json!(["m"])),
        ("services.*.network_mode", app(json!({ "networks": null })), json!("host")),
        ("services.*.network_mode", app(json!({ "networks": null })), json!("none")),
        ("services.*.networks", none(), json!({ "net": { "aliases": ["other"] } })),
        ("services.*.networks.*.ipv4_address", none(), json!("10.77.0.9")),
        ("services.*.networks.*.ipv6_address", none(), json!("fd00::9")),
        ("services.*.networks.*.link_local_ips", none(), json!(["169.254.7.7"])),
        ("services.*.networks.*.priority", app(json!({ "networks": { "alpha": {} } })), json!(7)),
        ("services.*.ports", none(), json!([{ "target": 7070, "published": "17070" }])),
        ("services.*.ports[].host_ip", none(), json!("127.0.0.1")),
        ("services.*.ports[].published", none(), json!("17070")),
        ("services.*.ports[].protocol", none(), json!("udp")),
        ("services.*.post_start", none(), json!([{ "command": "x" }])),
        ("services.*.pre_stop", none(), json!([{ "command": "x" }])),
        ("services.*.provider", none(), json!({ "type": "x" })),
        ("services.*.pull_policy", none(), json!("always")),
        ("services.*.pull_policy", none(), json!("daily")),
        ("services.*.pull_policy", app(json!({ "image": "example/absent:1" })), json!("never")),
        ("services.*.restart", none(), json!("always")),
        ("services.*.scale", none(), json!(0)),
        ("services.*.scale", none(), json!(7)),
        ("services.*.secrets", none(), json!([{ "source": "sec", "target": "other" }])),
        (
            "services.*.secrets[].source",
            json!({ "secrets": { "sec2": { "file": "./other.txt" } } }),
            json!("sec2"),
        ),
        (
            "services.*.secrets[].uid",
            json!({ "secrets": { "sec": { "file": null, "environment": "SET" } } }),
            json!("7"),
        ),
        (
            "services.*.secrets[].gid",
            json!({ "secrets": { "sec": { "file": null, "environment": "SET" } } }),
            json!("7"),
        ),
        (
            "services.*.secrets[].mode",
            json!({ "secrets": { "sec": { "file": null, "environment": "SET" } } }),
            json!("0400"),
        ),
        ("services.*.secrets[].uid", none(), json!("7")),
        ("services.*.secrets[].gid", none(), json!("7")),
        ("services.*.secrets[].mode", none(), json!("0400")),
        ("services.*.stop_signal", none(), json!("SIGINT")),
        ("services.*.tmpfs", none(), json!(["/run/t:size=64m,mode=700"])),
        ("services.*.ulimits", none(), json!({ "nproc": 7 })),
        ("services.*.user", none(), json!("1234:5678")),
        ("services.*.volumes", none(), json!([{ "type": "bind", "source": "./d", "target": "/d" }])),
        ("services.*.volumes[].bind", bind(), json!({ "propagation": "shared" })),
        ("services.*.volumes[].bind", none(), json!({ "propagation": "shared" })),
        ("services.*.volumes[].bind.create_host_path", bind(), json!(false)),
        ("services.*.volumes[].bind.propagation", bind(), json!("shared")),
        ("services.*.volumes[].bind.recursive", bind(), json!("readonly")),
        ("services.*.volumes[].bind.selinux", bind(), json!("Z")),
        ("services.*.volumes[].image", image(), json!({ "subpath": "x" })),
        ("services.*.volumes[].image", none(), json!({ "subpath": "x" })),
        ("services.*.volumes[].image.subpath", image(), json!("x")),
        ("services.*.volumes[].read_only", tmpfs(), json!(true)),
        ("services.*.volumes[].read_only", bind(), json!(true)),
        ("services.*.volumes[].source", bind(), json!("./other")),
        ("services.*.volumes[].target", none(), json!("/other")),
        ("services.*.volumes[].tmpfs", tmpfs(), json!({ "size": "64m" })),
        ("services.*.volumes[].tmpfs", none(), json!({ "size": "64m" })),
        ("services.*.volumes[].tmpfs.mode", tmpfs(), json!(448)),
        ("services.*.volumes[].tmpfs.size", tmpfs(), json!("64m")),
        ("services.*.volumes[].volume", none(), json!({ "subpath": "x" })),
        ("services.*.volumes[].volume", bind(), json!({ "subpath": "x" })),
        ("services.*.volumes_from", none(), json!(["db:ro"])),
        ("services.*.working_dir", none(), json!("/work")),
        ("volumes.*.driver_opts", none(), json!({ "type": "none", "o": "bind", "device": "FOLDER/bound" })),
        ("volumes.*.driver_opts", none(), json!({ "type": "nfs", "o": "addr=192.0.2.7" })),
    ]
}

/// What a list or a mapping with free keys has where a key of one of its members is tried.
fn member(name: &str) -> Value {
    match name {
        "ports" => json!({ "target": 8080, "published": "18080" }),
        "volumes" => json!({ "type": "volume", "source": "vol", "target": "/data" }),
        "secrets" => json!({ "source": "sec" }),
        "configs" => json!({ "source": "con" }),
        "devices" => json!({ "source": "/dev/null" }),
        "env_file" => json!({ "path": "./app.env" }),
        "include" => json!({ "path": "./included.yml" }),
        "depends_on" => json!({ "condition": "service_started" }),
        "ulimits" => json!({ "soft": 1, "hard": 2 }),
        "config" => json!({ "subnet": "10.77.0.0/24" }),
        _ => json!({}),
    }
}

/// The name that stands for `*` below that key.
fn name_below(key: &str, is_top: bool) -> &'static str {
    match key {
        "services" => "app",
        "networks" => "net",
        "volumes" if is_top => "vol",
        "secrets" if is_top => "sec",
        "configs" if is_top => "con",
        "depends_on" => "db",
        "ulimits" => "nofile",
        other => panic!("what is below {other}?"),
    }
}

/// The service on which keys are tried.
#[derive(Clone, Copy, Debug, PartialEq)]
enum App {
    Other,
    Tool,
    Node,
}

fn node(id: u32, host: &str) -> Value {
    json!({
        "image": "bitnami/kafka:3.7.0",
        "networks": { "net": {} },
        "environment": {
            "KAFKA_CFG_NODE_ID": id.to_string(),
            "KAFKA_CFG_PROCESS_ROLES": "controller,broker",
            "KAFKA_CFG_CONTROLLER_QUORUM_VOTERS": format!("{id}@{host}:9093"),
            "KAFKA_CFG_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "KAFKA_CFG_ADVERTISED_LISTENERS": format!("PLAINTEXT://{host}:9092"),
            "KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "KAFKA_CFG_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_KRAFT_CLUSTER_ID": "HsDBs9l6UUmQq7Y5E6bNlw",
        },
    })
}

fn base(app: App) -> Value {
    let tool = json!({ "image": "bitnami/kafka:3.7.0", "command": ["kafka-topics.sh", "--list"], "networks": { "net": {} } });
    let mut service = match app {
        App::Other => json!({ "image": "example/app:1", "networks": { "net": {} } }),
        App::Tool => tool.clone(),
        App::Node => node(1, "app"),
    };
    merge(
        &mut service,
        json!({ "volumes": [member("volumes")], "secrets": [member("secrets")], "configs": [member("configs")] }),
    );
    json!({
        "services": {
            "kafka": node(0, "kafka"),
            "db": tool,
            "template": { "image": "example/t:1", "environment": { "FROM": "template" } },
            "template2": { "image": "example/t:1", "environment": { "FROM": "template2" } },
            "app": service,
        },
        "networks": { "net": {}, "alpha": {} },
        "volumes": { "vol": {} },
        "secrets": { "sec": { "file": "./secret.txt" } },
        "configs": { "con": { "content": "content" } },
    })
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, patch) => *into = patch,
    }
}

/// Sets the value at a path (or only makes what is around it); the key as findings name it.
fn set(project: &mut Value, path: &str, value: Option<Value>) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    let mut at = project;
    let mut shown: Vec<String> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        let key = part.trim_end_matches("[]");
        let around = parts[index.saturating_sub(1)];
        let name = if *part == "*" { name_below(around, index == 1) } else { key };
        shown.push(name.to_owned());
        if is_last {
            if let Some(value) = value {
                at[name] = value;
            }
            break;
        }
        let fresh = if *part == "*" { member(around) } else { json!({}) };
        at = at.as_object_mut().unwrap().entry(name).or_insert(fresh);
        if part.ends_with("[]") {
            if at.get(0).is_none() {
                *at = json!([member(key)]);
            }
            at = &mut at[0];
        }
    }
    if shown[0] == "services" { shown[2..].join(".") } else { shown.join(".") }
}

/// A folder for the project and one for the process runtime, the same for every try.
struct Bench {
    folder: tempfile::TempDir,
    target: Target,
    /// What comes of projects without the key that is tried: few of them are different.
    known: RefCell<HashMap<String, String>>,
}

impl Bench {
    fn new(target: Target) -> Self {
        // Some hundred thousand small files are made: in memory, where there is such a folder.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Bench { folder, target, known: RefCell::default() }
    }

    fn project(&self) -> std::path::PathBuf {
        self.folder.path().join("project")
    }

    fn load(&self, project: &Value) -> Loaded {
        let folder = self.project();
        let _ = fs::remove_dir_all(self.folder.path().join("home"));
        let _ = fs::remove_dir_all(&folder);
        for (name, text) in FILES {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), text).unwrap();
        }
        let text = project.to_string().replace("FOLDER", &folder.display().to_string());
        fs::write(folder.join("compose.yml"), text).unwrap();
        let env = BTreeMap::from([("SET".into(), "set".into()), ("OTHER".into(), "other".into())]);
        jackdaw_compose::load(&LoadOptions { working_dir: folder, env, ..LoadOptions::default() })
    }

    fn known_outcome(&self, project: &Value) -> String {
        let known = self.known.borrow().get(&project.to_string()).cloned();
        known.unwrap_or_else(|| {
            let outcome = self.outcome(&self.load(project));
            self.known.borrow_mut().insert(project.to_string(), outcome.clone());
            outcome
        })
    }

    /// Everything that the runtime makes of the project, as text.
    fn outcome(&self, loaded: &Loaded) -> String {
        let project = loaded.project.as_ref().unwrap();
        let (spec, left_out) = lower(project, &Cluster::of(project), "test");
        let mut out = format!("{} {left_out:?} {}\n", spec.name, has_errors(&loaded.diagnostics));
        let mut found = Preflight::default();
        spec.services.iter().for_each(|service| mounts::look(service, &mut found));
        writeln!(out, "{:?} {:?}", found.errors, found.warnings).unwrap();
        out += &plans(&spec, self.target);
        match self.target {
            Target::Docker => out += &containers(&spec),
            Target::Process => out += &self.processes(&spec),
        }
        let hashes = spec.services.iter().map(|service| service.hash.clone());
        hashes.fold(out, |out, hash| out.replace(&hash, "HASH"))
    }

    fn processes(&self, spec: &ProjectSpec) -> String {
        let names = Names { shell: vec!["bash".into()], kafka: vec!["kafka-topics.sh".into()] };
        // One that has seen another project would keep its addresses.
        let runtime = ProcessRuntime::at(self.folder.path().join("home"), names);
        let dir = runtime.dir(&spec.name);
        let (mut out, mut addresses) = (String::new(), Vec::new());
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for volume in spec.volumes.iter().filter(|volume| !volume.external) {
            let step = Step::CreateVolume { volume: volume.name.clone() };
            tokio.block_on(runtime.step(&spec.name, Some(spec), &step)).unwrap();
        }
        for service in spec.services.iter().filter(|service| means(Kind::Process).runs(service)) {
            let mut instance = runtime.instance(&dir, spec, &service.name).unwrap();
            instance.created_ms = 0;
            addresses.extend(service.node.as_ref().map(|_| (service.name.clone(), instance.address)));
            writeln!(out, "{}", serde_json::to_string(&instance).unwrap()).unwrap();
        }
        tree(dir.root(), &mut out);
        tree(&self.project(), &mut out);
        // Which one is free may differ from try to try.
        addresses.retain(|(_, address)| *address != Ipv4Addr::LOCALHOST);
        addresses
            .iter()
            .fold(out, |out, (name, address)| out.replace(&address.to_string(), &format!("[{name}]")))
    }
}

fn means(kind: Kind) -> Means {
    Means { kind, own_image: None, has_tools: true }
}

/// The plans of some commands, for a project that is not there yet and for one that is.
fn plans(spec: &ProjectSpec, target: Target) -> String {
    let kind = if target == Target::Docker { Kind::Docker } else { Kind::Process };
    let mut instances: Vec<_> = spec.services.iter().map(|service| there(service, State::Running)).collect();
    // One that others depend on is to be made anew.
    instances.iter_mut().filter(|i| i.service == "db").for_each(|db| db.hash = None);
    let on_engine = |names: Vec<String>| if kind == Kind::Docker { names } else { Vec::new() };
    let running = Observed {
        instances,
        networks: on_engine(spec.networks.iter().map(|network| network.name.clone()).collect()),
        volumes: spec.volumes.iter().map(|volume| volume.name.clone()).collect(),
        images: vec!["example/app:1".into()],
    };
    let services: Vec<_> = spec.services.iter().collect();
    let up =
        |observed: &Observed| plan::up(spec, &services, &[], observed, &means(kind), &UpOptions::default());
    let restart = Act::Restart { grace_ms: None };
    let down = DownOptions { volumes: true, ..DownOptions::default() };
    let plans = [
        up(&Observed::default()),
        up(&running),
        plan::act(&spec.name, Some(spec), &running, kind, &["db".into()], &restart),
        plan::down(&spec.name, Some(spec), &running, kind, &down),
    ];
    plans.map(|plan| serde_json::to_string(&plan).unwrap() + "\n").concat()
}

fn containers(spec: &ProjectSpec) -> String {
    let mut out = String::new();
    let mut line = |value: Value| writeln!(out, "{}", sorted(value)).unwrap();
    for service in &spec.services {
        let mut body = container::body(spec, service, "jackdaw:test", &Names::default());
        if let Some(labels) = &mut body.labels {
            labels.remove(container::CONFIG_HASH);
        }
        line(serde_json::to_value(&body).unwrap());
        line(serde_json::to_value(container::endpoints(spec, service)).unwrap());
        line(json!([container::platform(service), container::texts(service).unwrap()]));
    }
    spec.networks.iter().for_each(|n| line(serde_json::to_value(container::network(spec, n)).unwrap()));
    spec.volumes.iter().for_each(|v| line(serde_json::to_value(container::volume(spec, v)).unwrap()));
    out
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<String, Value> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            json!(sorted)
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Paths below a folder with their modes, links and texts; the programs of the image are left out.
fn tree(folder: &Path, out: &mut String) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if path.ends_with("compose.yml") {
            continue;
        }
        write!(out, "{} {:o}", path.display(), metadata.permissions().mode()).unwrap();
        if metadata.is_symlink() {
            writeln!(out, " -> {}", fs::read_link(&path).unwrap().display()).unwrap();
        } else if metadata.is_dir() {
            out.push('\n');
            tree(&path, out);
        } else {
            writeln!(out, " {:?}", fs::read_to_string(&path).unwrap()).unwrap();
        }
    }
}

/// One try of one key; what is wrong with what the table says of it.
fn try_key(bench: &Bench, key: &Key, surroundings: &Value, value: &Value) -> Vec<String> {
    let target = bench.target;
    let apps = match target {
        Target::Docker => [App::Other, App::Node],
        Target::Process => [App::Tool, App::Node],
    };
    let is_elsewhere = READ_ELSEWHERE.iter().any(|(path, ..)| *path == key.path);
    let is_something_else = SOMETHING_ELSE.contains(&(key.path.as_str(), target));
    let mut wrong = Vec::new();
    let (mut acts, mut has_acted) = (false, false);
    for app in apps {
        let mut without = base(app);
        merge(&mut without, surroundings.clone());
        let mut with = without.clone();
        let named = set(&mut without, &key.path, None);
        set(&mut with, &key.path, Some(value.clone()));
        let shown = || format!("{} = {value} on {target:?} ({app:?})", key.path);
        let before = bench.known_outcome(&without);
        let loaded = bench.load(&with);
        if has_errors(&loaded.diagnostics) {
            wrong.push(format!("{}: {:?}", shown(), loaded.diagnostics[0].message));
            continue;
        }
        let after = bench.outcome(&loaded);
        let is_of = |found: &str| {
            let within = |one: &str, other: &str| one.starts_with(&format!("{other}."));
            found == named || within(&named, found) || within(found, &named)
        };
        let told =
            loaded.project.as_ref().unwrap().unheeded.iter().any(|found| {
                found.on == target && is_of(&found.key) && (!found.only_kafka || app == App::Node)
            });
        let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let is_moot = match key.effect(target) {
            Effect::Moot(_) => true,
            // What happens anyway and what acts are one there.
            Effect::Unless(values, _) if !told && values.contains(&written.as_str()) => continue,
            _ => false,
        };
        if !told && !is_moot {
            acts = true;
            has_acted |= before != after;
        } else if before != after && !is_something_else {
            let at = before.bytes().zip(after.bytes()).take_while(|(before, after)| before == after).count();
            let around = |text: &str| {
                let (from, to) = (at.saturating_sub(60), (at + 60).min(text.len()));
                String::from_utf8_lossy(&text.as_bytes()[from.min(to)..to]).into_owned()
            };
            let (before, after) = (around(&before), around(&after));
            wrong.push(format!(
                "{}: is said to have no effect, and has:\n   {before:?}\n   {after:?}",
                shown()
            ));
        }
    }
    if acts && !has_acted && !is_elsewhere {
        wrong.push(format!("{} = {value} on {target:?}: is said to act, and nothing comes of it", key.path));
    }
    wrong
}

#[test]
fn every_key_does_on_an_engine_what_the_table_says() {
    try_all(Target::Docker);
}

#[test]
fn every_key_does_as_a_process_what_the_table_says() {
    try_all(Target::Process);
}

fn try_all(target: Target) {
    let bench = Bench::new(target);
    let examples = examples();
    let all = keys();
    let unknown: Vec<_> =
        examples.iter().filter(|(path, ..)| !all.iter().any(|key| key.path == *path)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let mut wrong = Vec::new();
    for key in all.iter().filter(|key| !SECTIONS.contains(&key.path.as_str())) {
        let mut tries: Vec<(Value, Value)> = examples
            .iter()
            .filter(|(path, ..)| *path == key.path)
            .map(|(_, surroundings, value)| (surroundings.clone(), value.clone()))
            .collect();
        if tries.is_empty() {
            tries.push((json!({}), key.example.clone()));
        }
        for (surroundings, value) in &tries {
            wrong.extend(try_key(&bench, key, surroundings, value));
        }
    }
    assert!(wrong.is_empty(), "{} of {} keys:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn what_is_read_beyond_the_runtimes_is_read_there() {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (key, file, text) in READ_ELSEWHERE {
        let read = fs::read_to_string(harness.join(file)).unwrap().contains(text);
        assert!(read, "{key} is said to be read in {file}");
    }
}
