//! `devnet inspect POD`: everything about one pod.

use std::cell::RefCell;

use crate::commands::invocation::Context;
use crate::commands::invocation::output::{SnapshotForm, style};
use crate::commands::invocation::pod_choice::PodChoice;
use crate::commands::invocation::snapshot::{Depth, Gathered};
use crate::commands::watch_view;
use crate::error::Result;
use crate::pod::{PlainContainers, Pod, Resolver};
use crate::render;

/// Show one pod: its sandbox, its containers, what they share, and its history
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet inspect web                    a pod by a unique part of its name
  devnet inspect default/web -o json    the same as a document
  devnet inspect web --watch            again at every change, until Ctrl-C
  devnet inspect a1b707a85d1f           the pod of a container that docker ps shows")]
pub(crate) struct Args {
    /// A name, namespace/name, a UID, a container's ID; a unique part is enough
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pod: String,
    #[command(flatten)]
    choice: PodChoice,
    #[arg(
        help = "How to show it: json, yaml, tsv or name",
        short,
        long,
        value_name = "FORM",
        hide_possible_values = true
    )]
    output: Option<SnapshotForm>,
    /// Show it again whenever something changes, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let depth = Depth {
        plain_containers: PlainContainers::Show,
        probe: !args.choice.no_probe,
    };
    let node = args.choice.node.as_deref();
    // a card says whom a pod talks with, so it needs the others too
    let everyone = RefCell::new(Vec::new());
    let resolvers = RefCell::new(Vec::new());
    let choose = async |gathered: &mut Gathered| {
        everyone.borrow_mut().clone_from(&gathered.snapshot.pods);
        choose(&args, gathered)?;
        if matches!(args.output, None | Some(SnapshotForm::Wide)) {
            let read = resolvers_of(gathered).await;
            *resolvers.borrow_mut() = read;
        }
        Ok(())
    };
    let draw = |gathered: &Gathered| {
        let (snapshot, everyone) = (&gathered.snapshot, everyone.borrow());
        Ok(match args.output {
            None | Some(SnapshotForm::Wide) => {
                let about = render::inspect::About {
                    now: &|node| gathered.now(node),
                    resolvers: &resolvers.borrow(),
                    everyone: &everyone,
                };
                render::inspect::cards(snapshot, &about, style(context))
            }
            Some(SnapshotForm::Json) => render::document::pods_json(snapshot)?,
            Some(SnapshotForm::Yaml) => render::document::pods_yaml(snapshot)?,
            Some(SnapshotForm::Tsv) => render::document::tsv(&snapshot.pods),
            Some(SnapshotForm::Name) => render::document::names(&snapshot.pods),
        })
    };
    if args.watch {
        return Box::pin(watch_view::watch(
            context,
            depth,
            node,
            args.output,
            choose,
            draw,
        ))
        .await;
    }
    let shown = watch_view::once(context, depth, node, choose, draw).await?;
    shown.outcome()
}

/// Keeps the one pod, its node, and what concerns it.
fn choose(args: &Args, gathered: &mut Gathered) -> Result<()> {
    let snapshot = &mut gathered.snapshot;
    args.choice
        .apply(&mut snapshot.pods, std::slice::from_ref(&args.pod))?;
    let nodes: Vec<String> = snapshot.pods.iter().map(|pod| pod.node.clone()).collect();
    snapshot.nodes.retain(|node| nodes.contains(&node.name));
    // what concerns several pods is told where one of them is this
    let ids: Vec<&String> = snapshot.pods.iter().flat_map(Pod::ids).collect();
    snapshot.findings.retain(|finding| {
        finding
            .subjects
            .iter()
            .any(|subject| ids.contains(&subject))
    });
    Ok(())
}

/// The resolver of each pod, by its UID, as its containers' files say.
async fn resolvers_of(gathered: &Gathered) -> Vec<(String, Resolver)> {
    let mut found = Vec::new();
    for pod in &gathered.snapshot.pods {
        let engine = gathered.engines.iter().find(|one| one.node == pod.node);
        let ids: Vec<String> = pod.ids().cloned().collect();
        if let Some(node) = engine
            && let Some(text) = node.engine.runtime.resolver_file(&ids).await
        {
            found.push((pod.uid.clone(), Resolver::parse(&text)));
        }
    }
    found
}
