//! Nodes of both runtimes that speak CRI, for tests of what holds on each.

use std::path::Path;
use std::sync::OnceLock;

use super::containerd_node::{ContainerdNode, containerd_node};
use super::testbed;

/// The node with cri-o that tests share: its sandboxes have no process unless they must.
pub(crate) fn crio_node() -> Option<&'static ContainerdNode> {
    static SHARED: OnceLock<ContainerdNode> = OnceLock::new();
    let testbed = testbed()?;
    Some(SHARED.get_or_init(|| ContainerdNode::with_crio(&testbed, "crio", false)))
}

/// The nodes that tests share, one of each runtime; none without the testbed.
pub(crate) fn shared_nodes() -> Vec<&'static ContainerdNode> {
    [containerd_node(), crio_node()]
        .into_iter()
        .flatten()
        .collect()
}

/// A node of each runtime that a test has for itself: `NAME` and `NAME-crio`.
pub(crate) fn own_nodes(testbed: &Path, name: &str) -> [ContainerdNode; 2] {
    let crio = format!("{name}-crio");
    [
        ContainerdNode::start(testbed, name),
        ContainerdNode::with_crio(testbed, &crio, false),
    ]
}
