//! `devnet prove`: which claims hold on a cluster as it is. Nothing is started, killed or asked.

use crate::commands::invocation::Context;
use crate::commands::invocation::format::Format;
use crate::commands::invocation::proofs::tell;
use crate::commands::invocation::snapshot::{self, Depth};
use crate::error::{Error, Result};
use crate::lab::reading;
use crate::pod::{self, PlainContainers};

/// Show what holds for the pods of a cluster, by reading alone; `lab prove` experiments
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet prove             on the cluster's nodes: unique IPs, shared namespaces, ports, deaths so far
  devnet prove -o json
  devnet lab prove         the same and more as experiments, on pods of devnet's own")]
pub(crate) struct Args {
    #[arg(
        help = "How to print: text or json",
        short,
        long,
        value_name = "FORMAT",
        default_value = "text"
    )]
    output: Format,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let depth = Depth {
        plain_containers: PlainContainers::Hide,
        probe: true,
    };
    let gathered = snapshot::gather(context, depth).await?;
    if gathered.snapshot.pods.is_empty() {
        return Err(Error::not_found("there is no pod to read from")
            .hint("`devnet lab prove` brings its own"));
    }
    // what was seen before, or by another devnet, proves as much
    let mut past = Vec::new();
    for answered in &gathered.engines {
        let present = pod::present(&answered.facts);
        let pods = gathered.snapshot.pods.iter();
        for pod in pods.filter(|pod| pod.node == answered.node) {
            past.extend(gathered.past(pod, &present));
        }
    }
    tell(
        context,
        &reading::claims(
            &gathered.snapshot.pods,
            &past,
            gathered.snapshot.runtime().joins_uts(),
        ),
        args.output,
    )?;
    gathered.outcome()
}
