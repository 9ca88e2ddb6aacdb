//! Adapter: a node's container engine. Domain types come out, never bollard's.
//!
//! An enum with inherent methods: a second runtime becomes one more variant. `docker/` speaks
//! the Engine API through bollard, `buildkit/` BuildKit's protocol, both over `wire/`.

pub(crate) mod buildkit;
pub(crate) mod docker;

use crate::docker_env::endpoint::Endpoint;
use crate::docker_env::published::Published;
use crate::error::Result;
use crate::settings::Settings;

/// A node's engine, connected.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    Docker(docker::Docker),
}

/// What an engine says of itself (`/version`).
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// The engine's version, as `28.5.2`.
    pub(crate) version: Option<String>,
    /// The newest API version that it speaks, as `1.51`.
    pub(crate) api_version: Option<String>,
    /// The oldest one that it still speaks.
    pub(crate) min_api_version: Option<String>,
    pub(crate) os: Option<String>,
    /// Go's word: `amd64`, `arm64`.
    pub(crate) arch: Option<String>,
}

/// What an engine says of the machine it runs on (`/info`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Info {
    /// The engine's own ID: two addresses with one ID are one engine.
    pub(crate) id: Option<String>,
    /// The machine's host name.
    pub(crate) name: Option<String>,
    /// Whether images live in containerd's store (else in the graph driver).
    pub(crate) containerd_store: bool,
    /// RFC 3339; the engine's own clock.
    pub(crate) system_time: Option<String>,
    pub(crate) root_dir: Option<String>,
}

impl Info {
    /// The engine's clock, in nanoseconds since 1970.
    ///
    /// # Errors
    /// When it does not tell.
    pub(crate) fn nanoseconds(&self) -> Result<i64> {
        let now = crate::pod::timestamp(self.system_time.as_deref());
        now.and_then(|now| i64::try_from(now.as_nanosecond()).ok())
            .ok_or_else(|| crate::error::Error::failed("the engine does not tell its time"))
    }
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
