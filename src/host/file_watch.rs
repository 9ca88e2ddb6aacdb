//! Changes of this computer's files, as the system tells them.

use std::path::{Path, PathBuf};

use notify::event::ModifyKind;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::error::{Error, Result};

/// Changes that were told at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) paths: Vec<PathBuf>,
    /// Folders may have come, or something was missed: what is watched must be looked at anew.
    pub(crate) look_again: bool,
}

/// Tells what changes in the folders that it watches, until it is dropped.
#[derive(Debug)]
pub(crate) struct FileWatch {
    watcher: notify::RecommendedWatcher,
    changes: mpsc::UnboundedReceiver<Change>,
}

impl FileWatch {
    /// # Errors
    /// When this system can't.
    pub(crate) fn new() -> Result<Self> {
        let (to, changes) = mpsc::unbounded_channel();
        let tell = move |event: notify::Result<notify::Event>| {
            if let Some(change) = change(event) {
                let _nobody_listens = to.send(change);
            }
        };
        let watcher = notify::recommended_watcher(tell).map_err(|error| failed(None, error))?;
        Ok(Self { watcher, changes })
    }

    /// Watches a folder: its entries, not those of folders in it.
    ///
    /// # Errors
    /// When there is no such folder, or the system watches no more.
    pub(crate) fn folder(&mut self, folder: &Path) -> Result<()> {
        self.watcher
            .watch(folder, RecursiveMode::NonRecursive)
            .map_err(|error| failed(Some(folder), error))
    }

    /// Watches a folder and everything in it, where the system can do that at no cost.
    ///
    /// # Errors
    /// When there is no such folder, or the system watches no more.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn tree(&mut self, folder: &Path) -> Result<()> {
        self.watcher
            .watch(folder, RecursiveMode::Recursive)
            .map_err(|error| failed(Some(folder), error))
    }

    /// The next change.
    pub(crate) async fn next(&mut self) -> Change {
        match self.changes.recv().await {
            Some(change) => change,
            // the watcher holds the other end
            None => std::future::pending().await,
        }
    }
}

/// The meaning of an event; none for what changes nothing, as a file that is read.
fn change(event: notify::Result<notify::Event>) -> Option<Change> {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            return Some(Change {
                paths: error.paths,
                look_again: true,
            });
        }
    };
    let look_again = match event.kind {
        EventKind::Access(_) => return None,
        EventKind::Create(_) | EventKind::Any | EventKind::Other => true,
        EventKind::Modify(kind) => matches!(kind, ModifyKind::Name(_) | ModifyKind::Any),
        EventKind::Remove(_) => false,
    };
    Some(Change {
        look_again: look_again || event.need_rescan(),
        paths: event.paths,
    })
}

fn failed(folder: Option<&Path>, error: notify::Error) -> Error {
    let what = folder.map_or_else(
        || "files can't be watched".to_owned(),
        |folder| format!("`{}` can't be watched", folder.display()),
    );
    let no_more = matches!(error.kind, notify::ErrorKind::MaxFilesWatch);
    let said = Error::failed(what).caused_by(error);
    if no_more {
        return said.hint(
            "`sysctl fs.inotify.max_user_watches` says how many folders can be watched; raise it, or leave folders out with `.dockerignore`",
        );
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn writing_is_told_and_reading_is_not() {
        let home = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(home.path()).unwrap();
        let file = root.join("a");
        std::fs::write(&file, "1").unwrap();
        let mut watch = FileWatch::new().unwrap();
        watch.folder(&root).unwrap();
        std::fs::read(&file).unwrap();
        let second = root.join("b");
        std::fs::write(&second, "2").unwrap();
        // reading `a` came before: if it were told, it would be told first
        assert_eq!(watch.next().await.paths, [second]);
        let error = watch.folder(&root.join("nowhere")).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
