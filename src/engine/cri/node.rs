//! A node whose runtime is asked by CRI: the way into it, its runtime's word on itself, and the probe
//! there. containerd and cri-o have it in common.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::Cri;
use super::messages::VersionResponse;
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::engine::about::{About, Info};
use crate::engine::grpc::{Grpc, Refusal};
use crate::engine::kept_probe::ProbeKeeper;
use crate::engine::kubelet::Kubelet;
use crate::engine::node_session::NodeSession;
use crate::engine::node_words::NodeWords;
use crate::error::{Error, Result};
use crate::runtime_kind::RuntimeKind;
use crate::settings::Settings;
use crate::wire::node::NodeAccess;

/// A node that is asked by CRI. Copies share its connection.
#[derive(Clone, Debug)]
pub(crate) struct CriNode {
    pub(in crate::engine) access: NodeAccess,
    pub(in crate::engine) probe: ProbeKeeper,
    pub(in crate::engine) cri: Cri,
    address: Arc<str>,
    pub(in crate::engine) patience: Duration,
    version: Arc<VersionResponse>,
    about: Arc<OnceCell<About>>,
    words: Arc<tokio::sync::Mutex<Option<NodeWords>>>,
}

impl CriNode {
    /// Connects by this way in, and asks the runtime for its version. Gives also the connection, over
    /// which a runtime may serve more than CRI. `without_cri` words the error of one that serves none.
    ///
    /// # Errors
    /// Unreachable, with the reason: no login, no root there, no such socket, another runtime.
    pub(in crate::engine) async fn connect(
        kind: RuntimeKind,
        access: NodeAccess,
        endpoint: &Endpoint,
        settings: &Settings,
        without_cri: impl AsyncFnOnce(&Grpc, Refusal) -> Error,
    ) -> Result<(Self, Grpc)> {
        let socket = match &endpoint.address {
            Address::Unix(path) => path.display().to_string(),
            _ => kind.socket().to_owned(),
        };
        let patience = settings.patience()?;
        let grpc = Grpc::new(access.clone(), &socket, patience);
        let cri = Cri::new(grpc.clone());
        let session = NodeSession::open(&access);
        let version = async {
            match cri.version().await {
                Err(refusal) if refusal.is_unknown_call() => Err(without_cri(&grpc, refusal).await),
                answer => Ok(answer?),
            }
        };
        let (version, (words, session)) = futures_util::try_join!(version, session)?;
        if version.name != kind.to_string() {
            let name = &version.name;
            return Err(Error::unreachable(format!(
                "`{name}` answers at {endpoint}, not {kind}"
            )));
        }
        let node = Self {
            probe: ProbeKeeper::new(access.clone(), session),
            access,
            cri,
            address: endpoint.to_string().into(),
            patience,
            version: Arc::new(version),
            about: Arc::default(),
            words: Arc::new(tokio::sync::Mutex::new(Some(words))),
        };
        Ok((node, grpc))
    }

    /// The address that it was reached at.
    pub(in crate::engine) fn address(&self) -> &str {
        &self.address
    }

    /// The runtime's version, as `2.1.9`.
    pub(in crate::engine) fn version(&self) -> &str {
        self.version.version.trim_start_matches('v')
    }

    /// The runtime's word on itself.
    ///
    /// # Errors
    /// When the node does not say what it is.
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

    /// The node's own time.
    pub(in crate::engine) async fn clock(&self) -> Option<jiff::Timestamp> {
        self.info().await.ok()?.now()
    }

    /// The node's words, asked for anew where they are old.
    async fn words(&self) -> Result<NodeWords> {
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

    /// The file of a namespace (`net`, `pid`) of a container or a sandbox: of its first process, else
    /// the one that pins it.
    ///
    /// # Errors
    /// Not found when it does not run.
    pub(in crate::engine) async fn namespace_file(&self, id: &str, kind: &str) -> Result<String> {
        let held = self.cri.held(id).await?;
        held.and_then(|held| held.namespace_file(kind))
            .ok_or_else(|| Error::not_found(format!("container {id} does not run")))
    }

    /// The number, on the node, of a container's first process.
    ///
    /// # Errors
    /// Not found when it does not run.
    pub(in crate::engine) async fn pid(&self, id: &str) -> Result<u32> {
        let held = self.cri.held(id).await?;
        held.and_then(|held| held.pid)
            .ok_or_else(|| Error::not_found(format!("container {id} does not run")))
    }

    /// The time that one question over the kept connection takes.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn round_trip(&self) -> Result<Duration> {
        let before = Instant::now();
        self.cri.version().await?;
        Ok(before.elapsed())
    }
}
