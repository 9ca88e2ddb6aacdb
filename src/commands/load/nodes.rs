//! The engines of a load: where it goes, and what the one that images come from has.

use crate::commands::invocation::Context;
use crate::commands::invocation::every_node::on_nodes;
use crate::commands::invocation::target::NodeTarget;
use crate::engine::{Engine, ImageStore, Info};
use crate::error::{Error, Result};
use crate::image::platform::Platform;
use crate::image::reference;
use crate::image::stored::StoredImage;

/// A node of the target, connected or not.
pub(super) struct LoadNode {
    pub(super) name: String,
    pub(super) engine: Result<Engine>,
    /// It is the engine that images come from.
    pub(super) same_engine: bool,
    pub(super) store: ImageStore,
    /// The platform that it runs; known of one that could be asked.
    pub(super) platform: Platform,
}

impl LoadNode {
    /// True where it runs images for this platform; one that can't be asked is given the benefit.
    pub(super) fn runs(&self, image: &Platform) -> bool {
        match &self.engine {
            Ok(_) => image.serves(&self.platform).is_some(),
            Err(_) => true,
        }
    }
}

/// Connects to the engine that images come from, if any do, and to the nodes.
pub(super) async fn connect(
    context: &Context,
    source: Option<&NodeTarget>,
    targets: &[NodeTarget],
) -> (Option<Result<Engine>>, Vec<LoadNode>) {
    // an engine that says all about itself takes its time: all of them at once
    let source = async {
        let source = context.connect(source?).await;
        let own = match &source {
            Ok(source) => source.runtime.info().await.ok().and_then(identity),
            Err(_) => None,
        };
        Some((source, own))
    };
    let connects = on_nodes(targets, async |node| {
        let engine = context.connect(node).await?;
        let (info, platform) = futures_util::join!(engine.runtime.info(), engine.images.platform());
        Ok((engine, info.unwrap_or_default(), platform?))
    });
    let (source, connected) = futures_util::join!(source, connects);
    let (source, own) = source.unzip();
    let own = own.flatten();
    let nodes = connected.into_iter().map(|(node, asked)| {
        let (engine, info, platform) = match asked {
            Ok((engine, info, platform)) => (Ok(engine), info, platform),
            Err(error) => (Err(error), Info::default(), Platform::default()),
        };
        LoadNode {
            name: node.name.clone(),
            engine,
            store: info.store,
            platform,
            same_engine: own.is_some() && identity(info) == own,
        }
    });
    (source, nodes.collect())
}

/// The identity that two addresses of one engine have in common. Old engines of one machine share
/// their ID (it comes from a key in /etc/docker), so the folder in which they keep their data
/// counts too.
fn identity(info: Info) -> Option<(String, String)> {
    Some((info.id?, info.root_dir?))
}

/// The names of an engine's images: all, or those of one repository.
pub(super) async fn all_names(source: &Engine, repository: Option<&str>) -> Result<Vec<String>> {
    let mut names: Vec<String> = source
        .images
        .image_names()
        .await?
        .into_iter()
        .flat_map(|(_, tags)| tags)
        .collect();
    names.retain(|name| {
        let of = name.rsplit_once(':').map(|(of, _)| of);
        reference::is_given(name) && repository.is_none_or(|wanted| of == Some(wanted))
    });
    names.sort();
    Ok(names)
}

/// True where an engine's image is for a platform: an engine has one alone.
///
/// # Errors
/// Not found when it is for another.
pub(super) async fn runs(source: &Engine, image: &StoredImage, wanted: &Platform) -> Result<()> {
    let own = source.images.image_platform(&image.id).await?;
    if own.serves(wanted).is_some() {
        return Ok(());
    }
    Err(
        Error::not_found(format!("the image is not there for {wanted}"))
            .caused_by(format!("the engine has it for {own}")),
    )
}
