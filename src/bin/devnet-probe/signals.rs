//! Signals as process 1 of a container meets them: nothing ends it unless it asks, and orphans
//! become its children. This is all that a pause container does.

#![expect(
    unsafe_code,
    reason = "signals and waiting for any child are not in std; these are libc's own functions"
)]

use std::ffi::c_int;

/// Linux's `sigset_t`: 1024 bits in glibc and in musl.
#[repr(C)]
pub(crate) struct SignalSet([u64; 16]);

unsafe extern "C" {
    fn sigemptyset(set: *mut SignalSet) -> c_int;
    fn sigaddset(set: *mut SignalSet, signal: c_int) -> c_int;
    fn sigprocmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn sigwait(set: *const SignalSet, signal: *mut c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

const SIG_BLOCK: c_int = 0;
pub(crate) const SIGINT: c_int = 2;
const SIGTERM: c_int = 15;
pub(crate) const SIGCHLD: c_int = 17;
const WNOHANG: c_int = 1;

/// Blocks the signals for this thread and those it starts, so that they wait for [`next`].
pub(crate) fn hold(signals: &[c_int]) -> SignalSet {
    let mut set = SignalSet([0; 16]);
    // SAFETY: `set` is as large as libc's own, and lives through the calls.
    unsafe {
        sigemptyset(&raw mut set);
        for signal in signals {
            sigaddset(&raw mut set, *signal);
        }
        sigprocmask(SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
    set
}

/// Waits for one of them.
pub(crate) fn next(set: &SignalSet) -> c_int {
    let mut signal = 0;
    // SAFETY: both pointers are valid for the call.
    unsafe { sigwait(set, &raw mut signal) };
    signal
}

/// Holds a pod's namespaces: does nothing, buries the dead, ends on SIGTERM or SIGINT.
pub(crate) fn pause() -> Result<(), String> {
    let set = hold(&[SIGINT, SIGTERM, SIGCHLD]);
    crate::namespaces::announce();
    loop {
        match next(&set) {
            SIGCHLD => {
                // one signal may stand for several children
                // SAFETY: a null status is allowed.
                while unsafe { waitpid(-1, std::ptr::null_mut(), WNOHANG) } > 0 {}
            }
            signal => {
                let name = if signal == SIGTERM {
                    "SIGTERM"
                } else {
                    "SIGINT"
                };
                eprintln!("pause: got {name}, the pod ends");
                return Ok(());
            }
        }
    }
}

/// Ends this program with code 0 at SIGTERM or SIGINT, which process 1 would else never see.
/// To be called before other threads are started.
pub(crate) fn end_when_told() {
    let set = hold(&[SIGINT, SIGTERM]);
    std::thread::spawn(move || {
        next(&set);
        #[expect(clippy::exit, reason = "the other threads wait in the kernel")]
        std::process::exit(0);
    });
}
