//! `devnet build`: where the context and the Dockerfile are, and what else the build may read.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::context::{oci_layout, scope};
use crate::engine::buildkit::files::Folder;
use crate::engine::buildkit::ssh::Agent;
use crate::engine::buildkit::streams::{Supply, UPLOADED};
use crate::engine::buildkit::token;
use crate::error::{Error, Result};
use crate::image::build::Options;
use crate::image::build_flags::{self, NamedContext, Secret, SecretSource, Ssh};
use crate::image::digest::Digest;
use crate::image::dockerfile;
use crate::{regular_file, text_file};

/// The beginning of named contexts' keys.
const NAMED: &str = "named-";
/// The largest secret that BuildKit takes.
const LARGEST_SECRET: u64 = 500 << 10;

/// The build's files that the engine may read.
#[derive(Default)]
pub(super) struct BuildSource {
    pub(super) folders: BTreeMap<String, Folder>,
    pub(super) upload: Option<Supply>,
    /// The Dockerfile, where it is a file on this computer.
    pub(super) dockerfile: Option<PathBuf>,
    /// The text that tells this source from others, for the shared key and for `--dry-run`.
    pub(super) context: String,
    /// Named contexts that are images in OCI layouts.
    pub(super) layouts: Vec<Layout>,
}

/// A named context that is an image in an OCI layout.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) name: String,
    /// The engine's name for the layout.
    pub(super) store: String,
    pub(super) root: PathBuf,
    /// The manifest or index that is meant.
    pub(super) digest: Digest,
}

impl BuildSource {
    /// Finds the context and the Dockerfile; says in `options` what the frontend must know.
    pub(super) async fn find(
        place: &Path,
        file: Option<&Path>,
        options: &mut Options,
    ) -> Result<Self> {
        let from_stdin = file == Some(Path::new("-"));
        "Dockerfile".clone_into(&mut options.filename);
        let mut source = Self::default();
        if place == Path::new("-") {
            if from_stdin {
                return Err(Error::usage(
                    "stdin can't be both the context and the Dockerfile",
                ));
            }
            "-".clone_into(&mut source.context);
            source.stdin(file, options).await?;
            return Ok(source);
        }
        if let Some(url) = place.to_str().filter(|url| build_flags::is_remote(url)) {
            url.clone_into(&mut source.context);
            options.remote_context = Some(url.to_owned());
            if !from_stdin {
                options.filename = remote_name(file)?;
            }
        } else {
            source.folder(place)?;
            if !from_stdin {
                source.dockerfile_in_folder(place, file, options).await?;
            }
        }
        if from_stdin {
            let text = blocking(|| {
                let mut stdin = std::io::stdin().lock();
                regular_file::all(&mut stdin, dockerfile::LARGEST)
            });
            source.dockerfile_in_memory(text.await?, options);
        }
        source.look_at_ignore_files()?;
        Ok(source)
    }

    fn folder(&mut self, place: &Path) -> Result<()> {
        let shown = place.display();
        let context = std::fs::canonicalize(place).map_err(|error| {
            Error::failed(format!("no build context at `{shown}`")).caused_by(error)
        })?;
        if !context.is_dir() {
            return Err(
                Error::failed(format!("the build context `{shown}` is no folder"))
                    .hint("give the folder, and the Dockerfile with `-f`"),
            );
        }
        self.context = context.to_string_lossy().into_owned();
        self.folders.insert("context".into(), Folder::Path(context));
        Ok(())
    }

    /// Refuses ignore files that no engine could read: it asks for them whatever they are.
    fn look_at_ignore_files(&self) -> Result<()> {
        let root = |key: &str| match self.folders.get(key) {
            Some(Folder::Path(path)) => Some(path.as_path()),
            _ => None,
        };
        scope::excluded(root("context"), self.dockerfile.as_deref())?;
        for key in self.folders.keys().filter(|key| key.starts_with(NAMED)) {
            scope::excluded(root(key), None)?;
        }
        Ok(())
    }

    async fn dockerfile_in_folder(
        &mut self,
        context: &Path,
        file: Option<&Path>,
        options: &mut Options,
    ) -> Result<()> {
        let wanted = file.map_or_else(|| context.join("Dockerfile"), Path::to_owned);
        let wanted = or_in_lower_case(wanted);
        let no_dockerfile = || Error::failed(format!("no Dockerfile at `{}`", wanted.display()));
        if regular_file::is_of_the_shell(&wanted) {
            let path = wanted.clone();
            let reading = move || regular_file::named(&path, dockerfile::LARGEST);
            let text = tokio::task::spawn_blocking(reading)
                .await
                .map_err(|error| no_dockerfile().caused_by(error))?
                .map_err(|error| no_dockerfile().caused_by(error))?;
            self.dockerfile_in_memory(text, options);
            return Ok(());
        }
        let (Some(name), Some(folder)) = (wanted.file_name(), wanted.parent()) else {
            return Err(no_dockerfile());
        };
        let here = folder.as_os_str().is_empty();
        let folder = if here { Path::new(".") } else { folder };
        let folder =
            std::fs::canonicalize(folder).map_err(|error| no_dockerfile().caused_by(error))?;
        let path = folder.join(name);
        let facts = std::fs::metadata(&path).map_err(|error| {
            let said = no_dockerfile().caused_by(error);
            if file.is_none() {
                return said.hint("`-f FILE` names another");
            }
            said
        })?;
        if facts.is_dir() {
            return Err(no_dockerfile().caused_by("this is a folder"));
        }
        if !facts.is_file() {
            return Err(no_dockerfile()
                .caused_by("this is not a regular file")
                .hint("`-f -` reads a Dockerfile from stdin"));
        }
        if facts.len() > dockerfile::LARGEST {
            return Err(no_dockerfile().caused_by(format!(
                "this is larger than {} MB",
                dockerfile::LARGEST >> 20
            )));
        }
        name.to_str()
            .ok_or_else(|| no_dockerfile().caused_by("its name is not UTF-8"))?
            .clone_into(&mut options.filename);
        self.folders
            .insert("dockerfile".into(), Folder::Path(folder));
        self.dockerfile = Some(path);
        Ok(())
    }

    /// The Dockerfile's text, where it is on this computer and can be read.
    pub(super) fn dockerfile_text(&self) -> Option<String> {
        let bytes = match (&self.dockerfile, self.folders.get("dockerfile")) {
            (Some(file), _) => regular_file::bytes(file, dockerfile::LARGEST).ok()?,
            (None, Some(Folder::Memory(files))) => files.values().next()?.clone(),
            (None, _) => return None,
        };
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn dockerfile_in_memory(&mut self, text: Vec<u8>, options: &mut Options) {
        options.dockerfile_apart = true;
        let files = [(options.filename.clone(), text)].into();
        self.folders
            .insert("dockerfile".into(), Folder::Memory(files));
    }

    /// Stdin is an archive, or a Dockerfile that needs no context.
    async fn stdin(&mut self, file: Option<&Path>, options: &mut Options) -> Result<()> {
        let begin = blocking(|| {
            let mut begin = Vec::new();
            std::io::stdin()
                .lock()
                .take(512)
                .read_to_end(&mut begin)
                .map(|_length| begin)
        });
        let begin = begin.await?;
        if is_archive(&begin) {
            options.filename = remote_name(file)?;
            options.remote_context = Some(UPLOADED.to_owned());
            self.upload = Some(Box::new(
                std::io::Cursor::new(begin).chain(std::io::stdin()),
            ));
            return Ok(());
        }
        if file.is_some() {
            return Err(Error::failed("stdin is no tar archive").hint(
                "with `-f`, the context on stdin must be an archive that has the Dockerfile",
            ));
        }
        let rest = blocking(move || {
            let stdin = std::io::stdin().lock();
            regular_file::all(begin.as_slice().chain(stdin), dockerfile::LARGEST)
        });
        self.dockerfile_in_memory(rest.await?, options);
        self.folders
            .insert("context".into(), Folder::Memory(BTreeMap::new()));
        Ok(())
    }

    /// Adds what `--build-context` names.
    pub(super) fn named(&mut self, given: &[String], options: &mut Options) -> Result<()> {
        for text in given {
            match build_flags::build_context(text)? {
                (name, NamedContext::Remote(place)) => {
                    options.contexts.insert(name, place);
                }
                (name, NamedContext::Layout(place)) => {
                    let (root, digest) = oci_layout::find(&place)?;
                    let store = format!("layout{}", self.layouts.len());
                    let address = format!("oci-layout://{store}@{}", digest.as_str());
                    options.contexts.insert(name.clone(), address);
                    self.layouts.push(Layout {
                        name,
                        store,
                        root,
                        digest,
                    });
                }
                (name, NamedContext::Folder(path)) => {
                    let folder = std::fs::canonicalize(&path)
                        .ok()
                        .filter(|path| path.is_dir())
                        .ok_or_else(|| {
                            Error::failed(format!(
                                "the build context `{name}`: no folder at `{}`",
                                path.display()
                            ))
                        })?;
                    // the names of the context and the Dockerfile are taken
                    let key = format!("{NAMED}{name}");
                    options.contexts.insert(name, format!("local:{key}"));
                    self.folders.insert(key, Folder::Path(folder));
                }
            }
        }
        self.look_at_ignore_files()
    }

    /// The engine keeps one copy of a context under each key. With the Dockerfile and the stage
    /// in it, builds that need other files of the same folder do not throw away each other's;
    /// with the computer in it, nobody else's folder of the same name passes for this one.
    pub(super) fn shared_key(&self, computer: &str, node: &str, stage: Option<&str>) -> String {
        let dockerfile = self.dockerfile.as_deref().unwrap_or(Path::new("-"));
        let mut hash = sha2::Sha256::new();
        for part in [
            computer.as_bytes(),
            node.as_bytes(),
            self.context.as_bytes(),
            dockerfile.as_os_str().as_encoded_bytes(),
            stage.unwrap_or_default().as_bytes(),
        ] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        format!("devnet-{:x}", hash.finalize())
    }
}

/// The mark that tells this computer's contexts from others', made up once and kept. Where it can't
/// be kept every run is a computer of its own: slower, and never wrong.
pub(super) fn computer(context: &Context) -> String {
    let fresh = token();
    let Ok(folder) = context.settings.state_folder() else {
        return fresh;
    };
    let file = folder.join("build-context-id");
    let kept = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::File::create_new(&file))
        .and_then(|mut file| std::io::Write::write_all(&mut file, fresh.as_bytes()));
    match kept {
        Ok(()) => fresh,
        Err(_it_is_there) => text_file::read(&file)
            .ok()
            .filter(|known| known.len() == fresh.len())
            .unwrap_or(fresh),
    }
}

/// The `dockerfile` beside a `Dockerfile` that is not there, where that is.
fn or_in_lower_case(wanted: PathBuf) -> PathBuf {
    if wanted.file_name().is_none_or(|name| name != "Dockerfile")
        || wanted.symlink_metadata().is_ok()
    {
        return wanted;
    }
    let other = wanted.with_file_name("dockerfile");
    if other.symlink_metadata().is_ok() {
        other
    } else {
        wanted
    }
}

/// The Dockerfile's path in a context that is not here.
fn remote_name(file: Option<&Path>) -> Result<String> {
    file.unwrap_or(Path::new("Dockerfile"))
        .to_str()
        .map(|name| name.replace('\\', "/"))
        .ok_or_else(|| Error::failed("the Dockerfile's name is not UTF-8"))
}

/// tar, or what tar is usually packed in.
fn is_archive(begin: &[u8]) -> bool {
    let magics: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    magics.iter().any(|magic| begin.starts_with(magic)) || begin.get(257..262) == Some(b"ustar")
}

/// Reads stdin beside the loop that notices Ctrl-C.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let failed = |error: std::io::Error| Error::failed("stdin can't be read").caused_by(error);
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| failed(error.into()))?
        .map_err(failed)
}

/// Reads the secrets' values.
pub(super) async fn secrets(
    given: &[Secret],
    context: &Context,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let variable = |name: &str| {
        let value = context.settings.environment.os(name)?;
        Some(value.as_encoded_bytes().to_vec())
    };
    let file = async |id: &str, path: &Path| {
        let failed = || {
            Error::failed(format!(
                "the secret `{id}` can't be read from `{}`",
                path.display()
            ))
        };
        let place = path.to_owned();
        tokio::task::spawn_blocking(move || regular_file::named(&place, LARGEST_SECRET))
            .await
            .map_err(|error| failed().caused_by(error))?
            .map_err(|error| failed().caused_by(error))
    };
    let mut values = BTreeMap::new();
    for Secret { id, from } in given {
        let value = match from {
            SecretSource::Env(name) => variable(name).ok_or_else(|| {
                Error::failed(format!(
                    "the secret `{id}`: the variable `{name}` is not set"
                ))
            })?,
            SecretSource::Src(path) => file(id, path).await?,
            SecretSource::Either(name) => match variable(name) {
                Some(value) => value,
                None => file(id, Path::new(name)).await?,
            },
        };
        values.insert(id.clone(), value);
    }
    Ok(values)
}

/// The ssh agents that steps may use.
pub(super) async fn agents(given: &[Ssh], context: &Context) -> Result<BTreeMap<String, Agent>> {
    let mut agents = BTreeMap::new();
    for Ssh { id, paths } in given {
        let paths = match (
            paths.as_slice(),
            context.settings.environment.path("SSH_AUTH_SOCK"),
        ) {
            ([], Some(socket)) => vec![socket],
            ([], None) if cfg!(windows) => vec![PathBuf::from(r"\\.\pipe\openssh-ssh-agent")],
            ([], None) => {
                return Err(Error::failed(format!(
                    "`--ssh {id}`: no ssh agent runs in this shell"
                ))
                .caused_by("`SSH_AUTH_SOCK` is not set")
                .hint(format!(
                    "`{}` uses a key without an agent",
                    command_line::of(["--ssh", &format!("{id}=KEYFILE")])
                )));
            }
            (paths, _) => paths.to_vec(),
        };
        let agent = match paths.as_slice() {
            [path] if is_socket(path) => Agent::Socket(path.clone()),
            files => Agent::of_keys(files).await?,
        };
        agents.insert(id.clone(), agent);
    }
    Ok(agents)
}

#[cfg(unix)]
fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|facts| facts.file_type().is_socket())
}

#[cfg(not(unix))]
fn is_socket(path: &Path) -> bool {
    path.to_string_lossy().starts_with(r"\\.\pipe\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_on_stdin_is_told_from_a_dockerfile() {
        assert!(is_archive(b"\x1f\x8b\x08"));
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(is_archive(&tar));
        assert!(!is_archive(b"FROM scratch\n"));
        assert!(!is_archive(b""));
    }
}
