//! `devnet lab kill` and `devnet lab restart`.

use super::{at, find};
use crate::commands::invocation::Context;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab::member::Found;
use crate::lab_engine::replace::{Ending, renew, replace};

/// Kills one container and puts a new one into the same sandbox.
pub(super) async fn container(
    context: &Context,
    engine: &Engine,
    wanted: &str,
    container: &str,
) -> Result<()> {
    let there = find(engine, wanted).await?;
    let attempt = replace(engine, &there, container).await?;
    let line = format!(
        "container {container} of pod/{} killed; attempt {attempt} runs in the same sandbox{}",
        there.full_name(),
        at(there.sandbox().and_then(Found::address)),
    );
    context.ui.line(&line).map_err(Error::stdout)
}

/// Ends the sandbox and makes the pod again in a new one, at the next address.
pub(super) async fn sandbox(
    context: &Context,
    engine: &Engine,
    wanted: &str,
    how: Ending,
) -> Result<()> {
    let there = find(engine, wanted).await?;
    let (attempt, address) = renew(engine, &there, how).await?;
    let before = there.sandbox().and_then(Found::address);
    let line = format!(
        "pod/{} {}; sandbox attempt {attempt} is up{}{}",
        there.full_name(),
        if how == Ending::Kill {
            "killed"
        } else {
            "stopped"
        },
        at(address),
        before.map_or(String::new(), |before| format!(" (it was at {before})")),
    );
    context.ui.line(&line).map_err(Error::stdout)
}
