//! An archive that is pushed piece by piece, taken apart into its entries.

use bytes::{Buf as _, Bytes};

use crate::image::archive::{self, BLOCK, Block, Entry, Headers};

/// A piece of an archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ArchivePiece {
    /// An entry begins.
    Begin(Entry),
    /// Content of the entry that began last; never empty.
    Content(Bytes),
    /// The entry that began last is whole.
    End,
}

/// The place in an archive up to which it was taken apart.
#[derive(Debug, Default)]
pub(crate) struct ArchivePieces {
    headers: Headers,
    /// A block that has come in part.
    block: Vec<u8>,
    /// The rest of the present entry's content, and of the filling of its last block.
    left: u64,
    fill: usize,
}

impl ArchivePieces {
    /// Takes bytes of the archive and hands on their pieces.
    ///
    /// # Errors
    /// Says what is wrong with the archive.
    pub(crate) fn take(
        &mut self,
        mut bytes: Bytes,
        give: &mut impl FnMut(ArchivePiece),
    ) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX);
                let content = bytes.split_to(length.min(bytes.len()));
                self.left -= content.len() as u64;
                give(ArchivePiece::Content(content));
                if self.left == 0 {
                    give(ArchivePiece::End);
                }
            } else if self.fill > 0 {
                let length = self.fill.min(bytes.len());
                bytes.advance(length);
                self.fill -= length;
            } else {
                let part = bytes.split_to((BLOCK - self.block.len()).min(bytes.len()));
                self.block.extend_from_slice(&part);
                if self.block.len() < BLOCK {
                    continue;
                }
                let block = std::mem::take(&mut self.block);
                if let Block::Entry(entry) = self.headers.take(&block)? {
                    self.left = entry.size;
                    self.fill = archive::padding(entry.size);
                    give(ArchivePiece::Begin(entry));
                    if self.left == 0 {
                        give(ArchivePiece::End);
                    }
                }
            }
        }
        Ok(())
    }

    /// True where the archive may end: between two entries.
    pub(crate) fn is_whole(&self) -> bool {
        self.left == 0 && self.fill == 0 && self.block.is_empty() && self.headers.between_entries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each entry's path and content, taken in pieces of `step` bytes.
    fn taken(archive: &[u8], step: usize) -> (Vec<(String, Vec<u8>)>, bool) {
        let mut pieces = ArchivePieces::default();
        let (mut all, mut ends): (Vec<(String, Vec<u8>)>, usize) = (Vec::new(), 0);
        for part in archive.chunks(step) {
            let mut give = |piece| match piece {
                ArchivePiece::Begin(entry) => all.push((entry.path, Vec::new())),
                ArchivePiece::Content(bytes) => all.last_mut().unwrap().1.extend(bytes),
                ArchivePiece::End => ends += 1,
            };
            pieces
                .take(Bytes::copy_from_slice(part), &mut give)
                .unwrap();
        }
        assert!(ends <= all.len());
        (all, pieces.is_whole())
    }

    #[test]
    fn entries_come_whole_however_the_bytes_come() {
        let mut archive = archive::small_file("blobs/sha256/aa", &[7; 1500]);
        archive.extend(archive::small_file("empty", b""));
        archive.extend(archive::small_file("manifest.json", b"[]"));
        archive.extend(archive::end());
        let whole = taken(&archive, usize::MAX);
        assert!(whole.1);
        assert_eq!(whole.0[0], ("blobs/sha256/aa".to_owned(), vec![7; 1500]));
        assert_eq!(whole.0[1], ("empty".to_owned(), Vec::new()));
        assert_eq!(whole.0[2].1, b"[]");
        for step in [1, 7, 511, 512, 513, 4096] {
            assert_eq!(taken(&archive, step), whole, "in steps of {step}");
        }
    }

    #[test]
    fn what_breaks_off_is_not_whole_and_rubbish_is_refused() {
        let archive = archive::small_file("a", &[1; 600]);
        for length in [100, 512, 700, 1200] {
            assert!(!taken(&archive[..length], 64).1, "{length}");
        }
        let mut pieces = ArchivePieces::default();
        let rubbish = Bytes::from_static(&[b'x'; BLOCK]);
        assert!(pieces.take(rubbish, &mut |_| {}).is_err());
    }
}
