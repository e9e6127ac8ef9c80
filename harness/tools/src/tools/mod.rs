//! The tools, one file each, and the table of them.

mod broker_api_versions;
mod cluster;
mod configs;
mod console_consumer;
mod console_producer;
mod consumer_groups;
mod consumer_perf_test;
mod cub;
mod delete_records;
mod dump_log;
mod features;
mod get_offsets;
mod leader_election;
mod log_dirs;
mod metadata_quorum;
mod offsets_reset;
mod producer_perf_test;
mod server;
mod server_stop;
mod storage;
mod topics;
mod transactions;
mod verifiable_consumer;
mod verifiable_producer;

use crate::cli::Tool;
use crate::clients::consumer::Place;
use crate::errors::Exception;
use serde_json::Value;

/// Every tool.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "topics",
        script: "kafka-topics",
        class: "org.apache.kafka.tools.TopicCommand",
        about: "Create, delete, describe, or change a topic",
        run: topics::run,
    },
    Tool {
        name: "console-producer",
        script: "kafka-console-producer",
        class: "kafka.tools.ConsoleProducer",
        about: "Each line of stdin becomes a record",
        run: console_producer::run,
    },
    Tool {
        name: "console-consumer",
        script: "kafka-console-consumer",
        class: "kafka.tools.ConsoleConsumer",
        about: "Records of a topic to stdout",
        run: console_consumer::run,
    },
    Tool {
        name: "broker-api-versions",
        script: "kafka-broker-api-versions",
        class: "kafka.admin.BrokerApiVersionsCommand",
        about: "Which versions of which requests each broker knows",
        run: broker_api_versions::run,
    },
    Tool {
        name: "consumer-groups",
        script: "kafka-consumer-groups",
        class: "kafka.admin.ConsumerGroupCommand",
        about: "List and describe consumer groups, delete them, move their offsets",
        run: consumer_groups::run,
    },
    Tool {
        name: "configs",
        script: "kafka-configs",
        class: "kafka.admin.ConfigCommand",
        about: "Describe and alter the configuration of topics and brokers",
        run: configs::run,
    },
    Tool {
        name: "get-offsets",
        script: "kafka-get-offsets",
        class: "org.apache.kafka.tools.GetOffsetShell",
        about: "The offsets of partitions for a time",
        run: get_offsets::run,
    },
    Tool {
        name: "cluster",
        script: "kafka-cluster",
        class: "org.apache.kafka.tools.ClusterTool",
        about: "The id of a cluster; unregister a broker",
        run: cluster::run,
    },
    Tool {
        name: "metadata-quorum",
        script: "kafka-metadata-quorum",
        class: "org.apache.kafka.tools.MetadataQuorumCommand",
        about: "Who leads the metadata, and how far the others are behind",
        run: metadata_quorum::run,
    },
    Tool {
        name: "delete-records",
        script: "kafka-delete-records",
        class: "org.apache.kafka.tools.DeleteRecordsCommand",
        about: "Delete records below an offset",
        run: delete_records::run,
    },
    Tool {
        name: "leader-election",
        script: "kafka-leader-election",
        class: "org.apache.kafka.tools.LeaderElectionCommand",
        about: "Elect leaders of partitions",
        run: leader_election::run,
    },
    Tool {
        name: "log-dirs",
        script: "kafka-log-dirs",
        class: "org.apache.kafka.tools.LogDirsCommand",
        about: "What lies in the log directories of brokers",
        run: log_dirs::run,
    },
    Tool {
        name: "features",
        script: "kafka-features",
        class: "org.apache.kafka.tools.FeatureCommand",
        about: "The features of a cluster and their levels",
        run: features::run,
    },
    Tool {
        name: "producer-perf-test",
        script: "kafka-producer-perf-test",
        class: "org.apache.kafka.tools.ProducerPerformance",
        about: "How fast records can be written",
        run: producer_perf_test::run,
    },
    Tool {
        name: "consumer-perf-test",
        script: "kafka-consumer-perf-test",
        class: "org.apache.kafka.tools.ConsumerPerformance",
        about: "How fast records can be read",
        run: consumer_perf_test::run,
    },
    Tool {
        name: "dump-log",
        script: "kafka-dump-log",
        class: "kafka.tools.DumpLogSegments",
        about: "What is in a segment, a snapshot or an index",
        run: dump_log::run,
    },
    Tool {
        name: "verifiable-producer",
        script: "kafka-verifiable-producer",
        class: "org.apache.kafka.tools.VerifiableProducer",
        about: "Write rising numbers and tell what became of each",
        run: verifiable_producer::run,
    },
    Tool {
        name: "verifiable-consumer",
        script: "kafka-verifiable-consumer",
        class: "org.apache.kafka.tools.VerifiableConsumer",
        about: "Read as a member of a group and tell what comes",
        run: verifiable_consumer::run,
    },
    Tool {
        name: "transactions",
        script: "kafka-transactions",
        class: "org.apache.kafka.tools.TransactionsCommand",
        about: "List and describe transactions, find those that hang, abort them",
        run: transactions::run,
    },
    Tool {
        name: "storage",
        script: "kafka-storage",
        class: "kafka.tools.StorageTool",
        about: "Make ids, format log directories, tell how they are formatted",
        run: storage::run,
    },
    Tool {
        name: "server-start",
        script: "kafka-server-start",
        class: "kafka.Kafka",
        about: "Run a broker on a server.properties",
        run: server::start,
    },
    Tool {
        name: "server-stop",
        script: "kafka-server-stop",
        class: "",
        about: "Stop the broker that runs here, or that is named",
        run: server_stop::run,
    },
    Tool {
        name: "cub",
        script: "cub",
        class: "",
        about: "Wait until a cluster has so many brokers (`cub kafka-ready`)",
        run: cub::run,
    },
];

/// The entries of a JSON list of partitions, with their places.
fn partitions_in(list: &Value) -> Result<Vec<(Place, &Value)>, Exception> {
    let entries =
        list.as_array().ok_or_else(|| json_mapping("Expected JSON array, received something else"))?;
    let place = |entry: &'_ Value| -> Result<Place, Exception> {
        let missing = |field: &str| json_mapping(&format!("No such field exists: `{field}`"));
        let topic = entry.get("topic").and_then(Value::as_str).ok_or_else(|| missing("topic"))?;
        let partition = entry.get("partition").and_then(Value::as_i64).ok_or_else(|| missing("partition"))?;
        Ok((topic.to_owned(), i32::try_from(partition).unwrap_or(-1)))
    };
    entries.iter().map(|entry| Ok((place(entry)?, entry))).collect()
}

fn json_mapping(message: &str) -> Exception {
    Exception::new("com.fasterxml.jackson.databind.JsonMappingException", message)
}
