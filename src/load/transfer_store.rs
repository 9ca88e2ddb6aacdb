//! A transfer whose layers come straight from the source's store (`engine/docker/store.rs`): nothing is
//! packed, nothing pushed, nothing written, and only what a node lacks is read.
//!
//! What comes out is not trusted here: a node compares every layer with its diff ID before it has
//! the image, and what it refuses goes another way.

use std::collections::{HashMap, HashSet};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use crate::engine::layer_store::{LayerStore, Reading, reader_name};
use crate::error::{Error, Result};
use crate::image::archive::{self, BLOCK, Block, Headers};
use crate::image::digest::{Digest, chain_ids};
use crate::image::oci;
use crate::image::reassemble::{HELD, Piece, Reassembly};
use crate::image::reference::TRANSFER_TAG;
use crate::image::tar_split::Shape;
use crate::load::delivery::{Delivery, Needs, Sent};
use crate::load::transfer::{BlobCache, Share, Transfer, nobody_reads};

/// The most bytes of memory for the configuration and the layers' records.
const RECORDS: u64 = 24 << 20;
/// Pieces that are smaller are gathered before they go to the nodes.
const SMALL_PIECE: usize = 64 << 10;

/// The parts of an image that are known before its files are read.
struct Plan {
    config: Bytes,
    records: HashMap<usize, Bytes>,
    /// The bytes of each layer's archive.
    sizes: Vec<u64>,
}

impl Transfer<'_> {
    /// Brings the image to the nodes from the source's store. `None` when that way is not open.
    ///
    /// # Errors
    /// When the store can't be read to its end; nothing stands on a node then.
    pub(super) async fn send_stored(
        &self,
        to: Delivery<'_>,
        blobs: &mut BlobCache,
    ) -> Result<Option<Vec<Sent>>> {
        if self.leftovers().distrusted {
            return Ok(None);
        }
        let asked = self.leftovers().store.clone();
        let store = match asked {
            Some(store) => store,
            None => match self.source.images.layer_store(&self.image.id).await? {
                Some(store) => store,
                None => return Ok(None),
            },
        };
        if store.count() != self.image.layers.len() {
            return Ok(None);
        }
        let reader = reader_name(self.token.as_str());
        let sent = self.send_through(&reader, &store, to, blobs).await;
        // a name that is left over is told of by whoever tidies at the end
        let _told = self.tidy_source().await;
        let sent = sent?;
        if sent.iter().any(|sent| sent.outcome.is_err()) {
            self.leftovers().distrusted = true;
        }
        Ok(Some(sent))
    }

    async fn send_through(
        &self,
        reader: &str,
        store: &LayerStore,
        to: Delivery<'_>,
        blobs: &mut BlobCache,
    ) -> Result<Vec<Sent>> {
        let files = self.layers_to_read(to.nodes);
        let records: Vec<usize> = (0..self.image.layers.len())
            .filter(|index| {
                files.contains(index) || !blobs.contains_key(&self.image.layers[*index].0)
            })
            .collect();
        let reading = Reading {
            image: &self.image.id,
            records: &records,
            files: &files,
            chain: &chain_ids(&self.image.layers),
        };
        self.leftovers().reader = Some(reader.to_owned());
        self.source
            .docker()?
            .open_store(store, &reading, reader)
            .await?;
        let plan = self.plan(reader, &files, blobs).await?;
        for (layer, size) in self.image.layers.iter().zip(&plan.sizes) {
            blobs.insert(layer.0.clone(), (layer.0.clone(), *size));
        }
        let read = async |shares: &mut [Share<'_>]| {
            let manifest = self.manifest(&plan);
            self.begin(&plan, &manifest, shares).await;
            if !files.is_empty() {
                self.read_files(reader, &plan, &files, shares).await?;
            }
            self.end(&plan, shares).await;
            Ok(())
        };
        let tidy = async {
            let _told = self.tidy_source().await;
        };
        let leave_out = self.leave_out(to.nodes, blobs);
        let (read, sent) = Box::pin(self.fan_out(to, leave_out, read, tidy)).await;
        read.map(|()| sent)
    }

    /// The layers that somebody lacks; of equal ones the first.
    fn layers_to_read(&self, nodes: &[Needs<'_>]) -> Vec<usize> {
        let wanted: HashSet<usize> = nodes
            .iter()
            .flat_map(|node| node.missing.iter().copied())
            .collect();
        let mut seen = HashSet::new();
        (0..self.image.layers.len())
            .filter(|index| wanted.contains(index) && seen.insert(&self.image.layers[*index]))
            .collect()
    }

    /// Reads the configuration and the layers' records.
    async fn plan(&self, reader: &str, files: &[usize], blobs: &BlobCache) -> Result<Plan> {
        let broken =
            |why: String| Error::failed("the layer store is not as expected").caused_by(why);
        let mut found = self.records(reader).await?;
        let config = found
            .remove("config")
            .ok_or_else(|| broken("the image has no configuration".into()))?;
        if Digest::of(&config).as_str() != self.image.id {
            return Err(broken("the image has another configuration".into()));
        }
        let mut records = HashMap::new();
        let mut sizes = Vec::new();
        for (index, layer) in self.image.layers.iter().enumerate() {
            let record = found
                .iter()
                .find(|(name, _)| name.parse() == Ok(index))
                .map(|(_, record)| record.clone());
            let Some(record) = record else {
                let (_, size) = blobs
                    .get(&layer.0)
                    .ok_or_else(|| broken(format!("layer {index} has no record")))?;
                sizes.push(*size);
                continue;
            };
            let shape = Shape::of(&record).map_err(broken)?;
            if files.contains(&index) {
                if !shape.walks && shape.contents > HELD {
                    return Err(broken(format!(
                        "the files of layer {index} are in another order"
                    )));
                }
                records.insert(index, record);
            }
            sizes.push(shape.size);
        }
        Ok(Plan {
            config,
            records,
            sizes,
        })
    }

    /// The small files of the store, by name.
    async fn records(&self, reader: &str) -> Result<HashMap<String, Bytes>> {
        let broken = |why: &str| Error::failed("the layer store is not as expected").caused_by(why);
        let mut archive = BytesMut::new();
        let mut stream = Box::pin(self.source.docker()?.store_records(reader));
        while let Some(bytes) = stream.next().await {
            archive.extend_from_slice(&bytes?);
            if archive.len() as u64 > RECORDS {
                return Err(broken("its records are too large"));
            }
        }
        let mut archive = archive.freeze();
        let mut headers = Headers::default();
        let mut found = HashMap::new();
        while archive.len() >= BLOCK {
            if let Block::Entry(entry) = headers.take(&archive.split_to(BLOCK)).map_err(broken)? {
                let size = usize::try_from(entry.size).unwrap_or(usize::MAX);
                let whole = size.saturating_add(archive::padding(entry.size));
                if whole > archive.len() {
                    return Err(broken("a record breaks off"));
                }
                let content = archive.split_to(whole).slice(..size);
                let name = entry.path.rsplit('/').next().unwrap_or_default().to_owned();
                found.insert(name, content);
            }
        }
        Ok(found)
    }

    /// The manifest that a newer engine's `docker save` makes of the image, byte for byte: layers
    /// are as they are, not packed, so that a layer's digest is its diff ID.
    fn manifest(&self, plan: &Plan) -> Vec<u8> {
        let layers: Vec<oci::Descriptor> = self
            .image
            .layers
            .iter()
            .zip(&plan.sizes)
            .map(|(layer, size)| oci::Descriptor::layer("", &layer.0, *size))
            .collect();
        let config = oci::Descriptor::config(&self.image.id, plan.config.len());
        oci::manifest(&config, &layers)
    }

    async fn begin(&self, plan: &Plan, manifest: &[u8], shares: &mut [Share<'_>]) {
        let repository = self.repository();
        let name = (repository.as_str(), TRANSFER_TAG);
        let mut bytes = archive::small_file("oci-layout", oci::LAYOUT);
        bytes.extend(archive::small_file(
            "index.json",
            &oci::index_of_one(manifest, name),
        ));
        bytes.extend(archive::small_file(
            &Digest::of(manifest).blob_path(),
            manifest,
        ));
        bytes.extend(archive::small_file(
            &Digest::of(&plan.config).blob_path(),
            &plan.config,
        ));
        everyone(shares, bytes).await;
    }

    async fn end(&self, plan: &Plan, shares: &mut [Share<'_>]) {
        let repository = self.repository();
        let layers: Vec<String> = self
            .image
            .layers
            .iter()
            .map(|layer| format!("blobs/sha256/{}", layer.hex()))
            .collect();
        let mut bytes = archive::small_file(
            "manifest.json",
            &oci::archive_manifest(
                &Digest::of(&plan.config).blob_path(),
                Some(&[format!("{repository}:{TRANSFER_TAG}")]),
                &layers,
            ),
        );
        bytes.extend(archive::end());
        everyone(shares, bytes).await;
    }

    async fn read_files(
        &self,
        reader: &str,
        plan: &Plan,
        files: &[usize],
        shares: &mut [Share<'_>],
    ) -> Result<()> {
        let broken =
            |why: String| Error::failed("the layer store is not as expected").caused_by(why);
        let layers = files
            .iter()
            .filter_map(|index| Some((*index, plan.records.get(index)?.clone())));
        let mut reassembly = Reassembly::new(layers);
        let mut layer = LayerOut {
            transfer: self,
            plan,
            shares,
            index: 0,
            gathered: BytesMut::new(),
        };
        let mut pieces = Vec::new();
        let mut stream = Box::pin(self.source.docker()?.store_files(reader));
        while let Some(bytes) = stream.next().await {
            reassembly
                .take(bytes?, &mut |piece| pieces.push(piece))
                .map_err(broken)?;
            for piece in pieces.drain(..) {
                layer.take(piece).await?;
            }
            if nobody_reads(layer.shares) {
                return Ok(());
            }
        }
        reassembly
            .finish(&mut |piece| pieces.push(piece))
            .map_err(broken)?;
        for piece in pieces {
            layer.take(piece).await?;
        }
        Ok(())
    }
}

async fn everyone(shares: &mut [Share<'_>], bytes: Vec<u8>) {
    let bytes = Bytes::from(bytes);
    for share in shares {
        share.send(bytes.clone()).await;
    }
}

/// Gives layers to the nodes as files of their archives.
struct LayerOut<'a, 't, 's> {
    transfer: &'a Transfer<'t>,
    plan: &'a Plan,
    shares: &'a mut [Share<'s>],
    index: usize,
    /// Small pieces on their way together.
    gathered: BytesMut,
}

impl LayerOut<'_, '_, '_> {
    async fn take(&mut self, piece: Piece) -> Result<()> {
        match piece {
            Piece::Begin(index) => {
                self.index = index;
                let hex = self.transfer.image.layers[index].hex();
                let path = format!("blobs/sha256/{hex}");
                let (header, _) = archive::file_header(&path, self.plan.sizes[index])
                    .ok_or_else(|| Error::failed("a layer's name fits no archive"))?;
                let header = Bytes::from(header);
                for share in &mut *self.shares {
                    share.begin(Some(hex), header.clone()).await;
                }
            }
            Piece::Content(bytes) if bytes.len() < SMALL_PIECE => {
                self.gathered.extend_from_slice(&bytes);
                if self.gathered.len() >= SMALL_PIECE {
                    self.flush().await;
                }
            }
            Piece::Content(bytes) => {
                self.flush().await;
                self.content(&bytes).await;
            }
            Piece::End => {
                let padding = archive::padding(self.plan.sizes[self.index]);
                self.gathered.resize(self.gathered.len() + padding, 0);
                self.flush().await;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) {
        let bytes = self.gathered.split().freeze();
        if !bytes.is_empty() {
            self.content(&bytes).await;
        }
    }

    async fn content(&mut self, bytes: &Bytes) {
        for share in &mut *self.shares {
            share.content(bytes.clone()).await;
        }
    }
}
