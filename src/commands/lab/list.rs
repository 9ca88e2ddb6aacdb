//! `devnet lab ps`.

use serde_json::json;

use super::pods;
use crate::commands::invocation::Context;
use crate::commands::invocation::output::style;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab::member::{Found, LabPod};
use crate::render;

/// The form of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Json,
    Name,
    #[default]
    Wide,
}

pub(super) async fn run(context: &Context, engine: &Engine, format: Option<Format>) -> Result<()> {
    let pods = pods(engine).await?;
    let text = match format.unwrap_or_default() {
        Format::Json => {
            let pods: Vec<_> = pods.iter().map(document).collect();
            render::document::json(&pods)?
        }
        Format::Name => pods
            .iter()
            .map(|pod| format!("pod/{}\n", crate::visible::field(&pod.full_name())))
            .collect::<Vec<_>>()
            .concat(),
        Format::Wide if pods.is_empty() => {
            context.ui.say("the lab is empty");
            context.ui.hint("`devnet lab up` brings a pod up");
            return Ok(());
        }
        Format::Wide => render::lab::pods(&pods, style(context)),
    };
    context.ui.data(&text).map_err(Error::stdout)
}

fn document(pod: &LabPod) -> serde_json::Value {
    json!({
        "namespace": pod.namespace,
        "name": pod.name,
        "uid": pod.uid,
        "ip": pod.sandbox().and_then(Found::address),
        "ready": pod.is_whole(),
        "sandbox": pod.sandbox().map(|one| part("POD", one)),
        "containers": pod.current().map(|(name, one)| part(name, one)).collect::<Vec<_>>(),
    })
}

fn part(name: &str, one: &Found) -> serde_json::Value {
    json!({ "name": name, "id": one.id, "attempt": one.attempt(), "state": one.state })
}
