//! `devnet logs`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// Show the logs of a pod's containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet logs` is not built yet"))
}
