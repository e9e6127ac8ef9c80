//! ApiVersions: what is served here, and the features of the cluster (KIP-35, KIP-511, KIP-584).

use bytes::Bytes;
use jackdaw_metadata::{MetadataImage, features};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::api::{self, Extras};
use jackdaw_wire::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use jackdaw_wire::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use jackdaw_wire::protocol::StrBytes;

use crate::dispatch::{RequestContext, Response, Scope, decode};

/// Answers in the asked version, or, where that is unknown, in version 0 with an error and the versions of this very
/// API.
pub fn answer(context: &RequestContext, extras: Extras, body: Bytes, image: &MetadataImage) -> Response {
    let own = own(context.scope, extras);
    let known =
        own.is_some_and(|(row, max_version)| (row.min_version..=max_version).contains(&context.api_version));
    if !known {
        let context = RequestContext { api_version: 0, ..context.clone() };
        return Response::encode(&context, &unsupported(own));
    }
    let request: ApiVersionsRequest = match decode(context, body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let named =
        is_software_name(&request.client_software_name) && is_software_name(&request.client_software_version);
    if context.api_version >= 3 && !named {
        let refusal = ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
        return Response::encode(context, &refusal);
    }
    Response::encode(context, &table(context, extras, image))
}

/// This very API with its last version.
fn own(scope: Scope, extras: Extras) -> Option<(&'static api::Api, i16)> {
    let row = api::of(ApiKey::ApiVersions)?;
    Some((row, extras.max_version(scope, row)?))
}

fn version((row, max_version): (&api::Api, i16)) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(row.key as i16)
        .with_min_version(row.min_version)
        .with_max_version(max_version)
}

fn unsupported(own: Option<(&api::Api, i16)>) -> ApiVersionsResponse {
    ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(own.map(version).into_iter().collect())
}

/// From this version on a feature may be told whose lowest level is 0 (KAFKA-17492).
const FEATURES_FROM_0: i16 = 4;

/// The whole table of a listener. Features are told from version 3 on; the encoder leaves them out before.
fn table(context: &RequestContext, extras: Extras, image: &MetadataImage) -> ApiVersionsResponse {
    let of_groups = image.features.group_version(extras.group_version);
    let supported = [(features::METADATA_VERSION, features::MINIMUM, features::LATEST)].into_iter().chain(
        (extras.group_version && context.api_version >= FEATURES_FROM_0).then_some((
            features::GROUP_VERSION,
            0,
            features::LATEST_GROUP_VERSION,
        )),
    );
    let supported = supported.map(|(name, min, max)| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(name))
            .with_min_version(min)
            .with_max_version(max)
    });
    let mut levels = image.features.finalized.clone();
    levels.insert(features::METADATA_VERSION.to_owned(), image.features.metadata_version);
    levels.insert(features::GROUP_VERSION.to_owned(), of_groups);
    let finalized = levels.into_iter().filter(|(_, level)| *level > 0).map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_string(name))
            .with_max_version_level(level)
            .with_min_version_level(level)
    });
    let served = Extras { consumer_groups: extras.consumer_groups && of_groups > 0, ..extras };
    ApiVersionsResponse::default()
        .with_api_keys(served.advertised(context.scope).map(version).collect())
        .with_supported_features(supported.collect())
        .with_finalized_features_epoch(image.provenance.offset)
        .with_finalized_features(finalized.collect())
}

/// `ApiVersionsRequest.isValid`: letters, digits, and between them dashes and dots.
fn is_software_name(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(name.chars().next())
        && edge(name.chars().next_back())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_those_of_kip_511() {
        for (name, valid) in [("librdkafka", true), ("apache-kafka-java", true), ("2.1.0", true), ("a", true)]
        {
            assert_eq!(is_software_name(name), valid, "{name}");
        }
        for name in ["", "-a", "a-", "a b", "ä"] {
            assert!(!is_software_name(name), "{name}");
        }
    }
}
