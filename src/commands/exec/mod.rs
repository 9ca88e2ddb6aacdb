//! `devnet exec`: a command in a container, by pod and name.

mod variables;

use std::io::IsTerminal as _;

use crate::command_line;
use crate::commands::detach::Keys;
use crate::commands::exec_session::{self, before};
use crate::commands::invocation::{Context, one_pod};
use crate::engine::Engine;
use crate::engine::exec::Exec;
use crate::error::{Error, Result};
use crate::finding::Remedy;
use crate::pod::{Container, State};
use crate::render::remedy::worded;
use crate::settings::Environment;

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
    #[arg(short = 'i', long = "stdin", alias = "interactive")]
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
    /// Set a variable; a name alone passes the caller's value on
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Set the variables that stand in a file, one a line, as for --env
    #[arg(long, value_name = "FILE")]
    env_file: Vec<std::path::PathBuf>,
    /// The keys that leave the command running, as ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// The pod's namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// The container
    #[arg(
        short,
        long,
        value_name = "NAME",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        add = clap_complete::ArgValueCompleter::new(crate::commands::complete::containers)
    )]
    container: Option<String>,
    /// The pod: a name, namespace/name, a UID, a container's ID, or a part of them that fits one
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pod: String,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    // a shell is looked for, and a user's name in the container's lists
    let looks = args.command.is_empty() || args.user.is_some();
    let jobs = if looks {
        one_pod::Jobs::Own
    } else {
        one_pod::Jobs::Exec
    };
    let (engine, pod) = one_pod::find(context, &args.pod, args.namespace.as_deref(), jobs)
        .await
        .map_err(before)?;
    let container = one_pod::container(context, &pod, args.container.as_deref()).map_err(before)?;
    if container.state == State::Paused {
        let thaw = Remedy::Thaw {
            ids: vec![container.id.clone()],
            of_cluster: false,
        };
        return Err(before(
            Error::failed(format!("container `{}` is paused", container.name))
                .hint(worded(&thaw, engine.runtime.kind())),
        ));
    }
    if !container.state.is_up() {
        let how = container
            .exit_code
            .map_or(String::new(), |code| format!(", exit code {code}"));
        return Err(before(
            Error::failed(format!(
                "container `{}` is not running ({}{how})",
                container.name, container.state
            ))
            .hint(format!(
                "`{}` may tell why",
                command_line::with("devnet logs", [&pod.name, &container.name])
            )),
        ));
    }
    let environment = &context.settings.environment;
    let mut env = variables(&args, environment).await.map_err(before)?;
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
    if tty && let Some(term) = environment.text("TERM").ok().flatten() {
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
    let keys = tty.then(|| Keys::new(exec.detach_keys.as_deref()));
    let started = engine.runtime.exec(&container.id, exec).await;
    exec_session::carry(context, started.map_err(before)?, stdin, keys).await
}

/// The variables that the command is given. A pipe among the files is waited for beside the loop
/// that notices Ctrl-C.
async fn variables(args: &Args, environment: &Environment) -> Result<Vec<String>> {
    let (files, flags) = (args.env_file.clone(), args.env.clone());
    let environment = environment.clone();
    let reading = move || variables::wanted(&files, &flags, &environment);
    tokio::task::spawn_blocking(reading)
        .await
        .map_err(|error| Error::failed("`--env-file` can't be read").caused_by(error))?
}

/// The best shell that a container has.
async fn shell(engine: &Engine, container: &Container) -> Result<Vec<String>> {
    let files_of = async |paths: &[&str]| engine.runtime.files_of(&container.id, paths).await;
    exec_session::best_shell(files_of)
        .await?
        .ok_or_else(|| {
            Error::failed(format!(
                "container `{}` has no shell: its image `{}` brings none",
                container.name, container.image
            ))
            .hint("`devnet shell POD` opens one beside it; or name a program that it has: `devnet exec POD -- PROGRAM`")
        })
}
