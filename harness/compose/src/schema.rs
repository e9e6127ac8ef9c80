//! The keys of the compose specification and the shape of their values: one table.
//! It must not look at a document; [`crate::canonical`] walks documents by it.

/// The shape of a value, and with it its canonical form.
#[derive(Debug)]
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
    DependsOn,
    Devices,
    EnvFile,
    Extends,
    External,
    ExtraHosts,
    FileMounts,
    HealthTest,
    Include,
    Mode,
    Networks,
    Path,
    Ports,
    Ulimits,
    Volumes,
}

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Object {
    pub fields: &'static [(&'static str, Shape)],
    pub required: &'static [&'static str],
}

const fn object(fields: &'static [(&'static str, Shape)]) -> Object {
    Object { fields, required: &[] }
}

use Shape::{
    Any, Bool, Bytes, Duration, Env, Int, Labels, List, MapOf, Maybe, Number, OneOf, Str, StrOrList, Text,
};

/// The top level of a file.
pub(crate) static TOP: Object = object(&[
    ("configs", MapOf(&Maybe(&CONFIG))),
    ("include", Shape::Short(Short::Include)),
    ("models", MapOf(&Any)),
    ("name", Str),
    ("networks", MapOf(&Maybe(&NETWORK))),
    ("secrets", MapOf(&Maybe(&SECRET))),
    ("services", MapOf(&Shape::Object(&SERVICE))),
    ("version", Text),
    ("volumes", MapOf(&Maybe(&VOLUME))),
]);

/// One service.
pub(crate) static SERVICE: Object = object(&[
    ("annotations", Labels),
    ("attach", Bool),
    ("blkio_config", Any),
    ("build", Shape::Short(Short::Build)),
    ("cap_add", List(&Str)),
    ("cap_drop", List(&Str)),
    ("cgroup", OneOf(&["host", "private"])),
    ("cgroup_parent", Str),
    ("command", Shape::Short(Short::Command)),
    ("configs", Shape::Short(Short::FileMounts)),
    ("container_name", Str),
    ("cpu_count", Int),
    ("cpu_percent", Number),
    ("cpu_period", Int),
    ("cpu_quota", Int),
    ("cpu_rt_period", Int),
    ("cpu_rt_runtime", Int),
    ("cpu_shares", Int),
    ("cpus", Number),
    ("cpuset", Str),
    ("credential_spec", Any),
    ("depends_on", Shape::Short(Short::DependsOn)),
    ("deploy", Maybe(&DEPLOY)),
    ("develop", Any),
    ("device_cgroup_rules", List(&Str)),
    ("devices", Shape::Short(Short::Devices)),
    ("dns", StrOrList),
    ("dns_opt", List(&Str)),
    ("dns_search", StrOrList),
    ("domainname", Str),
    ("entrypoint", Shape::Short(Short::Command)),
    ("env_file", Shape::Short(Short::EnvFile)),
    ("environment", Env),
    ("expose", List(&Text)),
    ("extends", Shape::Short(Short::Extends)),
    ("external_links", List(&Str)),
    ("extra_hosts", Shape::Short(Short::ExtraHosts)),
    ("gpus", Any),
    ("group_add", List(&Text)),
    ("healthcheck", Shape::Object(&HEALTHCHECK)),
    ("hostname", Str),
    ("image", Str),
    ("init", Bool),
    ("ipc", Str),
    ("isolation", Str),
    ("label_file", StrOrList),
    ("labels", Labels),
    ("links", List(&Str)),
    ("logging", Shape::Object(&LOGGING)),
    ("mac_address", Str),
    ("mem_limit", Bytes),
    ("mem_reservation", Bytes),
    ("mem_swappiness", Bytes),
    ("memswap_limit", Bytes),
    ("models", Any),
    ("network_mode", Str),
    ("networks", Shape::Short(Short::Networks)),
    ("oom_kill_disable", Bool),
    ("oom_score_adj", Int),
    ("pid", Str),
    ("pids_limit", Int),
    ("platform", Str),
    ("ports", Shape::Short(Short::Ports)),
    ("post_start", Any),
    ("pre_stop", Any),
    ("privileged", Bool),
    ("profiles", List(&Str)),
    ("provider", Any),
    ("pull_policy", Str),
    ("pull_refresh_after", Str),
    ("read_only", Bool),
    ("restart", Str),
    ("runtime", Str),
    ("scale", Int),
    ("secrets", Shape::Short(Short::FileMounts)),
    ("security_opt", List(&Str)),
    ("shm_size", Bytes),
    ("stdin_open", Bool),
    ("stop_grace_period", Duration),
    ("stop_signal", Str),
    ("storage_opt", MapOf(&Text)),
    ("sysctls", Labels),
    ("tmpfs", StrOrList),
    ("tty", Bool),
    ("ulimits", Shape::Short(Short::Ulimits)),
    ("use_api_socket", Bool),
    ("user", Str),
    ("userns_mode", Str),
    ("uts", Str),
    ("volumes", Shape::Short(Short::Volumes)),
    ("volumes_from", List(&Str)),
    ("working_dir", Str),
]);

/// `build` in its long form.
pub(crate) static BUILD: Object = object(&[
    ("additional_contexts", Labels),
    ("args", Env),
    ("cache_from", List(&Str)),
    ("cache_to", List(&Str)),
    ("context", Str),
    ("dockerfile", Str),
    ("dockerfile_inline", Str),
    ("entitlements", List(&Str)),
    ("extra_hosts", Shape::Short(Short::ExtraHosts)),
    ("isolation", Str),
    ("labels", Labels),
    ("network", Str),
    ("no_cache", Bool),
    ("platforms", List(&Str)),
    ("privileged", Bool),
    ("provenance", Text),
    ("pull", Bool),
    ("sbom", Text),
    ("secrets", Shape::Short(Short::FileMounts)),
    ("shm_size", Bytes),
    ("ssh", Any),
    ("tags", List(&Str)),
    ("target", Str),
    ("ulimits", Shape::Short(Short::Ulimits)),
]);

/// One entry of `depends_on` in its long form.
pub(crate) static DEPENDENCY: Object = object(&[
    ("condition", OneOf(&["service_started", "service_healthy", "service_completed_successfully"])),
    ("required", Bool),
    ("restart", Bool),
]);

/// `healthcheck`.
pub(crate) static HEALTHCHECK: Object = object(&[
    ("disable", Bool),
    ("interval", Duration),
    ("retries", Int),
    ("start_interval", Duration),
    ("start_period", Duration),
    ("test", Shape::Short(Short::HealthTest)),
    ("timeout", Duration),
]);

static LOGGING: Object = object(&[("driver", Str), ("options", MapOf(&Text))]);

static DEPLOY: Object = object(&[
    ("endpoint_mode", Str),
    ("labels", Labels),
    ("mode", Str),
    ("placement", Shape::Object(&PLACEMENT)),
    ("replicas", Int),
    ("resources", Shape::Object(&RESOURCES)),
    ("restart_policy", Shape::Object(&RESTART_POLICY)),
    ("rollback_config", Shape::Object(&UPDATE_CONFIG)),
    ("update_config", Shape::Object(&UPDATE_CONFIG)),
]);

static PLACEMENT: Object = object(&[
    ("constraints", List(&Str)),
    ("max_replicas_per_node", Int),
    ("preferences", List(&Shape::Object(&PREFERENCE))),
]);

static PREFERENCE: Object = object(&[("spread", Str)]);

static RESOURCES: Object =
    object(&[("limits", Shape::Object(&LIMITS)), ("reservations", Shape::Object(&RESERVATIONS))]);

static LIMITS: Object = object(&[("cpus", Number), ("memory", Bytes), ("pids", Int)]);

static RESERVATIONS: Object =
    object(&[("cpus", Number), ("devices", Any), ("generic_resources", Any), ("memory", Bytes)]);

static RESTART_POLICY: Object = object(&[
    ("condition", OneOf(&["none", "on-failure", "any", "always", "unless-stopped"])),
    ("delay", Duration),
    ("max_attempts", Int),
    ("window", Duration),
]);

static UPDATE_CONFIG: Object = object(&[
    ("delay", Duration),
    ("failure_action", Str),
    ("max_failure_ratio", Number),
    ("monitor", Duration),
    ("order", OneOf(&["start-first", "stop-first"])),
    ("parallelism", Int),
]);

/// One network of a service.
pub(crate) static ATTACHMENT: Object = object(&[
    ("aliases", List(&Str)),
    ("driver_opts", MapOf(&Text)),
    ("gw_priority", Int),
    ("interface_name", Str),
    ("ipv4_address", Str),
    ("ipv6_address", Str),
    ("link_local_ips", List(&Str)),
    ("mac_address", Str),
    ("priority", Int),
]);

/// One port in its long form.
pub(crate) static PORT: Object = Object {
    fields: &[
        ("app_protocol", Str),
        ("host_ip", Str),
        ("mode", Str),
        ("name", Str),
        ("protocol", OneOf(&["tcp", "udp", "sctp"])),
        ("published", Text),
        ("target", Int),
    ],
    required: &["target"],
};

/// One mount in its long form.
pub(crate) static MOUNT: Object = Object {
    fields: &[
        ("bind", Shape::Object(&BIND)),
        ("consistency", Str),
        ("image", Shape::Object(&IMAGE_MOUNT)),
        ("read_only", Bool),
        ("source", Str),
        ("target", Str),
        ("tmpfs", Shape::Object(&TMPFS)),
        ("type", OneOf(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
        ("volume", Shape::Object(&VOLUME_MOUNT)),
    ],
    required: &["type"],
};

static BIND: Object = object(&[
    ("create_host_path", Bool),
    ("propagation", Str),
    ("recursive", OneOf(&["enabled", "disabled", "writable", "readonly"])),
    ("selinux", OneOf(&["z", "Z"])),
]);

static VOLUME_MOUNT: Object = object(&[("labels", Labels), ("nocopy", Bool), ("subpath", Str)]);

static TMPFS: Object = object(&[("mode", Int), ("size", Bytes)]);

static IMAGE_MOUNT: Object = object(&[("subpath", Str)]);

/// One secret or config of a service in its long form.
pub(crate) static FILE_MOUNT: Object = object(&[
    ("gid", Text),
    ("mode", Shape::Short(Short::Mode)),
    ("source", Str),
    ("target", Str),
    ("uid", Text),
]);

/// One `env_file` in its long form.
pub(crate) static ENV_FILE: Object =
    Object { fields: &[("format", Str), ("path", Str), ("required", Bool)], required: &["path"] };

/// `extends` in its long form.
pub(crate) static EXTENDS: Object =
    Object { fields: &[("file", Str), ("service", Str)], required: &["service"] };

/// One `include` in its long form.
pub(crate) static INCLUDE: Object =
    object(&[("env_file", StrOrList), ("path", StrOrList), ("project_directory", Str)]);

/// One entry of `ulimits` in its long form.
pub(crate) static ULIMIT: Object =
    Object { fields: &[("hard", Int), ("soft", Int)], required: &["hard", "soft"] };

/// One entry of `devices` in its long form.
pub(crate) static DEVICE: Object =
    Object { fields: &[("permissions", Str), ("source", Str), ("target", Str)], required: &["source"] };

static NETWORK: Object = object(&[
    ("attachable", Bool),
    ("driver", Str),
    ("driver_opts", MapOf(&Text)),
    ("enable_ipv4", Bool),
    ("enable_ipv6", Bool),
    ("external", Shape::Short(Short::External)),
    ("internal", Bool),
    ("ipam", Shape::Object(&IPAM)),
    ("labels", Labels),
    ("name", Str),
]);

static IPAM: Object =
    object(&[("config", List(&Shape::Object(&POOL))), ("driver", Str), ("options", MapOf(&Text))]);

static POOL: Object =
    object(&[("aux_addresses", MapOf(&Str)), ("gateway", Str), ("ip_range", Str), ("subnet", Str)]);

static VOLUME: Object = object(&[
    ("driver", Str),
    ("driver_opts", MapOf(&Text)),
    ("external", Shape::Short(Short::External)),
    ("labels", Labels),
    ("name", Str),
]);

static SECRET: Object = object(&[
    ("driver", Str),
    ("driver_opts", MapOf(&Text)),
    ("environment", Str),
    ("external", Shape::Short(Short::External)),
    ("file", Shape::Short(Short::Path)),
    ("labels", Labels),
    ("name", Str),
    ("template_driver", Str),
]);

static CONFIG: Object = object(&[
    ("content", Str),
    ("environment", Str),
    ("external", Shape::Short(Short::External)),
    ("file", Shape::Short(Short::Path)),
    ("labels", Labels),
    ("name", Str),
    ("template_driver", Str),
]);
