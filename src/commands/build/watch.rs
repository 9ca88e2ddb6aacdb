//! `devnet build --watch`: builds again whenever something changes that the build depends on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::commands::build::job::{self, Job, Provided};
use crate::commands::build::restart::Restarts;
use crate::commands::build::source::BuildSource;
use crate::commands::invocation::Context;
use crate::context::scope::Scope;
use crate::engine::buildkit::files::Folder;
use crate::error::{Error, Kind, Result};
use crate::host::file_watch::{Change, FileWatch};

/// The silence after which somebody is done who saves several files, or one in several steps.
const SILENCE: Duration = Duration::from_millis(100);
/// Someone who never stops writing is not waited for any longer.
const CHANGES_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of changed files that are named.
const NAMED: usize = 3;

/// The scopes of a build's source that are to be watched.
///
/// # Errors
/// Usage, when nothing of it is on this computer; a malformed ignore pattern.
pub(super) fn scopes(source: &BuildSource) -> Result<Vec<Scope>> {
    let folder = |name: &str| match source.folders.get(name) {
        Some(Folder::Path(path)) => Some(path.clone()),
        _ => None,
    };
    let mut all = vec![Scope::new(folder("context"), source.dockerfile.clone())?];
    for name in source.folders.keys() {
        if name.starts_with("named-") {
            all.push(Scope::new(folder(name), None)?);
        }
    }
    let watchable = |scope: &Scope| scope.root().is_some() || !scope.apart().is_empty();
    if !all.iter().any(watchable) {
        return Err(Error::usage("`--watch` has nothing to watch")
            .caused_by("neither the context nor the Dockerfile is a file of this computer"));
    }
    Ok(all)
}

/// Builds, and again at each change, until interrupted.
pub(super) async fn run(
    job: &mut Job,
    first: Provided,
    mut scopes: Vec<Scope>,
    context: &Context,
) -> Result<()> {
    // what changes while the first build runs must not be missed
    let mut watch = FileWatch::new()?;
    look(&mut watch, &scopes)?;
    let mut restarts = Restarts::default();
    if job.request.options.tags.is_empty() {
        context
            .ui
            .hint("pods are found by the image's name: with `-t NAME` those that run it start the new one");
    }
    let mut provided = Ok(first);
    loop {
        let outcome = match provided {
            Ok(provided) => Box::pin(once(job, provided, &mut restarts, context)).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => context.ui.error(&error),
        }
        context.ui.say(&format!("watching {}", places(&scopes)));
        let changed = settled(&mut watch, &mut scopes, context).await?;
        context.ui.say(&format!("changed: {}", named(&changed)));
        provided = job::provided(&job.request, context).await;
    }
}

/// One build, and what follows from it.
async fn once(
    job: &mut Job,
    provided: Provided,
    restarts: &mut Restarts,
    context: &Context,
) -> Result<()> {
    let names = job.request.options.tags.clone();
    restarts.older.remember(job.nodes(), &names).await;
    let Some(id) = job.build(provided, context).await? else {
        return Ok(());
    };
    let handed_over = job.hand_over(&id, context).await;
    // an image that only left the engine is nothing for its pods
    if job.is_for_the_engine() {
        for (node, engine) in job.nodes() {
            Box::pin(restarts.restart(node, engine, &names, context)).await?;
        }
    }
    handed_over
}

/// Watches the folders that there are now.
fn look(watch: &mut FileWatch, scopes: &[Scope]) -> Result<()> {
    for scope in scopes {
        #[cfg(target_os = "linux")]
        {
            // inotify watches single folders: what is ignored costs nothing
            let folders = scope
                .folders()
                .map_err(|error| gone(scope.root().unwrap_or(Path::new(""))).caused_by(error))?;
            let mut folders = folders.iter();
            if let Some(root) = folders.next() {
                watch.folder(root)?;
            }
            for folder in folders {
                match watch.folder(folder) {
                    // it is gone again
                    Err(_) if !folder.exists() => {}
                    outcome => outcome?,
                }
            }
        }
        #[cfg(not(target_os = "linux"))]
        {
            if let Some(root) = scope.root() {
                watch.tree(root)?;
            }
            for folder in scope.apart() {
                watch.folder(&folder)?;
            }
        }
    }
    Ok(())
}

/// Waits for a change that matters, and for the silence after it; gives the paths as a person
/// knows them.
async fn settled(
    watch: &mut FileWatch,
    scopes: &mut [Scope],
    context: &Context,
) -> Result<Vec<PathBuf>> {
    let mut changed = Vec::new();
    let mut look_again = false;
    let mut end = None;
    loop {
        let change = match end {
            None => watch.next().await,
            Some(end) => {
                let silence = (Instant::now() + SILENCE).min(end);
                match timeout_at(silence, watch.next()).await {
                    Ok(change) => change,
                    Err(_silence) => break,
                }
            }
        };
        // a context that was removed may have come again, and is another folder then
        let is_root = |path: &PathBuf| scopes.iter().any(|scope| scope.root() == Some(path));
        look_again |= change.look_again || change.paths.iter().any(is_root);
        take(&change, scopes, &mut changed, context);
        if end.is_none() && (!changed.is_empty() || change.paths.is_empty()) {
            end = Some(Instant::now() + CHANGES_TIMEOUT);
        }
    }
    if look_again {
        look(watch, scopes)?;
    }
    for root in scopes.iter().filter_map(Scope::root) {
        // nothing tells when it comes again
        std::fs::metadata(root).map_err(|error| gone(root).caused_by(error))?;
    }
    Ok(changed)
}

fn gone(root: &Path) -> Error {
    Error::failed(format!("no build context at `{}` any more", root.display()))
}

/// Adds what matters of a change.
fn take(change: &Change, scopes: &mut [Scope], changed: &mut Vec<PathBuf>, context: &Context) {
    for path in &change.paths {
        for scope in scopes.iter_mut() {
            if !scope.matters(path) {
                continue;
            }
            if scope.is_ignore_file(path)
                && let Err(error) = scope.reread()
            {
                context.ui.error(&error);
            }
            let shown = scope.shown(path).to_owned();
            if !changed.contains(&shown) {
                changed.push(shown);
            }
        }
    }
}

fn places(scopes: &[Scope]) -> String {
    let places: Vec<String> = scopes
        .iter()
        .flat_map(|scope| {
            scope
                .root()
                .map(Path::to_owned)
                .into_iter()
                .chain(scope.apart())
        })
        .map(|place| place.display().to_string())
        .collect();
    format!("{}; Ctrl-C ends", places.join(", "))
}

/// Some of the paths, and how many more there are.
fn named(changed: &[PathBuf]) -> String {
    if changed.is_empty() {
        return "the system lost count of it".to_owned();
    }
    let mut text = changed
        .iter()
        .take(NAMED)
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(more) = changed.len().checked_sub(NAMED).filter(|more| *more > 0) {
        text = format!("{text} and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_changed_files_are_named_and_the_others_counted() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(named(&paths(&["a"])), "a");
        assert_eq!(named(&paths(&["a", "b", "c"])), "a, b, c");
        assert_eq!(
            named(&paths(&["a", "b", "c", "d", "e"])),
            "a, b, c and 2 more"
        );
    }
}
