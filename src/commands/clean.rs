//! `devnet clean`.

use crate::commands::invocation::Context;
use crate::commands::invocation::target::Need;
use crate::commands::lab::sweep;
use crate::error::{Error, Result};
use crate::wording::counted;

/// Remove everything that devnet left in an engine
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet clean             what carries devnet's label on the cluster's nodes: lab pods, helpers,
                           their network and image, and tags that transfers left
  devnet clean -p lab      the same on the host engine")]
pub(crate) struct Args;

pub(crate) async fn run(_args: Args, context: &Context) -> Result<()> {
    let target = context.target(Need::Pods).await?;
    for node in &target.nodes {
        let engine = context.connect(node).await?;
        let count = sweep(&engine).await?;
        let line = match count {
            0 => format!("{}: nothing of devnet's", node.name),
            _ => format!("{}: removed {}", node.name, counted(count, "thing")),
        };
        context.ui.line(&line).map_err(Error::stdout)?;
    }
    Ok(())
}
