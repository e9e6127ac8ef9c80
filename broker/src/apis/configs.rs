//! DescribeConfigs of topics, brokers and groups (`ConfigHelper`).

use jackdaw_metadata::{ConfigResource, MetadataImage, ResourceType, topic_name};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::messages::describe_configs_request::DescribeConfigsResource;
use jackdaw_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use jackdaw_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use jackdaw_wire::protocol::StrBytes;

use super::rarely_again;
use crate::config::Config;
use crate::config::schema::{self, Described, Dynamic, Layers};

/// `ConfigResource.Type.CLIENT_METRICS`
const CLIENT_METRICS: i8 = 16;

/// What `Errors.INVALID_REQUEST` says where nobody says more.
const INVALID_REQUEST: &str = "This most likely occurs because of a request being malformed by the client library or \
                               the message was sent to an incompatible broker. See the broker logs for more details.";

/// The reply to all resources of a request, each with its own error.
pub fn describe(
    config: &Config,
    image: &MetadataImage,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let is_unknown = |resource: &DescribeConfigsResource| match ResourceType::of(resource.resource_type) {
        ResourceType::Other(other) => other != CLIENT_METRICS,
        // 3.7 knows no such resource.
        ResourceType::Group => !config.groups.consumer.enabled,
        _ => false,
    };
    if request.resources.iter().any(is_unknown) {
        return refusal(request);
    }
    let answer = |resource: &DescribeConfigsResource| {
        let result = match settings_of(config, image, resource) {
            Ok(settings) => {
                DescribeConfigsResult::default().with_configs(chosen(settings, resource, request))
            }
            Err((code, why)) => DescribeConfigsResult::default()
                .with_error_code(code.code())
                .with_error_message(Some(StrBytes::from_string(why))),
        };
        result.with_resource_type(resource.resource_type).with_resource_name(resource.resource_name.clone())
    };
    let asked = rarely_again(&request.resources, |resource| {
        (resource.resource_type, &resource.resource_name, resource.configuration_keys.as_deref())
    });
    DescribeConfigsResponse::default().with_results(asked.map(answer).collect())
}

/// One resource of a kind that nobody knows fails the whole request (`DescribeConfigsRequest.getErrorResponse`).
fn refusal(request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        DescribeConfigsResult::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_error_message(Some(StrBytes::from_static_str(INVALID_REQUEST)))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn settings_of(
    config: &Config,
    image: &MetadataImage,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Described>, (ErrorCode, String)> {
    let none = Dynamic::new();
    let set = |resource: &ConfigResource| -> &Dynamic { image.config(resource).map_or(&none, |set| set) };
    let layers = Layers {
        values: &config.values,
        broker: set(&ConfigResource::broker(config.node_id)),
        cluster: set(&ConfigResource::default_broker()),
    };
    let name: &str = &resource.resource_name;
    let invalid = |why: String| Err((ErrorCode::InvalidRequest, why));
    match ResourceType::of(resource.resource_type) {
        ResourceType::Topic => {
            topic_name::validate(name).map_err(|e| (ErrorCode::InvalidTopicException, e.to_string()))?;
            if image.topics.by_name(name).is_none() {
                // Kafka names no reason here.
                return Err((ErrorCode::UnknownTopicOrPartition, String::new()));
            }
            Ok(schema::describe_topic(config, layers, set(&ConfigResource::topic(name))))
        }
        ResourceType::Broker if name.is_empty() => Ok(schema::describe_cluster_default(layers)),
        ResourceType::Broker => match name.parse::<i32>() {
            Ok(id) if id == config.node_id => Ok(schema::describe_broker(layers)),
            Ok(_) => invalid(format!(
                "Unexpected broker id, expected {} or empty string, but received {name}",
                config.node_id
            )),
            Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
        },
        ResourceType::Other(CLIENT_METRICS) if name.is_empty() => {
            invalid("Client metrics subscription name must not be empty".to_owned())
        }
        ResourceType::Group if name.is_empty() => invalid("Group name must not be empty".to_owned()),
        ResourceType::Group => Ok(schema::describe_group(&config.values, set(&ConfigResource::group(name)))),
        // No subscription can have been made.
        ResourceType::Other(CLIENT_METRICS) => Ok(Vec::new()),
        ResourceType::BrokerLogger => invalid("Levels of single loggers are not built".to_owned()),
        ResourceType::Other(other) => invalid(format!("Unexpected resource type {other}")),
    }
}

fn chosen(
    settings: Vec<Described>,
    resource: &DescribeConfigsResource,
    request: &DescribeConfigsRequest,
) -> Vec<DescribeConfigsResourceResult> {
    let wanted = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
    let is_wanted = |name: &str| wanted.is_none_or(|keys| keys.iter().any(|key| &**key == name));
    let told = settings.into_iter().filter(|setting| is_wanted(&setting.name));
    told.map(|setting| told_as(setting, request)).collect()
}

fn told_as(setting: Described, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms = setting.synonyms.into_iter().filter(|_| request.include_synonyms);
    let synonyms = synonyms.map(|(name, value, source)| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_string(name))
            .with_value(value.map(StrBytes::from_string))
            .with_source(source as i8)
    });
    let doc = setting.doc.filter(|_| request.include_documentation);
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(setting.name))
        .with_value(setting.value.map(StrBytes::from_string))
        .with_read_only(setting.read_only)
        .with_config_source(setting.source as i8)
        .with_is_sensitive(setting.sensitive)
        .with_synonyms(synonyms.collect())
        .with_config_type(setting.kind as i8)
        .with_documentation(doc.map(StrBytes::from_static_str))
}
