//! Pods that run an older image of a name which stands for another since a build or a load: they are named, or
//! start the new one in the sandbox they have.

use std::collections::BTreeMap;
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
#[derive(Debug)]
pub(crate) struct OlderImages {
    names: Vec<String>,
    before: BTreeMap<(String, String), String>,
}

impl OlderImages {
    /// Remembers what names stand for now, before they get another image.
    pub(crate) async fn remember<'e>(
        nodes: impl Iterator<Item = (&'e str, &'e Engine)>,
        names: &[String],
    ) -> Self {
        let asked = nodes.flat_map(|(node, engine)| {
            names.iter().map(async move |name| {
                // a name that is new stood for nothing; a node that is lost is told of by others
                let image = engine.images.image(name).await.ok()?;
                Some(((node.to_owned(), name.clone()), image.id))
            })
        });
        Self {
            names: names.to_vec(),
            before: join_all(asked).await.into_iter().flatten().collect(),
        }
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
                let now = match engine.images.image(name).await {
                    Ok(image) => image.id,
                    // this node did not get it, which was told
                    Err(error) if error.kind() == Kind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                let before = self.before.get(&(node.to_owned(), name.clone()));
                if !restart && before.is_none_or(|before| *before == now) {
                    continue;
                }
                let image = Renamed {
                    name: name.clone(),
                    before: before.cloned().into_iter().collect(),
                    now,
                };
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
