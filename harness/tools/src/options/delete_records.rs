//! The options of `kafka-delete-records.sh`, with its words of help.

use crate::jopt::{HELP, Opt, VERSION};

/// See above.
pub const OPTIONS: &[Opt] = &[
    HELP,
    VERSION,
    Opt::text(
        "bootstrap-server",
        "server(s) to use for bootstrapping",
        "REQUIRED: The server to connect to.",
    ),
    Opt::text(
        "offset-json-file",
        "Offset json file path",
        "REQUIRED: The JSON file with offset per partition. The format to use is:\n{\"partitions\":\n  \
         [{\"topic\": \"foo\", \"partition\": 1, \"offset\": 1}],\n \"version\":1\n}",
    ),
    Opt::text(
        "command-config",
        "command config property file path",
        "A property file containing configs to be passed to Admin Client.",
    ),
];
