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

/// What a key is set to, and in what surroundings, where the shape of its value does not say enough. A line is the path,
/// what is merged into the service or the whole project before (`null` removes), the value.
const EXAMPLES: &str = r#"
configs.*.environment | top {"configs": {"con": {"content": null, "environment": "SET"}}} | "OTHER"
configs.*.external |  | true
configs.*.file |  | "./other.txt"
include |  | ["./included.yml"]
include[].env_file |  | "./app.env"
include[].path |  | "./included2.yml"
include[].project_directory |  | "./sub"
models |  | {"m": {}}
networks.*.ipam |  | {"driver": "example"}
networks.*.ipam.config |  | [{"subnet": "10.78.0.0/24"}]
networks.*.ipam.config[].subnet |  | "10.79.0.0/24"
secrets.*.environment | top {"secrets": {"sec": {"file": null, "environment": "SET"}}} | "OTHER"
secrets.*.file |  | "./other.txt"
services.*.blkio_config |  | {"weight": 300}
services.*.blkio_config |  | {"device_read_bps": [{"path": "/dev/sda", "rate": "12mb"}]}
services.*.build.secrets |  | [{"source": "sec"}]
services.*.configs |  | [{"source": "con", "target": "/etc/other"}]
services.*.configs[].source | top {"configs": {"con2": {"content": "x"}}} | "con2"
services.*.configs[].target |  | "/etc/other"
services.*.configs[].gid |  | "7"
services.*.configs[].uid |  | "7"
services.*.credential_spec |  | {"file": "x.json"}
services.*.depends_on |  | {"db": {"condition": "service_healthy"}}
services.*.depends_on.*.required | app {"depends_on": {"db": {"condition": "service_healthy"}}} | false
services.*.deploy |  | {"replicas": 0}
services.*.deploy.mode |  | "global"
services.*.deploy.placement |  | {"constraints": ["x"]}
services.*.deploy.placement.preferences |  | [{"spread": "x"}]
services.*.deploy.replicas |  | 0
services.*.deploy.replicas |  | 7
services.*.deploy.resources |  | {"limits": {"memory": "64m"}}
services.*.deploy.resources.limits |  | {"memory": "64m"}
services.*.deploy.resources.reservations |  | {"memory": "64m"}
services.*.deploy.resources.reservations.devices |  | [{"capabilities": ["gpu"]}]
services.*.deploy.resources.reservations.generic_resources |  | [{"x": 1}]
services.*.deploy.restart_policy |  | {"condition": "any"}
services.*.deploy.restart_policy.delay | app {"deploy": {"restart_policy": {"condition": "on-failure"}}} | "7s"
services.*.deploy.restart_policy.max_attempts | app {"deploy": {"restart_policy": {"condition": "on-failure"}}} | 7
services.*.deploy.restart_policy.window | app {"deploy": {"restart_policy": {"condition": "on-failure"}}} | "7s"
services.*.deploy.rollback_config |  | {"parallelism": 7}
services.*.deploy.update_config |  | {"parallelism": 7}
services.*.develop |  | {"watch": [{"path": ".", "action": "rebuild"}]}
services.*.devices |  | ["/dev/null"]
services.*.devices |  | ["vendor.example/class=name"]
services.*.devices[].source |  | "/dev/zero"
services.*.env_file |  | ["./app.env"]
services.*.env_file[].format |  | "raw"
services.*.env_file[].path |  | "./other.env"
services.*.env_file[].required | app {"env_file": [{"path": "./missing.env"}]} | false
services.*.expose |  | ["7070-7071", "7072/udp"]
services.*.extends |  | {"service": "template"}
services.*.extends.file | app {"extends": {"service": "template"}} | "./other.yml"
services.*.extends.service | app {"extends": {"service": "template"}} | "template2"
services.*.gpus |  | "all"
services.*.gpus |  | [{"driver": "example", "count": 2}]
services.*.healthcheck |  | {"test": ["CMD", "true"]}
services.*.healthcheck.disable | app {"healthcheck": {"test": ["CMD", "true"]}} | true
services.*.healthcheck.interval | app {"healthcheck": {"test": ["CMD", "true"]}} | "7s"
services.*.healthcheck.retries | app {"healthcheck": {"test": ["CMD", "true"]}} | 7
services.*.healthcheck.start_interval | app {"healthcheck": {"test": ["CMD", "true"]}} | "7s"
services.*.healthcheck.start_period | app {"healthcheck": {"test": ["CMD", "true"]}} | "7s"
services.*.healthcheck.timeout | app {"healthcheck": {"test": ["CMD", "true"]}} | "7s"
services.*.isolation |  | "process"
services.*.label_file |  | "./labels.env"
services.*.links |  | ["kafka:broker"]
services.*.logging |  | {"driver": "local"}
services.*.models |  | ["m"]
services.*.network_mode | app {"networks": null} | "host"
services.*.network_mode | app {"networks": null} | "none"
services.*.networks |  | {"net": {"aliases": ["other"]}}
services.*.networks.*.ipv4_address |  | "10.77.0.9"
services.*.networks.*.ipv6_address |  | "fd00::9"
services.*.networks.*.link_local_ips |  | ["169.254.7.7"]
services.*.networks.*.priority | app {"networks": {"alpha": {}}} | 7
services.*.ports |  | [{"target": 7070, "published": "17070"}]
services.*.ports[].host_ip |  | "127.0.0.1"
services.*.ports[].published |  | "17070"
services.*.ports[].protocol |  | "udp"
services.*.post_start |  | [{"command": "x"}]
services.*.pre_stop |  | [{"command": "x"}]
services.*.provider |  | {"type": "x"}
services.*.pull_policy |  | "always"
services.*.pull_policy |  | "daily"
services.*.pull_policy | app {"image": "example/absent:1"} | "never"
services.*.restart |  | "always"
services.*.scale |  | 0
services.*.scale |  | 7
services.*.secrets |  | [{"source": "sec", "target": "other"}]
services.*.secrets[].source | top {"secrets": {"sec2": {"file": "./other.txt"}}} | "sec2"
services.*.secrets[].uid | top {"secrets": {"sec": {"file": null, "environment": "SET"}}} | "7"
services.*.secrets[].gid | top {"secrets": {"sec": {"file": null, "environment": "SET"}}} | "7"
services.*.secrets[].mode | top {"secrets": {"sec": {"file": null, "environment": "SET"}}} | "0400"
services.*.secrets[].uid |  | "7"
services.*.secrets[].gid |  | "7"
services.*.secrets[].mode |  | "0400"
services.*.stop_signal |  | "SIGINT"
services.*.tmpfs |  | ["/run/t:size=64m,mode=700"]
services.*.ulimits |  | {"nproc": 7}
services.*.user |  | "1234:5678"
services.*.volumes |  | [{"type": "bind", "source": "./d", "target": "/d"}]
services.*.volumes[].bind | app {"volumes": [{"type": "bind", "source": "./d", "target": "/d"}]} | {"propagation": "shared"}
services.*.volumes[].bind |  | {"propagation": "shared"}
services.*.volumes[].bind.create_host_path | app {"volumes": [{"type": "bind", "source": "./d", "target": "/d"}]} | false
services.*.volumes[].bind.propagation | app {"volumes": [{"type": "bind", "source": "./d", "target": "/d"}]} | "shared"
services.*.volumes[].bind.recursive | app {"volumes": [{"type": "bind", "source": "./d", "target": "/d"}]} | "readonly"
services.*.volumes[].bind.selinux | app {"volumes": [{"type": "bind", "source": "./d", "target": "/d"}]} | "Z"
services.*.volumes[].image | app {"volumes": [{"type": "image", "source": "example/i", "target": "/i"}]} | {"subpath": "x"}
services.*.volumes[].image |  | {"subpath": "x"}
services.*.volumes[].image.subpath | app {"volumes": [{"type": "image", "source": "example/i", "target": "/i"}]} | "x"
services.*.volumes[].read_only | app {"volumes": [{"type": "tmpfs", "target": "/t"}]} | true
services.*.volumes[].read_only | app {"volumes": [{"type": "bind", "source": "./d", "target": "/d"}]} | true
services.*.volumes[].source | app {"volumes": [{"type": "bind", "source": "./d", "target": "/d"}]} | "./other"
services.*.volumes[].target |  | "/other"
services.*.volumes[].tmpfs | app {"volumes": [{"type": "tmpfs", "target": "/t"}]} | {"size": "64m"}
services.*.volumes[].tmpfs |  | {"size": "64m"}
services.*.volumes[].tmpfs.mode | app {"volumes": [{"type": "tmpfs", "target": "/t"}]} | 448
services.*.volumes[].tmpfs.size | app {"volumes": [{"type": "tmpfs", "target": "/t"}]} | "64m"
services.*.volumes[].volume |  | {"subpath": "x"}
services.*.volumes[].volume | app {"volumes": [{"type": "bind", "source": "./d", "target": "/d"}]} | {"subpath": "x"}
services.*.volumes_from |  | ["db:ro"]
services.*.working_dir |  | "/work"
volumes.*.driver_opts |  | {"type": "none", "o": "bind", "device": "FOLDER/bound"}
volumes.*.driver_opts |  | {"type": "nfs", "o": "addr=192.0.2.7"}
"#;

fn examples() -> Vec<(&'static str, Value, Value)> {
    let json = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let lines = EXAMPLES.lines().filter(|line| !line.is_empty());
    let row = |line: &'static str| {
        let mut cells = line.splitn(3, " | ");
        let (path, around, value) = (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap());
        let around = match around.split_once(' ') {
            Some(("app", patch)) => json!({ "services": { "app": json(patch) } }),
            Some(("top", patch)) => json(patch),
            _ => json!({}),
        };
        (path, around, json(value))
    };
    lines.map(row).collect()
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
