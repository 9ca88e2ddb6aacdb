//! The Container Runtime Interface: what a kubelet asks a node's runtime, and devnet too.

pub(in crate::engine) mod command;
pub(in crate::engine) mod facts;
pub(in crate::engine) mod files;
#[cfg(test)]
pub(in crate::engine) mod harm;
pub(in crate::engine) mod held;
mod log_chunks;
pub(in crate::engine) mod logs;
pub(crate) mod messages;
pub(in crate::engine) mod node;
pub(in crate::engine) mod spec;
pub(in crate::engine) mod statuses;
mod users;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::BoxStream;

use crate::engine::cri::held::{Held, Verbose};
use crate::engine::cri::messages::{
    Container, ContainerState, ContainerStatus, ContainerStatusRequest, ContainerStatusResponse,
    Image, ImageFsInfoResponse, ImageRequest, ImageSpec, ImageStatusRequest, ImageStatusResponse,
    ListContainersRequest, ListContainersResponse, ListImagesResponse, ListPodSandboxRequest,
    ListPodSandboxResponse, PodSandbox, PodSandboxState, PodSandboxStatusRequest,
    PodSandboxStatusResponse, RuntimeStatusRequest, RuntimeStatusResponse, StopContainerRequest,
    StopPodSandboxRequest, VersionRequest, VersionResponse,
};
use crate::engine::grpc::{Empty, Grpc, Refusal, found};
use crate::error::Result;

/// The time that a runtime may need to end a container by force, beyond the time that it gives.
const BEYOND_GRACE: Duration = Duration::from_secs(20);
/// The longest that the end of a sandbox may take: its containers end one after the other, each in the
/// time that cri-o gives it, 30 s where nothing else is configured.
const SANDBOX_ENDS_WITHIN: Duration = Duration::from_mins(5);

/// The number of times that a refusal without a code is asked again, and the pause before each.
const ASKED_AGAIN: usize = 5;
const AGAIN: Duration = Duration::from_millis(100);

/// The lists of a node's sandboxes and containers, dead ones too.
#[derive(Debug, Default)]
pub(in crate::engine) struct Lists {
    pub(in crate::engine) sandboxes: Vec<PodSandbox>,
    pub(in crate::engine) containers: Vec<Container>,
}

/// A client of a node's CRI.
#[derive(Clone, Debug)]
pub(crate) struct Cri {
    grpc: Grpc,
}

impl Cri {
    pub(crate) fn new(grpc: Grpc) -> Self {
        Self { grpc }
    }

    /// The runtime's word on itself.
    ///
    /// # Errors
    /// Unreachable where nobody answers.
    pub(crate) async fn version(&self) -> Result<VersionResponse, Refusal> {
        let question = VersionRequest {
            version: "v1".into(),
        };
        self.grpc
            .ask("/runtime.v1.RuntimeService/Version", question)
            .await
    }

    /// All sandboxes and containers, asked for at once.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn lists(&self) -> Result<Lists> {
        let (sandboxes, containers) = futures_util::try_join!(self.sandboxes(), self.containers())?;
        Ok(Lists {
            sandboxes,
            containers,
        })
    }

    /// All sandboxes, dead ones too.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(crate) async fn sandboxes(&self) -> Result<Vec<PodSandbox>> {
        const PATH: &str = "/runtime.v1.RuntimeService/ListPodSandbox";
        let answer: ListPodSandboxResponse = self
            .grpc
            .ask(PATH, ListPodSandboxRequest::default())
            .await?;
        Ok(answer.items)
    }

    /// All containers, dead ones too.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(crate) async fn containers(&self) -> Result<Vec<Container>> {
        const PATH: &str = "/runtime.v1.RuntimeService/ListContainers";
        let answer: ListContainersResponse = self
            .grpc
            .ask(PATH, ListContainersRequest::default())
            .await?;
        Ok(answer.containers)
    }

    /// A container's status; `None` when it is gone.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(crate) async fn status(&self, id: &str) -> Result<Option<ContainerStatus>> {
        let answer = self.container_status(id, false).await?;
        Ok(answer.and_then(|answer| answer.status))
    }

    /// A container's status with what the runtime knows beside it; `None` when it is gone.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn container_status(
        &self,
        id: &str,
        verbose: bool,
    ) -> Result<Option<ContainerStatusResponse>> {
        const PATH: &str = "/runtime.v1.RuntimeService/ContainerStatus";
        let question = ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose,
        };
        match self.told(PATH, question.clone()).await {
            Err(refusal) if refusal.is_without_code() && verbose => {
                // its state is told all the same, and what is told of others does not suffer
                let less = ContainerStatusRequest {
                    verbose: false,
                    ..question
                };
                found(self.grpc.ask(PATH, less).await)
            }
            answer => found(answer),
        }
    }

    /// A sandbox's status with what the runtime knows beside it; `None` when it is gone.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn sandbox_status(
        &self,
        id: &str,
    ) -> Result<Option<PodSandboxStatusResponse>> {
        const PATH: &str = "/runtime.v1.RuntimeService/PodSandboxStatus";
        let question = PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose: true,
        };
        found(self.told(PATH, question).await)
    }

    /// The answer on one thing. cri-o refuses, under no code of its own, to tell of what it is just
    /// removing: it is asked again for a moment, in which most of that is gone.
    async fn told<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Refusal>
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut pauses = std::iter::repeat_n(AGAIN, ASKED_AGAIN);
        loop {
            match self.grpc.ask(path, question.clone()).await {
                Err(refusal) if refusal.is_without_code() => match pauses.next() {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(refusal),
                },
                answer => return answer,
            }
        }
    }

    /// The process and the pinned namespaces of a container or a sandbox that is up; else `None`.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn held(&self, id: &str) -> Result<Option<Held>> {
        if let Some(answer) = self.container_status(id, true).await? {
            let status = answer.status.unwrap_or_default();
            let runs = status.state() == ContainerState::Running;
            return Ok(runs.then(|| Held::of(Verbose::read(&answer.info))));
        }
        let Some(answer) = self.sandbox_status(id).await? else {
            return Ok(None);
        };
        let status = answer.status.unwrap_or_default();
        let ready = status.state() == PodSandboxState::Ready;
        Ok(ready.then(|| Held::of(Verbose::read(&answer.info))))
    }

    /// Ends a sandbox and whatever runs in it. One that is gone is no failure.
    ///
    /// # Errors
    /// When the runtime does not answer or refuses.
    pub(in crate::engine) async fn stop_sandbox(&self, id: &str) -> Result<()> {
        const PATH: &str = "/runtime.v1.RuntimeService/StopPodSandbox";
        let question = StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let asked = self.grpc.ask_within(PATH, question, SANDBOX_ENDS_WITHIN);
        let answer: Option<Empty> = found(asked.await)?;
        let _is_gone = answer.is_none();
        Ok(())
    }

    /// The signs that containers change, where the runtime gives them; what they say is not read. Those of
    /// the last minutes come first.
    pub(in crate::engine) fn events(&self) -> BoxStream<'static, Result<Empty, Refusal>> {
        const PATH: &str = "/runtime.v1.RuntimeService/GetContainerEvents";
        self.grpc.listen::<Empty, Empty>(PATH, ())
    }

    /// Asks a container to end, and ends it after so many seconds. One that is gone is no failure.
    ///
    /// # Errors
    /// When the runtime does not answer or refuses.
    pub(crate) async fn stop(&self, id: &str, seconds: i64) -> Result<()> {
        const PATH: &str = "/runtime.v1.RuntimeService/StopContainer";
        let question = StopContainerRequest {
            container_id: id.to_owned(),
            timeout: seconds,
        };
        let limit = Duration::from_secs(seconds.unsigned_abs()).saturating_add(BEYOND_GRACE);
        let answer: Option<Empty> = found(self.grpc.ask_within(PATH, question, limit).await)?;
        let _is_gone = answer.is_none();
        Ok(())
    }

    /// All images.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(crate) async fn images(&self) -> Result<Vec<Image>> {
        const PATH: &str = "/runtime.v1.ImageService/ListImages";
        let answer: ListImagesResponse = self.grpc.ask(PATH, ()).await?;
        Ok(answer.images)
    }

    /// The image with a whole name or an ID; `None` when there is none.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<Image>> {
        const PATH: &str = "/runtime.v1.ImageService/ImageStatus";
        let answer = self.grpc.ask(PATH, image_request(name)).await;
        let answer: Option<ImageStatusResponse> = found(answer)?;
        Ok(answer.and_then(|answer| answer.image))
    }

    /// The image with a whole name or an ID, and what the runtime knows beside it: JSON of its own;
    /// `None` when there is none.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn described_image(
        &self,
        name: &str,
    ) -> Result<Option<(Image, BTreeMap<String, String>)>> {
        const PATH: &str = "/runtime.v1.ImageService/ImageStatus";
        let question = ImageStatusRequest {
            image: image_request(name).image,
            verbose: true,
        };
        let answer: Option<ImageStatusResponse> = found(self.grpc.ask(PATH, question).await)?;
        Ok(answer.and_then(|answer| Some((answer.image?, answer.info))))
    }

    /// Removes an image with all its names; it may be gone already. containerd does so whoever uses it,
    /// cri-o refuses what is in use, and of a name that is not the last it takes that alone.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(crate) async fn remove_image(&self, id: &str) -> Result<()> {
        const PATH: &str = "/runtime.v1.ImageService/RemoveImage";
        let _gone: Option<Empty> = found(self.grpc.ask(PATH, image_request(id)).await)?;
        Ok(())
    }

    /// The image of sandboxes' own containers, where the runtime tells of it.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn sandbox_image(&self) -> Result<Option<String>> {
        const PATH: &str = "/runtime.v1.RuntimeService/Status";
        let question = RuntimeStatusRequest { verbose: true };
        let answer: RuntimeStatusResponse = self.grpc.ask(PATH, question).await?;
        let config = answer.info.get("config").map(String::as_str);
        let config: serde_json::Value = config
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let named = config.get("sandboxImage").and_then(|name| name.as_str());
        Ok(named.map(str::to_owned))
    }

    /// The folders in which the node keeps its images.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(crate) async fn image_folders(&self) -> Result<Vec<String>> {
        const PATH: &str = "/runtime.v1.ImageService/ImageFsInfo";
        let answer: ImageFsInfoResponse = self.grpc.ask(PATH, ()).await?;
        let systems = answer.image_filesystems.into_iter();
        let folders = systems.filter_map(|system| Some(system.fs_id?.mountpoint));
        Ok(folders.collect())
    }
}

fn image_request(name: &str) -> ImageRequest {
    ImageRequest {
        image: Some(ImageSpec {
            image: name.to_owned(),
            ..ImageSpec::default()
        }),
    }
}
