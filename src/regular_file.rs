//! Regular files, opened and read within limits: the one door through which devnet reads files. A
//! pipe in a file's place would hold devnet for ever, a device might never end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Opens a regular file (or `/dev/null`, which is an empty one), links followed, and gives its
/// length. What became a pipe a moment ago is not waited for.
///
/// # Errors
/// When it can't be opened, or is something else.
pub(crate) fn open(file: &Path) -> io::Result<(File, u64)> {
    // not even opened: some devices do something then
    length(&fs::metadata(file)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, without_waiting());
    let file = options.open(file)?;
    let length = length(&file.metadata()?)?;
    Ok((file, length))
}

#[cfg(unix)]
fn without_waiting() -> i32 {
    use rustix::fs::OFlags;
    // the bits fit: they are the system's own `int`
    i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0)
}

fn length(facts: &fs::Metadata) -> io::Result<u64> {
    if facts.is_file() {
        return Ok(facts.len());
    }
    if is_null(facts) {
        return Ok(0);
    }
    Err(irregular())
}

/// True where this is `/dev/null`, by whatever name: people name it for a file without content, and
/// it keeps nobody waiting.
#[cfg(unix)]
fn is_null(facts: &fs::Metadata) -> bool {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let is_device = facts.file_type().is_char_device();
    is_device && fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == facts.rdev())
}

#[cfg(not(unix))]
fn is_null(_facts: &fs::Metadata) -> bool {
    false
}

fn irregular() -> io::Error {
    io::Error::other("it is not a regular file")
}

/// The bytes of a regular file.
///
/// # Errors
/// As for [`open`]; when there are more than `limit`.
pub(crate) fn bytes(file: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, length) = open(file)?;
    if length > limit {
        return Err(too_large(limit));
    }
    all(file, limit)
}

/// The text of a regular file.
///
/// # Errors
/// As for [`bytes`]; when it is not UTF-8.
pub(crate) fn text(file: &Path, limit: u64) -> io::Result<String> {
    utf8(bytes(file, limit)?)
}

/// The bytes of a file that a person named: regular, or a pipe that their shell made for it, as
/// `<(…)`. Reading may wait for the pipe's other end.
///
/// # Errors
/// As for [`bytes`].
pub(crate) fn named(file: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if is_of_the_shell(file) {
        return all(File::open(file)?, limit);
    }
    bytes(file, limit)
}

/// The text of such a file.
///
/// # Errors
/// As for [`named`]; when it is not UTF-8.
pub(crate) fn named_text(file: &Path, limit: u64) -> io::Result<String> {
    utf8(named(file, limit)?)
}

/// True where a path is a descriptor that devnet was started with, and a pipe.
pub(crate) fn is_of_the_shell(file: &Path) -> bool {
    let descriptor = ["/dev/fd", "/proc/self/fd"]
        .iter()
        .any(|folder| file.parent() == Some(Path::new(folder)))
        || file == Path::new("/dev/stdin");
    descriptor && is_pipe(file)
}

/// A pipe with a name, opened when it is read: that waits for its writer.
#[derive(Debug)]
pub(crate) enum Pipe {
    Closed(PathBuf),
    Open(File),
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Closed(path) = self {
            *self = Self::Open(File::open(path)?);
        }
        match self {
            Self::Open(file) => file.read(buffer),
            Self::Closed(_) => Ok(0),
        }
    }
}

#[cfg(unix)]
pub(crate) fn is_pipe(file: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    fs::metadata(file).is_ok_and(|facts| facts.file_type().is_fifo())
}

#[cfg(not(unix))]
pub(crate) fn is_pipe(_file: &Path) -> bool {
    false
}

/// The text of what can be read once, as stdin.
///
/// # Errors
/// The reader's; when there is more than `limit`; when it is not UTF-8.
pub(crate) fn text_of(reader: impl Read, limit: u64) -> io::Result<String> {
    utf8(all(reader, limit)?)
}

/// All that a reader gives.
///
/// # Errors
/// The reader's; when there is more than `limit`.
pub(crate) fn all(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

fn too_large(limit: u64) -> io::Error {
    io::Error::other(match limit {
        1_048_576.. => format!("it is larger than {} MB", limit >> 20),
        _ => format!("it is larger than {} KiB", limit >> 10),
    })
}

/// Opens a regular file at a path below a folder, following no link on the way: what was a file
/// when the folder was walked may be one no more.
///
/// # Errors
/// As for [`open`]; when a link stands on the way.
#[cfg(unix)]
pub(crate) fn open_below(root: &Path, relative: &str) -> io::Result<(File, u64)> {
    use rustix::fs::{Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let folder = folder_below(root, folders)?;
    let file = openat(
        &folder,
        name,
        flags | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
    );
    let file: File = match file {
        Ok(file) => file.into(),
        Err(rustix::io::Errno::LOOP) => return Err(irregular()),
        Err(error) => return Err(error.into()),
    };
    let length = length(&file.metadata()?)?;
    Ok((file, length))
}

/// Opens a folder at a path below another, following no link on the way.
///
/// # Errors
/// When it can't be opened, or something else stands there or on the way.
#[cfg(unix)]
pub(crate) fn folder_below(root: &Path, relative: &str) -> io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let mut folder = openat(CWD, root, flags, Mode::empty())?;
    for name in relative.split('/').filter(|name| !name.is_empty()) {
        if name == ".." {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        folder = openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(folder)
}

/// The same by paths, which is as near as this system comes.
#[cfg(not(unix))]
pub(crate) fn open_below(root: &Path, relative: &str) -> io::Result<(File, u64)> {
    let mut path = root.to_owned();
    for name in relative.split('/').filter(|name| !name.is_empty()) {
        path.push(name);
        if name == ".." || fs::symlink_metadata(&path)?.is_symlink() {
            return Err(irregular());
        }
    }
    open(&path)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn pipes_devices_and_folders_are_no_files_and_are_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), mode).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        for other in ["pipe", "zero", "."] {
            let error = bytes(&at(other), 9).unwrap_err().to_string();
            assert_eq!(error, "it is not a regular file", "{other}");
        }
        assert_eq!(text(&at("link"), 4).unwrap(), "text");
        symlink("/dev/null", at("null")).unwrap();
        for empty in [at("null"), "/dev/null".into()] {
            assert_eq!(text(&empty, 4).unwrap(), "");
            assert_eq!(named_text(&empty, 4).unwrap(), "");
        }
        let error = text(&at("link"), 3).unwrap_err().to_string();
        assert!(error.contains("larger than"), "{error}");
        // a file that tells no length is not believed
        let endless = all(io::repeat(b'x'), 2 << 20).unwrap_err().to_string();
        assert_eq!(endless, "it is larger than 2 MB");
    }

    #[test]
    fn what_was_swapped_for_a_link_or_a_pipe_is_not_opened_below_a_folder() {
        let home = tempfile::tempdir().unwrap();
        let (root, outside) = (home.path().join("root"), home.path().join("outside"));
        for folder in [&root, &outside] {
            fs::create_dir_all(folder.join("d")).unwrap();
            fs::write(folder.join("d/file"), "text").unwrap();
        }
        assert_eq!(open_below(&root, "d/file").unwrap().1, 4);
        symlink(outside.join("d/file"), root.join("d/swapped")).unwrap();
        symlink(outside.join("d"), root.join("folder")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("d/pipe"), mode).unwrap();
        for path in ["d/swapped", "folder/file", "d/pipe", "../outside/d/file"] {
            assert!(open_below(&root, path).is_err(), "{path}");
        }
        assert!(folder_below(&root, "folder").is_err());
        assert!(folder_below(&root, "d").is_ok());
    }
}
