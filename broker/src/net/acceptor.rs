//! Accepting on one listener: who comes in gets a place or is closed; what the system lacks is told and survived.
//!
//! Must not read from a connection.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jackdaw_log::is_out_of_descriptors;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::connection::{self, Ended, Origin};
use super::quotas::{Door, Place, Refused};
use super::server::{Bound, Handler, Limits};
use crate::descriptors;
use crate::seldom::Seldom;

/// Pause after an accept that failed for want of something that others have to give back first.
const PAUSE: Duration = Duration::from_millis(100);
/// A descriptor that is held so that there is one when there are none: a connection can be accepted with it and closed.
/// Left in the backlog, it would wake the acceptor again at once and for ever.
#[derive(Debug)]
struct Spare(Option<File>);

impl Spare {
    fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }
}

/// One listener's acceptor.
struct Acceptor {
    bound: Bound,
    limits: Arc<Limits>,
    node_id: i32,
    spare: Spare,
    refused: Seldom,
    failed: Seldom,
}

/// Accepts until dropped.
pub async fn accept(
    bound: Bound,
    limits: Arc<Limits>,
    handler: Arc<dyn Handler>,
    stop: watch::Receiver<bool>,
    node_id: i32,
    runtime: Handle,
) {
    let door = Door { listener: Arc::clone(&bound.name), scope: bound.scope, traffic: bound.traffic };
    let (spare, refused, failed) = (Spare::new(), Seldom::default(), Seldom::default());
    let mut acceptor = Acceptor { bound, limits, node_id, spare, refused, failed };
    loop {
        let Some((stream, peer)) = acceptor.next().await else { continue };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let place = match acceptor.limits.quotas.enter(&door, peer.ip()).await {
            Ok(place) => place,
            Err(why) => {
                acceptor.refuse(peer, why);
                continue;
            }
        };
        let origin = Origin {
            listener: Arc::clone(&door.listener),
            scope: door.scope,
            traffic: door.traffic,
            peer,
            node_id,
        };
        // Without it, the connection's events would come by way of this runtime.
        let Ok(stream) = stream.into_std() else { continue };
        runtime.spawn(run(
            stream,
            origin,
            place,
            Arc::clone(&acceptor.limits),
            Arc::clone(&handler),
            stop.clone(),
        ));
    }
}

impl Acceptor {
    /// The next connection; none where the attempt failed.
    async fn next(&mut self) -> Option<(TcpStream, SocketAddr)> {
        let error = match self.bound.socket.accept().await {
            Ok(accepted) => return Some(accepted),
            Err(error) => error,
        };
        if !is_out_of_descriptors(&error) {
            if let Some(more) = self.failed.due() {
                tracing::error!(
                    target: "kafka.network.Acceptor",
                    "Error while accepting connection: {error}{more}"
                );
            }
            // A peer that has gone again is no reason to keep others waiting.
            if error.kind() != io::ErrorKind::ConnectionAborted {
                tokio::time::sleep(PAUSE).await;
            }
            return None;
        }
        if let Some(more) = self.failed.due() {
            tracing::error!(target: "kafka.network.Acceptor", "{}{more}", out_of_descriptors(&error));
        }
        let has_spare = self.spare.0.take().is_some();
        // Only who waits now is closed: the system asks for a descriptor before it looks whether anybody does.
        let outcome = self.bound.socket.accept().now_or_never();
        let is_refused = outcome.as_ref().is_some_and(Result::is_err);
        drop(outcome);
        self.spare = Spare::new();
        if !has_spare || is_refused || self.spare.0.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    fn refuse(&self, peer: SocketAddr, why: Refused) {
        let Some(more) = self.refused.due() else { return };
        let (node_id, ip) = (self.node_id, peer.ip());
        match why {
            Refused::Address(most) => tracing::info!(
                target: "kafka.network.SocketServer",
                "[SocketServer nodeId={node_id}] Rejected connection from {ip}, address already has the configured \
                 maximum of {most} connections.{more}"
            ),
            Refused::Descriptors(most) => tracing::warn!(
                target: "kafka.network.SocketServer",
                "[SocketServer nodeId={node_id}] Rejected connection from {ip}: {most} connections are open, and the \
                 file descriptors left of {} are kept for logs and for other nodes. A higher limit (ulimit -n) makes \
                 room for more; with max.connections below it, connections wait instead.{more}",
                descriptors::limit_shown()
            ),
        }
    }
}

fn out_of_descriptors(error: &io::Error) -> String {
    format!(
        "Error while accepting connection: {error}: the limit is {} file descriptors. Connections are closed as they \
         come until some are given back; a higher limit (ulimit -n) or a lower max.connections keeps that from \
         happening.",
        descriptors::limit_shown()
    )
}

async fn run(
    stream: std::net::TcpStream,
    origin: Origin,
    place: Place,
    limits: Arc<Limits>,
    handler: Arc<dyn Handler>,
    stop: watch::Receiver<bool>,
) {
    let (node_id, peer, listener) = (origin.node_id, origin.peer, Arc::clone(&origin.listener));
    let served = async {
        let stream = TcpStream::from_std(stream)?;
        connection::run(stream, origin, &limits, handler.as_ref(), &place, stop).await
    };
    let ended = tokio::select! {
        ended = served => ended,
        () = place.evicted() => Err(Ended::Evicted),
    };
    if let Err(why) = ended {
        tracing::info!(
            target: "kafka.network.SocketServer",
            "[SocketServer listener={listener}, nodeId={node_id}] Closing connection from {peer}: {why}"
        );
    }
    drop(place);
}
