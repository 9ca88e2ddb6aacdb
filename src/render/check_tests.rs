//! Tests of `check.rs`: many pods with long names on a narrow terminal.

use super::*;
use crate::netns::reach::{ProbeAnswers, cells, ports, questions, resolvers};
use crate::netns::reach_judge::judge;
use crate::pod::{ContainerFacts, Namespaces, Owner, PlainContainers, Pod, Socket, pods};

const STYLE: Style = Style {
    color: false,
    unicode: true,
    columns: 80,
};

/// A pod of the kubelet's that listens on one port.
fn pod(index: u64, name: &str) -> Pod {
    let pod = format!("default/{name}/uid-{index}");
    let facts = |kind: &str, sandbox: &str| ContainerFacts {
        id: format!("{kind}-{index}"),
        state: "running".into(),
        ..ContainerFacts::of_kubelet(kind, &pod, 0, sandbox)
    };
    let all = [facts("POD", ""), facts("app", &format!("POD-{index}"))];
    let mut pod = pods("n", &all, PlainContainers::Hide).remove(0);
    pod.ips = vec![format!("10.244.0.{}", index + 1)];
    pod.sandbox.as_mut().unwrap().namespaces = Some(Namespaces {
        net: Some(index + 1),
        ..Namespaces::default()
    });
    pod.sockets = Some(vec![Socket {
        proto: "tcp".into(),
        family: 4,
        // one of them listens on loopback alone
        address: if index == 3 { "127.0.0.1" } else { "0.0.0.0" }.into(),
        port: 8080,
        remote: None,
        state: "LISTEN".into(),
        queue: None,
        inode: Some(1),
        netns: None,
        is_engines_dns: false,
        owners: vec![Owner {
            container: Some("app".into()),
            pid: 1,
            command: "app".into(),
        }],
    }]);
    pod
}

fn checked(names: &[String]) -> Report {
    let pods: Vec<Pod> = names
        .iter()
        .zip(0..)
        .map(|(name, index)| pod(index, name))
        .collect();
    let ports = ports(&pods, |_| true);
    let asked: Vec<(usize, Option<ProbeAnswers>)> = (0..pods.len())
        .map(|index| {
            let mut said =
                vec!["dns/10.96.0.10 no-reply kubernetes.default.svc.cluster.local\n".to_owned()];
            let asked = questions(&[index], &ports);
            said.extend(asked.iter().skip(1).map(|question| {
                let refused = index == 1 && question.contains("10.244.0.1:");
                let answer = if refused { "refused" } else { "ok 0.4" };
                format!("{question} {answer}\n")
            }));
            (index, Some(ProbeAnswers::parse(&said.concat())))
        })
        .collect();
    let cells = cells(&pods, &ports, &asked);
    let dns = resolvers(&pods, &asked);
    judge(&pods, &pods, &[], ports, cells, dns)
}

#[test]
fn many_long_names_keep_the_matrix_narrow_and_equal_findings_are_said_once() {
    let names: Vec<String> = (0..23)
        .map(|n| {
            format!(
                "storefront-{}-5d8f7c9b6-x{n:04}",
                "very-long-name-".repeat(10)
            )
        })
        .collect();
    let text = report(&checked(&names), RuntimeKind::Docker, STYLE);
    for line in text.lines().take_while(|line| !line.contains("holds:")) {
        assert!(width(line) <= 80, "{line}");
    }
    // a table for each listener were 23 x 25 lines
    assert!(text.lines().count() < 160, "{text}");
    assert_eq!(
        text.matches("does not know the cluster").count(),
        2,
        "{text}"
    );
    insta::assert_snapshot!(text);
}

#[test]
fn names_that_fit_head_their_columns_and_forge_no_line() {
    let names = ["web", "db\nerror: forged\u{9b}2J"].map(str::to_owned);
    insta::assert_snapshot!(report(&checked(&names), RuntimeKind::Docker, STYLE));
}
