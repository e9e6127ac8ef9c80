//! Dynamic configurations, changed key by key or replaced as a whole (Kafka's `ControllerApis` and
//! `ConfigurationControlManager`).

use std::collections::{BTreeMap, HashMap};

use jackdaw_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use jackdaw_wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use jackdaw_wire::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, alter_configs_request, alter_configs_response,
};
use jackdaw_wire::metadata_record::ConfigRecord;
use jackdaw_wire::{ErrorCode, MetadataRecord};

use super::Controller;
use super::error::{ApiError, code_of};
use crate::image::{ConfigResource, ResourceType};
use crate::topic_name;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Controller {
    pub(super) fn incremental_alter_configs(
        &self,
        request: &IncrementalAlterConfigsRequest,
        records: &mut Vec<MetadataRecord>,
    ) -> IncrementalAlterConfigsResponse {
        let altered = each_once(
            &request.resources,
            |r| (r.resource_type, r.resource_name.to_string()),
            |r| self.alter_resource(r),
            records,
        );
        let responses = altered.map(|(resource, error)| {
            AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_code(code_of(error.as_ref()))
                .with_error_message(error.as_ref().and_then(ApiError::text))
        });
        let response = IncrementalAlterConfigsResponse::default().with_responses(responses.collect());
        if request.validate_only {
            records.clear();
        }
        response
    }

    pub(super) fn alter_configs(
        &self,
        request: &AlterConfigsRequest,
        records: &mut Vec<MetadataRecord>,
    ) -> AlterConfigsResponse {
        let altered = each_once(
            &request.resources,
            |r| (r.resource_type, r.resource_name.to_string()),
            |r| self.replace_resource(r),
            records,
        );
        let responses = altered.map(|(resource, error)| {
            alter_configs_response::AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_code(code_of(error.as_ref()))
                .with_error_message(error.as_ref().and_then(ApiError::text))
        });
        let response = AlterConfigsResponse::default().with_responses(responses.collect());
        if request.validate_only {
            records.clear();
        }
        response
    }

    /// What is not named is deleted (`legacyAlterConfigResource`).
    fn replace_resource(
        &self,
        resource: &alter_configs_request::AlterConfigsResource,
    ) -> Result<Vec<MetadataRecord>, ApiError> {
        let target = self.target(resource.resource_type, &resource.resource_name)?;
        let before = self.configs_of(&target);
        let set =
            resource.configs.iter().map(|c| (c.name.to_string(), c.value.as_ref().map(ToString::to_string)));
        let set: BTreeMap<String, Option<String>> = set.collect();
        let is_broker = target.resource_type == ResourceType::Broker;
        let changed = set.iter().filter(|(name, value)| is_broker || before.get(*name) != value.as_ref());
        let gone = before.keys().filter(|name| !set.contains_key(*name));
        let records = changed
            .map(|(name, value)| record(&target, name, value.clone()))
            .chain(gone.map(|name| record(&target, name, None)))
            .collect();
        let all = set.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.check_configs(&target, &all)?;
        Ok(records)
    }

    fn configs_of(&self, target: &ConfigResource) -> BTreeMap<String, String> {
        self.image.config(target).map(|configs| BTreeMap::clone(configs)).unwrap_or_default()
    }

    fn alter_resource(&self, resource: &AlterConfigsResource) -> Result<Vec<MetadataRecord>, ApiError> {
        let target = self.target(resource.resource_type, &resource.resource_name)?;
        let mut all = self.configs_of(&target);
        let mut records = Vec::new();
        for config in &resource.configs {
            let before = all.get(&*config.name).cloned();
            let after = self.altered_value(target.resource_type, config, before.clone())?;
            match &after {
                Some(value) => drop(all.insert(config.name.to_string(), value.clone())),
                None => drop(all.remove(&*config.name)),
            }
            // Brokers reload what they are told again, even if it is the same (KAFKA-14136).
            if before != after || target.resource_type == ResourceType::Broker {
                records.push(record(&target, &config.name, after));
            }
        }
        self.check_configs(&target, &all)?;
        Ok(records)
    }

    fn altered_value(
        &self,
        resource: ResourceType,
        config: &AlterableConfig,
        before: Option<String>,
    ) -> Result<Option<String>, ApiError> {
        let (name, value) = (&*config.name, config.value.as_deref());
        let operation = match config.config_operation {
            SET => return Ok(value.map(str::to_owned)),
            DELETE => return Ok(None),
            APPEND => "APPEND",
            SUBTRACT => "SUBTRACT",
            unknown => {
                let text = format!("Unknown config operation {unknown}");
                return Err(ApiError::new(ErrorCode::InvalidRequest, text));
            }
        };
        if !self.schema.is_list(resource, name) {
            let text = format!("Can't {operation} to key {name} because its type is not LIST.");
            return Err(ApiError::new(ErrorCode::InvalidConfig, text));
        }
        let before = before.or_else(|| self.schema.default_value(resource, name)).unwrap_or_default();
        let mut parts: Vec<&str> = before.split(',').filter(|part| !part.is_empty()).collect();
        for part in value.unwrap_or_default().split(',') {
            match parts.iter().position(|p| *p == part) {
                Some(at) if config.config_operation == SUBTRACT => drop(parts.remove(at)),
                None if config.config_operation == APPEND => parts.push(part),
                _ => {}
            }
        }
        Ok(Some(parts.join(",")))
    }

    fn check_configs(&self, target: &ConfigResource, all: &BTreeMap<String, String>) -> Result<(), ApiError> {
        let invalid = |text: &str| Err(ApiError::new(ErrorCode::InvalidRequest, text));
        let name = target.name.as_str();
        if target.resource_type == ResourceType::Topic {
            if name.is_empty() {
                return invalid("Default topic resources are not allowed.");
            }
            topic_name::validate(name)
                .map_err(|e| ApiError::new(ErrorCode::InvalidTopicException, e.to_string()))?;
            self.schema.validate_topic(all).map_err(|text| ApiError::new(ErrorCode::InvalidConfig, text))?;
            if self.image.topics.by_name(name).is_none() {
                let text = format!("The topic '{name}' does not exist.");
                return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, text));
            }
            return Ok(());
        }
        if target.resource_type == ResourceType::Group {
            if name.is_empty() {
                return invalid("Default group resources are not allowed.");
            }
            return self
                .schema
                .validate_group(all)
                .map_err(|text| ApiError::new(ErrorCode::InvalidConfig, text));
        }
        if name.is_empty() {
            return Ok(());
        }
        let Ok(id) = name.parse::<i32>() else {
            return invalid("Unable to parse broker name as a base 10 number.");
        };
        if id < 0 {
            return invalid("Invalid negative broker ID.");
        }
        if !self.image.brokers.contains_key(&id) && !self.settings.voters.contains(&id) {
            let text = format!("No node with id {id} found.");
            return Err(ApiError::new(ErrorCode::BrokerIdNotRegistered, text));
        }
        Ok(())
    }

    /// What configurations can be set on here.
    fn target(&self, resource_type: i8, name: &str) -> Result<ConfigResource, ApiError> {
        match ResourceType::of(resource_type) {
            ResourceType::BrokerLogger => {
                Err(ApiError::new(ErrorCode::InvalidRequest, "Unexpected resource type BROKER_LOGGER."))
            }
            ResourceType::Group if !self.settings.consumer_groups => Err(unknown_type(resource_type)),
            ResourceType::Other(id) => Err(unknown_type(id)),
            resource_type @ (ResourceType::Topic | ResourceType::Broker | ResourceType::Group) => {
                Ok(ConfigResource { resource_type, name: name.to_owned() })
            }
        }
    }
}

fn unknown_type(id: i8) -> ApiError {
    ApiError::new(ErrorCode::UnsupportedVersion, format!("Unknown resource type {id}."))
}

/// Alters each resource that is named once, refuses one that is named again, and tells each with its error, if any;
/// the records of those altered are added.
fn each_once<'a, R>(
    resources: &'a [R],
    key: impl Fn(&R) -> (i8, String),
    alter: impl Fn(&R) -> Result<Vec<MetadataRecord>, ApiError>,
    records: &mut Vec<MetadataRecord>,
) -> impl Iterator<Item = (&'a R, Option<ApiError>)> {
    let mut seen = HashMap::new();
    for resource in resources {
        *seen.entry(key(resource)).or_insert(0) += 1;
    }
    resources.iter().filter_map(move |resource| {
        let altered = match seen.remove(&key(resource))? {
            1 => alter(resource),
            _ => Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate resource.")),
        };
        Some((resource, altered.map(|made| records.extend(made)).err()))
    })
}

fn record(target: &ConfigResource, name: &str, value: Option<String>) -> MetadataRecord {
    let record = ConfigRecord {
        resource_type: target.resource_type.id(),
        resource_name: target.name.clone(),
        name: name.to_owned(),
        value,
        ..Default::default()
    };
    record.into()
}
