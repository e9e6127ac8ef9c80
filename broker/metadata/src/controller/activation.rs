//! What a new active controller writes first (Kafka's `ActivationRecordsGenerator`).

use jackdaw_wire::MetadataRecord;
use jackdaw_wire::metadata_record::{
    AbortTransactionRecord, BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord,
    ZkMigrationStateRecord,
};

use super::{ActivationError, LogStart};
use crate::features::{self, MetadataVersion};

/// The records of a takeover. An open transaction is what a controller left behind that went away inside of it.
pub(super) fn records(
    bootstrap: &[MetadataRecord],
    log: &LogStart,
) -> Result<Vec<MetadataRecord>, ActivationError> {
    let bootstrap = if bootstrap.is_empty() { default_bootstrap() } else { bootstrap.to_vec() };
    let version = if log.is_empty { level_of(&bootstrap) } else { log.image.metadata_version() };
    let mut records = Vec::new();
    if log.open_transaction {
        if !version.has_transactions() {
            return Err(ActivationError::TransactionNotSupported(version.name()));
        }
        let reason = Some("Controller failover".to_owned());
        records.push(AbortTransactionRecord { reason, ..Default::default() }.into());
    }
    if !log.is_empty {
        return Ok(records);
    }
    if version.has_transactions() {
        let name = Some("Bootstrap records".to_owned());
        records.push(BeginTransactionRecord { name, ..Default::default() }.into());
    }
    records.extend(bootstrap);
    if version.has_migration() {
        records.push(ZkMigrationStateRecord::default().into());
    }
    if version.has_transactions() {
        records.push(EndTransactionRecord::default().into());
    }
    Ok(records)
}

/// A cluster without `bootstrap.checkpoint` starts at what 3.7.0 formats with.
fn default_bootstrap() -> Vec<MetadataRecord> {
    let name = features::METADATA_VERSION.to_owned();
    vec![FeatureLevelRecord { name, feature_level: features::LATEST, ..Default::default() }.into()]
}

fn level_of(bootstrap: &[MetadataRecord]) -> MetadataVersion {
    let level = bootstrap.iter().find_map(|record| match record {
        MetadataRecord::FeatureLevel(r) if r.name == features::METADATA_VERSION => Some(r.feature_level),
        _ => None,
    });
    MetadataVersion(level.unwrap_or(features::MINIMUM))
}
