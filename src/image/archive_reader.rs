//! An archive that is read from its beginning: its contents are read or gone past.

use std::io::{self, Read};

/// An archive that is read from its beginning.
pub(crate) trait ArchiveReader: Read {
    /// Goes past bytes.
    fn pass(&mut self, count: u64) -> io::Result<()>;
}

/// A reader that can only go on.
pub(crate) struct Passing<R>(pub(crate) R);

impl<R: Read> Read for Passing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> ArchiveReader for Passing<R> {
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

impl ArchiveReader for &mut dyn ArchiveReader {
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
