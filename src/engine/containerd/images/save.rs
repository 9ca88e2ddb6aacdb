//! An image of a node as an archive, as `docker save` writes one: an OCI layout in a tar.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::content::Content;
use super::{ClusterImages, LARGEST_DOCUMENT};
use crate::error::{Error, Result};
use crate::image::archive;
use crate::image::digest::Digest;
use crate::image::oci;
use crate::image::stored::Wanted;

/// A part of the archive.
enum Part {
    Made(Bytes),
    Blob(String),
}

impl ClusterImages {
    /// The archive of an image, as it comes, with those layers that `wanted` says.
    pub(in crate::engine) fn save(
        &self,
        name: &str,
        wanted: Wanted,
    ) -> BoxStream<'static, Result<Bytes>> {
        let (images, name) = (self.clone(), name.to_owned());
        let parts = async move {
            let content = images.content();
            let parts = images.parts(&name, &wanted, &content).await?;
            let bytes = stream::iter(parts).then(move |part| {
                let content = content.clone();
                async move {
                    Ok::<_, Error>(match part {
                        Part::Made(bytes) => stream::iter([Ok(bytes)]).left_stream(),
                        Part::Blob(digest) => content.stream(&digest).await?.right_stream(),
                    })
                }
            });
            Ok::<_, Error>(bytes.try_flatten())
        };
        stream::once(parts).try_flatten().boxed()
    }

    /// The parts of an image's archive, in order.
    ///
    /// # Errors
    /// When the node has thrown the blob of a layer away that is wanted: out of its snapshot other bytes would come.
    async fn parts(&self, name: &str, wanted: &Wanted, content: &Content) -> Result<Vec<Part>> {
        let documents = self.documents(self.target(name).await?).await?;
        let mut parts = Vec::new();
        let mut layers: Vec<String> = Vec::new();
        let listed = documents.manifest.layers().into_iter().flatten();
        let listed = listed.map(|layer| (layer.digest().to_owned(), layer.size()));
        for (place, (blob, size)) in listed.enumerate() {
            let digest = Digest::parse(&blob)
                .ok_or_else(|| Error::failed(format!("`{blob}` is no digest")))?;
            let path = digest.blob_path();
            if wanted.contains(place) && !layers.contains(&path) {
                if content.info(&blob).await?.is_none() {
                    return Err(thrown_away(&blob));
                }
                let (header, padding) = archive::file_header(&path, size)
                    .ok_or_else(|| Error::failed("a layer's name fits no archive"))?;
                parts.extend([
                    Part::Made(header.into()),
                    Part::Blob(blob),
                    Part::Made(vec![0; padding].into()),
                ]);
            }
            layers.push(path);
        }
        let config = document(content, &documents.config_digest).await?;
        let manifest = &documents.manifest_bytes;
        let config_path = Digest::of(&config).blob_path();
        let tag = (name, "latest");
        let list = oci::archive_manifest(&config_path, None, &layers);
        for (path, bytes) in [
            (config_path.as_str(), &config[..]),
            (&Digest::of(manifest).blob_path(), &manifest[..]),
            ("oci-layout", oci::LAYOUT),
            ("index.json", &oci::index_of_one(manifest, tag)),
            ("manifest.json", &list),
        ] {
            parts.push(Part::Made(archive::small_file(path, bytes).into()));
        }
        parts.push(Part::Made(archive::end().into()));
        Ok(parts)
    }
}

async fn document(content: &Content, digest: &str) -> Result<Bytes> {
    let found = content.document(digest, LARGEST_DOCUMENT).await?;
    found.ok_or_else(|| Error::not_found(format!("a document of the image is gone: {digest}")))
}

/// The error of an image that runs, and no more.
fn thrown_away(blob: &str) -> Error {
    Error::failed("the node has not kept all of the image")
        .caused_by(format!(
            "the node has thrown its layer {blob} away once it was unpacked"
        ))
        .hint("`devnet load --whole` brings an image with what is needed to send it on")
}
