//! The options of `kafka-topics.sh`, with its words of help.

use crate::jopt::{HELP, Opt, VERSION};

/// See above.
pub const OPTIONS: &[Opt] = &[
    HELP,
    VERSION,
    Opt::text("bootstrap-server", "server to connect to", "REQUIRED: The Kafka server to connect to."),
    Opt::text(
        "command-config",
        "command config property file",
        "Property file containing configs to be passed to Admin Client. This is used only with \
         --bootstrap-server option for describing and altering broker configs.",
    ),
    Opt::flag("list", "List all available topics."),
    Opt::flag("create", "Create a new topic."),
    Opt::flag("delete", "Delete a topic"),
    Opt::flag(
        "alter",
        "Alter the number of partitions and replica assignment. Update the configuration of an existing topic \
         via --alter is no longer supported here (the kafka-configs CLI supports altering topic configs with a \
         --bootstrap-server option).",
    ),
    Opt::flag("describe", "List details for the given topics."),
    Opt::text(
        "topic",
        "topic",
        "The topic to create, alter, describe or delete. It also accepts a regular expression, except for \
         --create option. Put topic name in double quotes and use the '\\' prefix to escape regular expression \
         symbols; e.g. \"test\\.topic\".",
    ),
    Opt::text(
        "topic-id",
        "topic-id",
        "The topic-id to describe.This is used only with --bootstrap-server option for describing topics.",
    ),
    Opt::text(
        "config",
        "name=value",
        "A topic configuration override for the topic being created. The following is a list of valid \
         configurations: \n\
         \tcleanup.policy\n\
         \tcompression.type\n\
         \tdelete.retention.ms\n\
         \tfile.delete.delay.ms\n\
         \tflush.messages\n\
         \tflush.ms\n\
         \tfollower.replication.throttled.replicas\n\
         \tindex.interval.bytes\n\
         \tleader.replication.throttled.replicas\n\
         \tlocal.retention.bytes\n\
         \tlocal.retention.ms\n\
         \tmax.compaction.lag.ms\n\
         \tmax.message.bytes\n\
         \tmessage.downconversion.enable\n\
         \tmessage.format.version\n\
         \tmessage.timestamp.after.max.ms\n\
         \tmessage.timestamp.before.max.ms\n\
         \tmessage.timestamp.difference.max.ms\n\
         \tmessage.timestamp.type\n\
         \tmin.cleanable.dirty.ratio\n\
         \tmin.compaction.lag.ms\n\
         \tmin.insync.replicas\n\
         \tpreallocate\n\
         \tremote.storage.enable\n\
         \tretention.bytes\n\
         \tretention.ms\n\
         \tsegment.bytes\n\
         \tsegment.index.bytes\n\
         \tsegment.jitter.ms\n\
         \tsegment.ms\n\
         \tunclean.leader.election.enable\n\
         See the Kafka documentation for full details on the topic \
         configs. It is supported only in combination with --create if --bootstrap-server option is used (the \
         kafka-configs CLI supports altering topic configs with a --bootstrap-server option).",
    ),
    Opt::text(
        "delete-config",
        "name",
        "A topic configuration override to be removed for an existing topic (see the list of configurations \
         under the --config option). Not supported with the --bootstrap-server option.",
    ),
    Opt::integer(
        "partitions",
        "# of partitions",
        "The number of partitions for the topic being created or altered (WARNING: If partitions are increased \
         for a topic that has a key, the partition logic or ordering of the messages will be affected). If not \
         supplied for create, defaults to the cluster default.",
    ),
    Opt::integer(
        "replication-factor",
        "replication factor",
        "The replication factor for each partition in the topic being created. If not supplied, defaults to the \
         cluster default.",
    ),
    Opt::text(
        "replica-assignment",
        "broker_id_for_part1_replica1 : broker_id_for_part1_replica2 , broker_id_for_part2_replica1 : broker_id_for_part2_replica2 , ...",
        "A list of manual partition-to-broker assignments for the topic being created or altered.",
    ),
    Opt::flag(
        "under-replicated-partitions",
        "if set when describing topics, only show under replicated partitions",
    ),
    Opt::flag(
        "unavailable-partitions",
        "if set when describing topics, only show partitions whose leader is not available",
    ),
    Opt::flag(
        "under-min-isr-partitions",
        "if set when describing topics, only show partitions whose isr count is less than the configured \
         minimum.",
    ),
    Opt::flag(
        "at-min-isr-partitions",
        "if set when describing topics, only show partitions whose isr count is equal to the configured \
         minimum.",
    ),
    Opt::flag(
        "topics-with-overrides",
        "if set when describing topics, only show topics that have overridden configs",
    ),
    Opt::flag(
        "if-exists",
        "if set when altering or deleting or describing topics, the action will only execute if the topic \
         exists.",
    ),
    Opt::flag(
        "if-not-exists",
        "if set when creating topics, the action will only execute if the topic does not already exist.",
    ),
    Opt::flag(
        "exclude-internal",
        "exclude internal topics when running list or describe command. The internal topics will be listed by \
         default",
    ),
];
