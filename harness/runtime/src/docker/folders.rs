//! The data folders of a node on an engine: whether a folder of the host can be written by the user that the
//! node runs as, and whose cluster lies in a volume.

use super::DockerRuntime;
use super::container::owner;
use crate::model::{MountSource, ServiceSpec};
use crate::runtime::{Result, RuntimeError};
use crate::volume::{META_PROPERTIES, cluster_id_in, other_cluster};
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::TryStreamExt as _;
use jackdaw_conventions::NodePlan;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

/// Write and search, for the class of user that a folder's mode is asked about.
const WRITE_AND_SEARCH: u32 = 0o3;

/// Folders of the host that hold a node's data, and the places in them where the data goes.
fn bound<'a>(service: &'a ServiceSpec, node: &'a NodePlan) -> impl Iterator<Item = (&'a Path, PathBuf)> {
    service.mounts.iter().filter_map(|mount| {
        let MountSource::Bind(source) = &mount.source else { return None };
        let data = node.data_dirs.iter().find(|data| Path::new(&data.path).starts_with(&mount.target))?;
        let below = Path::new(&data.path).strip_prefix(&mount.target).ok()?;
        Some((source.as_path(), source.join(below)))
    })
}

/// What keeps `uid:gid` from writing there, in words; the nearest folder that exists decides.
fn obstacle(folder: &Path, uid: u32, gid: u32) -> Option<String> {
    let existing = folder.ancestors().find(|path| path.exists())?;
    let metadata = fs::metadata(existing).ok()?;
    if !metadata.is_dir() {
        return Some(format!("{} is not a folder", existing.display()));
    }
    let mode = metadata.mode();
    let bits = match () {
        _ if uid == 0 => return None,
        _ if metadata.uid() == uid => mode >> 6,
        _ if metadata.gid() == gid => mode >> 3,
        _ => mode,
    };
    let (existing, folder) = (existing.display(), folder.display());
    (bits & WRITE_AND_SEARCH != WRITE_AND_SEARCH).then(|| {
        format!(
            "{existing} belongs to {}:{} with mode {:o}, and the node runs as {uid}:{gid}; \
             `mkdir -p {folder} && sudo chown -R {uid}:{gid} {folder}` lets it write",
            metadata.uid(),
            metadata.gid(),
            mode & 0o7777,
        )
    })
}

fn ids(node: &NodePlan) -> (u32, u32) {
    let (uid, gid) = owner(&node.user);
    (u32::try_from(uid).unwrap_or(0), u32::try_from(gid).unwrap_or(0))
}

/// Folders of the host that the node could not write, one message each. A missing one counts as ours to make where
/// we may give it away.
pub(super) fn unwritable(service: &ServiceSpec, node: &NodePlan) -> Vec<String> {
    let (uid, gid) = ids(node);
    let told =
        bound(service, node).filter(|(source, _)| source.exists() || !rustix::process::geteuid().is_root());
    told.filter_map(|(_, data)| {
        let why = obstacle(&data, uid, gid)?;
        Some(format!("{}: data folder {} cannot be written: {why}", service.name, data.display()))
    })
    .collect()
}

/// Makes the missing folders of the host with the node's owner: the engine would make them root's.
pub(super) fn make_missing(service: &ServiceSpec, node: &NodePlan) -> Result<()> {
    let (uid, gid) = ids(node);
    for (source, _) in bound(service, node).filter(|(source, _)| !source.exists()) {
        fs::create_dir_all(source).map_err(RuntimeError::io(source))?;
        if rustix::process::geteuid().is_root() {
            chown(source, Some(uid), Some(gid)).map_err(RuntimeError::io(source))?;
        }
    }
    Ok(())
}

impl DockerRuntime {
    /// What there is to say of the volumes of a container that was made and not started.
    pub(super) async fn other_clusters(&self, service: &ServiceSpec, node: &NodePlan) -> Vec<String> {
        let mut told = Vec::new();
        for data in &node.data_dirs {
            let there = self.cluster_id_in(&service.container, &data.path).await;
            told.extend(there.and_then(|there| other_cluster(&service.name, node, &there)));
        }
        told
    }

    /// The cluster id in a folder of a container; none where nothing was formatted.
    async fn cluster_id_in(&self, container: &str, folder: &str) -> Option<String> {
        let path = format!("{}/{META_PROPERTIES}", folder.trim_end_matches('/'));
        let options = DownloadFromContainerOptionsBuilder::default().path(&path).build();
        let pieces = self.docker.download_from_container(container, Some(options));
        let bytes: Vec<u8> = pieces
            .try_fold(Vec::new(), |mut all, piece| {
                all.extend_from_slice(&piece);
                std::future::ready(Ok(all))
            })
            .await
            .ok()?;
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut text = String::new();
        archive.entries().ok()?.next()?.ok()?.read_to_string(&mut text).ok()?;
        cluster_id_in(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::obstacle;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

    #[test]
    fn a_folder_is_writable_by_its_owner_its_group_or_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let metadata = std::fs::metadata(folder.path()).unwrap();
        let (uid, gid) = (metadata.uid(), metadata.gid());
        let stranger = (uid + 1001, gid + 1001);
        for (mode, user, may) in [
            (0o700, (uid, gid), true),
            (0o500, (uid + 1001, gid), false),
            (0o770, (uid + 1001, gid), true),
            (0o770, stranger, false),
            (0o777, stranger, true),
            (0o776, stranger, false),
        ] {
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).unwrap();
            let missing = folder.path().join("data");
            assert_eq!(obstacle(&missing, user.0, user.1).is_none(), may, "{mode:o} for {user:?}");
        }
    }
}
