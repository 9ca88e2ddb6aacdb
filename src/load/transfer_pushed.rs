//! What an engine pushed to a registry of ours, and the archive of it that a node loads.

use std::collections::HashSet;

use bytes::Bytes;

use crate::image::archive;
use crate::image::digest::Digest;
use crate::image::stored::StoredImage;
use crate::load::registry::Registry;

/// An image as it was pushed.
pub(super) struct Pushed {
    manifest: Bytes,
    config: (Digest, Bytes),
    /// Blob, packed size, and the content where it was kept.
    pub(super) layers: Vec<(Digest, u64, Option<Bytes>)>,
}

impl Pushed {
    /// What the registry holds, if it is this image.
    pub(super) fn of(registry: &Registry, image: &StoredImage) -> Option<Self> {
        registry.manifests().into_iter().find_map(|manifest| {
            let value: serde_json::Value = serde_json::from_slice(&manifest).ok()?;
            let digest = |value: &serde_json::Value| Digest::parse(value.get("digest")?.as_str()?);
            let config = digest(value.get("config")?)?;
            let content = registry.blob(&config)?.content?;
            let layers: Vec<_> = value
                .get("layers")?
                .as_array()?
                .iter()
                .map(|layer| {
                    let digest = digest(layer)?;
                    let blob = registry.blob(&digest)?;
                    Some((digest, blob.size, blob.content))
                })
                .collect::<Option<_>>()?;
            let diff_ids: serde_json::Value = serde_json::from_slice(&content).ok()?;
            let diff_ids = diff_ids.pointer("/rootfs/diff_ids")?.as_array()?;
            let same = diff_ids.len() == layers.len()
                && diff_ids
                    .iter()
                    .zip(&image.layers)
                    .all(|(a, b)| a.as_str() == Some(b.0.as_str()))
                && layers.len() == image.layers.len();
            same.then_some(Self {
                manifest,
                config: (config, content),
                layers,
            })
        })
    }

    /// An archive with only the layers in `places`.
    pub(super) fn archive(&self, places: &[usize], name: (&str, &str)) -> Vec<Bytes> {
        let (config, content) = &self.config;
        let mut pieces = vec![
            Bytes::from(archive::small_file("oci-layout", archive::OCI_LAYOUT)),
            Bytes::from(archive::small_file(
                "index.json",
                &archive::index_json(&self.manifest, name),
            )),
            Bytes::from(archive::small_file(
                &Digest::of(&self.manifest).blob_path(),
                &self.manifest,
            )),
            Bytes::from(archive::small_file(&config.blob_path(), content)),
        ];
        let mut sent = HashSet::new();
        for place in places {
            let (blob, size, Some(content)) = &self.layers[*place] else {
                continue;
            };
            if sent.insert(blob)
                && let Some((header, padding)) = archive::file_header(&blob.blob_path(), *size)
            {
                pieces.extend([
                    Bytes::from(header),
                    content.clone(),
                    Bytes::from(vec![0; padding]),
                ]);
            }
        }
        let layers: Vec<String> = self
            .layers
            .iter()
            .map(|(blob, _, _)| blob.blob_path())
            .collect();
        pieces.push(Bytes::from(archive::small_file(
            "manifest.json",
            &archive::manifest_json(&config.blob_path(), &layers, name),
        )));
        pieces.push(Bytes::from(archive::end()));
        pieces
    }
}
