//! Domain: pods on plain Docker. A Pod manifest (`manifest.rs`) becomes the containers that make
//! it (`plan.rs`), at addresses that devnet chooses (`address.rs`); what is there is read back from
//! labels (`member.rs`). Nothing here talks to an engine.

pub(crate) mod address;
pub(crate) mod claim;
pub(crate) mod label;
pub(crate) mod manifest;
pub(crate) mod member;
pub(crate) mod membership;
pub(crate) mod owned;
pub(crate) mod plan;
mod quantity;
pub(crate) mod reading;
pub(crate) mod spec;
pub(crate) mod standing;
pub(crate) mod variables;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The word in `image:` that stands for the program devnet carries: pause and the demo app.
pub(crate) const BUILT_IN_IMAGE: &str = "devnet-probe";

/// A pod as its manifest wants it. It is kept on the sandbox (as JSON), so that `lab kill` can make
/// the pod's containers again without a file of ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<String>,
    #[serde(skip_serializing_if = "not")]
    pub(crate) host_network: bool,
    #[serde(skip_serializing_if = "not")]
    pub(crate) host_ipc: bool,
    #[serde(skip_serializing_if = "not")]
    pub(crate) host_pid: bool,
    #[serde(skip_serializing_if = "not")]
    pub(crate) share_process_namespace: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_as_user: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_as_group: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<i64>,
    /// The group that owns the pod's volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) volume_group: Option<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sysctls: BTreeMap<String, String>,
    /// Lines of /etc/hosts beside its own: name, address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) host_aliases: Vec<(String, String)>,
    /// Seconds between SIGTERM and SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grace: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) init_containers: Vec<Container>,
    pub(crate) containers: Vec<Container>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) volumes: Vec<Volume>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    #[serde(skip_serializing_if = "Pull::is_if_absent")]
    pub(crate) pull: Pull,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) args: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) environment: Vec<(String, Text)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) working_dir: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<Port>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mounts: Vec<Mount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_as_user: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_as_group: Option<i64>,
    #[serde(skip_serializing_if = "not")]
    pub(crate) read_only: bool,
    #[serde(skip_serializing_if = "not")]
    pub(crate) no_new_privileges: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) add_capabilities: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) drop_capabilities: Vec<String>,
    /// Thousandths of a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_request: Option<i64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_limit: Option<i64>,
    #[serde(skip_serializing_if = "not")]
    pub(crate) stdin: bool,
    #[serde(skip_serializing_if = "not")]
    pub(crate) tty: bool,
    /// An init container that stays (`restartPolicy: Always`).
    #[serde(skip_serializing_if = "not")]
    pub(crate) sidecar: bool,
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Text {
    /// A field of the pod, as `status.podIP`; known when its sandbox is.
    Field(String),
    /// May refer to earlier variables as `$(NAME)`.
    Literal(String),
}

/// The policy for fetching an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Pull {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

impl Pull {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
    fn is_if_absent(&self) -> bool {
        *self == Self::IfNotPresent
    }
}

/// A port that a container says it listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Port {
    pub(crate) container: u16,
    /// Published on the engine's machine.
    pub(crate) host: Option<u16>,
    pub(crate) host_ip: Option<String>,
    /// `tcp`, `udp` or `sctp`.
    pub(crate) protocol: String,
}

/// The path at which a container sees a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub(crate) volume: String,
    pub(crate) path: String,
    pub(crate) read_only: bool,
}

/// A volume of a pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) source: VolumeSource,
}

/// The content of a volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VolumeSource {
    /// Files of a `ConfigMap` from the same manifests: path, text, mode.
    Files(Vec<(String, String, u32)>),
    /// A folder or file of the engine's machine.
    Host(String),
    /// Empty at first, in memory with that many bytes at most.
    Memory(Option<i64>),
    /// Empty at first.
    Scratch,
}

impl Pod {
    /// As `default/web`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// True where the manifest has a container of that name, init or not.
    pub(crate) fn has(&self, container: &str) -> bool {
        self.init_containers
            .iter()
            .chain(&self.containers)
            .any(|planned| planned.name == container)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn not(flag: &bool) -> bool {
    !flag
}
