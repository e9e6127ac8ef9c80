//! A compose project as the rest of the harness sees it: short forms expanded, values typed, spans kept.
//! It must not read files or judge values; [`crate::load`] fills it and raises the diagnostics.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::source::{Span, Spanned};
use crate::unheeded::Unheeded;

/// Everything that one set of compose files says, after interpolation, merging and profiles.
#[derive(Clone, Debug)]
pub struct Project {
    /// Project name by Docker Compose's rule: `-p`, `COMPOSE_PROJECT_NAME`, `name:`, the directory's name.
    pub name: Spanned<String>,
    /// Relative paths are relative to this directory (absolute).
    pub working_dir: PathBuf,
    /// The files as given, without those that were included.
    pub files: Vec<PathBuf>,
    /// Enabled services, in the order of the files.
    pub services: Vec<Service>,
    /// Services that no active profile enables, by name.
    pub disabled_services: Vec<Spanned<String>>,
    /// Networks that some enabled service uses, `default` among them where it is implied.
    pub networks: Vec<Network>,
    /// Named volumes that are declared.
    pub volumes: Vec<Volume>,
    /// Secrets that are declared.
    pub secrets: Vec<FileObject>,
    /// Configs that are declared.
    pub configs: Vec<FileObject>,
    /// Env files that services want and that are not there.
    pub missing_env_files: Vec<MissingEnvFile>,
    /// Keys of the file from which nothing comes on one of the runtimes, in its order.
    pub unheeded: Vec<Unheeded>,
    /// The canonical form, equal in content to `docker compose config --format json`.
    pub canonical: Value,
}

impl Project {
    /// The enabled service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name.value == name)
    }

    /// The network with that key in the file.
    pub fn network(&self, key: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.key.value == key)
    }

    /// The volume with that key in the file.
    pub fn volume(&self, key: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.key.value == key)
    }
}

/// One service.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Key under `services`.
    pub name: Spanned<String>,
    /// `image`, interpolated.
    pub image: Option<Spanned<String>>,
    /// `build`, long form.
    pub build: Option<Build>,
    /// `container_name`.
    pub container_name: Option<Spanned<String>>,
    /// `hostname`.
    pub hostname: Option<Spanned<String>>,
    /// `domainname`.
    pub domainname: Option<String>,
    /// `user`.
    pub user: Option<Spanned<String>>,
    /// `working_dir`, in the container.
    pub working_dir: Option<String>,
    /// `platform`.
    pub platform: Option<String>,
    /// `pull_policy`.
    pub pull_policy: Option<String>,
    /// `command`; an empty list clears the image's.
    pub command: Option<Spanned<Vec<String>>>,
    /// `entrypoint`; an empty list clears the image's.
    pub entrypoint: Option<Spanned<Vec<String>>>,
    /// `env_file`s and `environment` together, later entries already merged over earlier ones, by name.
    pub environment: Vec<EnvVar>,
    /// `attach`: whether an attached `up` shows what it says.
    pub attach: bool,
    /// `links`: services, each with the name by which this one knows it.
    pub links: Vec<(String, String)>,
    /// `ports`, ranges expanded to one entry per container port.
    pub ports: Vec<Port>,
    /// `expose`, as written (`9092`, `9092/udp`, `9000-9002`).
    pub expose: Vec<Spanned<String>>,
    /// `volumes` and `tmpfs`.
    pub mounts: Vec<Mount>,
    /// `networks`; `default` where none is named and `network_mode` is absent.
    pub networks: Vec<Attachment>,
    /// `network_mode`.
    pub network_mode: Option<Spanned<String>>,
    /// `depends_on`, with the conditions that are implied by links and shared namespaces.
    pub depends_on: Vec<Dependency>,
    /// `healthcheck`.
    pub healthcheck: Option<Healthcheck>,
    /// `restart` or `deploy.restart_policy`.
    pub restart: Restart,
    /// `deploy.replicas` or `scale`.
    pub replicas: u32,
    /// `labels`.
    pub labels: Vec<(String, String)>,
    /// `extra_hosts`: name and address (may be `host-gateway`).
    pub extra_hosts: Vec<Spanned<(String, String)>>,
    /// `ulimits`: name, soft, hard (-1 is unlimited).
    pub ulimits: Vec<(String, i64, i64)>,
    /// `sysctls`.
    pub sysctls: Vec<(String, String)>,
    /// `secrets` mounted into the container.
    pub secrets: Vec<FileMount>,
    /// `configs` mounted into the container.
    pub configs: Vec<FileMount>,
    /// `logging`.
    pub logging: Option<Logging>,
    /// `stop_grace_period`; Docker's default is 10 s.
    pub stop_grace_period: Option<Duration>,
    /// `stop_signal`; Docker's default is the image's, else SIGTERM.
    pub stop_signal: Option<Spanned<String>>,
    /// `profiles`.
    pub profiles: Vec<Spanned<String>>,
    /// `init`.
    pub init: Option<bool>,
    /// `privileged`.
    pub privileged: bool,
    /// `read_only`: the root file system.
    pub read_only: bool,
    /// `tty`.
    pub tty: bool,
    /// `stdin_open`.
    pub stdin_open: bool,
    /// `cap_add`.
    pub cap_add: Vec<String>,
    /// `cap_drop`.
    pub cap_drop: Vec<String>,
    /// `group_add`.
    pub group_add: Vec<String>,
    /// `security_opt`.
    pub security_opt: Vec<String>,
    /// `dns`.
    pub dns: Vec<String>,
    /// `shm_size`.
    pub shm_size_bytes: Option<u64>,
    /// `mem_limit` or `deploy.resources.limits.memory`.
    pub memory_limit_bytes: Option<u64>,
    /// `cpus` or `deploy.resources.limits.cpus`.
    pub cpus: Option<f64>,
    /// The whole service in canonical form, for keys that have no field here.
    pub canonical: Value,
}

impl Service {
    /// The value a container sees for `name`; none where it is unset or passed through from nothing.
    pub fn env(&self, name: &str) -> Option<&Spanned<String>> {
        self.environment.iter().find(|var| var.name.value == name).and_then(|var| var.value.as_ref())
    }

    /// Whether that is its name, its container's or its host's.
    pub fn is_called(&self, name: &str) -> bool {
        let others = [&self.container_name, &self.hostname];
        self.name.value == name || others.into_iter().flatten().any(|other| other.value == name)
    }

    /// Every name by which other containers on the network with that key reach this service.
    pub fn names_on(&self, network_key: &str) -> Vec<&str> {
        let Some(attachment) = self.networks.iter().find(|n| n.key.value == network_key) else {
            return Vec::new();
        };
        let mut names = vec![self.name.value.as_str()];
        names.extend(attachment.aliases.iter().map(|alias| alias.value.as_str()));
        names.extend(self.container_name.as_ref().map(|name| name.value.as_str()));
        // Since Docker 20.10 (`buildEndpointDNSNames` in the daemon).
        names.extend(self.hostname.as_ref().map(|name| name.value.as_str()));
        names.extend(attachment.ipv4_address.as_deref());
        names.extend(attachment.ipv6_address.as_deref());
        names
    }
}

/// An `env_file` that is not there.
#[derive(Clone, Debug)]
pub struct MissingEnvFile {
    /// The service that wants it.
    pub service: String,
    /// The path as it was written, and where.
    pub path: Spanned<String>,
}

/// `logging`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    /// The engine's default where it is absent.
    pub driver: Option<String>,
    /// Options of the driver.
    pub options: Vec<(String, String)>,
}

/// `build` in its long form; Jackdaw never builds, it only reports.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// Directory or URL.
    pub context: String,
    /// Relative to the context.
    pub dockerfile: Option<String>,
    /// Where `build` was written.
    pub span: Span,
}

/// One variable of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvVar {
    /// Name; its span is the name alone.
    pub name: Spanned<String>,
    /// Value; its span is the value alone. None: neither given nor set where we run, so the container lacks it.
    pub value: Option<Spanned<String>>,
}

/// What the host's side of a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Chosen when the container starts.
    Ephemeral,
    /// This one.
    Port(u16),
    /// The first free one between the two, both included.
    AnyOf(u16, u16),
}

/// `tcp`, `udp` or `sctp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The default.
    #[default]
    Tcp,
    /// User datagrams.
    Udp,
    /// Stream control transmission.
    Sctp,
}

/// One published container port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Host address; none means all of them.
    pub host_ip: Option<String>,
    /// The host's side.
    pub published: Published,
    /// The container's side.
    pub target: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Where it was written.
    pub span: Span,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// A volume by its key under `volumes`.
    Volume(String),
    /// A volume without a name.
    Anonymous,
    /// A path of the host (absolute). `create` as Docker does for the short form.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// Whether a missing directory is made.
        create: bool,
    },
    /// Memory.
    Tmpfs {
        /// Upper bound.
        size_bytes: Option<u64>,
        /// Permission bits.
        mode: Option<u32>,
        /// The options of the short form `tmpfs: PATH:OPTIONS` as they were written.
        options: Option<String>,
    },
    /// Kinds that only some engines know (`npipe`, `cluster`, `image`), by name and source.
    Other(String, String),
}

/// One mount of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Absolute path in the container.
    pub target: String,
    /// `ro`.
    pub read_only: bool,
    /// What else is said of it.
    pub options: MountOptions,
    /// Where it was written.
    pub span: Span,
}

/// Options of a mount that few files use.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MountOptions {
    /// `bind.propagation`.
    pub propagation: Option<String>,
    /// `bind.recursive`.
    pub recursive: Option<String>,
    /// `bind.selinux`.
    pub selinux: Option<String>,
    /// `volume.nocopy`.
    pub nocopy: bool,
    /// `volume.subpath` or `image.subpath`.
    pub subpath: Option<String>,
    /// `volume.labels`.
    pub labels: Vec<(String, String)>,
}

/// One network of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Key under `networks`.
    pub key: Spanned<String>,
    /// Further names on this network.
    pub aliases: Vec<Spanned<String>>,
    /// Fixed address.
    pub ipv4_address: Option<String>,
    /// Fixed address.
    pub ipv6_address: Option<String>,
    /// `priority`: the network with the highest is the first.
    pub priority: i64,
    /// The whole attachment in canonical form, for keys that have no field here.
    pub canonical: Value,
}

/// When a dependency counts as met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `service_started`
    Started,
    /// `service_healthy`
    Healthy,
    /// `service_completed_successfully`
    CompletedSuccessfully,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Condition::Started => "service_started",
            Condition::Healthy => "service_healthy",
            Condition::CompletedSuccessfully => "service_completed_successfully",
        })
    }
}

/// One entry of `depends_on`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The other service.
    pub service: Spanned<String>,
    /// When it counts as met.
    pub condition: Condition,
    /// False: a missing or failing dependency is only warned about.
    pub required: bool,
    /// Whether this service restarts when the other is recreated.
    pub restart: bool,
}

/// What a healthcheck runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthTest {
    /// `NONE` or `disable: true`: the image's own check is switched off.
    Disabled,
    /// Absent: the image's own check with other times.
    Inherited,
    /// `CMD`: arguments.
    Command(Vec<String>),
    /// `CMD-SHELL`, or a plain string.
    Shell(String),
}

/// `healthcheck`; absent times are Docker's (30 s, 30 s, 3 retries, 0 s, 5 s).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthcheck {
    /// What is run.
    pub test: HealthTest,
    /// Between two runs.
    pub interval: Option<Duration>,
    /// Upper bound for one run.
    pub timeout: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<u64>,
    /// Failures do not count during this time.
    pub start_period: Option<Duration>,
    /// Between two runs during the start period.
    pub start_interval: Option<Duration>,
    /// Where `healthcheck` was written.
    pub span: Span,
}

/// What happens when a container ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Nothing.
    #[default]
    No,
    /// It is started again, also when the engine starts.
    Always,
    /// As `Always`, unless it was stopped by hand.
    UnlessStopped,
    /// It is started again after a non-zero exit.
    OnFailure {
        /// Upper bound for attempts.
        max_retries: Option<u32>,
    },
}

/// A declared network.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Key under `networks`.
    pub key: Spanned<String>,
    /// Name in the engine: `PROJECT_KEY` unless `name` says otherwise.
    pub name: String,
    /// It exists already and is not made or removed by us.
    pub external: bool,
    /// `driver`; the engine's default is `bridge`.
    pub driver: Option<String>,
    /// `driver_opts`.
    pub driver_opts: Vec<(String, String)>,
    /// `internal`: no way out.
    pub internal: bool,
    /// `attachable`.
    pub attachable: bool,
    /// `enable_ipv4`, where it says so.
    pub enable_ipv4: Option<bool>,
    /// `enable_ipv6`.
    pub enable_ipv6: bool,
    /// `ipam.driver`.
    pub ipam_driver: Option<String>,
    /// `ipam.options`.
    pub ipam_options: Vec<(String, String)>,
    /// `ipam.config[].subnet` (and `gateway`, `ip_range`).
    pub subnets: Vec<Subnet>,
    /// `labels`.
    pub labels: Vec<(String, String)>,
}

/// One address pool of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subnet {
    /// CIDR.
    pub subnet: Option<String>,
    /// Address of the gateway.
    pub gateway: Option<String>,
    /// CIDR inside the subnet.
    pub ip_range: Option<String>,
    /// Addresses that are given to nobody, by name.
    pub aux_addresses: Vec<(String, String)>,
}

/// A declared volume.
#[derive(Clone, Debug, Default)]
pub struct Volume {
    /// Key under `volumes`.
    pub key: Spanned<String>,
    /// Name in the engine: `PROJECT_KEY` unless `name` says otherwise.
    pub name: String,
    /// It exists already and is not made or removed by us.
    pub external: bool,
    /// `driver`; the engine's default is `local`.
    pub driver: Option<String>,
    /// `driver_opts`.
    pub driver_opts: Vec<(String, String)>,
    /// `labels`.
    pub labels: Vec<(String, String)>,
}

impl Volume {
    /// The folder of the host that the volume is, where its options say so.
    pub fn bound_folder(&self) -> Option<PathBuf> {
        let is_local = self.driver.as_deref().is_none_or(|driver| driver == "local");
        let option = |key: &str| Some(self.driver_opts.iter().find(|(name, _)| name == key)?.1.clone());
        bound_folder(&option).filter(|_| is_local)
    }
}

/// The folder that the options of the driver `local` bind: `type: none`, `o: bind`, `device: FOLDER`.
pub(crate) fn bound_folder(option: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let is_none = option("type").is_none_or(|kind| matches!(kind.as_str(), "none" | ""));
    let binds = option("o")?.split(',').any(|word| matches!(word.trim(), "bind" | "rbind"));
    option("device").filter(|_| is_none && binds).map(PathBuf::from)
}

/// A declared secret or config.
#[derive(Clone, Debug)]
pub struct FileObject {
    /// Key under `secrets` or `configs`.
    pub key: Spanned<String>,
    /// Name in the engine.
    pub name: String,
    /// Where its content is.
    pub content: FileContent,
}

/// Where a secret or config gets its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileContent {
    /// `file`, absolute path on the host.
    File(PathBuf),
    /// `environment`: the variable's value where we run, none if unset.
    Environment(String, Option<String>),
    /// `content`.
    Inline(String),
    /// `external`: the engine has it.
    External,
}

/// A secret or config as one service mounts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMount {
    /// Key under `secrets` or `configs`.
    pub source: Spanned<String>,
    /// Absolute path in the container.
    pub target: String,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u64>,
    /// Owning group.
    pub gid: Option<u64>,
}
