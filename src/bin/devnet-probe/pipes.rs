//! The streams of a command that containerd runs in a container: containerd opens pipes by name, and
//! this program carries them over its own streams.

#![expect(
    unsafe_code,
    reason = "named pipes and poll are not in std; these are libc's own functions"
)]

use std::ffi::{CString, c_int, c_short, c_uint, c_ulong};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

unsafe extern "C" {
    fn mkfifo(path: *const std::ffi::c_char, mode: c_uint) -> c_int;
    fn poll(files: *mut Watched, count: c_ulong, milliseconds: c_int) -> c_int;
}

/// Makes a pipe for each of these streams (`stdin`, `stdout`, `stderr`) in a folder beside this
/// program, prints the folder, and carries them until the last writer of both outputs has closed them.
pub(crate) fn carry(streams: &[&str]) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| format!("{what}: {error}");
    let program = std::env::current_exe().map_err(|error| failed("this program", error))?;
    let beside = program.parent().ok_or("this program has no folder")?;
    let folder = beside.join(format!("pipes-{}", std::process::id()));
    fs::create_dir(&folder).map_err(|error| failed("the pipes' folder", error))?;
    let _gone = Gone(folder.clone());
    for stream in streams {
        make(&folder.join(stream)).map_err(|error| failed(stream, error))?;
    }
    println!("{}", folder.display());
    end_with_the_reader(folder.clone());
    if streams.contains(&"stdin") {
        let pipe = folder.join("stdin");
        std::thread::spawn(move || feed(&pipe));
    }
    let outputs = streams.iter().filter(|stream| **stream != "stdin");
    let drained: Vec<JoinHandle<()>> = outputs
        .map(|stream| {
            let pipe = folder.join(stream);
            let to_stderr = *stream == "stderr";
            std::thread::spawn(move || drain(&pipe, to_stderr))
        })
        .collect();
    for one in drained {
        one.join().map_err(|_| "a stream was lost")?;
    }
    Ok(())
}

/// A folder that goes when this is dropped.
struct Gone(PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path lives through the call.
    if unsafe { mkfifo(path.as_ptr(), 0o600) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Own stdin into a pipe, to its end.
fn feed(pipe: &Path) {
    // opened when containerd opens its end
    if let Ok(mut pipe) = OpenOptions::new().write(true).open(pipe) {
        // a command that does not want its input is no failure
        let _closed = copy(&mut io::stdin().lock(), &mut pipe);
    }
}

/// A pipe into an own output, to its end.
fn drain(pipe: &Path, to_stderr: bool) {
    if let Ok(mut pipe) = File::open(pipe) {
        let _closed = if to_stderr {
            copy(&mut pipe, &mut io::stderr())
        } else {
            copy(&mut pipe, &mut Unbuffered)
        };
    }
}

/// Each piece as it comes.
fn copy(from: &mut impl io::Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; 32 << 10];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&piece[..length])?;
        to.flush()?;
    }
}

/// stdout without the line buffer that std has before it.
struct Unbuffered;

impl Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Linux's `pollfd`.
#[repr(C)]
struct Watched {
    file: c_int,
    events: c_short,
    happened: c_short,
}

/// Ends this program when nobody reads its stdout any more: whoever asked is gone, and its pipes may
/// never be opened.
fn end_with_the_reader(folder: PathBuf) {
    const STDOUT: c_int = 1;
    const FOR_EVER: c_int = -1;
    std::thread::spawn(move || {
        let mut stdout = Watched {
            file: STDOUT,
            events: 0,
            happened: 0,
        };
        // SAFETY: one structure, which lives through the call.
        while unsafe { poll(&raw mut stdout, 1, FOR_EVER) } <= 0 {}
        drop(Gone(folder));
        #[expect(clippy::exit, reason = "the other threads wait in the kernel")]
        std::process::exit(0);
    });
}
