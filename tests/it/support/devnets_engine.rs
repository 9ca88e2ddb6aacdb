//! The Docker engine that devnet runs on a containerd node, as tests meet it: nodes that can have one, its
//! state, and what it may leave behind.

use serde_json::Value;

use super::containerd_node::ContainerdNode;
use super::node_kubelet::Pod;
use super::{Output, missing, testbed};

/// Versions of containerd and of the Docker engine beside it: so many pairs, or with `ALL_PAIRS` in the
/// environment all.
pub(crate) fn pairs(least: usize) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![
        ("1.6", "28"),
        ("1.7", "26"),
        ("2.1", "28"),
        ("1.6", "26"),
        ("1.7", "28"),
        ("2.1", "26"),
    ];
    #[expect(clippy::disallowed_methods, reason = "the tests' own switch")]
    let whole = std::env::var_os("ALL_PAIRS").is_some();
    if !whole {
        all.truncate(least);
    }
    all
}

/// A node of a test's own with a Docker engine of a version; `None` where its programs are not here.
pub(crate) fn node(
    name: &str,
    containerd: Option<&'static str>,
    dockerd: &'static str,
) -> Option<ContainerdNode> {
    let testbed = testbed()?;
    let Some(node) = ContainerdNode::with_dockerd(&testbed, name, containerd, Some(dockerd)) else {
        missing("engines of other versions (run `make engines`)");
        return None;
    };
    make_kube_proxys_table(&node);
    Some(node)
}

/// One whose first process is systemd; `None` where that or an engine 28 is not here.
pub(crate) fn systemd_node(name: &str) -> Option<ContainerdNode> {
    let Some(node) = ContainerdNode::with_systemd(&testbed()?, name, "28") else {
        missing("systemd and engines of other versions (run `make engines`)");
        return None;
    };
    make_kube_proxys_table(&node);
    Some(node)
}

/// Makes the table that kube-proxy makes on every node.
fn make_kube_proxys_table(node: &ContainerdNode) {
    for change in ["-A", "-D"] {
        let words = [
            "iptables",
            "-t",
            "nat",
            change,
            "POSTROUTING",
            "-j",
            "RETURN",
        ];
        node.run(&words).ok();
    }
}

pub(crate) fn devnet(node: &ContainerdNode, words: &[&str]) -> Output {
    node.sandbox()
        .devnet(&[&["-p", &node.name], words].concat())
}

/// The word of `devnet engine` on the one node.
pub(crate) fn engine(node: &ContainerdNode, verb: &[&str]) -> Value {
    let text = devnet(node, &[&["engine"], verb, &["-o", "json"]].concat()).ok();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["engines"][0].take()
}

/// All that an engine could leave on a node: files with their bytes, mounts, links, addresses, routes, rules,
/// processes. Its data is kept by purpose, and containerd's and the kubelet's own folders are theirs.
pub(crate) fn traces(node: &ContainerdNode) -> String {
    // the last address of the cluster's network and the turns of sudo are theirs too
    let script = "all() { find /run /var/lib /etc -xdev '(' -path /var/lib/containerd -o -path /run/containerd \
            -o -path /run/containerd.pid -o -path /var/lib/devnet -o -path /var/lib/kubelet -o -path /run/sudo \
            -o -name 'last_reserved_ip.*' ')' -prune -o \"$@\"; }; \
        all -printf '%p %y %m %U:%G %l\\n' | sort; all -type f -exec sha256sum {} + | sort -k 2; \
        ip -o link | cut -d' ' -f2; ip address | sed 's/ tentative//'; ip route; ip -6 route; ip rule; \
        grep devnet /proc/mounts; \
        for s in iptables-save ip6tables-save; do $s | grep -v '^#' | sed 's/\\[.*\\]//'; done; \
        nft list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'; \
        cat /proc/sys/net/ipv4/ip_forward; \
        ps -A -o comm | sort | grep -v -e '^ps$' -e '^sh$' -e '^sort$' -e '^grep$' -e sshd -e sudo";
    node.run(&["sh", "-c", script]).ok()
}

/// Asserts that nothing came and nothing went.
#[track_caller]
pub(crate) fn same_traces(node: &ContainerdNode, before: &str) {
    let now = traces(node);
    let only_in = |one: &str, other: &str| -> Vec<String> {
        let other: Vec<&str> = other.lines().collect();
        let lines = one.lines().filter(|line| !other.contains(line));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(
        (only_in(&now, before), only_in(before, &now)),
        (vec![], vec![])
    );
    assert_eq!(now.lines().count(), before.lines().count());
}

/// A pod's life: its processes, its address, and every namespace of both processes by inode.
pub(crate) fn life(node: &ContainerdNode, pod: &Pod<'_>, container: &str) -> Vec<String> {
    let pids = [pod.pid(container), pod.pause_pid()];
    let mut life = vec![pod.ip(), format!("{pids:?}")];
    for pid in pids {
        let kinds = ["net", "mnt", "ipc", "uts", "pid", "cgroup", "user"];
        life.extend(kinds.map(|kind| node.namespace(pid, kind)));
    }
    life
}
