//! The images of a containerd node's cluster, which its kubelet starts pods from. containerd's own
//! services hold them; CRI says what a kubelet sees of them.

mod built;
mod content;
mod inventory;
mod lease;
pub(in crate::engine) mod messages;
mod names;
mod receive;
mod save;
mod snapshots;
mod spelling;
mod unpacker;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::OnceCell;

use self::content::{Content, keep};
use self::lease::Leases;
use self::messages::Descriptor;
use self::names::ImageNames;
use self::receive::Arrival;
use self::snapshots::Snapshots;
use crate::engine::containerd::Containerd;
use crate::engine::cri::messages::Image;
use crate::error::{Error, Kind, Result};
use crate::image::digest::{ChainId, DiffId, Digest, chain_ids};
use crate::image::oci;
use crate::image::platform::Platform;
use crate::image::reference::{self, TRANSFER_TAG, canonical, is_given, transfer_token};
use crate::image::stored::StoredImage;

/// The largest manifest or configuration that is read, in bytes.
const LARGEST_DOCUMENT: usize = 4 << 20;
/// The number of questions in flight at once.
const IN_FLIGHT: usize = 16;
/// The time after which CRI must have heard of a name.
const HEARD: Duration = Duration::from_secs(5);
/// The first pause between two questions whether it has; each next one is twice as long.
const ASKED: Duration = Duration::from_millis(5);

/// The images of one node's cluster. Copies share its connection, and what has arrived over it.
#[derive(Clone, Debug)]
pub(crate) struct ClusterImages {
    containerd: Box<Containerd>,
    snapshotter: Arc<OnceCell<Arc<str>>>,
    /// The name of the image that every sandbox needs, where CRI tells of it.
    sandbox_image: Arc<OnceCell<Option<String>>>,
    /// Images that were brought and have no name yet: a lease keeps each. By their transfer's token.
    arrived: Arc<Mutex<HashMap<String, Arrival>>>,
    /// The IDs that CRI knew before the last build, if there was one.
    ids_before: Arc<Mutex<Option<BTreeSet<String>>>>,
}

/// An image's documents in the content store.
struct Documents {
    target: Descriptor,
    manifest: oci::Manifest,
    manifest_bytes: Bytes,
    config: oci::Config,
    config_digest: String,
}

impl ClusterImages {
    pub(in crate::engine) fn new(containerd: &Containerd) -> Self {
        Self {
            containerd: Box::new(containerd.clone()),
            snapshotter: Arc::default(),
            sandbox_image: Arc::default(),
            arrived: Arc::default(),
            ids_before: Arc::default(),
        }
    }

    /// One image by name or ID.
    ///
    /// # Errors
    /// Not found when the node does not have it.
    pub(in crate::engine) async fn image(&self, name: &str) -> Result<StoredImage> {
        if let Some(arrival) = self.arrival(name) {
            return Ok(arrival.image);
        }
        self.stored(self.target(name).await?).await
    }

    /// The image with a manifest or an index.
    ///
    /// # Errors
    /// Not found when one of its documents is gone.
    async fn stored(&self, target: Descriptor) -> Result<StoredImage> {
        let documents = self.documents(target).await?;
        let seen = self.containerd.node.cri.image(&documents.config_digest);
        let layers = documents.diff_ids();
        let (seen, whole) = futures_util::try_join!(seen, self.unpacked(&layers))?;
        let seen = seen.unwrap_or_default();
        Ok(StoredImage {
            id: documents.config_digest,
            layers: layers.into_iter().take(whole).collect(),
            size: seen.size,
            tags: given(&seen),
        })
    }

    /// The ID of what a name stands for, as CRI has it.
    ///
    /// # Errors
    /// Not found when the node does not have it.
    pub(in crate::engine) async fn id(&self, name: &str) -> Result<String> {
        let seen = self.containerd.node.cri.image(&canonical(name)).await?;
        let absent = || Error::not_found(format!("the node has no image `{name}`"));
        seen.map(|seen| seen.id).ok_or_else(absent)
    }

    /// The image with a digest: that of its configuration, which is its ID here, or that of its manifest,
    /// which is its ID in an engine with containerd's store.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(in crate::engine) async fn known(&self, digest: &str) -> Result<Option<StoredImage>> {
        let absent = |error: Error| match error.kind() {
            Kind::NotFound => Ok(None),
            _ => Err(error),
        };
        match self.image(digest).await {
            Ok(image) if image.id == digest => return Ok(Some(image)),
            Ok(_another) => {}
            Err(error) => {
                absent(error)?;
            }
        }
        let Some(bytes) = self.content().document(digest, LARGEST_DOCUMENT).await? else {
            return Ok(None);
        };
        let id = match oci::Target::read(&bytes) {
            Ok(oci::Target::Manifest(manifest)) => manifest.config().digest().to_owned(),
            Ok(oci::Target::Index(_)) | Err(_) => return Ok(None),
        };
        // its documents may be left while the image is gone
        match self.image(&id).await {
            Ok(image) => Ok(Some(image).filter(|image| image.id == id)),
            Err(error) => absent(error),
        }
    }

    /// The platform that an image is for.
    pub(in crate::engine) async fn image_platform(&self, name: &str) -> Result<Platform> {
        let target = self.target(name).await?;
        Ok(self.documents(target).await?.config.platform())
    }

    /// The platform that the node runs.
    pub(in crate::engine) async fn platform(&self) -> Result<Platform> {
        Ok(Platform {
            os: "linux".into(),
            architecture: self.containerd.node.architecture().await?,
            variant: String::new(),
        })
    }

    /// The IDs and names of all images.
    pub(in crate::engine) async fn image_names(&self) -> Result<Vec<(String, Vec<String>)>> {
        let images = self.containerd.node.cri.images().await?.into_iter();
        Ok(images
            .map(|image| (image.id.clone(), given(&image)))
            .collect())
    }

    /// Those of an image's layers that are there, each on the layers below it.
    pub(in crate::engine) async fn present(&self, layers: &[DiffId]) -> Result<HashSet<ChainId>> {
        let whole = self.unpacked(layers).await?;
        Ok(chain_ids(layers).into_iter().take(whole).collect())
    }

    /// The layers of each image, as far as they are unpacked.
    pub(in crate::engine) async fn stacks(&self) -> Result<Vec<Vec<DiffId>>> {
        let snapshots = self.snapshots().await?;
        let (images, unpacked) =
            futures_util::try_join!(self.containerd.node.cri.images(), snapshots.all())?;
        let unpacked: HashSet<String> = unpacked.into_iter().map(|info| info.name).collect();
        let stacks = stream::iter(images)
            .map(|image| async move {
                let target = self.target(&image.id).await?;
                Ok::<_, Error>(self.documents(target).await?.diff_ids())
            })
            .buffer_unordered(IN_FLIGHT);
        let mut all = Vec::new();
        let mut stacks = Box::pin(stacks);
        while let Some(layers) = stacks.next().await {
            match layers {
                Ok(layers) => {
                    let chain = chain_ids(&layers);
                    let there = chain.iter().take_while(|id| unpacked.contains(id.as_str()));
                    let count = there.count();
                    all.push(layers.into_iter().take(count).collect());
                }
                // removed in between, or no image of this platform
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// True where the blobs of all of an image's layers are there, and kept there: those that nothing
    /// keeps may be thrown away at any moment.
    pub(in crate::engine) async fn is_whole(&self, name: &str) -> Result<bool> {
        let documents = self.documents(self.target(name).await?).await?;
        let content = &self.content();
        let manifest = Digest::of(&documents.manifest_bytes);
        let Some(manifest) = content.info(manifest.as_str()).await? else {
            return Ok(false);
        };
        let layers = documents.manifest.layers().into_iter().flatten();
        let layers: Vec<String> = layers.map(|layer| layer.digest().to_owned()).collect();
        if !layers.iter().all(|layer| keep(&manifest.labels, layer)) {
            return Ok(false);
        }
        let asked = stream::iter(&layers).map(|digest| content.is_readable(digest));
        let blobs: Vec<bool> = asked.buffered(IN_FLIGHT).collect().await;
        Ok(blobs.iter().all(|readable| *readable))
    }

    /// The sizes of an image's layers, the base first, as its manifest tells them.
    pub(in crate::engine) async fn layer_sizes(&self, image: &StoredImage) -> Option<Vec<u64>> {
        let blobs = self.layer_blobs(image).await?;
        Some(blobs.into_iter().map(|(_, size)| size).collect())
    }

    /// The blobs of an image's layers with their sizes, the base first.
    pub(in crate::engine) async fn layer_blobs(
        &self,
        image: &StoredImage,
    ) -> Option<Vec<(String, u64)>> {
        let target = self.target(&image.id).await.ok()?;
        let documents = self.documents(target).await.ok()?;
        let layers = documents.manifest.layers()?;
        let blobs: Vec<(String, u64)> = layers
            .map(|layer| (layer.digest().to_owned(), layer.size()))
            .collect();
        (blobs.len() == image.layers.len()).then_some(blobs)
    }

    /// Gives an image one more name, in full, and waits until CRI has heard of it.
    ///
    /// # Errors
    /// Not found when the image is not there; when CRI does not take it.
    pub(in crate::engine) async fn tag(
        &self,
        image: &str,
        repository: &str,
        tag: &str,
    ) -> Result<()> {
        let (target, id) = if let Some(arrival) = self.arrival(image) {
            (arrival.target, arrival.image.id)
        } else {
            let documents = self.documents(self.target(image).await?).await?;
            (documents.target, documents.config_digest)
        };
        let name = canonical(&format!("{repository}:{tag}"));
        self.give_name(&name, target, &id).await
    }

    /// True where containerd has a name as it stands here: CRI tells names in full that are not.
    pub(in crate::engine) async fn is_name(&self, name: &str) -> Result<bool> {
        Ok(self.names().get(name).await?.is_some())
    }

    /// Gives a manifest a whole name, and waits until CRI has heard of it.
    async fn give_name(&self, name: &str, target: Descriptor, id: &str) -> Result<()> {
        self.names().put(name, target).await?;
        self.heard(name, id).await
    }

    /// Takes a name away; it may be gone already. What has arrived under a transfer's name goes.
    pub(in crate::engine) async fn untag(&self, name: &str) -> Result<()> {
        let Some(token) = transfer_token(name) else {
            // one that another tool gave may not be in full
            let names = self.names();
            let given = names.get(name).await?.map(|named| named.name);
            let whole = given.unwrap_or_else(|| canonical(name));
            return names.remove(&whole).await;
        };
        self.arrivals().remove(token);
        Leases::new(self.containerd.grpc.clone()).end(token).await?;
        Box::pin(self.forget_built(name)).await
    }

    /// The names of transfers whose leases have not ended, and those of builds.
    pub(in crate::engine) async fn transfers(&self) -> Result<Vec<String>> {
        let leases = Leases::new(self.containerd.grpc.clone());
        let (tokens, builds) = futures_util::try_join!(leases.tokens(), self.builds())?;
        let name = |token: String| format!("{}:{TRANSFER_TAG}", reference::transfer(&token));
        Ok(tokens.into_iter().map(name).chain(builds).collect())
    }

    /// Waits until CRI knows a name: it hears of it by an event. Another build or load may have given it to
    /// an image of its own meanwhile: then it is that one of which CRI is to have heard.
    async fn heard(&self, name: &str, id: &str) -> Result<()> {
        let heard = async {
            let mut pause = ASKED;
            loop {
                let seen = self.containerd.node.cri.image(name).await?;
                if let Some(seen) = seen
                    && (seen.id == id || self.stands_for(name, &seen.id).await)
                {
                    return Ok(());
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        };
        tokio::time::timeout(HEARD, heard)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(
                    Error::failed(format!("the node's CRI does not know `{name}`"))
                        .caused_by(format!(
                            "containerd has the name, and CRI had not heard of it {} s later",
                            HEARD.as_secs()
                        ))
                        .hint("`devnet load` it again"),
                )
            })
    }

    /// True where containerd's name is that of this image now.
    async fn stands_for(&self, name: &str, id: &str) -> bool {
        let documents = async { self.documents(self.target(name).await?).await };
        documents
            .await
            .is_ok_and(|documents| documents.config_digest == id)
    }

    /// The number of an image's layers that are unpacked, from the base on.
    async fn unpacked(&self, layers: &[DiffId]) -> Result<usize> {
        let snapshots = self.snapshots().await?;
        let chain = chain_ids(layers);
        // a layer can't be there without those below it
        let asked = stream::iter(&chain).map(|id| snapshots.has(id));
        let there: Vec<bool> = asked.buffered(IN_FLIGHT).try_collect().await?;
        Ok(there.iter().take_while(|there| **there).count())
    }

    /// The manifest or index that a name or an ID stands for.
    ///
    /// # Errors
    /// Not found when there is none.
    async fn target(&self, name: &str) -> Result<Descriptor> {
        let whole = canonical(name);
        let whole = if name.starts_with("sha256:") {
            name
        } else {
            &whole
        };
        let named = self.names().get(whole).await?;
        match named.and_then(|named| named.target) {
            Some(target) => Ok(target),
            None => self.target_by_id(name).await,
        }
    }

    /// The same for a part of an ID, or a name that CRI knows in another form.
    async fn target_by_id(&self, name: &str) -> Result<Descriptor> {
        let absent = || Error::not_found(format!("the node has no image `{name}`"));
        let seen = self
            .containerd
            .node
            .cri
            .image(name)
            .await?
            .ok_or_else(absent)?;
        let names = [seen.repo_tags, seen.repo_digests, vec![seen.id]].concat();
        for name in names {
            let named = self.names().get(&name).await?;
            if let Some(target) = named.and_then(|named| named.target) {
                return Ok(target);
            }
        }
        Err(absent())
    }

    /// The documents of an image for the node's platform.
    ///
    /// # Errors
    /// Not found when one is not there.
    async fn documents(&self, target: Descriptor) -> Result<Documents> {
        let content = self.content();
        let read = async |digest: &str| {
            let bytes = content.document(digest, LARGEST_DOCUMENT).await?;
            bytes.ok_or_else(|| {
                Error::not_found(format!("a document of the image is gone: {digest}"))
            })
        };
        let broken = |error: serde_json::Error| {
            Error::failed("a document of the image can't be read").caused_by(error)
        };
        let mut bytes = read(&target.digest).await?;
        if let oci::Target::Index(index) = oci::Target::read(&bytes).map_err(broken)? {
            let own = self.platform().await?;
            let chosen = index
                .manifests()
                .into_iter()
                .flatten()
                .filter(|listed| !listed.is_attestation())
                .filter_map(|listed| Some((listed.for_platform()?.serves(&own)?, listed)))
                .max_by_key(|(fit, _)| *fit);
            let (_, chosen) = chosen
                .ok_or_else(|| Error::not_found(format!("the image is not there for {own}")))?;
            bytes = read(chosen.digest()).await?;
        }
        let manifest = oci::Manifest::read(&bytes).map_err(broken)?;
        let config_digest = manifest.config().digest().to_owned();
        let config = oci::Config::read(&read(&config_digest).await?).map_err(broken)?;
        Ok(Documents {
            target,
            manifest,
            manifest_bytes: bytes,
            config,
            config_digest,
        })
    }

    fn content(&self) -> Content {
        Content::new(self.containerd.grpc.clone())
    }

    fn names(&self) -> ImageNames {
        ImageNames::new(self.containerd.grpc.clone())
    }

    async fn snapshots(&self) -> Result<Snapshots> {
        let snapshotter = self.snapshotter.get_or_try_init(|| self.ask_snapshotter());
        Ok(Snapshots::new(
            self.containerd.grpc.clone(),
            snapshotter.await?.clone(),
        ))
    }

    /// The snapshotter that CRI uses, by the folder in which it says that it keeps images.
    async fn ask_snapshotter(&self) -> Result<Arc<str>> {
        let folders = self.containerd.node.cri.image_folders().await?;
        let named = folders.iter().find_map(|folder| {
            let name = folder.trim_end_matches('/').rsplit('/').next()?;
            name.rsplit_once("snapshotter.v1.").map(|(_, name)| name)
        });
        Ok(named.unwrap_or("overlayfs").into())
    }

    fn arrival(&self, name: &str) -> Option<Arrival> {
        self.arrivals().get(transfer_token(name)?).cloned()
    }

    fn arrivals(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arrival>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Documents {
    fn diff_ids(&self) -> Vec<DiffId> {
        let ids = self.config.diff_ids().into_iter();
        ids.map(|id| DiffId(id.to_owned())).collect()
    }
}

/// The names that people gave an image.
fn given(image: &Image) -> Vec<String> {
    let names = image.repo_tags.iter().filter(|name| is_given(name));
    names.cloned().collect()
}
