//! Tests of `traffic.rs`.

use super::*;
use crate::pod::{ContainerFacts, Owner, PlainContainers, pods};

fn pod(name: &str, ip: &str, sockets: Vec<Socket>) -> Pod {
    let pod = format!("default/{name}/{name}");
    let facts = |container: &str, id: &str, sandbox: &str| ContainerFacts {
        id: id.into(),
        state: "running".into(),
        ..ContainerFacts::of_kubelet(container, &pod, 0, sandbox)
    };
    let all = [facts("POD", "s", ""), facts("app", "a", "s")];
    let mut pod = pods("n", &all, PlainContainers::Hide).remove(0);
    pod.ips = vec![ip.into()];
    pod.sockets = Some(sockets);
    pod
}

fn socket(own: &str, remote: Option<&str>, holder: Option<&str>) -> Socket {
    let at: SocketAddr = own.parse().unwrap();
    Socket {
        proto: "tcp".into(),
        family: if at.is_ipv4() { 4 } else { 6 },
        address: at.ip().to_string(),
        port: at.port(),
        remote: remote.map(str::to_owned),
        state: if remote.is_some() {
            "ESTABLISHED"
        } else {
            "LISTEN"
        }
        .into(),
        queue: None,
        netns: None,
        is_engines_dns: false,
        inode: Some(1),
        owners: holder
            .map(|name| Owner {
                container: Some(name.into()),
                pid: 1,
                command: name.into(),
            })
            .into_iter()
            .collect(),
    }
}

#[test]
fn a_connection_within_a_pod_is_told_once_from_the_side_that_called() {
    let web = pod(
        "web",
        "10.0.0.1",
        vec![
            socket("[::]:80", None, Some("nginx")),
            // the server's end is of both families, the client's is not
            socket(
                "[::ffff:127.0.0.1]:80",
                Some("[::ffff:127.0.0.1]:5000"),
                Some("nginx"),
            ),
            socket("127.0.0.1:5000", Some("127.0.0.1:80"), Some("metrics")),
            socket("127.0.0.1:80", Some("127.0.0.1:5001"), None),
            socket("127.0.0.1:5001", Some("127.0.0.1:80"), Some("metrics")),
        ],
    );
    let (inner, outer) = traffic(&web, std::slice::from_ref(&web));
    let one = |to: Option<&str>| Inner {
        from: Some("metrics".into()),
        to: to.map(str::to_owned),
        port: 80,
        count: 1,
    };
    assert_eq!(inner, [one(None), one(Some("nginx"))]);
    assert_eq!(outer, []);
}

#[test]
fn peers_are_named_and_those_who_called_are_told_from_those_who_were_called() {
    let api = pod("api", "10.0.0.2", vec![]);
    let web = pod(
        "web",
        "10.0.0.1",
        vec![
            socket("0.0.0.0:80", None, Some("nginx")),
            socket("10.0.0.1:80", Some("10.0.0.2:4000"), Some("nginx")),
            socket("10.0.0.1:80", Some("10.0.0.2:4001"), Some("nginx")),
            socket("10.0.0.1:6000", Some("10.96.0.10:53"), Some("nginx")),
        ],
    );
    let all = [api.clone(), web.clone()];
    let (inner, outer) = traffic(&web, &all);
    assert_eq!(inner, []);
    let told: Vec<_> = outer
        .iter()
        .map(|peer| {
            (
                peer.incoming,
                peer.pod.as_deref(),
                peer.address.to_string(),
                peer.port,
                peer.count,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (false, None, "10.96.0.10".into(), 53, 1),
            (true, Some("default/api"), "10.0.0.2".into(), 80, 2),
        ]
    );
    // an address that two pods have names neither
    let mut twin = pod("twin", "10.0.0.2", vec![]);
    twin.uid = "twin".into();
    let (_, outer) = traffic(&web, &[api, twin, web.clone()]);
    assert_eq!(outer[1].pod, None);
}
