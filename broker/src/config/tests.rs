//! Whole files: what becomes of them, and how they are refused.

use super::*;

const COMBINED: &str = "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@k1:9093,2@k2:9093\n\
    listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n";

fn read(text: &str) -> Result<(Config, Vec<Problem>), String> {
    Config::parse("s", text.as_bytes(), &[])
        .map_err(|errors| errors.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_combined_node_is_read_with_kafkas_defaults() {
    let (config, warnings) = read(&format!(
        "{COMBINED}log.dirs=/a, /b\nlog.retention.hours=2\nlog.segment.bytes=1000000\nbroker.rack=r1\n"
    ))
    .unwrap();
    assert_eq!(warnings, []);
    assert_eq!((config.node_id, config.roles), (1, Roles { broker: true, controller: true }));
    assert_eq!(config.voter(2).unwrap().address.to_string(), "k2:9093");
    assert_eq!(config.advertised_listeners.len(), 1);
    assert_eq!(&*config.inter_broker_listener_name, "PLAINTEXT");
    assert!(config.is_controller_listener("CONTROLLER") && !config.is_controller_listener("PLAINTEXT"));
    assert_eq!(config.metadata_log_dir, PathBuf::from("/a"));
    assert_eq!(config.log_dirs.len(), 2);
    assert_eq!(config.bootstrap_metadata_version, 19);
    let topic = config.topic_defaults.to_log_config();
    assert_eq!(
        (topic.retention_ms, topic.segment_bytes, topic.segment_ms),
        (7_200_000, 1_000_000, 604_800_000)
    );
    assert_eq!(config.replication.lag_time_max_ms, 30_000);
}

#[test]
fn node_and_broker_id_are_one_setting() {
    assert_eq!(read(&COMBINED.replace("node.id", "broker.id")).unwrap().0.node_id, 1);
    let both = read(&format!("{COMBINED}broker.id=2\n")).unwrap_err();
    assert_eq!(both, "s:6: You must set `node.id` to the same value as `broker.id`.");
}

/// Each case is the combined file with some lines replaced or added, and what must be said about it.
const REFUSALS: &[(&str, &str)] = &[
    (
        "node.id=3",
        "s:3: If process.roles contains the 'controller' role, the node id 3 must be included in the set of voters controller.quorum.voters=Set(1, 2)",
    ),
    ("node.id=", "s:2: Invalid value  for configuration node.id: Not a number of type INT"),
    ("process.roles=", "Missing required configuration `process.roles`"),
    ("process.roles=broker,broker", "s:1: Duplicate role names found in `process.roles`: broker, broker"),
    (
        "process.roles=broker",
        "s:3: If process.roles contains just the 'broker' role, the node id 1 must not be included",
    ),
    (
        "process.roles=broker",
        "s:5: controller.listener.names must not contain a value appearing in the 'listeners'",
    ),
    ("process.roles=controller", "s:4: The listeners config must only contain KRaft controller listeners"),
    (
        "controller.quorum.voters=",
        "s:3: If using process.roles, controller.quorum.voters must contain a parseable set of voters.",
    ),
    (
        "controller.quorum.voters=1:k:9",
        "s:3: Invalid configuration value for controller.quorum.voters. Each entry should be in the form `{id}@{host}:{port}`.",
    ),
    (
        "controller.listener.names=CTRL",
        "s:4: Error creating broker listeners from 'PLAINTEXT://:9092,CONTROLLER://:9093': No security protocol defined for listener CONTROLLER",
    ),
    ("controller.listener.names=PLAINTEXT", "s:4: Error creating"),
    (
        "controller.listener.names=CONTROLLER,X",
        "s:5: controller.listener.names must only contain values appearing in the 'listeners'",
    ),
    (
        "advertised.listeners=CONTROLLER://k1:9093",
        "s:6: The advertised.listeners config must not contain KRaft controller listeners",
    ),
    (
        "advertised.listeners=PLAINTEXT://0.0.0.0:9092",
        "s:6: advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.",
    ),
    (
        "advertised.listeners=SSL://k1:1,PLAINTEXT://k:1",
        "s:6: advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found SSL,PLAINTEXT.",
    ),
    (
        "inter.broker.listener.name=INTERNAL",
        "s:6: Listener with name INTERNAL defined in inter.broker.listener.name not found in listener.security.protocol.map.",
    ),
    (
        "security.inter.broker.protocol=SSL",
        "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are PLAINTEXT",
    ),
    (
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT",
        "s:4: Error creating broker listeners from 'PLAINTEXT://:9092,CONTROLLER://:9093': No security protocol defined for listener CONTROLLER",
    ),
    (
        "listener.security.protocol.map=PLAINTEXT:TLS",
        "s:6: Invalid security protocol `TLS` defined in listener.security.protocol.map",
    ),
    (
        "listener.security.protocol.map=PLAINTEXT:SSL,CONTROLLER:PLAINTEXT",
        "s:4: listener PLAINTEXT uses SSL, which is not built; only PLAINTEXT is served",
    ),
    ("control.plane.listener.name=X", "s:6: control.plane.listener.name is not supported in KRaft mode."),
    ("log.retention.hours=0", "s:6: log.retention.ms must be unlimited (-1) or, greater than or equal to 1"),
    ("log.dirs=", "s:6: At least one log directory must be defined via log.dirs or log.dir."),
    (
        "replica.fetch.wait.max.ms=40000",
        "s:6: replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms",
    ),
    (
        "queued.max.request.bytes=5",
        "s:6: queued.max.request.bytes must be larger or equal to socket.request.max.bytes",
    ),
    ("max.connections.per.ip=0", "s:6: max.connections.per.ip can be set to zero only if"),
    (
        "group.consumer.session.timeout.ms=1",
        "s:6: group.consumer.session.timeout.ms must be greater than or equals to group.consumer.min.session.timeout.ms",
    ),
    ("metadata.log.segment.bytes=100", "s:6: Cannot set metadata.log.segment.bytes below 8388608: 100"),
    (
        "log.cleaner.max.compaction.lag.ms=1\nlog.cleaner.min.compaction.lag.ms=2",
        "min.compaction.lag.ms (2) > max.compaction.lag.ms (1)",
    ),
];

#[test]
fn kafkas_refusals_are_told_with_their_line() {
    for &(change, expected) in REFUSALS {
        let key = change.split('=').next().unwrap();
        let text = if COMBINED.contains(&format!("{key}=")) {
            let lines = COMBINED.lines().map(|l| if l.starts_with(&format!("{key}=")) { change } else { l });
            lines.collect::<Vec<_>>().join("\n")
        } else {
            format!("{COMBINED}{change}\n")
        };
        let told = read(&text).expect_err(change);
        assert!(told.contains(expected), "{change}\n  told: {told}\n  want: {expected}");
    }
}

#[test]
fn a_broker_alone_needs_to_reach_its_controllers() {
    let text =
        "process.roles=broker\nnode.id=5\ncontroller.quorum.voters=1@k1:9093\nlisteners=PLAINTEXT://:9092\n";
    assert!(read(text).unwrap_err().contains("controller.listener.names must contain at least one value"));
    let (config, warnings) = read(&format!("{text}controller.listener.names=C1,C2\n")).unwrap();
    assert_eq!(config.controller_listener_names[0].as_ref(), "C1");
    assert!(warnings[0].message.contains("only the first will be used"));
}

#[test]
fn a_controller_alone_advertises_nothing() {
    let text = "process.roles=controller\nnode.id=1\ncontroller.quorum.voters=1@k1:9093\n\
                listeners=CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n";
    assert_eq!(read(text).unwrap().0.advertised_listeners, []);
    assert!(
        read(&format!("{text}advertised.listeners=CONTROLLER://x:1\n"))
            .unwrap_err()
            .contains("must be empty")
    );
}
