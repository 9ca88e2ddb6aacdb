//! Records of a few kilobytes, read whole: settings, keys, what other tools keep.

use std::io::Result;
use std::path::Path;

use crate::regular_file;

/// Whatever is larger is something else.
const LARGEST: u64 = 1 << 20;

/// The text of a file.
///
/// # Errors
/// When it can't be opened, is no regular file, is larger than 1 MB, or is not UTF-8.
pub(crate) fn read(file: &Path) -> Result<String> {
    regular_file::text(file, LARGEST)
}

/// The bytes of a file.
///
/// # Errors
/// As for [`read`], whatever they are.
pub(crate) fn bytes(file: &Path) -> Result<Vec<u8>> {
    regular_file::bytes(file, LARGEST)
}
