//! `devnet images`: what the nodes have, who uses it, and what it takes; `prune` removes what
//! nobody would miss.

mod prune;
mod rm;

use std::collections::HashMap;

use crate::commands::invocation::Context;
use crate::commands::invocation::every_node::{Reached, all_or_partly, on_nodes};
use crate::commands::invocation::format::{Format, Printed};
use crate::commands::invocation::output::{style, write};
use crate::commands::invocation::target::{Need, NodeTarget, Nodes, Target};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::image::inventory::{self, Held, Shown, User};
use crate::pod::{self, ContainerFacts, Origin, PlainContainers};
use crate::render::document;
use crate::render::images as render;

/// Show the images on the cluster's nodes: sizes, shared or not, and the pods that use them
///
/// SHARED is what other images of that node have too, UNIQUE what removing this one alone would
/// free; both as unpacked. KEPT says what a node with containerd has of it: enough to run it, or the
/// whole, with which it can be built upon and sent on.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  devnet images
  devnet images app                those with `app` in a name
  devnet images -n m02 -o json
  devnet images prune --dry-run    what nobody would miss
  devnet images rm app:v1          what no pod uses"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Only these: a part of a name, or the beginning of an ID
    #[arg(value_name = "NAME", add = clap_complete::ArgValueCompleter::new(crate::commands::complete::images))]
    names: Vec<String>,
    #[command(flatten)]
    choice: Choice,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Prune(prune::Args),
    Rm(rm::Args),
}

#[derive(Debug, clap::Args)]
struct Choice {
    /// Only this node of the profile
    #[arg(short, long, value_name = "NAME")]
    node: Option<String>,
    #[command(flatten)]
    printed: Printed,
}

/// A node's images, and what they were made of.
struct NodeImages {
    node: String,
    engine: Engine,
    held: Vec<Held>,
    shown: Vec<Shown>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    match args.verb {
        Some(Verb::Prune(args)) => return prune::run(args, context).await,
        Some(Verb::Rm(args)) => return rm::run(args, context).await,
        None => {}
    }
    let target = target(context, &args.choice).await?;
    let reached = look(context, &target).await?;
    let several = reached.are_several();
    let Reached { answered, lost } = reached;
    let shown = answered.into_iter().flat_map(|(_, node)| node.shown);
    let mut images: Vec<Shown> = shown.collect();
    if !args.names.is_empty() {
        for name in &args.names {
            if !images.iter().any(|image| image.is_meant(name)) {
                let error = Error::not_found(format!("no image is called `{name}`"))
                    .hint("`devnet images` shows all");
                return Err(match lost.first() {
                    None => error,
                    // it may have the image
                    Some((node, _)) => error
                        .caused_by(format!("node `{}` did not answer", node.name))
                        .with_kind(Kind::Partly),
                });
            }
        }
        images.retain(|image| args.names.iter().any(|name| image.is_meant(name)));
    }
    let text = match args.choice.printed.output {
        Format::Json => document::json(&images)?,
        Format::Text => render::table(&images, several, style(context)),
    };
    write(context, &text)?;
    outcome(lost)
}

/// A node that did not answer, and why.
type Lost<'a> = (&'a NodeTarget, Error);

/// Done, or partly: some nodes did not answer.
fn outcome(lost: Vec<Lost<'_>>) -> Result<()> {
    all_or_partly(lost.into_iter().map(|(_, error)| error))
}

/// The nodes that are chosen.
async fn target(context: &Context, choice: &Choice) -> Result<Target> {
    let nodes = Nodes::named_or_all(choice.node.as_deref());
    context.target_on(Need::Image, nodes).await
}

/// Looks at every node; gives those that answered, and why others did not.
///
/// # Errors
/// When none answers.
async fn look<'a>(
    context: &Context,
    target: &'a Target,
) -> Result<Reached<&'a NodeTarget, NodeImages>> {
    let nodes = on_nodes(&target.nodes, |node| look_at(context, node));
    let reached = Reached::of(nodes.await)?;
    for (_, error) in &reached.lost {
        context.ui.warn(&error.in_one_line());
    }
    Ok(reached)
}

/// The containers and the image that each runs: as they say it themselves, else as their files stand
/// on it.
fn users(held: &[Held], facts: Vec<ContainerFacts>, pods: &HashMap<String, String>) -> Vec<User> {
    let user = |id: &str, container: String, image: String| User {
        image,
        pod: pods.get(id).cloned(),
        container,
    };
    let standing = held.iter().flat_map(|image| {
        let containers = image.under.iter();
        containers.map(move |id| (id.as_str(), image.id.as_str()))
    });
    let mut standing: HashMap<&str, &str> = standing.collect();
    let mut users = Vec::new();
    for facts in facts {
        let below = standing.remove(facts.id.as_str()).map(str::to_owned);
        // a look that another command holds, or that is just going, is nobody's use
        if let Some(image) = facts.image_id.clone().or(below)
            && !facts.is_helper()
        {
            users.push(user(&facts.id, facts.name, image));
        }
    }
    // what the cluster did not make
    let others = standing.into_iter();
    users.extend(others.map(|(id, image)| user(id, id.to_owned(), image.to_owned())));
    users
}

async fn look_at(context: &Context, node: &NodeTarget) -> Result<NodeImages> {
    let engine = context.connect(node).await?;
    let (held, facts) =
        futures_util::try_join!(engine.images.inventory(), engine.runtime.containers())?;
    let pods: HashMap<String, String> = pod::pods(&node.name, &facts, PlainContainers::Hide)
        .iter()
        .filter(|pod| pod.origin != Origin::Docker)
        .flat_map(|pod| {
            let name = format!("{}/{}", pod.namespace, pod.name);
            pod.ids().map(move |id| (id.clone(), name.clone()))
        })
        .collect();
    let users = users(&held, facts, &pods);
    let mut shown = inventory::account(&node.name, &held, &users);
    for image in &mut shown {
        let seconds = held.iter().find(|other| other.id == image.id);
        image.created = seconds.and_then(|held| render::created(held.created));
    }
    Ok(NodeImages {
        node: node.name.clone(),
        engine,
        held,
        shown,
    })
}
