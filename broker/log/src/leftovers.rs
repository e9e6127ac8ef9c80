//! What interrupted work leaves in a partition's folder: files that wait for their removal, segments that
//! compaction did not finish, and finished ones that have not yet taken their place
//! (`LogLoader.removeTempFilesAndCollectSwapFiles`).

use std::sync::Arc;

use crate::disk::{FileInfo, remove_if_exists};
use crate::error::{AtPath, StorageError};
use crate::names;
use crate::place::Place;
use crate::segment::Segment;

/// Clears them away; the files that are left.
pub(crate) fn clear(place: &Arc<Place>) -> Result<Vec<FileInfo>, StorageError> {
    let listing = list(place)?;
    let is_leftover = |file: &FileInfo| {
        [names::DELETED_SUFFIX, names::CLEANED_SUFFIX, names::SWAP_SUFFIX]
            .iter()
            .any(|suffix| file.name.ends_with(suffix))
    };
    if !listing.iter().any(is_leftover) {
        return Ok(listing);
    }
    let remove = |name: &str| {
        let path = place.path(name);
        remove_if_exists(&*place.disk, &path).at("removing", &path).map(|_| ())
    };
    let mut first_cleaned = i64::MAX;
    for file in &listing {
        // Snapshots of the metadata log that wait for their removal are its owner's.
        if file.name.ends_with(names::DELETED_SUFFIX) && names::parse_snapshot_file(&file.name).is_none() {
            remove(&file.name)?;
        } else if file.name.ends_with(names::CLEANED_SUFFIX) {
            first_cleaned = first_cleaned.min(names::offset_of_file(&file.name).unwrap_or(i64::MAX));
            remove(&file.name)?;
        }
    }
    // Segments are swapped from the last to the first: one beside a later unfinished one belongs to a compaction
    // that did not get that far.
    let swaps: Vec<(&FileInfo, i64)> = listing
        .iter()
        .filter(|file| file.name.ends_with(names::SWAP_SUFFIX))
        .filter_map(|file| Some((file, names::offset_of_file(&file.name)?)))
        .collect();
    let (valid, invalid): (Vec<_>, Vec<_>) =
        swaps.into_iter().partition(|(_, offset)| *offset < first_cleaned);
    for (file, _) in invalid {
        remove(&file.name)?;
    }
    if !valid.is_empty() {
        remove_replaced(place, &listing, &valid)?;
        for (file, _) in valid {
            let (from, to) = (place.path(&file.name), place.path(without_swap(&file.name)));
            place.disk.rename(&from, &to).at("renaming", &from)?;
        }
    }
    place.sync_folder()?;
    list(place)
}

fn list(place: &Arc<Place>) -> Result<Vec<FileInfo>, StorageError> {
    let folder = place.folder();
    let mut listing = place.disk.list(&folder).at("listing", &folder)?;
    listing.retain(|file| !file.is_dir);
    listing.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(listing)
}

fn without_swap(name: &str) -> &str {
    name.strip_suffix(names::SWAP_SUFFIX).unwrap_or(name)
}

/// Removes the segments whose records lie in the swapped ones.
fn remove_replaced(
    place: &Arc<Place>,
    listing: &[FileInfo],
    swaps: &[(&FileInfo, i64)],
) -> Result<(), StorageError> {
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    for (file, base_offset) in swaps {
        if !without_swap(&file.name).ends_with(names::LOG_SUFFIX) {
            continue;
        }
        let path = place.path(&file.name);
        let contents = place.disk.open(&path, crate::disk::OpenMode::Read).at("opening", &path)?;
        let next_offset =
            Segment::next_offset_of(&*contents, &path, file.size_bytes)?.unwrap_or(*base_offset);
        from = from.min(*base_offset);
        // Of the one whose name it takes nothing stays, though it may be empty itself.
        to = to.max(next_offset).max(base_offset + 1);
    }
    for file in listing.iter().filter(|file| !file.name.ends_with(names::SWAP_SUFFIX)) {
        let is_segment = names::SEGMENT_SUFFIXES
            .iter()
            .chain([&names::PRODUCER_SNAPSHOT_SUFFIX])
            .any(|suffix| file.name.ends_with(suffix));
        let offset =
            names::offset_of_file(&file.name).filter(|offset| is_segment && (from..to).contains(offset));
        if offset.is_some() {
            tracing::info!("Deleting {}: compacted, but not deleted yet", file.name);
            let path = place.path(&file.name);
            remove_if_exists(&*place.disk, &path).at("removing", &path)?;
        }
    }
    Ok(())
}
