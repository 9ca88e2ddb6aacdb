//! Containers of pods that run an image which is no longer the one of its name.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Container, Origin, Pod, applied, is_init};
use crate::image::reference;

/// An image's name, the IDs that it stood for, and the ID that it stands for now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renamed {
    pub(crate) name: String,
    pub(crate) before: BTreeSet<String>,
    pub(crate) now: String,
}

/// A container that runs an older image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stale<'p> {
    pub(crate) pod: &'p Pod,
    pub(crate) container: &'p Container,
    pub(crate) pull: Pull,
}

/// The kubelet's pull of an image before it starts the container: certain, possible, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pull {
    /// Its manifest says so, or leaves it to the name, which is `latest`.
    Always,
    /// Nobody knows the manifest, and the name is `latest`.
    Perhaps,
    No,
}

/// Finds the containers of kubelet and lab pods that should run what `image` is now: those that
/// were made from its name, or from what it stood for.
pub(crate) fn stale<'p>(pods: &'p [Pod], image: &Renamed) -> Vec<Stale<'p>> {
    let wanted = reference::canonical(&image.name);
    let mut found = Vec::new();
    for pod in pods.iter().filter(|pod| pod.origin != Origin::Docker) {
        let applied = applied::manifest(pod);
        for container in &pod.containers {
            let planned = applied
                .as_ref()
                .and_then(|spec| planned(spec, &container.name));
            // a tag beside a digest says which name was meant
            let named = |name: &str| {
                let name = name.split_once('@').map_or(name, |(tagged, _)| tagged);
                reference::canonical(name) == wanted
            };
            let by_name = named(&container.image)
                || planned
                    .and_then(|planned| planned["image"].as_str())
                    .is_some_and(named);
            let id = container.image_id.as_ref();
            let by_id = id.is_some_and(|id| image.before.contains(id));
            // what has ended the kubelet starts again itself, and in the lab nobody does
            let lives =
                container.state.is_up() || (pod.origin == Origin::Lab && !is_init(&container.kind));
            if lives && (by_name || by_id) && id.is_some_and(|id| *id != image.now) {
                found.push(Stale {
                    pod,
                    container,
                    pull: pull(pod, &container.name, planned, &wanted),
                });
            }
        }
    }
    found
}

/// The kubelet's pull before it starts that container's next attempt.
pub(crate) fn pull_at_restart(pod: &Pod, container: &Container) -> Pull {
    let applied = applied::manifest(pod);
    let planned = applied
        .as_ref()
        .and_then(|spec| planned(spec, &container.name));
    let name = planned.and_then(|planned| planned["image"].as_str());
    let name = reference::canonical(name.unwrap_or(&container.image));
    pull(pod, &container.name, planned, &name)
}

fn planned<'v>(manifest: &'v Value, container: &str) -> Option<&'v Value> {
    ["containers", "initContainers"]
        .iter()
        .filter_map(|kind| manifest["spec"][kind].as_array())
        .flatten()
        .find(|planned| planned["name"] == container)
}

/// True where a container's image is named by its digest: no other takes its place.
pub(crate) fn is_at_digest(pod: &Pod, container: &Container) -> bool {
    let told = pod.kubelet.as_ref();
    if let Some(declared) = told.and_then(|word| word.container(&container.name)) {
        return declared.by_digest;
    }
    let applied = applied::manifest(pod);
    let planned = applied
        .as_ref()
        .and_then(|spec| planned(spec, &container.name));
    let name = planned.and_then(|planned| planned["image"].as_str());
    name.unwrap_or(&container.image).contains('@')
}

fn pull(pod: &Pod, container: &str, planned: Option<&Value>, name: &str) -> Pull {
    let told = pod.kubelet.as_ref();
    let told = told.and_then(|word| word.container(container)?.pull_policy.as_deref());
    if let Some(policy) = told {
        return match policy {
            "Always" => Pull::Always,
            _ => Pull::No,
        };
    }
    let latest = name.ends_with(":latest");
    let policy = planned.map(|planned| planned["imagePullPolicy"].as_str());
    match policy {
        _ if pod.origin == Origin::Lab => Pull::No,
        Some(Some("Always")) => Pull::Always,
        Some(None) if latest => Pull::Always,
        None if latest => Pull::Perhaps,
        _ => Pull::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{
        ContainerFacts, ContainerKind, DeclaredContainer, KubeletWord, PlainContainers, pods,
    };

    /// A kubelet pod's sandbox and its one container, and the container's image.
    fn pod(applied: Option<&str>, image: &str, image_id: &str) -> Vec<ContainerFacts> {
        let facts = |name: &str, sandbox: &str| ContainerFacts {
            id: name.to_owned(),
            image: image.to_owned(),
            image_id: Some(image_id.to_owned()),
            state: "running".into(),
            ..ContainerFacts::of_kubelet(name, "default/web/uid", 0, sandbox)
        };
        let mut sandbox = facts("POD", "");
        if let Some(applied) = applied {
            let name = applied::ANNOTATION.to_owned();
            sandbox.annotations.insert(name, applied.to_owned());
        }
        vec![sandbox, facts("app", "POD")]
    }

    fn found(facts: &[ContainerFacts], name: &str) -> Option<Pull> {
        let image = Renamed {
            name: name.to_owned(),
            before: ["old".to_owned()].into(),
            now: "new".to_owned(),
        };
        let pods = pods("node", facts, PlainContainers::Hide);
        let found = stale(&pods, &image);
        assert!(found.len() < 2);
        found.first().map(|one| one.pull)
    }

    #[test]
    fn a_container_is_found_by_what_its_name_stood_for_or_by_the_name() {
        let by_id = pod(None, "sha256:old", "old");
        assert_eq!(found(&by_id, "app:dev"), Some(Pull::No));
        let by_name = pod(None, "docker.io/library/app:dev", "older");
        assert_eq!(found(&by_name, "app:dev"), Some(Pull::No));
        assert_eq!(found(&by_name, "app:other"), None);
        let is_new = pod(None, "app:dev", "new");
        assert_eq!(found(&is_new, "app:dev"), None);
        let of_another = pod(None, "other:dev", "another");
        assert_eq!(found(&of_another, "app:dev"), None);
        let applied = r#"{"spec":{"containers":[{"name":"app","image":"app:dev"}]}}"#;
        let by_manifest = pod(Some(applied), "sha256:older", "older");
        assert_eq!(found(&by_manifest, "app:dev"), Some(Pull::No));
    }

    #[test]
    fn the_manifest_or_else_the_name_tells_whether_the_kubelet_pulls() {
        let manifest = |more: &str| {
            format!(r#"{{"spec":{{"containers":[{{"name":"app","image":"app"{more}}}]}}}}"#)
        };
        let pull = |applied: Option<&str>, name: &str| found(&pod(applied, "x", "old"), name);
        assert_eq!(pull(None, "app"), Some(Pull::Perhaps));
        assert_eq!(pull(None, "app:1"), Some(Pull::No));
        assert_eq!(pull(Some(&manifest("")), "app"), Some(Pull::Always));
        let always = manifest(r#","imagePullPolicy":"Always""#);
        assert_eq!(pull(Some(&always), "app:1"), Some(Pull::Always));
        let absent = manifest(r#","imagePullPolicy":"IfNotPresent""#);
        assert_eq!(pull(Some(&absent), "app"), Some(Pull::No));
    }

    #[test]
    fn in_the_lab_what_has_ended_gets_the_new_image_and_an_init_container_does_not() {
        let of = |spec: &str| {
            let facts = |id: &str, sandbox: &str, state: &str| ContainerFacts {
                id: id.to_owned(),
                image: "app:dev".to_owned(),
                image_id: Some("old".to_owned()),
                state: state.into(),
                labels: [("dev.devnet.pod.spec".to_owned(), spec.to_owned())].into(),
                ..ContainerFacts::of_lab(id, "lab/web/u", 0, sandbox)
            };
            let sandbox = facts("POD", "", "running");
            let app = facts("app", "POD", "exited");
            found(&[sandbox, app], "app:dev")
        };
        assert_eq!(of(r#"{"containers":[{"name":"app"}]}"#), Some(Pull::No));
        assert_eq!(of(r#"{"init_containers":[{"name":"app"}]}"#), None);
    }

    #[test]
    fn what_the_kubelet_tells_of_a_pull_goes_before_the_name() {
        let mut pods = pods("node", &pod(None, "app", "old"), PlainContainers::Hide);
        let of = |pods: &[Pod]| {
            let pod = &pods[0];
            let container = &pod.containers[0];
            (
                pull_at_restart(pod, container),
                is_at_digest(pod, container),
            )
        };
        assert_eq!(of(&pods), (Pull::Perhaps, false));
        let mut tell = |policy: &str, by_digest| {
            let declared = DeclaredContainer {
                name: "app".to_owned(),
                kind: ContainerKind::App,
                restart_policy: None,
                pull_policy: Some(policy.to_owned()),
                image: None,
                by_digest,
                waiting: None,
                back_off: None,
            };
            pods[0].kubelet = Some(KubeletWord {
                containers: vec![declared],
                ..KubeletWord::default()
            });
            of(&pods)
        };
        assert_eq!(tell("Never", false), (Pull::No, false));
        assert_eq!(tell("Always", true), (Pull::Always, true));
        let by_name = pod(None, "app@sha256:00", "old");
        let pods = super::super::pods("node", &by_name, PlainContainers::Hide);
        assert!(of(&pods).1);
    }

    #[test]
    fn what_has_ended_is_left_to_the_kubelet() {
        let mut facts = pod(None, "app:dev", "old");
        facts[1].state = "exited".into();
        assert_eq!(found(&facts, "app:dev"), None);
    }
}
