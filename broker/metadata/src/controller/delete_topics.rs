//! Topics go, by name or by id (Kafka's `ControllerApis.deleteTopics`).

use std::collections::BTreeMap;

use jackdaw_wire::messages::delete_topics_response::DeletableTopicResult;
use jackdaw_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use jackdaw_wire::metadata_record::RemoveTopicRecord;
use jackdaw_wire::{ErrorCode, MetadataRecord, StrBytes};
use uuid::Uuid;

use super::Controller;
use super::error::ApiError;
use crate::image::MetadataImage;

/// From this version on clients know TOPIC_DELETION_DISABLED.
const WITH_DELETION_DISABLED: i16 = 3;

/// How a topic was named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Name(String),
    Id(Uuid),
}

impl Controller {
    pub(super) fn delete_topics(
        &self,
        request: &DeleteTopicsRequest,
        version: i16,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<DeleteTopicsResponse, ApiError> {
        delete(&self.image, self.settings.delete_topics, request, version, records)
    }
}

/// What a controller says that does not lead: it looks names and ids up before it asks the one that does, and there is
/// nothing to ask where none of them is known.
pub fn delete_on_standby(
    image: &MetadataImage,
    is_enabled: bool,
    request: &DeleteTopicsRequest,
    version: i16,
) -> Option<DeleteTopicsResponse> {
    let mut records = Vec::new();
    let response = delete(image, is_enabled, request, version, &mut records).ok()?;
    records.is_empty().then_some(response)
}

fn delete(
    image: &MetadataImage,
    is_enabled: bool,
    request: &DeleteTopicsRequest,
    version: i16,
    records: &mut Vec<MetadataRecord>,
) -> Result<DeleteTopicsResponse, ApiError> {
    if !is_enabled {
        return Err(match version {
            WITH_DELETION_DISABLED.. => ErrorCode::TopicDeletionDisabled.into(),
            _ => ApiError::new(ErrorCode::InvalidRequest, "Topic deletion is disabled."),
        });
    }
    let invalid = |text: &str| ApiError::new(ErrorCode::InvalidRequest, text);
    let mut responses = Vec::new();
    let mut named: BTreeMap<Named, usize> = BTreeMap::new();
    for name in &request.topic_names {
        *named.entry(Named::Name(name.to_string())).or_default() += 1;
    }
    for topic in &request.topics {
        match (&topic.name, topic.topic_id) {
            (None, id) if id.is_nil() => {
                let error = invalid("Neither topic name nor id were specified.");
                responses.push(result(None, id, Err(error)));
            }
            (None, id) => *named.entry(Named::Id(id)).or_default() += 1,
            (Some(name), id) if id.is_nil() => {
                *named.entry(Named::Name(name.to_string())).or_default() += 1;
            }
            (Some(name), id) => {
                let error = invalid("You may not specify both topic name and topic id.");
                responses.push(result(Some(name), id, Err(error)));
            }
        }
    }
    let mut ids: BTreeMap<Uuid, &str> = BTreeMap::new();
    let mut by_name = Vec::new();
    for (topic, count) in &named {
        match topic {
            Named::Name(name) if *count > 1 => {
                responses.push(result(Some(name), Uuid::nil(), Err(invalid("Duplicate topic name."))));
            }
            Named::Name(name) => by_name.push(name),
            Named::Id(id) if *count > 1 => {
                responses.push(result(None, *id, Err(invalid("Duplicate topic id."))));
            }
            Named::Id(id) => match image.topics.by_id(id) {
                Some(topic) => drop(ids.insert(*id, &topic.name)),
                None => responses.push(result(None, *id, Err(unknown_id()))),
            },
        }
    }
    for name in by_name {
        match image.topics.by_name(name) {
            None => {
                let error = unknown_name();
                responses.push(result(Some(name), Uuid::nil(), Err(error)));
            }
            Some(topic) if named.contains_key(&Named::Id(topic.id)) => {
                ids.remove(&topic.id);
                let text = "The provided topic name maps to an ID that was already supplied.";
                responses.push(result(Some(name), topic.id, Err(invalid(text))));
            }
            Some(topic) => drop(ids.insert(topic.id, &topic.name)),
        }
    }
    for (topic_id, name) in ids {
        records.push(RemoveTopicRecord { topic_id, ..Default::default() }.into());
        responses.push(result(Some(name), topic_id, Ok(())));
    }
    Ok(DeleteTopicsResponse::default().with_responses(responses))
}

/// `Errors.UNKNOWN_TOPIC_ID` with its own text, as `ControllerApis.deleteTopics` sends it.
fn unknown_id() -> ApiError {
    ApiError::new(ErrorCode::UnknownTopicId, "This server does not host this topic ID.")
}

/// The same for a name.
fn unknown_name() -> ApiError {
    ApiError::new(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.")
}

fn result(name: Option<&str>, id: Uuid, outcome: Result<(), ApiError>) -> DeletableTopicResult {
    let name = name.map(|name| TopicName(StrBytes::from_string(name.to_owned())));
    let result = DeletableTopicResult::default().with_name(name).with_topic_id(id);
    match outcome {
        Ok(()) => result,
        Err(error) => result.with_error_code(error.code.code()).with_error_message(error.text()),
    }
}
