//! `devnet images rm`: takes names away, and images that have no other and that nothing uses.

use std::collections::HashSet;

use serde::Serialize;

use super::{Choice, NodeImages, look, outcome, target};
use crate::commands::invocation::Context;
use crate::commands::invocation::every_node::Reached;
use crate::commands::invocation::format::Format;
use crate::commands::invocation::output::write;
use crate::error::{Error, Kind, Result};
use crate::image::inventory::{Removed, Shown};
use crate::image::reference::canonical;
use crate::render::document;
use crate::render::images::short;
use crate::visible::field;
use crate::wording::{MANY, listed};

/// Remove images by name or ID
///
/// A name is taken away; the image goes with its last one, and with an ID all of its names go. What
/// a pod or another container uses, running or not, is refused, and so is what the node keeps for
/// itself: there is no force.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet images rm app:v1
  devnet images rm app:v1 app:v2 -n m02
  devnet images rm 3f2a91c04b7d")]
pub(super) struct Args {
    /// Names, or beginnings of IDs
    #[arg(value_name = "NAME", required = true, add = clap_complete::ArgValueCompleter::new(crate::commands::complete::images))]
    names: Vec<String>,
    #[command(flatten)]
    choice: Choice,
}

/// The outcome of one name on one node; the JSON.
#[derive(Debug, Serialize)]
struct Row {
    node: String,
    name: String,
    id: String,
    /// The image is gone; else it has other names.
    removed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// An image that is meant.
struct Meant<'a> {
    node: &'a NodeImages,
    image: &'a Shown,
    /// The name that is to go; `None` where the image was named by its ID.
    name: Option<&'a str>,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<()> {
    let target = target(context, &args.choice).await?;
    let Reached { answered, lost } = look(context, &target).await?;
    let nodes: Vec<NodeImages> = answered.into_iter().map(|(_, node)| node).collect();
    let mut all = Vec::new();
    for text in &args.names {
        let mut meant = Vec::new();
        for node in &nodes {
            meant.extend(find(node, text)?);
        }
        if meant.is_empty() {
            let error = Error::not_found(format!("no image is called `{text}`"))
                .hint("`devnet images` shows all");
            return Err(error);
        }
        all.extend(meant.into_iter().map(|meant| (text, meant)));
    }
    let mut rows = Vec::new();
    let mut gone = HashSet::new();
    for (text, meant) in all {
        let outcome = remove(&meant, &mut gone).await;
        let (removed, error) = match outcome {
            Ok(removed) => (removed, None),
            Err(error) => (false, Some(error)),
        };
        if args.choice.printed.output == Format::Text {
            let (node, name) = (field(&meant.node.node), field(text));
            let id = short(&meant.image.id);
            match (&error, removed) {
                (Some(_), _) => {}
                (None, true) => context.ui.say(&format!("{node}: removed {name} ({id})")),
                (None, false) => {
                    let said =
                        format!("{node}: {name} is no name any more; the image has others ({id})");
                    context.ui.say(&said);
                }
            }
        }
        rows.push((
            Row {
                node: meant.node.node.clone(),
                name: text.clone(),
                id: meant.image.id.clone(),
                removed,
                error: error.as_ref().map(Error::in_one_line),
            },
            error,
        ));
    }
    let (rows, errors): (Vec<Row>, Vec<Option<Error>>) = rows.into_iter().unzip();
    if args.choice.printed.output == Format::Json {
        write(context, &document::json(&rows)?)?;
    }
    let count = errors.len();
    let failed: Vec<Error> = errors.into_iter().flatten().collect();
    let kind = if failed.len() < count {
        Kind::Partly
    } else {
        Kind::Failed
    };
    let more = failed.len().saturating_sub(1);
    match failed.into_iter().next() {
        None => outcome(lost),
        Some(first) if more == 0 => Err(first.with_kind(kind)),
        Some(first) => Err(first
            .with_kind(kind)
            .caused_by(format!("and {more} more were refused"))),
    }
}

/// The image of a node that a name or the beginning of an ID means.
///
/// # Errors
/// A usage error where an ID begins so more than once.
fn find<'a>(node: &'a NodeImages, text: &str) -> Result<Option<Meant<'a>>> {
    let whole = canonical(text);
    let named = |is_it: &dyn Fn(&String) -> bool| {
        node.shown.iter().find_map(|image| {
            let name = image.names.iter().find(|name| is_it(name))?;
            let name = Some(name.as_str());
            Some(Meant { node, image, name })
        })
    };
    // on a node with containerd a name that is not in full is another one
    let meant = named(&|name| *name == whole)
        .or_else(|| named(&|name| name == text))
        .or_else(|| named(&|name| canonical(name) == whole));
    if meant.is_some() {
        return Ok(meant);
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let begins = |image: &&Shown| {
        let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
        hex.len() >= 4 && id.starts_with(hex)
    };
    let found: Vec<&Shown> = node.shown.iter().filter(begins).collect();
    match found.as_slice() {
        [] => Ok(None),
        [image] => Ok(Some(Meant {
            node,
            image,
            name: None,
        })),
        several => {
            let ids: Vec<String> = several.iter().map(|image| image.id.clone()).collect();
            Err(Error::usage(format!("`{text}` begins several IDs")).caused_by(listed(&ids, MANY)))
        }
    }
}

/// Removes one; true where the image is gone with it. `gone` are names that went before, each with its
/// node.
///
/// # Errors
/// When it is in use, or the node refuses.
async fn remove<'a>(meant: &Meant<'a>, gone: &mut HashSet<(&'a str, &'a str)>) -> Result<bool> {
    let Meant { node, image, name } = meant;
    if image.is_used() {
        return Err(in_use(node, image));
    }
    let engine = &node.engine;
    if let Some(name) = *name {
        gone.insert((node.node.as_str(), name));
        let others = image.names.iter();
        if others
            .map(String::as_str)
            .any(|other| !gone.contains(&(node.node.as_str(), other)))
        {
            engine.images.untag(name).await?;
            return Ok(false);
        }
    }
    match engine.images.remove_unused(&image.id, &image.names).await? {
        Removed::Gone(_) => Ok(true),
        Removed::Kept => Err(in_use(node, image)),
    }
}

fn in_use(node: &NodeImages, image: &Shown) -> Error {
    let called = image.names.first().map_or(short(&image.id), String::as_str);
    let error = Error::failed(format!("`{called}` is in use on node `{}`", node.node));
    let pods = image.pods.iter().map(|pod| format!("pod {pod}"));
    let containers = image
        .containers
        .iter()
        .map(|name| format!("container {name}"));
    let users: Vec<String> = pods.chain(containers).collect();
    match (users.is_empty(), image.pinned) {
        (false, _) => error.caused_by(listed(&users, MANY)),
        (true, true) => error.caused_by("the node keeps it for itself"),
        (true, false) => error.caused_by("something has begun to use it just now"),
    }
}
