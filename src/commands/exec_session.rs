//! A command in a container with the person's streams and terminal, until it ends: what `exec` and
//! `shell` do last.

use futures_util::stream::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::commands::detach::Keys;
use crate::commands::invocation::Context;
use crate::engine::exec::{Ended, Output};
use crate::engine::process::{Control, Process};
use crate::error::{Error, Kind, Result};
use crate::terminal;

/// Shells, best first, with the arguments that make them one.
const SHELLS: [(&str, &[&str]); 8] = [
    ("/bin/bash", &[]),
    ("/usr/bin/bash", &[]),
    ("/bin/zsh", &[]),
    ("/bin/ash", &[]),
    ("/bin/sh", &[]),
    ("/usr/bin/sh", &[]),
    ("/busybox/sh", &[]),
    ("/bin/busybox", &["sh"]),
];

/// A failure of devnet itself must not be taken for one of the command.
pub(crate) fn before(error: Error) -> Error {
    match error.kind() {
        Kind::Child(_) | Kind::Coded(_) | Kind::Interrupted => error,
        _ => error.with_kind(Kind::Coded(125)),
    }
}

/// The best shell that is there. `files_of` gives those of some files that there are.
///
/// # Errors
/// When it can't be asked.
pub(crate) async fn best_shell(
    files_of: impl AsyncFnOnce(&[&str]) -> Result<Vec<String>>,
) -> Result<Option<Vec<String>>> {
    let there = files_of(&SHELLS.map(|(path, _)| path)).await?;
    let best = SHELLS
        .iter()
        .find(|(path, _)| there.iter().any(|one| one == path));
    Ok(best.map(|(path, arguments)| {
        let words = std::iter::once(path).chain(arguments.iter());
        words.map(|word| (*word).to_owned()).collect()
    }))
}

/// Carries the streams of a program until it ends. Ends with the program's own code. With a terminal,
/// `keys` leave it running.
///
/// # Errors
/// The program's code; 126 and 127 as docker has them.
pub(crate) async fn carry(
    context: &Context,
    process: Process,
    stdin: bool,
    keys: Option<Keys>,
) -> Result<()> {
    let (left, control) = attend(context, process, stdin, keys).await?;
    let Left::Ended(held_back) = left else {
        context.ui.note("detached: the command goes on");
        return Ok(());
    };
    let ended = control.ended().await?;
    if let Some(words) = held_back {
        let text = String::from_utf8_lossy(&words);
        if ended == Ended::With(126) {
            let missing = text.contains("no such file or directory") || text.contains("not found");
            return Err(Error::new(
                Kind::Coded(if missing { 127 } else { 126 }),
                "the command could not be started",
            )
            .caused_by(text.trim().trim_start_matches(COULD_NOT_START).to_owned()));
        }
        write(context, &words)?;
    }
    match ended {
        Ended::With(0) => Ok(()),
        Ended::With(code) => Err(Error::new(Kind::Child(code), "the command failed")),
        Ended::WithItsContainer => Err(Error::new(
            Kind::Coded(KILLED),
            "the container ended while the command ran in it",
        )
        .caused_by("it was killed or removed, and the command with it")),
        Ended::Detached => {
            context.ui.note("detached: the command goes on");
            Ok(())
        }
    }
}

/// The words, in the command's own output, with which engines up to 26 tell that it could not
/// start.
const COULD_NOT_START: &str = "OCI runtime exec failed: ";

/// As a shell tells that SIGKILL ended a program.
const KILLED: u8 = 137;

fn write(context: &Context, bytes: &[u8]) -> Result<()> {
    match context.ui.stream_bytes(bytes) {
        Ok(true) => Ok(()),
        // as a program in a pipe ends whose reader has gone: by SIGPIPE
        Ok(false) => Err(Error::new(Kind::Child(141), "nobody reads any more")),
        Err(error) => Err(Error::stdout(error)),
    }
}

/// The reason why the streams are carried no more.
enum Left {
    /// The person typed the keys that leave the command running.
    Detached,
    /// With what the engine itself seems to have said in place of the command.
    Ended(Option<bytes::Bytes>),
}

/// Carries the streams between the person and the command until it ends. Gives what the engine
/// itself seems to have said in place of the command: the exit code tells whether it did.
async fn attend(
    context: &Context,
    process: Process,
    stdin: bool,
    mut keys: Option<Keys>,
) -> Result<(Left, Control)> {
    let tty = keys.is_some();
    let Process {
        mut output,
        mut input,
        control,
    } = process;
    let _raw = if tty {
        Some(terminal::Raw::enter()?)
    } else {
        None
    };
    let copy_input = async {
        if stdin {
            let mut source = tokio::io::stdin();
            let mut buffer = vec![0; 32 << 10];
            loop {
                match source.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    // an error means that the command has ended; its output tells the rest
                    Ok(n) => {
                        let (typed, detached) = match &mut keys {
                            Some(keys) => keys.pass(&buffer[..n]),
                            None => (buffer[..n].to_vec(), false),
                        };
                        if detached {
                            return;
                        }
                        if input.write_all(&typed).await.is_err() || input.flush().await.is_err() {
                            break;
                        }
                    }
                }
            }
            let _ended = input.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let follow_size = async {
        let mut resizes = terminal::Resizes::new();
        if !tty {
            std::future::pending::<()>().await;
        }
        loop {
            if let Some((columns, rows)) = crate::ui::terminal_size() {
                // a command that has just ended has no terminal any more
                let _ended = control.resize(columns, rows).await;
            }
            resizes.next().await;
        }
    };
    let copy_output = async {
        let mut first = true;
        let mut held_back: Option<bytes::Bytes> = None;
        while let Some(piece) = output.next().await {
            if let Some(words) = held_back.take() {
                write(context, &words)?;
            }
            match piece? {
                Output::Stdout(bytes) if first && bytes.starts_with(COULD_NOT_START.as_bytes()) => {
                    held_back = Some(bytes);
                }
                Output::Stdout(bytes) => write(context, &bytes)?,
                Output::Stderr(bytes) => context.ui.talk_bytes(&bytes),
            }
            first = false;
        }
        Ok(held_back)
    };
    let left = tokio::select! {
        outcome = copy_output => outcome.map(Left::Ended),
        // only the keys end it
        () = copy_input => Ok(Left::Detached),
        never = follow_size => never,
        // without a terminal to give back, these signals end devnet as they end any program
        signal = terminal::told_to_end(), if tty => {
            Err(Error::new(Kind::Child(128 + signal), "told to end"))
        }
    };
    Ok((left?, control))
}
