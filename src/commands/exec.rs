//! `devnet exec`: a command in a container, by pod and name.

use std::io::IsTerminal as _;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::commands::{Context, one_pod};
use crate::engine::Engine;
use crate::engine::docker_exec::{Ended, Exec, Output, Running};
use crate::error::{Error, Kind, Result};
use crate::pod::Container;
use crate::terminal;

/// Run a command in a container of a pod
///
/// Without a command, the best shell that the container has. Exits with the command's own code;
/// 125 when devnet failed before it, 126 when it can't be run, 127 when it is not there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet exec web -c app -- cat /etc/hosts
  devnet exec -it web -- sh
  devnet exec web                            a shell
  tar c src | devnet exec -i web -- tar x -C /tmp")]
pub(crate) struct Args {
    /// Pass stdin to the command
    #[arg(short = 'i', long = "stdin")]
    stdin: bool,
    /// Give the command a terminal
    #[arg(short = 't', long)]
    tty: bool,
    /// Run as this user (name or uid, with :group)
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Run in this folder of the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Set a variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The keys that leave the command running, as ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// The pod's namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// The container
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// The pod: a name, namespace/name, a UID, a container's ID, or a part of them that fits one
    #[arg(value_name = "POD")]
    pod: String,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

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

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    // a failure of devnet itself must not be taken for one of the command
    let before = |error: Error| match error.kind() {
        Kind::Child(_) | Kind::Coded(_) | Kind::Interrupted => error,
        _ => error.with_kind(Kind::Coded(125)),
    };
    let (engine, pod) = one_pod::find(context, &args.pod, args.namespace.as_deref())
        .await
        .map_err(before)?;
    let container = one_pod::container(context, &pod, args.container.as_deref()).map_err(before)?;
    if container.state == "paused" {
        return Err(before(
            Error::failed(format!("container `{}` is paused", container.name))
                .hint("`docker unpause` lets it go on"),
        ));
    }
    let interactive = args.command.is_empty() && std::io::stdin().is_terminal();
    let stdin = args.stdin || interactive;
    let mut tty = args.tty || interactive;
    if tty && !std::io::stdin().is_terminal() {
        context
            .ui
            .warn("no terminal for the command: stdin is none");
        tty = false;
    }
    let command = if args.command.is_empty() {
        shell(&engine, container).await.map_err(before)?
    } else {
        args.command
    };
    let mut env = args.env;
    if tty && let Some(term) = context.settings.environment.text("TERM").ok().flatten() {
        env.insert(0, format!("TERM={term}"));
    }
    let exec = Exec {
        command,
        stdin,
        tty,
        user: args.user,
        workdir: args.workdir,
        env,
        detach_keys: args.detach_keys,
    };
    let running = engine.exec(&container.id, exec).await.map_err(before)?;
    let id = running.id.clone();
    let held_back = attend(context, &engine, running, stdin, tty).await?;
    let ended = engine.exec_ended(&id).await?;
    if let Some(words) = held_back {
        let text = String::from_utf8_lossy(&words);
        if ended == Ended::With(126) {
            let missing = text.contains("no such file or directory") || text.contains("not found");
            return Err(Error::new(
                Kind::Coded(if missing { 127 } else { 126 }),
                "the command could not be started",
            )
            .because(text.trim().trim_start_matches(COULD_NOT_START).to_owned()));
        }
        write(context, &words)?;
    }
    match ended {
        Ended::With(0) => Ok(()),
        Ended::With(code) => Err(Error::new(Kind::Child(code), "the command failed")),
        Ended::Detached => {
            context.ui.note("detached: the command goes on");
            Ok(())
        }
    }
}

/// The best shell that a container has.
async fn shell(engine: &Engine, container: &Container) -> Result<Vec<String>> {
    for (path, arguments) in SHELLS {
        if engine.has_file(&container.id, path).await {
            return Ok(std::iter::once(path)
                .chain(arguments.iter().copied())
                .map(str::to_owned)
                .collect());
        }
    }
    Err(Error::failed(format!(
        "container `{}` has no shell: its image `{}` brings none",
        container.name, container.image
    ))
    .hint("name a program that it has: `devnet exec POD -- PROGRAM`"))
}

/// How engines up to 26 begin to tell, in the command's own output, that it could not be started.
const COULD_NOT_START: &str = "OCI runtime exec failed: ";

fn write(context: &Context, bytes: &[u8]) -> Result<()> {
    match context.ui.stream_bytes(bytes) {
        Ok(true) => Ok(()),
        // as a program in a pipe ends whose reader has gone: by SIGPIPE
        Ok(false) => Err(Error::new(Kind::Child(141), "nobody reads any more")),
        Err(error) => Err(Error::failed("could not write to stdout").because(error)),
    }
}

/// Carries the streams between the person and the command until it ends. Gives what the engine
/// itself seems to have said in place of the command: the exit code tells whether it did.
async fn attend(
    context: &Context,
    engine: &Engine,
    running: Running,
    stdin: bool,
    tty: bool,
) -> Result<Option<bytes::Bytes>> {
    let Running {
        id,
        mut output,
        mut input,
    } = running;
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
                        if input.write_all(&buffer[..n]).await.is_err()
                            || input.flush().await.is_err()
                        {
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
            if let Some((columns, rows)) = terminal::size() {
                // a command that has just ended has no terminal any more
                let _ended = engine.exec_resize(&id, columns, rows).await;
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
    tokio::select! {
        outcome = copy_output => outcome,
        () = copy_input => Ok(None),
        never = follow_size => never,
    }
}
