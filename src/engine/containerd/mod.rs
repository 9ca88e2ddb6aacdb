//! A containerd node: pods by CRI, and by containerd's own services what CRI does not tell. Both
//! answer at one socket, over one connection.

mod containers;
mod events;
pub(in crate::engine) mod exec;
mod facts;
pub(crate) mod images;
mod log_chunks;
mod logs;
pub(in crate::engine) mod marks;
mod messages;
mod spec;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

pub(in crate::engine) use self::containers::{Containers, Outline};
use self::messages::{KillRequest, ProcessRequest, RuntimeVersion, Status, WaitResponse};
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::engine::about::{About, Info};
use crate::engine::cri::Cri;
use crate::engine::cri::messages::VersionResponse;
use crate::engine::grpc::{Empty, Grpc, Refusal, found};
use crate::engine::kept_probe::ProbeKeeper;
use crate::engine::kubelet::Kubelet;
use crate::engine::node_session::NodeSession;
use crate::engine::node_words::NodeWords;
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
    pub(in crate::engine) access: NodeAccess,
    pub(in crate::engine) probe: ProbeKeeper,
    cri: Cri,
    /// Calls of containerd's own services, in the cluster's namespace.
    grpc: Grpc,
    address: Arc<str>,
    pub(in crate::engine) patience: Duration,
    version: Arc<VersionResponse>,
    about: Arc<OnceCell<About>>,
    words: Arc<tokio::sync::Mutex<Option<NodeWords>>>,
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
        let socket = match &endpoint.address {
            Address::Unix(path) => path.display().to_string(),
            _ => RuntimeKind::Containerd.socket().to_owned(),
        };
        let patience = settings.patience()?;
        let grpc = Grpc::new(access.clone(), &socket, patience);
        let cri = Cri::new(grpc.clone());
        let session = NodeSession::open(&access);
        let version = async {
            match cri.version().await {
                Err(refusal) if refusal.is_unknown_call() => {
                    Err(without_cri(&grpc, endpoint).await)
                }
                answer => Ok(answer?),
            }
        };
        let (version, (words, session)) = futures_util::try_join!(version, session)?;
        if version.name != "containerd" {
            let name = &version.name;
            return Err(Error::unreachable(format!(
                "`{name}` answers at {endpoint}, not containerd"
            )));
        }
        Ok(Self {
            probe: ProbeKeeper::new(access.clone(), session),
            access,
            cri,
            grpc: grpc.in_namespace(NAMESPACE),
            address: endpoint.to_string().into(),
            patience,
            version: Arc::new(version),
            about: Arc::default(),
            words: Arc::new(tokio::sync::Mutex::new(Some(words))),
        })
    }

    /// The address that it was reached at.
    pub(in crate::engine) fn address(&self) -> &str {
        &self.address
    }

    /// containerd's version, as `2.1.9`.
    pub(in crate::engine) fn version(&self) -> &str {
        self.version.version.trim_start_matches('v')
    }

    /// The runtime's word on itself.
    pub(in crate::engine) async fn about(&self) -> Result<&About> {
        self.about
            .get_or_try_init(async || {
                let architecture = self.words().await?.architecture;
                Ok(About {
                    version: Some(self.version().to_owned()),
                    api_version: Some(self.version.api_version.clone()),
                    min_api_version: None,
                    os: Some("linux".to_owned()),
                    arch: Some(architecture),
                })
            })
            .await
    }

    /// The way to the node's kubelet.
    pub(in crate::engine) async fn kubelet(&self) -> Result<Kubelet> {
        let words = self.words().await?;
        Ok(match words.pods_socket {
            Some(socket) => Kubelet::at(self.access.clone(), socket),
            None => Kubelet::Silent,
        })
    }

    /// The node's processor in Go's words, asked for once: it does not change.
    pub(in crate::engine) async fn architecture(&self) -> Result<String> {
        Ok(self.about().await?.arch.clone().unwrap_or_default())
    }

    /// The node's word on itself, its clock above all.
    pub(in crate::engine) async fn info(&self) -> Result<Info> {
        Ok(self.words().await?.info())
    }

    /// The node's words, asked for anew where they are old.
    pub(in crate::engine) async fn words(&self) -> Result<NodeWords> {
        let mut kept = self.words.lock().await;
        match &*kept {
            Some(words) if words.are_fresh() => Ok(words.clone()),
            _ => {
                let words = NodeWords::ask(&self.access).await?;
                *kept = Some(words.clone());
                Ok(words)
            }
        }
    }

    /// Begins to bring the probe, for a command that is going to need it.
    pub(in crate::engine) async fn send_probe_ahead(&self) {
        // who borrows it meets the same obstacle and tells it
        if let Ok(architecture) = self.architecture().await {
            self.probe.send_ahead(&architecture);
        }
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

    /// The number, on the node, of a container's first process.
    ///
    /// # Errors
    /// Not found when it does not run.
    pub(in crate::engine) async fn pid(&self, container: &str) -> Result<u32> {
        let task = self.task(container).await?;
        task.filter(|process| process.status() != Status::Stopped && process.pid != 0)
            .map(|process| process.pid)
            .ok_or_else(|| Error::not_found(format!("container {container} does not run")))
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

    /// Asks a container to end, and ends it after so many seconds.
    ///
    /// # Errors
    /// When the runtime does not answer or refuses.
    pub(in crate::engine) async fn stop(&self, container: &str, seconds: i64) -> Result<()> {
        self.cri.stop(container, seconds).await
    }

    /// The time that one question over the kept connection takes.
    pub(in crate::engine) async fn round_trip(&self) -> Result<Duration> {
        let before = Instant::now();
        self.cri.version().await?;
        Ok(before.elapsed())
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
