//! Jobs of devnet's in a node with Docker: each runs in a container that carries devnet's program, or
//! beside others in a helper that holds its place. All are gone when they end, and when devnet does.

pub(in crate::engine) mod container;
mod helper;
pub(in crate::engine) mod images;

use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;

use crate::engine::docker::Docker;
use crate::engine::docker::agent::container::{
    Abandoned, AskedFor, UNDO_PATIENCE, body, unique_name,
};
use crate::engine::docker::agent::helper::Helper;
use crate::engine::docker::agent::images::{Images, ProgramImage};
use crate::engine::docker::process::{Control, Running};
use crate::engine::exec::Exec;
use crate::engine::job::{Job, JobNamespaces, Program, ProgramImages};
use crate::engine::probe_answer::in_time;
use crate::error::{Error, Result};
use crate::lab::owned::{LOOK_NAME, SHELL_NAME};

/// The number of containers that are removed at once.
const AT_ONCE: usize = 64;

/// The jobs of one command in one node.
pub(crate) struct Session {
    docker: Docker,
    images: Images,
    /// The containers that it asked for and that may still be there.
    asked_for: Mutex<Vec<AskedFor>>,
    helpers: tokio::sync::Mutex<Vec<Rc<Helper>>>,
}

impl Session {
    pub(in crate::engine) fn new(docker: Docker, images: ProgramImages) -> Self {
        Self {
            images: Images::new(docker.clone(), images),
            docker,
            asked_for: Mutex::default(),
            helpers: tokio::sync::Mutex::default(),
        }
    }

    /// Starts a job.
    pub(in crate::engine) async fn spawn(&self, job: Job) -> Result<Running> {
        if !matches!(job.joins, JobNamespaces::Beside { .. }) {
            return self.start(job).await;
        }
        let helper = self.helper(&job).await?;
        let exec = Exec {
            command: helper.command(job.program),
            stdin: job.input,
            tty: job.tty,
            env: job.env,
            ..Exec::default()
        };
        self.docker.exec(&helper.id, exec).await
    }

    /// Those of some programs that are there for a job of this kind.
    pub(in crate::engine) async fn files_of(
        &self,
        job: &Job,
        paths: &[&str],
    ) -> Result<Vec<String>> {
        let helper = self.helper(job).await?;
        Ok(self.docker.files_of(&helper.id, paths).await)
    }

    /// The helper that holds a job's place, made for the first that wants it.
    async fn helper(&self, job: &Job) -> Result<Rc<Helper>> {
        let mut helpers = self.helpers.lock().await;
        if let Some(helper) = helpers.iter().find(|helper| helper.serves(job)) {
            return Ok(Rc::clone(helper));
        }
        let start = async |image: &ProgramImage| {
            let asked = self.ask_for(SHELL_NAME);
            Helper::start(&self.docker, image, job, &asked).await
        };
        let helper = Rc::new(self.images.first_that_starts(start).await?);
        helpers.push(Rc::clone(&helper));
        Ok(helper)
    }

    /// Starts a job in a container of its own.
    async fn start(&self, job: Job) -> Result<Running> {
        let Program::Probe(program) = &job.program else {
            return Err(Error::failed(
                "a command of an image runs beside a container",
            ));
        };
        let words = [self.docker.confining_words(job.power), program.clone()].concat();
        let start = async |image: &ProgramImage| {
            let body = body(&self.docker, image, &job.joins, job.power, words.clone());
            let asked = self.ask_for(LOOK_NAME);
            let id = self.docker.make_probe(&asked, body).await?;
            let guard = Abandoned::new(self.docker.clone(), id.clone());
            match in_time(self.docker.begin(&id, image, job.input)).await {
                Ok(attached) => Ok((id, guard, attached)),
                Err(error) => {
                    guard.remove().await;
                    Err(error)
                }
            }
        };
        let (container, guard, attached) = self.images.first_that_starts(start).await?;
        let guard = if job.input {
            // it ends with its input, and its engine removes it
            guard.disarm();
            None
        } else {
            Some(guard)
        };
        let docker = self.docker.clone();
        let failed = self.docker.clone();
        let output = attached
            .output
            .map(move |piece| Some(piece.map_err(|error| failed.failed("the probe", error))));
        // what ran to its end is removed by its engine, which takes a moment
        let ended = stream::once(async move {
            if let Some(guard) = guard {
                guard.disarm();
            }
            None
        });
        Ok(Running {
            output: Box::pin(output.chain(ended).filter_map(std::future::ready)),
            input: attached.input,
            control: Control {
                docker,
                container,
                exec: None,
            },
        })
    }

    /// Ends the session after its jobs: takes away what does not go with them.
    ///
    /// # Errors
    /// When the engine does not remove it.
    pub(in crate::engine) async fn finish(&self) -> Result<()> {
        for helper in std::mem::take(&mut *self.helpers.lock().await) {
            self.docker.remove(&helper.id).await?;
        }
        if self.images.has_brought() {
            // an image goes only after its containers
            self.remove_containers().await?;
            self.images.take_back().await?;
        }
        Ok(())
    }

    /// Takes away whatever was made, to the end; from an engine that hangs as far as can be.
    pub(in crate::engine) async fn cleanup(&self) {
        // an engine that is lost has told its reason already
        let _lost = timeout(UNDO_PATIENCE, self.remove_containers()).await;
        let _lost = timeout(UNDO_PATIENCE, self.images.take_back()).await;
    }

    /// Removes all that can be, whatever one of them does.
    async fn remove_containers(&self) -> Result<()> {
        let all = self.asked_for.lock();
        let all = std::mem::take(&mut *all.unwrap_or_else(PoisonError::into_inner));
        let removals = all.iter().map(|one| async {
            // what is on its way appears only later; it keeps no other
            one.until_made().await;
            self.docker.remove(&one.name).await?;
            // another may be at it (its engine, or who ran it), which takes a moment
            self.docker.until_removed(&one.name).await;
            Ok(())
        });
        let removals = stream::iter(removals).buffer_unordered(AT_ONCE);
        let removals: Vec<Result<()>> = removals.collect().await;
        removals.into_iter().collect()
    }

    /// A container that is kept in mind from before it is made.
    fn ask_for(&self, prefix: &str) -> AskedFor {
        let asked = AskedFor::new(unique_name(prefix));
        let mut all = self
            .asked_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.push(asked.clone());
        asked
    }
}
