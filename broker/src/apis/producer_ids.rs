//! InitProducerId for idempotent producers: ids from blocks of 1,000 that the controller hands out
//! (`RPCProducerIdManager`). Transactional ids get theirs from the same blocks, through their coordinator.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jackdaw_wire::ErrorCode;
use jackdaw_wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, BrokerId, InitProducerIdRequest,
    InitProducerIdResponse, ProducerId,
};
use tokio::sync::Mutex;

use crate::errors::{self, LinkError};
use crate::to_controller::{self, ControllerLink};

/// How long a producer's request waits for a new block before the producer is told to try again.
const PATIENCE: Duration = Duration::from_secs(5);

/// `Err` is the code of the reply: what `TransactionCoordinator.handleInitProducerId` refuses before it would look for
/// the transaction.
pub(super) fn check(request: &InitProducerIdRequest, max_timeout_ms: i32) -> Result<(), ErrorCode> {
    let has_id = *request.producer_id != -1;
    let has_epoch = request.producer_epoch != -1;
    match &request.transactional_id {
        _ if has_id != has_epoch => Err(ErrorCode::InvalidRequest),
        None => Ok(()),
        Some(id) if id.is_empty() => Err(ErrorCode::InvalidRequest),
        Some(_) if request.transaction_timeout_ms <= 0 || request.transaction_timeout_ms > max_timeout_ms => {
            Err(ErrorCode::InvalidTransactionTimeout)
        }
        Some(_) => Ok(()),
    }
}

fn refusal(code: ErrorCode) -> InitProducerIdResponse {
    refusal_code(code.code())
}

pub(super) fn refusal_code(code: i16) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(code)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

/// The ids at hand: the next one, and how many are left of the block.
#[derive(Default)]
struct Block {
    next: i64,
    left: i64,
}

pub(super) struct ProducerIds {
    node_id: i32,
    broker_epoch: Arc<AtomicI64>,
    controller: Arc<dyn ControllerLink>,
    block: Mutex<Block>,
}

impl ProducerIds {
    pub fn new(node_id: i32, broker_epoch: Arc<AtomicI64>, controller: Arc<dyn ControllerLink>) -> Self {
        Self { node_id, broker_epoch, controller, block: Mutex::default() }
    }

    /// A new id, or the code that makes the producer try again.
    pub async fn reply(&self) -> InitProducerIdResponse {
        match self.fresh().await {
            Ok(id) => {
                InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0)
            }
            Err(code) => refusal(code),
        }
    }

    /// An id that nobody has, or the code that makes the producer try again.
    pub async fn fresh(&self) -> Result<i64, ErrorCode> {
        // As Kafka answers while its block is being fetched.
        let late = Err(ErrorCode::CoordinatorLoadInProgress);
        tokio::time::timeout(PATIENCE, self.next()).await.unwrap_or(late)
    }

    async fn next(&self) -> Result<i64, ErrorCode> {
        // Held while a block is fetched: those behind wait for the same block.
        let mut block = self.block.lock().await;
        if block.left == 0 {
            *block = self.allocate().await?;
        }
        let id = block.next;
        block.next += 1;
        block.left -= 1;
        Ok(id)
    }

    async fn allocate(&self) -> Result<Block, ErrorCode> {
        let request = AllocateProducerIdsRequest::default()
            .with_broker_id(BrokerId(self.node_id))
            .with_broker_epoch(self.broker_epoch.load(Ordering::Acquire));
        let reply: Result<AllocateProducerIdsResponse, LinkError> =
            to_controller::ask(self.controller.as_ref(), 0, &request, PATIENCE).await;
        match reply {
            Ok(reply) if reply.error_code == 0 => {
                Ok(Block { next: *reply.producer_id_start, left: i64::from(reply.producer_id_len) })
            }
            Ok(reply) => {
                tracing::warn!(
                    target: "kafka.coordinator.transaction.RPCProducerIdManager",
                    "Could not allocate a block of producer ids: {}",
                    ErrorCode::name_of(reply.error_code)
                );
                Err(ErrorCode::CoordinatorLoadInProgress)
            }
            Err(e) => Err(errors::of_allocation(&e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use jackdaw_wire::messages::TransactionalId;
    use jackdaw_wire::protocol::StrBytes;

    use super::*;

    #[test]
    fn what_cannot_get_an_id_is_told_why() {
        let idempotent =
            InitProducerIdRequest::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
        let transactional = |id: &'static str, timeout_ms| {
            idempotent
                .clone()
                .with_transactional_id(Some(TransactionalId(StrBytes::from_static_str(id))))
                .with_transaction_timeout_ms(timeout_ms)
        };
        for (request, expected) in [
            (idempotent.clone().with_transactional_id(None), Ok(())),
            (
                idempotent.clone().with_transactional_id(None).with_producer_epoch(3),
                Err(ErrorCode::InvalidRequest),
            ),
            (transactional("", 1), Err(ErrorCode::InvalidRequest)),
            (transactional("t", 0), Err(ErrorCode::InvalidTransactionTimeout)),
            (transactional("t", 901), Err(ErrorCode::InvalidTransactionTimeout)),
            (transactional("t", 900), Ok(())),
        ] {
            assert_eq!(check(&request, 900), expected, "{request:?}");
        }
    }
}
