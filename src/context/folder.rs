//! A build context as BuildKit wants to see it: the entries of a folder in its order, with the
//! facts that decide whether a file must be sent again.

use std::collections::BTreeMap;
#[cfg(unix)]
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::context::follow;
use crate::error::{Error, Result};
use crate::image::ignore::{Matched, Matcher};
#[cfg(unix)]
use crate::regular_file;

/// Go's `os.FileMode` bits, which the protocol carries.
pub(crate) mod mode {
    pub(crate) const FOLDER: u32 = 1 << 31;
    pub(crate) const SYMLINK: u32 = 1 << 27;
    pub(crate) const DEVICE: u32 = 1 << 26;
    pub(crate) const FIFO: u32 = 1 << 25;
    pub(crate) const SET_UID: u32 = 1 << 23;
    pub(crate) const SET_GID: u32 = 1 << 22;
    pub(crate) const CHARACTER_DEVICE: u32 = 1 << 21;
    pub(crate) const STICKY: u32 = 1 << 20;
    /// The bits of which a regular file has none.
    const IRREGULAR: u32 = FOLDER | SYMLINK | DEVICE | FIFO | CHARACTER_DEVICE | 1 << 24 | 1 << 19;

    pub(crate) fn is_regular(mode: u32) -> bool {
        mode & IRREGULAR == 0
    }
}

/// One file, folder, link or device of a context.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Entry {
    /// Relative, with slashes.
    pub(crate) path: String,
    /// Go's `os.FileMode`.
    pub(crate) mode: u32,
    /// Bytes; 0 for folders and hard links.
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i64,
    /// A symlink's target, or the path of the entry that this is a hard link to.
    pub(crate) link: String,
    /// A device's major and minor number.
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

impl Entry {
    /// True where its content can be asked for.
    pub(crate) fn has_content(&self) -> bool {
        mode::is_regular(self.mode) && self.link.is_empty()
    }
}

/// The choice of a folder's entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    /// Patterns of which one must match; none means everything.
    pub(crate) include: Vec<String>,
    /// `.dockerignore` patterns.
    pub(crate) exclude: Vec<String>,
    /// Paths (with wildcards) that are included together with what their symlinks lead to.
    pub(crate) follow: Vec<String>,
}

/// Goes through a folder depth first, each folder's entries sorted by their bytes, a folder
/// before its entries, and hands each wanted entry to `each` until that breaks.
///
/// # Errors
/// A malformed pattern; a folder that can't be read; a name that the protocol can't carry. What
/// vanishes meanwhile is left out.
pub(crate) fn walk(
    root: &Path,
    filter: &Filter,
    each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<()> {
    let malformed = |error| Error::failed("the build context can't be filtered").caused_by(error);
    let mut include = filter.include.clone();
    if !filter.follow.is_empty() {
        include.extend(follow::targets(root, &filter.follow));
    }
    let mut walk = Walk {
        root,
        include: Matcher::new(&include).map_err(malformed)?,
        exclude: Matcher::new(&filter.exclude).map_err(malformed)?,
        #[cfg(unix)]
        first_names: HashMap::new(),
        each,
    };
    let _ended = walk.folder("", None, &mut Vec::new())?;
    Ok(())
}

struct Walk<'a> {
    root: &'a Path,
    include: Matcher,
    exclude: Matcher,
    /// Device and inode to the first path that was handed out, for hard links.
    #[cfg(unix)]
    first_names: HashMap<(u64, u64), String>,
    each: &'a mut dyn FnMut(Entry) -> ControlFlow<()>,
}

impl Walk<'_> {
    /// `above` holds the folders over this one that have not been handed out yet: they are as
    /// soon as something in them is.
    fn folder(
        &mut self,
        folder: &str,
        matched: Option<&(Matched, Matched)>,
        above: &mut Vec<Entry>,
    ) -> Result<ControlFlow<()>> {
        for (name, path) in sorted(self.root, folder)? {
            let name = name.map_err(|path| {
                Error::failed(format!("`{}` can't be sent", path.display()))
                    .caused_by("its name is not UTF-8, which BuildKit's protocol needs")
                    .hint("rename it, or leave it out with `.dockerignore`")
            });
            // a name that is left out anyway may be anything
            let shown = match &name {
                Ok(name) => name.clone(),
                Err(_) => path
                    .file_name()
                    .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            };
            let relative = if folder.is_empty() {
                shown
            } else {
                format!("{folder}/{shown}")
            };
            let Some(metadata) = vanished_is_none(fs::symlink_metadata(&path), &path)? else {
                continue;
            };
            let is_folder = metadata.is_dir();
            let (included, in_matched) = if self.include.is_empty() {
                (true, Matched::default())
            } else {
                self.include.matches(&relative, matched.map(|(of, _)| of))
            };
            if !included && (!is_folder || !self.include.may_cover_below(&relative)) {
                continue;
            }
            let (excluded, ex_matched) = if self.exclude.is_empty() {
                (false, Matched::default())
            } else {
                self.exclude.matches(&relative, matched.map(|(_, of)| of))
            };
            if excluded && (!is_folder || !self.exclude.may_take_back_below(&relative)) {
                continue;
            }
            let wanted = included && !excluded;
            if wanted || is_folder {
                name?;
            }
            let Some(entry) = self.entry(relative.clone(), &path, &metadata)? else {
                continue;
            };
            if wanted {
                for folder in above.drain(..) {
                    if (self.each)(folder).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                if (self.each)(entry).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            } else {
                above.push(entry);
            }
            if is_folder {
                let matched = (in_matched, ex_matched);
                let depth = above.len();
                if self.folder(&relative, Some(&matched), above)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                // nothing in it was wanted
                if !wanted && above.len() == depth {
                    above.pop();
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// `None` for what no image can hold (a socket) and for what has vanished.
    fn entry(
        &mut self,
        relative: String,
        path: &Path,
        metadata: &Metadata,
    ) -> Result<Option<Entry>> {
        let Some(kind) = kind(metadata.file_type()) else {
            return Ok(None);
        };
        let mut entry = Entry {
            path: relative,
            mode: kind | permissions(metadata),
            size: if metadata.is_dir() { 0 } else { metadata.len() },
            modified: modified(metadata),
            ..Entry::default()
        };
        if metadata.is_symlink() {
            let target = match fs::read_link(path) {
                // another thing stands there by now
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => None,
                target => vanished_is_none(target, path)?,
            };
            let Some(target) = target else {
                return Ok(None);
            };
            let target = target.to_str().ok_or_else(|| {
                Error::failed(format!("the symlink `{}` can't be sent", path.display()))
                    .caused_by("its target is not UTF-8, which BuildKit's protocol needs")
            })?;
            target.clone_into(&mut entry.link);
        }
        #[cfg(unix)]
        self.unix_facts(&mut entry, path, metadata);
        Ok(Some(entry))
    }

    #[cfg(unix)]
    fn unix_facts(&mut self, entry: &mut Entry, path: &Path, metadata: &Metadata) {
        use std::os::unix::fs::MetadataExt as _;
        if entry.mode & mode::DEVICE != 0 {
            #[cfg(not(target_vendor = "apple"))]
            let device = metadata.rdev();
            #[cfg(target_vendor = "apple")]
            #[expect(
                clippy::cast_possible_truncation,
                reason = "std widened the system's 32 bits"
            )]
            let device = metadata.rdev() as rustix::fs::Dev;
            entry.device = (rustix::fs::major(device), rustix::fs::minor(device));
        }
        if mode::is_regular(entry.mode) && metadata.nlink() > 1 {
            match self.first_names.entry((metadata.dev(), metadata.ino())) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    first.get().clone_into(&mut entry.link);
                    entry.size = 0;
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(entry.path.clone());
                }
            }
        }
        entry.xattrs = xattrs(path);
    }
}

type Named = (std::result::Result<String, PathBuf>, PathBuf);

/// A folder's entries in the protocol's order.
fn sorted(root: &Path, relative: &str) -> Result<Vec<Named>> {
    let folder = root.join(relative);
    let mut names = match names(root, relative) {
        Ok(names) => names,
        Err(error) if is_gone(&error) && !relative.is_empty() => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&folder, error)),
    };
    names.sort_unstable_by(|a, b| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
    Ok(names
        .into_iter()
        .map(|name| {
            let path = folder.join(&name);
            (name.into_string().map_err(|_name| path.clone()), path)
        })
        .collect())
}

/// A folder's names; one that was swapped for a link is not followed out of the context.
#[cfg(unix)]
fn names(root: &Path, relative: &str) -> io::Result<Vec<OsString>> {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = regular_file::folder_below(root, relative)?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(std::ffi::OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

#[cfg(not(unix))]
fn names(root: &Path, relative: &str) -> io::Result<Vec<OsString>> {
    fs::read_dir(root.join(relative))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect()
}

fn vanished_is_none<T>(outcome: io::Result<T>, path: &Path) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

/// A file that was there when its folder was walked, and was gone when it was to be sent.
#[derive(Debug)]
pub(crate) struct Gone;

impl Gone {
    /// True where something failed because of this.
    pub(crate) fn caused(error: &Error) -> bool {
        std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<Self>)
    }
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it was there a moment ago, and is gone")
    }
}

impl std::error::Error for Gone {}

/// True where a file is not there any more, or its folder is another thing now.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::failed(format!(
        "`{}` in the build context can't be read",
        path.display()
    ))
    .caused_by(error)
    .hint("`.dockerignore` leaves out what the build does not need")
}

#[cfg(unix)]
fn kind(kind: FileType) -> Option<u32> {
    use std::os::unix::fs::FileTypeExt as _;
    Some(if kind.is_dir() {
        mode::FOLDER
    } else if kind.is_symlink() {
        mode::SYMLINK
    } else if kind.is_fifo() {
        mode::FIFO
    } else if kind.is_block_device() {
        mode::DEVICE
    } else if kind.is_char_device() {
        mode::DEVICE | mode::CHARACTER_DEVICE
    } else if kind.is_socket() {
        return None;
    } else {
        0
    })
}

#[cfg(not(unix))]
fn kind(kind: FileType) -> Option<u32> {
    Some(if kind.is_dir() {
        mode::FOLDER
    } else if kind.is_symlink() {
        mode::SYMLINK
    } else {
        0
    })
}

#[cfg(unix)]
fn permissions(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    let raw = metadata.mode();
    let mut go = raw & 0o777;
    for (bit, own) in [
        (0o4000, mode::SET_UID),
        (0o2000, mode::SET_GID),
        (0o1000, mode::STICKY),
    ] {
        if raw & bit != 0 {
            go |= own;
        }
    }
    go
}

/// Windows knows no modes; everything may be run, as docker sends it from there, and what is
/// read-only stays so.
#[cfg(not(unix))]
fn permissions(metadata: &Metadata) -> u32 {
    if metadata.permissions().readonly() {
        0o555
    } else {
        0o755
    }
}

#[cfg(unix)]
fn modified(metadata: &Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt as _;
    metadata
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.mtime_nsec())
}

#[cfg(not(unix))]
fn modified(metadata: &Metadata) -> i64 {
    metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// File capabilities and the like. Most files have none, and a file system without them is no
/// failure.
#[cfg(unix)]
fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = Vec::new();
    let Ok(length) = rustix::fs::llistxattr(path, &mut [0_u8; 0][..]) else {
        return BTreeMap::new();
    };
    if length == 0 {
        return BTreeMap::new();
    }
    names.resize(length, 0_u8);
    let Ok(length) = rustix::fs::llistxattr(path, &mut names[..]) else {
        return BTreeMap::new();
    };
    names[..length]
        .split(|byte| *byte == 0)
        .filter_map(|name| std::str::from_utf8(name).ok())
        // a Mac's own notes about a file mean nothing in an image
        .filter(|name| !name.is_empty() && !name.starts_with("com.apple."))
        .filter_map(|name| {
            let length = rustix::fs::lgetxattr(path, name, &mut [0_u8; 0][..]).ok()?;
            let mut value = vec![0_u8; length];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
            value.truncate(length);
            Some((name.to_owned(), value))
        })
        .collect()
}

#[cfg(test)]
#[cfg(unix)]
#[path = "folder_tests.rs"]
mod tests;
