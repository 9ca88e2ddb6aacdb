//! minikube's files on this computer, read and never written.

use std::io;
use std::path::{Path, PathBuf};

use crate::command_line;
use crate::docker_env::profile::{Machine, Profile};
use crate::error::{Error, Result};
use crate::settings::Environment;
use crate::text_file;
use crate::wording::{MANY, listed};

/// minikube's home: `MINIKUBE_HOME` or `~/.minikube`.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

/// `config/config.json`: what `minikube config set` and `minikube profile` wrote.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Config {
    profile: Option<String>,
    rootless: serde_json::Value,
}

impl Home {
    /// Finds it as minikube does: `MINIKUBE_HOME` may name the folder `.minikube` itself or its parent.
    pub(crate) fn find(environment: &Environment, home: &Path) -> Self {
        let folder = match environment.path("MINIKUBE_HOME") {
            None => home.join(".minikube"),
            Some(path) if path.file_name().is_some_and(|name| name == ".minikube") => path,
            Some(path) => path.join(".minikube"),
        };
        Self(folder)
    }

    /// The client's certificates, the same for all profiles.
    pub(crate) fn certs(&self) -> PathBuf {
        self.0.join("certs")
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// minikube's own settings, where the active profile stands.
    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("config").join("config.json")
    }

    /// The private key of a machine's ssh login.
    ///
    /// # Errors
    /// When the machine's record, which may name one, can't be read.
    pub(crate) fn login_key(&self, machine: &str) -> Result<PathBuf> {
        let named = self.machine(machine)?.driver.ssh_key_path;
        Ok(if named.is_empty() {
            self.0.join("machines").join(machine).join("id_rsa")
        } else {
            named.into()
        })
    }

    /// The names of all profiles, sorted.
    pub(crate) fn profiles(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.0.join("profiles")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(io::Result::ok)
            .filter(|entry| entry.path().join("config.json").is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The active profile (`minikube profile NAME`), when one was chosen.
    ///
    /// # Errors
    /// When minikube's settings are there but can't be read: another cluster must not be taken for
    /// the one that was chosen.
    pub(crate) fn active_profile(&self) -> Result<Option<String>> {
        let config = self.settings()?;
        Ok(config.profile.filter(|name| !name.is_empty()))
    }

    /// True where minikube was told that its containers run without root's rights: by its variable,
    /// else by its settings, where those can be read.
    ///
    /// # Errors
    /// When the variable can't be read.
    pub(crate) fn rootless(&self, environment: &Environment) -> Result<bool> {
        let yes = |text: &str| matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True");
        if let Some(word) = environment.text("MINIKUBE_ROOTLESS")? {
            return Ok(yes(word));
        }
        let rootless = self.settings().map(|config| config.rootless);
        Ok(match rootless {
            Ok(serde_json::Value::Bool(rootless)) => rootless,
            Ok(serde_json::Value::String(word)) => yes(&word),
            _ => false,
        })
    }

    fn settings(&self) -> Result<Config> {
        let file = self.config();
        let unreadable = || {
            Error::failed(format!(
                "minikube's file `{}` can't be read",
                file.display()
            ))
            .hint("name a profile with `-p`, or choose one anew with `minikube profile NAME`")
        };
        match text_file::read(&file) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| unreadable().caused_by(error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Config::default()),
            Err(error) => Err(unreadable().caused_by(error)),
        }
    }

    /// A profile's record.
    ///
    /// # Errors
    /// Not found, with the names that there are; or unreadable.
    pub(crate) fn profile(&self, name: &str) -> Result<Profile> {
        check_name(name)?;
        let file = self.0.join("profiles").join(name).join("config.json");
        let text = match text_file::read(&file) {
            // minikube removes the file for a moment each time it writes it
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && file.parent().is_some_and(Path::is_dir) =>
            {
                std::thread::sleep(std::time::Duration::from_millis(20));
                text_file::read(&file)
            }
            other => other,
        };
        match text {
            Ok(text) => {
                let mut profile = Profile::parse(&file.display().to_string(), &text)?;
                if profile.name.is_empty() {
                    name.clone_into(&mut profile.name);
                }
                Ok(profile)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let known = self.profiles();
                let error = Error::not_found(format!("there is no minikube profile `{name}`"));
                Err(if known.is_empty() {
                    error.hint(format!(
                        "`{}` makes one; `devnet -p lab` uses this computer's own engine",
                        command_line::with("minikube start -p", [name])
                    ))
                } else {
                    error.hint(format!("there are: {}", listed(&known, MANY)))
                })
            }
            Err(error) => Err(Error::failed(format!(
                "minikube's file `{}` can't be read",
                file.display()
            ))
            .caused_by(error)),
        }
    }

    /// A machine's record.
    ///
    /// # Errors
    /// When it is missing or unreadable.
    pub(crate) fn machine(&self, machine: &str) -> Result<Machine> {
        check_name(machine)?;
        let file = self.0.join("machines").join(machine).join("config.json");
        let text = text_file::read(&file).map_err(|error| {
            Error::failed(format!(
                "minikube's file `{}` can't be read",
                file.display()
            ))
            .caused_by(error)
            .hint("`minikube start` writes it anew")
        })?;
        Machine::parse(&file.display().to_string(), &text)
    }
}

/// A profile's name becomes a path: nothing in it may lead elsewhere.
fn check_name(name: &str) -> Result<()> {
    /// No file system has longer ones.
    const LONGEST: usize = 255;
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(Error::usage(format!(
            "`{}` is no name of a minikube profile",
            name.escape_debug()
        )));
    }
    if name.len() > LONGEST {
        return Err(Error::usage("the name of the minikube profile is too long"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_found_as_minikube_finds_it() {
        let of = |value: &str| {
            Home::find(
                &Environment::of(&[("MINIKUBE_HOME", value)]),
                Path::new("/home/u"),
            )
            .0
        };
        assert_eq!(of(""), Path::new("/home/u/.minikube"));
        assert_eq!(of("/data"), Path::new("/data/.minikube"));
        assert_eq!(of("/data/.minikube"), Path::new("/data/.minikube"));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let home = Home(PathBuf::from("/nowhere"));
        for name in ["", "..", "../x", "a/b", ".hidden"] {
            assert_eq!(
                home.profile(name).unwrap_err().kind(),
                crate::error::Kind::Usage,
                "{name}"
            );
        }
        assert_eq!(
            home.profile("dev").unwrap_err().kind(),
            crate::error::Kind::NotFound
        );
    }
}
