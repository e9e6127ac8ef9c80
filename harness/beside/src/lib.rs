//! What the process runtime tells whatever runs beside a service, which is a process there and no container: the names
//! that the service knows lie in a hosts file, and the paths of its container under a folder of the launcher's. The
//! runtime sets the variables; the shell, Kafka's tools and healthchecks read them. Without them nothing changes.
//!
//! Paths are rewritten in the text of scripts, where a path begins with one of the places that the launcher names: there
//! is no other file system to look them up in.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A file as `/etc/hosts`: what the service resolves, itself as localhost.
pub const HOSTS: &str = "JACKDAW_HOSTS";
/// The folder that stands for the root of the container.
pub const ROOT: &str = "JACKDAW_ROOT";
/// Beginnings of paths that lie under it, with `:` between them.
pub const PLACES: &str = "JACKDAW_PLACES";

/// The service's own address: what a container has to itself, a process has there.
pub const ADDRESS: &str = "JACKDAW_ADDRESS";
/// The id of the process that stands for the first one of a container.
pub const FIRST: &str = "JACKDAW_FIRST";

/// Whether this process stands for the first one of a container.
pub fn is_first() -> bool {
    std::env::var(FIRST).is_ok_and(|id| id == std::process::id().to_string())
}

/// Where an absolute path of the container lies. One that is only on this machine, as the launcher writes them, stays.
pub fn inside(path: &str) -> PathBuf {
    let Ok(root) = std::env::var(ROOT) else { return PathBuf::from(path) };
    let moved = PathBuf::from(format!("{root}{path}"));
    let is_here = is_under(path, &root) || (!moved.exists() && Path::new(path).exists());
    if path.starts_with('/') && !is_here { moved } else { PathBuf::from(path) }
}

/// The words of a command as they have to be here.
pub fn own_words(given: &[String]) -> Vec<String> {
    match (std::env::var(ROOT), std::env::var(PLACES)) {
        (Ok(root), Ok(places)) => words(&root, &places, given),
        _ => given.to_vec(),
    }
}

/// The words of a command with every path of the container where the launcher has it.
pub fn words(root: &str, places: &str, words: &[String]) -> Vec<String> {
    let is_inside = |word: &str| is_placed(word, places) && !is_under(word, root);
    let moved = |word: &String| if is_inside(word) { format!("{root}{word}") } else { word.clone() };
    let mut out: Vec<String> = words.iter().map(moved).collect();
    // A program of this machine may lie in a folder that every container has, too.
    if let (Some(moved), Some(given)) = (out.first_mut(), words.first())
        && given.starts_with("/tmp/")
        && !Path::new(moved).exists()
    {
        moved.clone_from(given);
    }
    // The kernel would give a script to this machine's shell, if there is one: ours knows the paths.
    if out.first().is_some_and(|first| is_shell_script(Path::new(first))) {
        out.insert(0, format!("{root}/usr/bin/bash"));
    }
    out
}

fn is_shell_script(path: &Path) -> bool {
    let runs_itself =
        fs::metadata(path).is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0);
    if !path.is_absolute() || !runs_itself {
        return false;
    }
    let mut start = [0; 64];
    let read = fs::File::open(path).and_then(|mut file| io::Read::read(&mut file, &mut start)).unwrap_or(0);
    let text = String::from_utf8_lossy(&start[..read]);
    let line = text.lines().next().unwrap_or_default();
    line.starts_with("#!") && line.split(['/', ' ']).any(|word| matches!(word, "sh" | "bash"))
}

/// The text of the hosts file, beside a service.
pub fn hosts() -> Option<String> {
    std::env::var(HOSTS).ok().and_then(|path| std::fs::read_to_string(path).ok())
}

/// The addresses of a host, as the service knows it.
///
/// # Errors
/// The system resolver's, for a host that only the system may know.
pub fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Some(known) = hosts().as_deref().and_then(|hosts| address_in(hosts, host)) {
        return Ok(vec![SocketAddr::new(known, port)]);
    }
    (host, port).to_socket_addrs().map(Iterator::collect)
}

/// The address that a hosts file has for a name.
pub fn address_in(hosts: &str, host: &str) -> Option<IpAddr> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then(|| address.parse().ok()).flatten()
    })
}

/// The script with every path of the container where the launcher has it.
pub fn placed(script: &str) -> String {
    let (Ok(root), Ok(places)) = (std::env::var(ROOT), std::env::var(PLACES)) else {
        return script.to_owned();
    };
    under(script, &root, &places)
}

/// A path as the container has it, for a message.
pub fn shown(path: &str) -> &str {
    let root = std::env::var(ROOT).unwrap_or_default();
    match path.strip_prefix(&root) {
        Some("") if !root.is_empty() => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// Whether a path begins with one of the places, which have `:` between them.
pub fn is_placed(path: &str, places: &str) -> bool {
    places.split(':').filter(|place| !place.is_empty()).any(|place| is_at(path, place))
}

fn under(script: &str, root: &str, places: &str) -> String {
    let mut out = String::with_capacity(script.len() + 64);
    let (mut rest, mut before) = (script, None);
    while let Some(c) = rest.chars().next() {
        let begins = c == '/' && !before.is_some_and(|c: char| c.is_alphanumeric() || "_-./$}~".contains(c));
        if begins && is_under(rest, root) {
            // The folder itself may lie in a place that the container has, too, such as /tmp.
            out.push_str(root);
            (before, rest) = (root.chars().next_back(), &rest[root.len()..]);
            continue;
        }
        if begins && is_placed(rest, places) {
            out.push_str(root);
        }
        out.push(c);
        before = Some(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// Whether a path lies under that folder already.
pub fn is_under(path: &str, root: &str) -> bool {
    !root.is_empty() && path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a path begins there; a place that ends in the middle of a name is the beginning of many.
fn is_at(text: &str, place: &str) -> bool {
    let Some(after) = text.strip_prefix(place) else { return false };
    let in_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    place.ends_with('-') || !after.chars().next().is_some_and(in_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_container_are_moved() {
        let places = "/opt/kafka/bin:/usr/bin/kafka-:/bin/sh:/scripts";
        for (script, expected) in [
            ("/opt/kafka/bin/kafka-topics.sh --list", "/r/opt/kafka/bin/kafka-topics.sh --list"),
            ("cd /opt/kafka/bin && ./kafka-topics.sh", "cd /r/opt/kafka/bin && ./kafka-topics.sh"),
            ("x=\"/scripts/a.sh\"; $x", "x=\"/r/scripts/a.sh\"; $x"),
            (
                "/usr/bin/kafka-topics;/bin/sh -c '/scripts'",
                "/r/usr/bin/kafka-topics;/r/bin/sh -c '/r/scripts'",
            ),
            (
                "/bin/shuf /usr/bin/awk /scripts2 ./opt/kafka/bin",
                "/bin/shuf /usr/bin/awk /scripts2 ./opt/kafka/bin",
            ),
            ("$DIR/scripts ${DIR}/scripts", "$DIR/scripts ${DIR}/scripts"),
            ("echo > /dev/null", "echo > /dev/null"),
        ] {
            let once = under(script, "/r", places);
            assert_eq!(once, expected, "{script}");
            assert_eq!(under(&once, "/r", places), expected, "a shell within a shell changes nothing");
        }
    }

    #[test]
    fn a_root_that_lies_in_a_place_is_left_alone() {
        let (root, places) = ("/tmp/x/root", "/tmp:/opt/kafka");
        let once = under("cat /tmp/a /opt/kafka/b >/tmp/x/rooted", root, places);
        assert_eq!(once, "cat /tmp/x/root/tmp/a /tmp/x/root/opt/kafka/b >/tmp/x/root/tmp/x/rooted");
        assert_eq!(under(&once, root, places), once);
    }

    #[test]
    fn a_service_s_own_names_come_first() {
        let hosts = "127.0.7.10 Kafka00Service\n127.0.7.11 localhost 127.0.0.1 # itself\n";
        for (host, expected) in
            [("kafka00service", Some("127.0.7.10")), ("127.0.0.1", Some("127.0.7.11")), ("elsewhere", None)]
        {
            assert_eq!(address_in(hosts, host), expected.map(|ip| ip.parse().unwrap()), "{host}");
        }
    }
}
