//! The options of `kafka-consumer-perf-test.sh`, with its words of help.

use crate::jopt::{HELP, Opt, VERSION};

/// See above.
pub const OPTIONS: &[Opt] = &[
    HELP,
    VERSION,
    Opt::text(
        "broker-list",
        "broker-list",
        "DEPRECATED, use --bootstrap-server instead; ignored if --bootstrap-server is specified. The broker \
         list string in the form HOST1:PORT1,HOST2:PORT2.",
    ),
    Opt::text(
        "bootstrap-server",
        "server to connect to",
        "REQUIRED unless --broker-list(deprecated) is specified. The server(s) to connect to.",
    )
    .required_unless("broker-list"),
    Opt::text("topic", "topic", "REQUIRED: The topic to consume from."),
    Opt::text("group", "gid", "The group id to consume on.").default("perf-consumer-NUMBER"),
    Opt::integer("fetch-size", "size", "The amount of data to fetch in a single request.").default("1048576"),
    Opt::flag(
        "from-latest",
        "If the consumer does not already have an established offset to consume from, start with the latest \
         message present in the log rather than the earliest message.",
    ),
    Opt::integer("socket-buffer-size", "size", "The size of the tcp RECV size.").default("2097152"),
    Opt::integer("threads", "count", "DEPRECATED AND IGNORED: Number of processing threads.").default("10"),
    Opt::integer("num-fetch-threads", "count", "DEPRECATED AND IGNORED: Number of fetcher threads.")
        .default("1"),
    Opt::text("consumer.config", "config file", "Consumer config properties file."),
    Opt::flag("print-metrics", "Print out the metrics."),
    Opt::flag(
        "show-detailed-stats",
        "If set, stats are reported for each reporting interval as configured by reporting-interval",
    ),
    Opt::long(
        "timeout",
        "milliseconds",
        "The maximum allowed time in milliseconds between returned records.",
    )
    .maybe()
    .default("10000"),
    Opt::long("messages", "count", "REQUIRED: The number of messages to send or consume"),
    Opt::long(
        "reporting-interval",
        "interval_ms",
        "Interval in milliseconds at which to print progress info.",
    )
    .default("5000"),
    Opt::text(
        "date-format",
        "date format",
        "The date format to use for formatting the time field. See java.text.SimpleDateFormat for options.",
    )
    .default("yyyy-MM-dd HH:mm:ss:SSS"),
    Opt::flag("hide-header", "If set, skips printing the header for the stats"),
];
