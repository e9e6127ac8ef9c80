//! The options of `kafka-console-producer.sh`, with its words of help.

use crate::jopt::{HELP, Opt, VERSION};

/// See above.
pub const OPTIONS: &[Opt] = &[
    HELP,
    VERSION,
    Opt::text(
        "topic",
        "topic",
        "REQUIRED: The topic id to produce messages to.",
    ),
    Opt::text(
        "broker-list",
        "broker-list",
        "DEPRECATED, use --bootstrap-server instead; ignored if --bootstrap-server is specified.  The broker \
         list string in the form HOST1:PORT1,HOST2:PORT2.",
    ),
    Opt::text(
        "bootstrap-server",
        "server to connect to",
        "REQUIRED unless --broker-list(deprecated) is specified. The server(s) to connect to. The broker list \
         string in the form HOST1:PORT1,HOST2:PORT2.",
    ).required_unless("broker-list"),
    Opt::flag("sync", "If set message send requests to the brokers are synchronously, one at a time as they arrive."),
    Opt::text(
        "compression-codec",
        "compression-codec",
        "The compression codec: either 'none', 'gzip', 'snappy', 'lz4', or 'zstd'.If specified without value, \
         then it defaults to 'gzip'",
    ).maybe(),
    Opt::integer(
        "batch-size",
        "size",
        "Number of messages to send in a single batch if they are not being sent synchronously. please note \
         that this option will be replaced if max-partition-memory-bytes is also set",
    ).default("16384"),
    Opt::integer(
        "message-send-max-retries",
        "",
        "Brokers can fail receiving the message for multiple reasons, and being unavailable transiently is just \
         one of them. This property specifies the number of retries before the producer give up and drop this \
         message. This is the option to control `retries` in producer configs.",
    ).default("3"),
    Opt::long(
        "retry-backoff-ms",
        "",
        "Before each retry, the producer refreshes the metadata of relevant topics. Since leader election takes \
         a bit of time, this property specifies the amount of time that the producer waits before refreshing the \
         metadata. This is the option to control `retry.backoff.ms` in producer configs.",
    ).default("100"),
    Opt::long(
        "timeout",
        "timeout_ms",
        "If set and the producer is running in asynchronous mode, this gives the maximum amount of time a \
         message will queue awaiting sufficient batch size. The value is given in ms. This is the option to \
         control `linger.ms` in producer configs.",
    ).default("1000"),
    Opt::text(
        "request-required-acks",
        "request required acks",
        "The required `acks` of the producer requests",
    ).default("-1"),
    Opt::integer(
        "request-timeout-ms",
        "request timeout ms",
        "The ack timeout of the producer requests. Value must be non-negative and non-zero.",
    ).default("1500"),
    Opt::long(
        "metadata-expiry-ms",
        "metadata expiration interval",
        "The period of time in milliseconds after which we force a refresh of metadata even if we haven't seen \
         any leadership changes. This is the option to control `metadata.max.age.ms` in producer configs.",
    ).default("300000"),
    Opt::long(
        "max-block-ms",
        "max block on send",
        "The max time that the producer will block for during a send request.",
    ).default("60000"),
    Opt::long(
        "max-memory-bytes",
        "total memory in bytes",
        "The total memory used by the producer to buffer records waiting to be sent to the server. This is the \
         option to control `buffer.memory` in producer configs.",
    ).default("33554432"),
    Opt::integer(
        "max-partition-memory-bytes",
        "memory in bytes per partition",
        "The buffer size allocated for a partition. When records are received which are smaller than this size \
         the producer will attempt to optimistically group them together until this size is reached. This is the \
         option to control `batch.size` in producer configs.",
    ).default("16384"),
    Opt::text(
        "line-reader",
        "reader_class",
        "The class name of the class to use for reading lines from standard in. By default each line is read as \
         a separate message.",
    ).default("kafka.tools.ConsoleProducer$LineMessageReader"),
    Opt::integer(
        "socket-buffer-size",
        "size",
        "The size of the tcp RECV size. This is the option to control `send.buffer.bytes` in producer configs.",
    ).default("102400"),
    Opt::text(
        "property",
        "prop",
        "A mechanism to pass user-defined properties in the form key=value to the message reader. This allows \
         custom configuration for a user-defined message reader.\nDefault properties include:\n \
         parse.key=false\n parse.headers=false\n ignore.error=false\n key.separator=\\t\n \
         headers.delimiter=\\t\n headers.separator=,\n headers.key.separator=:\n null.marker=   When set, any \
         fields (key, value and headers) equal to this will be replaced by null\nDefault parsing pattern when:\n \
         parse.headers=true and parse.key=true:\n  \"h1:v1,h2:v2...\\tkey\\tvalue\"\n parse.key=true:\n  \
         \"key\\tvalue\"\n parse.headers=true:\n  \"h1:v1,h2:v2...\\tvalue\"\n      ",
    ),
    Opt::text(
        "reader-config",
        "config file",
        "Config properties file for the message reader. Note that [property] takes precedence over this config.",
    ),
    Opt::text(
        "producer-property",
        "producer_prop",
        "A mechanism to pass user-defined properties in the form key=value to the producer. ",
    ),
    Opt::text(
        "producer.config",
        "config file",
        "Producer config properties file. Note that [producer-property] takes precedence over this config.",
    ),
];
