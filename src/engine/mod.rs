//! Adapter: a node's container engine. Domain types come out, never bollard's.
//!
//! An enum with inherent methods: a second runtime becomes one more variant. `docker/` speaks
//! the Engine API through bollard, `buildkit/` BuildKit's protocol, both over `wire/`.

mod about;
pub(crate) mod buildkit;
pub(crate) mod docker;

use crate::docker_env::endpoint::Endpoint;
use crate::docker_env::published::Published;
pub(crate) use crate::engine::about::{About, Info};
use crate::error::Result;
use crate::settings::Settings;

/// A node's engine, connected.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    Docker(docker::Docker),
}

impl Engine {
    /// Connects and negotiates the API version.
    ///
    /// # Errors
    /// Unreachable, with the reason: nobody listens, no answer in time, a certificate that is
    /// not the node's, an engine that refuses.
    pub(crate) async fn connect(endpoint: &Endpoint, settings: &Settings) -> Result<Self> {
        Ok(Self::Docker(
            docker::Docker::connect(endpoint, settings).await?,
        ))
    }

    /// The address it was reached at, for messages.
    pub(crate) fn address(&self) -> String {
        let Self::Docker(docker) = self;
        docker.endpoint().to_string()
    }

    /// The engine's version, as `28.5.2`.
    pub(crate) fn version(&self) -> &str {
        let Self::Docker(docker) = self;
        docker.greeting().version.as_deref().unwrap_or_default()
    }

    /// The first number of the version.
    pub(crate) fn major(&self) -> Option<u32> {
        self.version().split('.').next()?.parse().ok()
    }

    /// Go's word for the engine's processor: `amd64`, `arm64`.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn architecture(&self) -> Result<String> {
        let Self::Docker(docker) = self;
        docker.architecture().await
    }

    /// What the engine says of itself; it is asked once.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn about(&self) -> Result<&About> {
        let Self::Docker(docker) = self;
        docker.about().await
    }

    pub(crate) async fn info(&self) -> Result<Info> {
        let Self::Docker(docker) = self;
        docker.info().await
    }

    /// A container's state, and the ports of the engine's computer that lead into it.
    ///
    /// # Errors
    /// Not found when there is no such container.
    pub(crate) async fn published(&self, container: &str) -> Result<Published> {
        let Self::Docker(docker) = self;
        docker.published(container).await
    }

    /// How long one question over a kept connection takes.
    pub(crate) async fn round_trip(&self) -> Result<std::time::Duration> {
        let Self::Docker(docker) = self;
        docker.round_trip().await
    }
}
