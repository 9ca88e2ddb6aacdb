//! `devnet lab up`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::at;
use crate::command_line;
use crate::commands::invocation::Context;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab::manifest;
use crate::lab::member::LabPod;
use crate::lab::{BUILT_IN_IMAGE, Pod, Pull};
use crate::lab_engine::create::{self, LabEngine};
use crate::lab_engine::{pods, remove};
use crate::regular_file;
use crate::template;

/// A manifest that is larger than this is none.
const LARGEST: u64 = 2 << 20;
/// The number of pods that are made at once. More would only wait in the engine.
const AT_ONCE: usize = 8;

pub(super) async fn run(context: &Context, engine: &Engine, files: &[PathBuf]) -> Result<()> {
    let wanted = wanted(context, files).await?;
    let there = pods(engine).await?;
    let tasks = sort(context, wanted, &there)?;
    if tasks.is_empty() {
        return Ok(());
    }
    let new: Vec<String> = tasks
        .iter()
        .filter(|task| task.attempt == 0)
        .map(|task| task.uid.clone())
        .collect();
    let undo = async {
        context
            .ui
            .say("the pods of this `lab up` are removed again");
        // pods that were there before are left as they are: they can be looked at
        if let Err(error) = remove::remove_pods(engine, &new).await {
            context.ui.error(&error);
            context.ui.hint("`devnet lab down` removes what is left");
        }
    };
    let work = Box::pin(create_pods(context, engine, &there, &tasks));
    Box::pin(context.or_undo(work, undo)).await
}

/// Reads and understands the manifests before anything starts.
async fn wanted(context: &Context, files: &[PathBuf]) -> Result<Vec<Pod>> {
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let failed = || Error::usage(format!("`{name}` could not be read"));
        let file = file.clone();
        // beside the loop that notices Ctrl-C
        let reading = tokio::task::spawn_blocking(move || {
            if file.as_os_str() == "-" {
                return regular_file::text_of(std::io::stdin().lock(), LARGEST);
            }
            regular_file::named_text(&file, LARGEST)
        });
        let text = reading
            .await
            .map_err(|error| failed().caused_by(error))?
            .map_err(|error| failed().caused_by(error))?;
        texts.push((if name == "-" { "stdin".into() } else { name }, text));
    }
    if texts.is_empty() {
        return Ok(vec![built_in()?]);
    }
    let manifests = manifest::read(&texts)?;
    for note in &manifests.notes {
        context.ui.note(&crate::visible::visible(note));
    }
    Ok(manifests.pods)
}

/// A pod to be made, or to be made again.
struct Task {
    pod: Pod,
    uid: String,
    attempt: u32,
    attempts: BTreeMap<String, u32>,
}

/// Sorts out the tasks: nothing for a pod that is up already, a new sandbox for one that is broken.
fn sort(context: &Context, wanted: Vec<Pod>, there: &[LabPod]) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for pod in wanted {
        let before = there
            .iter()
            .find(|there| there.namespace == pod.namespace && there.name == pod.name);
        let Some(before) = before else {
            tasks.push(Task {
                pod,
                uid: create::new_uid(),
                attempt: 0,
                attempts: BTreeMap::new(),
            });
            continue;
        };
        let spec = before.spec();
        if spec.is_none() {
            return Err(Error::failed(format!(
                "{} is in the lab already, but its sandbox is gone",
                pod.full_name()
            ))
            .hint(format!(
                "`{}` removes the rest",
                command_line::with("devnet lab down", [pod.full_name()])
            )));
        }
        if spec.as_ref() != Some(&pod) {
            return Err(Error::usage(format!(
                "{} is in the lab already, from another manifest",
                pod.full_name()
            ))
            .hint(format!(
                "`{}` removes it",
                command_line::with("devnet lab down", [pod.full_name()])
            )));
        }
        if before.is_whole() {
            let address = before
                .sandbox()
                .and_then(crate::lab::member::Found::address);
            context.ui.say(&format!(
                "pod/{} is up already{}",
                pod.full_name(),
                at(address)
            ));
            continue;
        }
        return Err(Error::failed(format!(
            "{} is in the lab already, but not all of it runs",
            pod.full_name()
        ))
        .hint(format!(
            "`{}` brings it up again",
            command_line::with("devnet lab restart", [pod.full_name()])
        )));
    }
    Ok(tasks)
}

/// The pod of two containers that devnet carries.
pub(super) fn built_in() -> Result<Pod> {
    let text = [("the built-in pod".to_owned(), template::PODS[0].fill(&[])?)];
    let pod = manifest::read(&text)?.pods.into_iter().next();
    pod.ok_or_else(|| Error::failed("the built-in manifest has no pod"))
}

async fn create_pods(
    context: &Context,
    engine: &Engine,
    there: &[LabPod],
    tasks: &[Task],
) -> Result<()> {
    let lab = LabEngine::ready(engine, there).await?;
    images(context, engine, tasks).await?;
    stream::iter(tasks)
        .map(|task| async {
            let raised = lab
                .create_pod(&task.pod, &task.uid, task.attempt, &task.attempts)
                .await;
            let address = raised.map_err(|error| {
                let kind = error.kind();
                Error::failed(format!("pod/{} did not come up", task.pod.full_name()))
                    .caused_by(error)
                    .with_kind(kind)
            })?;
            let line = format!("pod/{} up{}", task.pod.full_name(), at(address));
            context.ui.line(&line).map_err(Error::stdout)
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

/// Sees to the images before any pod starts; a missing one is told of by name.
async fn images(context: &Context, engine: &Engine, tasks: &[Task]) -> Result<()> {
    let wanted: BTreeSet<(&str, Pull)> = tasks
        .iter()
        .flat_map(|task| task.pod.init_containers.iter().chain(&task.pod.containers))
        .filter(|container| container.image != BUILT_IN_IMAGE)
        .map(|container| (container.image.as_str(), container.pull))
        .collect();
    stream::iter(wanted)
        .map(|(image, pull)| async move {
            let there = engine.docker()?.has_image(image).await?;
            match pull {
                Pull::IfNotPresent | Pull::Never if there => Ok(()),
                Pull::Never => Err(Error::not_found(format!(
                    "the engine has no image `{image}`, and the manifest says never to pull it"
                ))
                .hint(format!("`{}` brings it there", command_line::with("devnet load", [image])))),
                Pull::Always | Pull::IfNotPresent => {
                    context.ui.say(&format!("pulling {}", crate::visible::visible(image)));
                    engine.docker()?.pull(image).await.map_err(|error| {
                        Error::not_found(format!("image `{image}` could not be pulled"))
                            .caused_by(error)
                            .hint("build it there with `devnet build`, or bring it with `devnet load`")
                    })
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}
