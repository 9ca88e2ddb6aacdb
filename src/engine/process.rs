//! A program that runs in a node or in a container there, with its streams.

use std::pin::Pin;

use futures_util::stream::Stream;
use tokio::io::AsyncWrite;

use crate::engine::containerd;
use crate::engine::crio;
use crate::engine::docker::process as docker;
use crate::engine::exec::{Ended, Output};
use crate::engine::node_agent;
use crate::error::Result;

/// A program that runs.
pub(crate) struct Process {
    /// Its output, until it ends.
    pub(crate) output: Pin<Box<dyn Stream<Item = Result<Output>> + Send>>,
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
    pub(crate) control: Control,
}

/// The handle to a program that runs, apart from its streams.
pub(crate) enum Control {
    Docker(Box<docker::Control>),
    Containerd(Box<containerd::exec::Control>),
    CriO(Box<crio::exec::Control>),
    Node(node_agent::Control),
}

impl Control {
    /// Tells the program's terminal its size.
    ///
    /// # Errors
    /// Also when it has just ended, and has no terminal any more.
    pub(crate) async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        match self {
            Self::Docker(control) => control.resize(columns, rows).await,
            Self::Containerd(control) => control.resize(columns, rows).await,
            Self::CriO(control) => control.resize(columns, rows).await,
            Self::Node(control) => control.resize(columns, rows).await,
        }
    }

    /// The way in which the program ended; `Detached` when it still runs.
    ///
    /// # Errors
    /// When the node does not tell.
    pub(crate) async fn ended(&self) -> Result<Ended> {
        match self {
            Self::Docker(control) => control.ended().await,
            Self::Containerd(control) => control.ended().await,
            Self::CriO(control) => control.ended(),
            Self::Node(control) => control.ended(),
        }
    }
}

impl From<docker::Running> for Process {
    fn from(running: docker::Running) -> Self {
        Self {
            output: running.output,
            input: running.input,
            control: Control::Docker(Box::new(running.control)),
        }
    }
}

impl From<containerd::exec::Running> for Process {
    fn from(running: containerd::exec::Running) -> Self {
        Self {
            output: running.output,
            input: running.input,
            control: Control::Containerd(Box::new(running.control)),
        }
    }
}

impl From<crio::exec::Running> for Process {
    fn from(running: crio::exec::Running) -> Self {
        Self {
            output: running.output,
            input: running.input,
            control: Control::CriO(Box::new(running.control)),
        }
    }
}

impl From<node_agent::Running> for Process {
    fn from(running: node_agent::Running) -> Self {
        Self {
            output: running.output,
            input: running.input,
            control: Control::Node(running.control),
        }
    }
}
