//! The place of an image's layers on their engine's computer, where the engine keeps them as
//! overlay2 does.

use crate::image::digest::ChainId;
use crate::lab::owned::READER_NAME;

/// The place of the layers of an image on their engine's computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerStore {
    /// The engine's folder.
    pub(in crate::engine) root: String,
    /// Each layer's files, the base first.
    pub(in crate::engine) folders: Vec<String>,
    /// Folders for which the image wants volumes.
    pub(in crate::engine) volumes: Vec<String>,
}

impl LayerStore {
    pub(in crate::engine) fn of(
        name: &str,
        upper: &str,
        lower: Option<&str>,
        volumes: Vec<String>,
    ) -> Option<Self> {
        let mut folders: Vec<String> = lower
            .into_iter()
            .flat_map(|lower| lower.split(':'))
            .filter(|folder| !folder.is_empty())
            .map(str::to_owned)
            .collect();
        folders.reverse();
        folders.push(upper.to_owned());
        let (root, _) = upper.strip_suffix("/diff")?.rsplit_once("/overlay2/")?;
        let inside = |folder: &String| {
            folder
                .strip_prefix(root)
                .and_then(|rest| rest.strip_prefix("/overlay2/"))
                .and_then(|rest| rest.strip_suffix("/diff"))
                .is_some_and(|id| !id.contains('/'))
        };
        (name == "overlay2" && folders.iter().all(inside)).then(|| Self {
            root: root.into(),
            folders,
            volumes,
        })
    }

    /// The number of its layers.
    pub(crate) fn count(&self) -> usize {
        self.folders.len()
    }
}

/// The parts of a store that are to be read.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    /// Also the reader's own image; nothing of it is run.
    pub(crate) image: &'a str,
    /// Layers whose records are read.
    pub(crate) records: &'a [usize],
    /// Layers whose files are read.
    pub(crate) files: &'a [usize],
    pub(crate) chain: &'a [ChainId],
}

/// A reader's name: when it was made, and for which transfer.
pub(crate) fn reader_name(token: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    format!("{READER_NAME}-{now}-{token}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_are_told_by_the_image_the_base_first() {
        let store = LayerStore::of(
            "overlay2",
            "/var/lib/docker/overlay2/top/diff",
            Some("/var/lib/docker/overlay2/mid/diff:/var/lib/docker/overlay2/base/diff"),
            vec![],
        )
        .unwrap();
        assert_eq!(store.root, "/var/lib/docker");
        assert_eq!(store.count(), 3);
        assert!(store.folders[0].contains("/base/"));
    }

    #[test]
    fn other_drivers_and_folders_elsewhere_are_left_alone() {
        let of = |name, upper, lower| LayerStore::of(name, upper, lower, vec![]);
        let good = "/d/overlay2/a/diff";
        assert!(of("overlay2", good, None).is_some());
        assert!(of("btrfs", good, None).is_none());
        assert!(of("overlay2", "/d/elsewhere/a/diff", None).is_none());
        assert!(of("overlay2", good, Some("/etc")).is_none());
        assert!(of("overlay2", good, Some("/d/overlay2/../x/diff")).is_none());
    }
}
