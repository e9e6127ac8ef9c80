//! Nodes that the service's own command starts.

use jackdaw_compose::{Code, Severity};

use crate::{cluster, said};

const SETTINGS: &str = "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@b1:9093
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://:9092,CONTROLLER://:9093,EXTERNAL://:9094
advertised.listeners=PLAINTEXT://b1:9092,EXTERNAL://localhost:21230
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,EXTERNAL:PLAINTEXT
log.dirs=/tmp/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1";

/// A service whose command is a script; `%` stands for the settings.
fn with_script(script: &str) -> String {
    let script = script.replace('%', SETTINGS);
    let lines: String = script.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        "services:\n  b1:\n    image: apache/kafka:3.7.0\n    ports: ['21230:9094']\n    command:\n      - bash\n      \
         - -c\n      - |\n{lines}"
    )
}

#[test]
fn the_node_of_a_command_is_the_one_that_its_script_writes() {
    for (how, script) in [
        ("plain", "cat > /tmp/k.properties <<PROPS\n%\nPROPS\n"),
        ("quoted", "cat <<'PROPS' >/tmp/k.properties\n%\nPROPS\n"),
        ("tee", "tee /tmp/k.properties << EOF > /dev/null\n%\nEOF\n"),
    ] {
        let text = with_script(&format!(
            "{script}/opt/kafka/bin/kafka-storage.sh format -t 4L6g3nShT-eMCtK--X86sw -c /tmp/k.properties\n\
             exec /opt/kafka/bin/kafka-server-start.sh /tmp/k.properties --override num.partitions=4 \\\n  \
             --override=log.retention.hours=2\n"
        ));
        let cluster = cluster(&text);
        assert_eq!(said(&cluster, Severity::Hint), "", "{how}");
        let node = &cluster.nodes[0];
        let advertised: Vec<String> = node.advertised.iter().map(ToString::to_string).collect();
        assert_eq!(advertised, ["PLAINTEXT://b1:9092", "EXTERNAL://localhost:21230"], "{how}");
        assert_eq!(node.properties.get("num.partitions"), Some("4"), "{how}");
        assert_eq!(node.properties.get("log.retention.hours"), Some("2"), "{how}");
        assert_eq!(node.cluster_id.as_ref().map(|id| id.value.as_str()), Some("4L6g3nShT-eMCtK--X86sw"));
        assert!(!node.is_made_by_command, "{how}");
    }
}

#[test]
fn settings_that_only_the_command_knows_are_told() {
    for (script, known) in [
        ("kafka-server-start.sh /opt/kafka/config/kraft/server.properties", true),
        ("cd /opt/kafka && bin/kafka-server-start.sh config/kraft/server.properties", true),
        (
            "sed -i s/a/b/ /opt/kafka/config/kraft/server.properties\nkafka-server-start.sh /opt/kafka/config/kraft/server.properties",
            false,
        ),
        ("echo $$A > /tmp/a\nkafka-server-start.sh /tmp/a", false),
        ("cat > /tmp/a <<E\nnode.id=$$ID\nE\nkafka-server-start.sh /tmp/a", false),
        ("cat >> /tmp/a <<E\nnode.id=1\nE\nkafka-server-start.sh /tmp/a", false),
    ] {
        let cluster = cluster(&with_script(script));
        let told = cluster.diagnostics.iter().any(|found| found.code == Code::CommandMakesSettings);
        assert_eq!((told, cluster.nodes[0].is_made_by_command), (!known, !known), "{script}");
    }
}

#[test]
fn what_a_command_overrides_is_set_on_the_image_s_own_settings() {
    let script =
        "kafka-server-start.sh /opt/kafka/config/kraft/server.properties --override num.partitions=4";
    let cluster = cluster(&with_script(script));
    let node = &cluster.nodes[0];
    assert_eq!((node.properties.get("num.partitions"), node.node_id), (Some("4"), 1));
    let place = node.properties.span("num.partitions");
    assert_eq!(place.text(), "num.partitions=4");
}
