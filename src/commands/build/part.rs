//! `devnet build`: a file on its way, which gets its name once it is whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::commands::build::result::cannot_write;
use crate::error::Result;
use crate::host::replace::{self, NewFile, Readers};

/// Opens the place that a stream goes to: a file, which gets its name by [`UnfinishedFile::finish`]; `-` is
/// stdout. What is there and no file, as a pipe or `/dev/null`, is written into as it is.
///
/// # Errors
/// When no file can be made there.
pub(super) fn writer(file: &Path) -> Result<(Box<dyn io::Write + Send>, Option<UnfinishedFile>)> {
    if file == Path::new("-") {
        return Ok((Box::new(crate::ui::data_writer()), None));
    }
    if replace::is_special(file) {
        let special = SpecialFile::Closed(file.to_owned());
        return Ok((Box::new(special), None));
    }
    let (to, new) = NewFile::begin(&replace::real(file), Readers::Everybody)
        .map_err(|error| cannot_write(file).caused_by(error))?;
    let file = file.to_owned();
    Ok((Box::new(to), Some(UnfinishedFile { new, file })))
}

/// A pipe or a device, opened when there is something to write: a pipe waits for its reader.
enum SpecialFile {
    Closed(PathBuf),
    Open(File),
}

impl io::Write for SpecialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Self::Closed(path) = self {
            *self = Self::Open(replace::special(path, true)?);
        }
        match self {
            Self::Open(file) => file.write(bytes),
            Self::Closed(_) => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file on its way: gone when this is dropped before it is finished, as by Ctrl-C.
pub(super) struct UnfinishedFile {
    new: NewFile,
    /// As a person called it.
    file: PathBuf,
}

impl UnfinishedFile {
    /// Gives the file its name; it is whole.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub(super) fn finish(self) -> Result<()> {
        let Self { new, file } = self;
        new.finish()
            .map_err(|error| cannot_write(&file).caused_by(error))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{FileTypeExt as _, symlink};

    fn written(file: &Path, text: &[u8]) -> Result<()> {
        let (mut to, part) = writer(file)?;
        to.write_all(text)
            .map_err(|error| cannot_write(file).caused_by(error))?;
        drop(to);
        part.map_or(Ok(()), UnfinishedFile::finish)
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        symlink("file", &link).unwrap();
        for text in [b"first", b"again"] {
            written(&link, text).unwrap();
            assert!(link.is_symlink());
            assert_eq!(fs::read(&file).unwrap(), text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_socket_is_no_place_for_a_file_and_a_device_stays() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let (mut to, part) = writer(&socket).unwrap();
        assert!(part.is_none());
        assert!(to.write_all(b"x").is_err());
        let link = folder.path().join("null");
        symlink("/dev/null", &link).unwrap();
        written(&link, b"x").unwrap();
        let kind = fs::metadata(&link).unwrap().file_type();
        assert!(link.is_symlink() && kind.is_char_device());
    }
}
