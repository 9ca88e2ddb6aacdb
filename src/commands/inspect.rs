//! `devnet inspect`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// Show one pod in full
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet inspect` is not built yet"))
}
