//! Every code that a diagnostic can carry: one table of number, severity, title and explanation.
//! Numbers are stable for ever: a code that is no longer raised keeps its number and is never given away again.

use std::fmt;
use std::str::FromStr;

use crate::diagnostic::Severity;

macro_rules! codes {
    ($($number:literal $name:ident $severity:ident $title:literal $explanation:literal)*) => {
        /// A stable code, printed as `JK` and four digits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name = $number,)*
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The severity with which it is usually raised.
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }

            /// A few words: what is wrong.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }

            /// Why it matters and what to do, for `jackdaw explain`.
            pub fn explanation(self) -> &'static str {
                match self { $(Code::$name => $explanation,)* }
            }
        }
    };
}

// 1 to 19 text and YAML, 20 to 29 variables, 30 to 99 the compose model,
// 100 to 199 one node and its image, 200 to 299 the cluster, 300 to 399 scenarios. Gone: 214.
codes! {
    1 YamlSyntax Error "not YAML"
        "The text cannot be read as YAML. The usual reasons are a tab used for indentation, a missing \
         space after a colon, an unclosed quote, or an entry that is indented differently from its \
         neighbours."
    2 MultipleDocuments Hint "more than one YAML document"
        "A file with several documents, separated by `---`, is read as Compose reads it: each \
         document is merged over the one before, as if they were files of their own."
    3 DuplicateKey Error "a key is given twice"
        "In one mapping a key may be given once. Most YAML readers would silently keep one of the two \
         values, and it is seldom the one that was meant."
    4 UnknownTag Error "unknown YAML tag"
        "Only the YAML core tags (`!!str`, `!!int`, …) and Compose's `!reset` and `!override` mean \
         something in a compose file."
    5 MergeKey Error "merge key without a mapping"
        "`<<` takes a mapping, an alias of one, or a list of such aliases, as in `<<: *defaults` or `<<: \
         [*a, *b]`."
    6 FileNotFound Error "file cannot be read"
        "A file that was named on the command line, in COMPOSE_FILE, in `include`, `extends` or `label_file` \
         does not exist or cannot be read. Relative paths in a compose file are relative to the directory of \
         the project."
    7 NotAMapping Error "not a compose file"
        "A compose file is a mapping whose keys are `services`, `networks`, `volumes`, `secrets`, \
         `configs`, `name`, `include` and `x-…` extensions."
    8 AliasBomb Error "aliases expand to too much"
        "Aliases of aliases grow the document beyond any sensible compose file. Such a document is \
         refused before it fills the memory."
    20 InvalidInterpolation Error "malformed variable"
        "A `$` starts a variable: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, \
         `${NAME:?message}`, `${NAME?message}`, `${NAME:+replacement}` or `${NAME+replacement}`. A dollar \
         sign before anything that is no name stays as it is; before a name it is written `$$`."
    21 RequiredVariable Error "required variable is not set"
        "`${NAME:?message}` demands that NAME is set and not empty, `${NAME?message}` that it is set. Set \
         it in the environment, in `.env`, or in a file given with `--env-file`."
    22 UnsetVariable Warning "variable is not set"
        "The variable is set neither in the environment nor in `.env`, and no default is given, so the \
         empty string stands in its place. `${NAME:-default}` gives a default."
    23 EnvFileNotFound Error "env file cannot be read"
        "A file named in `env_file` or with `--env-file` does not exist. `env_file` may be written in \
         long form with `required: false` where the file is optional."
    24 EnvFileSyntax Error "malformed env file"
        "A line of an env file is `NAME=value`, `export NAME=value`, a bare NAME that is passed through, \
         or a comment that starts with `#`. Quoted values must end with the quote they began with."
    30 UnknownKey Error "unknown key"
        "The compose specification has no such key at this place; whatever was meant by it would not \
         happen. Keys of your own must start with `x-`."
    31 WrongType Error "value of the wrong type"
        "The compose specification expects another kind of value here: a mapping, a list, a string, a \
         number or a boolean. A list entry starts with `- `, a mapping entry is `key: value`."
    32 InvalidValue Error "value cannot be understood"
        "The value has the right type, but it is not one of those that the compose specification knows \
         here."
    33 MissingImage Error "service without image or build"
        "A service needs `image` or `build` (or an `extends` that brings one of them), or there is \
         nothing to run."
    34 UndefinedNetwork Error "network is not declared"
        "A network that a service names must be declared under the top-level `networks`; an empty entry \
         `NAME:` is enough."
    35 UndefinedVolume Error "volume is not declared"
        "A named volume that a service mounts must be declared under the top-level `volumes`; an empty \
         entry `NAME:` is enough. If a folder of the host was meant, its path must start with `./`, `/` \
         or `~`."
    36 UndefinedSecret Error "secret is not declared"
        "A secret that a service uses must be declared under the top-level `secrets`."
    37 UndefinedConfig Error "config is not declared"
        "A config that a service uses must be declared under the top-level `configs`."
    38 UndefinedService Error "service is not declared"
        "`depends_on`, `links`, `network_mode: service:…`, `volumes_from` and `extends` may only name \
         services of the project."
    39 DependencyCycle Error "services wait for each other"
        "The services wait for each other in a circle, so none of them could be started first. Brokers of \
         one cluster need no `depends_on` between them: they find each other."
    40 ObsoleteVersion Hint "`version` has no meaning"
        "The top-level `version` was needed by old releases of Compose. It is ignored, and may be \
         removed."
    41 InvalidProjectName Error "invalid project name"
        "A project name consists of lower-case letters, digits, `-` and `_`, and starts with a letter or \
         a digit."
    42 InvalidPort Error "invalid port"
        "A port is `[[HOST_IP:]HOST_PORT:]CONTAINER_PORT[/PROTOCOL]`, where both ports may be ranges of \
         the same length, or the long form with `target` and `published`. Ports are 1 to 65535. Quote the \
         short form: YAML may read `22:22` as a number."
    43 InvalidDuration Error "invalid duration"
        "A duration is a number with a unit, or several of them: `500ms`, `30s`, `1m30s`. A number \
         without a unit is refused."
    44 InvalidMount Error "invalid volume"
        "A volume is `[SOURCE:]TARGET[:OPTIONS]` with an absolute TARGET, or the long form with `type`, \
         `source` and `target`."
    45 ExtendsMissing Error "nothing to extend"
        "`extends` names a service that the file does not have."
    46 ExtendsCycle Error "services extend each other"
        "A service extends itself through others, so it could never be complete."
    47 IncludeCycle Error "files include each other"
        "A file includes itself through others."
    48 NoServices Error "nothing to run"
        "No service is declared, or the active profiles enable none. Profiles are activated with \
         `--profile NAME` or COMPOSE_PROFILES."
    49 DisabledDependency Error "depends on a service that no profile enables"
        "A service that is enabled depends on one that is not. Activate the profile, or write the \
         dependency in long form with `required: false`."
    50 DuplicateContainerName Error "container name is taken twice"
        "Container names are unique on an engine, so the second container could not be made."
    51 DuplicatePublishedPort Error "host port is published twice"
        "Two services publish the same host port on the same address, so the second one could not start. \
         Give one of them another host port, and remember to advertise it."
    52 MissingField Error "a required key is missing"
        "The long form needs this key."
    53 ConflictingKeys Error "keys exclude each other"
        "Both keys decide the same thing in different ways, so Compose refuses the file."
    54 ReplicasNeedNames Error "one container name for several replicas"
        "A fixed `container_name` can be given to one container only, so the service cannot have more \
         than one replica."
    55 UnheededKey Hint "key has no effect here"
        "The key is one of the compose specification's, and nothing comes of it where these services run. As processes \
         of this machine they have no container whose limits, logs or labels could be set; on a Docker engine nearly \
         every key acts. harness/compose/keys.md lists every key with what comes of it and why."
    56 MissedKey Warning "key that somebody relies on has no effect here"
        "The key protects something, keeps something apart or says where data goes, and nothing comes of it where these \
         services run. With `--runtime docker` nearly every key acts. harness/compose/keys.md lists every key with what \
         comes of it and why."
    100 NearMissVariable Warning "variable is nearly one that is known"
        "The name is one or two letters away from a variable that the image knows. The image ignores it, \
         so the setting it stands for is not made. For a cluster id that means: each node of the original \
         image makes up an id of its own, and the quorum never forms (INCONSISTENT_CLUSTER_ID). Jackdaw \
         derives one id from the voters, so the cluster starts all the same."
    101 MeaninglessVariable Hint "variable has no meaning here"
        "The variable tunes the Java virtual machine or the image's own scripts. Jackdaw has neither, so \
         the variable is accepted and has no effect."
    102 ZooKeeperMode Warning "ZooKeeper mode"
        "The broker is configured to keep its metadata in ZooKeeper. Jackdaw speaks KRaft only, which Kafka has had since \
         2.8 and which is the only mode since 4.0. The brokers of one ensemble run as one KRaft quorum: each is \
         broker and controller, its id is its broker id, and a listener for the controllers is added. The ZooKeeper \
         services are not started where nobody else asks them, and nobody waits for them. With `--zookeeper refuse`, \
         and where a node is on its way from the one to the other, the file is refused with what would make KRaft \
         nodes of its own."
    103 ForeignVariable Warning "variable of another image"
        "The variable belongs to the conventions of another image family and is ignored, or turned into a \
         property that does not exist. bitnami reads `KAFKA_CFG_LISTENERS`, `KAFKA_KRAFT_CLUSTER_ID`; \
         apache and confluent read `KAFKA_LISTENERS`, `CLUSTER_ID`."
    104 MissingSetting Error "required setting is missing"
        "The image refuses to start, or Kafka does, without this setting."
    105 InvalidClusterId Hint "cluster id is not a UUID"
        "Kafka 3.7 takes any text for a cluster id, and so does Jackdaw. What Kafka makes up itself is 16 bytes in \
         URL-safe base64 without padding, 22 characters of A-Z, a-z, 0-9, `-` and `_`: `kafka-storage.sh \
         random-uuid` prints one. Other tools may want that."
    106 DerivedClusterId Hint "cluster id is derived"
        "No cluster id is given. The original image makes up a random one on each node, and a quorum of \
         several nodes never forms. Jackdaw derives one from the voters and the project's name, so that \
         every node agrees; an id already on a volume wins."
    107 SecretFile Error "file of a `*_FILE` variable cannot be read"
        "A variable whose name ends in `_FILE` takes its value from a file in the container. The file is \
         not mounted there, or cannot be read."
    108 EnvironmentIgnored Warning "environment is ignored"
        "A `server.properties` is mounted where the image looks for one, and this image then takes \
         nothing from the environment."
    109 InvalidProperties Error "malformed server.properties"
        "A line of a properties file is `key=value`; `\\` continues a line, `#` and `!` start a comment."
    110 NodeIdsDisagree Error "node.id and broker.id disagree"
        "`broker.id` is the name of ZooKeeper's days for `node.id`. Where both are given, Kafka refuses \
         to start unless they are equal."
    111 InvalidListener Error "malformed listener"
        "A listener is `NAME://HOST:PORT`; the host may be empty or 0.0.0.0 for all interfaces. \
         Advertised listeners need a host that clients can reach."
    112 InvalidSetting Error "setting has a value that Kafka refuses"
        "Kafka checks the types and ranges of its settings at start, and stops at the first that it \
         cannot take."
    113 OtherVersion Hint "the image is of another Kafka version"
        "Jackdaw behaves as Apache Kafka 3.7. What the named version added later is absent; what it \
         removed is still there."
    114 AssumedImage Warning "image is assumed"
        "The service's image is to be built, or its name came to nothing, or it is a Kafka of somebody else, or one \
         that would not start with these variables; and its environment is that of a KRaft node as one of the known \
         images reads it. It is run as that image would run it. What the other image adds to Kafka (plugins, \
         scripts) is not there."
    115 SecurityNotBuilt Error "a security protocol that is not built"
        "The listener asks for TLS or SASL. Jackdaw does not serve that protocol yet, and would rather \
         not start than serve it in the clear."
    116 MissingMount Warning "mounted file is not there"
        "A file that is mounted into the container does not exist on this machine. A Docker engine makes an empty \
         folder of that name and mounts it; what the container looks for is missing either way. Files that a \
         compose file mounts by a relative path lie beside it."
    117 ZooKeeperInside Hint "a ZooKeeper in the broker's own container"
        "The broker is told of a ZooKeeper on its container's own loopback, where no other broker could reach it. So \
         it is alone, and needs none: it runs as its own controller, on the port that its ZooKeeper was to have. \
         Whatever starts that ZooKeeper finds no such program, and nothing waits for it."
    118 DerivedVoters Hint "voters are those at the bootstrap servers"
        "Since 3.9 Kafka can do without `controller.quorum.voters`: nodes find the quorum through \
         `controller.quorum.bootstrap.servers`, and keep its voters in the metadata log (KIP-853). Jackdaw behaves as \
         3.7: the controllers of the file at those addresses are the voters, for good."
    119 CommandMakesSettings Warning "settings are made by the service's own command"
        "The service's own command writes or changes the `server.properties` that it starts the broker on, so what the \
         node is can only be known once it runs. A file that is mounted, or that the command writes as a here-document \
         without variables, is read, and so are `--override` and the cluster id of `kafka-storage.sh format -t`. In a \
         container the command runs as it is; as a process, where the launcher has to know the node, it is refused."
    120 UnreadSettings Warning "settings are mounted where no image reads them"
        "bitnami reads a mounted `/bitnami/kafka/config/server.properties`, apache a mounted \
         `/mnt/shared/config/server.properties`, confluent none. Files of the same name elsewhere in these images are \
         what their entrypoints write (a mounted one is overwritten) or what nothing reads, so none of the lines has an \
         effect."
    200 ListenerNotInMap Error "listener has no security protocol"
        "Each listener name that is not itself a security protocol (PLAINTEXT, SSL, SASL_PLAINTEXT, \
         SASL_SSL) needs an entry in `listener.security.protocol.map`, such as `EXTERNAL:PLAINTEXT`. As \
         soon as the map is set, the defaults are gone."
    201 ControllerNotVoter Error "controller is not among the voters"
        "A node with the controller role must be one of `controller.quorum.voters`. Kafka refuses to \
         start."
    202 BrokerAmongVoters Error "broker-only node is among the voters"
        "A node without the controller role must not be one of `controller.quorum.voters`. Kafka refuses \
         to start."
    203 DuplicateNodeId Error "node id is taken twice"
        "Two nodes of one cluster have the same `node.id`. The second one would be refused \
         (DUPLICATE_BROKER_REGISTRATION), or both would vote as one."
    204 AdvertisedNotPublished Warning "advertised port is not the published one"
        "Clients go to the advertised address after the first connection. Where that is an address of the \
         host, the port must be published, and to the port on which this listener listens."
    205 LocalhostAdvertised Warning "localhost is advertised to other containers"
        "Inside a container, localhost is the container itself. Other brokers and clients that reach this \
         listener over a compose network are sent to themselves. Advertise the service's name on the \
         listener that containers use, and localhost only on one for the host."
    206 ControllerAdvertised Error "controller listener is advertised"
        "A listener named in `controller.listener.names` serves the quorum only; Kafka refuses to start \
         if it is in `advertised.listeners`."
    207 InterBrokerListener Error "inter-broker listener does not exist"
        "Brokers replicate over `inter.broker.listener.name`, or over the listener whose name is \
         `security.inter.broker.protocol` (PLAINTEXT unless set). That listener must be among the \
         advertised ones."
    208 VoterUnresolvable Error "voter's host name is unknown"
        "The host of a voter is the name by which the other nodes reach it: a service's name, its \
         container name, or an alias on a network that both share."
    209 VoterPort Error "nobody listens on the voter's port"
        "The port of a voter in `controller.quorum.voters` must be the one on which that node's \
         controller listener listens (in the container, not the published one)."
    210 VotersDisagree Error "nodes name different voters"
        "Nodes of one quorum must all have the same `controller.quorum.voters`. They would elect leaders \
         of their own, or refuse each other."
    211 ReplicationFactor Warning "replication factor above the number of brokers"
        "A topic cannot have more replicas than there are brokers. For `offsets.topic.replication.factor` \
         that means that no consumer group works, for `transaction.state.log.replication.factor` that no \
         transaction does, until enough brokers are there. Kafka's default for both is 3."
    212 VolumeMissesData Warning "volume is not where the data is"
        "The node writes its data to another folder than the one that is mounted, so the data is lost \
         with the container, and the volume stays empty."
    213 ClusterIdsDisagree Error "nodes of one quorum have different cluster ids"
        "Every node of a cluster has the same cluster id. With different ones each vote is refused \
         (INCONSISTENT_CLUSTER_ID), and no leader is ever elected."
    215 InternalPortPublished Hint "published port leads to an internal listener"
        "A client of the host that connects to this port is sent on to the address that the listener \
         advertises, which only containers can resolve. It can connect, but not produce or consume."
    216 DuplicateListenerPort Error "two listeners on one port"
        "Each listener needs a port of its own; Kafka refuses to start."
    217 AdvertisedNotListening Error "advertised listener does not listen"
        "Each name in `advertised.listeners` must be one of `listeners`. Kafka refuses to start."
    218 ControllerListener Error "controller listener is missing"
        "`controller.listener.names` names the listener on which controllers speak. A controller must \
         listen on its first entry; a broker-only node needs the name, and must not listen on it."
    219 DuplicateAdvertised Warning "two brokers advertise one address"
        "Clients tell brokers apart by their advertised addresses. With the same one for two brokers, \
         requests for the one end up at the other (NOT_LEADER_OR_FOLLOWER)."
    220 SharedVolume Error "two nodes share a data volume"
        "Each node needs a data folder of its own. The second one finds the folder locked, or another \
         node's id in meta.properties, and refuses to start."
    221 MinIsr Warning "min ISR above the replication factor"
        "With more in-sync replicas demanded than there are replicas, every write with acks=all is \
         refused (NOT_ENOUGH_REPLICAS)."
    222 VoterMissing Warning "voter is not in the file"
        "No node of the project has the id of this voter. If it does not run elsewhere, the quorum is \
         smaller than it looks: a majority of all voters is needed."
    223 AdvertisedWildcard Error "0.0.0.0 is advertised"
        "0.0.0.0 means all interfaces when listening; as an advertised address no client could connect to \
         it. Kafka refuses to start."
    224 AdvertisedUnresolvable Warning "advertised host name is unknown"
        "Clients and other brokers are sent to the advertised host. No service of the project has this \
         name."
    225 Replicas Error "several replicas of one node"
        "Each Kafka node has an id, a voter entry and an address of its own; a service with several \
         replicas would start the same node several times."
    226 PublishedWithoutListener Warning "published port without a listener"
        "The port of the host leads to a port of the container on which the node does not listen, so every connection is \
         refused. Ports of the JVM's management (JMX) have no meaning here and are not counted."
    227 ListenerOnLoopback Warning "listener on a container's loopback"
        "A listener on localhost is reached from inside its own container only: neither a published port nor another \
         container leads there. Without a host (`PLAINTEXT://:9092`) it listens on all interfaces."
    300 ScenarioKey Error "unknown word in a scenario"
        "A scenario has the keys `protects`, `source`, `cluster`, `steps` and `differences`; a step has one \
         verb; the body of a request has the fields that Apache Kafka 3.7.0 gives it in that version."
    301 ScenarioValue Error "value that a scenario cannot use"
        "The value is not of the kind that its place in the scenario takes. The message says which kind that \
         is."
    302 ScenarioMissing Error "something is missing in a scenario"
        "Every scenario says which obligation it protects, where that comes from, and what is done."
}

impl Code {
    /// Its number; 12 is printed as `JK0012`.
    pub fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JK{:04}", self.number())
    }
}

/// No code has that number or name.
#[derive(Debug, thiserror::Error)]
#[error("no such code: {0} (codes look like JK0030)")]
pub struct UnknownCode(String);

impl FromStr for Code {
    type Err = UnknownCode;

    /// Takes `JK0030`, `jk30` and `30`.
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let digits = text.trim().trim_start_matches(['J', 'j', 'K', 'k']);
        let number: Option<u16> = digits.parse().ok();
        let found = Code::ALL.iter().find(|code| Some(code.number()) == number);
        found.copied().ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

/// What `jackdaw explain CODE` prints.
pub fn explain(code: Code) -> String {
    format!("{code} ({}): {}\n\n{}\n", code.severity(), code.title(), code.explanation())
}
