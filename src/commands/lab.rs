//! `devnet lab`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// Run pods on plain Docker
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet lab` is not built yet"))
}
