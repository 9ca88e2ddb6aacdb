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
use crate::error::{Error, Result};
use crate::host::owner::SignedToken;
use crate::image::archive;
use crate::image::digest::{DiffId, Digest, missing};
use crate::image::reference;
use crate::image::repack::{Piece, Repack};
use crate::image::stored::StoredImage;
use crate::load::lanes::{Lane, lane, watched};
use crate::load::registry::Registry;
use crate::load::transfer_pushed::Pushed;
use crate::progress::Sender;

/// The most bytes that a registry holds in memory; more goes through the engine's own archive.
const SMALL: u64 = 32 << 20;
/// Pieces that wait for a node that is slower than the source.
const WAITING: usize = 32;
/// The tag of transfer names.
pub(super) const TAG: &str = "transfer";

/// The blobs that an engine pushed before: the layer inside and its packed size. Kept between runs,
/// so that the engine need not pack a layer again that no node lacks.
pub(crate) type KnownBlobs = HashMap<String, (String, u64)>;

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
    /// The things that stand in the source meanwhile.
    pub(crate) source_name: Mutex<Traces>,
}

/// The things that a transfer has made in its source, and its knowledge of that source.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// The name that stands there while it pushes.
    pushed: Option<String>,
    /// The container through which its store is read.
    pub(super) reader: Option<String>,
    /// Its store was read, and a node did not take what came out.
    pub(super) distrusted: bool,
}

/// A node and what it lacks.
#[derive(Debug)]
pub(crate) struct Needs<'a> {
    pub(crate) engine: &'a Engine,
    /// Places of layers in the image, the base being 0.
    pub(crate) missing: Vec<usize>,
}

/// The nodes that an image goes to, the names that it gets there, and the place for news of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) nodes: &'a [Needs<'a>],
    pub(crate) names: &'a [(String, String)],
    pub(crate) events: &'a Sender,
}

/// What happened on one node.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    /// The ID by which the node calls the image.
    pub(crate) outcome: Result<String>,
}

impl<'a> Needs<'a> {
    /// Asks a node which layers it lacks.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn of(engine: &'a Engine, image: &StoredImage) -> Result<Self> {
        let present = engine.images.present_layers().await?;
        Ok(Self {
            engine,
            missing: missing(&image.layers, &present),
        })
    }

    /// Everything, whatever the node has.
    pub(crate) fn all(engine: &'a Engine, image: &StoredImage) -> Self {
        Self {
            engine,
            missing: (0..image.layers.len()).collect(),
        }
    }
}

impl Transfer<'_> {
    /// The name under which nodes get the image at first.
    pub(crate) fn transfer_name(&self) -> String {
        format!("{}:{TAG}", self.repository())
    }

    pub(super) fn repository(&self) -> String {
        reference::transfer(self.token.as_str())
    }

    /// Brings the image to the nodes and compares what arrived. One outcome for each node, in order.
    /// Each gets `names` as soon as it is whole there, whatever the others do.
    pub(crate) async fn run(&self, to: Delivery<'_>, blobs: &mut KnownBlobs) -> Vec<Sent> {
        let mut wanted: HashSet<usize> = HashSet::new();
        for node in to.nodes {
            wanted.extend(&node.missing);
        }
        // a store that can't be read is no failure: there are other ways
        if let Ok(Some(sent)) = Box::pin(self.send_stored(to, blobs)).await {
            return sent;
        }
        // taking our name away again would remove an image that has no other
        if self.shares_loopback
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
            let traces = self.traces();
            (traces.pushed.clone(), traces.reader.clone())
        };
        // one that stays does not keep the other from going
        let mut outcome = Ok(());
        if let Some(name) = pushed {
            match self.source.images.untag(&name).await {
                Ok(()) => self.traces().pushed = None,
                Err(error) => outcome = Err(error),
            }
        }
        if let Some(name) = reader {
            match self.source.docker()?.remove(&name).await {
                Ok(()) => self.traces().reader = None,
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    pub(super) fn traces(&self) -> std::sync::MutexGuard<'_, Traces> {
        self.source_name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// True where a node refused an image that came straight from the source's store: another way
    /// may do.
    pub(crate) fn store_is_distrusted(&self) -> bool {
        self.traces().distrusted
    }

    async fn is_small(&self, wanted: &HashSet<usize>) -> bool {
        match self.source.images.layer_sizes(&self.image).await {
            Some(sizes) => wanted.iter().map(|place| sizes[*place]).sum::<u64>() <= SMALL,
            None => wanted.is_empty(),
        }
    }

    /// Lets the source push to a registry of ours.
    ///
    /// # Errors
    /// When the source does not get through, or a layer that is needed was too large to keep.
    async fn push(&self, wanted: &HashSet<usize>, blobs: &mut KnownBlobs) -> Result<Pushed> {
        let needed: HashSet<&str> = wanted
            .iter()
            .map(|place| self.image.layers[*place].0.as_str())
            .collect();
        let known = blobs
            .iter()
            .filter(|(_, (layer, _))| !needed.contains(layer.as_str()))
            .filter_map(|(blob, (_, size))| Some((Digest::parse(blob)?, *size)))
            .collect();
        let registry = Registry::listen(self.token.as_str(), known).await?;
        self.traces().pushed = Some(format!("{}:{TAG}", registry.repository));
        // by its ID: what was typed may name another image by now
        self.source
            .images
            .tag(&self.image.id, &registry.repository, TAG)
            .await?;
        let name = (registry.repository.as_str(), TAG);
        let outcome = self.source.images.push(name, None, "pushing").await;
        self.tidy_source().await?;
        outcome?;
        let pushed = Pushed::of(&registry, &self.image)
            .ok_or_else(|| Error::failed("the engine pushed another image than was asked for"))?;
        for (layer, (blob, size, _)) in self.image.layers.iter().zip(&pushed.layers) {
            blobs.insert(blob.as_str().into(), (layer.0.clone(), *size));
        }
        if wanted.iter().any(|place| pushed.layers[*place].2.is_none()) {
            return Err(Error::failed("a layer was too large for this way"));
        }
        Ok(pushed)
    }

    async fn send_pushed(&self, pushed: &Pushed, to: Delivery<'_>) -> Vec<Sent> {
        let sends = to.nodes.iter().map(|node| async move {
            let repository = self.repository();
            let pieces = pushed.archive(&node.missing, (&repository, TAG));
            let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
            let body = stream::iter(pieces.into_iter().map(Ok));
            let loaded = watched(node.engine, node.engine.images.load(body, to.events)).await;
            let outcome = match loaded {
                Ok(()) => self.settle(node.engine, to.names).await,
                Err(error) => Err(error),
            };
            Sent { bytes, outcome }
        });
        futures_util::future::join_all(sends).await
    }

    /// Reads the source's archive once and gives each node its part of it.
    async fn send_saved(&self, to: Delivery<'_>, blobs: &mut KnownBlobs) -> Vec<Sent> {
        let leave_out = self.leave_out(to.nodes, blobs);
        let read = async |shares: &mut [Share]| self.read_saved(shares, blobs).await;
        let (read, mut sent) = self.fan_out(to, leave_out, read, async {}).await;
        if let Err(error) = read {
            for sent in &mut sent {
                // the node only tells that its archive broke off; the source tells why
                sent.outcome = Err(Error::new(error.kind(), error.to_string()));
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
        read: impl AsyncFnOnce(&mut [Share]) -> Result<()>,
        after: impl Future<Output = ()>,
    ) -> (Result<()>, Vec<Sent>) {
        let (mut shares, loads): (Vec<Share>, Vec<_>) = to
            .nodes
            .iter()
            .zip(leave_out)
            .map(|(node, leave_out)| {
                let (lane, load) = lane(node.engine, WAITING, to.events);
                let share = Share {
                    lane,
                    leave_out,
                    wanted: true,
                };
                let load = async move {
                    load.await?;
                    self.settle(node.engine, to.names).await
                };
                (share, load)
            })
            .unzip();
        let read = async {
            let outcome = read(&mut shares).await;
            if let Err(error) = &outcome {
                for share in &mut shares {
                    share.lane.break_off(error).await;
                }
            }
            let bytes: Vec<u64> = shares.iter().map(|share| share.lane.bytes).collect();
            drop(shares);
            after.await;
            (outcome, bytes)
        };
        let ((read, bytes), outcomes) =
            futures_util::join!(read, futures_util::future::join_all(loads));
        let sent = outcomes
            .into_iter()
            .zip(bytes)
            .map(|(outcome, bytes)| Sent { bytes, outcome })
            .collect();
        (read, sent)
    }

    async fn read_saved(&self, shares: &mut [Share], blobs: &mut KnownBlobs) -> Result<()> {
        let broken = |why: String| {
            Error::failed(format!(
                "the archive of `{}` from {} is broken",
                self.name,
                self.source.node.address()
            ))
            .because(why)
        };
        let mut saved = Box::pin(self.source.images.save(&self.image.id));
        let mut repack = Repack::new((self.repository(), TAG.into()));
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
    pub(super) fn leave_out(
        &self,
        nodes: &[Needs<'_>],
        blobs: &KnownBlobs,
    ) -> Vec<HashSet<String>> {
        let of = |node: &Needs<'_>| {
            let needed: HashSet<&DiffId> = node
                .missing
                .iter()
                .map(|place| &self.image.layers[*place])
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
        let id = whole(engine, &self.transfer_name(), &self.image.layers).await?;
        give_names(engine, &self.transfer_name(), names).await?;
        Ok(id)
    }
}

/// The node's ID of an image that arrived under this name, if all its layers did: containerd's
/// store says "loaded" also when one is missing.
pub(super) async fn whole(engine: &Engine, name: &str, layers: &[DiffId]) -> Result<String> {
    let arrived = engine.images.image(name).await?;
    if arrived.layers == layers {
        return Ok(arrived.id);
    }
    Err(
        Error::failed("the image did not arrive whole").because(format!(
            "{} of {} layers are there",
            arrived.layers.len(),
            layers.len()
        )),
    )
}

/// Gives an image that a node has under a name of ours its own names.
pub(super) async fn give_names(
    engine: &Engine,
    ours: &str,
    names: &[(String, String)],
) -> Result<()> {
    for (repository, tag) in names {
        engine.images.tag(ours, repository, tag).await?;
    }
    Ok(())
}

/// True where every node has given up.
pub(super) fn nobody_reads(shares: &[Share]) -> bool {
    shares.iter().all(|share| !share.lane.is_open())
}

/// One node's part of an archive that is being read.
pub(super) struct Share {
    lane: Lane,
    leave_out: HashSet<String>,
    wanted: bool,
}

impl Share {
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
        self.lane.send(bytes).await;
    }
}
