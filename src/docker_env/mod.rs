//! Domain: the address of a node's container engine, and the environment that points a shell at it.

use std::path::PathBuf;

pub(crate) mod diagnosis;
pub(crate) mod endpoint;
pub(crate) mod member;
pub(crate) mod parse;
pub(crate) mod plan;
pub(crate) mod profile;
#[cfg(test)]
mod profile_tests;
pub(crate) mod published;

/// The values that a shell must know to talk to a cluster's engine, as `minikube docker-env` says
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DockerEnv {
    /// `DOCKER_HOST`: `tcp://...` or `ssh://...`.
    pub(crate) host: String,
    /// The folder with the client's certificates; `None` for ssh.
    pub(crate) cert_path: Option<PathBuf>,
    /// The minikube profile.
    pub(crate) profile: String,
}
