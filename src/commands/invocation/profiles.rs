//! minikube's profiles: which one is meant, and where its nodes' engines listen. minikube's own
//! files say it; where a port is forwarded, the engine that runs the node's container does
//! (`forwarded.rs`).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::commands::invocation::target::{Need, NodeTarget, Nodes, Target};
use crate::docker_env::endpoint::{Address, ENGINE_PORT, Endpoint};
use crate::docker_env::profile::{Profile, ProfileNode, Route, checked_host};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::host::minikube::Home;
use crate::runtime_kind::RuntimeKind;
use crate::settings::origin::Origin;

const SSH_PORT: u16 = 22;

/// A profile that was named, and by what.
pub(in crate::commands) struct Named {
    pub(in crate::commands) profile: String,
    pub(in crate::commands) by: Origin,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "minikube profile `{}` ({})", self.profile, self.by)
    }
}

impl Context {
    /// minikube's home on this computer.
    ///
    /// # Errors
    /// When no home folder is known.
    pub(crate) fn minikube(&self) -> Result<Home> {
        Ok(Home::find(
            &self.settings.environment,
            &self.settings.home()?,
        ))
    }

    /// The name of the profile that is meant, whether or not it is there.
    ///
    /// # Errors
    /// When the config file or a variable can't be read.
    pub(crate) fn profile_name(&self) -> Result<String> {
        Ok(self.named_profile()?.profile)
    }

    /// The profile that is meant, and who named it.
    ///
    /// # Errors
    /// When the config file or a variable can't be read.
    pub(in crate::commands) fn named_profile(&self) -> Result<Named> {
        if let Some(name) = &self.settings.global.profile {
            return Ok(Named {
                profile: name.clone(),
                by: Origin::flag("--profile"),
            });
        }
        if let Some(name) = self.settings.environment.text("DEVNET_PROFILE")? {
            return Ok(Named {
                profile: name.into(),
                by: Origin::variable("DEVNET_PROFILE"),
            });
        }
        self.default_profile()
    }

    /// The profile that holds when none was named on the command line.
    pub(in crate::commands) fn default_profile(&self) -> Result<Named> {
        let named = |profile: String, by: Origin| Ok(Named { profile, by });
        if let Some(name) = self.settings.environment.text("MINIKUBE_PROFILE")? {
            return named(name.into(), Origin::variable("MINIKUBE_PROFILE"));
        }
        if let Some(entry) = self.settings.config_file()?.profile {
            let by = self.settings.config_origin("profile", entry.line);
            return named(entry.value, by);
        }
        let home = self.minikube()?;
        if let Some(name) = home.active_profile()? {
            let file = home.config();
            return named(
                name,
                Origin::Minikube {
                    file,
                    key: "profile",
                },
            );
        }
        named("minikube".into(), Origin::Default)
    }

    /// Nodes of a profile, from minikube's own files.
    pub(in crate::commands) async fn profile_target(
        &self,
        named: &Named,
        which: Nodes<'_>,
        need: Need,
    ) -> Result<Target> {
        let home = self.minikube()?;
        let profile = home.profile(&named.profile)?;
        match (RuntimeKind::of_minikube(profile.runtime()), need) {
            (Some(RuntimeKind::Docker), _)
            // the one that devnet runs there
            | (Some(RuntimeKind::Containerd), Need::Environment) => {}
            (
                Some(runtime @ (RuntimeKind::Containerd | RuntimeKind::CriO)),
                Need::Pods | Need::Image,
            ) => return self.cri_target(runtime, &home, &profile, named, which).await,
            _ => return Err(not_docker(&named.profile, profile.runtime())),
        }
        let containers_reachable =
            !profile.in_container() || self.containers_reachable(&profile)?;
        let wanted = which.of(Some(&named.profile), profile.machines(), |(name, _)| name)?;
        let looks = wanted.into_iter().map(|(name, node)| {
            self.node_target(&home, &profile, name, node, containers_reachable)
        });
        let nodes = futures_util::future::try_join_all(looks).await?;
        of_nodes(nodes, named)
    }

    /// The address of one node, or the reason why it is not reached.
    async fn node_target(
        &self,
        home: &Home,
        profile: &Profile,
        name: String,
        node: &ProfileNode,
        containers_reachable: bool,
    ) -> Result<NodeTarget> {
        let machine = if profile.needs_machine() {
            Some(home.machine(&name)?)
        } else {
            None
        };
        let mut target = NodeTarget {
            endpoint: Endpoint {
                cert_path: Some(home.certs()),
                ..Endpoint::plain(Address::Tcp {
                    host: name.clone(),
                    port: ENGINE_PORT,
                })
            },
            name,
            profile: Some(profile.name.clone()),
            login: None,
            away: None,
            devnets_engine: profile.runtime() != "docker",
        };
        match profile.route(node, machine.as_ref(), containers_reachable)? {
            Route::Direct(address) => target.endpoint.address = address,
            Route::Forwarded => match self.ports(profile, &target.name).await {
                Ok((address, login)) => {
                    target.endpoint.address = address;
                    target.login = login;
                }
                Err(error) => {
                    target.away = Some(Arc::new(match profile.machines().len() {
                        0 | 1 => error,
                        _ => of_node(&target.name, &profile.name, error),
                    }));
                }
            },
        }
        Ok(target)
    }

    /// The addresses of a node's engine and its ssh server, of which a container publishes ports.
    async fn ports(
        &self,
        profile: &Profile,
        machine: &str,
    ) -> Result<(Address, Option<(String, u16)>)> {
        let ports = Box::pin(self.forwarded(profile, machine)).await?;
        let (host, port) = ports.to(ENGINE_PORT)?;
        Ok((Address::Tcp { host, port }, ports.to(SSH_PORT).ok()))
    }

    /// Connects to a node that was there before, or was not: it may be elsewhere now, as where an
    /// engine publishes other ports of a container that was started again.
    ///
    /// # Errors
    /// As for connecting.
    pub(crate) async fn reconnect(&self, node: &NodeTarget) -> Result<Engine> {
        match (self.connect(node).await, &node.profile) {
            (Err(error), Some(profile)) if error.kind() == Kind::Unreachable => {
                let named = Named {
                    profile: profile.clone(),
                    by: Origin::Default,
                };
                let need = match node.endpoint.runtime {
                    RuntimeKind::Docker => Need::Image,
                    RuntimeKind::Containerd | RuntimeKind::CriO => Need::Pods,
                };
                let target = self
                    .profile_target(&named, Nodes::Named(&node.name), need)
                    .await?;
                let found = &target.nodes[0];
                if found.endpoint == node.endpoint {
                    return Err(error);
                }
                self.connect(found).await
            }
            (outcome, _) => outcome,
        }
    }

    /// The ssh login of a node, as `minikube docker-env --ssh-host` says it; `told` is where its port
    /// leads, if that is known already.
    ///
    /// # Errors
    /// When minikube's records do not say, or the node's container does not run.
    pub(crate) async fn ssh_address(
        &self,
        profile: &str,
        machine: &str,
        told: Option<&(String, u16)>,
    ) -> Result<Address> {
        let home = self.minikube()?;
        let driver = home.machine(machine)?.driver;
        let user = if driver.ssh_user.is_empty() {
            "docker".into()
        } else {
            driver.ssh_user
        };
        let record = home.profile(profile)?;
        let (host, port) = match told {
            Some(login) => login.clone(),
            None if record.in_container() => Box::pin(self.forwarded(&record, machine))
                .await?
                .to(SSH_PORT)?,
            None if driver.ssh_port == 0 => (driver.ip_address, SSH_PORT),
            None => (driver.ip_address, driver.ssh_port),
        };
        if host.is_empty() {
            return Err(Error::failed(format!(
                "minikube's record of the machine `{machine}` names no address"
            ))
            .hint(format!(
                "`{}` writes it anew",
                command_line::with("minikube start -p", [profile])
            )));
        }
        let host = checked_host(machine, &host)?;
        let user = checked_host(machine, &user)?;
        Ok(Address::Ssh {
            user: Some(user),
            host,
            port,
            socket: "/var/run/docker.sock".into(),
        })
    }

    /// The machine of a profile whose ssh login this address is, and the key to it. Only such a
    /// host may be pinned: any other must be known to ssh.
    pub(in crate::commands) async fn node_login(
        &self,
        profile: &str,
        address: &Address,
    ) -> Option<(String, PathBuf)> {
        let home = self.minikube().ok()?;
        let machines = home.profile(profile).ok()?;
        for (machine, _) in machines.machines() {
            if self
                .ssh_address(profile, &machine, None)
                .await
                .is_ok_and(|login| login == *address)
            {
                let key = home.login_key(&machine).ok()?;
                return Some((machine, key));
            }
        }
        None
    }
}

/// The target that these nodes of a profile are: one that was stopped must not hide the others.
pub(super) fn of_nodes(mut nodes: Vec<NodeTarget>, named: &Named) -> Result<Target> {
    if nodes.iter().all(|node| node.away.is_some())
        && let Some(error) = nodes.swap_remove(0).away.and_then(Arc::into_inner)
    {
        return Err(error);
    }
    Ok(Target {
        nodes,
        profile: Some(named.profile.clone()),
        decided_by: named.to_string(),
    })
}

/// The error of one of several nodes that is not reached; the others may be.
pub(super) fn of_node(name: &str, profile: &str, error: Error) -> Error {
    let hints = error.hints().to_vec();
    let message = format!("the node `{name}` of minikube profile `{profile}` is not reached");
    let failed = Error::new(error.kind(), message).caused_by(error);
    hints.into_iter().fold(failed, Error::hint)
}

/// The commands that work on a cluster with another container runtime than Docker.
fn what_works(profile: &str, runtime: &str) -> String {
    match RuntimeKind::of_minikube(runtime) {
        Some(RuntimeKind::Containerd | RuntimeKind::CriO) => {
            "what works there: `devnet load`, `devnet build`, `devnet images`; `devnet pods`, `inspect`, `ports`, `exec`, `logs`, `shell`, `history`, `watch`, `check`, `graph`, `prove`".to_owned()
        }
        _ => format!(
            "what works there today: `kubectl`; devnet on this computer's own engine, `devnet -p lab pods`; `{} image build|load|ls`",
            command_line::with("minikube -p", [profile])
        ),
    }
}

/// The error for a cluster with another container runtime: what works there today, and the way out.
pub(in crate::commands) fn not_docker(profile: &str, runtime: &str) -> Error {
    let error = Error::unreachable(format!(
        "minikube profile `{profile}` runs {runtime}, which has no Docker engine"
    ))
    .caused_by(format!(
        "its node speaks CRI ({runtime}'s socket), which the docker command does not speak"
    ))
    .hint(what_works(profile, runtime));
    let error = if RuntimeKind::of_minikube(runtime) == Some(RuntimeKind::CriO) {
        error.hint("`devnet env --ssh-host` points docker's own client at the node's podman")
    } else {
        error
    };
    error.hint(command_line::with(
        "minikube start -p",
        [profile, "--container-runtime=docker"],
    ))
}
