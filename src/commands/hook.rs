//! `devnet hook`: a prompt hook that keeps a shell right after its cluster restarts.

use std::ffi::OsString;
use std::time::Duration;

use clap::ValueEnum as _;

use crate::commands::invocation::used_cluster::{UsedCluster, script};
use crate::commands::invocation::{Context, environment};
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::docker_env::plan::{self, Change};
use crate::error::{Error, Result};
use crate::shell::Shell;
use crate::template;
use crate::wire::transport::connects;

/// Print a hook for a shell's prompt, with `devnet use` and `devnet off`
///
/// Only a shell in which `devnet use` was called is kept right: when its cluster has come back at
/// another address, the next prompt takes it there. A `DOCKER_HOST` set by hand stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "Put into the shell's own start file:
  bash     eval \"$(devnet hook bash)\"
  zsh      eval \"$(devnet hook zsh)\"
  fish     devnet hook fish | source
  tcsh     eval \"`devnet hook tcsh`\"
  elvish   eval (devnet hook elvish | slurp)
  xonsh    execx($(devnet hook xonsh))
  pwsh     devnet hook pwsh | Out-String | Invoke-Expression

nu reads files only; once, and after an update of devnet:
  devnet hook nu | save -f ($nu.user-autoload-dirs | first | path join devnet.nu)

Then:
  devnet use             this shell talks to minikube's Docker engine, also after a restart
  devnet use other       to that of the profile `other`; also --node, --ssh-host, --no-proxy
  devnet off             gives the shell back as it was")]
pub(crate) struct Args {
    shell: Hooked,
    #[arg(help = "What the hook asks before each prompt", long, hide = true)]
    prompt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Hooked {
    Bash,
    Elvish,
    Fish,
    Nu,
    #[value(alias = "powershell")]
    Pwsh,
    Tcsh,
    Xonsh,
    Zsh,
}

impl Args {
    /// Parses what a prompt calls, word for word as `templates/shell/` has it: it comes so often
    /// that making devnet's whole command line, only to read this from it, would be most of its
    /// time.
    pub(crate) fn of_a_prompt(arguments: &[OsString]) -> Option<Self> {
        let [_devnet, verb, flag, shell] = arguments else {
            return None;
        };
        (verb == "hook" && flag == "--prompt")
            .then(|| Hooked::from_str(shell.to_str()?, false).ok())
            .flatten()
            .map(|shell| Self {
                shell,
                prompt: true,
            })
    }
}

/// A prompt waits no longer for an engine that does not answer.
const PROMPT_TIMEOUT: Duration = Duration::from_millis(300);

/// Connections within this computer take less than a millisecond.
const AT_ONCE: Duration = Duration::from_millis(30);

pub(crate) async fn run(args: &Args, context: &Context) -> Result<()> {
    let (shell, hook) = match args.shell {
        Hooked::Bash => (Shell::Bash, template::HOOK_BASH),
        Hooked::Elvish => (Shell::Elvish, template::HOOK_ELVISH),
        Hooked::Fish => (Shell::Fish, template::HOOK_FISH),
        Hooked::Nu => (Shell::Nu, template::HOOK_NU),
        Hooked::Pwsh => (Shell::Pwsh, template::HOOK_PWSH),
        Hooked::Tcsh => (Shell::Tcsh, template::HOOK_TCSH),
        Hooked::Xonsh => (Shell::Xonsh, template::HOOK_XONSH),
        Hooked::Zsh => (Shell::Zsh, template::HOOK_ZSH),
    };
    let text = if args.prompt {
        // a prompt has to come: what can't be told, or not in time, changes nothing
        match tokio::time::timeout(PROMPT_TIMEOUT, changes(context)).await {
            Ok(Ok(changes)) if !changes.is_empty() => script(shell, &changes)?,
            _ => String::new(),
        }
    } else {
        let hook = hook.replace("DEVNET_PROGRAM", &shell.word(&program()?));
        match shell {
            // "`devnet hook tcsh`" makes one line of it
            Shell::Tcsh => hook
                .lines()
                .filter(|line| !line.starts_with('#') && !line.is_empty())
                .fold(String::new(), |text, line| text + line + "\n"),
            _ => hook,
        }
    };
    context.ui.data(&text).map_err(Error::stdout)
}

/// The changes for a shell whose cluster is at another place than the shell knows.
async fn changes(context: &Context) -> Result<Vec<Change>> {
    let nothing = Ok(Vec::new());
    let current = context.current_variables()?;
    let Some(used) = current.get(plan::USE).filter(|text| !text.is_empty()) else {
        return nothing;
    };
    let mut used: UsedCluster = serde_json::from_str(used)
        .map_err(|error| Error::failed("`DEVNET_USE` can't be read").caused_by(error))?;
    // a DOCKER_HOST that someone else has set since is left alone
    if current.get(plan::HOST) != Some(&used.host) {
        return nothing;
    }
    let stamp = match (&used.profile, &used.stamp) {
        (Some(profile), Some(_)) => Some(context.stamp_of_files(&context.minikube()?, profile)),
        _ => None,
    };
    // an engine draws a port anew whenever the container starts, also when no file tells of it
    if stamp.is_some() && stamp == used.stamp && is_there(context, &used).await {
        return nothing;
    }
    let shell_target = context
        .for_profile(used.profile.clone())
        .shell_target(&used.wanted)
        .await?;
    if shell_target.engine.devnets_engine {
        context.restarted_by_a_prompt(&shell_target.engine).await?;
    }
    context
        .keep_docker_contexts(&shell_target.by_its_engine())
        .await;
    let env = environment::of_target(&shell_target.target)?;
    let host = environment::host_in_lists(&env.host).filter(|_| used.wanted.no_proxy);
    let base = match environment::host_in_lists(&used.host) {
        Some(old) if host.as_ref().is_some_and(|host| *host != old) => {
            plan::without_host(&current, &old)
        }
        _ => current.clone(),
    };
    let mut changes = plan::set(&base, &env, host.as_deref())?;
    changes.retain(|change| current.get(&change.name) != change.value.as_ref());
    // nu has one proxy list where others have two: only what points at the engine tells that it moved
    let moved = changes
        .iter()
        .any(|change| plan::POINTS.contains(&change.name.as_str()));
    if !moved && stamp == used.stamp {
        return nothing;
    }
    used.stamp = stamp;
    if !moved {
        return Ok(vec![used.remembered()?]);
    }
    context.ui.say(&format!(
        "devnet: minikube profile `{}` is now at {}",
        env.profile, env.host
    ));
    used.host = env.host;
    changes.push(used.remembered()?);
    Ok(changes)
}

/// True where the engine answers at which the shell points.
async fn is_there(context: &Context, used: &UsedCluster) -> bool {
    let Ok(address) = Address::parse(&used.host) else {
        return false;
    };
    let devnets_engine = matches!(address, Address::Tcp { .. })
        && used
            .profile
            .as_deref()
            .is_some_and(|profile| context.other_runtime(profile).is_some());
    if !devnets_engine {
        return connects(&address, AT_ONCE).await;
    }
    let Ok(home) = context.minikube() else {
        return false;
    };
    context
        .listens(&Endpoint {
            cert_path: Some(home.certs()),
            ..Endpoint::plain(address)
        })
        .await
        .is_ok()
}

/// This devnet, by the name on PATH where that is it: a package manager's link outlives an update.
fn program() -> Result<String> {
    let own = std::env::current_exe().map_err(|error| {
        Error::failed("devnet can't tell where its own program is").caused_by(error)
    })?;
    let on_path = which::which("devnet")
        .ok()
        .filter(|found| found.canonicalize().ok() == own.canonicalize().ok());
    on_path
        .unwrap_or(own)
        .into_os_string()
        .into_string()
        .map_err(|_| Error::failed("devnet stands in a folder whose name is not UTF-8"))
}
