//! The process at the other end of a socket.

#![expect(
    unsafe_code,
    reason = "who connected is not in std; this is libc's own function"
)]

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

/// The kernel's word on who connected.
#[repr(C)]
#[derive(Default)]
struct Credentials {
    pid: c_int,
    user: u32,
    group: u32,
}

unsafe extern "C" {
    fn getsockopt(
        socket: c_int,
        level: c_int,
        option: c_int,
        value: *mut c_void,
        length: *mut u32,
    ) -> c_int;
}

/// True where a child of this process connected.
pub(super) fn is_child(stream: &UnixStream) -> bool {
    let Some(pid) = pid(stream) else { return false };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // the name may hold blanks and brackets
    let parent = stat
        .rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(1)?.parse().ok());
    parent == Some(std::process::id())
}

fn pid(stream: &UnixStream) -> Option<c_int> {
    const LEVEL: c_int = 1;
    const PEER: c_int = 17;
    let mut credentials = Credentials::default();
    let mut length = u32::try_from(size_of::<Credentials>()).ok()?;
    // SAFETY: both pointers lead to values that live through the call, and the length is the first one's.
    let failed = unsafe {
        getsockopt(
            stream.as_raw_fd(),
            LEVEL,
            PEER,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    (failed == 0 && credentials.pid > 0).then_some(credentials.pid)
}
