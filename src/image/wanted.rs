//! Images that pods ask for by name, against those that their node holds: a container of an image without
//! that name can't be made anew there.

use std::collections::BTreeMap;

use crate::image::inventory::Held;
use crate::image::reference::canonical;

/// A pod, and the name of an image that one of its containers is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// `namespace/name`.
    pub(crate) pod: String,
    pub(crate) image: String,
}

/// A node's images, and those that its pods ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeImages {
    pub(crate) node: String,
    pub(crate) held: Vec<Held>,
    pub(crate) wanted: Vec<Wanted>,
}

/// A name that pods of a node ask for and that none of its images has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absent {
    pub(crate) node: String,
    pub(crate) image: String,
    /// `namespace/name` each.
    pub(crate) pods: Vec<String>,
    /// Another node, which has an image of that name.
    pub(crate) elsewhere: Option<String>,
}

/// The names that pods ask for in vain, node by node.
pub(crate) fn absent(nodes: &[NodeImages]) -> Vec<Absent> {
    let mut all = Vec::new();
    for node in nodes {
        let mut missed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for wanted in &node.wanted {
            if !has(&node.held, &wanted.image) {
                let pods = missed.entry(canonical(&wanted.image)).or_default();
                if !pods.contains(&wanted.pod) {
                    pods.push(wanted.pod.clone());
                }
            }
        }
        for (image, pods) in missed {
            let elsewhere = nodes.iter().find(|other| has(&other.held, &image));
            all.push(Absent {
                node: node.node.clone(),
                elsewhere: elsewhere.map(|other| other.node.clone()),
                image,
                pods,
            });
        }
    }
    all
}

/// True where an image has this name, or is meant by its ID or a digest: those are no names that move.
fn has(held: &[Held], name: &str) -> bool {
    if name.is_empty() || name.contains('@') || name.starts_with("sha256:") {
        return true;
    }
    let wanted = canonical(name);
    let mut names = held.iter().flat_map(|image| &image.names);
    names.any(|its| canonical(its) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, held: &[&str], wanted: &[(&str, &str)]) -> NodeImages {
        let image = |name: &&str| Held {
            names: vec![(*name).to_owned()],
            ..Held::default()
        };
        let wants = |(pod, image): &(&str, &str)| Wanted {
            pod: (*pod).to_owned(),
            image: (*image).to_owned(),
        };
        NodeImages {
            node: name.into(),
            held: held.iter().map(image).collect(),
            wanted: wanted.iter().map(wants).collect(),
        }
    }

    #[test]
    fn a_name_that_no_image_of_the_node_has_is_told_with_its_pods_and_who_has_it() {
        let digest = format!("app@sha256:{}", "a".repeat(64));
        let one = node(
            "one",
            &["docker.io/library/app:dev", "docker.io/library/web:v1"],
            &[
                ("default/a", "app:dev"),
                ("default/b", "gone:v1"),
                ("default/c", "docker.io/library/gone:v1"),
                ("default/c", "docker.io/library/gone:v1"),
                ("default/d", &digest),
                ("default/e", "sha256:0123"),
            ],
        );
        let two = node("two", &[], &[("default/f", "web:v1")]);
        let of = |node: &str, image: &str, pods: &[&str], elsewhere: Option<&str>| Absent {
            node: node.into(),
            image: format!("docker.io/library/{image}"),
            pods: pods.iter().map(|&pod| pod.to_owned()).collect(),
            elsewhere: elsewhere.map(str::to_owned),
        };
        assert_eq!(
            absent(&[one, two]),
            [
                of("one", "gone:v1", &["default/b", "default/c"], None),
                of("two", "web:v1", &["default/f"], Some("one")),
            ]
        );
    }
}
