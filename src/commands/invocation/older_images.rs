//! Pods that run an older image of a name which stands for another since a build or a load: they are named, or
//! start the new one in the sandbox they have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::commands::invocation::restarts::Restart;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::pod::{self, PlainContainers, Renamed};
use crate::wording::{MANY, counted, listed};

/// The time that a restarted pod is waited for.
const LIMIT: Duration = Duration::from_mins(1);

/// The images that names stood for on nodes, by node and name.
#[derive(Debug, Default)]
pub(crate) struct OlderImages {
    names: BTreeSet<String>,
    before: BTreeMap<(String, String), BTreeSet<String>>,
}

impl OlderImages {
    /// Remembers what names stand for now, before they get another image; what they stood for earlier
    /// stays. What the kubelet starts carries only an ID.
    pub(crate) async fn remember<'e>(
        &mut self,
        nodes: impl Iterator<Item = (&'e str, &'e Engine)>,
        names: &[String],
    ) {
        let asked = nodes.flat_map(|(node, engine)| {
            names.iter().map(async move |name| {
                // a name that is new stood for nothing; a node that is lost is told of by others
                let id = engine.images.id(name).await.ok()?;
                Some(((node.to_owned(), name.clone()), id))
            })
        });
        self.names.extend(names.iter().cloned());
        for (key, id) in join_all(asked).await.into_iter().flatten() {
            self.before.entry(key).or_default().insert(id);
        }
    }

    /// The image that a name stands for now on a node, and those before; `None` where the node has no
    /// such name.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(crate) async fn renamed(
        &self,
        (node, engine): (&str, &Engine),
        name: &str,
    ) -> Result<Option<Renamed>> {
        let now = match engine.images.id(name).await {
            Ok(id) => id,
            // this node did not get it, which was told
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let before = self.before.get(&(node.to_owned(), name.to_owned()));
        Ok(Some(Renamed {
            name: name.to_owned(),
            before: before.cloned().unwrap_or_default(),
            now,
        }))
    }

    /// Names the pods that run an older image now, or (`restart`) has them start the new one.
    ///
    /// # Errors
    /// Partly, when some that were to do not run it; lost, when a node does not answer.
    pub(crate) async fn settle<'e>(
        &self,
        nodes: impl Iterator<Item = (&'e str, &'e Engine)>,
        restart: bool,
        context: &Context,
    ) -> Result<()> {
        let mut left = 0;
        for (node, engine) in nodes {
            for name in &self.names {
                let Some(image) = self.renamed((node, engine), name).await? else {
                    continue;
                };
                if !restart && image.before.iter().all(|before| *before == image.now) {
                    continue;
                }
                let facts = engine.runtime.containers().await?;
                let pods = pod::pods(node, &facts, PlainContainers::Hide);
                let older = Restart::of_image(engine, &pods, &image).await?;
                if restart {
                    left += start_anew(&older, context).await?;
                } else {
                    name_them(&older, name, context);
                }
            }
        }
        if left == 0 {
            return Ok(());
        }
        let message = format!("{} the new image", counted_without(left));
        Err(Error::new(Kind::Partly, message))
    }
}

fn counted_without(left: usize) -> String {
    let verb = if left == 1 {
        "does not run"
    } else {
        "do not run"
    };
    format!("{} {verb}", counted(left, "pod"))
}

/// Restarts pods one after the other; gives the number of those that do not run the new image.
async fn start_anew(older: &[Restart], context: &Context) -> Result<usize> {
    let mut left = 0;
    for one in older {
        let mut tell = |_outcome, line: Option<String>| {
            if let Some(line) = line {
                context.ui.say(&line);
            }
            Ok(())
        };
        let outcome = match one.obstacle() {
            Some(obstacle) => Err(obstacle),
            None => one.run(LIMIT, &mut tell).await,
        };
        match outcome {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => {
                context.ui.error(&error);
                left += 1;
            }
        }
    }
    Ok(left)
}

/// Names the pods, and why some would not run the new image either.
fn name_them(older: &[Restart], image: &str, context: &Context) {
    let names: Vec<String> = older.iter().map(Restart::name).collect();
    if names.is_empty() {
        return;
    }
    context.ui.say(&format!(
        "an older `{image}` runs in {}",
        listed(&names, MANY)
    ));
    for obstacle in older.iter().filter_map(Restart::obstacle) {
        context.ui.warn(&obstacle.in_one_line());
    }
    let command = command_line::with("devnet restart --image", [image]);
    context.ui.hint(&format!(
        "`{command}` has them start the new one in the sandbox they have; so does `--restart` the next time"
    ));
}
