//! Shells that point at the Docker engine that devnet runs on a containerd node: `devnet env`, and a prompt
//! that starts the engine again.

use crate::support::containerd_node::BUSYBOX;
use crate::support::devnets_engine::{devnet, engine, node};
use crate::support::docker_shell::DockerShell;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, until};

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
