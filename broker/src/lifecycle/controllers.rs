//! A controller tells the cluster who it is, until the cluster knows (Kafka's `ControllerRegistrationManager`).

use std::sync::Arc;
use std::time::Duration;

use jackdaw_metadata::MetadataImage;
use jackdaw_wire::messages::ControllerRegistrationRequest;
use jackdaw_wire::messages::controller_registration_request::{Feature, Listener as RegisteredListener};
use jackdaw_wire::types::random_uuid;
use jackdaw_wire::{ErrorCode, StrBytes};
use tokio::sync::watch;

use super::{Features, security_protocol_id};
use crate::config::Listener;
use crate::errors::LinkError;
use crate::to_controller::ControllerChannel;
use crate::to_controller::ask;

const LOGGER: &str = "kafka.server.ControllerRegistrationManager";
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Registers this controller under a new incarnation. Ends when the registration is in the log, or the node stops.
pub async fn register_controller(
    node_id: i32,
    listeners: Vec<Listener>,
    features: Features,
    channel: ControllerChannel,
    mut images: watch::Receiver<Arc<MetadataImage>>,
) {
    let incarnation = random_uuid(rand::random);
    let listeners = listeners.iter().map(|listener| {
        RegisteredListener::default()
            .with_name(StrBytes::from_string(listener.name.to_string()))
            .with_host(StrBytes::from_string(listener.host.clone()))
            .with_port(listener.port)
            .with_security_protocol(security_protocol_id(&listener.security_protocol))
    });
    let features = features.into_iter().map(|(name, range)| {
        Feature::default()
            .with_name(StrBytes::from_static_str(name))
            .with_min_supported_version(range.min)
            .with_max_supported_version(range.max)
    });
    let request = ControllerRegistrationRequest::default()
        .with_controller_id(node_id)
        .with_incarnation_id(incarnation)
        .with_listeners(listeners.collect())
        .with_features(features.collect());
    // A cluster below 3.7 knows no such registration; it may be upgraded while this node lives.
    let supported = |image: &Arc<MetadataImage>| image.metadata_version().has_controller_registration();
    loop {
        if images.wait_for(supported).await.is_err() {
            return;
        }
        match ask(&channel, 0, &request, PATIENCE).await {
            Ok(response) if response.error_code == 0 => {
                let known = |image: &Arc<MetadataImage>| {
                    image.controllers.get(&node_id).is_some_and(|c| c.incarnation_id == incarnation)
                };
                match tokio::time::timeout(PATIENCE, images.wait_for(known)).await {
                    Ok(_) => return,
                    Err(_) => continue,
                }
            }
            Ok(response) => tracing::info!(
                target: LOGGER,
                "[ControllerRegistrationManager id={node_id}] The controller returned error {}",
                ErrorCode::name_of(response.error_code)
            ),
            Err(LinkError::Stopped) => return,
            Err(error) => tracing::debug!(target: LOGGER, "ControllerRegistration: {error}"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
