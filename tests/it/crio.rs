//! Pods of cri-o nodes, where they are not as on every other: sandboxes without a process, conmon's logs,
//! commands by the OCI runtime, and changes that nobody tells of.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::containerd_node::ContainerdNode;
use crate::support::cri::messages::{Mount, PortMapping};
use crate::support::cri_nodes::crio_node;
use crate::support::made::found;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, testbed, until};

fn devnet(node: &ContainerdNode, words: &[&str]) -> Output {
    let all = [&["-p", &node.name], words].concat();
    node.sandbox().devnet(&all)
}

fn document(node: &ContainerdNode, words: &[&str]) -> Value {
    let all = [words, &["-o", "json"]].concat();
    serde_json::from_str(&devnet(node, &all).ok()).unwrap()
}

#[test]
fn a_sandbox_without_a_process_is_held_by_files_and_said_so() {
    let Some(node) = crio_node() else { return };
    let pod = Pod::up(node, Wanted::pod("held").sleeper("web").sleeper("side"));
    let told = document(node, &["pods", "held"]);
    assert_eq!(told["nodes"][0]["runtime"], "cri-o");
    assert_eq!(found(&told), [""; 0]);
    let seen = &told["pods"][0];
    let sandbox = &seen["sandbox"];
    assert_eq!(sandbox["pid"], Value::Null);
    let path = sandbox["netns"]["path"].as_str().unwrap();
    assert!(path.starts_with("/var/run/netns/"), "{path}");
    let inode = node.namespace(pod.pid("web"), "net");
    assert_eq!(format!("net:[{}]", sandbox["netns"]["inode"]), inode);
    for container in seen["containers"].as_array().unwrap() {
        let shares = json!({"net": true, "ipc": true, "uts": true, "pid": null});
        assert_eq!(container["shares"], shares);
    }
    assert_eq!(seen["ips"], json!([pod.ip()]));
    let table = devnet(node, &["pods", "held", "--ns"]).ok();
    let table = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        table.contains("file = the sandbox holds it, here without a process"),
        "{table}"
    );
    let inspected = devnet(node, &["inspect", "held"]).ok();
    let inspected = inspected.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        inspected.contains("the sandbox holds it, here without a process"),
        "{inspected}"
    );
    let graph = devnet(node, &["graph", "held", "-o", "dot"]).ok();
    assert!(graph.contains("sandbox (no process)"), "{graph}");
}

#[test]
fn a_pod_that_shares_its_processes_has_one_that_holds_them_and_one_of_the_node_has_the_nodes() {
    let Some(node) = crio_node() else { return };
    let mut shared = Wanted::pod("shared-pids").sleeper("web");
    shared.share_pid = true;
    let mut of_node = Wanted::pod("of-node").sleeper("web");
    of_node.host_network = true;
    let (shared, _of_node) = (Pod::up(node, shared), Pod::up(node, of_node));
    let told = document(node, &["pods", "shared-pids"]);
    let seen = &told["pods"][0];
    assert_eq!(seen["sandbox"]["pid"], shared.pause_pid());
    assert_eq!(seen["containers"][0]["shares"]["pid"], true);
    let told = document(node, &["pods", "of-node"]);
    let seen = &told["pods"][0];
    assert_eq!(seen["host_network"], true);
    assert_eq!(seen["sandbox"]["netns"]["path"], Value::Null);
    assert_eq!(
        seen["sandbox"]["netns"]["inode"],
        told["nodes"][0]["namespaces"]["net"]
    );
    assert_eq!(seen["containers"][0]["shares"]["net"], true);
}

#[test]
fn ports_and_a_hosts_ports_are_told() {
    let Some(node) = crio_node() else { return };
    let mut web = Wanted::pod("opened").script("web", "exec httpd -f -p 8080");
    web.ports.push(PortMapping {
        container_port: 8080,
        host_port: 18_090,
        ..PortMapping::default()
    });
    let pod = Pod::up(node, web);
    until("it listens", || {
        let told = document(node, &["ports", "opened"]);
        told.to_string().contains("8080")
    });
    let told = document(node, &["pods", "opened"]);
    let socket = &told["pods"][0]["sockets"][0];
    assert_eq!(socket["owners"][0]["container"], "web");
    assert_eq!(socket["owners"][0]["pid"], pod.pid("web"));
    assert_eq!(told["pods"][0]["host_ports"][0]["host_port"], 18_090);
}

#[test]
fn the_end_of_a_process_is_not_undone_by_its_number() {
    let Some(node) = crio_node() else { return };
    let pod = Pod::made_once(node, Wanted::pod("ended").sleeper("web"));
    let number = pod.pid("web");
    pod.kill("web");
    pod.until_ended("web");
    assert_eq!(pod.pid("web"), number, "cri-o keeps it");
    let told = document(node, &["pods", "ended"]);
    let container = &told["pods"][0]["containers"][0];
    assert_eq!(
        (&container["pid"], &container["exit_code"]),
        (&Value::Null, &json!(137))
    );
    // a sandbox that nothing runs in is ready, and its file no leak
    assert_eq!(found(&told), [""; 0], "{told:#}");
    let sandbox = &told["pods"][0]["sandbox"];
    assert_eq!(sandbox["state"], "running");
    assert!(sandbox["netns"]["inode"].is_u64(), "{sandbox}");
}

#[test]
fn a_sandbox_without_a_process_is_stopped_and_comes_back_with_another_ip() {
    let Some(node) = crio_node() else { return };
    let pod = Pod::up(node, Wanted::pod("stopped").sleeper("web"));
    let (ip, before) = (pod.ip(), pod.sandbox().id);
    let refused = devnet(node, &["kill", "stopped", "-s", "TERM", "--yes"]).fails(1);
    assert!(refused.contains("has no process to send"), "{refused}");
    assert_eq!(pod.sandbox().id, before);
    let said = devnet(node, &["kill", "stopped", "--yes"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(
        said.stderr.contains("has no process: the runtime stops it"),
        "{said}"
    );
    let now = pod.ip();
    assert_ne!(now, ip);
    assert!(
        said.stdout.contains(&format!("IP changed {ip} -> {now}")),
        "{said}"
    );
    let text = devnet(node, &["history", "stopped"]).ok();
    assert!(text.contains(&ip) && text.contains(&now), "{text}");
    let told = document(node, &["pods", "stopped"]);
    let past = &told["pods"][0]["sandboxes_before"][0];
    assert_eq!((&past["id"], &past["ip"]), (&json!(before), &json!(ip)));
}

#[test]
fn a_container_that_is_killed_or_restarted_keeps_its_sandbox() {
    let Some(node) = crio_node() else { return };
    let web = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let pod = Pod::up(node, Wanted::pod("again-here").script("web", web));
    let (ip, sandbox) = (pod.ip(), pod.sandbox().id);
    let said = devnet(node, &["kill", "again-here", "-c", "web", "--yes"]).ok();
    assert!(
        said.contains("attempt 1 of web runs in the same sandbox"),
        "{said}"
    );
    assert!(said.contains(&format!("IP {ip} kept")), "{said}");
    let first = pod.attempts("web").pop().unwrap();
    let told = document(node, &["pods", "again-here"]);
    let before = &told["pods"][0]["containers_before"][0];
    assert_eq!(
        (&before["id"], &before["exit_code"]),
        (&json!(first), &json!(137))
    );
    devnet(node, &["restart", "again-here", "--yes"]).ok();
    assert_eq!(pod.container("web").metadata.unwrap().attempt, 2);
    assert_eq!((pod.ip(), pod.sandbox().id), (ip, sandbox));
    let words = [
        "kill",
        "again-here",
        "-c",
        "web",
        "-s",
        "TERM",
        "--yes",
        "-o",
        "json",
    ];
    let told: Value = serde_json::from_str(&devnet(node, &words).ok()).unwrap();
    assert_eq!(
        (&told["signal"], &told["kept"]["ip"]),
        (&json!("SIGTERM"), &json!(true))
    );
}

#[test]
fn with_a_process_in_each_sandbox_its_end_makes_a_new_one() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::with_crio(&testbed, "criopause", true);
    let pod = Pod::made_once(&node, Wanted::pod("boxed").sleeper("web"));
    let told = document(&node, &["pods", "boxed"]);
    assert_eq!(told["pods"][0]["sandbox"]["pid"], pod.pause_pid());
    assert_eq!(told["pods"][0]["containers"][0]["shares"]["pid"], false);
    pod.kill_pause();
    until("the sandbox is not ready", || pod.sandbox().state != 0);
    let told = document(&node, &["pods", "boxed"]);
    assert_eq!(found(&told), ["orphan-container"], "{told:#}");
    pod.heal(true);
    pod.until_sandbox(1);
    let ip = pod.ip();
    let said = devnet(&node, &["kill", "boxed", "--yes"]).ok();
    assert!(
        said.contains("attempt 2 of the sandbox runs with web"),
        "{said}"
    );
    assert!(
        said.contains(&format!("IP changed {ip} -> {}", pod.ip())),
        "{said}"
    );
}

#[test]
fn logs_are_as_their_program_wrote_them() {
    let Some(node) = crio_node() else { return };
    let long = "head -c 20000 /dev/zero | tr '\\0' x; echo";
    let plain = format!(
        "printf 'half '; sleep 0.2; echo whole; echo err >&2; {long}; printf 'no end'; sleep 3600"
    );
    let mut typed = Container::script("typed", "echo on a tty; exec sleep 3600");
    typed.tty = true;
    let pod = Pod::up(
        node,
        Wanted::pod("said").script("plain", &plain).with(typed),
    );
    pod.until_it_says("plain", "no end");
    pod.until_it_says("typed", "on a tty");
    let file = std::fs::read_to_string(pod.log_file("plain")).unwrap();
    assert!(
        file.contains("+00:00 stdout P no end\n"),
        "conmon's own way: {}",
        &file[..200]
    );
    until("both of its streams are written", || {
        let file = std::fs::read_to_string(pod.log_file("plain")).unwrap();
        file.contains("stderr F err\n")
    });
    let text = devnet(node, &["logs", "said", "-c", "plain"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{}", text.len());
    for line in ["half whole", "err", &"x".repeat(20_000), "no end"] {
        assert!(lines.contains(&line), "{}", &line[..line.len().min(20)]);
    }
    let stamped = devnet(
        node,
        // which of its streams came last is conmon's to say
        &["logs", "said", "-c", "plain", "--timestamps", "--tail", "2"],
    )
    .ok();
    assert!(stamped.contains("Z no end"), "{stamped}");
    let typed = devnet(node, &["logs", "said", "-c", "typed", "--raw"]).ok();
    assert!(typed.starts_with("on a tty"), "{typed:?}");
}

#[test]
fn a_followed_log_goes_on_with_the_attempt_that_takes_its_containers_place() {
    let Some(node) = crio_node() else { return };
    let attempt =
        "read n < /count || n=0; echo $((n + 1)) > /count; echo attempt $n; exec sleep 3600";
    let mut counts = Container::script("web", attempt);
    let count = node.path("/var/cache/followed-count");
    std::fs::write(&count, "0\n").unwrap();
    counts.mounts.push(Mount {
        container_path: "/count".into(),
        host_path: "/var/cache/followed-count".into(),
        ..Mount::default()
    });
    let pod = Pod::up(node, Wanted::pod("followed").with(counts));
    pod.until_it_says("web", "attempt 0");
    let sandbox = node.sandbox();
    let mut follow = sandbox.devnet_command(&["-p", &node.name, "logs", "-f", "followed"]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "attempt 0");
    pod.kill("web");
    assert_eq!(lines.next().unwrap().unwrap(), "attempt 1");
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn a_terminal_has_its_size_its_keys_and_comes_back_as_it_was() {
    let Some(node) = crio_node() else { return };
    let _pod = Pod::up(node, Wanted::pod("typed-at").sleeper("web"));
    let sandbox = node.sandbox();
    let person = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/person.py");
    let mut command = sandbox.command("python3");
    command
        .env("TERM", "xterm")
        .args([
            person,
            env!("CARGO_BIN_EXE_devnet"),
            "-p",
            &node.name,
            "exec",
        ])
        .args(["-it", "typed-at", "--", "sh"]);
    assert_eq!(Output::of(&mut command).ok().trim(), "same 5");
}

#[test]
fn a_pod_without_a_shell_can_be_entered() {
    let Some(node) = crio_node() else { return };
    let server = Container::of("server", crate::support::containerd_node::DISTROLESS, &[]);
    let _pod = Pod::up(node, Wanted::pod("bare-box").with(server));
    let found = devnet(node, &["shell", "bare-box", "--", "ls", "/"]).ok();
    assert!(found.contains("server"), "{found}");
    let said = devnet(node, &["exec", "-i", "bare-box"]).fails(125);
    assert!(said.contains("has no shell"), "{said}");
}

#[test]
fn changes_are_told_by_the_runtime_where_it_was_configured_to() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::with_crio(&testbed, "crioevents", false);
    node.crio.as_ref().unwrap().tells_events();
    let pod = Pod::made_once(&node, Wanted::pod("watched").sleeper("web"));
    let sandbox = node.sandbox();
    let mut watch = sandbox.devnet_command(&["-p", &node.name, "watch", "watched"]);
    let watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(watch.stderr.take().unwrap());
    said.read_line(&mut line).unwrap();
    // no word of lists
    assert_eq!(line, "watching 1 node\n");
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    pod.kill("web");
    let told = lines.next().unwrap().unwrap();
    assert!(told.contains("exit 137"), "{told}");
    watch.kill().unwrap();
    watch.wait().unwrap();
    // what told that there are events is what tells them
    let asked = node.crio.as_ref().unwrap().asked_for_events();
    assert_eq!(asked.unwrap_or(1), 1);
}

#[test]
fn a_container_that_is_just_being_removed_is_asked_for_again() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::with_crio(&testbed, "criogoing", false);
    let _pod = Pod::up(&node, Wanted::pod("going").sleeper("web"));
    let crio = node.crio.as_ref().unwrap();
    crio.refuses_statuses(3);
    let told = document(&node, &["pods", "going"]);
    assert_eq!(told["pods"][0]["containers"][0]["state"], "running");
    assert!(told["pods"][0]["containers"][0]["pid"].is_u64(), "{told:#}");
}

#[test]
fn pods_are_checked_and_proven_and_nothing_of_devnets_is_left_on_the_node() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::with_crio(&testbed, "crioclean", false);
    let serve = "exec httpd -f -p 8080";
    let _pods =
        ["clean", "other"].map(|name| Pod::up(&node, Wanted::pod(name).script("web", serve)));
    until("both listen", || {
        let told = document(&node, &["ports"]);
        told.to_string().matches("8080").count() >= 2
    });
    let checked = devnet(&node, &["check", "-o", "json"]).ok();
    assert!(checked.contains("\"ok\""), "{checked}");
    devnet(&node, &["prove"]).ok();
    devnet(&node, &["exec", "clean", "--", "true"]).ok();
    let sandbox = node.sandbox();
    let words = [
        "-p",
        &node.name,
        "exec",
        "clean",
        "--",
        "sh",
        "-c",
        "echo begun; exec sleep 3601",
    ];
    let mut exec = sandbox.devnet_command(&words);
    let mut exec = exec.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(exec.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "begun");
    exec.kill().unwrap();
    exec.wait().unwrap();
    node.until_nothing_is_left();
    until("the command was hung up", || {
        node.run(&["pgrep", "-f", "sleep 3601"]).code != 0
    });
}

#[test]
fn another_runtime_behind_the_socket_is_named_and_status_and_doctor_know_this_one() {
    let Some(node) = crio_node() else { return };
    let status = document(node, &["status"]);
    assert_eq!(status["nodes"][0]["runtime"], "cri-o");
    assert_eq!(status["nodes"][0]["answers"], true);
    assert_eq!(status["nodes"][0]["version"], "1.37.0");
    let doctor = devnet(node, &["doctor", "-o", "json"]);
    let told: Value = serde_json::from_str(&doctor.stdout).unwrap();
    assert_eq!(told["nodes"][0]["answers"], true, "{doctor}");
    let socket = node.path("/run/containerd/containerd.sock");
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("crio.sock");
    std::os::unix::fs::symlink(socket, &named).unwrap();
    let host = format!("unix://{}", named.display());
    let said = node.sandbox().devnet(&["-H", &host, "pods"]).fails(3);
    assert!(said.contains("`containerd` answers at"), "{said}");
    let env = devnet(node, &["env"]).fails(3);
    assert!(env.contains("cri-o") || env.contains("crio"), "{env}");
}
