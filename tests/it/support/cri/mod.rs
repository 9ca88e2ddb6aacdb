//! A client of CRI v1: what a kubelet asks of a container runtime, as far as tests do.

pub(crate) mod messages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use messages::{
    ContainerConfig, ContainerFilter, ContainerStatus, Containers, CreateContainer, Id, Image,
    ImageStatus, ImageStatusRequest, ListContainers, ListSandboxes, ListedContainer, ListedSandbox,
    PullImage, RunPodSandbox, SandboxConfig, SandboxFilter, SandboxStatus, Sandboxes,
    StatusRequest, StopContainer,
};

/// A connection to a runtime's socket, made anew when it breaks.
pub(crate) struct Cri {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

type Answer<T> = Result<T, Status>;

impl Cri {
    pub(crate) fn at(socket: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let socket: PathBuf = socket.into();
        let dial = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move {
                let stream = tokio::net::UnixStream::connect(socket).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        let channel = {
            let _inside = runtime.enter();
            // the authority must not be a path
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(dial)
        };
        Self { runtime, channel }
    }

    /// Asks, and asks again when the connection broke or the runtime is just starting: then it has
    /// done nothing yet.
    fn call<Q, A>(&self, service: &str, method: &str, request: Q) -> Answer<A>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        for _ in 0..100 {
            match self.call_once(service, method, request.clone()) {
                Err(status) if is_away(&status) => {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                answer => return answer,
            }
        }
        self.call_once(service, method, request)
    }

    fn call_once<Q, A>(&self, service: &str, method: &str, request: Q) -> Answer<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(format!("/runtime.v1.{service}/{method}")).unwrap();
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        self.runtime.block_on(async {
            client
                .ready()
                .await
                .map_err(|error| Status::unavailable(error.to_string()))?;
            let answer = client
                .unary(Request::new(request), path, ProstCodec::<Q, A>::default())
                .await?;
            Ok(answer.into_inner())
        })
    }

    fn ask<Q, A>(&self, method: &str, request: Q) -> Answer<A>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.call("RuntimeService", method, request)
    }

    fn of_one(&self, method: &str, id: &str) -> Answer<()> {
        self.ask(method, Id { id: id.into() })
    }

    pub(crate) fn run_sandbox(&self, config: SandboxConfig) -> Answer<String> {
        let config = Some(config);
        let made: Id = self.ask("RunPodSandbox", RunPodSandbox { config })?;
        Ok(made.id)
    }

    pub(crate) fn stop_sandbox(&self, id: &str) -> Answer<()> {
        self.of_one("StopPodSandbox", id)
    }

    pub(crate) fn remove_sandbox(&self, id: &str) -> Answer<()> {
        self.of_one("RemovePodSandbox", id)
    }

    pub(crate) fn create(
        &self,
        sandbox: &str,
        config: ContainerConfig,
        sandbox_config: SandboxConfig,
    ) -> Answer<String> {
        let request = CreateContainer {
            sandbox: sandbox.into(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let made: Id = self.ask("CreateContainer", request)?;
        Ok(made.id)
    }

    pub(crate) fn start(&self, id: &str) -> Answer<()> {
        self.of_one("StartContainer", id)
    }

    /// Ends a container, by force after that many seconds.
    pub(crate) fn stop(&self, id: &str, timeout: i64) -> Answer<()> {
        let id = id.into();
        self.ask("StopContainer", StopContainer { id, timeout })
    }

    pub(crate) fn remove(&self, id: &str) -> Answer<()> {
        self.of_one("RemoveContainer", id)
    }

    /// The sandboxes with these labels, newest first.
    pub(crate) fn sandboxes(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Answer<Vec<ListedSandbox>> {
        let labels = labels.clone();
        let filter = Some(SandboxFilter { labels });
        let mut found: Sandboxes = self.ask("ListPodSandbox", ListSandboxes { filter })?;
        found
            .items
            .sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        Ok(found.items)
    }

    /// The containers with these labels, newest first.
    pub(crate) fn containers(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Answer<Vec<ListedContainer>> {
        let labels = labels.clone();
        let filter = Some(ContainerFilter { labels });
        let mut found: Containers = self.ask("ListContainers", ListContainers { filter })?;
        found
            .items
            .sort_by_key(|container| std::cmp::Reverse(container.created_at));
        Ok(found.items)
    }

    /// A sandbox with all that the runtime says of it.
    pub(crate) fn sandbox(&self, id: &str) -> Answer<SandboxStatus> {
        let (id, verbose) = (id.into(), true);
        self.ask("PodSandboxStatus", StatusRequest { id, verbose })
    }

    /// A container with all that the runtime says of it.
    pub(crate) fn container(&self, id: &str) -> Answer<ContainerStatus> {
        let (id, verbose) = (id.into(), true);
        self.ask("ContainerStatus", StatusRequest { id, verbose })
    }

    /// Brings an image from its registry.
    pub(crate) fn pull(&self, name: &str) -> Answer<()> {
        let image = Some(Image {
            image: name.into(),
            ..Image::default()
        });
        let _pulled: Id = self.call("ImageService", "PullImage", PullImage { image })?;
        Ok(())
    }

    /// The ID of an image, when there is one of that name.
    pub(crate) fn image(&self, name: &str) -> Answer<Option<String>> {
        let image = Some(Image {
            image: name.into(),
            ..Image::default()
        });
        let found: ImageStatus =
            self.call("ImageService", "ImageStatus", ImageStatusRequest { image })?;
        Ok(found.image.map(|image| image.id))
    }
}

/// True of an answer that says that nobody heard the question.
fn is_away(status: &Status) -> bool {
    status.code() == tonic::Code::Unavailable
        || status.message() == "transport error"
        || status.message().contains("not initialized yet")
}

/// The process of a sandbox or a container by the `info` of its status, as its node numbers it.
pub(crate) fn pid(info: &BTreeMap<String, String>) -> u32 {
    let info: serde_json::Value = serde_json::from_str(&info["info"]).unwrap();
    u32::try_from(info["pid"].as_u64().unwrap()).unwrap()
}
