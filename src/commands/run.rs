//! `devnet run`: one command with the environment of the cluster's engine.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::commands::invocation::node_engine::Start;
use crate::docker_env::plan::Change;
use crate::error::{Error, Kind, Result};
use crate::host::process;

/// Run a command with the environment of the cluster's engine
///
/// The command sees what `eval $(devnet env)` would set; your shell stays as it is. As `devnet env`, it
/// starts a Docker engine on a node with containerd.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet run -- docker ps
  devnet -p other run -- make images")]
pub(crate) struct Args {
    /// Start no Docker engine on a containerd node
    #[arg(long)]
    no_start: bool,
    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    command: Vec<OsString>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    if let Some(flag) = args.command.first().and_then(|word| word.to_str())
        && flag.starts_with('-')
    {
        return Err(Error::usage(format!(
            "`devnet run` has no `{flag}`: it runs a command of this computer in the cluster's environment"
        ))
        .hint("`devnet run -- docker run …` takes the flags of docker's"));
    }
    let changes = context
        .environment_changes(Start::unless(args.no_start))
        .await
        // a code of devnet's own must not be taken for one of the command
        .map_err(|error| error.with_kind(Kind::Coded(125)))?;
    let mut environment: BTreeMap<OsString, OsString> = context
        .settings
        .environment
        .all()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for Change { name, value } in changes {
        match value {
            Some(value) => environment.insert(name.into(), value.into()),
            None => environment.remove(&OsString::from(name)),
        };
    }
    let environment: Vec<_> = environment.into_iter().collect();
    process::exec_replace(&args.command, &environment)
        .map_err(|error| hint_at_images(error, &args.command[0]))
}

/// `docker run` takes an image's name; `devnet run` takes a command.
fn hint_at_images(error: Error, program: &OsString) -> Error {
    let text = program.to_string_lossy();
    let may_be_an_image = !text.starts_with(['.', '/', '-']);
    if may_be_an_image && error.kind().exit_code() == 127 {
        return error.hint(format!(
            "if that is an image: `{}`",
            command_line::with("devnet run -- docker run", [text])
        ));
    }
    error
}
