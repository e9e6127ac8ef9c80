//! Coordinators, quotas and metrics.
//!
//! Rows of the one table; see the parent module for their meaning.

use super::*;

keys! { SERVICE
    "group.min.session.timeout.ms": Int = "6000", any, fixed, acts;
        "Smallest session timeout of a group member."
    "group.max.session.timeout.ms": Int = "1800000", any, fixed, acts;
        "Largest session timeout of a group member."
    "group.initial.rebalance.delay.ms": Int = "3000", any, fixed, acts;
        "How long a new group waits for more members."
    "group.max.size": Int = "2147483647", at_least(1), fixed, acts;
        "Members of one group."
    "group.coordinator.rebalance.protocols": List = "classic", one_of("consumer", "classic"), fixed, acts;
        "Group protocols that are served; with consumer, groups of KIP-848 are, as Kafka 4.1 has them."
    "group.coordinator.threads": Int = "1", at_least(1), fixed, no_effect(THREADS);
        "Threads of the group coordinator."
    "group.coordinator.new.enable": Bool = "false", any, fixed internal, no_effect(COORDINATOR);
        "Whether the newer group coordinator serves."
    "group.consumer.session.timeout.ms": Int = "45000", at_least(1), fixed, acts;
        "Session timeout of members in the consumer protocol."
    "group.consumer.min.session.timeout.ms": Int = "45000", at_least(1), fixed, acts;
        "Smallest session timeout in the consumer protocol."
    "group.consumer.max.session.timeout.ms": Int = "60000", at_least(1), fixed, acts;
        "Largest session timeout in the consumer protocol."
    "group.consumer.heartbeat.interval.ms": Int = "5000", at_least(1), fixed, acts;
        "Heartbeat interval of members in the consumer protocol."
    "group.consumer.min.heartbeat.interval.ms": Int = "5000", at_least(1), fixed, acts;
        "Smallest heartbeat interval in the consumer protocol."
    "group.consumer.max.heartbeat.interval.ms": Int = "15000", at_least(1), fixed, acts;
        "Largest heartbeat interval in the consumer protocol."
    "group.consumer.max.size": Int = "2147483647", at_least(1), fixed, acts;
        "Members of one group in the consumer protocol."
    "group.consumer.assignors": List = "org.apache.kafka.coordinator.group.assignor.UniformAssignor,org.apache.kafka.coordinator.group.assignor.RangeAssignor", any, fixed, acts;
        "Assignors of the consumer protocol, by class or as uniform and range; the first is the default."
    "group.consumer.migration.policy": Str = "bidirectional", any, fixed internal, acts;
        "Which way groups with members may go between the protocols (4.x): bidirectional, upgrade, downgrade, disabled."
    "group.consumer.regex.refresh.interval.ms": Int = "600000", at_least(10000), fixed internal, acts;
        "How long the topics of a regular expression are known without another look (4.x)."
    "offset.metadata.max.bytes": Int = "4096", any, fixed, acts;
        "Largest text that may go with a committed offset."
    "offsets.load.buffer.size": Int = "5242880", at_least(1), fixed, acts;
        "Bytes read at a time when committed offsets are loaded."
    "offsets.topic.replication.factor": Short = "3", at_least(1), fixed, acts;
        "Replicas of __consumer_offsets; its creation fails while there are fewer brokers."
    "offsets.topic.num.partitions": Int = "50", at_least(1), fixed, acts;
        "Partitions of __consumer_offsets; not to be changed afterwards."
    "offsets.topic.segment.bytes": Int = "104857600", at_least(1), fixed, acts;
        "Segment size of __consumer_offsets."
    "offsets.topic.compression.codec": Int = "0", any, fixed, acts;
        "Compression of __consumer_offsets, as a codec's number."
    "offsets.retention.minutes": Int = "10080", at_least(1), fixed, acts;
        "How long the offsets of a group without members are kept."
    "offsets.retention.check.interval.ms": Long = "600000", at_least(1), fixed, acts;
        "Pause between looks for expired offsets."
    "offsets.commit.timeout.ms": Int = "5000", at_least(1), fixed, acts;
        "Longest wait for the replicas of a committed offset."
    "offsets.commit.required.acks": Short = "-1", any, fixed, acts;
        "Acknowledgements that a committed offset needs."
    "transactional.id.expiration.ms": Int = "604800000", at_least(1), fixed, acts;
        "Idle time after which a transactional id is forgotten."
    "transaction.max.timeout.ms": Int = "900000", at_least(1), fixed, acts;
        "Largest transaction timeout that a producer may ask for."
    "transaction.state.log.min.isr": Int = "2", at_least(1), fixed, acts;
        "min.insync.replicas of __transaction_state."
    "transaction.state.log.load.buffer.size": Int = "5242880", at_least(1), fixed, acts;
        "Bytes read at a time when transactions are loaded."
    "transaction.state.log.replication.factor": Short = "3", at_least(1), fixed, acts;
        "Replicas of __transaction_state; its creation fails while there are fewer brokers."
    "transaction.state.log.num.partitions": Int = "50", at_least(1), fixed, acts;
        "Partitions of __transaction_state; not to be changed afterwards."
    "transaction.state.log.segment.bytes": Int = "104857600", at_least(1), fixed, acts;
        "Segment size of __transaction_state."
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int = "10000", at_least(1), fixed, acts;
        "Pause between looks for timed-out transactions."
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int = "3600000", at_least(1), fixed, acts;
        "Pause between looks for expired transactional ids."
    "transaction.partition.verification.enable": Bool = "true", any, dynamic, acts;
        "Whether a partition is checked to be part of a transaction before it is written."
    "metrics.num.samples": Int = "2", at_least(1), fixed, no_effect(METRICS);
        "Samples of a metric."
    "metrics.sample.window.ms": Long = "30000", at_least(1), fixed, no_effect(METRICS);
        "Length of one sample of a metric."
    "metric.reporters": List = "", any, dynamic, no_effect(METRICS);
        "Classes that report metrics."
    "metrics.recording.level": Str = "INFO", any, fixed, no_effect(METRICS);
        "Which metrics are recorded."
    "auto.include.jmx.reporter": Bool = "true", any, fixed, no_effect(METRICS);
        "Whether metrics are shown through JMX."
    "kafka.metrics.reporters": List = "", any, fixed, no_effect(METRICS);
        "Classes that report the older metrics."
    "kafka.metrics.polling.interval.secs": Int = "10", at_least(1), fixed, no_effect(METRICS);
        "Pause between reports of the older metrics."
    "telemetry.max.bytes": Int = "1048576", at_least(1), fixed, no_effect(METRICS);
        "Largest client telemetry that is taken."
    "quota.window.num": Int = "11", at_least(1), fixed, acts;
        "Samples for client quotas; of those, rates of new connections are built."
    "replication.quota.window.num": Int = "11", at_least(1), fixed, no_effect(QUOTAS);
        "Samples for replication quotas."
    "alter.log.dirs.replication.quota.window.num": Int = "11", at_least(1), fixed, no_effect(QUOTAS);
        "Samples for quotas of moves between log directories."
    "controller.quota.window.num": Int = "11", at_least(1), fixed, no_effect(QUOTAS);
        "Samples for controller mutation quotas."
    "quota.window.size.seconds": Int = "1", at_least(1), fixed, acts;
        "Length of a sample for client quotas."
    "replication.quota.window.size.seconds": Int = "1", at_least(1), fixed, no_effect(QUOTAS);
        "Length of a sample for replication quotas."
    "alter.log.dirs.replication.quota.window.size.seconds": Int = "1", at_least(1), fixed, no_effect(QUOTAS);
        "Length of a sample for quotas of moves between log directories."
    "controller.quota.window.size.seconds": Int = "1", at_least(1), fixed, no_effect(QUOTAS);
        "Length of a sample for controller mutation quotas."
    "client.quota.callback.class": Class = none, any, fixed, refused;
        "Class that decides client quotas."
}
