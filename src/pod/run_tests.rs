//! Tests of what becomes of one run when several sources tell of it.

use super::*;

fn run(id: &str, started: Option<&str>) -> Run {
    Run {
        id: id.into(),
        uid: "u".into(),
        container: Some("app".into()),
        started_at: started.map(str::to_owned),
        ..Run::default()
    }
}

fn heard(time: &str, change: Change) -> ContainerEvent {
    let of_pod = ContainerFacts::of_kubelet("app", "default/web/u", 3, "s");
    ContainerEvent {
        time: time.into(),
        nanoseconds: 0,
        change,
        id: "c".into(),
        member: of_pod.member().cloned(),
    }
}

fn ended(exit_code: Option<i64>) -> Change {
    Change::Ended { exit_code }
}

#[test]
fn a_start_of_the_same_container_is_another_run() {
    let mut runs = Runs::default();
    assert!(runs.learn(&run("a", None)));
    assert!(
        runs.learn(&run("a", Some("2026-01-01T00:00:00Z"))),
        "the first one began"
    );
    assert!(
        !runs.learn(&run("a", Some("2026-01-01T00:00:00Z"))),
        "no news"
    );
    assert!(runs.learn(&run("a", Some("2026-01-01T00:00:09Z"))));
    assert_eq!(runs.all().len(), 2);
}

#[test]
fn what_is_known_is_not_forgotten_for_a_look_that_saw_less() {
    let mut runs = Runs::default();
    let full = Run {
        ips: vec!["10.0.0.2".into(), "fd00::2".into()],
        netns: Some(7),
        state: Some("exited".into()),
        finished_at: Some("2026-01-01T00:00:05Z".into()),
        exit_code: Some(3),
        ..run("a", Some("2026-01-01T00:00:00Z"))
    };
    runs.learn(&full);
    let less = Run {
        ips: vec!["10.0.0.2".into()],
        state: Some("running".into()),
        ..run("a", Some("2026-01-01T00:00:00Z"))
    };
    assert!(!runs.learn(&less));
    assert_eq!(runs.all()[0], full);
}

#[test]
fn a_container_that_is_gone_lives_on_in_the_engines_events() {
    let mut runs = Runs::default();
    runs.hear("node", &heard("2026-01-01T00:00:00Z", Change::Created));
    runs.hear("node", &heard("2026-01-01T00:00:01Z", Change::Started));
    runs.hear("node", &heard("2026-01-01T00:00:05Z", Change::OutOfMemory));
    runs.hear("node", &heard("2026-01-01T00:00:05Z", ended(Some(137))));
    runs.hear("node", &heard("2026-01-01T00:00:09Z", Change::Removed));
    let [run] = runs.all() else {
        panic!("{runs:?}")
    };
    assert_eq!(
        (run.pod.as_str(), run.attempt, run.exit_code),
        ("web", Some(3), Some(137))
    );
    assert_eq!(run.oom_killed, Some(true));
    assert_eq!(run.sandbox_id.as_deref(), Some("s"));
    assert_eq!(run.removed_at.as_deref(), Some("2026-01-01T00:00:09Z"));
}

#[test]
fn an_event_of_a_start_that_is_known_adds_no_run_and_an_earlier_one_does() {
    let mut runs = Runs::default();
    runs.learn(&run("c", Some("2026-01-01T00:01:00.5Z")));
    runs.hear("node", &heard("2026-01-01T00:00:10Z", Change::Started));
    runs.hear("node", &heard("2026-01-01T00:00:50Z", ended(Some(1))));
    runs.hear("node", &heard("2026-01-01T00:01:00.6Z", Change::Started));
    assert_eq!(runs.all().len(), 2, "{runs:?}");
    assert_eq!(
        runs.all()[1].exit_code,
        Some(1),
        "the end belongs to the earlier start"
    );
    assert_eq!(runs.all()[0].exit_code, None);
}

#[test]
fn a_start_soon_after_the_end_of_a_run_is_another_and_one_that_ended_at_once_is_not() {
    let mut runs = Runs::default();
    runs.learn(&Run {
        finished_at: Some("2026-01-01T00:00:02Z".into()),
        ..run("c", Some("2026-01-01T00:00:00Z"))
    });
    runs.hear("node", &heard("2026-01-01T00:00:00.1Z", Change::Started));
    runs.hear("node", &heard("2026-01-01T00:00:02.1Z", Change::Started));
    assert_eq!(runs.all().len(), 1, "{runs:?}");
    runs.hear("node", &heard("2026-01-01T00:00:03Z", Change::Started));
    assert_eq!(runs.all().len(), 2, "{runs:?}");
}

#[test]
fn a_machines_own_name_replaces_host_and_is_kept() {
    let on = |node: &str| Run {
        node: node.into(),
        ..run("a", None)
    };
    let mut runs = Runs::default();
    runs.learn(&on("host"));
    assert!(runs.learn(&on("machine")));
    assert!(!runs.learn(&on("host")));
    assert_eq!(runs.all()[0].node, "machine");
}

#[test]
fn what_is_forgotten_leaves_the_others_as_they_are() {
    let mut runs = Runs::default();
    runs.learn(&Run {
        uid: "old".into(),
        ..run("a", Some("2026-01-01T00:00:00Z"))
    });
    runs.learn(&run("b", Some("2026-01-01T00:00:00Z")));
    runs.forget(&["old".to_owned()].into());
    runs.hear("node", &heard("2026-01-01T00:00:05Z", ended(None)));
    assert!(!runs.learn(&run("b", Some("2026-01-01T00:00:00Z"))));
    assert!(runs.all().iter().all(|run| run.uid == "u"));
}
