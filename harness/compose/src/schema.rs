//! The keys of the compose specification, the shape of their values, and what each runtime makes of them: one table.
//! It must not look at a document; [`crate::canonical`] walks documents by it, and [`crate::unheeded`] the completed
//! project.

use crate::effect::Effect::{self, Acts, Missed, Moot, Unless, When, WithoutEffect};
use crate::effect::{Case, Target, but, why::*};

/// The shape of a value, and with it its canonical form.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Anything, left as it is.
    Any,
    /// A string.
    Str,
    /// A string, number or boolean, to a string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A boolean, or a string that says one.
    Bool,
    /// An integer, or a string that says one.
    Int,
    /// A number, or a string that says one.
    Number,
    /// A size such as `64m`, to bytes.
    Bytes,
    /// A duration such as `1m30s`, to Go's spelling.
    Duration,
    /// A list.
    List(&'static Shape),
    /// One string or a list of strings, to a list.
    StrOrList,
    /// A mapping with free keys.
    MapOf(&'static Shape),
    /// A mapping or a list of `KEY=value`, to a mapping of strings; a missing value becomes the empty string.
    Labels,
    /// The same where a missing value is taken from where we run.
    Env,
    /// A mapping with known keys.
    Object(&'static Object),
    /// The same, or nothing.
    Maybe(&'static Object),
    /// A shape with a short form of its own.
    Short(Short),
}

/// Shapes whose short forms need code.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Short {
    Build,
    Command,
    Contexts,
    DependsOn,
    Develop,
    Devices,
    EnvFile,
    Extends,
    External,
    ExtraHosts,
    FileMounts,
    Gpus,
    HealthTest,
    Hooks,
    Include,
    Mode,
    Models,
    Networks,
    Path,
    Paths,
    Ports,
    Provider,
    Ulimits,
    Volume,
    Volumes,
}

/// One key of a mapping.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub shape: Shape,
    docker: Effect,
    process: Effect,
}

impl Field {
    /// What comes of it there.
    pub(crate) fn effect(&self, target: Target) -> Effect {
        match target {
            Target::Docker => self.docker,
            Target::Process => self.process,
        }
    }
}

/// A key, the shape of its value, and what comes of it on a Docker engine and as processes.
const fn key(name: &'static str, shape: Shape, docker: Effect, process: Effect) -> Field {
    Field { name, shape, docker, process }
}

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Object {
    pub fields: &'static [Field],
    pub required: &'static [&'static str],
}

const fn object(fields: &'static [Field]) -> Object {
    Object { fields, required: &[] }
}

impl Object {
    /// The key of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Shape {
    /// The mapping with known keys that a value of this shape is or holds, in its canonical form.
    pub(crate) fn inner(&self) -> Option<(Holds, &'static Object)> {
        match self {
            Shape::Object(object) | Shape::Maybe(object) => Some((Holds::Itself, object)),
            Shape::List(inner) => inner.inner().map(|(_, object)| (Holds::Items, object)),
            Shape::MapOf(inner) => inner.inner().map(|(_, object)| (Holds::Members, object)),
            Shape::Short(form) => match form {
                Short::Build => Some((Holds::Itself, &BUILD)),
                Short::DependsOn => Some((Holds::Members, &DEPENDENCY)),
                Short::Devices => Some((Holds::Items, &DEVICE)),
                Short::EnvFile => Some((Holds::Items, &ENV_FILE)),
                Short::Extends => Some((Holds::Itself, &EXTENDS)),
                Short::FileMounts => Some((Holds::Items, &FILE_MOUNT)),
                Short::Include => Some((Holds::Items, &INCLUDE)),
                Short::Networks => Some((Holds::Members, &ATTACHMENT)),
                Short::Ports => Some((Holds::Items, &PORT)),
                Short::Ulimits => Some((Holds::Members, &ULIMIT)),
                Short::Volume => Some((Holds::Itself, &VOLUME)),
                Short::Volumes => Some((Holds::Items, &MOUNT)),
                Short::Command | Short::External | Short::ExtraHosts => None,
                Short::HealthTest | Short::Mode | Short::Path | Short::Paths => None,
                Short::Contexts | Short::Develop | Short::Gpus => None,
                Short::Hooks | Short::Models | Short::Provider => None,
            },
            _ => None,
        }
    }
}

/// Where the mappings with known keys are in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The value itself.
    Itself,
    /// The items of a list.
    Items,
    /// The values of a mapping with free keys.
    Members,
}

use Shape::{
    Any, Bool, Bytes, Duration, Env, Int, Labels, List, MapOf, Maybe, Number, OneOf, Str, StrOrList, Text,
};

/// Where images are pulled that are missing, unless the file says something else of those that are.
const PULL: Effect =
    When(Case::Kafka, &WithoutEffect(NOTHING_PULLED), &Unless(&["always"], &WithoutEffect(PULL_TIMES)));

/// How many containers a service has.
const COUNT: Effect = Unless(&["0", "1"], &WithoutEffect(ONE_EACH));

/// The top level of a file.
pub(crate) static TOP: Object = object(&[
    key("configs", MapOf(&Maybe(&CONFIG)), Acts, Acts),
    key("include", Shape::Short(Short::Include), Acts, Acts),
    key("models", MapOf(&Any), WithoutEffect(MODELS), WithoutEffect(MODELS)),
    key("name", Str, Acts, Acts),
    key("networks", MapOf(&Maybe(&NETWORK)), Acts, Acts),
    key("secrets", MapOf(&Maybe(&SECRET)), Acts, Acts),
    key("services", MapOf(&Shape::Object(&SERVICE)), Acts, Acts),
    key("version", Text, Moot(SAID_ELSEWHERE), Moot(SAID_ELSEWHERE)),
    key("volumes", MapOf(&Shape::Short(Short::Volume)), Acts, Acts),
]);

/// One service.
pub(crate) static SERVICE: Object = object(&[
    key("annotations", Labels, Acts, WithoutEffect(NO_CONTAINER)),
    key("attach", Bool, Acts, Acts),
    key("blkio_config", Any, Acts, WithoutEffect(UNLIMITED)),
    key("build", Shape::Short(Short::Build), WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("cap_add", List(&Str), Acts, WithoutEffect(RIGHTS)),
    key("cap_drop", List(&Str), Acts, Missed(RIGHTS)),
    key("cgroup", OneOf(&["host", "private"]), Acts, WithoutEffect(NO_CONTAINER)),
    key("cgroup_parent", Str, Acts, WithoutEffect(UNLIMITED)),
    key("command", Shape::Short(Short::Command), Acts, Acts),
    key("configs", Shape::Short(Short::FileMounts), Acts, Acts),
    key("container_name", Str, Acts, Acts),
    key("cpu_count", Int, Acts, WithoutEffect(UNLIMITED)),
    key("cpu_percent", Number, Acts, WithoutEffect(UNLIMITED)),
    key("cpu_period", Int, Acts, WithoutEffect(UNLIMITED)),
    key("cpu_quota", Int, Acts, WithoutEffect(UNLIMITED)),
    key("cpu_rt_period", Int, Acts, WithoutEffect(UNLIMITED)),
    key("cpu_rt_runtime", Int, Acts, WithoutEffect(UNLIMITED)),
    key("cpu_shares", Int, Acts, WithoutEffect(UNLIMITED)),
    key("cpus", Number, Acts, WithoutEffect(UNLIMITED)),
    key("cpuset", Str, Acts, WithoutEffect(UNLIMITED)),
    key("credential_spec", Any, WithoutEffect(WINDOWS), WithoutEffect(WINDOWS)),
    key("depends_on", Shape::Short(Short::DependsOn), Acts, Acts),
    key("deploy", Maybe(&DEPLOY), Acts, Acts),
    key("develop", Shape::Short(Short::Develop), WithoutEffect(WATCH), WithoutEffect(WATCH)),
    key("device_cgroup_rules", List(&Str), Acts, WithoutEffect(RIGHTS)),
    key("devices", Shape::Short(Short::Devices), Acts, WithoutEffect(RIGHTS)),
    key("dns", StrOrList, Acts, WithoutEffect(DNS)),
    key("dns_opt", List(&Str), Acts, WithoutEffect(DNS)),
    key("dns_search", StrOrList, Acts, WithoutEffect(DNS)),
    key("domainname", Str, Acts, WithoutEffect(DNS)),
    key("entrypoint", Shape::Short(Short::Command), Acts, Acts),
    key("env_file", Shape::Short(Short::EnvFile), Acts, Acts),
    key("environment", Env, Acts, Acts),
    key("expose", List(&Text), Acts, Moot(REACHED_ANYWAY)),
    key("extends", Shape::Short(Short::Extends), Acts, Acts),
    key("external_links", List(&Str), Acts, WithoutEffect(OUTSIDE_LINK)),
    key("extra_hosts", Shape::Short(Short::ExtraHosts), Acts, Acts),
    key("gpus", Shape::Short(Short::Gpus), Acts, WithoutEffect(RIGHTS)),
    key("group_add", List(&Text), Acts, WithoutEffect(RIGHTS)),
    key("healthcheck", Shape::Object(&HEALTHCHECK), Acts, Acts),
    key("hostname", Str, Acts, Acts),
    key("image", Str, Acts, Acts),
    key("init", Bool, Acts, Moot(ENDS_ITS_OWN)),
    key("ipc", Str, Acts, WithoutEffect(NO_CONTAINER)),
    key("isolation", Str, Acts, WithoutEffect(NO_CONTAINER)),
    key("label_file", Shape::Short(Short::Paths), Acts, WithoutEffect(NO_CONTAINER)),
    key("labels", Labels, Acts, WithoutEffect(NO_CONTAINER)),
    key("links", List(&Str), Acts, Acts),
    key("logging", Shape::Object(&LOGGING), Acts, WithoutEffect(LOG_FILE)),
    key("mac_address", Str, Acts, WithoutEffect(LOOPBACK)),
    key("mem_limit", Bytes, Acts, WithoutEffect(UNLIMITED)),
    key("mem_reservation", Bytes, Acts, WithoutEffect(UNLIMITED)),
    key("mem_swappiness", Bytes, Acts, WithoutEffect(UNLIMITED)),
    key("memswap_limit", Bytes, Acts, WithoutEffect(UNLIMITED)),
    key("models", Shape::Short(Short::Models), WithoutEffect(MODELS), WithoutEffect(MODELS)),
    key("network_mode", Str, Acts, Unless(&["host", "bridge", "service:*"], &Missed(ISOLATION))),
    key("networks", Shape::Short(Short::Networks), Acts, Acts),
    key("oom_kill_disable", Bool, Acts, WithoutEffect(UNLIMITED)),
    key("oom_score_adj", Int, Acts, WithoutEffect(UNLIMITED)),
    key("pid", Str, Acts, WithoutEffect(NO_CONTAINER)),
    key("pids_limit", Int, Acts, WithoutEffect(UNLIMITED)),
    key("platform", Str, but(Case::Kafka, &WithoutEffect(STANDS_IN)), WithoutEffect(STANDS_IN)),
    key("ports", Shape::Short(Short::Ports), Acts, Acts),
    key("post_start", Shape::Short(Short::Hooks), Missed(HOOKS), Missed(HOOKS)),
    key("pre_stop", Shape::Short(Short::Hooks), Missed(HOOKS), Missed(HOOKS)),
    key("privileged", Bool, Acts, WithoutEffect(RIGHTS)),
    key("profiles", List(&Str), Acts, Acts),
    key("provider", Shape::Short(Short::Provider), WithoutEffect(PROVIDERS), WithoutEffect(PROVIDERS)),
    key(
        "pull_policy",
        Str,
        Unless(&["missing", "if_not_present", "never"], &PULL),
        Unless(&["missing", "if_not_present", "never"], &WithoutEffect(NOTHING_PULLED)),
    ),
    key("pull_refresh_after", Str, WithoutEffect(PULL_TIMES), WithoutEffect(NOTHING_PULLED)),
    key("read_only", Bool, Acts, Missed(READ_ONLY)),
    key("restart", Str, Acts, Acts),
    key("runtime", Str, Acts, WithoutEffect(NO_CONTAINER)),
    key("scale", Int, COUNT, COUNT),
    key("secrets", Shape::Short(Short::FileMounts), Acts, Acts),
    key("security_opt", List(&Str), Acts, Missed(RIGHTS)),
    key("shm_size", Bytes, Acts, WithoutEffect(UNLIMITED)),
    key("stdin_open", Bool, Acts, WithoutEffect(NO_CONTAINER)),
    key("stop_grace_period", Duration, Acts, Acts),
    key("stop_signal", Str, Acts, Acts),
    key("storage_opt", MapOf(&Text), Acts, WithoutEffect(UNLIMITED)),
    key("sysctls", Labels, Acts, WithoutEffect(LOOPBACK)),
    key("tmpfs", StrOrList, Acts, Acts),
    key("tty", Bool, Acts, WithoutEffect(NO_CONTAINER)),
    key("ulimits", Shape::Short(Short::Ulimits), Acts, WithoutEffect(UNLIMITED)),
    key("use_api_socket", Bool, WithoutEffect(API_SOCKET), WithoutEffect(API_SOCKET)),
    key("user", Str, Acts, Unless(&["root", "root:root", "0", "0:0"], &Missed(USER))),
    key("userns_mode", Str, Acts, WithoutEffect(NO_CONTAINER)),
    key("uts", Str, Acts, WithoutEffect(NO_CONTAINER)),
    key("volumes", Shape::Short(Short::Volumes), Acts, Acts),
    key("volumes_from", List(&Str), Acts, Missed(MACHINE_FILES)),
    key("working_dir", Str, Acts, Acts),
]);

/// `build` in its long form.
pub(crate) static BUILD: Object = object(&[
    key(
        "additional_contexts",
        Shape::Short(Short::Contexts),
        WithoutEffect(NOT_BUILT),
        WithoutEffect(NOT_BUILT),
    ),
    key("args", Env, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("cache_from", List(&Str), WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("cache_to", List(&Str), WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("context", Str, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("dockerfile", Str, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("dockerfile_inline", Str, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("entitlements", List(&Str), WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("extra_hosts", Shape::Short(Short::ExtraHosts), WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("isolation", Str, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("labels", Labels, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("network", Str, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("no_cache", Bool, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("platforms", List(&Str), WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("privileged", Bool, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("provenance", Text, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("pull", Bool, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("sbom", Text, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("secrets", Shape::Short(Short::FileMounts), WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("shm_size", Bytes, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("ssh", Any, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("tags", List(&Str), WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("target", Str, WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
    key("ulimits", Shape::Short(Short::Ulimits), WithoutEffect(NOT_BUILT), WithoutEffect(NOT_BUILT)),
]);

/// One entry of `depends_on` in its long form.
pub(crate) static DEPENDENCY: Object = object(&[
    key(
        "condition",
        OneOf(&["service_started", "service_healthy", "service_completed_successfully"]),
        Acts,
        Acts,
    ),
    key("required", Bool, Acts, Acts),
    key("restart", Bool, Acts, Acts),
]);

/// `healthcheck`.
pub(crate) static HEALTHCHECK: Object = object(&[
    key("disable", Bool, Acts, Acts),
    key("interval", Duration, Acts, Acts),
    key("retries", Int, Acts, Acts),
    key("start_interval", Duration, Acts, Moot(ASKED_SOONER)),
    key("start_period", Duration, Acts, Acts),
    key("test", Shape::Short(Short::HealthTest), Acts, Acts),
    key("timeout", Duration, Acts, Acts),
]);

static LOGGING: Object = object(&[
    key("driver", Str, Acts, WithoutEffect(LOG_FILE)),
    key("options", MapOf(&Text), Acts, WithoutEffect(LOG_FILE)),
]);

static DEPLOY: Object = object(&[
    key("endpoint_mode", Str, WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("labels", Labels, WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key(
        "mode",
        Str,
        Unless(&["replicated"], &WithoutEffect(ONE_EACH)),
        Unless(&["replicated"], &WithoutEffect(ONE_EACH)),
    ),
    key("placement", Shape::Object(&PLACEMENT), WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("replicas", Int, COUNT, COUNT),
    key("resources", Shape::Object(&RESOURCES), Acts, WithoutEffect(UNLIMITED)),
    key("restart_policy", Shape::Object(&RESTART_POLICY), Acts, Acts),
    key("rollback_config", Shape::Object(&UPDATE_CONFIG), WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("update_config", Shape::Object(&UPDATE_CONFIG), WithoutEffect(SWARM), WithoutEffect(SWARM)),
]);

static PLACEMENT: Object = object(&[
    key("constraints", List(&Str), WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("max_replicas_per_node", Int, WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("preferences", List(&Shape::Object(&PREFERENCE)), WithoutEffect(SWARM), WithoutEffect(SWARM)),
]);

static PREFERENCE: Object = object(&[key("spread", Str, WithoutEffect(SWARM), WithoutEffect(SWARM))]);

static RESOURCES: Object = object(&[
    key("limits", Shape::Object(&LIMITS), Acts, WithoutEffect(UNLIMITED)),
    key("reservations", Shape::Object(&RESERVATIONS), Acts, WithoutEffect(UNLIMITED)),
]);

static LIMITS: Object = object(&[
    key("cpus", Number, Acts, WithoutEffect(UNLIMITED)),
    key("memory", Bytes, Acts, WithoutEffect(UNLIMITED)),
    key("pids", Int, Acts, WithoutEffect(UNLIMITED)),
]);

static RESERVATIONS: Object = object(&[
    key("cpus", Number, WithoutEffect(SWARM), WithoutEffect(UNLIMITED)),
    key("devices", Any, Acts, WithoutEffect(UNLIMITED)),
    key("generic_resources", Any, WithoutEffect(SWARM), WithoutEffect(UNLIMITED)),
    key("memory", Bytes, Acts, WithoutEffect(UNLIMITED)),
]);

static RESTART_POLICY: Object = object(&[
    key("condition", OneOf(&["none", "on-failure", "any", "always", "unless-stopped"]), Acts, Acts),
    key("delay", Duration, WithoutEffect(DELAYS), WithoutEffect(DELAYS)),
    key("max_attempts", Int, Acts, Acts),
    key("window", Duration, WithoutEffect(DELAYS), WithoutEffect(DELAYS)),
]);

static UPDATE_CONFIG: Object = object(&[
    key("delay", Duration, WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("failure_action", Str, WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("max_failure_ratio", Number, WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("monitor", Duration, WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("order", OneOf(&["start-first", "stop-first"]), WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("parallelism", Int, WithoutEffect(SWARM), WithoutEffect(SWARM)),
]);

/// One network of a service.
pub(crate) static ATTACHMENT: Object = object(&[
    key("aliases", List(&Str), Acts, Acts),
    key("driver_opts", MapOf(&Text), Acts, WithoutEffect(LOOPBACK)),
    key("gw_priority", Int, Acts, WithoutEffect(LOOPBACK)),
    key("interface_name", Str, Acts, WithoutEffect(LOOPBACK)),
    key("ipv4_address", Str, Acts, Acts),
    key("ipv6_address", Str, Acts, Acts),
    key("link_local_ips", List(&Str), Acts, WithoutEffect(LOOPBACK)),
    key("mac_address", Str, Acts, WithoutEffect(LOOPBACK)),
    key("priority", Int, Acts, WithoutEffect(LOOPBACK)),
]);

/// One port in its long form.
pub(crate) static PORT: Object = Object {
    fields: &[
        key("app_protocol", Str, Moot(DOCUMENTS), Moot(DOCUMENTS)),
        key("host_ip", Str, Acts, Acts),
        key("mode", Str, Moot(SWARM_PORT), Moot(SWARM_PORT)),
        key("name", Str, Moot(DOCUMENTS), Moot(DOCUMENTS)),
        key("protocol", OneOf(&["tcp", "udp", "sctp"]), Acts, Unless(&["tcp"], &WithoutEffect(TCP_ONLY))),
        key("published", Text, Acts, Acts),
        key("target", Int, Acts, Acts),
    ],
    required: &["target"],
};

/// One mount in its long form.
pub(crate) static MOUNT: Object = Object {
    fields: &[
        key(
            "bind",
            Shape::Object(&BIND),
            but(Case::OtherMount("bind"), &WithoutEffect(OTHER_TYPE)),
            but(Case::OtherMount("bind"), &WithoutEffect(OTHER_TYPE)),
        ),
        key("consistency", Str, Moot(OLD_MACS), Moot(OLD_MACS)),
        key(
            "image",
            Shape::Object(&IMAGE_MOUNT),
            but(Case::OtherMount("image"), &WithoutEffect(OTHER_TYPE)),
            WithoutEffect(ENGINE_MOUNT),
        ),
        key("read_only", Bool, Acts, WithoutEffect(READ_ONLY)),
        key("source", Str, Acts, Acts),
        key("target", Str, Acts, Acts),
        key(
            "tmpfs",
            Shape::Object(&TMPFS),
            but(Case::OtherMount("tmpfs"), &WithoutEffect(OTHER_TYPE)),
            WithoutEffect(FOLDER),
        ),
        key(
            "type",
            OneOf(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]),
            Acts,
            Unless(&["bind", "volume", "tmpfs"], &Missed(ENGINE_MOUNT)),
        ),
        key(
            "volume",
            Shape::Object(&VOLUME_MOUNT),
            but(Case::OtherMount("volume"), &WithoutEffect(OTHER_TYPE)),
            but(Case::OtherMount("volume"), &WithoutEffect(OTHER_TYPE)),
        ),
    ],
    required: &["type"],
};

static BIND: Object = object(&[
    key("create_host_path", Bool, Acts, Acts),
    key("propagation", Str, Acts, WithoutEffect(FOLDER)),
    key("recursive", OneOf(&["enabled", "disabled", "writable", "readonly"]), Acts, WithoutEffect(FOLDER)),
    key("selinux", OneOf(&["z", "Z"]), Acts, WithoutEffect(NO_CONTAINER)),
]);

static VOLUME_MOUNT: Object = object(&[
    key("labels", Labels, Acts, WithoutEffect(FOLDER)),
    key("nocopy", Bool, Acts, Moot(STARTS_EMPTY)),
    key("subpath", Str, Acts, Acts),
]);

static TMPFS: Object =
    object(&[key("mode", Int, Acts, WithoutEffect(FOLDER)), key("size", Bytes, Acts, WithoutEffect(FOLDER))]);

static IMAGE_MOUNT: Object = object(&[key("subpath", Str, Acts, WithoutEffect(ENGINE_MOUNT))]);

/// One secret or config of a service in its long form.
pub(crate) static FILE_MOUNT: Object = object(&[
    key("gid", Text, but(Case::HostFile, &Missed(FILE_RIGHTS)), Missed(USER)),
    key(
        "mode",
        Shape::Short(Short::Mode),
        but(Case::HostFile, &Missed(FILE_RIGHTS)),
        but(Case::HostFile, &Missed(FILE_RIGHTS)),
    ),
    key("source", Str, Acts, Acts),
    key("target", Str, Acts, Acts),
    key("uid", Text, but(Case::HostFile, &Missed(FILE_RIGHTS)), Missed(USER)),
]);

/// One `env_file` in its long form.
pub(crate) static ENV_FILE: Object = Object {
    fields: &[
        key("format", Str, Acts, Acts),
        key("path", Str, Acts, Acts),
        key("required", Bool, Acts, Acts),
    ],
    required: &["path"],
};

/// `extends` in its long form.
pub(crate) static EXTENDS: Object = Object {
    fields: &[key("file", Str, Acts, Acts), key("service", Str, Acts, Acts)],
    required: &["service"],
};

/// One `include` in its long form.
pub(crate) static INCLUDE: Object = object(&[
    key("env_file", StrOrList, Acts, Acts),
    key("path", StrOrList, Acts, Acts),
    key("project_directory", Str, Acts, Acts),
]);

/// One entry of `ulimits` in its long form.
pub(crate) static ULIMIT: Object = Object {
    fields: &[
        key("hard", Int, Acts, WithoutEffect(UNLIMITED)),
        key("soft", Int, Acts, WithoutEffect(UNLIMITED)),
    ],
    required: &["hard", "soft"],
};

/// One entry of `devices` in its long form.
pub(crate) static DEVICE: Object = Object {
    fields: &[
        key("permissions", Str, Acts, WithoutEffect(RIGHTS)),
        key("source", Str, Acts, WithoutEffect(RIGHTS)),
        key("target", Str, Acts, WithoutEffect(RIGHTS)),
    ],
    required: &["source"],
};

static NETWORK: Object = object(&[
    key("attachable", Bool, Acts, WithoutEffect(LOOPBACK)),
    key("driver", Str, Acts, Unless(&["bridge", "default"], &WithoutEffect(LOOPBACK))),
    key("driver_opts", MapOf(&Text), Acts, WithoutEffect(LOOPBACK)),
    key("enable_ipv4", Bool, Acts, Unless(&["true"], &WithoutEffect(LOOPBACK))),
    key("enable_ipv6", Bool, Acts, WithoutEffect(LOOPBACK)),
    key("external", Shape::Short(Short::External), Acts, WithoutEffect(OTHER_PROJECTS)),
    key("internal", Bool, Acts, Missed(ISOLATION)),
    key("ipam", Shape::Object(&IPAM), Acts, WithoutEffect(LOOPBACK)),
    key("labels", Labels, Acts, WithoutEffect(LOOPBACK)),
    key("name", Str, Acts, Moot(KEY_IS_NAME)),
]);

static IPAM: Object = object(&[
    key("config", List(&Shape::Object(&POOL)), Acts, WithoutEffect(LOOPBACK)),
    key("driver", Str, Acts, WithoutEffect(LOOPBACK)),
    key("options", MapOf(&Text), Acts, WithoutEffect(LOOPBACK)),
]);

static POOL: Object = object(&[
    key("aux_addresses", MapOf(&Str), Acts, WithoutEffect(LOOPBACK)),
    key("gateway", Str, Acts, WithoutEffect(LOOPBACK)),
    key("ip_range", Str, Acts, WithoutEffect(LOOPBACK)),
    key("subnet", Str, Acts, WithoutEffect(LOOPBACK)),
]);

/// One volume.
pub(crate) static VOLUME: Object = object(&[
    key("driver", Str, Acts, Unless(&["local"], &Missed(VOLUME_DRIVER))),
    key("driver_opts", MapOf(&Text), Acts, but(Case::NotAFolder, &Missed(VOLUME_DRIVER))),
    key("external", Shape::Short(Short::External), Acts, Acts),
    key("labels", Labels, Acts, WithoutEffect(FOLDER)),
    key("name", Str, Acts, Acts),
]);

static SECRET: Object = object(&[
    key("driver", Str, Missed(FILE_DRIVER), Missed(FILE_DRIVER)),
    key("driver_opts", MapOf(&Text), Missed(FILE_DRIVER), Missed(FILE_DRIVER)),
    key("environment", Str, Acts, Acts),
    key("external", Shape::Short(Short::External), Acts, Acts),
    key("file", Shape::Short(Short::Path), Acts, Acts),
    key("labels", Labels, WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("name", Str, Moot(KEY_IS_NAME), Moot(KEY_IS_NAME)),
    key("template_driver", Str, Missed(FILE_DRIVER), Missed(FILE_DRIVER)),
]);

static CONFIG: Object = object(&[
    key("content", Str, Acts, Acts),
    key("environment", Str, Acts, Acts),
    key("external", Shape::Short(Short::External), Acts, Acts),
    key("file", Shape::Short(Short::Path), Acts, Acts),
    key("labels", Labels, WithoutEffect(SWARM), WithoutEffect(SWARM)),
    key("name", Str, Moot(KEY_IS_NAME), Moot(KEY_IS_NAME)),
    key("template_driver", Str, Missed(FILE_DRIVER), Missed(FILE_DRIVER)),
]);
