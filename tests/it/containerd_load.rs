//! `devnet load` and `devnet images` on nodes that run containerd.

use std::path::Path;

use serde_json::Value;

use crate::load::{configuration, image};
use crate::support::archive::{Files, Pack, base, layer, piped};
use crate::support::containerd_node::{ContainerdNode, cluster, containerd_node};
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, Sandbox, docker, testbed};

pub(crate) fn load(testbed: &Path, node: &ContainerdNode, engine: &str, more: &[&str]) -> Output {
    let from = format!(
        "unix://{}",
        testbed.join(format!("{engine}.sock")).display()
    );
    let arguments = [&["load", "--from-host", &from], more].concat();
    node.sandbox().devnet(&arguments)
}

/// Runs a line of a shell's on this computer, for what takes pipes.
fn sh(line: &str) {
    Output::of(Sandbox::bare().command("/bin/sh").args(["-c", line])).ok();
}

/// The same with the node's profile; `$DEVNET` is devnet.
fn by_shell(node: &ContainerdNode, line: &str) -> Output {
    let sandbox = node.sandbox();
    let mut shell = sandbox.command("/bin/sh");
    shell
        .args(["-c", line])
        .env("DEVNET", env!("CARGO_BIN_EXE_devnet"));
    Output::of(&mut shell)
}

/// The only row of a load's JSON.
pub(crate) fn row(text: &str) -> Value {
    let rows: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(rows.len(), 1, "{text}");
    rows.into_iter().next().unwrap()
}

/// Starts a pod from an image by CRI, and reads a file of it.
pub(crate) fn runs(node: &ContainerdNode, pod: &str, image: &str, file: &str) -> String {
    let sleeper = Container::of("app", image, &["/bin/busybox", "sleep", "1000"]);
    let _pod = Pod::up(node, Wanted::pod(pod).with(sleeper));
    node.sandbox()
        .devnet(&["exec", pod, "--", "/bin/busybox", "cat", file])
        .ok()
}

#[test]
fn a_changed_layer_is_all_that_crosses_and_a_pod_starts_from_what_arrived() {
    let (Some(testbed), Some(node)) = (testbed(), containerd_node()) else {
        return;
    };
    image(&testbed, "host", "ctr-delta:v1", "ctr-delta", "one");
    let id = configuration(&testbed, "host", "ctr-delta:v1");
    let first = row(&load(&testbed, node, "host", &["ctr-delta:v1", "-o", "json"]).ok());
    assert_eq!(
        (&first["id"], &first["node"]),
        (&id.as_str().into(), &node.name.as_str().into())
    );
    assert_eq!(first["layers_sent"], first["layers_total"], "{first}");
    assert_eq!(
        runs(
            node,
            "ctr-delta-1",
            "docker.io/library/ctr-delta:v1",
            "/top"
        ),
        "one"
    );

    image(&testbed, "host", "ctr-delta:v1", "ctr-delta", "two");
    let id = configuration(&testbed, "host", "ctr-delta:v1");
    let second = row(&load(&testbed, node, "host", &["ctr-delta:v1", "-o", "json"]).ok());
    assert_eq!(second["id"], id.as_str());
    assert_eq!(second["layers_sent"], 1, "{second}");
    assert!(second["bytes_sent"].as_u64().unwrap() < 20_000, "{second}");
    assert_eq!(
        runs(
            node,
            "ctr-delta-2",
            "docker.io/library/ctr-delta:v1",
            "/top"
        ),
        "two"
    );

    let third = row(&load(&testbed, node, "host", &["ctr-delta:v1", "-o", "json"]).ok());
    assert_eq!(
        (&third["layers_sent"], &third["bytes_sent"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn an_image_is_the_same_from_an_engine_an_archive_a_layout_and_a_pipe() {
    let (Some(testbed), Some(node)) = (testbed(), containerd_node()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    image(&testbed, "host", "ctr-sources:v1", "ctr-sources", "same");
    let id = configuration(&testbed, "host", "ctr-sources:v1");
    let (saved, packed) = (file("saved.tar"), file("saved.tar.gz"));
    docker(&testbed, "host", &["save", "-o", &saved, "ctr-sources:v1"]).ok();
    sh(&format!("PATH=/usr/bin:/bin; gzip -k {saved}"));
    let one = |name: &str, source: &str| {
        let sources = ["load", source, "--tag", name, "-o", "json"];
        row(&node.sandbox().devnet(&sources).ok())
    };
    let name = "docker.io/library/ctr-sources:";
    for (tag, source) in [("archive", &saved), ("packed", &packed)] {
        let loaded = one(&format!("ctr-sources:{tag}"), source);
        assert_eq!(loaded["id"], id.as_str(), "{tag}");
        let pod = format!("ctr-sources-{tag}");
        assert_eq!(runs(node, &pod, &format!("{name}{tag}"), "/top"), "same");
    }
    // without any of its layers there, through a pipe
    node.sandbox()
        .devnet(&["images", "rm", "ctr-sources:archive", "ctr-sources:packed"])
        .ok();
    let script =
        format!("PATH=/usr/bin:/bin; cat {saved} | $DEVNET load - --tag ctr-sources:pipe -o json");
    let loaded = row(&by_shell(node, &script).ok());
    assert_eq!(loaded["id"], id.as_str());
    // the base is that of other tests' images too
    assert!(loaded["layers_sent"].as_u64().unwrap() >= 2, "{loaded}");
    assert_eq!(
        runs(node, "ctr-sources-pipe", &format!("{name}pipe"), "/top"),
        "same"
    );
}

#[test]
fn what_a_node_throws_away_is_said_and_whole_brings_it() {
    let Some(testbed) = testbed() else { return };
    // of its own: on a shared one another test's load may bring the base as a whole
    let node = &ContainerdNode::start(&testbed, "ctr-whole");
    image(&testbed, "host", "ctr-whole:v1", "ctr-whole", "all");
    let id = configuration(&testbed, "host", "ctr-whole:v1");
    load(&testbed, node, "host", &["ctr-whole:v1"]).ok();
    let seen = || {
        let text = node
            .sandbox()
            .devnet(&["images", "ctr-whole", "-o", "json"])
            .ok();
        row(&text)
    };
    assert_eq!(
        (&seen()["run_only"], &seen()["id"]),
        (&true.into(), &id.as_str().into())
    );
    let plan = load(
        &testbed,
        node,
        "host",
        &["ctr-whole:v1", "--whole", "--dry-run", "-o", "json"],
    );
    let plan = row(&plan.ok());
    assert_eq!(plan["layers_sent"], plan["layers_total"], "{plan}");
    load(&testbed, node, "host", &["ctr-whole:v1", "--whole"]).ok();
    node.collect();
    assert_eq!(
        (&seen()["run_only"], &seen()["id"]),
        (&false.into(), &id.as_str().into())
    );
    // and it stays so
    let again = row(&load(
        &testbed,
        node,
        "host",
        &["ctr-whole:v1", "--whole", "-o", "json"],
    )
    .ok());
    assert_eq!(again["layers_sent"], 0, "{again}");
    let ctr = node.ctr(&[
        "images",
        "export",
        "/var/tmp/ctr-whole.tar",
        "docker.io/library/ctr-whole:v1",
    ]);
    ctr.ok();
    // and after the runtime was restarted
    let name = "docker.io/library/ctr-whole:v1";
    assert_eq!(runs(node, "ctr-whole-1", name, "/top"), "all");
    node.containerd("restart");
    assert_eq!(runs(node, "ctr-whole-2", name, "/top"), "all");
    assert_eq!(
        (&seen()["run_only"], &seen()["id"]),
        (&false.into(), &id.as_str().into())
    );
}

#[test]
fn what_a_pod_uses_is_named_and_stays() {
    let (Some(testbed), Some(node)) = (testbed(), containerd_node()) else {
        return;
    };
    image(&testbed, "host", "ctr-used:v1", "ctr-used", "1");
    load(&testbed, node, "host", &["ctr-used:v1"]).ok();
    let name = "docker.io/library/ctr-used:v1";
    let sleeper = Container::of("app", name, &["/bin/busybox", "sleep", "1000"]);
    let pod = Pod::up(node, Wanted::pod("ctr-used").with(sleeper));
    // the name goes to another image, as the next load does it
    image(&testbed, "host", "ctr-used:v1", "ctr-used", "2");
    load(&testbed, node, "host", &["ctr-used:v1"]).ok();
    let images = || -> Vec<Value> {
        let text = node.sandbox().devnet(&["images", "-o", "json"]).ok();
        serde_json::from_str(&text).unwrap()
    };
    let all = images();
    let is_pause = |image: &Value| image["names"].to_string().contains("/pause:");
    let used = |image: &&Value| image["pods"].to_string().contains("default/ctr-used");
    let of_pod: Vec<&Value> = all
        .iter()
        .filter(used)
        .filter(|image| !is_pause(image))
        .collect();
    assert_eq!(of_pod.len(), 1, "{of_pod:?}");
    let old = of_pod[0];
    assert_eq!(old["dangling"], true, "{old}");
    let pause = all.iter().find(|image| is_pause(image));
    let pause = pause.expect("the image of sandboxes is listed");
    assert!(used(&pause), "{pause}");

    let said = node.sandbox().devnet(&[
        "images",
        "rm",
        name.trim_start_matches("docker.io/library/"),
    ]);
    said.ok();
    let refused = node
        .sandbox()
        .devnet(&["images", "rm", old["id"].as_str().unwrap()])
        .fails(1);
    assert!(refused.contains("default/ctr-used"), "{refused}");
    let pause = pause["names"][0].as_str().unwrap();
    let refused = node.sandbox().devnet(&["images", "rm", pause]).fails(1);
    assert!(refused.contains("default/ctr-used"), "{refused}");

    pod.delete();
    let id = old["id"].as_str().unwrap();
    node.sandbox().devnet(&["images", "rm", id]).ok();
    assert!(images().iter().all(|image| image["id"] != id));
}

#[test]
fn one_reading_serves_all_nodes_and_a_node_gives_what_it_has() {
    let (Some(testbed), Some(first)) = (testbed(), containerd_node()) else {
        return;
    };
    let second = ContainerdNode::start(&testbed, "ctr-load-2");
    let both = cluster(&[first, &second]);
    let from = format!("unix://{}", testbed.join("host.sock").display());
    let rows = |arguments: &[&str]| -> Vec<Value> {
        let text = both.devnet(&[arguments, &["-o", "json"]].concat()).ok();
        serde_json::from_str(&text).unwrap()
    };
    image(&testbed, "host", "ctr-both:v1", "ctr-both", "both");
    let id = configuration(&testbed, "host", "ctr-both:v1");
    let sent = rows(&["load", "--from-host", &from, "ctr-both:v1"]);
    assert_eq!(sent.len(), 2, "{sent:?}");
    for row in &sent {
        assert_eq!(
            (&row["id"], &row["error"]),
            (&id.as_str().into(), &Value::Null),
            "{row}"
        );
    }
    assert_eq!(
        runs(&second, "ctr-both", "docker.io/library/ctr-both:v1", "/top"),
        "both"
    );

    // what was thrown away can't come out of a node
    second
        .ctr(&[
            "images",
            "rm",
            "--sync",
            "docker.io/library/ctr-both:v1",
            &id,
        ])
        .ok();
    first.collect();
    let from_first = ["load", "--from-node", "several", "-n", "m02", "ctr-both:v1"];
    let refused = both.devnet(&from_first).fails(1);
    assert!(
        refused.contains("thrown") && refused.contains("--whole"),
        "{refused}"
    );
    both.devnet(&[
        "load",
        "--from-host",
        &from,
        "-n",
        "several",
        "--whole",
        "ctr-both:v1",
    ])
    .ok();
    first.collect();
    let sent = rows(&from_first);
    assert_eq!(sent[0]["id"], id.as_str(), "{sent:?}");
    assert_eq!(
        runs(
            &second,
            "ctr-both-2",
            "docker.io/library/ctr-both:v1",
            "/top"
        ),
        "both"
    );

    // of one that differs in its last layer no other has to be there
    image(&testbed, "host", "ctr-both:v1", "ctr-both", "newer");
    both.devnet(&["load", "--from-host", &from, "-n", "several", "ctr-both:v1"])
        .ok();
    first.collect();
    let refused = both.devnet(&from_first).fails(1);
    assert!(refused.contains("thrown"), "{refused}");

    // what comes once, out of a pipe, comes to all
    let layers = [base(7020, 60_000), layer(&[("top", b"piped")])];
    let archive = Files::oci("ctr-both:pipe", &layers, Pack::Plain).tar();
    let mut load = both.devnet_command(&["load", "-", "-o", "json"]);
    let sent: Vec<Value> = serde_json::from_str(&piped(&mut load, archive).ok()).unwrap();
    assert_eq!(sent.len(), 2, "{sent:?}");
    let full = "docker.io/library/ctr-both:pipe";
    for (node, row) in [first, &second].into_iter().zip(&sent) {
        assert_eq!(
            (&row["layers_sent"], &row["error"]),
            (&2.into(), &Value::Null)
        );
        let known = node.cri().image(full).unwrap();
        assert_eq!(known.as_deref(), row["id"].as_str(), "{row}");
    }
}

#[test]
fn pods_of_an_older_image_are_named_or_run_the_new_one_in_their_sandbox() {
    let (Some(testbed), Some(node)) = (testbed(), containerd_node()) else {
        return;
    };
    image(&testbed, "host", "ctr-older:v1", "ctr-older", "1");
    load(&testbed, node, "host", &["ctr-older:v1"]).ok();
    let name = "docker.io/library/ctr-older:v1";
    let sleeper = Container::of("app", name, &["/bin/busybox", "sleep", "1000"]);
    let mut wanted = Wanted::pod("ctr-older").with(sleeper);
    wanted.grace = 1;
    let pod = Pod::up(node, wanted);
    let (ip, sandbox) = (pod.ip(), pod.sandbox().id);
    let top = || {
        let read = ["exec", "ctr-older", "--", "/bin/busybox", "cat", "/top"];
        node.sandbox().devnet(&read).ok()
    };
    image(&testbed, "host", "ctr-older:v1", "ctr-older", "2");
    let said = load(&testbed, node, "host", &["ctr-older:v1"]).stderr;
    assert!(
        said.contains("default/ctr-older") && said.contains("devnet restart --image ctr-older:v1"),
        "{said}"
    );
    assert_eq!(top(), "1");

    image(&testbed, "host", "ctr-older:v1", "ctr-older", "3");
    load(&testbed, node, "host", &["ctr-older:v1", "--restart"]).ok();
    assert_eq!(top(), "3");
    assert_eq!((pod.ip(), pod.sandbox().id), (ip, sandbox));
    let again = load(&testbed, node, "host", &["ctr-older:v1", "--restart"]).stderr;
    assert!(
        again.contains("nothing sent") && !again.contains("attempt"),
        "{again}"
    );
}
