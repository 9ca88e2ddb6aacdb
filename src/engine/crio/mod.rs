//! A cri-o node: pods by CRI, and commands and signals by the OCI runtime that cri-o itself calls.

mod containers;
mod events;
pub(in crate::engine) mod exec;
mod facts;
pub(in crate::engine) mod marks;
mod notes;
mod oci;

use std::sync::Arc;

use tokio::sync::Mutex;

pub(in crate::engine) use self::containers::{Containers, Listing};
use crate::docker_env::endpoint::Endpoint;
use crate::engine::cri::node::CriNode;
use crate::engine::grpc::Refusal;
use crate::error::{Error, Result};
use crate::pod::ContainerFacts;
use crate::runtime_kind::RuntimeKind;
use crate::settings::Settings;
use crate::wire::node::NodeAccess;

/// A handle to a node's cri-o. Copies share its connection.
#[derive(Clone, Debug)]
pub(crate) struct CriO {
    pub(in crate::engine) node: CriNode,
    /// The sign of changes that was asked for, until somebody follows it.
    wake: Arc<Mutex<Option<events::Wake>>>,
}

impl CriO {
    /// Connects by this way in, and asks the runtime for its version.
    ///
    /// # Errors
    /// Unreachable, with the reason: no login, no root there, no such socket, another runtime.
    pub(in crate::engine) async fn connect(
        access: NodeAccess,
        endpoint: &Endpoint,
        settings: &Settings,
    ) -> Result<Self> {
        let without_cri = async |_grpc: &_, refusal: Refusal| {
            Error::unreachable(format!("no pods at {endpoint}")).caused_by(refusal.error)
        };
        let kind = RuntimeKind::CriO;
        let (node, _grpc) = CriNode::connect(kind, access, endpoint, settings, without_cri).await?;
        Ok(Self {
            node,
            wake: Arc::default(),
        })
    }

    /// Every container of the node, running or not, newest first.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn containers(&self) -> Result<Vec<ContainerFacts>> {
        let containers = self.listing().await?.inspected().await?;
        Ok(Arc::unwrap_or_clone(containers.facts))
    }

    /// One container; `None` when it is gone.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn container(&self, id: &str) -> Result<Option<ContainerFacts>> {
        let all = self.containers().await?;
        Ok(all.into_iter().find(|facts| facts.id == id))
    }
}
