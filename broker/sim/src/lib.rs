//! Seeded simulation of whole clusters over simulated time, network and disk.
//!
//! The crates without I/O are driven here through everything that networks, disks and crashes do to them. One seed
//! decides all of it: a failing seed is printed and replays exactly.
//!
//! What must not be here: real time, real sockets, real files, and rules of the broker. A check may restate what
//! Kafka promises; it must not share code with what it checks.

pub mod damage;
pub mod disk;
pub mod events;
pub mod groups;
pub mod messages;
pub mod quorum;
pub mod seeds;

pub mod replication;
