//! Pods as a person asks a cluster for them.

use std::collections::BTreeMap;

use crate::support::containerd_node::BUSYBOX;
use crate::support::cri::messages::{Mount, PortMapping};

/// A pod and its containers.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) host_network: bool,
    pub(crate) host_pid: bool,
    pub(crate) host_ipc: bool,
    pub(crate) share_pid: bool,
    /// The user of the node's that is root in it, where its users are its own (`hostUsers: false`).
    pub(crate) own_users: Option<u32>,
    pub(crate) ports: Vec<PortMapping>,
    pub(crate) containers: Vec<Container>,
    pub(crate) restarts: Policy,
    /// Seconds that a container has to end.
    pub(crate) grace: i64,
}

/// The rule for containers that have ended (`restartPolicy`): made anew or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Always,
    OnFailure,
    Never,
}

/// A container of a pod.
#[derive(Clone, Default)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: String,
    pub(crate) mounts: Vec<Mount>,
    /// Those of `ports:`, as the kubelet's annotation has them: name and number, all TCP.
    pub(crate) ports: Vec<(String, u16)>,
    pub(crate) user: Option<i64>,
    pub(crate) memory: Option<i64>,
    pub(crate) added_capabilities: Vec<String>,
    pub(crate) privileged: bool,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
    /// Runs to its end before those that are none start.
    pub(crate) init: bool,
}

impl Wanted {
    pub(crate) fn pod(name: &str) -> Self {
        Self {
            name: name.into(),
            namespace: "default".into(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            host_network: false,
            host_pid: false,
            host_ipc: false,
            share_pid: false,
            own_users: None,
            ports: Vec::new(),
            containers: Vec::new(),
            restarts: Policy::Always,
            grace: 2,
        }
    }

    pub(crate) fn with(mut self, container: Container) -> Self {
        self.containers.push(container);
        self
    }

    /// Adds a container of busybox that runs a shell script.
    pub(crate) fn script(self, container: &str, script: &str) -> Self {
        self.with(Container::script(container, script))
    }

    /// Adds a container that does nothing for an hour.
    pub(crate) fn sleeper(self, container: &str) -> Self {
        self.with(Container::of(container, BUSYBOX, &["sleep", "3600"]))
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }
}

impl Container {
    pub(crate) fn of(name: &str, image: &str, command: &[&str]) -> Self {
        Self {
            name: name.into(),
            image: image.into(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            ..Self::default()
        }
    }

    /// One of busybox that runs a shell script.
    pub(crate) fn script(name: &str, script: &str) -> Self {
        Self::of(name, BUSYBOX, &["sh", "-c", script])
    }
}
