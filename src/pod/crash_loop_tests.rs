//! Tests of `crash_loop.rs`, which would be too long with them.

use super::*;
use crate::pod::{Joins, PlainContainers, pods};

/// A container of a pod as the kubelet makes it; times are minutes and seconds of one hour.
fn one(
    id: &str,
    name: &str,
    attempt: u32,
    began: &str,
    ended: Option<(&str, i64)>,
) -> ContainerFacts {
    let at = |text: &str| Some(format!("2026-01-01T00:{text}Z"));
    let sandbox = if name == "POD" { "" } else { "s" };
    ContainerFacts {
        id: id.into(),
        state: if ended.is_some() { "exited" } else { "running" }.into(),
        exit_code: ended.map(|(_, code)| code),
        created_at: at(began),
        started_at: at(began),
        finished_at: ended.and_then(|(text, _)| at(text)),
        ..ContainerFacts::of_kubelet(name, "default/web/uid", attempt, sandbox)
    }
}

fn in_sandbox(id: &str, facts: ContainerFacts) -> ContainerFacts {
    facts.in_sandbox(id)
}

/// The findings at 00:30:00.
fn found_with(all: &[ContainerFacts], recorded: &[Run]) -> Vec<String> {
    let pods = pods("n", all, PlainContainers::Show);
    let by_id = all.iter().map(|facts| (facts.id.as_str(), facts)).collect();
    let now = "2026-01-01T00:30:00Z".parse().unwrap();
    let found = pods
        .iter()
        .flat_map(|pod| findings(pod, &by_id, recorded, now));
    found.map(|finding| finding.message).collect()
}

fn found(all: &[ContainerFacts]) -> Vec<String> {
    found_with(all, &[])
}

#[test]
fn a_young_pod_that_has_failed_three_times_is_in_a_loop() {
    let sandbox = one("s", "POD", 0, "28:00", None);
    let third = one("a", "app", 3, "29:50", Some(("29:55", 3)));
    let said = "`app` was restarted 3 times; last it ended with exit 3";
    assert_eq!(found(&[sandbox.clone(), third]), [said]);
    let second = one("a", "app", 2, "29:50", Some(("29:55", 3)));
    assert!(found(&[sandbox.clone(), second]).is_empty());
    let never = ContainerFacts {
        state: "created".into(),
        started_at: None,
        finished_at: None,
        error: Some("no such file".into()),
        ..one("a", "app", 3, "29:50", Some(("29:50", 127)))
    };
    let said = "`app` was restarted 3 times; last it could not be started (127) (no such file)";
    assert_eq!(found(&[sandbox, never]), [said]);
}

#[test]
fn restarts_of_a_whole_life_are_none_of_the_last_minutes() {
    // its sandbox is old, and it ran well until now
    let sandbox = one("s", "POD", 0, "01:00", None);
    let once = one("a", "app", 3, "02:00", Some(("29:58", 1)));
    assert!(found(&[sandbox.clone(), once]).is_empty());
    // what is over for ten minutes is past
    let past = one("a", "app", 9, "02:00", Some(("20:00", 1)));
    assert!(found(&[sandbox.clone(), past]).is_empty());
    // the kubelet holds it back: it has failed often
    let held = one("a", "app", 9, "28:00", Some(("28:01", 1)));
    assert_eq!(found(&[sandbox.clone(), held]).len(), 1);
    let runs = [
        sandbox.clone(),
        one("a", "app", 8, "24:00", Some(("24:01", 1))),
        one("b", "app", 9, "29:01", None),
    ];
    assert_eq!(found(&runs).len(), 1);
    // and what an earlier devnet saw counts too
    let recorded = |attempt: u32, began: &str, ended: &str| Run {
        uid: "uid".into(),
        container: Some("app".into()),
        id: format!("old{attempt}"),
        attempt: Some(attempt),
        sandbox_id: Some("s".into()),
        started_at: Some(format!("2026-01-01T00:{began}Z")),
        finished_at: Some(format!("2026-01-01T00:{ended}Z")),
        exit_code: Some(1),
        ..Run::default()
    };
    let now = [sandbox, one("a", "app", 5, "29:50", Some(("29:55", 1)))];
    assert!(found(&now).is_empty());
    assert!(found_with(&now, &[recorded(4, "29:40", "29:45")]).is_empty());
    assert_eq!(found_with(&now, &[recorded(3, "29:30", "29:35")]).len(), 1);
}

#[test]
fn who_ends_with_its_sandbox_or_with_the_node_is_in_no_loop() {
    // the engine was restarted three times: each time all was made anew
    let all = [
        one("r", "POD", 2, "20:00", Some(("29:00", 0))),
        one("s", "POD", 3, "29:20", None),
        in_sandbox("r", one("a", "app", 2, "20:01", Some(("29:01", 137)))),
        in_sandbox("s", one("b", "app", 3, "29:21", None)),
    ];
    assert!(found(&all).is_empty());
    // an end of its own just then is one
    let mut once = all.clone();
    once[3] = one("b", "app", 3, "29:21", Some(("29:50", 1)));
    assert!(found(&once).is_empty());
    // whatever its code says, it ended with its sandbox
    let mut with_it = all;
    with_it[2].exit_code = Some(1);
    assert!(found(&with_it).is_empty());
}

#[test]
fn who_is_killed_on_purpose_and_runs_again_is_in_no_loop() {
    for code in [137, 143] {
        let all = [
            one("s", "POD", 0, "25:00", None),
            one("a", "app", 2, "26:00", Some(("27:00", code))),
            one("b", "app", 3, "27:21", None),
        ];
        assert!(found(&all).is_empty(), "{code}");
    }
    let mut memory = one("a", "app", 2, "26:00", Some(("27:00", 137)));
    memory.oom_killed = Some(true);
    let again = one("b", "app", 3, "27:21", None);
    let all = [one("s", "POD", 0, "25:00", None), memory, again];
    assert_eq!(found(&all).len(), 1);
    // a probe's kill is no person's: the kubelet holds the container back
    let probed = one("a", "app", 5, "29:00", Some(("29:30", 137)));
    assert_eq!(found(&[one("s", "POD", 0, "25:00", None), probed]).len(), 1);
}

#[test]
fn an_engines_own_restarts_are_a_loop_while_they_follow_each_other() {
    let holder = ContainerFacts {
        id: "h".into(),
        name: "holder".into(),
        state: "running".into(),
        created_at: Some("2026-01-01T00:01:00Z".into()),
        ..ContainerFacts::default()
    };
    let app = |state: &str, began: &str, ended: &str| ContainerFacts {
        id: "a".into(),
        name: "app".into(),
        state: state.into(),
        exit_code: (state != "running").then_some(7),
        joins: Joins::of_network("h"),
        created_at: Some("2026-01-01T00:01:00Z".into()),
        started_at: Some(format!("2026-01-01T00:{began}Z")),
        finished_at: (state != "running").then(|| format!("2026-01-01T00:{ended}Z")),
        ended_before: (state == "running").then(|| format!("2026-01-01T00:{ended}Z")),
        restart_count: Some(7),
        ..ContainerFacts::default()
    };
    let of = |app: ContainerFacts| found(&[holder.clone(), app]);
    let said = "`app` was restarted 7 times; last it ended with exit 7";
    assert_eq!(of(app("restarting", "29:50.1", "29:50.2")), [said]);
    assert_eq!(of(app("exited", "29:50.1", "29:50.2")), [said]);
    let said = "`app` was restarted 7 times; last it ended, and runs again";
    assert_eq!(of(app("running", "29:53.4", "29:50.2")), [said]);
    // it fails once a day, and was restarted at once
    assert!(of(app("running", "29:50.3", "29:50.2")).is_empty());
    assert!(of(app("running", "05:03.4", "05:00")).is_empty());
}

#[test]
fn an_attempt_may_be_any_number() {
    let most = u32::MAX;
    let counts = |attempts: [u32; 3]| {
        let [first, second, third] = attempts;
        let all = [
            one("s", "POD", 0, "25:00", None),
            one("a", "app", first, "26:00", Some(("26:05", 3))),
            one("b", "app", second, "27:00", Some(("27:05", 3))),
            one("c", "app", third, "29:50", Some(("29:55", 3))),
        ];
        found(&all).len()
    };
    assert_eq!(counts([0, 1, most]), 1);
    assert_eq!(counts([most, most, most]), 1);
    assert_eq!(counts([most - 1, most, most]), 1);
    assert_eq!(counts([2, most - 2, most]), 1);
}
