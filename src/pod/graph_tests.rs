//! Tests of `graph.rs`: which connections become which edges.

use super::*;
use crate::pod::{ContainerFacts, Owner, PlainContainers, pods};

fn pod(name: &str, ip: &str, containers: &[&str]) -> Pod {
    let pod = format!("default/{name}/uid-{name}");
    let facts = |kind: &str, sandbox: &str| ContainerFacts {
        id: format!("{kind}-{name}"),
        state: "running".into(),
        ..ContainerFacts::of_kubelet(kind, &pod, 0, sandbox)
    };
    let mut all = vec![facts("POD", "")];
    all.extend(
        containers
            .iter()
            .map(|kind| facts(kind, &format!("POD-{name}"))),
    );
    let mut pod = pods("n", &all, PlainContainers::Hide).remove(0);
    pod.ips = vec![ip.into()];
    pod.sockets = Some(Vec::new());
    pod
}

fn socket(pod: &mut Pod, container: &str, local: (&str, u16), remote: Option<&str>) {
    pod.sockets.as_mut().unwrap().push(Socket {
        proto: "tcp".into(),
        family: 4,
        address: local.0.into(),
        port: local.1,
        remote: remote.map(str::to_owned),
        state: if remote.is_some() {
            "ESTABLISHED"
        } else {
            "LISTEN"
        }
        .into(),
        owners: vec![Owner {
            container: (!container.is_empty()).then(|| container.to_owned()),
            pid: 1,
            command: container.into(),
        }],
        queue: None,
        netns: None,
        is_engines_dns: false,
        inode: None,
    });
}

fn end(place: usize, container: &str) -> End {
    End::Pod(place, Some(container.into()))
}

fn opened(ports: Option<&Vec<Opening>>) -> &[Opening] {
    ports.unwrap()
}

#[test]
fn a_connection_seen_at_both_ends_is_one_edge_with_both_containers() {
    let (mut web, mut ask) = (
        pod("web", "10.0.0.1", &["app"]),
        pod("ask", "10.0.0.2", &["job"]),
    );
    socket(&mut web, "app", ("0.0.0.0", 80), None);
    for port in [4001, 4002] {
        socket(
            &mut web,
            "app",
            ("10.0.0.1", 80),
            Some(&format!("10.0.0.2:{port}")),
        );
        socket(&mut ask, "job", ("10.0.0.2", port), Some("10.0.0.1:80"));
    }
    let graph = graph(&[web, ask], &[]);
    assert_eq!(graph.edges().len(), 1, "{:#?}", graph.edges());
    let edge = &graph.edges()[0];
    assert_eq!((&edge.from, &edge.to), (&end(1, "job"), &end(0, "app")));
    assert_eq!((edge.port, edge.count, edge.local), (80, 2, false));
    assert!(graph.outside.is_empty());
    assert_eq!(
        opened(graph.pods[0].containers[0].ports.as_ref())[0].port,
        80
    );
}

#[test]
fn containers_of_a_pod_that_talk_over_localhost_are_an_edge_within_it() {
    let mut web = pod("web", "10.0.0.1", &["app", "side"]);
    socket(&mut web, "app", ("127.0.0.1", 90), None);
    socket(&mut web, "app", ("127.0.0.1", 90), Some("127.0.0.1:5000"));
    socket(&mut web, "side", ("127.0.0.1", 5000), Some("127.0.0.1:90"));
    let graph = graph(&[web], &[]);
    assert_eq!(graph.edges().len(), 1, "{:#?}", graph.edges());
    let edge = &graph.edges()[0];
    assert_eq!((&edge.from, &edge.to), (&end(0, "side"), &end(0, "app")));
    assert!(edge.local && opened(graph.pods[0].containers[0].ports.as_ref())[0].loopback);
}

#[test]
fn a_service_hides_who_listens_and_the_one_who_listens_tells_who_asked() {
    let (mut web, mut ask) = (
        pod("web", "10.0.0.1", &["app"]),
        pod("ask", "10.0.0.2", &["job"]),
    );
    socket(&mut web, "app", ("0.0.0.0", 80), None);
    socket(&mut web, "app", ("10.0.0.1", 80), Some("10.0.0.2:4001"));
    socket(&mut ask, "job", ("10.0.0.2", 4001), Some("10.96.0.9:8080"));
    // a person's browser
    socket(&mut web, "app", ("10.0.0.1", 80), Some("192.168.1.7:5555"));
    let graph = graph(&[web, ask], &[]);
    assert_eq!(graph.outside, ["192.168.1.7", "10.96.0.9:8080"]);
    let ends: Vec<(&End, &End)> = graph
        .edges()
        .iter()
        .map(|one| (&one.from, &one.to))
        .collect();
    assert!(
        ends.contains(&(&End::Pod(1, None), &end(0, "app"))),
        "{ends:?}"
    );
    assert!(
        ends.contains(&(&End::Outside(0), &end(0, "app"))),
        "{ends:?}"
    );
    assert!(
        ends.contains(&(&end(1, "job"), &End::Outside(1))),
        "{ends:?}"
    );
}

#[test]
fn one_pod_is_drawn_with_those_that_it_talks_with() {
    let mut all: Vec<Pod> = (0..4)
        .map(|n| pod(&format!("p{n}"), &format!("10.0.0.{}", n + 1), &["app"]))
        .collect();
    socket(&mut all[3], "app", ("0.0.0.0", 80), None);
    socket(&mut all[1], "app", ("10.0.0.2", 4000), Some("10.0.0.4:80"));
    socket(&mut all[0], "app", ("10.0.0.1", 4000), Some("8.8.8.8:53"));
    let near = graph(&all, &[3]);
    let names: Vec<&str> = near.pods.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["p1", "p3"]);
    assert_eq!(near.edges().len(), 1);
    assert_eq!(near.edges()[0].from, end(0, "app"));
    assert_eq!(near.edges()[0].to, end(1, "app"));
    assert!(near.outside.is_empty());
    let alone = graph(&all, &[2]);
    assert_eq!((alone.pods.len(), alone.edges().len()), (1, 0));
}

#[test]
fn a_port_that_is_open_to_all_is_not_drawn_once_more_for_loopback() {
    let mut web = pod("web", "10.0.0.1", &["app"]);
    for address in ["0.0.0.0", "::", "127.0.0.1"] {
        socket(&mut web, "app", (address, 80), None);
    }
    socket(&mut web, "", ("0.0.0.0", 81), None);
    let graph = graph(&[web], &[]);
    let ports = opened(graph.pods[0].containers[0].ports.as_ref());
    assert_eq!(ports.len(), 1);
    assert!(!ports[0].loopback);
    assert_eq!(opened(graph.pods[0].ports.as_ref())[0].port, 81);
}

#[test]
fn what_nobody_could_look_at_is_unknown_and_not_none() {
    let mut web = pod("web", "10.0.0.1", &["app"]);
    web.sockets = None;
    let blind = graph(std::slice::from_ref(&web), &[]);
    assert!(blind.is_blind() && blind.edges.is_none());
    assert!(blind.pods[0].ports.is_none() && blind.pods[0].containers[0].ports.is_none());
    let seen = pod("seen", "10.0.0.2", &["app"]);
    let half = graph(&[web, seen], &[]);
    assert!(half.is_blind() && half.edges.is_some());
    assert!(half.pods[0].ports.is_none() && half.pods[1].ports.is_some());
}

#[test]
fn connections_of_two_containers_are_counted_once_though_the_other_end_sees_only_their_pod() {
    let (mut web, mut ask) = (
        pod("web", "10.0.0.1", &["app"]),
        pod("ask", "10.0.0.2", &["job", "side"]),
    );
    socket(&mut web, "app", ("0.0.0.0", 80), None);
    for (port, container) in [(4001, "job"), (4002, "job"), (4003, "side"), (4004, "")] {
        let from = format!("10.0.0.2:{port}");
        socket(&mut web, "app", ("10.0.0.1", 80), Some(&from));
        if !container.is_empty() {
            socket(&mut ask, container, ("10.0.0.2", port), Some("10.0.0.1:80"));
        }
    }
    let graph = graph(&[web, ask], &[]);
    let mut counts: Vec<(&End, usize)> = graph
        .edges()
        .iter()
        .map(|one| (&one.from, one.count))
        .collect();
    counts.sort();
    // the fourth is known to its other end alone
    let unnamed = End::Pod(1, None);
    assert_eq!(
        counts,
        [(&unnamed, 1), (&end(1, "job"), 2), (&end(1, "side"), 1)]
    );
}

#[test]
fn many_strangers_are_left_out_of_a_drawing_and_not_of_what_is_known() {
    let mut web = pod("web", "10.0.0.1", &["app"]);
    socket(&mut web, "app", ("0.0.0.0", 80), None);
    for n in 0..50 {
        let from = format!("192.168.1.{n}:5000");
        socket(&mut web, "app", ("10.0.0.1", 80), Some(&from));
    }
    let graph = graph(&[web], &[]);
    assert_eq!((graph.outside.len(), graph.edges().len()), (50, 50));
    let (drawn, left_out) = graph.drawable();
    assert_eq!(
        (drawn.outside.len(), drawn.edges().len(), left_out),
        (40, 40, 10)
    );
}
