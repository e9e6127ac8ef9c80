//! Obligations on a running cluster, seen over sockets only: by librdkafka and by raw requests.
//! It must not call into the broker, start anything itself, or take a node's word for what a client sees.

pub mod expected;
pub mod look;
pub mod obligations;
pub mod records;
pub mod report;

pub use expected::{Expected, Vantage};
pub use obligations::{Access, Options, check};
pub use report::{Line, Report, Verdict};
