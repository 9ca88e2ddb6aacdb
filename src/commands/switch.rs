//! `devnet use` and `devnet off`: verbs of a shell that has the prompt hook. Its function evaluates
//! what they print; what was asked for stays in `DEVNET_USE`, where the next prompt finds it.

use crate::command_line;
use crate::commands::invocation::environment::ShellRequest;
use crate::commands::invocation::node_engine::Start;
use crate::commands::invocation::used_cluster::{UsedCluster, script};
use crate::commands::invocation::{Context, environment};
use crate::docker_env::plan::{self, Change};
use crate::error::{Error, Result};
use crate::shell::Shell;

/// Point this shell at a cluster's engine and keep it right when the cluster restarts
///
/// Needs the hook in the shell: see `devnet hook --help`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet use                    minikube's active profile
  devnet use other
  devnet use other --node m02 --no-proxy")]
pub(crate) struct UseArgs {
    /// The minikube profile
    #[arg(value_name = "PROFILE")]
    cluster: Option<String>,
    #[command(flatten)]
    wanted: ShellRequest,
    /// Start no Docker engine on a containerd node
    #[arg(long)]
    no_start: bool,
    /// The shell whose hook asks
    #[arg(long, hide = true)]
    shell: Option<Shell>,
}

/// Give this shell back as it was before `devnet use`
///
/// Needs the hook in the shell: see `devnet hook --help`.
#[derive(Debug, clap::Args)]
pub(crate) struct OffArgs {
    /// The shell whose hook asks
    #[arg(long, hide = true)]
    shell: Option<Shell>,
}

pub(crate) async fn use_it(args: UseArgs, context: &Context) -> Result<()> {
    let Some(shell) = args.shell else {
        return Err(without_a_hook(
            std::iter::once("use".to_owned()).chain(args.cluster),
        ));
    };
    let context = &context.for_profile(args.cluster);
    answer(
        context,
        shell,
        changes(context, args.wanted, Start::unless(args.no_start)).await,
    )
}

pub(crate) fn off(args: &OffArgs, context: &Context) -> Result<()> {
    let shell = args
        .shell
        .ok_or_else(|| without_a_hook(["off".to_owned()]))?;
    let changes = context
        .current_variables()
        .and_then(|now| plan::unset(&now));
    answer(context, shell, changes)
}

fn without_a_hook(words: impl IntoIterator<Item = String>) -> Error {
    Error::usage(format!(
        "`{}` can't change the shell that called it",
        command_line::with("devnet", words)
    ))
    .caused_by("the shell's prompt hook is not there, or something stood before the verb")
    .hint("`devnet hook --help` says what to put into the shell's start file")
    .hint("without it: `eval $(devnet env)` and `eval $(devnet env --unset)`")
}

async fn changes(context: &Context, wanted: ShellRequest, start: Start) -> Result<Vec<Change>> {
    let shell_target = context.shell_target(&wanted).await?;
    context.ready(&shell_target, start).await?;
    let env = environment::of_target(&shell_target.target)?;
    let no_proxy = environment::host_in_lists(&env.host).filter(|_| wanted.no_proxy);
    let mut changes = plan::set(&context.current_variables()?, &env, no_proxy.as_deref())?;
    let used = UsedCluster {
        host: env.host,
        stamp: shell_target
            .target
            .profile
            .as_deref()
            .and_then(|name| context.stamp(name)),
        profile: shell_target.target.profile,
        wanted,
    };
    changes.push(used.remembered()?);
    Ok(changes)
}

/// Prints what the hook's function evaluates; after a failure, what makes that fail too.
fn answer(context: &Context, shell: Shell, changes: Result<Vec<Change>>) -> Result<()> {
    let text = changes.and_then(|changes| script(shell, &changes));
    if text.is_err() {
        let _closed = context.ui.data(shell.failure());
    }
    context.ui.data(&text?).map_err(Error::stdout)
}
