//! `devnet load` when something goes wrong in the middle: every name points at an image that runs,
//! and nothing of devnet's stays.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;

use crate::support::engines::Engine;
use crate::support::tripwire::Tripwire;
use crate::support::{Output, Sandbox, ended, testbed};

/// The engine that images come from and the one they go to.
struct Two {
    host: Engine,
    node: Engine,
    sandbox: Sandbox,
}

impl Two {
    fn start(testbed: &Path, name: &str) -> Self {
        Self {
            host: Engine::start(testbed, &format!("{name}-host")),
            node: Engine::start(testbed, &format!("{name}-node")),
            sandbox: Sandbox::bare(),
        }
    }

    fn load(&self, image: &str) -> Output {
        let from = self.host.url();
        self.sandbox
            .devnet(&["-H", &self.node.url(), "load", "--from-host", &from, image])
    }

    /// A load of which something happens in the middle: a megabyte has reached the node by then.
    fn load_until(&self, image: &str, deed: impl FnOnce(u32) + Send + 'static) -> Output {
        let (tell, told) = mpsc::channel();
        let wire = Tripwire::new(
            self.sandbox.home(),
            self.node.socket(),
            &["POST /images/load"],
            1 << 20,
            move || deed(told.recv().unwrap()),
        );
        let from = self.host.url();
        let mut command =
            self.sandbox
                .devnet_command(&["-H", &wire.url(), "load", "--from-host", &from, image]);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        tell.send(child.id()).unwrap();
        let output = ended(child);
        std::fs::remove_file(self.sandbox.home().join("tripwire.sock")).unwrap();
        output
    }
}

fn signal(signal: &str, pid: u32) {
    let sandbox = Sandbox::bare();
    Output::of(
        sandbox
            .command("kill")
            .args([&format!("-{signal}"), &pid.to_string()]),
    )
    .ok();
}

#[test]
fn layers_that_a_node_removes_in_between_are_sent_in_a_second_attempt() {
    let Some(testbed) = testbed() else { return };
    let two = Two::start(&testbed, "prune");
    two.host.image("app:1", 2, "one");
    two.load("app:1").ok();
    two.host.image("app:1", 2, "two");
    let socket = two.node.url();
    let wire = Tripwire::new(
        two.sandbox.home(),
        two.node.socket(),
        &["POST /images/load"],
        0,
        move || {
            let sandbox = Sandbox::bare();
            Output::of(
                sandbox
                    .command("docker")
                    .args(["-H", &socket, "rmi", "-f", "app:1"]),
            )
            .ok();
        },
    );
    let from = two.host.url();
    let out = two
        .sandbox
        .devnet(&["-H", &wire.url(), "load", "--from-host", &from, "app:1"]);
    assert!(
        out.code == 0 && out.stderr.contains("sending the whole image"),
        "{out}"
    );
    assert_eq!(two.node.top("app:1").ok(), "two");
    assert_eq!(two.node.names(), ["app:1"]);
    assert_eq!(two.host.left_over() + &two.node.left_over(), "");
}

#[test]
fn interrupted_in_the_middle_it_leaves_nothing_and_killed_the_next_command_tidies() {
    let Some(testbed) = testbed() else { return };
    let two = Two::start(&testbed, "stop");
    two.host.image("app:1", 30, "one");
    let out = two.load_until("app:1", |devnet| signal("INT", devnet));
    assert_eq!(out.code, 130, "{out}");
    assert_eq!(two.node.names(), [""; 0]);
    assert_eq!(two.node.docker(&["images", "-aq"]).ok(), "");
    assert_eq!(two.host.left_over() + &two.node.left_over(), "");
    assert_eq!(two.host.names(), ["app:1", "devnet-test/busybox:latest"]);

    let out = two.load_until("app:1", |devnet| signal("KILL", devnet));
    assert_eq!(out.code, -1, "{out}");
    assert_eq!(two.node.names(), [""; 0]);
    two.sandbox
        .devnet(&["-H", &two.host.url(), "pods", "--no-probe"])
        .ok();
    assert_eq!(two.host.left_over(), "");
    two.load("app:1").ok();
    assert_eq!(two.node.top("app:1").ok(), "one");
    assert_eq!(two.node.names(), ["app:1"]);
}

#[test]
fn an_engine_that_dies_in_the_middle_keeps_what_it_had_and_gets_no_name() {
    let Some(testbed) = testbed() else { return };
    let two = Two::start(&testbed, "die");
    two.host.image("keep:1", 1, "keep");
    two.load("keep:1").ok();
    two.host.image("app:1", 30, "one");
    let pid = std::fs::read_to_string(two.node.folder().join("pid")).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    let out = two.load_until("app:1", move |_| signal("KILL", pid));
    assert!(
        out.code == 1 && out.stderr.contains("error: "),
        "lost half-way: {out}"
    );
    assert_eq!(two.host.left_over(), "");
    two.node.again();
    assert_eq!(two.node.names(), ["keep:1"]);
    assert_eq!(two.node.top("keep:1").ok(), "keep");
    two.load("app:1").ok();
    assert_eq!(two.node.top("app:1").ok(), "one");
}

#[test]
fn an_engine_that_freezes_in_the_middle_was_lost_half_way_and_not_unreachable() {
    let Some(testbed) = testbed() else { return };
    let two = Two::start(&testbed, "freeze");
    two.host.image("app:1", 30, "one");
    let pid = std::fs::read_to_string(two.node.folder().join("pid")).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    let out = two.load_until("app:1", move |_| signal("STOP", pid));
    signal("CONT", pid);
    assert!(
        out.code == 1 && out.stderr.contains("stopped answering"),
        "{out}"
    );
}

#[test]
fn an_engine_whose_disk_is_full_says_so_and_keeps_what_it_had() {
    let Some(testbed) = testbed() else { return };
    let data = testbed.join("full-node/data");
    std::fs::create_dir_all(&data).unwrap();
    let mount = |program: &str, arguments: &[&str]| {
        let sandbox = Sandbox::bare();
        Output::of(
            sandbox
                .command(program)
                .args(arguments)
                .arg(data.display().to_string()),
        )
    };
    mount("mount", &["-t", "tmpfs", "-o", "size=40m", "tmpfs"]).ok();
    let two = Two::start(&testbed, "full");
    two.host.image("keep:1", 1, "keep");
    two.load("keep:1").ok();
    two.host.image("app:1", 40, "one");
    let out = two.load("app:1");
    assert!(
        out.code == 1 && out.stderr.contains("no space left on device"),
        "{out}"
    );
    assert_eq!(two.node.names(), ["keep:1"]);
    assert_eq!(two.host.left_over() + &two.node.left_over(), "");
    // an engine that has no place for its own records starts nothing
    mount("mount", &["-o", "remount,size=80m"]).ok();
    assert_eq!(two.node.top("keep:1").ok(), "keep");
    drop(two);
    mount("umount", &["-l"]).ok();
}

#[test]
fn two_loads_of_one_image_at_once_both_succeed() {
    let Some(testbed) = testbed() else { return };
    let two = Two::start(&testbed, "both");
    two.host.image("app:1", 10, "one");
    let from = two.host.url();
    for _ in 0..2 {
        let children: Vec<Child> = (0..3)
            .map(|_| {
                two.sandbox
                    .devnet_command(&["-H", &two.node.url(), "load", "--from-host", &from, "app:1"])
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for child in children {
            ended(child).ok();
        }
        assert_eq!(two.node.top("app:1").ok(), "one");
        assert_eq!(two.node.names(), ["app:1"]);
        assert_eq!(two.host.left_over() + &two.node.left_over(), "");
        two.host.image("app:1", 10, "one");
    }
}

#[test]
fn a_frozen_node_is_given_up_while_the_other_gets_the_image() {
    let Some(testbed) = testbed() else { return };
    let host = Engine::start(&testbed, "frozen-host");
    let node = Engine::start(&testbed, "pair");
    let frozen = Engine::start(&testbed, "pair-m02");
    host.image("app:1", 2, "one");
    let sandbox = Sandbox::with_minikube(&testbed);
    let pid = std::fs::read_to_string(frozen.folder().join("pid")).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    // the nodes have told what they lack; now the image is read
    let wire = Tripwire::new(
        sandbox.home(),
        host.socket(),
        &["POST /containers/create", "POST /images/127"],
        0,
        move || signal("STOP", pid),
    );
    let out = sandbox.devnet(&[
        "-p",
        "pair",
        "load",
        "--from-host",
        &wire.url(),
        "app:1",
        "-o",
        "json",
    ]);
    signal("CONT", pid);
    assert_eq!(out.code, 5, "{out}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&out.stdout).unwrap();
    assert!(rows[0].get("error").is_none(), "{out}");
    let why = rows[1]["error"].as_str().unwrap();
    assert!(why.contains("stopped answering"), "{out}");
    assert_eq!(node.top("app:1").ok(), "one");
    assert_eq!(host.left_over(), "");
    frozen.docker(&["image", "inspect", "app:1"]).fails(1);
}
