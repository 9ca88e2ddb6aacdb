//! The calls of the kernel that the engine's keeper needs and that are not in std.

#![expect(
    unsafe_code,
    reason = "signals to others and sessions are not in std; these are libc's own functions"
)]

use std::ffi::{CString, c_char, c_int};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

pub(super) const SIGKILL: c_int = 9;
pub(super) const SIGTERM: c_int = 15;

unsafe extern "C" {
    #[link_name = "kill"]
    fn kill_process(pid: c_int, signal: c_int) -> c_int;
    fn setsid() -> c_int;
    fn umask(mode: u32) -> u32;
    fn prctl(option: c_int, ...) -> c_int;
    fn getppid() -> c_int;
    fn umount2(path: *const c_char, flags: c_int) -> c_int;
}

pub(super) fn kill(pid: u32, signal: c_int) {
    if let Ok(pid) = c_int::try_from(pid)
        && pid > 0
    {
        // SAFETY: takes numbers only. That it has ended is no failure.
        unsafe { kill_process(pid, signal) };
    }
}

/// Leaves the session of whoever started this program.
pub(super) fn leave_session() {
    // SAFETY: takes nothing. One that leads a session already keeps it.
    unsafe { setsid() };
}

/// Sets the rights that new files do not get.
pub(super) fn withhold(mode: u32) {
    // SAFETY: takes a number.
    unsafe { umask(mode) };
}

/// Unmounts what is at a path, also when it is in use.
pub(super) fn unmount(path: &str) {
    const DETACH: c_int = 2;
    if let Ok(path) = CString::new(path) {
        // SAFETY: the path lives through the call. That nothing is there is no failure.
        unsafe { umount2(path.as_ptr(), DETACH) };
    }
}

/// Lets a command be killed when the thread that starts it ends, however it ends.
pub(super) fn die_with_parent(command: &mut Command) {
    const PARENT_DEATH_SIGNAL: c_int = 1;
    let parent = c_int::try_from(std::process::id()).unwrap_or(0);
    // SAFETY: both calls take numbers and are allowed between fork and exec.
    unsafe {
        command.pre_exec(move || {
            if prctl(PARENT_DEATH_SIGNAL, SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // it may have ended before
            if getppid() == parent {
                Ok(())
            } else {
                Err(io::Error::other("its parent has ended"))
            }
        });
    }
}
