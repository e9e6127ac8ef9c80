//! Finalized features change level (KIP-584, KIP-778; Kafka's `FeatureControlManager`).

use std::collections::BTreeMap;

use jackdaw_wire::messages::update_features_response::UpdatableFeatureResult;
use jackdaw_wire::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use jackdaw_wire::metadata_record::FeatureLevelRecord;
use jackdaw_wire::{ErrorCode, MetadataRecord, StrBytes};

use super::Controller;
use super::error::{ApiError, code_of};
use crate::features::{self, MetadataVersion};
use crate::registration::VersionRange;

/// `FeatureUpdate.UpgradeType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
    Unknown,
}

impl Direction {
    fn of(code: i8) -> Self {
        match code {
            1 => Self::Upgrade,
            2 => Self::SafeDowngrade,
            3 => Self::UnsafeDowngrade,
            _ => Self::Unknown,
        }
    }
}

impl Controller {
    pub(super) fn update_features(
        &self,
        request: &UpdateFeaturesRequest,
        records: &mut Vec<MetadataRecord>,
    ) -> UpdateFeaturesResponse {
        // The last one counts where a feature is named twice.
        let mut updates = BTreeMap::new();
        for update in &request.feature_updates {
            let direction = Direction::of(update.upgrade_type);
            updates.insert(update.feature.to_string(), (update.max_version_level, direction));
        }
        let results = updates.into_iter().map(|(name, (level, direction))| {
            let record = self.updated_feature(&name, level, direction);
            let error = record.map(|record| records.push(record.into())).err();
            UpdatableFeatureResult::default()
                .with_feature(StrBytes::from_string(name))
                .with_error_code(code_of(error.as_ref()))
                .with_error_message(error.as_ref().and_then(ApiError::text))
        });
        let results = results.collect();
        if request.validate_only {
            records.clear();
        }
        UpdateFeaturesResponse::default().with_results(results)
    }

    fn updated_feature(
        &self,
        name: &str,
        level: i16,
        direction: Direction,
    ) -> Result<FeatureLevelRecord, ApiError> {
        let refuse = |why: &str| {
            let text = format!("Invalid update version {level} for feature {name}. {why}");
            Err(ApiError::new(ErrorCode::InvalidUpdateVersion, text))
        };
        let current = match name {
            features::METADATA_VERSION => self.image.metadata_version().0,
            features::GROUP_VERSION => self.image.features.group_version(self.settings.consumer_groups),
            other => self.image.features.finalized.get(other).copied().unwrap_or(0),
        };
        if direction == Direction::Unknown {
            return refuse("The controller does not support the given upgrade type.");
        }
        if level < 0 {
            return refuse("A feature version cannot be less than 0.");
        }
        if let Some(why) = self.why_unsupported(name, level) {
            return refuse(&why);
        }
        if level < current && direction == Direction::Upgrade {
            return refuse(
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or \
                 unsafe downgrade.",
            );
        }
        if level > current && direction != Direction::Upgrade {
            return refuse("Can't downgrade to a newer version.");
        }
        if name == features::METADATA_VERSION {
            self.check_metadata_version(level, direction)?;
        } else if level > 0 && self.image.metadata_version().0 < features::MINIMUM_OF_OTHERS {
            let minimum = MetadataVersion(features::MINIMUM_OF_OTHERS);
            return refuse(&format!(
                "{name} could not be set to {level} because it depends on metadata.version={} ({})",
                minimum.0,
                minimum.name()
            ));
        }
        Ok(FeatureLevelRecord { name: name.to_owned(), feature_level: level, ..Default::default() })
    }

    /// Every node must support the level, and every controller must have said whether it does.
    fn why_unsupported(&self, name: &str, level: i16) -> Option<String> {
        let own = match name {
            features::METADATA_VERSION => {
                Some(VersionRange { min: features::MINIMUM, max: features::LATEST })
            }
            features::GROUP_VERSION if self.settings.consumer_groups => {
                Some(VersionRange { min: 0, max: features::LATEST_GROUP_VERSION })
            }
            _ => None,
        };
        let me = self.settings.node_id;
        if let Some(why) = outside(level, &format!("Local controller {me}"), own) {
            return Some(why);
        }
        let mut brokers =
            self.image.brokers.values().map(|b| (format!("Broker {}", b.id), b.features.get(name).copied()));
        if let Some(why) = brokers.find_map(|(who, range)| outside(level, &who, range)) {
            return Some(why);
        }
        if !self.image.metadata_version().has_controller_registration() {
            return None;
        }
        let others = self.image.controllers.values().filter(|controller| controller.id != me);
        let mut others = others.map(|c| (format!("Controller {}", c.id), c.features.get(name).copied()));
        if let Some(why) = others.find_map(|(who, range)| outside(level, &who, range)) {
            return Some(why);
        }
        let silent = |id: &&i32| **id != me && !self.image.controllers.contains_key(id);
        let silent = self.settings.voters.iter().find(silent)?;
        Some(format!("controller {silent} has not registered, and may not support this feature"))
    }

    fn check_metadata_version(&self, level: i16, direction: Direction) -> Result<(), ApiError> {
        let refuse = |why: String| {
            let text = format!("Invalid metadata.version {level}. {why}");
            Err(ApiError::new(ErrorCode::InvalidUpdateVersion, text))
        };
        if !(features::MINIMUM..=features::LATEST).contains(&level) {
            return refuse("Unknown metadata.version.".into());
        }
        if level < features::MINIMUM_BOOTSTRAP {
            let minimum = MetadataVersion(features::MINIMUM_BOOTSTRAP).name();
            return refuse(format!("Unable to set a metadata.version less than {minimum}"));
        }
        let current = self.image.metadata_version();
        if level < current.0 && current.changed_records_since(MetadataVersion(level)) {
            return refuse(
                match direction {
                    Direction::UnsafeDowngrade => "Unsafe metadata downgrade is not supported in this version.",
                    _ => {
                        "Refusing to perform the requested downgrade because it might delete metadata information."
                    }
                }
                .into(),
            );
        }
        Ok(())
    }
}

/// `QuorumFeatures.reasonNotSupported`; who says nothing of a feature supports its level 0 alone.
fn outside(level: i16, who: &str, range: Option<VersionRange>) -> Option<String> {
    let VersionRange { min, max } = range.unwrap_or(VersionRange { min: 0, max: 0 });
    if (min..=max).contains(&level) {
        return None;
    }
    Some(match max {
        0 => format!("{who} does not support this feature."),
        _ if min == max => format!("{who} only supports versions {min}"),
        _ => format!("{who} only supports versions {min}-{max}"),
    })
}
