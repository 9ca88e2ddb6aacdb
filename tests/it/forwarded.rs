//! Clusters whose nodes are containers that only forwarded ports lead to: docker or podman, of this
//! computer or another one. The engine that runs them is asked, once for the node that is wanted.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use crate::support::relay::Relay;
use crate::support::rewriting::Rewriting;
use crate::support::{Output, Sandbox, busybox_image, docker, testbed};

/// A profile of containers named as minikube names them, with the testbed's certificates.
fn profile(sandbox: &Sandbox, testbed: &Path, driver: &str, name: &str, nodes: &[&str]) {
    let home = sandbox.home().join(".minikube");
    let record = |file: String, text: String| {
        let file = home.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    let listed: Vec<String> = nodes
        .iter()
        .enumerate()
        .map(|(place, node)| {
            let control_plane = node.is_empty();
            format!(
                r#"{{"Name":"{node}","IP":"127.0.0.{}","ControlPlane":{control_plane}}}"#,
                place + 2
            )
        })
        .collect();
    record(
        format!("profiles/{name}/config.json"),
        format!(
            r#"{{"Name":"{name}","Driver":"{driver}","KubernetesConfig":{{"ContainerRuntime":"docker"}},"Nodes":[{}]}}"#,
            listed.join(",")
        ),
    );
    for node in nodes {
        record(
            format!("machines/{}/config.json", machine(name, node)),
            format!(r#"{{"Driver":{{"SSHUser":"docker"}},"DriverName":"{driver}"}}"#),
        );
    }
    let certs = home.join("certs");
    std::os::unix::fs::symlink(testbed.join("minikube/.minikube/certs"), certs).unwrap();
}

fn machine(profile: &str, node: &str) -> String {
    if node.is_empty() {
        profile.into()
    } else {
        format!("{profile}-{node}")
    }
}

/// Starts what stands in for a node: a container that publishes a node's ports at this address.
pub(crate) fn start(testbed: &Path, engine: &str, name: &str, at: &str) {
    let image = busybox_image(testbed, engine);
    let engines_port = format!("{at}::2376");
    let ssh_port = format!("{at}::22");
    let network = format!("forwarding-{engine}");
    let subnet = if engine == "host" {
        "10.203.79.0/24"
    } else {
        "10.203.80.0/24"
    };
    // another test may have made it
    let _there = docker(
        testbed,
        engine,
        &["network", "create", "--subnet", subnet, &network],
    );
    let run = [
        "run",
        "-d",
        "--network",
        &network,
        "--name",
        name,
        "-p",
        &engines_port,
        "-p",
        &ssh_port,
        &image,
        "/bin/busybox",
        "sleep",
        "1000",
    ];
    docker(testbed, engine, &run).ok();
}

pub(crate) fn remove(testbed: &Path, engine: &str, names: &[&str]) {
    docker(testbed, engine, &[&["rm", "-f"], names].concat()).ok();
}

/// The address at which a port of a container is published.
pub(crate) fn published(testbed: &Path, engine: &str, container: &str, port: &str) -> String {
    let out = docker(testbed, engine, &["port", container, port]).ok();
    out.lines().next().unwrap_or_default().trim().to_owned()
}

fn docker_host(out: Output) -> String {
    let text = out.ok();
    let environment: serde_json::Value = serde_json::from_str(&text).unwrap();
    environment["DOCKER_HOST"].as_str().unwrap().to_owned()
}

#[test]
fn only_the_node_that_is_wanted_is_asked_for_and_once() {
    let Some(testbed) = testbed() else { return };
    let names = ["fwd", "fwd-m02", "fwd-m03"];
    for name in &names[..2] {
        start(&testbed, "host", name, "127.0.0.1");
    }
    let sandbox = Sandbox::bare();
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let log = asked.clone();
    let engine = Rewriting::new(sandbox.home(), testbed.join("host.sock"), move |path, _| {
        if path.contains("/containers/") {
            log.lock()
                .unwrap()
                .push(path.rsplit("/containers/").next().unwrap().to_owned());
        }
    });
    let sandbox = sandbox
        .env("WSL_DISTRO_NAME", "here")
        .env("DOCKER_HOST", &engine.url());
    // the third was never started, and nobody asks for it
    profile(&sandbox, &testbed, "docker", "fwd", &["", "m02", "m03"]);
    let env = |arguments: &[&str]| {
        asked.lock().unwrap().clear();
        let all = [&["-p", "fwd", "env", "-o", "json"], arguments].concat();
        docker_host(sandbox.devnet(&all))
    };
    for (arguments, container, host) in [
        (
            &[][..],
            "fwd",
            format!("tcp://{}", published(&testbed, "host", "fwd", "2376")),
        ),
        (
            &["-n", "m02"],
            "fwd-m02",
            format!("tcp://{}", published(&testbed, "host", "fwd-m02", "2376")),
        ),
        (
            &["-n", "fwd-m02"],
            "fwd-m02",
            format!("tcp://{}", published(&testbed, "host", "fwd-m02", "2376")),
        ),
        (
            &["--ssh-host"],
            "fwd",
            format!("ssh://docker@{}", published(&testbed, "host", "fwd", "22")),
        ),
        (
            &["--ssh-host", "-n", "m02"],
            "fwd-m02",
            format!(
                "ssh://docker@{}",
                published(&testbed, "host", "fwd-m02", "22")
            ),
        ),
    ] {
        assert_eq!(env(arguments), host, "{arguments:?}");
        assert_eq!(
            *asked.lock().unwrap(),
            [format!("{container}/json")],
            "{arguments:?}"
        );
    }
    let out = sandbox.devnet(&["-p", "fwd", "env", "-n", "m03"]);
    assert_eq!(out.code, 3, "{out}");
    assert!(out.stderr.contains("has no container `fwd-m03`"), "{out}");
    let out = sandbox.devnet(&["-p", "fwd", "env", "-n", "m04"]);
    assert_eq!(out.code, 4, "{out}");
    assert!(
        out.stderr.contains("there are: fwd, fwd-m02, fwd-m03"),
        "{out}"
    );
    remove(&testbed, "host", &names[..2]);
}

#[test]
fn a_node_that_was_stopped_does_not_hide_the_others_and_is_found_again() {
    let Some(testbed) = testbed() else { return };
    let names = ["halved", "halved-m02"];
    for name in names {
        start(&testbed, "host", name, "127.0.0.1");
    }
    docker(&testbed, "host", &["kill", "halved-m02"]).ok();
    // the container's published port is made to lead to the testbed's node
    let node = Relay::to("127.0.0.2:2376");
    let port = node.port.to_string();
    let sandbox = Sandbox::bare();
    let engine = Rewriting::new(
        sandbox.home(),
        testbed.join("host.sock"),
        move |_, answer| {
            if let Some(ports) = answer.pointer_mut("/NetworkSettings/Ports/2376~1tcp/0") {
                ports["HostPort"] = port.as_str().into();
            }
        },
    );
    let sandbox = sandbox
        .env("WSL_DISTRO_NAME", "here")
        .env("DOCKER_HOST", &engine.url());
    profile(&sandbox, &testbed, "docker", "halved", &["", "m02"]);
    let devnet = |arguments: &[&str]| sandbox.devnet(&[&["-p", "halved"], arguments].concat());

    let out = devnet(&["status", "-o", "json"]);
    assert_eq!(out.code, 3, "{out}");
    let status: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
    for (place, name, answers) in [(0, "halved", true), (1, "halved-m02", false)] {
        assert_eq!(status["nodes"][place]["name"], name, "{out}");
        assert_eq!(status["nodes"][place]["answers"], answers, "{out}");
    }
    let error = status["nodes"][1]["error"].as_str().unwrap();
    assert!(error.contains("`halved-m02` does not run"), "{out}");

    let out = devnet(&["pods", "-o", "json"]);
    assert_eq!(out.code, 5, "{out}");
    let pods: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
    assert!(pods["pods"].is_array(), "{out}");
    assert!(out.stderr.contains("`halved-m02` does not run"), "{out}");

    let out = devnet(&["doctor"]);
    assert_eq!(out.code, 1, "{out}");
    assert!(out.stdout.contains("`halved-m02` does not run"), "{out}");

    // what names it fails, and what names the other does not ask for it
    let out = devnet(&["pods", "--node", "m02"]);
    assert_eq!(out.code, 3, "{out}");
    assert!(out.stderr.contains("`halved-m02` does not run"), "{out}");
    let out = devnet(&["pods", "--node", "halved"]);
    assert_eq!(out.code, 0, "{out}");
    assert!(!out.stderr.contains("halved-m02"), "{out}");

    // who stays looks for it again: its ports are others each time that it starts
    let mut watch = sandbox
        .devnet_command(&["-p", "halved", "watch"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut talk = BufReader::new(watch.stderr.take().unwrap()).lines();
    let mut said = |wanted: &str| {
        let line = talk.find(|line| line.as_ref().unwrap().contains(wanted));
        assert!(line.is_some(), "it ended without a word of `{wanted}`");
    };
    said("watching");
    docker(&testbed, "host", &["start", "halved-m02"]).ok();
    said("`halved-m02` is there again");
    let id = watch.id().to_string();
    Output::of(sandbox.command("kill").args(["-INT", &id])).ok();
    assert_eq!(watch.wait().unwrap().code(), Some(130));

    // the control plane is one of them
    docker(&testbed, "host", &["kill", "halved"]).ok();
    let out = devnet(&["pods"]);
    assert_eq!(out.code, 5, "{out}");
    assert!(out.stderr.contains("`halved` does not run"), "{out}");
    let out = devnet(&["env"]);
    assert_eq!(out.code, 3, "{out}");
    assert!(out.stderr.contains("`halved` does not run"), "{out}");
    docker(&testbed, "host", &["kill", "halved-m02"]).ok();
    let out = devnet(&["pods"]);
    assert_eq!(out.code, 3, "{out}");
    remove(&testbed, "host", &names);
}

#[test]
fn a_rootless_engine_and_one_on_another_computer_forward_their_ports() {
    let Some(testbed) = testbed() else { return };
    start(&testbed, "host", "rootless", "127.0.0.1");
    start(&testbed, "node", "remote", "0.0.0.0");
    let host = format!("unix://{}", testbed.join("host.sock").display());
    let at = published(&testbed, "host", "rootless", "2376");
    let sandbox = Sandbox::bare().env("DOCKER_HOST", &host);
    profile(&sandbox, &testbed, "docker", "rootless", &[""]);
    let asked = ["-p", "rootless", "env", "-o", "json"];
    // by minikube's variable, and by its settings in both of their shapes
    let told = format!("tcp://{at}");
    let mut command = sandbox.devnet_command(&asked);
    assert_eq!(
        docker_host(Output::of(command.env("MINIKUBE_ROOTLESS", "true"))),
        told
    );
    let config = sandbox.home().join(".minikube/config");
    std::fs::create_dir(&config).unwrap();
    for rootless in ["true", "\"true\""] {
        std::fs::write(
            config.join("config.json"),
            format!(r#"{{"rootless":{rootless}}}"#),
        )
        .unwrap();
        assert_eq!(docker_host(sandbox.devnet(&asked)), told, "{rootless}");
    }
    let mut command = sandbox.devnet_command(&["--color", "never", "-p", "rootless", "env"]);
    let out = Output::of(command.env("MINIKUBE_ROOTLESS", "false"));
    assert!(out.stdout.contains("127.0.0.2:2376"), "{out}");

    // the other computer is the one that DOCKER_HOST names
    let certs = testbed
        .join("minikube/.minikube/certs")
        .display()
        .to_string();
    let sandbox = Sandbox::bare()
        .env("DOCKER_HOST", "tcp://127.0.0.2:2376")
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &certs);
    profile(&sandbox, &testbed, "docker", "remote", &[""]);
    let port = published(&testbed, "node", "remote", "2376");
    let port = port.rsplit(':').next().unwrap();
    let out = sandbox.devnet(&["-p", "remote", "env", "-o", "json"]);
    assert_eq!(docker_host(out), format!("tcp://127.0.0.2:{port}"));
    let port = published(&testbed, "node", "remote", "22");
    let port = port.rsplit(':').next().unwrap();
    let out = sandbox.devnet(&["-p", "remote", "env", "--ssh-host", "-o", "json"]);
    assert_eq!(docker_host(out), format!("ssh://docker@127.0.0.2:{port}"));
    remove(&testbed, "host", &["rootless"]);
    remove(&testbed, "node", &["remote"]);
}

/// Writes a `podman` that prints a container which publishes its ports at these.
pub(crate) fn podman(sandbox: &Sandbox, name: &str, state: &str, ports: &[(u16, &str)]) {
    let bindings: Vec<String> = ports
        .iter()
        .map(|(inner, outer)| {
            format!(r#""{inner}/tcp":[{{"HostIp":"127.0.0.1","HostPort":"{outer}"}}]"#)
        })
        .collect();
    let answer = format!(
        r#"[{{"Name":"{name}","State":{{"Status":"{state}"}},"NetworkSettings":{{"Ports":{{{}}}}}}}]"#,
        bindings.join(",")
    );
    let folder = sandbox.home().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("answer"), answer).unwrap();
    let program = format!(
        "#!/bin/sh\n\
         case \"$*\" in\n\
         'container inspect --format json {name}') cat {0}/answer ;;\n\
         'container inspect '*) echo \"Error: no such container $5\" >&2; exit 125 ;;\n\
         *) echo \"unknown: $*\" >&2; exit 125 ;;\n\
         esac\n",
        folder.display()
    );
    std::fs::write(folder.join("podman"), program).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.join("podman"), mode).unwrap();
}

#[test]
fn nodes_that_podman_runs_are_found_through_its_api_or_its_program() {
    let Some(testbed) = testbed() else { return };
    start(&testbed, "host", "podded", "127.0.0.1");
    let url = format!("unix://{}", testbed.join("host.sock").display());
    let at = published(&testbed, "host", "podded", "2376");
    let port = at.rsplit(':').next().unwrap();
    let ssh = published(&testbed, "host", "podded", "22");
    let sandbox = Sandbox::bare();
    let path = format!("{}:/usr/bin:/bin", sandbox.home().join("bin").display());
    // docker's variable names another engine: none that answers
    let sandbox = sandbox
        .env("PATH", &path)
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    profile(&sandbox, &testbed, "podman", "podded", &[""]);
    let env = |variables: &[(&str, &str)], arguments: &[&str]| {
        let all = [&["-p", "podded", "env", "--shell", "none"], arguments].concat();
        Output::of(sandbox.devnet_command(&all).envs(variables.iter().copied()))
    };
    let wsl = ("WSL_DISTRO_NAME", "here");
    // the computer's own podman gives containers addresses that are reached as they are
    let out = env(&[], &[]);
    assert!(
        out.stdout.contains("DOCKER_HOST=tcp://127.0.0.2:2376\n"),
        "{out}"
    );
    // through the API
    let api = [wsl, ("CONTAINER_HOST", url.as_str())];
    let out = env(&api, &[]);
    assert!(
        out.stdout.contains(&format!("DOCKER_HOST=tcp://{at}\n")),
        "{out}"
    );
    let out = env(&api[1..], &["--ssh-host"]);
    assert!(
        out.stdout
            .contains(&format!("DOCKER_HOST=ssh://docker@{ssh}\n")),
        "{out}"
    );
    // through the program, where nothing serves the API
    let out = env(&[wsl, ("PATH", "/nowhere")], &[]);
    assert_eq!(out.code, 3, "{out}");
    assert!(out.stderr.contains("no `podman` on PATH"), "{out}");
    podman(&sandbox, "podded", "running", &[(2376, port), (22, "4022")]);
    let out = env(&[wsl], &[]);
    assert!(
        out.stdout
            .contains(&format!("DOCKER_HOST=tcp://127.0.0.1:{port}\n")),
        "{out}"
    );
    let out = env(&[], &["--ssh-host"]);
    assert!(
        out.stdout.contains(
            "DOCKER_HOST=ssh://docker@127.0.0.1:4022
"
        ),
        "{out}"
    );
    podman(&sandbox, "podded", "exited", &[]);
    let out = env(&[wsl], &[]);
    assert_eq!(out.code, 3, "{out}");
    assert!(out.stderr.contains("`podded` is exited"), "{out}");
    podman(&sandbox, "another", "running", &[]);
    let out = env(&[wsl], &[]);
    assert_eq!(out.code, 3, "{out}");
    assert!(
        out.stderr.contains("podman has no container `podded`"),
        "{out}"
    );
    let out = env(&[("CONTAINER_HOST", "podman.sock")], &[]);
    assert_eq!(out.code, 2, "{out}");
    assert!(out.stderr.contains("CONTAINER_HOST"), "{out}");
    remove(&testbed, "host", &["podded"]);
}
