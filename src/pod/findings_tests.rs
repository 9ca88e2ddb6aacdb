//! Tests of `findings.rs`, which would be too long with them.

use super::*;
use crate::pod::{PlainContainers, pods};

const NOW: &str = "2026-01-01T01:00:00Z";

fn kubelet(id: &str, container: &str, attempt: u32, state: &str, started: &str) -> ContainerFacts {
    let sandbox = if container == "POD" { "" } else { "s" };
    ContainerFacts {
        id: id.into(),
        state: state.into(),
        created_at: Some(started.into()),
        started_at: Some(started.into()),
        ..ContainerFacts::of_kubelet(container, "default/web/uid", attempt, sandbox)
    }
}

#[track_caller]
fn codes(all: &[ContainerFacts]) -> Vec<&'static str> {
    let mut pods = pods("n", all, PlainContainers::Hide);
    let now = NOW.parse().unwrap();
    let top = judge(&mut pods, all, &[], |_| Some(now));
    let of_pods = pods.iter().flat_map(|pod| &pod.findings);
    of_pods.chain(&top).map(|finding| finding.code).collect()
}

fn with(facts: ContainerFacts, change: impl Fn(&mut ContainerFacts)) -> ContainerFacts {
    let mut facts = facts;
    change(&mut facts);
    facts
}

#[test]
fn a_healthy_pod_has_no_finding() {
    let all = [
        kubelet("s", "POD", 0, "running", "2026-01-01T00:00:00Z"),
        kubelet("a", "app", 0, "running", "2026-01-01T00:00:01Z"),
    ];
    assert!(codes(&all).is_empty());
}

#[test]
fn a_sandbox_that_started_after_its_container_split_the_pod() {
    let all = [
        kubelet("s", "POD", 0, "running", "2026-01-01T00:30:00Z"),
        kubelet("a", "app", 0, "running", "2026-01-01T00:00:01Z"),
        kubelet("b", "side", 0, "running", "2026-01-01T00:31:00Z"),
    ];
    assert_eq!(codes(&all), ["split-pod"]);
}

#[test]
fn a_container_that_outlives_its_sandbox_is_an_orphan() {
    let dead = kubelet("s", "POD", 0, "exited", "2026-01-01T00:00:00Z");
    let app = kubelet("a", "app", 0, "running", "2026-01-01T00:00:01Z");
    assert_eq!(codes(&[dead, app.clone()]), ["orphan-container"]);
    assert_eq!(codes(&[app]), ["orphan-container"]);
}

#[test]
fn two_running_sandboxes_are_one_too_many() {
    let all = [
        kubelet("s", "POD", 0, "running", "2026-01-01T00:00:00Z"),
        kubelet("t", "POD", 1, "running", "2026-01-01T00:10:00Z"),
    ];
    assert!(codes(&all).contains(&"duplicate-sandbox"));
}

#[test]
fn a_sandbox_stays_empty_for_two_minutes_before_it_is_a_finding() {
    let young = kubelet("s", "POD", 0, "running", "2026-01-01T00:58:01Z");
    let old = kubelet("s", "POD", 0, "running", "2026-01-01T00:57:59Z");
    assert!(codes(&[young]).is_empty());
    assert_eq!(codes(&[old]), ["empty-sandbox"]);
}

#[test]
fn finished_pods_and_exited_sandboxes_are_no_finding() {
    let sandbox = kubelet("s", "POD", 0, "exited", "2026-01-01T00:00:00Z");
    let job = with(
        kubelet("a", "job", 0, "exited", "2026-01-01T00:00:01Z"),
        |f| {
            f.exit_code = Some(0);
            f.finished_at = Some("2026-01-01T00:00:09Z".into());
        },
    );
    assert!(codes(&[sandbox, job]).is_empty());
}

#[test]
fn a_paused_container_is_frozen() {
    let all = [
        kubelet("s", "POD", 0, "running", "2026-01-01T00:00:00Z"),
        kubelet("a", "app", 0, "paused", "2026-01-01T00:00:01Z"),
    ];
    assert_eq!(codes(&all), ["frozen"]);
}

#[test]
fn one_address_of_two_pods_is_a_finding_unless_one_has_ended() {
    let sandbox = |id: &str, state: &str| {
        with(kubelet(id, "POD", 0, state, "2026-01-01T00:59:00Z"), |f| {
            let pod = format!("default/{id}/{id}");
            f.membership = ContainerFacts::of_kubelet("POD", &pod, 0, "").membership;
            f.ips = vec!["10.0.0.7".into()];
        })
    };
    assert_eq!(
        codes(&[sandbox("s", "running"), sandbox("t", "running")]),
        ["duplicate-ip"]
    );
    assert!(codes(&[sandbox("s", "running"), sandbox("t", "exited")]).is_empty());
}
