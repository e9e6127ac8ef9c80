//! Produce: the append happens before anything later of the connection begins; only acknowledgements are waited for.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jackdaw_wire::messages::ProduceRequest;

use super::Ask;
use crate::dispatch::{Response, decode};

pub(super) fn answer(ask: Ask) -> BoxFuture<'static, Response> {
    let Ask { api, context, body, .. } = ask;
    let request: ProduceRequest = match decode(&context, body) {
        Ok(request) => request,
        Err(close) => return std::future::ready(close).boxed(),
    };
    let wants_reply = request.acks != 0;
    let produced = api.parts.replicas.produce(&context, request);
    async move {
        let produced = produced.await;
        match (wants_reply, produced.failed) {
            (true, _) => Response::encode(&context, &produced.response),
            (false, false) => Response::None,
            // The only way left to tell the producer (`KafkaApis.handleProduceRequest`).
            (false, true) => Response::Close(
                "a Produce request with acks=0 failed, so the client has to refresh its metadata".to_owned(),
            ),
        }
    }
    .boxed()
}
