//! Adapter: a node's container engine. Domain types come out, never bollard's.
//!
//! Each facet is an enum with an arm for each runtime. `docker/` speaks
//! the Engine API through bollard, `buildkit/` BuildKit's protocol, both over `wire/`.

mod about;
pub(crate) mod agent;
mod build_features;
pub(crate) mod builder;
pub(crate) mod buildkit;
pub(crate) mod containers;
pub(crate) mod docker;
pub(crate) mod exec;
pub(crate) mod images;
pub(crate) mod job;
pub(crate) mod layer_store;
pub(crate) mod log_range;
pub(crate) mod node_probe;
mod probe_answer;
pub(crate) mod process;
pub(crate) mod runtime;

use crate::docker_env::endpoint::Endpoint;
pub(crate) use crate::engine::about::{About, ImageStore, Info};
use crate::engine::agent::Agent;
use crate::engine::builder::Builder;
use crate::engine::docker::Docker;
use crate::engine::images::Images;
use crate::engine::runtime::Runtime;
use crate::error::Result;
use crate::settings::Settings;

/// A node's engine, connected: one facet for each thing that is wanted of it.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) node: NodeConnection,
    pub(crate) runtime: Runtime,
    pub(crate) images: Images,
    pub(crate) builder: Builder,
    pub(crate) agent: Agent,
}

impl Engine {
    /// Connects and negotiates the API version.
    ///
    /// # Errors
    /// Unreachable, with the reason: nobody listens, no answer in time, a certificate that is
    /// not the node's, an engine that refuses.
    pub(crate) async fn connect(endpoint: &Endpoint, settings: &Settings) -> Result<Self> {
        let docker = Docker::connect(endpoint, settings).await?;
        Ok(Self {
            node: NodeConnection {
                address: docker.endpoint().to_string(),
                version: docker.greeting().version.clone().unwrap_or_default(),
            },
            runtime: Runtime::Docker(docker.clone()),
            images: Images::Docker(docker.clone()),
            builder: Builder::Docker(docker.clone()),
            agent: Agent::Docker(docker),
        })
    }

    /// The Docker engine itself, for what only that has: making containers, networks and volumes.
    ///
    /// # Errors
    /// When the node's runtime is another one.
    #[expect(clippy::unnecessary_wraps, reason = "other runtimes have none")]
    pub(crate) fn docker(&self) -> Result<&Docker> {
        match &self.runtime {
            Runtime::Docker(docker) => Ok(docker),
        }
    }
}

/// The connection to a node's engine: its address and what it said when it was made.
#[derive(Clone, Debug)]
pub(crate) struct NodeConnection {
    address: String,
    version: String,
}

impl NodeConnection {
    /// The address it was reached at, for messages.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The engine's version, as `28.5.2`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}
