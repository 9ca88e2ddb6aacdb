//! A pod as its node's kubelet tells of it: its phase, the kinds of its containers, their policies, and
//! the reasons for which they wait. Nothing else of its specification is kept.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{Container, Origin, Pod, PodKey, PodState, state};

/// A pod of a kubelet, with its word on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KubeletPod {
    pub(crate) key: PodKey,
    pub(crate) word: KubeletWord,
}

/// A kubelet's word on a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct KubeletWord {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub(crate) phase: Option<String>,
    /// True from the moment on at which somebody deleted it.
    pub(crate) terminating: bool,
    /// `Always`, `OnFailure`, `Never`.
    pub(crate) restart_policy: Option<String>,
    /// Those of its specification: init containers, then the others, then those that were added.
    #[serde(rename = "waiting", serialize_with = "waiting")]
    pub(crate) containers: Vec<DeclaredContainer>,
}

/// A container in a pod's specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeclaredContainer {
    pub(crate) name: String,
    pub(crate) kind: ContainerKind,
    /// Its own restart policy, where it has one beside the pod's.
    pub(crate) restart_policy: Option<String>,
    /// `Always`, `IfNotPresent`, `Never`.
    pub(crate) pull_policy: Option<String>,
    /// The name of its image, where it is one that can be.
    pub(crate) image: Option<String>,
    /// True where its image is named by a digest, so that no other takes the place.
    pub(crate) by_digest: bool,
    /// The reason for which it does not run yet, as `CrashLoopBackOff` or `ErrImageNeverPull`.
    pub(crate) waiting: Option<String>,
    /// The seconds between two attempts, where it is such that it waits for.
    pub(crate) back_off: Option<u64>,
}

/// The kind of a container in a pod's specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContainerKind {
    App,
    Init,
    Sidecar,
    Ephemeral,
}

impl ContainerKind {
    fn word(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Init => "init",
            Self::Sidecar => "sidecar",
            Self::Ephemeral => "ephemeral",
        }
    }
}

impl KubeletWord {
    /// The container of that name.
    pub(crate) fn container(&self, name: &str) -> Option<&DeclaredContainer> {
        self.containers.iter().find(|one| one.name == name)
    }

    /// The containers that wait, with their reasons.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&DeclaredContainer, &str)> {
        let all = self.containers.iter();
        all.filter_map(|one| Some((one, one.waiting.as_deref()?)))
    }

    /// The images for which containers wait.
    pub(crate) fn missed_images(&self) -> impl Iterator<Item = &str> {
        let missed = ["ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff"];
        self.waiting()
            .filter(move |(_, reason)| missed.contains(reason))
            .filter_map(|(one, _)| one.image.as_deref())
    }

    /// True where it has not ended for good.
    pub(super) fn goes_on(&self) -> bool {
        !matches!(self.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// The restart policy that holds for a container; a pod's own without one.
    pub(super) fn restart_policy(&self, container: Option<&str>) -> Option<&str> {
        let own = container.and_then(|name| self.container(name));
        let own = own.and_then(|one| match one.kind {
            ContainerKind::Sidecar => Some("Always"),
            ContainerKind::Ephemeral => Some("Never"),
            // an init container of a pod that goes on is tried again until it ends well
            ContainerKind::Init if self.restart_policy.as_deref() == Some("Always") => {
                one.restart_policy.as_deref().or(Some("OnFailure"))
            }
            ContainerKind::App | ContainerKind::Init => one.restart_policy.as_deref(),
        });
        own.or(self.restart_policy.as_deref())
    }
}

fn waiting<S: Serializer>(
    containers: &[DeclaredContainer],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Waiting<'a> {
        container: &'a str,
        reason: &'a str,
    }
    serializer.collect_seq(containers.iter().filter_map(|one| {
        Some(Waiting {
            container: &one.name,
            reason: one.waiting.as_deref()?,
        })
    }))
}

/// Takes in what a node's kubelet tells of its pods: the kinds of their containers are proven then, and
/// pods that the runtime has nothing of yet are there too.
pub(crate) fn hear(pods: &mut Vec<Pod>, node: &str, told: Vec<KubeletPod>) {
    let mut told: BTreeMap<String, KubeletPod> = told
        .into_iter()
        .map(|one| (one.key.uid.clone(), one))
        .collect();
    for pod in pods.iter_mut().filter(|pod| pod.node == node) {
        if pod.origin == Origin::Kubernetes
            && let Some(one) = told.remove(&pod.uid)
        {
            take(pod, one.word);
        }
    }
    let awaited = told.into_values().filter(|one| one.word.goes_on());
    pods.extend(awaited.map(|one| awaited_pod(node, one)));
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
}

fn take(pod: &mut Pod, word: KubeletWord) {
    let containers: [&mut Vec<Container>; 2] = [&mut pod.containers, &mut pod.containers_before];
    for container in containers.into_iter().flatten() {
        if let Some(declared) = word.container(&container.name) {
            declared.kind.word().clone_into(&mut container.kind);
        }
    }
    let is_made = pod.containers.is_empty() && word.goes_on();
    pod.kubelet = Some(word);
    pod.state = if is_made {
        PodState::Pending
    } else {
        state::of(pod)
    };
}

/// A pod of which its runtime has nothing yet.
fn awaited_pod(node: &str, one: KubeletPod) -> Pod {
    Pod {
        node: node.to_owned(),
        namespace: one.key.namespace,
        name: one.key.name,
        uid: one.key.uid,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        origin: Origin::Kubernetes,
        state: PodState::Pending,
        ips: Vec::new(),
        host_network: false,
        sandbox: None,
        sandboxes_before: Vec::new(),
        containers: Vec::new(),
        containers_before: Vec::new(),
        sockets: None,
        host_ports: Vec::new(),
        networks: BTreeMap::new(),
        kubelet: Some(one.word),
        findings: Vec::new(),
    }
}

#[cfg(test)]
#[path = "kubelet_tests.rs"]
mod tests;
