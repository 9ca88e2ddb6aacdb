//! `devnet build`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// Build an image in the cluster's engine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet build` is not built yet"))
}
