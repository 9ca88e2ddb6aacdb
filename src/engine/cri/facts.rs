//! The parts of a container's facts that CRI itself tells, whatever the runtime. Pure.

use super::messages::{Container, PodSandbox};
use super::spec::Namespace;
use crate::pod::{ContainerFacts, Join, Member, Membership, Origin, Part, PodKey};

/// The kubelet's note of how often a container was started again.
const RESTARTS: &str = "io.kubernetes.container.restartCount";

/// The pod of a container: its sandbox's, else the one that its labels name.
fn pod_of(one: &Container, sandboxes: &[PodSandbox]) -> PodKey {
    let label = |name: &str| one.labels.get(name).cloned().unwrap_or_default();
    let sandbox = sandboxes.iter().find(|s| s.id == one.pod_sandbox_id);
    match sandbox.filter(|sandbox| sandbox.metadata.is_some()) {
        Some(sandbox) => pod_key(sandbox),
        None => PodKey {
            namespace: label("io.kubernetes.pod.namespace"),
            name: label("io.kubernetes.pod.name"),
            uid: label("io.kubernetes.pod.uid"),
        },
    }
}

fn pod_key(sandbox: &PodSandbox) -> PodKey {
    let metadata = sandbox.metadata.clone().unwrap_or_default();
    PodKey {
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
    }
}

/// The place of a sandbox in its pod.
pub(in crate::engine) fn sandbox_membership(one: &PodSandbox) -> Membership {
    Membership::Pod(Member {
        origin: Origin::Kubernetes,
        pod: pod_key(one),
        part: Part::Sandbox,
        attempt: Some(one.metadata.as_ref().map_or(0, |metadata| metadata.attempt)),
        restarts: None,
        sandbox_id: None,
    })
}

/// The place of a container in its pod.
pub(in crate::engine) fn container_membership(
    one: &Container,
    sandboxes: &[PodSandbox],
) -> Membership {
    let metadata = one.metadata.clone().unwrap_or_default();
    let counted = one.annotations.get(RESTARTS);
    Membership::Pod(Member {
        origin: Origin::Kubernetes,
        pod: pod_of(one, sandboxes),
        part: Part::Container(metadata.name),
        attempt: Some(metadata.attempt),
        restarts: counted
            .and_then(|count| count.parse().ok())
            .or(Some(metadata.attempt)),
        sandbox_id: Some(one.pod_sandbox_id.clone()).filter(|id| !id.is_empty()),
    })
}

/// A namespace of a sandbox: the node's where none is named.
pub(in crate::engine) fn own(namespaces: &[Namespace], kind: &str) -> Join {
    match namespaces.iter().find(|one| one.kind == kind) {
        None => Join::Host,
        Some(one) if one.path.is_empty() => Join::Own,
        Some(one) => Join::Path(one.path.clone()),
    }
}

/// The process that a path of a namespace names.
pub(in crate::engine) fn process_in(path: &str) -> Option<u32> {
    let (pid, _) = path.strip_prefix("/proc/")?.split_once("/ns/")?;
    pid.parse().ok()
}

/// A time of CRI's, nanoseconds since 1970, as RFC 3339; 0 is never.
pub(in crate::engine) fn time(nanoseconds: i64) -> Option<String> {
    if nanoseconds <= 0 {
        return None;
    }
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
    Some(time.to_string())
}

/// Sorts containers, the newest first.
pub(in crate::engine) fn newest_first(all: &mut [ContainerFacts]) {
    let made = |facts: &ContainerFacts| crate::pod::timestamp(facts.created_at.as_deref());
    all.sort_by_cached_key(|facts| std::cmp::Reverse(made(facts)));
}
