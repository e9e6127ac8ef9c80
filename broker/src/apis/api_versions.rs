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
    let known = api::of(ApiKey::ApiVersions).is_some_and(|row| row.has_version(context.api_version));
    if !known {
        let context = RequestContext { api_version: 0, ..context.clone() };
        return Response::encode(&context, &unsupported());
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
    Response::encode(context, &table(context.scope, extras, image))
}

fn version((row, max_version): (&api::Api, i16)) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(row.key as i16)
        .with_min_version(row.min_version)
        .with_max_version(max_version)
}

fn unsupported() -> ApiVersionsResponse {
    let own = api::of(ApiKey::ApiVersions).map(|row| version((row, row.max_version)));
    ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(own.into_iter().collect())
}

/// The whole table of a listener. Features are told from version 3 on; the encoder leaves them out before.
pub fn table(scope: Scope, extras: Extras, image: &MetadataImage) -> ApiVersionsResponse {
    let supported = SupportedFeatureKey::default()
        .with_name(StrBytes::from_static_str(features::METADATA_VERSION))
        .with_min_version(features::MINIMUM)
        .with_max_version(features::LATEST);
    let level = (image.features.metadata_version > 0)
        .then(|| (features::METADATA_VERSION.to_owned(), image.features.metadata_version));
    let others = image.features.finalized.iter().map(|(name, level)| (name.clone(), *level));
    let finalized = level.into_iter().chain(others.filter(|(name, _)| name != features::METADATA_VERSION));
    let finalized = finalized.map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_string(name))
            .with_max_version_level(level)
            .with_min_version_level(level)
    });
    ApiVersionsResponse::default()
        .with_api_keys(extras.advertised(scope).map(version).collect())
        .with_supported_features(vec![supported])
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
