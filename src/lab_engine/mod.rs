//! Adapter: an engine of plain Docker with the lab's pods: making them, putting new parts in place of
//! dead ones, removing them.

pub(crate) mod create;
mod lock;
pub(crate) mod remove;
pub(crate) mod replace;

use crate::engine::Engine;
use crate::error::Result;
use crate::lab::label;
use crate::lab::member::{self, LabPod};

/// The pods that are there.
///
/// # Errors
/// When the engine can't be asked.
pub(crate) async fn pods(engine: &Engine) -> Result<Vec<LabPod>> {
    Ok(member::group(
        engine.docker()?.own_containers(&[label::POD_UID]).await?,
    ))
}
