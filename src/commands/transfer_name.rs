//! What `load` and `build` share: the name under which nodes get an image at first goes again.

use crate::commands::Context;
use crate::engine::transfer::Needs;

impl Context {
    /// Takes a transfer's name away from every node; one that is lost does not keep the others
    /// from it.
    pub(crate) async fn forget_transfer(&self, nodes: &[Needs<'_>], name: &str) {
        let untags = nodes.iter().map(|node| async move {
            if let Err(error) = node.engine.untag(name).await {
                self.ui.warn(&format!("{error}; `devnet clean` removes it"));
            }
        });
        futures_util::future::join_all(untags).await;
    }
}
