//! The options of `kafka-dump-log.sh`, with its words of help.

use crate::jopt::{HELP, Opt, VERSION};

/// See above.
pub const OPTIONS: &[Opt] = &[
    HELP,
    VERSION,
    Opt::flag("print-data-log", "if set, printing the messages content when dumping data logs. Automatically set if any decoder option \
         is specified."),
    Opt::flag("verify-index-only", "if set, just verify the index log without printing its content."),
    Opt::flag("index-sanity-check", "if set, just checks the index sanity without printing its content. This is the same check that is \
         executed on broker startup to determine if an index needs rebuilding or not."),
    Opt::text(
        "files",
        "file1, file2, ...",
        "REQUIRED: The comma separated list of data and index log files to be dumped.",
    ),
    Opt::integer(
        "max-message-size",
        "size",
        "Size of largest message.",
    ).default("5242880"),
    Opt::integer(
        "max-bytes",
        "size",
        "Limit the amount of total batches read in bytes avoiding reading the whole .log file(s).",
    ).default("2147483647"),
    Opt::flag("deep-iteration", "if set, uses deep instead of shallow iteration. Automatically set if print-data-log is enabled."),
    Opt::text(
        "value-decoder-class",
        "",
        "if set, used to deserialize the messages. This class should implement kafka.serializer.Decoder trait. \
         Custom jar should be available in kafka/libs directory.",
    ).maybe().default("kafka.serializer.StringDecoder"),
    Opt::text(
        "key-decoder-class",
        "",
        "if set, used to deserialize the keys. This class should implement kafka.serializer.Decoder trait. \
         Custom jar should be available in kafka/libs directory.",
    ).maybe().default("kafka.serializer.StringDecoder"),
    Opt::flag("offsets-decoder", "if set, log data will be parsed as offset data from the __consumer_offsets topic."),
    Opt::flag("transaction-log-decoder", "if set, log data will be parsed as transaction metadata from the __transaction_state topic."),
    Opt::flag("cluster-metadata-decoder", "if set, log data will be parsed as cluster metadata records."),
    Opt::flag("skip-record-metadata", "whether to skip printing metadata for each record."),
];
