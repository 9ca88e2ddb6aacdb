//! Dialling an engine's socket through an ssh login on its node.

use std::path::PathBuf;

use crate::docker_env::endpoint::Endpoint;
use crate::engine::transport::Stream;
use crate::error::{Error, Result};

/// A login that many streams share; it is made at the first dial.
#[derive(Clone)]
pub(crate) struct Login {
    endpoint: Endpoint,
    /// Where pinned host keys are kept.
    state_folder: Option<PathBuf>,
}

impl Login {
    pub(crate) fn new(endpoint: &Endpoint, state_folder: Option<PathBuf>) -> Self {
        Self {
            endpoint: endpoint.clone(),
            state_folder,
        }
    }

    /// Opens one stream to the engine's socket on the node.
    pub(crate) async fn dial(&self) -> Result<Box<dyn Stream>> {
        let _ = &self.state_folder;
        Err(Error::failed(format!(
            "ssh to {} is not built yet",
            self.endpoint
        )))
    }
}
