//! What was set on single groups, for their coordinators: made from the image when it changes, and shared by all.
//!
//! Without groups of the consumer protocol nobody reads it, and it is never made.

use std::sync::Arc;

use jackdaw_groups::GroupSettings;
use jackdaw_metadata::{MetadataDelta, MetadataImage, ResourceType};
use jackdaw_wire::StrBytes;
use tokio::sync::watch;

use crate::config::groups::own_settings;

/// None: nobody asks.
pub struct SettingsFeed(Option<watch::Sender<Arc<GroupSettings>>>);

impl SettingsFeed {
    pub fn new(is_needed: bool) -> Self {
        Self(is_needed.then(|| watch::Sender::new(Arc::default())))
    }

    /// What a coordinator looks at; none where it needs nothing.
    pub fn subscribe(&self) -> Option<watch::Receiver<Arc<GroupSettings>>> {
        self.0.as_ref().map(watch::Sender::subscribe)
    }

    /// Before any coordinator hears of the image.
    pub fn apply(&self, image: &MetadataImage, delta: &MetadataDelta) {
        let Some(sender) = &self.0 else { return };
        let is_of_group = |resource_type| resource_type == ResourceType::Group;
        if !delta.from_snapshot && !delta.changed_configs.iter().any(|r| is_of_group(r.resource_type)) {
            return;
        }
        let of_groups = image.configs.iter().filter(|(resource, _)| is_of_group(resource.resource_type));
        let settings: GroupSettings = of_groups
            .map(|(resource, set)| (StrBytes::from_string(resource.name.clone()), own_settings(set)))
            .collect();
        sender.send_if_modified(|known| {
            let differs = **known != settings;
            if differs {
                *known = Arc::new(settings);
            }
            differs
        });
    }
}
