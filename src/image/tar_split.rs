//! A graph driver's record of a layer's archive: everything but the files' contents, as gzipped
//! lines of JSON. With the files beside it the layer comes out as it went in, byte for byte.

use std::cmp::Ordering;
use std::io::{BufRead as _, BufReader, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;

/// A line holds what stands between two contents: headers with their attributes, and filling.
const LONGEST_LINE: u64 = 8 << 20;

/// The next part of a layer's archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ArchivePart {
    /// Headers and filling, as they are.
    Bytes(Bytes),
    /// The content of a file, which is not empty.
    File { path: String, size: u64 },
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: u8,
    name: Option<String>,
    #[serde(default)]
    size: u64,
    payload: Option<String>,
}

const FILE: u8 = 1;
const SEGMENT: u8 = 2;

/// The parts of one layer, in the archive's order.
pub(crate) struct Parts {
    lines: BufReader<MultiGzDecoder<bytes::buf::Reader<Bytes>>>,
    line: Vec<u8>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl Parts {
    /// `packed` is the content of a `tar-split.json.gz`.
    pub(crate) fn new(packed: Bytes) -> Self {
        Self {
            lines: BufReader::new(MultiGzDecoder::new(packed.reader())),
            line: Vec::new(),
        }
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// Says what is wrong with the record.
    pub(crate) fn next(&mut self) -> Result<Option<ArchivePart>, String> {
        loop {
            self.line.clear();
            let count = (&mut self.lines)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut self.line)
                .map_err(|error| format!("a layer's record can't be unpacked: {error}"))?;
            if count == 0 {
                return Ok(None);
            }
            if self.line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line: Line = serde_json::from_slice(&self.line)
                .map_err(|error| format!("a layer's record can't be read: {error}"))?;
            match line.kind {
                SEGMENT => {
                    let bytes = STANDARD
                        .decode(line.payload.unwrap_or_default())
                        .map_err(|error| format!("a layer's record can't be read: {error}"))?;
                    if !bytes.is_empty() {
                        return Ok(Some(ArchivePart::Bytes(bytes.into())));
                    }
                }
                FILE if line.size == 0 => {}
                FILE => {
                    let name = line.name.ok_or("a file's name is no text")?;
                    return Ok(Some(ArchivePart::File {
                        path: plain(&name)?,
                        size: line.size,
                    }));
                }
                other => return Err(format!("a layer's record has a line of the kind {other}")),
            }
        }
    }
}

/// The sizes of a layer, and the order of its files, which must be known before it is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The bytes of the archive.
    pub(crate) size: u64,
    /// The bytes of the files' contents.
    pub(crate) contents: u64,
    /// True where the files come in the order of a walk through their folders, so that none must
    /// wait.
    pub(crate) walks: bool,
}

impl Shape {
    /// Reads a record once through.
    ///
    /// # Errors
    /// Says what is wrong with the record.
    pub(crate) fn of(packed: &Bytes) -> Result<Self, String> {
        let mut parts = Parts::new(packed.clone());
        let mut shape = Self {
            size: 0,
            contents: 0,
            walks: true,
        };
        let mut before = String::new();
        while let Some(part) = parts.next()? {
            let size = match part {
                ArchivePart::Bytes(bytes) => bytes.len() as u64,
                ArchivePart::File { path, size } => {
                    shape.walks &= walk_order(&before, &path) == Ordering::Less;
                    before = path;
                    shape.contents = shape.contents.saturating_add(size);
                    size
                }
            };
            shape.size = shape.size.saturating_add(size);
        }
        Ok(shape)
    }
}

/// The order in which a walk meets files: each folder's entries by name, a folder's content at its
/// place.
fn walk_order(one: &str, other: &str) -> Ordering {
    one.split('/').cmp(other.split('/'))
}

/// A path without `./` and doubled slashes.
///
/// # Errors
/// When it leads upwards.
pub(crate) fn plain(path: &str) -> Result<String, String> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => return Err(format!("`{path}` leads out of its layer")),
            name => names.push(name),
        }
    }
    Ok(names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    pub(crate) fn packed(lines: &[&str]) -> Bytes {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(lines.join("\n").as_bytes()).unwrap();
        gzip.finish().unwrap().into()
    }

    #[test]
    fn the_shape_is_that_of_the_archive() {
        let record = packed(&[
            r#"{"type":2,"payload":"AAAA","position":0}"#,
            r#"{"type":1,"name":"./a/b","size":5,"payload":"LCP0WFQ3Mng=","position":1}"#,
            r#"{"type":1,"name":"a-b","payload":null,"position":2}"#,
            r#"{"type":1,"name":"a.txt","size":7,"payload":"LCP0WFQ3Mng=","position":3}"#,
            r#"{"type":2,"payload":"","position":4}"#,
        ]);
        let shape = Shape::of(&record).unwrap();
        assert_eq!((shape.size, shape.contents, shape.walks), (15, 12, true));
    }

    #[test]
    fn another_order_than_that_of_a_walk_is_seen() {
        let line = |name: &str| format!(r#"{{"type":1,"name":"{name}","size":1}}"#);
        let walks = |names: [&str; 2]| {
            let lines = names.map(line);
            Shape::of(&packed(&[&lines[0], &lines[1]])).unwrap().walks
        };
        assert!(walks(["a/z", "a-b"]), "a folder's content at its place");
        assert!(!walks(["a-b", "a/z"]));
        assert!(!walks(["b", "a"]));
        assert!(!walks(["a", "a"]), "one file twice must wait too");
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bad in [
            r#"{"type":9}"#,
            r#"{"type":1,"size":3}"#,
            r#"{"type":1,"name":"../x","size":3}"#,
            r#"{"type":2,"payload":"*"}"#,
            "no json",
        ] {
            assert!(Shape::of(&packed(&[bad])).is_err(), "{bad}");
        }
        assert!(Shape::of(&Bytes::from_static(b"no gzip")).is_err());
        let whole = packed(&[r#"{"type":2,"payload":"AAAA"}"#]);
        assert!(Shape::of(&whole.slice(..whole.len() - 9)).is_err());
    }
}
