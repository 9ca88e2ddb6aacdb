//! `devnet lab down`.

use std::collections::BTreeSet;

use super::select;
use crate::commands::invocation::Context;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab_engine::{pods, remove};

pub(super) async fn run(context: &Context, engine: &Engine, wanted: &[String]) -> Result<()> {
    let there = pods(engine).await?;
    let mut chosen: Vec<_> = if wanted.is_empty() {
        there.iter().collect()
    } else {
        wanted
            .iter()
            .map(|wanted| select(&there, wanted))
            .collect::<Result<_>>()?
    };
    // who names a pod twice has it down once
    let mut known = BTreeSet::new();
    chosen.retain(|pod| known.insert(pod.uid.as_str()));
    let uids: Vec<String> = chosen.iter().map(|pod| pod.uid.clone()).collect();
    remove::remove_pods(engine, &uids).await?;
    for pod in &chosen {
        context
            .ui
            .line(&format!("pod/{} down", pod.full_name()))
            .map_err(Error::stdout)?;
    }
    if wanted.is_empty() {
        remove::remove_rest(engine).await?;
    }
    if chosen.is_empty() {
        context.ui.say("the lab is empty");
    }
    Ok(())
}
