//! The agent of a node: it runs devnet's own programs there.

use crate::engine::cri::node::CriNode;
use crate::engine::docker::Docker;
use crate::engine::docker::agent as docker;
use crate::engine::docker::leftovers::Leftovers;
use crate::engine::job::{Job, ProgramImages};
use crate::engine::node_agent;
use crate::engine::probe_answer::{ProbeAnswer, in_time};
use crate::engine::process::Process;
use crate::error::Result;
use crate::pod::ContainerFacts;

/// The way in which devnet's programs run in a node.
#[derive(Clone, Debug)]
pub(crate) enum Agent {
    /// In containers.
    Docker(Box<Docker>),
    /// On the node itself, over the way into it.
    Node(Box<CriNode>),
}

impl Agent {
    /// Opens a session for one command's jobs; nothing is asked or made yet.
    pub(crate) fn session(&self, images: ProgramImages) -> AgentSession {
        match self {
            Self::Docker(docker) => {
                let session = docker::Session::new(Docker::clone(docker), images);
                AgentSession::Docker(Box::new(session))
            }
            Self::Node(node) => {
                let session = node_agent::Session::new(CriNode::clone(node));
                AgentSession::Node(Box::new(session))
            }
        }
    }

    /// Brings devnet's own program to the node while other things are asked, where it is brought for
    /// each command; for one that is going to need it.
    pub(crate) async fn send_ahead(&self) {
        match self {
            // an image is made of it only once
            Self::Docker(_) => {}
            Self::Node(node) => node.send_probe_ahead().await,
        }
    }

    /// The images from which devnet's own program can run, where these containers are in the node.
    pub(crate) fn candidates(&self, facts: &[ContainerFacts]) -> ProgramImages {
        match self {
            Self::Docker(_) => ProgramImages::AnyOf(docker::images::candidates(facts)),
            Self::Node(_) => ProgramImages::AnyOf(Vec::new()),
        }
    }

    /// Names of images under transfer, and of devnet's own containers that should have ended by
    /// now. The lab's are not among them.
    ///
    /// # Errors
    /// When the node can't be asked.
    pub(crate) async fn leftovers(&self) -> Result<Leftovers> {
        match self {
            Self::Docker(docker) => docker.leftovers().await,
            // what was left there goes when the next probe comes
            Self::Node(_) => Ok(Leftovers::default()),
        }
    }

    /// Removes what another devnet made for its run and left, since it was killed. That it could
    /// not be removed is no failure of what is done now.
    pub(crate) async fn sweep_abandoned(&self) {
        match self {
            Self::Docker(docker) => docker.sweep_abandoned().await,
            Self::Node(_) => {}
        }
    }
}

/// The jobs of one command in one node. Whoever gives up on it calls `cleanup`, else `finish`.
pub(crate) enum AgentSession {
    Docker(Box<docker::Session>),
    Node(Box<node_agent::Session>),
}

impl AgentSession {
    /// Starts a job.
    ///
    /// # Errors
    /// When this devnet carries no program for the node, or the node does not let it run; under the
    /// codes of `exec` for a command of an image.
    pub(crate) async fn spawn(&self, job: Job) -> Result<Process> {
        match self {
            Self::Docker(session) => Box::pin(session.spawn(job)).await.map(Process::from),
            Self::Node(session) => Box::pin(session.spawn(job)).await.map(Process::from),
        }
    }

    /// Runs a job of the probe to its end, and gives what it printed.
    ///
    /// # Errors
    /// As `spawn`; when it says nothing, or does not end in time.
    pub(crate) async fn output(&self, job: Job) -> Result<String> {
        let mut process = self.spawn(job).await?;
        in_time(async {
            let mut answer = ProbeAnswer::default();
            answer.until_the_end(&mut process.output).await?;
            answer.text()
        })
        .await
    }

    /// Those of some programs that are there for a job of this kind.
    ///
    /// # Errors
    /// As `spawn`.
    pub(crate) async fn files_of(&self, job: &Job, paths: &[&str]) -> Result<Vec<String>> {
        match self {
            Self::Docker(session) => Box::pin(session.files_of(job, paths)).await,
            // beside a container there is only devnet's own program
            Self::Node(_) => Ok(Vec::new()),
        }
    }

    /// Ends the session after its jobs: takes away what does not go with them.
    ///
    /// # Errors
    /// When the node does not remove it.
    pub(crate) async fn finish(&self) -> Result<()> {
        match self {
            Self::Docker(session) => session.finish().await,
            Self::Node(session) => {
                session.finish().await;
                Ok(())
            }
        }
    }

    /// Takes away whatever was made, to the end; from a node that hangs as far as can be.
    pub(crate) async fn cleanup(&self) {
        match self {
            Self::Docker(session) => Box::pin(session.cleanup()).await,
            Self::Node(session) => session.finish().await,
        }
    }
}
