//! The meaning of an argument of `devnet load`: an image of an engine, an archive, a layout, stdin.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::context::files::Files;
use crate::docker_env::endpoint::Endpoint;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::image::archive_image::ArchiveImage;
use crate::image::catalog;
use crate::image::reference;
use crate::image::stored::StoredImage;

/// The thing that was typed.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    Stdin,
    Path(PathBuf),
    Image,
}

/// The way in which the engine that images come from was named.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    /// `--from-node`, of the cluster that `-p` names
    Node {
        profile: Option<&'a str>,
        node: &'a str,
    },
    /// `--from-host`
    Host,
    Nothing,
}

impl Meaning {
    /// Equal for what is one source under several names.
    pub(super) fn identity(&self, text: &str) -> (Self, String) {
        match self {
            Self::Stdin => (Self::Stdin, String::new()),
            Self::Path(path) => {
                let path = path.canonicalize().unwrap_or_else(|_| path.clone());
                (Self::Path(path), String::new())
            }
            Self::Image => (Self::Image, reference::canonical(text)),
        }
    }
}

/// A file or a layout folder of that name wins over an image; a folder that is no layout does not,
/// for projects often lie in a folder that is called as their image.
///
/// # Errors
/// When it can be neither.
pub(super) fn meaning(text: &str) -> Result<Meaning> {
    if text == "-" {
        return Ok(Meaning::Stdin);
    }
    let path = Path::new(text);
    let spelt_as_path = path.is_absolute()
        || text.starts_with("./")
        || text.starts_with("../")
        || text == "."
        || text == ".."
        || cfg!(windows) && text.contains('\\');
    let there = path.symlink_metadata().is_ok();
    if spelt_as_path {
        return if there {
            Ok(Meaning::Path(path.to_owned()))
        } else {
            Err(Error::not_found(format!("there is no file `{text}`")))
        };
    }
    if path.join("index.json").is_file() || there && !path.is_dir() {
        return Ok(Meaning::Path(path.to_owned()));
    }
    match reference::split(text) {
        Ok(_) => Ok(Meaning::Image),
        Err(_) if text.starts_with("sha256:") => Ok(Meaning::Image),
        Err(_) if reference::split_digest(text).is_some() => Ok(Meaning::Image),
        Err(_) if there => Ok(Meaning::Path(path.to_owned())),
        Err(error) => Err(Error::not_found(format!("there is no file `{text}`"))
            .caused_by(format!("and as an image: {error}"))),
    }
}

/// An image of an engine, or says what else the text could have meant. `asked` is how the engine was
/// named, if it was.
pub(super) async fn image(
    source: &Engine,
    name: &str,
    from: &Endpoint,
    asked: Asked<'_>,
) -> Result<StoredImage> {
    let found = source.images.image_however_spelled(name).await;
    found.map_err(|error| {
        if error.kind() != Kind::NotFound {
            return error;
        }
        let error = Error::not_found(format!(
            "there is no file `{name}` here, and the engine at {from} has no image `{name}`"
        ));
        match asked {
            Asked::Node { profile, node } => {
                let mut words = vec!["devnet"];
                words.extend(profile.iter().flat_map(|profile| ["-p", profile]));
                words.extend(["images", "-n", node]);
                error.hint(format!("`{}` lists what it has", command_line::of(words)))
            }
            Asked::Host => error.hint(format!(
                "`{}` lists what it has",
                command_line::of(["docker", "-H", &from.to_string(), "images"])
            )),
            Asked::Nothing => error
                .hint("`docker images` lists what it has; `--from-host URL` names another engine"),
        }
    })
}

/// Reads what stands in an archive or a layout.
pub(super) fn open(path: &Path, name: &str) -> Result<(Arc<Files>, Vec<ArchiveImage>)> {
    catalog(Files::open(path, name)?)
}

/// An archive on stdin that is a file: it can be gone back to.
#[cfg(unix)]
pub(super) fn redirected() -> Option<File> {
    use std::os::fd::AsFd as _;
    let file: File = std::io::stdin().as_fd().try_clone_to_owned().ok()?.into();
    file.metadata().ok()?.is_file().then_some(file)
}

#[cfg(not(unix))]
pub(super) fn redirected() -> Option<File> {
    None
}

/// Reads what stands in an archive that is open.
pub(super) fn of_file(file: File, name: &str) -> Result<(Arc<Files>, Vec<ArchiveImage>)> {
    catalog(Files::of_file(file, name)?)
}

/// Reads an archive beside the loop that notices Ctrl-C: a packed one is read through.
pub(super) async fn apart<T: Send + 'static>(
    read: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Error::failed("reading the archive failed").caused_by(error))?
}

fn catalog(files: Files) -> Result<(Arc<Files>, Vec<ArchiveImage>)> {
    let images = catalog::read(&files)?;
    Ok((Arc::new(files), images))
}

impl Context {
    /// Says that a name could also have been an image's.
    pub(super) fn say_meaning(&self, text: &str, path: &Path) {
        if reference::split(text).is_ok() && path.extension().is_none() {
            self.ui.note(&format!(
                "`{text}` is an archive or a layout here; `{text}:latest` names an image"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_only_be_a_path_or_only_an_image_is_told_as_such() {
        assert_eq!(meaning("-").unwrap(), Meaning::Stdin);
        assert_eq!(meaning("no-such-image:v1").unwrap(), Meaning::Image);
        assert_eq!(meaning("no-such-file.tar").unwrap(), Meaning::Image);
        let error = meaning("./no-such-file.tar").unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        let error = meaning("No Such File.tar").unwrap_err();
        assert!(error.in_one_line().contains("as an image"), "{error}");
    }
}
