//! Running a command in a container, with its streams: Docker's exec.

use std::time::Duration;

use bollard::models::ExecConfig;
use bollard::query_parameters::WaitContainerOptionsBuilder;
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::engine::docker::Docker;
use crate::engine::docker::process::{Control, Running};
use crate::engine::exec::{Ended, Exec};
use crate::error::{Kind, Result};

impl Docker {
    /// Starts a command in a container.
    ///
    /// # Errors
    /// Under code 125, or as docker has it 126 (it can't be run) and 127 (it is not there).
    pub(in crate::engine) async fn exec(&self, container: &str, exec: Exec) -> Result<Running> {
        let failed = |error| {
            let error = self.failed("exec", error);
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
        let id = self
            .api
            .create_exec(container, config)
            .await
            .map_err(failed)?
            .id;
        let attached = self.begin_exec(&id, tty).await.map_err(failed)?;
        let lost = self.clone();
        let output = attached.output;
        let output = output.map(move |piece| piece.map_err(|error| lost.failed("exec", error)));
        let control = Control {
            docker: self.clone(),
            container: container.to_owned(),
            exec: Some(id),
        };
        let (waits, container) = (self.clone(), container.to_owned());
        let gone = async move { waits.until_not_running(&container).await };
        Ok(Running {
            output: Box::pin(until_silent_after(gone, output)),
            input: attached.input,
            control,
        })
    }

    /// The end of a command in a container; `Detached` while it still runs.
    pub(super) async fn exec_ended(&self, container: &str, id: &str) -> Result<Ended> {
        let state = match self.api.inspect_exec(id).await {
            Ok(state) => state,
            // removed, and all that was known of its commands with it
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => return Ok(Ended::WithItsContainer),
            Err(error) => return Err(self.failed("exec", error)),
        };
        Ok(match (state.running, state.exit_code) {
            // an engine may not have noticed that the end of the container was the command's
            (Some(true), _) if !self.runs(container).await? => Ended::WithItsContainer,
            (Some(true), _) => Ended::Detached,
            (_, code) => Ended::With(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        })
    }

    /// Those of some files (or links) that are in a container's file system, running or not.
    pub(in crate::engine) async fn files_of(&self, container: &str, paths: &[&str]) -> Vec<String> {
        // all at once: far away, each question takes its time
        let looks = paths.iter().map(|path| async move {
            let options = bollard::query_parameters::ContainerArchiveInfoOptions {
                path: (*path).into(),
            };
            let look = self
                .api
                .get_container_archive_info(container, Some(options));
            look.await.is_ok().then(|| (*path).to_owned())
        });
        let found = futures_util::future::join_all(looks).await;
        found.into_iter().flatten().collect()
    }
}

impl Docker {
    /// Waits until a container does not run any more, or is not there.
    async fn until_not_running(&self, container: &str) {
        let options = || {
            WaitContainerOptionsBuilder::default()
                .condition("not-running")
                .build()
        };
        loop {
            let answer = self.api.wait_container(container, Some(options()));
            match answer.collect::<Vec<_>>().await.pop() {
                // bollard makes a failure of a code other than 0
                Some(
                    Ok(_)
                    | Err(
                        bollard::errors::Error::DockerContainerWaitError { .. }
                        | bollard::errors::Error::DockerResponseServerError {
                            status_code: 404, ..
                        },
                    ),
                ) => return,
                // what stands between may end an answer that says nothing for long
                _ => tokio::time::sleep(WAIT_AGAIN).await,
            }
        }
    }

    /// True where a container is there and runs.
    pub(super) async fn runs(&self, container: &str) -> Result<bool> {
        match self.api.inspect_container(container, None).await {
            Ok(found) => Ok(found.state.and_then(|state| state.running) == Some(true)),
            Err(error) if super::container_is_gone(&error) => Ok(false),
            Err(error) => Err(self.failed("exec", error)),
        }
    }
}

/// Until a wait that was cut off is begun again.
const WAIT_AGAIN: Duration = Duration::from_secs(1);
/// Output that is on its way when its container ends comes within this time.
const SILENCE: Duration = Duration::from_secs(2);

/// Everything of `output`, which ends also when it falls silent after `gone`: engines keep the
/// stream of a command open whose container was killed or removed.
fn until_silent_after<T>(
    gone: impl Future<Output = ()>,
    output: impl Stream<Item = T> + Unpin,
) -> impl Stream<Item = T> {
    let state = (Box::pin(gone), output, false);
    stream::unfold(state, |(mut gone, mut output, mut is_gone)| async move {
        if !is_gone {
            tokio::select! {
                biased;
                next = output.next() => return Some((next?, (gone, output, false))),
                () = &mut gone => is_gone = true,
            }
        }
        let next = tokio::time::timeout(SILENCE, output.next()).await;
        Some((next.ok()??, (gone, output, is_gone)))
    })
}
