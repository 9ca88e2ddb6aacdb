//! The labels that the lab's containers, networks, volumes and images carry. Everything is found
//! again by them, after any crash. Never `io.kubernetes.*`: a kubelet on the same engine would
//! take such a container for its own and remove it.

/// The role of a thing; on everything that devnet makes in an engine.
pub(crate) const ROLE: &str = "dev.devnet.role";
/// The name of the thing itself. An image can't bring it: it knows no name that is yet to be given
/// (`owned.rs`).
pub(crate) const NAME: &str = "dev.devnet.name";
/// The mark of the devnet that made it (`host/owner.rs`).
pub(crate) const OWNER: &str = "dev.devnet.owner";
pub(crate) const POD_NAME: &str = "dev.devnet.pod.name";
pub(crate) const POD_NAMESPACE: &str = "dev.devnet.pod.namespace";
pub(crate) const POD_UID: &str = "dev.devnet.pod.uid";
/// The pod's own labels, a JSON object; on the sandbox.
pub(crate) const POD_LABELS: &str = "dev.devnet.pod.labels";
/// The pod as JSON (`lab::Pod`); on the sandbox.
pub(crate) const POD_SPEC: &str = "dev.devnet.pod.spec";
/// The address that devnet gave; on the sandbox.
pub(crate) const ADDRESS: &str = "dev.devnet.address";
pub(crate) const CONTAINER_NAME: &str = "dev.devnet.container.name";
pub(crate) const SANDBOX_ID: &str = "dev.devnet.sandbox.id";
pub(crate) const ATTEMPT: &str = "dev.devnet.attempt";

pub(crate) const SANDBOX: &str = "lab-sandbox";
pub(crate) const CONTAINER: &str = "lab-container";
/// A container of devnet's own that serves a pod without being a part of it.
pub(crate) const HELPER: &str = "helper";
pub(crate) const NETWORK: &str = "lab-network";
pub(crate) const VOLUME: &str = "lab-volume";
/// The lock with which one devnet at a time makes or removes the lab's network; and its owner.
pub(crate) const LOCK: &str = "lab-lock";
pub(crate) const LOCK_OWNER: &str = "dev.devnet.lock.owner";
/// A container that carries the probe: a look, a question inside a pod, a shell.
pub(crate) const LOOK: &str = "probe";
/// A container through which an engine's layer store is read.
pub(crate) const READER: &str = "store-reader";
/// The image of the program that devnet carries, which a lab leaves.
pub(crate) const PROBE_IMAGE: &str = "probe-image";
/// The same, brought for one look.
pub(crate) const LOOK_IMAGE: &str = "look-image";
