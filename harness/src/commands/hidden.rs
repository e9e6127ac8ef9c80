//! What Jackdaw runs of itself: the supervisor, and looks taken from inside a container.

use super::guard;
use crate::exit::{Exit, Result, Stop};
use crate::terminal::result;
use jackdaw_runtime::process::supervisor;
use jackdaw_runtime::ready;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// `supervise ROOT`
pub fn supervise(root: &Path) -> Result {
    // Through /proc, so that it works after the file was replaced by a newer build.
    let guard = vec!["/proc/self/exe".into(), guard::WORD.into(), std::process::id().to_string()];
    supervisor::run(root, guard).map_err(|error| Stop::failed(error.to_string()))?;
    Ok(Exit::Done)
}

/// `probe LOOK`: one look of `check`, taken where this program runs.
pub async fn probe(look: String) -> Result {
    let look = serde_json::from_str(&look).map_err(|error| Stop::bad_input(error.to_string()))?;
    let seen = jackdaw_check::look::look(&look, &BTreeMap::new()).await.map_err(Stop::failed)?;
    result(&serde_json::to_string(&seen).map_err(|error| Stop::failed(error.to_string()))?);
    Ok(Exit::Done)
}

/// `await LOOKS TIMEOUT`: until all addresses answer as they should, where this program runs.
pub async fn until_ready(looks: String, timeout_ms: u64) -> Result {
    let looks: Vec<ready::Look> =
        serde_json::from_str(&looks).map_err(|error| Stop::bad_input(error.to_string()))?;
    let found = ready::until_ready(&looks, &BTreeMap::new(), Duration::from_millis(timeout_ms)).await;
    result(&serde_json::to_string(&found).map_err(|error| Stop::failed(error.to_string()))?);
    Ok(Exit::Done)
}
