//! Which engine a command talks to: the contract's list, first that applies.

use crate::commands::Context;
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// What a command needs an engine for; it decides how far the search may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// `env`, `hook`, `context`: what they print must not depend on what they printed before.
    Environment,
    /// `build`, `load`, `images`: never the host engine by default.
    Image,
    /// `lab`: the host engine, unless another is named.
    Lab,
    /// Looking at pods: the host engine when there is no cluster.
    Pods,
}

/// A node to talk to.
#[derive(Clone, Debug)]
pub(crate) struct NodeTarget {
    /// The node's name: a minikube machine's, else `host`.
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
}

/// The engines of a command, and why these.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The control plane first.
    pub(crate) nodes: Vec<NodeTarget>,
    /// The minikube profile, when it is one.
    pub(crate) profile: Option<String>,
    /// What decided, as `-H/--host`, for a person.
    pub(crate) decided_by: String,
}

impl Context {
    /// Finds the engines that a command talks to, without asking them anything yet.
    pub(crate) async fn target(&self, _need: Need) -> Result<Target> {
        let environment = &self.settings.environment;
        let (url, certs, why) = if let Some(host) = &self.settings.global.host {
            (
                host.clone(),
                self.settings.global.tls_cert_path.clone(),
                "-H/--host",
            )
        } else if let Some(host) = environment.text("DOCKER_HOST")? {
            let tls = environment.has("DOCKER_TLS_VERIFY");
            (
                host.to_owned(),
                tls.then(|| environment.path("DOCKER_CERT_PATH")).flatten(),
                "DOCKER_HOST",
            )
        } else {
            return Err(Error::not_found("no minikube profile"));
        };
        let endpoint = Endpoint {
            cert_path: certs,
            ..Endpoint::plain(Address::parse(&url)?)
        };
        Ok(Target {
            nodes: vec![NodeTarget {
                name: "host".into(),
                endpoint,
            }],
            profile: None,
            decided_by: why.into(),
        })
    }

    /// The engine of this computer, from which images are loaded and on which the lab runs.
    pub(crate) async fn host_endpoint(&self) -> Result<Endpoint> {
        Ok(Endpoint::plain(Address::Unix(
            "/var/run/docker.sock".into(),
        )))
    }

    /// Connects to one node: the API version is negotiated, the answer checked.
    pub(crate) async fn connect(&self, node: &NodeTarget) -> Result<Engine> {
        Engine::connect(&node.endpoint, &self.settings).await
    }
}
