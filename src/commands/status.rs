//! `devnet status`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// Show which engine devnet talks to, and why
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet status` is not built yet"))
}
