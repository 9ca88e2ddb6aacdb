//! `devnet exec`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// Run a command in a container of a pod
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet exec` is not built yet"))
}
