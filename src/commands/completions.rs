//! `devnet completions`: what a shell needs to complete devnet's commands, flags, and the names of pods
//! and containers.

use crate::commands::complete;
use crate::commands::invocation::Context;
use crate::error::{Error, Result};

/// Print what makes a shell complete devnet's commands and flags, and names of pods and containers
///
/// The shell calls devnet for what can stand next; names are asked of the nodes that the line means,
/// within 0.3 s.
#[derive(Debug, clap::Args)]
#[command(after_help = "Where each shell takes it from:
  bash         devnet completions bash > ~/.local/share/bash-completion/completions/devnet
  zsh          devnet completions zsh > \"${fpath[1]}/_devnet\"
  fish         devnet completions fish > ~/.config/fish/completions/devnet.fish
  elvish       devnet completions elvish >> ~/.config/elvish/rc.elv
  powershell   devnet completions powershell >> $PROFILE")]
pub(crate) struct Args {
    /// bash, zsh, fish, elvish or powershell
    #[arg(hide_possible_values = true)]
    shell: clap_complete::Shell,
    /// Commands and flags alone, without calling devnet at each key
    #[arg(long = "static")]
    fixed: bool,
}

/// `tree` reads the command line.
pub(crate) fn run(args: &Args, mut tree: clap::Command, context: &Context) -> Result<()> {
    let script = if args.fixed {
        let mut script = Vec::new();
        clap_complete::generate(args.shell, &mut tree, "devnet", &mut script);
        script
    } else {
        complete::registration(&args.shell.to_string())?
    };
    context.ui.data_bytes(&script).map_err(Error::stdout)
}
