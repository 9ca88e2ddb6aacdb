//! `devnet clean`.

use crate::commands::Context;
use crate::error::{Error, Result};

/// Remove everything that devnet left in an engine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _context: &Context) -> Result<()> {
    Err(Error::failed("`devnet clean` is not built yet"))
}
