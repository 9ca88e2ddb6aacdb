//! A program in a container of a Docker engine: its streams, its terminal, its end.

use std::pin::Pin;

use bollard::exec::ResizeExecOptions;
use bollard::query_parameters::ResizeContainerTTYOptionsBuilder;
use futures_util::stream::Stream;
use tokio::io::AsyncWrite;

use crate::engine::docker::Docker;
use crate::engine::exec::{Ended, Output};
use crate::error::Result;

/// A program that runs in a container.
pub(crate) struct Running {
    pub(in crate::engine) output: Pin<Box<dyn Stream<Item = Result<Output>> + Send>>,
    pub(in crate::engine) input: Pin<Box<dyn AsyncWrite + Send>>,
    pub(in crate::engine) control: Control,
}

/// The handle to it.
pub(crate) struct Control {
    pub(super) docker: Docker,
    pub(super) container: String,
    /// The exec's ID; without one the program is the container's own.
    pub(super) exec: Option<String>,
}

impl Control {
    pub(in crate::engine) async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let api = &self.docker.api;
        let told = if let Some(exec) = &self.exec {
            let size = ResizeExecOptions {
                height: rows,
                width: columns,
            };
            api.resize_exec(exec, size).await
        } else {
            let size = ResizeContainerTTYOptionsBuilder::default()
                .h(i32::from(rows))
                .w(i32::from(columns))
                .build();
            api.resize_container_tty(&self.container, size).await
        };
        told.map_err(|error| self.docker.failed("exec", error))
    }

    pub(in crate::engine) async fn ended(&self) -> Result<Ended> {
        match &self.exec {
            Some(exec) => self.docker.exec_ended(&self.container, exec).await,
            // its engine removes it when it ends, and what it ended with
            None if self.docker.runs(&self.container).await? => Ok(Ended::Detached),
            None => Ok(Ended::WithItsContainer),
        }
    }
}
