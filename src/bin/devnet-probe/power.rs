//! The first steps of this program where root of a node started it: it enters the network that it is
//! to see, and gives up all power but the little that its job needs.

#![expect(
    unsafe_code,
    reason = "namespaces, users and capabilities are not in std; these are libc's own functions"
)]

use std::ffi::{c_int, c_long, c_uint, c_ulong};
use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd as _;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn prctl(option: c_int, ...) -> c_int;
    fn setns(file: c_int, kind: c_int) -> c_int;
    fn setgroups(count: usize, groups: *const c_uint) -> c_int;
    fn setgid(group: c_uint) -> c_int;
    fn setuid(user: c_uint) -> c_int;
}

/// The user and group without any rights.
const NOBODY: c_uint = 65534;
/// Read all files and folders; the links in `/proc/PID/fd` of other users.
const DAC_READ_SEARCH: u64 = 1 << 2;
const SYS_CHROOT: u64 = 1 << 18;
/// Look at all processes: the links in `/proc/PID/ns` and `/proc/PID/root`.
const SYS_PTRACE: u64 = 1 << 19;

/// Does what the first words say, and gives the others: `enter FILE,...` joins the namespaces that
/// these files are, `keep nothing|look|tools` gives up all other capabilities and root itself.
pub(crate) fn first<'w>(words: &'w [&'w str]) -> Result<&'w [&'w str], String> {
    let words = match words {
        ["enter", files, words @ ..] => {
            for file in files.split(',') {
                enter(file).map_err(|error| format!("{file} can't be entered: {error}"))?;
            }
            words
        }
        _ => words,
    };
    let (kept, words) = match words {
        ["keep", "nothing", words @ ..] => (0, words),
        ["keep", "look", words @ ..] => (SYS_PTRACE | DAC_READ_SEARCH, words),
        ["keep", "tools", words @ ..] => (SYS_PTRACE | DAC_READ_SEARCH | SYS_CHROOT, words),
        ["keep", ..] => return Err("what is to be kept is not known".to_owned()),
        _ => return Ok(words),
    };
    keep(kept).map_err(|error| format!("root's power can't be given up: {error}"))?;
    Ok(words)
}

fn enter(file: &str) -> Result<(), Error> {
    let file = File::open(file)?;
    // SAFETY: the descriptor is open through the call.
    checked(unsafe { setns(file.as_raw_fd(), 0) })
}

/// Linux's `__user_cap_header_struct`, version 3, of this process.
#[repr(C)]
struct Header {
    version: u32,
    process: c_int,
}

/// Linux's `__user_cap_data_struct`: a half of each set.
#[repr(C)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Becomes nobody with these capabilities, and with no way to more.
fn keep(capabilities: u64) -> Result<(), Error> {
    const KEEP_CAPABILITIES: c_int = 8;
    const DROP_FROM_BOUNDING: c_int = 24;
    const NO_NEW_PRIVILEGES: c_int = 38;
    const VERSION_3: u32 = 0x2008_0522;
    const CAPSET: c_long = if cfg!(target_arch = "aarch64") {
        91
    } else {
        126
    };
    let (none, yes): (c_ulong, c_ulong) = (0, 1);
    for capability in 0..64_u32 {
        if capabilities & (1 << capability) == 0 {
            // SAFETY: takes numbers only. The kernel does not know the highest ones.
            let _unknown = unsafe { prctl(DROP_FROM_BOUNDING, c_ulong::from(capability)) };
        }
    }
    // SAFETY: all of these take numbers; the empty list of groups is never read.
    unsafe {
        checked(prctl(KEEP_CAPABILITIES, yes, none, none, none))?;
        checked(setgroups(0, std::ptr::null()))?;
        checked(setgid(NOBODY))?;
        checked(setuid(NOBODY))?;
    }
    let low = u32::try_from(capabilities & u64::from(u32::MAX)).unwrap_or(0);
    let half = |set| Half {
        effective: set,
        permitted: set,
        inheritable: 0,
    };
    let header = Header {
        version: VERSION_3,
        process: 0,
    };
    let halves = [half(low), half(0)];
    // SAFETY: both live through the call, which reads two halves for version 3.
    let set = unsafe { syscall(CAPSET, &raw const header, halves.as_ptr()) };
    checked(c_int::try_from(set).unwrap_or(-1))?;
    // SAFETY: takes numbers only.
    checked(unsafe { prctl(NO_NEW_PRIVILEGES, yes, none, none, none) })
}

fn checked(answer: c_int) -> Result<(), Error> {
    if answer == 0 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}
