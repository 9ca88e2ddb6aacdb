//! `devnet pods`: every pod with its sandbox, and what is wrong.

use crate::commands::invocation::Context;
use crate::commands::invocation::gather::{Depth, Gathered};
use crate::commands::live;
use crate::error::{Error, Result};
use crate::pod::{self, Lone, Pod};
use crate::render::pods::Width;
use crate::render::{self, Style};

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
    choice: Choice,
    /// Which namespaces are shared, by the kernel's numbers
    #[arg(long, conflicts_with = "no_probe")]
    ns: bool,
    /// Also plain containers that share nothing with another
    #[arg(long)]
    all: bool,
    /// How to show them: wide, json, yaml, tsv or name
    #[arg(short, long, value_name = "FORM", hide_possible_values = true)]
    output: Option<Form>,
    /// Show them again whenever something changes, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

/// Which pods: shared by the verbs that list some.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Choice {
    /// Only this namespace
    #[arg(short, long, value_name = "NS", conflicts_with = "all_namespaces")]
    pub(crate) namespace: Option<String>,
    /// All namespaces (so it is without -n)
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Only this node of a profile with several
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Ask the engine only: nothing is run on the nodes, and what only their kernels know is unknown
    #[arg(long)]
    pub(crate) no_probe: bool,
    /// Only pods with these labels, as kubectl takes them
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
}

/// Forms of output for snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    Json,
    Name,
    Tsv,
    Wide,
    Yaml,
}

impl Choice {
    /// Keeps the pods that are asked for; with names, those, in the order of the names.
    ///
    /// # Errors
    /// A selector that can't be read; a name that fits no pod, or several.
    pub(crate) fn apply(&self, pods: &mut Vec<Pod>, names: &[String]) -> Result<()> {
        if let Some(namespace) = &self.namespace {
            pods.retain(|pod| pod.namespace == *namespace);
        }
        if let Some(selector) = &self.selector {
            let selector = pod::Selector::parse(selector)?;
            pods.retain(|pod| selector.fits(&pod.labels));
        }
        if names.is_empty() {
            return Ok(());
        }
        let mut chosen: Vec<Pod> = Vec::new();
        for name in names {
            let one = pod::select(pods, name)?;
            if !chosen
                .iter()
                .any(|pod| pod.uid == one.uid && pod.node == one.node)
            {
                chosen.push(one.clone());
            }
        }
        *pods = chosen;
        Ok(())
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let depth = Depth {
        lone: if args.all { Lone::Show } else { Lone::Leave },
        probe: !args.choice.no_probe,
    };
    let node = args.choice.node.as_deref();
    let choose =
        async |gathered: &mut Gathered| args.choice.apply(&mut gathered.snapshot.pods, &args.pods);
    let draw = |gathered: &Gathered| text(context, &args, gathered);
    if args.watch {
        return Box::pin(live::watch(context, depth, node, args.output, choose, draw)).await;
    }
    let gathered = live::once(context, depth, node, choose, draw).await?;
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
        Some(Form::Wide) => tree(Width::Wide),
        Some(Form::Json) => render::document::json(&render::document::of_pods(snapshot))?,
        Some(Form::Yaml) => render::document::yaml(&render::document::of_pods(snapshot))?,
        Some(Form::Tsv) => render::document::tsv(&snapshot.pods),
        Some(Form::Name) => render::document::names(&snapshot.pods),
    })
}

/// How stdout may look.
pub(crate) fn style(context: &Context) -> Style {
    Style {
        color: context.ui.color_stdout(),
        unicode: context.ui.unicode(),
        columns: context.ui.columns(),
    }
}

/// Writes data to stdout.
pub(crate) fn write(context: &Context, text: &str) -> Result<()> {
    context
        .ui
        .data(text)
        .map_err(|error| Error::failed("could not write to stdout").because(error))
}
