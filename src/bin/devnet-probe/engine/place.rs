//! The places on a node that belong to the Docker engine which devnet runs there.

/// State that ends with the engine, root's own.
pub(super) const STATE: &str = "/run/devnet/docker";
pub(super) const CONFIG: &str = "/run/devnet/docker/daemon.json";
pub(super) const PID: &str = "/run/devnet/docker/pid";
pub(super) const EXEC_ROOT: &str = "/run/devnet/docker/exec";
pub(super) const LOG: &str = "/run/devnet/docker/log";
/// The guard, as `PID BEGAN`.
pub(super) const GUARD: &str = "/run/devnet/docker/guard";
/// The label of the engine, as `PROFILE/NODE`.
pub(super) const LABEL: &str = "/run/devnet/docker/label";
/// A line for each thing of containerd's that was not carried over.
pub(super) const NOTES: &str = "/run/devnet/docker/notes";
/// A line for each link or file that this engine found, and that stays.
pub(super) const FOUND: &str = "/run/devnet/docker/found";
/// The engine's API, for root alone.
pub(super) const SOCKET: &str = "/run/devnet/docker.sock";
/// Whoever starts or stops the engine holds it.
pub(super) const LOCK: &str = "/run/devnet/docker.lock";
/// The parent of all of the above.
pub(super) const RUN: &str = "/run/devnet";
/// Images' layers of builds, volumes, networks: kept when the engine ends.
pub(super) const DATA: &str = "/var/lib/devnet/docker";
/// The first address of the networks, kept with the data: the engine's own records name them.
pub(super) const NETWORKS: &str = "/var/lib/devnet/docker/devnet-networks";
/// This program for as long as the engine runs.
pub(super) const PROGRAM: &str = "/var/lib/devnet/guard/devnet-docker";
pub(super) const PROGRAM_FOLDER: &str = "/var/lib/devnet/guard";
pub(super) const LIB: &str = "/var/lib/devnet";
/// The folder in which dockerd looks for plugins: it is fixed.
pub(crate) const PLUGINS: &str = "/run/docker/plugins";
pub(crate) const PLUGIN: &str = "devnet-guard";
pub(crate) const PLUGIN_SOCKET: &str = "/run/docker/plugins/devnet-guard.sock";
/// The certificates that minikube copies to every node.
pub(super) const CERTIFICATES: [&str; 3] = [
    "/etc/docker/ca.pem",
    "/etc/docker/server.pem",
    "/etc/docker/server-key.pem",
];
pub(super) const REGISTRY_CAS: &str = "/etc/docker/certs.d";
/// The states of containers that runc runs without containerd: BuildKit's steps.
pub(super) const RUNC: &str = "/run/runc";
/// Folders of others' too: one that was not there goes again, where it is empty.
pub(super) const SHARED: [&str; 4] = [REGISTRY_CAS, PLUGINS, "/run/docker", RUNC];
pub(super) const CONTAINERD: &str = "/run/containerd/containerd.sock";
pub(super) const PORT: u16 = 2376;
pub(super) const BRIDGE: &str = "devnet0";
/// The transient unit where systemd runs.
pub(super) const UNIT: &str = "devnet-docker";
