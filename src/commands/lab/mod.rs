//! `devnet lab`: pods on plain Docker, to see how pods work without a cluster.

mod breaking;
mod down;
mod kill;
mod list;
mod prove;
mod up;

use std::path::PathBuf;

use crate::commands::invocation::Context;
use crate::commands::invocation::target::Need;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab::member::LabPod;
use crate::lab_engine::pods;
use crate::lab_engine::replace::Ending;
use crate::wording::{MANY, listed};

/// Run pods on plain Docker: a pause container, and containers that join it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet lab up                    a pod of two containers that talk over localhost
  devnet lab up pod.yaml           the pods of a manifest (- reads stdin)
  devnet lab ps                    what is up, and at which address
  devnet lab kill web -c client    the container dies: a new one, the same sandbox, the same IP
  devnet lab kill web              the sandbox dies: a new one, a new IP
  devnet lab prove                 what a course says of pods, tried out here
  devnet lab break split web       the sandbox gets a new network, its containers stay in the old one
  devnet lab down                  remove it all")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Bring pods up; without a file, one with two containers
    Up {
        /// Manifests (v1/Pod, v1/ConfigMap); - is stdin
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show what holds for pods on this engine: each claim an experiment, with its evidence
    Prove(prove::Args),
    /// List the lab's pods
    Ps {
        #[arg(
            help = "How to print: wide, json or name",
            short,
            long,
            value_name = "FORMAT"
        )]
        output: Option<list::Format>,
    },
    /// Kill a container, or a whole sandbox, and put a new one in its place
    Kill {
        #[arg(add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
        pod: String,
        /// Kill this container only; the sandbox and the pod's IP stay
        #[arg(short, long, value_name = "NAME", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::containers))]
        container: Option<String>,
    },
    /// Break a pod on purpose, to see what that looks like; `lab restart` repairs it
    Break {
        #[arg(value_name = "HOW")]
        how: breaking::Breakage,
        #[arg(add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
        pod: String,
    },
    /// End a pod in peace and bring it up again in a new sandbox
    Restart {
        #[arg(add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
        pod: String,
    },
    /// Remove pods; without a name, all of them and the lab's network
    Down {
        #[arg(value_name = "POD", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::pods))]
        pods: Vec<String>,
    },
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let engine = engine(context).await?;
    match args.verb {
        Verb::Break { how, pod } => breaking::run(context, &engine, how, &pod).await,
        Verb::Down { pods } => down::run(context, &engine, &pods).await,
        Verb::Kill {
            pod,
            container: Some(container),
        } => kill::container(context, &engine, &pod, &container).await,
        Verb::Kill {
            pod,
            container: None,
        } => kill::sandbox(context, &engine, &pod, Ending::Kill).await,
        Verb::Ps { output } => list::run(context, &engine, output).await,
        Verb::Prove(args) => Box::pin(prove::run(context, &engine, &args)).await,
        Verb::Restart { pod } => kill::sandbox(context, &engine, &pod, Ending::Stop).await,
        Verb::Up { files } => Box::pin(up::run(context, &engine, &files)).await,
    }
}

/// The engine that the lab is on.
async fn engine(context: &Context) -> Result<Engine> {
    let target = context.target(Need::Lab).await?;
    let node = target
        .nodes
        .first()
        .ok_or_else(|| Error::unreachable("there is no engine for the lab"))?;
    context.connect(node).await
}

/// The pod that a person means: `name`, `namespace/name` or `pod/name`.
async fn find(engine: &Engine, wanted: &str) -> Result<LabPod> {
    let pods = pods(engine).await?;
    select(&pods, wanted).cloned()
}

fn select<'p>(pods: &'p [LabPod], wanted: &str) -> Result<&'p LabPod> {
    let bare = wanted.strip_prefix("pod/").unwrap_or(wanted);
    let found: Vec<&LabPod> = pods
        .iter()
        .filter(|pod| pod.name == bare || pod.full_name() == wanted)
        .collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let error = Error::not_found(format!("the lab has no pod `{wanted}`"));
            Err(if pods.is_empty() {
                error.hint("bring one up with `devnet lab up`")
            } else {
                let names: Vec<String> = pods.iter().map(LabPod::full_name).take(10).collect();
                error.hint(format!("there are: {}", listed(&names, MANY)))
            })
        }
        many => {
            let names: Vec<String> = many.iter().map(|pod| pod.full_name()).collect();
            Err(Error::usage(format!(
                "`{wanted}` is several pods: {}",
                listed(&names, MANY)
            )))
        }
    }
}

/// Words for the address of a sandbox, where it has one.
fn at(address: Option<std::net::Ipv4Addr>) -> String {
    address.map_or(String::new(), |address| format!(" at {address}"))
}
