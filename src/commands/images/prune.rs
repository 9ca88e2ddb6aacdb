//! `devnet images prune`: removes images that no name leads to and no container uses.

use std::collections::HashSet;

use serde::Serialize;

use super::{Choice, Lost, NodeImages, look, outcome, target};
use crate::commands::invocation::Context;
use crate::commands::invocation::every_node::Reached;
use crate::commands::invocation::format::Format;
use crate::commands::invocation::output::write;
use crate::commands::invocation::question;
use crate::error::{Error, Kind, Result};
use crate::image::inventory::Removed;
use crate::image::inventory::{Shown, frees};
use crate::render::document;
use crate::render::images::short;
use crate::render::load::bytes;
use crate::visible::field;
use crate::wording::counted;

/// Remove images that no name leads to and no container uses
///
/// What a container uses stays, running or not, and so does what any tag or digest names. Asks
/// first on a terminal; elsewhere `--yes` must say so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet images prune --dry-run
  devnet images prune --yes -n m02")]
pub(super) struct Args {
    #[command(flatten)]
    choice: Choice,
    /// Do not ask
    #[arg(short = 'f', long, visible_alias = "force")]
    yes: bool,
    /// Say what would go, and remove nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// The outcome on a node; the JSON.
#[derive(Debug, Serialize)]
struct Pruned {
    node: String,
    /// IDs; of a dry run those that would go.
    removed: Vec<String>,
    bytes_freed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Pruned {
    /// Of a node that did not answer.
    fn nothing((node, error): &Lost<'_>) -> Self {
        Self {
            node: node.name.clone(),
            removed: Vec::new(),
            bytes_freed: 0,
            error: Some(error.in_one_line()),
        }
    }

    /// The line that tells what was removed; of a node that removed nothing because it failed, its
    /// error tells enough.
    fn told(&self) -> Option<String> {
        if self.removed.is_empty() && self.error.is_some() {
            return None;
        }
        Some(format!(
            "{}: removed {}, freed {}",
            self.node,
            images(self.removed.len()),
            bytes(self.bytes_freed)
        ))
    }
}

pub(super) async fn run(args: Args, context: &Context) -> Result<()> {
    let target = target(context, &args.choice).await?;
    let Reached { answered, lost } = look(context, &target).await?;
    let nodes: Vec<NodeImages> = answered.into_iter().map(|(_, node)| node).collect();
    let spare: Vec<(&NodeImages, Vec<&Shown>)> = nodes
        .iter()
        .map(|node| {
            let spare = node.shown.iter().filter(|image| image.is_spare());
            (node, spare.collect())
        })
        .collect();
    let count: usize = spare.iter().map(|(_, images)| images.len()).sum();
    let text = args.choice.printed.output == Format::Text;
    if text {
        write(context, &plan(&spare))?;
    }
    if args.dry_run || count == 0 {
        if count == 0 && text {
            context.ui.say("there is no image that nobody would miss");
        }
        let mut planned: Vec<Pruned> = spare
            .iter()
            .map(|(node, images)| Pruned {
                node: node.node.clone(),
                removed: images.iter().map(|image| image.id.clone()).collect(),
                bytes_freed: would_free(node, images),
                error: None,
            })
            .collect();
        if !text {
            planned.extend(lost.iter().map(Pruned::nothing));
            write(context, &document::json(&planned)?)?;
        }
        return outcome(lost);
    }
    if !args.yes && !agreed(context, count).await? {
        context.ui.say("nothing was removed");
        return outcome(lost);
    }
    let work = spare.iter().map(|(node, images)| prune(node, images));
    let pruned = futures_util::future::join_all(work).await;
    if text {
        for said in pruned.iter().filter_map(Pruned::told) {
            context.ui.say(&said);
        }
    } else {
        let away: Vec<Pruned> = lost.iter().map(Pruned::nothing).collect();
        let all: Vec<&Pruned> = pruned.iter().chain(&away).collect();
        write(context, &document::json(&all)?)?;
    }
    let failed: Vec<&Pruned> = pruned.iter().filter(|node| node.error.is_some()).collect();
    if let Some(first) = failed.first() {
        let kind = if failed.len() < pruned.len() || !first.removed.is_empty() {
            Kind::Partly
        } else {
            Kind::Failed
        };
        let error = Error::new(kind, format!("`{}` kept some of its images", first.node));
        return Err(error.caused_by(first.error.clone().unwrap_or_default()));
    }
    outcome(lost)
}

fn images(count: usize) -> String {
    counted(count, "image")
}

fn would_free(node: &NodeImages, images: &[&Shown]) -> u64 {
    let ids: HashSet<String> = images.iter().map(|image| image.id.clone()).collect();
    frees(&node.held, &ids)
}

fn plan(spare: &[(&NodeImages, Vec<&Shown>)]) -> String {
    let mut lines = Vec::new();
    for (node, found) in spare.iter().filter(|(_, found)| !found.is_empty()) {
        for image in found {
            let unique = image.unique.map_or_else(|| "?".into(), bytes);
            lines.push(format!(
                "{}  {}  {:>7} of its own, {} in all\n",
                field(&node.node),
                short(&image.id),
                unique,
                bytes(image.size)
            ));
        }
        lines.push(format!(
            "{}: {} to remove, which frees {}\n",
            field(&node.node),
            images(found.len()),
            bytes(would_free(node, found))
        ));
    }
    lines.concat()
}

/// Asks on a terminal.
///
/// # Errors
/// A usage error where nobody can be asked.
async fn agreed(context: &Context, count: usize) -> Result<bool> {
    let nobody = || {
        Error::usage("nobody can be asked whether the images are to be removed")
            .hint("`--yes` removes them, `--dry-run` only shows them")
    };
    question::agreed(context, &format!("Remove {}?", images(count)), nobody).await
}

/// Removes images of one node; counts what really went.
async fn prune(node: &NodeImages, spare: &[&Shown]) -> Pruned {
    let mut pruned = Pruned {
        node: node.node.clone(),
        removed: Vec::new(),
        bytes_freed: 0,
        error: None,
    };
    let mut layers: Option<HashSet<String>> = None;
    let mut left: Vec<&Shown> = spare.to_vec();
    // one that another was built upon goes after that
    while !left.is_empty() {
        let mut kept = Vec::new();
        let before = left.len();
        for image in left {
            match node.engine.images.remove_nameless(&image.id).await {
                Ok(Removed::Gone(deleted)) => {
                    pruned.removed.push(image.id.clone());
                    let gone = deleted.into_iter().filter(|id| *id != image.id);
                    let gone: Vec<String> = gone.collect();
                    if !gone.is_empty() {
                        layers.get_or_insert_default().extend(gone);
                    }
                }
                Ok(Removed::Kept) => kept.push(image),
                Err(error) => {
                    pruned.error = Some(error.in_one_line());
                    pruned.bytes_freed = freed(node, &pruned.removed, layers.as_ref());
                    return pruned;
                }
            }
        }
        // what has got a name or a container meanwhile stays, and that is no failure
        if kept.len() == before {
            break;
        }
        left = kept;
    }
    pruned.bytes_freed = freed(node, &pruned.removed, layers.as_ref());
    pruned
}

/// The bytes that were freed: an engine with a graph driver names the layers that it removed, of
/// another it is known which layers no image has any more.
fn freed(node: &NodeImages, removed: &[String], layers: Option<&HashSet<String>>) -> u64 {
    let Some(layers) = layers else {
        return frees(&node.held, &removed.iter().cloned().collect());
    };
    let mut counted = HashSet::new();
    node.held
        .iter()
        .flat_map(|image| image.layers.iter().flatten())
        .filter(|(chain, _)| layers.contains(chain.as_str()) && counted.insert(chain))
        .map(|(_, size)| size)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_failed_before_anything_went_is_said_by_its_error_alone() {
        let node = |removed: &[&str], error: Option<&str>| Pruned {
            node: "m02".into(),
            removed: removed.iter().map(|id| (*id).to_owned()).collect(),
            bytes_freed: 2_000,
            error: error.map(str::to_owned),
        };
        assert_eq!(node(&[], Some("it fell silent")).told(), None);
        let some = node(&["sha256:a"], Some("it fell silent")).told();
        assert_eq!(some.as_deref(), Some("m02: removed 1 image, freed 2.0 kB"));
        // what has got a name meanwhile stays
        assert!(node(&[], None).told().is_some());
    }
}
