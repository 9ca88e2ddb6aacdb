//! Tests of `group.rs`, which would be too long with them.
use super::*;

fn facts(id: &str, name: &str, state: &str, mode: &str) -> ContainerFacts {
    ContainerFacts {
        id: id.into(),
        name: name.into(),
        state: state.into(),
        network_mode: mode.into(),
        created_at: Some(format!("2026-01-01T00:00:{:02}Z", id.len())),
        ..ContainerFacts::default()
    }
}

fn kubelet(id: &str, container: &str, attempt: u32, state: &str, mode: &str) -> ContainerFacts {
    facts(
        id,
        &format!("k8s_{container}_web_default_uid_{attempt}"),
        state,
        mode,
    )
}

#[test]
fn a_restarted_container_is_one_container_with_a_past() {
    let all = [
        kubelet("s", "POD", 0, "running", "none"),
        kubelet("aa", "app", 0, "exited", "container:s"),
        kubelet("aaa", "app", 1, "running", "container:s"),
    ];
    let pods = pods("n", &all, Lone::Leave);
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
        kubelet("s", "POD", 0, "exited", "none"),
        kubelet("ss", "POD", 1, "running", "none"),
        kubelet("aaa", "app", 0, "running", "container:s"),
        kubelet("aaaa", "app", 1, "running", "container:ss"),
    ];
    let pod = &pods("n", &all, Lone::Leave)[0];
    assert_eq!(pod.containers.len(), 2);
    assert_eq!(pod.sandbox.as_ref().unwrap().id, "ss");
    assert_eq!(pod.sandboxes_before[0].id, "s");
}

#[test]
fn the_running_sandbox_counts_even_when_its_attempt_began_again_at_0() {
    let all = [
        kubelet("s", "POD", 3, "exited", "none"),
        kubelet("ss", "POD", 0, "running", "none"),
    ];
    let pod = &pods("n", &all, Lone::Leave)[0];
    assert_eq!(pod.sandbox.as_ref().unwrap().id, "ss");
    assert_eq!(pod.state, PodState::Pending);
}

#[test]
fn plain_containers_are_grouped_along_a_chain_of_joined_networks() {
    let all = [
        facts("a", "vpn", "running", "bridge"),
        facts("bb", "web", "running", "container:a"),
        facts("ccc", "log", "running", "container:bb"),
        facts("dddd", "alone", "running", "bridge"),
    ];
    let shared = pods("n", &all, Lone::Leave);
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
    assert_eq!(pods("n", &all, Lone::Show).len(), 2);
}

#[test]
fn a_cycle_of_joined_networks_ends() {
    let all = [
        facts("a", "one", "created", "container:bb"),
        facts("bb", "two", "created", "container:a"),
        facts("ccc", "three", "created", "container:a"),
    ];
    let found = pods("n", &all, Lone::Leave);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].containers.len(), 3);
    assert!(found[0].sandbox.is_none());
}

#[test]
fn a_container_whose_network_holder_is_gone_is_a_pod_without_sandbox() {
    let all = [facts("b", "web", "running", "container:gone")];
    let found = pods("n", &all, Lone::Leave);
    assert_eq!(found[0].containers[0].sandbox_id.as_deref(), Some("gone"));
    assert!(found[0].sandbox.is_none());
    assert_eq!(found[0].state, PodState::Degraded);
}

#[test]
fn a_plain_pause_container_is_the_sandbox_and_no_app() {
    let mut pause = facts("a", "mypod", "running", "bridge");
    pause.command = vec!["/pause".into()];
    let all = [pause, facts("bb", "web", "running", "container:a")];
    let found = pods("n", &all, Lone::Leave);
    assert_eq!(found[0].containers.len(), 1);
    assert_eq!(found[0].name, "mypod");
}

#[test]
fn lab_pods_are_known_by_their_labels() {
    let mut sandbox = facts("s", "x", "running", "devnet-lab");
    let mut app = facts("aa", "y", "running", "container:s");
    for (facts, role) in [(&mut sandbox, "lab-sandbox"), (&mut app, "lab-container")] {
        for (name, value) in [
            ("role", role),
            ("pod.name", "two"),
            ("pod.namespace", "lab"),
            ("pod.uid", "u"),
            ("attempt", "2"),
        ] {
            facts
                .labels
                .insert(format!("dev.devnet.{name}"), value.into());
        }
    }
    sandbox
        .labels
        .insert("dev.devnet.pod.labels".into(), r#"{"app":"web"}"#.into());
    app.labels
        .insert("dev.devnet.container.name".into(), "app".into());
    app.labels
        .insert("dev.devnet.sandbox.id".into(), "s".into());
    let mut helper = facts("hhh", "h", "running", "container:s");
    helper
        .labels
        .insert("dev.devnet.role".into(), "probe".into());
    let found = pods("n", &[sandbox, app, helper], Lone::Show);
    assert_eq!(found.len(), 1, "a helper of devnet is no pod");
    let pod = &found[0];
    assert_eq!((pod.origin, pod.namespace.as_str()), (Origin::Lab, "lab"));
    assert_eq!(pod.labels["app"], "web");
    assert_eq!(pod.containers[0].restarts, Some(2));
    assert_eq!(pod.containers[0].name, "app");
}
