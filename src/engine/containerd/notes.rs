//! The notes of CRI on a container, as containerd keeps them beside its record.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::messages::Container as Record;
use crate::engine::cri::spec::Spec;

const SANDBOX_NOTES: &str = "io.cri-containerd.sandbox.metadata";
const CONTAINER_NOTES: &str = "io.cri-containerd.container.metadata";

/// A record of containerd's, read: it is large, and most of it is of no interest here.
#[derive(Debug, Default)]
pub(super) struct Description {
    /// The name of its image.
    pub(super) image: String,
    pub(super) spec: Spec,
    /// CRI's notes, where it is a sandbox.
    pub(super) sandbox: SandboxNotes,
    /// The same where it is a container of a pod.
    pub(super) container: ContainerNotes,
}

impl Description {
    /// Reads a record. What is no JSON of its kind is as if it were not there.
    pub(super) fn of(record: Record) -> Self {
        let spec = record.spec.as_ref();
        Self {
            spec: spec
                .and_then(|spec| serde_json::from_slice(&spec.value).ok())
                .unwrap_or_default(),
            sandbox: notes(&record, SANDBOX_NOTES),
            container: notes(&record, CONTAINER_NOTES),
            image: record.image,
        }
    }
}

fn notes<M: DeserializeOwned + Default>(record: &Record, name: &str) -> M {
    let noted = record.extensions.get(name);
    noted
        .and_then(|any| serde_json::from_slice::<Noted<M>>(&any.value).ok())
        .map(|noted| noted.metadata)
        .unwrap_or_default()
}

/// The extension of a record in which CRI keeps what it knows of a sandbox or a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Noted<M> {
    #[serde(rename = "Metadata")]
    pub(super) metadata: M,
}

/// CRI's own notes on a sandbox. They stay until it is removed, also when it is dead.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct SandboxNotes {
    pub(super) name: String,
    #[serde(rename = "NetNSPath")]
    pub(super) netns_path: String,
    #[serde(rename = "IP")]
    pub(super) ip: String,
    #[serde(rename = "AdditionalIPs")]
    pub(super) additional_ips: Option<Vec<String>>,
    pub(super) config: SandboxConfig,
}

/// The configuration with which a kubelet asked for a sandbox.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SandboxConfig {
    pub(super) port_mappings: Vec<PortMapping>,
}

/// A port of the node that a plugin passes on to the pod. Absent numbers are 0.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PortMapping {
    /// 0 TCP, 1 UDP, 2 SCTP.
    pub(super) protocol: i32,
    pub(super) container_port: i32,
    pub(super) host_port: i32,
    pub(super) host_ip: String,
}

/// CRI's own notes on a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ContainerNotes {
    pub(super) name: String,
    pub(super) log_path: String,
}
