//! `devnet pods`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// List pods with their pause containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet pods` is not built yet"))
}
