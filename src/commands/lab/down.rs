//! `devnet lab down`, and the removal of everything that devnet left in an engine.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{lock, pods, select};
use crate::commands::invocation::Context;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::image::reference;
use crate::lab::label;

/// How many things are removed at once.
const AT_ONCE: usize = 16;

pub(super) async fn run(context: &Context, engine: &Engine, wanted: &[String]) -> Result<()> {
    let there = pods(engine).await?;
    let chosen: Vec<_> = if wanted.is_empty() {
        there.iter().collect()
    } else {
        wanted
            .iter()
            .map(|wanted| select(&there, wanted))
            .collect::<Result<_>>()?
    };
    let uids: Vec<String> = chosen.iter().map(|pod| pod.uid.clone()).collect();
    forget(engine, &uids).await?;
    for pod in &chosen {
        context
            .ui
            .line(&format!("pod/{} down", pod.full_name()))
            .map_err(Error::stdout)?;
    }
    if wanted.is_empty() {
        // also what a killed devnet left that is no pod yet
        let found = engine.labelled(&[label::POD_UID]).await?;
        let ids: Vec<&str> = found.iter().map(|one| one.id.as_str()).collect();
        containers(engine, &ids).await?;
        tidy(engine).await?;
    }
    if chosen.is_empty() {
        context.ui.say("the lab is empty");
    }
    Ok(())
}

/// Removes pods by UID, with all that belongs to them; after the last, the lab's network and
/// image too.
pub(super) async fn forget(engine: &Engine, uids: &[String]) -> Result<()> {
    // what was on its way when we stopped making things may appear only now
    for round in 0..3 {
        let found = engine.labelled(&[label::POD_UID]).await?;
        let ours = found.iter().filter(|one| {
            one.label(label::POD_UID)
                .is_some_and(|uid| uids.iter().any(|ours| ours == uid))
        });
        let ids: Vec<&str> = ours.map(|one| one.id.as_str()).collect();
        if ids.is_empty() && round > 0 {
            break;
        }
        containers(engine, &ids).await?;
    }
    for uid in uids {
        volumes(engine, &format!("{}={uid}", label::POD_UID)).await?;
    }
    if engine.labelled(&[label::POD_UID]).await?.is_empty() {
        tidy(engine).await?;
    }
    Ok(())
}

/// Removes the network, the volumes and the image of a lab that has no pods.
async fn tidy(engine: &Engine) -> Result<()> {
    let emptied = lock::hold(engine, async {
        if !pods(engine).await?.is_empty() {
            return Ok(false);
        }
        volumes(engine, &format!("{}={}", label::ROLE, label::VOLUME)).await?;
        networks(engine, &format!("{}={}", label::ROLE, label::NETWORK)).await?;
        Ok(true)
    });
    if !emptied.await? {
        return Ok(());
    }
    // a helper that runs just now has the image too
    if engine.labelled(&[label::ROLE]).await?.is_empty() {
        images(engine).await?;
    }
    Ok(())
}

async fn containers(engine: &Engine, ids: &[&str]) -> Result<()> {
    stream::iter(ids)
        .map(|id| engine.remove(id))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

async fn volumes(engine: &Engine, filter: &str) -> Result<()> {
    for volume in engine.labelled_volumes(filter).await? {
        engine.remove_volume(&volume).await?;
    }
    Ok(())
}

async fn networks(engine: &Engine, filter: &str) -> Result<()> {
    for network in engine.labelled_networks(filter).await? {
        engine.remove_network(&network).await?;
    }
    Ok(())
}

async fn images(engine: &Engine) -> Result<()> {
    for (id, _) in engine.images_where("label", label::ROLE).await? {
        engine.remove_image(&id).await?;
    }
    Ok(())
}

/// Removes everything that carries devnet's label, and the tags it transfers images under.
/// Gives how many things that were.
pub(crate) async fn sweep(engine: &Engine) -> Result<usize> {
    let mut count = 0;
    let found = engine.labelled(&[label::ROLE]).await?;
    let ids: Vec<&str> = found.iter().map(|one| one.id.as_str()).collect();
    containers(engine, &ids).await?;
    count += ids.len();
    for volume in engine.labelled_volumes(label::ROLE).await? {
        engine.remove_volume(&volume).await?;
        count += 1;
    }
    for network in engine.labelled_networks(label::ROLE).await? {
        engine.remove_network(&network).await?;
        count += 1;
    }
    for (id, _) in engine.images_where("label", label::ROLE).await? {
        engine.remove_image(&id).await?;
        count += 1;
    }
    // the engine's own patterns stop at slashes: every name is looked at
    let all = engine.images_where("dangling", "false").await?;
    for name in all.iter().flat_map(|(_, names)| names) {
        if reference::is_transfer(name) {
            // by name: an image that has other names stays under those
            engine.remove_image(name).await?;
            count += 1;
        }
    }
    Ok(count)
}
