//! Domain: pods seen from a node: a sandbox (the pause container) and the containers that join it.
//!
//! The field names are those of the contract's JSON; unknown is `None`, never guessed.

mod applied;
mod comeback;
mod crash_loop;
mod facts;
mod findings;
pub(crate) mod graph;
mod group;
mod history;
mod host_ports;
mod kind;
mod kubelet;
pub(crate) mod log;
mod outlook;
mod previous;
mod resolver;
mod run;
mod select;
mod selector;
mod signal;
mod stale;
mod state;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::finding::Finding;
use crate::runtime_kind::RuntimeKind;

#[cfg(test)]
pub(crate) use comeback::RunningContainer;
pub(crate) use comeback::{Comeback, Kept, Killed, Progress, Standing, doubt};
pub(crate) use facts::{
    ContainerFacts, Join, Joins, LogStore, Member, Membership, Part, PodKey, Published, State,
};
pub(crate) use findings::{how_it_ended, judge, short};
pub(crate) use group::{PlainContainers, pods};
pub(crate) use history::{Event, EventKind, Restart, history};
pub(crate) use host_ports::{DeclaredPort, declared, declared_in_lab};
pub(crate) use kind::is_init;
pub(crate) use kubelet::{ContainerKind, DeclaredContainer, KubeletPod, KubeletWord, hear};
pub(crate) use outlook::{Outlook, outlook};
pub(crate) use previous::last_ended;
pub(crate) use resolver::Resolver;
pub(crate) use run::{Change, ContainerEvent, Run, Runs, present, runs};
pub(crate) use select::select;
pub(crate) use selector::Selector;
pub(crate) use signal::Signal;
pub(crate) use stale::{Pull, Renamed, Stale, is_at_digest, pull_at_restart, stale};
pub(crate) use state::timestamp;

pub(crate) use crate::probe::look::Namespaces;

/// The result of one look at one or more nodes.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) schema: u32,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pods: Vec<Pod>,
    /// Findings that belong to no single pod.
    #[serde(skip)]
    pub(crate) findings: Vec<Finding>,
}

impl Snapshot {
    /// The runtime of its nodes: those of a profile have one.
    pub(crate) fn runtime(&self) -> RuntimeKind {
        self.nodes
            .first()
            .map_or_else(RuntimeKind::default, |node| node.runtime)
    }
}

/// A machine that runs pods, with its engine.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) runtime: RuntimeKind,
    pub(crate) version: Option<String>,
    pub(crate) api_version: Option<String>,
    pub(crate) os: Option<String>,
    pub(crate) arch: Option<String>,
    pub(crate) namespaces: Option<Namespaces>,
    /// The start of its first process, as its kernel says.
    #[serde(skip)]
    pub(crate) up_since: Option<jiff::Timestamp>,
    /// The listeners in its own network of processes of no pod; they hold ports that pods on that
    /// network may want.
    #[serde(skip)]
    pub(crate) listeners: Vec<Socket>,
}

/// The maker of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// Plain containers of Docker that share another's network.
    Docker,
    Kubernetes,
    /// `devnet lab`.
    Lab,
}

/// The state of a pod in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PodState {
    Completed,
    Degraded,
    Failed,
    Paused,
    Pending,
    Running,
}

/// A pod.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Pod {
    pub(crate) node: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// Its creator's notes, where the engine keeps them.
    #[serde(skip)]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) origin: Origin,
    pub(crate) state: PodState,
    pub(crate) ips: Vec<String>,
    pub(crate) host_network: bool,
    pub(crate) sandbox: Option<Sandbox>,
    pub(crate) sandboxes_before: Vec<PastSandbox>,
    pub(crate) containers: Vec<Container>,
    pub(crate) containers_before: Vec<Container>,
    /// `None` where nobody looked (no probe).
    pub(crate) sockets: Option<Vec<Socket>>,
    pub(crate) host_ports: Vec<PortMapping>,
    /// The addresses of each network namespace that its processes are in, as the kernel says. Of a pod
    /// whose sandbox was restarted alone there are several.
    #[serde(skip)]
    pub(crate) networks: BTreeMap<u64, Vec<String>>,
    /// `None` where its node's kubelet was not asked, or does not tell.
    pub(crate) kubelet: Option<KubeletWord>,
    #[serde(skip)]
    pub(crate) findings: Vec<Finding>,
}

/// A port of the node that is passed on to a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct PortMapping {
    pub(crate) proto: String,
    pub(crate) host_ip: String,
    pub(crate) host_port: u16,
    pub(crate) port: u16,
    /// The container that declares it, if that is known.
    pub(crate) container: Option<String>,
}

impl Pod {
    /// True where it was deleted: its containers are gone, and its dead sandbox is kept until
    /// somebody collects it. A kubelet that goes on with it makes it anew.
    pub(crate) fn is_over(&self) -> bool {
        let is_up = |sandbox: &Sandbox| sandbox.state.is_up();
        self.origin == Origin::Kubernetes
            && self.containers.is_empty()
            && !self.sandbox.as_ref().is_some_and(is_up)
            && !self.kubelet.as_ref().is_some_and(KubeletWord::goes_on)
    }

    /// True where its kernel says that its own network has no address but loopback.
    pub(crate) fn has_no_address(&self) -> bool {
        let inode = self.sandbox.as_ref().and_then(|one| one.namespaces?.net);
        let known = inode.and_then(|inode| self.networks.get(&inode));
        !self.host_network && known.is_some_and(Vec::is_empty)
    }

    /// The addresses by which others reach a socket's network namespace; `None` if they are
    /// unknown.
    pub(crate) fn addresses_of(&self, socket: &Socket) -> Option<&[String]> {
        Some(self.networks.get(&socket.netns?)?)
    }

    /// True where a socket is in another network namespace than the pod's sandbox.
    pub(crate) fn is_apart(&self, socket: &Socket) -> bool {
        let own = self.sandbox.as_ref().and_then(|one| one.namespaces?.net);
        matches!((own, socket.netns), (Some(own), Some(other)) if own != other)
    }

    /// All addresses of its processes for others, its own first; a node's addresses count for no
    /// pod.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &String> {
        let others = self.networks.values().flatten();
        self.ips
            .iter()
            .chain(others.filter(|ip| !self.host_network && !self.ips.contains(ip)))
    }

    /// The IDs of its sandboxes and containers, those of the past too.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        let sandboxes = self.sandbox.iter().map(|sandbox| &sandbox.id);
        let containers = self.containers.iter().chain(&self.containers_before);
        sandboxes
            .chain(self.sandboxes_before.iter().map(|sandbox| &sandbox.id))
            .chain(containers.map(|container| &container.id))
    }
}

/// A pod's pause container: what holds its network namespace.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) attempt: Option<u32>,
    pub(crate) state: State,
    pub(crate) pid: Option<u32>,
    pub(crate) created_at: Option<String>,
    pub(crate) started_at: Option<String>,
    /// The runtime's own word for its network, where it has one.
    #[serde(rename = "network_mode")]
    pub(crate) network: Option<String>,
    pub(crate) netns: Netns,
    pub(crate) namespaces: Option<Namespaces>,
}

impl Sandbox {
    /// True where no process is in it and a file alone holds its network.
    pub(crate) fn is_held_by_a_file(&self) -> bool {
        self.state.is_up() && self.pid.is_none() && self.netns.path.is_some()
    }
}

/// The file that pins a network namespace, and the namespace's inode number.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Netns {
    pub(crate) inode: Option<u64>,
    pub(crate) path: Option<String>,
}

/// A sandbox that a newer one replaced.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PastSandbox {
    pub(crate) id: String,
    pub(crate) attempt: Option<u32>,
    pub(crate) state: State,
    pub(crate) ip: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
}

/// A container of a pod.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `app`, `init`, `sidecar` or `ephemeral`; with a question mark where nothing proves it.
    pub(crate) kind: String,
    pub(crate) image: String,
    pub(crate) image_id: Option<String>,
    pub(crate) attempt: Option<u32>,
    pub(crate) restarts: Option<u32>,
    pub(crate) state: State,
    pub(crate) exit_code: Option<i64>,
    pub(crate) oom_killed: Option<bool>,
    pub(crate) pid: Option<u32>,
    #[serde(skip)]
    pub(crate) created_at: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    /// The end of the run before this one, where both are runs of this container.
    #[serde(skip)]
    pub(crate) ended_before: Option<String>,
    /// True where its engine restarts it, and not its maker.
    #[serde(skip)]
    pub(crate) restarted_by_engine: bool,
    /// The runtime's own word for its network, where it has one.
    #[serde(rename = "network_mode")]
    pub(crate) network: Option<String>,
    /// The sandbox that its configuration says it joins.
    pub(crate) sandbox_id: Option<String>,
    pub(crate) namespaces: Option<Namespaces>,
    pub(crate) shares: Shares,
}

/// The namespaces that a container has in common with its sandbox, by inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Shares {
    pub(crate) net: Option<bool>,
    pub(crate) ipc: Option<bool>,
    pub(crate) uts: Option<bool>,
    pub(crate) pid: Option<bool>,
}

/// A socket in a pod's network namespace.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Socket {
    pub(crate) proto: String,
    pub(crate) family: u8,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) remote: Option<String>,
    pub(crate) state: String,
    /// The bytes that nobody has read yet; of a TCP listener, connections that nobody has accepted
    /// yet.
    #[serde(skip)]
    pub(crate) queue: Option<u32>,
    pub(crate) inode: Option<u64>,
    /// The network namespace that it is in.
    #[serde(skip)]
    pub(crate) netns: Option<u64>,
    /// True where the runtime itself answers there, for names: its process is outside of every
    /// container.
    #[serde(skip)]
    pub(crate) is_engines_dns: bool,
    pub(crate) owners: Vec<Owner>,
}

impl Socket {
    /// True where it waits for others to begin: a TCP listener, or a UDP socket with no peer.
    pub(crate) fn is_listening(&self) -> bool {
        match self.state.as_str() {
            "LISTEN" => true,
            "UNCONN" => self.remote.is_none(),
            _ => false,
        }
    }
}

/// A process that holds a socket.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Owner {
    /// The container's name in its pod; `None` for the sandbox or a process of no container.
    pub(crate) container: Option<String>,
    pub(crate) pid: u32,
    pub(crate) command: String,
}
