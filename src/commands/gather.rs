//! What commands on pods share: asking the engines and making pods of the answers.

use crate::engine::Engine;
use crate::error::Result;
use crate::pod::{self, Lone, Pod};

/// The pods of one engine, from what its API says.
pub(crate) async fn pods_of(engine: &Engine, node: &str) -> Result<Vec<Pod>> {
    let containers = engine.containers().await?;
    Ok(pod::pods(node, &containers, Lone::Leave))
}
