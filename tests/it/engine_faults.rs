//! The Docker engine that devnet runs on a containerd node when something goes wrong: clear errors, nothing
//! half there, and nothing of it in the way of what comes next.

use std::process::{Child, Stdio};

use crate::support::containerd_node::ContainerdNode;
use crate::support::cri::messages::Mount;
use crate::support::devnets_engine::{devnet, engine, life, node, same_traces, traces};
use crate::support::docker_shell::DockerShell;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::random::{Random, switch, tell};
use crate::support::{Sandbox, ended, missing, testbed, until};

const PLUGINS: &str = "/run/docker/plugins";
const STORE: &str = "/var/lib/containerd/io.containerd.content.v1.content";

/// The words of a file `/said` in a pod that CRI starts from an image.
fn said_by_a_pod(node: &ContainerdNode, pod: &str, image: &str) -> String {
    let image = format!("docker.io/library/{image}");
    let sleeper = Container::of("app", &image, &["/bin/busybox", "sleep", "1000"]);
    let _pod = Pod::up(node, Wanted::pod(pod).with(sleeper));
    devnet(node, &["exec", pod, "--", "/bin/busybox", "cat", "/said"]).ok()
}

fn names(node: &ContainerdNode) -> String {
    node.ctr(&["images", "list", "-q"]).ok()
}

/// True where a program of the node has these words.
fn runs(node: &ContainerdNode, words: &str) -> bool {
    node.run(&["pgrep", "-f", words]).code == 0
}

fn spawned(mut command: std::process::Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn an_engine_or_a_guard_that_is_killed_amid_a_build_leaves_no_name_and_no_program() {
    let Some(node) = node("mid", None, "28") else {
        return;
    };
    let web = Pod::up(&node, Wanted::pod("before").sleeper("web"));
    let (before, alive) = (traces(&node), life(&node, &web, "web"));
    let containers = || node.ctr(&["containers", "list", "-q"]).ok();
    let had = containers();
    for (round, victim) in ["dockerd", "devnet-docker", "dockerd", "devnet-docker"]
        .into_iter()
        .enumerate()
    {
        let shell = DockerShell::of(&node);
        // the classic way at first, then BuildKit's
        let seconds = 7_770 + round;
        let folder = shell.own_context("mid", &format!("RUN echo begun; exec sleep {seconds}"));
        let name = format!("amid:{round}");
        let words = ["build", "--no-cache", "-t", &name, &folder];
        let command = if round < 2 {
            let mut command = shell.command("docker");
            command.args(words);
            command
        } else if let Some(command) = shell.buildx_command("28", &words) {
            command
        } else {
            return missing("buildx of that version");
        };
        let build = spawned(command);
        let step = format!("[s]leep {seconds}");
        until("the build is amid its step", || runs(&node, &step));
        let pid = node.run(&["pgrep", "-o", "-x", victim]).ok();
        node.run(&["kill", "-KILL", pid.trim()]).ok();
        let said = ended(build);
        assert_ne!(said.code, 0, "{said}");
        until("all of it is gone", || {
            !runs(&node, &step) && node.run(&["pgrep", "-x", "dockerd|devnet-docker"]).code != 0
        });
        same_traces(&node, &before);
        assert_eq!(containers(), had);
        assert!(!names(&node).contains("amid:"), "{}", names(&node));
    }
    let shell = DockerShell::of(&node);
    let folder = shell.own_context("again", "RUN echo again > /said");
    shell.docker(&["build", "-t", "amid:v1", &folder]).ok();
    assert_eq!(said_by_a_pod(&node, "from-again", "amid:v1"), "again\n");
    engine(&node, &["stop"]);
    assert_eq!(life(&node, &web, "web"), alive);
    same_traces(&node, &before);
}

#[test]
fn a_node_that_is_full_says_so_and_nothing_is_half_there() {
    let Some(node) = node("ful", None, "28") else {
        return;
    };
    let web = Pod::up(&node, Wanted::pod("before").sleeper("web"));
    let alive = life(&node, &web, "web");
    let before = traces(&node);
    let mount = |size: &str, place: &str| {
        let script = format!("mkdir -p {place} && mount -t tmpfs -o size={size} none {place}");
        node.run(&["sh", "-c", &script]).ok();
    };
    mount("64k", "/var/lib/devnet");
    let said = devnet(&node, &["engine", "start"]).fails(1);
    assert!(said.contains("No space left on device"), "{said}");
    node.run(&["umount", "/var/lib/devnet"]).ok();
    node.run(&["rmdir", "/var/lib/devnet"]).ok();
    same_traces(&node, &before);

    let shell = DockerShell::of(&node);
    let folder = shell.own_context("full", "COPY large /large\nRUN echo fits > /said");
    let mut random = Random::new(20_261_128);
    let large: Vec<u8> = (0..16_u32 << 20)
        .map(|_| u8::try_from(random.below(256)).unwrap())
        .collect();
    std::fs::write(format!("{folder}/large"), large).unwrap();
    // what was cached on the disk that goes is none
    let build = ["build", "--no-cache", "-t", "full:v1", &folder];
    mount("6m", STORE);
    node.run(&[
        "mkdir",
        "-p",
        &format!("{STORE}/ingest"),
        &format!("{STORE}/blobs/sha256"),
    ])
    .ok();
    let said = shell.docker(&build);
    assert_ne!(said.code, 0, "{said}");
    assert!(said.stderr.contains("no space left on device"), "{said}");
    assert!(!names(&node).contains("full:v1"));
    node.run(&["umount", STORE]).ok();
    // there is room again
    shell.docker(&build).ok();
    assert_eq!(said_by_a_pod(&node, "from-full", "full:v1"), "fits\n");
    engine(&node, &["stop", "--yes", "--rm-data"]);
    assert_eq!(life(&node, &web, "web"), alive);
    same_traces(&node, &before);
}

#[test]
fn a_containerd_that_is_restarted_under_it_is_found_again() {
    let Some(node) = node("und", None, "28") else {
        return;
    };
    let web = Pod::up(&node, Wanted::pod("before").sleeper("web"));
    let (before, alive) = (traces(&node), life(&node, &web, "web"));
    let shell = DockerShell::of(&node);
    let run = [
        "run",
        "-d",
        "--name",
        "kept",
        "busybox:1.35",
        "sleep",
        "3600",
    ];
    shell.docker(&run).ok();
    let pid = engine(&node, &["status"])["pid"].clone();
    for (round, verbs) in [&["restart"][..], &["kill", "start"]].iter().enumerate() {
        for verb in *verbs {
            node.containerd(verb);
        }
        let name = format!("under:{round}");
        let text = format!("round{round}");
        until("it builds again", || shell.build(&name, &text).code == 0);
        assert_eq!(
            said_by_a_pod(&node, &format!("from-under-{round}"), &name),
            format!("{text}\n")
        );
        shell.docker(&["exec", "kept", "true"]).ok();
        // what is in use is known again too
        let said = shell.docker(&["rmi", "-f", "busybox:1.35"]);
        assert!(said.stderr.contains("runs it"), "{said}");
        assert_eq!(engine(&node, &["status"])["pid"], pid);
    }
    engine(&node, &["stop", "--yes"]);
    assert_eq!(life(&node, &web, "web"), alive);
    same_traces(&node, &before);
}

#[test]
fn no_pod_and_no_user_of_the_node_is_in_the_guards_way() {
    let Some(node) = node("str", None, "28") else {
        return;
    };
    let shell = DockerShell::of(&node);
    let socket = format!("{PLUGINS}/devnet-guard.sock");
    // a pod sees it only where somebody gives it the node's own folder
    let pod = Pod::up(&node, Wanted::pod("plain").sleeper("web"));
    let look = ["exec", "plain", "--", "ls", PLUGINS];
    assert_ne!(devnet(&node, &look).code, 0);
    let mut given = Container::of("web", "docker.io/library/busybox:1.35", &["sleep", "3600"]);
    given.user = Some(1000);
    given.mounts.push(Mount {
        container_path: PLUGINS.into(),
        host_path: PLUGINS.into(),
        readonly: true,
        ..Mount::default()
    });
    let other = Pod::up(&node, Wanted::pod("given").with(given));
    let pid = other.pid("web").to_string();
    let within = [
        "nsenter", "-t", &pid, "--setuid", "1000", "--setgid", "1000", "--net",
    ];
    let ask = [
        "curl",
        "-s",
        "-m",
        "5",
        "--unix-socket",
        &socket,
        "http://d/Plugin.Activate",
    ];
    let said = node.run(&[&within[..], &ask].concat());
    assert_eq!(said.code, 7, "{said}");
    // root of the node may ask as other engines there do, learns nothing and stands in nobody's way
    let said = node.run(&ask).ok();
    assert_eq!(said, r#"{"Implements":["authz"]}"#);
    let hold = "import socket, sys, time\nheld = []\nfor _ in range(700):\n one = socket.socket(socket.AF_UNIX)\n one.connect(sys.argv[1])\n held.append(one)\nopen('/var/tmp/held', 'w').close()\ntime.sleep(1000)";
    let sandbox = Sandbox::bare();
    let mut holding = node.command(&sandbox, "python3");
    let mut holding = holding.args(["-c", hold, &socket]).spawn().unwrap();
    until("the connections are there", || {
        node.path("/var/tmp/held").exists()
    });
    let asked: Vec<Child> = (0..8)
        .map(|_| {
            let mut command = shell.command("docker");
            command.args(["rmi", "-f", "busybox:1.35"]);
            spawned(command)
        })
        .collect();
    for one in asked {
        let said = ended(one);
        assert!(said.stderr.contains("runs it"), "{said}");
    }
    assert_eq!(shell.docker(&["ps", "-q"]).ok(), "");
    node.run(&["pkill", "-f", "[i]mport socket"]).ok();
    holding.wait().unwrap();
    pod.delete();
    engine(&node, &["stop"]);
}

/// Builds through the engine and through the node's buildkitd at once: `ROUNDS` each way (2).
#[test]
fn the_engine_and_buildkitd_build_at_once() {
    let Some(testbed) = testbed() else { return };
    let Some(node) = ContainerdNode::with_dockerd(&testbed, "both", None, Some("28")) else {
        return missing("engines of other versions (run `make engines`)");
    };
    node.buildkitd(&["start"]);
    let shell = DockerShell::of(&node);
    let rounds = switch("ROUNDS").unwrap_or(2);
    for round in 1..=rounds {
        for first in ["docker", "devnet"] {
            let of = |who: &str| format!("{who}-{first}-{round}");
            // what stands for buildkitd has no network
            let step = |who: &str| format!("RUN --network=none echo {} > /said", of(who));
            let mine = shell.own_context("mine", &step("docker"));
            let theirs = shell.own_context("theirs", &step("devnet"));
            let docker = ["build", "-t", "mine:dev", "-t", "either:dev", &mine];
            let Some(docker) = shell.buildx_command("28", &docker) else {
                return missing("buildx of that version");
            };
            let sandbox = node.sandbox();
            let words = [
                "-p",
                "both",
                "build",
                "-t",
                "theirs:dev",
                "-t",
                "either:dev",
                &theirs,
            ];
            let devnet = sandbox.devnet_command(&words);
            let (one, other) = if first == "docker" {
                (docker, devnet)
            } else {
                (devnet, docker)
            };
            for child in [spawned(one), spawned(other)] {
                let said = ended(child);
                assert_eq!(said.code, 0, "round {round}, {first} first: {said}");
            }
            let runs = |image: &str| {
                let pod = format!("{}-{first}-{round}", image.trim_end_matches(":dev"));
                said_by_a_pod(&node, &pod, image).trim().to_owned()
            };
            assert_eq!(runs("mine:dev"), of("docker"));
            assert_eq!(runs("theirs:dev"), of("devnet"));
            let either = runs("either:dev");
            assert!([of("docker"), of("devnet")].contains(&either), "{either}");
        }
        if round % 10 == 0 {
            tell(&format!("{round} rounds each way"));
        }
    }
    tell(&format!("{rounds} rounds each way"));
    engine(&node, &["stop"]);
}

#[test]
fn two_that_start_and_stop_at_once_end_in_one_state() {
    let Some(node) = node("two", None, "28") else {
        return;
    };
    let before = traces(&node);
    let sandbox = node.sandbox();
    let said = |verb: &str| spawned(sandbox.devnet_command(&["-p", "two", "engine", verb]));
    for _ in 0..3 {
        for child in ["start", "stop", "start", "stop"].map(said) {
            let said = ended(child);
            // a start may find that it was stopped again, or that dockerd ended by that while it began
            let overtaken = [
                "does not answer from here",
                "did not start: it said nothing",
            ];
            let overtaken = overtaken.iter().any(|words| said.stderr.contains(words));
            assert!(said.code == 0 || overtaken, "{said}");
        }
        let state = engine(&node, &["status"]);
        assert_eq!(state["running"], state["guard"], "{state}");
    }
    engine(&node, &["stop"]);
    same_traces(&node, &before);
}

#[test]
fn a_node_without_a_docker_engine_or_without_root_says_what_is_missing() {
    let Some(node) = node("lck", None, "28") else {
        return;
    };
    let before = traces(&node);
    node.run(&["mount", "-t", "tmpfs", "none", "/usr/sbin"])
        .ok();
    let said = devnet(&node, &["engine", "start"]).fails(3);
    node.run(&["umount", "/usr/sbin"]).ok();
    assert!(said.contains("there is no `dockerd` on the node"), "{said}");
    assert!(said.contains("`devnet build` and `devnet load`"), "{said}");
    same_traces(&node, &before);
    node.run(&["sed", "-i", "s/NOPASSWD://", "/etc/sudoers"])
        .ok();
    let said = devnet(&node, &["engine", "start"]).fails(3);
    assert!(said.contains("sudo"), "{said}");
    let out = devnet(&node, &["env", "--shell", "bash"]);
    assert_eq!((out.stdout.as_str(), out.code), ("false;\n", 3), "{out}");
    let restore = [
        "sed",
        "-i",
        "s/^docker ALL=(ALL) /&NOPASSWD:/",
        "/etc/sudoers",
    ];
    node.run(&restore).ok();
    same_traces(&node, &before);
}
