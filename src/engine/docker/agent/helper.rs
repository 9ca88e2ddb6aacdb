//! A helper beside a container: it holds a place in that one's network and among its processes, in
//! which commands are run. It lives as long as devnet holds its stdin open, whatever ends devnet.

use std::pin::Pin;

use futures_util::StreamExt as _;
use tokio::io::AsyncWrite;
use tokio::time::timeout;

use crate::engine::docker::Docker;
use crate::engine::docker::agent::container::{AskedFor, UNDO_PATIENCE, body, program_of};
use crate::engine::docker::agent::images::ProgramImage;
use crate::engine::job::{Job, JobNamespaces, Power, Program};
use crate::engine::probe_answer::{ProbeAnswer, in_time};
use crate::error::Result;

/// A helper that runs. It ends when this is dropped, and when devnet ends.
pub(super) struct Helper {
    pub(super) id: String,
    joins: JobNamespaces,
    power: Power,
    /// The probe's program in it, with the words that confine it.
    program: Vec<String>,
    /// True when the engine leaves it to the program to confine itself.
    confines_itself: bool,
    /// The engine closes its stdin when devnet's connection ends.
    _lifeline: Pin<Box<dyn AsyncWrite + Send>>,
}

impl Helper {
    /// Makes a helper for a job and starts it.
    ///
    /// # Errors
    /// When the engine refuses, lacks the image, or does not confine what it gives power to.
    pub(super) async fn start(
        docker: &Docker,
        image: &ProgramImage,
        job: &Job,
        asked: &AskedFor,
    ) -> Result<Self> {
        let confining = docker.confining_words(job.power);
        let (_, program, _) = program_of(image);
        let program = [vec![program], confining.clone()].concat();
        let words = [confining, vec!["hold".into()]].concat();
        let body = body(docker, image, &job.joins, job.power, words);
        let id = docker.make_probe(asked, body).await?;
        let begun = in_time(async {
            let attached = docker.begin(&id, image, true).await?;
            let mut output = attached
                .output
                .map(|piece| piece.map_err(|error| docker.failed("the probe", error)));
            ProbeAnswer::default().until_a_line(&mut output).await?;
            Ok(attached.input)
        });
        match begun.await {
            Ok(lifeline) => Ok(Self {
                id,
                joins: job.joins.clone(),
                power: job.power,
                program,
                confines_itself: docker.greeting().is_podman,
                _lifeline: lifeline,
            }),
            Err(error) => {
                // it may have ended, and then its engine removes it
                let _gone = timeout(UNDO_PATIENCE, docker.remove(&id)).await;
                Err(error)
            }
        }
    }

    /// True when a job runs in this helper.
    pub(super) fn serves(&self, job: &Job) -> bool {
        self.joins == job.joins && self.power == job.power
    }

    /// The command that runs a job's program in it.
    pub(super) fn command(&self, program: Program) -> Vec<String> {
        match program {
            Program::Probe(words) => [self.program.clone(), words].concat(),
            // confined as the helper is also where the engine does not see to that
            Program::OfImage(command) if self.confines_itself && self.power != Power::None => {
                let become_program = vec!["exec".to_owned()];
                [self.program.clone(), become_program, command].concat()
            }
            Program::OfImage(command) => command,
        }
    }
}
