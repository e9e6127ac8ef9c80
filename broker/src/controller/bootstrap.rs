//! `bootstrap.checkpoint`: what the first active controller of an empty log writes first (`BootstrapDirectory`).

use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use jackdaw_wire::MetadataRecord;
use jackdaw_wire::batch::batches;

/// The name of the file in the metadata log's directory.
pub const FILE_NAME: &str = "bootstrap.checkpoint";

/// Why the file cannot be used. A node must not start past it: it may hold credentials that the cluster needs.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("{FILE_NAME} cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("{FILE_NAME} is damaged: {0}")]
    Damaged(String),
}

/// Reads the records of the file; none if there is no file.
pub fn read(metadata_log_dir: &Path) -> Result<Vec<MetadataRecord>, BootstrapError> {
    match std::fs::read(metadata_log_dir.join(FILE_NAME)) {
        Ok(bytes) => parse(&bytes.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn parse(bytes: &Bytes) -> Result<Vec<MetadataRecord>, BootstrapError> {
    /// Bootstrap files hold a few records; a batch that unpacks to more than this is no such file.
    const LIMIT_BYTES: usize = 8 << 20;
    let damaged = |what: String| BootstrapError::Damaged(what);
    let mut found = Vec::new();
    for batch in batches(bytes) {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        if batch.header.is_control() {
            continue;
        }
        batch.check_crc().map_err(|error| damaged(error.to_string()))?;
        let mut scratch = Vec::new();
        let records = batch.records(LIMIT_BYTES, &mut scratch).map_err(|error| damaged(error.to_string()))?;
        for record in records {
            let record = record.map_err(|error| damaged(error.to_string()))?;
            let value = record.value.ok_or_else(|| damaged("a record without a value".into()))?;
            let decoded = MetadataRecord::decode(Bytes::copy_from_slice(value));
            found.push(decoded.map_err(|error| damaged(error.to_string()))?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use jackdaw_wire::batch::BatchBuilder;
    use jackdaw_wire::metadata_record::FeatureLevelRecord;

    use super::*;

    #[test]
    fn records_are_read_and_control_batches_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap().is_empty());
        let level: MetadataRecord =
            FeatureLevelRecord { name: "metadata.version".into(), feature_level: 14, ..Default::default() }
                .into();
        let mut control = BatchBuilder::new(0, 1).control();
        control.append(0, Some(&[0, 0, 0, 3]), Some(&[0, 0]));
        let mut data = BatchBuilder::new(1, 1);
        data.append(0, None, Some(&level.encode(0).unwrap()));
        let file = [control.build(), data.build()].concat();
        std::fs::write(dir.path().join(FILE_NAME), &file).unwrap();
        assert_eq!(read(dir.path()).unwrap(), [level]);
        std::fs::write(dir.path().join(FILE_NAME), &file[..file.len() - 1]).unwrap();
        assert!(read(dir.path()).is_err());
    }
}
