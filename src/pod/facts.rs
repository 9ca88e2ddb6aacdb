//! One container as a runtime lists and describes it: the facts from which pods are made, in words of
//! no runtime.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Origin;

/// One container as a runtime lists and describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ContainerFacts {
    pub(crate) id: String,
    /// Its name in its runtime.
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) image_id: Option<String>,
    pub(crate) command: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// The kubelet's notes on it.
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) membership: Membership,
    pub(crate) state: State,
    pub(crate) exit_code: Option<i64>,
    pub(crate) oom_killed: Option<bool>,
    pub(crate) error: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) created_at: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    /// The end of the run before this one, where the container runs again.
    pub(crate) ended_before: Option<String>,
    pub(crate) joins: Joins,
    /// The runtime's own word for its network, where it has one.
    pub(crate) network: Option<String>,
    /// IP addresses that the runtime itself knows; empty when it is not running.
    pub(crate) ips: Vec<String>,
    /// Addresses that its creator asked the runtime for; they stay readable after its end.
    pub(crate) wanted_ips: Vec<String>,
    /// True where its `/etc/hosts` is a file that the kubelet wrote.
    pub(crate) has_kubelets_hosts: bool,
    /// The file that pins its network namespace, where the runtime has one.
    pub(crate) netns_path: Option<String>,
    /// The number of restarts by the runtime itself (never under the kubelet).
    pub(crate) restart_count: Option<u32>,
    pub(crate) log: Option<LogStore>,
    /// The file for its ID that its creator named; of no image and of no copy of a container.
    pub(crate) id_file: Option<String>,
    pub(crate) published: Vec<Published>,
}

impl ContainerFacts {
    /// Its place in the pod that somebody made as a pod, if it is of one.
    pub(crate) fn member(&self) -> Option<&Member> {
        match &self.membership {
            Membership::Pod(member) => Some(member),
            Membership::Helper | Membership::Plain { .. } => None,
        }
    }

    /// True where devnet made it for its own use: no pod, whatever it shares.
    pub(crate) fn is_helper(&self) -> bool {
        self.membership == Membership::Helper
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let notes = self.labels.iter().chain(&self.annotations);
        let notes = notes.map(|(name, value)| name.len() + value.len() + 64);
        let words = self.command.iter().chain(&self.ips).chain(&self.wanted_ips);
        let words = words.map(|word| word.len() + 24);
        let single = [&self.id, &self.name, &self.image];
        let others = [&self.error, &self.network, &self.netns_path, &self.id_file];
        let others = others.into_iter().flatten();
        let text = single.into_iter().chain(others).map(String::len);
        let published = self.published.iter();
        let published = published.map(|one| size_of_val(one) + one.proto.len() + one.host_ip.len());
        let parts = notes.chain(words).chain(text).chain(published);
        size_of::<Self>() + parts.sum::<usize>()
    }
}

/// A container's place among pods, as its runtime tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// In a pod that a kubelet or a lab made as a pod.
    Pod(Member),
    /// In none: devnet made it for its own use.
    Helper,
    /// A container of no pod; `project` is the one that its maker put it into.
    Plain { project: Option<String> },
}

impl Default for Membership {
    fn default() -> Self {
        Self::Plain { project: None }
    }
}

/// A container's place in a pod that somebody made as a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) origin: Origin,
    pub(crate) pod: PodKey,
    pub(crate) part: Part,
    pub(crate) attempt: Option<u32>,
    /// The number of its restarts by the kubelet's count.
    pub(crate) restarts: Option<u32>,
    /// The sandbox that it was made for.
    pub(crate) sandbox_id: Option<String>,
}

/// The distinction of pods on one node. A name comes back, a UID does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// The part that a container plays in its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Sandbox,
    /// A container, under its name in the pod.
    Container(String),
}

/// The namespaces that a container was configured to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joins {
    pub(crate) network: Join,
    pub(crate) ipc: Join,
    pub(crate) pid: Join,
    pub(crate) uts: Join,
}

/// One namespace that a container was configured to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Join {
    /// One that is made for it.
    #[default]
    Own,
    /// The node's.
    Host,
    /// The namespace of the container with this ID (or, where a runtime keeps a name, of this
    /// name).
    Container(String),
    /// The one that this file pins.
    Path(String),
}

impl Join {
    /// The container whose namespace it is.
    pub(crate) fn container(&self) -> Option<&String> {
        match self {
            Self::Container(id) => Some(id),
            Self::Own | Self::Host | Self::Path(_) => None,
        }
    }
}

/// The state of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Created,
    Running,
    Paused,
    Restarting,
    Stopping,
    Removing,
    Exited,
    Dead,
    /// Another word, or none at all.
    #[default]
    #[serde(other, rename = "")]
    Unknown,
}

impl State {
    /// Its word, as JSON and people have it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
            Self::Unknown => "",
        }
    }

    /// True where processes are there.
    pub(crate) fn is_up(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Paused | Self::Restarting | Self::Stopping
        )
    }
}

impl From<&str> for State {
    fn from(word: &str) -> Self {
        let all = [
            Self::Created,
            Self::Running,
            Self::Paused,
            Self::Restarting,
            Self::Stopping,
            Self::Removing,
            Self::Exited,
            Self::Dead,
        ];
        let known = all.into_iter().find(|state| state.word() == word);
        known.unwrap_or_default()
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// The place where a runtime keeps what a container writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogStore {
    /// A log driver's, by its name.
    Driver(String),
    /// A file of the node, and beside it those that it was before it was rotated.
    Files(String),
}

/// A port of a node that a runtime was asked to pass on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) proto: String,
    pub(crate) host_ip: String,
    pub(crate) host_port: u16,
    pub(crate) port: u16,
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
