//! Whose cluster a data folder belongs to, in words that both runtimes share. No I/O.

use jackdaw_conventions::{ClusterIdOrigin, NodePlan};

/// Kafka's file that says whose a data folder is.
pub const META_PROPERTIES: &str = "meta.properties";

/// The cluster id in the text of a `meta.properties`.
pub fn cluster_id_in(meta_properties: &str) -> Option<String> {
    let id = meta_properties.lines().find_map(|line| line.strip_prefix("cluster.id="))?;
    Some(id.trim().to_owned())
}

/// The warning where a volume was formatted for another cluster than the file names. A derived id is nobody's wish.
pub fn other_cluster(service: &str, node: &NodePlan, there: &str) -> Option<String> {
    let wanted = node.cluster_id.as_ref()?;
    (wanted.origin != ClusterIdOrigin::Derived && there != wanted.value).then(|| {
        format!(
            "{service}: its volume belongs to cluster {there}, the file says {}; the volume wins, as in Kafka",
            wanted.value
        )
    })
}
