//! Image archives: the pieces of a hybrid one (an OCI layout that also has docker's
//! `manifest.json`), which every kind of image store loads, and reading one that an engine
//! streams, entry by entry. Bytes in, bytes out.

/// A name needs no more.
const LONGEST_NAME: usize = 64 << 10;
/// The most bytes that may stand before one entry: names, and attributes in pax records.
const MOST_BEFORE: usize = 4 << 20;
/// No disk holds as much. Places in the archive are sums of such sizes.
const LARGEST_ENTRY: u64 = 1 << 50;

/// The fault of a block that is no header at all.
pub(crate) const WRONG_SUM: &str = "a header with a wrong sum";
const NO_SIZE: &str = "an entry without a size";
/// `tar --sparse` writes them; their content is not what stands in the archive.
const SPARSE: &str = "a file that is kept with holes";

/// An archive's block.
pub(crate) const BLOCK: usize = 512;

/// The header of a regular file, and how many zero bytes follow its content.
pub(crate) fn file_header(path: &str, size: u64) -> Option<(Vec<u8>, usize)> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).ok()?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    Some((header.as_bytes().to_vec(), padding(size)))
}

/// The header of one more name for a file that stands before it.
pub(crate) fn link_header(path: &str, to: &str) -> Option<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).ok()?;
    header.set_link_name(to).ok()?;
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    Some(header.as_bytes().to_vec())
}

/// The number of zero bytes that fill an entry's last block.
pub(crate) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    if over == 0 { 0 } else { BLOCK - over }
}

/// One small file as archive bytes.
pub(crate) fn small_file(path: &str, content: &[u8]) -> Vec<u8> {
    let Some((mut bytes, padding)) = file_header(path, content.len() as u64) else {
        return Vec::new();
    };
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// The two blocks that end an archive.
pub(crate) fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

/// An entry of an archive that is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) size: u64,
    /// The header's bytes, with those of long names before it, to be passed on as they are.
    pub(crate) header: Vec<u8>,
    pub(crate) kind: EntryKind,
}

/// The kind of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    /// The same as another entry of the archive: its whole path.
    Hardlink(String),
    /// Its target, as it stands there.
    Symlink(String),
    /// A folder, a device, a global header: nothing that an image is read from.
    Other,
}

/// Reads headers one block at a time; the caller carries the contents past.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    held: Vec<u8>,
    long_path: Option<String>,
    long_link: Option<String>,
    /// A size of 8 GiB and more stands in a pax record.
    long_size: Option<u64>,
    /// The content of a long name that is still being collected, and how much of it comes.
    collecting: Option<(u8, usize, Vec<u8>)>,
}

/// The meaning of one block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// The archive ends, or this block belongs to a name that follows.
    Nothing,
    Entry(Entry),
}

impl Headers {
    /// True where a header comes next, and no rest of a long name.
    pub(crate) fn between_entries(&self) -> bool {
        self.collecting.is_none() && self.held.is_empty()
    }

    /// Takes one block that is no content.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn take(&mut self, block: &[u8]) -> Result<Block, &'static str> {
        if let Some((kind, left, mut content)) = self.collecting.take() {
            self.held.extend_from_slice(block);
            content.extend_from_slice(&block[..left.min(BLOCK)]);
            if left > BLOCK {
                self.collecting = Some((kind, left - BLOCK, content));
            } else {
                if pax(kind, &content, "GNU.sparse.").is_some() {
                    return Err(SPARSE);
                }
                if let Some(size) = pax(kind, &content, "size=") {
                    self.long_size = Some(size.parse().map_err(|_| NO_SIZE)?);
                }
                self.long_path = long(kind, &content, b'L', "path=").or(self.long_path.take());
                self.long_link = long(kind, &content, b'K', "linkpath=").or(self.long_link.take());
            }
            return Ok(Block::Nothing);
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(Block::Nothing);
        }
        let bytes: &[u8; BLOCK] = block.try_into().map_err(|_| "a short block")?;
        let header = tar::Header::from_byte_slice(bytes);
        let sum: u32 = bytes
            .iter()
            .enumerate()
            .map(|(place, byte)| {
                if (148..156).contains(&place) {
                    u32::from(b' ')
                } else {
                    u32::from(*byte)
                }
            })
            .sum();
        if header.cksum().ok() != Some(sum) {
            return Err(WRONG_SUM);
        }
        let size = header.entry_size().map_err(|_| NO_SIZE)?;
        self.held.extend_from_slice(block);
        let kind = header.entry_type();
        if kind.is_pax_local_extensions() || kind.is_gnu_longname() || kind.is_gnu_longlink() {
            let size = usize::try_from(size)
                .ok()
                .filter(|size| *size <= 1 << 20)
                .ok_or("a name of over 1 MB")?;
            if self.held.len() + size > MOST_BEFORE {
                return Err("too much before an entry");
            }
            if size > 0 {
                self.collecting = Some((kind.as_byte(), size, Vec::new()));
            }
            return Ok(Block::Nothing);
        }
        let own = header
            .path()
            .map_err(|_| "an entry whose name is no path")?
            .display()
            .to_string();
        let path = self.long_path.take().unwrap_or(own);
        if path
            .len()
            .max(self.long_link.as_ref().map_or(0, String::len))
            > LONGEST_NAME
        {
            return Err("a name of over 64 KB");
        }
        let size = self.long_size.take().unwrap_or(size);
        if size > LARGEST_ENTRY {
            return Err("an entry larger than any disk");
        }
        if kind.is_gnu_sparse() {
            return Err(SPARSE);
        }
        let linked = || {
            let own = header.link_name().ok().flatten();
            own.map(|path| path.display().to_string())
                .unwrap_or_default()
        };
        let link = self.long_link.take();
        let kind = match kind {
            kind if kind.is_file() => EntryKind::File,
            kind if kind.is_hard_link() => EntryKind::Hardlink(link.unwrap_or_else(linked)),
            kind if kind.is_symlink() => EntryKind::Symlink(link.unwrap_or_else(linked)),
            _ => EntryKind::Other,
        };
        // links and folders have no content, whatever size their headers tell
        let has_content =
            kind == EntryKind::File || kind == EntryKind::Other && !header.entry_type().is_dir();
        Ok(Block::Entry(Entry {
            path,
            size: if has_content { size } else { 0 },
            header: std::mem::take(&mut self.held),
            kind,
        }))
    }
}

/// The name in a GNU long name of kind `gnu`, or in a pax header's record.
fn long(kind: u8, content: &[u8], gnu: u8, key: &str) -> Option<String> {
    if kind == gnu {
        return Some(
            String::from_utf8_lossy(content)
                .trim_end_matches('\0')
                .to_owned(),
        );
    }
    pax(kind, content, key)
}

/// A record of a pax header.
fn pax(kind: u8, content: &[u8], key: &str) -> Option<String> {
    if kind != b'x' {
        return None;
    }
    let text = String::from_utf8_lossy(content).into_owned();
    text.lines().find_map(|record| {
        record
            .split_once(' ')?
            .1
            .strip_prefix(key)
            .map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = small_file("blobs/sha256/ab", b"hello");
        assert_eq!(bytes.len(), 2 * BLOCK);
        let mut headers = Headers::default();
        let Block::Entry(entry) = headers.take(&bytes[..BLOCK]).unwrap() else {
            panic!("an entry")
        };
        assert_eq!((entry.path.as_str(), entry.size), ("blobs/sha256/ab", 5));
        assert_eq!(entry.kind, EntryKind::File);
        assert_eq!(headers.take(&end()[..BLOCK]).unwrap(), Block::Nothing);
    }

    #[test]
    fn a_long_name_belongs_to_the_entry_that_follows() {
        let path = "d/".repeat(80) + "layer.tar";
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        builder.append_data(&mut header, &path, &b""[..]).unwrap();
        let bytes = builder.into_inner().unwrap();
        let mut headers = Headers::default();
        let entries: Vec<_> = bytes
            .chunks(BLOCK)
            .filter_map(|block| match headers.take(block).unwrap() {
                Block::Entry(entry) => Some(entry),
                Block::Nothing => None,
            })
            .collect();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].path, path);
        assert_eq!(entries[0].header.len(), 3 * BLOCK, "its name goes with it");
    }

    #[test]
    fn names_are_bounded_and_so_is_what_stands_before_an_entry() {
        let long = |length: usize| {
            let mut header = tar::Header::new_gnu();
            header.set_path("././@LongLink").unwrap();
            header.set_entry_type(tar::EntryType::GNULongName);
            header.set_size(length as u64);
            header.set_cksum();
            let mut bytes = header.as_bytes().to_vec();
            bytes.resize(BLOCK + length, b'n');
            bytes
        };
        let taken = |bytes: &[u8]| {
            let mut headers = Headers::default();
            bytes
                .chunks(BLOCK)
                .try_for_each(|block| headers.take(block).map(|_| ()))
        };
        let entry = small_file("a", b"");
        assert_eq!(taken(&[long(LONGEST_NAME), entry.clone()].concat()), Ok(()));
        let over = [long(LONGEST_NAME + BLOCK), entry].concat();
        assert_eq!(taken(&over), Err("a name of over 64 KB"));
        assert_eq!(
            taken(&long(1 << 19).repeat(9)),
            Err("too much before an entry")
        );
    }

    #[test]
    fn a_size_that_no_disk_has_and_a_file_with_holes_are_refused() {
        let of_size = |size: u64, kind: tar::EntryType| {
            let mut header = tar::Header::new_gnu();
            header.set_path("layer.tar").unwrap();
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_cksum();
            Headers::default().take(header.as_bytes())
        };
        let regular = |size| of_size(size, tar::EntryType::Regular);
        assert!(regular(8 << 30).is_ok());
        for size in [LARGEST_ENTRY + 1, u64::MAX - 5, u64::MAX] {
            assert_eq!(regular(size), Err("an entry larger than any disk"));
        }
        assert_eq!(of_size(1, tar::EntryType::GNUSparse), Err(SPARSE));
        let with_record = |record: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_path("p").unwrap();
            header.set_entry_type(tar::EntryType::XHeader);
            header.set_size(record.len() as u64);
            header.set_cksum();
            let mut bytes = header.as_bytes().to_vec();
            bytes.extend_from_slice(record);
            bytes.resize(2 * BLOCK, 0);
            bytes.extend(small_file("layer.tar", b""));
            let mut headers = Headers::default();
            let mut blocks = bytes.chunks(BLOCK);
            blocks.try_for_each(|block| headers.take(block).map(|_| ()))
        };
        assert_eq!(with_record(b"19 size=8589934592\n"), Ok(()));
        let huge = b"29 size=18446744073709551615\n";
        assert_eq!(with_record(huge), Err("an entry larger than any disk"));
        for record in [&b"11 size=-1\n"[..], b"32 size=99999999999999999999999\n"] {
            assert_eq!(with_record(record), Err(NO_SIZE));
        }
        let holes = b"31 GNU.sparse.realsize=8589934592\n";
        assert_eq!(with_record(holes), Err(SPARSE));
    }

    #[test]
    fn a_broken_header_is_refused() {
        let mut bytes = small_file("a", b"");
        bytes[0] = b'b';
        assert!(Headers::default().take(&bytes[..BLOCK]).is_err());
    }
}
