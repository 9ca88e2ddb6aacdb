//! The files of a folder that a build depends on, and so the changes that call for another build.

// elsewhere a watch covers a whole tree
#[cfg(any(target_os = "linux", test))]
mod folders;

use std::path::{Path, PathBuf};

use crate::context::folder;
use crate::error::{Error, Result};
use crate::image::ignore::{self, Matcher};
use crate::regular_file;

/// An ignore file that is larger than this is none: each line of it costs memory and time with
/// each file of the context.
const LARGEST: u64 = 1 << 20;

/// The `.dockerignore` patterns that hold for a context: those of the Dockerfile's own file, else
/// of the context's.
///
/// # Errors
/// When the file is there and can't be read, or is too large.
pub(crate) fn excluded(root: Option<&Path>, dockerfile: Option<&Path>) -> Result<Vec<String>> {
    for file in ignore_files(root, dockerfile) {
        if let Some(text) = ignore_text(&file)? {
            return Ok(ignore::lines(&text));
        }
    }
    Ok(Vec::new())
}

/// The text of an ignore file; `None` where there is none.
///
/// # Errors
/// When it is there and can't be read, or is too large.
pub(crate) fn ignore_text(file: &Path) -> Result<Option<String>> {
    match regular_file::bytes(file, LARGEST) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if folder::is_gone(&error) => Ok(None),
        Err(error) => {
            Err(Error::failed(format!("`{}` can't be read", file.display())).caused_by(error))
        }
    }
}

/// The files in which such patterns may stand; the first one that is there counts.
fn ignore_files(root: Option<&Path>, dockerfile: Option<&Path>) -> Vec<PathBuf> {
    let own = dockerfile.map(|file| {
        let mut name = file.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    let common = root.map(|root| root.join(".dockerignore"));
    own.into_iter().chain(common).collect()
}

/// A context, or a Dockerfile that stands elsewhere, whose changes matter.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// None for a Dockerfile without a context.
    root: Option<PathBuf>,
    dockerfile: Option<PathBuf>,
    exclude: Matcher,
    /// Files that matter wherever they are and whatever is ignored.
    always: Vec<PathBuf>,
}

impl Scope {
    /// # Errors
    /// A malformed pattern.
    pub(crate) fn new(root: Option<PathBuf>, dockerfile: Option<PathBuf>) -> Result<Self> {
        let mut always = ignore_files(root.as_deref(), dockerfile.as_deref());
        always.extend(dockerfile.clone());
        let mut scope = Self {
            root,
            dockerfile,
            exclude: Matcher::default(),
            always,
        };
        scope.reread()?;
        Ok(scope)
    }

    /// Reads the ignore file again.
    ///
    /// # Errors
    /// A malformed pattern; the patterns of before stay.
    pub(crate) fn reread(&mut self) -> Result<()> {
        let lines = excluded(self.root.as_deref(), self.dockerfile.as_deref())?;
        self.exclude = Matcher::new(&lines).map_err(|error| {
            Error::failed("the build context can't be filtered").caused_by(error)
        })?;
        Ok(())
    }

    /// True where a change of this file or folder calls for another build.
    pub(crate) fn matters(&self, path: &Path) -> bool {
        if self.always.iter().any(|always| always == path) {
            return true;
        }
        let Some(Ok(within)) = self.root.as_ref().map(|root| path.strip_prefix(root)) else {
            return false;
        };
        match within.to_str() {
            // the context itself: its entries tell more
            Some("") => false,
            Some(within) => {
                let within = within.replace('\\', "/");
                !self.exclude.matches(&within, None).0
                    // a folder may bring what is taken back in it
                    || (self.exclude.may_take_back_below(&within) && path.is_dir())
            }
            // the build says what is wrong with such a name
            None => true,
        }
    }

    /// True where a change of this file changes which others matter.
    pub(crate) fn is_ignore_file(&self, path: &Path) -> bool {
        self.always.iter().any(|always| always == path) && self.dockerfile.as_deref() != Some(path)
    }

    /// The path as a person knows it: below the context, where it is.
    pub(crate) fn shown<'p>(&self, path: &'p Path) -> &'p Path {
        self.root
            .as_ref()
            .and_then(|root| path.strip_prefix(root).ok())
            .unwrap_or(path)
    }

    /// The folder of the context.
    pub(crate) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Folders of files that matter and are not in the context.
    pub(crate) fn apart(&self) -> Vec<PathBuf> {
        let folder = self.dockerfile.as_deref().and_then(Path::parent);
        let outside = |folder: &&Path| {
            self.root
                .as_ref()
                .is_none_or(|root| !folder.starts_with(root))
        };
        folder
            .filter(outside)
            .map(Path::to_owned)
            .into_iter()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn ignored_files_do_not_matter_and_the_ignore_file_and_the_dockerfile_always_do() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("context");
        let apart = home.path().join("docker");
        for folder in ["src/deep", "node_modules/x", "kept/sub", "kept/other"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::create_dir(&apart).unwrap();
        fs::write(
            root.join(".dockerignore"),
            "node_modules\n*.log\n.dockerignore\nkept\n!kept/sub\n",
        )
        .unwrap();
        let dockerfile = apart.join("Dockerfile");
        let mut scope = Scope::new(Some(root.clone()), Some(dockerfile.clone())).unwrap();
        let matters = |scope: &Scope, path: &str| scope.matters(&root.join(path));
        for path in [
            "src/a",
            "src/deep/b.log",
            ".dockerignore",
            "kept/sub/x",
            "new",
        ] {
            assert!(matters(&scope, path), "{path}");
        }
        assert!(!scope.matters(&home.path().join("elsewhere")));
        for path in ["a.log", "node_modules/x/y", "kept/z", ""] {
            assert!(!matters(&scope, path), "{path}");
        }
        assert!(scope.matters(&dockerfile) && !scope.matters(&apart.join("notes")));
        assert!(scope.is_ignore_file(&root.join(".dockerignore")));
        assert!(!scope.is_ignore_file(&dockerfile));
        let folders = |scope: &Scope| {
            let mut all: Vec<String> = scope
                .folders()
                .unwrap()
                .iter()
                .map(|folder| {
                    folder
                        .strip_prefix(home.path())
                        .unwrap()
                        .display()
                        .to_string()
                })
                .collect();
            all.sort();
            all
        };
        let first = folders(&scope);
        // in `kept` something that is taken back may come at any time
        assert_eq!(
            first,
            [
                "context",
                "context/kept",
                "context/kept/sub",
                "context/src",
                "context/src/deep",
                "docker"
            ]
        );
        // the Dockerfile's own ignore file comes first, once it is there
        fs::write(apart.join("Dockerfile.dockerignore"), "src\nkept\n").unwrap();
        scope.reread().unwrap();
        assert!(matters(&scope, "a.log") && !matters(&scope, "src/a"));
        assert_eq!(
            folders(&scope),
            [
                "context",
                "context/node_modules",
                "context/node_modules/x",
                "docker"
            ]
        );
    }
}
