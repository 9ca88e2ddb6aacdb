//! Network namespaces that nobody uses and a mount keeps alive.

use std::collections::BTreeSet;

use super::{Look, RuntimeMarks};
use crate::finding::{Finding, Remedy, Severity};
use crate::pod::{ContainerFacts, Namespaces};

/// Seconds; younger ones may be on their way to their container, or away from it.
const STALE_AFTER: u64 = 60;

pub(super) fn findings(
    view: &Look,
    facts: &[ContainerFacts],
    node: Option<Namespaces>,
    marks: RuntimeMarks,
) -> Vec<Finding> {
    let used: BTreeSet<u64> = view
        .processes
        .iter()
        .filter_map(|process| process.namespaces.net)
        .chain(node.and_then(|node| node.net))
        .collect();
    let kept: BTreeSet<&str> = facts
        .iter()
        .filter_map(|facts| facts.netns_path.as_deref())
        .collect();
    let mut seen = BTreeSet::new();
    view.pinned
        .iter()
        .filter(|pinned| pinned.kind == "net")
        .filter(|pinned| {
            !used.contains(&pinned.inode) && pinned.age.is_some_and(|age| age > STALE_AFTER)
        })
        .filter(|pinned| !kept.iter().any(|path| same_file(path, &pinned.path)))
        .filter(|pinned| !(marks.is_own_netns)(&pinned.path))
        .filter(|pinned| seen.insert(pinned.inode))
        .map(|pinned| {
            let message = format!(
                "net:[{}] has no process and no container; {} has kept it for {} min",
                pinned.inode,
                pinned.path,
                pinned.age.unwrap_or_default() / 60
            );
            let remedy = Remedy::Unpin {
                path: pinned.path.clone(),
            };
            Finding::new("leaked-netns", Severity::Warning, message, remedy)
                .about(vec![pinned.path.clone()])
        })
        .collect()
}

/// True of two names of one file: `/var/run` is `/run` on most machines.
pub(super) fn same_file(one: &str, other: &str) -> bool {
    let plain = |path: &str| path.strip_prefix("/var").unwrap_or(path).to_owned();
    plain(one) == plain(other)
}
