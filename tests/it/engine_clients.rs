//! docker's own clients through the engine that devnet runs on a containerd node: what they build is the
//! cluster's at once.

use std::path::Path;

use crate::support::containerd_node::ContainerdNode;
use crate::support::devnets_engine::{node, pairs};
use crate::support::docker_shell::DockerShell;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, Sandbox, missing};

/// True where a program of this computer works.
fn works(program: &str, words: &[&str]) -> bool {
    let sandbox = Sandbox::bare();
    let there =
        Path::new(program).exists() && Output::of(sandbox.command(program).args(words)).code == 0;
    if !there {
        missing(program);
    }
    there
}

/// A pod that runs an image which some client has built, and says what the client wrote into it.
fn said_by_a_pod(node: &ContainerdNode, name: &str, image: &str) -> String {
    let image = format!("docker.io/library/{image}");
    let app = Container::of("app", &image, &["sleep", "3600"]);
    let _pod = Pod::up(node, Wanted::pod(name).with(app));
    let sandbox = node.sandbox();
    let exec = [
        "-p", &node.name, "exec", name, "--", "busybox", "cat", "/said",
    ];
    sandbox.devnet(&exec).ok()
}

#[test]
fn docker_and_buildx_build_for_pods() {
    for (containerd, dockerd) in pairs(2) {
        let name = format!("bx{}{dockerd}", containerd.replace('.', ""));
        let Some(node) = node(&name, Some(containerd), dockerd) else {
            continue;
        };
        let shell = DockerShell::of(&node);
        let folder = shell.own_context("x", "RUN echo buildx > /said");
        for (version, name) in [(dockerd, "bx:v1"), (dockerd, "bx:v1")] {
            let Some(built) = shell.buildx(version, &["build", "-t", name, &folder]) else {
                missing("buildx of that version");
                continue;
            };
            built.ok();
        }
        assert_eq!(said_by_a_pod(&node, "of-buildx", "bx:v1"), "buildx\n");
        for allowed in [
            &["buildx", "prune", "-af"][..],
            &["builder", "prune", "-af"],
        ] {
            if let Some(pruned) = shell.buildx(dockerd, allowed) {
                pruned.ok();
            }
        }
        // the cache is gone, the image is not
        assert_eq!(said_by_a_pod(&node, "of-buildx-again", "bx:v1"), "buildx\n");
        let again = ["run", "--rm", "bx:v1", "busybox", "cat", "/said"];
        assert_eq!(shell.docker(&again).ok(), "buildx\n");
    }
}

#[test]
fn a_python_program_builds_for_pods_and_runs_containers() {
    if !works("/usr/bin/python3", &["-c", "import docker"]) {
        return;
    }
    let Some(node) = node("py", Some("1.6"), "28") else {
        return;
    };
    let shell = DockerShell::of(&node);
    let program = shell.file(
        "client.py",
        r#"
import docker, io
client = docker.from_env()
text = b"FROM busybox:1.35\nRUN echo python > /said\n"
image, _ = client.images.build(fileobj=io.BytesIO(text), tag="py:v1", rm=True)
print(client.containers.run("py:v1", "cat /said", remove=True).decode(), end="")
box = client.containers.run("py:v1", "sleep 3600", detach=True, ports={"80/tcp": None})
print(box.exec_run("cat /said").output.decode(), end="")
box.reload()
print(len(box.attrs["NetworkSettings"]["Ports"]["80/tcp"]) > 0)
box.remove(force=True)
try:
    client.images.prune(filters={"dangling": False})
except docker.errors.APIError as error:
    print("devnet images prune" in str(error))
"#,
    );
    let said = Output::of(shell.command("/usr/bin/python3").arg(program)).ok();
    assert_eq!(said, "python\npython\nTrue\nTrue\n");
    assert_eq!(said_by_a_pod(&node, "of-python", "py:v1"), "python\n");
}

#[test]
fn compose_brings_up_services_and_takes_down_what_no_pod_runs() {
    if !works("/usr/bin/docker-compose", &["version"]) {
        return;
    }
    let Some(node) = node("cmp", Some("1.6"), "28") else {
        return;
    };
    let shell = DockerShell::of(&node);
    shell.file(
        "shop/web/Dockerfile",
        "FROM busybox:1.35\nRUN echo compose > /said\n",
    );
    let file = shell.file(
        "shop/docker-compose.yml",
        "version: '3'\nservices:\n  web:\n    build: web\n    image: web:v1\n    command: sh -c 'cp /said /w; exec httpd -f -p 80 -h /'\n  \
         client:\n    image: busybox:1.35\n    command: sh -c 'until wget -qO- http://web/said; do sleep 0.1; done'\n    depends_on: [web]\n",
    );
    let compose = |words: &[&str]| {
        let mut command = shell.command("/usr/bin/docker-compose");
        Output::of(command.args(["-f", &file]).args(words))
    };
    compose(&["up", "-d", "--build"]).ok();
    crate::support::until("one service reaches the other by name", || {
        compose(&["logs", "client"]).ok().contains("compose")
    });
    // busybox is what pods run, and web what one does
    let image = "docker.io/library/web:v1";
    let pod = Pod::up(
        &node,
        Wanted::pod("web").with(Container::of("app", image, &["sleep", "3600"])),
    );
    let said = compose(&["down", "--rmi", "all"]);
    assert!(said.stderr.contains("pod default/web runs it"), "{said}");
    assert_eq!(shell.docker(&["ps", "-aq"]).ok(), "");
    shell.docker(&["image", "inspect", "web:v1"]).ok();
    pod.delete();
    shell.docker(&["rmi", "web:v1"]).ok();
}

/// Starts a server, reads what it serves at its published port, and sees who else runs meanwhile.
const SERVER: &str = r#"
import sys, urllib.request
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy
serve = "mkdir /w; echo served > /w/i; echo ready; exec httpd -f -p 80 -h /w"
with DockerContainer("busybox:1.35").with_command(["sh", "-c", serve]).with_exposed_ports(80) as box:
    box.waiting_for(LogMessageWaitStrategy("ready"))
    url = f"http://{box.get_container_host_ip()}:{box.get_exposed_port(80)}/i"
    for _ in range(100):
        try:
            print(urllib.request.urlopen(url, timeout=5).read().decode(), end="")
            break
        except OSError:
            pass
    names = [one.name for one in box.get_docker_client().client.containers.list()]
    print(sum(name.startswith("testcontainers-ryuk-") for name in names))
"#;

#[test]
fn testcontainers_reaches_what_it_starts_with_its_reaper_off_and_on() {
    let Some(node) = node("tcs", Some("1.6"), "28") else {
        return;
    };
    let shell = DockerShell::of(&node);
    let run = |more: &[(&str, &str)]| {
        let mut command = shell.testcontainers(SERVER)?;
        // where the ports of this node are published
        command.env("TESTCONTAINERS_HOST_OVERRIDE", node.own_address());
        Some(Output::of(command.envs(more.iter().copied())))
    };
    let Some(off) = run(&[("TESTCONTAINERS_RYUK_DISABLED", "true")]) else {
        return missing("testcontainers (tests/testbed/clients.sh)");
    };
    assert_eq!(off.ok(), "served\n0\n");
    assert_eq!(shell.docker(&["ps", "-aq"]).ok(), "");

    // what stands for the reaper says that it has started, takes the connection, and goes with it
    let reap = "echo Started!; exec nc -l -p 8080 -e cat";
    let dockerfile = shell.file(
        "ryuk/Dockerfile",
        &format!("FROM busybox:1.35\nCMD [\"sh\", \"-c\", \"{reap}\"]\n"),
    );
    let folder = dockerfile.trim_end_matches("/Dockerfile");
    let build = ["build", "-q", "-t", "testcontainers/ryuk:0.8.1", folder];
    shell.docker(&build).ok();
    // it is handed the engine's own socket on the node, which is not where docker's is
    let on = [(
        "TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE",
        "/run/devnet/docker.sock",
    )];
    assert_eq!(run(&on).unwrap().ok(), "served\n1\n");
    crate::support::until("the reaper is gone", || {
        shell.docker(&["ps", "-aq"]).ok().is_empty()
    });
}

/// Programs that ask `minikube docker-env` and not their shell, in their own words: README's script.
#[test]
fn who_asks_minikube_for_docker_env_gets_devnets() {
    let Some(node) = node("asks", None, "28") else {
        return;
    };
    let readme = include_str!("../../README.md");
    let (_, script) = readme.split_once("```sh\n#!/bin/sh\n# `minikube`").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    let sandbox = node.sandbox();
    let folder = sandbox.home().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let executable = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    };
    let real = "/usr/local/bin/minikube";
    let other = folder.join("real").display().to_string();
    assert!(script.contains(real));
    executable(
        "minikube",
        &format!("#!/bin/sh\n#{}", script.replace(real, &other)),
    );
    executable("real", "#!/bin/sh\necho minikube itself: $@\n");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_devnet"), folder.join("devnet")).unwrap();
    let sandbox = sandbox.env("PATH", &format!("{}:/usr/bin:/bin", folder.display()));
    let asked = |words: &[&str]| Output::of(sandbox.command("minikube").args(words));
    assert_eq!(
        asked(&["version", "--user=x"]).ok(),
        "minikube itself: version --user=x\n"
    );
    for words in [
        // Skaffold's and DevSpace's
        &[
            "docker-env",
            "--shell",
            "none",
            "-p",
            "asks",
            "--user=skaffold",
        ][..],
        &["docker-env", "--shell", "none"],
    ] {
        let said = asked(words).ok();
        let variables: Vec<(&str, &str)> = said
            .lines()
            .map(|line| line.split_once('=').unwrap())
            .collect();
        assert_eq!(variables.len(), 4, "{said}");
        let mut docker = sandbox.command("docker");
        docker.args(["version", "-f", "{{.Server.Version}}"]);
        let version = Output::of(docker.envs(variables)).ok();
        assert!(version.starts_with("28."), "{version}");
    }
}
