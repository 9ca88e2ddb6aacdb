//! Bringing an image out of an archive or layout on this computer to nodes: the layers that some
//! node lacks are read once, checked while they pass, and each node gets those that it lacks.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::context::files::Files;
use crate::error::{Error, Result};
use crate::host::owner::SignedToken;
use crate::image::archive;
use crate::image::check;
use crate::image::packed::{Packed, PackedLayer};
use crate::image::reference;
use crate::image::stored::StoredImage;
use crate::load::lanes::{Lane, lane};
use crate::load::transfer::{Delivery, Sent, give_names, whole};

/// Pieces between the thread that reads and the nodes.
const WAITING: usize = 16;

/// One image out of an archive on its way.
#[derive(Debug)]
pub(crate) struct Shipment {
    pub(crate) files: Arc<Files>,
    pub(crate) packed: Packed,
    pub(crate) image: StoredImage,
    /// A word of this shipment alone; part of the name that it uses.
    pub(crate) token: SignedToken,
}

/// The parts that the reading thread hands over.
enum Part {
    /// A layer begins: its path in the archive that is read, and its header for those that are sent.
    Begin(String, Bytes),
    Content(Bytes),
    /// All was read: a reader that is gone without this has not come to the end.
    End,
    Broken(Error),
}

impl Shipment {
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
            .filter(|place| self.packed.layers[*place].blob.is_none())
            .collect();
        let layers: Vec<PackedLayer> = unknown
            .iter()
            .map(|place| self.packed.layers[*place].clone())
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
        for (place, blob) in unknown.into_iter().zip(blobs) {
            self.packed.layers[place].blob = Some(blob);
        }
        self.packed.make_manifest();
        Ok(())
    }

    /// Brings the image to the nodes and compares the layers that arrived. One outcome for each
    /// node, in order. Each node gets `names` as soon as the image is whole there, whatever the
    /// others do.
    pub(crate) async fn run(
        &self,
        Delivery {
            nodes,
            names,
            events,
        }: Delivery<'_>,
        tag: &str,
    ) -> Vec<Sent> {
        let mut wanted = HashSet::new();
        let mut lanes = Vec::new();
        let mut loads = Vec::new();
        for node in nodes {
            let (mut lane, load) = lane(node.engine, WAITING, events);
            let paths = match self.packed.paths(&node.missing) {
                Ok(paths) => paths,
                Err(error) => {
                    lane.break_off(&error).await;
                    lanes.push((lane, HashSet::new()));
                    loads.push(Err(error));
                    continue;
                }
            };
            wanted.extend(paths.iter().map(|(place, _)| *place));
            let paths: HashSet<String> = paths.iter().map(|(_, path)| (*path).to_owned()).collect();
            lanes.push((lane, paths));
            loads.push(Ok((node.engine, load)));
        }
        let loads = loads.into_iter().map(|load| async {
            let (engine, load) = load?;
            load.await?;
            let name = format!("{}:{tag}", self.repository());
            let id = whole(engine, &name, &self.image.layers).await?;
            give_names(engine, &name, names).await?;
            Ok(id)
        });
        let give = async {
            let outcome = self.give(wanted, &mut lanes, tag).await;
            if let Err(error) = &outcome {
                for (lane, _) in &mut lanes {
                    lane.break_off(error).await;
                }
            }
            let bytes: Vec<u64> = lanes.iter().map(|(lane, _)| lane.bytes).collect();
            drop(lanes);
            (outcome, bytes)
        };
        let ((given, bytes), outcomes) = futures_util::join!(give, join_all(loads));
        outcomes
            .into_iter()
            .zip(bytes)
            .map(|(outcome, bytes)| Sent {
                bytes,
                outcome: match &given {
                    // the node only tells that its archive broke off; the reader tells why
                    Err(error) => Err(error.duplicate()),
                    Ok(()) => outcome,
                },
            })
            .collect()
    }

    /// Reads the layers at these places, and hands each to the lanes that want it.
    async fn give(
        &self,
        places: HashSet<usize>,
        lanes: &mut [(Lane, HashSet<String>)],
        tag: &str,
    ) -> Result<()> {
        let mut parts = self.read(&places)?;
        let mut now = String::new();
        loop {
            let bytes = match parts.recv().await {
                Some(Part::Begin(path, header)) => {
                    now = path;
                    header
                }
                Some(Part::Content(bytes)) => bytes,
                Some(Part::End) => break,
                Some(Part::Broken(error)) => return Err(error),
                None => return Err(Error::failed("reading the archive failed")),
            };
            for (lane, wants) in lanes.iter_mut() {
                if wants.contains(&now) {
                    lane.send(bytes.clone()).await;
                }
            }
            if lanes.iter().all(|(lane, _)| !lane.is_open()) {
                return Ok(());
            }
        }
        let repository = self.repository();
        let ending = Bytes::from(self.packed.ending((&repository, tag)));
        for (lane, _) in lanes.iter_mut() {
            lane.send(ending.clone()).await;
        }
        Ok(())
    }

    fn read(&self, places: &HashSet<usize>) -> Result<mpsc::Receiver<Part>> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let layers: Vec<PackedLayer> = places
            .iter()
            .map(|place| self.packed.layers[*place].clone())
            .collect();
        let files = self.files.clone();
        thread(move || {
            let last = match read(&files, &layers, &sender) {
                Ok(()) => Part::End,
                Err(error) => Part::Broken(error),
            };
            // nobody listens any more: the nodes have failed, or someone pressed Ctrl-C
            let _gone = sender.blocking_send(last);
        })?;
        Ok(receiver)
    }
}

/// A thread that nobody joins: one that waits for a pipe must not keep devnet from ending.
pub(super) fn thread(work: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name("reader".into())
        .spawn(work)
        .map(|_detached| ())
        .map_err(|error| Error::failed("no thread to read with").because(error))
}

fn read(files: &Files, layers: &[PackedLayer], sender: &mpsc::Sender<Part>) -> Result<()> {
    let hand_on = |part| {
        sender
            .blocking_send(part)
            .map_err(|_| io::Error::other("nobody takes it"))
    };
    // equal layers are one file, and of two nodes each may lack it at another place
    let paths: BTreeSet<&str> = layers
        .iter()
        .filter_map(|layer| layer.path.as_deref())
        .collect();
    let paths: Vec<&str> = paths.into_iter().collect();
    files.visit(&paths, &mut |path, size, content| {
        let unread = |error| files.unread(error);
        let layer = layers
            .iter()
            .find(|layer| layer.path.as_deref() == Some(path))
            .ok_or_else(|| Error::failed("a file was read that nobody asked for"))?;
        let (header, padding) = archive::file_header(&layer.sent_as(), size)
            .ok_or_else(|| files.broken(format!("`{path}` can't be sent")))?;
        hand_on(Part::Begin(path.to_owned(), header.into())).map_err(unread)?;
        let mut passed = 0;
        let checked = check::layer(content, files.within(), &mut |bytes| {
            passed += bytes.len() as u64;
            hand_on(Part::Content(Bytes::copy_from_slice(bytes)))
        })
        .map_err(|error| files.layer_unread(&layer.diff_id, error))?;
        if passed < size {
            return Err(files.broken(format!(
                "it breaks off within the layer {}",
                layer.diff_id.0
            )));
        }
        checked
            .agrees(&layer.diff_id, layer.blob.as_ref())
            .map_err(|why| files.broken(why))?;
        hand_on(Part::Content(vec![0; padding].into())).map_err(unread)
    })
}
