//! How a pod is, in one word, from its sandbox and its containers.

use super::kind::{is_ephemeral, is_init};
use super::{Container, Pod, PodState};

/// Reads an engine's time.
pub(crate) fn timestamp(text: Option<&str>) -> Option<jiff::Timestamp> {
    text?.parse().ok()
}

/// Whether an engine's word means that processes are there.
pub(crate) fn is_up(state: &str) -> bool {
    matches!(state, "running" | "paused" | "restarting" | "stopping")
}

/// The pod's state; its findings are not looked at.
pub(super) fn of(pod: &Pod) -> PodState {
    // one that was added to look at the pod says nothing of it
    let containers: Vec<&Container> = pod
        .containers
        .iter()
        .filter(|c| !is_ephemeral(&c.kind))
        .collect();
    let up: Vec<&Container> = containers
        .iter()
        .copied()
        .filter(|c| is_up(&c.state))
        .collect();
    let sandbox_up = pod.sandbox.as_ref().map(|s| is_up(&s.state));
    let frozen = |state: &str| state == "paused";
    if up.is_empty() {
        return match sandbox_up {
            Some(true) if containers.iter().all(|c| never_tried(c)) => PodState::Pending,
            // the kubelet stops the sandbox when nothing is to be restarted
            Some(true) => PodState::Degraded,
            _ if containers.iter().all(|c| c.exit_code.unwrap_or(0) == 0) => PodState::Completed,
            _ => PodState::Failed,
        };
    }
    if up.iter().all(|c| frozen(&c.state)) {
        return PodState::Paused;
    }
    // what the pod is for has not begun
    let only_beginning = up.iter().all(|c| c.kind == "init" || c.kind == "sidecar")
        && !containers.iter().any(|c| c.kind.starts_with("app"));
    if sandbox_up == Some(true) && only_beginning && containers.iter().all(|c| begins_well(c)) {
        return PodState::Pending;
    }
    let sandbox_frozen = pod.sandbox.as_ref().is_some_and(|s| frozen(&s.state));
    let wrong = sandbox_up != Some(true)
        || sandbox_frozen
        || up.iter().any(|c| c.state != "running")
        || containers
            .iter()
            .any(|c| !is_up(&c.state) && !has_done_its_work(c));
    if wrong {
        PodState::Degraded
    } else {
        PodState::Running
    }
}

fn begins_well(container: &Container) -> bool {
    container.state == "running" || has_done_its_work(container)
}

fn never_tried(container: &Container) -> bool {
    container.state == "created" && container.exit_code.is_none()
}

/// Ended and need not be started again: one that was added to look at the pod; an init container that
/// ended well; or another that did, the first time.
fn has_done_its_work(container: &Container) -> bool {
    is_ephemeral(&container.kind)
        || container.state == "exited"
            && container.exit_code == Some(0)
            && (is_init(&container.kind) || container.restarts.unwrap_or(0) == 0)
}
