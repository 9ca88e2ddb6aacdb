//! The guard of the Docker engine that devnet runs on containerd nodes: it keeps the images that pods run,
//! and neither outlives the other.

use crate::support::devnets_engine::{engine, node, pairs, same_traces, traces};
use crate::support::docker_shell::DockerShell;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::until;

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
