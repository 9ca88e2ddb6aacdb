//! A containerd node: pods by CRI, and by containerd's own services what CRI does not tell. Both
//! answer at one socket, over one connection.

mod containers;
mod events;
pub(in crate::engine) mod exec;
mod facts;
pub(crate) mod images;
pub(in crate::engine) mod marks;
mod messages;
mod notes;

use std::sync::Arc;
use std::time::Duration;

pub(in crate::engine) use self::containers::{Containers, Outline};
use self::messages::{KillRequest, ProcessRequest, RuntimeVersion, WaitResponse};
use crate::docker_env::endpoint::Endpoint;
use crate::engine::cri::Cri;
use crate::engine::cri::node::CriNode;
use crate::engine::grpc::{Empty, Grpc, Refusal, found};
use crate::error::{Error, Result};
use crate::pod::{ContainerFacts, Signal};
use crate::runtime_kind::RuntimeKind;
use crate::settings::Settings;
use crate::wire::node::NodeAccess;

/// The namespace in which CRI keeps a cluster's containers.
const NAMESPACE: &str = "k8s.io";
/// Longer than anything that a person waits for.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// A handle to a node's containerd. Copies share its connection.
#[derive(Clone, Debug)]
pub(crate) struct Containerd {
    pub(in crate::engine) node: CriNode,
    /// Calls of containerd's own services, in the cluster's namespace.
    grpc: Grpc,
}

impl Containerd {
    /// Connects by this way in, and asks the runtime for its version.
    ///
    /// # Errors
    /// Unreachable, with the reason: no login, no root there, no such socket, another runtime.
    pub(in crate::engine) async fn connect(
        access: NodeAccess,
        endpoint: &Endpoint,
        settings: &Settings,
    ) -> Result<Self> {
        let without_cri = async |grpc: &Grpc, _refusal| without_cri(grpc, endpoint).await;
        let kind = RuntimeKind::Containerd;
        let (node, grpc) = CriNode::connect(kind, access, endpoint, settings, without_cri).await?;
        Ok(Self {
            node,
            grpc: grpc.in_namespace(NAMESPACE),
        })
    }

    fn cri(&self) -> &Cri {
        &self.node.cri
    }

    /// Every container of the node, running or not, newest first.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn containers(&self) -> Result<Vec<ContainerFacts>> {
        let containers = self.inspected().await?;
        Ok(Arc::unwrap_or_clone(containers.facts))
    }

    /// One container; `None` when it is gone.
    pub(in crate::engine) async fn container(&self, id: &str) -> Result<Option<ContainerFacts>> {
        let all = self.containers().await?;
        Ok(all.into_iter().find(|facts| facts.id == id))
    }

    /// Waits for the end of a process, however long that takes.
    ///
    /// # Errors
    /// When it is gone already, or the runtime does not answer.
    async fn wait(&self, process: ProcessRequest) -> Result<WaitResponse, Refusal> {
        let path = "/containerd.services.tasks.v1.Tasks/Wait";
        self.grpc.ask_within(path, process, FOR_EVER).await
    }

    /// Sends a signal to a container's first process. One that has ended already is no failure.
    ///
    /// # Errors
    /// When the runtime does not answer or refuses.
    pub(in crate::engine) async fn signal(&self, container: &str, signal: Signal) -> Result<()> {
        let question = KillRequest {
            container_id: container.to_owned(),
            exec_id: String::new(),
            signal: signal.number().into(),
            all: false,
        };
        let path = "/containerd.services.tasks.v1.Tasks/Kill";
        let answer: Option<Empty> = found(self.grpc.ask(path, question).await)?;
        let _has_ended_already = answer.is_none();
        Ok(())
    }

    /// Returns when a container has ended, or is gone.
    pub(in crate::engine) async fn until_ended(&self, container: &str) {
        let first = ProcessRequest {
            container_id: container.to_owned(),
            exec_id: String::new(),
        };
        match self.wait(first).await {
            Ok(_) => {}
            Err(refusal) if refusal.is_not_found() => {}
            // the stream of its log tells what is lost
            Err(_lost) => std::future::pending().await,
        }
    }
}

/// The error of a containerd that serves no pods, as an engine's own.
async fn without_cri(grpc: &Grpc, endpoint: &Endpoint) -> Error {
    let path = "/containerd.services.version.v1.Version/Version";
    let version = match grpc.ask::<Empty, RuntimeVersion>(path, ()).await {
        Ok(answer) => format!("containerd {}", answer.version.trim_start_matches('v')),
        Err(_silent) => "what answers there".to_owned(),
    };
    Error::unreachable(format!("no pods at {endpoint}"))
        .caused_by(format!(
            "{version} serves no CRI, by which pods are asked for"
        ))
        .hint("is it a Docker engine's own? `-H` with that engine's socket shows what it runs")
}
