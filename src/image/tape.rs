//! Readers of archives: one that seeks over contents, and one that can only go on.

use std::fs::File;
use std::io::{self, BufReader, Read};

/// An archive that is read from its beginning.
pub(crate) trait Tape: Read {
    /// Goes past bytes.
    fn pass(&mut self, count: u64) -> io::Result<()>;
}

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

/// A stream that can't seek.
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

pub(crate) fn skip(reader: &mut dyn Read, count: u64) -> io::Result<()> {
    if io::copy(&mut reader.take(count), &mut io::sink())? < count {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

impl Tape for &mut dyn Tape {
    fn pass(&mut self, count: u64) -> io::Result<()> {
        (**self).pass(count)
    }
}

/// Reads until `block` is full or nothing more comes; gives how much came.
pub(crate) fn fill(reader: &mut dyn Read, block: &mut [u8]) -> io::Result<usize> {
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
