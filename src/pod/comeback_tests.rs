//! Each step from a kill to the pod that is back, over facts of made-up containers.

use super::*;
use crate::pod::{ContainerFacts, PlainContainers, applied, pods};

const POD: &str = "default/web/uid";

fn sandbox(id: &str, attempt: u32, state: &str, policy: Option<&str>) -> ContainerFacts {
    let annotations = policy.map(|policy| {
        let manifest = format!(r#"{{"spec":{{{policy}}}}}"#);
        (applied::ANNOTATION.to_owned(), manifest)
    });
    ContainerFacts {
        id: id.to_owned(),
        state: state.into(),
        created_at: Some(format!("2026-01-01T00:00:0{attempt}Z")),
        ips: if state == "running" {
            vec![format!("10.0.0.{attempt}")]
        } else {
            Vec::new()
        },
        annotations: annotations.into_iter().collect(),
        ..ContainerFacts::of_kubelet("POD", POD, attempt, "")
    }
}

fn app(id: &str, attempt: u32, state: &str, sandbox: &str) -> ContainerFacts {
    ContainerFacts {
        id: id.to_owned(),
        state: state.into(),
        exit_code: (state == "exited").then_some(137),
        created_at: Some(format!("2026-01-01T00:00:1{attempt}Z")),
        ..ContainerFacts::of_kubelet("app", POD, attempt, sandbox)
    }
}

fn pod(facts: &[ContainerFacts]) -> Pod {
    pods("node", facts, PlainContainers::Hide).remove(0)
}

/// The progress after a container was killed, or without one the sandbox.
fn progress(
    before: &[ContainerFacts],
    container: bool,
    now: impl IntoIterator<Item = ContainerFacts>,
) -> Progress {
    let before = pod(before);
    let killed = Killed {
        container: container.then(|| &before.containers[0]),
        before: &before,
    };
    let now: Vec<_> = now.into_iter().collect();
    let now = (!now.is_empty()).then(|| pod(&now));
    killed.progress(now.as_ref())
}

fn waits(text: &str) -> Progress {
    Progress::Waits(text.to_owned())
}

#[test]
fn a_container_is_back_when_its_next_attempt_runs() {
    let s0 = sandbox("s0", 0, "running", None);
    let before = [s0.clone(), app("a0", 0, "running", "s0")];
    let now = |more: &[ContainerFacts]| {
        let all = [s0.clone()].into_iter().chain(more.iter().cloned());
        progress(&before, true, all)
    };
    let gone = app("a0", 0, "exited", "s0");
    assert_eq!(
        now(&[app("a0", 0, "running", "s0")]),
        Progress::Survives("the end of container `app`".to_owned())
    );
    let next = "the next attempt of container `app`";
    assert_eq!(now(std::slice::from_ref(&gone)), waits(next));
    assert_eq!(
        now(&[app("a1", 1, "created", "s0"), gone.clone()]),
        waits(next)
    );
    assert_eq!(
        now(&[app("a1", 1, "exited", "s0"), gone.clone()]),
        waits(&format!("{next}: attempt 1 ended with exit code 137"))
    );
    let Progress::Back(back) = now(&[app("a1", 1, "running", "s0"), gone]) else {
        panic!("it runs")
    };
    assert_eq!(back.attempt, Some(1));
    let kept = back.kept();
    assert_eq!((kept.sandbox, kept.ip), (true, Some(true)));
    assert_eq!(
        progress(&before, true, []),
        waits("the pod: its node has nothing of it")
    );
}

#[test]
fn a_sandbox_is_back_when_all_that_ran_run_in_the_new_one() {
    let before = [
        sandbox("s0", 0, "running", None),
        app("a0", 0, "running", "s0"),
    ];
    let now = |all: &[ContainerFacts]| progress(&before, false, all.iter().cloned());
    assert_eq!(
        now(&before),
        Progress::Survives("the end of the sandbox".to_owned())
    );
    let dead = sandbox("s0", 0, "exited", None);
    // what is left of it in the old sandbox does not count
    let left = app("a0", 0, "running", "s0");
    assert_eq!(now(&[dead.clone(), left.clone()]), waits("a new sandbox"));
    let s1 = sandbox("s1", 1, "running", None);
    assert_eq!(
        now(&[s1.clone(), dead.clone(), left]),
        waits("`app` in the new sandbox")
    );
    let Progress::Back(back) = now(&[s1, dead, app("a1", 1, "running", "s1")]) else {
        panic!("it runs")
    };
    let kept = back.kept();
    assert_eq!((kept.sandbox, kept.ip), (false, Some(false)));
}

#[test]
fn only_a_policy_that_is_known_ends_the_wait() {
    let over = |policy: Option<&str>, code: i64| {
        let s0 = sandbox("s0", 0, "running", policy);
        let before = [s0.clone(), app("a0", 0, "running", "s0")];
        let mut ended = app("a0", 0, "exited", "s0");
        ended.exit_code = Some(code);
        matches!(progress(&before, true, [s0, ended]), Progress::Over(_))
    };
    assert!(over(Some(r#""restartPolicy":"Never""#), 137));
    assert!(over(Some(r#""restartPolicy":"OnFailure""#), 0));
    assert!(!over(Some(r#""restartPolicy":"OnFailure""#), 137));
    assert!(
        !over(Some(""), 0),
        "Always is what a manifest means that says nothing"
    );
    assert!(!over(None, 0));
}

#[test]
fn the_doubt_is_said_unless_the_policy_is_always() {
    let of = |policy: Option<&str>| doubt(&pod(&[sandbox("s0", 0, "running", policy)]), None);
    assert_eq!(of(Some("")), None);
    assert!(of(None).is_some_and(|text| text.contains("not known")));
    assert!(of(Some(r#""restartPolicy":"Never""#)).is_some_and(|text| text.contains("Never")));
}

#[test]
fn what_ran_beside_it_before_is_not_what_comes_after() {
    // the sandbox before was never ended, nor what runs in it
    let old = sandbox("s0", 0, "running", None);
    let left = app("a0", 0, "running", "s0");
    let s1 = sandbox("s1", 1, "running", None);
    let before = [
        s1.clone(),
        old.clone(),
        app("a1", 1, "running", "s1"),
        left.clone(),
    ];
    let ended = app("a1", 1, "exited", "s1");
    let before = pod(&before);
    let killed = Killed {
        before: &before,
        container: before.containers.iter().find(|one| one.id == "a1"),
    };
    let now = pod(&[s1, old.clone(), ended.clone(), left.clone()]);
    assert_eq!(
        killed.progress(Some(&now)),
        waits("the next attempt of container `app`")
    );
    let dead = sandbox("s1", 1, "exited", None);
    let now = pod(&[dead, old, ended, left]);
    assert_eq!(Standing::of(&now).containers.len(), 1);
    let killed = Killed {
        before: &before,
        container: None,
    };
    assert_eq!(killed.progress(Some(&now)), waits("a new sandbox"));
}
