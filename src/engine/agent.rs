//! The agent runs devnet's own program, the probe, in a node.

use crate::engine::docker::Docker;
use crate::engine::docker::carrier::Source;
use crate::engine::docker::confinement::Power;
use crate::engine::docker::helper::{Beside, Helper};
use crate::engine::docker::leftovers::Leftovers;
use crate::engine::docker::probe_images::ProbeImages;
use crate::engine::docker::snap::Look;
use crate::error::Result;
use crate::pod::ContainerFacts;

/// The way in which devnet's probe runs in a node.
#[derive(Clone, Debug)]
pub(crate) enum Agent {
    Docker(Docker),
}

impl Agent {
    /// Where the probe's program can come from on this node, with the least that stays there.
    ///
    /// # Errors
    /// When this devnet carries no probe for the node.
    pub(crate) async fn probe_images(&self, facts: &[ContainerFacts]) -> Result<ProbeImages> {
        match self {
            Self::Docker(docker) => docker.probe_images(facts).await,
        }
    }

    /// Names of images under transfer, and of devnet's own containers that should have ended by
    /// now. The lab's are not among them.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub(crate) async fn leftovers(&self) -> Result<Leftovers> {
        match self {
            Self::Docker(docker) => docker.leftovers().await,
        }
    }

    /// Removes what another devnet made for its run and left, since it was killed. That it could
    /// not be removed is no failure of what is done now.
    pub(crate) async fn sweep_abandoned(&self) {
        match self {
            Self::Docker(docker) => docker.sweep_abandoned().await,
        }
    }

    /// Asks from inside the network of a container (`bin/devnet-probe/connect.rs` says what can be asked) and
    /// gives the answers, a line each.
    ///
    /// # Errors
    /// When the engine refuses, as it does when that container has ended.
    pub(crate) async fn ask_inside(
        &self,
        images: &ProbeImages,
        container: &str,
        run: &str,
        questions: &[String],
    ) -> Result<String> {
        match self {
            Self::Docker(docker) => docker.ask_inside(images, container, run, questions).await,
        }
    }

    /// Removes the containers of an interrupted run.
    pub(crate) async fn forget_run(&self, run: &str) -> Result<()> {
        match self {
            Self::Docker(docker) => docker.forget_run(run).await,
        }
    }

    /// Prepares a look at the node; nothing is asked or made yet.
    pub(crate) fn begin_look(&self) -> Look {
        match self {
            Self::Docker(docker) => docker.begin_look(),
        }
    }

    /// Makes a helper and starts it.
    ///
    /// # Errors
    /// When the engine refuses, lacks the image, or does not confine what it gives power to.
    pub(crate) async fn start_helper(
        &self,
        source: &Source,
        beside: Beside<'_>,
        power: Power,
    ) -> Result<Helper> {
        match self {
            Self::Docker(docker) => docker.start_helper(source, beside, power).await,
        }
    }

    /// Makes sure that the engine has the image with the probe, and gives its ID. Its label
    /// `dev.devnet.role` is how it is found and removed again.
    ///
    /// # Errors
    /// When this devnet carries no probe for the engine's architecture, or the engine refuses it.
    pub(crate) async fn probe_image(&self) -> Result<String> {
        match self {
            Self::Docker(docker) => docker.probe_image().await,
        }
    }
}
