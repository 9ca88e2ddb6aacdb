//! The builder of a cri-o node: podman's, asked through its Docker API at the node's own socket. It
//! builds as Docker's classic builder does; there is no BuildKit in it.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::PodmanImages;
use crate::docker_env::endpoint::Endpoint;
use crate::engine::buildkit::streams::Pump;
use crate::engine::buildkit::{Built, Failure};
use crate::engine::cri::node::CriNode;
use crate::engine::docker::Docker;
use crate::error::{Error, Result};
use crate::image::build::Options;
use crate::image::reference::canonical;
use crate::notices::Notices;
use crate::progress::Sender;
use crate::runtime_kind::PODMAN_SOCKET;
use crate::settings::Settings;
use crate::wire::transport::Dialer;

/// The builder of one cri-o node. Copies share its connection.
#[derive(Clone, Debug)]
pub(crate) struct PodmanBuilder {
    images: PodmanImages,
    dialer: Dialer,
    notices: Notices,
    address: Arc<str>,
    api: Arc<OnceCell<Docker>>,
}

impl PodmanBuilder {
    pub(in crate::engine) fn new(
        node: &CriNode,
        endpoint: &Endpoint,
        settings: &Settings,
    ) -> Result<Self> {
        Ok(Self {
            images: PodmanImages::new(node),
            dialer: Dialer::into_node(endpoint, node.access.clone(), PODMAN_SOCKET, settings)?,
            notices: settings.notices.clone(),
            address: node.address().into(),
            api: Arc::default(),
        })
    }

    /// Builds from an archive that `context` writes. Names are given in full, as cri-o finds them, and
    /// looked at through CRI.
    ///
    /// # Errors
    /// The build failed; podman's API does not answer; cri-o does not see the image.
    pub(in crate::engine) async fn build(
        &self,
        options: &Options,
        context: Pump,
        events: &Sender,
    ) -> std::result::Result<Built, Failure> {
        let options = Options {
            tags: options.tags.iter().map(|name| canonical(name)).collect(),
            ..options.clone()
        };
        let built = self
            .api()
            .await?
            .build_classic(&options, context, events)
            .await?;
        let id = built.response.get("containerimage.digest");
        let id = id.map(String::as_str).unwrap_or_default();
        for name in options.tags.iter().map(String::as_str).chain([id]) {
            let seen = self.images.image(name).await?;
            if seen.id != id {
                return Err(
                    Error::failed(format!("cri-o has another image as `{name}`"))
                        .caused_by(format!("podman built {id}, cri-o has {}", seen.id))
                        .into(),
                );
            }
        }
        Ok(built)
    }

    /// podman's API, connected once.
    async fn api(&self) -> Result<&Docker> {
        let connect = async {
            let api = Docker::dialled(self.dialer.clone(), self.notices.clone());
            let api = Box::pin(api).await;
            api.map_err(|error| {
                Error::unreachable(format!("podman's API does not answer on {}", self.address))
                    .caused_by(error)
                    .hint("on a node with cri-o podman builds; `sudo systemctl start podman.socket` there starts its API")
            })
        };
        self.api.get_or_try_init(|| connect).await
    }

    /// The error of what only BuildKit could do.
    pub(in crate::engine) fn has_no_buildkit(&self) -> Error {
        Error::failed(format!(
            "this needs BuildKit, and podman builds on {}",
            self.address
        ))
    }
}
