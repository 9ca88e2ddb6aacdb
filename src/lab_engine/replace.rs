//! A part of a pod that died, made again: what the kubelet does then.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::command_line;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::host::owner;
use crate::lab::member::{Found, LabPod};
use crate::lab::{Pod, label};
use crate::lab_engine::create::LabEngine;
use crate::lab_engine::pods;
use crate::pod::State;
use crate::wording::{MANY, listed};

/// The way in which a pod's end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The sandbox is killed, and with it everything.
    Kill,
    /// The containers are told first, and have their time.
    Stop,
}

/// Kills a container of a pod and puts the next attempt in its place; gives which that is. Another
/// devnet may be doing the same: then one of them does it, and the others wait for it.
pub(crate) async fn replace(engine: &Engine, there: &LabPod, container: &str) -> Result<u32> {
    let newest = |pod: &LabPod| pod.containers.get(container)?.first().cloned();
    let mut there = settled(engine, there).await?;
    let mut last = None;
    for _ in 0..TRIES {
        let error = match replace_once(engine, &there, container).await {
            Ok(attempt) => return Ok(attempt),
            Err(error) => error,
        };
        let before = newest(&there).map(|one| one.attempt());
        let made = |now: &LabPod| {
            let one = newest(now).filter(Found::is_alive)?;
            (Some(one.attempt()) > before).then(|| one.attempt())
        };
        match others(engine, &there, error, Sandbox::Stays, made).await? {
            Others::Made(attempt) => return Ok(attempt),
            Others::Changed(now, error) => (there, last) = (now, Some(error)),
        }
    }
    Err(comes_and_goes(&there, last))
}

/// The changes that other devnets made to a pod meanwhile.
enum Others<Made> {
    /// The part that was wanted.
    Made(Made),
    /// Something else, after which this error may be no more.
    Changed(LabPod, Error),
}

/// The end or the survival of a pod's sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sandbox {
    Stays,
    Ends,
}

/// Waits for what other devnets do to a pod, after an error that this may explain.
///
/// # Errors
/// That error, when none does anything.
async fn others<Made>(
    engine: &Engine,
    there: &LabPod,
    error: Error,
    sandbox: Sandbox,
    made: impl Fn(&LabPod) -> Option<Made>,
) -> Result<Others<Made>> {
    // a name is taken before its container is listed; the words are moby's (`daemon/names.go`)
    let in_turn = error
        .in_one_line()
        .contains("is already in use by container");
    let begun = Instant::now();
    loop {
        let now = settled(engine, there).await?;
        if let Some(made) = made(&now) {
            return Ok(Others::Made(made));
        }
        let changed = is_changed(&now, there, sandbox);
        // whoever makes a pod anew makes its containers after its sandbox
        let makes = in_turn || (changed && !now.is_whole());
        if makes && begun.elapsed() < MAKES {
            tokio::time::sleep(Duration::from_millis(50)).await;
        } else if changed {
            return Ok(Others::Changed(now, error));
        } else {
            return Err(error);
        }
    }
}

/// Ending often a pod is looked at anew that another devnet has changed meanwhile.
const TRIES: usize = 5;
/// Ending long another devnet may take between making a container and starting it.
const MAKES: Duration = Duration::from_secs(10);

/// The pod as it is now, once no other devnet is about to start a part of it.
async fn settled(engine: &Engine, there: &LabPod) -> Result<LabPod> {
    let begun = Instant::now();
    loop {
        let all = pods(engine).await?;
        let Some(now) = all.into_iter().find(|pod| pod.uid == there.uid) else {
            return Err(Error::not_found(format!(
                "{} is not in the lab any more",
                there.full_name()
            )));
        };
        let starts = {
            let containers = now.current().map(|(_, one)| one);
            let mut current = now.sandbox().into_iter().chain(containers);
            current.any(|one| one.state == State::Created && may_be_started(one))
        };
        if !starts || begun.elapsed() > MAKES {
            return Ok(now);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// True where a living devnet other than this one made it. A part that this one made it has also
/// tried to start.
fn may_be_started(one: &Found) -> bool {
    let owner = one.label(label::OWNER).unwrap_or_default();
    !is_own(one) && owner::is_gone(owner) != Some(true)
}

/// True where this devnet made it.
fn is_own(one: &Found) -> bool {
    one.label(label::OWNER) == Some(&*owner::mark())
}

/// True where another devnet has done something to a pod: made a part anew, or ended a sandbox.
fn is_changed(now: &LabPod, there: &LabPod, sandbox: Sandbox) -> bool {
    let parts = |pod: &'_ LabPod| -> Vec<Found> {
        let containers = pod.containers.values().flatten();
        pod.sandboxes.iter().chain(containers).cloned().collect()
    };
    let known: Vec<String> = parts(there).into_iter().map(|one| one.id).collect();
    let is_new = |one: &Found| !known.contains(&one.id);
    let made = parts(now).iter().any(|one| is_new(one) && !is_own(one));
    let lost = there.sandbox().is_some_and(|before| {
        let after = now.sandboxes.iter().find(|one| one.id == before.id);
        let ended = |after: &Found| before.is_alive() && !after.is_alive();
        after.is_none_or(|after| sandbox == Sandbox::Stays && ended(after))
    });
    // nothing ends a pause process but a kill
    let ended = |one: &Found| !one.is_alive() && one.state != State::Created;
    let killed = now.sandboxes.iter().any(|one| is_new(one) && ended(one));
    made || lost || killed
}

fn comes_and_goes(there: &LabPod, last: Option<Error>) -> Error {
    let error = Error::failed(format!("{} comes and goes", there.full_name()))
        .hint("is another devnet at work? `devnet lab ps` shows what is there");
    match last {
        Some(last) => error.caused_by(last),
        None => error,
    }
}

async fn replace_once(engine: &Engine, there: &LabPod, container: &str) -> Result<u32> {
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
    let lab = LabEngine::ready(engine, &all).await?;
    for one in attempts.iter().filter(|one| one.is_alive()) {
        end(engine, one).await?;
    }
    let attempt = next(attempts);
    lab.replace(&spec, there, container, attempt).await?;
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

/// Ends a pod's sandbox and makes the pod again; gives the sandbox's attempt and address. Another
/// devnet may be doing the same, as in `replace`.
pub(crate) async fn renew(
    engine: &Engine,
    there: &LabPod,
    how: Ending,
) -> Result<(u32, Option<Ipv4Addr>)> {
    let mut there = settled(engine, there).await?;
    let mut last = None;
    for _ in 0..TRIES {
        let error = match renew_once(engine, &there, how).await {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        let before = there.sandbox().map(Found::attempt);
        let made = |now: &LabPod| {
            let one = now.sandbox().filter(|one| one.is_alive())?;
            let newer = Some(one.attempt()) > before && now.is_whole();
            newer.then(|| (one.attempt(), one.address()))
        };
        match others(engine, &there, error, Sandbox::Ends, made).await? {
            Others::Made(made) => return Ok(made),
            Others::Changed(now, error) => (there, last) = (now, Some(error)),
        }
    }
    Err(comes_and_goes(&there, last))
}

async fn renew_once(
    engine: &Engine,
    there: &LabPod,
    how: Ending,
) -> Result<(u32, Option<Ipv4Addr>)> {
    let spec = spec(there)?;
    let all = pods(engine).await?;
    let lab = LabEngine::ready(engine, &all).await?;
    let alive: Vec<&Found> = there
        .containers
        .values()
        .flatten()
        .filter(|one| one.is_alive())
        .collect();
    if how == Ending::Stop {
        let grace = spec.grace.unwrap_or(30);
        each(&alive, |one| async move {
            if one.state == State::Paused {
                engine.docker()?.unpause(&one.id).await?;
            }
            engine.docker()?.stop(&one.id, grace).await
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
    let docker = engine.docker()?;
    each(&strangers, |one| docker.remove(&one.id)).await?;
    let attempts: BTreeMap<String, u32> = there
        .containers
        .iter()
        .map(|(name, attempts)| (name.clone(), next(attempts)))
        .collect();
    let attempt = next(&there.sandboxes);
    let address = lab
        .create_pod(&spec, &there.uid, attempt, &attempts)
        .await?;
    forget_older(engine, &there.sandboxes).await?;
    for attempts in there.containers.values() {
        forget_older(engine, attempts).await?;
    }
    Ok((attempt, address))
}

/// Kills it, frozen or not.
async fn end(engine: &Engine, one: &Found) -> Result<()> {
    // older engines send no signal to what is frozen
    if one.state == State::Paused {
        engine.docker()?.unpause(&one.id).await?;
    }
    engine.docker()?.kill(&one.id).await
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
    attempts
        .first()
        .map_or(0, |newest| newest.attempt().saturating_add(1))
}

/// Removes old attempts; of those before, only the newest stays, as with the kubelet.
async fn forget_older(engine: &Engine, before: &[Found]) -> Result<()> {
    let older: Vec<&Found> = before.iter().skip(1).collect();
    let docker = engine.docker()?;
    each(&older, |one| docker.remove(&one.id)).await
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
