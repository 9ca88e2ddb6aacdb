//! The Docker engine that devnet runs on containerd nodes: its life, its guard, and what it leaves.

use serde_json::Value;

use crate::support::containerd_node::BUSYBOX;
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
fn its_guard_keeps_what_pods_run() {
    for (containerd, dockerd) in pairs(2) {
        let name = format!("grd{}{dockerd}", containerd.replace('.', ""));
        let Some(node) = node(&name, Some(containerd), dockerd) else {
            continue;
        };
        let shell = DockerShell::of(&node);
        shell.build("app:dev", "first").ok();
        shell.build("idle:v1", "idle").ok();
        shell.build("labelled:v1", "labelled").ok();
        let app = Container::of("app", "docker.io/library/app:dev", &["sleep", "3600"]);
        let web = Pod::up(&node, Wanted::pod("web").with(app));
        let id = shell.docker(&["inspect", "-f", "{{.Id}}", "app:dev"]).ok();
        let id = id.trim();
        let short = &id["sha256:".len()..][..12];
        let all = || {
            let format = ["--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
            let listed = shell.docker(&[&["images"][..], &format].concat()).ok();
            let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
            names.sort();
            names.join("\n")
        };
        let refused = |words: &[&str], why: &str| {
            let before = all();
            let said = shell.docker(words);
            assert_ne!(said.code, 0, "{words:?}: {said}");
            assert!(said.stderr.contains(why), "{words:?}: {said}");
            assert_eq!(all(), before, "{words:?}");
        };
        let runs = "pod default/web runs it";
        refused(&["image", "prune", "-af"], "`devnet images prune`");
        refused(&["system", "prune", "-af"], "`devnet images prune`");
        refused(
            &["image", "prune", "-af", "--filter", "label=made=first"],
            runs,
        );
        refused(
            &["image", "prune", "-af", "--filter", "until=1s"],
            "`devnet images prune`",
        );
        for name in [
            "app:dev",
            "docker.io/library/app:dev",
            short,
            id,
            "busybox:1.35",
        ] {
            let runs = if name == "busybox:1.35" { "" } else { runs };
            if !runs.is_empty() {
                refused(&["rmi", name], runs);
                refused(&["rmi", "-f", name], runs);
            }
        }
        // a pause container is a container too
        refused(&["rmi", "registry.k8s.io/pause:3.10"], runs);
        for allowed in [
            &["image", "prune", "-f"][..],
            &["builder", "prune", "-af"],
            &["container", "prune", "-f"],
            &["image", "prune", "-af", "--filter", "label=made=labelled"],
            &["tag", "app:dev", "app:other"],
            // one of two names
            &["rmi", "app:other"],
            &["rmi", "idle:v1"],
        ] {
            shell.docker(allowed).ok();
        }
        assert!(!all().contains("labelled:v1"), "{}", all());
        // onto a name in use: the old image keeps a name, and its pod can be made anew from it
        shell.build("app:dev", "second").ok();
        let old = shell.docker(&["inspect", "-f", "{{.Id}}", id]);
        assert_eq!(old.ok().trim(), id);
        refused(&["rmi", id], runs);
        refused(&["rmi", "-f", id], runs);
        // the new one is nobody's
        shell.docker(&["rmi", "app:dev"]).ok();
        assert_eq!(web.attempts("app").len(), 1);

        // by whatever way another image gets a name in use
        let folder = shell.own_context("other", "RUN echo other > /said");
        let build = ["build", "-t", "app:dev", &folder];
        shell.docker(&build).ok();
        let archive = shell.file("app.tar", "");
        shell.docker(&["save", "-o", &archive, "app:dev"]).ok();
        shell.docker(&["tag", "app:dev", "idle:v2"]).ok();
        for (way, words) in [
            ("buildx", &build[..]),
            ("load", &["load", "-i", &archive]),
            ("tag", &["tag", "idle:v2", "app:dev"]),
        ] {
            shell.build("app:dev", way).ok();
            let id = shell.docker(&["inspect", "-f", "{{.Id}}", "app:dev"]).ok();
            let id = id.trim();
            let app = Container::of("app", "docker.io/library/app:dev", &["sleep", "3600"]);
            let _pod = Pod::up(&node, Wanted::pod(&format!("by-{way}")).with(app));
            if way == "buildx" {
                let Some(built) = shell.buildx(dockerd, words) else {
                    continue;
                };
                built.ok();
            } else {
                shell.docker(words).ok();
            }
            let now = shell.docker(&["inspect", "-f", "{{.Id}}", "app:dev"]).ok();
            assert_ne!(now.trim(), id, "{way}");
            assert_eq!(
                shell.docker(&["inspect", "-f", "{{.Id}}", id]).ok().trim(),
                id
            );
            refused(&["rmi", "-f", id], &format!("pod default/by-{way} runs it"));
        }

        // what is in use can't be known
        node.containerd("stop");
        let said = shell.docker(&["rmi", "busybox:1.35"]);
        assert_ne!(said.code, 0, "{said}");
        node.containerd("start");
        engine(&node, &["stop", "--yes"]);
    }
}

#[test]
fn the_guard_and_the_engine_die_together() {
    let Some(node) = node("die", None, "28") else {
        return;
    };
    let before = traces(&node);
    let pid = |name: &str| {
        let found = node.run(&["pgrep", "-o", "-x", name]);
        found.stdout.trim().to_owned()
    };
    for victim in ["devnet-docker", "dockerd", "cleaner"] {
        let shell = DockerShell::of(&node);
        let run = ["run", "-d", "busybox:1.35", "sleep", "3600"];
        shell.docker(&run).ok();
        let victim = match victim {
            "cleaner" => node.run(&["pgrep", "-f", "engine clean-up"]).ok(),
            name => pid(name),
        };
        node.run(&["kill", "-KILL", victim.trim()]).ok();
        until("all of it is gone", || {
            pid("dockerd").is_empty() && pid("devnet-docker").is_empty()
        });
        same_traces(&node, &before);
        let state = engine(&node, &["status"]);
        assert_eq!(
            (&state["running"], &state["guard"]),
            (&false.into(), &false.into())
        );
    }
    // a guard's socket without a guard is taken away by whoever finds it
    node.run(&[
        "sh",
        "-c",
        "mkdir -p /run/docker/plugins; touch /run/docker/plugins/devnet-guard.sock",
    ])
    .ok();
    engine(&node, &["status"]);
    assert!(!node.path("/run/docker/plugins/devnet-guard.sock").exists());
}

#[test]
fn a_node_whose_engine_can_not_be_started_says_why() {
    let Some(node) = node("old", None, "20.10") else {
        return;
    };
    let before = traces(&node);
    let said = devnet(&node, &["engine", "start"]).fails(3);
    assert!(said.contains("dockerd is 20.10."), "{said}");
    let out = devnet(&node, &["env", "--shell", "bash"]);
    assert_eq!(out.stdout, "false;\n");
    assert!(out.fails(3).contains("dockerd is 20.10."));
    let none = node
        .sandbox()
        .devnet(&["-p", "old-none", "engine", "start"])
        .fails(3);
    assert!(none.contains("this computer's own"), "{none}");
    same_traces(&node, &before);
}

#[test]
fn what_stands_in_its_way_is_named_and_nothing_is_half_there() {
    let Some(node) = node("way", None, "28") else {
        return;
    };
    let before = traces(&node);
    let taken = node.sandbox();
    let address = format!("TCP-LISTEN:2376,bind={},fork", node.own_address());
    let mut other = node.command(&taken, "socat");
    let mut other = other.arg(address).arg("EXEC:true").spawn().unwrap();
    until("the port is taken", || {
        !node.run(&["ss", "-Hltn", "sport = :2376"]).ok().is_empty()
    });
    let said = devnet(&node, &["engine", "start"]).fails(1);
    assert!(
        said.contains(&format!("listens at {}:2376", node.own_address())),
        "{said}"
    );
    // what entered the node's processes is its child
    node.run(&["pkill", "-x", "socat"]).ok();
    other.wait().unwrap();
    until("the port is free", || {
        node.run(&["ss", "-Htan", "sport = :2376"]).ok().is_empty()
    });

    let own = node.path("/etc/docker/server.pem");
    let good = std::fs::read(&own).unwrap();
    let names = format!("IP:{}", node.address());
    for (days, names, why) in [
        ("-1", names.as_str(), "Expired"),
        ("9", "DNS:elsewhere", "not valid for name"),
    ] {
        node.certify(days, names);
        let said = devnet(&node, &["engine", "start"]).fails(3);
        assert!(
            said.contains("minikube start -p way") && said.contains(why),
            "{said}"
        );
        assert_eq!(engine(&node, &["status"])["running"], false);
    }
    std::fs::remove_file(&own).unwrap();
    let said = devnet(&node, &["engine", "start"]).fails(3);
    assert!(
        said.contains("/etc/docker/server.pem") && said.contains("minikube start -p way"),
        "{said}"
    );
    std::fs::write(&own, good).unwrap();
    same_traces(&node, &before);

    // two people at once
    let sandbox = node.sandbox();
    let start = || {
        let mut command = sandbox.devnet_command(&["-p", "way", "engine", "start", "-o", "json"]);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let pids = [start(), start()].map(|child| {
        let text = crate::support::ended(child).ok();
        let document: Value = serde_json::from_str(&text).unwrap();
        document["engines"][0]["pid"].as_u64().unwrap()
    });
    assert_eq!(pids[0], pids[1]);
    // a user of the node is not let in
    for socket in [
        "/run/docker/plugins/devnet-guard.sock",
        "/run/devnet/docker.sock",
    ] {
        let said = node.ssh(&format!(
            "curl -s -m 5 --unix-socket {socket} http://d/_ping"
        ));
        assert_ne!(said.code, 0, "{said}");
    }
    engine(&node, &["stop"]);
    same_traces(&node, &before);
}

#[test]
fn a_shell_points_at_it_and_comes_back_as_it_was() {
    let Some(node) = node("shl", None, "28") else {
        return;
    };
    let said = devnet(&node, &["env", "--shell", "bash", "--no-start"]).fails(3);
    assert!(said.contains("devnet -p shl engine start"), "{said}");
    let out = devnet(&node, &["env", "--shell", "bash"]);
    assert!(
        out.stderr
            .starts_with("devnet: starting a Docker engine on the containerd node `shl`"),
        "{out}"
    );
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
    let program = env!("CARGO_BIN_EXE_devnet");
    let script = format!(
        "env -0 | sort -z > before; eval $({program} -p shl env); docker version -f '{{{{.Server.Version}}}}'; \
         eval $({program} env --unset); env -0 | sort -z > after; cmp before after && echo the same"
    );
    let sandbox = node
        .sandbox()
        .env("NO_PROXY", "a b*")
        .env("DOCKER_HOST", "unix:///nowhere");
    let said = Output::of(sandbox.command("bash").args(["-c", &script])).ok();
    assert!(
        said.starts_with("28.") && said.ends_with("the same\n"),
        "{said}"
    );
    let ran = devnet(&node, &["run", "--", "docker", "ps", "-q"]);
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str(), ran.code),
        ("", "", 0)
    );

    // whatever way leads to that engine, pods are the cluster's
    let pod = Pod::up(
        &node,
        Wanted::pod("seen").with(Container::of("web", BUSYBOX, &["sleep", "3600"])),
    );
    let shell = DockerShell::of(&node);
    let url = shell.variable("DOCKER_HOST").to_owned();
    let certs = shell.variable("DOCKER_CERT_PATH").to_owned();
    let ip = pod.ip();
    devnet(&node, &["context"]).ok();
    for words in [
        &["pods", "-o", "tsv"][..],
        &["-H", &url, "--tls-cert-path", &certs, "pods", "-o", "tsv"],
    ] {
        let said = shell.devnet(words).ok();
        assert!(
            said.contains("seen") && said.contains(&ip),
            "{words:?}: {said}"
        );
    }
    let stranger = crate::support::Sandbox::bare();
    let pods = ["-H", &url, "--tls-cert-path", &certs, "pods"];
    let said = stranger.devnet(&pods).fails(3);
    assert!(said.contains("devnet -p shl pods"), "{said}");
    engine(&node, &["stop"]);
}

#[test]
fn a_prompt_starts_it_again_and_does_not_wait() {
    let Some(node) = node("prm", None, "28") else {
        return;
    };
    let sandbox = node.sandbox();
    let used = sandbox.devnet(&["use", "prm", "--shell", "sh"]).ok();
    let prompt = || {
        let script = format!(
            "{used} exec {} hook --prompt bash",
            env!("CARGO_BIN_EXE_devnet")
        );
        Output::of(sandbox.command("sh").args(["-c", &script]))
    };
    let silent = |said: Output| {
        assert_eq!(
            (said.stdout.as_str(), said.stderr.as_str(), said.code),
            ("", "", 0)
        );
    };
    silent(prompt());
    node.run(&["sh", "-c", "kill -KILL $(pgrep -o -x devnet-docker)"])
        .ok();
    until("it is gone", || !node.path("/run/devnet/docker").exists());
    let said = prompt();
    assert_eq!(
        said.stderr,
        "devnet: starting the Docker engine of node `prm` again\n"
    );
    // at most once a minute
    silent(prompt());
    until("it runs again", || {
        sandbox.devnet(&["-p", "prm", "env", "--no-start"]).code == 0
    });
    silent(prompt());

    // what failed is told once
    engine(&node, &["stop"]);
    let memory = sandbox.home().join("state/devnet");
    let forget = || {
        for entry in std::fs::read_dir(&memory).unwrap().flatten() {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with("engine-start-")
            {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    };
    forget();
    std::fs::rename(
        node.path("/etc/docker/ca.pem"),
        node.path("/etc/docker/gone.pem"),
    )
    .unwrap();
    let said = prompt();
    assert!(said.stderr.contains("starting the Docker engine"), "{said}");
    let mut told = String::new();
    until("the next prompt tells", || {
        told = prompt().stderr;
        !told.is_empty()
    });
    assert!(
        told.contains("/etc/docker/ca.pem") && told.contains("`devnet -p prm engine start`"),
        "{told}"
    );
    silent(prompt());
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
