//! The containers that are minikube's nodes (drivers docker and podman): whether their own addresses
//! can be reached from here, and, where they can't, which ports of this computer lead to them. The
//! engine that runs them knows; it is asked once for a node.

use std::path::Path;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::docker_env::endpoint::{Address, Endpoint, is_docker_desktop};
use crate::docker_env::profile::Profile;
use crate::docker_env::published::Published;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::host::podman::{self, PodmanOwner};

/// Ports of some computer that lead into a node's container.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Forwarded {
    profile: String,
    machine: String,
    /// The computer.
    host: String,
    published: Published,
}

impl Forwarded {
    /// The address at which a port of the node is reached.
    ///
    /// # Errors
    /// Unreachable when the container does not publish it.
    pub(in crate::commands) fn to(&self, port: u16) -> Result<(String, u16)> {
        let Self {
            profile, machine, ..
        } = self;
        let outer = self.published.ports.get(&port).ok_or_else(|| {
            Error::unreachable(format!(
                "the container `{machine}` does not publish its port {port}"
            ))
            .hint(format!(
                "`{}` and `{}` make it anew",
                command_line::with("minikube delete -p", [profile]),
                command_line::with("minikube start -p", [profile])
            ))
        })?;
        Ok((self.host.clone(), *outer))
    }
}

impl Context {
    /// True where addresses of a profile's containers can be reached from here: native Linux with
    /// an engine of its own, and neither a virtual machine (Docker Desktop, podman's machine) nor a
    /// user namespace (rootless) in between.
    pub(in crate::commands) fn containers_reachable(&self, profile: &Profile) -> Result<bool> {
        let environment = &self.settings.environment;
        if !cfg!(target_os = "linux")
            || environment.has("WSL_DISTRO_NAME")
            || environment.has("WSLPATH")
        {
            return Ok(false);
        }
        if self.podman_owner(profile)? == PodmanOwner::User {
            return Ok(false);
        }
        let endpoint = if profile.in_podman() {
            podman::named(environment)?
        } else {
            Some(self.host_endpoint()?)
        };
        Ok(match endpoint.map(|endpoint| endpoint.address) {
            Some(Address::Unix(path)) => !is_a_users(&path),
            Some(_) => false,
            None => true,
        })
    }

    /// The owner of the engine that runs a profile's containers, by minikube's own setting `rootless`.
    fn podman_owner(&self, profile: &Profile) -> Result<PodmanOwner> {
        // root's own podman is never a rootless one
        let rootless = self.minikube()?.rootless(&self.settings.environment)?
            && !(profile.in_podman() && podman::is_root());
        Ok(if rootless {
            PodmanOwner::User
        } else {
            PodmanOwner::Root
        })
    }

    /// Asks the engine that runs a node's container for its ports.
    ///
    /// # Errors
    /// Unreachable when the engine does not answer or the container does not run.
    pub(in crate::commands) async fn forwarded(
        &self,
        profile: &Profile,
        machine: &str,
    ) -> Result<Forwarded> {
        let name = &profile.name;
        let stopped = |state: &str| {
            Error::unreachable(format!("minikube profile `{name}` is {state}")).hint(format!(
                "start it with `{}`",
                command_line::with("minikube start -p", [name])
            ))
        };
        let asked = if profile.in_podman() {
            self.asked_of_podman(profile, machine).await
        } else {
            self.asked_of(&self.host_endpoint()?, machine).await
        };
        let (host, published) = asked.map_err(|error| match error.kind() {
            Kind::NotFound => stopped("not there").caused_by(error),
            _ => error,
        })?;
        if published.state != "running" {
            return Err(stopped(&published.state)
                .caused_by(format!("its container `{machine}` does not run")));
        }
        Ok(Forwarded {
            profile: name.clone(),
            machine: machine.to_owned(),
            host,
            published,
        })
    }

    /// The engine at an address is asked, and where it publishes.
    async fn asked_of(&self, endpoint: &Endpoint, machine: &str) -> Result<(String, Published)> {
        let engine = Engine::connect(endpoint, &self.settings)
            .await
            .map_err(|error| {
                let why = Error::unreachable(format!(
                    "the engine whose container the node `{machine}` is can't be asked for its ports"
                ));
                let hints = error.hints().to_vec();
                hints.into_iter().fold(why.caused_by(error), Error::hint)
            })?;
        let published =
            engine
                .docker()?
                .published(machine)
                .await
                .map_err(|error| match error.kind() {
                    Kind::NotFound => Error::new(
                        Kind::NotFound,
                        format!("{endpoint} has no container `{machine}`"),
                    ),
                    _ => error,
                })?;
        // the node's certificate names 127.0.0.1; a remote engine publishes on its own address
        let host = match &endpoint.address {
            Address::Tcp { host, .. } | Address::Ssh { host, .. } => host.clone(),
            Address::Container { .. } | Address::Npipe(_) | Address::Unix(_) => "127.0.0.1".into(),
        };
        Ok((host, published))
    }

    /// podman's API is not always served: then its program is asked.
    async fn asked_of_podman(
        &self,
        profile: &Profile,
        machine: &str,
    ) -> Result<(String, Published)> {
        let environment = &self.settings.environment;
        if let Some(endpoint) = podman::named(environment)? {
            return self.asked_of(&endpoint, machine).await;
        }
        let whose = self.podman_owner(profile)?;
        if let Some(socket) = podman::socket(environment, whose).filter(|socket| socket.exists()) {
            let endpoint = Endpoint::plain(Address::Unix(socket));
            match self.asked_of(&endpoint, machine).await {
                Err(error) if error.kind() == Kind::Unreachable => {
                    self.ui
                        .detail(&format!("podman's API does not answer: {error}"));
                }
                answer => return answer,
            }
        }
        let published = podman::ask(environment, whose, machine).await?;
        Ok(("127.0.0.1".into(), published))
    }

    /// Checks that the engine answers that runs a profile's containers.
    ///
    /// # Errors
    /// When it does not. podman is no service that could be away.
    pub(in crate::commands) async fn containers_engine(&self, profile: &Profile) -> Result<()> {
        let endpoint = if profile.in_podman() {
            let Some(endpoint) = podman::named(&self.settings.environment)? else {
                return Ok(());
            };
            endpoint
        } else {
            self.host_endpoint()?
        };
        Engine::connect(&endpoint, &self.settings).await.map(drop)
    }
}

/// True where an engine's socket is a user's own, as of Docker Desktop and of a rootless engine.
fn is_a_users(socket: &Path) -> bool {
    let text = socket.to_string_lossy();
    is_docker_desktop(socket) || text.starts_with("/run/user/") || owned_by_a_user(socket)
}

#[cfg(unix)]
fn owned_by_a_user(socket: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    /// The user that owns, inside a user namespace, what root owns outside.
    const NOBODY: u32 = 65534;
    std::fs::metadata(socket).is_ok_and(|found| found.uid() != 0 && found.uid() != NOBODY)
}

#[cfg(not(unix))]
fn owned_by_a_user(_socket: &Path) -> bool {
    false
}
