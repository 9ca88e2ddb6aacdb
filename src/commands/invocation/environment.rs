//! The part that `env`, `use`, `hook` and `run` share: the environment that points at a cluster's
//! engine, and the one of now.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command_line;
use crate::commands::invocation::Context;
use crate::commands::invocation::node_engine::Start;
use crate::commands::invocation::target::{Need, NodeTarget, Nodes, Target};
use crate::docker_env::DockerEnv;
use crate::docker_env::endpoint::Address;
use crate::docker_env::plan::{self, Change, Current};
use crate::error::{Error, Result};
use crate::runtime_kind::PODMAN_SOCKET;

/// A person's wishes beside the profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub(crate) struct ShellRequest {
    /// Add the node to `NO_PROXY`
    #[arg(long)]
    pub(crate) no_proxy: bool,
    /// Point docker at the node's ssh login instead of its TLS port
    #[arg(long)]
    pub(crate) ssh_host: bool,
    /// The node of a profile with several
    #[arg(short, long, value_name = "NAME")]
    pub(crate) node: Option<String>,
}

/// The engine that a shell is to point at.
pub(crate) struct ShellTarget {
    /// One node, by the form that was asked for.
    pub(crate) target: Target,
    /// The same node by its engine's own port, which tells whether it runs.
    pub(in crate::commands) engine: NodeTarget,
}

impl ShellTarget {
    /// True where the engine is the podman of a cri-o node, at the end of its ssh login.
    pub(crate) fn is_podman(&self) -> bool {
        // one that a person names by its address is their own
        self.target.profile.is_some()
            && matches!(&self.engine.endpoint.address, Address::Ssh { socket, .. } if socket == PODMAN_SOCKET)
    }

    /// The target by its engine's own port.
    pub(crate) fn by_its_engine(&self) -> Target {
        Target {
            nodes: vec![self.engine.clone()],
            ..self.target.clone()
        }
    }
}

/// The time that the one connection that tells a stopped node may take.
const LOOK: Duration = Duration::from_millis(100);

impl Context {
    /// The one node that a shell is to point at, in the form that was asked for.
    ///
    /// # Errors
    /// As for finding the target; a usage error for an ssh login that nobody knows.
    pub(crate) async fn shell_target(&self, wanted: &ShellRequest) -> Result<ShellTarget> {
        let found = self
            .target_on(
                Need::Environment,
                Nodes::named_or_first(wanted.node.as_deref()),
            )
            .await;
        let mut target = match found {
            Ok(target) => target,
            Err(error) if wanted.ssh_host => {
                return self.podman_login(wanted).await?.ok_or(error);
            }
            Err(error) => return Err(error),
        };
        let engine = target.nodes[0].clone();
        if wanted.ssh_host && engine.devnets_engine {
            return Err(Error::unreachable(
                "the node's ssh login leads to no Docker engine: the one that devnet runs there opens its socket to root alone",
            )
            .hint("without `--ssh-host`, docker reaches it at its TLS port"));
        }
        if wanted.ssh_host {
            let profile = target.profile.clone().ok_or_else(|| {
                Error::usage("only a minikube profile has an ssh login that devnet knows")
                    .hint("name one with `-p`")
            })?;
            let endpoint = &mut target.nodes[0].endpoint;
            endpoint.address = self
                .ssh_address(&profile, &engine.name, engine.login.as_ref())
                .await?;
            endpoint.cert_path = None;
            endpoint.ssh_key = Some(self.minikube()?.login_key(&engine.name)?);
            endpoint.pin_as = Some(engine.name.clone());
        }
        Ok(ShellTarget { target, engine })
    }

    /// One TCP connection tells a stopped node; no TLS, no request.
    ///
    /// # Errors
    /// Unreachable, when the connection is refused.
    pub(crate) async fn look(&self, target: &ShellTarget) -> Result<()> {
        let node = &target.engine;
        let Address::Tcp { host, port } = &node.endpoint.address else {
            return Ok(());
        };
        let dial = tokio::net::TcpStream::connect((host.as_str(), *port));
        match tokio::time::timeout(LOOK, dial).await {
            Ok(Ok(_stream)) => Ok(()),
            Ok(Err(error)) => {
                let what = node.profile.as_ref().map_or_else(
                    || format!("nothing answers at {}", node.endpoint),
                    |profile| format!("minikube profile `{profile}` is not running"),
                );
                let failed = Error::unreachable(what)
                    .caused_by(format!("no answer from {}: {error}", node.endpoint));
                Err(match &node.profile {
                    Some(profile) => failed.hint(format!(
                        "start it with `{}`",
                        command_line::with("minikube start -p", [profile])
                    )),
                    None => failed,
                })
            }
            Err(_elapsed) => {
                self.ui.warn(&format!(
                    "no answer from {} within {} ms",
                    node.endpoint,
                    LOOK.as_millis()
                ));
                Ok(())
            }
        }
    }

    /// The changes that point the environment of `devnet run` at the cluster's engine.
    ///
    /// # Errors
    /// As for finding the target.
    pub(crate) async fn environment_changes(&self, start: Start) -> Result<Vec<Change>> {
        let shell = self.shell_target(&ShellRequest::default()).await?;
        self.ready(&shell, start).await?;
        self.keep_docker_contexts(&shell.target).await;
        plan::set(&self.current_variables()?, &of_target(&shell.target)?, None)
    }

    /// The present environment's values of the variables that matter.
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
    let address = &node.endpoint.address;
    let host = match address {
        Address::Ssh { socket, .. } if socket == PODMAN_SOCKET => format!("{address}{socket}"),
        _ => address.to_string(),
    };
    Ok(DockerEnv {
        host,
        cert_path,
        profile: target.profile.clone().unwrap_or_else(|| node.name.clone()),
    })
}

/// The host of a `DOCKER_HOST`, as it stands in a proxy list.
pub(crate) fn host_in_lists(docker_host: &str) -> Option<String> {
    match Address::parse(docker_host).ok()? {
        Address::Tcp { host, .. } | Address::Ssh { host, .. } => Some(host),
        Address::Container { .. } | Address::Npipe(_) | Address::Unix(_) => None,
    }
}

/// A relative `MINIKUBE_HOME` must not change its meaning when the shell changes its folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
