//! The files of an image archive, or of an OCI layout folder, by their paths. An archive on disk is
//! read by its headers, seeking over contents; one that is packed is read through. Nothing is ever
//! unpacked to disk, so no path in it can lead anywhere.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::context::file_reader::{Apart, Seeking};
use crate::error::{Error, Result};
use crate::image::archive_reader::{Passing, fill, skip};
use crate::image::digest::DiffId;
use crate::image::packing::{Packing, Window, unpack};
use crate::image::walk::{
    FIRST, Found, LARGEST_JSON, Walked, broken, inside, layer_unread, no_archive, unread, walk,
};
use crate::regular_file;

/// Links to links to links.
const MOST_LINKS: usize = 8;
const BUFFER: usize = 64 << 10;

/// The files of one archive or folder.
#[derive(Debug)]
pub(crate) struct Files {
    /// The name that a person calls it by.
    pub(crate) name: String,
    body: Body,
    found: HashMap<String, Found>,
    /// The JSON of a packed archive, which can't be gone back to.
    held: HashMap<String, Arc<[u8]>>,
    /// The packings of its other files themselves.
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

impl Files {
    /// Opens an archive file or a layout folder.
    ///
    /// # Errors
    /// When it can't be read, is neither, or breaks off.
    pub(crate) fn open(path: &Path, name: &str) -> Result<Self> {
        let unread =
            |error: io::Error| Error::failed(format!("`{name}` can't be read")).caused_by(error);
        let kind = std::fs::metadata(path).map_err(unread)?;
        if kind.is_dir() {
            return Self::folder(path, name);
        }
        if !kind.is_file() {
            return Err(
                Error::failed(format!("`{name}` is neither a file nor a folder"))
                    .hint("`-` reads an archive from stdin, and a named pipe is read too"),
            );
        }
        let (file, _length) = regular_file::open(path).map_err(unread)?;
        Self::of_file(file, name)
    }

    /// An archive in a file that can seek.
    ///
    /// # Errors
    /// When it is no archive, or breaks off.
    pub(crate) fn of_file(file: File, name: &str) -> Result<Self> {
        let unread =
            |error: io::Error| Error::failed(format!("`{name}` can't be read")).caused_by(error);
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
                let mut reader = Seeking {
                    file: BufReader::new(file),
                    at: 0,
                    length,
                };
                walk(name, &mut reader, false)
            }
            (_, Body::Plain(file)) => {
                let file = BufReader::with_capacity(BUFFER, file);
                walk(
                    name,
                    &mut Passing(unpack(file, packing, Window::WIDEST)),
                    true,
                )
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
                    .caused_by("it has no `index.json`"),
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

    /// The files of a stream that has been read, as far as they are known: there is no going back
    /// to them.
    pub(crate) fn passed(name: &str, walked: Walked) -> Self {
        Self {
            name: name.into(),
            body: Body::Gone,
            found: walked.found,
            held: walked.held,
            packings: walked.packings,
        }
    }

    /// The place at which a file stands (links followed) and its size; `None` when it is not there.
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
                    Error::failed(format!("`{}/{path}` can't be read", self.name)).caused_by(error),
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
    pub(crate) fn small(&self, path: &str) -> Result<Option<Arc<[u8]>>> {
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
            return Err(self.broken(format!(
                "`{}` is no JSON, or there is too much of it",
                path.escape_debug()
            )));
        }
        let mut content = Vec::new();
        self.visit(&[&path], &mut |_, _, file| {
            file.read_to_end(&mut content)
                .map_err(|error| self.unread(error))?;
            Ok(())
        })?;
        Ok(Some(content.into()))
    }

    /// The packing of a file.
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
                    let (file, size) = regular_file::open(&folder.join(path))
                        .map_err(|error| self.unread(error))?;
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
        let mut reader = unpack(
            BufReader::with_capacity(BUFFER, file),
            packing,
            Window::WIDEST,
        );
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

    pub(crate) fn layer_unread(&self, layer: &DiffId, error: io::Error) -> Error {
        layer_unread(&self.name, &format!("the layer {}", layer.0), error)
    }

    /// The widest window that a layer may be unpacked with.
    pub(crate) fn within(&self) -> Window {
        match &self.body {
            Body::Packed(_, packing) => packing.within(),
            Body::Folder(_) | Body::Plain(_) | Body::Gone => Window::WIDEST,
        }
    }
}

/// A function that is handed a path, a size, and the content.
pub(crate) type Visitor<'v> = dyn FnMut(&str, u64, &mut dyn Read) -> Result<()> + 'v;

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(&*files.small("hard").unwrap().unwrap(), b"hello");
        for hostile in ["out", "round", "/etc/passwd", "../x"] {
            assert!(files.find(hostile).is_err(), "{hostile}");
        }
    }
}
