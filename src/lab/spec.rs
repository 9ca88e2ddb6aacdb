//! A container to be made, as a plain value: what an adapter needs to create it in an engine.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A container to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ContainerSpec {
    pub(crate) name: String,
    pub(crate) image: String,
    /// Empty: the image's.
    pub(crate) entrypoint: Vec<String>,
    /// Empty: the image's, if the entrypoint is the image's too.
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) working_dir: Option<String>,
    /// `uid` or `uid:gid`.
    pub(crate) user: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) hostname: Option<String>,
    /// Lines of /etc/hosts: name, address.
    pub(crate) extra_hosts: Vec<(String, String)>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) network: Network,
    pub(crate) ipc: Namespace,
    pub(crate) pid: Namespace,
    /// The host's UTS namespace; containers can't share each other's on Docker.
    pub(crate) host_uts: bool,
    pub(crate) ports: Vec<PublishedPort>,
    pub(crate) mounts: Vec<MountSpec>,
    pub(crate) sysctls: BTreeMap<String, String>,
    pub(crate) memory: Option<i64>,
    /// Thousandths of a CPU, at most.
    pub(crate) cpu_limit: Option<i64>,
    /// Thousandths of a CPU, as a weight.
    pub(crate) cpu_request: Option<i64>,
    pub(crate) read_only: bool,
    pub(crate) no_new_privileges: bool,
    pub(crate) add_capabilities: Vec<String>,
    pub(crate) drop_capabilities: Vec<String>,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
}

/// The network that a container is in, by its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Network {
    /// Of the container with this ID.
    Container(String),
    Host,
    /// A network of the engine, at this address.
    Named {
        network: String,
        address: Ipv4Addr,
    },
    /// A namespace of its own with nothing but `lo`.
    #[default]
    None,
}

/// The IPC or PID namespace that a container is in, by its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// Of the container with this ID.
    Container(String),
    Host,
    /// Its own.
    #[default]
    Private,
    /// Its own, and others may join (IPC).
    Shareable,
}

/// A port of a container that the engine's machine forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishedPort {
    pub(crate) container: u16,
    pub(crate) host: u16,
    pub(crate) host_ip: Option<String>,
    pub(crate) protocol: String,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountSpec {
    pub(crate) kind: MountKind,
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

/// The thing that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// A path of the engine's machine.
    Bind(String),
    /// A volume of the engine, by name.
    Volume(String),
}

/// A volume to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeSpec {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) backing: Backing,
    /// The group that owns it.
    pub(crate) group: Option<u32>,
    /// Path, text, mode: written before anything mounts it.
    pub(crate) files: Vec<(String, String, u32)>,
}

/// The medium of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    Disk,
    /// With that many bytes at most.
    Memory(Option<i64>),
}
