//! Which containers look like init containers, sidecars or ephemeral ones. No label says it
//! (only the pod's spec does), so every answer but `app` carries a question mark.

use super::ContainerFacts;
use super::state::timestamp;

/// The kubelet starts the next container of a pod within this time of the one before, unless it
/// waits for an init container's end (noticed by a relist every second) or pulls an image.
const STARTED_AT_ONCE: jiff::SignedDuration = jiff::SignedDuration::from_millis(150);

/// Guesses each container's kind; the order of the answers is that of `all`.
pub(super) fn kinds(all: &[&ContainerFacts]) -> Vec<&'static str> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|a, b| all[*a].created_at.cmp(&all[*b].created_at));
    let mut kinds = vec!["app"; all.len()];
    // init containers come first: the hint ends at the first container that is none
    let mut last_init = None;
    for (place, &index) in order.iter().enumerate() {
        let Some(&next) = order.get(place + 1) else {
            break;
        };
        if !ended_before_the_next_began(all[index], all[next]) {
            break;
        }
        kinds[index] = "init?";
        last_init = Some(place);
    }
    // a native sidecar stands among the init containers and keeps running: what comes after it
    // was begun later than a pod's own containers would be
    if let Some(last) = last_init
        && let (Some(&sidecar), Some(&next)) = (order.get(last + 1), order.get(last + 2))
        && all[sidecar].state == "running"
        && waited(all[sidecar], all[next])
    {
        kinds[sidecar] = "sidecar?";
    }
    for (index, facts) in all.iter().enumerate() {
        let target = facts.pid_mode.strip_prefix("container:");
        if target.is_some_and(|target| all.iter().any(|other| other.id == target)) {
            kinds[index] = "ephemeral?";
        }
    }
    kinds
}

fn ended_before_the_next_began(one: &ContainerFacts, next: &ContainerFacts) -> bool {
    let ended = timestamp(one.finished_at.as_deref());
    let began = timestamp(next.created_at.as_deref());
    one.state == "exited"
        && one.exit_code == Some(0)
        && matches!((ended, began), (Some(ended), Some(began)) if ended <= began)
        && waited(one, next)
}

/// Whether more time went by between two starts than the kubelet needs for it.
fn waited(one: &ContainerFacts, next: &ContainerFacts) -> bool {
    match (
        timestamp(one.started_at.as_deref()),
        timestamp(next.created_at.as_deref()),
    ) {
        (Some(started), Some(created)) => created.duration_since(started) > STARTED_AT_ONCE,
        _ => false,
    }
}
