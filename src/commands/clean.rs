//! `devnet clean`.

use std::collections::BTreeMap;
use std::pin::pin;

use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt as _};

use crate::commands::invocation::Context;
use crate::commands::invocation::every_node::{Reached, on_nodes};
use crate::commands::invocation::target::Need;
use crate::engine::Engine;
use crate::engine::node_docker;
use crate::error::{self, Error, Result};
use crate::host::owner;
use crate::image::reference;
use crate::lab::label;
use crate::lab::member::Found;
use crate::lab::standing::{Plan, Thing, ThingKind, Witness};
use crate::lab_engine::remove::remove;
use crate::render::load::bytes;
use crate::visible::field;
use crate::wording::{MANY, counted, listed};

/// The number of things that are removed at once.
const AT_ONCE: usize = 16;

/// Remove everything that devnet left in an engine
///
/// What goes is listed first. What another devnet uses that runs just now stays: its looks and
/// shells, the pods that it looks into or makes, the images it sends. A node that is lost does not
/// keep the others from being cleaned.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet clean             what devnet made on the cluster's nodes: lab pods, helpers,
                           their network and image, tags that transfers left, and the
                           Docker engine on a node with containerd
  devnet clean -p lab      the same on the host engine")]
pub(crate) struct Args;

pub(crate) async fn run(_args: Args, context: &Context) -> Result<()> {
    let target = context.target(Need::Pods).await?;
    let engines = on_nodes(&target.nodes, |node| context.connect(node)).await;
    let mut outcomes = Vec::new();
    for (node, engine) in engines {
        let outcome = match engine {
            Ok(engine) => clean(context, &node.name, &engine).await?,
            Err(error) => Err(error),
        };
        outcomes.push((node.name.clone(), outcome));
    }
    let lost = Reached::of(outcomes)?.lost;
    for (node, error) in &lost {
        let why = error.in_one_line();
        context
            .ui
            .warn(&format!("node `{node}` is not clean: {why}"));
    }
    if lost.is_empty() {
        return Ok(());
    }
    let (nodes, errors): (Vec<String>, Vec<Error>) = lost.into_iter().unzip();
    let message = format!("not every node is clean: {}", listed(&nodes, MANY));
    let hints = errors.iter().flat_map(Error::hints).cloned();
    Err(hints.fold(Error::new(error::Kind::Partly, message), Error::hint))
}

/// Cleans one node. The inner failure is the node's, which leaves the others to be cleaned.
///
/// # Errors
/// When nobody takes what is said on stdout.
async fn clean(context: &Context, node: &str, engine: &Engine) -> Result<Result<()>> {
    let plan = match plan(context, engine).await {
        Ok(plan) => plan,
        Err(error) => return Ok(Err(error)),
    };
    let say = |text: &str| context.ui.say(&format!("{node}: {text}"));
    if !plan.take.is_empty() {
        say("to be removed:");
    }
    for thing in &plan.take {
        context.ui.say(&format!("  {}", described(thing)));
    }
    for (thing, why) in &plan.leave {
        say(&format!("{} stays: {why}", described(thing)));
    }
    let data = |text: &str| {
        let line = format!("{node}: {text}");
        context.ui.line(&line).map_err(Error::stdout)
    };
    // what is made of others goes before them
    for some in plan.take.chunk_by(|one, next| one.kind == next.kind) {
        let mut removing = stream::iter(some)
            .map(async |thing| remove(engine, thing).await.map(|()| thing))
            .buffered(AT_ONCE);
        while let Some(removed) = removing.next().await {
            match removed {
                Ok(thing) => data(&format!("removed {}", described(thing)))?,
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    let engine = match docker_engine(engine, &say).await {
        Ok(removed) => removed,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(line) = &engine {
        data(line)?;
    }
    match (plan.take.len(), plan.leave.len()) {
        (0, 0) if engine.is_some() => {}
        (0, 0) => data("nothing of devnet's")?,
        (0, _) => data("removed nothing: what is devnet's is in use")?,
        (count, _) => data(&format!("removed {}", counted(count, "thing")))?,
    }
    Ok(Ok(()))
}

/// Ends the Docker engine that devnet runs on a node with another runtime, and removes its data. Gives what
/// is to be said of it; `None` where there is none.
async fn docker_engine(engine: &Engine, say: &impl Fn(&str)) -> Result<Option<String>> {
    if engine.is_docker() {
        return Ok(None);
    }
    let state = node_docker::state(engine).await?;
    if !state.running && state.data_bytes == 0 {
        return Ok(None);
    }
    if !state.containers.is_empty() {
        say(&format!(
            "the Docker engine stays: {} run through it",
            listed(&state.containers, MANY)
        ));
        return Ok(Some("the Docker engine is in use".into()));
    }
    say("to be removed: the Docker engine that devnet runs there, and its data");
    node_docker::stop(engine, true).await?;
    let size = bytes(state.data_bytes);
    Ok(Some(format!(
        "removed the Docker engine and {size} of its data"
    )))
}

/// Finds devnet's things on a node, and those of them that can go.
async fn plan(context: &Context, engine: &Engine) -> Result<Plan> {
    let transfers = engine.images.transfers();
    let ((containers, things), transfers) = if engine.is_docker() {
        futures_util::try_join!(in_docker(context, engine), transfers)?
    } else {
        ((Vec::new(), Vec::new()), transfers.await?)
    };
    let transfers = transfers.into_iter().filter_map(|name| {
        let token = reference::transfer_token(&name)?.to_owned();
        Some(Thing {
            kind: ThingKind::Transfer,
            id: name.clone(),
            name,
            made: owner::signed_at(&token),
            labels: BTreeMap::from([(label::OWNER.to_owned(), token)]),
        })
    });
    let things: Vec<Thing> = things.into_iter().chain(transfers).collect();
    let witness = Witness {
        gone: &|mark| owner::is_gone(mark).or_else(|| owner::signer_is_gone(mark)),
        now: if containers.is_empty() && things.iter().all(|thing| thing.made.is_none()) {
            None
        } else {
            engine.runtime.clock().await
        },
    };
    Ok(witness.plan(containers, things))
}

/// Finds what devnet made in a Docker engine: containers, and what stands beside them.
async fn in_docker(context: &Context, engine: &Engine) -> Result<(Vec<Found>, Vec<Thing>)> {
    let docker = engine.docker()?;
    let rest = async {
        futures_util::try_join!(
            docker.own_containers(&[]),
            docker.own_networks(),
            docker.own_images(),
        )
    };
    let volumes = docker.own_volumes();
    let ((containers, networks, images), volumes) = match select(pin!(rest), pin!(volumes)).await {
        Either::Left((rest, volumes)) => {
            let rest = rest?;
            let (containers, networks, images) = &rest;
            // a lab's volumes go before its network and its image
            let of_a_lab = |one: &Found| one.labels.contains_key(label::POD_UID);
            let is_a_lab =
                containers.iter().any(of_a_lab) || !networks.is_empty() || !images.is_empty();
            (rest, in_time(context, volumes, is_a_lab).await?)
        }
        Either::Right((volumes, rest)) => (rest.await?, volumes?),
    };
    let things = [networks, volumes, images].into_iter().flatten();
    Ok((containers, things.collect()))
}

/// An engine lists its volumes only after it has asked every volume plugin, for 15 s where one is
/// dead: that is waited for where a lab has left its traces.
async fn in_time(
    context: &Context,
    volumes: impl Future<Output = Result<Vec<Thing>>>,
    is_a_lab: bool,
) -> Result<Vec<Thing>> {
    let mut volumes = pin!(volumes);
    let patience = context.settings.patience()? / 10;
    if let Ok(volumes) = tokio::time::timeout(patience, &mut volumes).await {
        return volumes;
    }
    if is_a_lab {
        context.ui.note(
            "the engine has not listed its volumes yet, as one whose volume plugin is dead: waiting",
        );
        return volumes.await;
    }
    context.ui.note(
        "no lab has left anything here; its volumes were not looked for, since the engine does not list any (a volume plugin may be dead)",
    );
    Ok(Vec::new())
}

/// A thing as a person knows it.
fn described(thing: &Thing) -> String {
    let label = |name: &str| thing.labels.get(name);
    let whose = match (label(label::POD_NAMESPACE), label(label::POD_NAME)) {
        (Some(namespace), Some(pod)) => format!(" of pod {namespace}/{pod}"),
        _ => String::new(),
    };
    field(&format!("{} {}{whose}", thing.kind.word(), thing.name))
}
