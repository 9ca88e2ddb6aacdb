//! Tests of `group.rs`, which would be too long with them.
use super::*;
use crate::pod::Joins;

fn facts(id: &str, name: &str, state: &str, mode: &str) -> ContainerFacts {
    ContainerFacts {
        id: id.into(),
        name: name.into(),
        state: state.into(),
        joins: Joins::of_network(mode),
        created_at: Some(format!("2026-01-01T00:00:{:02}Z", id.len())),
        ..ContainerFacts::default()
    }
}

fn kubelet(id: &str, container: &str, attempt: u32, state: &str, mode: &str) -> ContainerFacts {
    let part = ContainerFacts::of_kubelet(container, "default/web/uid", attempt, mode);
    ContainerFacts {
        membership: part.membership,
        ..facts(id, &part.name, state, mode)
    }
}

#[test]
fn a_restarted_container_is_one_container_with_a_past() {
    let all = [
        kubelet("s", "POD", 0, "running", ""),
        kubelet("aa", "app", 0, "exited", "s"),
        kubelet("aaa", "app", 1, "running", "s"),
    ];
    let pods = pods("n", &all, PlainContainers::Hide);
    assert_eq!(pods.len(), 1);
    let pod = &pods[0];
    assert_eq!(pod.state, PodState::Running);
    assert_eq!(pod.containers.len(), 1);
    assert_eq!(pod.containers[0].id, "aaa");
    assert_eq!(pod.containers[0].restarts, Some(1));
    assert_eq!(pod.containers_before[0].id, "aa");
}

#[test]
fn an_older_container_that_still_runs_is_no_past() {
    let all = [
        kubelet("s", "POD", 0, "exited", ""),
        kubelet("ss", "POD", 1, "running", ""),
        kubelet("aaa", "app", 0, "running", "s"),
        kubelet("aaaa", "app", 1, "running", "ss"),
    ];
    let pod = &pods("n", &all, PlainContainers::Hide)[0];
    assert_eq!(pod.containers.len(), 2);
    assert_eq!(pod.sandbox.as_ref().unwrap().id, "ss");
    assert_eq!(pod.sandboxes_before[0].id, "s");
}

#[test]
fn the_running_sandbox_counts_even_when_its_attempt_began_again_at_0() {
    let all = [
        kubelet("s", "POD", 3, "exited", ""),
        kubelet("ss", "POD", 0, "running", ""),
    ];
    let pod = &pods("n", &all, PlainContainers::Hide)[0];
    assert_eq!(pod.sandbox.as_ref().unwrap().id, "ss");
    assert_eq!(pod.state, PodState::Pending);
}

#[test]
fn plain_containers_are_grouped_along_a_chain_of_joined_networks() {
    let all = [
        facts("a", "vpn", "running", ""),
        facts("bb", "web", "running", "a"),
        facts("ccc", "log", "running", "bb"),
        facts("dddd", "alone", "running", ""),
    ];
    let shared = pods("n", &all, PlainContainers::Hide);
    assert_eq!(shared.len(), 1);
    assert_eq!(shared[0].name, "vpn");
    let names: Vec<&str> = shared[0]
        .containers
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(names, ["vpn", "web", "log"]);
    assert_eq!(shared[0].containers[2].sandbox_id.as_deref(), Some("a"));
    assert_eq!(shared[0].containers[0].sandbox_id, None);
    assert_eq!(pods("n", &all, PlainContainers::Show).len(), 2);
}

#[test]
fn a_cycle_of_joined_networks_ends() {
    let all = [
        facts("a", "one", "created", "bb"),
        facts("bb", "two", "created", "a"),
        facts("ccc", "three", "created", "a"),
    ];
    let found = pods("n", &all, PlainContainers::Hide);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].containers.len(), 3);
    assert!(found[0].sandbox.is_none());
}

#[test]
fn a_container_whose_network_holder_is_gone_is_a_pod_without_sandbox() {
    let all = [facts("b", "web", "running", "gone")];
    let found = pods("n", &all, PlainContainers::Hide);
    assert_eq!(found[0].containers[0].sandbox_id.as_deref(), Some("gone"));
    assert!(found[0].sandbox.is_none());
    assert_eq!(found[0].state, PodState::Degraded);
}

#[test]
fn a_plain_pause_container_is_the_sandbox_and_no_app() {
    let mut pause = facts("a", "mypod", "running", "");
    pause.command = vec!["/pause".into()];
    let all = [pause, facts("bb", "web", "running", "a")];
    let found = pods("n", &all, PlainContainers::Hide);
    assert_eq!(found[0].containers.len(), 1);
    assert_eq!(found[0].name, "mypod");
}

#[test]
fn a_lab_pod_has_the_labels_of_its_manifest_and_a_helper_is_no_pod() {
    let lab = |part: &str, sandbox: &str| ContainerFacts::of_lab(part, "lab/two/u", 2, sandbox);
    let mut sandbox = ContainerFacts {
        membership: lab("POD", "").membership,
        ..facts("s", "x", "running", "")
    };
    let app = ContainerFacts {
        membership: lab("app", "s").membership,
        ..facts("aa", "y", "running", "s")
    };
    sandbox
        .labels
        .insert("dev.devnet.pod.labels".into(), r#"{"app":"web"}"#.into());
    let helper = ContainerFacts {
        membership: Membership::Helper,
        ..facts("hhh", "h", "running", "s")
    };
    let found = pods("n", &[sandbox, app, helper], PlainContainers::Show);
    assert_eq!(found.len(), 1, "a helper of devnet is no pod");
    let pod = &found[0];
    assert_eq!((pod.origin, pod.namespace.as_str()), (Origin::Lab, "lab"));
    assert_eq!(pod.labels["app"], "web");
    assert_eq!(pod.containers[0].restarts, Some(2));
    assert_eq!(pod.containers[0].name, "app");
}
