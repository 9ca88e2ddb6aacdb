//! A build's result unpacked into a folder, over what an older one left there. Nothing outside the
//! folder is ever touched: no link is followed, and paths that climb out are refused.

use std::ffi::OsString;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::image::tar_guard::TarGuard;

/// A folder that is being unpacked into. When this is dropped the unpacking ends, as by Ctrl-C, and
/// the file that was being written goes.
#[derive(Debug, Default)]
pub(crate) struct Unpacking(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    ended: bool,
    half: Option<PathBuf>,
}

impl Unpacking {
    /// Unpacks a tar, on whichever thread this is called.
    pub(crate) fn sink(
        &self,
        folder: &Path,
    ) -> impl FnOnce(&mut dyn Read) -> io::Result<()> + Send + 'static {
        let (progress, root) = (self.0.clone(), folder.to_owned());
        move |tar| {
            let mut unpack = Unpack {
                root,
                progress,
                levels: Vec::new(),
            };
            let outcome = unpack.all(tar);
            unpack.give_up_half();
            outcome
        }
    }
}

impl Drop for Unpacking {
    fn drop(&mut self) {
        let mut progress = locked(&self.0);
        progress.ended = true;
        remove_half(&mut progress);
    }
}

fn locked(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove_half(progress: &mut Progress) {
    if let Some(half) = progress.half.take() {
        let _gone = fs::remove_file(half);
    }
}

struct Unpack {
    root: PathBuf,
    progress: Arc<Mutex<Progress>>,
    /// The folders over the entry that came last, each of which is a real one.
    levels: Vec<Level>,
}

/// A folder on the way, with the facts that it gets once all is in it.
struct Level {
    name: OsString,
    facts: Option<Facts>,
}

#[derive(Clone, Copy)]
struct Facts {
    mode: u32,
    modified: u64,
}

impl Unpack {
    fn all(&mut self, tar: &mut dyn Read) -> io::Result<()> {
        let mut archive = tar::Archive::new(TarGuard::new(tar));
        let mut any = false;
        for entry in archive.entries()? {
            let mut entry = entry?;
            any = true;
            let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            self.one(&mut entry).map_err(|error| {
                io::Error::new(error.kind(), format!("`{}`: {error}", shown.escape_debug()))
            })?;
        }
        // the end of an archive is at least told
        if !any && archive.into_inner().is_untouched() {
            return Err(io::Error::other("the engine sent nothing"));
        }
        self.leave(0)
    }

    fn one(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> io::Result<()> {
        let names = names(&entry.path_bytes())?;
        let header = entry.header();
        let kind = header.entry_type();
        let facts = Facts {
            mode: header.mode().unwrap_or(0o644) & 0o7777,
            modified: header.mtime().unwrap_or(0),
        };
        let Some((_name, above)) = names.split_last() else {
            return Ok(());
        };
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        self.enter(above)?;
        let path = self.path(&names);
        if kind.is_dir() {
            self.enter(&names)?;
            if let Some(level) = self.levels.last_mut() {
                level.facts = Some(facts);
            }
            return Ok(());
        }
        if kind.is_symlink() {
            clear(&path, false)?;
            let target = entry.link_name_bytes().unwrap_or_default();
            symlink(&os_name(&target)?, &path)?;
            return set_time(&path, facts.modified);
        }
        if kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = self.file_inside(&target)?;
            if target == path {
                return Ok(());
            }
            clear(&path, false)?;
            return fs::hard_link(target, path);
        }
        if kind.is_fifo() || kind.is_character_special() || kind.is_block_special() {
            clear(&path, !kind.is_fifo())?;
            make_special(&path, header, facts.mode)?;
            return set_time(&path, facts.modified);
        }
        if !kind.is_file() && !kind.is_contiguous() {
            return Err(io::Error::other(
                "it is neither a file nor a folder nor a link",
            ));
        }
        clear(&path, false)?;
        self.begin(&path)?;
        let size = entry.size();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        if io::copy(entry, &mut file)? < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(fs::Permissions::from_mode(facts.mode))?;
        }
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(facts.modified))?;
        locked(&self.progress).half = None;
        Ok(())
    }

    /// Says which file is being written, unless nobody wants it any more.
    fn begin(&self, path: &Path) -> io::Result<()> {
        let mut progress = locked(&self.progress);
        if progress.ended {
            return Err(io::Error::other("interrupted"));
        }
        progress.half = Some(path.to_owned());
        Ok(())
    }

    fn give_up_half(&self) {
        remove_half(&mut locked(&self.progress));
    }

    fn path(&self, names: &[OsString]) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(names);
        path
    }

    /// Makes these the folders that are being filled; what is no folder there makes room for one.
    fn enter(&mut self, names: &[OsString]) -> io::Result<()> {
        let same = self.levels.iter().zip(names);
        let same = same
            .take_while(|(level, name)| level.name == **name)
            .count();
        self.leave(same)?;
        for depth in same..names.len() {
            make_folder(&self.path(&names[..=depth]))?;
            self.levels.push(Level {
                name: names[depth].clone(),
                facts: None,
            });
        }
        Ok(())
    }

    /// Gives the folders that are full their modes and times: before, there was writing in them.
    fn leave(&mut self, depth: usize) -> io::Result<()> {
        while self.levels.len() > depth {
            let names: Vec<OsString> = self.levels.iter().map(|level| level.name.clone()).collect();
            let path = self.path(&names);
            let Some(Level { facts, .. }) = self.levels.pop() else {
                break;
            };
            if let Some(facts) = facts {
                set_mode(&path, facts.mode)?;
                set_time(&path, facts.modified)?;
            }
        }
        Ok(())
    }

    /// A file of this result that a hard link leads to.
    fn file_inside(&self, target: &[u8]) -> io::Result<PathBuf> {
        let names = names(target)?;
        let mut path = self.root.clone();
        for (at, name) in names.iter().enumerate() {
            path.push(name);
            let facts = fs::symlink_metadata(&path)?;
            let last = at + 1 == names.len();
            if !(facts.is_dir() && !last || last && !facts.is_dir() && !facts.is_symlink()) {
                return Err(io::Error::other(
                    "it is a link to something else than a file",
                ));
            }
        }
        Ok(path)
    }
}

/// The names of a path, one below the other.
fn names(path: &[u8]) -> io::Result<Vec<OsString>> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| {
            let text = os_name(name)?;
            let mut parts = Path::new(&text).components();
            match (parts.next(), parts.next()) {
                (Some(std::path::Component::Normal(_)), None) => Ok(text),
                _ => Err(io::Error::other("its path leads out of the folder")),
            }
        })
        .collect()
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere names are text")]
fn os_name(bytes: &[u8]) -> io::Result<OsString> {
    use std::os::unix::ffi::OsStringExt as _;
    Ok(OsString::from_vec(bytes.to_vec()))
}

#[cfg(not(unix))]
fn os_name(bytes: &[u8]) -> io::Result<OsString> {
    String::from_utf8(bytes.to_vec())
        .map(Into::into)
        .map_err(|_| io::Error::other("its name is not UTF-8"))
}

/// A folder that can be written into, in the place of whatever is there.
fn make_folder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => make_writable(path, &facts),
        Ok(_) => {
            clear(path, false)?;
            fs::create_dir(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(path),
        Err(error) => Err(error),
    }
}

/// Takes away what is there. A device is nothing that an older result is taken for, unless the new
/// one brings a device too.
fn clear(path: &Path, for_a_device: bool) -> io::Result<()> {
    let facts = match fs::symlink_metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if is_device(&facts) && !for_a_device {
        return Err(io::Error::other("a device is in its place"));
    }
    if facts.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

#[cfg(unix)]
fn is_device(facts: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = facts.file_type();
    kind.is_block_device() || kind.is_char_device()
}

#[cfg(not(unix))]
fn is_device(_facts: &Metadata) -> bool {
    false
}

#[cfg(unix)]
fn make_writable(path: &Path, facts: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = facts.permissions().mode() & 0o7777;
    if mode & 0o700 == 0o700 {
        return Ok(());
    }
    set_mode(path, mode | 0o700)
}

#[cfg(not(unix))]
fn make_writable(_path: &Path, _facts: &Metadata) -> io::Result<()> {
    Ok(())
}

/// The mode of what is no link.
#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn set_time(path: &Path, modified: u64) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let time = Timespec {
        tv_sec: i64::try_from(modified).unwrap_or(0),
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)
}

#[cfg(not(unix))]
fn set_time(_path: &Path, _modified: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &std::ffi::OsStr, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn symlink(target: &std::ffi::OsStr, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}

/// A pipe or a device, as docker makes it: devices need root.
#[cfg(target_os = "linux")]
fn make_special(path: &Path, header: &tar::Header, mode: u32) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let kind = match header.entry_type() {
        kind if kind.is_fifo() => FileType::Fifo,
        kind if kind.is_character_special() => FileType::CharacterDevice,
        _ => FileType::BlockDevice,
    };
    let number = |part: io::Result<Option<u32>>| part.map(Option::unwrap_or_default);
    let device = makedev(
        number(header.device_major())?,
        number(header.device_minor())?,
    );
    mknodat(CWD, path, kind, Mode::from_raw_mode(mode & 0o777), device)?;
    set_mode(path, mode)
}

#[cfg(not(target_os = "linux"))]
fn make_special(_path: &Path, _header: &tar::Header, _mode: u32) -> io::Result<()> {
    Err(io::Error::other(
        "pipes and devices can't be made on this system",
    ))
}

#[cfg(all(test, target_os = "linux"))]
#[path = "unpack_tests.rs"]
mod tests;
