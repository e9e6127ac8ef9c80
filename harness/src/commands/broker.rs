//! `broker`: one node, in the foreground.

use crate::cli::Broker;
use crate::exit::{Result, Stop};

/// `broker`
pub fn run(broker: Broker) -> Result {
    Err(Stop::failed(format!("{}: this build has no broker", broker.properties.display())))
}
