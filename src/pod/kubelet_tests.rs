//! Tests of `kubelet.rs`, which would be too long with them.

use super::*;
use crate::pod::{ContainerFacts, PlainContainers, pods};

fn declared(name: &str, kind: ContainerKind) -> DeclaredContainer {
    DeclaredContainer {
        name: name.to_owned(),
        kind,
        restart_policy: None,
        pull_policy: None,
        image: None,
        by_digest: false,
        waiting: None,
        back_off: None,
    }
}

fn word(containers: Vec<DeclaredContainer>) -> KubeletWord {
    KubeletWord {
        phase: Some("Running".to_owned()),
        restart_policy: Some("Always".to_owned()),
        containers,
        ..KubeletWord::default()
    }
}

fn told(uid: &str, word: KubeletWord) -> KubeletPod {
    let key = PodKey {
        namespace: "default".to_owned(),
        name: format!("pod-{uid}"),
        uid: uid.to_owned(),
    };
    KubeletPod { key, word }
}

fn facts(name: &str, state: &str) -> ContainerFacts {
    ContainerFacts {
        id: name.to_owned(),
        state: state.into(),
        ..ContainerFacts::of_kubelet(name, "default/web/u", 0, "POD")
    }
}

#[test]
fn a_kubelets_word_proves_the_kinds() {
    let all = [
        facts("POD", "running"),
        facts("first", "exited"),
        facts("proxy", "running"),
        facts("debug", "exited"),
    ];
    let mut pods = pods("node", &all, PlainContainers::Hide);
    let kinds = vec![
        declared("first", ContainerKind::Init),
        declared("proxy", ContainerKind::Sidecar),
        declared("debug", ContainerKind::Ephemeral),
    ];
    // of another node, though of the same name
    hear(&mut pods, "other", Vec::new());
    assert!(pods[0].kubelet.is_none() && pods[0].containers[0].kind.ends_with('?'));
    hear(&mut pods, "node", vec![told("u", word(kinds))]);
    assert_eq!(pods.len(), 1);
    let mut found: Vec<_> = pods[0].containers.iter().map(|one| &*one.kind).collect();
    found.sort_unstable();
    assert_eq!(found, ["ephemeral", "init", "sidecar"]);
}

#[test]
fn a_pod_without_a_sandbox_is_pending_and_one_that_has_ended_is_none() {
    let mut never = declared("app", ContainerKind::App);
    never.waiting = Some("ErrImageNeverPull".to_owned());
    let mut pods = Vec::new();
    let over = |phase: &str| KubeletWord {
        phase: Some(phase.to_owned()),
        ..word(Vec::new())
    };
    let all = vec![
        told("a", word(vec![never])),
        told("b", over("Failed")),
        told("c", over("Succeeded")),
    ];
    hear(&mut pods, "node", all);
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0].state, PodState::Pending);
    assert!(!pods[0].is_over());
    assert_eq!(
        serde_json::to_value(&pods[0].kubelet).unwrap(),
        serde_json::json!({
            "phase": "Running", "terminating": false, "restart_policy": "Always",
            "waiting": [{"container": "app", "reason": "ErrImageNeverPull"}],
        })
    );
}

#[test]
fn what_is_left_of_a_pod_that_is_made_anew_is_pending() {
    let mut pods = pods("node", &[facts("POD", "exited")], PlainContainers::Hide);
    assert!(pods[0].is_over());
    let mut over = word(Vec::new());
    over.phase = Some("Succeeded".to_owned());
    hear(&mut pods, "node", vec![told("u", over)]);
    assert!(pods[0].is_over());
    hear(&mut pods, "node", vec![told("u", word(Vec::new()))]);
    assert!(!pods[0].is_over());
    assert_eq!(pods[0].state, PodState::Pending);
}

#[test]
fn the_policy_of_a_container_goes_before_its_pods() {
    let mut own = declared("own", ContainerKind::App);
    own.restart_policy = Some("Never".to_owned());
    let kinds = vec![
        own,
        declared("app", ContainerKind::App),
        declared("first", ContainerKind::Init),
        declared("proxy", ContainerKind::Sidecar),
        declared("debug", ContainerKind::Ephemeral),
    ];
    let word = word(kinds);
    for (name, policy) in [
        (Some("own"), "Never"),
        (Some("app"), "Always"),
        (Some("first"), "OnFailure"),
        (Some("proxy"), "Always"),
        (Some("debug"), "Never"),
        (None, "Always"),
    ] {
        assert_eq!(word.restart_policy(name), Some(policy), "{name:?}");
    }
}
