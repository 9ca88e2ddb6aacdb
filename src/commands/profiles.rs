//! minikube's profiles: which one is meant, and where its nodes' engines listen. minikube's own
//! files say it; where a port is forwarded, one question to the engine of this computer does.

use std::path::PathBuf;

use crate::commands::Context;
use crate::commands::target::{NodeTarget, Target};
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::docker_env::profile::{Route, checked_host};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::host::minikube::Home;
use crate::settings::origin::Origin;

/// A profile that was named, and by what.
pub(super) struct Named {
    pub(super) profile: String,
    pub(super) by: Origin,
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
    pub(super) fn named_profile(&self) -> Result<Named> {
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
    pub(super) fn default_profile(&self) -> Result<Named> {
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

    /// The nodes of a profile, from minikube's own files.
    pub(super) async fn profile_target(&self, named: &Named) -> Result<Target> {
        let home = self.minikube()?;
        let profile = home.profile(&named.profile)?;
        if profile.runtime() != "docker" {
            return Err(not_docker(&named.profile, profile.runtime()));
        }
        let containers_reachable = !profile.in_container() || self.containers_reachable()?;
        let mut nodes = Vec::new();
        for (name, node) in profile.machines() {
            let machine = if profile.needs_machine() {
                Some(home.machine(&name)?)
            } else {
                None
            };
            let address = match profile.route(node, machine.as_ref(), containers_reachable)? {
                Route::Direct(address) => address,
                Route::Forwarded => Box::pin(self.forwarded(&named.profile, &name, 2376)).await?,
            };
            nodes.push(NodeTarget {
                endpoint: Endpoint {
                    cert_path: Some(home.certs()),
                    ..Endpoint::plain(address)
                },
                name,
                profile: Some(named.profile.clone()),
            });
        }
        Ok(Target {
            nodes,
            profile: Some(named.profile.clone()),
            decided_by: format!("{}: minikube profile `{}`", named.by, named.profile),
        })
    }

    /// The port of this computer that leads to the engine in a node's container: one question to
    /// the engine that runs it.
    pub(super) async fn forwarded(
        &self,
        profile: &str,
        machine: &str,
        port: u16,
    ) -> Result<Address> {
        let endpoint = self.host_endpoint()?;
        let engine = Engine::connect(&endpoint, &self.settings).await?;
        let stopped = |state: &str| {
            Error::unreachable(format!("minikube profile `{profile}` is {state}"))
                .hint(format!("start it with `minikube start -p {profile}`"))
        };
        let published = engine
            .published_port(machine, port)
            .await
            .map_err(|error| match error.kind() {
                Kind::NotFound => {
                    stopped("not there").because(format!("{endpoint} has no container `{machine}`"))
                }
                _ => error,
            })?;
        if published.state != "running" {
            return Err(stopped(&published.state)
                .because(format!("its container `{machine}` does not run")));
        }
        let port = published.port.ok_or_else(|| {
            Error::unreachable(format!(
                "the container `{machine}` does not publish its port {port}"
            ))
            .hint(format!(
                "`minikube delete -p {profile}` and `minikube start -p {profile}` make it anew"
            ))
        })?;
        // the engine's certificate names 127.0.0.1; a remote engine publishes on its own address
        let host = match endpoint.address {
            Address::Tcp { host, .. } | Address::Ssh { host, .. } => host,
            Address::Npipe(_) | Address::Unix(_) => "127.0.0.1".into(),
        };
        Ok(Address::Tcp { host, port })
    }

    /// The ssh login of a node, as `minikube docker-env --ssh-host` says it.
    ///
    /// # Errors
    /// When minikube's records do not say, or the node's container does not run.
    pub(crate) async fn ssh_address(&self, profile: &str, machine: &str) -> Result<Address> {
        let home = self.minikube()?;
        let driver = home.machine(machine)?.driver;
        let user = if driver.ssh_user.is_empty() {
            "docker".into()
        } else {
            driver.ssh_user
        };
        let (host, port) = if home.profile(profile)?.in_container() {
            match Box::pin(self.forwarded(profile, machine, 22)).await? {
                Address::Tcp { host, port } => (host, port),
                other => return Err(Error::failed(format!("{other} is no ssh login"))),
            }
        } else {
            (
                driver.ip_address,
                if driver.ssh_port == 0 {
                    22
                } else {
                    driver.ssh_port
                },
            )
        };
        if host.is_empty() {
            return Err(Error::failed(format!(
                "minikube's record of the machine `{machine}` names no address"
            ))
            .hint(format!("`minikube start -p {profile}` writes it anew")));
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
    pub(super) async fn node_login(
        &self,
        profile: &str,
        address: &Address,
    ) -> Option<(String, PathBuf)> {
        let home = self.minikube().ok()?;
        let machines = home.profile(profile).ok()?;
        for (machine, _) in machines.machines() {
            if self
                .ssh_address(profile, &machine)
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

/// What a cluster has that runs another container runtime, what works there today, and the way out.
pub(super) fn not_docker(profile: &str, runtime: &str) -> Error {
    Error::unreachable(format!(
        "minikube profile `{profile}` runs {runtime}, which has no Docker engine"
    ))
    .because(format!(
        "its node speaks CRI ({runtime}'s socket), which neither the docker command nor devnet speaks yet"
    ))
    .hint(format!(
        "what works there today: `minikube -p {profile} image build|load|ls`, `kubectl`; and devnet on this computer's own engine, `devnet -p lab pods`"
    ))
    .hint(format!(
        "minikube start -p {profile} --container-runtime=docker"
    ))
}
