//! devnet on a containerd node, as on one with Docker.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::support::containerd_node::{ContainerdNode, containerd_node};
use crate::support::node_kubelet::{Pod, Wanted};
use crate::support::{Output, testbed};

fn devnet(node: &ContainerdNode, words: &[&str]) -> Output {
    node.sandbox()
        .devnet(&[&["-p", &node.name], words].concat())
}

fn json(node: &ContainerdNode, words: &[&str]) -> serde_json::Value {
    let text = devnet(node, &[words, &["-o", "json"]].concat()).ok();
    serde_json::from_str(&text).unwrap()
}

/// The number in what the kernel calls a process's namespace.
fn inode(node: &ContainerdNode, pid: u32, kind: &str) -> u64 {
    let link = node.namespace(pid, kind);
    let number = link.split(['[', ']']).nth(1).unwrap();
    number.parse().unwrap()
}

#[test]
fn a_pod_is_shown_as_its_kernel_has_it() {
    let Some(node) = containerd_node() else {
        return;
    };
    let pod = Pod::up(node, Wanted::pod("seen").sleeper("web").sleeper("side"));
    let found = json(node, &["pods", "seen"]);
    assert_eq!(found["nodes"][0]["runtime"], "containerd");
    let seen = &found["pods"][0];
    assert_eq!(seen["ips"][0], pod.ip());
    assert_eq!(seen["state"], "running");
    let sandbox = &seen["sandbox"];
    assert_eq!(sandbox["id"], pod.sandbox().id);
    assert_eq!(sandbox["pid"], pod.pause_pid());
    assert!(sandbox["network_mode"].is_null());
    let inode = |pid, kind| inode(node, pid, kind);
    assert_eq!(sandbox["namespaces"]["net"], inode(pod.pause_pid(), "net"));
    for (place, name) in ["web", "side"].into_iter().enumerate() {
        let container = &seen["containers"][place];
        assert_eq!(container["name"], name);
        assert_eq!(container["pid"], pod.pid(name));
        for kind in ["net", "ipc", "uts", "pid", "mnt", "user"] {
            assert_eq!(container["namespaces"][kind], inode(pod.pid(name), kind));
        }
        for (kind, shared) in [("net", true), ("ipc", true), ("uts", true), ("pid", false)] {
            assert_eq!(container["shares"][kind], shared, "{kind}");
        }
    }

    pod.kill("web");
    pod.until_attempt("web", 1);
    let found = json(node, &["pods", "seen", "--no-probe"]);
    let seen = &found["pods"][0];
    assert_eq!(seen["ips"][0], pod.ip());
    let before = &seen["containers_before"][0];
    assert_eq!(before["exit_code"], 137);
    assert_eq!(before["attempt"], 0);
    // without the kernel's word
    assert!(seen["sockets"].is_null());

    let ip = pod.ip();
    pod.kill_pause();
    pod.until_sandbox(1);
    let found = json(node, &["pods", "seen"]);
    let seen = &found["pods"][0];
    assert_ne!(seen["ips"][0], ip);
    assert_eq!(seen["sandbox"]["attempt"], 1);
    // the runtime's own note on the dead sandbox
    assert_eq!(seen["sandboxes_before"][0]["ip"], ip);
}

#[test]
fn a_command_runs_with_the_streams_and_the_code_that_it_has() {
    let Some(testbed) = testbed() else { return };
    let node = &ContainerdNode::start(&testbed, "ctr-exec");
    let pod = Pod::up(node, Wanted::pod("worked").sleeper("web"));
    let exec = |flags: &[&str], command: &[&str]| {
        let words = [&["exec"], flags, &["worked", "--"], command].concat();
        devnet(node, &words)
    };
    let run = exec(&[], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((run.code, run.stdout.as_str()), (7, "out\n"));
    assert!(run.stderr.contains("err\n"), "{run}");
    assert_eq!(exec(&[], &["no-such-program"]).code, 127);
    assert_eq!(exec(&[], &["/etc"]).code, 126);
    assert_eq!(exec(&["-u", "no-such-user"], &["id"]).code, 125);
    let run = exec(
        &["-e", "A=b c", "-w", "/etc", "-u", "12:34"],
        &["sh", "-c", "echo $A $PWD; id -u; id -g"],
    );
    assert_eq!(run.ok(), "b c /etc\n12\n34\n");
    let words = ["-p", &node.name, "exec", "-i", "worked", "--", "wc", "-c"];
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), vec![b'x'; 3 << 20]).unwrap();
    let sandbox = node.sandbox();
    let mut command = sandbox.devnet_command(&words);
    command.stdin(input.reopen().unwrap());
    assert_eq!(Output::of(&mut command).ok().trim(), (3 << 20).to_string());
    // nothing stays: no process, no file; other tests' commands run on the common node
    drop(pod);
    node.until_nothing_is_left();
}

#[test]
fn logs_come_whole_in_time_order_and_follow_what_comes_after() {
    let Some(node) = containerd_node() else {
        return;
    };
    let script = "for n in 1 2 3 4 5; do echo out $n; done; sleep 0.2; echo err >&2; sleep 1000000";
    let pod = Pod::up(node, Wanted::pod("said").script("talker", script));
    pod.until_it_says("talker", "stderr F err");
    let logs = |flags: &[&str]| devnet(node, &[&["logs", "said"], flags].concat()).ok();
    let all = logs(&[]);
    assert_eq!(all.lines().count(), 6, "{all}");
    assert!(all.starts_with("out 1\nout 2\n"), "{all}");
    let tail = logs(&["--tail", "3"]);
    assert_eq!(tail, "out 4\nout 5\nerr\n");
    assert_eq!(logs(&["--tail", "0"]), "");
    pod.kill("talker");
    pod.until_attempt("talker", 1);
    assert_eq!(logs(&["--previous"]), all);
}

#[test]
fn what_happens_is_told_once_with_what_was_kept_and_what_changed() {
    let Some(node) = containerd_node() else {
        return;
    };
    let pod = Pod::up(node, Wanted::pod("watched").sleeper("web"));
    let sandbox = node.sandbox();
    let mut watch = sandbox.devnet_command(&["-p", "ctr", "watch", "watched"]);
    let mut watch = watch
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(watch.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "watching 1 node\n");
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut until_said = |words: &str| -> Vec<String> {
        let mut told = Vec::new();
        loop {
            told.push(lines.next().expect("it goes on").unwrap());
            if told.last().unwrap().contains(words) {
                return told;
            }
        }
    };
    pod.kill("web");
    let told = until_said("IP kept");
    let starts = told.iter().filter(|line| line.contains("web #1 started"));
    assert_eq!(starts.count(), 1, "{told:#?}");
    pod.kill_pause();
    let told = until_said("IP changed");
    assert!(
        !told.iter().any(|line| line.contains("web #1 started")),
        "{told:#?}"
    );
    watch.kill().unwrap();
    watch.wait().unwrap();
    pod.until_attempt("web", 2);
    // another devnet has not seen it, and does not say that it ran on
    let text = devnet(node, &["history", "watched"]).ok();
    assert!(
        text.contains("sandbox replaced, because it ended"),
        "{text}"
    );
    let text = sandbox.devnet(&["-p", "ctr", "history", "watched"]).ok();
    assert_eq!(text.matches("web #1      started").count(), 1, "{text}");
    assert_eq!(
        text.matches("web #0      ended exit 137").count(),
        1,
        "{text}"
    );
}

#[test]
fn the_doctor_and_the_status_know_the_runtime_and_other_verbs_say_what_works_there() {
    let Some(node) = containerd_node() else {
        return;
    };
    let report = json(node, &["status"]);
    assert_eq!(report["nodes"][0]["runtime"], "containerd");
    let run = devnet(node, &["doctor"]);
    assert_eq!(run.code, 0, "{run}");
    let version = report["nodes"][0]["version"].as_str().unwrap();
    let said = format!("containerd {version}");
    assert!(run.stdout.contains(&said), "{run}");
    // its engine is devnet's, and does not run
    let said = devnet(node, &["env", "--no-start"]).fails(3);
    assert!(said.contains("devnet -p ctr engine start"), "{said}");
}
