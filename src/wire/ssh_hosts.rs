//! The ssh host keys that may stand for a host: those in `known_hosts`, or the one that devnet
//! pinned for a minikube node when it first saw it.

use std::borrow::Cow;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use russh::keys::{Algorithm, HashAlg, PublicKey};

use crate::error::{Error, Result};
use crate::host::replace;
use crate::{regular_file, text_file};

/// The largest `known_hosts` that is read.
const LARGEST: u64 = 8 << 20;

/// The keys that are known of one host.
#[derive(Debug)]
pub(super) struct Known {
    /// The host's name in messages, as `127.0.0.1` or `[127.0.0.1]:2222`: ssh's own form.
    host: String,
    file: PathBuf,
    /// The name under which an unknown key is pinned; `None`: an unknown key is refused.
    pin_as: Option<String>,
    keys: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
}

impl Known {
    /// Reads what a person's `known_hosts` holds on a host.
    ///
    /// # Errors
    /// When a line on this host holds no key.
    pub(super) fn in_known_hosts(file: PathBuf, host: &str, port: u16) -> Result<Self> {
        // many link theirs to `/dev/null`, and others' code reads it as it is
        if replace::is_special(&file) {
            return Ok(Self {
                host: ssh_form(host, port),
                revoked: Vec::new(),
                pin_as: None,
                keys: Vec::new(),
                file,
            });
        }
        match regular_file::open(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&file).caused_by(error)),
            Ok((_file, length)) if length > LARGEST => {
                return Err(unreadable(&file).caused_by("it is larger than 8 MB"));
            }
            Ok(_) => {}
        }
        // ssh writes names in lower case
        let keys =
            russh::keys::known_hosts::known_host_keys_path(&host.to_lowercase(), port, &file)
                .map_err(|error| unreadable(&file).caused_by(error))?;
        Ok(Self {
            host: ssh_form(host, port),
            revoked: revoked(&file),
            pin_as: None,
            keys: keys.into_iter().map(|(_line, key)| key).collect(),
            file,
        })
    }

    /// True where a key of the host is known.
    pub(super) fn knows_it(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Reads which key devnet pinned for a node.
    ///
    /// # Errors
    /// When the file is there and can't be read, or holds something else.
    pub(super) fn pinned(file: PathBuf, name: &str, host: &str, port: u16) -> Result<Self> {
        let text = match text_file::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unreadable(&file).caused_by(error)),
        };
        let mut keys = Vec::new();
        for line in text.lines() {
            let Some((pinned, key)) = line.split_once(' ') else {
                continue;
            };
            if pinned == name {
                let key = PublicKey::from_openssh(key)
                    .map_err(|error| unreadable(&file).caused_by(error))?;
                keys.push(key);
            }
        }
        Ok(Self {
            host: ssh_form(host, port),
            file,
            pin_as: Some(name.into()),
            keys,
            revoked: Vec::new(),
        })
    }

    /// The kinds of host key to ask for: a host has several, so first those that can be checked.
    pub(super) fn preferred(&self) -> Cow<'static, [Algorithm]> {
        let known = |algorithm: &Algorithm| {
            self.keys.iter().any(|key| {
                let key = key.algorithm();
                key == *algorithm || (key.is_rsa() && algorithm.clone().is_rsa())
            })
        };
        let mut all = russh::Preferred::DEFAULT.key.into_owned();
        all.sort_by_key(|algorithm| !known(algorithm));
        Cow::Owned(all)
    }

    /// Accepts a key that may stand for the host; a node's first one is pinned.
    ///
    /// # Errors
    /// Unreachable: unknown, changed or revoked, with what to do.
    pub(super) fn check(&self, shown: &PublicKey) -> Result<()> {
        let same = |key: &PublicKey| key.key_data() == shown.key_data();
        let print = shown.fingerprint(HashAlg::Sha256);
        let (host, file) = (&self.host, self.file.display());
        if self.revoked.iter().any(same) {
            return Err(
                Error::unreachable(format!("the host key of {host} is marked as revoked"))
                    .caused_by(format!("`{file}` revokes {print}"))
                    .hint("set up a new host key there"),
            );
        }
        if self.keys.iter().any(same) {
            return Ok(());
        }
        match &self.pin_as {
            Some(name) if self.keys.is_empty() => self.pin(name, shown),
            Some(name) => Err(Error::unreachable(format!(
                "the ssh host key of the node `{name}` has changed"
            ))
            .caused_by(format!("{host} shows {print}, another was pinned"))
            .hint(format!(
                "if the node was made anew, remove the line of `{name}` from `{file}`; if not, another machine answers there"
            ))),
            None if self.keys.is_empty() => Err(Error::unreachable(format!(
                "the ssh host key of {host} is not known"
            ))
            .caused_by(format!("it shows {print}, and `{file}` does not name this host"))
            .hint(format!(
                "compare that fingerprint, then add the key: {}",
                self.scan()
            ))),
            None => Err(Error::unreachable(format!(
                "the ssh host key of {host} has changed"
            ))
            .caused_by(format!("it shows {print}, `{file}` holds another"))
            .hint(format!(
                "if the machine was set up anew, remove the old key with `ssh-keygen -R '{host}'`; if not, another machine answers there"
            ))),
        }
    }

    fn pin(&self, name: &str, shown: &PublicKey) -> Result<()> {
        let failed = || {
            Error::failed(format!(
                "the host key of `{name}` could not be kept in `{}`",
                self.file.display()
            ))
        };
        let key = shown
            .to_openssh()
            .map_err(|error| failed().caused_by(error))?;
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed().caused_by(error))?;
        }
        if replace::is_special(&self.file) {
            return Err(failed().caused_by("it is not a regular file"));
        }
        // one write, so that two runs at once leave two whole lines
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.file)
            .and_then(|mut file| file.write_all(format!("{name} {key}\n").as_bytes()))
            .map_err(|error| failed().caused_by(error))
    }

    fn scan(&self) -> String {
        let file = self.file.display();
        match self.host.strip_prefix('[').and_then(|h| h.split_once("]:")) {
            Some((host, port)) => format!("`ssh-keyscan -p {port} {host} >> {file}`"),
            None => format!("`ssh-keyscan {} >> {file}`", self.host),
        }
    }
}

/// A host as `known_hosts` names it.
fn ssh_form(host: &str, port: u16) -> String {
    if port == 22 {
        host.to_lowercase()
    } else {
        format!("[{}]:{port}", host.to_lowercase())
    }
}

/// The keys that a `known_hosts` revokes, for whichever host: such a line is a warning.
fn revoked(file: &Path) -> Vec<PublicKey> {
    let text = regular_file::text(file, LARGEST).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("@revoked"))
        .filter_map(|rest| rest.trim_start().split_once([' ', '\t']))
        .filter_map(|(_hosts, key)| PublicKey::from_openssh(key.trim()).ok())
        .collect()
}

fn unreadable(file: &Path) -> Error {
    Error::failed(format!(
        "the host keys in `{}` can't be read",
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    #[test]
    fn a_node_keeps_the_key_that_it_showed_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/known_nodes");
        let known = |name| Known::pinned(file.clone(), name, "127.0.0.1", 2222).unwrap();
        known("dev").check(&key(ONE)).unwrap();
        known("dev").check(&key(ONE)).unwrap();
        let error = known("dev").check(&key(TWO)).unwrap_err();
        assert!(error.to_string().contains("`dev` has changed"), "{error}");
        // another node is another line
        known("dev-m02").check(&key(TWO)).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_host_must_be_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        std::fs::write(&file, format!("[host]:2222 {ONE}\n")).unwrap();
        let known = |host, port| Known::in_known_hosts(file.clone(), host, port).unwrap();
        known("Host", 2222).check(&key(ONE)).unwrap();
        let changed = known("host", 2222).check(&key(TWO)).unwrap_err();
        assert!(changed.hints()[0].contains("ssh-keygen -R '[host]:2222'"));
        let unknown = known("host", 22).check(&key(ONE)).unwrap_err();
        assert!(unknown.hints()[0].contains("ssh-keyscan host"));
        std::fs::write(&file, format!("host {ONE}\n@revoked * {ONE}\n")).unwrap();
        let revoked = known("host", 22).check(&key(ONE)).unwrap_err();
        assert!(revoked.to_string().contains("revoked"));
    }

    #[test]
    fn the_kind_of_key_that_is_known_is_asked_for_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=";
        std::fs::write(&file, format!("host {ecdsa}\n")).unwrap();
        let known = Known::in_known_hosts(file, "host", 22).unwrap();
        assert_eq!(known.preferred()[0], key(ecdsa).algorithm());
    }
}
