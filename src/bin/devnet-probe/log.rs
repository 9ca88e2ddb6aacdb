//! A container's log as its files on the node have it, those that were rotated away too, sent in
//! chunks: a line with the kind (`plain`, `gz`) and the length, then the bytes. `live` stands before
//! what is written from then on. A chunk is sent when there is room for it where it is read: a line
//! `more` on stdin makes room for one.

#![expect(
    unsafe_code,
    reason = "openat2 is not in std; this is libc's own function"
)]

use std::ffi::{CString, c_int, c_long};
use std::fs::{self, File};
use std::io::{self, BufRead as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// The bytes of a chunk.
const CHUNK: usize = 64 << 10;
/// The longest head of a chunk, in bytes.
const LONGEST_HEAD: usize = 32;
/// The chunks that are sent before the first `more`.
const ROOM: usize = 8;
/// The pause between two looks at a file that is followed.
const PAUSE: Duration = Duration::from_millis(25);
/// Looks without news until a file is looked for that has taken its place.
const UNTIL_ROTATED: u32 = 8;
/// The folders of a log's path that belong to its pod: POD/CONTAINER/ATTEMPT.log. Nothing in them is
/// followed elsewhere.
const OF_POD: usize = 3;

/// The part of a log that is wanted.
struct Wanted {
    follow: bool,
    /// Seconds since 1970: files that were last written before are left out.
    since: Option<u64>,
    /// The number of last lines, of the newest file at least.
    tail: Option<usize>,
}

/// Sends the log whose newest file has this path.
pub(crate) fn send(path: &str, options: &[&str]) -> Result<(), String> {
    let mut wanted = Wanted {
        follow: false,
        since: None,
        tail: None,
    };
    for option in options {
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
        match option.split_once('=') {
            None if *option == "follow" => wanted.follow = true,
            Some(("since", text)) => wanted.since = Some(number(text)?),
            Some(("tail", text)) => {
                wanted.tail = Some(usize::try_from(number(text)?).unwrap_or(usize::MAX));
            }
            _ => return Err(format!("`{option}` is no part of a log")),
        }
    }
    let log = Log::of(path)?;
    log.send(&wanted, &Reader::listen())
        .map_err(|error| format!("{path}: {error}"))
}

/// The files of a log.
struct Log {
    /// The folder of all pods' logs, opened.
    root: File,
    /// The folder of the log, below that.
    folder: PathBuf,
    /// The same, whole.
    whole: PathBuf,
    name: String,
}

impl Log {
    fn of(path: &str) -> Result<Self, String> {
        let path = Path::new(path);
        let wrong = || format!("{} is no path of a log", path.display());
        let root = path.ancestors().nth(OF_POD).ok_or_else(wrong)?;
        let folder = path.parent().ok_or_else(wrong)?;
        let name = path.file_name().and_then(|name| name.to_str());
        Ok(Self {
            root: File::open(root).map_err(|error| format!("{}: {error}", root.display()))?,
            folder: folder.strip_prefix(root).map_err(|_| wrong())?.to_owned(),
            whole: folder.to_owned(),
            name: name.ok_or_else(wrong)?.to_owned(),
        })
    }

    fn send(&self, wanted: &Wanted, reader: &Reader) -> io::Result<()> {
        let mut newest = self.open(&self.name)?;
        let inode = newest.metadata()?.ino();
        let mut enough = false;
        if let Some(tail) = wanted.tail {
            let start = start_of_tail(&mut newest, tail)?;
            // more lines than the newest file has stand in those before
            enough = start > 0 || tail == 0;
            newest.seek(SeekFrom::Start(start))?;
        }
        if !enough {
            for name in self.rotated() {
                let Ok(mut file) = self.open(&name) else {
                    continue; // collected meanwhile
                };
                let about = file.metadata()?;
                let written = about.modified().ok();
                let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                let old = wanted
                    .since
                    .zip(written)
                    .is_some_and(|(since, written)| written.as_secs() < since);
                if about.ino() != inode && !old {
                    let kind = if is_packed(&name) { "gz" } else { "plain" };
                    chunks(&mut file, kind, reader)?;
                }
            }
        }
        chunks(&mut newest, "plain", reader)?;
        if wanted.follow {
            self.follow(newest, reader)?;
        }
        Ok(())
    }

    /// Sends what is written from now on, until a line on stdin says that nothing more will be.
    fn follow(&self, mut file: File, reader: &Reader) -> io::Result<()> {
        say("live\n")?;
        let mut quiet = 0;
        loop {
            let at_end = reader.told.end.load(Ordering::SeqCst);
            let length = file.metadata()?.len();
            if file.stream_position()? > length {
                file.rewind()?; // emptied in its place
            }
            let news = chunks(&mut file, "plain", reader)?;
            quiet = if news { 0 } else { quiet + 1 };
            if quiet >= UNTIL_ROTATED || at_end {
                quiet = 0;
                for mut newer in self.after(file.metadata()?.ino())? {
                    // what was written to the old one between the look and now
                    chunks(&mut file, "plain", reader)?;
                    chunks(&mut newer, "plain", reader)?;
                    file = newer;
                }
                if at_end {
                    return Ok(());
                }
            }
            if !news {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// The files that have taken the place of one, oldest first.
    fn after(&self, inode: u64) -> io::Result<Vec<File>> {
        let newest = match self.open(&self.name) {
            // between two names, or collected with its container
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        if newest.metadata()?.ino() == inode {
            return Ok(Vec::new());
        }
        let plain = self.rotated().into_iter();
        let plain = plain.filter(|name| !is_packed(name));
        let rotated: Vec<File> = plain.filter_map(|name| self.open(&name).ok()).collect();
        let is_it = |file: &File| file.metadata().is_ok_and(|about| about.ino() == inode);
        let place = rotated.iter().position(is_it);
        let after = place.map_or(rotated.len(), |place| place + 1);
        Ok(rotated.into_iter().skip(after).chain([newest]).collect())
    }

    /// The names of rotated files, oldest first; one that is being packed only once.
    fn rotated(&self) -> Vec<String> {
        let start = format!("{}.", self.name);
        let mut names: Vec<String> = fs::read_dir(&self.whole)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(&start) && ending(name) != "tmp")
            .collect();
        names.sort();
        let both = |name: &String| {
            name.strip_suffix(".gz")
                .is_some_and(|plain| names.iter().any(|other| other == plain))
        };
        names.iter().filter(|name| !both(name)).cloned().collect()
    }

    /// Opens a file of the pod's: nothing that leads elsewhere, and nothing but a file.
    fn open(&self, name: &str) -> io::Result<File> {
        let path = self.folder.join(name);
        let path = CString::new(path.as_os_str().as_bytes())?;
        let file = open_beneath(&self.root, &path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        Ok(file)
    }
}

fn ending(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// True for a file that the kubelet has packed since it was rotated away.
fn is_packed(name: &str) -> bool {
    ending(name) == "gz"
}

/// Linux's `open_how`.
#[repr(C)]
struct How {
    flags: u64,
    mode: u64,
    resolve: u64,
}

fn open_beneath(folder: &File, path: &CString) -> io::Result<File> {
    const OPENAT2: c_long = 437;
    const NONBLOCK: u64 = 0o4000;
    const CLOEXEC: u64 = 0o200_0000;
    const NO_SYMLINKS: u64 = 0x04;
    const BENEATH: u64 = 0x08;
    let how = How {
        // a FIFO must not be waited for
        flags: NONBLOCK | CLOEXEC,
        mode: 0,
        resolve: NO_SYMLINKS | BENEATH,
    };
    // SAFETY: the path and `how` live through the call, which is told `how`'s size.
    let opened = unsafe {
        syscall(
            OPENAT2,
            c_long::from(folder.as_raw_fd()),
            path.as_ptr(),
            &raw const how,
            size_of::<How>(),
        )
    };
    match c_int::try_from(opened) {
        // SAFETY: the kernel has just given this descriptor to nobody else.
        Ok(file) if file >= 0 => Ok(unsafe { File::from_raw_fd(file) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The most of a file's end that is held in memory, in bytes.
const LONGEST_END: u64 = 16 << 20;

/// The place in a file where about its last lines begin: at least so many that are whole. Where they
/// are longer than what may be held in memory, the file's beginning.
fn start_of_tail(file: &mut File, tail: usize) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut step = CHUNK as u64;
    while step <= LONGEST_END {
        let start = length.saturating_sub(step);
        file.seek(SeekFrom::Start(start))?;
        let mut end = Vec::new();
        file.take(step).read_to_end(&mut end)?;
        let begins = |line: &&[u8]| line.splitn(4, |byte| *byte == b' ').nth(2) == Some(b"F");
        let lines = end.split(|byte| *byte == b'\n');
        // the first may be cut off
        let whole = lines.skip(usize::from(start > 0)).filter(begins).count();
        if whole >= tail || start == 0 {
            // where it is cut in the middle, the next line is the first
            let cut = end.iter().position(|byte| *byte == b'\n');
            return Ok(match (start, cut) {
                (0, _) => 0,
                (start, Some(cut)) => start + cut as u64 + 1,
                (start, None) => start,
            });
        }
        step *= 4;
    }
    Ok(0)
}

/// Sends what a file has from here on; whether that was anything.
fn chunks(file: &mut File, kind: &str, reader: &Reader) -> io::Result<bool> {
    let mut any = false;
    let mut chunk = vec![0; CHUNK];
    let mut message = Vec::with_capacity(CHUNK + LONGEST_HEAD);
    // stdout itself would look for the ends of lines, and write in three pieces
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            if any && kind == "gz" {
                say("end\n")?;
            }
            return Ok(any);
        }
        any = true;
        reader.wait_for_room();
        message.clear();
        writeln!(message, "{kind} {length}")?;
        message.extend_from_slice(&chunk[..length]);
        out.write_all(&message)?;
    }
}

fn say(words: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(words.as_bytes())?;
    out.flush()
}

/// The reader of a log, who says on stdin how much it may be sent.
struct Reader {
    told: Arc<Told>,
}

/// The words of the reader.
struct Told {
    /// True once nothing more will be written.
    end: AtomicBool,
    /// The chunks that may be sent.
    room: Mutex<usize>,
    more: Condvar,
}

impl Reader {
    /// Listens from now on. The end of stdin ends this program: whoever reads is gone.
    fn listen() -> Self {
        let told = Arc::new(Told {
            end: AtomicBool::new(false),
            room: Mutex::new(ROOM),
            more: Condvar::new(),
        });
        let tell = told.clone();
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines() {
                match line.as_deref() {
                    Ok("more") => {
                        *tell.room.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                        tell.more.notify_one();
                    }
                    Ok(_) => tell.end.store(true, Ordering::SeqCst),
                    Err(_) => break,
                }
            }
            // the main thread sleeps, or writes to nobody
            std::process::exit(0);
        });
        Self { told }
    }

    /// Returns when a chunk may be sent, which takes its room.
    fn wait_for_room(&self) {
        let room = self.told.room.lock();
        let room = room.unwrap_or_else(PoisonError::into_inner);
        let room = self.told.more.wait_while(room, |room| *room == 0);
        *room.unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}
