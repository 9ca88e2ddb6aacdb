//! What `env` and `run` share: the environment that points at a cluster's engine, and the one of now.

use std::path::{Path, PathBuf};

use crate::commands::Context;
use crate::commands::target::{Need, Target};
use crate::docker_env::DockerEnv;
use crate::docker_env::plan::{self, Change, Current};
use crate::error::{Error, Result};

impl Context {
    /// The changes that point the environment of `devnet run` at the cluster's engine.
    ///
    /// # Errors
    /// As for finding the target.
    pub(crate) async fn environment_changes(&self) -> Result<Vec<Change>> {
        let target = self.target(Need::Environment).await?;
        self.keep_docker_contexts(&target).await;
        plan::set(&self.current_variables()?, &of_target(&target)?, None)
    }

    /// What the present environment says about the variables that matter.
    ///
    /// # Errors
    /// When one of them is not UTF-8: it could not be given back as it was.
    pub(crate) fn current_variables(&self) -> Result<Current> {
        let environment = &self.settings.environment;
        let mut current = Current::new();
        for name in plan::names() {
            if let Some(value) = environment.os(&name) {
                let value = value.to_str().ok_or_else(|| {
                    Error::failed(format!("the environment variable `{name}` is not UTF-8"))
                        .hint("devnet could not give it back as it was: unset it first")
                })?;
                current.insert(name, value.into());
            }
        }
        Ok(current)
    }
}

/// A target as `minikube docker-env` would say it.
///
/// # Errors
/// When the certificates' folder has a name that no variable can carry.
pub(crate) fn of_target(target: &Target) -> Result<DockerEnv> {
    let node = &target.nodes[0];
    let cert_path = node.endpoint.cert_path.as_deref().map(absolute);
    if cert_path
        .as_ref()
        .is_some_and(|path| path.to_str().is_none())
    {
        return Err(Error::failed(
            "the folder with the certificates has a name that is not UTF-8",
        ));
    }
    Ok(DockerEnv {
        host: node.endpoint.address.to_string(),
        cert_path,
        profile: target.profile.clone().unwrap_or_else(|| node.name.clone()),
    })
}

/// A relative `MINIKUBE_HOME` must not change its meaning when the shell changes its folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
