//! A node's container runtime: what it says of itself, its containers, their events, logs and
//! commands.

use std::pin::Pin;

use futures_util::stream::Stream;

use crate::engine::about::{About, Info};
use crate::engine::containerd::{self, Containerd};
use crate::engine::containers::{Listing, Outline};
use crate::engine::crio::{self, CriO};
pub(crate) use crate::engine::docker::events::ContainerEvents;
use crate::engine::docker::{self, Docker};
use crate::engine::exec::Exec;
use crate::engine::log_range::LogRange;
use crate::engine::process::Process;
use crate::error::{Error, Result};
use crate::netns::RuntimeMarks;
use crate::pod::log::LogMessage;
use crate::pod::{ContainerFacts, Pod, Signal};
use crate::runtime_kind::RuntimeKind;

/// The runtime of a node.
#[derive(Clone, Debug)]
pub(crate) enum Runtime {
    Docker(Box<Docker>),
    Containerd(Box<Containerd>),
    CriO(Box<CriO>),
}

impl Runtime {
    /// Its kind, as a node's document names it.
    pub(crate) fn kind(&self) -> RuntimeKind {
        match self {
            Self::Docker(_) => RuntimeKind::Docker,
            Self::Containerd(_) => RuntimeKind::Containerd,
            Self::CriO(_) => RuntimeKind::CriO,
        }
    }

    /// Its own traces in its node's kernel.
    pub(crate) fn marks(&self) -> RuntimeMarks {
        match self {
            Self::Docker(_) => docker::marks::MARKS,
            Self::Containerd(_) => containerd::marks::MARKS,
            Self::CriO(_) => crio::marks::MARKS,
        }
    }

    /// Begins what a command in a container is going to need on its node, while other things are asked.
    pub(crate) async fn prepare_exec(&self) {
        match self {
            // its API alone does it
            Self::Docker(_) => {}
            Self::Containerd(containerd) => containerd.node.send_probe_ahead().await,
            Self::CriO(crio) => crio.node.probe.make_folder_ahead(),
        }
    }

    /// Starts a command in a container.
    ///
    /// # Errors
    /// Under code 125, or as docker has it 126 (it can't be run) and 127 (it is not there).
    pub(crate) async fn exec(&self, container: &str, exec: Exec) -> Result<Process> {
        match self {
            Self::Docker(docker) => docker.exec(container, exec).await.map(Process::from),
            Self::Containerd(containerd) => Box::pin(containerd.exec(container, exec))
                .await
                .map(Process::from),
            Self::CriO(crio) => Box::pin(crio.exec(container, exec))
                .await
                .map(Process::from),
        }
    }

    /// Sends a signal to a container's first process, or a sandbox's. One that has ended already is no
    /// failure.
    ///
    /// # Errors
    /// When the engine does not answer or refuses.
    pub(crate) async fn signal(&self, container: &str, signal: Signal) -> Result<()> {
        match self {
            Self::Docker(docker) => docker.signal(container, signal).await,
            Self::Containerd(containerd) => containerd.signal(container, signal).await,
            Self::CriO(crio) => crio.signal(container, signal).await,
        }
    }

    /// Asks a container to end, and ends it after so many seconds. One that has ended already is no
    /// failure.
    ///
    /// # Errors
    /// When the engine does not answer or refuses.
    pub(crate) async fn stop(&self, container: &str, seconds: i64) -> Result<()> {
        match self {
            Self::Docker(docker) => docker.stop(container, seconds).await,
            Self::Containerd(containerd) => containerd.node.cri.stop(container, seconds).await,
            Self::CriO(crio) => crio.node.cri.stop(container, seconds).await,
        }
    }

    /// Ends a sandbox that has no process, and all that runs in it.
    ///
    /// # Errors
    /// When the engine does not answer or refuses; where a sandbox has a process to send a signal to.
    pub(crate) async fn stop_sandbox(&self, sandbox: &str) -> Result<()> {
        match self {
            Self::CriO(crio) => crio.node.cri.stop_sandbox(sandbox).await,
            Self::Docker(_) | Self::Containerd(_) => Err(Error::failed(
                "this sandbox is a process, and is ended by a signal",
            )),
        }
    }

    /// True where the runtime itself tells of changes; else its containers are listed again and again.
    pub(crate) async fn tells_events(&self) -> bool {
        match self {
            Self::Docker(_) | Self::Containerd(_) => true,
            Self::CriO(crio) => crio.tells_events().await,
        }
    }

    /// Those of some files (or links) that are in the file system of a container that runs.
    ///
    /// # Errors
    /// When the node does not let them be seen.
    pub(crate) async fn files_of(&self, container: &str, paths: &[&str]) -> Result<Vec<String>> {
        match self {
            Self::Docker(docker) => Ok(docker.files_of(container, paths).await),
            Self::Containerd(containerd) => {
                Box::pin(containerd.node.files_of(container, paths)).await
            }
            Self::CriO(crio) => Box::pin(crio.node.files_of(container, paths)).await,
        }
    }

    /// Every container of the engine, running or not, newest first.
    ///
    /// # Errors
    /// When the engine does not answer or answers nonsense. A container that vanishes meanwhile
    /// is left out.
    pub(crate) async fn containers(&self) -> Result<Vec<ContainerFacts>> {
        match self {
            Self::Docker(docker) => docker.containers().await,
            Self::Containerd(containerd) => containerd.containers().await,
            Self::CriO(crio) => crio.containers().await,
        }
    }

    /// The same in two steps: what a list says is enough to begin something else meanwhile.
    ///
    /// # Errors
    /// As `containers`.
    pub(crate) async fn listing(&self) -> Result<Listing> {
        match self {
            Self::Docker(docker) => docker
                .listing()
                .await
                .map(|listing| Listing::Docker(Box::new(listing))),
            Self::Containerd(containerd) => Ok(Listing::Containerd(containerd.clone())),
            Self::CriO(crio) => crio
                .listing()
                .await
                .map(|listing| Listing::CriO(Box::new(listing))),
        }
    }

    /// The containers as far as one pod can be found among them.
    ///
    /// # Errors
    /// As `containers`.
    pub(crate) async fn outline(&self) -> Result<Outline> {
        match self {
            Self::Docker(docker) => docker.containers().await.map(Outline::Whole),
            Self::Containerd(containerd) => containerd
                .outline()
                .await
                .map(|outline| Outline::Containerd(Box::new(outline))),
            Self::CriO(crio) => crio.containers().await.map(Outline::Whole),
        }
    }

    /// One container; `None` when it is gone.
    pub(crate) async fn container(&self, id: &str) -> Result<Option<ContainerFacts>> {
        match self {
            Self::Docker(docker) => docker.container(id).await,
            Self::Containerd(containerd) => containerd.container(id).await,
            Self::CriO(crio) => crio.container(id).await,
        }
    }

    /// The `/etc/resolv.conf` of the first of these containers in which it can be read.
    pub(crate) async fn resolver_file(&self, ids: &[String]) -> Option<String> {
        match self {
            Self::Docker(docker) => docker.resolver_file(ids).await,
            Self::Containerd(containerd) => containerd.node.resolver_file(ids).await,
            Self::CriO(crio) => crio.node.resolver_file(ids).await,
        }
    }

    /// Fills in the addresses of pods whose network a plugin made: the engine does not know them,
    /// the `/etc/hosts` that the kubelet gave to their containers does. What can't be read stays
    /// unknown.
    pub(crate) async fn ips_from_hosts_files(&self, pods: &mut [Pod], facts: &[ContainerFacts]) {
        match self {
            Self::Docker(docker) => docker.ips_from_hosts_files(pods, facts).await,
            // it knows them itself
            Self::Containerd(_) | Self::CriO(_) => {}
        }
    }

    /// Tells, from a time on (the engine's own), of which containers something was changed that a look
    /// at pods shows.
    pub(crate) async fn changes(
        &self,
        since: Option<jiff::Timestamp>,
    ) -> Pin<Box<dyn Stream<Item = Result<String>> + Send>> {
        match self {
            Self::Docker(docker) => docker.changes(since),
            Self::Containerd(containerd) => containerd.changes().await,
            Self::CriO(crio) => crio.changes(since),
        }
    }

    /// Events of containers since a time (nanoseconds since 1970), or from the end of this call on where
    /// none are kept; without `until` they go on as they happen.
    pub(crate) async fn container_events(&self, since: i64, until: Option<i64>) -> ContainerEvents {
        match self {
            Self::Docker(docker) => docker.container_events(since, until),
            Self::Containerd(containerd) => containerd.container_events(until).await,
            Self::CriO(crio) => crio.container_events(since, until),
        }
    }

    /// The engine's own time, which dates what it makes.
    pub(crate) async fn clock(&self) -> Option<jiff::Timestamp> {
        match self {
            Self::Docker(docker) => docker.clock().await,
            Self::Containerd(containerd) => containerd.node.clock().await,
            Self::CriO(crio) => crio.node.clock().await,
        }
    }

    /// A container's log, message by message.
    pub(crate) fn logs(
        &self,
        container: &str,
        range: &LogRange,
    ) -> Pin<Box<dyn Stream<Item = Result<LogMessage>> + Send>> {
        match self {
            Self::Docker(docker) => docker.logs(container, range),
            Self::Containerd(containerd) => {
                let (asked, id) = (containerd.clone(), container.to_owned());
                let ended = async move { asked.until_ended(&id).await };
                containerd.node.logs(container, range, ended)
            }
            Self::CriO(crio) => {
                let (asked, id) = (crio.clone(), container.to_owned());
                let ended = async move { asked.until_ended(&id).await };
                crio.node.logs(container, range, ended)
            }
        }
    }

    /// Go's word for the engine's processor: `amd64`, `arm64`.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn architecture(&self) -> Result<String> {
        match self {
            Self::Docker(docker) => docker.architecture().await,
            Self::Containerd(containerd) => containerd.node.architecture().await,
            Self::CriO(crio) => crio.node.architecture().await,
        }
    }

    /// The engine's word on itself; it is asked once.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn about(&self) -> Result<&About> {
        match self {
            Self::Docker(docker) => docker.about().await,
            Self::Containerd(containerd) => containerd.node.about().await,
            Self::CriO(crio) => crio.node.about().await,
        }
    }

    pub(crate) async fn info(&self) -> Result<Info> {
        match self {
            Self::Docker(docker) => docker.info().await,
            Self::Containerd(containerd) => containerd.node.info().await,
            Self::CriO(crio) => crio.node.info().await,
        }
    }

    /// The time that one question over a kept connection takes.
    pub(crate) async fn round_trip(&self) -> Result<std::time::Duration> {
        match self {
            Self::Docker(docker) => docker.round_trip().await,
            Self::Containerd(containerd) => containerd.node.round_trip().await,
            Self::CriO(crio) => crio.node.round_trip().await,
        }
    }

    /// The last lines that a container printed.
    pub(crate) async fn printed(&self, id: &str, lines: usize) -> Result<String> {
        match self {
            Self::Docker(docker) => docker.printed(id, lines).await,
            Self::Containerd(containerd) => containerd.node.printed(id, lines).await,
            Self::CriO(crio) => crio.node.printed(id, lines).await,
        }
    }
}
