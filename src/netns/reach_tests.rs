//! Tests of `reach.rs` and `reach_judge.rs`: from sockets to questions, from answers to verdicts.

use super::*;
use crate::finding::{Finding, Remedy, Severity};
use crate::netns::reach_judge::{Report, judge};
use crate::pod::{
    Container, ContainerFacts, Namespaces, Origin, Owner, PlainContainers, Shares, pods,
};

/// A pod of the kubelet's with one container, in a network of its own.
fn pod(name: &str, ip: &[&str], sockets: &[(&str, &str, u16)]) -> Pod {
    let pod = format!("default/{name}/uid-{name}");
    let facts = |kind: &str, id: String, sandbox: &str| ContainerFacts {
        id,
        state: "running".into(),
        ..ContainerFacts::of_kubelet(kind, &pod, 0, sandbox)
    };
    let all = [
        facts("POD", format!("s-{name}"), ""),
        facts("app", format!("a-{name}"), &format!("s-{name}")),
    ];
    let mut pod = pods("n", &all, PlainContainers::Hide).remove(0);
    let net = name.bytes().map(u64::from).sum();
    let namespaces = Namespaces {
        net: Some(net),
        ..Namespaces::default()
    };
    pod.ips = ip.iter().map(|ip| (*ip).to_owned()).collect();
    pod.sandbox.as_mut().unwrap().namespaces = Some(namespaces);
    let app: &mut Container = &mut pod.containers[0];
    app.namespaces = Some(namespaces);
    app.shares = Shares {
        net: Some(true),
        ..Shares::default()
    };
    let socket = |(proto, address, port): &(&str, &str, u16)| Socket {
        proto: (*proto).into(),
        family: if address.contains(':') { 6 } else { 4 },
        address: (*address).into(),
        port: *port,
        remote: None,
        state: if *proto == "tcp" { "LISTEN" } else { "UNCONN" }.into(),
        queue: None,
        netns: None,
        is_engines_dns: false,
        inode: Some(1),
        owners: vec![Owner {
            container: Some("app".into()),
            pid: 1,
            command: "app".into(),
        }],
    };
    pod.sockets = Some(sockets.iter().map(socket).collect());
    pod
}

/// Plays the part of the probes: `answers` says what each pod (by index) is told of a question.
fn check(pods: &[Pod], answer: impl Fn(usize, &str) -> &'static str) -> Report {
    let ports = ports(pods, |_| true);
    let asked: Vec<(usize, Option<ProbeAnswers>)> = (0..pods.len())
        .map(|index| {
            let said: Vec<String> = questions(&[index], &ports)
                .iter()
                .skip(1)
                .map(|question| format!("{question} {}\n", answer(index, question)))
                .collect();
            (index, Some(ProbeAnswers::parse(&said.concat())))
        })
        .collect();
    let cells = cells(pods, &ports, &asked);
    let dns = resolvers(pods, &asked);
    judge(pods, pods, &[], ports, cells, dns)
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|one| one.code).collect()
}

#[track_caller]
fn verdict(report: &Report, id: &str) -> Option<bool> {
    let found = report.promises.iter().find(|one| one.id == id);
    found.unwrap().holds
}

#[test]
fn each_kind_of_address_is_asked_for_where_others_find_it() {
    let both = ["10.0.0.1", "fd00::1"];
    let web = pod(
        "web",
        &both,
        &[
            ("tcp", "0.0.0.0", 1),
            ("tcp", "::", 2),
            ("tcp", "127.0.0.1", 3),
            ("tcp", "10.0.0.1", 4),
            ("udp", "::1", 5),
            ("udp", "0.0.0.0", 40_000),
            ("tcp", "fe80::1", 6),
        ],
    );
    let all = [web, pod("ask", &["10.0.0.2"], &[])];
    let ports = ports(&all, |_| true);
    assert_eq!(
        questions(&[0], &ports),
        [
            "dns",
            "tcp/10.0.0.1:4",
            "tcp/127.0.0.1:1",
            "tcp/127.0.0.1:2",
            "tcp/127.0.0.1:3",
            "tcp/[::1]:2",
            "tcp/[fe80::1]:6",
            "udp/[::1]:5",
        ]
    );
    assert_eq!(
        questions(&[1], &ports),
        [
            "dns",
            "tcp/10.0.0.1:1",
            "tcp/10.0.0.1:2",
            "tcp/10.0.0.1:4",
            "tcp/[fd00::1]:2",
        ]
    );
}

#[test]
fn pods_that_reach_each_other_keep_every_promise() {
    let all = [
        pod("a", &["10.0.0.1"], &[("tcp", "0.0.0.0", 80)]),
        pod("b", &["10.0.0.2"], &[("tcp", "0.0.0.0", 80)]),
    ];
    let report = check(&all, |_, _| "ok 0.2");
    assert_eq!(report.kept, Some(true), "{:?}", report.findings);
    for id in [
        "unique-ip",
        "shares-net",
        "localhost",
        "reachable",
        "same-port-two-pods",
    ] {
        assert_eq!(verdict(&report, id), Some(true), "{id}");
    }
    assert_eq!(verdict(&report, "dns"), None);
    assert_eq!(report.cells.len(), 4);
    assert_eq!(report.cells[0].ms, Some(0.2));
}

#[test]
fn what_others_do_not_reach_is_told_by_how_they_fail() {
    for word in ["refused", "timeout", "unreachable"] {
        let all = [
            pod("a", &["10.0.0.1"], &[("tcp", "0.0.0.0", 80)]),
            pod("b", &["10.0.0.2"], &[]),
        ];
        let report = check(&all, |index, _| if index == 0 { "ok 0.1" } else { word });
        assert_eq!(codes(&report), [word]);
        assert_eq!(verdict(&report, "reachable"), Some(false));
        assert_eq!(verdict(&report, "localhost"), Some(true));
        let finding = &report.findings[0];
        assert!(finding.message.contains("default/a 80/tcp"), "{finding:?}");
        assert_eq!(finding.subjects, ["default/a", "default/b"]);
        assert!(finding.evidence.iter().any(|seen| seen.ends_with("ok")));
    }
}

#[test]
fn loopback_is_asked_by_its_own_pod_alone_and_promised_to_nobody_else() {
    let all = [
        pod("a", &["10.0.0.1"], &[("tcp", "127.0.0.1", 80)]),
        pod("b", &["10.0.0.2"], &[]),
    ];
    let report = check(&all, |_, _| "ok 0.1");
    assert_eq!(report.kept, Some(true));
    assert_eq!(report.cells.len(), 1);
    assert_eq!(verdict(&report, "reachable"), None);
}

#[test]
fn silence_over_udp_is_wrong_only_where_the_own_pod_is_answered() {
    let all = [
        pod("a", &["10.0.0.1"], &[("udp", "0.0.0.0", 514)]),
        pod("b", &["10.0.0.2"], &[]),
    ];
    assert_eq!(check(&all, |_, _| "no-reply").kept, Some(true));
    let report = check(
        &all,
        |index, _| {
            if index == 0 { "ok 0.1" } else { "no-reply" }
        },
    );
    assert_eq!(codes(&report), ["no-reply"]);
    let report = check(
        &all,
        |index, _| if index == 0 { "no-reply" } else { "refused" },
    );
    assert_eq!(codes(&report), ["refused"]);
}

#[test]
fn a_frozen_program_is_not_ok_although_the_kernel_accepts() {
    let mut frozen = pod("a", &["10.0.0.1"], &[("tcp", "0.0.0.0", 80)]);
    let remedy = Remedy::Thaw {
        ids: vec!["a-a".into()],
        of_cluster: false,
    };
    frozen.findings.push(
        Finding::new("frozen", Severity::Warning, "", remedy.clone()).about(vec!["a-a".into()]),
    );
    let all = [frozen, pod("b", &["10.0.0.2"], &[])];
    for word in ["ok 0.1", "timeout"] {
        let report = check(&all, |_, _| word);
        assert_eq!(codes(&report), ["frozen"]);
        assert!(
            report
                .cells
                .iter()
                .all(|one| one.outcome == Outcome::Frozen)
        );
        assert_eq!(report.findings[0].remedy, remedy);
    }
}

#[test]
fn a_socket_for_ipv6_alone_is_not_promised_over_ipv4() {
    let all = [
        pod("a", &["10.0.0.1", "fd00::1"], &[("tcp", "::", 80)]),
        pod("b", &["10.0.0.2", "fd00::2"], &[]),
    ];
    let six = |question: &str| question.contains('[');
    let report = check(
        &all,
        |_, question| {
            if six(question) { "ok 0.1" } else { "refused" }
        },
    );
    assert_eq!(report.kept, Some(true), "{:?}", report.findings);
    assert!(report.cells.iter().all(|cell| cell.address.is_ipv6()));
    // over IPv4 it is open to its own pod, so it is promised to others
    let report = check(&all, |index, question| {
        if six(question) || index == 0 {
            "ok 0.1"
        } else {
            "refused"
        }
    });
    assert_eq!(codes(&report), ["refused"]);
    // a network without IPv6 has no such address: nothing is claimed
    let report = check(&all, |_, question| {
        if six(question) {
            "no-address"
        } else {
            "ok 0.1"
        }
    });
    assert_eq!(report.kept, Some(true));
    assert_eq!(report.cells.len(), 2);
}

#[test]
fn who_could_not_be_asked_is_unknown_and_blames_nobody() {
    let all = [
        pod("a", &["10.0.0.1"], &[("tcp", "0.0.0.0", 80)]),
        pod("b", &["10.0.0.2"], &[]),
    ];
    let ports = ports(&all, |_| true);
    let asked = [(0, Some(ProbeAnswers::default())), (1, None)];
    let cells = cells(&all, &ports, &asked);
    assert!(cells.iter().all(|cell| cell.outcome == Outcome::Unknown));
    let report = judge(&all, &all, &[], ports, cells, Vec::new());
    assert!(report.findings.is_empty());
    // but it is not said that all is well
    assert_eq!(report.kept, None);
    assert_eq!(
        report.unseen,
        [
            "1 way from default/a was not tried",
            "1 way from default/b was not tried",
        ]
    );
    assert_eq!(verdict(&report, "reachable"), None);
}

#[test]
fn a_pod_whose_listeners_nobody_saw_keeps_no_promise() {
    let mut all = [pod("a", &["10.0.0.1"], &[]), pod("b", &["10.0.0.2"], &[])];
    assert_eq!(check(&all, |_, _| "ok 0.1").kept, Some(true));
    all[1].sockets = None;
    let report = check(&all, |_, _| "ok 0.1");
    assert_eq!(report.kept, None);
    assert_eq!(report.unseen, ["what listens in default/b is not known"]);
}

#[test]
fn the_answers_of_one_pods_resolver_are_not_anothers() {
    let both = ProbeAnswers::parse("dns/10.96.0.10 ok 1 x NOERROR\ntcp/10.0.0.1:80 ok 1\n");
    let others = both.without_resolvers();
    assert_eq!(
        (both.resolvers().count(), others.resolvers().count()),
        (1, 0)
    );
    let to = SocketAddr::from(([10, 0, 0, 1], 80));
    assert_eq!(both.to("tcp", to), others.to("tcp", to));
}

#[test]
fn plain_containers_and_other_nodes_of_a_lab_are_promised_nothing() {
    let mut all = [
        pod("a", &["10.0.0.1"], &[("tcp", "0.0.0.0", 80)]),
        pod("b", &["10.0.0.2"], &[]),
    ];
    let refused = |index: usize, _: &str| if index == 0 { "ok 0.1" } else { "timeout" };
    all[1].node = "other".into();
    assert_eq!(check(&all, refused).kept, Some(false));
    for one in &mut all {
        one.origin = Origin::Lab;
    }
    assert_eq!(check(&all, refused).kept, Some(true));
    all[1].node = "n".into();
    assert_eq!(check(&all, refused).kept, Some(false));
    all[1].origin = Origin::Docker;
    assert_eq!(check(&all, refused).kept, Some(true));
}

#[test]
fn two_pods_in_one_network_namespace_share_their_ports() {
    let mut all = [
        pod("a", &["10.0.0.1"], &[("tcp", "0.0.0.0", 80)]),
        pod("b", &["10.0.0.2"], &[("tcp", "0.0.0.0", 80)]),
    ];
    let one = all[0].sandbox.as_ref().unwrap().namespaces;
    all[1].sandbox.as_mut().unwrap().namespaces = one;
    let report = check(&all, |_, _| "ok 0.1");
    assert_eq!(verdict(&report, "same-port-two-pods"), Some(false));
}

#[test]
fn a_pod_without_an_address_breaks_a_promise() {
    let report = check(&[pod("a", &[], &[("tcp", "0.0.0.0", 80)])], |_, _| "ok 0.1");
    assert_eq!(codes(&report), ["no-ip"]);
    assert_eq!(verdict(&report, "unique-ip"), Some(false));
}

#[test]
fn a_resolver_must_know_the_clusters_own_name_where_it_is_a_clusters() {
    let all = [pod("a", &["10.0.0.1"], &[])];
    let said = |lines: &str| {
        let asked = [(0, Some(ProbeAnswers::parse(lines)))];
        let dns = resolvers(&all, &asked);
        judge(&all, &all, &[], Vec::new(), Vec::new(), dns)
    };
    let name = "kubernetes.default.svc.cluster.local";
    let good = said(&format!("dns/10.96.0.10 ok 1.5 {name} NOERROR\n"));
    assert_eq!(good.kept, Some(true));
    assert_eq!(verdict(&good, "dns"), Some(true));
    assert_eq!(good.dns[0].ms, Some(1.5));
    for bad in [
        format!("dns/10.96.0.10 ok 1.5 {name} NXDOMAIN\n"),
        format!("dns/10.96.0.10 no-reply {name}\n"),
        format!("dns/10.96.0.10 refused {name}\ndns/10.96.0.11 ok 1 {name} SERVFAIL\n"),
    ] {
        let report = said(&bad);
        assert_eq!(codes(&report), ["dns"], "{bad}");
        assert_eq!(verdict(&report, "dns"), Some(false));
    }
    // one of two is enough
    let one = format!("dns/1.1.1.1 no-reply {name}\ndns/2.2.2.2 ok 1 {name} NOERROR\n");
    assert_eq!(said(&one).kept, Some(true));
    assert_eq!(said("dns/127.0.0.11 no-reply localhost\n").kept, Some(true));
    assert_eq!(said("dns/none failed\n").kept, Some(true));
}

#[test]
fn pods_on_their_nodes_network_ask_once() {
    let mut all = [pod("a", &["10.0.0.1"], &[]), pod("b", &["10.0.0.1"], &[])];
    assert_ne!(network(&all[0]), network(&all[1]));
    let one = all[0].sandbox.as_ref().unwrap().namespaces;
    all[1].sandbox.as_mut().unwrap().namespaces = one;
    assert_eq!(network(&all[0]), network(&all[1]));
    // a number that nobody knows is not a number in common
    for pod in &mut all {
        pod.sandbox.as_mut().unwrap().namespaces = None;
    }
    assert_ne!(network(&all[0]), network(&all[1]));
}
