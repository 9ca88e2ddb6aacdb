//! `devnet lab ps`.

use serde_json::json;

use super::pods;
use crate::commands::Context;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab::member::{Found, LabPod};
use crate::ui::visible;

/// How to print the list.
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
            format!("{:#}\n", json!(pods))
        }
        Format::Name => pods
            .iter()
            .map(|pod| format!("pod/{}\n", pod.full_name()))
            .collect::<Vec<_>>()
            .concat(),
        Format::Wide if pods.is_empty() => {
            context.ui.say("the lab is empty");
            context.ui.hint("`devnet lab up` brings a pod up");
            return Ok(());
        }
        Format::Wide => table(&pods),
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

fn table(pods: &[LabPod]) -> String {
    let mut rows = vec![["POD", "IP", "SANDBOX", "CONTAINERS"].map(str::to_owned)];
    rows.extend(pods.iter().map(|pod| {
        let said = |one: &Found| format!("{} (attempt {})", one.state, one.attempt());
        let containers: Vec<String> = pod
            .current()
            .map(|(name, one)| format!("{name} {}", said(one)))
            .collect();
        [
            pod.full_name(),
            pod.sandbox()
                .and_then(Found::address)
                .map_or_else(|| "-".into(), |address| address.to_string()),
            pod.sandbox().map_or_else(|| "gone".into(), said),
            containers.join(", "),
        ]
        .map(|cell| visible(&cell))
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    rows.iter()
        .map(|row| {
            format!(
                "{:a$}  {:b$}  {:c$}  {}\n",
                row[0],
                row[1],
                row[2],
                row[3],
                a = widths[0],
                b = widths[1],
                c = widths[2],
            )
        })
        .collect::<Vec<_>>()
        .concat()
}
