//! `devnet graph`: pods as hosts and who talks to whom now, as a drawing, a page, or text for other
//! programs.

use crate::commands::invocation::Context;
use crate::commands::invocation::output::write;
use crate::commands::invocation::pod_choice::PodChoice;
use crate::commands::invocation::snapshot::{self, Depth};
use crate::error::Result;
use crate::pod::{self, PlainContainers};
use crate::render::{self, document};

/// Draw pods, what holds them, and who talks to whom now
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet graph -o html > pods.html          a page to look at
  devnet graph web -o svg > web.svg         one pod and whom it talks with
  devnet graph -n shop | dot -Tpng > shop.png
  devnet graph -o mermaid                   for a page in Markdown")]
pub(crate) struct Args {
    /// Only these and whoever talks with them: a name, namespace/name, a UID, a container's ID
    #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
    pods: Vec<String>,
    #[command(flatten)]
    choice: PodChoice,
    #[arg(
        help = "How to draw: dot, mermaid, svg, html or json",
        short,
        long,
        value_name = "FORM",
        default_value = "dot",
        hide_possible_values = true
    )]
    output: Form,
}

/// Ways to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Dot,
    Html,
    Json,
    Mermaid,
    Svg,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let depth = Depth {
        plain_containers: PlainContainers::Hide,
        probe: !args.choice.no_probe,
    };
    let mut gathered = snapshot::gather_on(context, depth, args.choice.node.as_deref()).await?;
    args.choice.apply(&mut gathered.snapshot.pods, &[])?;
    let pods = &gathered.snapshot.pods;
    let mut wanted = Vec::new();
    for name in &args.pods {
        let one = pod::select(pods, name)?;
        let same = |pod: &pod::Pod| pod.uid == one.uid && pod.node == one.node;
        wanted.extend(pods.iter().position(same));
    }
    let graph = pod::graph::graph(pods, &wanted);
    let nodes: Vec<&str> = gathered
        .snapshot
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    let when = nodes
        .first()
        .and_then(|node| gathered.now(node))
        .map_or_else(String::new, |now| {
            // seconds are enough for a person
            let text = now.to_string();
            let seconds = text.get(..19).unwrap_or(&text);
            format!("{} UTC", seconds.replace('T', " "))
        });
    if graph.is_blind() {
        context.ui.note("connections are not known of every pod");
    }
    let graph = if args.output == Form::Json {
        graph
    } else {
        let (drawable, left_out) = graph.drawable();
        if left_out > 0 {
            context.ui.note(&format!(
                "{left_out} addresses of no pod are left out; `-o json` has them"
            ));
        }
        drawable
    };
    let text = match args.output {
        Form::Dot => render::graph::dot(&graph),
        Form::Html => render::graph_page::page(&graph, &nodes.join(", "), &when),
        Form::Json => document::json(&graph)?,
        Form::Mermaid => render::graph::mermaid(&graph),
        Form::Svg => render::graph_svg::svg(&graph),
    };
    write(context, &text)?;
    gathered.outcome()
}
