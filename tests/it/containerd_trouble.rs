//! containerd nodes that do not let devnet in, hang, or are lost half-way.

use crate::support::containerd_node::ContainerdNode;
use crate::support::{Output, ground, until};

/// Nothing of devnet's runs or lies on a node, after a while.
fn nothing_is_left(node: &ContainerdNode) {
    let left = "ls -A /run/devnet /var/lib/devnet /var/tmp/devnet 2>/dev/null; \
                pgrep -fa '[d]evnet-probe|[s]ocat.*containerd.sock'; true";
    until("nothing of devnet's is on the node", || {
        let now = node.run(&["sh", "-c", left]).ok();
        !now.contains("probe") && !now.contains("socat")
    });
}

/// Every verb's way in fails with the same words.
fn refused(node: &ContainerdNode, words: &[&str]) {
    let sandbox = node.sandbox();
    let profile = ["-p", &node.name];
    for (verb, code) in [
        (&["pods"][..], 3),
        (&["logs", "web"], 3),
        (&["history", "web"], 3),
        (&["exec", "web", "--", "true"], 125),
        // the obstacle may be met by a writer or a reader first
        (&["pods"], 3),
        (&["pods"], 3),
        (&["exec", "web", "--", "true"], 125),
    ] {
        let said = sandbox.devnet(&[&profile[..], verb].concat()).fails(code);
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{verb:?}: {said}"
        );
    }
    let said = sandbox
        .devnet(&[&profile[..], &["status"]].concat())
        .fails(3);
    assert!(said.contains(words[0]), "{said}");
}

#[test]
fn a_node_that_does_not_let_devnet_in_says_why() {
    let Some(ground) = ground() else { return };
    let node = ContainerdNode::start(&ground, "trouble-in");
    let profile = ["-p", &node.name, "pods"];
    node.sandbox().devnet(&profile).ok();

    node.containerd("kill");
    refused(
        &node,
        &["the runtime is not running there", "Connection refused"],
    );
    node.run(&["rm", "/run/containerd/containerd.sock"]).ok();
    refused(
        &node,
        &["another container runtime may run there", "No such file"],
    );
    node.containerd("start");
    node.sandbox().devnet(&profile).ok();

    node.without("socat");
    refused(
        &node,
        &[
            "one of them must be on the node",
            "neither socat nor buildctl",
        ],
    );
    node.run(&["sed", "-i", "s/NOPASSWD://", "/etc/sudoers"])
        .ok();
    refused(&node, &["without a password", "a password is required"]);
    node.without("sudo");
    refused(&node, &["the node has no sudo", "sudo"]);

    let key = node.key();
    let other = node.sandbox();
    std::fs::remove_file(&key).unwrap();
    refused(&node, &["id_rsa", "accepts no key for the user `docker`"]);
    let mut keygen = other.command("ssh-keygen");
    keygen
        .args(["-q", "-N", "", "-t", "ed25519", "-f"])
        .arg(&key);
    Output::of(&mut keygen).ok();
    refused(
        &node,
        &["authorized_keys", "accepts no key for the user `docker`"],
    );
    nothing_is_left(&node);
}
