//! The cost of a command for a containerd node: connections, channels, processes and round trips; and
//! nothing of it is left there, whenever devnet is killed.

use std::process::{Child, Stdio};

use crate::support::containerd_node::ContainerdNode;
use crate::support::counted::Counted;
use crate::support::node_kubelet::{Pod, Wanted};
use crate::support::random::Random;
use crate::support::{Sandbox, testbed, until};

/// The most that a command may cost.
struct Cost {
    words: &'static [&'static str],
    channels: usize,
    turns: usize,
}

const COSTS: &[Cost] = &[
    Cost {
        words: &["status"],
        channels: 2,
        turns: 30,
    },
    Cost {
        words: &["pods", "--no-probe"],
        channels: 2,
        turns: 40,
    },
    Cost {
        words: &["pods"],
        channels: 3,
        turns: 60,
    },
    Cost {
        words: &["exec", "cost-0", "--", "true"],
        channels: 3,
        turns: 70,
    },
    Cost {
        words: &["logs", "cost-0", "--tail", "1"],
        channels: 3,
        turns: 60,
    },
    Cost {
        words: &["history", "cost-0"],
        channels: 3,
        turns: 60,
    },
];

/// The channels that the node's sshd was asked for so far.
fn channels(node: &ContainerdNode) -> usize {
    let log = std::fs::read_to_string(node.folder().join("var/log/sshd.log")).unwrap();
    log.matches("server_input_channel_open: ctype session")
        .count()
}

/// The number that the node gave its newest process or thread.
fn newest_process(node: &ContainerdNode) -> usize {
    let number = node.run(&["cat", "/proc/sys/kernel/ns_last_pid"]).ok();
    number.trim().parse().unwrap()
}

#[test]
fn a_command_costs_its_node_no_more_than_it_must() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "cost");
    node.configure_sshd("LogLevel DEBUG1");
    until("sshd tells of its channels", || {
        node.ssh("true");
        channels(&node) > 0
    });
    // more pods do not mean more round trips
    let pods: Vec<_> = (0..8)
        .map(|number| Pod::made_once(&node, Wanted::pod(&format!("cost-{number}")).sleeper("web")))
        .collect();
    let counted = Counted::to(&node);
    let sandbox = counted.sandbox(&node);
    let url = counted.url();
    let mut table = String::new();
    let mut over = Vec::new();
    for cost in COSTS {
        let (before, processes) = (channels(&node), newest_process(&node));
        counted.forget();
        sandbox.devnet(&[&["-H", &url], cost.words].concat()).ok();
        let passed = counted.passed();
        let channels = channels(&node) - before;
        let processes = newest_process(&node) - processes;
        let line = format!(
            "{:<28} {} connection, {channels} channels, {} turns, {} kB, {processes} processes and threads\n",
            cost.words.join(" "),
            passed.connections,
            passed.turns,
            passed.bytes / 1000
        );
        if passed.connections != 1 || channels > cost.channels || passed.turns > cost.turns {
            over.push(line.clone());
        }
        table.push_str(&line);
    }
    drop(pods);
    println!("{table}");
    assert!(over.is_empty(), "{over:#?}\n{table}");
}

fn begun(sandbox: &Sandbox, words: &[&str]) -> Child {
    let mut command = sandbox.devnet_command(words);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null());
    command.stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_devnet_that_is_killed_at_any_moment_leaves_nothing_on_its_node() {
    const ROUNDS: usize = 30;
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "killed-any");
    let script = "echo began; exec sleep 100000";
    let _pod = Pod::up(&node, Wanted::pod("web").script("web", script));
    let counted = Counted::to(&node);
    let sandbox = counted.sandbox(&node);
    let url = counted.url();
    let verbs: [&[&str]; 6] = [
        &["pods"],
        &["exec", "-i", "web", "--", "cat"],
        &["logs", "-f", "web"],
        &["shell", "web", "--", "cat"],
        &["pods", "--watch"],
        &["check"],
    ];
    let mut random = Random::new(16);
    sandbox.devnet(&["-H", &url, "pods"]).ok();
    let all = counted.passed().bytes as u64;
    for round in 0..ROUNDS {
        let words = verbs[round % verbs.len()];
        counted.forget();
        // the probe is most of what passes: every other moment is one amid its way
        let moment = if round % 2 == 0 {
            random.below(all)
        } else {
            random.below(40_000)
        };
        let moment = usize::try_from(moment).unwrap();
        let mut devnet = begun(&sandbox, &[&["-H", &url], words].concat());
        let mut still = 0;
        let mut last = 0;
        until("so much has passed, or no more comes", || {
            let bytes = counted.passed().bytes;
            still = if bytes == last { still + 1 } else { 0 };
            last = bytes;
            bytes >= moment || still > 200 || devnet.try_wait().unwrap().is_some()
        });
        // it may have done its work
        let _killed = devnet.kill();
        devnet.wait().unwrap();
    }
    node.until_nothing_is_left();
}
