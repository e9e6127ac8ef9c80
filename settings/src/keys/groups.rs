//! What can be set on a single group while the cluster runs: the GROUP configs of KIP-848, as Kafka 4.1 has them of the
//! consumer protocol (`GroupConfig`). Their defaults are the broker's settings of the same names behind `group.`.
//!
//! Rows as those of the one table, and not among its keys: no file has them. See the parent module for their meaning.

use super::*;

keys! { GROUPS
    "consumer.session.timeout.ms": Int = "45000", at_least(1), dynamic, acts;
        "Session timeout of the group's members in the consumer protocol."
    "consumer.heartbeat.interval.ms": Int = "5000", at_least(1), dynamic, acts;
        "Heartbeat interval of the group's members in the consumer protocol."
}
