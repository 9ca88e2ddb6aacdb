//! Which engine a command talks to: the contract's list, first that applies. Nothing is started,
//! restarted or changed by asking.

use std::path::PathBuf;

use crate::commands::Context;
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::docker_env::profile::Route;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::host::docker_context;
use crate::host::minikube::Home;

/// What a command needs an engine for; it decides how far the search may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// `env`, `run`, `hook`, `context`: what they print must not depend on what they printed before.
    Environment,
    /// `build`, `load`, `images`: never the host engine by default.
    Image,
    /// `lab`: the host engine, unless another is named.
    Lab,
    /// Looking at pods: the host engine when there is no cluster.
    Pods,
}

/// A node to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeTarget {
    /// The node's name: a minikube machine's, else `host`.
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    /// The minikube profile that it belongs to.
    pub(crate) profile: Option<String>,
}

/// The engines of a command, and why these.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The control plane first; never empty.
    pub(crate) nodes: Vec<NodeTarget>,
    /// The minikube profile, when it is one.
    pub(crate) profile: Option<String>,
    /// What decided, as `--host`, for a person.
    pub(crate) decided_by: String,
}

impl Target {
    fn single(endpoint: Endpoint, decided_by: impl Into<String>) -> Self {
        Self {
            nodes: vec![NodeTarget {
                name: "host".into(),
                endpoint,
                profile: None,
            }],
            profile: None,
            decided_by: decided_by.into(),
        }
    }

    /// Only the node of that name (a machine's name, or minikube's short `m02`).
    ///
    /// # Errors
    /// Not found, with the names that there are.
    pub(crate) fn only(mut self, node: Option<&str>) -> Result<Self> {
        let Some(wanted) = node else { return Ok(self) };
        let names: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let short = self
            .profile
            .as_ref()
            .map(|profile| format!("{profile}-{wanted}"));
        self.nodes
            .retain(|node| node.name == wanted || Some(&node.name) == short.as_ref());
        if self.nodes.is_empty() {
            return Err(Error::not_found(format!("there is no node `{wanted}`"))
                .hint(format!("there are: {}", names.join(", "))));
        }
        Ok(self)
    }
}

/// A profile that was named, and by what.
struct Named {
    profile: String,
    by: String,
}

impl Context {
    /// Finds the engines that a command talks to.
    ///
    /// # Errors
    /// Not found: no such profile or context. Unreachable: the profile can't have an engine that
    /// devnet speaks to, or does not run.
    pub(crate) async fn target(&self, need: Need) -> Result<Target> {
        let global = &self.settings.global;
        let environment = &self.settings.environment;
        if let Some(host) = &global.host {
            return Ok(Target::single(
                Self::explicit(host, global.tls_cert_path.clone())?,
                "--host",
            ));
        }
        if let Some(name) = &global.context {
            return Ok(Target::single(
                self.context_endpoint(name)?,
                format!("--context {name}"),
            ));
        }
        if let Some(name) = &global.profile {
            if name == "lab" && !self.minikube()?.profiles().contains(name) {
                return Ok(Target::single(
                    self.host_endpoint()?,
                    "--profile lab: this computer's engine",
                ));
            }
            return self
                .profile_target(&Named {
                    profile: name.clone(),
                    by: "--profile".into(),
                })
                .await;
        }
        if let Some(host) = environment.text("DEVNET_HOST")? {
            let endpoint = Self::explicit(host, environment.path("DEVNET_CERT_PATH"))?;
            return Ok(Target::single(endpoint, "DEVNET_HOST"));
        }
        if let Some(name) = environment.text("DEVNET_PROFILE")? {
            return self
                .profile_target(&Named {
                    profile: name.into(),
                    by: "DEVNET_PROFILE".into(),
                })
                .await;
        }
        if need != Need::Environment
            && let Some(host) = environment.text("DOCKER_HOST")?
        {
            return self.of_docker_host(host).await;
        }
        if need == Need::Lab {
            return Ok(Target::single(
                self.host_endpoint()?,
                "this computer's engine",
            ));
        }
        let named = self.default_profile()?;
        match self.profile_target(&named).await {
            Err(error)
                if error.kind() == Kind::NotFound
                    && need == Need::Pods
                    && self.minikube()?.profiles().is_empty() =>
            {
                let endpoint = self.host_endpoint()?;
                self.ui.note(&format!(
                    "there is no minikube profile: looking at this computer's engine, {endpoint}"
                ));
                Ok(Target::single(
                    endpoint,
                    "this computer's engine, as there is no minikube profile",
                ))
            }
            other => other,
        }
    }

    /// The engine of this computer, from which images are loaded and on which the lab runs.
    ///
    /// # Errors
    /// When `DOCKER_HOST` or a context that names it can't be read.
    pub(crate) fn host_endpoint(&self) -> Result<Endpoint> {
        let environment = &self.settings.environment;
        let in_cluster_shell = environment.has("MINIKUBE_ACTIVE_DOCKERD");
        let prefix = if in_cluster_shell {
            "MINIKUBE_EXISTING_"
        } else {
            ""
        };
        if let Some(host) = environment.text(&format!("{prefix}DOCKER_HOST"))? {
            let tls = environment.has(&format!("{prefix}DOCKER_TLS_VERIFY"));
            let certs = environment.path(&format!("{prefix}DOCKER_CERT_PATH"));
            return self.docker_host(host, tls, certs);
        }
        if let Some(name) = environment.text("DOCKER_CONTEXT")?
            && name != "default"
            && !name.starts_with("devnet-")
        {
            return self.context_endpoint(name);
        }
        let folder = docker_context::folder(environment, &self.settings.home()?);
        if let Some(name) = docker_context::current(&folder)
            && !name.starts_with("devnet-")
        {
            return docker_context::endpoint(&folder, &name);
        }
        Ok(Endpoint::plain(self.default_socket()?))
    }

    /// Connects to one node: the API version is negotiated, the answer checked.
    ///
    /// # Errors
    /// Unreachable, with the reason; a node of a profile is named with its profile.
    pub(crate) async fn connect(&self, node: &NodeTarget) -> Result<Engine> {
        if let (Address::Tcp { host, .. }, None) =
            (&node.endpoint.address, &node.endpoint.cert_path)
        {
            self.ui.warn(&format!(
                "the connection to {} is neither encrypted nor verified{}",
                node.endpoint,
                if host == "127.0.0.1" || host == "::1" || host == "localhost" {
                    " (loopback)"
                } else {
                    ""
                }
            ));
        }
        Engine::connect(&node.endpoint, &self.settings)
            .await
            .map_err(|error| match &node.profile {
                Some(profile) if error.kind() == Kind::Unreachable && error.hints().is_empty() => {
                    Error::unreachable(format!(
                        "the node `{}` of minikube profile `{profile}` does not answer",
                        node.name
                    ))
                    .because(error)
                    .hint(format!(
                        "is it running? Start it with `minikube start -p {profile}`"
                    ))
                }
                None if error.kind() == Kind::Unreachable && error.hints().is_empty() => {
                    error.hint("is the engine running, and does it listen at that address?")
                }
                _ => error,
            })
    }

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
        if let Some(name) = &self.settings.global.profile {
            return Ok(name.clone());
        }
        if let Some(name) = self.settings.environment.text("DEVNET_PROFILE")? {
            return Ok(name.into());
        }
        Ok(self.default_profile()?.profile)
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
            match self.forwarded(profile, machine, 22).await? {
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
        Ok(Address::Ssh {
            user: Some(user),
            host,
            port,
            socket: "/var/run/docker.sock".into(),
        })
    }

    /// The nodes of a profile, from minikube's own files.
    async fn profile_target(&self, named: &Named) -> Result<Target> {
        let home = self.minikube()?;
        let profile = home.profile(&named.profile)?;
        if profile.runtime() != "docker" {
            return Err(Error::unreachable(format!(
                "minikube profile `{}` runs {}, which has no Docker engine",
                named.profile,
                profile.runtime()
            ))
            .because("devnet works on profiles whose container runtime is docker")
            .hint(format!(
                "minikube start -p {} --container-runtime=docker",
                named.profile
            )));
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
                Route::Forwarded => self.forwarded(&named.profile, &name, 2376).await?,
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
    async fn forwarded(&self, profile: &str, machine: &str, port: u16) -> Result<Address> {
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

    /// Whether addresses of this computer's containers can be reached from here: native Linux with
    /// an engine of its own, and neither a virtual machine (Docker Desktop) nor a user namespace
    /// (rootless) in between.
    fn containers_reachable(&self) -> Result<bool> {
        let environment = &self.settings.environment;
        if !cfg!(target_os = "linux")
            || environment.has("WSL_DISTRO_NAME")
            || environment.has("WSLPATH")
        {
            return Ok(false);
        }
        Ok(match self.host_endpoint()?.address {
            Address::Unix(path) => {
                let text = path.to_string_lossy();
                !text.contains("/.docker/desktop/") && !text.starts_with("/run/user/")
            }
            _ => false,
        })
    }

    /// `DOCKER_HOST` as a shell has it that ran `eval $(devnet env)` or that a person set.
    async fn of_docker_host(&self, host: &str) -> Result<Target> {
        let environment = &self.settings.environment;
        let tls = environment.has("DOCKER_TLS_VERIFY");
        let mut endpoint = self.docker_host(host, tls, environment.path("DOCKER_CERT_PATH"))?;
        let Some(profile) = environment.text("MINIKUBE_ACTIVE_DOCKERD")? else {
            return Ok(Target::single(endpoint, "DOCKER_HOST"));
        };
        if matches!(endpoint.address, Address::Ssh { .. })
            && let Some((machine, key)) = self.node_login(profile, &endpoint.address).await
        {
            endpoint.ssh_key = Some(key);
            endpoint.pin_as = Some(machine);
        }
        let by = format!("DOCKER_HOST, which came from minikube profile `{profile}`");
        let resolved = self
            .profile_target(&Named {
                profile: profile.into(),
                by: "MINIKUBE_ACTIVE_DOCKERD".into(),
            })
            .await;
        match resolved {
            // the files still say the same: nothing needs to be asked
            Ok(target) if target.nodes[0].endpoint.address == endpoint.address => Ok(Target {
                decided_by: by,
                ..target
            }),
            // the shell points at another of its nodes
            Ok(target)
                if target
                    .nodes
                    .iter()
                    .any(|node| node.endpoint.address == endpoint.address) =>
            {
                let nodes = target
                    .nodes
                    .into_iter()
                    .filter(|node| node.endpoint.address == endpoint.address)
                    .collect();
                Ok(Target {
                    decided_by: by,
                    nodes,
                    profile: target.profile,
                })
            }
            Ok(target) => {
                if self.answers_as(&endpoint, &target.nodes[0].name).await {
                    return Ok(Target {
                        decided_by: by,
                        profile: Some(profile.into()),
                        ..Target::single(endpoint, "")
                    });
                }
                self.ui.note(&format!(
                    "DOCKER_HOST is stale: profile `{profile}` is at {} now; `eval $(devnet env)` mends this shell",
                    target.nodes[0].endpoint
                ));
                Ok(target)
            }
            // a port that was that profile's may be another's now: only its own machine will do
            Err(error) if self.answers_as(&endpoint, profile).await => {
                self.ui.detail(&format!(
                    "minikube's files do not say where `{profile}` is: {error}"
                ));
                Ok(Target::single(endpoint, by))
            }
            Err(error) => Err(error.hint(
                "DOCKER_HOST points there: `eval $(devnet env --unset)` gives this shell back",
            )),
        }
    }

    /// The machine of a profile whose ssh login this address is, and the key to it. Only such a
    /// host may be pinned: any other must be known to ssh.
    async fn node_login(&self, profile: &str, address: &Address) -> Option<(String, PathBuf)> {
        let home = self.minikube().ok()?;
        let machines = home.profile(profile).ok()?;
        for (machine, _) in machines.machines() {
            if self
                .ssh_address(profile, &machine)
                .await
                .is_ok_and(|login| login == *address)
            {
                let named = home.machine(&machine).ok()?.driver.ssh_key_path;
                let key = if named.is_empty() {
                    home.ssh_key(&machine)
                } else {
                    named.into()
                };
                return Some((machine, key));
            }
        }
        None
    }

    /// Whether an engine answers there and calls its machine by this name.
    async fn answers_as(&self, endpoint: &Endpoint, machine: &str) -> bool {
        match Engine::connect(endpoint, &self.settings).await {
            Ok(engine) => engine
                .info()
                .await
                .is_ok_and(|info| info.name.as_deref() == Some(machine)),
            Err(_) => false,
        }
    }

    /// The profile that holds when none was named on the command line.
    fn default_profile(&self) -> Result<Named> {
        let named = |profile: String, by: &str| {
            Ok(Named {
                profile,
                by: by.into(),
            })
        };
        if let Some(name) = self.settings.environment.text("MINIKUBE_PROFILE")? {
            return named(name.into(), "MINIKUBE_PROFILE");
        }
        if let Some(name) = self.settings.config_file()?.profile {
            return named(name, "devnet's config file");
        }
        if let Some(name) = self.minikube()?.active_profile() {
            return named(name, "minikube's active profile");
        }
        named("minikube".into(), "the default")
    }

    /// An endpoint that was named with its certificates, or without.
    fn explicit(host: &str, certs: Option<PathBuf>) -> Result<Endpoint> {
        let address = Address::parse(host)?;
        if certs.is_some() && !matches!(address, Address::Tcp { .. }) {
            return Err(Error::usage(format!("`{host}` takes no certificates"))
                .hint("only tcp:// addresses are spoken to with TLS"));
        }
        Ok(Endpoint {
            cert_path: certs,
            ..Endpoint::plain(address)
        })
    }

    /// An endpoint as docker's own variables say it.
    fn docker_host(&self, host: &str, tls: bool, certs: Option<PathBuf>) -> Result<Endpoint> {
        let address = Address::parse(host)?;
        let cert_path = match (&address, tls) {
            (Address::Tcp { .. }, true) => match certs {
                Some(folder) => Some(folder),
                None => Some(docker_context::folder(
                    &self.settings.environment,
                    &self.settings.home()?,
                )),
            },
            _ => None,
        };
        Ok(Endpoint {
            cert_path,
            ..Endpoint::plain(address)
        })
    }

    fn context_endpoint(&self, name: &str) -> Result<Endpoint> {
        if name == "default" {
            return Ok(Endpoint::plain(self.default_socket()?));
        }
        let folder = docker_context::folder(&self.settings.environment, &self.settings.home()?);
        docker_context::endpoint(&folder, name)
    }

    /// The platform's usual place of an engine's socket.
    fn default_socket(&self) -> Result<Address> {
        if cfg!(windows) {
            return Ok(Address::Npipe("//./pipe/docker_engine".into()));
        }
        let usual = PathBuf::from("/var/run/docker.sock");
        let mut others = Vec::new();
        if let Some(runtime) = self.settings.environment.path("XDG_RUNTIME_DIR") {
            others.push(runtime.join("docker.sock"));
        }
        if cfg!(target_os = "macos") {
            others.push(self.settings.home()?.join(".docker/run/docker.sock"));
        }
        let found = if usual.exists() {
            None
        } else {
            others.into_iter().find(|path| path.exists())
        };
        Ok(Address::Unix(found.unwrap_or(usual)))
    }
}
