//! Tests of a pod's history: every way in which a part of a pod ends and comes back.

use super::*;

const UID: &str = "uid-web";

fn at(second: u32) -> String {
    format!(
        "2026-11-24T09:{:02}:{:02}.000000001Z",
        second / 60,
        second % 60
    )
}

fn sandbox(id: &str, attempt: u32, started: u32, ip: &str) -> Run {
    Run {
        node: "node".into(),
        namespace: "default".into(),
        pod: "web".into(),
        uid: UID.into(),
        id: id.into(),
        attempt: Some(attempt),
        state: Some("running".into()),
        created_at: Some(at(started)),
        started_at: Some(at(started)),
        ips: vec![ip.into()],
        netns: Some(4_026_532_000 + u64::from(started)),
        ..Run::default()
    }
}

fn app(id: &str, attempt: u32, started: u32, of: &str) -> Run {
    Run {
        container: Some("app".into()),
        sandbox_id: Some(of.into()),
        ips: Vec::new(),
        netns: None,
        ..sandbox(id, attempt, started, "")
    }
}

fn ended(run: Run, second: u32, code: i64) -> Run {
    Run {
        state: Some("exited".into()),
        finished_at: Some(at(second)),
        exit_code: Some(code),
        ..run
    }
}

fn told(runs: &[Run], gone: &[&str]) -> Vec<Event> {
    let present = runs
        .iter()
        .map(|run| run.id.clone())
        .filter(|id| !gone.contains(&id.as_str()))
        .collect();
    history(UID, runs, &present, None)
}

/// The verdict on the newest start.
fn verdict(runs: &[Run], gone: &[&str]) -> Restart {
    let events = told(runs, gone);
    events
        .into_iter()
        .filter_map(|event| event.restart)
        .next_back()
        .unwrap()
}

#[test]
fn a_killed_app_container_keeps_the_ip_of_its_sandbox() {
    let runs = [
        sandbox("s0", 0, 0, "10.0.0.2"),
        ended(app("a0", 0, 1, "s0"), 9, 137),
        app("a1", 1, 10, "s0"),
    ];
    let restart = verdict(&runs, &[]);
    assert_eq!(restart.verdict, "IP kept 10.0.0.2: same sandbox");
    assert_eq!((restart.same_sandbox, restart.ip_kept), (true, Some(true)));
    assert_eq!(restart.netns_before, restart.netns);
    let names: Vec<EventKind> = told(&runs, &[]).iter().map(|event| event.kind).collect();
    assert_eq!(
        names,
        [
            EventKind::SandboxStarted,
            EventKind::ContainerStarted,
            EventKind::ContainerEnded,
            EventKind::ContainerStarted
        ]
    );
}

#[test]
fn the_reason_for_a_new_sandbox_is_how_the_old_one_ended() {
    let with = |old: Run| [old, sandbox("s1", 1, 20, "10.0.0.3")];
    let because = |code| verdict(&with(ended(sandbox("s0", 0, 0, "10.0.0.2"), 9, code)), &[]);
    assert_eq!(
        because(137).verdict,
        "IP changed 10.0.0.2 -> 10.0.0.3: sandbox replaced, because it was killed (exit 137)"
    );
    assert_eq!(because(0).because.unwrap(), "it was stopped (exit 0)");
    assert_eq!(because(2).because.unwrap(), "it died (exit code 2)");
    assert!(
        because(255)
            .because
            .unwrap()
            .starts_with("the node went down")
    );
    let oom = Run {
        oom_killed: Some(true),
        ..ended(sandbox("s0", 0, 0, "10.0.0.2"), 9, 137)
    };
    assert_eq!(
        verdict(&with(oom), &[]).because.unwrap(),
        "it was killed for want of memory"
    );
    assert_eq!(
        verdict(&with(sandbox("s0", 0, 0, "10.0.0.2")), &[])
            .because
            .unwrap(),
        "another was made while it ran"
    );
}

#[test]
fn a_removed_sandbox_is_told_from_one_that_died_and_was_cleaned_up() {
    let removed = |old: Run, second| Run {
        removed_at: Some(at(second)),
        ..old
    };
    let old = || ended(sandbox("s0", 0, 0, "10.0.0.2"), 9, 137);
    let new = sandbox("s1", 0, 20, "10.0.0.3");
    let because = |old| verdict(&[old, new.clone()], &["s0"]).because.unwrap();
    assert_eq!(because(removed(old(), 9)), "it was removed (exit 137)");
    assert_eq!(because(removed(old(), 90)), "it was killed (exit 137)");
    assert_eq!(because(old()), "it was killed (exit 137)");
    // nobody saw its end: the kubelet counts from 0 again where there is nothing to count on from
    assert_eq!(because(sandbox("s0", 0, 0, "10.0.0.2")), "it was removed");
    let next = [
        sandbox("s0", 0, 0, "10.0.0.2"),
        sandbox("s1", 1, 20, "10.0.0.3"),
    ];
    assert_eq!(
        verdict(&next, &["s0"]).because.unwrap(),
        "it ended unseen and is gone"
    );
}

#[test]
fn a_sandbox_of_which_only_a_container_tells_has_an_unknown_address() {
    let runs = [
        ended(app("a0", 0, 1, "s0"), 9, 137),
        sandbox("s1", 0, 20, "10.0.0.3"),
        app("a1", 1, 21, "s1"),
    ];
    let restart = verdict(&runs, &["s0"]);
    assert_eq!((restart.ip_kept, restart.ip_before), (None, None));
    assert_eq!(restart.ip.as_deref(), Some("10.0.0.3"));
    assert!(
        restart.verdict.starts_with("IP ? -> 10.0.0.3"),
        "{}",
        restart.verdict
    );
}

#[test]
fn a_pause_container_that_was_restarted_alone_is_no_new_sandbox() {
    let runs = [
        ended(sandbox("s0", 0, 0, "10.0.0.2"), 9, 0),
        app("a0", 0, 1, "s0"),
        sandbox("s0", 0, 10, "10.0.0.2"),
    ];
    let restart = verdict(&runs, &[]);
    assert!(restart.same_sandbox && restart.because.is_none());
    assert!(
        restart.verdict.contains("restarted in place"),
        "{}",
        restart.verdict
    );
    assert_ne!(restart.netns_before, restart.netns);
}

#[test]
fn when_all_sandboxes_of_a_node_ended_together_the_node_was_restarted() {
    let other = |n: u32, second| Run {
        uid: format!("other-{n}"),
        ..ended(sandbox(&format!("o{n}"), 0, n, "10.0.0.9"), second, 0)
    };
    let own = || {
        [
            ended(sandbox("s0", 0, 0, "10.0.0.2"), 30, 0),
            sandbox("s1", 1, 60, "10.0.0.3"),
        ]
    };
    let mut runs = vec![other(1, 31), other(2, 29)];
    runs.extend(own());
    assert_eq!(
        verdict(&runs, &[]).because.unwrap(),
        "the node or its engine was restarted (all 3 sandboxes on it ended at that time)"
    );
    runs.push(Run {
        uid: "alive".into(),
        ..sandbox("o3", 0, 3, "10.0.0.8")
    });
    assert_eq!(
        verdict(&runs, &[]).because.unwrap(),
        "it was stopped (exit 0)"
    );
}

#[test]
fn a_pod_in_the_nodes_network_keeps_the_nodes_address() {
    let host = |run: Run| Run {
        host_network: true,
        ips: Vec::new(),
        ..run
    };
    let runs = [
        host(ended(sandbox("s0", 0, 0, ""), 9, 137)),
        host(sandbox("s1", 1, 20, "")),
    ];
    let restart = verdict(&runs, &[]);
    assert_eq!(restart.ip_kept, Some(true));
    assert!(
        restart
            .verdict
            .starts_with("IP kept: the node's own: sandbox replaced")
    );
}

#[test]
fn an_end_is_never_told_before_its_start() {
    let mut run = ended(app("a0", 0, 5, "s0"), 4, 0);
    run.started_at = Some(at(5));
    let runs = [sandbox("s0", 0, 0, "10.0.0.2"), run];
    let events = told(&runs, &[]);
    let times: Vec<_> = events
        .iter()
        .map(|event| event.time.parse::<Timestamp>().unwrap())
        .collect();
    assert!(times.is_sorted(), "{events:?}");
}

#[test]
fn a_sandbox_that_came_back_without_an_address_lost_it() {
    let back = Run {
        ips: Vec::new(),
        has_no_address: true,
        ..sandbox("s0", 0, 20, "")
    };
    let runs = [
        ended(sandbox("s0", 0, 0, "10.0.0.2"), 19, 137),
        back.clone(),
    ];
    let lost = verdict(&runs, &[]);
    assert_eq!((lost.same_sandbox, lost.ip_kept), (true, Some(false)));
    assert_eq!(lost.ip, None);
    assert!(
        lost.verdict
            .starts_with("IP 10.0.0.2 lost, there is none now: ")
    );
    // a new sandbox gets its address a moment later
    let young = Run {
        id: "s1".into(),
        ..back
    };
    let runs = [ended(sandbox("s0", 0, 0, "10.0.0.2"), 19, 137), young];
    assert_eq!(verdict(&runs, &[]).ip_kept, None);
}

#[test]
fn whether_the_node_or_its_engine_was_restarted_is_told_by_the_nodes_own_start() {
    let runs: Vec<Run> = (0..4)
        .map(|number| Run {
            uid: format!("uid-{number}"),
            ..ended(sandbox(&format!("o{number}"), 0, 0, "10.0.0.9"), 9, 0)
        })
        .chain([
            ended(sandbox("s0", 0, 0, "10.0.0.2"), 9, 0),
            sandbox("s1", 1, 20, "10.0.0.3"),
        ])
        .collect();
    let because = |runs: &[Run], up_since: Option<u32>| {
        let present = runs.iter().map(|run| run.id.clone()).collect();
        let up_since = up_since.map(|second| at(second).parse().unwrap());
        let events = history(UID, runs, &present, up_since);
        let last = events
            .into_iter()
            .filter_map(|event| event.restart)
            .next_back();
        last.unwrap().because.unwrap()
    };
    let all = "(all 5 sandboxes on it ended at that time)";
    assert_eq!(
        because(&runs, None),
        format!("the node or its engine was restarted {all}")
    );
    assert_eq!(because(&runs, Some(15)), "the node was restarted");
    let engine: Vec<Run> = runs
        .iter()
        .map(|run| match run.id.as_str() {
            "s1" => run.clone(),
            _ => Run {
                started_at: Some(at(5)),
                ..run.clone()
            },
        })
        .collect();
    assert_eq!(
        because(&engine, Some(2)),
        format!("the node's engine was restarted {all}")
    );
    // one that was started again by hand before has a run of which nobody saw the end
    let mut with_ghost = runs.clone();
    with_ghost.extend([
        Run {
            uid: "uid-ghost".into(),
            ..sandbox("g", 0, 0, "10.0.0.8")
        },
        Run {
            uid: "uid-ghost".into(),
            ..ended(sandbox("g", 0, 4, "10.0.0.8"), 9, 0)
        },
    ]);
    let said = because(&with_ghost, None);
    assert!(
        said.starts_with("the node or its engine was restarted"),
        "{said}"
    );
    // the node was up all the while: this one was stopped alone
    let alone = [
        ended(sandbox("s0", 0, 5, "10.0.0.2"), 9, 0),
        sandbox("s1", 1, 20, "10.0.0.3"),
    ];
    assert_eq!(because(&alone, Some(2)), "it was stopped (exit 0)");
}

#[test]
fn a_run_that_was_over_at_once_began_before_it_ended() {
    let mut short = ended(app("a0", 0, 5, "s0"), 5, 0);
    short.finished_at = Some(at(4));
    let runs = [sandbox("s0", 0, 0, "10.0.0.2"), short];
    let names: Vec<EventKind> = told(&runs, &[]).iter().map(|event| event.kind).collect();
    let order = [
        EventKind::SandboxStarted,
        EventKind::ContainerStarted,
        EventKind::ContainerEnded,
    ];
    assert_eq!(names, order);
}
