//! A kubelet's answer, read: what is not kept of a pod is dropped here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;

use super::messages::{Container, ContainerStatus, ListPodsResponse, Pod};
use crate::pod::{ContainerKind, DeclaredContainer, KubeletPod, KubeletWord, PodKey};

/// The most pods that are believed: a kubelet takes 110 by default.
const MOST_PODS: usize = 10_000;

/// Reads the line in which the probe hands on an answer; `None` where the kubelet gave none.
pub(crate) fn from_probe(line: &str) -> Option<Vec<KubeletPod>> {
    let bytes = STANDARD.decode(line.trim()).ok()?;
    if bytes.is_empty() {
        return None;
    }
    read(ListPodsResponse::decode(bytes.as_slice()).ok()?)
}

/// The pods of an answer; `None` where it is none.
pub(super) fn read(answer: ListPodsResponse) -> Option<Vec<KubeletPod>> {
    if answer.pods.len() > MOST_PODS {
        return None;
    }
    let pods = answer.pods.into_iter();
    pods.map(|bytes| pod(Pod::decode(bytes).ok()?)).collect()
}

fn pod(pod: Pod) -> Option<KubeletPod> {
    let metadata = pod.metadata?;
    if metadata.uid.is_empty() || metadata.name.is_empty() {
        return None;
    }
    let spec = pod.spec.unwrap_or_default();
    let status = pod.status.unwrap_or_default();
    let statuses: Vec<ContainerStatus> = status
        .init_container_statuses
        .into_iter()
        .chain(status.container_statuses)
        .chain(status.ephemeral_container_statuses)
        .collect();
    let of_spec = spec.init_containers.iter().map(|one| {
        let stays = one.restart_policy == "Always";
        let kind = if stays {
            ContainerKind::Sidecar
        } else {
            ContainerKind::Init
        };
        (one, kind)
    });
    let apps = spec.containers.iter().map(|one| (one, ContainerKind::App));
    let added = spec.ephemeral_containers.iter();
    let added = added.filter_map(|one| Some((one.common.as_ref()?, ContainerKind::Ephemeral)));
    Some(KubeletPod {
        word: KubeletWord {
            phase: word(&status.phase),
            terminating: metadata.deletion_timestamp.is_some(),
            restart_policy: word(&spec.restart_policy),
            containers: of_spec
                .chain(apps)
                .chain(added)
                .map(|(one, kind)| container(one, kind, &statuses))
                .collect(),
        },
        key: PodKey {
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
        },
    })
}

fn container(
    one: &Container,
    kind: ContainerKind,
    statuses: &[ContainerStatus],
) -> DeclaredContainer {
    let status = statuses.iter().find(|status| status.name == one.name);
    let waiting = status
        .and_then(|status| status.state.as_ref())
        .and_then(|state| state.waiting.as_ref());
    DeclaredContainer {
        name: one.name.clone(),
        kind,
        restart_policy: word(&one.restart_policy),
        pull_policy: word(&one.image_pull_policy),
        image: image(&one.image),
        by_digest: one.image.contains('@'),
        waiting: waiting.and_then(|waiting| word(&waiting.reason)),
        back_off: waiting.and_then(|waiting| back_off(&waiting.message)),
    }
}

/// A word as Kubernetes has for phases, policies and reasons; what is none is not handed on.
fn word(text: &str) -> Option<String> {
    const LONGEST: usize = 64;
    let is_word = !text.is_empty()
        && text.len() <= LONGEST
        && text.chars().all(|letter| letter.is_ascii_alphanumeric());
    is_word.then(|| text.to_owned())
}

/// The name of an image; what is none is not handed on.
fn image(name: &str) -> Option<String> {
    const LONGEST: usize = 512;
    let is_name = !name.is_empty()
        && name.len() <= LONGEST
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then(|| name.to_owned())
}

/// The seconds between two attempts in a kubelet's message, as `back-off 1m20s restarting failed
/// container=…`.
fn back_off(message: &str) -> Option<u64> {
    let (time, _) = message
        .strip_prefix("back-off ")?
        .split_once(" restarting")?;
    let time: jiff::SignedDuration = time.parse().ok()?;
    u64::try_from(time.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::messages::{
        ContainerState, EphemeralContainer, ObjectMeta, PodSpec, PodStatus, Waiting,
    };
    use super::*;
    use crate::engine::grpc::Time;

    fn answer(pods: &[Pod]) -> ListPodsResponse {
        ListPodsResponse {
            pods: pods.iter().map(|pod| pod.encode_to_vec().into()).collect(),
        }
    }

    fn named(name: &str, restart_policy: &str) -> Container {
        Container {
            name: name.to_owned(),
            restart_policy: restart_policy.to_owned(),
            ..Container::default()
        }
    }

    fn full() -> Pod {
        let waiting = |reason: &str, message: &str| ContainerState {
            waiting: Some(Waiting {
                reason: reason.to_owned(),
                message: message.to_owned(),
            }),
        };
        Pod {
            metadata: Some(ObjectMeta {
                name: "web".to_owned(),
                namespace: "default".to_owned(),
                uid: "u".to_owned(),
                deletion_timestamp: Some(Time::default()),
            }),
            spec: Some(PodSpec {
                containers: vec![Container {
                    image: "app@sha256:00".to_owned(),
                    image_pull_policy: "Always".to_owned(),
                    ..named("app", "")
                }],
                restart_policy: "OnFailure".to_owned(),
                init_containers: vec![named("first", ""), named("proxy", "Always")],
                ephemeral_containers: vec![EphemeralContainer {
                    common: Some(named("debug", "")),
                }],
            }),
            status: Some(PodStatus {
                phase: "Running".to_owned(),
                container_statuses: vec![ContainerStatus {
                    name: "app".to_owned(),
                    state: Some(waiting(
                        "CrashLoopBackOff",
                        "back-off 1m20s restarting failed container=app pod=web_default(u)",
                    )),
                }],
                ..PodStatus::default()
            }),
        }
    }

    #[test]
    fn kinds_policies_and_reasons_are_read() {
        let read = read(answer(&[full()])).unwrap().remove(0);
        assert_eq!(read.key.uid, "u");
        let word = read.word;
        assert_eq!(word.phase.as_deref(), Some("Running"));
        assert_eq!(word.restart_policy.as_deref(), Some("OnFailure"));
        assert!(word.terminating);
        let kinds: Vec<_> = word
            .containers
            .iter()
            .map(|one| (one.name.as_str(), one.kind))
            .collect();
        assert_eq!(
            kinds,
            [
                ("first", ContainerKind::Init),
                ("proxy", ContainerKind::Sidecar),
                ("app", ContainerKind::App),
                ("debug", ContainerKind::Ephemeral),
            ]
        );
        let app = &word.containers[2];
        assert_eq!(app.waiting.as_deref(), Some("CrashLoopBackOff"));
        assert_eq!(app.back_off, Some(80));
        assert_eq!(app.pull_policy.as_deref(), Some("Always"));
        assert!(app.by_digest);
        assert_eq!(app.image.as_deref(), Some("app@sha256:00"));
    }

    #[test]
    fn what_is_no_word_or_no_pod_is_not_handed_on() {
        let mut pod = full();
        let status = pod.status.as_mut().unwrap();
        status.phase = "\u{1b}[2J".to_owned();
        let waiting = status.container_statuses[0].state.as_mut().unwrap();
        let waiting = waiting.waiting.as_mut().unwrap();
        waiting.reason = "PASSWORD=hunter2".to_owned();
        waiting.message = "back-off PASSWORD restarting".to_owned();
        let word = read(answer(&[pod])).unwrap().remove(0).word;
        assert_eq!(word.phase, None);
        assert_eq!(word.containers[2].waiting, None);
        assert_eq!(word.containers[2].back_off, None);
        assert_eq!(read(answer(&[Pod::default()])), None);
        let nonsense = ListPodsResponse {
            pods: vec![vec![0xff; 9].into()],
        };
        assert_eq!(read(nonsense), None);
    }

    #[test]
    fn the_probes_line_is_the_same_answer() {
        let line = STANDARD.encode(answer(&[full()]).encode_to_vec());
        assert_eq!(from_probe(&line), read(answer(&[full()])));
        for none in ["", "\n", "*", "AAAA"] {
            assert_eq!(from_probe(none), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _read = from_probe(&STANDARD.encode(&bytes));
            let pods = vec![bytes.into()];
            let _read = read(ListPodsResponse { pods });
        }
    }
}
