//! Pods of containerd nodes that no Docker node has, or has in another way.

use serde_json::{Value, json};

use crate::support::containerd_node::{ContainerdNode, containerd_node};
use crate::support::cri::messages::PortMapping;
use crate::support::made::found;
use crate::support::node_kubelet::{Pod, Wanted};
use crate::support::{Sandbox, testbed, until};

fn document(node: &ContainerdNode, sandbox: &Sandbox, words: &[&str]) -> Value {
    let all = [&["-p", &node.name], words, &["-o", "json"]].concat();
    serde_json::from_str(&sandbox.devnet(&all).ok()).unwrap()
}

#[test]
fn ports_of_the_node_that_lead_to_a_pod_are_shown() {
    let Some(node) = containerd_node() else {
        return;
    };
    let mut web = Wanted::pod("mapped").script("web", "exec httpd -f -p 80");
    for (protocol, port) in [(0, 18_180), (1, 18_181)] {
        web.ports.push(PortMapping {
            protocol,
            container_port: 80,
            host_port: port,
            ..PortMapping::default()
        });
    }
    let _web = Pod::up(node, web);
    let sandbox = node.sandbox();
    let found = document(node, &sandbox, &["pods", "mapped", "--no-probe"]);
    let told = found["pods"][0]["host_ports"].as_array().unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|one| {
            (
                one["proto"].clone(),
                one["host_port"].clone(),
                one["port"].clone(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (json!("tcp"), json!(18_180), json!(80)),
            (json!("udp"), json!(18_181), json!(80))
        ]
    );
    let text = sandbox.devnet(&["-p", "ctr", "ports", "mapped"]).ok();
    assert!(text.contains("18180"), "{text}");
}

#[test]
fn who_restarted_is_told_containerd_its_kubelet_or_the_whole_node() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "restarts");
    let pod = Pod::up(&node, Wanted::pod("web").sleeper("web"));
    let sandbox = node.sandbox();
    let events = || -> Vec<Value> {
        let found = document(&node, &sandbox, &["history", "web"]);
        found["pods"][0]["events"].as_array().unwrap().clone()
    };
    let before = events();
    // pods outlive both
    node.containerd("restart");
    pod.heal(false);
    pod.heal(true);
    assert_eq!(events(), before);
    let (ip, id) = (pod.ip(), pod.sandbox().id);
    node.containerd("kill");
    node.containerd("start");
    assert_eq!((pod.ip(), pod.sandbox().id), (ip, id));
    assert_eq!(events(), before);

    let restart = |events: &[Value]| {
        let started = events.iter().rev();
        let mut started = started.filter(|event| event["event"] == "sandbox-started");
        started.next().unwrap()["restart"].clone()
    };
    // the second time soon after the sandbox began
    for number in 1..=2 {
        node.restart();
        pod.until_sandbox(number);
        let told = restart(&events());
        assert_eq!(told["because"], "the node was restarted", "{told}");
    }
    pod.kill_pause();
    pod.until_sandbox(3);
    let told = restart(&events());
    assert_ne!(told["because"], "the node was restarted", "{told}");
    // of the first nobody knows any more: the kernel tells of the last
    let text = sandbox.devnet(&["-p", &node.name, "history", "web"]).ok();
    assert_eq!(text.matches("the node was restarted").count(), 1, "{text}");
}

/// Puts the clock of a node's own words ahead.
fn put_ahead(node: &ContainerdNode, seconds: u32) {
    let script = format!(
        "printf '#!/bin/sh\\nexec busybox date -u -d \"@$(( $(busybox date +%%s) + {seconds} ))\" +%%s.000000000\\n' > /var/tmp/date && \
         chmod 755 /var/tmp/date && mount --bind /var/tmp/date /usr/bin/date"
    );
    node.run(&["sh", "-c", &script]).ok();
}

#[test]
fn a_sandbox_that_stays_empty_and_a_network_that_nobody_is_in_are_told_in_time() {
    use std::os::unix::fs::MetadataExt as _;
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "lonely");
    let pod = Pod::made_once(&node, Wanted::pod("lonely"));
    let pin = "touch /run/netns/left-behind; \
               exec unshare --net mount --bind /proc/self/ns/net /run/netns/left-behind";
    node.run(&["sh", "-c", pin]).ok();
    let sandbox = node.sandbox();
    // young: its images may be on their way, and the network on its way to a container
    let now = document(&node, &sandbox, &["inspect", "lonely"]);
    assert_eq!(found(&now), Vec::<String>::new());
    assert_eq!(now["pods"][0]["state"], "pending");
    put_ahead(&node, 121);
    let later = document(&node, &sandbox, &["inspect", "lonely"]);
    assert_eq!(found(&later), ["empty-sandbox"], "{later:#}");
    let finding = &later["pods"][0]["findings"][0];
    assert_eq!(finding["subjects"], json!([pod.sandbox().id]));
    // the kernel's clock is no one's to change
    let passed = "[ $(busybox date +%s) -gt $(($(stat -c %Z /run/netns/left-behind) + 61)) ]";
    until("a minute has passed", || {
        node.run(&["sh", "-c", passed]).code == 0
    });
    let all = document(&node, &sandbox, &["pods"]);
    let leaks = all["findings"].as_array().unwrap();
    let leaks: Vec<_> = leaks
        .iter()
        .filter(|one| one["code"] == "leaked-netns")
        .collect();
    assert_eq!(leaks.len(), 1, "{all:#}");
    let place = leaks[0]["subjects"][0].as_str().unwrap();
    assert!(place.ends_with("/netns/left-behind"), "{place}");
    let file = std::fs::metadata(node.path("/run/netns/left-behind")).unwrap();
    let message = leaks[0]["message"].as_str().unwrap();
    assert!(message.contains(&file.ino().to_string()), "{all:#}");
}
