//! The Docker engine that devnet runs on containerd nodes: its life, what it leaves, and who knows of it.

use serde_json::Value;

use crate::support::cri::messages::PortMapping;
use crate::support::devnets_engine::{devnet, engine, life, node, pairs, same_traces, traces};
use crate::support::docker_shell::DockerShell;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, until};

#[test]
fn it_builds_for_the_kubelet_and_leaves_no_trace() {
    for (containerd, dockerd) in pairs(3) {
        let name = format!("eng{}{dockerd}", containerd.replace('.', ""));
        let Some(node) = node(&name, Some(containerd), dockerd) else {
            continue;
        };
        let mut web = Wanted::pod("before").sleeper("web");
        web.ports.push(PortMapping {
            container_port: 80,
            host_port: 18_090,
            ..PortMapping::default()
        });
        let web = Pod::up(&node, web);
        let (before, alive) = (traces(&node), life(&node, &web, "web"));
        let forward = node.run(&["iptables", "-S", "FORWARD"]).ok();

        let state = engine(&node, &["start"]);
        assert_eq!(
            (&state["running"], &state["guard"]),
            (&true.into(), &true.into())
        );
        let version = state["version"].as_str().unwrap();
        assert!(version.starts_with(&format!("{dockerd}.")), "{version}");
        assert_eq!(state["address"], format!("tcp://{}:2376", node.address()));
        // once more is none more
        assert_eq!(engine(&node, &["start"])["pid"], state["pid"]);
        let listening = node.run(&["ss", "-Hltn", "sport = :2376"]).ok();
        assert!(
            listening.contains(&format!("{}:2376", node.own_address())),
            "{listening}"
        );
        assert_eq!(listening.lines().count(), 1, "{listening}");
        let modes = node.run(&[
            "stat",
            "-c",
            "%a %U:%G",
            "/run/devnet/docker.sock",
            "/run/docker/plugins/devnet-guard.sock",
        ]);
        assert_eq!(modes.ok(), "660 root:root\n600 root:root\n");
        assert_eq!(node.run(&["iptables", "-S", "FORWARD"]).ok(), forward);

        let shell = DockerShell::of(&node);
        assert_eq!(shell.variable("DOCKER_HOST"), state["address"]);
        assert_eq!(shell.variable("MINIKUBE_ACTIVE_DOCKERD"), node.name);
        shell.build("built:v1", "classic").ok();
        let out = shell
            .docker(&["run", "--rm", "built:v1", "cat", "/said"])
            .ok();
        assert_eq!(out, "classic\n");
        let built = Container::of("app", "docker.io/library/built:v1", &["sleep", "3600"]);
        let pod = Pod::up(&node, Wanted::pod("from-docker").with(built));
        let said = devnet(&node, &["exec", "from-docker", "--", "cat", "/said"]).ok();
        assert_eq!(said, "classic\n");

        // networks of a person's, and a port at the node's own address
        shell.docker(&["network", "create", "own"]).ok();
        let serve = "mkdir /w; echo served > /w/i; exec httpd -f -p 80 -h /w";
        let run = [
            "run",
            "-d",
            "--network",
            "own",
            "-p",
            "18091:80",
            "--name",
            "served",
            "busybox:1.35",
            "sh",
            "-c",
            serve,
        ];
        shell.docker(&run).ok();
        let url = format!("http://{}:18091/i", node.own_address());
        until("the port is served", || {
            Output::of(node.sandbox().command("curl").args(["-s", "-m", "5", &url])).stdout
                == "served\n"
        });
        assert_eq!(engine(&node, &["status"])["containers"][0], "served");
        // and out of the node, behind its address: from a network of a person's too
        let gateway = format!("{}.1", node.own_address().trim_end_matches(".2"));
        let listen = format!(
            "TCP-LISTEN:{},bind={gateway},fork,reuseaddr",
            18_100 + u16::from(node.number())
        );
        let outside = node.sandbox();
        let mut outside = outside
            .command("socat")
            .args([&listen, "SYSTEM:echo $SOCAT_PEERADDR"])
            .spawn()
            .unwrap();
        let port = (18_100 + u16::from(node.number())).to_string();
        for network in ["own", "bridge"] {
            let ask = [
                "run",
                "--rm",
                "--network",
                network,
                "busybox:1.35",
                "nc",
                &gateway,
                &port,
            ];
            until("a container reaches what is outside", || {
                shell.docker(&ask).stdout.trim() == node.own_address()
            });
        }
        outside.kill().unwrap();
        outside.wait().unwrap();

        // nobody can be asked
        let refused = devnet(&node, &["engine", "stop"]).fails(2);
        assert!(
            refused.contains("1 container that ran through it (served)"),
            "{refused}"
        );
        let stopped = devnet(&node, &["engine", "stop", "--yes"]);
        assert!(
            stopped
                .stderr
                .contains("of data stay in /var/lib/devnet/docker"),
            "{stopped}"
        );
        assert_eq!(engine(&node, &["stop"])["running"], false);
        pod.delete();
        assert_eq!(life(&node, &web, "web"), alive);
        same_traces(&node, &before);
        // networks and images are there again
        let shell = DockerShell::of(&node);
        assert_eq!(
            shell
                .docker(&["network", "ls", "-qf", "name=own"])
                .ok()
                .lines()
                .count(),
            1
        );
        engine(&node, &["stop", "--yes", "--rm-data"]);
        assert!(!node.path("/var/lib/devnet").exists());
        same_traces(&node, &before);
    }
}

#[test]
fn status_doctor_and_clean_know_it() {
    let Some(node) = node("kno", None, "28") else {
        return;
    };
    let status = |endpoint: &str| -> Value {
        let document: Value =
            serde_json::from_str(&devnet(&node, &["status", "-o", "json"]).ok()).unwrap();
        let docker = document["nodes"][0]["docker"].clone();
        assert_eq!(docker["endpoint"], endpoint, "{document}");
        docker["answers"].clone()
    };
    let at = format!("tcp://{}:2376", node.address());
    assert_eq!(status(&at), false);
    let shell = DockerShell::of(&node);
    assert_eq!(status(&at), true);
    let codes = |said: Output| -> Vec<String> {
        let document: Value = serde_json::from_str(&said.stdout).unwrap();
        let findings = document["findings"].as_array().unwrap().iter();
        findings
            .map(|one| one["code"].as_str().unwrap().to_owned())
            .collect()
    };
    let without_minikube = ["run-only-images", "no-minikube"];
    assert_eq!(
        codes(shell.devnet(&["doctor", "-o", "json"])),
        without_minikube
    );
    // what minikube's own docker-env leaves
    let lines = "export DOCKER_HOST=unix:///var/run/nerdctl.sock\n";
    std::fs::write(
        node.path("/var/home/docker/.bashrc"),
        format!("{lines}alias x=y\n{lines}"),
    )
    .unwrap();
    let sandbox = node.sandbox().env("MINIKUBE_ACTIVE_DOCKERD", "kno").env(
        "DOCKER_HOST",
        &format!("ssh://docker@{}:22", node.address()),
    );
    let found = codes(sandbox.devnet(&["-p", "kno", "doctor", "-o", "json"]));
    assert!(
        found.contains(&"nerdctl-lines".into()) && found.contains(&"nerdctl-shell".into()),
        "{found:?}"
    );

    let run = [
        "run",
        "-d",
        "--name",
        "busy",
        "busybox:1.35",
        "sleep",
        "3600",
    ];
    shell.docker(&run).ok();
    let said = devnet(&node, &["clean"]);
    assert!(
        said.stderr
            .contains("the Docker engine stays: busy run through it"),
        "{said}"
    );
    assert_eq!(status(&at), true);
    shell.docker(&["rm", "-f", "busy"]).ok();
    let said = devnet(&node, &["clean"]).ok();
    assert!(said.contains("removed the Docker engine"), "{said}");
    assert!(!node.path("/var/lib/devnet").exists());
    assert!(
        devnet(&node, &["clean"])
            .ok()
            .contains("nothing of devnet's")
    );
}
