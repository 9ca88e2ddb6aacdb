//! The probe's look at a node: a container that may read what its kernel says of processes, and
//! nothing else; gone when nobody is there who asks it.

use std::pin::Pin;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::engine::docker::Docker;
use crate::engine::docker::attached::{Attached, Outputs};
use crate::engine::docker::carrier::{
    Answer, LOOK, Source, UNDO_PATIENCE, in_time, passing, plain, program_of, unique_name,
};
use crate::engine::docker::confinement::Power;
use crate::error::{Error, Result};
use crate::lab::label::ROLE;
use crate::lab::owned::LOOK_NAME;

/// A look that is under way, or about to be. Whoever gives up on it calls `forget`.
#[derive(Debug)]
pub(crate) struct Look {
    docker: Docker,
    name: String,
    /// Its container while it is being made. A task of its own: the engine goes on making what it
    /// was asked for when nobody waits for it any more.
    making: Mutex<Option<JoinHandle<Result<String>>>>,
    brought: std::sync::Mutex<Option<String>>,
}

/// A probe that stays in its node and looks whenever it is asked.
pub(crate) struct Kept {
    input: Pin<Box<dyn AsyncWrite + Send>>,
    output: Outputs,
    docker: Docker,
}

/// How much a look reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Everything,
    /// Where no socket came or went since the look before, states and queues are told as they were then.
    Changes,
}

impl Docker {
    /// Prepares a look at the node; nothing is asked or made yet.
    pub(in crate::engine) fn begin_look(&self) -> Look {
        Look {
            docker: self.clone(),
            name: unique_name(LOOK_NAME),
            making: Mutex::default(),
            brought: std::sync::Mutex::default(),
        }
    }
}

impl Look {
    /// Lets the probe look at the node once, not before `when`, and gives what it printed.
    ///
    /// # Errors
    /// When this devnet carries no probe for the node, or the engine does not let it run.
    pub(crate) async fn once(
        &self,
        borrowable: Vec<String>,
        when: impl Future<Output = ()>,
    ) -> Result<String> {
        let (kept, ()) = tokio::join!(self.keep(borrowable), when);
        let mut kept = kept?;
        let answer = kept.ask(Ask::Everything).await?;
        // without its input it ends, and its engine removes it; an image goes only after that
        drop(kept);
        if self.brought().is_some() {
            let _hangs = tokio::time::timeout(UNDO_PATIENCE, self.until_removed()).await;
            self.forget().await;
        }
        Ok(answer)
    }

    /// Keeps a probe in the node that looks whenever it is asked.
    ///
    /// # Errors
    /// As `once`.
    pub(crate) async fn keep(&self, borrowable: Vec<String>) -> Result<Kept> {
        let attached = self.open(borrowable).await?;
        Ok(Kept {
            input: attached.input,
            output: attached.output,
            docker: self.docker.clone(),
        })
    }

    /// Takes away whatever was made, to the end; from an engine that hangs as far as can be.
    pub(crate) async fn forget(&self) {
        let _hangs = tokio::time::timeout(UNDO_PATIENCE, self.take_away()).await;
    }

    async fn take_away(&self) {
        if let Some(making) = self.making.lock().await.take() {
            // whether it was made is seen below
            let _made = making.await;
        }
        // the engine may have removed it already
        let _gone = self.docker.remove(&self.name).await;
        // one that has just ended is removed by its engine, which takes a moment
        self.until_removed().await;
        if let Some(image) = self.brought() {
            let _gone = self.docker.remove_image(&image).await;
        }
    }

    async fn until_removed(&self) {
        self.docker.until_removed(&self.name).await;
    }

    /// Makes the container from the first image that will do, and starts its program.
    async fn open(&self, borrowable: Vec<String>) -> Result<Attached> {
        let sources = self.docker.sources(borrowable).await?;
        // the engine's own images may be removed meanwhile, or be for another machine
        for source in sources.into_iter().map(Some).chain([None]) {
            let last = source.is_none();
            match self.start(source).await {
                Err(_refused) if !last => self.remove_refused().await,
                outcome => return outcome,
            }
        }
        Err(Error::failed("the probe has no image to run in"))
    }

    async fn start(&self, source: Option<Source>) -> Result<Attached> {
        let (id, source) = self.make(source).await?;
        in_time(self.docker.begin(&id, &source, true)).await
    }

    /// Makes room for the next container under the same name.
    async fn remove_refused(&self) {
        // where that fails, the next is refused and says why
        let work = async {
            let _gone = self.docker.remove(&self.name).await;
            self.until_removed().await;
        };
        let _hangs = tokio::time::timeout(UNDO_PATIENCE, work).await;
    }

    /// Makes the container; without a source from devnet's own image, which is brought for it.
    async fn make(&self, source: Option<Source>) -> Result<(String, Source)> {
        let (docker, name) = (self.docker.clone(), self.name.clone());
        let mut archive = None;
        let source = if let Some(source) = source {
            source
        } else {
            // its name and its labels say whose it is
            let image = self.docker.own_image(&self.name).await?;
            let mut brought = self
                .brought
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            *brought = Some(image.reference.clone());
            archive = Some(image.archive);
            Source::Brought(image.reference)
        };
        let body = body(&docker, &source);
        let mut making = self.making.lock().await;
        let task = making.insert(tokio::spawn(async move {
            if let Some(archive) = archive {
                docker.load_archive(archive).await?;
            }
            docker.make_probe(&name, body).await
        }));
        let made = task.await;
        *making = None;
        let made =
            made.map_err(|error| Error::failed("the probe could not be made").because(error))?;
        Ok((made?, source))
    }

    fn brought(&self) -> Option<String> {
        let brought = self.brought.lock();
        brought
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl Kept {
    /// Asks for a look at this moment.
    ///
    /// # Errors
    /// When the probe or its engine is gone, or does not answer in time.
    pub(crate) async fn ask(&mut self, ask: Ask) -> Result<String> {
        let line: &[u8] = match ask {
            Ask::Everything => b"everything\n",
            Ask::Changes => b"changes\n",
        };
        let lost = |error| Error::failed("the probe is gone").because(error);
        let mut answer = Answer::new(&self.docker);
        let work = async {
            let asked = async {
                self.input.write_all(line).await?;
                self.input.flush().await
            };
            let asked = asked.await.map_err(lost);
            // one that has ended may have said why
            answer.until_a_line(&mut self.output).await?;
            asked
        };
        in_time(work).await?;
        answer.text()
    }
}

fn body(docker: &Docker, source: &Source) -> ContainerCreateBody {
    let (image, program, mounts) = program_of(source);
    let mut words = docker.confining_words(Power::Look);
    words.extend(["snap".into(), "serve".into()]);
    // the processes of the node are what it is to see; of the rest it gets nothing
    let host = HostConfig {
        pid_mode: Some("host".into()),
        network_mode: Some("none".into()),
        // else the paths of cgroups, which name containers, are cut off
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::HOST),
        memory: Some(256 << 20),
        pids_limit: Some(16),
        ..passing(mounts)
    };
    ContainerCreateBody {
        image: Some(image),
        entrypoint: Some(vec![program]),
        cmd: Some(words),
        user: Some("0:0".into()),
        labels: Some([(ROLE.to_owned(), LOOK.to_owned())].into()),
        // it ends when whoever asks has left
        attach_stdin: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        // either way it has an empty network of its own; this one is made in half the time
        network_disabled: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(docker.confine(Power::Look, host)),
        ..plain()
    }
}
