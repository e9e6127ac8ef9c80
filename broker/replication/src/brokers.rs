//! What a leader must know of other brokers: taken from the cluster image by whoever owns it.

/// One registered broker, as the metadata log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerView {
    /// The broker epoch: the offset of its registration record.
    pub epoch: i64,
    /// Fenced brokers join no ISR.
    pub fenced: bool,
    /// In controlled shutdown: joins no ISR either.
    pub shutting_down: bool,
}

impl BrokerView {
    /// The epoch as long as the broker is alive (`KRaftMetadataCache.getAliveBrokerEpoch`).
    pub fn alive_epoch(&self) -> Option<i64> {
        (!self.fenced).then_some(self.epoch)
    }
}

/// The brokers of the present image.
pub trait Brokers {
    /// A registered broker; `None` for one that is not registered.
    fn broker(&self, id: i32) -> Option<BrokerView>;
}

impl Brokers for std::collections::BTreeMap<i32, BrokerView> {
    fn broker(&self, id: i32) -> Option<BrokerView> {
        self.get(&id).copied()
    }
}
