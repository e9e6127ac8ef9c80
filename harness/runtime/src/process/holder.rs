//! Who holds a TCP port: `/proc/net/tcp` names the socket, `/proc/PID/fd` its owner. Also: which addresses
//! this machine answers on.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// `TCP_LISTEN` of Linux's `tcp_states.h`, as `/proc/net/tcp` prints it.
const LISTEN: &str = "0A";
/// `TCP_TIME_WAIT`.
const TIME_WAIT: &str = "06";
/// `USER_HZ`: the kernel prints its timers in these parts of a second.
const TICKS: u64 = 100;

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: i32,
    /// Its command line.
    pub command: String,
    /// The project of this program's that it is of.
    pub project: Option<String>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.command)?;
        let Some(project) = &self.project else { return Ok(()) };
        write!(f, ", which is of the project {project}: `jackdaw -p {project} down` ends it")?;
        // An address of a service's own; whoever wants all addresses cannot have that one.
        match self.address.ip() {
            IpAddr::V4(ip) if ip.is_loopback() && ip != Ipv4Addr::LOCALHOST => {
                let port = self.address.port();
                write!(f, ", and a container can be published beside it as `127.0.0.1:{port}:…`")
            }
            _ => Ok(()),
        }
    }
}

/// The process that keeps `address` from being bound, if it may be seen by this user.
pub fn of(address: SocketAddr) -> Option<Holder> {
    let listens = |socket: &Socket| socket.state == LISTEN;
    sockets_at(address).into_iter().filter(listens).find_map(|socket| owner(&socket))
}

/// For how long a connection that has ended keeps `address` from being bound (TIME-WAIT): the kernel waits for packets of
/// it that are still on their way.
pub fn closing(address: SocketAddr) -> Option<Duration> {
    let ended = sockets_at(address).into_iter().filter(|socket| socket.state == TIME_WAIT);
    ended.map(|socket| socket.left).max()
}

/// What keeps `address` from being bound, in words.
pub fn told(address: SocketAddr) -> String {
    if let Some(holder) = of(address) {
        return holder.to_string();
    }
    if let Some(left) = closing(address) {
        return format!("a connection that has ended (TIME-WAIT), for another {} s", left.as_secs() + 1);
    }
    match sockets_at(address).iter().find_map(owner) {
        Some(holder) => format!("a connection of {holder}"),
        None => "another user's process".into(),
    }
}

/// A row of `/proc/net/tcp`.
#[derive(Debug, PartialEq)]
struct Socket {
    local: SocketAddr,
    state: String,
    /// What is left of its timer.
    left: Duration,
    inode: u64,
}

/// The sockets whose own end overlaps `address`.
fn sockets_at(address: SocketAddr) -> Vec<Socket> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|table| fs::read_to_string(table).ok());
    tables.flat_map(|table| in_table(&table, address)).collect()
}

fn in_table(table: &str, address: SocketAddr) -> Vec<Socket> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = parse_address(fields.get(1)?)?;
        let (_, ticks) = fields.get(5)?.split_once(':')?;
        let left = Duration::from_millis(u64::from_str_radix(ticks, 16).ok()? * 1000 / TICKS);
        Some(Socket { local, state: (*fields.get(3)?).to_owned(), left, inode: fields.get(9)?.parse().ok()? })
    };
    let overlaps = |socket: &Socket| {
        let local = socket.local;
        local.port() == address.port()
            && (local.ip() == address.ip() || local.ip().is_unspecified() || address.ip().is_unspecified())
    };
    table.lines().skip(1).filter_map(row).filter(overlaps).collect()
}

/// `0100007F:2384`: each 32-bit word in the machine's order.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<u32>> =
        (0..ip.len() / 8).map(|i| u32::from_str_radix(ip.get(i * 8..i * 8 + 8)?, 16).ok()).collect();
    let bytes: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
        Err(_) => match Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?) {
            mapped if mapped.to_ipv4_mapped().is_some() => IpAddr::V4(mapped.to_ipv4_mapped()?),
            v6 => IpAddr::V6(v6),
        },
    };
    Some(SocketAddr::new(ip, port))
}

fn owner(socket: &Socket) -> Option<Holder> {
    let wanted = format!("socket:[{}]", socket.inode);
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors
            .filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|target| target.as_os_str() == wanted.as_str())
    })
    .map(|pid| Holder {
        pid,
        command: command_line(pid),
        project: project(&words(pid)),
        address: socket.local,
    })
}

fn words(pid: i32) -> Vec<String> {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    raw.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The project whose supervisor or node has that command line.
fn project(words: &[String]) -> Option<String> {
    let root = match words.get(1).map(String::as_str)? {
        "supervise" => words.get(2)?,
        "broker" => words.iter().find_map(|word| Some(word.split_once("/instances/")?.0))?,
        _ => return None,
    };
    root.rsplit('/').next().map(str::to_owned)
}

/// The command line of a process, or its short name where that is empty.
pub fn command_line(pid: i32) -> String {
    let line = words(pid).join(" ").trim().to_owned();
    let short = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    if line.is_empty() { short() } else { line.chars().take(120).collect() }
}

/// When a process started, in clock ticks since boot: with its pid, a name that is never used twice.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything, parentheses included.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Whether the process with that pid and start time still runs (a zombie does not).
pub fn is_alive(pid: i32, started: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    start_time(pid) == Some(started) && !matches!(state, Some("Z" | "X") | None)
}

/// Addresses of this machine that a port published on all addresses is forwarded from: 127.0.0.1, ::1 and
/// those of its interfaces, without the rest of 127/8 (services live there) and without link-local ones
/// (they need a scope).
pub fn host_addresses() -> Vec<IpAddr> {
    let mut all = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    all.extend(interfaces_v6(&v6).into_iter().map(IpAddr::V6));
    let v4 = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    all.extend(locals_v4(&v4).into_iter().map(IpAddr::V4));
    all.dedup();
    all
}

fn interfaces_v6(table: &str) -> Vec<Ipv6Addr> {
    let mut found: Vec<Ipv6Addr> = table
        .lines()
        .filter_map(|line| u128::from_str_radix(line.split_whitespace().next()?, 16).ok())
        .map(Ipv6Addr::from)
        .filter(|ip| !ip.is_unicast_link_local())
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Leaves of the routing trie that are marked `/32 host LOCAL`.
fn locals_v4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(leaf.filter(|ip| !ip.is_loopback()));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Whether a server can listen on `address` now.
///
/// # Errors
/// As `bind` says.
pub fn probe(address: SocketAddr) -> io::Result<()> {
    super::forward::bind(address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(probe(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let holder = of(address).expect("this very process holds it");
        assert_eq!(holder.pid, std::process::id() as i32);
        assert!(holder.command.contains("jackdaw_runtime"), "{holder}");
        assert!(is_alive(holder.pid, start_time(holder.pid).unwrap()));
    }

    #[test]
    fn a_connection_that_has_ended_is_told_and_what_is_left_of_it() {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // As any client's: a server may not reuse its port.
        let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&client, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
        connect(&client, &listener.local_addr().unwrap()).unwrap();
        let client = std::net::TcpStream::from(client);
        let address = client.local_addr().unwrap();
        let (mut served, _) = listener.accept().unwrap();
        assert!(told(address).starts_with("a connection of process "), "{}", told(address));
        drop(client);
        io::Read::read(&mut served, &mut [0]).unwrap();
        drop((served, listener));
        assert_eq!(probe(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let left = closing(address).expect("it is in TIME-WAIT");
        assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60), "{left:?}");
        assert!(told(address).contains("TIME-WAIT"), "{}", told(address));
    }

    #[test]
    fn a_node_of_another_project_is_told_with_the_way_out() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let node =
            "/usr/bin/jackdaw broker --hosts /home/x/jackdaw/shop/instances/shop-kafka-1/hosts s.properties";
        assert_eq!(project(&words(node)).as_deref(), Some("shop"));
        assert_eq!(project(&words("jackdaw supervise /home/x/jackdaw/shop")).as_deref(), Some("shop"));
        assert_eq!(project(&words("java kafka.Kafka /etc/instances/x")), None);
        let (command, project) = ("jackdaw broker".to_owned(), Some("shop".to_owned()));
        let holder = Holder { pid: 7, command, project, address: "127.0.9.3:9092".parse().unwrap() };
        let told = holder.to_string();
        assert!(told.contains("`jackdaw -p shop down`") && told.contains("`127.0.0.1:9092:…`"), "{told}");
    }

    #[test]
    fn kernel_tables_are_read_as_the_kernel_writes_them() {
        let parsed = |text| parse_address(text).map(|address| address.to_string());
        assert_eq!(parsed("0100007F:2384").as_deref(), Some("127.0.0.1:9092"));
        assert_eq!(parsed("00000000000000000000000001000000:2384").as_deref(), Some("[::1]:9092"));
        assert_eq!(parsed("0000000000000000FFFF00000100007F:0050").as_deref(), Some("127.0.0.1:80"));

        let trie = "Local:\n  +-- 127.0.0.0/8 2 0 2\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.2\n        \
                    /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(locals_v4(trie), [Ipv4Addr::new(192, 0, 2, 2)]);
        let v6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
                  fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n";
        assert_eq!(interfaces_v6(v6), [Ipv6Addr::LOCALHOST]);
    }
}
