//! Logs on disk, topics and replication.
//!
//! Rows of the one table; see the parent module for their meaning.

use super::*;

keys! { STORAGE
    "message.max.bytes": Int = "1048588", at_least(0), dynamic, acts;
        "Largest record batch accepted, after compression; max.message.bytes of a topic overrides it."
    "num.replica.alter.log.dirs.threads": Int = none, any, fixed, no_effect(LOGDIRS);
        "Threads that move replicas between log directories."
    "num.partitions": Int = "1", at_least(1), fixed, acts;
        "Partitions of a topic whose creation does not say."
    "log.dir": Str = "/tmp/kafka-logs", any, fixed, acts;
        "Folder of the data; log.dirs wins over it."
    "log.dirs": Str = none, any, fixed, acts;
        "Folders of the data, separated by commas."
    "log.segment.bytes": Int = "1073741824", at_least(14), dynamic, acts;
        "Largest segment file."
    "log.roll.ms": Long = none, any, dynamic, acts;
        "Age at which a segment is closed; wins over log.roll.hours."
    "log.roll.hours": Int = "168", at_least(1), fixed, acts;
        "Age at which a segment is closed."
    "log.roll.jitter.ms": Long = none, any, dynamic, acts;
        "Largest random time taken off the age at which a segment is closed; wins over log.roll.jitter.hours."
    "log.roll.jitter.hours": Int = "0", at_least(0), fixed, acts;
        "Largest random time taken off the age at which a segment is closed."
    "log.retention.ms": Long = none, any, dynamic, acts;
        "How long records are kept; -1 for ever. Wins over minutes and hours."
    "log.retention.minutes": Int = none, any, fixed, acts;
        "How long records are kept; wins over hours."
    "log.retention.hours": Int = "168", any, fixed, acts;
        "How long records are kept."
    "log.retention.bytes": Long = "-1", any, dynamic, acts;
        "Size of a partition above which its oldest segments go; -1 for no limit."
    "log.retention.check.interval.ms": Long = "300000", at_least(1), fixed, acts;
        "Pause between looks for segments to be deleted."
    "log.cleanup.policy": List = "delete", one_of("compact", "delete"), dynamic, acts;
        "What becomes of old segments: delete, compact or both."
    "log.cleaner.threads": Int = "1", at_least(0), dynamic, acts;
        "Threads that compact."
    "log.cleaner.io.max.bytes.per.second": Double = "1.7976931348623157E308", any, dynamic, acts;
        "Bytes per second that compaction may read and write."
    "log.cleaner.dedupe.buffer.size": Long = "134217728", any, dynamic, acts;
        "Memory of all compacting threads for keys."
    "log.cleaner.io.buffer.size": Int = "524288", at_least(0), dynamic, acts;
        "Memory of all compacting threads for reading and writing."
    "log.cleaner.io.buffer.load.factor": Double = "0.9", any, dynamic, acts;
        "How full the memory for keys may become."
    "log.cleaner.backoff.ms": Long = "15000", at_least(0), dynamic, acts;
        "Pause when there is nothing to compact."
    "log.cleaner.min.cleanable.ratio": Double = "0.5", between(0.0, 1.0), dynamic, acts;
        "Part of a log that must be uncompacted before it is compacted."
    "log.cleaner.enable": Bool = "true", any, fixed, acts;
        "Whether compacted topics are compacted."
    "log.cleaner.delete.retention.ms": Long = "86400000", at_least(0), dynamic, acts;
        "How long tombstones are kept."
    "log.cleaner.min.compaction.lag.ms": Long = "0", at_least(0), dynamic, acts;
        "Time during which a record is not compacted."
    "log.cleaner.max.compaction.lag.ms": Long = "9223372036854775807", at_least(1), dynamic, acts;
        "Time after which a record must be compacted."
    "log.index.size.max.bytes": Int = "10485760", at_least(4), dynamic, acts;
        "Largest offset index."
    "log.index.interval.bytes": Int = "4096", at_least(0), dynamic, acts;
        "Bytes of records between two entries of the offset index."
    "log.flush.interval.messages": Long = "9223372036854775807", at_least(1), dynamic, acts;
        "Records after which a partition is synced to disk."
    "log.segment.delete.delay.ms": Long = "60000", at_least(0), dynamic, acts;
        "Pause between the decision to delete a segment file and its deletion."
    "log.flush.scheduler.interval.ms": Long = "9223372036854775807", any, fixed, acts;
        "Pause between looks for partitions to be synced by time."
    "log.flush.interval.ms": Long = none, any, dynamic, acts;
        "Time after which a partition is synced to disk; log.flush.scheduler.interval.ms where unset."
    "log.flush.offset.checkpoint.interval.ms": Int = "60000", at_least(0), fixed, acts;
        "Pause between writes of the recovery points."
    "log.flush.start.offset.checkpoint.interval.ms": Int = "60000", at_least(0), fixed, acts;
        "Pause between writes of the log start offsets."
    "log.preallocate": Bool = "false", any, dynamic, acts;
        "Whether segment files get their full size when they are made."
    "num.recovery.threads.per.data.dir": Int = "1", at_least(1), dynamic, no_effect(RECOVERY);
        "Threads per data folder that recover logs at start."
    "auto.create.topics.enable": Bool = "true", any, fixed, acts;
        "Whether asking for a topic creates it."
    "min.insync.replicas": Int = "1", at_least(1), dynamic, acts;
        "Replicas that must have a record before acks=all is answered."
    "log.message.format.version": Str = "3.0-IV1", metadata_version, fixed, no_effect(FORMAT);
        "Record format of old Kafka versions; ignored from inter.broker.protocol.version 3.0 on."
    "log.message.timestamp.type": Str = "CreateTime", one_of("CreateTime", "LogAppendTime"), dynamic, acts;
        "Whose clock stamps records: CreateTime or LogAppendTime."
    "log.message.timestamp.difference.max.ms": Long = "9223372036854775807", at_least(0), dynamic, acts;
        "Largest difference between a record's timestamp and the broker's clock; deprecated."
    "log.message.timestamp.before.max.ms": Long = "9223372036854775807", at_least(0), dynamic, acts;
        "How far a record's timestamp may lie in the past."
    "log.message.timestamp.after.max.ms": Long = "9223372036854775807", at_least(0), dynamic, acts;
        "How far a record's timestamp may lie in the future."
    "create.topic.policy.class.name": Class = none, any, fixed, refused;
        "Class that may refuse to create a topic."
    "alter.config.policy.class.name": Class = none, any, fixed, refused;
        "Class that may refuse to change a setting."
    "log.message.downconversion.enable": Bool = "true", any, dynamic, acts;
        "Whether records are converted for consumers that know only older formats."
    "default.replication.factor": Int = "1", any, fixed, acts;
        "Replicas of a topic that is created automatically or whose creation does not say."
    "replica.lag.time.max.ms": Long = "30000", any, fixed, acts;
        "Time that a follower may take to catch up before it leaves the ISR."
    "replica.socket.timeout.ms": Int = "30000", any, fixed, acts;
        "Longest wait of a follower for a reply of its leader."
    "replica.socket.receive.buffer.bytes": Int = "65536", any, fixed, no_effect(CLIENTS);
        "SO_RCVBUF of a follower's connection to its leader."
    "replica.fetch.max.bytes": Int = "1048576", at_least(0), fixed, acts;
        "Bytes of one partition that a follower asks for; the first batch comes whole all the same."
    "replica.fetch.wait.max.ms": Int = "500", any, fixed, acts;
        "Longest time that a leader waits for new records before it answers a follower."
    "replica.fetch.backoff.ms": Int = "1000", at_least(0), fixed, acts;
        "Pause of a follower after a failed fetch."
    "replica.fetch.min.bytes": Int = "1", any, fixed, acts;
        "Bytes that a follower waits for."
    "replica.fetch.response.max.bytes": Int = "10485760", at_least(0), fixed, acts;
        "Bytes of one reply that a follower asks for."
    "num.replica.fetchers": Int = "1", any, dynamic, no_effect(FETCHERS);
        "Threads that fetch from one leader."
    "replica.high.watermark.checkpoint.interval.ms": Long = "5000", any, fixed, acts;
        "Pause between writes of the high watermarks."
    "fetch.purgatory.purge.interval.requests": Int = "1000", any, fixed, no_effect(PURGATORY);
        "How often answered Fetch requests are cleared away."
    "producer.purgatory.purge.interval.requests": Int = "1000", any, fixed, no_effect(PURGATORY);
        "How often answered Produce requests are cleared away."
    "delete.records.purgatory.purge.interval.requests": Int = "1", any, fixed, no_effect(PURGATORY);
        "How often answered DeleteRecords requests are cleared away."
    "auto.leader.rebalance.enable": Bool = "true", any, fixed, acts;
        "Whether preferred leaders get their partitions back."
    "leader.imbalance.per.broker.percentage": Int = "10", any, fixed, no_effect(ZK);
        "Part of a broker's partitions led by others at which leaders are moved back."
    "leader.imbalance.check.interval.seconds": Long = "300", at_least(1), fixed, acts;
        "Pause between looks for partitions that their preferred leader does not lead."
    "unclean.leader.election.enable": Bool = "false", any, dynamic, acts;
        "Whether a replica outside the ISR may lead as a last resort, at the price of records."
    "replica.selector.class": Str = none, any, fixed, acts;
        "Class that chooses the replica a consumer reads from; Kafka's own two are known."
    "delete.topic.enable": Bool = "true", any, fixed, acts;
        "Whether topics may be deleted."
    "compression.type": Str = "producer", one_of("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), dynamic, acts;
        "Codec in which batches are stored; producer keeps what came."
    "producer.id.expiration.ms": Int = "86400000", at_least(1), dynamic, acts;
        "Idle time after which a partition forgets an idempotent producer."
    "producer.id.expiration.check.interval.ms": Int = "600000", at_least(1), fixed internal, acts;
        "Pause between looks for idle producers."
    "max.incremental.fetch.session.cache.slots": Int = "1000", at_least(0), fixed, acts;
        "Incremental fetch sessions that are kept."
    "fetch.max.bytes": Int = "57671680", at_least(1024), fixed, acts;
        "Largest reply to a Fetch."
    "remote.log.storage.system.enable": Bool = "false", any, fixed, refused;
        "Whether old segments go to remote storage."
    "remote.log.storage.manager.impl.prefix": Str = "rsm.config.", non_empty, fixed, no_effect(TIERED);
        "Prefix of settings for the remote storage."
    "remote.log.metadata.manager.impl.prefix": Str = "rlmm.config.", non_empty, fixed, no_effect(TIERED);
        "Prefix of settings for the metadata of the remote storage."
    "remote.log.storage.manager.class.name": Str = none, non_empty, fixed, no_effect(TIERED);
        "Class of the remote storage."
    "remote.log.storage.manager.class.path": Str = none, any, fixed, no_effect(TIERED);
        "Where that class is found."
    "remote.log.metadata.manager.class.name": Str = "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", non_empty, fixed, no_effect(TIERED);
        "Class of the metadata of the remote storage."
    "remote.log.metadata.manager.class.path": Str = none, any, fixed, no_effect(TIERED);
        "Where that class is found."
    "remote.log.metadata.manager.listener.name": Str = none, non_empty, fixed, no_effect(TIERED);
        "Listener that the remote metadata uses."
    "remote.log.metadata.custom.metadata.max.bytes": Int = "128", at_least(0), fixed, no_effect(TIERED);
        "Largest custom metadata of a remote segment."
    "remote.log.index.file.cache.total.size.bytes": Long = "1073741824", at_least(1), dynamic, no_effect(TIERED);
        "Cache of remote indexes."
    "remote.log.manager.thread.pool.size": Int = "10", at_least(1), fixed, no_effect(TIERED);
        "Threads that copy segments."
    "remote.log.manager.task.interval.ms": Long = "30000", at_least(1), fixed, no_effect(TIERED);
        "Pause between copies of segments."
    "remote.log.manager.task.retry.backoff.ms": Long = "500", at_least(1), fixed internal, no_effect(TIERED);
        "First pause before a copy is tried again."
    "remote.log.manager.task.retry.backoff.max.ms": Long = "30000", at_least(1), fixed internal, no_effect(TIERED);
        "Largest pause before a copy is tried again."
    "remote.log.manager.task.retry.jitter": Double = "0.2", between(0.0, 0.5), fixed internal, no_effect(TIERED);
        "Random part of that pause."
    "remote.log.reader.threads": Int = "10", at_least(1), fixed, no_effect(TIERED);
        "Threads that read remote segments."
    "remote.log.reader.max.pending.tasks": Int = "100", at_least(1), fixed, no_effect(TIERED);
        "Remote reads that may wait."
    "log.local.retention.ms": Long = "-2", at_least(-2), dynamic, no_effect(TIERED);
        "How long segments that are stored remotely stay here."
    "log.local.retention.bytes": Long = "-2", at_least(-2), dynamic, no_effect(TIERED);
        "Size of segments that are stored remotely and stay here."
}
