//! The delivery of an image: the nodes and what each lacks, and how it ended there.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::image::digest::{DiffId, missing};
use crate::image::stored::{Keep, StoredImage};
use crate::progress::Sender;

/// A node and what it lacks.
#[derive(Debug)]
pub(crate) struct Needs<'a> {
    pub(crate) engine: &'a Engine,
    /// Indexes of layers in the image, the base being 0.
    pub(crate) missing: Vec<usize>,
    pub(crate) keep: Keep,
}

/// The nodes that an image goes to, the names that it gets there, and the place for news of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) nodes: &'a [Needs<'a>],
    pub(crate) names: &'a [(String, String)],
    pub(crate) events: &'a Sender,
}

/// The outcome of one node's load: where it is whole, by default, the node's ID of the image.
#[derive(Debug)]
pub(crate) struct Sent<T = String> {
    pub(crate) bytes: u64,
    pub(crate) outcome: Result<T>,
}

impl<'a> Needs<'a> {
    /// Asks a node which layers it lacks.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn of(engine: &'a Engine, image: &StoredImage, keep: Keep) -> Result<Self> {
        let present = engine.images.present_layers(&image.layers, keep).await?;
        Ok(Self {
            engine,
            missing: missing(&image.layers, &present),
            keep,
        })
    }

    /// Everything of the image, whatever the node has.
    pub(crate) fn all(&self, image: &StoredImage) -> Self {
        Self {
            engine: self.engine,
            missing: (0..image.layers.len()).collect(),
            keep: self.keep,
        }
    }
}

/// Names an image that arrived under a name of ours where it is whole; gives the node's ID of it.
///
/// # Errors
/// When a layer is missing, which containerd's store does not tell, or the node does not answer.
pub(super) async fn settle(
    engine: &Engine,
    ours: &str,
    layers: &[DiffId],
    names: &[(String, String)],
) -> Result<String> {
    let arrived = engine.images.image(ours).await?;
    if arrived.layers != layers {
        return Err(
            Error::failed("the image did not arrive whole").caused_by(format!(
                "{} of {} layers are there",
                arrived.layers.len(),
                layers.len()
            )),
        );
    }
    for (repository, tag) in names {
        engine.images.tag(ours, repository, tag).await?;
    }
    Ok(arrived.id)
}
