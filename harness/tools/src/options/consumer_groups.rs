//! The options of `kafka-consumer-groups.sh`, with its words of help.

use crate::jopt::{HELP, Opt, VERSION};

/// See above.
pub const OPTIONS: &[Opt] = &[
    HELP,
    VERSION,
    Opt::text(
        "bootstrap-server",
        "server to connect to",
        "REQUIRED: The server(s) to connect to.",
    ),
    Opt::text(
        "group",
        "consumer group",
        "The consumer group we wish to act on.",
    ),
    Opt::text(
        "topic",
        "topic",
        "The topic whose consumer group information should be deleted or topic whose should be included in the \
         reset offset process. In `reset-offsets` case, partitions can be specified using this format: \
         `topic1:0,1,2`, where 0,1,2 are the partition to be included in the process. Reset-offsets also \
         supports multiple topic inputs.",
    ),
    Opt::flag("all-topics", "Consider all topics assigned to a group in the `reset-offsets` process."),
    Opt::flag("list", "List all consumer groups."),
    Opt::flag("describe", "Describe consumer group and list offset lag (number of messages not yet processed) related to given \
         group."),
    Opt::flag("all-groups", "Apply to all consumer groups."),
    Opt::flag("delete", "Pass in groups to delete topic partition offsets and ownership information over the entire consumer \
         group. For instance --group g1 --group g2"),
    Opt::long(
        "timeout",
        "timeout (ms)",
        "The timeout that can be set for some use cases. For example, it can be used when describing the group \
         to specify the maximum amount of time in milliseconds to wait before the group stabilizes (when the \
         group is just created, or is going through some changes).",
    ).default("5000"),
    Opt::text(
        "command-config",
        "command config property file",
        "Property file containing configs to be passed to Admin Client and Consumer.",
    ),
    Opt::flag("reset-offsets", "Reset offsets of consumer group. Supports one consumer group at the time, and instances should be \
         inactive\nHas 2 execution options: --dry-run (the default) to plan which offsets to reset, and \
         --execute to update the offsets. Additionally, the --export option is used to export the results to a \
         CSV format.\nYou must choose one of the following reset specifications: --to-datetime, --by-duration, \
         --to-earliest, --to-latest, --shift-by, --from-file, --to-current, --to-offset.\nTo define the scope \
         use --all-topics or --topic. One scope must be specified unless you use '--from-file'."),
    Opt::flag("delete-offsets", "Delete offsets of consumer group. Supports one consumer group at the time, and multiple topics."),
    Opt::flag("dry-run", "Only show results without executing changes on Consumer Groups. Supported operations: reset-offsets."),
    Opt::flag("execute", "Execute operation. Supported operations: reset-offsets."),
    Opt::flag("export", "Export operation execution to a CSV file. Supported operations: reset-offsets."),
    Opt::long(
        "to-offset",
        "offset",
        "Reset offsets to a specific offset.",
    ),
    Opt::text(
        "from-file",
        "path to CSV file",
        "Reset offsets to values defined in CSV file.",
    ),
    Opt::text(
        "to-datetime",
        "datetime",
        "Reset offsets to offset from datetime. Format: 'YYYY-MM-DDTHH:mm:SS.sss'",
    ),
    Opt::text(
        "by-duration",
        "duration",
        "Reset offsets to offset by duration from current timestamp. Format: 'PnDTnHnMnS'",
    ),
    Opt::flag("to-earliest", "Reset offsets to earliest offset."),
    Opt::flag("to-latest", "Reset offsets to latest offset."),
    Opt::flag("to-current", "Reset offsets to current offset."),
    Opt::long(
        "shift-by",
        "number-of-offsets",
        "Reset offsets shifting current offset by 'n', where 'n' can be positive or negative.",
    ),
    Opt::flag("members", "Describe members of the group. This option may be used with '--describe' and '--bootstrap-server' \
         options only.\nExample: --bootstrap-server localhost:9092 --describe --group group1 --members") .available_if(&["describe"]),
    Opt::flag("verbose", "Provide additional information, if any, when describing the group. This option may be used with \
         '--offsets'/'--members'/'--state' and '--bootstrap-server' options only.\nExample: --bootstrap-server \
         localhost:9092 --describe --group group1 --members --verbose") .available_if(&["describe"]),
    Opt::flag("offsets", "Describe the group and list all topic partitions in the group along with their offset lag. This is the \
         default sub-action of and may be used with '--describe' and '--bootstrap-server' options \
         only.\nExample: --bootstrap-server localhost:9092 --describe --group group1 --offsets") .available_if(&["describe"]),
    Opt::text(
        "state",
        "",
        "When specified with '--describe', includes the state of the group.\nExample: --bootstrap-server \
         localhost:9092 --describe --group group1 --state\nWhen specified with '--list', it displays the state \
         of all groups. It can also be used to list groups with specific states.\nExample: --bootstrap-server \
         localhost:9092 --list --state stable,empty\nThis option may be used with '--describe', '--list' and \
         '--bootstrap-server' options only.",
    ).maybe() .available_if(&["describe", "list"]),
];
