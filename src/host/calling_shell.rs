//! The shell that called devnet, from the process tree; no process is started to find out.

use crate::settings::Environment;
use crate::shell::Shell;
#[cfg(target_os = "linux")]
use crate::text_file;

/// The number of ancestors to look at: `sudo`, `make`, `env` and the like stand in between.
#[cfg(target_os = "linux")]
const GENERATIONS: usize = 12;

/// The nearest shell among devnet's ancestors, else the login shell (`$SHELL`).
pub(crate) fn find(environment: &Environment) -> Option<Shell> {
    ancestors().or_else(|| Shell::of_program(&environment.os("SHELL")?.to_string_lossy()))
}

#[cfg(target_os = "linux")]
fn ancestors() -> Option<Shell> {
    let mut pid = std::os::unix::process::parent_id();
    for _ in 0..GENERATIONS {
        if pid <= 1 {
            return None;
        }
        let stat = text_file::read(format!("/proc/{pid}/stat").as_ref()).ok()?;
        // the name stands in parentheses and may hold any character
        let (before, after) = stat.rsplit_once(')')?;
        let name = before.split_once('(')?.1;
        // a script's interpreter (python for xonsh) is told by its arguments, not by its name
        if let Some(shell) = Shell::of_program(name).or_else(|| script_of(pid)) {
            return Some(shell);
        }
        pid = after.split_whitespace().nth(1)?.parse().ok()?;
    }
    None
}

#[cfg(target_os = "linux")]
fn script_of(pid: u32) -> Option<Shell> {
    let line = text_file::bytes(format!("/proc/{pid}/cmdline").as_ref()).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let interpreter = words.next()?;
    let script = words.next()?;
    (interpreter.contains("python") && Shell::of_program(&script) == Some(Shell::Xonsh))
        .then_some(Shell::Xonsh)
}

#[cfg(not(target_os = "linux"))]
fn ancestors() -> Option<Shell> {
    None
}
