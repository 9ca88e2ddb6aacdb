//! The state of a pod in one word, from its sandbox and its containers.

use super::kind::{is_ephemeral, is_init};
use super::{Container, Pod, PodState, State};

/// Reads an engine's time.
pub(crate) fn timestamp(text: Option<&str>) -> Option<jiff::Timestamp> {
    text?.parse().ok()
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
        .filter(|c| c.state.is_up())
        .collect();
    let sandbox_up = pod.sandbox.as_ref().map(|s| s.state.is_up());
    let frozen = |state: State| state == State::Paused;
    if up.is_empty() {
        return match sandbox_up {
            Some(true) if containers.iter().all(|c| never_tried(c)) => PodState::Pending,
            // the kubelet stops the sandbox when nothing is to be restarted
            Some(true) => PodState::Degraded,
            _ if containers.iter().all(|c| c.exit_code.unwrap_or(0) == 0) => PodState::Completed,
            _ => PodState::Failed,
        };
    }
    if up.iter().all(|c| frozen(c.state)) {
        return PodState::Paused;
    }
    // what the pod is for has not begun
    let only_beginning = up.iter().all(|c| c.kind == "init" || c.kind == "sidecar")
        && !containers.iter().any(|c| c.kind.starts_with("app"));
    if sandbox_up == Some(true) && only_beginning && containers.iter().all(|c| begins_well(c)) {
        return PodState::Pending;
    }
    let sandbox_frozen = pod.sandbox.as_ref().is_some_and(|s| frozen(s.state));
    let wrong = sandbox_up != Some(true)
        || sandbox_frozen
        || up.iter().any(|c| c.state != State::Running)
        || containers
            .iter()
            .any(|c| !c.state.is_up() && !has_done_its_work(c));
    if wrong {
        PodState::Degraded
    } else {
        PodState::Running
    }
}

fn begins_well(container: &Container) -> bool {
    container.state == State::Running || has_done_its_work(container)
}

fn never_tried(container: &Container) -> bool {
    container.state == State::Created && container.exit_code.is_none()
}

/// Ended and need not be started again: one that was added to look at the pod; an init container that
/// ended well; or another that did, the first time.
fn has_done_its_work(container: &Container) -> bool {
    is_ephemeral(&container.kind)
        || container.state == State::Exited
            && container.exit_code == Some(0)
            && (is_init(&container.kind) || container.restarts.unwrap_or(0) == 0)
}
