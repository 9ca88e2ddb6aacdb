//! `devnet run`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// Run a command with the environment of the cluster's engine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet run` is not built yet"))
}
