//! Adapter: a node's container engine. Domain types come out, never bollard's.
//!
//! Each facet is an enum with an arm for each runtime. `docker/` speaks
//! the Engine API through bollard, `buildkit/` BuildKit's protocol, both over `wire/`.

mod about;
pub(crate) mod agent;
mod build_features;
pub(crate) mod builder;
pub(crate) mod buildkit;
pub(crate) mod containerd;
pub(crate) mod containers;
mod cri;
pub(crate) mod crio;
pub(crate) mod docker;
pub(crate) mod exec;
mod grpc;
pub(crate) mod images;
pub(crate) mod job;
mod kept_probe;
pub(crate) mod kubelet;
pub(crate) mod layer_store;
pub(crate) mod log_range;
mod node_agent;
pub(crate) mod node_docker;
pub(crate) mod node_probe;
mod node_session;
mod node_words;
mod out_of_reach;
pub(crate) mod podman;
mod probe_answer;
pub(crate) mod process;
pub(crate) mod runtime;
mod way_in;

use std::sync::Arc;

use crate::docker_env::endpoint::Endpoint;
pub(crate) use crate::engine::about::{About, ImageStore, Info};
use crate::engine::agent::Agent;
use crate::engine::builder::Builder;
use crate::engine::buildkit::node::NodeBuildKit;
use crate::engine::containerd::Containerd;
use crate::engine::containerd::images::ClusterImages;
use crate::engine::cri::node::CriNode;
use crate::engine::crio::CriO;
use crate::engine::docker::Docker;
use crate::engine::images::Images;
use crate::engine::kubelet::Kubelet;
use crate::engine::out_of_reach::OutOfReach;
use crate::engine::podman::PodmanImages;
use crate::engine::podman::builder::PodmanBuilder;
use crate::engine::runtime::Runtime;
use crate::engine::way_in::WayIn;
use crate::error::{Error, Result};
use crate::runtime_kind::RuntimeKind;
use crate::settings::Settings;

/// A node's engine, connected: one facet for each thing that is wanted of it.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) node: NodeConnection,
    pub(crate) runtime: Runtime,
    pub(crate) kubelet: Kubelet,
    pub(crate) agent: Agent,
    pub(crate) images: Images,
    pub(crate) builder: Builder,
}

impl Engine {
    /// Connects and negotiates the API version.
    ///
    /// # Errors
    /// Unreachable, with the reason: nobody listens, no answer in time, a certificate that is
    /// not the node's, an engine that refuses.
    pub(crate) async fn connect(endpoint: &Endpoint, settings: &Settings) -> Result<Self> {
        match endpoint.runtime {
            RuntimeKind::Docker => {
                let docker = Docker::connect(endpoint, settings).await?;
                Ok(Self {
                    node: NodeConnection {
                        address: docker.endpoint().to_string(),
                        version: docker.greeting().version.clone().unwrap_or_default(),
                        detour: None,
                    },
                    kubelet: Kubelet::Probe,
                    runtime: Runtime::Docker(Box::new(docker.clone())),
                    images: Images::Docker(Box::new(docker.clone())),
                    builder: Builder::Docker(Box::new(docker.clone())),
                    agent: Agent::Docker(Box::new(docker)),
                })
            }
            RuntimeKind::Containerd => {
                let WayIn {
                    access,
                    endpoint,
                    detour,
                } = WayIn::find(endpoint, settings).await?;
                let containerd = Containerd::connect(access, endpoint, settings).await?;
                let images = ClusterImages::new(&containerd);
                Ok(Self {
                    node: NodeConnection::of(&containerd.node, detour),
                    kubelet: containerd.node.kubelet().await?,
                    runtime: Runtime::Containerd(Box::new(containerd.clone())),
                    images: Images::Containerd(Box::new(images.clone())),
                    builder: Builder::Node(Box::new(NodeBuildKit::new(&containerd, images))),
                    agent: Agent::Node(Box::new(containerd.node)),
                })
            }
            RuntimeKind::CriO => {
                let WayIn {
                    access,
                    endpoint,
                    detour,
                } = WayIn::find(endpoint, settings).await?;
                let crio = CriO::connect(access, endpoint, settings).await?;
                Ok(Self {
                    node: NodeConnection::of(&crio.node, detour),
                    kubelet: crio.node.kubelet().await?,
                    images: Images::Podman(Box::new(PodmanImages::new(&crio.node))),
                    builder: Builder::Podman(Box::new(PodmanBuilder::new(
                        &crio.node, endpoint, settings,
                    )?)),
                    agent: Agent::Node(Box::new(crio.node.clone())),
                    runtime: Runtime::CriO(Box::new(crio)),
                })
            }
        }
    }

    /// True where the node's runtime is Docker.
    pub(crate) fn is_docker(&self) -> bool {
        matches!(self.runtime, Runtime::Docker(_))
    }

    /// The Docker engine itself, for what only that has: making containers, networks and volumes.
    ///
    /// # Errors
    /// When the node's runtime is another one.
    pub(crate) fn docker(&self) -> Result<&Docker> {
        match &self.runtime {
            Runtime::Docker(docker) => Ok(docker),
            Runtime::Containerd(_) | Runtime::CriO(_) => {
                Err(out_of_reach("the engine", self.runtime.kind()).error())
            }
        }
    }
}

/// Something of a node with another runtime than Docker that devnet does not reach.
fn out_of_reach(what: &'static str, runtime: RuntimeKind) -> OutOfReach {
    OutOfReach { what, runtime }
}

/// The connection to a node's engine: its address and what it said when it was made.
#[derive(Clone, Debug)]
pub(crate) struct NodeConnection {
    address: String,
    version: String,
    /// The reason why it was not reached as it is named first.
    detour: Option<Arc<Error>>,
}

impl NodeConnection {
    fn of(node: &CriNode, detour: Option<Error>) -> Self {
        Self {
            address: node.address().to_owned(),
            version: node.version().to_owned(),
            detour: detour.map(Arc::new),
        }
    }

    /// The address it was reached at, for messages.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The reason why another way was taken than the first, if so.
    pub(crate) fn detour(&self) -> Option<&Error> {
        self.detour.as_deref()
    }

    /// The engine's version, as `28.5.2`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}
