//! `kafka-metadata-quorum.sh`: who leads the metadata, and how far the others are behind
//! (`org.apache.kafka.tools.MetadataQuorumCommand`).

use crate::admin::{ADMIN, Admin, Result};
use crate::argparse::{Arg, Given, Group, Parser, parse};
use crate::cli::{bootstrap, message_and_trace, now_ms, terse};
use crate::errors::{Exception, check};
use crate::outln;
use jackdaw_wire::ErrorCode;
use jackdaw_wire::types::METADATA_TOPIC_NAME;
use kafka_protocol::messages::DescribeQuorumRequest;
use kafka_protocol::messages::describe_quorum_request::{PartitionData as Asked, TopicData};
use kafka_protocol::messages::describe_quorum_response::{PartitionData, ReplicaState};

static CONNECTION: Group = Group { title: "", description: "", exclusive: true, required: true };
static STATUS: Group = Group { title: "Status", description: "", exclusive: false, required: false };
static REPLICATION: Group =
    Group { title: "Replication", description: "", exclusive: false, required: false };

static COMMANDS: Parser = Parser {
    description: "This tool describes kraft metadata quorum status.",
    args: &[
        Arg::new(
            &["--bootstrap-server"],
            "A comma-separated list of host:port pairs to use for establishing the connection to the Kafka cluster.",
        )
        .group(&CONNECTION),
        Arg::new(
            &["--bootstrap-controller"],
            "A comma-separated list of host:port pairs to use for establishing the connection to the Kafka controllers.",
        )
        .group(&CONNECTION),
        Arg::new(&["--command-config"], "Property file containing configs to be passed to Admin Client."),
    ],
    commands: &[Parser {
        help: "Describe the metadata quorum info",
        args: &[
            Arg::flag(
                &["--status"],
                "A short summary of the quorum status and the other provides detailed information about the status of \
                 replication.",
            )
            .group(&STATUS),
            Arg::flag(&["--replication"], "Detailed information about the status of replication").group(&REPLICATION),
            Arg::flag(&["--human-readable"], "Human-readable output").group(&REPLICATION),
        ],
        ..Parser::new("describe")
    }],
    ..Parser::new("kafka-metadata-quorum")
};

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    match parse(&COMMANDS, args) {
        Ok(given) => describe(&given).map_or_else(message_and_trace, |()| 0),
        Err(refusal) => {
            refusal.print();
            1
        }
    }
}

fn describe(given: &Given) -> Result<()> {
    if let Some(path) = given.value("command_config").filter(|path| !std::path::Path::new(path).exists()) {
        return Err(terse(format!("Properties file {path} does not exists!")));
    }
    let mut admin = Admin::create(ADMIN, &bootstrap(given, "command_config")?)?;
    let readable = given.is("human_readable");
    match (given.is("status"), given.is("replication")) {
        (true, true) => {
            Err(terse("Only one of --status or --replication should be specified with describe sub-command"))
        }
        (false, false) => {
            Err(terse("One of --status or --replication must be specified with describe sub-command"))
        }
        (true, false) if readable => {
            Err(terse("The option --human-readable is only supported along with --replication"))
        }
        (true, false) => status(&mut admin),
        (false, true) => replication(&mut admin, readable),
    }
}

fn quorum(admin: &mut Admin) -> Result<PartitionData> {
    let topic = TopicData::default()
        .with_topic_name(crate::admin::topic_name(METADATA_TOPIC_NAME))
        .with_partitions(vec![Asked::default().with_partition_index(0)]);
    let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
    let found = admin.retrying(crate::admin::MOVED, |admin| {
        let to = admin.quorum();
        let answer = admin.ask(to, "describeMetadataQuorum", &request)?;
        check(answer.error_code, answer.error_message.as_deref())?;
        let partition = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let partition = partition.ok_or_else(|| Exception::from(ErrorCode::UnknownServerError))?;
        check(partition.error_code, partition.error_message.as_deref())?;
        Ok(partition)
    });
    found.map_err(Exception::in_execution)
}

fn leader(quorum: &PartitionData) -> Result<&ReplicaState> {
    let leader = quorum.current_voters.iter().find(|voter| voter.replica_id == quorum.leader_id);
    leader.ok_or_else(|| Exception::new("java.util.NoSuchElementException", "No value present"))
}

fn status(admin: &mut Admin) -> Result<()> {
    let cluster_id = admin.cluster_id().map_err(Exception::in_execution)?;
    let quorum = quorum(admin)?;
    let leader = leader(&quorum)?;
    let last = quorum.current_voters.iter().min_by_key(|voter| voter.log_end_offset).unwrap_or(leader);
    let lag_ms = match (leader.last_caught_up_timestamp, last.last_caught_up_timestamp) {
        _ if last.replica_id == leader.replica_id => 0,
        (leader, last) if leader >= 0 && last >= 0 => leader - last,
        _ => -1,
    };
    let ids = |replicas: &[ReplicaState]| {
        let ids: Vec<String> = replicas.iter().map(|replica| replica.replica_id.0.to_string()).collect();
        format!("[{}]", ids.join(","))
    };
    outln!("ClusterId:              {cluster_id}");
    outln!("LeaderId:               {}", quorum.leader_id.0);
    outln!("LeaderEpoch:            {}", quorum.leader_epoch);
    outln!("HighWatermark:          {}", quorum.high_watermark);
    outln!("MaxFollowerLag:         {}", leader.log_end_offset - last.log_end_offset);
    outln!("MaxFollowerLagTimeMs:   {lag_ms}");
    outln!("CurrentVoters:          {}", ids(&quorum.current_voters));
    outln!("CurrentObservers:       {}", ids(&quorum.observers));
    Ok(())
}

fn replication(admin: &mut Admin, readable: bool) -> Result<()> {
    let quorum = quorum(admin)?;
    let leader = leader(&quorum)?;
    let now = now_ms();
    let time = |time_ms: i64, what: &str| match readable {
        _ if time_ms < 0 => Ok("-1".to_owned()),
        false => Ok(time_ms.to_string()),
        true if time_ms > 0 && time_ms <= now => Ok(format!("{} ms ago", now - time_ms)),
        true => Err(Exception::new(
            "org.apache.kafka.common.KafkaException",
            format!(
                "Error while computing relative time, possible drift in system clock.\nCurrent timestamp is {now}, \
                 {what} timestamp is {time_ms}"
            ),
        )),
    };
    let row = |replica: &ReplicaState, status: &str| {
        Ok::<_, Exception>(vec![
            replica.replica_id.0.to_string(),
            replica.log_end_offset.to_string(),
            (leader.log_end_offset - replica.log_end_offset).to_string(),
            time(replica.last_fetch_timestamp, "last fetch")?,
            time(replica.last_caught_up_timestamp, "last caught up")?,
            status.to_owned(),
        ])
    };
    let mut rows = vec![row(leader, "Leader")?];
    for voter in quorum.current_voters.iter().filter(|voter| voter.replica_id != leader.replica_id) {
        rows.push(row(voter, "Follower")?);
    }
    for observer in &quorum.observers {
        rows.push(row(observer, "Observer")?);
    }
    let headers = ["NodeId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"];
    table(&headers, &rows);
    Ok(())
}

/// `ToolsUtils.prettyPrintTable`
pub fn table(headers: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        widest.max(headers[column].len())
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let show = |row: Vec<&str>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}\t")).collect();
        outln!("{}", cells.concat());
    };
    show(headers.to_vec());
    rows.iter().for_each(|row| show(row.iter().map(String::as_str).collect()));
}
