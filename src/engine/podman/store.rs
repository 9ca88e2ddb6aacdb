//! The sizes of layers, as the store's own list on the node's disk tells them: CRI tells an image's
//! size alone. What can't be read is not known, and nothing depends on it.

use std::collections::HashMap;

use serde::Deserialize;

use super::PodmanImages;
use crate::image::digest::DiffId;

/// The most bytes of the list: about 20,000 layers.
const LARGEST: usize = 8 << 20;

/// A layer in the store's list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Layer {
    diff_digest: Option<String>,
    diff_size: Option<u64>,
}

impl PodmanImages {
    /// The bytes of each layer, as a tar.
    pub(super) async fn sizes(&self) -> Option<HashMap<DiffId, u64>> {
        let folders = self.node.cri.image_folders().await.ok()?;
        let list = folders.iter().find_map(|folder| list_of(folder))?;
        let words = ["cat", &list].map(str::to_owned);
        let program = self.node.access.start_as_root(&words, None).await.ok()?;
        let said = program
            .read_to_end(LARGEST, self.node.patience)
            .await
            .ok()?;
        sizes_of(&said.stdout)
    }
}

/// The list of layers beside the list of images, which CRI names.
fn list_of(folder: &str) -> Option<String> {
    let driver = folder.trim_end_matches('/').strip_suffix("-images")?;
    Some(format!("{driver}-layers/layers.json"))
}

fn sizes_of(list: &[u8]) -> Option<HashMap<DiffId, u64>> {
    let layers: Vec<Layer> = serde_json::from_slice(list).ok()?;
    let known = layers
        .into_iter()
        .filter_map(|layer| Some((DiffId(layer.diff_digest?), layer.diff_size?)));
    Some(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_lies_beside_that_of_the_images() {
        assert_eq!(
            list_of("/var/lib/containers/storage/overlay-images").as_deref(),
            Some("/var/lib/containers/storage/overlay-layers/layers.json")
        );
        assert_eq!(list_of("/var/lib/containerd"), None);
    }

    #[test]
    fn layers_are_known_by_their_diff_ids() {
        let list = br#"[{"id":"a","diff-digest":"sha256:a","diff-size":40007680,"uidset":[0]},
            {"id":"b","parent":"a"},{"id":"c","diff-digest":"sha256:c","diff-size":7}]"#;
        let sizes = sizes_of(list).unwrap();
        assert_eq!(sizes.len(), 2);
        assert_eq!(sizes[&DiffId("sha256:a".into())], 40_007_680);
        assert!(sizes_of(b"{").is_none());
    }
}
