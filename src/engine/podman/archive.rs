//! The archive that a podman loads: an OCI layout, made of an archive while that comes. A layer that did
//! not come is listed as what its store knows it by, a tar named by its diff ID, whatever the blob was
//! that its registry had.

use std::collections::HashMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::context::files::Files;
use crate::error::{Error, Result};
use crate::image::archive::{self, Entry};
use crate::image::archive_image::{PlatformImage, SmallBlob};
use crate::image::archive_pieces::{ArchivePiece, ArchivePieces};
use crate::image::catalog;
use crate::image::digest::Digest;
use crate::image::oci;
use crate::image::packing::Packing;
use crate::image::platform::Platform;
use crate::image::walk::{FIRST, Walked};

/// The name of what is sent, in messages.
const ARCHIVE: &str = "what was sent to the node";
/// The folder of blobs in a layout.
const BLOBS: &str = "blobs/sha256/";

/// An archive on its way to podman.
#[derive(Default)]
pub(super) struct LayoutArchive {
    pieces: ArchivePieces,
    walked: Walked,
    /// The blobs that were passed on, by their path in the archive that comes.
    blobs: HashMap<String, Blob>,
    current: Option<Current>,
}

#[derive(Clone)]
struct Blob {
    digest: Digest,
    size: u64,
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
    /// Under the name of its digest.
    Named(Digest),
    /// Under a name of its own, until its digest is known.
    Hashed(String, Box<Sha256>),
}

impl LayoutArchive {
    /// Takes bytes of the archive that comes, and hands on those that podman gets.
    ///
    /// # Errors
    /// When it is no archive, or holds more than one may.
    pub(super) fn take(&mut self, bytes: Bytes, give: &mut impl FnMut(Bytes)) -> Result<()> {
        let mut pieces = Vec::new();
        self.pieces
            .take(bytes, &mut |piece| pieces.push(piece))
            .map_err(|why| broken(why.to_owned()))?;
        for piece in pieces {
            match piece {
                ArchivePiece::Begin(entry) => {
                    let path = self.walked.note(&entry, 0).map_err(broken)?;
                    self.current = Some(Current {
                        entry,
                        path,
                        first: Vec::new(),
                        to: Destination::Undecided,
                    });
                }
                ArchivePiece::Content(bytes) => {
                    if let Some(mut current) = self.current.take() {
                        self.more(&mut current, bytes, give).map_err(broken)?;
                        self.current = Some(current);
                    }
                }
                ArchivePiece::End => {
                    if let Some(current) = self.current.take() {
                        self.end(current, give).map_err(broken)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The end of the archive, once all has come: what puts the image together, under a whole name.
    ///
    /// # Errors
    /// When it broke off, or holds no image that this platform runs.
    pub(super) fn finish(
        mut self,
        own: &Platform,
        name: &str,
        give: &mut impl FnMut(Bytes),
    ) -> Result<()> {
        if !self.pieces.is_whole() {
            return Err(broken("it breaks off".into()));
        }
        let files = Files::passed(ARCHIVE, std::mem::take(&mut self.walked));
        let images = catalog::read(&files)?;
        let [image] = images.as_slice() else {
            return Err(broken("it holds several images".into()));
        };
        let mut image = image.pick(own, false)?.clone();
        let mut is_as_made = image.manifest.as_ref().is_some_and(|manifest| {
            let read = oci::Manifest::read(&manifest.bytes);
            read.is_ok_and(|manifest| manifest.foreign_type().is_none())
        });
        for layer in &mut image.layers {
            let as_made = layer.blob.clone();
            match &layer.path {
                Some(path) if self.came(path, &files, give)? => {
                    let blob = &self.blobs[path];
                    layer.blob = Some(blob.digest.clone());
                    layer.size = blob.size;
                    // a manifest's own word on it is not read
                    layer.packing = files.packing(path)?;
                }
                _ => {
                    layer.blob = Digest::parse(&layer.diff_id.0);
                    layer.packing = Packing::Plain;
                }
            }
            is_as_made &= layer.blob == as_made;
        }
        if !is_as_made {
            image.manifest = None;
        }
        if image.make_manifest().is_none() {
            return Err(
                Error::failed("a layer is packed as registries have none").hint(
                    "`docker load` it into this computer's engine, and `devnet load` the image from there",
                ),
            );
        }
        documents(&image, name, give);
        Ok(())
    }

    /// Takes more of the file that is on its way.
    fn more(
        &mut self,
        current: &mut Current,
        mut bytes: Bytes,
        give: &mut impl FnMut(Bytes),
    ) -> Result<(), String> {
        let Some(path) = &current.path else {
            return Ok(());
        };
        if matches!(current.to, Destination::Undecided) {
            let size = current.entry.size;
            let enough = usize::try_from(size).unwrap_or(FIRST).min(FIRST);
            current.first.extend_from_slice(&bytes);
            if current.first.len() < enough {
                return Ok(());
            }
            bytes = std::mem::take(&mut current.first).into();
            current.to = if self.walked.may_hold(path, size, bytes[0]) {
                Destination::Memory(Vec::new())
            } else {
                self.walked.passed_on(path)?;
                let packing = Packing::of(&bytes[..enough]);
                self.walked.packed(path.clone(), packing)?;
                let named = path.strip_prefix(BLOBS);
                let named = named.and_then(|hex| Digest::parse(&format!("sha256:{hex}")));
                let (sent, to) = if let Some(digest) = named {
                    (digest.blob_path(), Destination::Named(digest))
                } else {
                    let sent = format!("layers/{}.tar", self.blobs.len());
                    (sent.clone(), Destination::Hashed(sent, Box::default()))
                };
                give(header(&sent, size)?);
                to
            };
        }
        match &mut current.to {
            Destination::Memory(held) => held.extend_from_slice(&bytes),
            Destination::Named(_) => give(bytes),
            Destination::Hashed(_, hash) => {
                hash.update(&bytes);
                give(bytes);
            }
            Destination::Undecided => {}
        }
        Ok(())
    }

    /// Ends the file that is on its way.
    fn end(&mut self, current: Current, give: &mut impl FnMut(Bytes)) -> Result<(), String> {
        let (Some(path), size) = (current.path, current.entry.size) else {
            return Ok(());
        };
        let digest = match current.to {
            Destination::Undecided => return Ok(()),
            Destination::Memory(held) => return self.walked.hold(path, held),
            Destination::Named(digest) => {
                give(vec![0; archive::padding(size)].into());
                digest
            }
            Destination::Hashed(sent, hash) => {
                give(vec![0; archive::padding(size)].into());
                let digest = Digest::from_hash(&hash.finalize());
                if !self.blobs.values().any(|blob| blob.digest == digest) {
                    give(link(&digest.blob_path(), &sent)?);
                }
                digest
            }
        };
        self.blobs.insert(path, Blob { digest, size });
        Ok(())
    }

    /// True where a layer's file has come; one that was taken for a document is passed on now.
    fn came(&mut self, path: &str, files: &Files, give: &mut impl FnMut(Bytes)) -> Result<bool> {
        if self.blobs.contains_key(path) {
            return Ok(true);
        }
        let Some(held) = files.small(path)? else {
            return Ok(false);
        };
        let (digest, size) = (Digest::of(&held), held.len() as u64);
        give(archive::small_file(&digest.blob_path(), &held).into());
        self.blobs.insert(path.to_owned(), Blob { digest, size });
        Ok(true)
    }
}

/// Hands on the documents of an image whose manifest is known, and the archive's end.
fn documents(image: &PlatformImage, name: &str, give: &mut impl FnMut(Bytes)) {
    let small = |small: &SmallBlob| archive::small_file(&small.digest.blob_path(), &small.bytes);
    let mut bytes = small(&image.config);
    if let Some(manifest) = &image.manifest {
        bytes.extend(small(manifest));
        // podmans differ in which of the two annotations they read
        let target = oci::Descriptor::target(&manifest.bytes).named(name.to_owned(), name);
        bytes.extend(archive::small_file("oci-layout", oci::LAYOUT));
        bytes.extend(archive::small_file("index.json", &oci::index(&[target])));
    }
    bytes.extend(archive::end());
    give(bytes.into());
}

fn header(path: &str, size: u64) -> Result<Bytes, String> {
    let header = archive::file_header(path, size);
    let (header, _) = header.ok_or_else(|| "a file's name fits no archive".to_owned())?;
    Ok(header.into())
}

/// The entry of one more name for a file that was passed on.
fn link(path: &str, to: &str) -> Result<Bytes, String> {
    let link = archive::link_header(path, to);
    Ok(link.ok_or("a file's name fits no archive")?.into())
}

fn broken(why: String) -> Error {
    Error::failed(format!("{ARCHIVE} is broken")).caused_by(why)
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
