//! The builder of a node.

use crate::engine::build_features::BuildFeatures;
use crate::engine::buildkit::check::{self, Checked};
use crate::engine::buildkit::streams::Pump;
use crate::engine::buildkit::{self, Built, Failure, Solve};
use crate::engine::docker::Docker;
use crate::engine::out_of_reach::OutOfReach;
use crate::error::Result;
use crate::image::build::Options;
use crate::progress::Sender;

/// The builder of a node.
#[derive(Clone, Debug)]
pub(crate) enum Builder {
    Docker(Box<Docker>),
    /// Of a runtime whose builder devnet does not reach.
    OutOfReach(OutOfReach),
}

impl Builder {
    /// The features that it has beyond the least.
    pub(crate) fn features(&self) -> BuildFeatures {
        match self {
            Self::Docker(docker) => docker.build_features(),
            Self::OutOfReach(_) => BuildFeatures::NONE,
        }
    }

    /// True when whoever runs the engine has turned BuildKit off (`features.buildkit` in its
    /// `daemon.json`): it is there all the same, and clients are asked not to use it.
    pub(crate) fn buildkit_is_off(&self) -> bool {
        match self {
            Self::Docker(docker) => docker.buildkit_is_off(),
            Self::OutOfReach(_) => false,
        }
    }

    /// Builds with the classic builder, from an archive that `context` writes.
    ///
    /// # Errors
    /// The build failed, or the engine was lost.
    pub(crate) async fn build_classic(
        &self,
        options: &Options,
        context: Pump,
        events: &Sender,
    ) -> std::result::Result<Built, Failure> {
        match self {
            Self::Docker(docker) => docker.build_classic(options, context, events).await,
            Self::OutOfReach(builder) => Err(builder.error().into()),
        }
    }

    /// The address that `host-gateway` stands for.
    ///
    /// # Errors
    /// The engine does not say, or was lost.
    pub(crate) async fn host_gateway(&self) -> Result<String> {
        match self {
            Self::Docker(docker) => buildkit::host_gateway(docker.dialer()).await,
            Self::OutOfReach(builder) => Err(builder.error()),
        }
    }

    /// Builds, sending news to `events`. Dropping the future cancels the build in the engine.
    ///
    /// # Errors
    /// The build failed, or the engine was lost.
    pub(crate) async fn build(
        &self,
        solve: Solve,
        events: &Sender,
    ) -> std::result::Result<Built, Failure> {
        match self {
            Self::Docker(docker) => buildkit::build(docker.dialer(), solve, events).await,
            Self::OutOfReach(builder) => Err(builder.error().into()),
        }
    }

    /// Has the Dockerfile checked; nothing is built.
    ///
    /// # Errors
    /// The Dockerfile can't be read or parsed; the engine was lost.
    pub(crate) async fn check_dockerfile(
        &self,
        solve: Solve,
        events: &Sender,
    ) -> Result<Checked, Failure> {
        match self {
            Self::Docker(docker) => check::check_dockerfile(docker.dialer(), solve, events).await,
            Self::OutOfReach(builder) => Err(builder.error().into()),
        }
    }
}
