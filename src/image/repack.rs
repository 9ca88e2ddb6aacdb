//! Turns the archive that one engine streams into those that several nodes need: the layers a node
//! has are left out, and the image is named as the transfer wants it. One pass, nothing kept but
//! the small files that say how the archive is put together.

use std::collections::HashMap;

use crate::image::archive::{self, BLOCK, Block, Entry, Headers};
use crate::image::oci;

/// A part of an archive, and who needs it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// An entry begins: its header, and the path of the blob if it is one.
    Begin {
        header: Vec<u8>,
        blob: Option<String>,
    },
    /// Content (or what fills its last block) of the entry that began last.
    Content(&'a [u8]),
    /// A small file that everyone gets, made anew.
    Made(Vec<u8>),
}

/// The folder of blobs in an archive.
const BLOBS: &str = "blobs/sha256/";
/// Files that name the image are rewritten, so they are held; they are never this large.
const LARGEST_MADE: u64 = 8 << 20;

/// Reads the stream piece by piece.
#[derive(Debug)]
pub(crate) struct Repack {
    name: (String, String),
    headers: Headers,
    /// A block that has come in part.
    block: Vec<u8>,
    /// The rest of the present entry's content, and of the filling of its last block.
    left: u64,
    fill: usize,
    /// A file that is held, with its content so far.
    held: Option<(Entry, Vec<u8>)>,
    /// `repositories` (an old kind of index) is left out.
    skipping: bool,
    /// The blobs that came, and their sizes.
    blobs: HashMap<String, u64>,
    /// The paths of the image's layers, the base first, and that of its configuration.
    layers: Vec<String>,
    configuration: Option<String>,
}

impl Repack {
    /// `name` is the repository and tag under which nodes are to have the image at first.
    pub(crate) fn new(name: (String, String)) -> Self {
        Self {
            name,
            headers: Headers::default(),
            block: Vec::new(),
            left: 0,
            fill: 0,
            held: None,
            skipping: false,
            blobs: HashMap::new(),
            layers: Vec::new(),
            configuration: None,
        }
    }

    /// Takes bytes of the stream and hands on their pieces.
    ///
    /// # Errors
    /// Says what is wrong with the archive.
    pub(crate) fn take<'a>(
        &mut self,
        mut bytes: &'a [u8],
        mut give: impl FnMut(Piece<'a>),
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let (content, rest) = bytes.split_at(count);
                bytes = rest;
                self.left -= count as u64;
                match &mut self.held {
                    Some((_, held)) => held.extend_from_slice(content),
                    None if self.skipping => {}
                    None => give(Piece::Content(content)),
                }
                continue;
            }
            if let Some((entry, held)) = self.held.take() {
                give(Piece::Made(self.made(&entry, &held)?));
                self.skipping = true;
            }
            if self.fill > 0 {
                let count = self.fill.min(bytes.len());
                let (content, rest) = bytes.split_at(count);
                bytes = rest;
                self.fill -= count;
                if !self.skipping {
                    give(Piece::Content(content));
                }
                continue;
            }
            let count = (BLOCK - self.block.len()).min(bytes.len());
            self.block.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.block.len() == BLOCK {
                let block = std::mem::take(&mut self.block);
                if let Block::Entry(entry) = self.headers.take(&block)? {
                    self.begin(entry, &mut give)?;
                }
            }
        }
        Ok(())
    }

    /// True where the stream ended at the end of an entry.
    pub(crate) fn is_whole(&self) -> bool {
        self.left == 0 && self.fill == 0 && self.block.is_empty() && self.held.is_none()
    }

    /// The blob of each layer and its size, the base first. `None` when one is no blob: older
    /// engines name layers otherwise.
    pub(crate) fn layers(&self) -> Option<Vec<(&str, u64)>> {
        self.layers
            .iter()
            .map(|path| {
                let blob = path.strip_prefix(BLOBS)?;
                Some((blob, *self.blobs.get(blob)?))
            })
            .collect()
    }

    /// The blob of the image's configuration; `None` when it is no blob.
    pub(crate) fn configuration(&self) -> Option<&str> {
        self.configuration.as_deref()?.strip_prefix(BLOBS)
    }

    fn begin<'a>(&mut self, entry: Entry, give: &mut impl FnMut(Piece<'a>)) -> Result<(), String> {
        self.left = entry.size;
        self.fill = archive::padding(entry.size);
        let path = entry.path.trim_start_matches("./").to_owned();
        self.skipping = path == "repositories";
        if matches!(path.as_str(), "manifest.json" | "index.json") {
            if entry.size > LARGEST_MADE {
                return Err(format!("`{path}` is larger than 8 MB"));
            }
            self.held = Some((Entry { path, ..entry }, Vec::new()));
        } else if !self.skipping {
            let blob = path.strip_prefix(BLOBS).map(str::to_owned);
            if let Some(blob) = &blob {
                self.blobs.insert(blob.clone(), entry.size);
            }
            give(Piece::Begin {
                header: entry.header,
                blob,
            });
        }
        Ok(())
    }

    /// The file that names the image, with our name in it.
    fn made(&mut self, entry: &Entry, content: &[u8]) -> Result<Vec<u8>, String> {
        let wrong = |error: serde_json::Error| format!("`{}`: {error}", entry.path);
        let (repository, tag) = &self.name;
        let bytes = if entry.path == "manifest.json" {
            let mut manifest = oci::ArchiveManifest::read(content).map_err(wrong)?;
            let first = manifest.images().and_then(|mut images| images.next());
            let layers = first.map(oci::ArchiveImageRef::layers).unwrap_or_default();
            self.layers = layers.into_iter().map(str::to_owned).collect();
            self.configuration = first.map(|image| image.config().to_owned());
            manifest.rename(&format!("{repository}:{tag}"));
            manifest.to_bytes()
        } else {
            let mut index = oci::Index::read(content).map_err(wrong)?;
            index.rename((repository, tag));
            index.to_bytes()
        };
        Ok(archive::small_file(&entry.path, &bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, content) in [
            ("blobs/sha256/aa", &b"base layer"[..]),
            ("blobs/sha256/bb", &[7_u8; 1500][..]),
            ("manifest.json", br#"[{"Config":"blobs/sha256/cc","RepoTags":["app:dev"],"Layers":["blobs/sha256/aa"]}]"#),
            ("repositories", b"{}"),
        ] {
            bytes.extend(archive::small_file(path, content));
        }
        bytes.extend(archive::end());
        bytes
    }

    /// Repacks in pieces of `step` bytes, without the blob `aa`.
    fn repacked(step: usize) -> Vec<u8> {
        let mut repack = Repack::new(("t".into(), "1".into()));
        let mut out = Vec::new();
        let mut wanted = true;
        for piece in save().chunks(step) {
            repack
                .take(piece, |piece| match piece {
                    Piece::Begin { header, blob } => {
                        wanted = blob.as_deref() != Some("aa");
                        if wanted {
                            out.extend(header);
                        }
                    }
                    Piece::Content(bytes) if wanted => out.extend(bytes),
                    Piece::Content(_) => {}
                    Piece::Made(bytes) => out.extend(bytes),
                })
                .unwrap();
        }
        assert!(repack.is_whole());
        assert_eq!(repack.configuration(), Some("cc"));
        assert_eq!(
            repack.layers().unwrap(),
            [("aa", 10)],
            "what was left out too"
        );
        out.extend(archive::end());
        out
    }

    #[test]
    fn known_layers_are_left_out_and_the_name_is_ours_however_the_bytes_come() {
        let whole = repacked(usize::MAX >> 1);
        for step in [1, 7, 511, 512, 513, 4096] {
            assert_eq!(repacked(step), whole, "in steps of {step}");
        }
        let mut reader = tar::Archive::new(&whole[..]);
        let mut paths = Vec::new();
        for entry in reader.entries().unwrap() {
            use std::io::Read as _;
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = Vec::new();
            entry.read_to_end(&mut text).unwrap();
            if path == "manifest.json" {
                assert!(String::from_utf8_lossy(&text).contains(r#""RepoTags":["t:1"]"#));
            }
            paths.push(path);
        }
        assert_eq!(paths, ["blobs/sha256/bb", "manifest.json"]);
    }
}
