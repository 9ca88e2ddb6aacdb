//! Bringing an image from one engine to several others, each of which gets only the layers it
//! lacks. Nothing is written to disk on the way.
//!
//! Layers leave a source with overlay2 straight from its store (`transfer_store.rs`); others push
//! small changes to a registry of our own on loopback (`registry.rs`, `transfer_pushed.rs`) and stream large ones as the
//! archive that `docker save` makes. A node loads under a name of ours; the real name moves only
//! after the layers there have been compared.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::engine::Engine;
use crate::engine::layer_store::LayerStore;
use crate::error::{Error, Result};
use crate::host::owner::SignedToken;
use crate::image::archive;
use crate::image::digest::{DiffId, Digest};
use crate::image::reference::{self, TRANSFER_TAG};
use crate::image::repack::{Piece, Repack};
use crate::image::stored::{Incoming, StoredImage, Wanted};
use crate::load::delivery::{Delivery, Needs, Sent, settle};
use crate::load::registry::Registry;
use crate::load::transfer_pushed::Pushed;
use crate::load::uploads::{FanOut, NodeUpload, watched};

/// The most bytes that a registry holds in memory; more goes through the engine's own archive.
const SMALL: u64 = 32 << 20;
/// Pieces that wait for a node that is slower than the source.
const WAITING: usize = 32;

/// The blobs that an engine pushed before: the layer inside and its packed size. Kept between runs,
/// so that the engine need not pack a layer again that no node lacks.
pub(crate) type BlobCache = HashMap<String, (String, u64)>;

/// One image on its way.
#[derive(Debug)]
pub(crate) struct Transfer<'a> {
    pub(crate) source: &'a Engine,
    pub(crate) image: StoredImage,
    /// The name by which the source was asked for it; messages say it.
    pub(crate) name: String,
    /// A word of this transfer alone; part of the names that it uses.
    pub(crate) token: SignedToken,
    /// True where the source can reach this computer's loopback.
    pub(crate) shares_loopback: bool,
    /// The things that stand in the source until they are taken away.
    pub(crate) leftovers: Mutex<SourceLeftovers>,
}

/// The things that a transfer has made in its source, and its knowledge of that source.
#[derive(Debug, Default)]
pub(crate) struct SourceLeftovers {
    /// The name that stands there while it pushes.
    pushed: Option<String>,
    /// The container through which its store is read.
    pub(super) reader: Option<String>,
    /// Its store was read, and a node did not take what came out.
    pub(super) distrusted: bool,
    /// The digest of the image's configuration, once the source has told of it.
    configuration: Option<String>,
    /// The place of its layers in the source, once that was asked.
    pub(super) store: Option<LayerStore>,
}

impl Transfer<'_> {
    /// The name under which nodes get the image at first.
    pub(crate) fn transfer_name(&self) -> String {
        format!("{}:{TRANSFER_TAG}", self.repository())
    }

    pub(super) fn repository(&self) -> String {
        reference::transfer(self.token.as_str())
    }

    /// Asks the source already what is needed if a node lacks anything.
    pub(crate) async fn prepare(&self) {
        // one that does not answer says so once it is needed
        if let Ok(store) = self.source.images.layer_store(&self.image.id).await {
            self.leftovers().store = store;
        }
    }

    /// Brings the image to the nodes and compares what arrived. One outcome for each node, in order.
    /// Each gets `names` as soon as it is whole there, whatever the others do.
    pub(crate) async fn run(&self, to: Delivery<'_>, blobs: &mut BlobCache) -> Vec<Sent> {
        let mut wanted: HashSet<usize> = HashSet::new();
        for node in to.nodes {
            wanted.extend(&node.missing);
        }
        // a store that can't be read is no failure: there are other ways
        if let Ok(Some(sent)) = Box::pin(self.send_stored(to, blobs)).await {
            return sent;
        }
        // taking our name away again would remove an image that has no other
        if self.source.is_docker()
            && self.shares_loopback
            && !self.image.tags.is_empty()
            && self.is_small(&wanted).await
            && let Ok(pushed) = self.push(&wanted, blobs).await
        {
            return self.send_pushed(&pushed, to).await;
        }
        Box::pin(self.send_saved(to, blobs)).await
    }

    /// Takes away what still stands in the source.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(crate) async fn tidy_source(&self) -> Result<()> {
        let (pushed, reader) = {
            let leftovers = self.leftovers();
            (leftovers.pushed.clone(), leftovers.reader.clone())
        };
        // one that stays does not keep the other from going
        let mut outcome = Ok(());
        if let Some(name) = pushed {
            match self.source.images.untag(&name).await {
                Ok(()) => self.leftovers().pushed = None,
                Err(error) => outcome = Err(error),
            }
        }
        if let Some(name) = reader {
            match self.source.docker()?.remove(&name).await {
                Ok(()) => self.leftovers().reader = None,
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// The digest of the image's configuration, by which nodes know it; `None` while the source has not
    /// told. One with containerd's store knows the image by another.
    pub(crate) fn configuration(&self) -> Option<String> {
        self.leftovers().configuration.clone()
    }

    pub(super) fn leftovers(&self) -> std::sync::MutexGuard<'_, SourceLeftovers> {
        self.leftovers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// True where a node refused an image that came straight from the source's store: another way
    /// may do.
    pub(crate) fn store_is_distrusted(&self) -> bool {
        self.leftovers().distrusted
    }

    async fn is_small(&self, wanted: &HashSet<usize>) -> bool {
        match self.source.images.layer_sizes(&self.image).await {
            Some(sizes) => wanted.iter().map(|index| sizes[*index]).sum::<u64>() <= SMALL,
            None => wanted.is_empty(),
        }
    }

    /// Lets the source push to a registry of ours.
    ///
    /// # Errors
    /// When the source does not get through, or a layer that is needed was too large to keep.
    async fn push(&self, wanted: &HashSet<usize>, blobs: &mut BlobCache) -> Result<Pushed> {
        let needed: HashSet<&str> = wanted
            .iter()
            .map(|index| self.image.layers[*index].0.as_str())
            .collect();
        let known = blobs
            .iter()
            .filter(|(_, (layer, _))| !needed.contains(layer.as_str()))
            .filter_map(|(blob, (_, size))| Some((Digest::parse(blob)?, *size)))
            .collect();
        let registry = Registry::listen(self.token.as_str(), known).await?;
        self.leftovers().pushed = Some(format!("{}:{TRANSFER_TAG}", registry.repository));
        // by its ID: what was typed may name another image by now
        self.source
            .images
            .tag(&self.image.id, &registry.repository, TRANSFER_TAG)
            .await?;
        let name = (registry.repository.as_str(), TRANSFER_TAG);
        let outcome = self.source.images.push(name, None, "pushing").await;
        self.tidy_source().await?;
        outcome?;
        let pushed = Pushed::of(&registry, &self.image)
            .ok_or_else(|| Error::failed("the engine pushed another image than was asked for"))?;
        self.leftovers().configuration = Some(pushed.configuration().as_str().to_owned());
        for (layer, (blob, size, _)) in self.image.layers.iter().zip(&pushed.layers) {
            blobs.insert(blob.as_str().into(), (layer.0.clone(), *size));
        }
        if wanted.iter().any(|index| pushed.layers[*index].2.is_none()) {
            return Err(Error::failed("a layer was too large for this way"));
        }
        Ok(pushed)
    }

    async fn send_pushed(&self, pushed: &Pushed, to: Delivery<'_>) -> Vec<Sent> {
        let sends = to.nodes.iter().map(|node| async move {
            let repository = self.repository();
            let pieces = pushed.archive(&node.missing, (&repository, TRANSFER_TAG));
            let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
            let body = stream::iter(pieces.into_iter().map(Ok));
            let ours = self.transfer_name();
            let incoming = Incoming {
                keep: node.keep,
                layers: Some(&self.image.layers),
            };
            let load = node.engine.images.load(&ours, incoming, body, to.events);
            let loaded = watched(node.engine, load).await;
            let outcome = match loaded {
                Ok(()) => self.settle(node.engine, to.names).await,
                Err(error) => Err(error),
            };
            Sent { bytes, outcome }
        });
        futures_util::future::join_all(sends).await
    }

    /// Reads the source's archive once and gives each node its part of it.
    async fn send_saved(&self, to: Delivery<'_>, blobs: &mut BlobCache) -> Vec<Sent> {
        if let Some(known) = self.source.images.layer_blobs(&self.image).await {
            for (layer, (blob, size)) in self.image.layers.iter().zip(known) {
                blobs.insert(blob, (layer.0.clone(), size));
            }
        }
        let leave_out = self.leave_out(to.nodes, blobs);
        let wanted = to.nodes.iter().flat_map(|node| &node.missing).copied();
        let wanted = Wanted::Only(wanted.collect());
        let read = async |shares: &mut [Share<'_>]| self.read_saved(wanted, shares, blobs).await;
        let (read, mut sent) = self.fan_out(to, leave_out, read, async {}).await;
        if let Err(error) = read {
            for sent in &mut sent {
                // the node only tells that its archive broke off; the source tells why
                sent.outcome = Err(error.duplicate());
            }
        }
        sent
    }

    /// Reads once and lets every node load its part of it at the same time, without the blobs that
    /// it can do without. `after` is done once everything is read, while nodes are still busy.
    pub(super) async fn fan_out(
        &self,
        to: Delivery<'_>,
        leave_out: Vec<HashSet<String>>,
        read: impl AsyncFnOnce(&mut [Share<'_>]) -> Result<()>,
        after: impl Future<Output = ()>,
    ) -> (Result<()>, Vec<Sent>) {
        let produce = async |uploads: &mut [NodeUpload]| {
            let shares = uploads.iter_mut().zip(leave_out);
            let mut shares: Vec<Share<'_>> = shares.map(Share::new).collect();
            read(&mut shares).await
        };
        let ours = self.transfer_name();
        let fan_out = FanOut {
            nodes: to
                .nodes
                .iter()
                .map(|node| (node.engine, node.keep))
                .collect(),
            name: &ours,
            layers: Some(&self.image.layers),
            waiting: WAITING,
            events: to.events,
        };
        let settle = async |engine: &Engine| self.settle(engine, to.names).await;
        fan_out.run(produce, after, settle).await
    }

    async fn read_saved(
        &self,
        wanted: Wanted,
        shares: &mut [Share<'_>],
        blobs: &mut BlobCache,
    ) -> Result<()> {
        let broken = |why: String| {
            Error::failed(format!(
                "the archive of `{}` from {} is broken",
                self.name,
                self.source.node.address()
            ))
            .caused_by(why)
        };
        let mut saved = Box::pin(self.source.images.save(&self.image.id, wanted));
        let mut repack = Repack::new((self.repository(), TRANSFER_TAG.into()));
        while let Some(bytes) = saved.next().await {
            let bytes = bytes?;
            // pieces refer to `bytes`, and nodes are waited for: they are collected in between
            let mut pieces = Vec::new();
            repack
                .take(&bytes, |piece| pieces.push(piece))
                .map_err(broken)?;
            for piece in pieces {
                for share in shares.iter_mut() {
                    share.take(&piece, &bytes).await;
                }
            }
            if nobody_reads(shares) {
                return Ok(());
            }
        }
        if !repack.is_whole() {
            return Err(broken("it ends in the middle of a file".into()));
        }
        self.leftovers().configuration = repack.configuration().map(|hex| format!("sha256:{hex}"));
        if let Some(layers) = repack.layers()
            && layers.len() == self.image.layers.len()
        {
            for (layer, (blob, size)) in self.image.layers.iter().zip(layers) {
                blobs.insert(format!("sha256:{blob}"), (layer.0.clone(), size));
            }
        }
        for share in shares.iter_mut() {
            share.send(Bytes::from(archive::end())).await;
        }
        Ok(())
    }

    /// The blobs that each node can do without: those that are named by the layer's digest, as a
    /// graph driver does, and those known from before. Old engines name layers otherwise, and then
    /// all are sent.
    pub(super) fn leave_out(&self, nodes: &[Needs<'_>], blobs: &BlobCache) -> Vec<HashSet<String>> {
        let of = |node: &Needs<'_>| {
            let needed: HashSet<&DiffId> = node
                .missing
                .iter()
                .map(|index| &self.image.layers[*index])
                .collect();
            let has: HashSet<&str> = self
                .image
                .layers
                .iter()
                .filter(|layer| !needed.contains(layer))
                .map(|layer| layer.0.as_str())
                .collect();
            let known = blobs
                .iter()
                .filter(|(_, (layer, _))| has.contains(layer.as_str()))
                .map(|(blob, _)| blob.as_str());
            has.iter()
                .copied()
                .chain(known)
                .map(|digest| digest.trim_start_matches("sha256:").to_owned())
                .collect()
        };
        nodes.iter().map(of).collect()
    }

    /// Names the image on a node where it is whole; gives the node's ID of it.
    async fn settle(&self, engine: &Engine, names: &[(String, String)]) -> Result<String> {
        settle(engine, &self.transfer_name(), &self.image.layers, names).await
    }
}

/// True where every node has given up.
pub(super) fn nobody_reads(shares: &[Share<'_>]) -> bool {
    shares.iter().all(|share| !share.upload.is_open())
}

/// One node's part of an archive that is being read.
pub(super) struct Share<'u> {
    upload: &'u mut NodeUpload,
    leave_out: HashSet<String>,
    wanted: bool,
}

impl<'u> Share<'u> {
    fn new((upload, leave_out): (&'u mut NodeUpload, HashSet<String>)) -> Self {
        Self {
            upload,
            leave_out,
            wanted: true,
        }
    }

    async fn take(&mut self, piece: &Piece<'_>, whole: &Bytes) {
        match piece {
            Piece::Begin { header, blob } => {
                self.begin(blob.as_deref(), Bytes::from(header.clone()))
                    .await;
            }
            Piece::Content(bytes) => self.content(whole.slice_ref(bytes)).await,
            Piece::Made(bytes) => self.send(Bytes::from(bytes.clone())).await,
        }
    }

    /// A file begins; a blob that the node has is left out.
    pub(super) async fn begin(&mut self, blob: Option<&str>, header: Bytes) {
        self.wanted = blob.is_none_or(|blob| !self.leave_out.contains(blob));
        self.content(header).await;
    }

    /// More of the file that began last.
    pub(super) async fn content(&mut self, bytes: Bytes) {
        if self.wanted {
            self.send(bytes).await;
        }
    }

    pub(super) async fn send(&mut self, bytes: Bytes) {
        self.upload.send(bytes).await;
    }
}
