//! The only place that starts programs of this computer.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::error::{Error, Kind, Result};
use crate::host::child_input::ChildInput;
use crate::wire::node_program::{Ending, NodeProgram, Output};

/// More than any program that devnet asks has to tell.
const MOST_SAID: u64 = 1 << 20;

/// The outcome of a program that ran with its output caught.
#[derive(Debug)]
pub(crate) struct Caught {
    /// The exit code; 128 + the signal's number when a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Runs a program to its end, its output caught, without a terminal's input. `None` when it has
/// not ended by then; it is ended.
///
/// # Errors
/// When it can't be started, is lost, or has more to say than devnet reads.
pub(crate) async fn catch(
    program: &OsStr,
    arguments: &[&str],
    environment: &[(OsString, OsString)],
    patience: Duration,
) -> Result<Option<Caught>> {
    caught(program, arguments, None, environment, patience).await
}

/// The same with this input.
///
/// # Errors
/// As for [`catch`].
pub(crate) async fn catch_fed(
    program: &OsStr,
    arguments: &[&str],
    input: &[u8],
    environment: &[(OsString, OsString)],
    patience: Duration,
) -> Result<Option<Caught>> {
    caught(program, arguments, Some(input), environment, patience).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that spawns"
)]
async fn caught(
    program: &OsStr,
    arguments: &[&str],
    input: Option<&[u8]>,
    environment: &[(OsString, OsString)],
    patience: Duration,
) -> Result<Option<Caught>> {
    let failed = |error: std::io::Error| {
        Error::failed(format!("`{}` could not be started", program.display())).caused_by(error)
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(input.map_or_else(Stdio::null, |_| Stdio::piped()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let stdin = child.stdin.take().zip(input);
    let feed = async {
        if let Some((mut stdin, input)) = stdin {
            // a program that does not want its input is no failure
            let _closed = stdin.write_all(input).await;
        }
        Ok(())
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = async {
        let said = tokio::try_join!(feed, all(program, stdout), all(program, stderr));
        let ((), stdout, stderr) = said?;
        Ok(Caught {
            code: exit_code(child.wait().await.map_err(failed)?),
            stdout,
            stderr,
        })
    };
    tokio::time::timeout(patience, ended).await.ok().transpose()
}

/// Starts a program that runs beside devnet, with its streams in hand. It is killed when they are
/// dropped.
///
/// # Errors
/// When it can't be started.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that spawns"
)]
pub(crate) fn start(words: &[String]) -> Result<NodeProgram> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Error::usage("no command was given"))?;
    let failed = |error: std::io::Error| {
        Error::failed(format!("`{program}` could not be started")).caused_by(error)
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let gone = || failed(std::io::Error::other("it has no streams"));
    let input = child.stdin.take().ok_or_else(gone)?;
    let stdout = pieces(child.stdout.take().ok_or_else(gone)?).map_ok(Output::Stdout);
    let stderr = pieces(child.stderr.take().ok_or_else(gone)?).map_ok(Output::Stderr);
    let ending = Ending::default();
    let told = ending.clone();
    let ended = stream::once(async move {
        match child.wait().await {
            Ok(status) => {
                told.set(exit_code(status));
                None
            }
            Err(error) => Some(Err(error)),
        }
    });
    let output = stream::select(stdout, stderr)
        .map(Some)
        .chain(ended)
        .filter_map(std::future::ready);
    Ok(NodeProgram {
        output: Box::pin(output),
        input: Box::pin(ChildInput::new(input)),
        ending,
        terminal: None,
    })
}

/// Starts a program that outlives devnet, in a group of its own and without its streams.
///
/// # Errors
/// When it can't be started.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that spawns"
)]
pub(crate) fn start_detached(program: &OsStr, arguments: &[&str]) -> Result<()> {
    let mut command = std::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // what a person's terminal tells its own programs is not for this one
        command.process_group(0);
    }
    command.spawn().map(drop).map_err(|error| {
        Error::failed(format!("`{}` could not be started", program.display())).caused_by(error)
    })
}

/// The pieces of a stream as they come.
fn pieces(reader: impl AsyncRead + Unpin) -> impl Stream<Item = std::io::Result<Bytes>> {
    stream::try_unfold(reader, async |mut reader| {
        let mut piece = BytesMut::with_capacity(32 << 10);
        let length = reader.read_buf(&mut piece).await?;
        Ok((length > 0).then(|| (piece.freeze(), reader)))
    })
}

/// All that a program says on one of its streams.
async fn all(program: &OsStr, stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
    let mut said = Vec::new();
    let Some(stream) = stream else {
        return Ok(said);
    };
    let failed = |why: &str| Error::failed(format!("`{}` {why}", program.display()));
    let mut stream = stream.take(MOST_SAID + 1);
    stream
        .read_to_end(&mut said)
        .await
        .map_err(|error| failed("was lost").caused_by(error))?;
    if said.len() as u64 > MOST_SAID {
        let most = format!(
            "has more to say than devnet reads ({} MiB)",
            MOST_SAID >> 20
        );
        return Err(failed(&most));
    }
    Ok(said)
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
pub(crate) fn exec_replace(
    command: &[OsString],
    environment: &[(OsString, OsString)],
) -> Result<()> {
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
        .caused_by(error)
    })?;
    let mut child = std::process::Command::new(path);
    child
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)));
    become_it(child).map_err(|error| match error {
        Ended::NotStarted(error) => {
            let what = format!("the command `{}` can't be started", program.display());
            Error::new(Kind::Coded(126), what).caused_by(error)
        }
        #[cfg(not(unix))]
        Ended::With(code) => Error::new(Kind::Child(code), "the command failed"),
    })
}

/// The bad end of a command that takes devnet's place.
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

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "a failure ends the test")]
mod tests {
    use super::*;

    fn run(script: &str, input: Option<&[u8]>, patience: Duration) -> Result<Option<Caught>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let path = [("PATH".into(), "/usr/bin:/bin".into())];
        let words = ["-c", script];
        let running = caught("sh".as_ref(), &words, input, &path, patience);
        runtime.block_on(running)
    }

    #[test]
    fn a_program_that_has_much_to_say_or_no_end_is_ended() {
        let long = Duration::from_mins(10);
        for script in ["exec yes", "exec yes >&2"] {
            let error = run(script, None, long).unwrap_err().to_string();
            assert!(error.contains("more to say than devnet reads"), "{error}");
        }
        let endless = run("exec sleep 3600", None, Duration::from_millis(50));
        assert!(endless.unwrap().is_none());
        // one that writes before it reads
        let text = vec![b'x'; 512 << 10];
        let caught = run("echo said >&2; cat; exit 3", Some(&text), long);
        let caught = caught.unwrap().unwrap();
        assert_eq!((caught.code, caught.stderr), (3, b"said\n".to_vec()));
        assert!(caught.stdout == text);
    }
}
