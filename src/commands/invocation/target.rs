//! The choice of the engine that a command talks to: the contract's list, first that applies.
//! Nothing is started, restarted or changed by asking.

use std::sync::Arc;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::commands::invocation::profiles::Named;
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::runtime_kind::RuntimeKind;
use crate::settings::origin::Origin;
use crate::wording::{MANY, listed};

/// The purpose for which a command needs an engine; it decides how far the search may go.
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

/// The nodes that are meant of a profile with several; only these are asked for where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nodes<'a> {
    All,
    /// The control plane's.
    First,
    /// A machine's name, or minikube's short `m02`.
    Named(&'a str),
}

impl<'a> Nodes<'a> {
    /// The node that is named, else all.
    pub(crate) fn named_or_all(name: Option<&'a str>) -> Self {
        name.map_or(Self::All, Self::Named)
    }

    /// The node that is named, else the control plane's.
    pub(crate) fn named_or_first(name: Option<&'a str>) -> Self {
        name.map_or(Self::First, Self::Named)
    }

    /// Leaves these of a list that is not empty and has the control plane first.
    ///
    /// # Errors
    /// Not found, with the names that there are.
    pub(in crate::commands) fn of<T>(
        self,
        profile: Option<&str>,
        mut nodes: Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> Result<Vec<T>> {
        match self {
            Self::All => {}
            Self::First => nodes.truncate(1),
            Self::Named(wanted) => {
                let names: Vec<String> = nodes.iter().map(|node| name(node).to_owned()).collect();
                let short = profile.map(|profile| format!("{profile}-{wanted}"));
                nodes.retain(|node| name(node) == wanted || Some(name(node)) == short.as_deref());
                if nodes.is_empty() {
                    return Err(Error::not_found(format!("there is no node `{wanted}`"))
                        .hint(format!("there are: {}", listed(&names, MANY))));
                }
            }
        }
        Ok(nodes)
    }
}

/// A node to talk to.
#[derive(Clone, Debug)]
pub(crate) struct NodeTarget {
    /// The node's name: a minikube machine's, else `host`.
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    /// The minikube profile that it belongs to.
    pub(crate) profile: Option<String>,
    /// The address at which its ssh port is published, when that was told along with the engine's.
    pub(crate) login: Option<(String, u16)>,
    /// The reason why there is no way to it, when that is known already; then the endpoint says
    /// nothing.
    pub(crate) away: Option<Arc<Error>>,
    /// True where the engine is the one that devnet runs on a node with another runtime.
    pub(crate) devnets_engine: bool,
}

impl NodeTarget {
    /// # Errors
    /// When it is known already that there is no way to it.
    pub(crate) fn there(&self) -> Result<()> {
        self.away
            .as_ref()
            .map_or(Ok(()), |error| Err(error.duplicate()))
    }

    /// Its address, if that is known.
    pub(crate) fn at(&self) -> Option<String> {
        self.away.is_none().then(|| self.endpoint.to_string())
    }
}

/// The engines of a command, and why these.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The control plane first; never empty.
    pub(crate) nodes: Vec<NodeTarget>,
    /// The minikube profile, when it is one.
    pub(crate) profile: Option<String>,
    /// The thing that decided, as `--host`, for a person.
    pub(crate) decided_by: String,
}

impl Target {
    fn single(endpoint: Endpoint, decided_by: impl Into<String>) -> Self {
        Self {
            nodes: vec![NodeTarget {
                name: "host".into(),
                endpoint,
                profile: None,
                login: None,
                away: None,
                devnets_engine: false,
            }],
            profile: None,
            decided_by: decided_by.into(),
        }
    }
}

impl Context {
    /// Finds the engines that a command talks to.
    ///
    /// # Errors
    /// Not found: no such profile or context. Unreachable: the profile can't have an engine that
    /// devnet speaks to, or does not run.
    pub(crate) async fn target(&self, need: Need) -> Result<Target> {
        self.target_on(need, Nodes::All).await
    }

    /// The same, of these nodes only.
    ///
    /// # Errors
    /// As for all; not found when there is no such node.
    pub(crate) async fn target_on(&self, need: Need, which: Nodes<'_>) -> Result<Target> {
        let mut target = Box::pin(self.find_target(need, which)).await?;
        if need == Need::Pods
            && let Some(led) = Box::pin(self.led_by_label(&target, which)).await?
        {
            target = led;
        }
        target.nodes = which.of(target.profile.as_deref(), target.nodes, |node| &node.name)?;
        // what only prints an environment changes nothing
        if need != Need::Environment {
            Box::pin(self.keep_docker_contexts(&target)).await;
        }
        Ok(target)
    }

    /// The engines, and no docker context is touched. Where it costs nothing there are more nodes
    /// than those that are wanted.
    ///
    /// # Errors
    /// As for `target`.
    pub(in crate::commands) async fn find_target(
        &self,
        need: Need,
        which: Nodes<'_>,
    ) -> Result<Target> {
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
                .profile_target(
                    &Named {
                        profile: name.clone(),
                        by: Origin::flag("--profile"),
                    },
                    which,
                    need,
                )
                .await;
        }
        if let Some(host) = environment.text("DEVNET_HOST")? {
            let endpoint = Self::explicit(host, environment.path("DEVNET_CERT_PATH"))?;
            return Ok(Target::single(endpoint, "DEVNET_HOST"));
        }
        if let Some(name) = environment.text("DEVNET_PROFILE")? {
            return self
                .profile_target(
                    &Named {
                        profile: name.into(),
                        by: Origin::variable("DEVNET_PROFILE"),
                    },
                    which,
                    need,
                )
                .await;
        }
        if need != Need::Environment
            && let Some(host) = environment.text("DOCKER_HOST")?
        {
            return self.of_docker_host(host, need).await;
        }
        if need == Need::Lab {
            return Ok(Target::single(
                self.host_endpoint()?,
                "this computer's engine",
            ));
        }
        let named = self.default_profile()?;
        match self.profile_target(&named, which, need).await {
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
        node.there()?;
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
        if node.endpoint.unverified {
            self.ui.warn(&format!(
                "the connection to {} is encrypted, and who answers is not verified",
                node.endpoint
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
                    .caused_by(error)
                    .hint(format!(
                        "is it running? Start it with `{}`",
                        command_line::with("minikube start -p", [profile])
                    ))
                }
                None if error.kind() == Kind::Unreachable && error.hints().is_empty() => {
                    error.hint("is the engine running, and does it listen at that address?")
                }
                _ => error,
            })?;
        if let Some(why) = engine.node.detour() {
            self.ui
                .detail(&format!("no ssh login: {}", why.in_one_line()));
        }
        if node.endpoint.runtime != RuntimeKind::Docker {
            let (name, way) = (&node.name, engine.node.address());
            self.ui
                .detail(&format!("node `{name}` is reached through {way}"));
        }
        engine.agent.sweep_abandoned().await;
        Ok(engine)
    }

    /// `DOCKER_HOST` as a shell has it that ran `eval $(devnet env)` or that a person set.
    async fn of_docker_host(&self, host: &str, need: Need) -> Result<Target> {
        let environment = &self.settings.environment;
        let tls = environment.has("DOCKER_TLS_VERIFY");
        let mut endpoint = self.docker_host(host, tls, environment.path("DOCKER_CERT_PATH"))?;
        let Some(profile) = environment.text("MINIKUBE_ACTIVE_DOCKERD")? else {
            return Ok(Target::single(endpoint, "DOCKER_HOST"));
        };
        if need != Need::Lab && self.other_runtime(profile).is_some() {
            return self.of_devnets_engine(profile, &endpoint, need).await;
        }
        if matches!(endpoint.address, Address::Ssh { .. })
            && let Some((machine, key)) = self.node_login(profile, &endpoint.address).await
        {
            endpoint.ssh_key = Some(key);
            endpoint.pin_as = Some(machine);
        }
        let by = format!("DOCKER_HOST, which came from minikube profile `{profile}`");
        let resolved = self
            .profile_target(
                &Named {
                    profile: profile.into(),
                    by: Origin::variable("MINIKUBE_ACTIVE_DOCKERD"),
                },
                // it may point at any of them
                Nodes::All,
                need,
            )
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
                let machine = self.machine_at(&endpoint).await;
                if target
                    .nodes
                    .iter()
                    .any(|node| machine.as_ref() == Some(&node.name))
                {
                    return Ok(Target {
                        decided_by: by,
                        profile: Some(profile.into()),
                        ..Target::single(endpoint, "")
                    });
                }
                self.ui.note(&format!(
                    "DOCKER_HOST is stale: profile `{profile}` is at {} now; `eval $(devnet env)` mends this shell",
                    target.nodes.iter().find_map(NodeTarget::at).unwrap_or_default()
                ));
                Ok(target)
            }
            // a port that was that profile's may be another's now: only its own machine will do
            Err(error) if self.machine_at(&endpoint).await.as_deref() == Some(profile) => {
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

    /// The machine's name, as the engine that answers there says it.
    async fn machine_at(&self, endpoint: &Endpoint) -> Option<String> {
        let engine = Engine::connect(endpoint, &self.settings).await.ok()?;
        engine.runtime.info().await.ok()?.name
    }
}
