//! The members of a lab right now, read back from labels.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::{Pod, label};
use crate::pod::{ContainerFacts, State};

/// A container as an engine lists it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: State,
    /// The IDs of containers whose network or processes it shares.
    pub(crate) joins: Vec<String>,
    /// By the engine's clock.
    pub(crate) made: Option<jiff::Timestamp>,
}

impl From<ContainerFacts> for Found {
    fn from(facts: ContainerFacts) -> Self {
        let joins = [&facts.joins.network, &facts.joins.pid];
        Self {
            joins: joins
                .into_iter()
                .filter_map(|join| join.container().cloned())
                .collect(),
            made: crate::pod::timestamp(facts.created_at.as_deref()),
            id: facts.id,
            name: facts.name,
            labels: facts.labels,
            state: facts.state,
        }
    }
}

impl Found {
    pub(crate) fn attempt(&self) -> u32 {
        self.label(label::ATTEMPT)
            .and_then(|attempt| attempt.parse().ok())
            .unwrap_or(0)
    }

    /// True where it has processes, frozen or not.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(
            self.state,
            State::Running | State::Paused | State::Restarting
        )
    }

    /// The address that devnet gave it.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        self.label(label::ADDRESS)?.parse().ok()
    }

    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

/// A pod of the lab: what is there of it, dead or alive.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabPod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Newest attempt first.
    pub(crate) sandboxes: Vec<Found>,
    /// By name in the pod; newest attempt first.
    pub(crate) containers: BTreeMap<String, Vec<Found>>,
}

impl LabPod {
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(crate) fn sandbox(&self) -> Option<&Found> {
        self.sandboxes.first()
    }

    /// The pod's manifest, as the newest sandbox that holds one has it.
    pub(crate) fn spec(&self) -> Option<Pod> {
        self.sandboxes
            .iter()
            .filter_map(|sandbox| sandbox.label(label::POD_SPEC))
            .find_map(|spec| serde_json::from_str(spec).ok())
    }

    /// The newest attempt of each container.
    pub(crate) fn current(&self) -> impl Iterator<Item = (&str, &Found)> {
        self.containers
            .iter()
            .filter_map(|(name, attempts)| Some((name.as_str(), attempts.first()?)))
    }

    /// True where the sandbox and every container that should stay are alive.
    pub(crate) fn is_whole(&self) -> bool {
        let Some(spec) = self.spec() else {
            return false;
        };
        let alive = |name: &String| {
            self.containers
                .get(name)
                .and_then(|attempts| attempts.first())
                .is_some_and(Found::is_alive)
        };
        self.sandbox().is_some_and(Found::is_alive)
            && spec.containers.iter().all(|c| alive(&c.name))
            && spec
                .init_containers
                .iter()
                .filter(|c| c.sidecar)
                .all(|c| alive(&c.name))
    }
}

/// Puts the pods of a lab together, ordered by namespace and name. What carries no pod's labels
/// (networks are not containers; helpers are no pods) is left out.
pub(crate) fn group(found: Vec<Found>) -> Vec<LabPod> {
    let mut pods: BTreeMap<(String, String, String), LabPod> = BTreeMap::new();
    for one in found {
        let text = |name: &str| one.label(name).map(str::to_owned);
        let (Some(namespace), Some(name), Some(uid)) = (
            text(label::POD_NAMESPACE),
            text(label::POD_NAME),
            text(label::POD_UID),
        ) else {
            continue;
        };
        let pod = pods
            .entry((namespace.clone(), name.clone(), uid.clone()))
            .or_insert_with(|| LabPod {
                namespace,
                name,
                uid,
                ..LabPod::default()
            });
        match (one.label(label::ROLE), text(label::CONTAINER_NAME)) {
            (Some(label::SANDBOX), _) => pod.sandboxes.push(one),
            (Some(label::CONTAINER), Some(container)) => {
                pod.containers.entry(container).or_default().push(one);
            }
            _ => {}
        }
    }
    let mut pods: Vec<LabPod> = pods.into_values().collect();
    for pod in &mut pods {
        newest_first(&mut pod.sandboxes);
        pod.containers.values_mut().for_each(|c| newest_first(c));
    }
    pods
}

fn newest_first(attempts: &mut [Found]) {
    attempts.sort_by_key(|found| std::cmp::Reverse(found.attempt()));
}

/// The addresses that sandboxes hold or held.
pub(crate) fn addresses(pods: &[LabPod]) -> BTreeSet<Ipv4Addr> {
    pods.iter()
        .flat_map(|pod| &pod.sandboxes)
        .filter_map(Found::address)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: &str, role: &str, attempt: &str, state: &str) -> Found {
        let labels = [
            (label::ROLE, role),
            (label::POD_NAMESPACE, "default"),
            (label::POD_NAME, "web"),
            (label::POD_UID, "u"),
            (label::ATTEMPT, attempt),
            (label::CONTAINER_NAME, "app"),
            (label::ADDRESS, "10.0.0.2"),
        ];
        Found {
            id: id.into(),
            name: id.into(),
            labels: labels
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            state: state.into(),
            ..Found::default()
        }
    }

    #[test]
    fn the_newest_attempt_stands_for_the_pod() {
        let pods = group(vec![
            found("s2", label::SANDBOX, "2", "exited"),
            found("s10", label::SANDBOX, "10", "running"),
            found("c0", label::CONTAINER, "0", "exited"),
            found("c1", label::CONTAINER, "1", "running"),
            found("x", "probe", "0", "running"),
        ]);
        assert_eq!(pods.len(), 1);
        assert_eq!(pods[0].sandbox().unwrap().id, "s10");
        assert_eq!(pods[0].current().next().unwrap().1.id, "c1");
        assert_eq!(pods[0].containers["app"].len(), 2);
    }

    #[test]
    fn a_dead_sandbox_still_occupies_its_address() {
        let pods = group(vec![found("s", label::SANDBOX, "0", "exited")]);
        assert_eq!(addresses(&pods).len(), 1);
        assert!(!pods[0].is_whole());
    }
}
