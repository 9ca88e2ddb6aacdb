//! The images of a node: what each takes alone and with others, who uses it, and which nobody
//! would miss.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;

use crate::image::digest::ChainId;

/// The outcome of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// It is gone, and with it the layers with these chain IDs, where the engine tells.
    Gone(Vec<String>),
    /// It has got a name, a container or a child meanwhile.
    Kept,
}

/// An image of a node, as asked of its engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) id: String,
    /// Tags, and digests by which it was pulled.
    pub(crate) names: Vec<String>,
    /// Seconds since 1970.
    pub(crate) created: i64,
    pub(crate) size: u64,
    /// Its layers with what they take unpacked; `None` when the engine does not say.
    pub(crate) layers: Option<Vec<(ChainId, u64)>>,
    /// Containers whose files stand on it, by ID, where the store tells.
    pub(crate) under: Vec<String>,
    /// The node keeps it, used or not.
    pub(crate) pinned: bool,
    /// It runs, and no more: the node has thrown blobs of it away, so that it can't be sent on,
    /// exported or built upon.
    pub(crate) run_only: bool,
}

/// A container and what it runs.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) image: String,
    /// `namespace/name`, if it belongs to a pod.
    pub(crate) pod: Option<String>,
    pub(crate) container: String,
}

/// An image as it is shown; the JSON of `devnet images`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    pub(crate) node: String,
    pub(crate) id: String,
    pub(crate) names: Vec<String>,
    /// RFC 3339.
    pub(crate) created: Option<String>,
    pub(crate) size: u64,
    /// The bytes that other images of the node have too; `None`: not known.
    pub(crate) shared: Option<u64>,
    /// The bytes that removing it alone would free.
    pub(crate) unique: Option<u64>,
    /// No name leads to it.
    pub(crate) dangling: bool,
    pub(crate) pods: Vec<String>,
    /// Containers of no pod.
    pub(crate) containers: Vec<String>,
    /// The node keeps it, used or not.
    pub(crate) pinned: bool,
    /// The node has thrown blobs of it away: it can't be sent on, exported or built upon.
    pub(crate) run_only: bool,
}

impl Shown {
    /// True where nobody would miss it.
    pub(crate) fn is_spare(&self) -> bool {
        self.dangling && !self.is_used()
    }

    /// True where a container of any state needs it, or the node keeps it for its own sake.
    pub(crate) fn is_used(&self) -> bool {
        self.pinned || !self.pods.is_empty() || !self.containers.is_empty()
    }

    /// True where a person means it: a part of a name, or the beginning of its ID.
    pub(crate) fn is_meant(&self, text: &str) -> bool {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        self.names.iter().any(|name| name.contains(text))
            || hex.len() >= 4
                && self
                    .id
                    .strip_prefix("sha256:")
                    .is_some_and(|id| id.starts_with(hex))
    }
}

/// Accounts for the images of a node.
pub(crate) fn account(node: &str, held: &[Held], users: &[User]) -> Vec<Shown> {
    let mut owners: HashMap<&ChainId, usize> = HashMap::new();
    for image in held {
        // an image may have one layer twice, on different layers: those are different chains
        for (chain, _) in image.layers.iter().flatten() {
            *owners.entry(chain).or_default() += 1;
        }
    }
    let mut shown: Vec<Shown> = held
        .iter()
        .map(|image| {
            let sum = |alone: bool| {
                image.layers.as_ref().map(|layers| {
                    layers
                        .iter()
                        .filter(|(chain, _)| (owners[chain] == 1) == alone)
                        .map(|(_, size)| size)
                        .sum()
                })
            };
            let mut pods = BTreeSet::new();
            let mut containers = BTreeSet::new();
            for user in users.iter().filter(|user| user.image == image.id) {
                match &user.pod {
                    Some(pod) => pods.insert(pod.clone()),
                    None => containers.insert(user.container.clone()),
                };
            }
            Shown {
                node: node.into(),
                id: image.id.clone(),
                created: None,
                size: image.size,
                shared: sum(false),
                unique: sum(true),
                dangling: image.names.is_empty(),
                names: image.names.clone(),
                pods: pods.into_iter().collect(),
                containers: containers.into_iter().collect(),
                pinned: image.pinned,
                run_only: image.run_only,
            }
        })
        .collect();
    shown.sort_by(|a, b| {
        (a.names.is_empty(), &a.names, &a.id).cmp(&(b.names.is_empty(), &b.names, &b.id))
    });
    shown
}

/// The bytes of several images that no image but them has.
pub(crate) fn frees(held: &[Held], removed: &HashSet<String>) -> u64 {
    let kept: HashSet<&ChainId> = held
        .iter()
        .filter(|image| !removed.contains(&image.id))
        .flat_map(|image| image.layers.iter().flatten())
        .map(|(chain, _)| chain)
        .collect();
    let freed: HashMap<&ChainId, u64> = held
        .iter()
        .filter(|image| removed.contains(&image.id))
        .flat_map(|image| image.layers.iter().flatten())
        .filter(|(chain, _)| !kept.contains(chain))
        .map(|(chain, size)| (chain, *size))
        .collect();
    freed.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::{DiffId, chain_ids};

    fn held(id: &str, names: &[&str], layers: &[(&str, u64)]) -> Held {
        let diff_ids: Vec<DiffId> = layers.iter().map(|(id, _)| DiffId((*id).into())).collect();
        let sizes = layers.iter().map(|(_, size)| *size);
        Held {
            id: id.into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            size: layers.iter().map(|(_, size)| size).sum(),
            layers: Some(chain_ids(&diff_ids).into_iter().zip(sizes).collect()),
            ..Held::default()
        }
    }

    fn user(image: &str, pod: Option<&str>) -> User {
        User {
            image: image.into(),
            pod: pod.map(str::to_owned),
            container: "c".into(),
        }
    }

    #[test]
    fn a_layer_is_shared_only_on_the_same_base() {
        let all = [
            held("a", &["app:v1"], &[("base", 100), ("top", 1)]),
            held("b", &["app:v2"], &[("base", 100), ("new", 2)]),
            held("c", &["odd:v1"], &[("top", 1)]),
        ];
        let shown = account("n", &all, &[]);
        let sizes: Vec<_> = shown
            .iter()
            .map(|image| (image.shared, image.unique))
            .collect();
        assert_eq!(
            sizes,
            [
                (Some(100), Some(1)),
                (Some(100), Some(2)),
                (Some(0), Some(1))
            ]
        );
    }

    #[test]
    fn only_what_has_neither_name_nor_container_is_spare() {
        let all = [
            held("named", &["app:v1"], &[("base", 100)]),
            held("used", &[], &[("base", 100), ("x", 1)]),
            held("run", &[], &[("base", 100), ("y", 1)]),
            held("spare1", &[], &[("base", 100), ("z", 5), ("1", 1)]),
            held("spare2", &[], &[("base", 100), ("z", 5), ("2", 1)]),
        ];
        let users = [user("used", Some("default/web")), user("run", None)];
        let shown = account("n", &all, &users);
        let spare: HashSet<String> = shown
            .iter()
            .filter(|image| image.is_spare())
            .map(|image| image.id.clone())
            .collect();
        assert_eq!(spare, ["spare1", "spare2"].map(str::to_owned).into());
        assert_eq!(frees(&all, &spare), 7, "with what both share, and no base");
        assert_eq!(shown[0].id, "named", "those without a name come last");
    }
}
