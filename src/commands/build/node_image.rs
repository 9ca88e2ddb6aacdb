//! `devnet build`: the image of a build on a node with containerd. It has a name of ours until it is
//! known to be whole: an export that fails leaves the name that it was given on what there is.

use std::collections::BTreeMap;

use crate::commands::invocation::Context;
use crate::engine::Engine;
use crate::engine::buildkit::node::NodeBuildKit;
use crate::error::Result;
use crate::host::owner::SignedToken;
use crate::image::reference::{self, TRANSFER_TAG};

/// An image that a node's BuildKit makes, under a name of ours.
pub(super) struct NodeImage<'e> {
    buildkit: &'e NodeBuildKit,
    name: String,
}

impl<'e> NodeImage<'e> {
    pub(super) fn new(buildkit: &'e NodeBuildKit) -> Self {
        let repository = reference::transfer(SignedToken::new().as_str());
        Self {
            buildkit,
            name: format!("{repository}:{TRANSFER_TAG}"),
        }
    }

    /// Adds what the exporter is told of it; what was said on the command line holds.
    pub(super) fn describe(&self, attributes: &mut BTreeMap<String, String>) {
        attributes.insert("name".to_owned(), self.name.clone());
        for (name, value) in [
            // a pod that starts need not wait for it
            ("unpack", "true"),
            // packing takes longer than anything else, and nothing here becomes smaller by it
            ("compression", "uncompressed"),
            ("oci-mediatypes", "true"),
        ] {
            let free = attributes.entry(name.to_owned());
            free.or_insert_with(|| value.to_owned());
        }
    }

    /// The attributes of an exporter that pushes the image, and keeps nothing of it on the node.
    pub(super) fn pushed() -> impl Iterator<Item = (String, String)> {
        let attributes = [("push", "true"), ("store", "false"), ("unpack", "false")];
        attributes
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
    }

    /// Gives the image its own names where it is whole, and takes ours away.
    ///
    /// # Errors
    /// When it is not whole; when the node does not answer.
    pub(super) async fn settle(&self, tags: &[String]) -> Result<()> {
        self.buildkit.name(&self.name, tags).await
    }

    /// Takes our name away from whatever a build that did not succeed has left.
    pub(super) async fn forget(&self, engine: &Engine, context: &Context) {
        context.forget(&[engine], &self.name).await;
    }
}
