//! Reads a small file whole: never one that is huge, and never a pipe or device, which could hold
//! devnet for ever.

use std::fs::File;
use std::io::{Error, Read as _, Result};
use std::path::Path;

/// The records that devnet reads are a few kilobytes; whatever is larger is something else.
const LARGEST: u64 = 1 << 20;

/// The text of a file.
///
/// # Errors
/// When it can't be opened, is no regular file, is larger than 1 MB, or is not UTF-8.
pub(crate) fn read(file: &Path) -> Result<String> {
    String::from_utf8(bytes(file)?).map_err(|_| Error::other("it is not UTF-8"))
}

/// The bytes of a file.
///
/// # Errors
/// As for [`read`].
pub(crate) fn bytes(file: &Path) -> Result<Vec<u8>> {
    // before it is opened: opening a pipe waits for its other end
    if !std::fs::metadata(file)?.is_file() {
        return Err(Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::other("it is larger than 1 MB"));
    }
    Ok(bytes)
}
