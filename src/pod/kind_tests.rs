//! Tests of `kind.rs`, which would be too long with them.

use super::*;
use crate::pod::{Join, PlainContainers, Pod, PodState, pods};

/// A container as the kubelet makes it; times are seconds of one minute (`12.345`).
fn one(
    name: &str,
    attempt: u32,
    made: &str,
    began: &str,
    ended: Option<(&str, i64)>,
) -> ContainerFacts {
    let at = |text: &str| Some(format!("2026-01-01T00:{text}Z"));
    let sandbox = if name == "POD" { "" } else { "POD-0" };
    ContainerFacts {
        id: format!("{name}-{attempt}"),
        state: if ended.is_some() { "exited" } else { "running" }.into(),
        exit_code: ended.map(|(_, code)| code),
        created_at: at(made),
        started_at: at(began),
        finished_at: ended.and_then(|(text, _)| at(text)),
        ..ContainerFacts::of_kubelet(name, "default/web/uid", attempt, sandbox)
    }
}

fn pod(all: &[ContainerFacts]) -> Pod {
    pods("n", all, PlainContainers::Hide).remove(0)
}

fn kinds_of(all: &[ContainerFacts]) -> Vec<(String, String)> {
    let pod = pod(all);
    let kinds = pod.containers.into_iter();
    kinds.map(|one| (one.name, one.kind)).collect()
}

fn as_pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, kind): &(&str, &str)| ((*name).to_owned(), (*kind).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn who_runs_alone_may_be_anything() {
    let sandbox = one("POD", 0, "00:01", "00:02", None);
    let runs = one("first", 0, "00:03", "00:04", None);
    assert_eq!(
        kinds_of(&[sandbox.clone(), runs]),
        as_pairs(&[("first", "app?")])
    );
    let fails = one("first", 4, "00:53", "00:54", Some(("00:55", 1)));
    assert_eq!(kinds_of(&[sandbox, fails]), as_pairs(&[("first", "app?")]));
}

#[test]
fn who_began_in_one_go_are_apps_and_what_ended_before_them_looks_like_an_init_container() {
    let all = [
        one("POD", 0, "00:01", "00:02", None),
        one("prepare", 0, "00:03", "00:03.2", Some(("00:03.4", 0))),
        one("log", 0, "00:04.5", "00:04.6", None),
        one("web", 0, "00:05.8", "00:06", None),
        one("more", 0, "00:06.01", "00:06.2", None),
    ];
    let known = as_pairs(&[
        ("prepare", "init?"),
        ("log", "sidecar?"),
        ("web", "app"),
        ("more", "app"),
    ]);
    assert_eq!(kinds_of(&all), known);
    assert_eq!(pod(&all).state, PodState::Running);
}

#[test]
fn a_looping_app_is_no_init_container_after_its_engine_was_restarted() {
    // made anew in one go; since then one ends well again and again, and the others were restarted
    let all = [
        one("POD", 1, "10:01", "10:02", None),
        one("task", 5, "20:03", "20:03.2", Some(("20:04", 0))),
        one("web", 2, "20:30", "20:30.2", None),
        one("side", 1, "20:50", "20:50.2", None),
    ];
    let all = all.map(|facts| match facts.joins.network {
        Join::Own => facts,
        _ => facts.in_sandbox("POD-1"),
    });
    let guessed = as_pairs(&[("task", "app?"), ("web", "app?"), ("side", "app?")]);
    assert_eq!(kinds_of(&all), guessed);
    // it ended well, and is restarted: it is not done
    assert_eq!(pod(&all).state, PodState::Degraded);
    // and one whose earlier run in this sandbox is still there
    let mut short = all[..3].to_vec();
    short[1] = one("task", 1, "20:03", "20:03.2", Some(("20:04", 0)));
    let mut before = one("task", 0, "10:03", "10:03.2", Some(("10:04", 0)));
    for facts in [&mut short[1], &mut before] {
        *facts = facts.clone().in_sandbox("POD-1");
    }
    short.push(before);
    assert_eq!(
        kinds_of(&short),
        as_pairs(&[("task", "app?"), ("web", "app?")])
    );
}

#[test]
fn what_a_pod_was_applied_as_is_proof() {
    let mut sandbox = one("POD", 0, "00:01", "00:02", None);
    sandbox.annotations.insert(
        applied::ANNOTATION.into(),
        r#"{"kind":"Pod","spec":{"initContainers":[{"name":"wait"},{"name":"log","restartPolicy":"Always"}],
            "containers":[{"name":"web"}]}}"#
            .into(),
    );
    let waits = one("wait", 0, "00:03", "00:03.2", None);
    let beginning = [sandbox.clone(), waits];
    assert_eq!(kinds_of(&beginning), as_pairs(&[("wait", "init")]));
    assert_eq!(
        pod(&beginning).state,
        PodState::Pending,
        "its app has not begun"
    );
    let fails = one("wait", 3, "00:03", "00:03.2", Some(("00:04", 1)));
    assert_eq!(pod(&[sandbox.clone(), fails]).state, PodState::Degraded);
    let all = [
        sandbox,
        one("wait", 0, "00:03", "00:03.2", Some(("00:20", 0))),
        one("log", 0, "00:21", "00:21.2", None),
        one("web", 0, "00:22", "00:22.2", None),
    ];
    let known = as_pairs(&[("wait", "init"), ("log", "sidecar"), ("web", "app")]);
    assert_eq!(kinds_of(&all), known);
}

#[test]
fn who_was_added_to_look_at_a_pod_makes_it_no_worse_by_its_end() {
    let web = one("web", 0, "00:03", "00:03.2", None);
    let mut all = vec![one("POD", 0, "00:01", "00:02", None), web];
    all.push(one("debugger", 0, "05:00", "05:00.2", Some(("06:00", 130))));
    assert_eq!(kinds_of(&all)[1].1, "ephemeral?");
    assert_eq!(pod(&all).state, PodState::Running);
    // one that shares another's processes can be nothing else
    all[2].joins.pid = Join::Container("web-0".into());
    assert_eq!(kinds_of(&all)[1].1, "ephemeral");
    assert_eq!(pod(&all).state, PodState::Running);
    // an app that died beside another is something else
    let died = one("more", 0, "00:03.3", "00:03.4", Some(("06:00", 1)));
    let all = [all[0].clone(), all[1].clone(), died];
    assert_eq!(kinds_of(&all)[1].1, "app");
    assert_eq!(pod(&all).state, PodState::Degraded);
}
