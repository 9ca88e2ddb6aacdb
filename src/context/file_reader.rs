//! Files as archives are read from them: one that is sought in, and one whose place is its own.

use std::fs::File;
use std::io::{self, BufReader, Read};

use crate::image::archive_reader::ArchiveReader;

/// An archive in a file, in which contents that nobody wants are sought over.
pub(crate) struct Seeking<'f> {
    pub(crate) file: BufReader<&'f File>,
    pub(crate) at: u64,
    pub(crate) length: u64,
}

impl Read for Seeking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl ArchiveReader for Seeking<'_> {
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

/// A reader with a place of its own: a thread that was given up may still read the same file.
pub(crate) struct Apart<'f> {
    pub(crate) file: &'f File,
    pub(crate) at: u64,
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
