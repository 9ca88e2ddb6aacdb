//! The Docker engine that devnet runs on containerd nodes, as several verbs meet it: started where a
//! shell is to point at it, and known to live by a TLS handshake.

use std::path::Path;
use std::time::Duration;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::commands::invocation::environment::ShellTarget;
use crate::commands::invocation::profiles::Named;
use crate::commands::invocation::target::{Need, NodeTarget, Nodes, Target};
use crate::docker_env::endpoint::{Address, Endpoint};
use crate::engine::Engine;
use crate::engine::node_docker::{self, DockerState};
use crate::error::{Error, Kind, Result};
use crate::host::process;
use crate::host::start_memory::{Advice, StartMemory};
use crate::settings::origin::Origin;
use crate::wire::tls;
use crate::wire::transport::{Dialer, connects};

/// The time in which one that lives has shaken hands: a forwarded port connects also where nobody
/// listens behind it.
const HANDSHAKE: Duration = Duration::from_millis(300);

/// The right to start an engine that does not run, where a shell is to point at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Allowed,
    Never,
}

impl Start {
    /// By a person's flag.
    pub(crate) fn unless(forbidden: bool) -> Self {
        if forbidden {
            Self::Never
        } else {
            Self::Allowed
        }
    }
}

/// An engine that does not answer, and why.
pub(in crate::commands) enum Silent {
    /// Nobody listens.
    Nobody(Error),
    /// Someone does, and a client of docker's would not trust it.
    Untrusted(Error),
}

impl Context {
    /// Sees to it that the engine answers at which a shell is to point: one that devnet runs is started
    /// where it does not.
    ///
    /// # Errors
    /// Unreachable: the node does not run, or its engine does not and is not to be started.
    pub(crate) async fn ready(&self, target: &ShellTarget, start: Start) -> Result<()> {
        let node = &target.engine;
        if target.is_podman() {
            return self.podman_answers(node).await;
        }
        if !node.devnets_engine {
            return self.look(target).await;
        }
        self.tell_of_other_nodes(node);
        let silent = match self.handshake(node).await {
            Ok(()) => return Ok(()),
            Err(Silent::Untrusted(error)) => return Err(Self::untrusted(node, error)),
            Err(Silent::Nobody(error)) => error,
        };
        if start == Start::Never {
            let hint = Self::engine_command("start", node);
            return Err(Error::unreachable(format!(
                "the Docker engine of node `{}` does not run",
                node.name
            ))
            .caused_by(silent)
            .hint(format!("`{hint}` starts it")));
        }
        self.ui.say(&format!(
            "devnet: starting a Docker engine on the containerd node `{}` (`{}` ends it)",
            node.name,
            Self::engine_command("stop", node)
        ));
        self.start_engine(node).await.map(drop)
    }

    /// The runtime of a profile's nodes where that is not Docker; `None` also where its record can't be
    /// read.
    pub(in crate::commands) fn other_runtime(&self, profile: &str) -> Option<String> {
        let record = self.minikube().ok()?.profile(profile).ok()?;
        let runtime = record.runtime();
        (runtime != "docker").then(|| runtime.to_owned())
    }

    /// The nodes of a profile with another runtime, where a shell points at the engine that devnet runs
    /// there: all of them, or the one that it is.
    pub(in crate::commands) async fn of_devnets_engine(
        &self,
        profile: &str,
        endpoint: &Endpoint,
        need: Need,
    ) -> Result<Target> {
        let named = Named {
            profile: profile.to_owned(),
            by: Origin::variable("MINIKUBE_ACTIVE_DOCKERD"),
        };
        let mut target = self.profile_target(&named, Nodes::All, need).await?;
        target.decided_by = format!("DOCKER_HOST, which came from minikube profile `{profile}`");
        let engines = self.profile_target(&named, Nodes::All, Need::Environment);
        let at = match engines.await {
            Ok(engines) => engines
                .nodes
                .into_iter()
                .position(|node| node.endpoint.address == endpoint.address),
            // it is not told where they are
            Err(_away) => None,
        };
        if let Some(other) = at.filter(|place| 0 < *place && *place < target.nodes.len()) {
            target.nodes = vec![target.nodes.swap_remove(other)];
        }
        Ok(target)
    }

    /// The nodes of the profile whose node's engine was named, by whatever way: what runs there is told
    /// by its own runtime. `None` where it is an engine of its own.
    ///
    /// # Errors
    /// Unreachable where that profile is not on this computer.
    pub(in crate::commands) async fn led_by_label(
        &self,
        target: &Target,
        which: Nodes<'_>,
    ) -> Result<Option<Target>> {
        let [node] = target.nodes.as_slice() else {
            return Ok(None);
        };
        let may_be = match &node.endpoint.address {
            Address::Tcp { .. } => node.endpoint.cert_path.is_some(),
            Address::Unix(path) => path.as_path() == Path::new(node_docker::SOCKET),
            Address::Ssh { socket, .. } => socket == node_docker::SOCKET,
            Address::Container { .. } | Address::Npipe(_) => false,
        };
        if target.profile.is_some() || !may_be {
            return Ok(None);
        }
        let labels = async {
            let engine = Engine::connect(&node.endpoint, &self.settings).await.ok()?;
            Some(engine.runtime.info().await.ok()?.labels)
        };
        // one that does not answer says so when it is asked for pods
        let labels = labels.await.unwrap_or_default();
        let Some((profile, machine)) = node_docker::node_of(&labels) else {
            return Ok(None);
        };
        let named = Named {
            profile: profile.to_owned(),
            by: Origin::Default,
        };
        let by = &target.decided_by;
        match self.profile_target(&named, which, Need::Pods).await {
            Ok(led) => Ok(Some(Target {
                decided_by: format!("{by}: the engine that devnet runs on node `{machine}` of minikube profile `{profile}`"),
                ..led
            })),
            Err(error) if error.kind() == Kind::NotFound => Err(Error::unreachable(format!(
                "the engine at {} shows no pods: devnet runs it on node `{machine}` of minikube profile `{profile}`, which is not on this computer",
                node.endpoint
            ))
            .caused_by(error)
            .hint(format!(
                "`{}` shows them where that profile is",
                command_line::with("devnet -p", [profile, "pods"])
            ))),
            Err(error) => Err(error),
        }
    }

    /// Starts a node's Docker engine, unless it runs, and sees that docker's clients can reach it; else
    /// it does not stay.
    ///
    /// # Errors
    /// As for connecting to the node; the engine's own words where it does not start.
    pub(in crate::commands) async fn start_engine(
        &self,
        shell: &NodeTarget,
    ) -> Result<DockerState> {
        shell.there()?;
        let engine = self.containerd_of(shell).await?;
        let address = match &shell.endpoint.address {
            Address::Tcp { host, .. } => host.as_str(),
            _ => "",
        };
        let profile = shell.profile.as_deref().unwrap_or_default();
        let label = format!("{profile}/{}", shell.name);
        let was_there = self.handshake(shell).await.is_ok();
        let started = node_docker::start(&engine, &label, address).await;
        let state = started.map_err(|error| mended(error, profile))?;
        let error = match self.handshake(shell).await {
            Ok(()) => return Ok(state),
            Err(Silent::Untrusted(error)) => Self::untrusted(shell, error),
            Err(Silent::Nobody(error)) => Error::unreachable(format!(
                "the Docker engine of node `{}` runs, and does not answer from here",
                shell.name
            ))
            .caused_by(error)
            .hint(format!(
                "`{}` makes the way to the node anew",
                command_line::with("minikube start -p", [profile])
            )),
        };
        if !was_there {
            // nobody could use it; that it does not end is no more than it was
            let _stopped = node_docker::stop(&engine, false).await;
        }
        Err(error)
    }

    /// Starts a node's engine beside a prompt, which does not wait, where it does not run: after the node
    /// was started anew. A start that failed is told once.
    ///
    /// # Errors
    /// When this devnet can't start itself.
    pub(in crate::commands) async fn restarted_by_a_prompt(&self, node: &NodeTarget) -> Result<()> {
        let Some(profile) = &node.profile else {
            return Ok(());
        };
        node.there()?;
        let Err(Silent::Nobody(_)) = self.listens(&node.endpoint).await else {
            return Ok(());
        };
        let memory = StartMemory::new(&self.settings.state_folder()?, profile, &node.name);
        let boot = self.stamp_of_files(&self.minikube()?, profile);
        let now = jiff::Timestamp::now().as_second();
        match memory.advise(now, &boot) {
            Advice::Wait => Ok(()),
            Advice::Tell(why) => {
                self.ui.say(&format!(
                    "devnet: the Docker engine of node `{}` did not start: {why}; `{}` tries it again",
                    node.name,
                    Self::engine_command("start", node)
                ));
                Ok(())
            }
            Advice::Start => {
                self.ui.say(&format!(
                    "devnet: starting the Docker engine of node `{}` again",
                    node.name
                ));
                let own = std::env::current_exe().map_err(|error| {
                    Error::failed("devnet can't tell where its own program is").caused_by(error)
                })?;
                let words = ["-p", profile, "engine", "start", "--node", &node.name];
                let words = [&words[..], &["--for-a-prompt"]].concat();
                process::start_detached(own.as_os_str(), &words)
            }
        }
    }

    /// Remembers what came of a start for the prompt that asked for it.
    ///
    /// # Errors
    /// When no state folder is known.
    pub(in crate::commands) fn told_to_prompts(
        &self,
        node: &NodeTarget,
        failed: Option<&Error>,
    ) -> Result<()> {
        let profile = node.profile.as_deref().unwrap_or_default();
        let memory = StartMemory::new(&self.settings.state_folder()?, profile, &node.name);
        memory.ended(failed.map(Error::in_one_line));
        Ok(())
    }

    /// The Docker engines that devnet runs on nodes with another runtime; none where the nodes have
    /// engines of their own, or can have none.
    pub(in crate::commands) async fn engines_of(&self, target: &Target) -> Vec<NodeTarget> {
        let Some(profile) = target.profile.clone() else {
            return Vec::new();
        };
        let by = Origin::Default;
        let named = Named { profile, by };
        match self
            .profile_target(&named, Nodes::All, Need::Environment)
            .await
        {
            Ok(engines) => engines
                .nodes
                .into_iter()
                .filter(|node| node.devnets_engine)
                .collect(),
            Err(_none) => Vec::new(),
        }
    }

    /// Connects to the containerd of a node whose Docker engine is meant.
    ///
    /// # Errors
    /// As for connecting.
    pub(in crate::commands) async fn containerd_of(&self, node: &NodeTarget) -> Result<Engine> {
        let profile = node.profile.clone().unwrap_or_default();
        let by = Origin::Default;
        let target = self
            .profile_target(&Named { profile, by }, Nodes::Named(&node.name), Need::Pods)
            .await?;
        self.connect(&target.nodes[0]).await
    }

    /// Shakes hands with an engine that devnet runs.
    pub(in crate::commands) async fn handshake(&self, node: &NodeTarget) -> Result<(), Silent> {
        node.there().map_err(Silent::Nobody)?;
        self.shake_hands(&node.endpoint).await
    }

    async fn shake_hands(&self, endpoint: &Endpoint) -> Result<(), Silent> {
        let dialled = async { Dialer::new(endpoint, &self.settings)?.dial().await };
        match tokio::time::timeout(HANDSHAKE, dialled).await {
            Ok(Ok(_stream)) => Ok(()),
            Ok(Err(error)) if tls::trouble(&error).is_some() => Err(Silent::Untrusted(error)),
            Ok(Err(error)) => Err(Silent::Nobody(error)),
            Err(_elapsed) => Err(Silent::Nobody(
                Error::unreachable(format!("no answer from {endpoint}"))
                    .caused_by(format!("none within {} ms", HANDSHAKE.as_millis())),
            )),
        }
    }

    /// Sees whether an engine that devnet runs listens at this address, as a prompt asks it: with no
    /// more than a connection where that tells.
    pub(in crate::commands) async fn listens(&self, endpoint: &Endpoint) -> Result<(), Silent> {
        if !endpoint.is_of_the_node_itself() {
            return self.shake_hands(endpoint).await;
        }
        if connects(&endpoint.address, HANDSHAKE).await {
            return Ok(());
        }
        let nobody = Error::unreachable(format!("no answer from {endpoint}"));
        Err(Silent::Nobody(nobody))
    }

    /// The command that starts or stops the engine of a node.
    pub(in crate::commands) fn engine_command(verb: &str, node: &NodeTarget) -> String {
        let profile = node.profile.as_deref().unwrap_or_default();
        let mut words = vec!["-p", profile, "engine", verb];
        if node.name != profile {
            words.extend(["--node", &node.name]);
        }
        command_line::with("devnet", words)
    }

    fn untrusted(node: &NodeTarget, error: Error) -> Error {
        let profile = node.profile.as_deref().unwrap_or_default();
        Error::unreachable(format!(
            "docker's clients would not trust the engine of node `{}`",
            node.name
        ))
        .caused_by(error)
        .hint(format!(
            "`{}` writes the node's certificates anew",
            command_line::with("minikube start -p", [profile])
        ))
    }

    /// Says where images are that are built through the engine of one node among several.
    fn tell_of_other_nodes(&self, node: &NodeTarget) {
        let Some(profile) = &node.profile else {
            return;
        };
        let Ok(record) = self.minikube().and_then(|home| home.profile(profile)) else {
            return;
        };
        let several = record.machines().len();
        if several > 1 {
            let load = ["-p", profile, "load", "--from-node", &node.name, "IMAGE"];
            self.ui.note(&format!(
                "profile `{profile}` has {several} nodes: what is built through this engine is on `{}` alone; `{}` brings it to the others",
                node.name,
                command_line::with("devnet", load)
            ));
        }
    }
}

/// A failure of the program in the node, with the profile in the command that mends it.
fn mended(error: Error, profile: &str) -> Error {
    if error.hints() != ["minikube start"] {
        return error;
    }
    let start = command_line::with("minikube start -p", [profile]);
    Error::new(error.kind(), error.to_string()).hint(format!("`{start}` puts it there"))
}
