//! `devnet history`: what happened to a pod's sandboxes and containers, and to its address.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use serde::Serialize;

use crate::commands::invocation::Context;
use crate::commands::invocation::format::{Format, Printed};
use crate::commands::invocation::journal;
use crate::commands::invocation::output::{style, write};
use crate::commands::invocation::pod_choice::PodChoice;
use crate::commands::invocation::snapshot::{self, Depth, Gathered};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::pod::{self, ContainerEvent, Event, Origin, PlainContainers, Pod, PodState, Run};
use crate::render;

/// Show which restarts of a pod kept its IP address (same sandbox), and which changed it
///
/// Made from the containers that still exist, the engine's last events, and devnet's journal: what
/// earlier runs saw.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet history web                    a pod by a unique part of its name
  devnet history default/web -o json    the same as a document
  devnet history -A --no-probe          all pods, asking their engines only")]
pub(crate) struct Args {
    /// Only these: a name, namespace/name, a UID, a container's ID; a unique part is enough
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pods: Vec<String>,
    #[command(flatten)]
    choice: PodChoice,
    #[command(flatten)]
    printed: Printed,
}

/// One pod's history.
#[derive(Debug, Serialize)]
struct OfPod<'a> {
    node: &'a str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    events: Vec<Event>,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    pods: Vec<OfPod<'a>>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let depth = Depth {
        plain_containers: PlainContainers::Hide,
        probe: !args.choice.no_probe,
    };
    let mut gathered = snapshot::gather_on(context, depth, args.choice.node.as_deref()).await?;
    let mut present = BTreeSet::new();
    for answered in &gathered.engines {
        for heard in recent(context, &answered.engine).await {
            gathered.runs.hear(&answered.node, &heard);
        }
        present.extend(pod::present(&answered.facts));
    }
    journal::append(context, &mut gathered.runs);
    let pods = chosen(&args, &gathered)?;
    let histories = pods
        .iter()
        .map(|pod| OfPod {
            node: &pod.node,
            namespace: &pod.namespace,
            name: &pod.name,
            uid: &pod.uid,
            events: gathered.past(pod, &present),
        })
        .collect();
    let document = Document {
        schema: 1,
        pods: histories,
    };
    let text = match args.printed.output {
        Format::Json => render::document::json(&document)?,
        Format::Text => document
            .pods
            .iter()
            .map(|pod| {
                let title = format!("{}/{}", pod.namespace, pod.name);
                render::history::card(&title, pod.node, &pod.events, style(context))
            })
            .collect::<Vec<_>>()
            .join("\n"),
    };
    write(context, &text)?;
    gathered.outcome()
}

/// The pods that are asked for; by name also those that are gone and were seen before.
fn chosen(args: &Args, gathered: &Gathered) -> Result<Vec<Pod>> {
    let mut pods = gathered.snapshot.pods.clone();
    let missing = match args.choice.apply(&mut pods, &args.pods) {
        Ok(()) => return Ok(pods),
        Err(error) if error.kind() == Kind::NotFound => error,
        Err(error) => return Err(error),
    };
    let nodes = &gathered.snapshot.nodes;
    let mut all = gathered.snapshot.pods.clone();
    for run in gathered.runs.all() {
        if !all.iter().any(|pod| pod.uid == run.uid)
            && nodes.iter().any(|node| node.name == run.node)
        {
            all.push(gone(run));
        }
    }
    args.choice
        .apply(&mut all, &args.pods)
        .map_err(|error| match error.kind() {
            Kind::NotFound => missing,
            _ => error,
        })?;
    Ok(all)
}

/// A pod of which nothing is left but what was seen.
fn gone(run: &Run) -> Pod {
    Pod {
        node: run.node.clone(),
        namespace: run.namespace.clone(),
        name: run.pod.clone(),
        uid: run.uid.clone(),
        labels: std::collections::BTreeMap::new(),
        origin: Origin::Kubernetes,
        state: PodState::Completed,
        ips: Vec::new(),
        host_network: run.host_network,
        sandbox: None,
        sandboxes_before: Vec::new(),
        containers: Vec::new(),
        containers_before: Vec::new(),
        annotations: std::collections::BTreeMap::new(),
        sockets: None,
        host_ports: Vec::new(),
        networks: std::collections::BTreeMap::new(),
        kubelet: None,
        findings: Vec::new(),
    }
}

/// An engine that keeps no end of its events would be waited for no longer.
const EVENTS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// The events of an engine together, in bytes: it keeps 256.
const MOST: usize = 4 << 20;

/// From the beginning: 0 would mean that none of the past are wanted.
const SECOND: i64 = 1_000_000_000;

/// The events that an engine still remembers.
async fn recent(context: &Context, engine: &Engine) -> Vec<ContainerEvent> {
    let ask = async {
        // its own clock: a time that is still to come would be waited for
        let now = engine.runtime.info().await?.nanoseconds()?;
        let mut events = engine.runtime.container_events(SECOND, Some(now)).await;
        let (mut all, mut weight) = (Vec::new(), 0);
        while let Some(event) = events.next().await {
            let event = event?;
            weight += event.weight();
            if weight > MOST {
                return Err(Error::failed("the engine tells more events than any keeps"));
            }
            all.push(event);
        }
        Ok::<_, Error>(all)
    };
    match tokio::time::timeout(EVENTS_TIMEOUT, ask).await {
        Ok(Ok(events)) => events,
        Ok(Err(error)) => {
            let text = format!("the engine's events are left out: {error}");
            context.ui.note(&text);
            Vec::new()
        }
        Err(_elapsed) => {
            let text = "the engine's events are left out: they stalled, or have no end";
            context.ui.note(text);
            Vec::new()
        }
    }
}
