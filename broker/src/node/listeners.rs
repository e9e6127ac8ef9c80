//! The ports of a node and what listens behind them.

use crate::config::{Config, Listener};
use crate::dispatch::Scope;
use crate::net::{BindError, Bound, Limits, Resolver, Traffic, server};

/// Opens the ports of one face of the node. They accept nothing yet.
pub async fn bind(
    config: &Config,
    scope: Scope,
    resolver: &Resolver,
    limits: &Limits,
) -> Result<Vec<Bound>, BindError> {
    let mut bound = Vec::new();
    for listener in &config.listeners {
        let is_controller = config.is_controller_listener(&listener.name);
        if is_controller == (scope == Scope::Controller) {
            let traffic = traffic_of(config, listener);
            bound.push(server::bind(listener, scope, traffic, resolver, limits).await?);
        }
    }
    Ok(bound)
}

fn traffic_of(config: &Config, listener: &Listener) -> Traffic {
    let is_only = || {
        let of_controllers = |l: &&Listener| config.is_controller_listener(&l.name);
        config.listeners.len() - config.listeners.iter().filter(of_controllers).count() == 1
    };
    match listener.name == config.inter_broker_listener_name {
        _ if config.is_controller_listener(&listener.name) => Traffic::Controllers,
        true if is_only() => Traffic::Shared,
        true => Traffic::Brokers,
        false => Traffic::Clients,
    }
}

/// Listeners as others are to be told of them: port 0 has become a port, no host has become this machine's name
/// (`BrokerServer`, `ControllerServer`: with wildcards resolved and ephemeral ports corrected).
pub fn told<'a>(listeners: impl IntoIterator<Item = &'a Listener>, bound: &[Bound]) -> Vec<Listener> {
    let tell = |listener: &Listener| {
        let opened = bound.iter().find(|b| b.name == listener.name);
        let mut told = listener.clone();
        if let Some(opened) = opened.filter(|_| listener.port == 0) {
            told.port = opened.address.port();
        }
        if told.host.is_empty() {
            told.host = host_name();
        }
        told
    };
    listeners.into_iter().map(tell).collect()
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
