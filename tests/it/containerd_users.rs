//! Pods of containerd nodes whose users are their own (`hostUsers: false`): the kernel maps root of such a
//! pod to a user of the node's who may do nothing.

use std::collections::BTreeSet;
use std::io::{Seek as _, Write as _};

use serde_json::{Value, json};

use crate::support::containerd_node::ContainerdNode;
use crate::support::made::found;
use crate::support::node_kubelet::{Pod, Wanted};
use crate::support::{Output, missing, testbed, until};

/// The user of the node's that is root in the pod.
const ROOT: u32 = 1_000_000;

fn node(name: &str) -> Option<ContainerdNode> {
    let node = ContainerdNode::with_mapped_users(&testbed()?, name);
    if node.is_none() {
        missing("containerd 2.1 and runc 1.3 (make engines)");
    }
    node
}

/// A pod with users of its own: a server and one that does nothing.
fn pod<'n>(node: &'n ContainerdNode, name: &str) -> Pod<'n> {
    let mut wanted = Wanted::pod(name)
        .script("web", "echo served by $(id -u); exec httpd -f -p 8080")
        .sleeper("side");
    wanted.own_users = Some(ROOT);
    let pod = Pod::up(node, wanted);
    pod.until_it_says("web", "served by 0");
    until("it listens", || !listeners(node, &pod).is_empty());
    pod
}

/// The ports that the kernel knows to be listened at in the pod.
fn listeners(node: &ContainerdNode, pod: &Pod<'_>) -> BTreeSet<String> {
    let pid = pod.pid("web").to_string();
    let told = node.run(&["nsenter", "-t", &pid, "-n", "ss", "-Htln"]).ok();
    let addresses = told.lines().map(|line| line.split_whitespace().nth(3));
    let ports = addresses.map(|address| address.unwrap().rsplit(':').next());
    ports.map(|port| port.unwrap().to_owned()).collect()
}

fn inspect(node: &ContainerdNode, pod: &str) -> Value {
    let words = ["-p", &node.name, "inspect", pod, "-o", "json"];
    let output = node.sandbox().devnet(&words);
    assert!(output.stderr.is_empty(), "{}", output.stderr);
    serde_json::from_str(&output.ok()).unwrap()
}

/// The number in a link of a namespace.
fn inode(node: &ContainerdNode, pid: u32, kind: &str) -> u64 {
    let link = node.namespace(pid, kind);
    link.split(['[', ']']).nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_pod_with_users_of_its_own_is_shown_as_the_kernel_has_it() {
    let Some(node) = node("users") else { return };
    let apart = pod(&node, "apart");
    let usual = Pod::up(&node, Wanted::pod("usual").sleeper("web"));
    let [web, side] = ["web", "side"].map(|name| apart.pid(name));
    for pid in [apart.pause_pid(), web, side] {
        let map = std::fs::read_to_string(node.path(&format!("/proc/{pid}/uid_map"))).unwrap();
        let map: Vec<_> = map.split_whitespace().collect();
        assert_eq!(map, ["0", &ROOT.to_string(), "65536"]);
    }

    let document = inspect(&node, "apart");
    assert_eq!(found(&document), Vec::<String>::new(), "{document:#}");
    let seen = &document["pods"][0];
    assert_eq!(seen["state"], "running");
    assert_eq!(seen["ips"], json!([apart.ip()]));
    let users = inode(&node, web, "user");
    for kind in ["net", "ipc", "uts", "pid", "mnt", "user"] {
        let held = &seen["sandbox"]["namespaces"][kind];
        assert_eq!(held, &inode(&node, apart.pause_pid(), kind), "{kind}");
        for container in seen["containers"].as_array().unwrap() {
            let pid = apart.pid(container["name"].as_str().unwrap());
            assert_eq!(container["pid"], pid);
            assert_eq!(
                container["namespaces"][kind],
                inode(&node, pid, kind),
                "{kind}"
            );
        }
    }
    assert_eq!(seen["sandbox"]["namespaces"]["user"], users);
    let of_node = inode(&node, 1, "user");
    assert_ne!(users, of_node);
    assert_eq!(document["nodes"][0]["namespaces"]["user"], of_node);
    for container in seen["containers"].as_array().unwrap() {
        let shares = json!({"net": true, "ipc": true, "uts": true, "pid": false});
        assert_eq!(container["shares"], shares);
    }
    let usual = inspect(&node, &usual.sandbox().id);
    assert_eq!(
        usual["pods"][0]["containers"][0]["namespaces"]["user"],
        of_node
    );

    let sockets = seen["sockets"].as_array().unwrap();
    let by_devnet: Vec<_> = sockets
        .iter()
        .filter(|one| one["state"] == "LISTEN")
        .collect();
    let ports: BTreeSet<_> = by_devnet
        .iter()
        .map(|one| one["port"].to_string())
        .collect();
    assert_eq!(ports, listeners(&node, &apart));
    let owners = json!([{"container": "web", "pid": web, "command": "httpd"}]);
    assert_eq!(by_devnet[0]["owners"], owners);

    let sandbox = node.sandbox();
    let devnet = |words: &[&str]| sandbox.devnet(&[&["-p", &node.name], words].concat()).ok();
    let table = devnet(&["pods", "--ns"]);
    let row = |name: &str| {
        table
            .lines()
            .find(|line| line.contains(name))
            .unwrap()
            .trim_end()
            .to_owned()
    };
    assert!(row("/apart").ends_with(&users.to_string()), "{table}");
    assert!(row("side").ends_with('='), "{table}");
    assert!(row("/usual").ends_with("host"), "{table}");
    let ports = devnet(&["ports", "apart"]);
    assert!(ports.contains("8080") && ports.contains("httpd"), "{ports}");
    devnet(&["check", "apart", "usual"]);
}

#[test]
fn a_pod_with_users_of_its_own_is_entered_as_its_own_root_and_heals() {
    let Some(node) = node("users-in") else { return };
    let pod = pod(&node, "entered");
    let sandbox = node.sandbox();
    let devnet = |words: &[&str]| sandbox.devnet(&[&["-p", &node.name], words].concat());
    let ask = "id -u; cat /proc/self/uid_map; cat; exit 3";
    let mut exec = sandbox.devnet_command(&["-p", &node.name, "exec", "-i", "entered"]);
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(b"through its input").unwrap();
    input.rewind().unwrap();
    exec.args(["-c", "web", "--", "sh", "-c", ask]).stdin(input);
    let said = Output::of(&mut exec);
    assert_eq!(said.code, 3, "{}", said.stderr);
    let all: Vec<_> = said.stdout.split_whitespace().collect();
    let root = ROOT.to_string();
    let expected = ["0", "0", &root, "65536", "through", "its", "input"];
    assert_eq!(all, expected);
    // a user of the pod's, and what it makes there is its own
    let line = "id -u; : > /tmp/mine; stat -c %u /tmp/mine";
    let words = [
        "exec", "-u", "7", "entered", "-c", "web", "--", "sh", "-c", line,
    ];
    assert_eq!(devnet(&words).ok(), "7\n7\n");
    let logs = devnet(&["logs", "entered", "web"]).ok();
    assert!(logs.contains("served by 0"), "{logs}");
    let inside = devnet(&["shell", "entered", "-c", "web", "--", "ls", "/"]).ok();
    assert!(inside.contains("bin"), "{inside}");

    let (ip, users) = (pod.ip(), node.namespace(pod.pid("web"), "user"));
    devnet(&["kill", "entered", "-c", "web", "--yes"]).ok();
    assert_eq!(pod.ip(), ip);
    assert_eq!(node.namespace(pod.pid("web"), "user"), users);
    devnet(&["kill", "entered", "--yes"]).ok();
    pod.until_sandbox(1);
    assert_ne!(node.namespace(pod.pid("web"), "user"), users);
    let history = devnet(&["history", "entered"]).ok();
    assert!(history.contains(&ip), "{history}");
    node.until_nothing_is_left();
}
