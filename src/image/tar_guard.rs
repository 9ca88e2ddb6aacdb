//! A tar stream whose headers are looked at before the tar reader, which holds long names in memory
//! whatever their length, sees them.

use std::io::{self, Read};

use crate::image::archive::{self, BLOCK, Block, Headers};
use crate::image::archive_reader::fill;

/// Passes a tar on unchanged, and breaks off at anything that no engine sends.
pub(crate) struct TarGuard<'r> {
    inner: &'r mut dyn Read,
    headers: Headers,
    block: [u8; BLOCK],
    /// The part of the block that was not given yet.
    given: usize,
    filled: usize,
    /// The bytes of a content that are still to pass.
    left: u64,
    untouched: bool,
}

impl<'r> TarGuard<'r> {
    pub(crate) fn new(inner: &'r mut dyn Read) -> Self {
        Self {
            inner,
            headers: Headers::default(),
            block: [0; BLOCK],
            given: 0,
            filled: 0,
            left: 0,
            untouched: true,
        }
    }

    /// True where not a byte came.
    pub(crate) fn is_untouched(&self) -> bool {
        self.untouched
    }

    fn next_block(&mut self) -> io::Result<()> {
        self.given = 0;
        self.filled = fill(self.inner, &mut self.block)?;
        self.untouched &= self.filled == 0;
        if self.filled < BLOCK {
            return Ok(());
        }
        let broken = |why: &str| io::Error::other(format!("the engine's archive is broken: {why}"));
        if let Block::Entry(entry) = self.headers.take(&self.block).map_err(broken)? {
            let own = tar::Header::from_byte_slice(&self.block);
            if entry.size == 0 && !own.entry_type().is_file() && own.entry_size()? > 0 {
                return Err(broken("what is no file has a content"));
            }
            self.left = entry
                .size
                .checked_add(archive::padding(entry.size) as u64)
                .ok_or_else(|| broken("a file without an end"))?;
        }
        Ok(())
    }
}

impl Read for TarGuard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.filled && self.left == 0 {
            self.next_block()?;
        }
        if self.given < self.filled {
            let count = buffer.len().min(self.filled - self.given);
            buffer[..count].copy_from_slice(&self.block[self.given..self.given + count]);
            self.given += count;
            return Ok(count);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut passed = Vec::new();
        TarGuard::new(&mut bytes).read_to_end(&mut passed)?;
        Ok(passed)
    }

    #[test]
    fn an_archive_passes_as_it_is_and_names_without_an_end_do_not() {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in [
            ("a".repeat(300), "text".repeat(500)),
            ("b".into(), String::new()),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, name, content.as_bytes())
                .unwrap();
        }
        let bytes = builder.into_inner().unwrap();
        assert!(read(&bytes).unwrap() == bytes);
        for (kind, size) in [
            (tar::EntryType::GNULongName, 1 << 40),
            (tar::EntryType::XHeader, 2 << 20),
            (tar::EntryType::Symlink, 1 << 20),
            (tar::EntryType::Directory, 512),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_path("x").unwrap();
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_cksum();
            let hostile = [header.as_bytes(), [b'x'; 4096].as_slice()].concat();
            assert!(read(&hostile).is_err(), "{kind:?}");
        }
        assert_eq!(read(b"short").unwrap(), b"short");
    }
}
