//! `devnet completions`: what a shell needs to complete devnet's commands and flags.

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::commands::Context;
use crate::error::{Error, Result};

/// Print what makes a shell complete devnet's commands and flags
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
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "devnet", &mut script);
    context.ui.data_bytes(&script).map_err(Error::stdout)
}
