//! `devnet clean`.

use crate::commands::invocation::Context;
use crate::commands::invocation::target::Need;
use crate::commands::lab::sweep;
use crate::error::{Error, Result};

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
            0 => format!("{}: nothing of devnet's\n", node.name),
            1 => format!("{}: removed 1 thing\n", node.name),
            _ => format!("{}: removed {count} things\n", node.name),
        };
        context.ui.data(&line).map_err(Error::stdout)?;
    }
    Ok(())
}
