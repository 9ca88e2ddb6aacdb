//! A helper beside a container: in its network and among its processes, with the power to look at its
//! files and no other. It lives as long as devnet holds its stdin open, whatever ends devnet.

use std::pin::Pin;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum};
use futures_util::StreamExt as _;
use tokio::io::AsyncWrite;

use crate::engine::docker::Docker;
use crate::engine::docker::carrier::{
    ANSWER_LIMIT, Answer, LOOK, Source, UNDO_PATIENCE, in_time, passing, plain, program_of,
    unique_name,
};
use crate::engine::docker::confinement::Power;
use crate::engine::docker::reach::RUN;
use crate::engine::exec::{Exec, Output};
use crate::error::{Error, Result};
use crate::lab::label::ROLE;
use crate::lab::owned::SHELL_NAME;

/// A helper that runs. It ends when this is dropped, and when devnet ends.
pub(crate) struct Helper {
    pub(crate) id: String,
    /// The probe's program in it, with the words that confine it.
    pub(crate) program: Vec<String>,
    /// Whether the engine leaves it to the program to confine itself.
    confines_itself: bool,
    /// The engine closes its stdin when devnet's connection ends.
    _lifeline: Input,
}

/// The place that a helper takes beside a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside<'a> {
    /// The container whose network it joins.
    pub(crate) network: &'a str,
    /// The container whose PID namespace it joins.
    pub(crate) target: &'a str,
    /// The run of devnet that it belongs to.
    pub(crate) run: &'a str,
}

impl Helper {
    /// A command of another's program, confined as the helper is also where the engine does not see
    /// to that.
    pub(crate) fn confined(&self, command: Vec<String>) -> Vec<String> {
        if !self.confines_itself {
            return command;
        }
        let become_program = "exec".to_owned();
        [self.program.clone(), vec![become_program], command].concat()
    }
}

type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// What a helper's tools may use: enough for a debugger, too little to harm the node.
const MEMORY: i64 = 1 << 30;
const PROCESSES: i64 = 512;

impl Docker {
    /// Makes a helper and starts it.
    ///
    /// # Errors
    /// When the engine refuses, lacks the image, or does not confine what it gives power to.
    pub(in crate::engine) async fn start_helper(
        &self,
        source: &Source,
        beside: Beside<'_>,
        power: Power,
    ) -> Result<Helper> {
        let (image, program, mounts) = program_of(source);
        let host = HostConfig {
            network_mode: Some(format!("container:{}", beside.network)),
            pid_mode: Some(format!("container:{}", beside.target)),
            // the paths of cgroups tell which process is the container's
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::HOST),
            // many tools want to write somewhere
            tmpfs: Some([("/tmp".to_owned(), String::new())].into()),
            memory: Some(MEMORY),
            pids_limit: Some(PROCESSES),
            ..passing(mounts)
        };
        let mut words = self.confining_words(power);
        let program = [vec![program], words.clone()].concat();
        words.push("hold".into());
        let body = ContainerCreateBody {
            image: Some(image),
            entrypoint: Some(program[..1].to_vec()),
            cmd: Some(words),
            user: Some("0:0".into()),
            labels: Some(
                [
                    (ROLE.to_owned(), LOOK.to_owned()),
                    (RUN.to_owned(), beside.run.to_owned()),
                ]
                .into(),
            ),
            attach_stdin: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(self.confine(power, host)),
            ..plain()
        };
        let id = self.make_probe(&unique_name(SHELL_NAME), body).await?;
        let begun = in_time(async {
            let mut attached = self.begin(&id, source, true).await?;
            let mut answer = Answer::new(self);
            answer.until_a_line(&mut attached.output).await?;
            Ok(attached.input)
        });
        match begun.await {
            Ok(input) => Ok(Helper {
                id,
                program,
                confines_itself: self.greeting().is_podman,
                _lifeline: input,
            }),
            Err(error) => {
                // it may have ended, and then its engine removes it
                let _gone = tokio::time::timeout(UNDO_PATIENCE, self.remove(&id)).await;
                Err(error)
            }
        }
    }

    /// Runs a command in a container to its end, and gives what it printed.
    ///
    /// # Errors
    /// When it can't be run.
    pub(in crate::engine) async fn said_by(
        &self,
        container: &str,
        command: Vec<String>,
    ) -> Result<String> {
        let exec = Exec {
            command,
            ..Exec::default()
        };
        let said = in_time(async {
            let mut running = self.exec(container, exec).await?;
            let mut said = Vec::new();
            while let Some(piece) = running.output.next().await {
                if let Output::Stdout(bytes) = piece? {
                    said.extend_from_slice(&bytes);
                }
                if said.len() > ANSWER_LIMIT {
                    return Err(Error::failed("the probe's answer has no end"));
                }
            }
            Ok(said)
        })
        .await?;
        String::from_utf8(said)
            .map_err(|error| Error::failed("the probe's answer is no text").because(error))
    }
}
