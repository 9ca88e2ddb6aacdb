//! `devnet use` and `devnet off`: verbs of a shell that has the prompt hook. Its function evaluates
//! what they print; what was asked for stays in `DEVNET_USE`, where the next prompt finds it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::command_line;
use crate::commands::invocation::environment::Wanted;
use crate::commands::invocation::{Context, environment};
use crate::docker_env::endpoint::Address;
use crate::docker_env::plan::{self, Change};
use crate::error::{Error, Result};
use crate::host::docker_context;
use crate::host::minikube::Home;
use crate::image::digest::Digest;
use crate::shell::{Format, Shell};

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
    wanted: Wanted,
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

/// What a shell was pointed at by `devnet use`: the content of `DEVNET_USE`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Used {
    /// `DOCKER_HOST` as it was set: another value is someone else's, and stays.
    pub(crate) host: String,
    pub(crate) profile: Option<String>,
    /// What stood on disk then, where only an engine of this computer knows the address: as long as
    /// that is so, a prompt need not ask it. `None` where minikube's files say the address.
    #[serde(default)]
    pub(crate) stamp: Option<String>,
    #[serde(flatten)]
    pub(crate) wanted: Wanted,
}

pub(crate) async fn use_it(args: UseArgs, context: &Context) -> Result<()> {
    let Some(shell) = args.shell else {
        return Err(without_a_hook(
            std::iter::once("use".to_owned()).chain(args.cluster),
        ));
    };
    let context = &context.for_profile(args.cluster);
    answer(context, shell, changes(context, args.wanted).await)
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
    .because("the shell's prompt hook is not there, or something stood before the verb")
    .hint("`devnet hook --help` says what to put into the shell's start file")
    .hint("without it: `eval $(devnet env)` and `eval $(devnet env --unset)`")
}

async fn changes(context: &Context, wanted: Wanted) -> Result<Vec<Change>> {
    let aim = context.aim(&wanted).await?;
    context.look(&aim).await?;
    let env = environment::of_target(&aim.target)?;
    let no_proxy = environment::host_in_lists(&env.host).filter(|_| wanted.no_proxy);
    let mut changes = plan::set(&context.current_variables()?, &env, no_proxy.as_deref())?;
    let used = Used {
        host: env.host,
        stamp: aim
            .target
            .profile
            .as_deref()
            .and_then(|name| context.stamp(name)),
        profile: aim.target.profile,
        wanted,
    };
    changes.push(used.remembered()?);
    Ok(changes)
}

impl Context {
    /// When the files and sockets that a container's node depends on were last changed: each start
    /// of minikube writes its records, each start of an engine makes its socket anew.
    pub(crate) fn stamp(&self, profile: &str) -> Option<String> {
        let home = self.minikube().ok()?;
        home.profile(profile)
            .is_ok_and(|record| record.in_container())
            .then(|| self.stamp_of_files(&home, profile))
    }

    /// The same, of a profile that is known to be a container's; a few stats.
    pub(crate) fn stamp_of_files(&self, home: &Home, profile: &str) -> String {
        let mut files = vec![
            home.folder()
                .join("profiles")
                .join(profile)
                .join("config.json"),
            home.folder()
                .join("machines")
                .join(profile)
                .join("config.json"),
        ];
        if let Ok(home) = self.settings.home() {
            files.push(
                docker_context::folder(&self.settings.environment, &home).join("config.json"),
            );
        }
        if let Ok(Address::Unix(socket)) = self.host_endpoint().map(|endpoint| endpoint.address) {
            files.push(socket);
        }
        let seen: Vec<String> = files
            .iter()
            .map(|file| {
                let changed = std::fs::metadata(file)
                    .and_then(|found| found.modified())
                    .ok()
                    .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
                format!("{changed:?}")
            })
            .collect();
        let digest = Digest::of(seen.join(" ").as_bytes());
        format!("{:.16}", digest.hex())
    }
}

/// Prints what the hook's function evaluates; after a failure, what makes that fail too.
fn answer(context: &Context, shell: Shell, changes: Result<Vec<Change>>) -> Result<()> {
    let text = changes.and_then(|changes| script(shell, &changes));
    if text.is_err() {
        let _closed = context.ui.data(shell.failure());
    }
    context.ui.data(&text?).map_err(Error::stdout)
}

/// Changes as the hook of a shell takes them: nu can't evaluate what is printed, so it gets data.
pub(crate) fn script(shell: Shell, changes: &[Change]) -> Result<String> {
    match shell {
        Shell::Nu => {
            // to nu both are one variable, which must not go when only one of them does
            let both_go = ["NO_PROXY", "no_proxy"].iter().all(|name| {
                changes
                    .iter()
                    .any(|change| change.name == *name && change.value.is_none())
            });
            let taken: Vec<Change> = changes
                .iter()
                .filter(|change| both_go || change.name != "no_proxy" || change.value.is_some())
                .cloned()
                .collect();
            Format::Json.unset(&taken)
        }
        shell => shell.script(changes),
    }
}

impl Used {
    pub(crate) fn remembered(&self) -> Result<Change> {
        let text = serde_json::to_string(self)
            .map_err(|error| Error::failed("could not write JSON").because(error))?;
        Ok(Change {
            name: plan::USE.into(),
            value: Some(text),
        })
    }
}
