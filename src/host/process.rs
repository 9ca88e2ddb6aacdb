//! The only place that starts programs of this computer.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use crate::error::{Error, Kind, Result};

/// What became of a program that ran with its output caught.
#[derive(Debug)]
pub(crate) struct Caught {
    /// The exit code; 128 + the signal's number when a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Runs a program to its end, its output caught, without a terminal's input.
///
/// # Errors
/// When it can't be started.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that spawns"
)]
pub(crate) async fn catch(
    program: &OsStr,
    arguments: &[&str],
    environment: &[(OsString, OsString)],
) -> Result<Caught> {
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| {
            Error::failed(format!("`{}` could not be started", program.display())).because(error)
        })?;
    Ok(Caught {
        code: exit_code(output.status),
        stdout: output.stdout,
        stderr: output.stderr,
    })
}

/// Runs a program to its end with this input, its output caught.
///
/// # Errors
/// When it can't be started, or is lost.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that spawns"
)]
pub(crate) async fn catch_fed(
    program: &OsStr,
    arguments: &[&str],
    input: &[u8],
    environment: &[(OsString, OsString)],
) -> Result<Caught> {
    use tokio::io::AsyncWriteExt as _;
    let failed = |error: std::io::Error| {
        Error::failed(format!("`{}` could not be started", program.display())).because(error)
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // a program that does not want its input is no failure
        let _closed = stdin.write_all(input).await;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    Ok(Caught {
        code: exit_code(output.status),
        stdout: output.stdout,
        stderr: output.stderr,
    })
}

/// Runs a program in devnet's place: its streams are the person's, its exit code is devnet's.
/// Ctrl-C reaches it through the terminal; devnet waits for what it makes of it.
///
/// # Errors
/// `Child` with its code, unless that is 0; 127 when there is no such program, 126 when it can't
/// be started, as shells have it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that spawns"
)]
pub(crate) fn stand_in(command: &[OsString], environment: &[(OsString, OsString)]) -> Result<()> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Error::usage("no command was given"))?;
    let path = which::which_in(
        program,
        environment
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| value),
        std::env::current_dir().unwrap_or_default(),
    )
    .map_err(|error| {
        let there = std::path::Path::new(program).exists();
        let code = if there { 126 } else { 127 };
        let what = if there {
            "can't be started"
        } else {
            "is not there"
        };
        Error::new(
            Kind::Coded(code),
            format!("the command `{}` {what}", program.display()),
        )
        .because(error)
    })?;
    let mut child = std::process::Command::new(path);
    child
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)));
    become_it(child).map_err(|error| match error {
        Ended::NotStarted(error) => {
            let what = format!("the command `{}` can't be started", program.display());
            Error::new(Kind::Coded(126), what).because(error)
        }
        #[cfg(not(unix))]
        Ended::With(code) => Error::new(Kind::Child(code), "the command failed"),
    })
}

/// How a command that takes devnet's place did not end well.
enum Ended {
    NotStarted(std::io::Error),
    #[cfg(not(unix))]
    With(u8),
}

/// The command takes this very process: signals, the terminal and the exit code are its own.
#[cfg(unix)]
fn become_it(mut command: std::process::Command) -> std::result::Result<(), Ended> {
    Err(Ended::NotStarted(std::os::unix::process::CommandExt::exec(
        &mut command,
    )))
}

/// Windows can't do that: devnet waits. Ctrl-C reaches the command through the console.
#[cfg(not(unix))]
fn become_it(mut command: std::process::Command) -> std::result::Result<(), Ended> {
    let status = command.status().map_err(Ended::NotStarted)?;
    match status.code().unwrap_or(1) {
        0 => Ok(()),
        code => Err(Ended::With(u8::try_from(code & 0xff).unwrap_or(1))),
    }
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return 128 + signal;
    }
    status.code().unwrap_or(1)
}
