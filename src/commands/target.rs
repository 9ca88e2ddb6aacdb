//! Which engine a command talks to: the contract's list, first that applies. Nothing is started,
//! restarted or changed by asking.

use crate::commands::Context;
use crate::commands::profiles::Named;
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::settings::origin::Origin;

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

impl Context {
    /// Finds the engines that a command talks to.
    ///
    /// # Errors
    /// Not found: no such profile or context. Unreachable: the profile can't have an engine that
    /// devnet speaks to, or does not run.
    pub(crate) async fn target(&self, need: Need) -> Result<Target> {
        let target = Box::pin(self.find_target(need)).await?;
        // what only prints an environment changes nothing
        if need != Need::Environment {
            Box::pin(self.keep_docker_contexts(&target)).await;
        }
        Ok(target)
    }

    /// The engines, and no docker context is touched.
    ///
    /// # Errors
    /// As for `target`.
    pub(super) async fn find_target(&self, need: Need) -> Result<Target> {
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
                    by: Origin::flag("--profile"),
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
                    by: Origin::variable("DEVNET_PROFILE"),
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
        let engine = Engine::connect(&node.endpoint, &self.settings)
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
            })?;
        engine.sweep_abandoned().await;
        Ok(engine)
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
                by: Origin::variable("MINIKUBE_ACTIVE_DOCKERD"),
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
}
