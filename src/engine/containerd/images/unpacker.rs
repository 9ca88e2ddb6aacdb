//! The layers of an image on their way from the content store to the snapshotter: each is unpacked
//! once those below it are, while others still arrive.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::messages::Descriptor;
use super::snapshots::{Snapshots, Unpacking};
use crate::error::{Error, Result};
use crate::image::digest::{ChainId, DiffId, chain_ids};

/// The unpacking of one image's layers.
pub(super) struct Unpacker {
    layers: Vec<DiffId>,
    chain: Vec<ChainId>,
    /// The number of layers, from the base on, that are there or on their way.
    next: usize,
    /// Blobs of layers whose turn has not come.
    waiting: HashMap<usize, Descriptor>,
    queue: mpsc::UnboundedSender<Unpacking>,
    at_work: JoinHandle<Result<()>>,
    /// A word for names that nothing on the node has.
    word: String,
}

impl Unpacker {
    /// Begins with what is there, which stays from now on under the lease of `snapshots`.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(super) async fn begin(
        snapshots: &Snapshots,
        layers: Vec<DiffId>,
        word: String,
    ) -> Result<Self> {
        let chain = chain_ids(&layers);
        let mut next = 0;
        for place in (0..chain.len()).rev() {
            let id = &chain[place];
            // a layer can't be there without those below it
            if snapshots.has(id).await? && snapshots.pin(id, &format!("{word}-pin-{place}")).await?
            {
                next = place + 1;
                break;
            }
        }
        let (queue, mut orders) = mpsc::unbounded_channel();
        let snapshots = snapshots.clone();
        let at_work = tokio::spawn(async move {
            while let Some(order) = orders.recv().await {
                snapshots.unpack(order).await?;
            }
            Ok(())
        });
        Ok(Self {
            layers,
            chain,
            next,
            waiting: HashMap::new(),
            queue,
            at_work,
            word,
        })
    }

    /// The layers, the base first.
    pub(super) fn layers(&self) -> &[DiffId] {
        &self.layers
    }

    /// The chain IDs of the layers, the base first.
    pub(super) fn chain(&self) -> &[ChainId] {
        &self.chain
    }

    /// A blob has come that holds, as it is, layers with this digest.
    pub(super) fn plain(&mut self, blob: &Descriptor) {
        let places =
            (self.next..self.layers.len()).filter(|place| self.layers[*place].0 == blob.digest);
        for place in places.collect::<Vec<_>>() {
            self.came(place, blob.clone());
        }
    }

    /// The blob of the layer at a place has come.
    pub(super) fn came(&mut self, place: usize, blob: Descriptor) {
        self.waiting.insert(place, blob);
        while let Some(blob) = self.waiting.remove(&self.next) {
            let place = self.next;
            let order = Unpacking {
                blob,
                diff_id: self.layers[place].clone(),
                chain: self.chain[place].clone(),
                parent: place.checked_sub(1).map(|below| self.chain[below].clone()),
                key: format!("{}-layer-{place}", self.word),
            };
            // whoever has failed says so at the end
            let _failed = self.queue.send(order);
            self.next += 1;
        }
    }

    /// The places of the layers that are neither there nor on their way.
    pub(super) fn missing(&self) -> std::ops::Range<usize> {
        self.next..self.layers.len()
    }

    /// Waits until all layers are there.
    ///
    /// # Errors
    /// The node's refusal of one; a layer that has not come.
    pub(super) async fn finish(self) -> Result<()> {
        drop(self.queue);
        let done = self.at_work.await;
        done.map_err(|error| Error::failed("unpacking ended early").caused_by(error))??;
        match self.layers.get(self.next) {
            None => Ok(()),
            Some(missing) => Err(Error::failed("a layer of the image is missing").caused_by(
                format!("the node has no layer {}, and it was not sent", missing.0),
            )),
        }
    }
}
