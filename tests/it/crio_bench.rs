//! The cri-o nodes that `make bench` measures (`tests/bench/crio.sh`): the stand-in for cri-o is a part of
//! these tests, so one of them serves it.

use std::io::BufRead as _;

use crate::support::containerd_node::ContainerdNode;
use crate::support::crio_node::CrioNode;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::testbed;

/// Pods, and their containers in all.
const PODS: usize = 24;
const CONTAINERS: usize = 60;

/// Serves a node with pods, `benchcrio`, and one with podman's images, until its input ends. A line
/// `events` has the first tell of changes itself, `loud LINES` makes a pod that prints so many.
#[test]
#[ignore = "is the ground of tests/bench/crio.sh"]
fn serve() {
    let testbed = testbed().expect("it runs in the testbed");
    let node = ContainerdNode::with_crio(&testbed, "benchcrio", false);
    let begun = |name: &str| Container::script(name, "echo begun; exec sleep 100000");
    let mut pods = Vec::new();
    for number in 0..PODS {
        let mut pod = Wanted::pod(&format!("bench-{number}")).with(begun("app"));
        let more = CONTAINERS / PODS + usize::from(number < CONTAINERS % PODS);
        for other in 1..more {
            pod = pod.with(begun(&format!("side-{other}")));
        }
        pods.push(Pod::made_once(&node, pod));
    }
    let images = CrioNode::start(&testbed, "benchcrioload").expect("podman is there");
    let loaded = images.sandbox();
    let home = loaded.home().join(".minikube").display().to_string();
    std::fs::write(testbed.join("benchcrio.new"), home).unwrap();
    std::fs::rename(
        testbed.join("benchcrio.new"),
        testbed.join("benchcrio.ready"),
    )
    .unwrap();
    for line in std::io::stdin().lock().lines() {
        match line.unwrap().split_once(' ') {
            Some(("loud", lines)) => {
                let script = format!(
                    "seq {lines} | sed 's/.*/line & of a log as a server may write it, with some words and a number/'; exec sleep 100000"
                );
                let names = ["loud-0", "loud-1", "loud-2"].into_iter();
                let pod = names.fold(Wanted::pod("loud"), |pod, name| pod.script(name, &script));
                pods.push(Pod::made_once(&node, pod));
            }
            _ => node.crio.as_ref().unwrap().tells_events(),
        }
    }
}
