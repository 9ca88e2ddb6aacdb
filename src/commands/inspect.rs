//! `devnet inspect POD`: everything about one pod.

use crate::commands::Context;
use crate::commands::gather::{self, Depth};
use crate::commands::pods::{Choice, Form, style, write};
use crate::error::Result;
use crate::pod::Lone;
use crate::render;

/// Show one pod: its sandbox, its containers, what they share, and its history
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet inspect web                    a pod by a unique part of its name
  devnet inspect default/web -o json    the same as a document
  devnet inspect a1b707a85d1f           the pod of a container that docker ps shows")]
pub(crate) struct Args {
    /// A name, namespace/name, a UID, a container's ID; a unique part is enough
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    choice: Choice,
    /// How to show it: json, yaml, tsv or name
    #[arg(short, long, value_name = "FORM", hide_possible_values = true)]
    output: Option<Form>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let depth = Depth {
        lone: Lone::Show,
        probe: !args.choice.no_probe,
    };
    let mut gathered = gather::gather(context, depth).await?;
    let snapshot = &mut gathered.snapshot;
    args.choice.apply(&mut snapshot.pods, &[args.pod])?;
    let nodes: Vec<String> = snapshot.pods.iter().map(|pod| pod.node.clone()).collect();
    snapshot.nodes.retain(|node| nodes.contains(&node.name));
    // what concerns several pods is told where one of them is this
    let ids: Vec<&String> = snapshot
        .pods
        .iter()
        .flat_map(crate::pod::Pod::ids)
        .collect();
    snapshot.findings.retain(|finding| {
        finding
            .subjects
            .iter()
            .any(|subject| ids.contains(&subject))
    });
    let snapshot = &gathered.snapshot;
    let text = match args.output {
        None | Some(Form::Wide) => {
            let now = |node: &str| gathered.now(node);
            render::inspect::cards(snapshot, &now, style(context))
        }
        Some(Form::Json) => render::document::json(snapshot)?,
        Some(Form::Yaml) => render::document::yaml(snapshot)?,
        Some(Form::Tsv) => render::document::tsv(&snapshot.pods),
        Some(Form::Name) => render::document::names(&snapshot.pods),
    };
    write(context, &text)?;
    gathered.outcome()
}
