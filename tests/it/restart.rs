//! `devnet restart`: app containers end as they are told to, and run again in the sandbox they had.

use std::process::Stdio;

use serde_json::Value;

use crate::support::containerd_node::{ContainerdNode, containerd_node};
use crate::support::kubelet::{Kubelet, OBEDIENT};
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, Sandbox, busybox_image, docker, ended, testbed, until};

fn on_node(node: &ContainerdNode, words: &[&str]) -> Output {
    node.sandbox()
        .devnet(&[&["-p", "ctr", "restart"], words].concat())
}

/// A pod whose manifest says of its container `web` that its image is pulled.
fn pulled(name: &str) -> Wanted {
    let mut wanted = Wanted::pod(name).sleeper("web");
    wanted.annotations.insert(
        "kubectl.kubernetes.io/last-applied-configuration".into(),
        r#"{"spec":{"containers":[{"name":"web","imagePullPolicy":"Always"}]}}"#.into(),
    );
    wanted
}

#[test]
fn every_app_container_ends_as_told_and_runs_again_at_the_same_ip() {
    let Some(node) = containerd_node() else {
        return;
    };
    let well = "trap 'exit 0' TERM; sleep 3600 & wait";
    let wanted = Wanted::pod("again-all")
        .sleeper("deaf")
        .script("obeys", well);
    let pod = Pod::up(node, wanted);
    let (ip, sandbox) = (pod.ip(), pod.sandbox().id);
    let said = on_node(node, &["again-all", "--yes"]).ok();
    assert_eq!(said.lines().count(), 2, "{said}");
    for name in ["deaf", "obeys"] {
        let line = format!("default/again-all: attempt 1 of {name} runs in the same sandbox");
        assert!(said.contains(&line), "{said}");
    }
    assert_eq!(said.matches(&format!("IP {ip} kept")).count(), 2, "{said}");
    assert_eq!((pod.ip(), pod.sandbox().id), (ip, sandbox));
    let words = ["-p", "ctr", "pods", "again-all", "--no-probe", "-o", "json"];
    let found: Value = serde_json::from_str(&node.sandbox().devnet(&words).ok()).unwrap();
    let before = found["pods"][0]["containers_before"].as_array().unwrap();
    for (name, code) in [("deaf", 137), ("obeys", 0)] {
        let ended = before.iter().find(|one| one["name"] == name).unwrap();
        assert_eq!(ended["exit_code"], code, "{name}");
    }
}

#[test]
fn a_pod_whose_images_are_pulled_is_left_alone_and_others_are_not() {
    let Some(node) = containerd_node() else {
        return;
    };
    let kept = Pod::up(node, pulled("again-pulled"));
    let other = Pod::up(node, Wanted::pod("again-other").sleeper("web"));
    let both = ["again-pulled", "again-other", "--yes", "-o", "json"];
    let run = on_node(node, &both);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["containers"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["containers"][0]["name"], "again-other");
    assert_eq!(told["containers"][0]["kept"]["ip"], true);
    let said = run.fails(5);
    assert!(said.contains("`again-pulled` was left alone"), "{said}");
    assert!(said.contains("--force"), "{said}");
    assert_eq!(other.attempts("web").len(), 2);
    assert_eq!(kept.attempts("web").len(), 1);
    on_node(node, &["again-pulled", "--yes", "--force"]).ok();
    assert_eq!(kept.attempts("web").len(), 2);
}

#[test]
fn nothing_restarts_unasked_and_what_stays_down_is_told() {
    let Some(node) = containerd_node() else {
        return;
    };
    let pod = Pod::made_once(node, Wanted::pod("again-once").sleeper("web"));
    let said = on_node(node, &["again-once"]).fails(2);
    assert!(
        said.contains("nobody can be asked") && said.contains("--yes"),
        "{said}"
    );
    let said = on_node(node, &["again-once", "--yes", "--timeout", "1s"]).fails(5);
    assert!(
        said.contains("after 1 s the next attempt of container `web` is still waited for"),
        "{said}"
    );
    assert_eq!(pod.until_ended("web").exit_code, 137);
    let said = on_node(node, &["again-once", "--yes"]).fails(1);
    assert!(
        said.contains("no app container of pod `again-once` runs"),
        "{said}"
    );
}

#[test]
fn on_docker_too_it_ends_by_term() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "again-pod", "10.91.41.0/24");
    let pause = kubelet.pause(0, "10.91.41.5");
    let first = kubelet.script("app", 0, &pause, &[], OBEDIENT);
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let child = sandbox
        .devnet_command(&["-H", &host, "restart", "again-pod", "--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("it has ended", || {
        let state = "{{.State.Status}} {{.State.ExitCode}}";
        kubelet.docker(&["inspect", "-f", state, &first]) == "exited 0"
    });
    kubelet.app(1, &pause);
    let said = ended(child).ok();
    let kept = "default/again-pod: attempt 1 of app runs in the same sandbox ";
    assert!(said.starts_with(kept), "{said}");
    assert!(said.contains("; IP 10.91.41.5 kept; "), "{said}");
}

#[test]
fn on_docker_what_runs_an_older_image_starts_the_one_of_that_name_now() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let mut kubelet = Kubelet::new(&testbed, &sandbox, "again-image", "10.91.42.0/24");
    let base = kubelet.docker(&["create", "devnet-test/busybox:latest", "/bin/busybox"]);
    let version = |number: u32, kubelet: &Kubelet<'_>| {
        let change = format!("LABEL again-image={number}");
        kubelet.docker(&["commit", "--change", &change, &base, "again-image:dev"])
    };
    let old = version(1, &kubelet);
    let pause = kubelet.pause(0, "10.91.42.5");
    // as the real one: its containers have an image's ID, and no name
    kubelet.use_image(&old);
    let first = kubelet.script("app", 0, &pause, &[], OBEDIENT);
    kubelet.use_image("devnet-test/busybox:latest");
    let beside = kubelet.script("beside", 0, &pause, &[], OBEDIENT);
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let restart = |more: &[&str]| {
        let words = ["-H", &host, "restart", "--image", "again-image:dev"];
        let mut command = sandbox.devnet_command(&[&words[..], more].concat());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let pod = ["again-image", "--yes"];
    let nothing = "nothing runs an older `again-image:dev`";
    let said = ended(restart(&pod));
    assert!(said.stderr.contains(nothing), "{said}");
    let new = version(2, &kubelet);
    let said = ended(restart(&["again-image"])).fails(2);
    assert!(said.contains("nobody can be asked"), "{said}");
    // nothing says of which name that image was, unless somebody names the pod
    let said = ended(restart(&["--yes"]));
    assert!(said.stderr.contains(nothing), "{said}");

    let until_ended = |id: &str| {
        until("it has ended", || {
            kubelet.docker(&["inspect", "-f", "{{.State.Status}}", id]) == "exited"
        });
    };
    let child = restart(&pod);
    until_ended(&first);
    let mut next = Kubelet::on(&testbed, "node", &sandbox, "again-image");
    next.use_image(&new);
    let second = next.script("app", 1, &pause, &[], OBEDIENT);
    let said = ended(child).ok();
    let kept = "default/again-image: attempt 1 of app runs in the same sandbox ";
    assert!(
        said.starts_with(kept) && said.lines().count() == 1,
        "{said}"
    );
    assert!(said.contains("; IP 10.91.42.5 kept; "), "{said}");
    let state = kubelet.docker(&["inspect", "-f", "{{.State.Running}}", &beside]);
    assert_eq!(state, "true", "another image's container was ended");
    let said = ended(restart(&pod));
    assert!(said.stderr.contains(nothing), "{said}");

    // a pod that names another image gets that one again
    version(3, &kubelet);
    let child = restart(&[&pod[..], &["-o", "json"]].concat());
    until_ended(&second);
    next.script("app", 2, &pause, &[], OBEDIENT);
    let run = ended(child);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["containers"][0]["container"], "app");
    let said = run.fails(5);
    assert!(
        said.contains("runs another image than `again-image:dev`"),
        "{said}"
    );
    // one that nobody brings back is waited for no longer than asked
    let said = ended(restart(&[&pod[..], &["--timeout", "1s"]].concat())).fails(5);
    assert!(
        said.contains("after 1 s the next attempt of container `app`"),
        "{said}"
    );
    let said = ended(restart(&["--yes", "nope"])).fails(4);
    assert!(said.contains("nope"), "{said}");
    kubelet.docker(&["rm", "-f", &base]);
}

#[test]
fn a_name_that_no_node_has_and_a_pod_at_a_digest_are_told() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::on(&testbed, "node", &sandbox, "again-pinned");
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let restart = |image: &str, more: &[&str]| {
        let words = ["-H", &host, "restart", "--image", image, "--yes"];
        sandbox.devnet(&[&words[..], more].concat())
    };
    let said = restart("again-nowhere:dev", &[]).fails(4);
    assert!(said.contains("again-nowhere:dev"), "{said}");
    let change = ["commit", "--change", "LABEL again-pinned=1"];
    let base = kubelet.docker(&["create", "devnet-test/busybox:latest", "/bin/busybox"]);
    let old = kubelet.docker(&[&change[..], &[&base, "again-pinned:dev"]].concat());
    let manifest =
        r#"{"spec":{"containers":[{"name":"app","image":"again-pinned:dev@sha256:00"}]}}"#;
    let note =
        format!("--label=annotation.kubectl.kubernetes.io/last-applied-configuration={manifest}");
    let mut kubelet = kubelet;
    let pause = kubelet.run("POD", "podsandbox", 0, &["--network=none", &note]);
    kubelet.use_image(&old);
    let app = kubelet.app(0, &pause);
    kubelet.docker(&[
        "commit",
        "--change",
        "LABEL again-pinned=2",
        &base,
        "again-pinned:dev",
    ]);
    let said = restart("again-pinned:dev", &["again-pinned"]).fails(5);
    assert!(said.contains("names its image by its digest"), "{said}");
    assert!(said.contains("--force"), "{said}");
    let state = kubelet.docker(&["inspect", "-f", "{{.State.Running}}", &app]);
    assert_eq!(state, "true");
    kubelet.docker(&["rm", "-f", &base]);
}

#[test]
fn on_containerd_every_pod_that_runs_an_older_image_starts_the_loaded_one() {
    let (Some(testbed), Some(node)) = (testbed(), containerd_node()) else {
        return;
    };
    busybox_image(&testbed, "host");
    let engine = |words: &[&str]| docker(&testbed, "host", words).ok().trim().to_owned();
    let base = engine(&["create", "devnet-test/busybox:latest", "/bin/busybox"]);
    let host = format!("unix://{}", testbed.join("host.sock").display());
    let load = |number: u32| {
        let change = format!("LABEL again-ctr={number}");
        let id = engine(&["commit", "--change", &change, &base, "again-ctr:dev"]);
        let load = ["-p", "ctr", "load", "--from-host", &host, "again-ctr:dev"];
        node.sandbox().devnet(&load).ok();
        id
    };
    load(1);
    let sleeps =
        |name: &str, image: &str| Container::of(name, image, &["/bin/busybox", "sleep", "3600"]);
    let wanted = Wanted::pod("again-ctr")
        .with(sleeps("web", "docker.io/library/again-ctr:dev"))
        .sleeper("side");
    let pod = Pod::up(node, wanted);
    let (ip, sandbox) = (pod.ip(), pod.sandbox().id);
    let older = ["--image", "again-ctr:dev", "--yes"];
    let nothing = "nothing runs an older `again-ctr:dev`";
    let said = on_node(node, &older);
    assert!(said.code == 0 && said.stderr.contains(nothing), "{said}");
    let new = load(2);
    let said = on_node(node, &older[..2]).fails(2);
    assert!(
        said.contains("restart 1 container of default/again-ctr"),
        "{said}"
    );
    let said = on_node(node, &older).ok();
    assert!(
        said.starts_with("default/again-ctr: attempt 1 of web runs in the same sandbox"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!((pod.ip(), pod.sandbox().id), (ip, sandbox));
    assert_eq!(
        (pod.attempts("web").len(), pod.attempts("side").len()),
        (2, 1)
    );
    let words = ["-p", "ctr", "pods", "again-ctr", "--no-probe", "-o", "json"];
    let found: Value = serde_json::from_str(&node.sandbox().devnet(&words).ok()).unwrap();
    let containers = found["pods"][0]["containers"].as_array().unwrap();
    let web = containers.iter().find(|one| one["name"] == "web").unwrap();
    assert_eq!(web["image_id"], new.as_str());
    let said = on_node(node, &older);
    assert!(said.code == 0 && said.stderr.contains(nothing), "{said}");
    engine(&["rm", &base]);
}
