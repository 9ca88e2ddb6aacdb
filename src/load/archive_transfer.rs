//! Bringing an image out of an archive or layout on this computer to nodes: the layers that some
//! node lacks are read once, checked while they pass, and each node gets those that it lacks.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::context::files::Files;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::host::owner::SignedToken;
use crate::image::archive_image::{ArchiveLayer, PlatformImage};
use crate::image::check::{self, Checked};
use crate::image::reference::{self, TRANSFER_TAG};
use crate::image::stored::StoredImage;
use crate::load::delivery::{Delivery, Sent, settle};
use crate::load::parts::{FilePaths, FileToSend, Hand, Part, WAITING, parts, thread};
use crate::load::uploads::{FanOut, NodeUpload};

/// One image out of an archive on its way.
#[derive(Debug)]
pub(crate) struct ArchiveTransfer {
    pub(crate) files: Arc<Files>,
    pub(crate) packed: PlatformImage,
    pub(crate) image: StoredImage,
    /// A word of this transfer alone; part of the name that it uses.
    pub(crate) token: SignedToken,
}

impl ArchiveTransfer {
    /// The repository of the name under which nodes get the image at first.
    pub(crate) fn repository(&self) -> String {
        reference::transfer(self.token.as_str())
    }

    /// Finds the digests of all layers, which containerd's store wants to know.
    ///
    /// # Errors
    /// When a layer can't be read, or is not the one that the image names.
    pub(crate) async fn identify(&mut self) -> Result<()> {
        if self.packed.make_manifest().is_some() {
            return Ok(());
        }
        let unknown: Vec<usize> = (0..self.packed.layers.len())
            .filter(|index| self.packed.layers[*index].blob.is_none())
            .collect();
        let layers: Vec<ArchiveLayer> = unknown
            .iter()
            .map(|index| self.packed.layers[*index].clone())
            .collect();
        let files = self.files.clone();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        thread(move || {
            let mut blobs = Vec::new();
            let found = layers.iter().try_for_each(|layer| {
                let path = layer.path.as_deref().unwrap_or_default();
                files.visit(&[path], &mut |_, _, content| {
                    let checked = check::layer(content, files.within(), &mut |_| Ok(()))
                        .map_err(|error| files.layer_unread(&layer.diff_id, error))?;
                    blobs.push(checked.blob);
                    Ok(())
                })
            });
            // nobody waits any more
            let _gone = sender.send(found.map(|()| blobs));
        })?;
        let blobs = receiver
            .await
            .map_err(|_| Error::failed("reading the archive failed"))??;
        for (index, blob) in unknown.into_iter().zip(blobs) {
            self.packed.layers[index].blob = Some(blob);
        }
        self.packed.make_manifest();
        Ok(())
    }

    /// The name under which nodes get the image at first.
    pub(crate) fn transfer_name(&self) -> String {
        format!("{}:{TRANSFER_TAG}", self.repository())
    }

    /// Brings the image to the nodes and compares the layers that arrived. One outcome for each
    /// node, in order. Each node gets `names` as soon as the image is whole there, whatever the
    /// others do.
    pub(crate) async fn run(&self, to: Delivery<'_>) -> Vec<Sent> {
        let mut wanted = HashSet::new();
        let (mut nodes, mut wants) = (Vec::new(), Vec::new());
        let mut refused = Vec::new();
        for node in to.nodes {
            match self.packed.paths(&node.missing) {
                Ok(paths) => {
                    wanted.extend(paths.iter().map(|(index, _)| *index));
                    let paths = paths.into_iter().map(|(_, path)| path.to_owned());
                    wants.push(paths.collect::<HashSet<String>>());
                    nodes.push((node.engine, node.keep));
                    refused.push(None);
                }
                Err(error) => refused.push(Some(error)),
            }
        }
        let ours = self.transfer_name();
        let fan_out = FanOut {
            nodes,
            name: &ours,
            layers: Some(&self.image.layers),
            waiting: WAITING,
            events: to.events,
        };
        let give = async |uploads: &mut [NodeUpload]| self.give(wanted, uploads, &wants).await;
        let settle =
            async |engine: &Engine| settle(engine, &ours, &self.image.layers, to.names).await;
        let (given, sent) = fan_out.run(give, async {}, settle).await;
        let mut sent = sent.into_iter();
        let of = |refused: Option<Error>| {
            if let Some(error) = refused {
                return Some(Sent {
                    bytes: 0,
                    outcome: Err(error),
                });
            }
            let mut sent = sent.next()?;
            if let Err(error) = &given {
                // the node only tells that its archive broke off; the reader tells why
                sent.outcome = Err(error.duplicate());
            }
            Some(sent)
        };
        refused.into_iter().filter_map(of).collect()
    }

    /// Reads the layers with these indexes, and hands each to the nodes that want it.
    async fn give(
        &self,
        indexes: HashSet<usize>,
        uploads: &mut [NodeUpload],
        wants: &[HashSet<String>],
    ) -> Result<()> {
        let mut parts = self.read(&indexes)?;
        let mut now = FilePaths::default();
        loop {
            let bytes = match parts.recv().await {
                Some(Part::Begin(paths, header)) => {
                    now = paths;
                    header
                }
                Some(Part::Content(bytes)) => bytes,
                Some(Part::Checked(checked)) => {
                    self.compare(&now.read, &checked)?;
                    continue;
                }
                Some(Part::End(())) => break,
                Some(Part::Broken(error)) => return Err(error),
                None => return Err(Error::failed("reading the archive failed")),
            };
            for (upload, wants) in uploads.iter_mut().zip(wants) {
                if wants.contains(&now.read) {
                    upload.send(bytes.clone()).await;
                }
            }
            if uploads.iter().all(|upload| !upload.is_open()) {
                return Ok(());
            }
        }
        let repository = self.repository();
        let ending = Bytes::from(self.packed.ending((&repository, TRANSFER_TAG)));
        for upload in uploads {
            upload.send(ending.clone()).await;
        }
        Ok(())
    }

    /// Compares a layer that was read with the one that the image names.
    fn compare(&self, path: &str, checked: &Checked) -> Result<()> {
        let mut layers = self.packed.layers.iter();
        let layer = layers.find(|layer| layer.path.as_deref() == Some(path));
        layer.map_or(Ok(()), |layer| {
            checked
                .agrees(&layer.diff_id, layer.blob.as_ref())
                .map_err(|why| self.files.broken(why))
        })
    }

    fn read(&self, indexes: &HashSet<usize>) -> Result<mpsc::Receiver<Part<()>>> {
        let layers: Vec<ArchiveLayer> = indexes
            .iter()
            .map(|index| self.packed.layers[*index].clone())
            .collect();
        let files = self.files.clone();
        parts(move |hand| read(&files, &layers, hand))
    }
}

fn read(files: &Files, layers: &[ArchiveLayer], hand: &Hand<()>) -> Result<()> {
    // equal layers are one file, and of two nodes each may lack it at another index
    let paths: BTreeSet<&str> = layers
        .iter()
        .filter_map(|layer| layer.path.as_deref())
        .collect();
    let paths: Vec<&str> = paths.into_iter().collect();
    files.visit(&paths, &mut |path, size, content| {
        let layer = layers
            .iter()
            .find(|layer| layer.path.as_deref() == Some(path))
            .ok_or_else(|| Error::failed("a file was read that nobody asked for"))?;
        let file = FileToSend {
            archive: &files.name,
            called: &format!("the layer {}", layer.diff_id.0),
            paths: FilePaths {
                read: path.to_owned(),
                sent: layer.sent_as(),
            },
            size,
            widest: files.within(),
        };
        hand.file(file, content)
    })
}
