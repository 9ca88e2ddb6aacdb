//! The receipt of an image: an archive is taken apart as it comes, its layers go to the node's content
//! store and from there to its snapshotter. The image has no name until all of it is there.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};

use super::ClusterImages;
use super::content::{BlobWriter, Content, Labels, Written};
use super::lease::{self, Leases};
use super::messages::Descriptor;
use super::snapshots::Snapshots;
use super::unpacker::Unpacker;
use crate::context::files::Files;
use crate::error::{Error, Result};
use crate::image::archive::Entry;
use crate::image::archive_image::{ArchiveLayer, PlatformImage};
use crate::image::archive_pieces::{ArchivePiece, ArchivePieces};
use crate::image::catalog;
use crate::image::digest::{ChainId, DiffId, Digest};
use crate::image::oci;
use crate::image::packing::Packing;
use crate::image::platform::Platform;
use crate::image::reference::transfer_token;
use crate::image::stored::{Incoming, Keep, StoredImage};
use crate::image::walk::{FIRST, Walked};

/// The name of what is received, in messages.
const ARCHIVE: &str = "what was sent to the node";
/// The labels by which containerd keeps what an image needs: its configuration, its layers.
const KEEPS_CONFIG: &str = "containerd.io/gc.ref.content.config";
const KEEPS_LAYER: &str = "containerd.io/gc.ref.content.l.";
const KEEPS_SNAPSHOT: &str = "containerd.io/gc.ref.snapshot.";

/// An image that is whole on the node, and has no name yet.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) image: StoredImage,
    pub(super) target: Descriptor,
}

impl ClusterImages {
    /// Receives the image of an archive under the name of a transfer: that is no name on the node,
    /// where a lease keeps the image until `untag` ends it.
    ///
    /// # Errors
    /// The node's refusal; a layer that is neither there nor in the archive.
    pub(in crate::engine) async fn load<S>(
        &self,
        transfer: &str,
        incoming: Incoming<'_>,
        archive: S,
    ) -> Result<()>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let token = transfer_token(transfer)
            .ok_or_else(|| Error::failed(format!("`{transfer}` is the name of no transfer")))?;
        let leases = Leases::new(self.containerd.grpc.clone());
        leases.begin(token).await?;
        leases.sweep().await?;
        let leased = self.containerd.grpc.under_lease(&lease::name(token));
        let leased = leased.ok_or_else(|| Error::failed("a lease can't have this name"))?;
        let snapshotter = self.snapshots().await?.snapshotter().into();
        let mut receipt = Receipt {
            images: self,
            content: Content::new(leased.clone()),
            snapshots: Snapshots::new(leased, snapshotter),
            word: format!("devnet-{token}"),
            begun: 0,
            keep: incoming.keep,
            walked: Walked::default(),
            written: HashMap::new(),
            unpacker: None,
        };
        if let Some(layers) = incoming.layers {
            receipt.expect(layers.to_vec()).await?;
        }
        let arrival = match receipt.run(archive).await {
            Ok(arrival) => arrival,
            Err(error) => return Err(leases.explained(token, error).await),
        };
        self.arrivals().insert(token.to_owned(), arrival);
        Ok(())
    }
}

/// An archive that is being received.
struct Receipt<'a> {
    images: &'a ClusterImages,
    content: Content,
    snapshots: Snapshots,
    /// A word for names that nothing on the node has, and the number of those.
    word: String,
    begun: usize,
    keep: Keep,
    walked: Walked,
    /// The blobs that were written, by their path in the archive.
    written: HashMap<String, Written>,
    /// Begun as soon as the image's layers are known.
    unpacker: Option<Unpacker>,
}

/// A file of the archive on its way.
struct Current {
    entry: Entry,
    /// Its path without detours; `None` where nobody can ask for it.
    path: Option<String>,
    first: Vec<u8>,
    to: Destination,
}

enum Destination {
    Undecided,
    Memory(Vec<u8>),
    Node(BlobWriter, Option<Box<Sha256>>),
}

impl Receipt<'_> {
    async fn run<S>(mut self, archive: S) -> Result<Arrival>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let broken = |why: String| Error::failed(format!("{ARCHIVE} is broken")).caused_by(why);
        let mut archive = Box::pin(archive);
        let mut pieces = ArchivePieces::default();
        let mut current = None;
        while let Some(bytes) = archive.next().await {
            let bytes = bytes.map_err(|error| broken(error.to_string()))?;
            let mut taken = Vec::new();
            pieces
                .take(bytes, &mut |piece| taken.push(piece))
                .map_err(|why| broken(why.to_owned()))?;
            for piece in taken {
                match piece {
                    ArchivePiece::Begin(entry) => {
                        let path = self.walked.note(&entry, 0).map_err(broken)?;
                        current = Some(Current {
                            entry,
                            path,
                            first: Vec::new(),
                            to: Destination::Undecided,
                        });
                    }
                    ArchivePiece::Content(bytes) => {
                        if let Some(current) = &mut current {
                            self.more(current, bytes).await.map_err(broken)?;
                        }
                    }
                    ArchivePiece::End => {
                        if let Some(current) = current.take() {
                            self.end(current).await?;
                        }
                    }
                }
            }
        }
        if !pieces.is_whole() {
            return Err(broken("it breaks off".into()));
        }
        self.put_together().await
    }

    /// Takes more of the file that is on its way.
    async fn more(&mut self, current: &mut Current, mut bytes: Bytes) -> Result<(), String> {
        let Some(path) = &current.path else {
            return Ok(());
        };
        if matches!(current.to, Destination::Undecided) {
            let enough = usize::try_from(current.entry.size)
                .unwrap_or(FIRST)
                .min(FIRST);
            current.first.extend_from_slice(&bytes);
            if current.first.len() < enough {
                return Ok(());
            }
            bytes = std::mem::take(&mut current.first).into();
            current.to = if self.walked.may_hold(path, current.entry.size, bytes[0]) {
                Destination::Memory(Vec::new())
            } else {
                self.walked.passed_on(path)?;
                let packing = Packing::of(&bytes[..enough]);
                self.walked.packed(path.clone(), packing)?;
                let named = path.strip_prefix("blobs/sha256/");
                let named = named.and_then(|hex| Digest::parse(&format!("sha256:{hex}")));
                let hash = named.is_none().then(Box::default);
                let expected = named.map_or_else(String::new, |digest| digest.as_str().to_owned());
                if !expected.is_empty() {
                    let healed = self.content.heal(&expected).await;
                    healed.map_err(|error| error.in_one_line())?;
                }
                let name = self.name();
                Destination::Node(self.content.writer(name, expected), hash)
            };
        }
        match &mut current.to {
            Destination::Memory(held) => held.extend_from_slice(&bytes),
            Destination::Node(writer, hash) => {
                if let Some(hash) = hash {
                    hash.update(&bytes);
                }
                writer.write(bytes).await;
            }
            Destination::Undecided => {}
        }
        Ok(())
    }

    /// Ends the file that is on its way.
    async fn end(&mut self, current: Current) -> Result<()> {
        let Some(path) = current.path else {
            return Ok(());
        };
        match current.to {
            Destination::Memory(held) => {
                let too_many = |why| Error::failed(format!("{ARCHIVE} is broken")).caused_by(why);
                self.walked.hold(path, held).map_err(too_many)?;
            }
            Destination::Node(writer, hash) => {
                let mut written = writer.commit(Labels::new()).await?;
                if let Some(hash) = hash {
                    let digest = Digest::from_hash(&hash.finalize());
                    digest.as_str().clone_into(&mut written.digest);
                }
                if written.was_there && !self.content.is_readable(&written.digest).await {
                    self.content.remove(&written.digest).await?;
                    return Err(
                        Error::failed("the node's store had lost a blob that it lists")
                            .caused_by(written.digest),
                    );
                }
                if let Some(unpacker) = &mut self.unpacker {
                    let size = u64::try_from(written.size).unwrap_or(0);
                    unpacker.plain(&layer_blob("", &written.digest, size));
                }
                self.written.insert(path, written);
            }
            Destination::Undecided => {}
        }
        Ok(())
    }

    /// Begins to unpack: these are the image's layers.
    async fn expect(&mut self, layers: Vec<DiffId>) -> Result<()> {
        let unpacker = Unpacker::begin(&self.snapshots, layers, self.word.clone()).await?;
        self.unpacker = Some(unpacker);
        Ok(())
    }

    /// Makes the image of what has come: its layers are unpacked, its documents written.
    async fn put_together(mut self) -> Result<Arrival> {
        let walked = std::mem::take(&mut self.walked);
        let files = Files::passed(ARCHIVE, walked);
        let own = self.images.platform().await?;
        let images = catalog::read(&files)?;
        let [image] = images.as_slice() else {
            return Err(Error::failed(format!("{ARCHIVE} holds several images")));
        };
        let mut image = image.pick(&own, false)?.clone();
        if image.platform.serves(&own).is_none() {
            return Err(other_platform(&image.platform, &own));
        }
        let layers: Vec<DiffId> = image
            .layers
            .iter()
            .map(|layer| layer.diff_id.clone())
            .collect();
        if self
            .unpacker
            .as_ref()
            .is_none_or(|unpacker| unpacker.layers() != layers)
        {
            self.expect(layers.clone()).await?;
        }
        self.hold_layers(&files, &mut image).await?;
        let target = self.make(&mut image).await?;
        Ok(Arrival {
            image: StoredImage {
                id: image.config_id().to_owned(),
                size: image.layers.iter().map(|layer| layer.size).sum(),
                layers,
                tags: Vec::new(),
            },
            target,
        })
    }

    /// Tells each layer's blob where it came; one that was taken for a document is written now.
    async fn hold_layers(&mut self, files: &Files, image: &mut PlatformImage) -> Result<()> {
        for layer in &mut image.layers {
            let Some(path) = &layer.path else { continue };
            if !self.written.contains_key(path) {
                let bytes: Bytes = match files.small(path)? {
                    Some(held) => Bytes::copy_from_slice(&held),
                    None => continue,
                };
                let digest = Digest::of(&bytes).as_str().to_owned();
                let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                let name = self.name();
                self.content
                    .write(name, &digest, bytes, Labels::new())
                    .await?;
                let written = Written {
                    digest,
                    size,
                    was_there: false,
                };
                self.written.insert(path.clone(), written);
            }
            if let Some(written) = self.written.get(path) {
                layer.blob = Digest::parse(&written.digest);
                // a manifest's own word on it is not read
                layer.packing = files.packing(path)?;
                layer.size = u64::try_from(written.size).unwrap_or(0);
            }
        }
        Ok(())
    }

    /// Unpacks what is not unpacked yet, and writes the documents meanwhile; gives the manifest's.
    async fn make(&mut self, image: &mut PlatformImage) -> Result<Descriptor> {
        let Some(mut unpacker) = self.unpacker.take() else {
            return Err(Error::failed("the image's layers are not known"));
        };
        for place in unpacker.missing() {
            let layer = &image.layers[place];
            let came = layer.path.as_ref().and_then(|path| self.written.get(path));
            if let Some(written) = came {
                let blob = layer_blob(packed(layer)?, &written.digest, layer.size);
                unpacker.came(place, blob);
            }
        }
        if image.manifest.is_none() {
            for (layer, id) in image.layers.iter_mut().zip(unpacker.chain()) {
                if layer.path.is_none() {
                    layer.size = self.snapshots.usage(id).await?.unwrap_or(0);
                }
            }
        }
        image.make_manifest();
        let top = unpacker.chain().last().cloned();
        let documents = self.write_documents(image, top.as_ref());
        let ((), target) = futures_util::try_join!(unpacker.finish(), documents)?;
        Ok(target)
    }

    /// Writes the configuration and the manifest, each with what it needs; gives the manifest's.
    async fn write_documents(
        &mut self,
        image: &PlatformImage,
        top: Option<&ChainId>,
    ) -> Result<Descriptor> {
        let Some(manifest) = &image.manifest else {
            return Err(Error::failed("the image's layers can't be told apart"));
        };
        let config = image.config.digest.as_str();
        let mut keeps = Labels::new();
        if let Some(top) = top {
            let label = format!("{KEEPS_SNAPSHOT}{}", self.snapshots.snapshotter());
            keeps.insert(label, top.as_str().to_owned());
        }
        let bytes = Bytes::copy_from_slice(&image.config.bytes);
        let (first, second) = (self.name(), self.name());
        let configuration = self.content.write(first, config, bytes, keeps);
        let mut keeps = Labels::from([(KEEPS_CONFIG.to_owned(), config.to_owned())]);
        if self.keep == Keep::Whole {
            for (place, layer) in image.layers.iter().enumerate() {
                let blob = layer.blob.as_ref().map(Digest::as_str).unwrap_or_default();
                keeps.insert(format!("{KEEPS_LAYER}{place}"), blob.to_owned());
            }
        }
        let bytes = Bytes::copy_from_slice(&manifest.bytes);
        let target = descriptor(&oci::Descriptor::target(&bytes));
        let manifest = self.content.write(second, &target.digest, bytes, keeps);
        futures_util::try_join!(configuration, manifest)?;
        Ok(target)
    }

    /// A name that nothing on the node has.
    fn name(&mut self) -> String {
        self.begun += 1;
        format!("{}-{}", self.word, self.begun)
    }
}

/// The error of an image from which the node starts no pod.
pub(super) fn other_platform(image: &Platform, own: &Platform) -> Error {
    Error::failed(format!("the image is for {image}, and the node runs {own}"))
        .caused_by("its CRI takes no image for another platform")
        .hint(format!(
            "build it with `--platform {own}`, or load that one of an image for several platforms"
        ))
}

/// The ending of a layer's type that says how it is packed.
///
/// # Errors
/// When containerd unpacks none such.
fn packed(layer: &ArchiveLayer) -> Result<&'static str> {
    match layer.packing {
        Packing::Plain => Ok(""),
        Packing::Gzip => Ok("+gzip"),
        Packing::Zstd => Ok("+zstd"),
        Packing::Bzip2 | Packing::Xz | Packing::Foreign(_) => Err(Error::failed(
            "a layer is packed as containerd unpacks none",
        )
        .caused_by(layer.diff_id.0.clone())
        .hint(
            "`docker load` it into this computer's engine, and `devnet load` the image from there",
        )),
    }
}

fn layer_blob(packed: &str, digest: &str, size: u64) -> Descriptor {
    descriptor(&oci::Descriptor::layer(packed, digest, size))
}

fn descriptor(written: &oci::Descriptor) -> Descriptor {
    let (media_type, digest, size) = written.parts();
    Descriptor {
        media_type: media_type.to_owned(),
        digest: digest.to_owned(),
        size: i64::try_from(size).unwrap_or(i64::MAX),
        ..Descriptor::default()
    }
}
