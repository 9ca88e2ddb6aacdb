//! An image as it lies in an archive or layout: what names it, its configuration and its layers.

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::image::archive;
use crate::image::digest::{DiffId, Digest};
use crate::image::oci;
use crate::image::packing::Packing;
use crate::image::platform::Platform;

/// One image of an archive; for several platforms, perhaps.
#[derive(Debug)]
pub(crate) struct ArchiveImage {
    pub(crate) names: Vec<String>,
    pub(crate) choices: Vec<PlatformImage>,
}

/// An image for one platform, as it lies in an archive.
#[derive(Clone, Debug)]
pub(crate) struct PlatformImage {
    pub(crate) platform: Platform,
    pub(crate) config: SmallBlob,
    /// As a registry would show it; an archive of docker's old kind has none.
    pub(crate) manifest: Option<SmallBlob>,
    /// The index that lists it, where it is one of several.
    pub(crate) index: Option<SmallBlob>,
    pub(crate) layers: Vec<ArchiveLayer>,
}

/// A small file with its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SmallBlob {
    pub(crate) digest: Digest,
    /// Shared: every platform of an image has its index.
    pub(crate) bytes: Arc<[u8]>,
}

impl SmallBlob {
    pub(crate) fn of(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: Digest::of(&bytes),
            bytes,
        }
    }
}

/// A layer in an archive.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveLayer {
    pub(crate) diff_id: DiffId,
    /// The digest of the file as it is; not known of a packed layer in an archive of docker's old
    /// kind.
    pub(crate) blob: Option<Digest>,
    pub(crate) size: u64,
    /// `None`: the archive has not got it.
    pub(crate) path: Option<String>,
    /// The packing, where no manifest says so.
    pub(crate) packing: Packing,
    /// The name under which it was sent before its digest was known.
    pub(crate) sent: Option<String>,
    /// The address from which a foreign layer could be had.
    pub(crate) url: Option<String>,
}

impl ArchiveLayer {
    /// Its path in the archives that nodes get.
    pub(crate) fn sent_as(&self) -> String {
        match (&self.sent, &self.blob) {
            (Some(sent), _) => sent.clone(),
            (None, Some(blob)) => blob.blob_path(),
            (None, None) => format!("layers/{}.tar", self.diff_id.hex()),
        }
    }
}

impl ArchiveImage {
    /// The platform that a node runs, or the one that was asked for. An image for one platform
    /// alone is taken as it is, unless another was asked for.
    ///
    /// # Errors
    /// Not found, with those that there are.
    pub(crate) fn pick(&self, wanted: &Platform, asked: bool) -> Result<&PlatformImage> {
        if let ([only], false) = (self.choices.as_slice(), asked) {
            return Ok(only);
        }
        self.choices
            .iter()
            .filter_map(|choice| Some((choice.platform.serves(wanted)?, choice)))
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, choice)| choice)
            .ok_or_else(|| {
                let there: Vec<String> = self
                    .choices
                    .iter()
                    .map(|choice| choice.platform.to_string())
                    .collect();
                Error::not_found(format!("the image is not there for {wanted}"))
                    .caused_by(format!("it is for {}", there.join(", ")))
            })
    }
}

impl PlatformImage {
    /// The ID by which a node without containerd's store calls it.
    pub(crate) fn config_id(&self) -> &str {
        self.config.digest.as_str()
    }

    /// The ID by which containerd's store calls it, once that is known.
    pub(crate) fn target_id(&self) -> Option<&str> {
        let target = self.index.as_ref().or(self.manifest.as_ref())?;
        Some(target.digest.as_str())
    }

    /// Makes the manifest of an image that has none, once the digests of all its layers are known.
    pub(crate) fn make_manifest(&mut self) -> Option<()> {
        if self.manifest.is_some() {
            return Some(());
        }
        let layers = self
            .layers
            .iter()
            .map(|layer| {
                let blob = layer.blob.as_ref()?;
                let packed = match layer.packing {
                    Packing::Plain => "",
                    Packing::Gzip => "+gzip",
                    Packing::Zstd => "+zstd",
                    // registries know no layers that are packed so
                    Packing::Bzip2 | Packing::Xz | Packing::Foreign(_) => return None,
                };
                Some(oci::Descriptor::layer(packed, blob.as_str(), layer.size))
            })
            .collect::<Option<Vec<_>>>()?;
        let config = oci::Descriptor::config(self.config.digest.as_str(), self.config.bytes.len());
        self.manifest = Some(SmallBlob::of(oci::manifest(&config, &layers)));
        Some(())
    }

    /// The end of an archive for a node, after the layers: all that says how it is put together, so
    /// that no engine can make anything of one that breaks off.
    pub(crate) fn ending(&self, name: (&str, &str)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let small =
            |small: &SmallBlob| archive::small_file(&small.digest.blob_path(), &small.bytes);
        bytes.extend(small(&self.config));
        if let Some(manifest) = &self.manifest {
            bytes.extend(archive::small_file("oci-layout", oci::LAYOUT));
            bytes.extend(small(manifest));
            let target = self.index.as_ref().unwrap_or(manifest);
            if let Some(index) = &self.index {
                bytes.extend(small(index));
            }
            bytes.extend(archive::small_file(
                "index.json",
                &oci::index_of_one(&target.bytes, name),
            ));
        }
        let layers: Vec<String> = self.layers.iter().map(ArchiveLayer::sent_as).collect();
        bytes.extend(archive::small_file(
            "manifest.json",
            &oci::archive_manifest(
                &self.config.digest.blob_path(),
                Some(&[format!("{}:{}", name.0, name.1)]),
                &layers,
            ),
        ));
        bytes.extend(archive::end());
        bytes
    }

    /// The paths of the layers in `layer_indexes`; each file once.
    ///
    /// # Errors
    /// When one is not in the archive.
    pub(crate) fn paths(&self, layer_indexes: &[usize]) -> Result<Vec<(usize, &str)>> {
        let mut paths: Vec<(usize, &str)> = Vec::new();
        for layer_index in layer_indexes {
            let layer = &self.layers[*layer_index];
            let Some(path) = &layer.path else {
                let error = Error::new(
                    Kind::Failed,
                    format!("the layer {} is missing", layer.diff_id.0),
                );
                return Err(match &layer.url {
                    Some(url) => error.caused_by(format!(
                        "it is a foreign layer, to be had from {} only",
                        url.escape_debug()
                    )),
                    None => error.caused_by("neither the archive nor the node has it"),
                });
            };
            if !paths.iter().any(|(_, other)| other == path) {
                paths.push((*layer_index, path));
            }
        }
        Ok(paths)
    }
}
