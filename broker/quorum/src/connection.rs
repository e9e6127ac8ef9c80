//! One request in flight per voter, with its timeout and backoff (`RequestManager`).

use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Ready,
    Awaiting { correlation: u64, until_ms: i64 },
    BackingOff { until_ms: i64 },
}

/// Whether a request may be sent now, or when to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    Awaiting { until_ms: i64 },
    BackingOff { until_ms: i64 },
}

#[derive(Debug, Clone)]
pub(crate) struct Connections {
    links: BTreeMap<i32, Link>,
    next_correlation: u64,
    request_timeout_ms: i64,
    retry_backoff_ms: i64,
}

impl Connections {
    pub fn new(peers: impl Iterator<Item = i32>, request_timeout_ms: i64, retry_backoff_ms: i64) -> Self {
        Self {
            links: peers.map(|peer| (peer, Link::Ready)).collect(),
            next_correlation: 0,
            request_timeout_ms,
            retry_backoff_ms,
        }
    }

    /// A request that timed out or a backoff that is over makes the link ready again.
    pub fn readiness(&self, peer: i32, now_ms: i64) -> Readiness {
        match self.links.get(&peer) {
            Some(&Link::Awaiting { until_ms, .. }) if now_ms < until_ms => Readiness::Awaiting { until_ms },
            Some(&Link::BackingOff { until_ms }) if now_ms < until_ms => Readiness::BackingOff { until_ms },
            _ => Readiness::Ready,
        }
    }

    pub fn has_timed_out(&self, peer: i32, now_ms: i64) -> bool {
        matches!(self.links.get(&peer), Some(&Link::Awaiting { until_ms, .. }) if now_ms >= until_ms)
    }

    /// Marks a request as sent; returns its correlation and when it times out.
    pub fn sent(&mut self, peer: i32, now_ms: i64) -> (u64, i64) {
        self.next_correlation += 1;
        let (correlation, until_ms) = (self.next_correlation, now_ms + self.request_timeout_ms);
        self.links.insert(peer, Link::Awaiting { correlation, until_ms });
        (correlation, until_ms)
    }

    /// Whether this reply is still waited for.
    pub fn expects(&self, peer: i32, correlation: u64) -> bool {
        matches!(self.links.get(&peer), Some(&Link::Awaiting { correlation: expected, .. }) if expected == correlation)
    }

    pub fn succeeded(&mut self, peer: i32, correlation: u64) {
        if self.expects(peer, correlation) {
            self.links.insert(peer, Link::Ready);
        }
    }

    pub fn failed(&mut self, peer: i32, correlation: u64, now_ms: i64) {
        if self.expects(peer, correlation) {
            self.links.insert(peer, Link::BackingOff { until_ms: now_ms + self.retry_backoff_ms });
        }
    }

    /// Forgets what was in flight: after a change of state it is obsolete.
    pub fn reset_all(&mut self) {
        self.links.values_mut().for_each(|link| *link = Link::Ready);
    }

    pub fn reset(&mut self, peer: i32) {
        self.links.entry(peer).and_modify(|link| *link = Link::Ready);
    }

    /// Ends a backoff early; a request in flight stays.
    pub fn end_backoff(&mut self, peer: i32) {
        if let Some(link @ Link::BackingOff { .. }) = self.links.get_mut(&peer) {
            *link = Link::Ready;
        }
    }
}
