//! How many connections there may be, and how fast new ones may come: Kafka's `ConnectionQuotas`.
//!
//! A connection that is one too many in all or of its listener waits, accepted and unread, until there is a place; one
//! too many of its address is closed. The listener between brokers, where it is not the only one, is not held to the
//! number of all: there a connection that exceeds it has the least recently used one of the others closed. Rates per
//! address are client quotas, which are not built. What Kafka does not have is a bound that the process's descriptors
//! set: where `max.connections` leaves more, a client beyond it is closed at once, so that logs can be opened.
//! Must not know what a connection does.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jackdaw_wire::api::Scope;
use tokio::sync::Notify;

use super::memory::Traffic;
use super::rate::{Rate, Window};
use crate::clock;
use crate::config::NetworkConfig;

/// Connections of other nodes find room beside as many as clients may have.
const KEPT_FOR_NODES: usize = 64;

/// Why a connection is closed as soon as it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The address has as many as it may have.
    Address(usize),
    /// The process has no descriptors for more.
    Descriptors(usize),
}

/// Limits of one listener; where it has none of its own, they are those of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    connections: usize,
    rate: i32,
}

/// The settings.
#[derive(Debug)]
struct Allowed {
    broker: Limit,
    /// By the name in small letters, as keys have it.
    listeners: BTreeMap<String, Limit>,
    each_ip: usize,
    ips: BTreeMap<IpAddr, usize>,
    window: Window,
}

impl Allowed {
    fn new(config: &NetworkConfig, ips: BTreeMap<IpAddr, usize>) -> Self {
        let broker = Limit {
            connections: unsigned(config.max_connections),
            rate: config.max_connection_creation_rate,
        };
        let listeners = config.listener_limits.iter().map(|(name, own)| {
            let connections = own.max_connections.map_or(broker.connections, unsigned);
            let rate = own.max_connection_creation_rate.unwrap_or(broker.rate);
            (name.clone(), Limit { connections, rate })
        });
        let window = Window {
            length: Duration::from_secs(config.quota_window_size_seconds.try_into().unwrap_or(1)),
            count: config.quota_window_num.try_into().unwrap_or(1),
        };
        Self {
            broker,
            listeners: listeners.collect(),
            each_ip: unsigned(config.max_connections_per_ip),
            ips,
            window,
        }
    }

    fn of_listener(&self, name: &str) -> Limit {
        self.listeners.get(&name.to_ascii_lowercase()).copied().unwrap_or(self.broker)
    }
}

fn unsigned(n: i32) -> usize {
    usize::try_from(n).unwrap_or_default()
}

/// One of a node's listeners, as connections are counted.
#[derive(Clone, Debug)]
pub struct Door {
    pub listener: Arc<str>,
    pub scope: Scope,
    pub traffic: Traffic,
}

impl Door {
    /// `ConnectionQuotas.protectedListener`
    fn is_protected(&self) -> bool {
        self.traffic == Traffic::Brokers
    }
}

#[derive(Debug, Default)]
struct Listening {
    open: usize,
    rate: Rate,
}

/// What is counted apart for brokers and for controllers, which are servers of their own.
#[derive(Debug, Default)]
struct Counted {
    open: usize,
    rate: Rate,
    listeners: HashMap<Arc<str>, Listening>,
    ips: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct State {
    allowed: Allowed,
    broker: Counted,
    controller: Counted,
    /// Connections that give way to those of brokers.
    evictable: HashMap<u64, (Scope, Arc<Use>)>,
    next_id: u64,
}

impl State {
    fn counted(&mut self, scope: Scope) -> &mut Counted {
        match scope {
            Scope::Broker => &mut self.broker,
            Scope::Controller => &mut self.controller,
        }
    }

    fn open(&self) -> usize {
        self.broker.open + self.controller.open
    }

    /// `recordConnectionAndGetThrottleTimeMs`
    fn throttle(&mut self, door: &Door, now: Instant) -> Duration {
        let (window, of_all) = (self.allowed.window, self.allowed.broker.rate);
        let own = self.allowed.of_listener(&door.listener).rate;
        let counted = self.counted(door.scope);
        let all = match door.is_protected() {
            true => Duration::ZERO,
            false => counted.rate.record(now, of_all, window),
        };
        let listening = counted.listeners.entry(Arc::clone(&door.listener)).or_default();
        all.max(listening.rate.record(now, own, window))
    }

    /// `connectionSlotAvailable`
    fn has_place(&mut self, door: &Door) -> bool {
        let (of_all, own) =
            (self.allowed.broker.connections, self.allowed.of_listener(&door.listener).connections);
        let counted = self.counted(door.scope);
        let of_listener = counted.listeners.get(&door.listener).map_or(0, |listening| listening.open);
        of_listener < own && (door.is_protected() || counted.open < of_all)
    }

    /// Ends the least recently used connection of a set.
    fn evict(&mut self, scope: Scope) {
        let of_scope = self.evictable.iter().filter(|(_, (of, _))| *of == scope);
        let oldest = of_scope.min_by_key(|(_, (_, used))| used.last_ms.load(Ordering::Relaxed));
        if let Some(id) = oldest.map(|(id, _)| *id)
            && let Some((_, used)) = self.evictable.remove(&id)
        {
            used.end.notify_one();
        }
    }
}

/// When a connection was last used, and whether it has to go.
#[derive(Debug)]
struct Use {
    last_ms: AtomicU64,
    end: Notify,
}

/// The connections of a node.
#[derive(Debug)]
pub struct Quotas {
    state: Mutex<State>,
    changed: Notify,
    /// Connections of all kinds for which the process has descriptors.
    ceiling: usize,
    began: Instant,
}

impl Quotas {
    /// `descriptors`: as many as connections may take of the process's.
    pub fn new(config: &NetworkConfig, descriptors: usize) -> Arc<Self> {
        let allowed = Allowed::new(config, literal_ips(config));
        let state = State {
            allowed,
            broker: Counted::default(),
            controller: Counted::default(),
            evictable: HashMap::new(),
            next_id: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            ceiling: descriptors,
            began: clock::now(),
        })
    }

    /// Takes changed settings, for connections that come from here on; `ips` are the overrides with their names
    /// resolved.
    pub fn set(&self, config: &NetworkConfig, ips: BTreeMap<IpAddr, usize>) {
        self.state().allowed = Allowed::new(config, ips);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place for a connection that was accepted.
    pub async fn enter(self: &Arc<Self>, door: &Door, ip: IpAddr) -> Result<Place, Refused> {
        let throttle = self.state().throttle(door, clock::now());
        if !throttle.is_zero() {
            tokio::time::sleep(throttle).await;
        }
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if state.has_place(door) {
                    return self.place(&mut state, door, ip);
                }
            }
            changed.await;
        }
    }

    fn place(self: &Arc<Self>, state: &mut State, door: &Door, ip: IpAddr) -> Result<Place, Refused> {
        let of_ip = state.allowed.ips.get(&ip).copied().unwrap_or(state.allowed.each_ip);
        let of_all = state.allowed.broker.connections;
        let open = state.open();
        let is_of_clients = matches!(door.traffic, Traffic::Clients | Traffic::Shared);
        let counted = state.counted(door.scope);
        if counted.ips.get(&ip).is_some_and(|open| *open >= of_ip) || of_ip == 0 {
            return Err(Refused::Address(of_ip));
        }
        let room = if is_of_clients { self.ceiling } else { self.ceiling + KEPT_FOR_NODES };
        if open >= room {
            return Err(Refused::Descriptors(room));
        }
        *counted.ips.entry(ip).or_default() += 1;
        counted.open += 1;
        counted.listeners.entry(Arc::clone(&door.listener)).or_default().open += 1;
        let is_one_too_many = counted.open > of_all;
        let id = state.next_id;
        state.next_id += 1;
        let used = Arc::new(Use { last_ms: AtomicU64::new(self.now_ms()), end: Notify::new() });
        if is_one_too_many || (!is_of_clients && open >= self.ceiling) {
            state.evict(Scope::Broker);
        }
        if !door.is_protected() {
            state.evictable.insert(id, (door.scope, Arc::clone(&used)));
        }
        Ok(Place { quotas: Arc::clone(self), door: door.clone(), ip, id, used })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn leave(&self, place: &Place) {
        let mut state = self.state();
        state.evictable.remove(&place.id);
        let counted = state.counted(place.door.scope);
        counted.open -= 1;
        if let Some(listening) = counted.listeners.get_mut(&place.door.listener) {
            listening.open -= 1;
        }
        if let Some(open) = counted.ips.get_mut(&place.ip) {
            *open -= 1;
            if *open == 0 {
                counted.ips.remove(&place.ip);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

/// Overrides that need no look at a name.
pub fn literal_ips(config: &NetworkConfig) -> BTreeMap<IpAddr, usize> {
    let overrides = config.max_connections_per_ip_overrides.iter();
    overrides.filter_map(|(host, count)| Some((host.parse().ok()?, unsigned(*count)))).collect()
}

/// A connection's place, given back on drop.
#[derive(Debug)]
pub struct Place {
    quotas: Arc<Quotas>,
    door: Door,
    ip: IpAddr,
    id: u64,
    used: Arc<Use>,
}

impl Place {
    /// Something was asked or answered.
    pub fn touch(&self) {
        self.used.last_ms.store(self.quotas.now_ms(), Ordering::Relaxed);
    }

    /// Resolves when the connection has to give way to one of a broker.
    pub async fn evicted(&self) {
        self.used.end.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.quotas.leave(self);
    }
}
