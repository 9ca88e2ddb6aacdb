//! The files of an image archive, or of an OCI layout folder, by their paths. An archive on disk is
//! read by its headers, seeking over contents; one that is packed is read through. Nothing is ever
//! unpacked to disk, so no path in it can lead anywhere.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::image::archive::{self, BLOCK, Block, Entry, EntryKind, Headers};
use crate::image::packing::{Packing, unpack};

/// Manifests, indexes and configurations are smaller.
pub(crate) const LARGEST_JSON: u64 = 8 << 20;
/// What is held of a packed archive's JSON.
pub(crate) const HELD: u64 = 32 << 20;
/// An archive of more files than this is none of images.
const MOST_ENTRIES: usize = 200_000;
/// What their names and links may take together.
const NAMES: usize = 64 << 20;
/// Links to links to links.
const MOST_LINKS: usize = 8;
/// As many bytes tell how something is packed.
pub(crate) const FIRST: usize = 8;
const BUFFER: usize = 64 << 10;

/// The files of one archive or folder.
#[derive(Debug)]
pub(crate) struct Files {
    /// What a person calls it.
    pub(crate) name: String,
    body: Body,
    found: HashMap<String, Found>,
    /// The JSON of a packed archive, which can't be gone back to.
    held: HashMap<String, Vec<u8>>,
    /// How its other files are packed themselves.
    packings: HashMap<String, Packing>,
}

#[derive(Debug)]
enum Body {
    Folder(PathBuf),
    Plain(File),
    Packed(File, Packing),
    /// A stream that has been read: what was held is all there is.
    Gone,
}

#[derive(Clone, Debug)]
enum Found {
    /// Where its content begins, and its size.
    File(u64, u64),
    /// Another path of the archive; `None` leads out of it.
    Link(Option<String>),
}

impl Files {
    /// Opens an archive file or a layout folder.
    ///
    /// # Errors
    /// When it can't be read, is neither, or breaks off.
    pub(crate) fn open(path: &Path, name: &str) -> Result<Self> {
        let unread =
            |error: io::Error| Error::failed(format!("`{name}` can't be read")).because(error);
        let kind = std::fs::metadata(path).map_err(unread)?;
        if kind.is_dir() {
            return Self::folder(path, name);
        }
        if !kind.is_file() {
            return Err(
                Error::failed(format!("`{name}` is neither a file nor a folder"))
                    .hint("`-` reads an archive from stdin"),
            );
        }
        Self::of_file(File::open(path).map_err(unread)?, name)
    }

    /// An archive in a file that can seek.
    ///
    /// # Errors
    /// When it is no archive, or breaks off.
    pub(crate) fn of_file(file: File, name: &str) -> Result<Self> {
        let unread =
            |error: io::Error| Error::failed(format!("`{name}` can't be read")).because(error);
        let mut first = Vec::new();
        (&file)
            .take(8)
            .read_to_end(&mut first)
            .and_then(|_count| (&file).rewind())
            .map_err(unread)?;
        if first.is_empty() {
            return Err(no_archive(name, "it is empty"));
        }
        let packing = Packing::of(&first);
        let mut files = Self {
            name: name.into(),
            body: Body::Plain(file),
            found: HashMap::new(),
            held: HashMap::new(),
            packings: HashMap::new(),
        };
        let walked = match (packing, &files.body) {
            (Packing::Plain, Body::Plain(file)) => {
                let length = file.metadata().map_err(unread)?.len();
                let mut tape = Seeking {
                    file: BufReader::new(file),
                    at: 0,
                    length,
                };
                walk(name, &mut tape, false)
            }
            (_, Body::Plain(file)) => {
                let file = BufReader::with_capacity(BUFFER, file);
                walk(name, &mut Passing(unpack(file, packing)), true)
            }
            _ => Ok(Walked::default()),
        }?;
        files.found = walked.found;
        files.held = walked.held;
        files.packings = walked.packings;
        if packing != Packing::Plain
            && let Body::Plain(file) = files.body
        {
            files.body = Body::Packed(file, packing);
        }
        Ok(files)
    }

    fn folder(path: &Path, name: &str) -> Result<Self> {
        if !path.join("index.json").is_file() {
            return Err(
                Error::failed(format!("`{name}` is a folder, and no OCI image layout"))
                    .because("it has no `index.json`"),
            );
        }
        Ok(Self {
            name: name.into(),
            body: Body::Folder(path.to_owned()),
            found: HashMap::new(),
            held: HashMap::new(),
            packings: HashMap::new(),
        })
    }

    /// What is known of a stream's files once it has been read: there is no going back to them.
    pub(crate) fn passed(name: &str, walked: Walked) -> Self {
        Self {
            name: name.into(),
            body: Body::Gone,
            found: walked.found,
            held: walked.held,
            packings: walked.packings,
        }
    }

    /// Where a file stands (links followed) and its size; `None` when it is not there.
    ///
    /// # Errors
    /// When the path, or a link on the way, leads out of the archive.
    pub(crate) fn find(&self, path: &str) -> Result<Option<(String, u64)>> {
        let out = || self.broken(format!("`{}` leads out of it", path.escape_debug()));
        let mut path = inside(path).ok_or_else(out)?;
        if let Body::Folder(folder) = &self.body {
            return match std::fs::metadata(folder.join(&path)) {
                // reading a pipe or a device would wait for ever
                Ok(kind) if kind.is_file() => Ok(Some((path, kind.len()))),
                Ok(_) => Err(self.broken(format!("`{path}` is no file"))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(
                    Error::failed(format!("`{}/{path}` can't be read", self.name)).because(error),
                ),
            };
        }
        for _ in 0..MOST_LINKS {
            match self.found.get(&path) {
                None => return Ok(None),
                Some(Found::File(_, size)) => return Ok(Some((path, *size))),
                Some(Found::Link(to)) => path = to.clone().ok_or_else(out)?,
            }
        }
        Err(self.broken(format!(
            "`{}` is a link that goes round",
            path.escape_debug()
        )))
    }

    /// A small file's content; `None` when it is not there.
    ///
    /// # Errors
    /// When it is too large, or can't be read.
    pub(crate) fn small(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some((path, size)) = self.find(path)? else {
            return Ok(None);
        };
        if size > LARGEST_JSON {
            return Err(self.broken(format!(
                "`{}` has {size} bytes; {LARGEST_JSON} are allowed",
                path.escape_debug()
            )));
        }
        if let Some(held) = self.held.get(&path) {
            return Ok(Some(held.clone()));
        }
        if !matches!(self.body, Body::Folder(_) | Body::Plain(_)) {
            return Err(self.broken(format!("`{}` is no JSON", path.escape_debug())));
        }
        let mut content = Vec::new();
        self.visit(&[&path], &mut |_, _, file| {
            file.read_to_end(&mut content)
                .map_err(|error| self.unread(error))?;
            Ok(())
        })?;
        Ok(Some(content))
    }

    /// How a file is packed.
    ///
    /// # Errors
    /// When it can't be read.
    pub(crate) fn packing(&self, path: &str) -> Result<Packing> {
        if let Some(packing) = self.packings.get(path) {
            return Ok(*packing);
        }
        if !matches!(self.body, Body::Folder(_) | Body::Plain(_)) {
            return Ok(Packing::Plain);
        }
        let mut first = [0; FIRST];
        let mut count = 0;
        self.visit(&[path], &mut |_, _, file| {
            count = fill(file, &mut first).map_err(|error| self.unread(error))?;
            Ok(())
        })?;
        Ok(Packing::of(&first[..count]))
    }

    /// Reads these files (paths as [`Files::find`] gives them) in the order in which they stand.
    ///
    /// # Errors
    /// The visitor's own, or when a file breaks off or is not there.
    pub(crate) fn visit(&self, paths: &[&str], visit: &mut Visitor<'_>) -> Result<()> {
        match &self.body {
            Body::Folder(folder) => {
                for path in paths {
                    let file = File::open(folder.join(path)).map_err(|error| self.unread(error))?;
                    let size = file.metadata().map_err(|error| self.unread(error))?.len();
                    visit(path, size, &mut file.take(size))?;
                }
                Ok(())
            }
            Body::Plain(file) => {
                let mut places = Vec::new();
                for path in paths {
                    let Some(Found::File(at, size)) = self.found.get(*path) else {
                        return Err(self.broken(format!("`{path}` is not there")));
                    };
                    places.push((*at, *size, *path));
                }
                places.sort_unstable();
                places.dedup();
                for (at, size, path) in places {
                    visit(path, size, &mut Apart { file, at }.take(size))?;
                }
                Ok(())
            }
            Body::Packed(file, packing) => self.visit_packed(file, *packing, paths, visit),
            Body::Gone => Err(self.broken("it can't be read twice".into())),
        }
    }

    fn visit_packed(
        &self,
        file: &File,
        packing: Packing,
        paths: &[&str],
        visit: &mut Visitor<'_>,
    ) -> Result<()> {
        let mut places: Vec<(u64, u64, &str)> = Vec::new();
        for path in paths {
            if let Some(Found::File(at, size)) = self.found.get(*path) {
                places.push((*at, *size, path));
            }
        }
        places.sort_unstable();
        // a stream can't go back to what it has passed
        places.dedup();
        let file = Apart { file, at: 0 };
        let mut reader = unpack(BufReader::with_capacity(BUFFER, file), packing);
        let mut passed = 0;
        for (at, size, path) in places {
            skip(&mut reader, at - passed).map_err(|error| self.unread(error))?;
            let mut content = (&mut reader).take(size);
            visit(path, size, &mut content)?;
            let rest = content.limit();
            skip(&mut reader, rest).map_err(|error| self.unread(error))?;
            passed = at + size;
        }
        Ok(())
    }

    pub(crate) fn broken(&self, why: String) -> Error {
        broken(&self.name, why)
    }

    pub(crate) fn unread(&self, error: io::Error) -> Error {
        unread(&self.name, error)
    }
}

/// Who is handed a path, a size, and the content.
pub(crate) type Visitor<'v> = dyn FnMut(&str, u64, &mut dyn Read) -> Result<()> + 'v;

pub(crate) fn broken(name: &str, why: String) -> Error {
    Error::failed(format!("the image archive `{name}` is broken")).because(why)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn unread(name: &str, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return broken(name, "it breaks off".into());
    }
    broken(name, error.to_string())
}

pub(crate) fn no_archive(name: &str, why: &str) -> Error {
    Error::failed(format!("`{name}` is no image archive"))
        .because(why.to_owned())
        .hint("`docker save` and `--output type=oci` of a build write such archives")
}

/// A reader with a place of its own: a thread that was given up may still read the same file.
struct Apart<'f> {
    file: &'f File,
    at: u64,
}

impl Read for Apart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let count = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.at)?;
        #[cfg(windows)]
        let count = std::os::windows::fs::FileExt::seek_read(self.file, buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// An archive that is read from its beginning.
pub(crate) trait Tape: Read {
    /// Goes past bytes.
    fn pass(&mut self, count: u64) -> io::Result<()>;
}

struct Seeking<'f> {
    file: BufReader<&'f File>,
    at: u64,
    length: u64,
}

impl Read for Seeking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Tape for Seeking<'_> {
    fn pass(&mut self, count: u64) -> io::Result<()> {
        let to = self.at.checked_add(count).filter(|to| *to <= self.length);
        let (Some(to), Ok(step)) = (to, i64::try_from(count)) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        self.file.seek_relative(step)?;
        self.at = to;
        Ok(())
    }
}

/// One that can't seek.
pub(crate) struct Passing<R>(pub(crate) R);

impl<R: Read> Read for Passing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Tape for Passing<R> {
    fn pass(&mut self, count: u64) -> io::Result<()> {
        skip(&mut self.0, count)
    }
}

fn skip(reader: &mut dyn Read, count: u64) -> io::Result<()> {
    if io::copy(&mut reader.take(count), &mut io::sink())? < count {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// What was seen on a walk through an archive.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    found: HashMap<String, Found>,
    held: HashMap<String, Vec<u8>>,
    packings: HashMap<String, Packing>,
    room_taken: u64,
    entries: usize,
    names: usize,
}

impl Walked {
    /// Notes an entry whose content begins at `at`; gives the path of a regular file.
    pub(crate) fn note(&mut self, entry: &Entry, at: u64) -> Result<Option<String>, String> {
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(format!("it has more than {MOST_ENTRIES} entries"));
        }
        self.names += entry.path.len();
        if let EntryKind::Hardlink(to) | EntryKind::Symlink(to) = &entry.kind {
            self.names += to.len();
        }
        if self.names > NAMES {
            return Err("its names take more than 64 MB".into());
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

    /// Whether a file of this size may be JSON that must be held.
    pub(crate) fn may_hold(&self, size: u64, first: u8) -> bool {
        matches!(first, b'{' | b'[' | b' ' | b'\n' | b'\t' | b'\r')
            && size <= LARGEST_JSON
            && self.room_taken + size <= HELD
    }

    pub(crate) fn packed(&mut self, path: String, packing: Packing) {
        self.packings.insert(path, packing);
    }

    pub(crate) fn hold(&mut self, path: String, content: Vec<u8>) {
        self.room_taken += content.len() as u64;
        self.held.insert(path, content);
    }
}

/// Reads the headers of one archive after the other's contents.
pub(crate) struct Walk<T> {
    pub(crate) tape: T,
    headers: Headers,
    pub(crate) at: u64,
    zeros: usize,
    any: bool,
}

impl<T: Tape> Walk<T> {
    pub(crate) fn new(tape: T) -> Self {
        Self {
            tape,
            headers: Headers::default(),
            at: 0,
            zeros: 0,
            any: false,
        }
    }

    /// The next entry; its content follows, and what fills its last block.
    ///
    /// # Errors
    /// When it is no archive, or breaks off.
    pub(crate) fn next(&mut self, name: &str) -> Result<Option<Entry>> {
        let mut block = [0; BLOCK];
        loop {
            let count = fill(&mut self.tape, &mut block).map_err(|error| unread(name, error))?;
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
                if self.any {
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
        self.tape.pass(count).map_err(|error| unread(name, error))
    }
}

fn fill(reader: &mut dyn Read, block: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < block.len() {
        match reader.read(&mut block[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn walk(name: &str, tape: &mut dyn Tape, hold: bool) -> Result<Walked> {
    let mut walked = Walked::default();
    let mut walk = Walk::new(tape);
    while let Some(entry) = walk.next(name)? {
        let path = walked
            .note(&entry, walk.at)
            .map_err(|why| broken(name, why))?;
        let mut left = entry.size + archive::padding(entry.size) as u64;
        if let Some(path) = path.filter(|_| hold && entry.size > 0) {
            let mut first = [0; FIRST];
            let count = usize::try_from(entry.size).unwrap_or(FIRST).min(FIRST);
            let first = &mut first[..count];
            let breaks_off = |error| unread(name, error);
            walk.tape.read_exact(first).map_err(breaks_off)?;
            let mut taken = count as u64;
            if walked.may_hold(entry.size, first[0]) {
                let mut content = first.to_vec();
                (&mut walk.tape)
                    .take(entry.size - taken)
                    .read_to_end(&mut content)
                    .map_err(breaks_off)?;
                taken = content.len() as u64;
                if taken < entry.size {
                    return Err(broken(name, "it breaks off".into()));
                }
                walked.hold(path, content);
            } else {
                walked.packed(path, Packing::of(first));
            }
            walk.at += taken;
            left -= taken;
        }
        walk.pass(name, left)?;
    }
    Ok(walked)
}

impl Tape for &mut dyn Tape {
    fn pass(&mut self, count: u64) -> io::Result<()> {
        (**self).pass(count)
    }
}

/// A path without detours; `None` when it is absolute or climbs out.
fn inside(path: &str) -> Option<String> {
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

/// Where a symbolic link at `path` leads.
fn beside(path: &str, to: &str) -> Option<String> {
    if to.starts_with('/') {
        return None;
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    inside(format!("{folder}/{to}").trim_start_matches('/'))
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
    fn a_file_that_is_asked_for_twice_is_read_once_and_two_readers_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        for packed in [false, true] {
            let mut builder = tar::Builder::new(Vec::new());
            for (name, content) in [("a", b"hello"), ("b", b"world")] {
                let mut header = tar::Header::new_gnu();
                header.set_size(5);
                builder
                    .append_data(&mut header, name, &content[..])
                    .unwrap();
            }
            let mut bytes = builder.into_inner().unwrap();
            if packed {
                let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                io::Write::write_all(&mut gz, &bytes).unwrap();
                bytes = gz.finish().unwrap();
            }
            let path = folder.path().join(format!("{packed}.tar"));
            std::fs::write(&path, bytes).unwrap();
            let files = Files::open(&path, "a.tar").unwrap();
            let mut seen = Vec::new();
            files
                .visit(&["b", "a", "b"], &mut |path, _, file| {
                    let mut begins = [0; 2];
                    file.read_exact(&mut begins).unwrap();
                    files
                        .visit(&["a"], &mut |_, _, other| {
                            other.read_to_end(&mut Vec::new()).unwrap();
                            Ok(())
                        })
                        .unwrap();
                    let mut text = String::from_utf8(begins.into()).unwrap();
                    file.read_to_string(&mut text).unwrap();
                    seen.push(format!("{path}:{text}"));
                    Ok(())
                })
                .unwrap();
            assert_eq!(seen, ["a:hello", "b:world"], "packed: {packed}");
        }
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
        assert!(noted * entry.path.len() <= NAMES, "{noted}");
    }

    #[test]
    fn links_are_followed_inside_and_refused_outside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        builder
            .append_data(&mut header.clone(), "one/layer.tar", &b"hello"[..])
            .unwrap();
        header.set_size(0);
        for (kind, from, to) in [
            (tar::EntryType::Symlink, "two/layer.tar", "../one/layer.tar"),
            (tar::EntryType::Link, "hard", "one/layer.tar"),
            (tar::EntryType::Symlink, "out", "../../etc/passwd"),
            (tar::EntryType::Symlink, "round", "round"),
        ] {
            header.set_entry_type(kind);
            builder.append_link(&mut header.clone(), from, to).unwrap();
        }
        builder.finish().unwrap();
        let files = Files::open(&path, "a.tar").unwrap();
        let expected = Some(("one/layer.tar".to_owned(), 5));
        assert_eq!(files.find("two/layer.tar").unwrap(), expected);
        assert_eq!(files.find("hard").unwrap(), expected);
        assert_eq!(files.find("none").unwrap(), None);
        assert_eq!(files.small("hard").unwrap().unwrap(), b"hello");
        for hostile in ["out", "round", "/etc/passwd", "../x"] {
            assert!(files.find(hostile).is_err(), "{hostile}");
        }
    }
}
