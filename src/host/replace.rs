//! A file replaced as a whole: who reads it meanwhile sees the old one or the new one. What is there
//! and no file, as a device or a pipe, is written into and stays.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The users that may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// As it was, or everybody where it is new.
    Everybody,
    /// A key's.
    Owner,
}

/// Links to links to links.
const MOST_LINKS: usize = 40;

/// Writes a new file beside it and puts that in its place. A link stays a link.
pub(crate) fn replace(file: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    if is_special(file) {
        // a pipe that nobody reads is not waited for
        return special(file, false)?.write_all(bytes);
    }
    let (mut open, new) = NewFile::begin(&real(file), readers)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    drop(open);
    new.finish()
}

/// True where something is there that a file must not take the place of.
pub(crate) fn is_special(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|facts| !facts.is_file() && !facts.is_dir())
}

/// Opens what is there and no file to write into it as it is; a pipe may be waited for until
/// somebody reads it.
pub(crate) fn special(file: &Path, wait: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    if !wait {
        let flag = rustix::fs::OFlags::NONBLOCK.bits();
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            i32::try_from(flag).unwrap_or(0),
        );
    }
    #[cfg(not(unix))]
    let _always = wait;
    options.open(file)
}

/// The target of a link, which may not be there yet: the link is to stay.
pub(crate) fn real(file: &Path) -> PathBuf {
    let mut file = file.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&file) {
            Err(_no_link) => break,
            Ok(target) => file = file.parent().unwrap_or(Path::new("")).join(target),
        }
    }
    file
}

/// A file on its way, which gets its name once it is whole: gone when this is dropped before it is
/// finished, as by Ctrl-C.
#[derive(Debug)]
pub(crate) struct NewFile {
    temporary: PathBuf,
    file: PathBuf,
}

impl NewFile {
    /// Begins it beside `file`, which is where [`real`] leads.
    ///
    /// # Errors
    /// When no file can be made there.
    pub(crate) fn begin(file: &Path, readers: Readers) -> io::Result<(File, Self)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
            options.mode(match (readers, fs::metadata(file)) {
                (Readers::Owner, _) => 0o600,
                (Readers::Everybody, Ok(old)) => old.permissions().mode() & 0o777,
                (Readers::Everybody, Err(_)) => 0o644,
            });
        }
        #[cfg(not(unix))]
        let _inherited = readers;
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!(".{}-{count}.devnet-part", std::process::id());
            let temporary = file.with_file_name(name);
            match options.open(&temporary) {
                // what a killed devnet of this number left
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(open) => {
                    let file = file.to_owned();
                    return Ok((open, Self { temporary, file }));
                }
            }
        }
    }

    /// Gives the file its name; it is whole.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub(crate) fn finish(self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.file)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // after the renaming there is nothing under this name
        let _gone = fs::remove_file(&self.temporary);
    }
}

/// Makes a folder and those above it.
pub(crate) fn folder(path: &Path, readers: Readers) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(match readers {
            Readers::Everybody => 0o755,
            Readers::Owner => 0o700,
        });
    }
    #[cfg(not(unix))]
    let _inherited = readers;
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_link_and_a_files_mode_stay() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, b"new", Readers::Everybody).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&real), 0o640);
        // a key is its owner's, whatever it was before
        replace(&link, b"key", Readers::Owner).unwrap();
        assert_eq!(mode(&real), 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    #[cfg(unix)]
    fn a_device_or_a_pipe_stays_and_what_a_loose_link_leads_to_is_made() {
        use std::os::unix::fs::{FileTypeExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("/dev/null", at("null")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), mode).unwrap();
        replace(&at("null"), b"new", Readers::Everybody).unwrap();
        assert!(at("null").is_symlink());
        let kind = |name: &str| fs::metadata(at(name)).unwrap().file_type();
        assert!(kind("null").is_char_device());
        // nobody reads it: told, not waited for
        assert!(replace(&at("pipe"), b"new", Readers::Owner).is_err());
        assert!(kind("pipe").is_fifo());
        symlink("further", at("loose")).unwrap();
        symlink("new", at("further")).unwrap();
        replace(&at("loose"), b"text", Readers::Everybody).unwrap();
        assert!(at("loose").is_symlink() && at("further").is_symlink());
        assert_eq!(fs::read(at("new")).unwrap(), b"text");
    }

    #[test]
    fn a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // a folder can't be replaced by a file
        fs::create_dir(folder.path().join("x")).unwrap();
        assert!(replace(&folder.path().join("x"), b"new", Readers::Owner).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
