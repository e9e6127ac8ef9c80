//! What a controller listener answers: the quorum's requests, those of brokers, and what clients may ask a controller
//! (KIP-919).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jackdaw_metadata::MetadataImage;
use jackdaw_wire::ErrorCode;
use jackdaw_wire::api::Extras;
use jackdaw_wire::messages::{ApiKey, ControlledShutdownRequest, ControlledShutdownResponse};
use tokio::sync::watch;

use super::{api_versions, cluster, configs};
use crate::config::Config;
use crate::controller::{ControllerHandle, answer_on_standby};
use crate::dispatch::{RequestContext, Response, decode};
use crate::net::Handler;
use crate::raft::RaftHandle;

/// The answers of a controller listener.
pub struct ControllerApis {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<Config>,
    cluster_id: String,
    raft: RaftHandle,
    controller: ControllerHandle,
    images: watch::Receiver<Arc<MetadataImage>>,
}

impl ControllerApis {
    pub fn new(
        config: Arc<Config>,
        cluster_id: String,
        raft: RaftHandle,
        controller: ControllerHandle,
        images: watch::Receiver<Arc<MetadataImage>>,
    ) -> Self {
        Self { inner: Arc::new(Inner { config, cluster_id, raft, controller, images }) }
    }
}

impl Handler for ControllerApis {
    fn handle(&self, context: RequestContext, body: Bytes) -> BoxFuture<'static, Response> {
        let inner = Arc::clone(&self.inner);
        async move { inner.answer(context, body).await.unwrap_or_else(|close| close) }.boxed()
    }

    fn extras(&self) -> Extras {
        self.inner.config.groups.extras()
    }
}

impl Inner {
    /// `Err` closes the connection.
    async fn answer(&self, context: RequestContext, body: Bytes) -> Result<Response, Response> {
        if let Some(response) = self.raft.serve(&context, &body).await {
            return Ok(response);
        }
        let image = Arc::clone(&self.images.borrow());
        Ok(match ApiKey::try_from(context.api_key) {
            Ok(ApiKey::ApiVersions) => {
                api_versions::answer(&context, self.config.groups.extras(), body, &image)
            }
            Ok(ApiKey::DescribeCluster) => {
                let leader = self.raft.leader().borrow().leader;
                let request = decode(&context, body)?;
                Response::encode(
                    &context,
                    &cluster::controller(&context, &self.cluster_id, &image, leader, &request),
                )
            }
            // Offered by the reference, and of no use to anybody: brokers stop by their heartbeats (KIP-631).
            Ok(ApiKey::ControlledShutdown) => {
                decode::<ControlledShutdownRequest>(&context, body)?;
                let code = ErrorCode::UnknownServerError.code();
                Response::encode(&context, &ControlledShutdownResponse::default().with_error_code(code))
            }
            Ok(ApiKey::DescribeConfigs) => {
                Response::encode(&context, &configs::describe(&self.config, &image, &decode(&context, body)?))
            }
            _ => {
                let leads = self.raft.leader().borrow().is_leader(self.config.node_id);
                let may_delete = self.config.topics.delete_enable;
                let read = if leads { None } else { answer_on_standby(&context, &body, &image, may_delete) };
                match read {
                    Some(reply) => reply,
                    None => self.controller.handle_request(&context, body).await,
                }
            }
        })
    }
}
