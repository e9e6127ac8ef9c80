//! Control records (KIP-98, KIP-595, KIP-630): what tells consumers and voters about the log itself.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::batch::BatchBuilder;
use crate::record_codec::{RecordError, Versioned, record_structs};

/// The version of the key; its layout is version and type, two bytes each.
const KEY_VERSION: i16 = 0;
/// The only version of the messages below.
const MESSAGE_VERSION: i16 = 0;

record_structs! {
    /// The first record of every epoch of a quorum's log.
    LeaderChangeMessage 0..=0 flexible 0 {
        version: i16, since 0;
        leader_id: i32, since 0;
        voters: Vec<LeaderChangeVoter>, since 0;
        granting_voters: Vec<LeaderChangeVoter>, since 0;
    }

    LeaderChangeVoter {
        voter_id: i32, since 0;
    }

    /// The first record of every snapshot.
    SnapshotHeaderRecord 0..=0 flexible 0 {
        version: i16, since 0;
        /// Milliseconds since 1970.
        last_contained_log_timestamp: i64, since 0;
    }

    /// The last record of every snapshot.
    SnapshotFooterRecord 0..=0 flexible 0 {
        version: i16, since 0;
    }
}

/// A control record.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlRecord {
    /// A transaction's end: aborted.
    Abort {
        coordinator_epoch: i32,
    },
    /// A transaction's end: committed.
    Commit {
        coordinator_epoch: i32,
    },
    LeaderChange(LeaderChangeMessage),
    SnapshotHeader(SnapshotHeaderRecord),
    SnapshotFooter(SnapshotFooterRecord),
    /// Of a later version of Kafka: to be passed over (`ControlRecordType.UNKNOWN`).
    Unknown {
        kind: i16,
    },
}

impl ControlRecord {
    /// The type in the key.
    pub const fn kind(&self) -> i16 {
        match self {
            Self::Abort { .. } => 0,
            Self::Commit { .. } => 1,
            Self::LeaderChange(_) => 2,
            Self::SnapshotHeader(_) => 3,
            Self::SnapshotFooter(_) => 4,
            Self::Unknown { kind } => *kind,
        }
    }

    /// Key and value of the record.
    ///
    /// # Errors
    /// `UnknownRecordType` for `Unknown`, whose value nobody knows.
    pub fn encode(&self) -> Result<(Bytes, Bytes), RecordError> {
        let mut key = BytesMut::with_capacity(4);
        key.put_i16(KEY_VERSION);
        key.put_i16(self.kind());
        let mut value = BytesMut::new();
        match self {
            Self::Abort { coordinator_epoch } | Self::Commit { coordinator_epoch } => {
                value.put_i16(MESSAGE_VERSION);
                value.put_i32(*coordinator_epoch);
            }
            Self::LeaderChange(message) => message.write_version(&mut value, MESSAGE_VERSION)?,
            Self::SnapshotHeader(message) => message.write_version(&mut value, MESSAGE_VERSION)?,
            Self::SnapshotFooter(message) => message.write_version(&mut value, MESSAGE_VERSION)?,
            Self::Unknown { kind } => return Err(RecordError::UnknownRecordType(*kind as u32)),
        }
        Ok((key.freeze(), value.freeze()))
    }

    /// Reads key and value of a record in a control batch.
    pub fn decode(mut key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let version = key.try_get_i16().map_err(|_| RecordError::Truncated)?;
        if version < 0 {
            return Err(RecordError::UnknownVersion { record: "control record key", version });
        }
        let kind = key.try_get_i16().map_err(|_| RecordError::Truncated)?;
        let mut message = Bytes::copy_from_slice(value);
        Ok(match kind {
            0 => Self::Abort { coordinator_epoch: coordinator_epoch(value)? },
            1 => Self::Commit { coordinator_epoch: coordinator_epoch(value)? },
            2 => Self::LeaderChange(Versioned::read_version(&mut message, MESSAGE_VERSION)?),
            3 => Self::SnapshotHeader(Versioned::read_version(&mut message, MESSAGE_VERSION)?),
            4 => Self::SnapshotFooter(Versioned::read_version(&mut message, MESSAGE_VERSION)?),
            kind => Self::Unknown { kind },
        })
    }

    /// A batch of this one record, as the raft leader and the snapshot writer put it (`MemoryRecords`).
    pub fn to_batch(&self, offset: i64, leader_epoch: i32, timestamp_ms: i64) -> Result<Bytes, RecordError> {
        let (key, value) = self.encode()?;
        let mut batch = BatchBuilder::new(offset, leader_epoch).control();
        batch.append(timestamp_ms, Some(&key), Some(&value));
        Ok(batch.build())
    }
}

/// The value of an end marker: version, then the coordinator's epoch (`EndTransactionMarker`).
fn coordinator_epoch(mut value: &[u8]) -> Result<i32, RecordError> {
    let version = value.try_get_i16().map_err(|_| RecordError::Truncated)?;
    if version < 0 {
        return Err(RecordError::UnknownVersion { record: "EndTxnMarker", version });
    }
    value.try_get_i32().map_err(|_| RecordError::Truncated)
}
