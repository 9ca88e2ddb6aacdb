//! The Docker engine that devnet runs on a containerd node, and its surroundings: registries, proxies and CAs
//! of the node, systemd, other nodes, and what the doctor finds about images.

use serde_json::{Value, json};

use crate::support::containerd_node::{ContainerdNode, cluster};
use crate::support::devnets_engine::{
    devnet, engine, life, node, same_traces, systemd_node, traces,
};
use crate::support::docker_shell::DockerShell;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::registry::Registry;
use crate::support::{Output, Sandbox, until};

fn findings(said: &Output) -> Vec<Value> {
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    document["findings"].as_array().unwrap().clone()
}

/// The finding with a code; its message, its fix and what was seen as one text.
fn finding(all: &[Value], code: &str) -> Option<String> {
    let found = all.iter().find(|one| one["code"] == code)?;
    Some(found.to_string())
}

#[test]
fn registries_cas_and_proxies_of_the_nodes_containerd_are_the_engines_too() {
    let Some(node) = node("reg", None, "28") else {
        return;
    };
    // a mirror without TLS in the node's own network
    let registry = Registry::open();
    registry.put_image("library/mirrored", "v1", &[0; 1024]);
    let gateway = format!("{}.1", node.own_address().trim_end_matches(".2"));
    let listen = format!("TCP-LISTEN:5055,bind={gateway},fork,reuseaddr");
    let sandbox = Sandbox::bare();
    let mut relay = sandbox.command("socat");
    let mut relay = relay
        .args([listen, format!("TCP:{}", registry.address)])
        .spawn()
        .unwrap();
    let file = |path: &str, text: &str| {
        let path = node.path(&format!("/etc/containerd/certs.d/{path}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let mirrors = format!(
        "server = \"https://registry-1.docker.io\"\n[host.\"http://{gateway}:5055\"]\n  capabilities = [\"pull\", \"resolve\"]\n\
         [host.\"https://harbor.test/v2/hub\"]\n  override_path = true\n"
    );
    file("docker.io/hosts.toml", &mirrors);
    file(
        "192.0.2.7_5000_/hosts.toml",
        "[host.\"https://192.0.2.7:5000\"]\n  skip_verify = true\n",
    );
    file(
        "own.test/hosts.toml",
        "[host.\"https://own.test\"]\n  ca = \"ca.crt\"\n",
    );
    let ca = std::fs::read_to_string(node.path("/etc/docker/ca.pem")).unwrap();
    file("own.test/ca.crt", &ca);
    node.containerd("stop");
    let proxies = [
        "HTTPS_PROXY=http://proxy.test:3128",
        "NO_PROXY=10.96.0.0/12,192.168.0.0/16",
    ];
    node.run(&[&["env"][..], &proxies, &["/etc/containerd/start"]].concat())
        .ok();
    let before = traces(&node);

    let shell = DockerShell::of(&node);
    let info = shell.docker(&["info", "--format", "{{json .}}"]).ok();
    let info: Value = serde_json::from_str(&info).unwrap();
    let registries = &info["RegistryConfig"];
    let mirror = format!("http://{gateway}:5055/");
    assert_eq!(registries["Mirrors"], json!([mirror]), "{registries}");
    for insecure in [format!("{gateway}:5055"), "192.0.2.7:5000".to_owned()] {
        assert_eq!(
            registries["IndexConfigs"][&insecure]["Secure"], false,
            "{registries}"
        );
    }
    assert_eq!(info["HttpsProxy"], "http://proxy.test:3128");
    assert_eq!(info["NoProxy"], "10.96.0.0/12,192.168.0.0/16");
    let carried = node.path("/etc/docker/certs.d/own.test/devnet.crt");
    assert!(carried.symlink_metadata().is_ok());
    shell.docker(&["pull", "mirrored:v1"]).ok();
    assert!(
        node.ctr(&["images", "list", "-q"])
            .ok()
            .contains("docker.io/library/mirrored:v1")
    );

    // what it can't have is named
    let notes = engine(&node, &["status"])["notes"].to_string();
    assert!(notes.contains("harbor.test/v2/hub"), "{notes}");
    let text = devnet(&node, &["engine", "status"]).ok();
    assert!(
        text.contains("without") && text.contains("harbor.test/v2/hub"),
        "{text}"
    );
    let all = findings(&devnet(&node, &["doctor", "-o", "json"]));
    let named = finding(&all, "registries").unwrap();
    assert!(named.contains("harbor.test/v2/hub"), "{named}");
    shell.docker(&["rmi", "mirrored:v1"]).ok();
    engine(&node, &["stop", "--yes"]);
    same_traces(&node, &before);
    relay.kill().unwrap();
    relay.wait().unwrap();
}

#[test]
fn where_systemd_runs_the_engine_is_a_unit_of_its_own_and_leaves_nothing_either() {
    let Some(node) = systemd_node("sys") else {
        return;
    };
    until("systemd takes orders", || {
        node.run(&["systemctl", "is-active", "node.target"]).code == 0
    });
    // its own folders for such units stay
    let one = [
        "systemd-run",
        "--quiet",
        "--collect",
        "--unit=devnet-docker",
        "true",
    ];
    node.run(&one).ok();
    let show = |what: &str| {
        let show = ["systemctl", "show", "-P", what, "devnet-docker.service"];
        node.run(&show).ok().trim().to_owned()
    };
    until("the unit is gone", || show("LoadState") == "not-found");
    let web = Pod::up(&node, Wanted::pod("before").sleeper("web"));
    let (before, alive) = (traces(&node), life(&node, &web, "web"));
    let state = engine(&node, &["start"]);
    assert_eq!(state["running"], true);
    assert_eq!(
        (show("ActiveState"), show("Transient"), show("Delegate")),
        ("active".into(), "yes".into(), "yes".into())
    );
    let group = format!("/proc/{}/cgroup", state["pid"]);
    let group = node.run(&["cat", &group]).ok();
    assert!(group.contains("devnet-docker.service"), "{group}");
    let shell = DockerShell::of(&node);
    shell.build("unit:v1", "unit").ok();
    let run = ["run", "-d", "busybox:1.35", "sleep", "3600"];
    shell.docker(&run).ok();
    // a person ends it as they end others, or the kernel does
    for end in [
        &["stop", "devnet-docker"][..],
        &["kill", "--signal=KILL", "devnet-docker"],
    ] {
        engine(&node, &["start"]);
        node.run(&[&["systemctl"], end].concat()).ok();
        until("the unit is gone", || show("LoadState") == "not-found");
        same_traces(&node, &before);
        assert_eq!(engine(&node, &["status"])["running"], false);
    }
    // one right after the other
    for _ in 0..3 {
        engine(&node, &["start"]);
        engine(&node, &["stop", "--yes"]);
    }
    until("the unit is gone", || show("LoadState") == "not-found");
    same_traces(&node, &before);
    assert_eq!(life(&node, &web, "web"), alive);

    // a bus that does not answer
    let refusing = "mount -t tmpfs none /usr/local/bin; \
        printf '#!/bin/sh\\necho Failed to connect to bus >&2; exit 1\\n' > /usr/local/bin/systemd-run; chmod +x /usr/local/bin/systemd-run";
    node.run(&["sh", "-c", refusing]).ok();
    let said = devnet(&node, &["engine", "start"]).fails(1);
    assert!(said.contains("Failed to connect to bus"), "{said}");
    same_traces(&node, &before);
}

#[test]
fn of_several_nodes_it_is_told_which_holds_what_is_built() {
    let Some(one) = node("sev1", None, "28") else {
        return;
    };
    let Some(other) = node("sev2", None, "28") else {
        return;
    };
    let sandbox = cluster(&[&one, &other]);
    let own = one.folder().join("minikube/.minikube/certs");
    let certs = sandbox.home().join(".minikube/certs");
    std::fs::create_dir_all(&certs).unwrap();
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(own.join(file), certs.join(file)).unwrap();
        std::fs::copy(own.join(file), sandbox.home().join(".minikube").join(file)).unwrap();
    }
    let env = ["env", "--shell", "none"];
    let first = sandbox.devnet(&env);
    let at = |out: &Output, node: &ContainerdNode| {
        let host = format!("DOCKER_HOST=tcp://{}:2376", node.address());
        assert!(out.stdout.lines().any(|line| line == host), "{out}");
    };
    at(&first, &one);
    for word in [
        "profile `several` has 2 nodes",
        "is on `several` alone",
        "devnet -p several load --from-node several IMAGE",
    ] {
        assert!(first.stderr.contains(word), "{first}");
    }
    let second = sandbox.devnet(&[&env[..], &["--node", "m02"]].concat());
    at(&second, &other);
    assert!(
        second.stderr.contains("is on `several-m02` alone"),
        "{second}"
    );
    // one more node is one more engine
    let state: Value =
        serde_json::from_str(&sandbox.devnet(&["engine", "status", "-o", "json"]).ok()).unwrap();
    let running = |state: &Value| {
        let all = state["engines"].as_array().unwrap().iter();
        all.map(|one| one["running"] == true).collect::<Vec<_>>()
    };
    assert_eq!(running(&state), [true, true]);

    // what one node's pods ask for and only the other has
    let shell = |out: &Output| {
        let host = out
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("DOCKER_HOST="));
        let mut docker = sandbox.command("docker");
        docker
            .args(["-H", host.unwrap(), "--tlsverify"])
            .env("DOCKER_CERT_PATH", &certs)
            .env("DOCKER_BUILDKIT", "0");
        docker
    };
    let folder = sandbox.home().join("x");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("Dockerfile"),
        "FROM busybox:1.35\nRUN echo x > /x\n",
    )
    .unwrap();
    for out in [&first, &second] {
        let build = ["build", "-q", "-t", "shared:v1"];
        Output::of(shell(out).args(build).arg(&folder)).ok();
    }
    let web = Container::of("web", "docker.io/library/shared:v1", &["sleep", "3600"]);
    let _web = Pod::up(&other, Wanted::pod("web").with(web));
    let doctor = || findings(&sandbox.devnet(&["doctor", "-o", "json"]));
    assert_eq!(finding(&doctor(), "image-elsewhere"), None);
    other
        .ctr(&["images", "rm", "docker.io/library/shared:v1"])
        .ok();
    let mut told = None;
    until("the doctor finds it", || {
        told = finding(&doctor(), "image-elsewhere");
        told.is_some()
    });
    let told = told.unwrap();
    for word in [
        "default/web",
        "several-m02",
        "devnet -p several load --from-node several shared:v1",
    ] {
        assert!(told.contains(word), "{told}");
    }
    let fix = ["load", "--from-node", "several", "shared:v1"];
    sandbox.devnet(&fix).ok();
    until("it is mended", || {
        finding(&doctor(), "image-elsewhere").is_none()
    });
    sandbox.devnet(&["engine", "stop", "--yes"]).ok();
}

#[test]
fn images_that_pods_run_and_no_name_holds_and_those_that_only_run_are_found() {
    let Some(node) = node("fnd", None, "28") else {
        return;
    };
    DockerShell::of(&node).build("named:v1", "named").ok();
    let named = Container::of("web", "docker.io/library/named:v1", &["sleep", "3600"]);
    let web = Pod::up(&node, Wanted::pod("web").with(named));
    let doctor = || findings(&devnet(&node, &["doctor", "-o", "json"]));
    let all = doctor();
    assert_eq!(finding(&all, "image-without-name"), None, "{all:?}");
    // the node keeps no packed layers, as minikube's do not
    let only = finding(&all, "run-only-images").unwrap();
    assert!(
        only.contains("busybox:1.35") && only.contains("load --whole"),
        "{only}"
    );
    assert!(!only.contains("registry.k8s.io"), "{only}");
    node.ctr(&["images", "rm", "docker.io/library/named:v1"])
        .ok();
    let mut told = None;
    until("the doctor finds it", || {
        told = finding(&doctor(), "image-without-name");
        told.is_some()
    });
    let told = told.unwrap();
    for word in [
        "default/web",
        "devnet -p fnd load named:v1",
        "\"severity\":\"warning\"",
    ] {
        assert!(told.contains(word), "{told}");
    }
    engine(&node, &["stop"]);
    // nobody asks for it any more
    web.delete();
    assert_eq!(finding(&doctor(), "image-without-name"), None);
}
