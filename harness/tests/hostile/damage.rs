//! Requests of every API and version that are damaged one place at a time: cut off, or with an extreme where a length,
//! a count, a boolean or a number stood.

use crate::is_full;
use crate::node::Node;
use crate::wire::{Connection, PATIENCE, framed};
use jackdaw_sim::messages;
use jackdaw_sim::seeds::Rng;
use jackdaw_wire::api::{APIS, Api, Scope};
use jackdaw_wire::schema;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Frames of one case, unless all are asked for.
const CHOICE: usize = 10_000;
/// Connections that send at once.
const SENDERS: usize = 4;
/// A request that waits for something is not waited for.
const ANSWERED_SOON: Duration = Duration::from_millis(50);

/// What stands in place of whatever stood somewhere.
const EXTREMES: &[&[u8]] = &[
    &[0x00],
    &[0x01],
    &[0x02],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0x7f, 0xff],
    &[0x80, 0x00],
    &[0xff, 0xfe],
    &[0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0x00, 0x00, 0x00],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x00, 0x0f, 0x42, 0x40],
    &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/// Varints that stand in place of one byte: the longest, one that is too long, one that says little in many bytes.
const VARINTS: &[&[u8]] = &[
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xc1, 0x84, 0x3d],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
    &[0x80, 0x00],
];

/// A request to damage: without its length, and where its body begins.
struct Request {
    api: &'static Api,
    version: i16,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Damage {
    Cut,
    Overwritten(&'static [u8]),
    /// In place of one byte.
    Varint(&'static [u8]),
}

/// One damaged request.
#[derive(Clone, Copy)]
struct Shot<'a> {
    request: &'a Request,
    at: usize,
    damage: Damage,
}

impl fmt::Display for Shot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.damage {
            Damage::Cut => "cut off".to_owned(),
            Damage::Overwritten(with) | Damage::Varint(with) => format!("{with:02x?}"),
        };
        write!(
            f,
            "{} {}, {what} at byte {}: {:02x?}",
            self.request.api.name,
            self.request.version,
            self.at,
            self.bytes()
        )
    }
}

impl Shot<'_> {
    fn bytes(&self) -> Vec<u8> {
        let (before, after) = self.request.bytes.split_at(self.at);
        let behind = |count: usize| after.get(count..).unwrap_or_default();
        match self.damage {
            Damage::Cut => before.to_vec(),
            Damage::Overwritten(with) => [before, with, behind(with.len())].concat(),
            Damage::Varint(with) => [before, with, behind(1)].concat(),
        }
    }
}

pub fn of_clients(node: &Node) -> Result<String, String> {
    damaged(node, Scope::Broker, node.clients())
}

pub fn of_controllers(node: &Node) -> Result<String, String> {
    damaged(node, Scope::Controller, node.controllers())
}

fn damaged(node: &Node, scope: Scope, address: SocketAddr) -> Result<String, String> {
    let requests = requests(scope);
    let kinds = || {
        let overwritten = EXTREMES.iter().map(|with| Damage::Overwritten(with));
        overwritten.chain(VARINTS.iter().map(|with| Damage::Varint(with))).chain([Damage::Cut])
    };
    // Behind the key and the version, which say what the rest is.
    let places = |request: &Request| 4..request.bytes.len();
    let all: Vec<Shot<'_>> = requests
        .iter()
        .flat_map(|request| places(request).map(move |at| (request, at)))
        .flat_map(|(request, at)| kinds().map(move |damage| Shot { request, at, damage }))
        .collect();
    let (count, shots) = (all.len(), chosen(all));
    let said = format!("{} of {count} damaged requests", shots.len());
    shoot(node, address, &shots).map(|()| said)
}

/// A part of them, from a seed that is printed, unless all are to be sent.
fn chosen<T: Copy>(mut all: Vec<T>) -> Vec<T> {
    if is_full() || all.len() <= CHOICE {
        return all;
    }
    let clock = || std::time::UNIX_EPOCH.elapsed().map_or(0, |since| u64::from(since.subsec_nanos()));
    let seed =
        std::env::var("JACKDAW_HOSTILE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(clock);
    eprintln!("replay this choice with JACKDAW_HOSTILE_SEED={seed}");
    let mut rng = Rng::new(seed);
    for at in 0..CHOICE {
        let other = at + rng.below((all.len() - at) as u64) as usize;
        all.swap(at, other);
    }
    all.truncate(CHOICE);
    all
}

/// Sends them over a few connections; names those on their way when the node ends.
fn shoot(node: &Node, address: SocketAddr, shots: &[Shot<'_>]) -> Result<(), String> {
    let (next, has_ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let on_their_way = Mutex::new(Vec::new());
    let send = || {
        let mut connection = None;
        while let Some(shot) = shots.get(next.fetch_add(1, Ordering::Relaxed)) {
            if connection.is_none() {
                connection = Connection::open(address).ok();
            }
            let sent =
                connection.as_mut().is_some_and(|open| open.provoke(&framed(&shot.bytes()), ANSWERED_SOON));
            if has_ended.load(Ordering::Relaxed) || node.end().is_some() {
                has_ended.store(true, Ordering::Relaxed);
                on_their_way.lock().unwrap().push(shot.to_string());
                return;
            }
            connection = connection.filter(|_| sent);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(send);
        }
    });
    let on_their_way = on_their_way.into_inner().unwrap();
    if on_their_way.is_empty() {
        Ok(())
    } else {
        Err(format!("it ended by one of\n{}", on_their_way.join("\n")))
    }
}

/// 32 bytes that ended a node: WriteTxnMarkers 1 with a boolean of 0x80, which was taken for the first byte of a length.
const BOOLEAN_FOR_A_LENGTH: &[u8] =
    b"\x00\x1b\x00\x01\x00\x00\x00\x01\x00\x01x\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x80\x80\x80\x80\x70";

/// Requests with something in every field, each of whose lengths, counts, tags and booleans says in turn what it must
/// not.
pub fn fields(node: &Node) -> Result<String, String> {
    for address in [node.clients(), node.controllers()] {
        let mut connection = Connection::open(address).map_err(|error| error.to_string())?;
        connection.provoke(&framed(BOOLEAN_FOR_A_LENGTH), ANSWERED_SOON);
    }
    let mut sent = 0;
    for (scope, address) in [(Scope::Broker, node.clients()), (Scope::Controller, node.controllers())] {
        let mut requests = Vec::new();
        for (api, version) in served(scope) {
            let Some(message) = schema::request(api.key as i16) else { continue };
            let whole = messages::random(message, version, &mut Rng::new(7));
            for place in &whole.places {
                for extreme in messages::extremes(place.meaning) {
                    let bytes = [header(api, version), whole.with(*place, &extreme)].concat();
                    requests.push(Request { api, version, bytes });
                }
            }
        }
        let whole = |request| Shot { request, at: request.bytes.len(), damage: Damage::Cut };
        let shots = chosen(requests.iter().map(whole).collect());
        sent += shots.len();
        shoot(node, address, &shots)?;
    }
    Ok(format!("{sent} requests"))
}

/// Behind the header of every API and version: bytes that claim much and have little.
pub fn garbage(node: &Node) -> Result<String, String> {
    const FILLS: &[&[u8]] = &[
        &[0x7f],
        &[0xff],
        &[0x80],
        &[0x01],
        &[0x02],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0x7f, 0xff, 0xff, 0xff],
    ];
    let mut sent = 0;
    for (scope, address) in [(Scope::Broker, node.clients()), (Scope::Controller, node.controllers())] {
        let mut requests = Vec::new();
        for (api, version) in served(scope) {
            for fill in FILLS {
                for length in [1, 5, 40, 4_000] {
                    let body: Vec<u8> = fill.iter().copied().cycle().take(length).collect();
                    requests.push(Request { api, version, bytes: [header(api, version), body].concat() });
                }
            }
        }
        let whole = |request| Shot { request, at: request.bytes.len(), damage: Damage::Cut };
        let shots: Vec<Shot<'_>> = requests.iter().map(whole).collect();
        sent += shots.len();
        shoot(node, address, &shots)?;
    }
    Ok(format!("{sent} requests"))
}

/// Frames whose own length is below zero, above the largest, nothing, or ends within the header.
pub fn lengths(node: &Node) -> Result<String, String> {
    let lengths: &[i32] =
        &[-1, -2, i32::MIN, i32::MAX, 100 << 20, (100 << 20) + 1, 0, 1, 2, 3, 4, 7, 8, 9, 10];
    for address in [node.clients(), node.controllers()] {
        for length in lengths {
            for fill in [0, 0x12, 0xff] {
                let mut connection = Connection::open(address).map_err(|error| error.to_string())?;
                let body = vec![fill; usize::try_from(*length).unwrap_or(0).min(64)];
                connection.provoke(&[&length.to_be_bytes()[..], &body].concat(), ANSWERED_SOON);
            }
        }
    }
    Ok(format!("{} frames", lengths.len() * 6))
}

/// Tagged fields without end: in headers and in bodies, many, large, and one in another.
pub fn tags(node: &Node) -> Result<String, String> {
    let many: Vec<u8> = (0..100_000_u32).flat_map(|tag| [varint(tag), varint(0)].concat()).collect();
    let many = [varint(100_000), many].concat();
    let large = [varint(1), varint(9), varint(1 << 20), vec![0; 1 << 20]].concat();
    let liar = [varint(u32::MAX), varint(0), varint(u32::MAX)].concat();
    let nested = (0..1_000_u32)
        .fold(vec![0], |inner, _| [varint(1), varint(0), varint(inner.len() as u32), inner].concat());
    let mut sent = 0;
    for (scope, address) in [(Scope::Broker, node.clients()), (Scope::Controller, node.controllers())] {
        for (api, version) in served(scope).filter(|(api, version)| api.is_flexible(*version)) {
            for tags in [&many, &large, &liar, &nested] {
                let fixed = header(api, version);
                // The header ends with its tags: those are replaced, then kept with tags in place of the body.
                let frames = [[&fixed[..fixed.len() - 1], tags].concat(), [&fixed[..], tags].concat()];
                for frame in frames {
                    let mut connection = Connection::open(address).map_err(|error| error.to_string())?;
                    connection.provoke(&framed(&frame), PATIENCE);
                    sent += 1;
                }
            }
            if !is_full() && sent > 1_000 {
                break;
            }
        }
    }
    Ok(format!("{sent} requests"))
}

fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// What a listener serves, in every version.
fn served(scope: Scope) -> impl Iterator<Item = (&'static Api, i16)> {
    let built = APIS.iter().filter(move |api| api.built.has(scope));
    built.flat_map(|api| (api.min_version..=api.max_version).map(move |version| (api, version)))
}

fn header(api: &Api, version: i16) -> Vec<u8> {
    let mut bytes =
        [&(api.key as i16).to_be_bytes()[..], &version.to_be_bytes(), &7_i32.to_be_bytes()].concat();
    match api.request_header_version(version) {
        0 => {}
        1 => bytes.extend([0, 1, b'h']),
        _ => bytes.extend([0, 1, b'h', 0]),
    }
    bytes
}

/// A request of every API and version, whole.
fn requests(scope: Scope) -> Vec<Request> {
    let whole = |(api, version): (&'static Api, i16)| {
        let bytes = crate::whole::request(api.key, version)?;
        Some(Request { api, version, bytes })
    };
    served(scope).filter_map(whole).collect()
}
