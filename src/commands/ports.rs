//! `devnet ports`: which process of which container listens on what.

use crate::commands::invocation::Context;
use crate::commands::invocation::output::{SnapshotForm, style};
use crate::commands::invocation::pod_choice::PodChoice;
use crate::commands::invocation::snapshot::{Depth, Gathered};
use crate::commands::watch_view;
use crate::error::{Error, Result};
use crate::pod::PlainContainers;
use crate::render;

/// Show who listens on which port, down to the process
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet ports                 every listener of every pod
  devnet ports web             those of one pod
  devnet ports -o json         with all other sockets, as a document")]
pub(crate) struct Args {
    /// Only these: a name, namespace/name, a UID, a container's ID; a unique part is enough
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pods: Vec<String>,
    #[command(flatten)]
    choice: PodChoice,
    #[arg(
        help = "How to show them: json, yaml, tsv or name",
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
    if args.choice.no_probe {
        return Err(
            Error::usage("only the kernel knows who listens").hint("leave `--no-probe` out")
        );
    }
    let depth = Depth {
        plain_containers: PlainContainers::Hide,
        probe: true,
    };
    let node = args.choice.node.as_deref();
    let choose = async |gathered: &mut Gathered| {
        let pods = &mut gathered.snapshot.pods;
        args.choice.apply(pods, &args.pods)?;
        if !pods.is_empty() && pods.iter().all(|pod| pod.sockets.is_none()) {
            return Err(Error::failed("nobody could look at the pods' sockets")
                .hint("the note above says why the probe did not run"));
        }
        Ok(())
    };
    let draw = |gathered: &Gathered| {
        let snapshot = &gathered.snapshot;
        Ok(match args.output {
            None | Some(SnapshotForm::Wide) => render::ports::table(snapshot, style(context)),
            Some(SnapshotForm::Json) => render::document::pods_json(snapshot)?,
            Some(SnapshotForm::Yaml) => render::document::pods_yaml(snapshot)?,
            Some(SnapshotForm::Tsv) => render::ports::tsv(&snapshot.pods),
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
