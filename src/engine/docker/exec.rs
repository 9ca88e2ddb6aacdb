//! Running a command in a container, with its streams: Docker's exec.

use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::io::AsyncWrite;

use crate::engine::Engine;
use crate::error::{Error, Kind, Result};

/// A command to run in a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exec {
    pub(crate) command: Vec<String>,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
    pub(crate) user: Option<String>,
    pub(crate) workdir: Option<String>,
    /// `NAME=value` each.
    pub(crate) env: Vec<String>,
    pub(crate) detach_keys: Option<String>,
}

/// A piece of what a program in a container wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Stderr(Bytes),
    /// With a terminal, all there is.
    Stdout(Bytes),
}

impl From<LogOutput> for Output {
    fn from(piece: LogOutput) -> Self {
        match piece {
            LogOutput::StdErr { message } => Self::Stderr(message),
            LogOutput::StdOut { message }
            | LogOutput::Console { message }
            | LogOutput::StdIn { message } => Self::Stdout(message),
        }
    }
}

/// A command that runs in a container.
pub(crate) struct Running {
    pub(crate) id: String,
    pub(crate) output: Pin<Box<dyn Stream<Item = Result<Output>> + Send>>,
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// How a command in a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It goes on without us.
    Detached,
    With(u8),
}

impl Engine {
    /// Starts a command in a container.
    ///
    /// # Errors
    /// Under code 125, or as docker has it 126 (it can't be run) and 127 (it is not there).
    pub(crate) async fn exec(&self, container: &str, exec: Exec) -> Result<Running> {
        let Self::Docker(docker) = self;
        let failed = |error| {
            let error = docker.failed("exec", error);
            let text = error.to_string();
            let code = if text.contains("not found") && text.contains("exec") {
                127
            } else if text.contains("permission denied") && text.contains("exec") {
                126
            } else {
                125
            };
            error.with_kind(Kind::Coded(code))
        };
        let tty = exec.tty;
        let config = ExecConfig {
            attach_stdin: Some(exec.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(tty),
            cmd: Some(exec.command),
            user: exec.user,
            working_dir: exec.workdir,
            env: Some(exec.env),
            detach_keys: exec.detach_keys,
            ..ExecConfig::default()
        };
        let id = docker
            .api
            .create_exec(container, config)
            .await
            .map_err(failed)?
            .id;
        let options = StartExecOptions {
            detach: false,
            tty,
            output_capacity: Some(64 << 10),
        };
        match docker
            .api
            .start_exec(&id, Some(options))
            .await
            .map_err(failed)?
        {
            StartExecResults::Attached { output, input } => {
                let lost = docker.clone();
                let output = output.map(move |piece| match piece {
                    Ok(piece) => Ok(piece.into()),
                    Err(error) => Err(lost.failed("exec", error)),
                });
                Ok(Running {
                    id,
                    output: Box::pin(output),
                    input,
                })
            }
            StartExecResults::Detached => {
                Err(Error::new(Kind::Coded(125), "the engine detached at once"))
            }
        }
    }

    /// How a command ended; `Detached` when it still runs.
    pub(crate) async fn exec_ended(&self, id: &str) -> Result<Ended> {
        let Self::Docker(docker) = self;
        let state = docker
            .api
            .inspect_exec(id)
            .await
            .map_err(|error| docker.failed("exec", error))?;
        Ok(match (state.running, state.exit_code) {
            (Some(true), _) => Ended::Detached,
            (_, code) => Ended::With(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        })
    }

    /// Tells a command's terminal its size.
    pub(crate) async fn exec_resize(&self, id: &str, columns: u16, rows: u16) -> Result<()> {
        let Self::Docker(docker) = self;
        docker
            .api
            .resize_exec(
                id,
                ResizeExecOptions {
                    height: rows,
                    width: columns,
                },
            )
            .await
            .map_err(|error| docker.failed("exec", error))
    }

    /// Whether a file (or a link) is in a container's file system, running or not.
    pub(crate) async fn has_file(&self, container: &str, path: &str) -> bool {
        let Self::Docker(docker) = self;
        let options = bollard::query_parameters::ContainerArchiveInfoOptions { path: path.into() };
        docker
            .api
            .get_container_archive_info(container, Some(options))
            .await
            .is_ok()
    }
}
