//! What can be typed: the clap tree, and nothing else.

use clap::{Parser, Subcommand};

use crate::commands;
use crate::settings::flags::GlobalFlags;

/// minikube's Docker daemon at hand: its environment, builds, loads, and pods down to their pause containers
#[derive(Debug, Parser)]
#[command(
    name = "devnet",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    max_term_width = 100
)]
#[command(after_help = "Examples:
  eval $(devnet env)                      point this shell at minikube's Docker engine
  devnet build -t app:dev .               build an image in the cluster
  devnet load app:dev                     bring an image there, sending only what is missing
  devnet pods                             pods, their pause containers, and what they share
  devnet exec web -c server -- sh         a shell in a pod, by name
  devnet lab up                           pods on plain Docker, to try all this without a cluster")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What a prompt's hook calls, if it is that.
    pub(crate) fn of_a_prompt(arguments: &[std::ffi::OsString]) -> Option<Self> {
        commands::hook::Args::of_a_prompt(arguments).map(|args| Self {
            global: GlobalFlags::default(),
            command: Command::Hook(args),
        })
    }
}

/// The verbs.
#[expect(clippy::large_enum_variant, reason = "one is made in a run")]
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(visible_alias = "docker-env")]
    Env(commands::env::Args),
    Hook(commands::hook::Args),
    Use(commands::switch::UseArgs),
    Off(commands::switch::OffArgs),
    Run(commands::run::Args),
    Context(commands::context::Args),
    Status(commands::status::Args),
    Doctor(commands::doctor::Args),
    Config(commands::config::Args),
    Build(commands::build::Args),
    Load(commands::load::Args),
    Images(commands::images::Args),
    Pods(commands::pods::Args),
    #[command(visible_alias = "netstat")]
    Ports(commands::ports::Args),
    Inspect(commands::inspect::Args),
    Exec(commands::exec::Args),
    Shell(commands::shell::Args),
    Logs(commands::logs::Args),
    Check(commands::check::Args),
    Graph(commands::graph::Args),
    History(commands::history::Args),
    Watch(commands::watch::Args),
    Lab(commands::lab::Args),
    Prove(commands::prove::Args),
    New(commands::new::Args),
    Clean(commands::clean::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::{CommandFactory as _, Parser as _};

    use super::Cli;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_call_of_a_prompt_means_the_same_with_and_without_the_tree() {
        let of = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for shell in [
            "bash",
            "elvish",
            "fish",
            "nu",
            "pwsh",
            "powershell",
            "tcsh",
            "xonsh",
            "zsh",
        ] {
            let call = of(&["devnet", "hook", "--prompt", shell]);
            let Cli { command, .. } = Cli::of_a_prompt(&call).unwrap();
            let by_the_tree = Cli::try_parse_from(&call).unwrap().command;
            assert_eq!(format!("{command:?}"), format!("{by_the_tree:?}"));
        }
        for other in [
            &["devnet", "hook", "--prompt", "cmd"][..],
            &["devnet", "hook", "bash"],
            &["devnet", "hook", "--prompt", "bash", "-q"],
            &["devnet", "-q", "hook", "--prompt", "bash"],
        ] {
            assert!(Cli::of_a_prompt(&of(other)).is_none(), "{other:?}");
        }
    }
}
