//! `devnet build`: one build, from the command line read and the engine connected to the image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::commands::build::bases::{self, Incomplete};
use crate::commands::build::layout::Borrowed;
use crate::commands::build::node_image::NodeImage;
use crate::commands::build::output;
use crate::commands::build::request::BuildRequest;
use crate::commands::build::result::{self, Other};
use crate::commands::build::solve::Destination;
use crate::commands::build::source::{self, BuildSource};
use crate::commands::invocation::Context;
use crate::commands::invocation::older_images::OlderImages;
use crate::engine::buildkit::Built;
use crate::engine::buildkit::node::NodeBuildKit;
use crate::engine::buildkit::ssh::Agent;
use crate::engine::buildkit::streams::Supply;
use crate::engine::{Engine, ImageStore, Info};
use crate::error::{Error, Result};
use crate::image::build::Options;
use crate::image::credentials::DockerConfig;
use crate::render::build::Progress;

/// Everything that a build needs, so that it can be done again.
pub(super) struct Job {
    pub(super) request: BuildRequest,
    pub(super) source: BuildSource,
    pub(super) shared_key: String,
    pub(super) progress: Progress,
    pub(super) config: Arc<DockerConfig>,
    /// The node that builds, and its engine.
    pub(super) node: String,
    pub(super) engine: Engine,
    /// The nodes that get the image.
    pub(super) others: Vec<Other>,
    /// The reason not to use BuildKit.
    pub(super) buildkit_is_off: Option<String>,
    pub(super) check: bool,
    pub(super) iidfile: Option<PathBuf>,
    pub(super) metadata_file: Option<PathBuf>,
}

/// The secrets and ssh agents that steps may ask for by their IDs.
#[derive(Clone)]
pub(super) struct Provided {
    pub(super) secrets: BTreeMap<String, Vec<u8>>,
    pub(super) agents: BTreeMap<String, Agent>,
}

/// Reads the secrets and finds the agents.
pub(super) async fn provided(request: &BuildRequest, context: &Context) -> Result<Provided> {
    Ok(Provided {
        secrets: source::secrets(&request.secrets, context).await?,
        agents: source::agents(&request.ssh, context).await?,
    })
}

impl Job {
    /// Builds, and gives the image's ID where there is an image.
    pub(super) async fn build(
        &mut self,
        provided: Provided,
        context: &Context,
    ) -> Result<Option<String>> {
        if self.engine.builder.of_podman().is_some() {
            return Box::pin(self.by_podman(context)).await;
        }
        let request = &self.request;
        // one question less where the answer changes nothing
        let info = if self.engine.builder.of_node().is_none()
            && request.outputs.is_empty()
            && request.annotations.is_empty()
            && request.options.attestations.is_empty()
            && request.cache_to.is_empty()
            && self.source.layouts.is_empty()
        {
            Info::default()
        } else {
            self.engine.runtime.info().await?
        };
        let upload = self.source.upload.take();
        let mut options = request.options.clone();
        if let Some(buildkit) = self.engine.builder.of_node() {
            let on_node = self.on_node(buildkit, provided, upload, options, &info, context);
            return Box::pin(on_node).await;
        }
        let to = Destination {
            info: &info,
            image: None,
        };
        if info.store == ImageStore::Containerd {
            return Box::pin(self.solve(provided, upload, options, to, context)).await;
        }
        let borrowed = Borrowed::new(&self.source.layouts);
        let work = async {
            Box::pin(borrowed.deliver(&self.engine, &mut options, context)).await?;
            Box::pin(self.solve(provided, upload, options, to, context)).await
        };
        let take_back = borrowed.take_back(&self.engine, context);
        let id = Box::pin(context.or_undo(work, take_back)).await?;
        borrowed.take_back(&self.engine, context).await;
        Ok(id)
    }

    /// The same on a node with containerd: its bases are completed before, and its image has a name
    /// of ours until it is whole.
    async fn on_node(
        &self,
        buildkit: &NodeBuildKit,
        provided: Provided,
        upload: Option<Supply>,
        options: Options,
        info: &Info,
        context: &Context,
    ) -> Result<Option<String>> {
        buildkit.sweep().await?;
        let incomplete = match self.source.dockerfile_text() {
            Some(text) => bases::complete(&text, &options, &self.engine, context).await?,
            None => Incomplete::default(),
        };
        let image = NodeImage::new(buildkit);
        let named = (self.is_for_the_engine() && !self.check).then_some(&image);
        let to = Destination { info, image: named };
        let work = self.solve(provided, upload, options, to, context);
        let take_back = async {
            if let Some(image) = named {
                image.forget(&self.engine, context).await;
            }
        };
        let outcome = Box::pin(context.or_undo(work, take_back)).await;
        outcome.map_err(|error| incomplete.explain(error))
    }

    /// Writes what is to be known of the result, to files and to stdout; gives the image's ID where there
    /// is one.
    pub(super) async fn told(&self, built: &Built, context: &Context) -> Result<Option<String>> {
        let id = self.engine.builder.image_id(built);
        if let (Some(file), Some(id)) = (&self.iidfile, id) {
            result::write(file, id.to_owned()).await?;
        }
        if let Some(file) = &self.metadata_file {
            result::write(file, result::metadata(built)).await?;
        }
        let stdout_is_taken = self
            .request
            .outputs
            .iter()
            .any(|output| output.dest.as_deref() == Some(Path::new("-")));
        if let (Some(id), true) = (id, context.ui.quiet() && !stdout_is_taken) {
            let line = format!("{id}\n");
            context.ui.data(&line).map_err(Error::stdout)?;
        }
        Ok(id.map(ToOwned::to_owned))
    }

    /// The engines that have the image afterwards, the one that builds first.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&str, &Engine)> {
        let others = self
            .others
            .iter()
            .filter_map(|(name, engine)| Some((name.as_str(), engine.as_ref().ok()?)));
        std::iter::once((self.node.as_str(), &self.engine)).chain(others)
    }

    /// The images that the build's names stand for now, where it will give them to another.
    pub(super) async fn older_images(&self) -> Option<OlderImages> {
        let names = &self.request.options.tags;
        if self.check || names.is_empty() || !self.is_for_the_engine() {
            return None;
        }
        let mut older = OlderImages::default();
        older.remember(self.nodes(), names).await;
        Some(older)
    }

    /// True where the result stays in the engine.
    pub(super) fn is_for_the_engine(&self) -> bool {
        let outputs = &self.request.outputs;
        outputs.is_empty() || outputs.iter().any(output::is_for_the_engine)
    }

    /// Brings the image to the other nodes.
    pub(super) async fn hand_over(&self, id: &str, context: &Context) -> Result<()> {
        let names = &self.request.options.tags;
        result::hand_over(&self.engine, id, names, &self.others, context).await
    }
}
