//! The options of the tools that jopt-simple reads, one table a tool: each option once, with its words of help.

pub mod broker_api_versions;
pub mod configs;
pub mod console_consumer;
pub mod console_producer;
pub mod consumer_groups;
pub mod consumer_perf_test;
pub mod delete_records;
pub mod dump_log;
pub mod get_offsets;
pub mod leader_election;
pub mod log_dirs;
pub mod topics;
