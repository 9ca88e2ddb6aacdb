//! An archive that comes through a pipe: it can't be read twice, and the files that explain it
//! stand at its end. Files that a node is known to have are left out, all others are passed on as
//! they come and hashed; the image's manifest is sent last, once all of that is known to be right.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader, Cursor, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::context::files::Files;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::image::archive as tar_bytes;
use crate::image::archive_image::{ArchiveImage, PlatformImage};
use crate::image::archive_reader::Passing;
use crate::image::catalog;
use crate::image::check::{self, Checked};
use crate::image::digest::{ChainId, DiffId, chain_ids, missing};
use crate::image::packing::{Packing, Window, unpack};
use crate::image::stored::Keep;
use crate::image::walk::{FIRST, TarScanner, Walked, broken, no_archive, too_many, unread_once};
use crate::load::delivery::Sent;
use crate::load::parts::{FilePaths, FileToSend, Hand, Part, WAITING, parts};
use crate::load::uploads::{FanOut, NodeUpload};
use crate::progress::Sender;

/// The most bytes after an archive's end that are read away, for its writer not to be killed.
const TRAILER: u64 = 1 << 20;

/// A node and what it has.
pub(crate) struct Known<'a> {
    pub(crate) engine: &'a Engine,
    keep: Keep,
    chains: HashSet<ChainId>,
    diff_ids: HashSet<DiffId>,
}

/// The result on one node.
pub(crate) struct Received {
    pub(crate) packed: PlatformImage,
    pub(crate) missing: Vec<usize>,
    pub(crate) sent: Sent,
}

impl<'a> Known<'a> {
    /// The places of an image's layers that it lacks.
    fn missing(&self, layers: &[DiffId]) -> Vec<usize> {
        if !self.engine.images.layers_stand_alone() {
            return missing(layers, &self.chains);
        }
        let lacks = |place: &usize| !self.diff_ids.contains(&layers[*place]);
        (0..layers.len()).filter(lacks).collect()
    }

    /// Asks a node what it has.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn of(engine: &'a Engine, keep: Keep) -> Result<Self> {
        let stacks = engine.images.stacks(keep).await?;
        Ok(Self {
            engine,
            keep,
            chains: stacks.iter().flat_map(|layers| chain_ids(layers)).collect(),
            diff_ids: stacks.into_iter().flatten().collect(),
        })
    }
}

/// Reads an archive, which messages call `archive`, to its end and gives nodes, under `name`, the image that `pick` takes out of
/// it. With `send` unset nothing is sent.
///
/// # Errors
/// When the archive is broken or `pick` refuses: then no node has anything.
pub(crate) async fn receive(
    input: impl Read + Send + 'static,
    archive: &str,
    nodes: &[Known<'_>],
    name: (&str, &str),
    send: bool,
    events: &Sender,
    pick: impl FnOnce(Vec<ArchiveImage>) -> Result<Vec<Result<PlatformImage>>>,
) -> Result<Vec<Result<Received>>> {
    let called = archive.to_owned();
    let mut parts = parts(move |hand| read(input, &called, hand))?;
    let produce = async |uploads: &mut [NodeUpload]| {
        let mut stream = Stream::new(archive, nodes, uploads);
        let walked = stream.pass(&mut parts).await?;
        let files = Files::passed(archive, walked);
        let picked = pick(catalog::read(&files)?)?;
        stream.end(&files, picked, name).await
    };
    let ours = format!("{}:{}", name.0, name.1);
    let fan_out = FanOut {
        name: &ours,
        layers: None,
        nodes: nodes
            .iter()
            .filter(|_| send)
            .map(|node| (node.engine, node.keep))
            .collect(),
        waiting: WAITING,
        events,
    };
    // what arrives can be compared only with what the archive's end says
    let (outcome, sent) = fan_out.run(produce, async {}, async |_| Ok(())).await;
    let mut sent = sent.into_iter();
    let mut all = Vec::new();
    for (node, made) in nodes.iter().zip(outcome?) {
        let (bytes, loaded) = sent
            .next()
            .map_or((0, Ok(())), |sent| (sent.bytes, sent.outcome));
        let (packed, missing) = match made {
            Ok(made) => made,
            Err(error) => {
                all.push(Err(error));
                continue;
            }
        };
        let outcome = match loaded {
            Ok(()) if send => compare(node.engine, &packed, name).await,
            other => other.map(|()| String::new()),
        };
        all.push(Ok(Received {
            packed,
            missing,
            sent: Sent { bytes, outcome },
        }));
    }
    Ok(all)
}

/// Checks that the image which arrived has the layers of the one that was sent.
async fn compare(engine: &Engine, packed: &PlatformImage, name: (&str, &str)) -> Result<String> {
    let arrived = engine
        .images
        .image(&format!("{}:{}", name.0, name.1))
        .await?;
    let same = arrived.layers.len() == packed.layers.len()
        && arrived
            .layers
            .iter()
            .zip(&packed.layers)
            .all(|(there, layer)| *there == layer.diff_id);
    if same {
        return Ok(arrived.id);
    }
    Err(Error::failed("the image did not arrive whole").hint(SAVE_IT))
}

const SAVE_IT: &str =
    "what comes through a pipe can't be read again: write it to a file and load that";

struct Stream<'s> {
    archive: &'s str,
    nodes: &'s [Known<'s>],
    uploads: &'s mut [NodeUpload],
    /// The files that were passed on to each node, by the paths of the archive that is read.
    passed: Vec<HashSet<String>>,
    /// The digests of each file, and the name under which it is passed on.
    checked: HashMap<String, (Checked, String)>,
}

impl<'s> Stream<'s> {
    fn new(archive: &'s str, nodes: &'s [Known<'s>], uploads: &'s mut [NodeUpload]) -> Self {
        Self {
            archive,
            nodes,
            passed: vec![HashSet::new(); uploads.len()],
            uploads,
            checked: HashMap::new(),
        }
    }

    /// Passes files on until the archive ends.
    async fn pass(&mut self, parts: &mut mpsc::Receiver<Part<Walked>>) -> Result<Walked> {
        let mut now = FilePaths::default();
        while let Some(part) = parts.recv().await {
            let bytes = match part {
                Part::Begin(paths, header) => {
                    for (index, passed) in self.passed.iter_mut().enumerate() {
                        if !has(&self.nodes[index], &paths.read) {
                            passed.insert(paths.read.clone());
                        }
                    }
                    now = paths;
                    header
                }
                Part::Content(bytes) => bytes,
                Part::Checked(checked) => {
                    self.checked
                        .insert(now.read.clone(), (checked, now.sent.clone()));
                    continue;
                }
                Part::End(walked) => return Ok(walked),
                Part::Broken(error) => return Err(error),
            };
            for (upload, passed) in self.uploads.iter_mut().zip(&self.passed) {
                if passed.contains(&now.read) {
                    upload.send(bytes.clone()).await;
                }
            }
        }
        Err(broken(self.archive, "reading it failed".into()))
    }

    /// Checks every layer and tells the nodes how the image is put together.
    async fn end(
        &mut self,
        files: &Files,
        picked: Vec<Result<PlatformImage>>,
        name: (&str, &str),
    ) -> Result<Vec<Result<(PlatformImage, Vec<usize>)>>> {
        let mut made = Vec::new();
        for (index, packed) in picked.into_iter().enumerate() {
            let packed = match packed {
                Ok(packed) => packed,
                Err(error) => {
                    if let Some(upload) = self.uploads.get_mut(index) {
                        upload.break_off(&error).await;
                    }
                    made.push(Err(error));
                    continue;
                }
            };
            let (packed, held) = self.known(files, packed)?;
            let node = &self.nodes[index];
            let diff_ids: Vec<DiffId> = packed
                .layers
                .iter()
                .map(|layer| layer.diff_id.clone())
                .collect();
            let missing = node.missing(&diff_ids);
            let Some(upload) = self.uploads.get_mut(index) else {
                made.push(Ok((packed, missing)));
                continue;
            };
            let lacks = packed.paths(&missing).and_then(|paths| {
                let lost = paths.into_iter().find(|(_, path)| {
                    !self.passed[index].contains(*path) && !held.contains_key(*path)
                });
                match lost {
                    None => Ok(()),
                    Some((lost, _)) => Err(Error::failed(format!(
                        "{} has the layer {} on another base only",
                        node.engine.node.address(),
                        packed.layers[lost].diff_id.0
                    ))
                    .hint(SAVE_IT)),
                }
            });
            if let Err(error) = lacks {
                upload.break_off(&error).await;
                made.push(Err(error));
                continue;
            }
            for bytes in held.into_values() {
                upload.send(bytes).await;
            }
            upload.send(packed.ending(name).into()).await;
            made.push(Ok((packed, missing)));
        }
        Ok(made)
    }

    /// An image whose layers all have the digests that it names, with the names under which they
    /// were sent; and the files that were taken for JSON and held, as they are to be sent now.
    fn known(
        &self,
        files: &Files,
        mut packed: PlatformImage,
    ) -> Result<(PlatformImage, HashMap<String, Bytes>)> {
        let mut held = HashMap::new();
        let is_oci = packed.manifest.is_some();
        for layer in &mut packed.layers {
            let Some(path) = layer.path.clone() else {
                continue;
            };
            let checked = if let Some((checked, sent)) = self.checked.get(&path) {
                if !is_oci {
                    layer.sent = Some(sent.clone());
                }
                checked.clone()
            } else {
                let content = files.small(&path)?.unwrap_or_default();
                let checked = check::layer(&mut &*content, Window::WIDEST, &mut |_| Ok(()))
                    .map_err(|error| unread_once(self.archive, error))?;
                held.insert(
                    path,
                    tar_bytes::small_file(&layer.sent_as(), &content).into(),
                );
                checked
            };
            checked
                .agrees(&layer.diff_id, layer.blob.as_ref())
                .map_err(|why| broken(self.archive, why))?;
        }
        Ok((packed, held))
    }
}

/// True where a node has this file as a layer, on whatever base: its name is its diff ID where
/// engines without containerd's store wrote the archive.
fn has(node: &Known<'_>, path: &str) -> bool {
    path.strip_prefix("blobs/sha256/")
        .is_some_and(|hex| node.diff_ids.contains(&DiffId(format!("sha256:{hex}"))))
}

fn read(mut input: impl Read, archive: &str, hand: &Hand<Walked>) -> Result<Walked> {
    let fail = |error| unread_once(archive, error);
    let too_many = |why| too_many(archive, why);
    let mut first = Vec::new();
    (&mut input)
        .take(FIRST as u64)
        .read_to_end(&mut first)
        .map_err(fail)?;
    if first.is_empty() {
        return Err(no_archive(archive, "it is empty"));
    }
    let packing = Packing::of(&first);
    let input = BufReader::with_capacity(64 << 10, Cursor::new(first).chain(input));
    let mut scanner = TarScanner::once(Passing(unpack(input, packing, Window::WIDEST)));
    let mut walked = Walked::default();
    let mut count = 0;
    while let Some(entry) = scanner.next(archive)? {
        let path = walked.note(&entry, scanner.at).map_err(too_many)?;
        let padding = tar_bytes::padding(entry.size) as u64;
        let Some(path) = path.clone().filter(|_| entry.size > 0) else {
            if let Some(empty) = path {
                walked.hold(empty, Vec::new()).map_err(too_many)?;
            }
            scanner.pass(archive, entry.size + padding)?;
            continue;
        };
        let mut first = [0; FIRST];
        let begins = usize::try_from(entry.size).unwrap_or(FIRST).min(FIRST);
        let first = &mut first[..begins];
        scanner.reader.read_exact(first).map_err(fail)?;
        let mut content = (&*first).chain((&mut scanner.reader).take(entry.size - begins as u64));
        if walked.may_hold(&path, entry.size, first[0]) {
            let mut held = Vec::new();
            content.read_to_end(&mut held).map_err(fail)?;
            if (held.len() as u64) < entry.size {
                return Err(broken(archive, "it breaks off".into()));
            }
            walked.hold(path, held).map_err(too_many)?;
        } else {
            walked
                .passed_on(&path)
                .and_then(|()| walked.packed(path.clone(), Packing::of(first)))
                .map_err(too_many)?;
            count += 1;
            let sent = if path.starts_with("blobs/sha256/") {
                path.clone()
            } else {
                format!("layers/{count}.tar")
            };
            let file = FileToSend {
                archive,
                called: &format!("`{path}`"),
                paths: FilePaths { read: path, sent },
                size: entry.size,
                widest: packing.within(),
            };
            hand.file(file, &mut content)?;
        }
        scanner.at += entry.size;
        scanner.pass(archive, padding)?;
    }
    io::copy(&mut (&mut scanner.reader).take(TRAILER), &mut io::sink()).map_err(fail)?;
    Ok(walked)
}
