//! A node that is a container of a Docker engine: programs run in it by the engine's exec, as root.

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};

use crate::docker_env::endpoint::Endpoint;
use crate::engine::docker::Docker;
use crate::engine::docker::process::{Control, Running};
use crate::engine::exec::{Ended, Exec};
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::wire::node_program::{Ending, NodeProgram, ProgramStarter, Terminal, TerminalSize};

/// A container in which a node runs.
pub(in crate::engine) struct NodeContainer {
    docker: Docker,
    name: String,
}

impl NodeContainer {
    /// Connects to the engine that runs it.
    ///
    /// # Errors
    /// Unreachable, as for every engine.
    pub(in crate::engine) async fn connect(
        engine: &Endpoint,
        name: &str,
        settings: &Settings,
    ) -> Result<Self> {
        Ok(Self {
            docker: Docker::connect(engine, settings).await?,
            name: name.to_owned(),
        })
    }

    async fn exec(&self, words: &[String], terminal: Option<&TerminalSize>) -> Result<NodeProgram> {
        let exec = Exec {
            command: words.to_vec(),
            stdin: true,
            tty: terminal.is_some(),
            user: Some("0".to_owned()),
            env: terminal
                .map(|size| format!("TERM={}", size.kind))
                .into_iter()
                .collect(),
            ..Exec::default()
        };
        let running = self.docker.exec(&self.name, exec).await.map_err(|error| {
            let what = format!("nothing can be run in the node's container `{}`", self.name);
            Error::unreachable(what).caused_by(error)
        })?;
        let program = of_container(running);
        if let (Some(size), Some(handle)) = (terminal, &program.terminal) {
            handle.resize(size.columns, size.rows).await?;
        }
        Ok(program)
    }
}

impl ProgramStarter for NodeContainer {
    fn start<'a>(
        &'a self,
        words: &'a [String],
        terminal: Option<&'a TerminalSize>,
    ) -> BoxFuture<'a, Result<NodeProgram>> {
        Box::pin(self.exec(words, terminal))
    }
}

/// A command in the node's container as a program of the node.
fn of_container(running: Running) -> NodeProgram {
    let ending = Ending::default();
    let control = Arc::new(running.control);
    let (told, asked) = (ending.clone(), Arc::clone(&control));
    let end = stream::once(async move {
        match asked.ended().await {
            Ok(Ended::With(code)) => {
                told.set(code.into());
                None
            }
            Ok(Ended::Detached | Ended::WithItsContainer) => None,
            Err(error) => Some(Err(io::Error::other(error))),
        }
    });
    let output = running
        .output
        .map(|piece| piece.map_err(io::Error::other))
        .map(Some)
        .chain(end)
        .filter_map(std::future::ready);
    NodeProgram {
        output: Box::pin(output),
        input: running.input,
        ending,
        terminal: Some(control),
    }
}

impl Terminal for Control {
    fn resize(&self, columns: u16, rows: u16) -> BoxFuture<'_, Result<()>> {
        Box::pin(Self::resize(self, columns, rows))
    }
}
