//! Jobs of devnet's in a node with Docker: each runs in a container that carries devnet's program, or
//! beside others in a helper that holds its place. All are gone when they end, and when devnet does.

pub(in crate::engine) mod container;
mod helper;
pub(in crate::engine) mod images;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::timeout;

use crate::engine::docker::Docker;
use crate::engine::docker::agent::container::{
    Abandoned, UNDO_PATIENCE, body, unique_name, until_made,
};
use crate::engine::docker::agent::helper::Helper;
use crate::engine::docker::agent::images::{Images, ProgramImage};
use crate::engine::docker::process::{Control, Running};
use crate::engine::exec::Exec;
use crate::engine::job::{Job, Joins, Program, ProgramImages};
use crate::engine::probe_answer::in_time;
use crate::error::{Error, Result};
use crate::lab::owned::{LOOK_NAME, SHELL_NAME};

/// How many containers are removed at once.
const AT_ONCE: usize = 16;

/// The jobs of one command in one node.
pub(crate) struct Session {
    docker: Docker,
    images: Images,
    /// The names of the containers that it made and that may still be there.
    made: Arc<Mutex<BTreeSet<String>>>,
    helpers: tokio::sync::Mutex<Vec<Rc<Helper>>>,
}

impl Session {
    pub(in crate::engine) fn new(docker: Docker, images: ProgramImages) -> Self {
        Self {
            images: Images::new(docker.clone(), images),
            docker,
            made: Arc::default(),
            helpers: tokio::sync::Mutex::default(),
        }
    }

    /// Starts a job.
    pub(in crate::engine) async fn spawn(&self, job: Job) -> Result<Running> {
        if !matches!(job.joins, Joins::Beside { .. }) {
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

    /// Whether a program is there for a job of this kind.
    pub(in crate::engine) async fn has_file(&self, job: &Job, path: &str) -> Result<bool> {
        let helper = self.helper(job).await?;
        Ok(self.docker.has_file(&helper.id, path).await)
    }

    /// The helper that holds a job's place, made for the first that wants it.
    async fn helper(&self, job: &Job) -> Result<Rc<Helper>> {
        let mut helpers = self.helpers.lock().await;
        if let Some(helper) = helpers.iter().find(|helper| helper.serves(job)) {
            return Ok(Rc::clone(helper));
        }
        let start = async |image: &ProgramImage| {
            let name = self.new_name(SHELL_NAME);
            Helper::start(&self.docker, image, job, &name).await
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
            let name = self.new_name(LOOK_NAME);
            let id = self.docker.make_probe(&name, body).await?;
            let guard = Abandoned::new(self.docker.clone(), id.clone());
            match in_time(self.docker.begin(&id, image, job.input)).await {
                Ok(attached) => Ok((name, id, guard, attached)),
                Err(error) => {
                    guard.remove().await;
                    Err(error)
                }
            }
        };
        let (name, container, guard, attached) = self.images.first_that_starts(start).await?;
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
        // what ran to its end is removed by its engine
        let made = Arc::clone(&self.made);
        let ended = stream::once(async move {
            made.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&name);
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

    async fn remove_containers(&self) -> Result<()> {
        // what was on its way when nobody waited for it any more would appear only later
        until_made().await;
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        let removals = made.iter().map(|name| async {
            self.docker.remove(name).await?;
            // another may be at it (its engine, or who ran it), which takes a moment
            self.docker.until_removed(name).await;
            Ok(())
        });
        let removals = stream::iter(removals).buffer_unordered(AT_ONCE);
        removals.try_collect::<Vec<()>>().await.map(drop)
    }

    /// A name for a container, kept from before it is made.
    fn new_name(&self, prefix: &str) -> String {
        let name = unique_name(prefix);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(name.clone());
        name
    }
}
