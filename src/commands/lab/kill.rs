//! `devnet lab kill` and `devnet lab restart`: what the kubelet does when a part of a pod dies.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::stage::Stage;
use super::up::at;
use super::{find, pods};
use crate::command_line;
use crate::commands::invocation::Context;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab::Pod;
use crate::lab::member::{Found, LabPod};
use crate::wording::{MANY, listed};

/// How a pod's end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The sandbox is killed, and with it everything.
    Kill,
    /// The containers are told first, and have their time.
    Stop,
}

/// Kills one container and puts a new one into the same sandbox.
pub(super) async fn container(
    context: &Context,
    engine: &Engine,
    wanted: &str,
    container: &str,
) -> Result<()> {
    let there = find(engine, wanted).await?;
    let attempt = replace(engine, &there, container).await?;
    let line = format!(
        "container {container} of pod/{} killed; attempt {attempt} runs in the same sandbox{}",
        there.full_name(),
        at(there.sandbox().and_then(Found::address)),
    );
    context.ui.line(&line).map_err(Error::stdout)
}

/// Kills a container of a pod and puts the next attempt in its place; gives which that is.
pub(super) async fn replace(engine: &Engine, there: &LabPod, container: &str) -> Result<u32> {
    let spec = spec(there)?;
    let Some(attempts) = there.containers.get(container) else {
        let names: Vec<&str> = there.current().map(|(name, _)| name).collect();
        return Err(Error::not_found(format!(
            "{} has no container `{container}`",
            there.full_name()
        ))
        .hint(format!("it has: {}", listed(&names, MANY))));
    };
    let all = pods(engine).await?;
    let stage = Stage::ready(engine, &all).await?;
    for one in attempts.iter().filter(|one| one.is_alive()) {
        end(engine, one).await?;
    }
    let attempt = next(attempts);
    stage.replace(&spec, there, container, attempt).await?;
    forget_older(engine, attempts).await?;
    Ok(attempt)
}

/// The same for whoever knows the pod by its UID, as a build that made its image anew.
pub(crate) async fn renew_container(engine: &Engine, uid: &str, container: &str) -> Result<u32> {
    let all = pods(engine).await?;
    let there = all.iter().find(|pod| pod.uid == uid).ok_or_else(|| {
        Error::not_found(format!("the lab has no pod with the UID `{uid}` any more"))
    })?;
    replace(engine, there, container).await
}

/// Ends the sandbox and makes the pod again in a new one, at the next address.
pub(super) async fn sandbox(
    context: &Context,
    engine: &Engine,
    wanted: &str,
    how: How,
) -> Result<()> {
    let there = find(engine, wanted).await?;
    let (attempt, address) = renew(engine, &there, how).await?;
    let before = there.sandbox().and_then(Found::address);
    let line = format!(
        "pod/{} {}; sandbox attempt {attempt} is up{}{}",
        there.full_name(),
        if how == How::Kill {
            "killed"
        } else {
            "stopped"
        },
        at(address),
        before.map_or(String::new(), |before| format!(" (it was at {before})")),
    );
    context.ui.line(&line).map_err(Error::stdout)
}

/// Ends a pod's sandbox and makes the pod again; gives the sandbox's attempt and address.
pub(super) async fn renew(
    engine: &Engine,
    there: &LabPod,
    how: How,
) -> Result<(u32, Option<Ipv4Addr>)> {
    let spec = spec(there)?;
    let all = pods(engine).await?;
    let stage = Stage::ready(engine, &all).await?;
    let alive: Vec<&Found> = there
        .containers
        .values()
        .flatten()
        .filter(|one| one.is_alive())
        .collect();
    if how == How::Stop {
        let grace = spec.grace.unwrap_or(30);
        each(&alive, |one| async move {
            if one.state == "paused" {
                engine.unpause(&one.id).await?;
            }
            engine.stop(&one.id, grace).await
        })
        .await?;
    }
    for sandbox in there.sandboxes.iter().filter(|one| one.is_alive()) {
        end(engine, sandbox).await?;
    }
    // without their sandbox the containers would go on in a network that nobody reaches
    each(&alive, |one| end(engine, one)).await?;
    let strangers: Vec<&Found> = there
        .containers
        .iter()
        .filter(|(name, _)| !spec.has(name))
        .flat_map(|(_, attempts)| attempts)
        .collect();
    each(&strangers, |one| engine.remove(&one.id)).await?;
    let attempts: BTreeMap<String, u32> = there
        .containers
        .iter()
        .map(|(name, attempts)| (name.clone(), next(attempts)))
        .collect();
    let attempt = next(&there.sandboxes);
    let address = stage.raise(&spec, &there.uid, attempt, &attempts).await?;
    forget_older(engine, &there.sandboxes).await?;
    for attempts in there.containers.values() {
        forget_older(engine, attempts).await?;
    }
    Ok((attempt, address))
}

/// Kills it, frozen or not.
async fn end(engine: &Engine, one: &Found) -> Result<()> {
    // older engines send no signal to what is frozen
    if one.state == "paused" {
        engine.unpause(&one.id).await?;
    }
    engine.kill(&one.id).await
}

fn spec(there: &LabPod) -> Result<Pod> {
    there.spec().ok_or_else(|| {
        Error::failed(format!(
            "nobody knows any more what {} was made from: its sandbox is gone",
            there.full_name()
        ))
        .hint(format!(
            "`{}` removes the rest",
            command_line::with("devnet lab down", [there.full_name()])
        ))
    })
}

fn next(attempts: &[Found]) -> u32 {
    attempts.first().map_or(0, |newest| newest.attempt() + 1)
}

/// Of those before, only the newest stays, as with the kubelet.
async fn forget_older(engine: &Engine, before: &[Found]) -> Result<()> {
    let older: Vec<&Found> = before.iter().skip(1).collect();
    each(&older, |one| engine.remove(&one.id)).await
}

async fn each<'f, Doing>(of: &[&'f Found], does: impl Fn(&'f Found) -> Doing) -> Result<()>
where
    Doing: Future<Output = Result<()>>,
{
    stream::iter(of)
        .map(|one| does(one))
        .buffer_unordered(8)
        .try_collect::<()>()
        .await
}
