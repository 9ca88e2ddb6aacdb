//! The docker contexts that devnet writes, in docker's own on-disk form: a record under the hash of
//! the name, the certificates beside it, the choice in `config.json`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::docker_env::member::with_member;
use crate::error::{Error, Result};
use crate::host::docker_context;
use crate::host::replace::{self, Readers};
use crate::image::digest::Digest;
use crate::text_file;

/// The files that prove both sides to each other.
const TLS_FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];
/// The profile that a context is for; docker keeps keys that it does not know.
const PROFILE: &str = "dev.devnet.profile";
/// The context that docker used before this one.
const BEFORE: &str = "dev.devnet.before";

/// The content that a context is to have.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) profile: String,
    /// An engine's address, as docker takes it.
    pub(crate) host: String,
    /// The folder with the client's certificates; `None` for ssh.
    pub(crate) certs: Option<PathBuf>,
}

/// The thing that stands under a name.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    /// Nobody can read it, docker neither.
    Broken,
    /// Someone else's.
    Foreign,
    Ours {
        profile: String,
        host: String,
        before: Option<String>,
    },
}

/// docker's configuration folder, to be written.
#[derive(Debug)]
pub(crate) struct Store(PathBuf);

impl Store {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Looks up what stands under a name now.
    pub(crate) fn found(&self, name: &str) -> Found {
        let text = match text_file::read(&self.meta(name).join("meta.json")) {
            Ok(text) => text,
            Err(error) if is_absent(&error) => return Found::Nothing,
            Err(_) => return Found::Broken,
        };
        let Ok(meta) = serde_json::from_str::<Value>(&text) else {
            return Found::Broken;
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let metadata = meta.get("Metadata");
        let Some(profile) = text(metadata.and_then(|all| all.get(PROFILE))) else {
            return Found::Foreign;
        };
        Found::Ours {
            profile,
            host: text(meta.pointer("/Endpoints/docker/Host")).unwrap_or_default(),
            before: text(metadata.and_then(|all| all.get(BEFORE))),
        }
    }

    /// True where the certificates of a context are those of the cluster.
    pub(crate) fn has_certs_of(&self, record: &Record) -> bool {
        let tls = self.tls(&record.name).join("docker");
        match &record.certs {
            None => !tls.exists(),
            Some(folder) => TLS_FILES.iter().all(|file| {
                let (theirs, ours) = (
                    text_file::bytes(&folder.join(file)),
                    text_file::bytes(&tls.join(file)),
                );
                matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs == ours)
            }),
        }
    }

    /// Writes a context; a new one that can't be written whole leaves nothing.
    ///
    /// # Errors
    /// When a certificate can't be read, or docker's folder can't be written.
    pub(crate) fn write(&self, record: &Record, before: Option<&str>) -> Result<()> {
        let is_new = matches!(self.found(&record.name), Found::Nothing);
        let outcome = self.write_all(record, before);
        if outcome.is_err() && is_new {
            let _as_before = self.remove(&record.name);
        }
        outcome
    }

    fn write_all(&self, record: &Record, before: Option<&str>) -> Result<()> {
        let mut certificates = Vec::new();
        for file in record
            .certs
            .iter()
            .flat_map(|folder| TLS_FILES.map(|name| folder.join(name)))
        {
            let bytes = text_file::bytes(&file).map_err(|error| {
                Error::failed(format!("the TLS file `{}` can't be read", file.display()))
                    .caused_by(error)
                    .hint("minikube writes these files; `minikube start` makes them anew")
            })?;
            certificates.push(bytes);
        }
        let failed = |error: io::Error| self.failed(&record.name, error);
        let tls = self.tls(&record.name).join("docker");
        if certificates.is_empty() {
            remove_folder(&self.tls(&record.name)).map_err(failed)?;
        } else {
            replace::folder(&tls, Readers::Owner).map_err(failed)?;
        }
        for (name, bytes) in TLS_FILES.iter().zip(&certificates) {
            replace::replace(&tls.join(name), bytes, Readers::Owner).map_err(failed)?;
        }
        let mut metadata = json!({
            "Description": format!("minikube profile {}, kept right by devnet", record.profile),
            PROFILE: record.profile,
        });
        if let Some(before) = before {
            metadata[BEFORE] = before.into();
        }
        let meta = json!({
            "Name": record.name,
            "Metadata": metadata,
            "Endpoints": { "docker": { "Host": record.host, "SkipTLSVerify": false } },
        });
        let folder = self.meta(&record.name);
        replace::folder(&folder, Readers::Everybody).map_err(failed)?;
        let text = meta.to_string();
        replace::replace(
            &folder.join("meta.json"),
            text.as_bytes(),
            Readers::Everybody,
        )
        .map_err(failed)
    }

    /// Takes a context away.
    ///
    /// # Errors
    /// When docker's folder can't be written.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        remove_folder(&self.meta(name))
            .and_then(|()| remove_folder(&self.tls(name)))
            .map_err(|error| self.failed(name, error))
    }

    /// True where docker knows a context of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.meta(name).join("meta.json").exists()
    }

    /// The context that docker uses now; `None` is its default.
    pub(crate) fn current(&self) -> Option<String> {
        docker_context::current(&self.0)
    }

    /// Makes docker use a context, or its default. Nothing else in its file changes.
    ///
    /// # Errors
    /// When the file is no JSON, or can't be written.
    pub(crate) fn set_current(&self, name: Option<&str>) -> Result<()> {
        let file = self.0.join("config.json");
        let failed = || {
            Error::failed(format!(
                "docker's file `{}` can't be changed",
                file.display()
            ))
        };
        let (old, readers) = match text_file::read(&file) {
            Ok(text) if text.trim().is_empty() => ("{}".to_owned(), Readers::Everybody),
            Ok(text) => (text, Readers::Everybody),
            // docker keeps logins in it
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                ("{}".to_owned(), Readers::Owner)
            }
            Err(error) => return Err(failed().caused_by(error)),
        };
        let new =
            with_member(&old, "currentContext", name).map_err(|error| failed().caused_by(error))?;
        if new == old {
            return Ok(());
        }
        replace::folder(&self.0, Readers::Owner)
            .and_then(|()| replace::replace(&file, new.as_bytes(), readers))
            .map_err(|error| failed().caused_by(error))
    }

    fn meta(&self, name: &str) -> PathBuf {
        self.0.join("contexts").join("meta").join(id(name))
    }

    fn tls(&self, name: &str) -> PathBuf {
        self.0.join("contexts").join("tls").join(id(name))
    }

    fn failed(&self, name: &str, error: io::Error) -> Error {
        Error::failed(format!(
            "the docker context `{name}` in `{}` can't be written",
            self.0.display()
        ))
        .caused_by(error)
    }
}

fn id(name: &str) -> String {
    Digest::of(name.as_bytes()).hex().to_owned()
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if is_absent(&error) => Ok(()),
        other => other,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
