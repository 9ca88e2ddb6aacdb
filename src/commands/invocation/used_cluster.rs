//! The cluster that a shell uses by its hook: what the shell remembers of it, and when that is old.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::commands::invocation::Context;
use crate::commands::invocation::environment::ShellRequest;
use crate::docker_env::endpoint::Address;
use crate::docker_env::plan::{self, Change};
use crate::error::{Error, Result};
use crate::host::docker_context;
use crate::host::minikube::Home;
use crate::image::digest::Digest;
use crate::shell::{Format, Shell};

/// The cluster that a shell was pointed at by `devnet use`: the content of `DEVNET_USE`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UsedCluster {
    /// `DOCKER_HOST` as it was set: another value is someone else's, and stays.
    pub(crate) host: String,
    pub(crate) profile: Option<String>,
    /// The state of the files on disk then, where only an engine of this computer knows the address:
    /// as long as that is so, a prompt need not ask it. `None` where minikube's files say the address.
    #[serde(default)]
    pub(crate) stamp: Option<String>,
    #[serde(flatten)]
    pub(crate) wanted: ShellRequest,
}

impl UsedCluster {
    pub(crate) fn remembered(&self) -> Result<Change> {
        let text = serde_json::to_string(self)
            .map_err(|error| Error::failed("could not write JSON").caused_by(error))?;
        Ok(Change {
            name: plan::USE.into(),
            value: Some(text),
        })
    }
}

impl Context {
    /// A digest of when the files and sockets that a container's node depends on were last changed: each
    /// start of minikube writes its records, each start of an engine makes its socket anew.
    pub(crate) fn stamp(&self, profile: &str) -> Option<String> {
        let home = self.minikube().ok()?;
        home.profile(profile)
            .is_ok_and(|record| record.in_container())
            .then(|| self.stamp_of_files(&home, profile))
    }

    /// The same, of a profile that is known to be a container's; a few stats.
    pub(crate) fn stamp_of_files(&self, home: &Home, profile: &str) -> String {
        let mut files = vec![
            home.folder()
                .join("profiles")
                .join(profile)
                .join("config.json"),
            home.folder()
                .join("machines")
                .join(profile)
                .join("config.json"),
        ];
        if let Ok(home) = self.settings.home() {
            files.push(
                docker_context::folder(&self.settings.environment, &home).join("config.json"),
            );
        }
        if let Ok(Address::Unix(socket)) = self.host_endpoint().map(|endpoint| endpoint.address) {
            files.push(socket);
        }
        let seen: Vec<String> = files
            .iter()
            .map(|file| {
                let changed = std::fs::metadata(file)
                    .and_then(|found| found.modified())
                    .ok()
                    .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
                format!("{changed:?}")
            })
            .collect();
        let digest = Digest::of(seen.join(" ").as_bytes());
        format!("{:.16}", digest.hex())
    }
}

/// Changes as the hook of a shell takes them: nu can't evaluate what is printed, so it gets data.
pub(crate) fn script(shell: Shell, changes: &[Change]) -> Result<String> {
    match shell {
        Shell::Nu => {
            // to nu both are one variable, which must not go when only one of them does
            let both_go = ["NO_PROXY", "no_proxy"].iter().all(|name| {
                changes
                    .iter()
                    .any(|change| change.name == *name && change.value.is_none())
            });
            let taken: Vec<Change> = changes
                .iter()
                .filter(|change| both_go || change.name != "no_proxy" || change.value.is_some())
                .cloned()
                .collect();
            Format::Json.unset(&taken)
        }
        shell => shell.script(changes),
    }
}
