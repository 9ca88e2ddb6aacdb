//! A file replaced as a whole: who reads it meanwhile sees the old one or the new one.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// As it was, or everybody where it is new.
    Everybody,
    /// A key's.
    Owner,
}

/// Writes a new file beside it and puts that in its place. A link stays a link.
pub(crate) fn replace(file: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let new = New(file.with_file_name(format!(".{name}.devnet-{}", std::process::id())));
    // what a killed devnet of this number left
    let _usually_none = fs::remove_file(&new.0);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        options.mode(match (readers, fs::metadata(&file)) {
            (Readers::Owner, _) => 0o600,
            (Readers::Everybody, Ok(old)) => old.permissions().mode() & 0o777,
            (Readers::Everybody, Err(_)) => 0o644,
        });
    }
    #[cfg(not(unix))]
    let _inherited = readers;
    let mut open = options.open(&new.0)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    drop(open);
    fs::rename(&new.0, &file)
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

/// The new file until it has its place; what never got there goes.
struct New(PathBuf);

impl Drop for New {
    fn drop(&mut self) {
        let _usually_renamed = fs::remove_file(&self.0);
    }
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
    fn a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // a folder can't be replaced by a file
        fs::create_dir(folder.path().join("x")).unwrap();
        assert!(replace(&folder.path().join("x"), b"new", Readers::Owner).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
