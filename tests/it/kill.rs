//! `devnet kill`: a container or a sandbox ends, and what comes after is told.

use std::io::Write as _;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::containerd_node::{ContainerdNode, containerd_node};
use crate::support::kubelet::Kubelet;
use crate::support::node_kubelet::{Pod, Wanted};
use crate::support::{Output, Sandbox, busybox_image, docker, ended, testbed, until};

fn on_node(node: &ContainerdNode, words: &[&str]) -> Output {
    node.sandbox()
        .devnet(&[&["-p", "ctr", "kill"], words].concat())
}

/// The one pod as the JSON of other commands has it.
fn shown(node: &ContainerdNode, pod: &str) -> Value {
    let words = ["-p", "ctr", "pods", pod, "--no-probe", "-o", "json"];
    let found: Value = serde_json::from_str(&node.sandbox().devnet(&words).ok()).unwrap();
    found["pods"][0].clone()
}

#[test]
fn a_container_that_is_killed_comes_back_in_the_same_sandbox() {
    let Some(node) = containerd_node() else {
        return;
    };
    let pod = Pod::up(
        node,
        Wanted::pod("killed-app").sleeper("web").sleeper("side"),
    );
    let (ip, sandbox, side) = (pod.ip(), pod.sandbox().id, pod.pid("side"));
    let netns = shown(node, "killed-app")["sandbox"]["netns"]["path"].clone();
    let said = on_node(node, &["killed-app", "-c", "web", "--yes"]).ok();
    let short = &sandbox[..12];
    let netns = netns.as_str().unwrap();
    assert_eq!(
        said,
        format!(
            "default/killed-app: attempt 1 of web runs in the same sandbox {short}; IP {ip} kept; network namespace {netns} kept\n"
        )
    );
    assert_eq!((pod.ip(), pod.sandbox().id), (ip.clone(), sandbox.clone()));
    assert_eq!(pod.attempts("web").len(), 2);
    assert_eq!(pod.container("web").metadata.unwrap().attempt, 1);
    let first = pod.attempts("web").pop().unwrap();
    let before = shown(node, "killed-app")["containers_before"][0].clone();
    assert_eq!(
        (&before["id"], &before["exit_code"]),
        (&first.into(), &137.into())
    );
    // nobody else was touched
    assert_eq!(pod.pid("side"), side);

    let words = ["killed-app", "-c", "web", "-s", "9", "--yes", "-o", "json"];
    let told: Value = serde_json::from_str(&on_node(node, &words).ok()).unwrap();
    assert_eq!(told["schema"], 1);
    assert_eq!(told["signal"], "SIGKILL");
    assert_eq!(
        (&told["back"], &told["container"]),
        (&true.into(), &"web".into())
    );
    assert_eq!(
        told["kept"],
        serde_json::json!({"sandbox": true, "ip": true, "netns": true})
    );
    assert_eq!(told["after"]["sandbox_id"], sandbox);
    assert_eq!(told["after"]["ips"][0], ip);
}

#[test]
fn a_sandbox_that_is_killed_comes_back_with_another_ip() {
    let Some(node) = containerd_node() else {
        return;
    };
    let pod = Pod::up(
        node,
        Wanted::pod("killed-box").sleeper("web").sleeper("side"),
    );
    let (ip, sandbox) = (pod.ip(), pod.sandbox().id);
    let said = on_node(node, &["killed-box", "--yes"]).ok();
    let (now, new) = (pod.ip(), pod.sandbox().id);
    assert_ne!(now, ip);
    let (short, new) = (&sandbox[..12], &new[..12]);
    for part in [
        format!("attempt 1 of the sandbox runs with web, side ({short} -> {new})"),
        format!("IP changed {ip} -> {now}"),
        "network namespace changed /".to_owned(),
    ] {
        assert!(said.contains(&part), "no `{part}` in {said}");
    }
    // it waited for all of it
    let seen = shown(node, "killed-box");
    assert_eq!(seen["state"], "running");
    assert_eq!(seen["ips"][0], now);
}

#[test]
fn a_pod_that_nobody_heals_is_waited_for_no_longer_than_asked() {
    let Some(node) = containerd_node() else {
        return;
    };
    let pod = Pod::made_once(node, Wanted::pod("killed-once").sleeper("web"));
    let wait = ["killed-once", "-c", "web", "--yes", "--timeout", "1s"];
    // a first process has no handler of its own, and the kernel drops such a signal
    let survives = on_node(node, &[&wait[..], &["-s", "USR1"]].concat()).fails(5);
    assert!(
        survives.contains("after 1 s the end of container `web`"),
        "{survives}"
    );
    assert!(survives.contains("SIGUSR1 was sent"), "{survives}");
    let run = on_node(node, &[&wait[..], &["-o", "json"]].concat());
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["back"], false);
    assert_eq!(told["waits_for"], "the next attempt of container `web`");
    assert!(told["after"].is_null() && told["kept"].is_null(), "{told}");
    let said = run.fails(5);
    assert!(
        said.contains("after 1 s the next attempt of container `web` is still waited for"),
        "{said}"
    );
    assert_eq!(pod.until_ended("web").exit_code, 137);
    // what does not run is sent nothing
    let said = on_node(node, &wait).fails(1);
    assert!(said.contains("container `web` is not running"), "{said}");
    let said = on_node(node, &["killed-once", "-c", "nope", "--yes"]).fails(4);
    assert!(said.contains("it has: web"), "{said}");
}

#[test]
fn a_pod_whose_policy_is_never_is_not_waited_for() {
    let Some(node) = containerd_node() else {
        return;
    };
    let mut wanted = Wanted::pod("killed-never").sleeper("web");
    wanted.annotations.insert(
        "kubectl.kubernetes.io/last-applied-configuration".into(),
        r#"{"spec":{"restartPolicy":"Never"}}"#.into(),
    );
    let _pod = Pod::made_once(node, wanted);
    let words = ["killed-never", "-c", "web", "--yes", "--timeout", "24h"];
    let said = on_node(node, &words).fails(5);
    assert!(said.contains("its restart policy is Never"), "{said}");
}

#[test]
fn nothing_is_killed_unless_somebody_says_so() {
    let Some(node) = containerd_node() else {
        return;
    };
    let mut wanted = Wanted::pod("killed-asked").sleeper("web");
    wanted.namespace = "kube-system".into();
    let pod = Pod::up(node, wanted);
    let said = on_node(node, &["killed-asked", "-c", "web"]).fails(2);
    assert!(
        said.contains("nobody can be asked") && said.contains("--yes"),
        "{said}"
    );
    let said = on_node(node, &["killed-asked", "-s", "NOPE", "--yes"]).fails(2);
    assert!(said.contains("no signal of Linux"), "{said}");
    let at_a_terminal = |answer: &[u8]| {
        let devnet = env!("CARGO_BIN_EXE_devnet");
        let line = format!("{devnet} -p ctr kill killed-asked -c web");
        let mut child = node
            .sandbox()
            .command("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(answer).unwrap();
        ended(child).ok()
    };
    let said = at_a_terminal(b"n\n");
    for part in [
        "Send SIGKILL to container `web` of pod kube-system/killed-asked on node ctr?",
        "It is in kube-system",
        "its restart policy is not known: it may not come back",
        "nothing was killed",
    ] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    assert_eq!(pod.attempts("web").len(), 1);
    let said = at_a_terminal(b"y\n");
    assert!(
        said.contains("attempt 1 of web runs in the same sandbox"),
        "{said}"
    );
    assert_eq!(pod.attempts("web").len(), 2);
}

/// Starts a kill on the testbed's Docker engine.
fn on_docker(testbed: &std::path::Path, sandbox: &Sandbox, words: &[&str]) -> Child {
    let host = format!("unix://{}", testbed.join("node.sock").display());
    sandbox
        .devnet_command(&[&["-H", &host, "kill"], words].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn on_docker_too_it_is_told_what_a_pod_kept() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "killed-pod", "10.91.40.0/24");
    let until_ended = |id: &str| {
        until("it has ended", || {
            kubelet.docker(&["inspect", "-f", "{{.State.ExitCode}}", id]) == "137"
        });
    };
    let zero = kubelet.pause(0, "10.91.40.5");
    let first = kubelet.app(0, &zero);
    let child = on_docker(&testbed, &sandbox, &["killed-pod", "-c", "app", "--yes"]);
    until_ended(&first);
    kubelet.app(1, &zero);
    let said = ended(child).ok();
    let short = &zero[..12];
    let kept = format!(
        "default/killed-pod: attempt 1 of app runs in the same sandbox {short}; IP 10.91.40.5 kept; network namespace /"
    );
    assert!(
        said.starts_with(&kept) && said.ends_with(" kept\n"),
        "{said}"
    );

    let child = on_docker(&testbed, &sandbox, &["killed-pod", "--yes"]);
    until_ended(&zero);
    let one = kubelet.pause(1, "10.91.40.6");
    kubelet.app(2, &one);
    let said = ended(child).ok();
    let changed = format!(
        "attempt 1 of the sandbox runs with app ({short} -> {}); IP changed 10.91.40.5 -> 10.91.40.6; network namespace changed /",
        &one[..12]
    );
    assert!(said.contains(&changed), "{said}");

    // one that ends well by TERM, and nobody brings it back
    kubelet.docker(&["kill", &one]);
    let two = kubelet.obedient_pause(2);
    let words = ["killed-pod", "-s", "term", "--timeout", "1s", "--yes"];
    let said = ended(on_docker(&testbed, &sandbox, &words)).fails(5);
    assert!(said.contains("a new sandbox is still waited for"), "{said}");
    let state = kubelet.docker(&["inspect", "-f", "{{.State.ExitCode}}", &two]);
    assert_eq!(state, "0");
}

#[test]
fn what_nobody_brings_back_is_not_killed() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let image = busybox_image(&testbed, "node");
    let run = |name: &str, net: &str| {
        let net = format!("--network={net}");
        let words = [
            "run",
            "-d",
            "--restart=always",
            "--name",
            name,
            &net,
            &image,
        ];
        let sleep = ["/bin/busybox", "sleep", "3600"];
        docker(&testbed, "node", &[&words[..], &sleep].concat()).ok()
    };
    run("killed-plain", "none");
    run("killed-beside", "container:killed-plain");
    for words in [
        &["killed-plain", "--yes"][..],
        &["killed-plain", "-c", "killed-beside", "--yes"],
    ] {
        let said = ended(on_docker(&testbed, &sandbox, words)).fails(5);
        assert!(said.contains("nothing restarts `killed-plain`"), "{said}");
        assert!(said.contains("`docker restart killed-"), "{said}");
    }
    let running = |name: &str| {
        let words = ["inspect", "-f", "{{.State.Running}}", name];
        docker(&testbed, "node", &words).ok().trim() == "true"
    };
    assert!(running("killed-plain") && running("killed-beside"));
    // it is as was said, whatever the policy
    docker(&testbed, "node", &["kill", "killed-beside"]).ok();
    until("it has ended", || !running("killed-beside"));
    docker(
        &testbed,
        "node",
        &["rm", "-f", "killed-plain", "killed-beside"],
    )
    .ok();
}
