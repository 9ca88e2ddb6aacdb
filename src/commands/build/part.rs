//! `devnet build`: a file on its way, which gets its name once it is whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::commands::build::result::cannot_write;
use crate::engine::buildkit::token;
use crate::error::Result;

/// Where a stream goes: a file, which gets its name by [`Part::finish`]; `-` is stdout. What is
/// there and no file, as a pipe or `/dev/null`, is written into as it is.
///
/// # Errors
/// When no file can be made there.
pub(super) fn writer(file: &Path) -> Result<(Box<dyn io::Write + Send>, Option<Part>)> {
    if file == Path::new("-") {
        return Ok((Box::new(crate::ui::data_writer()), None));
    }
    if is_special(file) {
        let place = Place::Closed(file.to_owned());
        return Ok((Box::new(place), None));
    }
    let file = real(file);
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(format!(".{}.devnet-part", token()));
    let temporary = PathBuf::from(temporary);
    let to = File::create_new(&temporary).map_err(|error| cannot_write(&file).because(error))?;
    Ok((Box::new(to), Some(Part { temporary, file })))
}

/// Whether something is there that a file must not take the place of.
pub(super) fn is_special(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|facts| !facts.is_file() && !facts.is_dir())
}

/// What a link leads to, which may not be there yet: the link is to stay.
pub(super) fn real(file: &Path) -> PathBuf {
    match fs::read_link(file) {
        Err(_no_link) => file.to_owned(),
        Ok(target) => fs::canonicalize(file)
            .unwrap_or_else(|_absent| file.parent().unwrap_or(Path::new("")).join(target)),
    }
}

/// A pipe or a device, opened when there is something to write: a pipe waits for its reader.
enum Place {
    Closed(PathBuf),
    Open(File),
}

impl io::Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Self::Closed(path) = self {
            *self = Self::Open(OpenOptions::new().write(true).open(path)?);
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
pub(super) struct Part {
    temporary: PathBuf,
    file: PathBuf,
}

impl Part {
    /// Gives the file its name; it is whole.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub(super) fn finish(self) -> Result<()> {
        fs::rename(&self.temporary, &self.file)
            .map_err(|error| cannot_write(&self.file).because(error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // after the renaming there is nothing under this name
        let _gone = fs::remove_file(&self.temporary);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::{FileTypeExt as _, symlink};

    fn written(file: &Path, text: &[u8]) -> Result<()> {
        let (mut to, part) = writer(file)?;
        to.write_all(text)
            .map_err(|error| cannot_write(file).because(error))?;
        drop(to);
        part.map_or(Ok(()), Part::finish)
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
