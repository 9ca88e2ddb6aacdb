//! A walk through an archive, header after header: which paths stand in it and where, which lead out
//! of it, and what of a packed one is held since there is no going back.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::sync::Arc;

use crate::command_line;
use crate::error::{Error, Result};
use crate::image::archive::{self, BLOCK, Block, Entry, EntryKind, Headers, WRONG_SUM};
use crate::image::archive_reader::{ArchiveReader, fill};
use crate::image::packing::{Packing, TooWide};

/// Manifests, indexes and configurations are smaller: registries take no more.
pub(crate) const LARGEST_JSON: u64 = 4 << 20;
/// The most bytes that are held of a packed archive's JSON, beside the two files that list its
/// images.
const HELD: u64 = 8 << 20;
/// The files that list an archive's images.
pub(crate) const LISTS: [&str; 2] = ["index.json", "manifest.json"];
/// The most bytes of the list of an archive's files: 50,000 layers of docker's old kind.
const LISTED: usize = 12 << 20;
/// The bytes of a file in that list beside its name and its link.
const FILE: usize = 160;
/// The same of one that is passed on: two digests, and its name on the other side.
const PASSED: usize = 512;
/// The number of bytes that tell how a file is packed.
pub(crate) const FIRST: usize = 8;

#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// The start of its content, and its size.
    File(u64, u64),
    /// Another path of the archive; `None` leads out of it.
    Link(Option<String>),
}

/// The files that were seen on a walk through an archive.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) found: HashMap<String, Found>,
    pub(crate) held: HashMap<String, Arc<[u8]>>,
    pub(crate) packings: HashMap<String, Packing>,
    room_taken: u64,
    listed: usize,
}

impl Walked {
    /// Notes an entry whose content begins at `at`; gives the path of a regular file.
    pub(crate) fn note(&mut self, entry: &Entry, at: u64) -> Result<Option<String>, String> {
        self.list(FILE + entry.path.len())?;
        if let EntryKind::Hardlink(to) | EntryKind::Symlink(to) = &entry.kind {
            self.list(to.len())?;
        }
        // nobody can ask for a path that leads out
        let Some(path) = inside(&entry.path) else {
            return Ok(None);
        };
        let found = match &entry.kind {
            EntryKind::File => Found::File(at, entry.size),
            EntryKind::Hardlink(to) => Found::Link(inside(to)),
            EntryKind::Symlink(to) => Found::Link(beside(&path, to)),
            EntryKind::Other => return Ok(None),
        };
        let is_file = matches!(found, Found::File(..));
        self.found.insert(path.clone(), found);
        Ok(is_file.then_some(path))
    }

    /// Makes room in the list of files.
    fn list(&mut self, more: usize) -> Result<(), String> {
        self.listed += more;
        if self.listed > LISTED {
            let most = LISTED >> 20;
            return Err(format!("the list of its files takes more than {most} MB"));
        }
        Ok(())
    }

    /// True where a file may be JSON that must be held.
    pub(crate) fn may_hold(&self, path: &str, size: u64, first: u8) -> bool {
        matches!(first, b'{' | b'[' | b' ' | b'\n' | b'\t' | b'\r')
            && size <= LARGEST_JSON
            && (self.room_taken + size <= HELD || LISTS.contains(&path))
    }

    pub(crate) fn packed(&mut self, path: String, packing: Packing) -> Result<(), String> {
        self.list(FILE + path.len())?;
        self.packings.insert(path, packing);
        Ok(())
    }

    /// Notes a file that is passed on: its digests are remembered too.
    pub(crate) fn passed_on(&mut self, path: &str) -> Result<(), String> {
        self.list(PASSED + 3 * path.len())
    }

    pub(crate) fn hold(&mut self, path: String, content: Vec<u8>) -> Result<(), String> {
        self.list(FILE + path.len())?;
        if !LISTS.contains(&path.as_str()) {
            self.room_taken += content.len() as u64;
        }
        self.held.insert(path, content.into());
        Ok(())
    }
}

/// Reads the headers of one archive after the other's contents.
pub(crate) struct TarScanner<T> {
    pub(crate) reader: T,
    headers: Headers,
    pub(crate) at: u64,
    zeros: usize,
    any: bool,
    unread: fn(&str, io::Error) -> Error,
}

impl<T: ArchiveReader> TarScanner<T> {
    pub(crate) fn new(reader: T) -> Self {
        Self {
            reader,
            headers: Headers::default(),
            at: 0,
            zeros: 0,
            any: false,
            unread,
        }
    }

    /// The same through what comes once.
    pub(crate) fn once(reader: T) -> Self {
        let unread = unread_once;
        Self {
            unread,
            ..Self::new(reader)
        }
    }

    /// The next entry; its content follows, and what fills its last block.
    ///
    /// # Errors
    /// When it is no archive, or breaks off.
    pub(crate) fn next(&mut self, name: &str) -> Result<Option<Entry>> {
        let mut block = [0; BLOCK];
        loop {
            let count =
                fill(&mut self.reader, &mut block).map_err(|error| (self.unread)(name, error))?;
            match count {
                BLOCK => {}
                _ if !self.any => return Err(no_archive(name, "it does not begin as one")),
                0 if self.headers.between_entries() => return Ok(None),
                _ => return Err(broken(name, "it breaks off".into())),
            }
            self.at += BLOCK as u64;
            if self.headers.between_entries() && block.iter().all(|byte| *byte == 0) {
                self.zeros += 1;
                if self.zeros < 2 {
                    continue;
                }
                if self.any {
                    return Ok(None);
                }
                return Err(no_archive(name, "there is nothing in it"));
            }
            self.zeros = 0;
            let at = self.at - BLOCK as u64;
            let taken = self.headers.take(&block).map_err(|why| {
                if self.any || why != WRONG_SUM {
                    broken(name, format!("{why} at byte {at}"))
                } else {
                    no_archive(name, "it does not begin as one")
                }
            })?;
            self.any = true;
            if let Block::Entry(entry) = taken {
                return Ok(Some(entry));
            }
        }
    }

    /// Goes past the rest of a content.
    pub(crate) fn pass(&mut self, name: &str, count: u64) -> Result<()> {
        self.at += count;
        let passed = self.reader.pass(count);
        passed.map_err(|error| (self.unread)(name, error))
    }
}

pub(crate) fn walk(name: &str, reader: &mut dyn ArchiveReader, hold: bool) -> Result<Walked> {
    let mut walked = Walked::default();
    let mut scanner = TarScanner::new(reader);
    while let Some(entry) = scanner.next(name)? {
        let path = walked
            .note(&entry, scanner.at)
            .map_err(|why| too_many(name, why))?;
        let mut left = entry.size + archive::padding(entry.size) as u64;
        if let Some(path) = path.filter(|_| hold && entry.size > 0) {
            let mut first = [0; FIRST];
            let count = usize::try_from(entry.size).unwrap_or(FIRST).min(FIRST);
            let first = &mut first[..count];
            let breaks_off = |error| unread(name, error);
            scanner.reader.read_exact(first).map_err(breaks_off)?;
            let mut taken = count as u64;
            if walked.may_hold(&path, entry.size, first[0]) {
                let mut content = first.to_vec();
                (&mut scanner.reader)
                    .take(entry.size - taken)
                    .read_to_end(&mut content)
                    .map_err(breaks_off)?;
                taken = content.len() as u64;
                if taken < entry.size {
                    return Err(broken(name, "it breaks off".into()));
                }
                walked.hold(path, content)
            } else {
                walked.packed(path, Packing::of(first))
            }
            .map_err(|why| too_many(name, why))?;
            scanner.at += taken;
            left -= taken;
        }
        scanner.pass(name, left)?;
    }
    Ok(walked)
}

/// A path without detours; `None` when it is absolute or climbs out.
pub(crate) fn inside(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\0') || path.contains('\\') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// The path to which a symbolic link at `path` leads.
fn beside(path: &str, to: &str) -> Option<String> {
    if to.starts_with('/') {
        return None;
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    inside(format!("{folder}/{to}").trim_start_matches('/'))
}

pub(crate) fn broken(name: &str, why: String) -> Error {
    Error::failed(format!("the image archive `{name}` is broken")).caused_by(why)
}

/// The error of an archive with more files than images have.
pub(crate) fn too_many(name: &str, why: String) -> Error {
    broken(name, why).hint(EXPORTED)
}

/// The hint that an archive may be no image's.
pub(crate) const EXPORTED: &str =
    "`docker export` writes a container's files, `docker save` an image";

/// The error of a file that can't be read.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn unread(name: &str, error: io::Error) -> Error {
    if let Some(wide) = TooWide::of(&error) {
        let command = command_line::with(wide.unpacker(), [name]);
        return too_wide(name, wide.to_string()).hint(format!("`{command} | devnet load -`"));
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return broken(name, "it breaks off".into());
    }
    broken(name, error.to_string())
}

/// The same of what comes once, through a pipe.
pub(crate) fn unread_once(name: &str, error: io::Error) -> Error {
    match TooWide::of(&error) {
        Some(wide) => too_wide(name, wide.to_string())
            .hint(format!("`… | {} | devnet load -`", wide.unpacker())),
        None => unread(name, error),
    }
}

/// The error of a layer of an archive that can't be read.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn layer_unread(name: &str, layer: &str, error: io::Error) -> Error {
    match TooWide::of(&error) {
        Some(wide) => too_wide(name, format!("{layer}: {wide}")).hint(
            "`docker load` it into this computer's engine, and `devnet load` the image from there",
        ),
        None => broken(name, format!("{layer}: {error}")),
    }
}

fn too_wide(name: &str, wide: String) -> Error {
    let takes = format!("unpacking `{name}` takes more memory than devnet has for it");
    Error::failed(takes).caused_by(wide)
}

pub(crate) fn no_archive(name: &str, why: &str) -> Error {
    Error::failed(format!("`{name}` is no image archive"))
        .caused_by(why.to_owned())
        .hint("`docker save` and `--output type=oci` of a build write such archives")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(inside("./a//b/../c").as_deref(), Some("a/c"));
        for out in ["/a", "..", "a/../../b", "", ".", "a\\..\\b", "a\0"] {
            assert_eq!(inside(out), None, "{out:?}");
        }
        assert_eq!(
            beside("one/layer.tar", "../two/layer.tar").as_deref(),
            Some("two/layer.tar")
        );
        assert_eq!(beside("layer.tar", "../etc/passwd"), None);
        assert_eq!(beside("layer.tar", "/etc/passwd"), None);
    }

    #[test]
    fn names_may_not_fill_the_memory() {
        let entry = Entry {
            path: "d".repeat(60 << 10),
            size: 0,
            header: Vec::new(),
            kind: EntryKind::File,
        };
        let mut walked = Walked::default();
        let noted = (0..2000).filter(|_| walked.note(&entry, 0).is_ok()).count();
        assert!(noted * entry.path.len() <= LISTED, "{noted}");
        let mut walked = Walked::default();
        let passed = (0..100_000)
            .filter(|_| walked.passed_on("layer.tar").is_ok())
            .count();
        assert!(passed * PASSED <= LISTED, "{passed}");
    }
}
