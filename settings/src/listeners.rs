//! `listeners`, `advertised.listeners`, `listener.security.protocol.map` and `controller.quorum.voters`, and what holds
//! where they say nothing.
//!
//! Must not resolve names or open ports. Refusals are worded as Kafka's `CoreUtils`, `EndPoint` and `RaftConfig`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::HostPort;
use crate::keys::{split_csv, split_list};

/// The only security protocol that is served.
pub const PLAINTEXT: &str = "PLAINTEXT";
/// `SecurityProtocol`
pub const SECURITY_PROTOCOLS: [&str; 4] = [PLAINTEXT, "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// A controller that votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub id: i32,
    pub address: HostPort,
}

/// A listener, bound or advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Upper case, as Kafka normalises it.
    pub name: Arc<str>,
    /// Empty: all interfaces (of a bound listener), the canonical host name (of an advertised one).
    pub host: String,
    pub port: u16,
    /// Name of the security protocol; only PLAINTEXT is served.
    pub security_protocol: Arc<str>,
}

/// Security protocol by listener name, both in upper case.
pub type ProtocolMap = BTreeMap<String, String>;

/// Reads `listener.security.protocol.map` as it stands.
///
/// # Errors
/// An entry that is no pair, or an unknown protocol.
pub fn protocol_map(text: &str) -> Result<ProtocolMap, String> {
    let mut map = ProtocolMap::new();
    for pair in split_list(text) {
        let Some((name, protocol)) = map_entry(&pair) else {
            return Err(format!(
                "Error parsing configuration property 'listener.security.protocol.map': `{pair}` is not NAME:PROTOCOL"
            ));
        };
        map.insert(name, security_protocol(protocol)?);
    }
    Ok(map)
}

/// Name and protocol of one entry of the map (`CoreUtils.parseCsvMap`); the protocol as it is written.
fn map_entry(pair: &str) -> Option<(String, &str)> {
    let (name, protocol) = pair.rsplit_once(':')?;
    Some((name.trim().to_uppercase(), protocol.trim()))
}

/// The map that a node goes by, for those who look at it from outside: `text` is none where the node's file has no
/// map. Entries that the node refuses are in it as they are written, save those that are no pair.
pub fn effective_map(text: Option<&str>, controllers: &[String], listeners: &str) -> ProtocolMap {
    let known = |protocol: &str| security_protocol(protocol).unwrap_or_else(|_| protocol.to_owned());
    match text {
        Some(text) => {
            let pairs = split_list(text);
            let pairs = pairs.iter().filter_map(|pair| map_entry(pair));
            pairs.map(|(name, protocol)| (name, known(protocol))).collect()
        }
        None => {
            let default = SECURITY_PROTOCOLS.map(|name| (name.to_owned(), name.to_owned()));
            with_controller_defaults(default.into(), controllers, listeners)
        }
    }
}

/// # Errors
/// An unknown name, in Kafka's words.
pub fn security_protocol(name: &str) -> Result<String, String> {
    let upper = name.to_uppercase();
    if SECURITY_PROTOCOLS.contains(&upper.as_str()) {
        Ok(upper)
    } else {
        Err(format!("Invalid security protocol `{name}` defined in listener.security.protocol.map"))
    }
}

/// `KafkaConfig.effectiveListenerSecurityProtocolMap`: where the map is left at its default, controller listeners
/// are PLAINTEXT unless something speaks TLS or SASL.
pub fn with_controller_defaults(
    mut map: ProtocolMap,
    controllers: &[String],
    listeners: &str,
) -> ProtocolMap {
    let secure = |name: &str| matches!(name, "SSL" | "SASL_SSL" | "SASL_PLAINTEXT");
    let listener_names = split_csv(listeners);
    let mut listener_names =
        listener_names.iter().filter_map(|l| l.split_once("://")).map(|(name, _)| name.to_uppercase());
    if controllers.iter().any(|name| secure(name)) || listener_names.any(|name| secure(&name)) {
        return map;
    }
    for name in controllers.iter().filter(|name| *name != "PLAINTEXT") {
        map.insert(name.clone(), "PLAINTEXT".to_owned());
    }
    map
}

/// A list of endpoints. Bound ones must have distinct ports, advertised ones need not.
///
/// # Errors
/// Kafka's text, with the whole list in it.
pub fn endpoints(text: &str, map: &ProtocolMap, distinct_ports: bool) -> Result<Vec<Listener>, String> {
    let endpoints: Vec<Listener> = split_csv(text)
        .iter()
        .map(|one| endpoint(one, map))
        .collect::<Result<_, _>>()
        .map_err(|why| format!("Error creating broker listeners from '{text}': {why}"))?;
    for (index, one) in endpoints.iter().enumerate() {
        if endpoints[..index].iter().any(|other| other.name == one.name) {
            return Err(format!("Each listener must have a different name, listeners: {text}"));
        }
    }
    if distinct_ports {
        check_ports(&endpoints, text)?;
    }
    Ok(endpoints)
}

fn endpoint(text: &str, map: &ProtocolMap) -> Result<Listener, String> {
    let unparsable = || format!("Unable to parse {text} to a broker endpoint");
    // As Kafka's expression, greedy: the name ends at the last `://`.
    let (name, address) = text.rsplit_once("://").ok_or_else(unparsable)?;
    let (host, port) = host_port(address).ok_or_else(unparsable)?;
    let port = port.ok_or_else(|| format!("{}, as the port is not between 0 and 65535", unparsable()))?;
    let name = name.to_uppercase();
    let Some(protocol) = map.get(&name) else {
        return Err(format!("No security protocol defined for listener {name}"));
    };
    Ok(Listener { name: Arc::from(name), host, port, security_protocol: Arc::from(protocol.as_str()) })
}

/// Host and port of `host:port` or `[v6]:port`; the port is none where it is no port number.
fn host_port(address: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let known = |c: char| c.is_ascii_alphanumeric() || "-%._:".contains(c);
    let digits = port.strip_prefix('-').unwrap_or(port);
    if !host.chars().all(known) || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((host.to_owned(), port.parse().ok()))
}

/// One port twice is allowed only for exactly one IPv4 and one IPv6 address (`CoreUtils.listenerListToEndPoints`).
fn check_ports(endpoints: &[Listener], text: &str) -> Result<(), String> {
    let mut by_port: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for one in endpoints.iter().filter(|e| e.port != 0) {
        by_port.entry(one.port).or_default().push(&one.host);
    }
    for (port, hosts) in by_port.into_iter().filter(|(_, hosts)| hosts.len() > 1) {
        let addresses: Vec<IpAddr> = hosts.iter().filter_map(|host| host.parse().ok()).collect();
        let names = hosts.len() - addresses.len();
        if names > 1 {
            return Err(format!("Each listener must have a different port, listeners: {text}"));
        }
        match addresses[..] {
            [] => {}
            [a, b] if a.is_ipv4() != b.is_ipv4() && names == 0 => {}
            [_, _] => {
                return Err(format!(
                    "If you have two listeners on the same port then one needs to be IPv4 and the other IPv6, \
                     listeners: {text}, port: {port}"
                ));
            }
            _ => {
                return Err(format!(
                    "Each listener must have a different port unless exactly one listener has an IPv4 address and \
                     the other IPv6 address, listeners: {text}, port: {port}"
                ));
            }
        }
    }
    Ok(())
}

/// Whether an advertised host is the address that means "any".
pub fn is_any_address(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok_and(|a| a.is_unspecified())
        || host.parse::<Ipv6Addr>().is_ok_and(|a| a.is_unspecified())
}

/// `RaftConfig.parseVoterConnections`. Of several entries of one id the last counts.
///
/// # Errors
/// Kafka's text for the first entry that is wrong.
pub fn voters(entries: &[String]) -> Result<Vec<Voter>, String> {
    const SETTING: &str = "controller.quorum.voters";
    const FORM: &str = "Each entry should be in the form `{id}@{host}:{port}`.";
    let mut voters: Vec<Voter> = Vec::new();
    for entry in entries {
        let Some((id, address)) = entry.split_once('@').filter(|(_, address)| !address.contains('@')) else {
            return Err(format!("Invalid configuration value for {SETTING}. {FORM}"));
        };
        let id: i32 = id.parse().map_err(|_| format!("Failed to parse voter ID as an integer from {id}"))?;
        let part = |what: &str| {
            format!("Failed to parse host {what} from entry {entry} for the configuration {SETTING}. {FORM}")
        };
        let (host, port) = host_port(address).ok_or_else(|| part("name"))?;
        let port = port.ok_or_else(|| part("port"))?;
        if host.is_empty() {
            return Err(part("name"));
        }
        voters.retain(|voter| voter.id != id);
        voters.push(Voter { id, address: HostPort::new(host, port) });
    }
    Ok(voters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(names: &[&str]) -> ProtocolMap {
        names.iter().map(|n| ((*n).to_owned(), "PLAINTEXT".to_owned())).collect()
    }

    #[test]
    fn endpoints_are_read_as_kafka_reads_them() {
        let map = plain(&["A", "B", "C"]);
        for (text, expected) in [
            ("A://:9092", Ok("A  9092")),
            ("a://host:1,B://[::1]:2", Ok("A host 1; B ::1 2")),
            ("A://0.0.0.0:1, B://x:0 ,", Ok("A 0.0.0.0 1; B x 0")),
            ("A://127.0.0.1:1,B://[::1]:1", Ok("A 127.0.0.1 1; B ::1 1")),
            ("A://x:1,A://x:2", Err("Each listener must have a different name, listeners: A://x:1,A://x:2")),
            ("A://x:1,B://y:1", Err("Each listener must have a different port, listeners: A://x:1,B://y:1")),
            (
                "A://10.0.0.1:1,B://10.0.0.2:1",
                Err(
                    "If you have two listeners on the same port then one needs to be IPv4 and the other IPv6, listeners: A://10.0.0.1:1,B://10.0.0.2:1, port: 1",
                ),
            ),
            (
                "D://x:1",
                Err(
                    "Error creating broker listeners from 'D://x:1': No security protocol defined for listener D",
                ),
            ),
            (
                "A:/x:1",
                Err(
                    "Error creating broker listeners from 'A:/x:1': Unable to parse A:/x:1 to a broker endpoint",
                ),
            ),
            (
                "A://x:70000",
                Err(
                    "Error creating broker listeners from 'A://x:70000': Unable to parse A://x:70000 to a broker endpoint, as the port is not between 0 and 65535",
                ),
            ),
        ] {
            let read = endpoints(text, &map, true).map(|list| {
                list.iter()
                    .map(|l| format!("{} {} {}", l.name, l.host, l.port))
                    .collect::<Vec<_>>()
                    .join("; ")
            });
            assert_eq!(read, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn voters_are_read_as_kafka_reads_them() {
        let read = |text: &str| {
            voters(&split_list(text))
                .map(|v| v.iter().map(|v| format!("{}@{}", v.id, v.address)).collect::<Vec<_>>().join(","))
        };
        assert_eq!(read("0@a:1, 1@[::1]:2").unwrap(), "0@a:1,1@[::1]:2");
        for (wrong, part) in [
            ("a:1", "Invalid configuration value for controller.quorum.voters."),
            ("x@a:1", "Failed to parse voter ID as an integer from x"),
            ("0@a", "Failed to parse host name from entry 0@a"),
            ("0@a:99999", "Failed to parse host port from entry 0@a:99999"),
        ] {
            assert!(read(wrong).unwrap_err().starts_with(part), "{wrong}");
        }
    }

    /// What 3.7.0's `KafkaConfig.effectiveListenerSecurityProtocolMap` makes of the same three settings.
    #[test]
    fn a_listener_has_the_protocol_that_kafka_gives_it() {
        for (text, controllers, listeners, name, expected) in [
            // The map's default has Kafka's four protocols under their own names.
            (None, "", "PLAINTEXT://:9092", "PLAINTEXT", Some("PLAINTEXT")),
            (None, "", "SSL://:9092", "SSL", Some("SSL")),
            (None, "", "OUT://:9092", "OUT", None),
            // Controllers are added to the default, and only to it.
            (None, "CTRL", "PLAINTEXT://:9092,CTRL://:9093", "CTRL", Some("PLAINTEXT")),
            (None, "CTRL", "SSL://:9092,CTRL://:9093", "CTRL", None),
            (None, "CTRL,SASL_SSL", "PLAINTEXT://:9092", "CTRL", None),
            (None, "SSL", "SSL://:9093", "SSL", Some("SSL")),
            (Some("PLAINTEXT:PLAINTEXT"), "CTRL", "CTRL://:9093", "CTRL", None),
            (Some(""), "CTRL", "PLAINTEXT://:9092", "PLAINTEXT", None),
            // Names and protocols in any case, with blanks; the last colon divides, the last entry counts.
            (Some(" out : plaintext ,A:SSL"), "", "OUT://:1", "OUT", Some("PLAINTEXT")),
            (Some("A:B:SSL"), "", "", "A:B", Some("SSL")),
            (Some("A:SSL,A:PLAINTEXT"), "", "", "A", Some("PLAINTEXT")),
            (Some("PLAINTEXT:SASL_SSL"), "", "", "PLAINTEXT", Some("SASL_SSL")),
            // Refused by the node, and told by who sees the file before it does.
            (Some("A:TLS"), "", "", "A", Some("TLS")),
        ] {
            let map = effective_map(text, &split_csv(controllers), listeners);
            let row = format!("{text:?} {controllers} {listeners} {name}");
            assert_eq!(map.get(name).map(String::as_str), expected, "{row}");
            let strict = text.map_or(Ok(ProtocolMap::new()), protocol_map);
            let is_refused = expected.is_some_and(|name| !SECURITY_PROTOCOLS.contains(&name));
            assert_eq!(strict.is_err(), is_refused, "{row}");
        }
    }
}
