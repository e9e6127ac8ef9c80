//! AlterConfigs and IncrementalAlterConfigs at a broker (`ConfigAdminManager`): what only this broker can judge is
//! judged here, the rest is the active controller's, and the reply tells both in the order of the request.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::{Bytes, BytesMut};
use jackdaw_metadata::controller::ApiError;
use jackdaw_metadata::{ConfigResource, MetadataImage, ResourceType};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::frame;
use jackdaw_wire::messages::*;
use jackdaw_wire::protocol::Request;

use super::Inner;
use crate::config::dynamic::{self, Alteration, Level};
use crate::config::schema::Dynamic;
use crate::dispatch::{RequestContext, Response, decode};
use crate::errors;
use jackdaw_settings::keys::split_list;
use jackdaw_settings::keys::{self, Kind};

/// `ConfigResource.Type.CLIENT_METRICS`
const CLIENT_METRICS: i8 = 16;

/// `AlterConfigOp.OpType`
mod operation {
    pub const SET: i8 = 0;
    pub const DELETE: i8 = 1;
    pub const APPEND: i8 = 2;
    pub const SUBTRACT: i8 = 3;
}

/// One resource as either request names it.
struct Asked {
    kind: i8,
    name: String,
    changes: Vec<Change>,
    /// Keys that are not named stay as they are.
    is_incremental: bool,
}

struct Change {
    key: String,
    value: Option<String>,
    operation: i8,
}

/// Both requests have the same parts under different types.
macro_rules! alter {
    ($(#[$doc:meta])* $name:ident: $request:ident, $response:ident, $module:ident, $incremental:literal, $operation:expr) => {
        $(#[$doc])*
        pub(super) async fn $name(&self, context: &RequestContext, body: Bytes) -> Result<Response, Response> {
            let request: $request = decode(context, body)?;
            let asked = request.resources.iter().map(|resource| {
                let changes = resource.configs.iter().map(|config| Change {
                    key: config.name.to_string(),
                    value: config.value.as_ref().map(ToString::to_string),
                    operation: $operation(config),
                });
                Asked {
                    kind: resource.resource_type,
                    name: resource.resource_name.to_string(),
                    changes: changes.collect(),
                    is_incremental: $incremental,
                }
            });
            let refused = self.preprocess(&asked.collect::<Vec<_>>());
            let open = request.resources.iter().zip(&refused).filter(|(_, refused)| refused.is_none());
            let open: Vec<_> = open.map(|(resource, _)| resource.clone()).collect();
            let mut decided = HashMap::new();
            if !open.is_empty() {
                let rest = request.clone().with_resources(open.clone());
                let failed = match self.at_controller(context, &rest).await {
                    Ok(reply) => {
                        let reply: $response = reply;
                        decided.extend(reply.responses.into_iter().map(|told| {
                            ((told.resource_type, told.resource_name), (told.error_code, told.error_message))
                        }));
                        None
                    }
                    Err(error) => Some(ApiError::from(error)),
                };
                let failed = failed.iter().flat_map(|error| open.iter().map(move |resource| {
                    let key = (resource.resource_type, resource.resource_name.clone());
                    (key, (error.code.code(), error.text()))
                }));
                decided.extend(failed);
            }
            let responses = request.resources.into_iter().zip(refused).map(|(resource, refused)| {
                let key = (resource.resource_type, resource.resource_name);
                let unanswered = (ErrorCode::UnknownServerError.code(), None);
                let (code, text) = match refused {
                    Some(error) => (error.code.code(), error.text()),
                    None => decided.get(&key).cloned().unwrap_or(unanswered),
                };
                $module::AlterConfigsResourceResponse::default()
                    .with_resource_type(key.0)
                    .with_resource_name(key.1)
                    .with_error_code(code)
                    .with_error_message(text)
            });
            Ok(Response::encode(context, &$response::default().with_responses(responses.collect())))
        }
    };
}

impl Inner {
    alter! {
        /// Key by key (KIP-339).
        incremental_alter_configs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        incremental_alter_configs_response, true,
        |config: &incremental_alter_configs_request::AlterableConfig| config.config_operation
    }

    alter! {
        /// All keys of a resource at once.
        alter_configs: AlterConfigsRequest, AlterConfigsResponse,
        alter_configs_response, false, |_: &alter_configs_request::AlterableConfig| operation::SET
    }

    async fn at_controller<R: Request>(
        &self,
        context: &RequestContext,
        request: &R,
    ) -> Result<R::Response, ErrorCode> {
        let mut body = BytesMut::new();
        let unfit = ErrorCode::UnknownServerError;
        request.encode(&mut body, context.api_version).map_err(|_| unfit)?;
        let reply = self.ask_controller(context, body.freeze()).await;
        let mut reply = reply.map_err(|error| errors::of_link(&error))?;
        frame::decode_response::<R>(context.api_version, &mut reply).map_err(|_| unfit)
    }

    /// What is refused before the controller is asked, by place.
    fn preprocess(&self, asked: &[Asked]) -> Vec<Option<ApiError>> {
        let image = self.image();
        let mut times = HashMap::new();
        for one in asked {
            *times.entry((one.kind, one.name.as_str())).or_insert(0) += 1;
        }
        let refusal = |one: &Asked| match times.get(&(one.kind, one.name.as_str())) {
            Some(1) => self.judge(&image, one).err(),
            _ => Some(invalid("Each resource must appear at most once.")),
        };
        asked.iter().map(refusal).collect()
    }

    fn judge(&self, image: &MetadataImage, asked: &Asked) -> Result<(), ApiError> {
        let mut seen = HashSet::new();
        if !asked.changes.iter().all(|change| seen.insert(change.key.as_str())) {
            return Err(invalid("Error due to duplicate config keys"));
        }
        let is_null = |change: &&Change| change.operation != operation::DELETE && change.value.is_none();
        let nulls: Vec<&str> = asked.changes.iter().filter(is_null).map(|c| c.key.as_str()).collect();
        if !nulls.is_empty() {
            return Err(invalid(format!("Null value not supported for : {}", nulls.join(", "))));
        }
        match ResourceType::of(asked.kind) {
            ResourceType::Topic | ResourceType::Other(CLIENT_METRICS) => Ok(()),
            ResourceType::Group if self.parts.config.groups.consumer.enabled => Ok(()),
            ResourceType::Broker => self.judge_broker(image, asked),
            ResourceType::BrokerLogger if asked.is_incremental => {
                Err(invalid("Levels of single loggers are not built"))
            }
            _ => Err(invalid(format!("Unknown resource type {}", asked.kind))),
        }
    }

    fn judge_broker(&self, image: &MetadataImage, asked: &Asked) -> Result<(), ApiError> {
        let config = &self.parts.config;
        let me = config.node_id;
        let own = ConfigResource::broker(me);
        let (level, of_level, of_other) = match asked.name.as_str() {
            "" => (Level::AllBrokers, ConfigResource::default_broker(), own),
            name => match name.parse::<i32>() {
                Ok(id) if id == me => (Level::Broker, own, ConfigResource::default_broker()),
                Ok(_) => {
                    let text = format!("Unexpected broker id, expected {me}, but received {name}");
                    return Err(invalid(text));
                }
                Err(_) => {
                    return Err(invalid(format!("Node id must be an integer, but it is: {name}")));
                }
            },
        };
        let set = |resource: &ConfigResource| -> Dynamic {
            image.config(resource).map(|set| BTreeMap::clone(set)).unwrap_or_default()
        };
        let before = set(&of_level);
        let kept = if asked.is_incremental { before.clone() } else { Dynamic::new() };
        let after = altered(kept, &asked.changes)?;
        let alteration = Alteration { level, before: &before, after: &after, other: &set(&of_other) };
        dynamic::check(config, &alteration).map_err(invalid)
    }
}

fn invalid(text: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, text)
}

/// `ConfigAdminManager.prepareIncrementalConfigs`
fn altered(mut set: Dynamic, changes: &[Change]) -> Result<Dynamic, ApiError> {
    for Change { key, value, operation } in changes {
        let value = value.as_deref().unwrap_or_default();
        let word = match *operation {
            operation::SET => {
                set.insert(key.clone(), value.to_owned());
                continue;
            }
            operation::DELETE => {
                set.remove(key);
                continue;
            }
            operation::APPEND => "append",
            operation::SUBTRACT => "subtract",
            unknown => return Err(invalid(format!("Unknown operations type {unknown}"))),
        };
        let known = keys::find(key);
        if known.is_none_or(|known| known.kind != Kind::List) {
            let text = format!("Config value {word} is not allowed for config key: {key}");
            return Err(ApiError::new(ErrorCode::InvalidConfig, text));
        }
        let before = set.get(key).map(String::as_str).or(known.and_then(|known| known.default));
        let mut items = split_list(before.unwrap_or_default());
        for item in value.split(',') {
            match items.iter().position(|known| known == item) {
                Some(at) if *operation == operation::SUBTRACT => drop(items.remove(at)),
                None if *operation == operation::APPEND => items.push(item.to_owned()),
                _ => {}
            }
        }
        set.insert(key.clone(), items.join(","));
    }
    Ok(set)
}
