//! Tests of what becomes of one life when several sources tell of it.

use super::*;

fn life(id: &str, started: Option<&str>) -> Life {
    Life {
        id: id.into(),
        uid: "u".into(),
        container: Some("app".into()),
        started_at: started.map(str::to_owned),
        ..Life::default()
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
fn a_start_of_the_same_container_is_another_life() {
    let mut lives = Lives::default();
    assert!(lives.learn(&life("a", None)));
    assert!(
        lives.learn(&life("a", Some("2026-01-01T00:00:00Z"))),
        "the first one began"
    );
    assert!(
        !lives.learn(&life("a", Some("2026-01-01T00:00:00Z"))),
        "no news"
    );
    assert!(lives.learn(&life("a", Some("2026-01-01T00:00:09Z"))));
    assert_eq!(lives.all().len(), 2);
}

#[test]
fn what_is_known_is_not_forgotten_for_a_look_that_saw_less() {
    let mut lives = Lives::default();
    let full = Life {
        ips: vec!["10.0.0.2".into(), "fd00::2".into()],
        netns: Some(7),
        state: Some("exited".into()),
        finished_at: Some("2026-01-01T00:00:05Z".into()),
        exit_code: Some(3),
        ..life("a", Some("2026-01-01T00:00:00Z"))
    };
    lives.learn(&full);
    let less = Life {
        ips: vec!["10.0.0.2".into()],
        state: Some("running".into()),
        ..life("a", Some("2026-01-01T00:00:00Z"))
    };
    assert!(!lives.learn(&less));
    assert_eq!(lives.all()[0], full);
}

#[test]
fn a_container_that_is_gone_lives_on_in_the_engines_events() {
    let mut lives = Lives::default();
    lives.hear("node", &heard("2026-01-01T00:00:00Z", Change::Created));
    lives.hear("node", &heard("2026-01-01T00:00:01Z", Change::Started));
    lives.hear("node", &heard("2026-01-01T00:00:05Z", Change::OutOfMemory));
    lives.hear("node", &heard("2026-01-01T00:00:05Z", ended(Some(137))));
    lives.hear("node", &heard("2026-01-01T00:00:09Z", Change::Removed));
    let [life] = lives.all() else {
        panic!("{lives:?}")
    };
    assert_eq!(
        (life.pod.as_str(), life.attempt, life.exit_code),
        ("web", Some(3), Some(137))
    );
    assert_eq!(life.oom_killed, Some(true));
    assert_eq!(life.sandbox_id.as_deref(), Some("s"));
    assert_eq!(life.removed_at.as_deref(), Some("2026-01-01T00:00:09Z"));
}

#[test]
fn an_event_of_a_start_that_is_known_adds_no_life_and_an_earlier_one_does() {
    let mut lives = Lives::default();
    lives.learn(&life("c", Some("2026-01-01T00:01:00.5Z")));
    lives.hear("node", &heard("2026-01-01T00:00:10Z", Change::Started));
    lives.hear("node", &heard("2026-01-01T00:00:50Z", ended(Some(1))));
    lives.hear("node", &heard("2026-01-01T00:01:00.6Z", Change::Started));
    assert_eq!(lives.all().len(), 2, "{lives:?}");
    assert_eq!(
        lives.all()[1].exit_code,
        Some(1),
        "the end belongs to the earlier start"
    );
    assert_eq!(lives.all()[0].exit_code, None);
}

#[test]
fn a_start_soon_after_the_end_of_a_run_is_another_and_one_that_ended_at_once_is_not() {
    let mut lives = Lives::default();
    lives.learn(&Life {
        finished_at: Some("2026-01-01T00:00:02Z".into()),
        ..life("c", Some("2026-01-01T00:00:00Z"))
    });
    lives.hear("node", &heard("2026-01-01T00:00:00.1Z", Change::Started));
    lives.hear("node", &heard("2026-01-01T00:00:02.1Z", Change::Started));
    assert_eq!(lives.all().len(), 1, "{lives:?}");
    lives.hear("node", &heard("2026-01-01T00:00:03Z", Change::Started));
    assert_eq!(lives.all().len(), 2, "{lives:?}");
}

#[test]
fn a_machines_own_name_replaces_host_and_is_kept() {
    let on = |node: &str| Life {
        node: node.into(),
        ..life("a", None)
    };
    let mut lives = Lives::default();
    lives.learn(&on("host"));
    assert!(lives.learn(&on("machine")));
    assert!(!lives.learn(&on("host")));
    assert_eq!(lives.all()[0].node, "machine");
}

#[test]
fn what_is_forgotten_leaves_the_others_as_they_are() {
    let mut lives = Lives::default();
    lives.learn(&Life {
        uid: "old".into(),
        ..life("a", Some("2026-01-01T00:00:00Z"))
    });
    lives.learn(&life("b", Some("2026-01-01T00:00:00Z")));
    lives.forget(&["old".to_owned()].into());
    lives.hear("node", &heard("2026-01-01T00:00:05Z", ended(None)));
    assert!(!lives.learn(&life("b", Some("2026-01-01T00:00:00Z"))));
    assert!(lives.all().iter().all(|life| life.uid == "u"));
}
