//! Faults of a pod that show in its own facts: each finding with its evidence and its fix. Those
//! that need sockets stand in `netns/`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::state::timestamp;
use super::{Container, ContainerFacts, Origin, Pod, PodState, Run, Sandbox, State, crash_loop};
use crate::finding::{Finding, Remedy, Severity};
use crate::wording::{SOME, listed};

/// A sandbox without containers is no finding while its images may still be on their way.
const EMPTY_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// Adds to every pod its findings, and gives those about several pods. `now` is the clock of a
/// pod's node: containers carry its times, and this computer's clock may differ. `runs` are the
/// known past of the pods.
pub(crate) fn judge<'a>(
    pods: &mut [Pod],
    facts: impl IntoIterator<Item = &'a ContainerFacts>,
    runs: &[Run],
    now: impl Fn(&str) -> Option<Timestamp>,
) -> Vec<Finding> {
    let facts: BTreeMap<&str, &ContainerFacts> = facts
        .into_iter()
        .map(|facts| (facts.id.as_str(), facts))
        .collect();
    for pod in &mut *pods {
        let now = now(&pod.node);
        let mut found = Vec::new();
        found.extend(orphans(pod));
        found.extend(split(pod));
        found.extend(duplicate_sandboxes(pod));
        if found
            .iter()
            .any(|finding| finding.severity == Severity::Error)
        {
            pod.state = PodState::Degraded;
        }
        found.extend(empty_sandbox(pod, now));
        found.extend(now.map_or_else(Vec::new, |now| crash_loop::findings(pod, &facts, runs, now)));
        found.extend(frozen(pod));
        pod.findings.extend(found);
    }
    duplicate_ips(pods)
}

fn orphans(pod: &Pod) -> Vec<Finding> {
    up(pod)
        .filter_map(|container| {
            let id = container.sandbox_id.as_ref()?;
            let state = sandbox_state(pod, id);
            if state.is_some_and(State::is_up) {
                return None;
            }
            let message = format!(
                "`{}` runs on in the network of sandbox {}, which {}",
                container.name,
                short(id),
                state.map_or("is gone".into(), |state| format!("has ended ({state})")),
            );
            let remedy = renew(pod, container);
            Some(
                Finding::new("orphan-container", Severity::Error, message, remedy)
                    .about(vec![container.id.clone(), id.clone()]),
            )
        })
        .collect()
}

/// Networks that the configuration says are shared and the kernel says are not. Without inode
/// numbers the times tell: a sandbox that started after a container has a network that it never
/// joined.
fn split(pod: &Pod) -> Vec<Finding> {
    let Some(sandbox) = pod.sandbox.as_ref().filter(|sandbox| sandbox.state.is_up()) else {
        return Vec::new();
    };
    up(pod)
        .filter(|container| container.sandbox_id.as_ref() == Some(&sandbox.id))
        .filter_map(|container| {
            let evidence = match container.shares.net {
                Some(false) => format!(
                    "`{}` is in net:[{}], its sandbox in net:[{}]",
                    container.name,
                    net(container.namespaces)?,
                    net(sandbox.namespaces)?,
                ),
                None if began_before(container, sandbox) => format!(
                    "`{}` started before its sandbox did, so it is in the network that the sandbox had before",
                    container.name,
                ),
                Some(true) | None => return None,
            };
            let message = format!("{evidence}: the sandbox was restarted alone");
            let remedy = renew(pod, container);
            Some(
                Finding::new("split-pod", Severity::Error, message, remedy)
                    .about(vec![container.id.clone(), sandbox.id.clone()]),
            )
        })
        .collect()
}

fn net(namespaces: Option<super::Namespaces>) -> Option<u64> {
    namespaces.and_then(|namespaces| namespaces.net)
}

fn began_before(container: &Container, sandbox: &Sandbox) -> bool {
    let container = timestamp(container.started_at.as_deref());
    let sandbox = timestamp(sandbox.started_at.as_deref());
    matches!((container, sandbox), (Some(container), Some(sandbox)) if container < sandbox)
}

fn duplicate_sandboxes(pod: &Pod) -> Vec<Finding> {
    let Some(sandbox) = pod.sandbox.as_ref().filter(|sandbox| sandbox.state.is_up()) else {
        return Vec::new();
    };
    pod.sandboxes_before
        .iter()
        .filter(|other| other.state.is_up())
        .map(|other| {
            let message = format!(
                "two sandboxes run for this pod: {} and {}",
                short(&sandbox.id),
                short(&other.id)
            );
            let remedy = match pod.origin {
                Origin::Kubernetes => {
                    "the kubelet keeps one when it next looks: is it running?".into()
                }
                Origin::Lab | Origin::Docker => Remedy::RemoveSandbox {
                    id: other.id.clone(),
                },
            };
            Finding::new("duplicate-sandbox", Severity::Error, message, remedy)
                .about(vec![sandbox.id.clone(), other.id.clone()])
        })
        .collect()
}

fn empty_sandbox(pod: &Pod, now: Option<Timestamp>) -> Option<Finding> {
    let sandbox = pod.sandbox.as_ref()?;
    let age = now?.duration_since(timestamp(sandbox.started_at.as_deref())?);
    if sandbox.state != State::Running || !pod.containers.is_empty() || age <= EMPTY_AFTER {
        return None;
    }
    let message = format!(
        "its sandbox has run for {} min without a container",
        age.as_mins()
    );
    let remedy = match pod.origin {
        Origin::Kubernetes => Remedy::DescribePod {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
        },
        _ => Remedy::RemoveLabPod { pod: title(pod) },
    };
    Some(
        Finding::new("empty-sandbox", Severity::Warning, message, remedy)
            .about(vec![sandbox.id.clone()]),
    )
}

/// The end of a container's run, in words.
pub(crate) fn how_it_ended(container: &Container) -> String {
    match (container.oom_killed, container.state, container.exit_code) {
        (Some(true), _, Some(code)) => format!("ran out of memory (exit {code})"),
        (_, State::Created, Some(code)) => format!("could not be started ({code})"),
        (_, _, Some(code)) => format!("ended with exit {code}"),
        (_, state, None) => format!("is {state}"),
    }
}

fn frozen(pod: &Pod) -> Option<Finding> {
    let sandbox = pod
        .sandbox
        .iter()
        .filter(|sandbox| sandbox.state == State::Paused)
        .map(|sandbox| ("its sandbox".to_owned(), sandbox.id.clone()));
    let containers = pod
        .containers
        .iter()
        .filter(|container| container.state == State::Paused)
        .map(|container| (format!("`{}`", container.name), container.id.clone()));
    let mut all: Vec<_> = sandbox.chain(containers).collect();
    // a plain container that holds the network is its own sandbox
    all.dedup_by(|a, b| a.1 == b.1);
    let (names, subjects): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    if subjects.is_empty() {
        return None;
    }
    let message = format!(
        "{} {} frozen: connections are accepted and never answered",
        listed(&names, SOME),
        if subjects.len() == 1 { "is" } else { "are" }
    );
    let remedy = Remedy::Thaw {
        ids: subjects.clone(),
        of_cluster: pod.origin == Origin::Kubernetes,
    };
    Some(Finding::new("frozen", Severity::Warning, message, remedy).about(subjects))
}

fn duplicate_ips(pods: &[Pod]) -> Vec<Finding> {
    let mut owners: BTreeMap<(&str, &str), Vec<&Pod>> = BTreeMap::new();
    for pod in pods {
        let alive = pod
            .sandbox
            .as_ref()
            .is_some_and(|sandbox| sandbox.state.is_up());
        if !alive || pod.host_network {
            continue;
        }
        // an address of a cluster is one whatever the node; Docker's networks end at their node
        let scope = match pod.origin {
            Origin::Kubernetes => "",
            Origin::Lab | Origin::Docker => pod.node.as_str(),
        };
        for ip in &pod.ips {
            owners.entry((scope, ip)).or_default().push(pod);
        }
    }
    owners
        .into_iter()
        .filter(|(_, pods)| pods.len() > 1)
        .map(|((_, ip), pods)| {
            let message = format!(
                "{ip} belongs to {} pods: {}",
                pods.len(),
                listed(&pods.iter().map(|pod| title(pod)).collect::<Vec<_>>(), SOME)
            );
            let remedy = "delete all but one of them: each new pod gets an address of its own";
            let sandboxes = pods.iter().filter_map(|pod| pod.sandbox.as_ref());
            Finding::new("duplicate-ip", Severity::Error, message, remedy)
                .about(sandboxes.map(|sandbox| sandbox.id.clone()).collect())
        })
        .collect()
}

pub(super) fn title(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

fn up(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.containers
        .iter()
        .filter(|container| container.state.is_up())
}

fn sandbox_state(pod: &Pod, id: &str) -> Option<State> {
    let now = pod.sandbox.iter().map(|s| (&s.id, s.state));
    let before = pod.sandboxes_before.iter().map(|s| (&s.id, s.state));
    now.chain(before)
        .find(|(other, _)| *other == id)
        .map(|(_, state)| state)
}

/// The remedy that gives a container the network of a sandbox that lives.
fn renew(pod: &Pod, container: &Container) -> Remedy {
    let id = container.id.clone();
    match pod.origin {
        // any end of one container makes the kubelet look at the sandbox again
        Origin::Kubernetes => Remedy::EndContainer { id },
        Origin::Lab => Remedy::RestartLabPod { pod: title(pod) },
        Origin::Docker => Remedy::RestartContainer { id },
    }
}

pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
