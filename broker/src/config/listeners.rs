//! `listeners`, `advertised.listeners`, `listener.security.protocol.map` and `controller.quorum.voters`.
//!
//! Must not resolve names or open ports. Refusals are worded as Kafka's `CoreUtils`, `EndPoint` and `RaftConfig`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{Listener, Voter};
use jackdaw_settings::HostPort;
use jackdaw_settings::keys::{split_csv, split_list};

const SECURITY_PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// Security protocol by listener name, both in upper case.
pub type ProtocolMap = BTreeMap<String, String>;

/// Reads `listener.security.protocol.map` as it stands.
///
/// # Errors
/// An entry that is no pair, or an unknown protocol.
pub fn protocol_map(text: &str) -> Result<ProtocolMap, String> {
    let mut map = ProtocolMap::new();
    for pair in split_list(text) {
        let Some((name, protocol)) = pair.rsplit_once(':') else {
            return Err(format!(
                "Error parsing configuration property 'listener.security.protocol.map': `{pair}` is not NAME:PROTOCOL"
            ));
        };
        map.insert(name.trim().to_uppercase(), security_protocol(protocol.trim())?);
    }
    Ok(map)
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

    #[test]
    fn controllers_are_plaintext_only_while_nothing_is_secure() {
        let controllers = ["CTRL".to_owned()];
        let open = with_controller_defaults(plain(&["A"]), &controllers, "A://:1");
        assert_eq!(open.get("CTRL").map(String::as_str), Some("PLAINTEXT"));
        let secure = with_controller_defaults(plain(&["A"]), &controllers, "SSL://:1");
        assert_eq!(secure.get("CTRL"), None);
    }
}
