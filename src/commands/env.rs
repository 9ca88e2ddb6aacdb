//! `devnet env`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// Print what points a shell at the cluster's engine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet env` is not built yet"))
}
