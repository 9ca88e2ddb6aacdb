//! `devnet load`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// Bring images to the cluster's nodes, sending only the layers they lack
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet load` is not built yet"))
}
