//! An image that an engine pushed to a registry of ours, and the archive of it that a node loads.

use std::collections::HashSet;

use bytes::Bytes;

use crate::image::archive;
use crate::image::digest::Digest;
use crate::image::oci;
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
    /// The image in the registry, if it is this one.
    pub(super) fn of(registry: &Registry, image: &StoredImage) -> Option<Self> {
        registry.manifests().into_iter().find_map(|manifest| {
            let listed = oci::Manifest::read(&manifest).ok()?;
            let config = Digest::parse(listed.config().digest())?;
            let content = registry.blob(&config)?.content?;
            let layers: Vec<_> = listed
                .layers()?
                .map(|layer| {
                    let digest = Digest::parse(layer.digest())?;
                    let blob = registry.blob(&digest)?;
                    Some((digest, blob.size, blob.content))
                })
                .collect::<Option<_>>()?;
            let pushed = oci::Config::read(&content).ok()?;
            let diff_ids = pushed.diff_ids();
            let same = diff_ids.len() == layers.len()
                && diff_ids
                    .iter()
                    .zip(&image.layers)
                    .all(|(pushed, stored)| *pushed == stored.0)
                && layers.len() == image.layers.len();
            same.then_some(Self {
                manifest,
                config: (config, content),
                layers,
            })
        })
    }

    /// The digest of its configuration.
    pub(super) fn configuration(&self) -> &Digest {
        &self.config.0
    }

    /// An archive with only the layers in `indexes`.
    pub(super) fn archive(&self, indexes: &[usize], name: (&str, &str)) -> Vec<Bytes> {
        let (config, content) = &self.config;
        let mut pieces = vec![
            Bytes::from(archive::small_file("oci-layout", oci::LAYOUT)),
            Bytes::from(archive::small_file(
                "index.json",
                &oci::index_of_one(&self.manifest, name),
            )),
            Bytes::from(archive::small_file(
                &Digest::of(&self.manifest).blob_path(),
                &self.manifest,
            )),
            Bytes::from(archive::small_file(&config.blob_path(), content)),
        ];
        let mut sent = HashSet::new();
        for index in indexes {
            let (blob, size, Some(content)) = &self.layers[*index] else {
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
            &oci::archive_manifest(
                &config.blob_path(),
                Some(&[format!("{}:{}", name.0, name.1)]),
                &layers,
            ),
        )));
        pieces.push(Bytes::from(archive::end()));
        pieces
    }
}
