//! One pod by name, and one of its containers: what `exec` and `logs` ask first.

use crate::command_line;
use crate::commands::invocation::Context;
use crate::commands::invocation::every_node::{Reached, on_nodes};
use crate::commands::invocation::snapshot;
use crate::commands::invocation::target::Need;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::pod::{self, Container, ContainerFacts, Outlook, PlainContainers, Pod};
use crate::wording::{MANY, listed};

/// The annotation that names a pod's main container; a plain container may have it as a label.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The programs that are going to run in the node of a pod for devnet's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// Jobs of devnet's own.
    Own,
    /// A command in one of the pod's containers.
    Exec,
    /// None, or only in some cases.
    Seldom,
}

/// Finds the one pod that `wanted` means among all nodes, with the engine that runs it.
///
/// # Errors
/// Not found, ambiguous, or no node answers.
pub(crate) async fn find(
    context: &Context,
    wanted: &str,
    namespace: Option<&str>,
    jobs: Jobs,
) -> Result<(Engine, Pod)> {
    let target = context.target(Need::Pods).await?;
    let alone = target.nodes.len() == 1;
    let looks = on_nodes(&target.nodes, async |node| {
        let engine = context.connect(node).await?;
        match jobs {
            Jobs::Own if alone => engine.agent.send_ahead().await,
            Jobs::Exec if alone => engine.runtime.prepare_exec().await,
            _ => {}
        }
        let outline = engine.runtime.outline().await?;
        Ok((engine, outline))
    });
    let reached = Reached::of(looks.await)?;
    for (_, error) in &reached.lost {
        context.ui.warn(&error.to_string());
    }
    let mut all = Vec::new();
    for (node, (_, outline)) in &reached.answered {
        all.extend(pod::pods(
            &node.name,
            outline.facts(),
            PlainContainers::Hide,
        ));
    }
    all.retain(|pod| !pod.is_over());
    all.retain(|pod| namespace.is_none_or(|namespace| pod.namespace == namespace));
    let found = pod::select(&all, wanted)?;
    let mut answered = reached.answered.into_iter();
    let (node, (engine, outline)) = answered
        .find(|(node, _)| node.name == found.node)
        .ok_or_else(|| Error::failed(format!("the node of pod `{}` is not known", found.name)))?;
    let facts = outline.of_pod(&found.uid).await?;
    let pods = snapshot::pods_of(context, &engine, &target, node, &facts).await;
    let is_it = |pod: &Pod| {
        (&pod.namespace, &pod.name, &pod.uid) == (&found.namespace, &found.name, &found.uid)
    };
    let pod = pods.into_iter().find(is_it);
    pod.map(|pod| (engine, pod)).ok_or_else(|| {
        Error::not_found(format!("pod `{}` is gone", found.name))
            .caused_by("it was removed while it was looked at")
    })
}

/// A pod and the engine that has it.
pub(crate) struct Here {
    pub(crate) engine: Engine,
    pub(crate) pod: Pod,
    /// Of all containers of that engine.
    pub(crate) facts: Vec<ContainerFacts>,
}

/// A pod that was found before, as it is now.
pub(crate) enum Now {
    Here(Box<Here>),
    /// No node has it, and all were asked.
    Nowhere,
    /// An engine that may have it does not answer.
    Lost(Error),
}

/// Looks for a pod again: where it was, then on all nodes, and where those are now. Says nothing.
pub(crate) async fn again(context: &Context, engine: &Engine, before: &Pod) -> Now {
    if let Ok(facts) = engine.runtime.containers().await
        && let Some(pod) = same(&before.node, &facts, before)
    {
        let engine = engine.clone();
        return Now::Here(Box::new(Here { engine, pod, facts }));
    }
    let target = match context.target(Need::Pods).await {
        Ok(target) => target,
        Err(error) => return Now::Lost(error),
    };
    let looks = on_nodes(&target.nodes, async |node| {
        node.there()?;
        let engine = Engine::connect(&node.endpoint, &context.settings).await?;
        let facts = engine.runtime.containers().await?;
        Ok((engine, facts))
    });
    let mut lost = None;
    for (node, look) in looks.await {
        match look {
            Ok((engine, facts)) => {
                if let Some(pod) = same(&node.name, &facts, before) {
                    return Now::Here(Box::new(Here { engine, pod, facts }));
                }
            }
            Err(error) => lost = Some(error),
        }
    }
    lost.map_or(Now::Nowhere, Now::Lost)
}

/// The pod of that name: the one that lives, else the one of that UID, else the newest.
fn same(node: &str, facts: &[ContainerFacts], before: &Pod) -> Option<Pod> {
    let pods = pod::pods(node, facts, PlainContainers::Hide);
    let rank = |pod: &Pod| {
        let lives = pod::outlook(pod, facts, None) == Outlook::Alive;
        (lives, !pod.containers.is_empty(), pod.uid == before.uid)
    };
    pods.into_iter()
        .filter(|pod| (&pod.namespace, &pod.name) == (&before.namespace, &before.name))
        .max_by_key(rank)
}

/// The container of that name, or the pod's default: the one that is named by annotation, else the
/// oldest running one that did not start as an init container (named on stderr).
///
/// # Errors
/// Not found, with the names that there are.
pub(crate) fn container<'a>(
    context: &Context,
    pod: &'a Pod,
    wanted: Option<&str>,
) -> Result<&'a Container> {
    let names = || {
        pod.containers
            .iter()
            .map(|container| container.name.clone())
            .collect::<Vec<_>>()
    };
    if let Some(wanted) = wanted {
        return named(&pod.containers, wanted).ok_or_else(|| {
            Error::not_found(format!("pod `{}` has no container `{wanted}`", pod.name))
                .hint(format!("it has: {}", listed(&names(), MANY)))
        });
    }
    let annotated = [&pod.annotations, &pod.labels]
        .into_iter()
        .find_map(|notes| notes.get(DEFAULT_CONTAINER));
    if let Some(container) = annotated.and_then(|name| {
        pod.containers
            .iter()
            .find(|container| container.name == *name)
    }) {
        return Ok(container);
    }
    let chosen = pod
        .containers
        .iter()
        .filter(|container| container.state.is_up() && !pod::is_init(&container.kind))
        .min_by(|a, b| a.started_at.cmp(&b.started_at))
        .ok_or_else(|| {
            Error::failed(format!("no container of pod `{}` is running", pod.name)).hint(format!(
                "`{}` may tell why",
                command_line::with("devnet logs", [&pod.name, "--previous"])
            ))
        })?;
    if pod.containers.len() > 1 {
        context.ui.note(&format!(
            "container `{}` of: {}",
            chosen.name,
            listed(&names(), MANY)
        ));
    }
    Ok(chosen)
}

/// An ID shorter than this may be the beginning of a name.
const SHORTEST_ID: usize = 4;

/// The container of that name, else the one whose ID begins so.
pub(crate) fn named<'a>(containers: &'a [Container], wanted: &str) -> Option<&'a Container> {
    let by_name = containers.iter().find(|container| container.name == wanted);
    by_name.or_else(|| {
        (wanted.len() >= SHORTEST_ID)
            .then(|| {
                containers
                    .iter()
                    .find(|container| container.id.starts_with(wanted))
            })
            .flatten()
    })
}
