//! What a runtime makes of a key of the compose specification, and the reasons where that is nothing.
//! It must not look at a document; [`crate::unheeded`] does, by the rows of [`crate::schema`].

use crate::yaml::{Kind, Node};

/// Where services run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// As containers of a Docker engine.
    Docker,
    /// As processes of this machine.
    Process,
}

impl Target {
    /// Both of them.
    pub const ALL: [Target; 2] = [Target::Docker, Target::Process];

    /// The end of "`key` has no effect …".
    pub(crate) fn words(self) -> &'static str {
        match self {
            Target::Docker => "on a Docker engine",
            Target::Process => "where services run as processes",
        }
    }
}

/// What comes of a key.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// Something is made of it. Of an object that acts, each key says so for itself.
    Acts,
    /// Nothing is made of it and nothing is missing: what it asks for is so anyway, or it only documents.
    Moot(&'static str),
    /// Nothing is made of it. A hint says so.
    WithoutEffect(&'static str),
    /// Nothing is made of it, and whoever wrote it relies on it: rights, isolation, data. A warning says so.
    Missed(&'static str),
    /// These values act, or are what happens anyway; a `*` at the end stands for any rest. Any other value has the
    /// effect that follows.
    Unless(&'static [&'static str], &'static Effect),
    /// In that case the first, else the second.
    When(Case, &'static Effect, &'static Effect),
}

/// Cases that only what stands around a key decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// The service's image is one that this program stands in for.
    Kafka,
    /// The secret or config is a file of the host.
    HostFile,
    /// The volume is something else than a folder of the host under a volume's name (`type: none`, `o: bind`).
    NotAFolder,
    /// The mount is of another type.
    OtherMount(&'static str),
}

impl Case {
    /// The case in words, for the documentation.
    fn words(self) -> String {
        match self {
            Case::Kafka => String::from("on Kafka's services"),
            Case::HostFile => String::from("where the content is a `file`"),
            Case::NotAFolder => {
                String::from("unless they name a folder of the host (`type: none`, `o: bind`)")
            }
            Case::OtherMount(kind) => format!("on a mount of another type than `{kind}`"),
        }
    }
}

/// It acts, but for one case.
pub(crate) const fn but(case: Case, effect: &'static Effect) -> Effect {
    Effect::When(case, effect, &Effect::Acts)
}

impl Effect {
    /// The cell of the documentation.
    pub fn words(self) -> String {
        match self {
            Effect::Acts => String::from("acts"),
            Effect::Moot(why) => format!("not needed: {why}"),
            Effect::WithoutEffect(why) => format!("without effect: {why}"),
            Effect::Missed(why) => format!("**without effect**: {why}"),
            Effect::Unless(values, other) => {
                let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                format!("{}: as written; else {}", values.join(", "), other.words())
            }
            Effect::When(case, then, other) => {
                format!("{}, {}; else {}", case.words(), then.words(), other.words())
            }
        }
    }

    /// Whether some value of it acts somewhere.
    pub fn can_act(self) -> bool {
        matches!(self, Effect::Acts | Effect::Unless(..) | Effect::When(..))
    }
}

/// A value that asks for nothing.
pub(crate) fn is_off(value: &Node) -> bool {
    match &value.kind {
        Kind::Null | Kind::Bool(false) | Kind::Int(0) => true,
        Kind::Bool(_) | Kind::Int(_) => false,
        Kind::Float(number) => *number == 0.0,
        Kind::Str(text) => text.is_empty() || text == "0",
        Kind::Seq(items) => items.is_empty(),
        Kind::Map(entries) => entries.is_empty(),
    }
}

/// Whether a value is one of a list, in which `x*` stands for whatever begins with `x`.
pub(crate) fn is_among(value: &Node, values: &[&str]) -> bool {
    let Some(text) = value.scalar_text() else { return false };
    values.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == *known,
    })
}

/// The reasons, as ends of "it has no effect: …". One reason is said once for all keys that share it.
pub(crate) mod why {
    pub(crate) const NO_CONTAINER: &str = "there is no container, only a process of this machine";
    pub(crate) const UNLIMITED: &str = "a process has the limits of whoever starts it";
    pub(crate) const RIGHTS: &str =
        "a process has the rights of whoever starts it, and sees the whole machine";
    pub(crate) const READ_ONLY: &str = "nothing keeps a process from writing there";
    pub(crate) const USER: &str = "a process runs as whoever starts it, and what it writes is theirs";
    pub(crate) const LOOPBACK: &str =
        "processes have the network of this machine, each with a loopback address";
    pub(crate) const ISOLATION: &str =
        "processes have the network of this machine, and can reach whatever it reaches";
    pub(crate) const DNS: &str =
        "a process resolves the file's names by a table, others as this machine does";
    pub(crate) const LOG_FILE: &str = "what a process says goes to a file that is cut at its size";
    pub(crate) const MACHINE_FILES: &str = "a process has the files of this machine";
    pub(crate) const FOLDER: &str = "an ordinary folder of this machine takes its place";
    pub(crate) const VOLUME_DRIVER: &str = "volumes are folders in JACKDAW_HOME: `up` refuses any other kind";
    pub(crate) const ENGINE_MOUNT: &str = "only an engine can mount that: nothing is there";
    pub(crate) const NOT_BUILT: &str = "no image is built: the named one is taken as it is";
    pub(crate) const STANDS_IN: &str = "this program stands in for Kafka's images";
    pub(crate) const NOTHING_PULLED: &str = "nothing is pulled: this program stands in for Kafka's images";
    pub(crate) const PULL_TIMES: &str = "an image is pulled where it is missing, or `always`, or `never`";
    pub(crate) const ONE_EACH: &str = "each service has one container";
    pub(crate) const SWARM: &str = "only a swarm obeys it";
    pub(crate) const FILE_RIGHTS: &str = "the file is mounted as it is, with its own owner and rights";
    pub(crate) const WATCH: &str = "there is no `watch`";
    pub(crate) const HOOKS: &str = "hooks are not run";
    pub(crate) const MODELS: &str = "models are not run";
    pub(crate) const PROVIDERS: &str = "providers are not called";
    pub(crate) const API_SOCKET: &str = "the engine's socket is not handed in: mount /var/run/docker.sock";
    pub(crate) const WINDOWS: &str = "it is for containers of Windows";
    pub(crate) const DOCUMENTS: &str = "it documents the port, and no engine looks at it";
    pub(crate) const SWARM_PORT: &str = "outside of a swarm it makes no difference";
    pub(crate) const OLD_MACS: &str = "it was for old engines on macOS";
    pub(crate) const TCP_ONLY: &str = "only TCP is forwarded to processes";
    pub(crate) const SAID_ELSEWHERE: &str = "every Compose of today ignores it";
    pub(crate) const REACHED_ANYWAY: &str = "services reach each other's ports in any case";
    pub(crate) const ENDS_ITS_OWN: &str = "what a service leaves behind is ended with it";
    pub(crate) const ASKED_SOONER: &str = "while it starts, a process is asked ten times a second";
    pub(crate) const STARTS_EMPTY: &str = "a volume starts empty";
    pub(crate) const KEY_IS_NAME: &str = "it is known by its key";
    pub(crate) const DELAYS: &str = "engines choose the delay between restarts: it doubles from 0.1 s";
    pub(crate) const FILE_DRIVER: &str =
        "drivers for secrets and configs are a swarm's: the content is taken as it is";
    pub(crate) const OTHER_PROJECTS: &str =
        "processes of different projects share no network: reach them by the ports that they publish";
    pub(crate) const OTHER_TYPE: &str = "it says nothing for a mount of this type";
    pub(crate) const OUTSIDE_LINK: &str = "a process knows only the services of its file by name";
}
