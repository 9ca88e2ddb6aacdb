//! A container's place in its pod, read from its labels; from its name only where they are missing.
//!
//! The labels are those that cri-dockerd (and dockershim before it) writes (`core/docker_service.go`,
//! `core/helpers.go`), and those of `devnet lab`.

use crate::lab;
use crate::pod::{ContainerFacts, Member, Membership, Origin, Part, PodKey};

/// The prefix of the kubelet's annotations among the labels: an engine has no annotations.
const ANNOTATION: &str = "annotation.";
/// The kubelet's label that tells sandboxes from the rest, and its value on a sandbox.
const KIND: &str = "io.kubernetes.docker.type";
const SANDBOX: &str = "podsandbox";
/// The label under which compose has a container's project.
const PROJECT: &str = "com.docker.compose.project";

/// Notes on these containers, of whose labels only those of devnet's are left that are proved, what
/// pod they are of, and parts the kubelet's annotations from its labels.
pub(super) fn note(all: &mut [ContainerFacts]) {
    for facts in all {
        facts.membership = of(facts);
        let by_kubelet = |member: &Member| member.origin == Origin::Kubernetes;
        if facts.member().is_some_and(by_kubelet) {
            let labels = std::mem::take(&mut facts.labels);
            for (name, value) in labels {
                match name.strip_prefix(ANNOTATION) {
                    Some(name) => facts.annotations.insert(name.to_owned(), value),
                    None => facts.labels.insert(name, value),
                };
            }
        }
    }
}

fn of(facts: &ContainerFacts) -> Membership {
    if let Some(member) = member(facts) {
        Membership::Pod(member)
    } else if lab::membership::is_helper(facts) {
        Membership::Helper
    } else {
        Membership::Plain {
            project: facts.labels.get(PROJECT).cloned(),
        }
    }
}

/// True where these labels are those of a sandbox that a kubelet made.
pub(super) fn is_kubelets_sandbox<'a>(
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> bool {
    labels
        .into_iter()
        .any(|(name, value)| name == KIND && value == SANDBOX)
}

/// The pod that a container was made for, if it was made for one.
pub(super) fn member(facts: &ContainerFacts) -> Option<Member> {
    kubernetes(facts).or_else(|| lab::membership::member(facts))
}

fn kubernetes(facts: &ContainerFacts) -> Option<Member> {
    let label = |name: &str| facts.labels.get(name).cloned();
    let named = from_name(&facts.name);
    let kind = label(KIND);
    if kind.is_none() && named.is_none() {
        return None;
    }
    let named_part = named.as_ref().map(|named| named.part.clone());
    let key = match (
        label("io.kubernetes.pod.namespace"),
        label("io.kubernetes.pod.name"),
        label("io.kubernetes.pod.uid"),
    ) {
        (Some(namespace), Some(name), Some(uid)) => PodKey {
            namespace,
            name,
            uid,
        },
        _ => named.as_ref()?.key.clone(),
    };
    let part = match kind.as_deref() {
        Some(SANDBOX) => Part::Sandbox,
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
        pod: key,
        // the sandbox's attempt stands only in its name
        attempt: attempt.or(counted),
        restarts: match part {
            Part::Sandbox => None,
            Part::Container(_) => counted.or(attempt),
        },
        sandbox_id: match part {
            Part::Sandbox => None,
            Part::Container(_) => label("io.kubernetes.sandbox.id")
                .or_else(|| facts.joins.network.container().cloned()),
        },
        part,
    })
}

struct Named {
    key: PodKey,
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
        key: PodKey {
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
    use crate::pod::{Join, Joins};

    fn named(name: &str) -> ContainerFacts {
        ContainerFacts {
            name: name.into(),
            joins: Joins {
                network: Join::Container("abc".into()),
                ..Joins::default()
            },
            ..ContainerFacts::default()
        }
    }

    #[test]
    fn a_kubelet_name_is_read_where_labels_are_missing() {
        let member = member(&named("k8s_web_two-node1_default_bf4fc042_3")).unwrap();
        assert_eq!(member.pod.name, "two-node1");
        assert_eq!(member.part, Part::Container("web".into()));
        assert_eq!((member.attempt, member.restarts), (Some(3), Some(3)));
        assert_eq!(member.sandbox_id.as_deref(), Some("abc"));
    }

    #[test]
    fn a_seventh_field_after_a_name_conflict_is_no_part_of_the_attempt() {
        let member = member(&named("k8s_POD_secure.v1-node1_team-a_17a9_0_0badf00d")).unwrap();
        assert_eq!(member.part, Part::Sandbox);
        assert_eq!((member.attempt, member.restarts), (Some(0), None));
        assert_eq!(super::member(&named("k8s_POD_a_b_c_0_d_e")), None);
        assert_eq!(super::member(&named("k8s_POD_a_b_c")), None);
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
        let member = member(&facts).unwrap();
        assert_eq!(member.part, Part::Container("web".into()));
        assert_eq!(member.pod.uid, "u");
        assert_eq!(member.sandbox_id.as_deref(), Some("s"));
    }

    #[test]
    fn the_kubelets_annotations_are_no_labels_and_a_plain_container_keeps_its_own() {
        let labels = [
            ("app", "web"),
            ("annotation.a", "b"),
            (PROJECT, "shop"),
            ("io.kubernetes.docker.type", "podsandbox"),
        ];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut all = ["k8s_POD_web_default_u_0", "web"].map(|name| ContainerFacts {
            labels: labels.clone().into(),
            ..named(name)
        });
        all[1].labels.remove("io.kubernetes.docker.type");
        note(&mut all);
        let [kubelets, plain] = &all;
        assert_eq!(kubelets.labels.len(), 3);
        assert_eq!(kubelets.annotations["a"], "b");
        assert!(kubelets.member().is_some());
        assert_eq!(plain.labels.len(), 3);
        assert!(plain.annotations.is_empty());
        let project = Some("shop".to_owned());
        assert_eq!(plain.membership, Membership::Plain { project });
    }
}
