//! DescribeCluster, on both kinds of listeners, and the brokers that a listener shows.

use jackdaw_metadata::{BrokerRegistration, MetadataImage};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::messages::describe_cluster_response::DescribeClusterBroker;
use jackdaw_wire::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use jackdaw_wire::protocol::StrBytes;
use rand::RngExt;

use super::{Parts, operations};
use crate::dispatch::RequestContext;
use crate::replicas::LostLeaders;

/// `EndpointType`
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// A node as a listener shows it.
pub struct Shown {
    pub id: i32,
    pub host: StrBytes,
    pub port: i32,
    pub rack: Option<StrBytes>,
}

/// Brokers that are not fenced and have this listener; where there is none, the one that answers (`own_id`). One that is
/// known to be gone is among them until its session ends, as in Kafka: librdkafka goes on asking a coordinator that is
/// listed no more (confluentinc/librdkafka#5511).
///
/// Kafka would tell an empty list. While all brokers are stopped at once, the last one can be asked between the record
/// that fences it and its end; a client that forgets whom the list leaves out (librdkafka from 2.11 on) would then know
/// nobody to come back to.
pub fn alive_brokers(image: &MetadataImage, listener: &str, own_id: i32) -> Vec<Shown> {
    let shown = |broker: &BrokerRegistration| {
        let endpoint = broker.endpoint(listener)?;
        Some(Shown {
            id: broker.id,
            host: StrBytes::from_string(endpoint.host.clone()),
            port: i32::from(endpoint.port),
            rack: broker.rack.as_ref().map(|rack| StrBytes::from_string(rack.to_string())),
        })
    };
    let alive = image.brokers.values().filter(|broker| !broker.fenced);
    let alive: Vec<Shown> = alive.filter_map(|broker| shown(broker)).collect();
    if alive.is_empty() {
        image.broker(own_id).and_then(|own| shown(own)).into_iter().collect()
    } else {
        alive
    }
}

/// Who is told to be the controller: any broker that lives, as clients reach the real one through any (KIP-590). One that
/// this node has lost the connection to is told where there is no other: Kafka knows nothing better until its session
/// ends, and then clients knock there in vain.
pub fn shown_controller(image: &MetadataImage, lost: &LostLeaders) -> i32 {
    let alive: Vec<_> = image.brokers.values().filter(|b| !b.fenced).collect();
    let is_lost = |b: &BrokerRegistration| lost.get(&b.id).is_some_and(|loss| loss.broker_epoch == b.epoch);
    let near: Vec<_> = alive.iter().copied().filter(|b| !is_lost(b)).collect();
    let chosen = if near.is_empty() { alive } else { near };
    if chosen.is_empty() { -1 } else { chosen[rand::rng().random_range(0..chosen.len())].id }
}

/// The reply on a broker listener.
pub fn broker(
    context: &RequestContext,
    parts: &Parts,
    image: &MetadataImage,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let nodes = alive_brokers(image, &context.listener, parts.config.node_id);
    let controller = shown_controller(image, &parts.replicas.lost_leaders().borrow());
    respond(context, BROKERS, &parts.cluster_id, request, nodes, controller)
}

/// The reply on a controller listener.
pub fn controller(
    context: &RequestContext,
    cluster_id: &str,
    image: &MetadataImage,
    leader: Option<i32>,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    if !image.metadata_version().has_controller_registration() {
        let why = "Direct-to-controller communication is not supported with the current MetadataVersion.";
        return refuse(ErrorCode::UnsupportedVersion, why.to_owned());
    }
    let shown = image.controllers.values().filter_map(|controller| {
        let endpoint = controller.listeners.get(&*context.listener)?;
        Some(Shown {
            id: controller.id,
            host: StrBytes::from_string(endpoint.host.clone()),
            port: i32::from(endpoint.port),
            rack: None,
        })
    });
    respond(context, CONTROLLERS, cluster_id, request, shown.collect(), leader.unwrap_or(-1))
}

fn respond(
    context: &RequestContext,
    here: i8,
    cluster_id: &str,
    request: &DescribeClusterRequest,
    nodes: Vec<Shown>,
    controller_id: i32,
) -> DescribeClusterResponse {
    let asked = request.endpoint_type;
    let coded = |code| if context.api_version == 0 { ErrorCode::InvalidRequest } else { code };
    if !matches!(asked, BROKERS | CONTROLLERS) {
        return refuse(
            coded(ErrorCode::UnsupportedEndpointType),
            format!("Unsupported endpoint type {asked}"),
        );
    }
    if asked != here {
        let name = |kind| if kind == BROKERS { "BROKER" } else { "CONTROLLER" };
        let why = format!(
            "The request was sent to an endpoint of type {}, but we wanted an endpoint of type {}",
            name(here),
            name(asked)
        );
        return refuse(coded(ErrorCode::MismatchedEndpointType), why);
    }
    let allowed = match request.include_cluster_authorized_operations {
        true => operations::CLUSTER,
        false => operations::NOT_TOLD,
    };
    let controller_id = if nodes.iter().any(|n| n.id == controller_id) { controller_id } else { -1 };
    let brokers = nodes.into_iter().map(|node| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(node.id))
            .with_host(node.host)
            .with_port(node.port)
            .with_rack(node.rack)
    });
    DescribeClusterResponse::default()
        .with_error_message(None)
        .with_endpoint_type(here)
        .with_cluster_id(StrBytes::from_string(cluster_id.to_owned()))
        .with_controller_id(BrokerId(controller_id))
        .with_brokers(brokers.collect())
        .with_cluster_authorized_operations(allowed)
}

fn refuse(code: ErrorCode, why: String) -> DescribeClusterResponse {
    DescribeClusterResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(why)))
        .with_controller_id(BrokerId(-1))
        .with_cluster_authorized_operations(operations::NOT_TOLD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicas::Loss;
    use jackdaw_metadata::Endpoint;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn registration(id: i32, fenced: bool) -> BrokerRegistration {
        let (name, host) = ("PLAINTEXT".to_owned(), format!("broker{id}"));
        let endpoint = Endpoint { name: name.clone(), host, port: 9092, security_protocol: 0 };
        BrokerRegistration {
            id,
            epoch: 0,
            incarnation_id: jackdaw_wire::Uuid::nil(),
            listeners: BTreeMap::from([(name, endpoint)]),
            features: BTreeMap::new(),
            rack: None,
            fenced,
            in_controlled_shutdown: false,
            is_migrating_zk_broker: false,
            directories: Vec::new(),
        }
    }

    #[test]
    fn a_client_is_never_told_that_there_is_nobody() {
        for (fenced, expected) in [
            ([false, false, false], vec![0, 1, 2]),
            ([true, false, true], vec![1]),
            ([true, true, true], vec![2]),
        ] {
            let mut image = MetadataImage::default();
            for (id, fenced) in (0..).zip(fenced) {
                Arc::make_mut(&mut image.brokers).insert(id, Arc::new(registration(id, fenced)));
            }
            let shown: Vec<i32> = alive_brokers(&image, "PLAINTEXT", 2).iter().map(|node| node.id).collect();
            assert_eq!(shown, expected, "fenced: {fenced:?}");
            assert!(alive_brokers(&image, "ELSEWHERE", 2).is_empty());
        }
    }

    /// Clients send what only a controller does to the broker that they are told.
    #[test]
    fn who_is_lost_is_told_to_be_the_controller_only_where_nobody_else_is_there() {
        for (fenced, lost, expected) in [
            ([false, false, false], vec![(0, 0), (2, 0)], vec![1]),
            ([false, false, false], vec![(0, 7), (1, 0), (2, 0)], vec![0]),
            ([true, false, true], vec![(1, 0)], vec![1]),
            ([true, true, true], vec![], vec![-1]),
        ] {
            let mut image = MetadataImage::default();
            for (id, fenced) in (0..).zip(fenced) {
                Arc::make_mut(&mut image.brokers).insert(id, Arc::new(registration(id, fenced)));
            }
            let at = tokio::time::Instant::now();
            let loss = |(id, broker_epoch)| (id, Loss { broker_epoch, at });
            let lost: LostLeaders = lost.into_iter().map(loss).collect();
            for _ in 0..20 {
                let told = shown_controller(&image, &lost);
                assert!(expected.contains(&told), "{told} of {expected:?}, lost {lost:?}");
            }
        }
    }
}
