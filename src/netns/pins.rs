//! The namespaces of a sandbox that has no process: files pin them, and the kernel tells their numbers.

use super::Look;
use super::leak::same_file;
use crate::pod::{ContainerFacts, Join, Namespaces};

/// The pins of a node, and its containers, of which some are held by them.
pub(super) struct Pins<'a> {
    pub(super) view: &'a Look,
    pub(super) facts: &'a [ContainerFacts],
}

impl Pins<'_> {
    /// The namespaces that hold a sandbox without a process; `None` where nothing does any more. Of
    /// processes it has no namespace: nobody is in one.
    pub(super) fn namespaces(&self, sandbox: &str, node: Option<Namespaces>) -> Option<Namespaces> {
        let facts = self.facts.iter().find(|facts| facts.id == sandbox)?;
        if !facts.state.is_up() {
            return None;
        }
        let of = |kind: &str, join: &Join, pick: fn(Namespaces) -> Option<u64>| match join {
            Join::Host => node.and_then(pick),
            Join::Path(path) => self.inode(kind, path),
            Join::Own | Join::Container(_) => None,
        };
        let found = Namespaces {
            net: of("net", &facts.joins.network, |node| node.net),
            ipc: of("ipc", &facts.joins.ipc, |node| node.ipc),
            uts: of("uts", &facts.joins.uts, |node| node.uts),
            ..Namespaces::default()
        };
        found.net.map(|_| found)
    }

    fn inode(&self, kind: &str, path: &str) -> Option<u64> {
        let mut pinned = self.view.pinned.iter();
        pinned
            .find(|pinned| pinned.kind == kind && same_file(&pinned.path, path))
            .map(|pinned| pinned.inode)
    }
}
