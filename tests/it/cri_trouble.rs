//! Nodes with containerd or cri-o that do not let devnet in, hang, or are lost half-way.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::support::archive::piped;
use crate::support::containerd_node::ContainerdNode;
use crate::support::cri_nodes::own_nodes;
use crate::support::node_kubelet::{Pod, Wanted};
use crate::support::{Output, Sandbox, ended, testbed, until};

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
    let Some(testbed) = testbed() else { return };
    for node in own_nodes(&testbed, "trouble-in") {
        let profile = ["-p", &node.name, "pods"];
        node.sandbox().devnet(&profile).ok();

        node.runtime("kill");
        refused(
            &node,
            &["the runtime is not running there", "Connection refused"],
        );
        let socket = match &node.crio {
            Some(_) => "/run/crio/crio.sock",
            None => "/run/containerd/containerd.sock",
        };
        node.run(&["rm", socket]).ok();
        refused(
            &node,
            &["another container runtime may run there", "No such file"],
        );
        node.runtime("start");
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
        node.until_nothing_is_left();
    }
}

/// devnet at work on a pod of a node, which has printed something.
fn begun(sandbox: &Sandbox, words: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = sandbox.devnet_command(words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(!line.is_empty());
    (child, output)
}

#[test]
fn a_log_goes_on_after_a_lost_connection_and_a_command_ends_with_an_error() {
    let Some(testbed) = testbed() else { return };
    for node in own_nodes(&testbed, "trouble-cut") {
        let script = "n=0; while :; do echo line $((n += 1)); sleep 0.1; done";
        let _pod = Pod::up(&node, Wanted::pod("web").script("web", script));
        let sandbox = node.sandbox();
        let (mut child, output) = begun(&sandbox, &["-p", &node.name, "logs", "-f", "web"]);
        let mut lines = output.lines();
        let mut number = 1;
        let mut next = || {
            number += 1;
            assert_eq!(lines.next().unwrap().unwrap(), format!("line {number}"));
        };
        (0..5).for_each(|_| next());
        node.cut_connections();
        (0..30).for_each(|_| next());
        child.kill().unwrap();
        child.wait().unwrap();
        node.until_nothing_is_left();

        let command = "echo began; cat; sleep 600";
        let words = ["exec", "-i", "web", "--", "sh", "-c", command];
        let (child, _output) = begun(&sandbox, &[&["-p", &node.name][..], &words].concat());
        node.cut_connections();
        let output = ended(child);
        assert_eq!(output.code, 1, "{output}");
        assert!(output.stderr.contains("error: "), "{output}");
        node.until_nothing_is_left();
    }
}

#[test]
fn a_killed_devnet_leaves_nothing_on_the_node() {
    let Some(testbed) = testbed() else { return };
    for node in own_nodes(&testbed, "trouble-kill") {
        let script = "echo began; while :; do sleep 1; done";
        let _pod = Pod::up(&node, Wanted::pod("web").script("web", script));
        let sandbox = node.sandbox();
        let at_work: [&[&str]; 3] = [
            &["logs", "-f", "web"],
            &[
                "exec",
                "-i",
                "web",
                "--",
                "sh",
                "-c",
                "echo began; cat; sleep 600",
            ],
            &["pods", "--watch"],
        ];
        for words in at_work {
            let (mut child, _output) = begun(&sandbox, &[&["-p", &node.name], words].concat());
            child.kill().unwrap();
            child.wait().unwrap();
            node.until_nothing_is_left();
        }
    }
}

#[test]
fn a_node_that_hangs_is_given_up() {
    let Some(testbed) = testbed() else { return };
    for node in own_nodes(&testbed, "trouble-hang") {
        let sandbox = node.sandbox().env("DEVNET_TIMEOUT", "2");
        let devnet = |words: &[&str]| sandbox.devnet(&[&["-p", &node.name], words].concat());
        devnet(&["pods"]).ok();
        node.signal_all("STOP");
        for (words, code) in [
            (&["pods"][..], 3),
            (&["logs", "web"], 3),
            (&["exec", "web", "--", "true"], 125),
        ] {
            let said = devnet(words).fails(code);
            assert!(said.contains("does not answer"), "{words:?}: {said}");
            assert!(said.contains("paused or overloaded"), "{words:?}: {said}");
        }
        node.signal_all("CONT");
        node.until_nothing_is_left();
    }
}

#[test]
fn a_node_whose_sshd_has_few_sessions_for_a_connection_is_no_obstacle() {
    let Some(testbed) = testbed() else { return };
    for node in own_nodes(&testbed, "trouble-few") {
        let _pod = Pod::up(&node, Wanted::pod("web").sleeper("web"));
        node.configure_sshd("MaxSessions 6");
        until("sshd has read it", || {
            let told = node.run(&["sh", "-c", "exec /usr/sbin/sshd -T"]).stdout;
            told.contains("maxsessions 6") && node.ssh("true").code == 0
        });
        let sandbox = node.sandbox();
        let typed = |words: &[&str]| {
            let all = [&["-p", &node.name, "exec", "-i", "web"], words].concat();
            let typed = b"echo from a shell; exit 3\n".to_vec();
            piped(&mut sandbox.devnet_command(&all), typed)
        };
        // shells are looked for; so is a user
        for words in [&[][..], &["-u", "root"], &["-u", "root", "--", "sh"]] {
            let said = typed(words);
            assert_eq!(
                (said.code, said.stdout.trim()),
                (3, "from a shell"),
                "{said}"
            );
        }
        for verb in [
            &["pods"][..],
            &["shell", "web", "--", "ls", "/"],
            &["logs", "web"],
        ] {
            sandbox.devnet(&[&["-p", &node.name], verb].concat()).ok();
        }
    }
}
