//! `devnet pods`: every pod with its sandbox, and what is wrong.

use crate::commands::invocation::Context;
use crate::commands::invocation::output::{SnapshotForm, style};
use crate::commands::invocation::pod_choice::PodChoice;
use crate::commands::invocation::snapshot::{Depth, Gathered};
use crate::commands::watch_view;
use crate::error::Result;
use crate::pod::PlainContainers;
use crate::render;
use crate::render::pods::Width;

/// List pods with their pause containers, and what is wrong with them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet pods                    every pod of every node
  devnet pods -n kube-system     those of one namespace
  devnet pods -l app=web         those with a label
  devnet pods web -o json        one pod, as a document
  devnet pods --watch            again at every change, until Ctrl-C")]
pub(crate) struct Args {
    /// Only these: a name, namespace/name, a UID, a container's ID; a unique part is enough
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pods: Vec<String>,
    #[command(flatten)]
    choice: PodChoice,
    #[arg(
        help = "Which namespaces are shared, by the kernel's numbers",
        long,
        conflicts_with = "no_probe"
    )]
    ns: bool,
    /// Also plain containers that share nothing with another
    #[arg(long)]
    all: bool,
    #[arg(
        help = "How to show them: wide, json, yaml, tsv or name",
        short,
        long,
        value_name = "FORM",
        hide_possible_values = true
    )]
    output: Option<SnapshotForm>,
    /// Show them again whenever something changes, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let depth = Depth {
        plain_containers: if args.all {
            PlainContainers::Show
        } else {
            PlainContainers::Hide
        },
        probe: !args.choice.no_probe,
    };
    let node = args.choice.node.as_deref();
    let choose =
        async |gathered: &mut Gathered| args.choice.apply(&mut gathered.snapshot.pods, &args.pods);
    let draw = |gathered: &Gathered| text(context, &args, gathered);
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
    let gathered = watch_view::once(context, depth, node, choose, draw).await?;
    if gathered.snapshot.pods.is_empty() && args.output.is_none() {
        context.ui.say("no pods");
    }
    gathered.outcome()
}

fn text(context: &Context, args: &Args, gathered: &Gathered) -> Result<String> {
    let snapshot = &gathered.snapshot;
    let tree = |width| {
        let now = |node: &str| gathered.now(node);
        render::pods::tree(snapshot, &now, width, style(context))
    };
    Ok(match args.output {
        None if args.ns => render::namespaces::table(snapshot, style(context)),
        None => tree(Width::Normal),
        Some(SnapshotForm::Wide) => tree(Width::Wide),
        Some(SnapshotForm::Json) => render::document::pods_json(snapshot)?,
        Some(SnapshotForm::Yaml) => render::document::pods_yaml(snapshot)?,
        Some(SnapshotForm::Tsv) => render::document::tsv(&snapshot.pods),
        Some(SnapshotForm::Name) => render::document::names(&snapshot.pods),
    })
}
