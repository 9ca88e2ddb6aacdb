//! A containerd node on which devnet itself runs, by a user who is not root: nobody logs in, `sudo -n` opens
//! what is root's.

use serde_json::Value;

use crate::support::containerd_node::ContainerdNode;
use crate::support::node_kubelet::{Pod, Wanted};
use crate::support::{Output, testbed};

/// devnet on the node, as its user `docker`.
fn by_user(node: &ContainerdNode, words: &str) -> Output {
    let devnet = env!("CARGO_BIN_EXE_devnet");
    node.ssh(&format!(
        "{devnet} -H unix:///run/containerd/containerd.sock {words}"
    ))
}

#[test]
fn who_may_become_root_on_the_node_itself_needs_no_login() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "here");
    let script = "echo began; exec busybox sleep 3600";
    let pod = Pod::made_once(&node, Wanted::pod("web").script("app", script));
    pod.until_it_says("app", "began");
    assert_eq!(node.ssh("id -un").ok().trim(), "docker");
    let document = by_user(&node, "inspect web -o json").ok();
    let document: Value = serde_json::from_str(&document).unwrap();
    let container = &document["pods"][0]["containers"][0];
    let pid = pod.pid("app");
    assert_eq!(container["pid"], pid);
    // the probe became root, and looked
    let inode = container["namespaces"]["net"].to_string();
    assert!(node.namespace(pid, "net").contains(&inode), "{document:#}");
    assert_eq!(by_user(&node, "exec web -- sh -c 'exit 7'").code, 7);
    let line = "echo in | ";
    let devnet = env!("CARGO_BIN_EXE_devnet");
    let host = "-H unix:///run/containerd/containerd.sock";
    let said = node.ssh(&format!("{line}{devnet} {host} exec -i web -- cat"));
    assert_eq!(said.ok(), "in\n");
    assert_eq!(by_user(&node, "logs web").ok(), "began\n");
    node.until_nothing_is_left();

    node.run(&["sed", "-i", "s/NOPASSWD://", "/etc/sudoers"])
        .ok();
    let refused = by_user(&node, "pods").fails(3);
    assert!(refused.contains("without a password"), "{refused}");
}
