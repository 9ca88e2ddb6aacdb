//! What a container is to its pod, read from its labels; from its name only where they are missing.
//!
//! The labels are those that cri-dockerd (and dockershim before it) writes (`core/docker_service.go`,
//! `core/helpers.go`), and those of `devnet lab`.

use super::{ContainerFacts, Origin};

/// What distinguishes pods on one node. A name comes back, a UID does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// What a container is to its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Sandbox,
    /// A container, under its name in the pod.
    Container(String),
}

/// A container's place in a pod that someone made as a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) origin: Origin,
    pub(super) key: Key,
    pub(super) part: Part,
    pub(super) attempt: Option<u32>,
    /// How often the kubelet says it was restarted.
    pub(super) restarts: Option<u32>,
    /// The sandbox that it was made for.
    pub(super) sandbox_id: Option<String>,
}

const ROLE: &str = "dev.devnet.role";

/// The pod that a container was made for, if it was made for one.
pub(super) fn of(facts: &ContainerFacts) -> Option<Member> {
    kubernetes(facts).or_else(|| lab(facts))
}

/// Whether devnet made it for its own use: no pod, whatever it shares. (Of devnet's labels, facts have
/// only those that are proved.)
pub(crate) fn is_helper(facts: &ContainerFacts) -> bool {
    facts
        .labels
        .get(ROLE)
        .is_some_and(|role| !matches!(&**role, "lab-sandbox" | "lab-container"))
}

fn kubernetes(facts: &ContainerFacts) -> Option<Member> {
    let label = |name: &str| facts.labels.get(name).cloned();
    let named = from_name(&facts.name);
    let kind = label("io.kubernetes.docker.type");
    if kind.is_none() && named.is_none() {
        return None;
    }
    let named_part = named.as_ref().map(|named| named.part.clone());
    let key = match (
        label("io.kubernetes.pod.namespace"),
        label("io.kubernetes.pod.name"),
        label("io.kubernetes.pod.uid"),
    ) {
        (Some(namespace), Some(name), Some(uid)) => Key {
            namespace,
            name,
            uid,
        },
        _ => named.as_ref()?.key.clone(),
    };
    let part = match kind.as_deref() {
        Some("podsandbox") => Part::Sandbox,
        Some("container") => match label("io.kubernetes.container.name") {
            Some(name) => Part::Container(name),
            None => named_part?,
        },
        _ => named_part?,
    };
    let attempt = named.and_then(|named| named.attempt);
    let counted = label("annotation.io.kubernetes.container.restartCount")
        .and_then(|count| count.parse().ok());
    Some(Member {
        origin: Origin::Kubernetes,
        key,
        // the sandbox's attempt stands only in its name
        attempt: attempt.or(counted),
        restarts: match part {
            Part::Sandbox => None,
            Part::Container(_) => counted.or(attempt),
        },
        sandbox_id: match part {
            Part::Sandbox => None,
            Part::Container(_) => {
                label("io.kubernetes.sandbox.id").or_else(|| joined(&facts.network_mode))
            }
        },
        part,
    })
}

fn lab(facts: &ContainerFacts) -> Option<Member> {
    let label = |name: &str| facts.labels.get(&format!("dev.devnet.{name}")).cloned();
    let part = match label("role")?.as_str() {
        "lab-sandbox" => Part::Sandbox,
        "lab-container" => Part::Container(label("container.name")?),
        _ => return None,
    };
    let attempt = label("attempt").and_then(|attempt| attempt.parse().ok());
    let container = matches!(part, Part::Container(_));
    Some(Member {
        origin: Origin::Lab,
        key: Key {
            namespace: label("pod.namespace")?,
            name: label("pod.name")?,
            uid: label("pod.uid")?,
        },
        part,
        attempt,
        restarts: attempt.filter(|_| container),
        sandbox_id: label("sandbox.id")
            .or_else(|| joined(&facts.network_mode))
            .filter(|_| container),
    })
}

/// The container that a `container:<id>` mode names.
pub(super) fn joined(mode: &str) -> Option<String> {
    mode.strip_prefix("container:").map(str::to_owned)
}

struct Named {
    key: Key,
    part: Part,
    attempt: Option<u32>,
}

/// Reads `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`, and a seventh field that stands
/// there after a name conflict (cri-dockerd `core/naming.go`). No field can hold `_`.
fn from_name(name: &str) -> Option<Named> {
    let fields: Vec<&str> = name.split('_').collect();
    let ["k8s", container, pod, namespace, uid, attempt] = fields.get(..6)? else {
        return None;
    };
    if fields.len() > 7 || fields.iter().any(|field| field.is_empty()) {
        return None;
    }
    Some(Named {
        key: Key {
            namespace: (*namespace).into(),
            name: (*pod).into(),
            uid: (*uid).into(),
        },
        part: match *container {
            "POD" => Part::Sandbox,
            name => Part::Container(name.into()),
        },
        attempt: attempt.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> ContainerFacts {
        ContainerFacts {
            name: name.into(),
            network_mode: "container:abc".into(),
            ..ContainerFacts::default()
        }
    }

    #[test]
    fn a_kubelet_name_is_read_where_labels_are_missing() {
        let member = of(&named("k8s_web_two-node1_default_bf4fc042_3")).unwrap();
        assert_eq!(member.key.name, "two-node1");
        assert_eq!(member.part, Part::Container("web".into()));
        assert_eq!((member.attempt, member.restarts), (Some(3), Some(3)));
        assert_eq!(member.sandbox_id.as_deref(), Some("abc"));
    }

    #[test]
    fn a_seventh_field_after_a_name_conflict_is_no_part_of_the_attempt() {
        let member = of(&named("k8s_POD_secure.v1-node1_team-a_17a9_0_0badf00d")).unwrap();
        assert_eq!(member.part, Part::Sandbox);
        assert_eq!((member.attempt, member.restarts), (Some(0), None));
        assert_eq!(of(&named("k8s_POD_a_b_c_0_d_e")), None);
        assert_eq!(of(&named("k8s_POD_a_b_c")), None);
    }

    #[test]
    fn labels_win_over_a_misleading_name() {
        let mut facts = named("k8s_POD_x_y_z_7");
        for (name, value) in [
            ("io.kubernetes.docker.type", "container"),
            ("io.kubernetes.container.name", "web"),
            ("io.kubernetes.pod.name", "two"),
            ("io.kubernetes.pod.namespace", "default"),
            ("io.kubernetes.pod.uid", "u"),
            ("io.kubernetes.sandbox.id", "s"),
            ("annotation.io.kubernetes.container.restartCount", "7"),
        ] {
            facts.labels.insert(name.into(), value.into());
        }
        let member = of(&facts).unwrap();
        assert_eq!(member.part, Part::Container("web".into()));
        assert_eq!(member.key.uid, "u");
        assert_eq!(member.sandbox_id.as_deref(), Some("s"));
    }
}
