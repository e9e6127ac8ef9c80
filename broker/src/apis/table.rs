//! The one table of what answers each API on a broker's listener. `jackdaw_wire::api` says in which versions it is
//! there at all, and which of those that have no row here are the active controller's.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jackdaw_groups::Request;
use jackdaw_wire::api;
use jackdaw_wire::messages::ApiKey;
use jackdaw_wire::protocol::Encodable;

use super::{Ask, api_versions, cluster, configs, produce};
use crate::dispatch::{RequestContext, Response, decode};

/// What makes the answer. What it does before it returns its future happens in the order of the connection's requests.
type Handler = fn(Ask) -> BoxFuture<'static, Response>;

/// A row: an API, `(request)` as it is decoded or `[body]` as it came, and the answer. `?` closes the connection.
macro_rules! handlers {
    ($parts:tt: $($key:ident $what:tt => $answer:expr;)*) => {
        const HANDLERS: &[(ApiKey, Handler)] =
            &[(ApiKey::Produce, produce::answer), $((ApiKey::$key, handlers!(@ $parts $what $answer))),*];
    };
    (@ ($api:ident, $context:ident, $image:ident) ($request:ident) $answer:expr) => {
        handlers!(@ ($api, $context, $image) [body] {
            let $request = decode(&$context, body)?;
            $answer
        })
    };
    (@ ($api:ident, $context:ident, $image:ident) [$body:ident] $answer:expr) => {
        |ask| {
            async move {
                let Ask { api: $api, context: $context, image: $image, body: $body } = ask;
                let _ = &$image;
                let answer: Result<Response, Response> = async { Ok($answer) }.await;
                answer.unwrap_or_else(|close| close)
            }
            .boxed()
        }
    };
}

handlers! { (api, context, image):
    Fetch(request) => api.parts.replicas.fetch(&context, request).await;
    ListOffsets(request) => encode(&context, &api.parts.replicas.list_offsets(&context, request).await);
    Metadata(request) => encode(&context, &api.metadata_as_decided(&context, &request).await);
    OffsetCommit(request) => api.offset_commit(&context, &image, request).await?;
    OffsetFetch(request) => api.offset_fetch(&context, request).await?;
    FindCoordinator(request) => encode(&context, &api.find_coordinators(&context, &image, &request));
    JoinGroup(request) => api.join_group(&context, request).await?;
    Heartbeat(request) => api.simple(&context, Request::Heartbeat(request)).await?;
    LeaveGroup(request) => api.leave_group(&context, request).await?;
    SyncGroup(request) => api.sync_group(&context, request).await?;
    DescribeGroups[body] => api.describe_groups(&context, body).await?;
    ListGroups(request) => api.list_groups(&context, request).await?;
    ApiVersions[body] => {
        api_versions::answer(&context, api.parts.config.groups.extras(), body, &image)
    };
    DeleteRecords(request) => encode(&context, &api.parts.replicas.delete_records(request).await);
    InitProducerId(request) => encode(&context, &api.init_producer_id(&context, request).await?);
    OffsetForLeaderEpoch(request) => {
        encode(&context, &api.parts.replicas.offset_for_leader_epoch(&context, request).await)
    };
    AddPartitionsToTxn(request) => api.add_partitions(&context, &image, request).await?;
    AddOffsetsToTxn(request) => api.add_offsets(&context, request).await?;
    EndTxn(request) => api.end_transaction(&context, request).await?;
    WriteTxnMarkers(request) => encode(&context, &api.write_markers(request).await);
    TxnOffsetCommit(request) => api.txn_offset_commit(&context, &image, request).await?;
    DescribeConfigs(request) => {
        encode(&context, &configs::describe(&api.parts.config, &image, &request))
    };
    AlterConfigs[body] => api.alter_configs(&context, body).await?;
    DescribeLogDirs(request) => encode(&context, &api.parts.replicas.describe_log_dirs(&request).await);
    DeleteGroups(request) => api.delete_groups(&context, request).await?;
    IncrementalAlterConfigs[body] => api.incremental_alter_configs(&context, body).await?;
    OffsetDelete(request) => api.offset_delete(&context, &image, request).await?;
    DescribeCluster(request) => {
        encode(&context, &cluster::broker(&context, &api.parts, &image, &request))
    };
    DescribeProducers(request) => encode(&context, &api.parts.replicas.describe_producers(request).await);
    DescribeTransactions(request) => api.describe_transactions(&context, request).await?;
    ListTransactions(request) => api.list_transactions(&context, request).await?;
    ConsumerGroupHeartbeat[body] => api.consumer_group_heartbeat(&context, &image, body).await?;
    ConsumerGroupDescribe[body] => api.consumer_group_describe(&context, &image, body).await?;
}

fn encode(context: &RequestContext, reply: &impl Encodable) -> Response {
    Response::encode(context, reply)
}

/// Answers a request, or has the active controller answer it.
pub(super) fn answer(ask: Ask) -> BoxFuture<'static, Response> {
    let api_key = ask.context.api_key;
    if let Some((_, handler)) = HANDLERS.iter().find(|(key, _)| *key as i16 == api_key) {
        return handler(ask);
    }
    if api::find(api_key).is_some_and(|row| row.forwarded) {
        return async move { ask.api.forward(&ask.context, ask.body).await }.boxed();
    }
    std::future::ready(Response::Close(format!("API {api_key} is advertised and not served"))).boxed()
}

#[cfg(test)]
mod tests {
    use jackdaw_wire::api::{self, Scope};

    use super::HANDLERS;

    #[test]
    fn what_is_advertised_is_answered_once() {
        let rows = |key| HANDLERS.iter().filter(|(handled, _)| *handled == key).count();
        for row in api::advertised(Scope::Broker) {
            let is_answered = rows(row.key) == 1 || (rows(row.key) == 0 && row.forwarded);
            assert!(is_answered, "{} has {} rows", row.name, rows(row.key));
        }
        for (key, _) in HANDLERS {
            assert_eq!(rows(*key), 1, "{key:?}");
        }
    }
}
