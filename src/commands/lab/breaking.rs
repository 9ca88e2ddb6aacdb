//! `devnet lab break`: the ways in which pods break, made on purpose, so that one knows them again.

use super::{find, pods};
use crate::command_line;
use crate::commands::invocation::Context;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab::member::{Found, LabPod};
use crate::lab::{BUILT_IN_IMAGE, Container};
use crate::lab_engine::create::LabEngine;
use crate::pod::State;

/// The container that comes for a port that is taken.
const SQUATTER: &str = "squatter";

/// The way to break a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Breakage {
    /// One more container wants a port that is taken
    Conflict,
    /// The containers' processes are stopped where they are
    Freeze,
    /// The sandbox is killed, its containers go on without it
    Orphan,
    /// The sandbox is restarted: it has a new network, its containers stay in the old one
    Split,
}

pub(super) async fn run(
    context: &Context,
    engine: &Engine,
    how: Breakage,
    wanted: &str,
) -> Result<()> {
    let there = find(engine, wanted).await?;
    let name = there.full_name();
    let sandbox = there
        .sandbox()
        .filter(|sandbox| sandbox.is_alive())
        .ok_or_else(|| {
            Error::failed(format!(
                "the sandbox of {name} does not run: it is broken already"
            ))
            .hint(format!("`{}` repairs it", restart(&name)))
        })?;
    let running: Vec<&Found> = there
        .current()
        .map(|(_, one)| one)
        .filter(|one| one.state == State::Running)
        .collect();
    if running.is_empty() {
        return Err(Error::failed(format!("no container of {name} runs"))
            .hint(format!("`{}` repairs it", restart(&name))));
    }
    let done = match how {
        Breakage::Conflict => conflict(engine, &there).await?,
        Breakage::Freeze => {
            for one in running {
                engine.docker()?.pause(&one.id).await?;
            }
            format!("pod/{name} is frozen: its ports take connections and nobody answers")
        }
        Breakage::Orphan => {
            let spec = there.spec();
            if spec.is_some_and(|spec| spec.share_process_namespace) {
                return Err(Error::failed(format!(
                    "the sandbox is process 1 of every container of {name}: none can outlive it"
                ))
                .hint("a pod without `shareProcessNamespace` can be orphaned"));
            }
            engine.docker()?.kill(&sandbox.id).await?;
            format!("pod/{name} is orphaned: its sandbox is dead, its containers go on")
        }
        Breakage::Split => {
            engine.docker()?.restart(&sandbox.id).await?;
            format!(
                "pod/{name} is split: its sandbox has a new network, its containers are in the old one"
            )
        }
    };
    context.ui.line(&done).map_err(Error::stdout)?;
    context.ui.hint(&format!(
        "`{}` shows it, `{}` repairs it",
        command_line::with("devnet inspect", [&name]),
        restart(&name)
    ));
    Ok(())
}

fn restart(name: &str) -> String {
    command_line::with("devnet lab restart", [name])
}

/// Starts a container that wants a port which another one has.
async fn conflict(engine: &Engine, there: &LabPod) -> Result<String> {
    let name = there.full_name();
    let spec = there
        .spec()
        .ok_or_else(|| Error::failed(format!("nobody knows what {name} was made from")))?;
    if there.containers.contains_key(SQUATTER) {
        return Err(Error::failed(format!("{name} has its conflict already"))
            .hint(format!("`{}` repairs it", restart(&name))));
    }
    let ports = spec.containers.iter().flat_map(|one| &one.ports);
    let port = ports
        .filter(|port| port.protocol == "tcp")
        .map(|port| port.container)
        .next()
        .ok_or_else(|| {
            Error::failed(format!("no container of {name} declares a TCP port"))
                .hint("a port under `ports:` of its manifest would be taken twice")
        })?;
    let squatter = Container {
        name: SQUATTER.into(),
        image: BUILT_IN_IMAGE.into(),
        args: vec!["serve".into(), port.to_string()],
        ..Container::default()
    };
    let all = pods(engine).await?;
    let lab = LabEngine::ready(engine, &all).await?;
    let id = lab.join(&spec, there, &squatter).await?;
    let Ok(ended) = tokio::time::timeout(
        std::time::Duration::from_secs(5),
        engine.docker()?.wait(&id),
    )
    .await
    else {
        engine.docker()?.remove(&id).await?;
        return Err(Error::failed(format!(
            "port {port} of {name} was free: nobody listens where the manifest says"
        )));
    };
    let code = ended?;
    let said = engine.runtime.printed(&id, 1).await?;
    Ok(format!(
        "pod/{name} has a port conflict: `{SQUATTER}` wanted {port} and ended with code {code}: {}",
        crate::visible::visible(said.trim())
    ))
}
