//! The builder of a node.

use crate::engine::build_features::BuildFeatures;
use crate::engine::buildkit::check::{self, Checked};
use crate::engine::buildkit::connection::Connection;
use crate::engine::buildkit::node::NodeBuildKit;
use crate::engine::buildkit::streams::Pump;
use crate::engine::buildkit::{self, Built, Failure, Solve};
use crate::engine::docker::Docker;
use crate::engine::podman::builder::PodmanBuilder;
use crate::error::{Error, Result};
use crate::image::build::Options;
use crate::progress::Sender;

/// The builder of a node.
#[derive(Clone, Debug)]
pub(crate) enum Builder {
    Docker(Box<Docker>),
    /// A node's own BuildKit, which builds into its containerd.
    Node(Box<NodeBuildKit>),
    /// A cri-o node's podman, which builds as Docker's classic builder does.
    Podman(Box<PodmanBuilder>),
}

impl Builder {
    /// The features that it has beyond the least.
    ///
    /// # Errors
    /// Unreachable, where a node has no builder.
    pub(crate) async fn features(&self) -> Result<BuildFeatures> {
        match self {
            Self::Docker(docker) => Ok(docker.build_features()),
            Self::Node(buildkit) => buildkit.features().await,
            Self::Podman(_) => Ok(BuildFeatures::of_podman()),
        }
    }

    /// A node's own BuildKit, which names images as it is told, before they are known to be whole.
    pub(crate) fn of_node(&self) -> Option<&NodeBuildKit> {
        match self {
            Self::Docker(_) | Self::Podman(_) => None,
            Self::Node(buildkit) => Some(buildkit),
        }
    }

    /// A cri-o node's podman.
    pub(crate) fn of_podman(&self) -> Option<&PodmanBuilder> {
        match self {
            Self::Docker(_) | Self::Node(_) => None,
            Self::Podman(podman) => Some(podman),
        }
    }

    /// The ID by which the node knows an image that it has built.
    pub(crate) fn image_id<'b>(&self, built: &'b Built) -> Option<&'b str> {
        let said = |key: &str| built.response.get(key).map(String::as_str);
        // with containerd's store an engine names it by its manifest; pods do by its configuration
        let digest = said("containerimage.digest");
        match self {
            Self::Docker(_) | Self::Podman(_) => digest,
            Self::Node(_) => said("containerimage.config.digest").or(digest),
        }
    }

    /// True when whoever runs the engine has turned BuildKit off (`features.buildkit` in its
    /// `daemon.json`): it is there all the same, and clients are asked not to use it.
    pub(crate) fn buildkit_is_off(&self) -> bool {
        match self {
            Self::Docker(docker) => docker.buildkit_is_off(),
            Self::Node(_) | Self::Podman(_) => false,
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
            Self::Node(_) => Err(
                Error::failed("a node with containerd has no classic builder")
                    .hint("without `DOCKER_BUILDKIT=0` its BuildKit builds")
                    .into(),
            ),
            Self::Podman(podman) => Box::pin(podman.build(options, context, events)).await,
        }
    }

    /// The address that `host-gateway` stands for.
    ///
    /// # Errors
    /// The engine does not say, or was lost.
    pub(crate) async fn host_gateway(&self) -> Result<String> {
        match self {
            Self::Docker(docker) => {
                buildkit::host_gateway(&Connection::to_engine(docker.dialer()).await?).await
            }
            Self::Node(buildkit) => buildkit.host_gateway().await,
            // it knows the word itself
            Self::Podman(_) => Ok("host-gateway".to_owned()),
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
            Self::Docker(docker) => {
                // before the session: an engine without BuildKit has asked for nothing yet
                let connection = Connection::to_engine(docker.dialer()).await?;
                buildkit::build(&connection, solve, events).await
            }
            Self::Node(buildkit) => Box::pin(buildkit.build(solve, events)).await,
            Self::Podman(podman) => Err(podman.has_no_buildkit().into()),
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
            Self::Docker(docker) => {
                let connection = Connection::to_engine(docker.dialer()).await?;
                check::check_dockerfile(&connection, solve, events).await
            }
            Self::Node(buildkit) => Box::pin(buildkit.check_dockerfile(solve, events)).await,
            Self::Podman(podman) => Err(podman.has_no_buildkit().into()),
        }
    }
}
