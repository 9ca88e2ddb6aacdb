//! The confinement of this program where it has capabilities: system calls that reach past the
//! processes it is to look at must be refused to it, or it does not run.

#![expect(
    unsafe_code,
    reason = "raw system calls and seccomp are not in std; these are libc's own functions"
)]

use std::ffi::{c_int, c_long, c_ulong};
use std::io::{Error, ErrorKind};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn prctl(option: c_int, ...) -> c_int;
}

/// A refused system call: its name, its number on `x86_64` and on aarch64 (none: not there).
type Refused = (&'static str, c_long, c_long);

/// Refused always, and tried: with these arguments all that comes of them is an error.
const TRIED: [Refused; 4] = [
    ("open_by_handle_at", 304, 265),
    ("name_to_handle_at", 303, 264),
    ("pidfd_getfd", 438, 438),
    ("setns", 308, 268),
];

/// Refused, and tried, unless another's program is lent the power to trace.
const TRACING: [Refused; 3] = [
    ("ptrace", 101, 117),
    ("process_vm_readv", 310, 270),
    ("process_vm_writev", 311, 271),
];

const NONE: c_long = -1;

/// Refused as well by the filter that this program sets for itself.
const OTHERS: [Refused; 35] = [
    ("unshare", 272, 97),
    ("mount", 165, 40),
    ("umount2", 166, 39),
    ("pivot_root", 155, 41),
    ("open_tree", 428, 428),
    ("move_mount", 429, 429),
    ("fsopen", 430, 430),
    ("fsconfig", 431, 431),
    ("fsmount", 432, 432),
    ("fspick", 433, 433),
    ("mount_setattr", 442, 442),
    ("open_tree_attr", 467, 467),
    ("bpf", 321, 280),
    ("perf_event_open", 298, 241),
    ("kcmp", 312, 272),
    ("process_madvise", 440, 440),
    ("init_module", 175, 105),
    ("finit_module", 313, 273),
    ("delete_module", 176, 106),
    ("kexec_load", 246, 104),
    ("kexec_file_load", 320, 294),
    ("add_key", 248, 217),
    ("request_key", 249, 218),
    ("keyctl", 250, 219),
    ("userfaultfd", 323, 282),
    ("io_uring_setup", 425, 425),
    ("io_uring_enter", 426, 426),
    ("io_uring_register", 427, 427),
    ("fanotify_init", 300, 262),
    ("reboot", 169, 142),
    ("swapon", 167, 224),
    ("swapoff", 168, 225),
    ("syslog", 103, 116),
    ("iopl", 172, NONE),
    ("ioperm", 173, NONE),
];

fn number((_, x86_64, aarch64): &Refused) -> c_long {
    if cfg!(target_arch = "aarch64") {
        *aarch64
    } else {
        *x86_64
    }
}

/// Confines this program as the first words say, and gives the others: `confined` where the engine
/// has been given a profile for this container, `confine` where this program must see to it
/// itself; `lent` after it where the power is lent to another's program.
pub(crate) fn enter<'w>(words: &'w [&'w str]) -> Result<&'w [&'w str], String> {
    let (own_filter, words) = match words {
        ["confined", words @ ..] => (false, words),
        ["confine", words @ ..] => (true, words),
        _ => return Ok(words),
    };
    let (lent, words) = match words {
        ["lent", words @ ..] => (true, words),
        _ => (false, words),
    };
    let tracing: &[Refused] = if lent { &[] } else { &TRACING };
    if own_filter {
        let all = TRIED.iter().chain(tracing).chain(&OTHERS);
        set_filter(all.map(number).filter(|number| *number != NONE)).map_err(|error| {
            format!("unconfined: this kernel takes no seccomp filter ({error})")
        })?;
    }
    let open: Vec<&str> = TRIED
        .iter()
        .chain(tracing)
        .filter(|one| !is_refused(number(one)))
        .map(|(name, ..)| *name)
        .collect();
    if open.is_empty() {
        Ok(words)
    } else {
        Err(format!(
            "unconfined: {} can be called here, which devnet's seccomp profile forbids",
            open.join(", ")
        ))
    }
}

/// True where the kernel refuses a system call before it looks at the arguments, all of which are
/// wrong.
fn is_refused(number: c_long) -> bool {
    const NOTHING: c_long = 0;
    const WRONG: c_long = -1;
    const ENOSYS: i32 = 38;
    // SAFETY: none of the calls that are tried does anything with these: the descriptors and the
    // request are invalid, the addresses are null and the flags unknown.
    let answer = unsafe { syscall(number, WRONG, NOTHING, NOTHING, NOTHING, NOTHING, WRONG) };
    let error = Error::last_os_error();
    answer == -1
        && (error.kind() == ErrorKind::PermissionDenied || error.raw_os_error() == Some(ENOSYS))
}

/// Linux's `sock_filter`: an instruction of a filter.
#[repr(C)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

/// Linux's `sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Lets the kernel refuse these calls to this program and to whatever it starts.
fn set_filter(refused: impl Iterator<Item = c_long>) -> Result<(), Error> {
    const NO_NEW_PRIVILEGES: c_int = 38;
    const SECCOMP: c_int = 22;
    const FILTER: c_ulong = 2;
    const LOAD: u16 = 0x20;
    const IF_EQUAL: u16 = 0x15;
    const IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const ARCHITECTURE: u32 = if cfg!(target_arch = "aarch64") {
        0xc000_00b7
    } else {
        0xc000_003e
    };
    const ALLOW: u32 = 0x7fff_0000;
    const KILL: u32 = 0x8000_0000;
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;
    const AND: u16 = 0x54;
    // a process in a namespace of its own: CLONE_NEW*
    const CLONE: u32 = if cfg!(target_arch = "aarch64") {
        220
    } else {
        56
    };
    const NAMESPACES: u32 = 0x7e02_0000;
    // its flags lie in memory; libraries take the other where it is missing
    const CLONE3: u32 = 435;
    // the second numbering of x86_64
    const X32: u32 = 0x4000_0000;
    let step = |code, value, if_true, if_false| Instruction {
        code,
        if_true,
        if_false,
        value,
    };
    let mut all = vec![
        // calls of another numbering, as 32-bit programs make them, mean something else
        step(LOAD, 4, 0, 0),
        step(IF_EQUAL, ARCHITECTURE, 1, 0),
        step(RETURN, KILL, 0, 0),
        step(LOAD, 0, 0, 0),
        step(IF_AT_LEAST, X32, 0, 1),
        step(RETURN, EPERM, 0, 0),
    ];
    for number in refused {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        all.push(step(IF_EQUAL, number, 0, 1));
        all.push(step(RETURN, EPERM, 0, 0));
    }
    all.extend([
        step(IF_EQUAL, CLONE3, 0, 1),
        step(RETURN, ENOSYS, 0, 0),
        step(IF_EQUAL, CLONE, 1, 0),
        step(RETURN, ALLOW, 0, 0),
        // the first argument's lower half
        step(LOAD, 16, 0, 0),
        step(AND, NAMESPACES, 0, 0),
        step(IF_EQUAL, 0, 0, 1),
        step(RETURN, ALLOW, 0, 0),
        step(RETURN, EPERM, 0, 0),
    ]);
    let program = Program {
        length: u16::try_from(all.len()).unwrap_or(0),
        instructions: all.as_ptr(),
    };
    let (yes, no): (c_ulong, c_ulong) = (1, 0);
    // SAFETY: the program and its instructions live through the calls, which copy them.
    let done = unsafe {
        prctl(NO_NEW_PRIVILEGES, yes, no, no, no) == 0
            && prctl(SECCOMP, FILTER, &raw const program) == 0
    };
    if done {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}

/// Becomes another program, under what this one is confined by. Comes back only when that fails.
pub(crate) fn become_program(command: &[&str]) -> ExitCode {
    #[expect(
        clippy::disallowed_methods,
        reason = "this program has no host::process: it is replaced, nothing is spawned"
    )]
    let error = Command::new(command[0]).args(&command[1..]).exec();
    eprintln!("{}: {error}", command[0]);
    ExitCode::from(if error.kind() == ErrorKind::NotFound {
        127
    } else {
        126
    })
}
