//! Puts layers together again from what a graph driver keeps: its record of each archive and one
//! walk through the files of all of them. One pass; only files that come too early are held.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::image::archive::{self, BLOCK, Block, Entry, Headers};
use crate::image::tar_split::{ArchivePart, Parts, plain};

/// The most bytes that are held of files that come before they are due.
pub(crate) const HELD: u64 = 24 << 20;

/// A piece of the layers that come out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A layer begins.
    Begin(usize),
    Content(Bytes),
    /// The layer that began last is whole.
    End,
}

/// The use of the entry that is being read.
#[derive(Debug, Default)]
enum Use {
    #[default]
    Nothing,
    /// It is the file that is due.
    Due,
    /// It is due later.
    Later(String, Vec<u8>),
}

/// Reads the walk: an archive whose paths are `anything/PLACE/path`.
#[derive(Debug)]
pub(crate) struct Reassembly {
    /// Layers that have not begun.
    coming: VecDeque<(usize, Bytes)>,
    now: Option<(usize, Parts)>,
    due: Option<(String, u64)>,
    held: HashMap<String, Bytes>,
    room: u64,
    headers: Headers,
    block: Vec<u8>,
    left: u64,
    fill: usize,
    use_of_entry: Use,
}

impl Reassembly {
    /// The layers by index with their records, in the order of the walk.
    pub(crate) fn new(layers: impl IntoIterator<Item = (usize, Bytes)>) -> Self {
        Self {
            coming: layers.into_iter().collect(),
            now: None,
            due: None,
            held: HashMap::new(),
            room: HELD,
            headers: Headers::default(),
            block: Vec::new(),
            left: 0,
            fill: 0,
            use_of_entry: Use::Nothing,
        }
    }

    /// Takes bytes of the walk and hands on pieces of layers.
    ///
    /// # Errors
    /// Says what does not fit.
    pub(crate) fn take(
        &mut self,
        mut bytes: Bytes,
        give: &mut impl FnMut(Piece),
    ) -> Result<(), String> {
        self.go_on(give)?;
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let content = bytes.split_to(count);
                self.left -= count as u64;
                match &mut self.use_of_entry {
                    Use::Nothing => {}
                    Use::Due => give(Piece::Content(content)),
                    Use::Later(_, held) => held.extend_from_slice(&content),
                }
                if self.left == 0 {
                    self.used(give)?;
                }
            } else if self.fill > 0 {
                let count = self.fill.min(bytes.len());
                let _zeros = bytes.split_to(count);
                self.fill -= count;
            } else {
                let count = (BLOCK - self.block.len()).min(bytes.len());
                self.block.extend_from_slice(&bytes.split_to(count));
                if self.block.len() == BLOCK {
                    let block = std::mem::take(&mut self.block);
                    if let Block::Entry(entry) = self.headers.take(&block)? {
                        self.begin(&entry, give)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The walk is over.
    ///
    /// # Errors
    /// When a layer is not whole.
    pub(crate) fn finish(mut self, give: &mut impl FnMut(Piece)) -> Result<(), String> {
        self.go_on(give)?;
        match (&self.due, self.left) {
            (None, 0) => Ok(()),
            (Some((path, _)), _) => Err(format!("`{path}` is not in the engine's store")),
            (None, _) => Err("the walk breaks off".into()),
        }
    }

    /// Gives what can be given until a file is due that has not come.
    fn go_on(&mut self, give: &mut impl FnMut(Piece)) -> Result<(), String> {
        while self.due.is_none() {
            let Some((_, parts)) = &mut self.now else {
                let Some((index, record)) = self.coming.pop_front() else {
                    return Ok(());
                };
                self.now = Some((index, Parts::new(record)));
                self.held.clear();
                self.room = HELD;
                give(Piece::Begin(index));
                continue;
            };
            match parts.next()? {
                None => {
                    self.now = None;
                    give(Piece::End);
                }
                Some(ArchivePart::Bytes(bytes)) => give(Piece::Content(bytes)),
                Some(ArchivePart::File { path, size }) => match self.held.remove(&path) {
                    Some(content) if content.len() as u64 == size => {
                        self.room += size;
                        give(Piece::Content(content));
                    }
                    Some(_) => return Err(format!("`{path}` has another size than it had")),
                    None => self.due = Some((path, size)),
                },
            }
        }
        Ok(())
    }

    fn begin(&mut self, entry: &Entry, give: &mut impl FnMut(Piece)) -> Result<(), String> {
        self.left = entry.size;
        self.fill = archive::padding(entry.size);
        self.use_of_entry = Use::Nothing;
        let Some((index, path)) = parts_of(&entry.path)? else {
            return Ok(());
        };
        let (Some((now, _)), Some((due, size))) = (&self.now, &self.due) else {
            return Ok(());
        };
        if index < *now {
            return Ok(());
        }
        if index > *now {
            return Err(format!("`{due}` is not in the engine's store"));
        }
        if entry.size == 0 {
            // another name of a file that came under its first
            if let Some(content) = linked(entry)
                .and_then(|first| self.held.get(&first))
                .cloned()
            {
                self.room = self.room.saturating_sub(content.len() as u64);
                self.held.insert(path, content);
                return self.take_held(give);
            }
            return Ok(());
        }
        if path == *due {
            if entry.size != *size {
                return Err(format!("`{due}` has another size than it had"));
            }
            self.use_of_entry = Use::Due;
        } else {
            self.room = self
                .room
                .checked_sub(entry.size)
                .ok_or("the layer's files come in another order")?;
            self.use_of_entry = Use::Later(path, Vec::new());
        }
        Ok(())
    }

    /// The entry's content has come.
    fn used(&mut self, give: &mut impl FnMut(Piece)) -> Result<(), String> {
        match std::mem::take(&mut self.use_of_entry) {
            Use::Nothing => Ok(()),
            Use::Due => {
                self.due = None;
                self.go_on(give)
            }
            Use::Later(path, content) => {
                self.held.insert(path, content.into());
                Ok(())
            }
        }
    }

    /// Gives the content that is due, if it has come before under another name.
    fn take_held(&mut self, give: &mut impl FnMut(Piece)) -> Result<(), String> {
        if let Some((path, size)) = &self.due
            && let Some(content) = self.held.get(path)
        {
            if content.len() as u64 != *size {
                return Err(format!("`{path}` has another size than it had"));
            }
            give(Piece::Content(content.clone()));
            self.due = None;
            return self.go_on(give);
        }
        Ok(())
    }
}

/// `anything/PLACE/path`, taken apart.
fn parts_of(path: &str) -> Result<Option<(usize, String)>, String> {
    let mut parts = path.splitn(3, '/');
    let (Some(_), Some(index), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    let Ok(index) = index.parse() else {
        return Ok(None);
    };
    Ok(Some((index, plain(rest)?)))
}

/// The target of a hard link, within its layer.
fn linked(entry: &Entry) -> Option<String> {
    let header = entry.header.get(entry.header.len().checked_sub(BLOCK)?..)?;
    let header = tar::Header::from_byte_slice(header);
    if header.entry_type() != tar::EntryType::Link {
        return None;
    }
    let target = header.link_name().ok()??;
    parts_of(&target.display().to_string())
        .ok()?
        .map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// A record of the layer with these files, and the layer.
    fn layer(files: &[(&str, &str)]) -> (Bytes, Vec<u8>) {
        use base64::Engine as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut whole = Vec::new();
        for (path, content) in files {
            let head = format!("<{path}>");
            whole.extend(head.as_bytes());
            whole.extend(content.as_bytes());
            let payload = base64::engine::general_purpose::STANDARD.encode(&head);
            writeln!(gzip, r#"{{"type":2,"payload":"{payload}"}}"#).unwrap();
            writeln!(
                gzip,
                r#"{{"type":1,"name":"{path}","size":{}}}"#,
                content.len()
            )
            .unwrap();
        }
        whole.extend(b"end");
        writeln!(gzip, r#"{{"type":2,"payload":"ZW5k"}}"#).unwrap();
        (gzip.finish().unwrap().into(), whole)
    }

    fn walk(files: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, content) in files {
            bytes.extend(archive::small_file(path, content.as_bytes()));
        }
        bytes.extend(archive::end());
        bytes
    }

    fn put_together(
        layers: &[(usize, Bytes)],
        walk: &[u8],
        step: usize,
    ) -> Result<Vec<(usize, Vec<u8>)>, String> {
        let mut out: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut ends = 0;
        let mut give = |piece| match piece {
            Piece::Begin(index) => out.push((index, Vec::new())),
            Piece::Content(bytes) => out.last_mut().unwrap().1.extend(&bytes),
            Piece::End => ends += 1,
        };
        let mut reassembly = Reassembly::new(layers.iter().cloned());
        for bytes in walk.chunks(step) {
            reassembly.take(Bytes::copy_from_slice(bytes), &mut give)?;
        }
        reassembly.finish(&mut give)?;
        assert_eq!(ends, out.len());
        Ok(out)
    }

    #[test]
    fn layers_come_out_as_they_went_in_however_the_bytes_come_and_whatever_their_order() {
        let (first, first_whole) = layer(&[("a/x", "one"), ("empty", ""), ("b", "two")]);
        let (second, second_whole) = layer(&[("z", "last first"), ("y", "then this")]);
        let empty = layer(&[]);
        let walk = walk(&[
            ("diff/0001/a/x", "one"),
            ("diff/0001/b", "two"),
            ("diff/0001/empty", ""),
            ("diff/0007/y", "then this"),
            ("diff/0007/z", "last first"),
        ]);
        let layers = [(1, first), (4, empty.0), (7, second)];
        for step in [1, 7, 512, 513, 1 << 20] {
            let out = put_together(&layers, &walk, step).unwrap();
            assert_eq!(
                out,
                [
                    (1, first_whole.clone()),
                    (4, empty.1.clone()),
                    (7, second_whole.clone())
                ],
                "in steps of {step}"
            );
        }
    }

    #[test]
    fn a_file_that_came_under_another_name_is_found() {
        let (record, whole) = layer(&[("b", "content"), ("c", "other")]);
        let mut bytes = archive::small_file("d/0/a", b"content");
        let mut link = tar::Header::new_ustar();
        link.set_path("d/0/b").unwrap();
        link.set_entry_type(tar::EntryType::Link);
        link.set_link_name("d/0/a").unwrap();
        link.set_size(0);
        link.set_cksum();
        bytes.extend(link.as_bytes());
        bytes.extend(archive::small_file("d/0/c", b"other"));
        assert_eq!(
            put_together(&[(0, record)], &bytes, 100).unwrap(),
            [(0, whole)]
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (record, _) = layer(&[("a", "one"), ("b", "two")]);
        let refused = |files: &[(&str, &str)]| {
            put_together(&[(0, record.clone())], &walk(files), 512).unwrap_err()
        };
        assert!(refused(&[("d/0/a", "one")]).contains("`b` is not in"));
        assert!(refused(&[("d/0/a", "three"), ("d/0/b", "two")]).contains("another size"));
        assert!(refused(&[("d/0/a", "one"), ("d/1/b", "two")]).contains("`b` is not in"));
        let large = "x".repeat(usize::try_from(HELD).unwrap() + 1);
        assert!(refused(&[("d/0/A", &large)]).contains("another order"));
    }
}
