//! Removing pods of the lab, and whatever else is devnet's.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::engine::Engine;
use crate::error::Result;
use crate::host::owner;
use crate::lab::member::Found;
use crate::lab::standing::{Thing, ThingKind};
use crate::lab::{label, plan};
use crate::lab_engine::{lock, pods};

/// The number of things that are removed at once.
const AT_ONCE: usize = 16;

type Labels = BTreeMap<String, String>;

/// Removes pods by UID, with all that belongs to them; after the last, the lab's network and
/// image too.
pub(crate) async fn remove_pods(engine: &Engine, uids: &[String]) -> Result<()> {
    let is_ours = |labels: &Labels| {
        labels
            .get(label::POD_UID)
            .is_some_and(|uid| uids.contains(uid))
    };
    let there = pods(engine).await?;
    let specs = uids.iter().map(|uid| {
        let pod = there.iter().find(|pod| pod.uid == *uid);
        Some((pod?.spec()?, uid))
    });
    let specs: Option<Vec<_>> = specs.collect();
    // what was on its way when we stopped making things may appear only now
    for round in 0..3 {
        let found = engine.docker()?.own_containers(&[label::POD_UID]).await?;
        let ours: Vec<&Found> = found.iter().filter(|one| is_ours(&one.labels)).collect();
        if ours.is_empty() && round > 0 {
            break;
        }
        containers(engine, &ours).await?;
    }
    if let Some(specs) = specs {
        for (pod, uid) in specs {
            for volume in plan::volumes(&pod, uid, "") {
                engine.docker()?.remove_volume(&volume.name).await?;
            }
        }
    } else {
        // an engine that lists its volumes waits for plugins that are dead
        for volume in engine.docker()?.own_volumes().await? {
            if is_ours(&volume.labels) {
                engine.docker()?.remove_volume(&volume.id).await?;
            }
        }
    }
    if engine
        .docker()?
        .own_containers(&[label::POD_UID])
        .await?
        .is_empty()
    {
        tidy(engine).await?;
    }
    Ok(())
}

/// Removes all that a lab left: also what a killed devnet left that is no pod yet.
///
/// # Errors
/// When the engine does not remove it.
pub(crate) async fn remove_rest(engine: &Engine) -> Result<()> {
    let found = engine.docker()?.own_containers(&[label::POD_UID]).await?;
    if !found.is_empty() {
        containers(engine, &found.iter().collect::<Vec<_>>()).await?;
        for volume in engine.docker()?.own_volumes().await? {
            if !is_in_the_making(&volume.labels) {
                remove(engine, &volume).await?;
            }
        }
    }
    tidy(engine).await
}

/// Removes the network and the image of a lab that has no pods.
async fn tidy(engine: &Engine) -> Result<()> {
    let mut things = engine.docker()?.own_networks().await?;
    things.retain(|thing| !is_in_the_making(&thing.labels));
    if !things.is_empty() {
        let emptied = Box::pin(lock::hold(engine, async {
            if !pods(engine).await?.is_empty() {
                return Ok(false);
            }
            for thing in &things {
                remove(engine, thing).await?;
            }
            Ok(true)
        }));
        if !emptied.await? {
            return Ok(());
        }
    }
    // a helper that runs just now has the image too
    if engine.docker()?.own_containers(&[]).await?.is_empty() {
        for image in engine.docker()?.own_images().await? {
            if !is_in_the_making(&image.labels) {
                remove(engine, &image).await?;
            }
        }
    }
    Ok(())
}

/// True where another devnet lives that made this a moment ago, for a pod that is yet to come.
fn is_in_the_making(labels: &Labels) -> bool {
    let mark = labels.get(label::OWNER).map_or("", String::as_str);
    mark != owner::mark() && owner::is_gone(mark) == Some(false)
}

/// Removes containers, those first that share what others hold: some engines insist on it.
async fn containers(engine: &Engine, all: &[&Found]) -> Result<()> {
    let (sandboxes, others): (Vec<&Found>, Vec<&Found>) = all
        .iter()
        .partition(|one| one.label(label::ROLE) == Some(label::SANDBOX));
    let docker = engine.docker()?;
    for some in [others, sandboxes] {
        stream::iter(some)
            .map(|one| docker.remove(&one.id))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
    }
    Ok(())
}

/// Removes one thing of devnet's.
pub(crate) async fn remove(engine: &Engine, thing: &Thing) -> Result<()> {
    match thing.kind {
        ThingKind::Container | ThingKind::Sandbox => engine.docker()?.remove(&thing.id).await,
        ThingKind::Volume => engine.docker()?.remove_volume(&thing.id).await,
        ThingKind::Network => engine.docker()?.remove_network(&thing.id).await,
        ThingKind::Image => engine.docker()?.remove_unused_image(&thing.id).await,
        // by name: an image that has other names stays under those
        ThingKind::Transfer => engine.images.untag(&thing.id).await,
    }
}
