//! The options of `kafka-log-dirs.sh`, with its words of help.

use crate::jopt::{HELP, Opt, VERSION};

/// See above.
pub const OPTIONS: &[Opt] = &[
    HELP,
    VERSION,
    Opt::text(
        "bootstrap-server",
        "The server(s) to use for bootstrapping",
        "REQUIRED: the server(s) to use for bootstrapping",
    ),
    Opt::text(
        "command-config",
        "Admin client property file",
        "Property file containing configs to be passed to Admin Client.",
    ),
    Opt::flag("describe", "Describe the specified log directories on the specified brokers."),
    Opt::text(
        "topic-list",
        "Topic list",
        "The list of topics to be queried in the form \"topic1,topic2,topic3\". All topics will be queried if \
         no topic list is specified",
    ).default(""),
    Opt::text(
        "broker-list",
        "Broker list",
        "The list of brokers to be queried in the form \"0,1,2\". All brokers in the cluster will be queried if \
         no broker list is specified",
    ).default(""),
];
